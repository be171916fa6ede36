"""The views: what a person reads, and what a program does."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from tests.support import ScriptTest, run
from tests.test_model import DEEPSEEK, GPT_OSS, H100, LLAMA_70B, NO_OVERHEAD

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

PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1}
PREFIXES.update({"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15})


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
                    self.assertLessEqual(len(lines), 38)
                    self.assertTrue("".join(lines).isascii())
                    fixed = [line for line in lines[1:] if not line.startswith("figures: ")]
                    self.assertLessEqual(max(map(len, fixed)), 80)
                    self.assertFalse([line for line in lines if line != line.rstrip()])

    def test_summary_shows_nothing_that_json_lacks(self) -> None:
        """Each number with a unit is one of the JSON's, or a ratio or sum of two of them."""
        for model, flags in CASES:
            for gpu in (H100, ESTIMATED):
                lines, found = self.both(model, flags, gpu)
                known = numbers(found)
                for text in re.findall(
                    r"(?<![\w.,])([\d.,]+(?:e\+\d+)?) ?([fpnumKMGT]?)(?:s|B)\b",
                    "\n".join(lines[2:]),
                ):
                    value = float(text[0].replace(",", "")) * PREFIXES[text[1]]
                    near = [each for each in known if abs(each - value) <= 0.006 * value]
                    weights = found["gpu_weight_bytes"] or 0
                    total = found["gpu_cache_bytes"] + weights
                    near += [total] if abs(total - value) <= 0.006 * value else []
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
        self.assertNotIn("overhead ", "".join(lines[4:8]))
        lines, found = self.both(*CASES[0], ESTIMATED)
        self.assertIn(f"  overhead  {'#':32}   1.08 ms  39 x below", lines)  # 80 x 3 x 4.5 us

    def test_title_says_the_case_in_full(self) -> None:
        lines, _ = self.both(*CASES[0])
        for part in (
            "decode, 16 x 1 new token, 32,768 keys; ",
            "; 80 full layers (64 heads, 8 K/V, width 128); ",
            "; 8 x H100-SXM; bf16, bf16 cache; unfused; keys split, PCIe",
        ):
            self.assertIn(part, lines[0])
        lines, _ = self.both(*CASES[7])
        self.assertIn(
            "; 15 full layers + 18 windowed layers of 128 keys + 3 without a cache (", lines[0]
        )
        lines, _ = self.both(*CASES[3])
        self.assertIn("(128 heads, 1 K/V, width 576/512, absorbed latent)", lines[0])
        lines, _ = self.both(LLAMA_70B, "--fp16 --gen False --kv-dtype fp8 --seq 2")
        self.assertIn("prefill, 1 x 2 new tokens, 2 keys;", lines[0])
        self.assertIn("fp16, fp8 cache; unfused; not split", lines[0])

    def test_what_does_not_fit_is_said_first_and_gets_no_throughput(self) -> None:
        config = self.written(json.dumps({"GPU": H100, "Model": LLAMA_70B}))
        argv = ["--config", config, "--fp16", "--fused", "--seq", "300000"]
        # 327,680 B x 299,999 rows.
        said = "the KV cache does not fit: 98.3 GB on each GPU of 80 GB"
        for view in ("report", "summary", "json"):
            result = run(*argv, "--format", view)
            self.assertEqual(result.err, f"attn_bottleneck.py: warning: {said}\n")
            self.assertEqual(result.code, 0)
        summary = run(*argv, "--format", "summary").out
        self.assertEqual(summary.splitlines()[1], f"! {said}")
        self.assertNotIn("tokens/s", summary)
        self.assertIn("makes it fit", summary)
        self.assertIsNone(json.loads(run(*argv, "--format", "json").out)["attention_tokens_per_s"])
        heavy = self.both({**DEEPSEEK, "params_b": 671}, "--dtype fp8 --fused")[0]
        self.assertEqual(heavy[1], "! weights and KV cache do not fit: 671 GB on each GPU of 80 GB")
        self.assertIn("  no room for a cache beside the weights", heavy)

    def test_unknown_weights_are_said_to_be_uncounted(self) -> None:
        self.assertIn("weights not counted", "".join(self.both(*CASES[0])[0]))
        lines, found = self.both(*CASES[2])
        self.assertIn(" and 35.3 GB of bf16 weights", "".join(lines))  # 70.6e9 x 2 / 4
        self.assertEqual(found["gpu_weight_bytes"], 35.3e9)

    def test_nothing_helps(self) -> None:
        gpu = {**NO_OVERHEAD, "launch_us": 10**9}
        lines, _ = self.both(LLAMA_70B, "--dtype fp8 --kv-dtype fp4 --fused --batch 9999999", gpu)
        self.assertIn("! the KV cache", lines[1])
        lines, _ = self.both({**LLAMA_70B, "n_layer_no_cache": 79}, "--fused --fp16", ESTIMATED)
        self.assertIn("What would help, each change alone", lines)

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
        self.assertEqual((model["n_kv_head"], model["v_head_dim"]), (8, 128))
        built_in = json.loads(run("--format", "json").out)["inputs"]
        self.assertEqual(
            (built_in["gpu"]["model"], built_in["gpu"]["from"]), ("A100", "config.json")
        )

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
