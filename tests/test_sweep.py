"""Sweeps: lists and ranges, the grid, and the views of many cases."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import pty
import re
import subprocess
import sys
import unittest
from typing import Any
from xml.etree import ElementTree

import attn_bottleneck as ab
from tests.support import SCRIPT, ScriptTest, process, run
from tests.test_model import DEEPSEEK_671B, GPT_OSS, NO_OVERHEAD

MISFITS = "attn_bottleneck.py: warning: "
SVG = "{http://www.w3.org/2000/svg}"


def table_rows(text: str) -> list[list[str]]:
    """The rows of a table, without the line of constants and the head."""
    return [line.split() for line in text.splitlines()[3:]]


HEADER = """
gpu model ngpu seq batch query phase dtype kv_dtype weight_dtype fused split link error basis limit
compute_s memory_s sync_s overhead_s total_s bound_s rest_s step_s attention_share new_tokens
attention_tokens_per_s step_tokens_per_s flops bytes kv_read_bytes exchange_bytes reduce_bytes
gpu_flops gpu_bytes intensity_flop_per_byte ridge_flop_per_byte kv_bytes_per_token
kv_bytes_per_token_beyond_windows cache_bytes gpu_cache_bytes gpu_weight_bytes fits max_batch max_seq
""".split()


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
                runs = ab.counts_flag(text)
                self.assertEqual([value for each in runs for value in each], expected)

    def test_bad_lists_and_ranges(self) -> None:
        count = "must be a whole number from 1 to 10^18"
        for flags, expected in (
            ("--seq 1,,2", count),
            ("--seq 1,", count),
            ("--seq 8:1", '"8:1" must be FIRST:LAST'),
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
            ("--gpu h100-sxm,", "--gpu and --model take names, not nothing"),
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
            "--split": ["seq", "head"],
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
        gpus = table_rows(run("--gpu", "all", "--dtype", "fp16").out)
        self.assertEqual(len(gpus), 50)
        models = run("--model", "all", "--fp16", "--format", "csv").out
        names = [row["model"] for row in csv.DictReader(io.StringIO(models))]
        self.assertEqual(names, list(ab.catalogue(ab.MODELS)))

    def test_a_combination_that_cannot_be_is_a_row(self) -> None:
        out = self.answer("--gpu", "h100-sxm,a100", "--dtype", "fp8,fp16")
        rows = out.splitlines()[3:]
        self.assertEqual(len(rows), 4)
        self.assertTrue(
            rows[2].endswith("--dtype fp8: A100 has no figure for it (it has fp32, fp16)")
        )
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
        self.assertEqual(picture.count('r="4.5"'), 1)

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
        flags = "--gpu h100-nvl --dtype bf16 --fused --seq 1K:64K:x8 --batch 1,512"
        out = self.answer(*flags.split(), warning=f"{MISFITS}4 of 6 cases do not fit into memory\n")
        lines = out.splitlines()
        self.assertIn("gpu H100-NVL, model config, ngpu 1, dtype bf16", lines[0])
        self.assertEqual(lines[2].split()[:2], ["seq", "batch"])
        self.assertEqual(
            [row[:2] for row in table_rows(out)][2:4], [["8192", "1"], ["8192", "512"]]
        )
        self.assertEqual(
            [line.endswith("! does not fit") for line in lines[3:]],
            [False, True, False, True, True, True],
        )
        self.assertEqual(len({len(line[: line.index("memory")]) for line in lines[3:]}), 1)
        # 2 x 96 heads x 128 x 1,023 rows x 2 B + Q and A, 96 layers, over 3,938 GB/s.
        memory = 96 * (2 * 96 * 128 * 1023 * 2 + 2 * 96 * 128 * 2) / 3938e9
        self.assertIn(f"{memory / 0.9241 * 1e3:.3g} ms", lines[3])
        self.assertLessEqual(max(map(len, lines[2:])), 90)

    def test_table_columns_are_wide_enough(self) -> None:
        out = self.answer("--ngpu", "1:1000:x10", "--split", "seq,head", "--fp16")
        ends = {line.rindex(" ") for line in out.splitlines()[3:] if line.endswith("sync")}
        self.assertEqual(len(ends), 1)

    def test_csv_and_json_have_the_same_columns(self) -> None:
        """One header, whatever is asked, and in each row what the JSON object says first."""
        for model, flags in (
            (GPT_OSS, "--fused --fp16 --seq 9,300 --ngpu 1,2 --kv-dtype fp8,fp16"),
            (GPT_OSS, "--fp16 --seq 9,300 --split seq,head,batch --ngpu 2 --batch 3"),
            (
                DEEPSEEK_671B,
                "--fused --dtype fp8 --query 1,2,300 --seq 299 --ngpu 1,3 --split head",
            ),
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
                    known = len(HEADER) if found["error"] is None else HEADER.index("error") + 1
                    self.assertEqual(names[1 : known + 1], HEADER[:known])
                    cells = [found[name] for name in HEADER[:known]]
                    expected = ["" if c is None else json.dumps(c).strip('"') for c in cells]
                    self.assertEqual(row, expected + [""] * (len(HEADER) - known))
                    more = ["half_seq", "layers", "would_help", "inputs"]
                    self.assertEqual(names[known + 1 :], more if found["error"] is None else [])

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
            argv = [
                *f"{flags} {gen}".split(),
                *(p for f, v in axes.items() for p in (f, ",".join(v))),
            ]
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

    def test_one_point(self) -> None:
        root = self.drawn()
        texts = self.texts(root)
        self.assertTrue(texts[0].startswith("decode, 1 x 1 new token, 1,024 keys; 96 full layers"))
        self.assertIn("A100 fp32: 19.5 TFLOP/s", texts)
        self.assertIn("1.94 TB/s, ridge 10.1 FLOP/byte", texts)  # 19.5e12 / 1.935e12
        self.assertIn("memory", texts)
        points = [each for each in root.iter(f"{SVG}circle") if each.get("r") == "4.5"]
        self.assertEqual(len(points), 1)
        # 0.4896 FLOP/byte between 0.1 and 100 on 640 pixels from 90.
        case = json.loads(run("--format", "json").out)
        x = 90 + 640 * (math_log10(case["intensity_flop_per_byte"]) + 1) / 3
        self.assertAlmostEqual(float(points[0].get("cx") or 0), x, delta=0.06)
        self.assertEqual(root.get("height"), "560")

    def test_a_number_that_sweeps_has_a_panel_of_times(self) -> None:
        for flags, two in (
            (("--seq", "1K:64K:x2"), True),
            (("--batch", "1,2"), True),
            (("--seq", "1K,2K", "--batch", "1,2"), False),
            (("--dtype", "fp16,fp32"), False),
        ):
            root = self.drawn("--fused", *flags)
            with self.subTest(flags):
                self.assertEqual(root.get("height") == "960", two)
                texts = self.texts(root)
                self.assertEqual("attention of all layers in one step" in texts, two)
                if two:
                    self.assertLessEqual({"compute", "memory", "total"}, set(texts))
                    self.assertNotIn("sync", texts)

    def test_many_points_and_roofs(self) -> None:
        root = self.drawn(
            "--gpu", "h100-sxm,b200,mi300x,l40s", "--fp16", "--batch", "1:50", "--fused"
        )
        marks = len([e for e in root.iter(f"{SVG}circle") if e.get("r") == "4.5"])
        marks += len(list(root.iter(f"{SVG}polygon")))
        self.assertEqual(marks, 200 + 4)  # and the legend
        roofs = [e for e in root.iter(f"{SVG}polyline") if e.get("class") == "roof"]
        self.assertEqual(len({roof.get("stroke") for roof in roofs}), 4)
        texts = self.texts(root)
        for name in ("H100-SXM", "B200-SXM", "MI300X", "L40S"):
            self.assertIn(name, texts)
        self.assertIn("points: batch", texts)
        self.assertIn("1..50", texts)
        root = self.drawn("--gpu", "all", "--fp16", "--batch", "1,2")
        self.assertTrue([text for text in self.texts(root) if re.fullmatch(r"and \d+ more", text)])

    def test_points_lie_on_or_under_the_roof(self) -> None:
        """In pixels, from the picture alone: no marker above the roof's polyline."""
        root = self.drawn("--gpu", "h100-sxm", "--fp16", "--gen", "0", "--seq", "16:4096:x2")
        roof = next(e for e in root.iter(f"{SVG}polyline") if e.get("class") == "roof")
        corners = [tuple(map(float, p.split(","))) for p in (roof.get("points") or "").split()]
        (x0, y0), (x1, y1), _ = corners
        marks = [e for e in root.iter(f"{SVG}circle") if e.get("r") == "4.5"]
        above = [e for e in marks if float(e.get("cy") or 0) < 560]
        for mark in above:
            x, y = float(mark.get("cx") or 0), float(mark.get("cy") or 0)
            limit = y1 if x >= x1 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
            self.assertGreaterEqual(y, limit - 0.2)

    def test_names_are_escaped(self) -> None:
        config = self.config({"model": "<&\"'>"})
        texts = self.texts(self.drawn("--config", config))
        self.assertIn("<&\"'> fp32: 19.5 TFLOP/s", texts)

    def test_self_contained(self) -> None:
        out = run("--seq", "1,2", "--format", "svg").out
        self.assertNotRegex(
            out.replace("http://www.w3.org/2000/svg", ""), "http|href|script|import|url"
        )


def math_log10(value: float) -> float:
    """By halving, not by the library the script uses."""
    power, step = 0.0, 8.0
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
        axes = [[range(1, 10**9)], [range(1, 10**9)]]
        self.assertEqual(list(itertools.islice(ab.grid(axes), 2)), [(1, 1), (1, 2)])

    @unittest.skipUnless(hasattr(pty, "openpty"), "no terminals here")
    def test_progress_only_on_a_terminal(self) -> None:
        flags = ("--seq", "1:20000", "--fused", "--format", "csv")
        ours, theirs = pty.openpty()
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
        self.assertIn(b"10,000 of 20,000 cases", shown)
        with open(os.devnull, "w") as nowhere:
            self.assertNotIn("of 20,000 cases\r", process(*flags, stdout=nowhere).stderr)

    def test_progress_in_this_process(self) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        shown = Terminal()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(shown):
            ab.main(["--seq", "1:10001", "--fused", "--format", "csv"])
        self.assertTrue(shown.getvalue().startswith("\r0 of 10,001 cases\r10,000 of 10,001"))
        self.assertIn(f"\r{'':60}\r", shown.getvalue())

    def test_short_sweeps_show_no_progress(self) -> None:
        self.assertEqual(run("--seq", "1:50").err, "")
