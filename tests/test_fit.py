"""The constants that a fit finds, of kernels and links whose times follow from known ones."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
from typing import Any, NamedTuple

import attn_bottleneck as ab
from tests import fit
from tests.measurements import LATENT
from tests.support import (
    FIT_SCRIPT,
    ScriptTest,
    fit_of_h100,
    needs_shared,
    printed_by,
    process,
    run,
)

KERNELS = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\n"
ALL_REDUCES = "ngpu,bytes,latency_us\n"
LATENT_WIDTHS = "kv_lora_rank,qk_rope_head_dim,qk_nope_head_dim,v_head_dim"


class Kernel(NamedTuple):
    """A kernel that is made up."""

    phase: str
    batch: int
    seq: int
    n_head: int
    n_kv_head: int
    width: int


@dataclasses.dataclass(frozen=True)
class KernelConstants:
    """The constants of an H100 that made-up kernels take exactly their time by."""

    launch_us: float = 6.5
    wave_us: float = 2.25
    tile_us: float = 3.0
    exponentials: float = 8.0
    compute_efficiency: float = 0.55
    bandwidth_efficiency: float = 0.8

    def seconds(self, kernel: Kernel) -> float:
        """The README's estimate, by hand: H100 rates, 132 multiprocessors."""
        phase, batch, seq, n_head, n_kv_head, width = kernel
        decodes = phase == "decode"
        query = 1 if decodes else seq
        pairs = seq if decodes else seq * (seq + 1) / 2
        rows = seq - 1 if decodes else seq
        heads = batch * n_head
        group = n_head // n_kv_head
        flops = heads * (pairs * (2 * width - 1) + width * (2 * pairs - query))
        traffic = 2 * (2 * batch * n_kv_head * width * rows + 2 * heads * query * width)
        packed = math.ceil(query * group / 64)
        tiles = batch * n_kv_head * min(packed, group * math.ceil(query / 128))
        peak = 989.5e12 * self.compute_efficiency
        # The longest row sees seq keys, the mean one pairs / query; up to 128 rows on one of 132.
        tail = min(query, 128) * flops / heads / query * (seq * query / pairs - 1) * 132 / peak
        exponentials = heads * pairs / (132 * self.exponentials * 1e9)
        core = max(flops / peak, exponentials) + tail
        core += traffic / (3350e9 * self.bandwidth_efficiency)
        waves = self.wave_us / 1e6 * max(0, tiles / 132 - 1) * (128 + width) / 256
        full_tiles = self.tile_us / 1e6 * min(tiles, heads * query / 64) / 132
        return self.launch_us / 1e6 + max(core, waves) + full_tiles


def made_up_kernels(draw: random.Random, widths: list[int], constants: KernelConstants) -> str:
    """A file of 240 kernels that take exactly the time that the constants give."""
    lines = []
    for _ in range(240):
        phase = draw.choice(["decode", "prefill"])
        n_kv_head = draw.choice([1, 4, 8])
        batch = draw.choice([1, 8, 64])
        seq = 2 ** draw.randint(6, 13)
        n_head = n_kv_head * draw.choice([1, 8])
        kernel = Kernel(phase, batch, seq, n_head, n_kv_head, draw.choice(widths))
        us = constants.seconds(kernel) * 1e6
        lines.append(",".join(map(str, kernel)) + f",{us:.6f}\n")
    return KERNELS + "".join(lines)


def latent_decode_bytes(batch: int, seq: int) -> int:
    """What decode with 16 heads reads and writes: latents of 512 + 64 of all rows but the new one,
    queries as wide, outputs of 512.
    """
    return 2 * batch * (576 * (seq - 1) + 16 * (576 + 512))


def pcie_all_reduces(*gpus: str) -> str:
    """Twelve all-reduces of each GPU, over PCIe of 64 GB/s a direction of which they reach 0.7."""
    text = f"gpu,{ALL_REDUCES}"
    for gpu in gpus:
        for power in range(12, 24):
            text += f"{gpu},2,{2**power},{3 + 2 * 1.1 + 2**power / (64e3 * 0.7):.6f}\n"
    return text


class FitTest(ScriptTest):
    """Test cases that run tests/fit.py."""

    program = "fit.py"
    main = staticmethod(fit.main)

    def fitted(self, text: str, *flags: str) -> tuple[str, dict[str, Any]]:
        """The accuracy that a fit of an H100's rows prints, and the section of a config."""
        path = self.written(text, "m.csv")
        table, _, section = self.answer(path, "--gpu", "h100-sxm", *flags).partition("{")
        return table, json.loads("{" + section)["GPU"]

    def section(self, text: str, *flags: str) -> dict[str, Any]:
        return self.fitted(text, *flags)[1]


class Search(FitTest):
    """What the search finds least, and how it solves its equations."""

    def test_linear_equations(self) -> None:
        """By hand: x = (1, -2, 3); a damping of one doubles the diagonal."""
        matrix = [[4.0, 1.0, 2.0], [1.0, 5.0, 3.0], [2.0, 3.0, 6.0]]
        for damping, right_side in ((0.0, [8.0, 0.0, 14.0]), (1.0, [12.0, -10.0, 32.0])):
            with self.subTest(damping=damping):
                solution = fit.solved(matrix, right_side, damping)
                for value, expected in zip(solution, (1, -2, 3)):
                    self.assertAlmostEqual(value / expected, 1, delta=1e-7)

    def test_begins_at_every_constant(self) -> None:
        optional = {key for key, row in ab.catalogue(ab.GPU_KEYS).items() if "optional" in row}
        constants = ab.catalogue(ab.ARCHITECTURES)["Hopper"].keys() - optional
        self.assertEqual(fit.START.keys(), constants)
        self.assert_checked("FIT_START")

    def test_wild_rows_hardly_move_it(self) -> None:
        """One row in eight five times as long, or a fifth."""
        true = KernelConstants()
        lines = made_up_kernels(random.Random(10), [64, 128], true).splitlines()
        for i in range(5, len(lines), 8):
            cells, us = lines[i].rsplit(",", 1)
            factor = 5 if i % 16 == 5 else 0.2
            lines[i] = f"{cells},{float(us) * factor:.6f}"
        section = self.section("\n".join(lines) + "\n")
        for name in ("launch_us", "bandwidth_efficiency", "compute_efficiency"):
            self.assertAlmostEqual(section[name] / getattr(true, name), 1, delta=0.03, msg=name)

    def test_kinds_weigh_the_same(self) -> None:
        """Kernels too small for all but their launch: a few of one kind take 5 % longer, many of
        another 5 % less.
        """
        text = KERNELS
        for seq in (1, 2, 3, 4):
            text += f"decode,1,{seq},8,8,16,{6.5 * math.exp(0.05):.6f}\n" * 2
            text += f"prefill,1,{seq},8,8,16,{6.5 * math.exp(-0.05):.6f}\n" * 8
        section = self.section(text)
        self.assertAlmostEqual(section["launch_us"] / 6.5, 1, delta=0.01)

    def test_least_loss(self) -> None:
        """Of one kernel with three times in turn: the least mean of log(1 + (error / scale)^2), by
        trying all.
        """
        times = [6.5 * math.exp((0, 0.02, 0.3)[i % 3]) for i in range(48)]

        def loss(us: float, scale: float) -> float:
            return sum(math.log1p((math.log(us / time) / scale) ** 2) for time in times)

        hop_twice = {"pcie_latency_us": 1, "pcie_hop_us": 2}
        for head, row, flags, parts, scale in (
            (KERNELS, "decode,1,1,8,8,16", [], {"launch_us": 1}, 0.1),
            (ALL_REDUCES, "2,1", ["--link", "pcie"], hop_twice, 0.15),
        ):
            text = head + "".join(f"{row},{us:.6f}\n" for us in times)
            section = self.section(text, *flags)
            found = sum(section[key] * count for key, count in parts.items())
            trials = {loss(6.5 + i / 1000, scale): 6.5 + i / 1000 for i in range(2000)}
            least = trials[min(trials)]
            with self.subTest(row):
                self.assertAlmostEqual(found / least, 1, delta=0.004)


class Kernels(FitTest):
    def test_finds_the_constants_of_a_formula(self) -> None:
        true = KernelConstants()
        table, section = self.fitted(made_up_kernels(random.Random(6), [16, 64, 256], true))
        self.assertIn("120 rows; fitted on every other row, held against the rest", table)
        for name, value in dataclasses.asdict(true).items():
            self.assertAlmostEqual(section[name] / value, 1, delta=0.01, msg=name)
        self.assertEqual(section["multiprocessors"], 132)
        self.assertEqual((section["bf16"], section["bandwidth"]), (989.5, 3350))
        self.assertEqual(section["latent_bandwidth_efficiency"], 0.9)  # no row shows another
        # Ready to paste: the config reads it, and then estimates what was measured.
        measured = str(self.folder / "m.csv")
        config = self.written(json.dumps({"GPU": section}))
        estimated = run("--config", config, "--measured", measured)
        self.assertEqual((estimated.code, estimated.err), (0, ""))
        for line in re.findall(r"^(?:decode|prefill) .*$", estimated.out, re.MULTILINE):
            median = line.split()[-3]
            self.assertLess(float(median.rstrip("%")), 1.0, line)
        alone = self.answer(measured, "--gpu", "h100-sxm", "--format", "json")
        self.assertEqual(json.loads(alone)["GPU"], section)

    def test_leaves_out_what_the_rows_do_not_show(self) -> None:
        true = KernelConstants(exponentials=1e9, tile_us=0, wave_us=0, launch_us=12.34)
        section = self.section(made_up_kernels(random.Random(7), [128], true))
        costs = [section[key] for key in ("exponentials", "tile_us", "wave_us")]
        self.assertEqual(costs, [1000, 0, 0])
        self.assertEqual(section["launch_us"], 12.3)  # digits that do not depend on the start

    def test_rows_of_a_gpu_with_other_figures(self) -> None:
        """--set and --config say what the GPU is; the section has its figures."""
        text = made_up_kernels(random.Random(6), [64], KernelConstants())
        section = self.section(text, "--set", "GPU.bandwidth=3000")
        self.assertEqual(section["bandwidth"], 3000)
        rate = 3350 * 0.8 / 3000
        self.assertAlmostEqual(section["bandwidth_efficiency"], rate, delta=0.01)
        config = self.written(json.dumps({"GPU": {**section, "model": "mine"}}))
        alone = self.answer(str(self.folder / "m.csv"), "--config", config, "--format", "json")
        self.assertEqual(json.loads(alone)["GPU"], {**section, "model": "mine"})


class LatentAttention(FitTest):
    def with_latent_rows(self, efficiency: float, noise: float = 0.0) -> dict[str, Any]:
        """The fit of grouped rows, and of latent decode that reaches so much of the bandwidth, more
        or less.
        """
        true = KernelConstants(exponentials=1e9, tile_us=0)
        draw = random.Random(8)
        head, *rows = made_up_kernels(draw, [64, 128], true).splitlines()
        lines = [f"{head},{LATENT_WIDTHS}", *(f"{row},,,," for row in rows)]
        for batch in (1, 2, 4, 8, 16, 32, 64):
            for seq in (4096, 16384, 65536):
                memory = latent_decode_bytes(batch, seq) / (3350e9 * efficiency)
                flops = batch * 16 * (seq * 1151 + 512 * (2 * seq - 1))
                us = (6.5e-6 + max(memory, flops / (989.5e12 * 0.55))) * 1e6
                us *= math.exp(draw.uniform(-noise, noise))
                lines.append(f"decode,{batch},{seq},16,,,{us:.6f},512,64,128,128")
        return self.section("\n".join(lines) + "\n")

    def test_finds_what_latent_decode_reads_with(self) -> None:
        """Beside grouped rows, whose constants it leaves as they are."""
        section = self.with_latent_rows(0.4)
        self.assertAlmostEqual(section["latent_bandwidth_efficiency"], 0.4, delta=0.005)
        self.assertAlmostEqual(section["bandwidth_efficiency"], 0.8, delta=0.01)

    def test_latent_decode_that_shows_no_other_rate_has_the_kernels(self) -> None:
        section = self.with_latent_rows(0.8, noise=0.25)
        rate = section["bandwidth_efficiency"]
        self.assertAlmostEqual(rate, 0.8, delta=0.01)
        self.assertEqual(section["latent_bandwidth_efficiency"], rate)

    def test_latent_rows_alone_show_their_launch(self) -> None:
        lines = [f"phase,batch,seq,n_head,latency_us,{LATENT_WIDTHS}"]
        for batch in (1, 2, 4, 8, 16, 32, 64):
            for seq in (64, 512, 4096, 16384, 65536):
                us = 6.5 + latent_decode_bytes(batch, seq) / (3350e3 * 0.6)
                lines.append(f"decode,{batch},{seq},16,{us:.6f},512,64,128,128")
        section = self.section("\n".join(lines) + "\n")
        self.assertAlmostEqual(section["launch_us"] / 6.5, 1, delta=0.1)
        self.assertAlmostEqual(section["latent_bandwidth_efficiency"], 0.6, delta=0.03)

    def test_latent_rows_alone(self) -> None:
        head, *rows = LATENT.splitlines()
        text = "\n".join([head, *rows[:2] * 7]) + "\n"
        self.assertLess(self.section(text)["compute_efficiency"], 1)


class Links(FitTest):
    def test_no_more_than_the_datasheet(self) -> None:
        """Rows that are faster than PCIe can be."""
        text = ALL_REDUCES
        for ngpu in (2, 4, 8):
            for power in range(8, 30, 2):
                ring = 2 * (ngpu - 1) / ngpu * 2**power
                us = 3 + 2 * (ngpu - 1) * 1.1 + ring / (64e3 * 1.2)
                text += f"{ngpu},{2**power},{us:.6f}\n"
        self.assertEqual(self.section(text, "--link", "pcie")["pcie_efficiency"], 1)

    def test_finds_the_constants_of_the_scale_up_link(self) -> None:
        """450 GB/s a direction."""
        text = ALL_REDUCES
        for ngpu in (2, 4, 8):
            for power in range(8, 30):
                one_shot = (ngpu - 1) * 2**power / (450e3 * 0.81)
                ring = 2 * (ngpu - 1) / ngpu * 2**power / (450e3 * 0.81)
                us = 4.2 + 0.5 * math.log2(ngpu) + min(one_shot, 6 + ring)
                if power > 24:
                    us = 30 + ring
                text += f"{ngpu},{2**power},{us:.6f}\n"
        expected = {
            "link_latency_us": 4.2,
            "link_hop_us": 0.5,
            "link_two_shot_us": 6,
            "link_library_us": 30,
        }
        section = self.section(text, "--link", "nvlink")
        for name, value in expected.items():
            self.assertAlmostEqual(section[name] / value, 1, delta=0.01, msg=name)
        self.assertAlmostEqual(section["link_efficiency"], 0.81, delta=0.005)

    def test_finds_the_constants_of_pcie(self) -> None:
        """64 GB/s a direction."""
        text = ALL_REDUCES
        for ngpu in (2, 4, 8):
            for power in range(8, 30):
                ring = 2 * (ngpu - 1) / ngpu * 2**power / (64e3 * 0.7)
                text += f"{ngpu},{2**power},{3 + 2 * (ngpu - 1) * 1.1 + ring:.6f}\n"
        section = self.section(text, "--link", "pcie")
        for name, value in {"pcie_latency_us": 3, "pcie_hop_us": 1.1}.items():
            self.assertAlmostEqual(section[name] / value, 1, delta=0.01, msg=name)
        self.assertAlmostEqual(section["pcie_efficiency"], 0.7, delta=0.005)


class CommandLine(FitTest):
    def test_rows_on_standard_input(self) -> None:
        text = pcie_all_reduces("h100-sxm")
        path = self.written(text, "m.csv")
        flags = ("--gpu", "h100-sxm", "--link", "pcie")
        piped = process("-", *flags, script=FIT_SCRIPT, input=text)
        self.assertEqual(piped.stdout, self.answer(path, *flags))

    def test_a_report_and_a_section_for_each_gpu(self) -> None:
        path = self.written(pcie_all_reduces("h100-sxm", "b200"), "m.csv")
        out = self.answer(path, "--link", "pcie")
        self.assertIn("H100-SXM, 6 rows; fitted on every other row", out)
        self.assertIn("B200-SXM, 6 rows; fitted on every other row", out)
        texts = self.answer(path, "--link", "pcie", "--format", "json").split("\n}\n")
        models = [json.loads(text + "\n}")["GPU"]["model"] for text in texts[:-1]]
        self.assertEqual(models, ["H100-SXM", "B200-SXM"])

    def test_refuses_what_cannot_be_fitted(self) -> None:
        text = made_up_kernels(random.Random(9), [64], KernelConstants())
        head, *rows = text.splitlines(keepends=True)
        few = self.written(head + "".join(rows[:13]), "few.csv")
        enough = self.written(text, "m.csv")
        # Nothing of one GPU before another cannot be fitted.
        h100 = "".join(f"h100-sxm,{row}" for row in rows)
        mixed = self.written(f"gpu,{head}{h100}b200,{rows[0]}", "x.csv")
        both_links = self.written(f"{ALL_REDUCES}2,4096,9\n4,4096,30\n", "links.csv")
        one_link = "rows of A100-80GB-PCIe go over both links: --link takes one"
        for path, flags, expected in (
            (few, "--gpu h100-sxm", "a fit needs 14 rows of H100-SXM or more, not 13"),
            (enough, "--gpu mi300x", "a fit needs GPU.multiprocessors, which MI300X does not have"),
            (mixed, "", "a fit needs 14 rows of B200-SXM or more, not 1"),
            (both_links, "--gpu a100-80gb-pcie", one_link),
        ):
            with self.subTest(expected):
                error = self.refusal(path, *flags.split())
                self.assertEqual(error, f"fit.py: error: {expected}\n")

    def test_refuses_figures_that_no_config_takes(self) -> None:
        """Latencies of 10^-9 us would need them."""
        text = made_up_kernels(random.Random(9), [64], KernelConstants())
        head, *rows = text.splitlines()
        tiny = [re.sub(r"[^,]+$", "1e-9", row) for row in rows]
        path = self.written("\n".join([head, *tiny]) + "\n", "t.csv")
        result = printed_by(fit.main, path, "--gpu", "h100-sxm")
        self.assertEqual((result.code, result.out), (2, ""))
        self.assertIn("error: the fit of H100-SXM: GPU.", result.err.splitlines()[-1])

    def test_refuses_arguments(self) -> None:
        path = self.written(f"{ALL_REDUCES}2,1048576,9\n", "m.csv")
        for arguments, expected in (
            ([], "the following arguments are required: FILE"),
            ([""], "FILE must name a file, or - for standard input"),
            (["/nowhere.csv"], "FILE /nowhere.csv: cannot be read: No such file"),
            ([path, "--seq", "9"], "unrecognized arguments: --seq 9"),
            ([path, "--format", "csv"], "--format: invalid choice: 'csv'"),
            ([path, "--link", "x"], "--link: must be one of pcie, nvlink, not"),
            ([path, "--link", "pcie,nvlink"], "--link takes one value"),
            ([path, "--set", "Model.n_head=9"], "--set Model.n_head: FILE takes one value"),
            ([path, "--set", "GPU.memory=9,8"], "--set GPU.memory: FILE takes one value"),
            ([path, "--config", ""], "--config must name a file"),
            (["-", "--config", "-"], "--config - and FILE -: standard input can be read once"),
            ([path, "--gpu", "h1oo"], '--gpu "h1oo" is not in the catalogue'),
        ):
            with self.subTest(arguments):
                self.assertIn(f"fit.py: error: {expected}", self.refusal(*arguments))

    def test_other_units_are_noticed(self) -> None:
        """Nanoseconds taken for microseconds, and seconds."""
        text = made_up_kernels(random.Random(9), [64], KernelConstants())
        head, *rows = text.splitlines()
        for factor in (1e-3, 1e3):
            lines = [head]
            for row in rows:
                cells, us = row.rsplit(",", 1)
                lines.append(f"{cells},{float(us) * factor:.9f}")
            path = self.written("\n".join(lines) + "\n", "m.csv")
            result = printed_by(fit.main, path, "--gpu", "h100-sxm")
            with self.subTest(factor=factor):
                self.assertIn("fit.py: warning: H100-SXM is ", result.err)
                self.assertIn("times as slow here: are latencies in microseconds?", result.err)

    def test_help(self) -> None:
        result = process("--help", script=FIT_SCRIPT)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("python3 tests/fit.py kernels.csv --gpu h100-sxm", result.stdout)

    def test_the_calculator_says_where_fits_are(self) -> None:
        for arguments in (["--fit"], ["--measured", "m.csv", "--fit"], ["--fit", "--gpu", "b200"]):
            result = run(*arguments)
            expected = "--fit is not here: run python3 tests/fit.py FILE, in the project's checkout"
            self.assertEqual((result.code, result.out), (2, ""))
            self.assertEqual(result.err, f"attn_bottleneck.py: error: {expected}\n")


class WholeSample(FitTest):
    @needs_shared("silicon")
    def test_finds_the_constants_of_the_catalogue(self) -> None:
        """To the two digits that the table has, of H100's kernels and links."""
        constants = ab.catalogue(ab.ARCHITECTURES)["Hopper"]
        for name in ("attention.csv", "allreduce.csv"):
            result = fit_of_h100(name)
            self.assertEqual((result.code, result.err), (0, ""))
            found = json.loads(result.out[result.out.index("{") :])["GPU"]
            for key, value in constants.items():
                with self.subTest(name, constant=key):
                    self.assertAlmostEqual(found[key] / value, 1, delta=0.035)
