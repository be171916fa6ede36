"""The classic report: to the byte where it is documented, and right everywhere else."""

from __future__ import annotations

import random
import re
from fractions import Fraction
from typing import NamedTuple

from tests.support import ROOT, SHARED, ScriptTest, needs_shared

DOCUMENTED = ROOT / "tests" / "documented"
SPEC = {
    "default": "",
    "ngpu10": "--ngpu 10",
    "ngpu4_fp16_seq2048": "--ngpu 4 --fp16 --seq 2048",
    "ngpu2_prefill_seq512": "--ngpu 2 --gen False --seq 512",
    "ngpu2_batch8": "--ngpu 2 --batch 8",
}

TOO_LARGE = "attn_bottleneck.py: warning: the KV cache does not fit: "

RESULT = re.compile(
    r"FLOPS: (\d+)|time.*: +([-+.e\d]+)s$|= (\d+) bytes|Requirement.*: ([.\d]+) TB/s", re.MULTILINE
)


def results(report: str) -> list[str]:
    """Every result in a report, top to bottom."""
    return ["".join(groups) for groups in RESULT.findall(report)]


class Documented(ScriptTest):
    """The user's own documents, which stand beside this file."""

    def test_specification_to_the_byte(self) -> None:
        for name, flags in SPEC.items():
            with self.subTest(name):
                expected = (DOCUMENTED / f"{name}.txt").read_bytes().decode("ascii")
                self.assertEqual(self.answer(*flags.split()), expected)

    @needs_shared("spec")
    def test_documents_are_the_users(self) -> None:
        for name in SPEC:
            original = (SHARED / "spec" / f"{name}.txt").read_bytes()
            self.assertEqual((DOCUMENTED / f"{name}.txt").read_bytes(), original)


def matrix_product_flops(rows: int, inner: int, columns: int) -> int:
    """Multiplications and additions of a dense matrix product, counted one result at a time."""
    multiplications = additions = 0
    for _ in range(rows):
        for _ in range(columns):
            multiplications += inner
            additions += inner - 1
    return multiplications + additions


class RandomCase(NamedTuple):
    """Figures of a small model and its work on GPUs with NVIDIA's A100's rates."""

    n_layer: int
    n_kv_head: int
    group: int  # heads that share a K/V head
    width: int
    batch: int
    seq: int
    ngpu: int
    generation: bool
    dtype: str

    @property
    def heads(self) -> int:
        return self.n_kv_head * self.group

    @property
    def element(self) -> int:
        """Bytes of one."""
        return {"fp32": 4, "fp16": 2, "fp8": 1, "tf32": 4}[self.dtype]

    @property
    def read(self) -> int:
        """Bytes of K, or of V, that a layer reads: the generated row is still on chip."""
        rows = self.seq - 1 if self.generation else self.seq
        return self.batch * self.n_kv_head * rows * self.width * self.element

    def results(self) -> list[str]:
        """The report's results, worked out by counting."""
        query = 1 if self.generation else self.seq
        scores = matrix_product_flops(query, self.width, self.seq)
        values = matrix_product_flops(query, self.seq, self.width)
        return [
            *self.product_results(scores, exchanged=query * self.seq),
            *self.product_results(values, exchanged=query * self.width),
        ]

    def product_results(self, head_flops: int, exchanged: int) -> list[str]:
        """Of a product of so many FLOPs a head, and so many elements of its result."""
        peak = {"fp32": 19.5, "fp16": 312, "fp8": 624, "tf32": 156}[self.dtype]
        flops = head_flops * self.batch * self.heads
        compute = Fraction(flops) / (Fraction(peak) * 10**12)
        memory = Fraction(self.read, 1935 * 10**9)
        texts = [f"{flops}", f"{float(compute / self.ngpu):.3e}"]
        texts += [f"{self.read}", f"{float(memory / self.ngpu):.3e}"]
        if self.ngpu > 1:
            moved = exchanged * self.batch * self.heads * self.element
            sync = Fraction(moved, 64 * 10**9)
            required = self.read / (compute + sync) / 10**12
            texts += [f"{moved}", f"{float(sync):.3e}", f"{float(required):.3f}"]
        texts.append(f"{float(self.read / compute / 10**12):.3f}")
        return texts


def random_case(draw: random.Random) -> RandomCase:
    return RandomCase(
        n_layer=draw.randint(1, 6),
        n_kv_head=draw.randint(1, 6),
        group=draw.randint(1, 6),
        width=draw.randint(1, 6),
        batch=draw.randint(1, 4),
        seq=draw.randint(1, 12),
        ngpu=draw.randint(1, 5),
        generation=draw.random() < 0.5,
        dtype=draw.choice(["fp32", "fp16", "fp8", "tf32"]),
    )


class Arithmetic(ScriptTest):
    def test_random_shapes_against_counting(self) -> None:
        draw = random.Random(20261123)
        for _ in range(300):
            case = random_case(draw)
            model = {
                "n_layer": case.n_layer,
                "n_head": case.heads,
                "n_kv_head": case.n_kv_head,
                "dim_head": case.width,
            }
            config = self.config({"fp8": 624, "tf32": 156}, model)
            flags = f"--dtype {case.dtype} --seq {case.seq} --ngpu {case.ngpu}"
            flags += f" --batch {case.batch} --gen {case.generation}"
            with self.subTest(case):
                report = self.answer("--config", config, *flags.split())
                self.assertEqual(results(report), case.results())
                cached = 2 * case.n_layer * case.read
                size = f"{cached} bytes" if cached < 1000 else f"{cached // 1000} KB"
                self.assertIn(f"Cached KV size ({case.dtype.upper()}): {size}\n", report)
                self.assertEqual("with sync" in report, case.ngpu > 1)

    def test_times_are_the_busiest_gpus(self) -> None:
        """8 heads of 16, 2 of K and V, 10 keys, at 19.5 TFLOP/s and 1,935 GB/s, by hand."""
        config = self.config(model={"n_layer": 1, "n_head": 8, "n_kv_head": 2, "dim_head": 16})
        scores = 8 * 10 * 31
        values = 8 * 16 * 19
        read = 2 * 16 * 9 * 4
        # The parts of FLOPs, and of K and V.
        for flags, computed, held in (
            ("--ngpu 4 --split head", 4, 2),  # two of the four GPUs hold the same K/V head
            ("--ngpu 2 --split head", 2, 2),
            ("--ngpu 4 --split seq", 4, 4),
            ("--ngpu 4 --split batch", 1, 1),  # one sequence: one GPU works
        ):
            report = self.answer("--config", config, "--seq", "10", *flags.split())
            memory = f"{read / 1935e9 / held:.3e}"
            expected = []
            for flops in (scores, values):
                expected += [f"{flops / 19.5e12 / computed:.3e}", memory]
            with self.subTest(flags):
                times = re.findall(r"(?:Computation|Memory) time.*:  (.*)s", report)
                self.assertEqual(times, expected)

    def test_exact_at_any_length(self) -> None:
        # By hand: 96 heads x 1e12 keys x 255; 96 x 128 x (2e12 - 1); 96 x 128 x (1e12 - 1) x 4.
        found = results(self.answer("--seq", "1000000000000", warning=TOO_LARGE))
        self.assertEqual(found[0], "24480000000000000")
        self.assertEqual(found[2], "49151999999950848")
        self.assertEqual(found[5], "24575999999987712")

    def test_largest_accepted_numbers(self) -> None:
        most = str(10**18)
        report = self.answer("--seq", most, "--batch", most, "--ngpu", most, warning=TOO_LARGE)
        self.assertIn(f"Total FLOPS: {96 * 10**36 * 255} FLOPS", report)
        self.assertNotRegex(report, "inf|nan")

    def test_cache_unit(self) -> None:
        # Bytes a row of K and V: 2 x n_layer x n_head x dim_head x 2 = 4 x dim_head here.
        for width, rows, expected in (
            (1, 1, "4 bytes"),
            (1, 249, "996 bytes"),
            (1, 250, "1 KB"),
            (250, 999, "999 KB"),
            (250, 1000, "1 MB"),
            (250, 999_999, "999 MB"),
            (250, 1_000_000, "1 GB"),
            (250, 1_999_999_999, "1999 GB"),
        ):
            config = self.config(model={"n_layer": 1, "n_head": 1, "dim_head": width})
            flags = ("--config", config, "--fp16", "--seq", str(rows + 1))
            warning = TOO_LARGE if rows > 10**9 else ""
            with self.subTest(rows=rows):
                report = self.answer(*flags, warning=warning)
                self.assertIn(f"Cached KV size (FP16): {expected}\n", report)

    def test_one_key_generated_alone_reads_nothing(self) -> None:
        report = self.answer("--seq", "1")
        self.assertIn("96 x (128 x 0) x 4 = 0 bytes", report)
        self.assertIn("Cached KV size (FP32): 0 bytes", report)

    def test_prefill_of_one_token_keeps_it(self) -> None:
        report = self.answer("--seq", "1", "--gen", "False")
        self.assertIn("96 x (128 x 1) x 4 = 49152 bytes", report)
        self.assertIn("Cached KV size (FP32): 9 MB", report)  # 2 x 96 layers x 49,152


class Labels(ScriptTest):
    def test_precision_is_named_everywhere(self) -> None:
        config = self.config({"bf16": 312, "tf32": 156, "fp8": 624, "int8": 624, "fp4": 1248})
        for dtype, element in (
            ("fp32", "4"),
            ("tf32", "4"),
            ("fp16", "2"),
            ("bf16", "2"),
            ("fp8", "1"),
            ("int8", "1"),
            ("fp4", "0.5"),
        ):
            with self.subTest(dtype):
                report = self.answer("--config", config, "--dtype", dtype, "--ngpu", "2")
                named = re.findall(r"\(((?:FP|TF|BF|INT)\d+)\)", report)
                self.assertEqual(named, [dtype.upper()] * 7)
                scale = int(float(element) * 8) * 128 * 96  # bits
                self.assertIn(f"x (128 x 1023) x {element} = {1023 * scale // 8} bytes", report)
                upper = self.answer("--config", config, f"--dtype={dtype.upper()}", "--ngpu", "2")
                self.assertEqual(report, upper)

    def test_half_bytes_round_up(self) -> None:
        config = self.config({"fp4": 1}, {"n_head": 1, "dim_head": 1})
        report = self.answer("--config", config, "--dtype", "fp4", "--seq", "4")
        self.assertIn("1 x (1 x 3) x 0.5 = 2 bytes", report)

    def test_grouped_heads_lead_only_what_is_cached(self) -> None:
        config = self.config(model={"n_kv_head": 8})
        report = self.answer("--config", config, "--ngpu", "2", "--batch", "3")
        for line, times in (
            ("In Attention Layer (per 96 head)", 1),
            ("3 x 96 x ((1 x 128) x (128 x 1024))", 1),
            ("3 x 96 x ((1 x 1024) x (1024 x 128))", 1),
            ("Read Key Matrix (FP32): 3 x 8 x (128 x 1023) x 4 = 12570624 bytes", 2),
            ("Synchronizing S (FP32): 3 x 96 x (1 x 1024) x 4 = 1179648 bytes", 1),
            ("Synchronizing Attn (FP32): 3 x 96 x (1 x 128) x 4 = 147456 bytes", 1),
        ):
            with self.subTest(line):
                self.assertEqual(report.splitlines().count(line), times)

    def test_two_sequences_lead_too(self) -> None:
        report = self.answer("--batch", "2", "--seq", "5")
        self.assertIn("\n2 x 96 x ((1 x 128) x (128 x 5))\n", report)
        self.assertIn("Read Key Matrix (FP32): 2 x 96 x (128 x 4) x 4 = 393216 bytes\n", report)

    def test_exchanges_of_a_fused_kernel_end_it(self) -> None:
        """Half of 96 queries of 128, partial outputs of 128 and 4 bytes; 96 x 128 outputs; 32 GB/s
        a direction.
        """
        report = self.answer("--fused", "--ngpu", "2")
        end = """
--------------------------------------
Exchanging queries (FP32): 49344 bytes
Sync time:  1.542e-06s

All-reducing the output (FP32): 49152 bytes
Sync time:  1.536e-06s
"""
        self.assertTrue(report.endswith(end), report)

    def test_one_gpu_mentions_no_synchronisation(self) -> None:
        self.assertNotIn("sync:", self.answer().lower().replace("(without sync)", ""))
        self.assertNotIn("Synchronizing", self.answer())

    def test_generation_flag(self) -> None:
        generation = self.answer()
        prefill = self.answer("--gen", "False")
        for text in ("true", "YES", "1", "On"):
            self.assertEqual(self.answer("--gen", text), generation)
        for text in ("false", "No", "0", "OFF"):
            self.assertEqual(self.answer(f"--gen={text}"), prefill)
        self.assertEqual(self.answer("--gen"), generation)
        self.assertEqual(self.answer("--gen", "--seq", "1024"), generation)
        self.assertIn("Q: 1024 x 128\n", prefill)

    def test_fp16_is_short_for_a_precision(self) -> None:
        half = self.answer("--dtype", "fp16")
        self.assertEqual(self.answer("--fp16"), half)
        self.assertEqual(self.answer("--fp16", "--dtype", "FP16"), half)
