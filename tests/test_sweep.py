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

import attn_bottleneck as ab
from tests.support import (
    DEEPSEEK_671B,
    GPT_OSS,
    NO_OVERHEAD,
    SCRIPT,
    ScriptTest,
    full,
    model_of,
    process,
    run,
)

MISFITS = "attn_bottleneck.py: warning: "


def table_rows(text: str) -> list[list[str]]:
    """The rows of a table, without its heading and its head."""
    return [line.split() for line in text.split("\n\n")[1].splitlines()[1:]]


HEADER = """
gpu model ngpu seq batch query phase dtype kv_dtype weight_dtype fused split link error basis limit
compute_s memory_s sync_s overhead_s total_s bound_s rest_s step_s attention_share new_tokens
attention_tokens_per_s step_tokens_per_s flops bytes kv_read_bytes exchange_bytes reduce_bytes
gpu_flops gpu_bytes intensity_flop_per_byte ridge_flop_per_byte kv_bytes_per_token
kv_bytes_per_token_beyond_windows cache_bytes state_bytes gpu_cache_bytes gpu_weight_bytes
fits max_batch max_seq
""".split()


# Constants of kernels, for a GPU that has none: those of its links are still unknown.
MI300X_KERNELS = (
    "--set GPU.multiprocessors=9 --set GPU.launch_us=9 --set GPU.wave_us=9 --set GPU.tile_us=9"
    " --set GPU.exponentials=9 --set GPU.compute_efficiency=0.9"
    " --set GPU.bandwidth_efficiency=0.9 --set GPU.latent_bandwidth_efficiency=0.9"
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
                self.assertEqual(list(ab.values_flag(text)), expected)

    def test_bad_lists_and_ranges(self) -> None:
        count = "must be a whole number from 1 to 10^18"
        for flags, expected in (
            ("--seq 1,,2", count),
            ("--seq 1,", count),
            ("--seq 8:1", '"8:1" must be FIRST:LAST, from small to large'),
            ("--seq 1,1:1000000", "--seq lists at most 1000000 values, beside one range in steps"),
            ("--format svg --seq 1,1:999999", "--format svg shows at most 2000 cases, not 1000000"),
            ("--seq 1:8:0", count),
            ("--seq 1:8:x1", '"1:8:x1" must be FIRST:LAST'),
            ("--seq 1:8:x0", count),
            ("--set GPU.tile_us=0:8:x2", '"0:8:x2" must be FIRST:LAST'),
            ("--seq 1:8:x", count),
            ("--seq 1:8:1:1", "must be FIRST:LAST"),
            ("--seq 1:", count),
            ("--seq K", count),
            ("--seq 1G", count),
            ("--seq 1.5K", count),
            (f"--seq {10**18}K", count),
            (f"--seq {'9' * 5000}K", "(5003 characters)"),
            ("--dtype fp16,fp17", "(did you mean fp16?)"),
            ("--split seq,", "must be one of seq, head, batch, not"),
            ("--gpu h100-sxm,", '--gpu "" is not in the catalogue; --list-gpus'),
            ("--gpu h100-sxm,h2", "could be"),
            ("--format svg --seq 1:2001", "--format svg shows at most 2000 cases, not 2001"),
        ):
            with self.subTest(flags):
                self.assertIn(expected, self.refusal(*flags.split()))

    def test_grid_is_the_product_in_the_order_of_the_help(self) -> None:
        axes = {
            "gpu": ["A100", "H100-SXM"],
            "model": ["llama-2-7b", "gpt3-175b"],
            "ngpu": ["1", "3"],
            "seq": ["7", "9"],
            "batch": ["1", "2"],
            "query": ["1", "2"],
            "dtype": ["fp32", "fp16"],
            "kv_dtype": ["fp8", "fp16"],
            "fused": ["false", "true"],
            "split": ["seq", "batch"],
            "link": ["pcie"],
        }
        flags = {name: "--" + name.replace("_", "-") for name in axes}
        argv = []
        for name in reversed(axes):
            argv += [flags[name], ",".join(axes[name])]
        cases = [tuple(map(row.get, axes)) for row in self.rows(*argv)]
        self.assertEqual(cases, list(itertools.product(*axes.values())))
        help_text = self.answer("-h")
        places = [help_text.index(f"\n  {flag} ") for flag in flags.values()]
        self.assertEqual(places, sorted(places))

    def test_all_is_the_catalogue(self) -> None:
        out = run("--gpu", "all", "--dtype", "fp16").out
        found = [row[0] for row in table_rows(out) if row[0] in ab.catalogue(ab.GPUS)]
        self.assertEqual(found, list(ab.catalogue(ab.GPUS)))
        models = run("--model", "all", "--gpu", "b200", "--format", "csv").out
        names = [row["model"] for row in csv.DictReader(io.StringIO(models))]
        self.assertEqual(names, [*ab.catalogue(ab.MODELS), *ab.published_models()])

    def test_config_is_a_name(self) -> None:
        config = self.config({"model": "Mine", "bf16": 100})
        flags = "--gpu config,h20 --model config,gpt3-175b --seq 9".split()
        out = self.answer("--config", config, *flags, warning=f"{MISFITS}2 of 4")
        names = [row[:2] for row in table_rows(out)]
        self.assertEqual(
            names[:4],
            [["Mine", "config"], ["Mine", "gpt3-175b"], ["H20", "config"], ["H20", "gpt3-175b"]],
        )
        self.assertIn("1 x Mine", self.answer("--config", config, "--gpu", "config"))

    def test_a_combination_that_cannot_be_is_a_row(self) -> None:
        out = self.answer("--gpu", "h100-sxm,a100", "--dtype", "fp8,fp16")
        rows = out.split("\n\n")[1].splitlines()[1:]
        self.assertEqual(len(rows), 4)
        reason = "--dtype fp8: A100 has no figure for it (it has fp32, fp16)"
        self.assertTrue(rows[2].endswith(reason))
        self.assertIn("memory", rows[3])
        errors = [row["error"] for row in self.rows("--query", "1:4", "--seq", "2")]
        self.assertEqual(errors[:2], ["", ""])
        self.assertEqual(errors[3], "--query 4 must be at most --seq 2")

    def test_a_combination_that_cannot_be_in_other_views(self) -> None:
        flags = ("--query", "1,4", "--seq", "2", "--format")
        lines = self.answer(*flags, "json").splitlines()
        refused = json.loads(lines[1])
        self.assertEqual(refused["error"], "--query 4 must be at most --seq 2")
        self.assertEqual((refused["gpu"], refused["query"]), ("A100", 4))
        for view in ("report", "summary"):
            last = self.answer(*flags, view).splitlines()[-1]
            self.assertEqual(last, "query 4: --query 4 must be at most --seq 2")
        self.assertEqual(self.answer(*flags, "svg").count("<polygon"), 1)

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
        first = self.answer("--seq", "9")
        second = self.answer("--seq", "10")
        several = self.answer("--seq", "9,10")
        self.assertEqual(first, self.answer("--seq", "9", "--format", "report"))
        self.assertEqual(several, self.answer("--seq", "9,10", "--format", "table"))
        self.assertEqual(self.answer("--seq", "9,10", "--format", "report"), first + second)

    def test_table(self) -> None:
        flags = "--gpu h100-nvl --seq 1K:64K:x8 --batch 1,512"
        warning = f"{MISFITS}4 of 6 cases do not fit into memory\n"
        out = self.answer(*flags.split(), warning=warning)
        heading, table, note = out.split("\n\n")
        self.assertEqual(
            heading.replace("\n", " "),
            "decode, gpu H100-NVL, model config, ngpu 1, dtype bf16, kv-dtype bf16,"
            " weight-dtype bf16, fused, estimates",
        )
        head, *rows = table.splitlines()
        self.assertEqual(
            head.split(),
            ["seq", "batch", "compute", "memory", "overhead", "total", "tokens/s", "limit"],
        )
        expected = [
            ("1024", "1", "fits"),
            ("1024", "512", "does not fit"),
            ("8192", "1", "fits"),
            ("8192", "512", "does not fit"),
            ("65536", "1", "does not fit"),
            ("65536", "512", "does not fit"),
        ]
        for row, (seq, batch, fit) in zip(rows, expected):
            self.assertEqual(row.split()[:2], [seq, batch])
            self.assertEqual("does not fit" if "!" in row else "fits", fit)
        self.assertEqual(len(rows), len(expected))
        self.assertEqual(note, "! does not fit into memory\n")
        # 2 x 96 heads x 128 x 1,023 rows x 2 B + Q and A, over 0.9 of 3,938 GB/s.
        layer_bytes = 2 * 96 * 128 * 1023 * 2 + 2 * 96 * 128 * 2
        memory = 96 * layer_bytes / (3938e9 * 0.9)
        self.assertIn(f"{memory * 1e3:.3g} ms", rows[0])

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

    def test_columns_stand_under_their_heads(self) -> None:
        out = self.answer("--gpu", "h100-sxm", "--gen", "True,False", "--seq", "8,9")
        head, *rows = out.split("\n\n")[1].splitlines()
        self.assertEqual(head[:13], "seq     gen c")
        columns = [row[:11] for row in rows]
        self.assertEqual(columns, ["  8  decode", "  8 prefill", "  9  decode", "  9 prefill"])

    def test_heading_tells_the_truth(self) -> None:
        for flags, expected, absent in (
            ("--dtype bf16,fp8 --gpu h100-sxm", "kv-dtype bf16/fp8", "split"),
            ("--gpu h100-sxm --query 4 --seq 8,9", "query 4, ", "decode"),
            ("--gpu h100-sxm --gen True,False --seq 8,9", "batch 1, ", "decode, "),
            (
                "--gpu h100-sxm --model llama-3.1-8b --ngpu 16 --set Model.n_head=24,40",
                "split seq, link",
                "head",
            ),
            ("--gpu v100 --set GPU.bf16=100,200", "dtype bf16, ", "fp16"),
            (
                "--gpu h100-sxm --set Model.n_head=7,8,7 --set Model.n_kv_head=2",
                "batch 1, fused",
                "kv-dtype",
            ),
            ("--gpu v100,h20", "dtype fp16/bf16", "link"),
            ("--gpu h100-pcie --ngpu 2,4", "link nvlink/pcie", "ngpu"),
            ("--gpu h100-sxm --model llama-3.1-8b --ngpu 6,8", "split seq/head, link", "ngpu"),
            ("--ngpu 2 --seq 8,9", "split seq, link pcie", "fp8"),
            ("--gpu h100-sxm,mi300x", "bounds: MI300X lacks constants", "estimates"),
            ("--gpu h100-sxm,l40s --gen 0", "prefill, ", "bounds"),
            ("--gpu h100-sxm --set GPU.memory=80 --seq 1,2", "GPU.memory 80, estimates", "bounds"),
            (f"--gpu mi300x --seq 1,2 {MI300X_KERNELS}", "estimates", "bounds"),
            (
                f"--gpu mi300x --ngpu 1,4 {MI300X_KERNELS}",
                "bounds: MI300X lacks constants",
                "estimates",
            ),
            ("--gpu t4,h100-sxm --ngpu 2 --set GPU.nvlink_gpus=4", "estimates", "bounds"),
        ):
            out = run(*flags.split(), "--format", "table").out.replace("\n", " ")
            heading = out.split("  ")[0]
            with self.subTest(flags):
                self.assertIn(expected, heading)
                self.assertNotIn(absent, heading)

    def test_bounds_have_no_overhead_and_stand_by_no_estimate(self) -> None:
        for flags in (
            f"--gpu mi300x --ngpu 1,4 {MI300X_KERNELS}",
            "--gpu mi300x --set Model.n_kv_head=7,8",
            # Which the config's lacks, and one GPU does not need.
            "--gpu h100-sxm,config --fp16 --link nvlink",
        ):
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
        errors = [row["error"].split(":")[0] for row in self.rows("--dtype", "fp4,fp8,tf32")]
        self.assertEqual(errors, ["--dtype fp4", "--dtype fp8", "--dtype tf32"])
        table = run(*"--split head,seq --ngpu 3,5 --model llama-3.1-8b --fp16".split()).out
        self.assertLessEqual(max(map(len, table.splitlines())), 80)
        self.assertIn("--split seq takes any number", " ".join(table.split()))

    def assert_filled(self, lines: list[str], width: int) -> None:
        """That lines are as wide as they may be: no word had room in the line before its line."""
        for line in lines:
            self.assertLessEqual(len(line), width, line)
        for line, after in zip(lines, lines[1:]):
            longer = f"{line} {after.split()[0]}"
            self.assertGreater(len(longer), width, line)

    def test_reasons_are_wrapped_beside_their_rows(self) -> None:
        """80 columns in all, 30 for the reason at least; the heading above in 80 too."""
        narrow = "--gpu h100-sxm --model llama-3.1-8b --ngpu 1,3"
        for power in range(5, 18):
            flags = f"{narrow} --batch 1,{10**power} --seq {10**power}"
            with self.subTest(flags):
                self.assert_wrapped(f"{flags} --split head", least=0)
        models = "nemotron-3-nano-30b-a3b,llama-3.1-8b"
        wide = f"--gpu h100-sxm,rtx-pro-6000-workstation --model {models} --dtype bf16,fp8"
        for digits in range(1, 10):
            flags = f"{wide} --kv-dtype bf16,fp8 --ngpu 1,{'3' * digits}"
            with self.subTest(flags):
                self.assert_wrapped(f"{flags} --split head", least=30)

    def assert_wrapped(self, flags: str, least: int) -> None:
        """That a table's heading and its reasons fill 80 columns, a reason so many at least."""
        heading, table, *_ = run(*flags.split()).out.split("\n\n")
        self.assert_filled(heading.split("\n"), 80)
        lines = table.rstrip().split("\n")[1:]
        reasons = 0
        while lines:
            line = lines.pop(0)
            if "--split head: " not in line:
                continue
            reasons += 1
            left = line.index("--split head: ")
            reason = [line[left:]]
            while lines and not lines[0][:left].strip():
                reason.append(lines.pop(0)[left:])
            self.assert_filled(reason, max(80 - left, least))
            sentence = r"^--split head: \d+ GPUs do not share .* takes any number\)$"
            self.assertRegex(" ".join(reason), sentence)
        self.assertGreater(reasons, 0)

    def test_mark_is_explained_where_there_is_one(self) -> None:
        note = "\n\n! does not fit into memory\n"
        named = ("--gpu", "h100-sxm", "--model", "llama-3.1-8b", "--batch")
        for batches, misfits in (("1,9999", 1), ("9998,9999", 2)):
            result = run(*named, batches)
            self.assertTrue(result.out.endswith(note))
            warning = f"{MISFITS}{misfits} of 2 cases do not fit into memory\n"
            self.assertEqual(result.err, warning)
        result = run(*named, "1,2")
        self.assertFalse(result.out.endswith(note))
        self.assertEqual(result.err, "")

    def test_estimates_beside_bounds_are_bounds(self) -> None:
        """An estimate beside a bound is no comparison."""
        flags = "--gpu h100-sxm,mi300x,b200".split()
        for view in ("csv", "json"):
            out = run(*flags, "--format", view).out
            self.assertEqual(out.count("estimate"), 0)
        for row in self.rows(*flags):
            self.assertEqual(row["basis"], "bound")
            self.assertEqual(row["total_s"], row["bound_s"])
        self.assertIn("bounds", run(*flags, "--format", "svg").out)
        estimates = run(*"--gpu h100-sxm,b200 --format csv".split()).out
        self.assertEqual(estimates.count(",estimate,"), 2)

    def test_total_of_bounds_is_the_bound(self) -> None:
        """To the last digit, of three kinds of layers: sums of one order."""
        model = model_of(full(3, "8 x 64"), full(5, "8/4 x 64"), full(7, "8/1 x 64"))
        for seq in range(1000, 1100):
            work = ab.Workload(
                ngpu=1,
                seq=seq,
                batch=3,
                query=1,
                phase="decode",
                dtype="bf16",
                kv_dtype="bf16",
                weight_dtype="bf16",
                fused=True,
                split="head",
                link="pcie",
            )
            terms = ab.analyse(ab.find_gpu("mi300x"), model, work).terms
            self.assertEqual(terms.total_s, terms.bound_s)

    def test_list_of_gpus_tells_which_have_estimates(self) -> None:
        lines = self.answer("--list-gpus").splitlines()
        with_constants = set()
        for line in lines:
            if " Hopper " in line or " Blackwell" in line:
                with_constants.add(line.split()[0])
        self.assertIn("H100-SXM", with_constants)
        self.assertNotIn("MI300X", with_constants)
        self.assertIn("with an architecture are estimates", self.answer("--list-gpus"))

    def test_csv_and_json_have_the_same_columns(self) -> None:
        """One header, whatever the flags, and in each row what the JSON object says first."""
        latent = "--fused --dtype fp8 --query 1,2,300 --seq 299 --ngpu 1,3 --split head"
        for model, flags in (
            (GPT_OSS, "--fused --fp16 --seq 9,300 --ngpu 1,2 --kv-dtype fp8,fp16"),
            (GPT_OSS, "--fp16 --seq 9,300 --split seq,head,batch --ngpu 2 --batch 3"),
            (DEEPSEEK_671B, latent),
            (DEEPSEEK_671B, "--seq 300000,300001 --gen false"),
        ):
            config = self.written(json.dumps({"GPU": NO_OVERHEAD, "Model": model}))
            argv = ["--config", config, *flags.split()]
            text = run(*argv, "--format", "csv").out
            header, *rows = csv.reader(io.StringIO(text, newline=""))
            lines = run(*argv, "--format", "json").out.splitlines()
            self.assertEqual(header, HEADER)
            self.assertEqual(len(rows), len(lines))
            for row, line in zip(rows, lines):
                with self.subTest(flags=flags):
                    self.assert_same_case(row, json.loads(line))

    def assert_same_case(self, row: list[str], case: dict[str, Any]) -> None:
        """That a row of CSV says what the JSON object of its case says."""
        self.assertEqual(case["schema"], 3)
        names = list(case)
        self.assertEqual(names[1 : len(HEADER) + 1], HEADER)
        for cell, name in zip(row, HEADER):
            value = case[name]
            expected = "" if value is None else json.dumps(value).strip('"')
            self.assertEqual(cell, expected, name)
        self.assertEqual(len(row), len(HEADER))
        further_names = names[len(HEADER) + 1 :]
        if case["error"] is None:
            self.assertEqual(further_names, ["half_seq", "layers", "would_help", "inputs"])
        else:
            self.assertEqual(further_names, [])
            for name in HEADER[HEADER.index("error") + 1 :]:
                self.assertIsNone(case[name], name)

    def test_a_row_is_its_case_alone(self) -> None:
        """Whatever other lengths, batches, models or GPUs stand beside it."""
        axes = {
            "--gpu": ["b200-sxm", "h100-sxm"],
            "--model": ["deepseek-v3", "gpt-oss-20b"],
            "--ngpu": ["8", "1"],
            "--seq": ["131072", "1000", "999"],
            "--batch": ["64", "1"],
        }
        for phase in ("--gen True", "--gen False", "--query 9"):
            flags = f"--dtype bf16 --fused --format csv {phase}".split()
            sweep = list(flags)
            for flag, values in axes.items():
                sweep += [flag, ",".join(values)]
            rows = run(*sweep).out.splitlines()[1:]
            self.assertEqual(len(rows), 48)
            for row, case in zip(rows, itertools.product(*axes.values())):
                single = list(flags)
                for flag, value in zip(axes, case):
                    single += [flag, value]
                alone = run(*single).out.splitlines()[1]
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
        flags = ["--seq", f"1:{10**9}", "--batch", f"1:{10**9}", "--format", "csv"]
        text = "".join(itertools.islice(ab.run(flags), 2))
        cases = [(row["seq"], row["batch"]) for row in csv.DictReader(io.StringIO(text))]
        self.assertEqual(cases, [("1", "1"), ("1", "2")])

    @unittest.skipUnless(hasattr(os, "openpty"), "no terminals here")
    def test_progress_only_on_a_terminal(self) -> None:
        flags = ("--seq", "1:10001", "--fused", "--format", "csv")
        reading_end, terminal = os.openpty()
        with open(os.devnull, "w") as nowhere:
            process(*flags, stdout=nowhere, stderr=terminal)
        os.close(terminal)
        shown = b""
        try:
            while chunk := os.read(reading_end, 4096):
                shown += chunk
        except OSError:  # how Linux ends a terminal nobody writes to any more
            pass
        os.close(reading_end)
        self.assertIn(b"\r10000 of 10001 cases", shown)
        with open(os.devnull, "w") as nowhere:
            self.assertNotIn("of 10001 cases\r", process(*flags, stdout=nowhere).stderr)

    def test_progress_in_this_process(self) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        shown = Terminal()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(shown):
            ab.main(["--seq", "1:10000", "--fused", "--format", "csv"])
        self.assertTrue(shown.getvalue().startswith("\r0 of 10000 cases\r"))
        self.assertIn(f"\r{'':60}\r", shown.getvalue())

    def test_short_sweeps_show_no_progress(self) -> None:
        self.assertEqual(run("--seq", "1:50").err, "")
