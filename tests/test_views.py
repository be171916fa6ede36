"""The views: what a person reads, and what a program does."""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import Any

from tests.support import (
    BASE,
    DEEPSEEK,
    GPT_OSS,
    H100,
    LLAMA_70B,
    NO_OVERHEAD,
    PREFIXES,
    CaseTest,
    ScriptTest,
    json_of,
    run,
)

CASES = (
    (LLAMA_70B, "--dtype bf16 --ngpu 8 --batch 16 --seq 32768"),
    (LLAMA_70B, "--dtype bf16 --fused --split head --link nvlink --ngpu 8 --seq 1000000"),
    ({**LLAMA_70B, "params_b": 70.6}, "--dtype bf16 --fused --ngpu 4 --gen False --batch 2"),
    ({**DEEPSEEK, "params_b": 671, "active_params_b": 37}, "--dtype fp8 --fused --ngpu 8"),
    ({**DEEPSEEK, "params_b": 671, "active_params_b": 37}, "--dtype fp8 --fused --ngpu 16"),
    (GPT_OSS, "--dtype bf16 --fused --kv-dtype fp8 --query 4 --seq 4096"),
    (LLAMA_70B, "--fp16 --seq 1"),
    ({**GPT_OSS, "n_layer_no_cache": 3}, "--dtype fp16 --ngpu 2"),
)
ESTIMATED = {
    **NO_OVERHEAD,
    "launch_us": 4.5,
    "bandwidth_efficiency": 0.85,
    "compute_efficiency": 0.6,
}


def numbers(node: Any) -> set[float]:
    """Every number in a JSON document."""
    if isinstance(node, (int, float)):
        return {float(node)}
    found: set[float] = set()
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            found |= numbers(child)
    return found


class Views(CaseTest):
    def both(
        self, model: dict[str, Any], flags: str, gpu: dict[str, Any] | None = None
    ) -> tuple[list[str], Any]:
        """The summary's lines and the JSON object of one case."""
        return self.summary(model, flags, gpu), self.record(model, flags, gpu)

    def test_summary_is_one_screen_of_ascii(self) -> None:
        for model, flags in CASES:
            for gpu in (H100, ESTIMATED):
                with self.subTest(model=model, flags=flags):
                    lines = self.summary(model, flags, gpu)
                    self.assertLessEqual(len(lines), 50)
                    for line in lines:
                        self.assertTrue(line.isascii())
                        self.assertEqual(line, line.rstrip())
                        if "(from " not in line:
                            self.assertLessEqual(len(line), 80)
                    for never in ("length any", "at no length", "e+", "per 1 prompt"):
                        self.assertNotIn(never, "\n".join(lines))

    def test_summary_shows_nothing_that_json_lacks(self) -> None:
        """Each number with a unit is one of the JSON's, or the sum of cache and weights."""
        quantity = re.compile(r"(?<![\w.,-])([\d.]+) ?([fpnumKMGT]?)(?:s|B)\b")
        for model, flags in CASES:
            for gpu in (H100, ESTIMATED):
                lines, case = self.both(model, flags, gpu)
                known = numbers(case)
                if case["gpu_weight_bytes"] is not None:
                    known.add(case["gpu_cache_bytes"] + case["gpu_weight_bytes"])
                for digits, prefix in quantity.findall("\n".join(lines[2:])):
                    value = float(digits) * PREFIXES[prefix]
                    nearest = min(known, key=lambda number: abs(number - value))
                    with self.subTest(f"{digits} {prefix}", flags=flags):
                        self.assertLessEqual(abs(nearest - value), 0.006 * value)

    def test_verdict_and_bars(self) -> None:
        lines, case = self.both(*CASES[0])
        # 80 layers x (64 heads x 16 sequences x (32,768 + 128) x 2 B / 128 GB/s).
        self.assertEqual(case["limit"], "sync")
        self.assertIn("sync limits attention: 42.1 ms, 5.83 x the next term", lines)
        self.assertIn(f"  sync      {'#' * 32}   42.1 ms  <- limits", lines)
        self.assertIn(f"  memory    {'#' * 5:32}   7.22 ms  5.83 x below", lines)
        self.assertIn(f"  compute   {'#':32}    173 us  243 x below", lines)
        self.assertNotIn("\n  overhead", "\n".join(lines))
        lines = self.summary(*CASES[0], ESTIMATED)
        self.assertIn(f"  overhead  {'#':32}   1.08 ms  39 x below", lines)  # 80 x 3 x 4.5 us

    def test_summary_begins_with_the_case(self) -> None:
        prefill = "--fp16 --gen False --kv-dtype fp8 --seq 2"
        latent = "           61 latent layers: 128 heads, 1 K/V, width 576/512, absorbed"
        for (model, flags), expected in (
            (
                CASES[0],
                [
                    "work       decode: 16 sequences, 1 new token each, 32768 keys",
                    "           80 full layers: 64 heads, 8 K/V, width 128",
                    "precision  bf16, bf16 cache, bf16 weights; separate kernels",
                    "assumed    --fused False --split seq --link pcie",
                ],
            ),
            (
                CASES[7],
                [
                    "           15 full layers: 64 heads, 8 K/V, width 64",
                    "           18 windowed layers: 64 heads, 8 K/V, width 64, window 128",
                ],
            ),
            (CASES[3], [latent]),
            (
                (LLAMA_70B, prefill),
                [
                    "work       prefill: 1 sequence, 2 new tokens each, 2 keys",
                    "precision  fp16, fp8 cache, fp16 weights; separate kernels",
                    "assumed    --fused False",
                ],
            ),
        ):
            lines = self.summary(model, flags)
            for line in expected:
                with self.subTest(line):
                    self.assertIn(line, lines)
        lines = self.summary(*CASES[7])
        self.assertTrue(lines[1].endswith("), 3 layers without a cache"))

    def test_summary_of_what_is_named(self) -> None:
        latent = "--gpu b200 --model deepseek-v3 --ngpu 8 --dtype bf16 --fused --split seq"
        for flags, line in (
            ("--gpu h100-sxm --model llama-3.1-8b", "GPUs       1 x H100-SXM (from catalogue)"),
            (
                "--gpu h100-sxm --model llama-3.1-70b --ngpu 8",
                "GPUs       8 x H100-SXM (from catalogue), heads split, NVLink",
            ),
            (
                "--gpu h100-sxm --model llama-3.1-70b --ngpu 8",
                "assumed    --dtype bf16 --fused True --split head --link nvlink",
            ),
            (f"{latent} --link nvlink", "assumed    --weight-dtype fp8"),
        ):
            with self.subTest(flags):
                self.assertIn(line, self.answer(*flags.split()).splitlines())
        everything = f"{latent} --link nvlink --weight-dtype fp8"
        self.assertNotIn("assumed", self.answer(*everything.split()))

    def test_defaults_of_what_is_named(self) -> None:
        for flags, expected in (
            ("", "fp32 false seq pcie"),
            ("--ngpu 8", "fp32 false seq pcie"),
            ("--gpu h100-sxm", "bf16 true head nvlink"),
            ("--gpu h100-sxm --model llama-3.1-8b --ngpu 8", "bf16 true head nvlink"),
            ("--gpu h100-sxm --model llama-3.1-8b --ngpu 3", "bf16 true seq nvlink"),
            ("--gpu h100-sxm --model llama-3.1-8b --ngpu 16", "bf16 true head pcie"),
            ("--gpu v100 --ngpu 2", "fp16 true head nvlink"),
            ("--gpu l40s --ngpu 2", "bf16 true head pcie"),
            ("--model gpt3-175b", "fp16 true head pcie"),
            ("--gpu config", "fp16 true head pcie"),
            ("--gpu h20 --fused false --dtype fp32 --split seq", "fp32 false seq nvlink"),
        ):
            case = json_of(flags)
            fused = json.dumps(case["fused"])
            with self.subTest(flags):
                defaults = f"{case['dtype']} {fused} {case['split']} {case['link']}"
                self.assertEqual(defaults, expected)
        error = self.refusal("--gpu", "m3-max")
        self.assertIn("--dtype bf16: M3-Max has no figure for it", error)

    def test_what_does_not_fit_gets_a_warning_and_no_throughput(self) -> None:
        config = self.written(json.dumps({"GPU": H100, "Model": LLAMA_70B}))
        argv = ["--config", config, "--fp16", "--fused", "--seq", "300000"]
        # 327,680 B x 299,999 rows.
        warning = "the KV cache does not fit: 98.3 GB on each GPU of 80 GB"
        for view in ("report", "summary", "json"):
            result = run(*argv, "--format", view)
            self.assertEqual(result.err, f"attn_bottleneck.py: warning: {warning}\n")
            self.assertEqual(result.code, 0)
        summary = run(*argv, "--format", "summary").out
        self.assertIn(f"\n\n! {warning}\nmemory limits attention", summary)
        self.assertNotIn("tokens/s", summary)
        case = json.loads(run(*argv, "--format", "json").out)
        self.assertIsNone(case["attention_tokens_per_s"])
        heavy = self.summary({**DEEPSEEK, "params_b": 671}, "--dtype fp8 --fused")
        self.assertIn("! weights and KV cache do not fit: 671 GB on each GPU of 80 GB", heavy)
        self.assertIn("room for   no cache beside the weights", heavy)

    def test_room_and_step(self) -> None:
        lines, case = self.both(*CASES[2])
        self.assertIn("each GPU   80 GB: 168 MB of cache and 35.3 GB of weights", lines)
        self.assertEqual(case["gpu_weight_bytes"], 35.3e9)  # 70.6e9 x 2 / 4
        room = f"room for   --batch {case['max_batch']} at this length, --seq {case['max_seq']}"
        self.assertIn(f"{room} at this batch;", lines)
        self.assertIn("           engines keep a tenth and more: --set GPU.memory=72", lines)
        step = next(line for line in lines if line.startswith("one step"))
        self.assertRegex(step, r"attention .* \+ rest .* = .*; \d.*% attention$")
        self.assertIn(f"{case['attention_share']:.1%} attention", step)

    def test_room_and_step_where_parameters_are_unknown(self) -> None:
        lines = self.summary(*CASES[0])
        self.assertIn("each GPU   80 GB: 21.5 GB of cache, weights not counted (unknown)", lines)
        self.assertIn(
            "           the rest needs parameter counts: --set Model.params_b=70.6", lines
        )

    def test_room_without_an_end(self) -> None:
        summary = "\n".join(self.summary({**LLAMA_70B, "window": 9}, "--fp16 --seq 99"))
        self.assertIn("any length at this batch", summary)
        summary = "\n".join(self.summary(LLAMA_70B, "--fp16 --seq 1"))
        self.assertIn("any batch at this length", summary)

    def test_numbers_at_the_edges_of_their_forms(self) -> None:
        """Three digits with a prefix from 10^-15 on and below 10^21, whole tokens below 10^7."""
        config = {"GPU": {**H100, "fp4": 1e6}, "Model": {"n_layer": 1, "n_head": 1, "dim_head": 1}}
        h100 = "--gpu h100-sxm"
        # A row of Q and one of A: of 4 bits each in a byte, and of 16 bits in 4 bytes a token.
        fp4 = "--gpu config --fused --seq 1 --dtype fp4"
        bf16 = "--gpu config --fused --seq 1 --dtype bf16"
        slow = f"{bf16} --set GPU.bandwidth=1e-9"
        for flags, expected in (
            (f"{h100} --set GPU.memory=1e12", "each GPU   1e21 B: "),
            (f"{h100} --set GPU.memory=999999999999", "each GPU   1e21 B: "),
            (f"{h100} --set GPU.memory=999e9", "each GPU   999 EB: "),
            (f"{h100} --seq 1", " bytes per token, 0 B in all"),
            # Over 2 PB/s, and more.
            (f"{fp4} --set GPU.bandwidth=2e6", "memory limits attention: 1 fs, 500 x the next"),
            (f"{fp4} --set GPU.bandwidth=2e7", "memory limits attention: 1e-16 s, "),
            (f"{slow} --batch 249", " attention: 996 s, "),
            (f"{slow} --batch 250", " attention: 1000 s, "),
            (f"{slow} --batch 24999", " attention: 99996 s, "),
            (f"{slow} --batch 25000", " attention: 100 Ks, "),
            (f"{bf16} --set GPU.bandwidth=0.036", ", 9000000 tokens/s without"),
            (f"{bf16} --set GPU.bandwidth=0.04", ", 1.00e7 tokens/s without"),
            (f"{bf16} --set GPU.bandwidth=0.048", ", 1.20e7 tokens/s without"),
        ):
            path = self.written(json.dumps(config))
            with self.subTest(flags):
                self.assertIn(expected, self.answer("--config", path, *flags.split()))

    def test_where_half_of_the_step_begins(self) -> None:
        flags = "--dtype bf16 --fused --batch 16 --ngpu 8 --link nvlink"
        lines, case = self.both({**LLAMA_70B, "params_b": 70.6}, flags)
        rate = f"{case['step_tokens_per_s']:.0f} tokens/s"
        half = f"half of it is attention from {case['half_seq']} keys on"
        self.assertIn(f"           {rate}; {half}", lines)
        always = self.summary({**LLAMA_70B, "params_b": 1e-6}, "--dtype bf16 --fused")
        self.assertNotIn("half of it", "\n".join(always))

    def test_long_times_do_not_run_together(self) -> None:
        for flags, expected in (
            (
                "--fp16 --fused --gen 0 --seq 9999999 --batch 999",
                "all 80 layers 132 Ms 8795 s - - .*",
            ),
            # A number and a unit, or one word where that is too long, for each column.
            (f"--fp16 --gen 0 --seq {10**18} --batch {10**18}", r"all 80 layers( \S+){10}"),
        ):
            lines = self.summary(LLAMA_70B, flags)
            row = next(line for line in lines if line.startswith("all 80 layers"))
            with self.subTest(flags):
                self.assertRegex(" ".join(row.split()), rf"\A{expected}\Z")

    def test_set_is_named_once(self) -> None:
        flags = "--gpu h100-sxm --model llama-3.1-8b --set GPU.memory=70 --set Model.n_kv_head=16"
        out = self.answer(*flags.split())
        self.assertIn("\nset        GPU.memory=70, Model.n_kv_head=16\n", out)
        self.assertEqual(out.count("--set"), 0)

    def test_summaries_of_several_cases(self) -> None:
        several = self.answer("--gpu", "h100-sxm", "--seq", "9,10", "--format", "summary")
        self.assertTrue(several.startswith("seq 9\n\nwork "))
        self.assertIn("\n\nseq 10\n\nwork ", several)

    def test_room_is_within_what_flags_take(self) -> None:
        for flags, expected in (
            ("--model qwen3-32b --batch 256 --query 512", ", no length at this batch;"),
            (f"--gen False --seq {10**18}", "room for   no batch at this length"),
            (f"--ngpu {10**18} --split seq", f"room for   --batch {10**18} at this length"),
        ):
            with self.subTest(flags):
                result = run(*"--gpu h100-sxm --model llama-3.1-8b".split(), *flags.split())
                self.assertIn(expected, result.out)

    def test_json_is_strict_and_says_where_inputs_came_from(self) -> None:
        config = self.written(json.dumps({"GPU": ESTIMATED, "Model": LLAMA_70B}))
        text = run("--config", config, "--format", "json", "--seq", "9", "--fp16").out

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        case = json.loads(text, parse_constant=refuse)
        self.assertEqual(case["schema"], 3)
        inputs = case["inputs"]
        self.assertEqual(inputs["flags"], ["config", "dtype", "format", "fp16", "seq"])
        gpu = inputs["gpu"]
        model = inputs["model"]
        self.assertEqual((gpu["from"], model["from"]), (config, config))
        self.assertEqual((gpu["memory"], gpu["nvlink"]), (80e9, 900e9))
        self.assert_close(gpu["launch_s"], 4.5e-6, 1e-9)
        self.assertEqual((model["n_kv_head"], model["dim_head"]), (8, 128))
        built_in = json_of("")["inputs"]["gpu"]
        self.assertEqual((built_in["model"], built_in["from"]), ("A100", "config.json"))

    def report(self, model: dict[str, Any], flags: str) -> list[str]:
        """The lines of the classic report of a model."""
        config = self.written(json.dumps({"GPU": H100, "Model": model}))
        return self.answer("--config", config, *flags.split()).splitlines()

    def test_report_of_windows_and_a_fused_kernel(self) -> None:
        lines = self.report(GPT_OSS, "--fp16 --fused --ngpu 2 --seq 1024 --kv-dtype fp8")
        for line in (
            "Q in full layers: 1 x 64",
            "K in windowed layers (including cache): 128 x 64",
            "Cached KV size (FP8): 21 MB",  # 18,432 B x (1023 + 127)
            "In Full Attention Layer (per 64 head)",
            "In Windowed Attention Layer (per 64 head)",
            "Read Key Matrix (FP8): 8 x (64 x 127) x 1 = 65024 bytes",
            # Half of 64 x (64 x 2 + 64 x 2 + 4) bytes; 64 x 64 x 2, over 64 GB/s, one direction.
            "Exchanging queries (FP16): 8320 bytes",
            "Sync time:  1.300e-07s",
            "All-reducing the output (FP16): 8192 bytes",
            "Sync time:  1.280e-07s",
        ):
            with self.subTest(line):
                self.assertIn(line, lines)

    def test_report_of_latent_attention(self) -> None:
        lines = self.report(DEEPSEEK, "--fp16 --split head --ngpu 2 --seq 1025")
        for line in (
            "Q: 1 x 576",
            "V (including cache): 1025 x 512",
            "128 x ((1 x 1025) x (1025 x 512))",
            "Read Key Matrix (FP16): 1 x (576 x 1024) x 2 = 1179648 bytes",
            "Read Key Matrix (FP16): 1 x (512 x 1024) x 2 = 1048576 bytes",
            "All-reducing the output (FP16): 32768 bytes",
            "Sync time:  5.120e-07s",  # over 64 GB/s, one direction of PCIe 5.0
        ):
            with self.subTest(line):
                self.assertIn(line, lines)
        # Heads just projected are not the cache: FP16 whatever it holds.
        lines = self.report(DEEPSEEK, "--fp16 --kv-dtype fp8 --gen False --seq 10")
        self.assertIn("Read Key Matrix (FP16): 128 x (192 x 10) x 2 = 491520 bytes", lines)


class Set(ScriptTest):
    """--set: another figure of the GPU or the model, an axis like the others."""

    def test_is_the_config_with_that_figure(self) -> None:
        for key, value, cell in (
            ("GPU.bandwidth", 1234.5, "1234.5"),
            ("GPU.fp32", 39, "39.0"),
            ("GPU.memory", 72, "72.0"),
            ("GPU.nvlink", 600, "600.0"),
            ("Model.n_kv_head", 8, "8"),
            ("Model.window", 100, "100"),
            ("Model.params_b", 7.5, "7.5"),
            ("Model.n_layer_window", 0, "0"),
        ):
            section, name = key.split(".")
            model = {"window": 64} if name == "n_layer_window" else {}
            base = self.config(model=model)
            row = self.rows("--config", base, "--set", f"{key}={value}")[0]
            if section == "GPU":
                config = self.config(gpu={name: value}, model=model)
            else:
                config = self.config(model={**model, name: value})
            with self.subTest(key):
                self.assertEqual(row.pop(key), cell)
                self.assertEqual(row, self.rows("--config", config)[0])

    def test_is_an_axis(self) -> None:
        sweep = "--gpu h100-sxm --seq 9,10"
        flags = f"{sweep} --set GPU.bandwidth=1000:4000:x2 --set Model.n_kv_head=8,96"
        names = ["seq", "GPU.bandwidth", "Model.n_kv_head"]
        rows = self.rows(*flags.split())
        cells = [(row["seq"], row["GPU.bandwidth"], row["Model.n_kv_head"]) for row in rows]
        expected = itertools.product(("9", "10"), ("1000.0", "2000.0", "4000.0"), ("8", "96"))
        self.assertEqual(cells, list(expected))
        self.assertEqual(list(rows[0])[-2:], names[1:])
        times = [float(row["memory_s"]) for row in rows[:6:2]]
        for slow, fast in zip(times, times[1:]):
            self.assertTrue(math.isclose(slow / fast, 2, rel_tol=1e-9))
        head = run(*flags.split()).out.split("\n\n")[1].splitlines()[0]
        self.assertEqual(head.split()[:3], names)

    def test_one_value_is_in_json(self) -> None:
        self.assertEqual(json_of("--set GPU.bandwidth=3350")["set"], {"GPU.bandwidth": 3350})
        self.assertNotIn("set", json_of(""))

    def test_is_an_axis_of_the_picture(self) -> None:
        flags = "--gpu h100-sxm --set GPU.bandwidth=1000:4000:x2 --format svg"
        self.assertIn(">GPU.bandwidth<", run(*flags.split()).out)

    def test_refusals(self) -> None:
        figure = "must be a number from 1e-9 to 1e15"
        count = "must be a whole number from 1"
        for text, expected in (
            ("GPU.bandwidth", '--set GPU.bandwidth must be a number from 1e-9 to 1e15, not ""'),
            ("GPU.bandwidth=", '--set GPU.bandwidth must be a number from 1e-9 to 1e15, not ""'),
            ("bandwidth=3", '--set "bandwidth" is not a key that takes a number'),
            ("CPU.bandwidth=3", '--set "CPU.bandwidth" is not a key'),
            ("GPU.bandwith=3", '"GPU.bandwith" is not a key that takes a number (did you mean'),
            ("GPU.model=3", '"GPU.model" is not a key that takes a number'),
            ("GPU.bandwidth=3K", f'--set GPU.bandwidth {figure}, not "3K"'),
            ("GPU.bandwidth=-3", f"--set GPU.bandwidth {figure}, not -3.0"),
            ("GPU.bandwidth=1_0", f'--set GPU.bandwidth {figure}, not "1_0"'),
            ("GPU.bandwidth=1-2", f'--set GPU.bandwidth {figure}, not "1-2"'),
            ("GPU.bandwidth=1.01e15", f"--set GPU.bandwidth {figure}, not 1010000000000000.0"),
            ("GPU.bandwidth=0.99e-9", f"--set GPU.bandwidth {figure}, not 9.9e-10"),
            ("GPU.bandwidth=1:1000001:1", "--set GPU.bandwidth lists at most 1000000 values"),
            ("GPU.bandwidth=1,x", f'--set GPU.bandwidth {figure}, not "x"'),
            ("GPU.bandwidth=9:1", '--set GPU.bandwidth "9:1" must be FIRST:LAST'),
            ("GPU.compute_efficiency=1.5", "must be a number above 0 and at most 1, not 1.5"),
            (
                "GPU.nvlink_gpus=1",
                "--set GPU.nvlink_gpus must be a whole number from 2 to 10^18, not 1",
            ),
            ("Model.n_kv_head=1.5", f'--set Model.n_kv_head {count} to 10^18, not "1.5"'),
            ("Model.n_kv_head=5", "--set: n_kv_head must divide n_head 96, not 5"),
        ):
            with self.subTest(text):
                self.assertIn(expected, self.refusal("--set", text))
        twice = self.refusal("--set", "GPU.memory=1", "--set", "GPU.memory=2")
        self.assertIn("--set GPU.memory is given twice", twice)

    def test_values_at_their_ends(self) -> None:
        rows = self.rows("--set", "GPU.compute_efficiency=0.1:0.8:x2")
        parts = [row["GPU.compute_efficiency"] for row in rows]
        self.assertEqual(parts, ["0.1", "0.2", "0.4", "0.8"])
        rows = self.rows("--set", "GPU.memory=1e-9,1e15")
        self.assertEqual([row["error"] for row in rows], ["", ""])

    def test_where_only_some_contradict_it_their_rows_say_why(self) -> None:
        models = "--gpu h100-sxm --model llama-3.1-8b,qwen3-235b-a22b --set Model.n_kv_head=16,24"
        rows = self.rows(*models.split())
        self.assertEqual(rows[0]["error"], "")
        self.assertIn("n_kv_head must divide n_head 32, not 24", rows[1]["error"])
        gpus = "--gpu h100-sxm,l40s,h20 --set GPU.nvlink_gpus=4"
        h100, l40s, h20 = self.rows(*gpus.split())
        self.assertEqual((h100["error"], h20["error"]), ("", ""))
        self.assertIn("--set: GPU.nvlink_gpus has no meaning without nvlink", l40s["error"])

    def test_published_configs_take_what_describes_the_whole(self) -> None:
        path = self.written(json.dumps(BASE), "m.json")
        flags = f"--model {path} --gpu h100-sxm"
        dense = json_of(f"{flags} --set Model.params_b=8")
        self.assertEqual(dense["gpu_weight_bytes"], 16e9)
        all_active = json_of(f"{flags} --set Model.params_b=8 --set Model.active_params_b=8")
        self.assertEqual(dense["rest_s"], all_active["rest_s"])
        small = json_of(f"{flags} --set Model.params_b=0.001")
        self.assertEqual(small["gpu_weight_bytes"], 2e6)
        narrow = json_of(f"{flags} --set Model.hidden_size=64 --ngpu 2")
        self.assertEqual(narrow["reduce_bytes"], 4 * 64 * 2)
        error = self.refusal(*flags.split(), "--set", "Model.n_kv_head=2")
        self.assertIn("Model.n_kv_head is the file's own", error)

    def test_measured_kernels_of_another_gpu(self) -> None:
        """Half the bandwidth, twice the time."""
        head = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\n"
        path = self.written(f"{head}decode,1,65536,8,8,128,100\n", "m.csv")
        ratios = []
        for flags in ([], ["--set", "GPU.bandwidth=2650"]):
            out = self.answer("--measured", path, "--gpu", "mi300x", *flags)
            ratios.append(float(re.findall(r"here ([.\d]+) times", out)[0]))
        full, half = ratios
        self.assertTrue(math.isclose(half / full, 2, rel_tol=0.01))

    def test_measured_kernels_take_one_value_of_a_gpu(self) -> None:
        path = self.written("ngpu,bytes,latency_us\n2,1,1\n", "m.csv")
        for text, key in (
            ("GPU.bandwidth=1,2", "GPU.bandwidth"),
            ("Model.n_layer=1", "Model.n_layer"),
        ):
            expected = f"--set {key}: --measured takes one value of a GPU's key"
            error = self.refusal("--measured", path, "--gpu", "h20", "--set", text)
            self.assertIn(expected, error)
