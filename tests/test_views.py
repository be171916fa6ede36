"""The views: what a person reads, and what a program does."""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import Any

from tests.support import BASE, DEEPSEEK, GPT_OSS, H100, LLAMA_70B, NO_OVERHEAD, PREFIXES, ScriptTest, run

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
ESTIMATED = {**NO_OVERHEAD, "launch_us": 4.5, "bandwidth_efficiency": 0.85, "compute_efficiency": 0.6}


def numbers(node: Any) -> set[float]:
    """Every number in a JSON document."""
    if isinstance(node, dict):
        return set().union(*(numbers(each) for each in node.values()))
    if isinstance(node, list):
        return set().union(*(numbers(each) for each in node))
    return {float(node)} if isinstance(node, (int, float)) else set()


class Views(ScriptTest):
    def both(self, model: Any, flags: str, gpu: Any = H100) -> tuple[list[str], Any]:
        """The summary's lines and the JSON object of one case."""
        config = self.written(json.dumps({"GPU": gpu, "Model": model}))
        argv = ["--config", config, *flags.split()]
        found = json.loads(run(*argv, "--format", "json").out)
        return run(*argv, "--format", "summary").out.splitlines(), found

    def test_summary_is_one_screen_of_ascii(self) -> None:
        for model, flags in CASES:
            for gpu in (H100, ESTIMATED):
                with self.subTest(model=model, flags=flags):
                    lines, _ = self.both(model, flags, gpu)
                    self.assertLessEqual(len(lines), 50)
                    self.assertTrue("".join(lines).isascii())
                    fixed = [line for line in lines if "(from " not in line]
                    self.assertLessEqual(max(map(len, fixed)), 80)
                    self.assertFalse([line for line in lines if line != line.rstrip()])
                    for never in ("length any", "at no length", "e+", "per 1 prompt"):
                        self.assertNotIn(never, "\n".join(lines))

    def test_summary_shows_nothing_that_json_lacks(self) -> None:
        """Each number with a unit is one of the JSON's, or a sum of two of them."""
        for model, flags in CASES:
            for gpu in (H100, ESTIMATED):
                lines, found = self.both(model, flags, gpu)
                known = numbers(found)
                weights = found["gpu_weight_bytes"] or 0
                known.add(found["gpu_cache_bytes"] + weights)
                for text in re.findall(r"(?<![\w.,-])([\d.]+) ?([fpnumKMGT]?)(?:s|B)\b", "\n".join(lines[2:])):
                    value = float(text[0]) * PREFIXES[text[1]]
                    near = [each for each in known if abs(each - value) <= 0.006 * value]
                    with self.subTest(text, flags=flags):
                        self.assertTrue(near)

    def test_verdict_and_bars(self) -> None:
        lines, found = self.both(*CASES[0])
        # 80 layers x (64 heads x 16 sequences x (32,768 + 128) x 2 B / 128 GB/s).
        self.assertEqual(found["limit"], "sync")
        self.assertIn("sync limits attention: 42.1 ms, 5.83 x the next term", lines)
        self.assertIn(f"  sync      {'#' * 32}   42.1 ms  <- limits", lines)
        self.assertIn(f"  memory    {'#' * 5:32}   7.22 ms  5.83 x below", lines)
        self.assertIn(f"  compute   {'#':32}    173 us  243 x below", lines)
        self.assertFalse([line for line in lines if line.startswith("  overhead")])
        lines, found = self.both(*CASES[0], ESTIMATED)
        self.assertIn(f"  overhead  {'#':32}   1.08 ms  39 x below", lines)  # 80 x 3 x 4.5 us

    def test_summary_says_first_what_is_asked(self) -> None:
        for case, expected in (
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
            (CASES[3], ["           61 full layers: 128 heads, 1 K/V, width 576/512, absorbed latent"]),
            (
                (LLAMA_70B, "--fp16 --gen False --kv-dtype fp8 --seq 2"),
                [
                    "work       prefill: 1 sequence, 2 new tokens each, 2 keys",
                    "precision  fp16, fp8 cache, fp16 weights; separate kernels",
                    "assumed    --fused False",
                ],
            ),
        ):
            lines, _ = self.both(*case)
            for line in expected:
                with self.subTest(line):
                    self.assertIn(line, lines)
        lines = self.both(*CASES[7])[0]
        self.assertTrue(lines[1].endswith("), 3 layers without a cache"))
        lines = self.answer(*"--gpu h100-sxm --model llama-3.1-8b".split()).splitlines()
        self.assertIn("GPUs       1 x H100-SXM (from catalogue)", lines)
        lines = self.answer(*"--gpu h100-sxm --model llama-3.1-70b --ngpu 8".split()).splitlines()
        self.assertIn("GPUs       8 x H100-SXM (from catalogue), heads split, NVLink", lines)
        self.assertIn("assumed    --dtype bf16 --fused True --split head --link nvlink", lines)
        named = "--gpu b200 --model deepseek-v3 --ngpu 8 --dtype bf16 --fused --split seq"
        lines = self.answer(*f"{named} --link nvlink".split()).splitlines()
        self.assertIn("assumed    --weight-dtype fp8", lines)
        everything = f"{named} --link nvlink --weight-dtype fp8"
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
            found = json.loads(run(*flags.split(), "--format", "json").out)
            told = f"{found['dtype']} {json.dumps(found['fused'])} {found['split']} {found['link']}"
            with self.subTest(flags):
                self.assertEqual(told, expected)
        error = self.refusal("--gpu", "m3-max")
        self.assertIn("--dtype bf16: M3-Max has no figure for it", error)

    def test_what_does_not_fit_is_said_and_gets_no_throughput(self) -> None:
        config = self.written(json.dumps({"GPU": H100, "Model": LLAMA_70B}))
        argv = ["--config", config, "--fp16", "--fused", "--seq", "300000"]
        # 327,680 B x 299,999 rows.
        said = "the KV cache does not fit: 98.3 GB on each GPU of 80 GB"
        for view in ("report", "summary", "json"):
            result = run(*argv, "--format", view)
            self.assertEqual(result.err, f"attn_bottleneck.py: warning: {said}\n")
            self.assertEqual(result.code, 0)
        summary = run(*argv, "--format", "summary").out
        self.assertIn(f"\n\n! {said}\nmemory limits attention", summary)
        self.assertNotIn("tokens/s", summary)
        self.assertIn("makes it fit", summary)
        found = json.loads(run(*argv, "--format", "json").out)
        self.assertIsNone(found["attention_tokens_per_s"])
        heavy = self.both({**DEEPSEEK, "params_b": 671}, "--dtype fp8 --fused")[0]
        self.assertIn("! weights and KV cache do not fit: 671 GB on each GPU of 80 GB", heavy)
        self.assertIn("room for   no cache beside the weights", heavy)

    def test_room_and_step(self) -> None:
        lines, found = self.both(*CASES[2])
        self.assertIn("each GPU   80 GB: 168 MB of cache and 35.3 GB of weights", lines)
        self.assertEqual(found["gpu_weight_bytes"], 35.3e9)  # 70.6e9 x 2 / 4
        room = f"room for   --batch {found['max_batch']} at this length, --seq {found['max_seq']}"
        self.assertIn(f"{room} at this batch;", lines)
        self.assertIn("           engines keep a tenth and more: --set GPU.memory=72", lines)
        step = next(line for line in lines if line.startswith("one step"))
        self.assertRegex(step, r"attention .* \+ rest .* = .*; \d.*% attention$")
        self.assertIn(f"{found['attention_share']:.1%} attention", step)
        lines, found = self.both(*CASES[0])
        self.assertIn("each GPU   80 GB: 21.5 GB of cache, weights not counted (unknown)", lines)
        self.assertIn("           the rest needs parameter counts: --set Model.params_b=70.6", lines)
        lines, _ = self.both({**LLAMA_70B, "window": 9}, "--fp16 --seq 99")
        self.assertTrue([line for line in lines if "any length at this batch" in line])
        lines, _ = self.both(LLAMA_70B, "--fp16 --seq 1")
        self.assertTrue([line for line in lines if "any batch at this length" in line])

    def test_numbers_at_the_edges_of_their_forms(self) -> None:
        """Three digits with a prefix from 10^-15 on and below 10^21, whole tokens below 10^7."""
        tiny = {"n_layer": 1, "n_head": 1, "dim_head": 1}
        # A row of Q and one of A, of 4 bits each in a byte of its own, over 2 PB/s; in 16 bits 4 bytes a token.
        one = "--gpu config --fused --seq 1"
        for flags, expected in (
            ("--gpu h100-sxm --set GPU.memory=1e12", "each GPU   1e21 B: "),
            ("--gpu h100-sxm --set GPU.memory=999999999999", "each GPU   1e21 B: "),
            ("--gpu h100-sxm --set GPU.memory=999e9", "each GPU   999 EB: "),
            ("--gpu h100-sxm --seq 1", " bytes per token, 0 B in all"),
            (f"{one} --dtype fp4 --set GPU.bandwidth=2e6", "memory limits attention: 1 fs, 500 x the next term"),
            (f"{one} --dtype fp4 --set GPU.bandwidth=2e7", "memory limits attention: 1e-16 s, "),
            (f"{one} --dtype bf16 --set GPU.bandwidth=1e-9 --batch 249", " attention: 996 s, "),
            (f"{one} --dtype bf16 --set GPU.bandwidth=1e-9 --batch 250", " attention: 1000 s, "),
            (f"{one} --dtype bf16 --set GPU.bandwidth=1e-9 --batch 24999", " attention: 99996 s, "),
            (f"{one} --dtype bf16 --set GPU.bandwidth=1e-9 --batch 25000", " attention: 100 Ks, "),
            (f"{one} --dtype bf16 --set GPU.bandwidth=0.036", ", 9000000 tokens/s without"),
            (f"{one} --dtype bf16 --set GPU.bandwidth=0.04", ", 1.00e7 tokens/s without"),
            (f"{one} --dtype bf16 --set GPU.bandwidth=0.048", ", 1.20e7 tokens/s without"),
        ):
            config = self.written(json.dumps({"GPU": {**H100, "fp4": 1e6}, "Model": tiny}))
            with self.subTest(flags):
                self.assertIn(expected, self.answer("--config", config, *flags.split()))

    def test_half_of_the_step_is_said(self) -> None:
        model = {**LLAMA_70B, "params_b": 70.6}
        lines, found = self.both(model, "--dtype bf16 --fused --batch 16 --ngpu 8 --link nvlink")
        said = f"{found['step_tokens_per_s']:.0f} tokens/s; half of it is attention from"
        self.assertIn(f"           {said} {found['half_seq']} keys on", lines)
        always = self.both({**LLAMA_70B, "params_b": 1e-6}, "--dtype bf16 --fused")[0]
        self.assertNotIn("half of it", "\n".join(always))

    def test_long_times_do_not_run_together(self) -> None:
        lines, _ = self.both(LLAMA_70B, "--fp16 --fused --gen 0 --seq 9999999 --batch 999")
        row = next(line for line in lines if line.startswith("all 80 layers"))
        self.assertEqual(row.split()[3:9], ["132", "Ms", "8795", "s", "-", "-"])
        lines, _ = self.both(LLAMA_70B, f"--fp16 --gen 0 --seq {10**18} --batch {10**18}")
        row = next(line for line in lines if line.startswith("all 80 layers"))
        self.assertEqual(len(row.split()), 3 + 2 + 2 + 1 + 1 + 2 + 1 + 1, row)

    def test_help_is_in_columns(self) -> None:
        lines, found = self.both({**LLAMA_70B, "params_b": 70.6}, "--dtype bf16 --ngpu 8")
        at = lines.index(f"{'What would help':24}attention    step  per new token")
        for change in found["would_help"]:
            at += 1
            if len(change["flags"]) > 22:
                self.assertEqual(lines[at], f"  {change['flags']}")
                at += 1
            gains = lines[at][24:].split()
            with self.subTest(change["flags"]):
                near = abs(float(gains[0]) / change["attention_gain"] - 1)
                self.assertLess(near, 0.006)
                self.assertLess(abs(float(gains[2]) / change["step_gain"] - 1), 0.006)
                self.assertTrue(lines[at].split(" x  ")[-1].startswith(change["what"]))
        self.assertEqual(at, len(lines) - 1)
        self.assertEqual(found["would_help"][-1]["what"], "all that help together")
        # Flags of 22 characters stand beside their figures, of 23 alone.
        for flags, expected in (
            (
                "--model falcon-7b --ngpu 142 --batch 32",
                r"\n  --ngpu 71 --split head +[0-9.]+ x +[0-9.]+ x  half the GPUs",
            ),
            (
                "--model llama-3.1-8b --seq 64K",
                r"\n  --set Model.n_kv_head=4\n {24} +[0-9.]+ x +[0-9.]+ x  half the K/V",
            ),
        ):
            self.assertRegex(self.answer("--gpu", "h100-sxm", *flags.split()), expected)

    def test_set_is_said_and_not_said_again(self) -> None:
        flags = "--gpu h100-sxm --model llama-3.1-8b --set GPU.memory=70 --set Model.n_kv_head=16"
        out = self.answer(*flags.split())
        self.assertIn("\nset        GPU.memory=70, Model.n_kv_head=16\n", out)
        self.assertEqual(out.count("--set"), 0)
        several = self.answer("--gpu", "h100-sxm", "--seq", "9,10", "--format", "summary")
        self.assertTrue(several.startswith("seq 9\n\nwork "))
        self.assertIn("\n\nseq 10\n\nwork ", several)

    def test_room_is_what_can_be_asked(self) -> None:
        named = "--gpu h100-sxm --model llama-3.1-8b"
        for flags, expected in (
            ("--model qwen3-32b --batch 256 --query 512", ", no length at this batch;"),
            (f"--gen False --seq {10**18}", "room for   no batch at this length"),
            (f"--ngpu {10**18} --split seq", f"room for   --batch {10**18} at this length"),
        ):
            with self.subTest(flags):
                self.assertIn(expected, run(*named.split(), *flags.split()).out)

    def test_fusing_is_named(self) -> None:
        lines = self.answer(*"--gpu h100-sxm --model llama-3.1-8b --fused no".split()).splitlines()
        self.assertTrue([line for line in lines if re.fullmatch(r"  --fused .* one fused kernel", line)])

    def test_nothing_helps(self) -> None:
        # The most that FP8 arithmetic and an FP4 cache do, on a GPU that joins no other.
        gpu = {**NO_OVERHEAD, "launch_us": 1e9, "exponentials": 1e9}
        model = {**LLAMA_70B, "n_kv_head": 1}
        lines, found = self.both(model, "--dtype fp8 --kv-dtype fp4 --fused --seq 9", gpu)
        flags = {change["flags"] for change in found["would_help"]}
        self.assertEqual(flags, {"--batch 2"})  # a launch shared
        bound = {key: H100[key] for key in H100 if key != "nvlink"}
        lines, found = self.both(model, "--dtype fp8 --kv-dtype fp4 --fused --gen 0 --seq 1", bound)
        self.assertEqual(found["would_help"], [])
        self.assertEqual(lines[-1], "What would help: no single change")

    def test_json_is_strict_and_says_where_inputs_came_from(self) -> None:
        config = self.written(json.dumps({"GPU": ESTIMATED, "Model": LLAMA_70B}))
        text = run("--config", config, "--format", "json", "--seq", "9", "--fp16").out

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        found = json.loads(text, parse_constant=refuse)
        self.assertEqual(found["schema"], 2)
        inputs = found["inputs"]
        self.assertEqual(inputs["flags"], ["config", "dtype", "format", "fp16", "seq"])
        gpu, model = inputs["gpu"], inputs["model"]
        self.assertEqual((gpu["from"], model["from"]), (config, config))
        self.assertEqual((gpu["memory"], gpu["nvlink"]), (80e9, 900e9))
        self.assertTrue(math.isclose(gpu["launch_s"], 4.5e-6))
        self.assertEqual((model["n_kv_head"], model["dim_head"]), (8, 128))
        built_in = json.loads(run("--format", "json").out)["inputs"]
        self.assertEqual((built_in["gpu"]["model"], built_in["gpu"]["from"]), ("A100", "config.json"))

    def test_report_of_what_the_document_does_not_have(self) -> None:
        def report(model: Any, flags: str) -> list[str]:
            config = self.written(json.dumps({"GPU": H100, "Model": model}))
            return self.answer("--config", config, *flags.split()).splitlines()

        lines = report(GPT_OSS, "--fp16 --fused --ngpu 2 --seq 1024 --kv-dtype fp8")
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
        # Heads just projected are not the cache: FP16 whatever it holds.
        lines = report(DEEPSEEK, "--fp16 --kv-dtype fp8 --gen False --seq 10")
        self.assertIn("Read Key Matrix (FP16): 128 x (192 x 10) x 2 = 491520 bytes", lines)
        lines = report(DEEPSEEK, "--fp16 --split head --ngpu 2 --seq 1025")
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


class Set(ScriptTest):
    """--set: another figure of the GPU or the model, an axis like the others."""

    def test_is_the_config_with_that_figure(self) -> None:
        for key, value in (
            ("GPU.bandwidth", 1234.5),
            ("GPU.fp32", 39),
            ("GPU.memory", 72),
            ("GPU.nvlink", 600),
            ("Model.n_kv_head", 8),
            ("Model.window", 100),
            ("Model.params_b", 7.5),
            ("Model.n_layer_window", 0),
        ):
            section, name = key.split(".")
            extra = {"window": 64} if name == "n_layer_window" else {}
            change = {name: value}
            base = self.config(None, extra)
            ours = self.rows("--config", base, "--set", f"{key}={value}")[0]
            config = self.config(*((change, extra) if section == "GPU" else (None, {**extra, **change})))
            theirs = self.rows("--config", config)[0]
            with self.subTest(key):
                self.assertEqual(
                    ours.pop(key), str(value) if isinstance(value, int) and section == "Model" else str(float(value))
                )
                self.assertEqual(ours, theirs)

    def test_is_an_axis(self) -> None:
        flags = "--gpu h100-sxm --seq 9,10 --set GPU.bandwidth=1000:4000:x2 --set Model.n_kv_head=8,96"
        rows = self.rows(*flags.split())
        found = [(row["seq"], row["GPU.bandwidth"], row["Model.n_kv_head"]) for row in rows]
        expected = itertools.product(("9", "10"), ("1000.0", "2000.0", "4000.0"), ("8", "96"))
        self.assertEqual(found, list(expected))
        self.assertEqual(list(rows[0])[-2:], ["GPU.bandwidth", "Model.n_kv_head"])
        times = [float(row["memory_s"]) for row in rows[:6:2]]
        for slow, fast in zip(times, times[1:]):
            self.assertTrue(math.isclose(slow / fast, 2, rel_tol=1e-9))
        table = run(*flags.split()).out.split("\n\n")[1].splitlines()[0]
        self.assertEqual(table.split()[:3], ["seq", "GPU.bandwidth", "Model.n_kv_head"])
        one = json.loads(run("--set", "GPU.bandwidth=3350", "--format", "json").out)
        self.assertEqual(one["set"], {"GPU.bandwidth": 3350})
        self.assertNotIn("set", json.loads(run("--format", "json").out))
        svg = run(*"--gpu h100-sxm --set GPU.bandwidth=1000:4000:x2 --format svg".split()).out
        self.assertIn(">GPU.bandwidth<", svg)

    def test_refusals(self) -> None:
        figure, count = "must be a number from 1e-9 to 1e15", "must be a whole number from 1"
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
            ("GPU.bandwidth=1.01e15", f"--set GPU.bandwidth {figure}, not 1010000000000000.0"),
            ("GPU.bandwidth=0.99e-9", f"--set GPU.bandwidth {figure}, not 9.9e-10"),
            ("GPU.bandwidth=1:1000001:1", "--set GPU.bandwidth lists at most 1000000 values"),
            ("GPU.bandwidth=1,x", f'--set GPU.bandwidth {figure}, not "x"'),
            ("GPU.bandwidth=9:1", '--set GPU.bandwidth "9:1" must be FIRST:LAST'),
            ("GPU.compute_efficiency=1.5", "must be a number above 0 and at most 1, not 1.5"),
            ("GPU.nvlink_gpus=1", "--set GPU.nvlink_gpus must be a whole number from 2 to 10^18, not 1"),
            ("Model.n_kv_head=1.5", f'--set Model.n_kv_head {count} to 10^18, not "1.5"'),
            ("Model.n_kv_head=5", "--set: n_kv_head must divide n_head 96, not 5"),
        ):
            with self.subTest(text):
                self.assertIn(expected, self.refusal("--set", text))
        shares = self.rows("--set", "GPU.compute_efficiency=0.1:0.8:x2")
        self.assertEqual([row["GPU.compute_efficiency"] for row in shares], ["0.1", "0.2", "0.4", "0.8"])
        ends = self.rows("--set", "GPU.memory=1e-9,1e15")
        self.assertEqual([row["error"] for row in ends], ["", ""])
        twice = self.refusal("--set", "GPU.memory=1", "--set", "GPU.memory=2")
        self.assertIn("--set GPU.memory is given twice", twice)

    def test_where_only_some_contradict_it_their_rows_say_why(self) -> None:
        flags = "--gpu h100-sxm --model llama-3.1-8b,qwen3-235b-a22b --set Model.n_kv_head=16,24"
        errors = [row["error"] for row in self.rows(*flags.split())]
        self.assertEqual(errors[0], "")
        self.assertIn("n_kv_head must divide n_head 32, not 24", errors[1])
        flags = "--gpu h100-sxm,l40s,h20 --set GPU.nvlink_gpus=4"
        rows = self.rows(*flags.split())
        self.assertEqual([bool(row["error"]) for row in rows], [False, True, False])
        self.assertIn("--set: GPU.nvlink_gpus has no meaning without nvlink", rows[1]["error"])

    def test_published_configs_take_what_describes_the_whole(self) -> None:
        path = self.written(json.dumps(BASE), "m.json")
        flags = ("--model", path, "--gpu", "h100-sxm", "--format", "json", "--set")
        found = json.loads(self.answer(*flags, "Model.params_b=8"))
        self.assertEqual(found["gpu_weight_bytes"], 16e9)
        all_used = json.loads(self.answer(*flags, "Model.params_b=8", "--set", "Model.active_params_b=8"))
        self.assertEqual(found["rest_s"], all_used["rest_s"])  # a dense model stays dense
        found = json.loads(self.answer(*flags, "Model.params_b=0.001"))
        self.assertEqual(found["gpu_weight_bytes"], 2e6)
        found = json.loads(self.answer(*flags, "Model.hidden_size=64", "--ngpu", "2"))
        self.assertEqual(found["reduce_bytes"], 4 * 64 * 2)
        error = self.refusal(*flags, "Model.n_kv_head=2")
        self.assertIn("Model.n_kv_head is the file's own", error)

    def test_measured_kernels_of_another_gpu(self) -> None:
        rows = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\ndecode,1,65536,8,8,128,100\n"
        path = self.written(rows, "m.csv")
        half = self.answer("--measured", path, "--gpu", "mi300x", "--set", "GPU.bandwidth=2650")
        full = self.answer("--measured", path, "--gpu", "mi300x")
        ratios = [float(re.findall(r"here ([.\d]+) times", out)[0]) for out in (half, full)]
        self.assertTrue(math.isclose(ratios[0] / ratios[1], 2, rel_tol=0.01))
        for text, expected in (
            ("GPU.bandwidth=1,2", "--set GPU.bandwidth: --measured takes one value of a GPU's key"),
            ("Model.n_layer=1", "--set Model.n_layer: --measured takes one value of a GPU's key"),
        ):
            self.assertIn(expected, self.refusal("--measured", path, "--gpu", "h20", "--set", text))
