"""Sweeps: lists and ranges, the grid, and the views of many cases."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import re
import subprocess
import sys
import unittest
from typing import Any
from xml.etree import ElementTree

import attn_bottleneck as ab
from tests.support import SCRIPT, ScriptTest, process, run
from tests.test_model import DEEPSEEK_671B, GPT_OSS, NO_OVERHEAD
from tests.test_views import PREFIXES

MISFITS = "attn_bottleneck.py: warning: "
SVG = "{http://www.w3.org/2000/svg}"


def table_rows(text: str) -> list[list[str]]:
    """The rows of a table, without its heading and its head."""
    return [line.split() for line in text.split("\n\n")[1].splitlines()[1:]]


HEADER = """
gpu model ngpu seq batch query phase dtype kv_dtype weight_dtype fused split link error basis limit
compute_s memory_s sync_s overhead_s total_s bound_s rest_s step_s attention_share new_tokens
attention_tokens_per_s step_tokens_per_s flops bytes kv_read_bytes exchange_bytes reduce_bytes
gpu_flops gpu_bytes intensity_flop_per_byte ridge_flop_per_byte kv_bytes_per_token
kv_bytes_per_token_beyond_windows cache_bytes gpu_cache_bytes gpu_weight_bytes fits max_batch max_seq
""".split()


# Constants of kernels, for a GPU that has none: those of its links are still unknown.
KERNEL_KEYS = "multiprocessors launch_us wave_us tile_us exponentials"
KERNEL_PARTS = "compute_efficiency bandwidth_efficiency latent_bandwidth_efficiency"
MI300X_KERNELS = " ".join(
    [f"--set GPU.{key}=9" for key in KERNEL_KEYS.split()] + [f"--set GPU.{key}=0.9" for key in KERNEL_PARTS.split()]
)


class Values(ScriptTest):
    def test_lists_and_ranges(self) -> None:
        for text, expected in (
            ("7", [7]),
            ("1,2,8", [1, 2, 8]),
            ("8,1", [8, 1]),
            ("2:5", [2, 3, 4, 5]),
            ("1024:4096:1024", [1024, 2048, 3072, 4096]),
            ("1:8:3", [1, 4, 7]),
            ("5:5", [5]),
            ("1K:8K:x2", [1024, 2048, 4096, 8192]),
            ("1:100:x10", [1, 10, 100]),
            ("3:50:x4", [3, 12, 48]),
            ("1,4:6,2k", [1, 4, 5, 6, 2048]),
            ("1M", [1_048_576]),
        ):
            with self.subTest(text):
                self.assertEqual(list(ab.counts_flag(text)), expected)

    def test_bad_lists_and_ranges(self) -> None:
        count = "must be a whole number from 1 to 10^18"
        for flags, expected in (
            ("--seq 1,,2", count),
            ("--seq 1,", count),
            ("--seq 8:1", '"8:1" must be FIRST:LAST, from small to large'),
            ("--seq 1,1:1000000", "--seq lists at most 1000000 values, beside one range in steps"),
            ("--seq 1:8:0", count),
            ("--seq 1:8:x1", '"1:8:x1" must be FIRST:LAST'),
            ("--seq 1:8:x0", count),
            ("--seq 1:8:x", count),
            ("--seq 1:8:1:1", "must be FIRST:LAST"),
            ("--seq 1:", count),
            ("--seq K", count),
            ("--seq 1G", count),
            ("--seq 1.5K", count),
            (f"--seq {10**18}K", count),
            (f"--seq {'9' * 5000}K", "not one of 5001 digits"),
            ("--dtype fp16,fp17", "(did you mean fp16?)"),
            ("--split seq,", "must be one of seq, head, batch, not"),
            ("--gpu h100-sxm,", "--gpu takes names, not nothing"),
            ("--gpu h100-sxm,h2", "could be"),
            ("--format svg --seq 1:2001", "--format svg shows at most 2000 cases, not 2001"),
        ):
            with self.subTest(flags):
                self.assertIn(expected, self.refusal(*flags.split()))

    def test_grid_is_the_product_in_the_order_of_the_help(self) -> None:
        axes: dict[str, list[Any]] = {
            "--gpu": ["A100", "H100-SXM"],
            "--model": ["llama-2-7b", "gpt3-175b"],
            "--ngpu": [1, 3],
            "--seq": [7, 9],
            "--batch": [1, 2],
            "--query": [1, 2],
            "--dtype": ["fp32", "fp16"],
            "--kv-dtype": ["fp8", "fp16"],
            "--fused": ["false", "true"],
            "--split": ["seq", "batch"],
            "--link": ["pcie"],
        }
        flags = [(flag, ",".join(map(str, each))) for flag, each in axes.items()]
        argv = [part for flag in reversed(flags) for part in flag]
        out = run("--format", "csv", *argv).out
        names = [flag[2:].replace("-", "_") for flag in axes]
        found = [tuple(row[name] for name in names) for row in csv.DictReader(io.StringIO(out))]
        expected = [tuple(map(str, case)) for case in itertools.product(*axes.values())]
        self.assertEqual(found, expected)
        order = [self.answer("-h").index(f"\n  {flag} ") for flag in axes]
        self.assertEqual(order, sorted(order))

    def test_all_is_the_catalogue(self) -> None:
        out = run("--gpu", "all", "--dtype", "fp16").out
        found = [row[0] for row in table_rows(out) if row[0] in ab.catalogue(ab.GPUS)]
        self.assertEqual(found, list(ab.catalogue(ab.GPUS)))
        models = run("--model", "all", "--gpu", "b200", "--format", "csv").out
        names = [row["model"] for row in csv.DictReader(io.StringIO(models))]
        self.assertEqual(names, list(ab.catalogue(ab.MODELS)))

    def test_config_is_a_name(self) -> None:
        config = self.config({"model": "Mine", "bf16": 100})
        out = self.answer("--config", config, "--gpu", "config,h20", "--model", "config,gpt3-175b",
                          "--seq", "9", warning=f"{MISFITS}2 of 4")  # fmt: skip
        names = [row[:2] for row in table_rows(out)][:4]
        self.assertEqual(names, list(map(list, itertools.product(["Mine", "H20"], ["config", "gpt3-175b"]))))
        self.assertIn("1 x Mine", self.answer("--config", config, "--gpu", "config"))

    def test_a_combination_that_cannot_be_is_a_row(self) -> None:
        out = self.answer("--gpu", "h100-sxm,a100", "--dtype", "fp8,fp16")
        rows = out.split("\n\n")[1].splitlines()[1:]
        self.assertEqual(len(rows), 4)
        self.assertTrue(rows[2].endswith("--dtype fp8: A100 has no figure for it (it has fp32, fp16)"))
        self.assertIn("memory", rows[3])
        out = self.answer("--query", "1:4", "--seq", "2", "--format", "csv")
        errors = [row["error"] for row in csv.DictReader(io.StringIO(out))]
        self.assertEqual(errors[:2], ["", ""])
        self.assertEqual(errors[3], "--query 4 must be at most --seq 2")
        lines = self.answer("--query", "1,4", "--seq", "2", "--format", "json").splitlines()
        refused = json.loads(lines[1])
        self.assertEqual(refused["error"], "--query 4 must be at most --seq 2")
        self.assertEqual((refused["gpu"], refused["query"]), ("A100", 4))
        for view in ("report", "summary"):
            last = self.answer("--query", "1,4", "--seq", "2", "--format", view).splitlines()[-1]
            self.assertEqual(last, "query 4: --query 4 must be at most --seq 2")
        picture = self.answer("--query", "1,4", "--seq", "2", "--format", "svg")
        self.assertEqual(picture.count("<polygon"), 1)

    def test_nothing_that_can_be_is_an_error(self) -> None:
        for view in ("table", "csv", "json", "report", "svg"):
            result = run("--query", "3,4", "--seq", "2", "--format", view)
            with self.subTest(view):
                self.assertEqual(result.code, 2)
                expected = "attn_bottleneck.py: error: --query 3 must be at most --seq 2\n"
                self.assertEqual(result.err, expected)
        self.assertEqual(run("--query", "3", "--seq", "2", "--format", "table").out, "")


class Views(ScriptTest):
    def test_report_is_for_one_case_and_table_for_several(self) -> None:
        self.assertEqual(self.answer("--seq", "9"), self.answer("--seq", "9", "--format", "report"))
        several = self.answer("--seq", "9,10")
        self.assertEqual(several, self.answer("--seq", "9,10", "--format", "table"))
        one, two = (self.answer("--seq", seq) for seq in ("9", "10"))
        self.assertEqual(self.answer("--seq", "9,10", "--format", "report"), one + two)

    def test_table(self) -> None:
        flags = "--gpu h100-nvl --seq 1K:64K:x8 --batch 1,512"
        warning = f"{MISFITS}4 of 6 cases do not fit into memory\n"
        out = self.answer(*flags.split(), warning=warning)
        heading, rows, note = out.split("\n\n")
        self.assertEqual(
            heading.replace("\n", " "),
            "decode, gpu H100-NVL, model config, ngpu 1, dtype bf16, kv-dtype bf16,"
            " weight-dtype bf16, fused, estimates",
        )
        lines = rows.splitlines()
        head = "seq batch compute memory overhead total tokens/s limit"
        self.assertEqual(lines[0].split(), head.split())
        self.assertEqual([row.split()[:2] for row in lines[3:5]], [["8192", "1"], ["8192", "512"]])
        self.assertEqual(["!" in line for line in lines[1:]], [False, True] * 2 + [True] * 2)
        self.assertEqual(note, "! does not fit into memory\n")
        # 2 x 96 heads x 128 x 1,023 rows x 2 B + Q and A, 96 layers, over 0.9 of 3,938 GB/s.
        memory = 96 * (2 * 96 * 128 * 1023 * 2 + 2 * 96 * 128 * 2) / (3938e9 * 0.9)
        self.assertIn(f"{memory * 1e3:.3g} ms", lines[1])

    def test_table_fits_a_terminal(self) -> None:
        """Two axes, names of ten characters, and all the terms."""
        for flags in (
            "--gpu h100-sxm,h200-sxm --ngpu 8 --seq 999999999:1000000001",
            "--gpu h100-sxm --model llama-3.1-8b,qwen3-32b --ngpu 1,2",
            "--ngpu 1:1000:x10 --split seq,head --fp16",
            "--gpu mi300x,h20 --seq 100,1000",
        ):
            out = run(*flags.split()).out
            rows = [line for line in out.splitlines() if "--split" not in line]
            with self.subTest(flags):
                self.assertLessEqual(max(map(len, rows)), 80)
        self.assertNotIn("sync", run("--seq", "1,2").out)
        self.assertNotIn("overhead", run("--seq", "1,2").out)
        self.assertIn("     step limit", run("--gpu", "h20", "--model", "qwen2-72b,qwen3-8b").out)

    def test_heading_tells_the_truth(self) -> None:
        for flags, expected, absent in (
            ("--dtype bf16,fp8 --gpu h100-sxm", "kv-dtype bf16/fp8", "split"),
            ("--gpu v100,h20", "dtype fp16/bf16", "link"),
            ("--gpu h100-pcie --ngpu 2,4", "link nvlink/pcie", "ngpu"),
            ("--gpu h100-sxm --model llama-3.1-8b --ngpu 6,8", "split seq/head, link", "ngpu"),
            ("--ngpu 2 --seq 8,9", "split seq, link pcie", "fp8"),
            ("--gpu h100-sxm,mi300x", "bounds: MI300X lacks constants", "estimates"),
            ("--gpu h100-sxm,l40s --gen 0", "prefill, ", "bounds"),
            ("--gpu h100-sxm --set GPU.memory=80 --seq 1,2", "GPU.memory 80, estimates", "bounds"),
            (f"--gpu mi300x --seq 1,2 {MI300X_KERNELS}", "estimates", "bounds"),
            (f"--gpu mi300x --ngpu 1,4 {MI300X_KERNELS}", "bounds: MI300X lacks constants", "estimates"),
            ("--gpu t4,h100-sxm --ngpu 2 --set GPU.nvlink_gpus=4", "estimates", "bounds"),
        ):
            out = run(*flags.split(), "--format", "table").out.replace("\n", " ")
            heading = out.split("  ")[0]
            with self.subTest(flags):
                self.assertIn(expected, heading)
                self.assertNotIn(absent, heading)

    def test_bounds_have_no_overhead_and_stand_by_no_estimate(self) -> None:
        for flags in (f"--gpu mi300x --ngpu 1,4 {MI300X_KERNELS}", "--gpu mi300x --set Model.n_kv_head=7,8"):
            rows = self.rows(*flags.split())
            with self.subTest(flags):
                self.assertEqual({row["basis"] for row in rows} - {""}, {"bound"})
                self.assertNotIn("overhead", run(*flags.split()).out)

    def test_what_is_fused_is_true_or_false(self) -> None:
        out = run(*"--gpu h100-sxm --fused yes,no".split()).out
        self.assertEqual(re.findall("^ *(True|False) ", out, re.MULTILINE), ["True", "False"])

    def test_a_link_that_one_does_not_have_keeps_no_other_from_its_estimate(self) -> None:
        flags = "--gpu h100-sxm,l40s --link pcie,nvlink --ngpu 8".split()
        rows = self.rows(*flags)
        self.assertEqual([row["basis"] for row in rows], ["estimate"] * 3 + [""])
        self.assertIn("estimates", run(*flags, "--format", "table").out)

    def test_generation_and_prefill_side_by_side(self) -> None:
        rows = table_rows(self.answer("--gen", "True,False", "--fused", "--seq", "64"))
        self.assertEqual([row[0] for row in rows], ["decode", "prefill"])

    def test_refused_rows_are_all_there(self) -> None:
        errors = [row["error"] for row in self.rows("--dtype", "fp4,fp8,tf32")]
        self.assertEqual([error.split(":")[0] for error in errors],
                         ["--dtype fp4", "--dtype fp8", "--dtype tf32"])  # fmt: skip
        table = run(*"--split head,seq --ngpu 3,5 --model llama-3.1-8b --fp16".split()).out
        self.assertLessEqual(max(map(len, table.splitlines())), 80)
        self.assertIn("--split seq takes any number", " ".join(table.split()))

    def test_like_is_compared_with_like(self) -> None:
        """An estimate beside a bound is no comparison: all are bounds."""
        flags = "--gpu h100-sxm,mi300x,b200".split()
        for view in ("csv", "json"):
            out = run(*flags, "--format", view).out
            self.assertEqual(out.count("estimate"), 0)
        rows = self.rows(*flags)
        self.assertEqual({row["basis"] for row in rows}, {"bound"})
        self.assertEqual({row["total_s"] == row["bound_s"] for row in rows}, {True})
        self.assertIn("bounds", run(*flags, "--format", "svg").out)
        for seq in range(1000, 1100):  # three kinds of layers: sums of one order
            kinds = [ab.Layers("full", n, 8, k, 64, 64) for n, k in ((3, 8), (5, 4), (7, 1))]
            net = ab.Model("m", 15, tuple(kinds), None, None, {}, "")
            work = ab.Workload(1, seq, 3, 1, "decode", "bf16", "bf16", "bf16", True, "head", "pcie")
            case = ab.analyse(ab.find_gpu("mi300x"), net, work)
            self.assertEqual(case.terms.total_s, case.bound_s)
        alone = run(*"--gpu h100-sxm,b200 --format csv".split()).out
        self.assertEqual(alone.count(",estimate,"), 2)
        listed = self.answer("--list-gpus").splitlines()
        known = {line.split()[0] for line in listed if re.search(" Hopper | Blackwell", line)}
        self.assertIn("H100-SXM", known)
        self.assertNotIn("MI300X", known)
        self.assertIn("with an architecture are estimates", self.answer("--list-gpus"))

    def test_csv_and_json_have_the_same_columns(self) -> None:
        """One header, whatever is asked, and in each row what the JSON object says first."""
        for model, flags in (
            (GPT_OSS, "--fused --fp16 --seq 9,300 --ngpu 1,2 --kv-dtype fp8,fp16"),
            (GPT_OSS, "--fp16 --seq 9,300 --split seq,head,batch --ngpu 2 --batch 3"),
            (DEEPSEEK_671B, "--fused --dtype fp8 --query 1,2,300 --seq 299 --ngpu 1,3 --split head"),
            (DEEPSEEK_671B, "--seq 300000,300001 --gen false"),
        ):
            config = self.written(json.dumps({"GPU": NO_OVERHEAD, "Model": model}))
            argv = ["--config", config, *flags.split()]
            rows = list(csv.reader(io.StringIO(run(*argv, "--format", "csv").out, newline="")))
            lines = run(*argv, "--format", "json").out.splitlines()
            self.assertEqual(rows.pop(0), HEADER)
            self.assertEqual(len(rows), len(lines))
            for row, line in zip(rows, lines):
                found = json.loads(line)
                names = list(found)
                with self.subTest(flags=flags):
                    self.assertEqual(found["schema"], 2)
                    self.assertEqual(names[1 : len(HEADER) + 1], HEADER)
                    cells = [found[name] for name in HEADER]
                    self.assertEqual(row, ["" if c is None else json.dumps(c).strip('"') for c in cells])
                    more = ["half_seq", "layers", "would_help", "inputs"]
                    self.assertEqual(names[len(HEADER) + 1 :], more if found["error"] is None else [])
                    if found["error"]:
                        self.assertEqual({*cells[HEADER.index("error") + 1 :]}, {None})

    def test_a_row_is_its_case_alone(self) -> None:
        """Whatever other lengths, batches, models or GPUs stand beside it."""
        flags = "--dtype bf16 --fused --format csv"
        axes = {
            "--gpu": ["b200-sxm", "h100-sxm"],
            "--model": ["deepseek-v3", "gpt-oss-20b"],
            "--ngpu": ["8", "1"],
            "--seq": ["131072", "1000", "999"],
            "--batch": ["64", "1"],
        }
        for gen in ("--gen True", "--gen False", "--query 9"):
            argv = [*f"{flags} {gen}".split(), *(p for f, v in axes.items() for p in (f, ",".join(v)))]
            rows = run(*argv).out.splitlines()[1:]
            self.assertEqual(len(rows), 48)
            for case, row in zip(itertools.product(*axes.values()), rows):
                single = [part for pair in zip(axes, case) for part in pair]
                alone = run(*f"{flags} {gen}".split(), *single).out.splitlines()[1]
                self.assertEqual(alone, row)

    def test_csv_is_strict(self) -> None:
        """RFC 4180 but for newlines: as many cells in each line, quotes where they are needed."""
        config = self.config({"model": 'Big, "quoted" GPU'})
        out = self.answer("--config", config, "--seq", "1:5", "--query", "1,3", "--format", "csv")
        lines = out.split("\n")
        self.assertEqual(lines.pop(), "")
        self.assertNotIn("\r", out)
        rows = list(csv.reader(io.StringIO(out, newline=""), strict=True))
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})
        self.assertEqual({row[0] for row in rows[1:]}, {'Big, "quoted" GPU'})
        self.assertTrue(lines[1].startswith('"Big, ""quoted"" GPU",'))

    def test_json_of_several_is_an_object_a_line(self) -> None:
        lines = self.answer("--seq", "1,2,3", "--format", "json").splitlines()
        self.assertEqual([json.loads(line)["seq"] for line in lines], [1, 2, 3])
        one = self.answer("--seq", "2", "--format", "json")
        self.assertGreater(len(one.splitlines()), 50)
        self.assertEqual(json.loads(one), json.loads(lines[1]))


class Picture(ScriptTest):
    def drawn(self, *flags: str) -> ElementTree.Element:
        result = run(*flags, "--format", "svg")
        self.assertEqual(result.code, 0, result.err)
        self.assertTrue(result.out.isascii())
        return ElementTree.fromstring(result.out)

    def texts(self, root: ElementTree.Element) -> list[str]:
        return [each.text or "" for each in root.iter(f"{SVG}text")]

    def markers(self, root: ElementTree.Element) -> list[tuple[float, float, str, str]]:
        """Centres, colours and tooltips of the markers left of the legend."""
        found = []
        for each in root.iter(f"{SVG}polygon"):
            pairs = [tuple(map(float, p.split(","))) for p in (each.get("points") or "").split()]
            xs, ys = zip(*pairs)
            x, y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
            if x < 740:
                title = each.find(f"{SVG}title")
                assert title is not None
                found.append((x, y, each.get("stroke") or "", title.text or ""))
        return found

    def scale(self, root: ElementTree.Element, axis: str, top: float) -> tuple[float, float]:
        """Pixels of value 1 and of a factor of 10, from two ticks of a panel's axis."""
        anchor = "middle" if axis == "x" else "end"
        found = []
        for each in root.iter(f"{SVG}text"):
            if each.get("text-anchor") == anchor and float(each.get("y") or 0) > top:
                match = re.fullmatch(r"([.\d]+) ?([fpnumKMGTPE]?)(FLOP/s|s)?", each.text or "")
                if match:
                    value = float(match[1]) * PREFIXES[match[2]]
                    at = float(each.get(axis) or 0) - (4 if axis == "y" else 0)
                    found.append((math_log10(value), at))
        (first, at), (last, end) = found[0], found[2]
        tenfold = (end - at) / (last - first)
        return at - first * tenfold, tenfold

    def test_one_point_stands_where_its_axes_say(self) -> None:
        root = self.drawn()
        case = json.loads(run("--format", "json").out)
        ((x, y, _, title),) = self.markers(root)
        one, tenfold = self.scale(root, "x", 0)
        self.assertAlmostEqual(x, one + tenfold * math_log10(case["intensity_flop_per_byte"]), delta=0.3)
        one, tenfold = self.scale(root, "y", 0)
        rate = case["gpu_flops"] / case["total_s"]
        self.assertAlmostEqual(y, one + tenfold * math_log10(rate), delta=0.6)
        case_parts = (
            "gpu A100, model config, ngpu 1, seq 1024, batch 1, query 1, phase decode, dtype fp32, kv-dtype fp32"
        )
        for part in (case_parts, "weight-dtype fp32, fused False, split seq", "memory limits", "bound 5.07 ms"):
            self.assertIn(part, title)
        texts = self.texts(root)
        self.assertIn("A100 fp32: 19.5 TFLOP/s, 1.94 TB/s, ridge 10.1", texts)
        self.assertIn("bounds", texts[0] + texts[1])

    def test_times_over_what_sweeps(self) -> None:
        root = self.drawn("--gpu", "h100-sxm", "--fused", "--seq", "1K:64K:x4", "--batch", "2")
        times = [float(row["total_s"]) for row in self.rows(*"--gpu h100-sxm --seq 1K:64K:x4 --batch 2".split())]
        lower = [m for m in self.markers(root) if m[1] > 545 and m[2] == "#000000"]
        self.assertEqual(len(lower), 4)
        one, tenfold = self.scale(root, "y", 540)
        for (_, y, _, _), seconds in zip(lower, times):
            self.assertAlmostEqual(y, one + tenfold * math_log10(seconds), delta=0.6)
        colours = {m[2] for m in self.markers(root) if m[1] > 545}
        self.assertEqual(colours, {"#e69f00", "#0072b2", "#cc79a7", "#000000"})  # one GPU: no sync
        self.assertIn("seq", self.texts(root))
        self.assertLessEqual({"compute", "memory", "overhead", "total"}, set(self.texts(root)))

    def test_a_line_a_series_below(self) -> None:
        for flags, two in (
            ("--seq 1K:64K:x2", True),
            ("--batch 1,2", True),
            ("--gpu h100-sxm,b200 --seq 1K,2K", True),
            ("--gpu h100-sxm --set GPU.bandwidth=1000:4000:1000", True),
            ("--dtype fp16,fp32", False),
            ("", False),
        ):
            root = self.drawn(*flags.split())
            with self.subTest(flags):
                self.assertEqual("attention of all layers in one step" in self.texts(root), two)
                self.assertEqual(float(root.get("height") or 0) > 800, two)

    def test_roofs_have_the_colour_of_their_points(self) -> None:
        root = self.drawn("--gpu", "h100-sxm,b200,mi300x,l40s", "--dtype", "fp16", "--batch", "1:50")
        upper = [m for m in self.markers(root) if m[1] < 500]
        self.assertEqual(len(upper), 200)
        roofs = [e for e in root.iter(f"{SVG}polyline") if e.get("stroke-width") == "2.5"]
        by_gpu = {m[3].split(",")[0]: m[2] for m in upper}
        self.assertEqual(len(set(by_gpu.values())), 4)
        self.assertEqual({roof.get("stroke") for roof in roofs}, set(by_gpu.values()))
        self.assertLessEqual({"H100-SXM", "B200-SXM", "MI300X", "L40S"}, set(self.texts(root)))

    def test_points_lie_on_or_under_the_roof(self) -> None:
        """In pixels, from the picture alone: no marker above the roof's polyline."""
        root = self.drawn("--gpu", "h100-sxm", "--gen", "0", "--seq", "16:4096:x2")
        roof = next(e for e in root.iter(f"{SVG}polyline") if e.get("stroke-width") == "2.5")
        corners = [tuple(map(float, p.split(","))) for p in (roof.get("points") or "").split()]
        (x0, y0), (x1, y1), _ = corners
        upper = [m for m in self.markers(root) if m[1] < 500]
        self.assertEqual(len(upper), 9)
        for x, y, *_ in upper:
            limit = y1 if x >= x1 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
            self.assertGreaterEqual(y, limit - 0.2)

    def test_nothing_is_cut_off(self) -> None:
        """With the longest names, twelve series and more: within the page, legends apart."""
        for flags in (
            "",
            "--gpu rtx-pro-6000-workstation --model nemotron-3-nano-30b-a3b --seq 1,2",
            "--gpu all --dtype fp16 --batch 1,2",
            "--model all --gpu rtx-pro-6000-workstation,b200 --seq 1K,2K",
            "--gpu h100-sxm --batch 1:12 --seq 1K,64K",
        ):
            root = self.drawn(*flags.split())
            width, height = (float(root.get(name) or 0) for name in ("width", "height"))
            legend = []
            with self.subTest(flags):
                for each in root.iter(f"{SVG}text"):
                    x, y, text = (float(each.get("x") or 0), float(each.get("y") or 0), each.text or "")
                    if not each.get("text-anchor"):
                        self.assertLess(x + 6.2 * len(text), width, text)
                    self.assertLess(y, height)
                    if x > 740:
                        legend.append(y)
                apart = [b - a for a, b in zip(sorted(legend), sorted(legend)[1:])]
                self.assertGreaterEqual(min(apart, default=99), 17)
        texts = self.texts(self.drawn("--gpu", "all", "--dtype", "fp16", "--batch", "1,2"))
        self.assertTrue([text for text in texts if re.fullmatch(r"and \d+ more", text)])

    def test_a_panel_is_drawn_to_its_axes(self) -> None:
        """Two panels, one below the other, each tick's line where its label is, legends in rows beside."""
        root = self.drawn("--gpu", "h100-sxm", "--seq", "1K:13K:1K", "--batch", "1,4")
        texts = [(float(t.get("x") or 0), float(t.get("y") or 0), t.get("text-anchor"), t.text or "")
                 for t in root.iter(f"{SVG}text")]  # fmt: skip
        lines: dict[str, list[list[tuple[float, float]]]] = {"axis": [], "grid": []}
        for each in root.iter(f"{SVG}polyline"):
            pairs = [p.split(",") for p in (each.get("points") or "").split()]
            lines.setdefault(each.get("class") or "", []).append([(float(x), float(y)) for x, y in pairs])
        (upper, lower), page = lines["axis"], float(root.get("height") or 0)
        titles = [y for _, y, anchor, _ in texts if not anchor]
        for (x, top), (left, bottom), (right, floor) in (upper, lower):
            self.assertEqual((x, left, right, floor), (90, 90, 730, bottom))
            self.assertIn(top - 10, titles)
        self.assertEqual(upper[1][1] - upper[0][1], 400)
        self.assertEqual(lower[1][1] - lower[0][1], 310)
        self.assertTrue(30 < lower[0][1] - upper[1][1] < 90)
        self.assertTrue(36 < page - lower[1][1] < 90)
        for (x0, y0), (x1, y1) in lines["grid"]:
            label = (x0, max(y0, y1) + 16, "middle") if x0 == x1 else (x0 - 6, round(y0 + 4, 1), "end")
            self.assertEqual([text[:3] for text in texts].count(label), 1, label)
        heading = [y for x, y, *_ in texts if x == 20]
        self.assertTrue(24 <= upper[0][1] - 10 - heading[-1] <= 36, heading)
        looks = set()
        for each in root.iter(f"{SVG}polygon"):
            xs = [float(pair.split(",")[0]) for pair in each.get("points", "").split()]
            looks.add((each.get("stroke"), len(xs), xs[0] - xs[-1] > 2))  # squares begin aside, diamonds on top
        self.assertEqual(len(looks), 13)
        legend = sorted((y, text) for x, y, _, text in texts if x == 778)
        self.assertEqual([text for _, text in legend if "more" in text], ["and 1 more"] * 2)
        twelve = self.texts(self.drawn("--gpu", "h100-sxm", "--seq", "1K:12K:1K", "--batch", "1,4"))
        self.assertFalse([text for text in twelve if "more" in text])

    def test_markers_are_small_and_stand_in_the_legend_beside_their_names(self) -> None:
        root = self.drawn("--gpu", "h100-sxm,b200,l40s,a100-80gb-sxm,mi300x", "--dtype", "fp16")
        named = {round(float(t.get("y") or 0) - 4, 1) for t in root.iter(f"{SVG}text") if t.get("x") == "778.0"}
        beside = 0
        for each in root.iter(f"{SVG}polygon"):
            pairs = [p.split(",") for p in (each.get("points") or "").split()]
            xs, ys = [float(x) for x, _ in pairs], [float(y) for _, y in pairs]
            self.assertTrue(8 <= max(xs) - min(xs) <= 10.1 and 8 <= max(ys) - min(ys) <= 12.1)
            middle = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
            if middle[0] > 740:
                beside += 1
                self.assertAlmostEqual(middle[0], 761, delta=0.2)
                self.assertLess(min(abs(middle[1] - y) for y in named), 0.6)
        self.assertEqual(beside, 5)

    def test_ticks_are_round_and_several(self) -> None:
        for low, high in ((1, 1e6), (100, 130), (1e-9, 2e-9), (0.5, 40), (3, 1e17)):
            found = ab.ticks(low, high)
            with self.subTest(low=low, high=high):
                self.assertTrue(3 <= len(found) <= 12)
                self.assertTrue(all(low <= value <= high for value in found))
                self.assertTrue(all(float(f"{value:.3g}") == value for value in found))

    def test_series_are_told_apart_and_what_does_not_fit_is_hollow(self) -> None:
        flags = "--gpu h100-sxm,b200,l40s --model llama-3.1-8b,qwen3-8b --seq 1K,64K --batch 1:64:x4"
        root = self.drawn(*flags.split())
        looks: dict[str, set[tuple[str, int]]] = {}
        for each in root.iter(f"{SVG}polygon"):
            title = each.find(f"{SVG}title")
            text = (title.text if title is not None else "") or ""
            hollow = each.get("fill") == "#fff"
            self.assertEqual(hollow, text.endswith("does not fit into memory"))
            if ": estimate" in text:
                told = re.findall(r"gpu (\S+), model (\S+), .* seq (\d+)", text)[0]
                corners = len((each.get("points") or "").split())
                looks.setdefault(" ".join(told), set()).add((each.get("stroke") or "", corners))
        self.assertEqual(len(looks), 12)
        texts = self.texts(root)
        self.assertIn("H100-SXM llama-3.1-8b seq 1024", texts)
        unfit = [e for e in self.markers(root) if e[3].endswith("memory") and e[1] < 500]
        self.assertIn(f"{len(unfit)} of 48 do not fit (hollow)", " ".join(texts))
        refused = self.texts(self.drawn("--gpu", "h20,v100", "--dtype", "bf16"))
        self.assertIn("1 of 2 cannot be", " ".join(refused))

    def test_names_are_escaped(self) -> None:
        config = self.config({"model": "<&\"'>"})
        texts = self.texts(self.drawn("--config", config))
        self.assertIn("<&\"'> fp32: 19.5 TFLOP/s, 1.94 TB/s, ridge 10.1", texts)

    def test_self_contained(self) -> None:
        out = run("--seq", "1,2", "--format", "svg").out
        self.assertNotRegex(out.replace("http://www.w3.org/2000/svg", ""), "http|href|script|import|url")


def math_log10(value: float) -> float:
    """By halving, not by the library the script uses."""
    power, step = 0.0, 16.0
    while step > 1e-9:
        for sign in (1, -1):
            if (value * 10 ** (-sign * step) - 1) * sign >= 0:
                value, power = value * 10 ** (-sign * step), power + sign * step
        step /= 2
    return power


class Streams(ScriptTest):
    def test_endless_sweeps_stop_with_the_pipe(self) -> None:
        for view in ("table", "csv", "json"):
            command = [sys.executable, str(SCRIPT), "--seq", f"1:{10**18}", "--format", view]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
                assert child.stdout is not None and child.stderr is not None
                self.assertTrue(child.stdout.readline())
                child.stdout.close()
                self.assertEqual(child.stderr.read(), b"")
                self.assertEqual(child.wait(timeout=60), 0)

    def test_rows_are_not_kept(self) -> None:
        """The grid is lazy: a million cases of a sweep cost no memory that grows with them."""
        axes = [range(1, 10**9), range(1, 10**9)]
        self.assertEqual(list(itertools.islice(ab.grid(axes), 2)), [(1, 1), (1, 2)])

    @unittest.skipUnless(hasattr(os, "openpty"), "no terminals here")
    def test_progress_only_on_a_terminal(self) -> None:
        flags = ("--seq", "1:20000", "--fused", "--format", "csv")
        ours, theirs = os.openpty()
        with open(os.devnull, "w") as nowhere:
            process(*flags, stdout=nowhere, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # how Linux ends a terminal nobody writes to any more
            pass
        os.close(ours)
        self.assertIn(b"\r10000 of 20000 cases", shown)
        with open(os.devnull, "w") as nowhere:
            self.assertNotIn("of 20000 cases\r", process(*flags, stdout=nowhere).stderr)

    def test_progress_in_this_process(self) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        shown = Terminal()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(shown):
            ab.main(["--seq", "1:10001", "--fused", "--format", "csv"])
        self.assertTrue(shown.getvalue().startswith("\r0 of 10001 cases\r10000 of 10001"))
        self.assertIn(f"\r{'':60}\r", shown.getvalue())

    def test_short_sweeps_show_no_progress(self) -> None:
        self.assertEqual(run("--seq", "1:50").err, "")
