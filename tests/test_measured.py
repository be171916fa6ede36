"""Held against silicon: measured kernels, and a user's own file."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
import re
import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

import attn_bottleneck as ab
from tests.measurements import ALL_REDUCE, ATTENTION, LATENT
from tests.support import (
    DEEPSEEK,
    H100,
    NO_OVERHEAD,
    SHARED,
    CaseTest,
    ScriptTest,
    needs_shared,
    process,
    read_csv,
    run,
)

KERNEL_HEAD = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\n"
LATENT_HEAD = (
    "phase,batch,seq,n_head,kv_lora_rank,qk_rope_head_dim,qk_nope_head_dim,v_head_dim,latency_us\n"
)
REDUCE_HEAD = "ngpu,bytes,latency_us\n"
KINDS = ("decode", "prefill", "latent decode", "latent prefill", "all-reduce")
CACHES = {"A100-80GB-SXM": 40, "H100-SXM": 50, "B200-SXM": 126, "L40S": 96}  # MiB

# Goals for the median error in percent, above 50 us, on the rows that were not fitted.
GOALS = {
    "A100-80GB-SXM": {"decode": 12, "prefill": 12},
    "H100-SXM": {"decode": 8, "prefill": 12, "latent decode": 12, "latent prefill": 20},
    "B200-SXM": {"decode": 10, "prefill": 14, "latent decode": 14, "latent prefill": 20},
    "B300-SXM": {"decode": 12, "prefill": 17, "latent decode": 14, "latent prefill": 26},
    "L40S": {"decode": 10, "prefill": 15},
    "RTX-PRO-6000-Server": {"decode": 12, "prefill": 18},
}
KERNELS = ("attention.csv", "attention-b300-rtxpro.csv", "mla.csv", "mla-b300.csv")
ALL_REDUCES = ("allreduce.csv", "allreduce-b300-l40s.csv")


def one_layer(row: dict[str, str]) -> dict[str, Any]:
    """The model of one layer whose attention a quoted row measures."""
    if "kv_lora_rank" in row:
        model = {key: int(row[key]) for key in DEEPSEEK if key in row}
    else:
        model = {key: int(row[key]) for key in ("n_head", "n_kv_head", "dim_head")}
        if row["window"] != "0":
            model["window"] = int(row["window"])
    return {**model, "n_layer": 1}


class Case(NamedTuple):
    """A quoted row, and what the script says of it."""

    row: dict[str, str]
    layer: dict[str, Any]  # of --format json
    seconds: float  # measured


class Quoted(CaseTest):
    def cases(self, text: str) -> Iterator[Case]:
        for row in csv.DictReader(io.StringIO(text)):
            flags = f"--gpu {row['gpu']} --dtype bf16 --fused --kv-dtype {row['kv_dtype']}"
            flags += f" --batch {row['batch']} --seq {row['seq']} --gen {row['phase'] == 'decode'}"
            layer = self.quantity(one_layer(row), flags, "layers.0")
            yield Case(row, layer, seconds=float(row["latency_us"]) / 1e6)

    def test_no_kernel_is_faster_than_the_bound(self) -> None:
        """Of those whose keys no cache holds."""
        checked = 0
        for text in (ATTENTION, LATENT):
            for row, layer, seconds in self.cases(text):
                if layer["kv_read_bytes"] > CACHES[row["gpu"]] * 2**20:
                    checked += 1
                    with self.subTest(**row):
                        self.assertLessEqual(layer["bound_s"], seconds)
        self.assertGreaterEqual(checked, 15)

    def test_estimates_meet_measurements(self) -> None:
        errors: dict[str, list[float]] = {"decode": [], "prefill": []}
        for row, layer, seconds in self.cases(ATTENTION):
            errors[row["phase"]].append(abs(layer["total_s"] / seconds - 1))
            with self.subTest(**row):
                self.assertGreaterEqual(layer["total_s"], layer["bound_s"])
        self.assertLess(statistics.median(errors["decode"]), 0.15)
        self.assertLess(statistics.median(errors["prefill"]), 0.20)

    def test_limits(self) -> None:
        """Small steps are overhead, large ones memory, and prompts compute."""
        for row, layer, seconds in self.cases(ATTENTION):
            if row["phase"] == "decode" and seconds < 18e-6:
                limits = ["overhead"]
            elif row["phase"] == "decode" and seconds > 1.3e-3 and row["seq"] != "16":
                limits = ["memory"]
            elif row["phase"] == "prefill" and seconds > 5e-3:
                limits = ["compute"]
            else:
                limits = ["compute", "memory", "sync", "overhead"]
            with self.subTest(**row):
                self.assertIn(layer["limit"], limits)

    def test_summary_of_a_small_step_says_overhead(self) -> None:
        flags = "--gpu h100-sxm --model llama-3.1-8b --dtype bf16 --fused --seq 512"
        lines = self.answer(*flags.split(), "--format", "summary").splitlines()
        self.assertIn("overhead limits attention: ", "\n".join(lines))
        # 32 launches of 12 us, and 32 x 32 heads over 64 rows: half a full tile in 132 of 3.8 us.
        overhead = 32 * (12 + 3.8 * 0.5 / 132)
        self.assertIn(f"  overhead  {'#' * 32} {overhead:6.3g} us  <- limits", lines)
        bounds = self.answer("--gpu", "mi300x", "--fp16", "--format", "summary")
        self.assertIn("\nbounds     no implementation is faster; no constants for", bounds)

    def test_all_reduces(self) -> None:
        for row in csv.DictReader(io.StringIO(ALL_REDUCE)):
            ngpu = int(row["ngpu"])
            payload = int(row["bytes"])
            shape = f"{payload} bytes over {ngpu} GPUs"
            lines = self.report(ALL_REDUCE, "--gpu", row["gpu"]).splitlines()
            line = next(line for line in lines if shape in line)
            ratio = float(line.split("here ")[1].split()[0])
            us = pcie_us(ngpu, payload) if row["gpu"] == "L40S" else nvlink_us(ngpu, payload)
            with self.subTest(shape):
                self.assertAlmostEqual(ratio, us / float(row["latency_us"]), delta=0.006)
                self.assertLess(abs(ratio - 1), 0.25)

    def report(self, text: str, *flags: str) -> str:
        return self.answer("--measured", self.written(text, "rows.csv"), *flags)


def pcie_us(ngpu: int, payload: int) -> float:
    """An all-reduce in a ring over PCIe, 32 GB/s a direction, by hand."""
    ring = 2 * (ngpu - 1) / ngpu * payload / (32e3 * 0.62)
    return 2.3 + 2 * (ngpu - 1) * 1.6 + ring


def nvlink_us(ngpu: int, payload: int) -> float:
    """An all-reduce over NVLink, 450 GB/s a direction, by hand."""
    ring = 2 * (ngpu - 1) / ngpu * payload / (450e3 * 0.74)
    if payload > 16 * 2**20:
        return 23 + ring
    one_shot = (ngpu - 1) * payload / (450e3 * 0.74)
    return 2.2 + 0.32 * math.log2(ngpu) + min(one_shot, 4.3 + ring)


class Row(NamedTuple):
    """A row of the table of accuracy."""

    rows: str
    faster: str
    median: str
    most: str  # nine in ten are below
    bias: str


def accuracy_rows(text: str) -> dict[tuple[str, str], Row]:
    """The rows of a table of accuracy by kind and size."""
    rows = {}
    for line in text.splitlines():
        kind, *cells = re.split(r"\s{2,}", line.strip())
        if kind in KINDS:
            size, *figures = cells
            rows[kind, size] = Row(*figures)
    return rows


class Table(ScriptTest):
    """What --measured prints."""

    def test_rows_over_both_links(self) -> None:
        """Cards that NVLink joins in pairs: two over it, four over PCIe."""
        path = self.written(f"{REDUCE_HEAD}2,4096,9\n4,4096,30\n", "m.csv")
        out = self.answer("--measured", path, "--gpu", "a100-80gb-pcie")
        self.assertIn("A100-80GB-PCIe, 2 rows; estimate", out)
        # 4.0 + 0.53 us and 4,096 bytes at 300 GB/s, less than two shots.
        pair = 4.53 + 4096 / 0.68 / 300e3
        # 2.3 + 6 x 1.6 us and 2 x 3/4 of them at 32.
        four = 2.3 + 6 * 1.6 + 1.5 * 4096 / 0.62 / 32e3
        self.assertIn(f", here {pair / 9:.3g} times", out)
        self.assertIn(f", here {four / 30:.3g} times", out)
        error = self.refusal("--measured", path, "--set", "GPU.nvlink_gpus=2")
        self.assertIn("--set: GPU.nvlink_gpus has no meaning without nvlink", error)

    def test_constants_of_one_link(self) -> None:
        """Without those of the other all are bounds."""
        path = self.written(f"{REDUCE_HEAD}2,4096,9\n4,4096,30\n", "m.csv")
        gpu = {
            "model": "X",
            "bf16": 9,
            "memory": 8,
            "bandwidth": 9,
            "pcie": 64,
            "nvlink": 600,
            "nvlink_gpus": 2,
            "pcie_latency_us": 2,
            "pcie_hop_us": 1,
            "pcie_efficiency": 1,
        }
        config = self.written(json.dumps({"GPU": gpu}))
        out = self.answer("--measured", path, "--config", config)
        self.assertIn("X, 2 rows; bound only", out)

    def test_figures(self) -> None:
        """Against a bound of 10 us: errors and bias by hand."""
        # 33,499,136 bytes (512 a row of K and V, 512 of Q and A) over 3,350 GB/s: just below 10 us.
        text = KERNEL_HEAD
        for us in (9, 10, 12.5, 20, 40, 100):
            text += f"decode,1,65428,1,1,128,{us}\n"
        out = self.bounds(text)
        self.assertIn("H100-SXM, 6 rows; bound only: no constants\n", out)
        rows = accuracy_rows(out)
        # Errors 1/9, 0, 0.2, 0.5, 0.75, 0.9; between the third and fourth, and the sixth.
        self.assertEqual(rows["decode", "all"], ("6", "1", "35.0%", "90.0%", "-35.0%"))
        self.assertEqual(rows["decode", "above 50 us"], ("1", "0", "90.0%", "90.0%", "-90.0%"))
        self.assertEqual(rows["decode", "up to 50 us"].rows, "5")
        self.assertNotIn(("decode", "above 1 ms"), rows)
        worst = out.split("worst ten rows\n")[1].splitlines()
        shape = "decode 1 x 65428, 1/1 x 128, window 0, bf16"
        self.assertEqual(worst[0], f"  line 7: {shape}: 100 us, here 0.1 times as long")
        self.assertEqual(len([line for line in worst if line]), 6)

    def test_more_rows_than_the_worst_ten(self) -> None:
        """A twenty-fifth of a percent below is no bias."""
        out = self.bounds(KERNEL_HEAD + "decode,1,65428,1,1,128,10.0035\n" * 12)
        row = accuracy_rows(out)["decode", "all"]
        self.assertEqual(row, ("12", "0", "0.0%", "0.0%", "+0.0%"))
        self.assertEqual(len(out.split("worst ten rows\n")[1].split("\n")), 10 + 2)

    def bounds(self, text: str, **figures: Any) -> str:
        """The report of rows on an H100 without constants, with other figures."""
        config = self.written(json.dumps({"GPU": {**H100, **figures}}))
        return self.answer("--config", config, "--measured", self.written(text, "m.csv"))

    def test_what_a_cache_holds_is_not_counted_as_faster(self) -> None:
        text = KERNEL_HEAD + "decode,1,65537,1,1,128,5\n"  # 2 x 65,536 rows of 256 bytes: 32 MiB
        for cache, faster in ((31, "1"), (32, "0")):
            rows = accuracy_rows(self.bounds(text, last_level_cache=cache))
            self.assertEqual(rows["decode", "all"].faster, faster)

    def test_rows_name_their_gpu(self) -> None:
        path = self.written(ATTENTION, "m.csv")
        out = self.answer("--measured", path)
        names = re.findall(r"^(\S+), 12 rows; estimate$", out, re.MULTILINE)
        self.assertEqual(names, list(CACHES))
        out = self.answer("--measured", path, "--gpu", "b200")
        self.assertEqual(re.findall(r"^(\S+), \d+ rows", out, re.MULTILINE), ["B200-SXM"])
        self.assertIn("has no row for this GPU", self.refusal("--measured", path, "--gpu", "h20"))

    def test_rows_without_a_gpu_are_of_the_one_named(self) -> None:
        lines = ATTENTION.splitlines()[:3]
        text = "".join(line.partition(",")[2] + "\n" for line in lines)
        out = self.answer("--measured", self.written(text, "m.csv"), "--gpu", "h20")
        self.assertIn("H20, 2 rows; bound only: no constants", out)
        piped = process("--measured", "-", "--gpu", "h20", input=text)
        self.assertEqual(piped.stdout, out)

    def test_rows_of_the_gpu_of_a_config(self) -> None:
        text = "".join(ATTENTION.splitlines(keepends=True)[:3])
        text = text.replace("A100-80GB-SXM", "mine")
        self.assertIn("mine, 2 rows; bound only: no constants", self.bounds(text, model="mine"))

    def test_refused_files(self) -> None:
        head = KERNEL_HEAD
        good = "decode,1,64,8,1,128,10\n"
        with_dtype = head.replace("dim_head", "dim_head,dtype")
        with_kv_dtype = head.replace("dim_head", "dim_head,kv_dtype")
        phase = 'line 2: phase must be one of decode, prefill, not "train"'
        count = "must be a whole number from 1 to 10^18"
        ngpu = "line 2: ngpu must be a whole number from 2 to 10^18"
        latency = "line 2: latency_us must be a number from 1e-9"
        texts: list[tuple[str | bytes, str]] = [
            ("", "m.csv: has no column phase"),
            ("phase,batch\n", "m.csv: has no column seq"),
            (head.replace("n_kv_head,", ""), "has no column n_kv_head"),
            (head, "m.csv: has no row for this GPU"),
            (head + good.replace("decode", "train"), phase),
            (head + good + good.replace(",64,", ",0,"), "line 3: seq must be a whole number"),
            (head + good.replace("8,1,", "8,3,"), "line 2: n_kv_head must divide n_head 8, not 3"),
            (head + "decode,1,64,8,1,128,-1\n", latency),
            (head + "decode,1,64,8,1,128,nan\n", latency),
            (head + "decode,1,64,8,1,128,1_0\n", latency),
            (head + "decode,1,64,8,1,128,x\n", latency),
            (head + "decode,1,64,8,1,128,\n", latency),
            (with_dtype + "decode,1,64,8,1,128,fp1,10\n", "line 2: dtype must be one of"),
            (with_kv_dtype + "decode,1,64,8,1,128,x,10\n", "line 2: kv_dtype must be one"),
            (head + "x" * 200_000, "m.csv: field larger than field limit"),
            (head + good.replace("64", '"6\n4"'), f'line 3: seq {count}, not "6\\n4"'),
            (head + "decode\n", f'line 2: batch {count}, not ""'),
            (f"{REDUCE_HEAD}2,x,1\n", "line 2: bytes must be a whole number"),
            (f"{REDUCE_HEAD},2,1\n", f'{ngpu}, not ""'),
            (f"{REDUCE_HEAD}1,2,1\n", f"{ngpu}, not 1"),
            (b"\xff\xfe", "m.csv: is not UTF-8"),
            (b"x" * (2**26 + 1), "m.csv: is larger than 64 MiB"),
        ]
        for text, expected in texts:
            with self.subTest(text[:99]):
                path = self.written(text, "m.csv")
                self.assertIn(expected, self.refusal("--measured", path, "--gpu", "h100-sxm"))
        self.assertIn("No such file", self.refusal("--measured", "/nowhere.csv"))

    def test_refused_gpus(self) -> None:
        path = self.written(f"gpu,{REDUCE_HEAD}h1oo,2,2,1\n", "m.csv")
        error = self.refusal("--measured", path)
        self.assertIn('line 2: --gpu "h1oo" is not in the catalogue', error)
        path = self.written(KERNEL_HEAD + "decode,1,64,8,1,128,10\n", "m.csv")
        error = self.refusal("--measured", path)
        self.assertIn("A100 has no bf16 figure: --gpu names the GPU that was measured", error)

    def test_refused_flags(self) -> None:
        path = self.written(f"{REDUCE_HEAD}2,1048576,9\n", "m.csv")
        for flags, expected in (
            ("--format json", "--format has no meaning beside --measured"),
            ("--format csv", "--format has no meaning beside --measured"),
            ("--seq 9", "--seq has no meaning beside --measured"),
            ("--link pcie,nvlink", "--link takes one value beside --measured"),
            ("--link nvlink", "--link nvlink: A100 has no figure for it"),
        ):
            with self.subTest(flags):
                error = self.refusal("--measured", path, *flags.split())
                self.assertIn(expected, error)

    def test_separators_and_spaces(self) -> None:
        text = "phase, batch, seq, n_head, n_kv_head, dim_head, latency_us\n"
        text += "decode, 1, 1K, 8, 1, 128, 1.5e1\n"
        expected = self.answer("--measured", self.written(text, "m.csv"), "--gpu", "h100-sxm")
        for separator in (",", ";", "\t", " ; "):
            path = self.written(text.replace(", ", separator), "m.csv")
            self.assertEqual(self.answer("--measured", path, "--gpu", "h100-sxm"), expected)

    def test_link_of_all_reduces(self) -> None:
        """NVLink where there is one, else PCIe; --link decides."""
        path = self.written(f"{REDUCE_HEAD}2,900000000,3000\n", "m.csv")
        nvlink = 42e-6 + 900e6 / (300e9 * 0.68)
        pcie = 2.3e-6 + 2 * 1.6e-6 + 900e6 / (32e9 * 0.62)
        pcie_bound = 900e6 / 32e9
        for flags, seconds in (
            ("--gpu a100-80gb-sxm", nvlink),
            ("--gpu a100-80gb-sxm --link pcie", pcie),
            ("", pcie_bound),
        ):
            out = self.answer("--measured", path, *flags.split())
            self.assertIn(f"here {seconds / 3e-3:.3g} times as long", out)

    def test_rows_of_each_number_of_gpus(self) -> None:
        text = ALL_REDUCE + "H100-SXM,4,1048576,11\n"
        out = self.answer("--measured", self.written(text, "m.csv"), "--gpu", "h100-sxm")
        counts = {size: row.rows for (_, size), row in accuracy_rows(out).items()}
        self.assertEqual((counts["all"], counts["2 GPUs"], counts["4 GPUs"]), ("5", "2", "3"))
        self.assertNotIn("8 GPUs", counts)

    def test_sizes_of_kernels_and_their_edges(self) -> None:
        """50 us and 1 ms are above. 41 MB over 3,350 GB/s take 12 us."""
        text = KERNEL_HEAD
        for us in (49.9, 50, 60, 999, 1000, 1100):
            text += f"decode,1,9999,8,8,128,{us}\n"
        counts = {"all": "6", "up to 50 us": "1", "above 50 us": "5", "above 1 ms": "2"}
        self.assert_sizes(text, "decode", counts, faster="0")

    def test_sizes_of_all_reduces_and_their_edges(self) -> None:
        """256 KiB and 16 MiB are neither below nor above. 32 MiB over 450 GB/s take 75 us."""
        text = REDUCE_HEAD
        for size in (2**18 - 1, 2**18, 2**24, 2**24 + 1, 2**25):
            text += f"2,{size},50\n"
        counts = {"all": "5", "below 256 KiB": "1", "above 16 MiB": "2", "2 GPUs": "5"}
        self.assert_sizes(text, "all-reduce", counts, faster="1")

    def assert_sizes(self, text: str, kind: str, counts: dict[str, str], faster: str) -> None:
        """That the rows of an H100 are so many of each size, and so many faster than the bound."""
        out = self.answer("--measured", self.written(text, "m.csv"), "--gpu", "h100-sxm")
        rows = accuracy_rows(out)
        self.assertEqual({size: row.rows for (_, size), row in rows.items()}, counts)
        self.assertEqual(rows[kind, "all"].faster, faster)

    def test_constants_of_kernels_are_enough_for_kernels(self) -> None:
        """Those of links are not needed, and not one of the kernels' may lack."""
        path = self.written(f"{KERNEL_HEAD}decode,1,9999,8,8,128,50\n", "m.csv")
        gpu = {}
        for key, value in NO_OVERHEAD.items():
            if not key.startswith(("link_", "pcie_")):
                gpu[key] = value
        config = self.written(json.dumps({"GPU": gpu}))
        out = self.answer("--config", config, "--measured", path)
        self.assertIn("H100-SXM, 1 rows; estimate\n", out)
        del gpu["tile_us"]
        config = self.written(json.dumps({"GPU": gpu}))
        out = self.answer("--config", config, "--measured", path)
        self.assertIn("bound only: no constants", out)

    def test_bounds_of_what_kernels_may_do_less(self) -> None:
        """An FP8 cache at the peak of FP8, heads of 192 with values of 128."""
        head = "phase,batch,seq,n_head,n_kv_head,dim_head,kv_dtype,latency_us\n"
        # 8,192 rows of 8 heads: n (n + 1) / 2 pairs of 4 x 128 - 1 FLOPs, less 128 a row.
        pairs = 8192 * 8193 / 2
        values = 128 * (2 * pairs - 8192)
        wide = 8 * (pairs * (2 * 192 - 1) + values) / 989.5e12
        fp8 = 8 * (pairs * (2 * 128 - 1) + values) / 1979e12
        self.assert_bound(f"{head}prefill,1,8192,8,8,192,bf16", "prefill", wide)
        self.assert_bound(f"{head}prefill,1,8192,8,8,128,fp8", "prefill", fp8)
        # Latents of 512 are projected to the same: keys of 128 + 64, values of 128.
        latent = f"{LATENT_HEAD}prefill,1,8192,8,512,64,128,128"
        self.assert_bound(latent, "latent prefill", wide)

    def assert_bound(self, row: str, kind: str, seconds: float) -> None:
        """That a row is faster than its bound just below so many seconds, but not above."""
        for us, faster in ((seconds * 0.999e6, "1"), (seconds * 1.001e6, "0")):
            rows = accuracy_rows(self.bounds(f"{row},{us:.4f}\n"))
            self.assertEqual(rows[kind, "all"].faster, faster, row)

    def test_rows_of_no_gpu_where_several_are_named(self) -> None:
        path = self.written(f"{REDUCE_HEAD}2,1048576,9\n", "m.csv")
        error = self.refusal("--measured", path, "--gpu", "h100-sxm,l40s")
        self.assertIn("line 2: no gpu, and --gpu names several", error)

    def test_how_far_off_other_units_are(self) -> None:
        """From 30 times too slow on, against a bound of 10 us; or too fast, if it is an estimate.
        What takes longer than its bound may be so.
        """
        for gpu, us, warns in (
            (H100, 10 / 29.5, False),
            (H100, 10 / 30.5, True),
            (H100, 10 * 99, False),
            (NO_OVERHEAD, 10 * 29.5, False),
            (NO_OVERHEAD, 10 * 30.5, True),
        ):
            path = self.written(f"{KERNEL_HEAD}decode,1,65428,1,1,128,{us:.6f}\n", "m.csv")
            config = self.written(json.dumps({"GPU": gpu}))
            with self.subTest(us=us):
                warning = run("--config", config, "--measured", path).err
                self.assertEqual("microseconds" in warning, warns)

    def test_other_units_are_noticed(self) -> None:
        """Milliseconds, seconds and nanoseconds."""
        for factor, gpu in (
            (1e-3, "h100-sxm"),
            (1e-6, "h100-sxm"),
            (1e3, "h100-sxm"),
            (1e-3, "mi300x"),
        ):
            text = "phase,batch,seq,n_head,n_kv_head,dim_head,window,kv_dtype,latency_us\n"
            for line in ATTENTION.splitlines()[13:25]:
                _, *cells, us = line.split(",")
                text += ",".join(cells) + f",{float(us) * factor:.9f}\n"
            result = run("--measured", self.written(text, "m.csv"), "--gpu", gpu)
            with self.subTest(factor=factor, gpu=gpu):
                self.assertIn("are latencies in microseconds?", result.err)


def percent(cell: str) -> float:
    return float(cell.rstrip("%"))


@functools.cache
def sample_rows(name: str) -> dict[str, list[ab.Measured]]:
    """The rows of a file of the sample by GPU."""
    rows_of_gpu: dict[str, list[ab.Measured]] = {}
    gpu_for = functools.lru_cache(ab.find_gpu)
    for row in ab.read_measured((SHARED / "silicon" / name).read_text(), gpu_for, None):
        rows_of_gpu.setdefault(row.gpu.name, []).append(row)
    return rows_of_gpu


def held_out(rows: list[ab.Measured]) -> dict[tuple[str, str], Row]:
    """The accuracy of the catalogue's constants, which are rounded, on rows not fitted."""
    return accuracy_rows(ab.accuracy(rows[1::2]))


class WholeSample(ScriptTest):
    """Where the sample is: the catalogue's constants meet the goals."""

    @needs_shared("silicon")
    def test_goals_of_kernels(self) -> None:
        for name in KERNELS:
            for gpu, rows in sample_rows(name).items():
                for (kind, size), row in held_out(rows).items():
                    with self.subTest(gpu=gpu, kind=kind, size=size):
                        if size == "above 50 us":
                            self.assertLessEqual(percent(row.median), GOALS[gpu][kind])

    @needs_shared("silicon")
    def test_goals_of_all_reduces_over_nvlink(self) -> None:
        errors: dict[int, list[float]] = {2: [], 4: [], 8: []}
        pooled = []
        for name in ALL_REDUCES:
            for gpu, rows in sample_rows(name).items():
                if gpu == "L40S":
                    continue
                for row in rows[1::2]:
                    error = abs(row.ratio - 1)
                    errors[row.ngpu].append(error)
                    pooled.append(error)
        for ngpu, some in errors.items():
            self.assertLess(statistics.median(some), 0.10, ngpu)
        pooled.sort()
        self.assertLess(statistics.median(pooled), 0.06)
        self.assertLess(pooled[len(pooled) * 9 // 10], 0.16)

    @needs_shared("silicon")
    def test_goals_of_all_reduces_over_pcie(self) -> None:
        checked = 0
        for name in ALL_REDUCES:
            rows = sample_rows(name).get("L40S")
            if rows:
                for (_, size), row in held_out(rows).items():
                    if size.endswith("GPUs"):
                        checked += 1
                        self.assertLessEqual(percent(row.median), 12, size)
        self.assertGreater(checked, 0)

    @needs_shared("silicon")
    def test_bounds_hold_for_999_of_1000_rows(self) -> None:
        for name in (*KERNELS, *ALL_REDUCES):
            for gpu, rows in sample_rows(name).items():
                resident = [row for row in rows if row.resident]
                faster = [row for row in resident if row.seconds < row.bound_s]
                with self.subTest(gpu, file=name):
                    self.assertLessEqual(len(faster), len(resident) / 1000)

    @needs_shared("silicon")
    def test_quoted_rows_are_those_of_the_sample(self) -> None:
        for text, name in ((ATTENTION, "attention"), (LATENT, "mla"), (ALL_REDUCE, "allreduce")):
            head, *lines = text.splitlines()
            columns = head.split(",")
            sample = set()
            for row in read_csv(SHARED / "silicon" / f"{name}.csv"):
                sample.add(",".join(row[column] for column in columns))
            for line in lines:
                self.assertIn(line, sample)
