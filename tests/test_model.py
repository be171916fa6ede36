"""The cost model: published and hand-computed values, and properties over generated cases."""

from __future__ import annotations

import doctest
import itertools
import json
import math
import random
from typing import Any

import attn_bottleneck as ab
from tests.support import ScriptTest, run

# H100 SXM, dense peaks and both directions of its links, from NVIDIA's datasheet.
H100 = {
    "model": "H100-SXM",
    "fp32": 67,
    "fp16": 989.5,
    "bf16": 989.5,
    "fp8": 1979,
    "memory": 80,
    "bandwidth": 3350,
    "pcie": 128,
    "nvlink": 900,
}
# Geometries from the models' own papers and config files (Llama 2: arXiv:2307.09288, Llama 3:
# arXiv:2407.21783, GPT-3: arXiv:2005.14165 table 2.1, DeepSeek-V3: arXiv:2412.19437 section 4.2).
LLAMA_8B = {"n_layer": 32, "n_head": 32, "n_kv_head": 8, "dim_head": 128}
LLAMA_70B = {"n_layer": 80, "n_head": 64, "n_kv_head": 8, "dim_head": 128}
LLAMA2_13B = {"n_layer": 40, "n_head": 40, "dim_head": 128}
GPT3 = {"n_layer": 96, "n_head": 96, "dim_head": 128}
DEEPSEEK = {
    "n_layer": 61,
    "n_head": 128,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
}
ONE_HEAD = {"n_layer": 1, "n_head": 1, "dim_head": 64}
GPT_OSS = {  # arXiv:2508.10925: half of the layers see 128 keys
    "n_layer": 36,
    "n_head": 64,
    "n_kv_head": 8,
    "dim_head": 64,
    "window": 128,
    "n_layer_window": 18,
}
HYBRID = {"n_layer": 48, "n_head": 16, "n_kv_head": 2, "dim_head": 256, "n_layer_no_cache": 36}

FUSED = "--dtype bf16 --fused"
HEADS = "--split head --link nvlink"
LAYER, MEMORY, STEP = "layers.0.", "memory.", "throughput."

# model, flags, quantity, value worked out by hand
GOLDEN: list[tuple[dict[str, Any], str, str, float]] = [
    # KV cache, bytes per token (the design's golden values, from the geometries above).
    (LLAMA_8B, FUSED, MEMORY + "bytes_per_token", 131_072),
    (LLAMA_70B, FUSED, MEMORY + "bytes_per_token", 327_680),
    (LLAMA2_13B, FUSED, MEMORY + "bytes_per_token", 819_200),
    (DEEPSEEK, FUSED, MEMORY + "bytes_per_token", 70_272),
    (GPT3, FUSED, MEMORY + "bytes_per_token", 4_718_592),
    (GPT3, FUSED + " --kv-dtype fp8", MEMORY + "bytes_per_token", 4_718_592 / 2),
    (GPT3, FUSED + " --kv-dtype fp4", MEMORY + "bytes_per_token", 4_718_592 / 4),
    # gpt-oss-120b: 36 x 2 x 8 x 64 x 2 bytes, half of it in full layers.
    (GPT_OSS, FUSED, MEMORY + "bytes_per_token", 73_728),
    (GPT_OSS, FUSED, MEMORY + "bytes_per_token_beyond_windows", 36_864),
    # Qwen3-Next: 12 of 48 layers keep a cache, 12 x 2 x 2 x 256 x 2 bytes.
    (HYBRID, FUSED, MEMORY + "bytes_per_token", 24_576),
    # gpt-oss at 1,000 generated keys: 18 x 2048 B x 999 + 18 x 2048 B x 127.
    (GPT_OSS, FUSED + " --seq 1000", MEMORY + "cache_bytes", 36_864 * (999 + 127)),
    # After a prefill of 1,000: 1,000 and 128 rows.
    (GPT_OSS, FUSED + " --seq 1000 --gen False", MEMORY + "cache_bytes", 36_864 * 1128),
    # The ridge of an H100 in BF16: 989.5e12 / 3.35e12.
    (LLAMA_8B, FUSED, "ridge_flop_per_byte", 989.5 / 3.35),
    # FlashAttention moves Q, K, V in and O out once: 4 N d (arXiv:2205.14135, theorem 2);
    # standard attention also moves N^2 scores four times (its algorithm 0).
    (ONE_HEAD, FUSED + " --gen False --seq 4096", LAYER + "bytes", 4 * 4096 * 64 * 2),
    (
        ONE_HEAD,
        "--dtype bf16 --gen False --seq 4096",
        LAYER + "bytes",
        (4 * 4096 * 64 + 4 * 4096**2) * 2,
    ),
    # Causality leaves N (N + 1) / 2 pairs to a fused kernel, N^2 to two dense products.
    (ONE_HEAD, FUSED + " --gen False --seq 4096", LAYER + "pairs", 4096 * 4097 / 2),
    (ONE_HEAD, "--dtype bf16 --gen False --seq 4096", LAYER + "pairs", 4096**2),
    # 3 rows at 8 keys: 6 + 7 + 8; in a window of 4: 4 + 4 + 4; of 7: 6 + 7 + 7.
    (ONE_HEAD, FUSED + " --query 3 --seq 8", LAYER + "pairs", 21),
    ({**ONE_HEAD, "window": 4}, FUSED + " --query 3 --seq 8", LAYER + "pairs", 12),
    ({**ONE_HEAD, "window": 7}, FUSED + " --query 3 --seq 8", LAYER + "pairs", 20),
    # ... where they see 4 + 2 keys between them; a window longer than S changes nothing.
    ({**ONE_HEAD, "window": 4}, FUSED + " --query 3 --seq 8", LAYER + "read_rows", 6),
    ({**ONE_HEAD, "window": 4}, "--fp16 --query 3 --seq 8", LAYER + "pairs", 18),
    ({**ONE_HEAD, "window": 4}, FUSED + " --seq 8", LAYER + "read_rows", 3),
    ({**ONE_HEAD, "window": 9}, FUSED + " --query 3 --seq 8", LAYER + "pairs", 21),
    # Prefill in a window (Mistral 7B, arXiv:2310.06825: W = 4096): W (W + 1) / 2 + (S - W) W.
    (
        {**LLAMA_8B, "window": 4096},
        FUSED + " --gen False --seq 16384",
        LAYER + "pairs",
        4096 * 4097 / 2 + 12288 * 4096,
    ),
    # FLOPs of a decode: 64 heads x (8192 x 255 + 128 x 16383).
    (LLAMA_70B, FUSED + " --seq 8192", LAYER + "flops", 64 * (8192 * 255 + 128 * 16383)),
    # GQA reads 8 of 64 heads' worth: 2 x 8 x 128 x 8191 x 2 bytes (arXiv:2305.13245).
    (LLAMA_70B, FUSED + " --seq 8192", LAYER + "kv_read_bytes", 2 * 8 * 128 * 8191 * 2),
    ({**LLAMA_70B, "n_kv_head": 1}, FUSED, LAYER + "kv_read_bytes", 2 * 128 * 1023 * 2),
    # ... and its intensity is near the group size of 8, one FLOP per byte and query head.
    (LLAMA_70B, FUSED + " --seq 1000000", LAYER + "intensity_flop_per_byte", 7.984),
    # DeepSeek-V3 decode, absorbed: 128 heads on one row of 576 that is read once.
    (DEEPSEEK, FUSED + " --seq 8192", LAYER + "kv_read_bytes", 576 * 8191 * 2),
    (DEEPSEEK, "--dtype bf16 --seq 8192", LAYER + "kv_read_bytes", (576 + 512) * 8191 * 2),
    (DEEPSEEK, FUSED + " --seq 8192", LAYER + "scores_flops", 128 * 8192 * (2 * 576 - 1)),
    (DEEPSEEK, FUSED + " --seq 8192", LAYER + "values_flops", 128 * 512 * (2 * 8192 - 1)),
    # About 242 FLOP/byte: 2 x 128 x (576 + 512) / (576 x 2), DeepSeek's FlashMLA deep dive.
    (DEEPSEEK, FUSED + " --seq 1000000", LAYER + "intensity_flop_per_byte", 241.7),
    # Two tokens a step (multi-token prediction) read the same rows for twice the work.
    (DEEPSEEK, FUSED + " --seq 1000000 --query 2", LAYER + "intensity_flop_per_byte", 483.1),
    # Prefill is plain attention of 128 heads, 192 wide for Q and K, 128 for V.
    (DEEPSEEK, FUSED + " --gen False --seq 100", LAYER + "scores_flops", 128 * 5050 * 383),
    (DEEPSEEK, FUSED + " --gen False --seq 100", LAYER + "values_flops", 128 * 128 * 10000),
    (DEEPSEEK, FUSED + " --gen False --seq 100", LAYER + "k_bytes", 128 * 192 * 100 * 2),
    (DEEPSEEK, FUSED + " --gen False --seq 100", MEMORY + "cache_bytes", 70_272 * 100),
    # Heads over GPUs: 64 over 6 is 11 at the busiest, with 2 of 8 K/V heads.
    (
        LLAMA_70B,
        f"{FUSED} {HEADS} --ngpu 6 --seq 1025",
        LAYER + "gpu_flops",
        11 * (1025 * 255 + 128 * 2049),
    ),
    (
        LLAMA_70B,
        f"{FUSED} {HEADS} --ngpu 6 --seq 1025",
        LAYER + "gpu_bytes",
        2 * 2 * 128 * 1024 * 2 + 2 * 11 * 128 * 2,
    ),
    # 16 GPUs: 4 heads each, and a copy of one of the 8 K/V heads, not half of one.
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 16", MEMORY + "gpu_cache_bytes", 80 * 2 * 128 * 2 * 1023),
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 8", MEMORY + "gpu_cache_bytes", 80 * 2 * 128 * 2 * 1023),
    # Keys over GPUs: each holds 1/16 of everything.
    (LLAMA_70B, f"{FUSED} --ngpu 16", MEMORY + "gpu_cache_bytes", 327_680 * 1023 / 16),
    # The latent is held whole by each GPU that has some of the heads, and divided with the keys.
    (DEEPSEEK, f"{FUSED} {HEADS} --ngpu 8", MEMORY + "gpu_cache_bytes", 70_272 * 1023),
    (DEEPSEEK, f"{FUSED} --ngpu 8", MEMORY + "gpu_cache_bytes", 70_272 * 1023 / 8),
    # Ring all-reduce: every GPU sends 2 (n - 1) / n of the output (nccl-tests' PERFORMANCE.md)
    # over one direction of the link: 450 GB/s of NVLink's 900.
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 8 --batch 4", LAYER + "sync_bytes", 2 * 7 * 4 * 8192 / 4),
    (
        LLAMA_70B,
        f"{FUSED} {HEADS} --ngpu 8 --batch 4",
        LAYER + "bound.sync_s",
        2 * 7 * 4 * 8192 / 4 / 450e9,
    ),
    (LLAMA_70B, f"{FUSED} {HEADS}", LAYER + "sync_bytes", 0),
    # ... of each new token: 100 of a prompt.
    (
        LLAMA_70B,
        f"{FUSED} {HEADS} --ngpu 8 --gen False --seq 100",
        LAYER + "sync_bytes",
        2 * 7 * 100 * 8192 * 2 / 8,
    ),
    (LLAMA_70B, f"{FUSED} --ngpu 8 --query 3", LAYER + "sync_bytes", 3 * 64 * 130 * 2),
    (LLAMA_70B, "--fp16 --ngpu 8 --query 3", LAYER + "sync_bytes", 3 * 64 * (1024 + 128) * 2),
    # ... of the output after its up-projection to 128 heads of 128, latent attention's too.
    (DEEPSEEK, f"{FUSED} {HEADS} --ngpu 2", LAYER + "sync_bytes", 128 * 128 * 2),
    # Keys split, fused: 64 partial outputs of 128 and the online softmax's maximum and sum
    # (arXiv:1805.02867); unfused: the scores and the output. PCIe as the user's document has it.
    (LLAMA_70B, f"{FUSED} --ngpu 8", LAYER + "sync_bytes", 64 * 130 * 2),
    (LLAMA_70B, "--dtype bf16 --ngpu 8", LAYER + "sync_bytes", 64 * (1024 + 128) * 2),
    (LLAMA_70B, f"{FUSED} --ngpu 8", LAYER + "bound.sync_s", 64 * 130 * 2 / 128e9),
    # A layer: max(compute, memory) + sync when fused ...
    (LLAMA_8B, FUSED + " --seq 65536", LAYER + "bound.total_s", (65535 * 4096 + 16384) / 3350e9),
    # ... and per kernel when not: here all three are memory-bound.
    (
        LLAMA_8B,
        "--dtype bf16 --seq 65536",
        LAYER + "bound.total_s",
        (65535 * 4096 + 16384 + 4 * 32 * 65536 * 2) / 3350e9,
    ),
    # The cache that fits: (80e9 / 131072) rows and the generated one; with 8.03e9 x 2 bytes of
    # weights (80e9 - 16.06e9) / (131072 x 1023) sequences.
    (LLAMA_8B, FUSED, MEMORY + "max_seq", 610_351 + 1),
    ({**LLAMA_8B, "params_b": 8.03}, FUSED, MEMORY + "max_batch", 476),
    # One token computes with each parameter and reads it: 16.06e9 B / 3350e9 B/s is more than
    # 16.06e9 FLOP / 989.5e12 FLOP/s.
    ({**LLAMA_8B, "params_b": 8.03}, FUSED, STEP + "rest_s", 16.06 / 3350),
    # ... 1,024 prompt tokens compute longer than they read.
    (
        {**LLAMA_8B, "params_b": 8.03},
        FUSED + " --gen False",
        STEP + "rest_s",
        1024 * 16.06 / 989.5e3,
    ),
    # Both are shared by the GPUs, and attention's share is of the two together: at 65,535 rows
    # (65,535 x 131,072 + 32 x 16,384) B / 2 against 16.06e9 B / 2.
    ({**LLAMA_8B, "params_b": 8.03}, FUSED + " --ngpu 2", STEP + "rest_s", 16.06 / 3350 / 2),
    (
        {**LLAMA_8B, "params_b": 8.03},
        FUSED + " --gen False --ngpu 2",
        STEP + "rest_s",
        1024 * 16.06 / 989.5e3 / 2,
    ),
    (
        {**LLAMA_8B, "params_b": 8.03},
        FUSED + " --seq 65536",
        STEP + "attention_share",
        (65535 * 131_072 + 32 * 16_384) / (65535 * 131_072 + 32 * 16_384 + 16.06e9),
    ),
    # Of experts chosen evenly, 3 tokens use 1 - (3/4)^3 of the weights: 37/64.
    (
        {**ONE_HEAD, "params_b": 8, "active_params_b": 2},
        FUSED + " --batch 3",
        STEP + "rest_s",
        8 * 37 / 64 * 2 / 3350,
    ),
    # Attention of 131,072 bytes a token takes as long as 16.06e9 bytes of weights after 122,528
    # rows less the 16 KiB of Q and A a layer (4 rows).
    ({**LLAMA_8B, "params_b": 8.03}, FUSED, STEP + "half_seq", 122_526),
    (LLAMA_8B, FUSED + " --batch 3", STEP + "new_tokens", 3),
]


class Published(ScriptTest):
    def test_golden_values(self) -> None:
        for model, flags, path, expected in GOLDEN:
            with self.subTest(flags=flags, model=model, path=path):
                value = self.quantity(model, flags, path)
                rounded = path.endswith("intensity_flop_per_byte")
                close = math.isclose(value, expected, rel_tol=5e-4 if rounded else 1e-12)
                self.assertTrue(close, (value, expected))

    def quantity(self, model: dict[str, Any], flags: str, path: str, gpu: Any = H100) -> Any:
        found: Any = self.record(model, flags, gpu)
        for key in path.split("."):
            found = found[int(key) if key.isdigit() else key]
        return found

    def record(self, model: dict[str, Any], flags: str, gpu: Any = H100) -> Any:
        path = self.written(json.dumps({"GPU": gpu, "Model": model}))
        result = run("--config", path, "--format", "json", *flags.split())
        self.assertEqual(result.code, 0, result.err)
        return json.loads(result.out)

    def test_verdicts(self) -> None:
        long = "--seq 32768 --batch 16"
        # What FlashMLA is measured to reach on this GPU: 3,000 GB/s and 660 TFLOP/s (its README
        # and its deep dive of 2025-04-22), where its authors call 128 heads compute-bound.
        flash_mla = {**H100, "compute_efficiency": 660 / 989.5, "bandwidth_efficiency": 3000 / 3350}
        for gpu, model, flags, expected in (
            (H100, LLAMA_70B, f"{FUSED} {long}", "memory"),
            (H100, LLAMA_70B, f"{FUSED} --gen False --seq 8192", "compute"),
            (H100, LLAMA_70B, f"--dtype bf16 --ngpu 8 {long}", "sync"),
            (H100, LLAMA_70B, f"{FUSED} {HEADS} --ngpu 8 {long}", "memory"),
            (H100, DEEPSEEK, f"{FUSED} --seq 8192 --batch 16", "memory"),  # 242 < 295, barely
            (flash_mla, DEEPSEEK, f"{FUSED} --seq 8192 --batch 16", "compute"),
            (H100, DEEPSEEK, f"{FUSED} --seq 8192 --batch 16 --query 2", "compute"),
            (H100, {**DEEPSEEK, "n_head": 16}, f"{FUSED} --seq 8192", "memory"),
            ({**H100, "launch_us": 5}, LLAMA_8B, f"{FUSED} --seq 512", "overhead"),
            ({**H100, "launch_us": 5}, LLAMA_8B, f"{FUSED} {long}", "memory"),
        ):
            with self.subTest(model=model, flags=flags, gpu=gpu):
                self.assertEqual(self.quantity(model, flags, "verdict", gpu), expected)

    def test_latent_form_between_decode_and_prefill(self) -> None:
        # Q (2 x 512 + 64) against Q (192 + 128) + 512 x (128 + 128): even at Q = 170.67.
        for query, form in ((1, "absorbed"), (170, "absorbed"), (171, "plain"), (8192, "plain")):
            flags = f"{FUSED} --seq 8192 --query {query}"
            with self.subTest(query=query):
                self.assertEqual(self.quantity(DEEPSEEK, flags, LAYER + "latent_form"), form)

    def test_constants_make_the_estimate(self) -> None:
        gpu = {
            **H100,
            "launch_us": 3,
            "compute_efficiency": 0.5,
            "bandwidth_efficiency": 0.8,
            "link_latency_us": 7,
            "link_efficiency": 0.25,
            "wave_us": 2,
            "multiprocessors": 5,
            "exponentials": 1,
        }
        flags = f"{FUSED} {HEADS} --ngpu 4 --batch 4 --seq 4097"
        layer = self.quantity(LLAMA_70B, flags, "layers.0", gpu)
        # Per GPU: 16 heads, 2 K/V heads; 4 x 16 x (4097 x 255 + 128 x 8193) FLOPs, but the
        # 4 x 16 x 4097 exponentials take longer at 5 x 1e9/s; 4 x 2 work items are two waves of 5.
        self.assertLess(4 * 16 * (4097 * 255 + 128 * 8193) / (989.5e12 * 0.5), 4 * 16 * 4097 / 5e9)
        compute = 4 * 16 * 4097 / 5e9
        memory = (4 * 2 * 2 * 128 * 4096 * 2 + 4 * 2 * 16 * 128 * 2) / (3350e9 * 0.8)
        sync = 2 * 3 / 4 * 4 * 8192 * 2 / (450e9 * 0.25) + 7e-6
        overhead = 3e-6 + 2 * 2e-6
        expected = [compute, memory, sync, overhead, compute + memory + sync + overhead]
        for value, wanted in zip(layer["estimate"].values(), expected):
            self.assertAlmostEqual(value / wanted, 1, places=12)
        self.assertEqual(layer["bound"]["overhead_s"], 0)
        self.assertLess(layer["bound"]["total_s"], layer["estimate"]["total_s"])
        self.assertIsNone(self.quantity(LLAMA_70B, flags, "layers.0.estimate"))
        # Unfused: three kernels, each of a launch and (8 items over 5) two waves.
        unfused = self.quantity(LLAMA_70B, "--dtype bf16", "layers.0.estimate.overhead_s", gpu)
        self.assertAlmostEqual(unfused, 3 * 7e-6)

    def test_constants_that_are_not_given_take_nothing(self) -> None:
        flags = f"{FUSED} {HEADS} --ngpu 2 --seq 99"
        for name, value in (("launch_us", 3), ("link_efficiency", 1), ("multiprocessors", 7)):
            layer = self.quantity(LLAMA_70B, flags, "layers.0", {**H100, name: value})
            bound, estimate = layer["bound"], layer["estimate"]
            for term in ("memory_s", "sync_s"):
                self.assertEqual(estimate[term], bound[term], name)
            visited = 1.0  # one row sees every key
            self.assertAlmostEqual(estimate["compute_s"], visited * bound["compute_s"])
            self.assertAlmostEqual(estimate["overhead_s"], 3e-6 if name == "launch_us" else 0)

    def test_estimate_counts_masked_blocks_and_items(self) -> None:
        gpu = {**H100, "launch_us": 1e-9, "wave_us": 1, "multiprocessors": 1}
        # 4,096 rows of 1 head: 64 items of 64 rows; half a block of 128 keys a row at the diagonal.
        layer = self.quantity(ONE_HEAD, FUSED + " --gen False --seq 4096", "layers.0", gpu)
        self.assertAlmostEqual(layer["estimate"]["overhead_s"], 64e-6)
        visited = (4096 * 4097 / 2 + 4096 * 64) / (4096 * 4097 / 2)
        self.assertAlmostEqual(
            layer["estimate"]["compute_s"] / layer["bound"]["compute_s"], visited, places=12
        )
        # At a window's two edges, a whole block; never more than every key.
        model = {**ONE_HEAD, "window": 1000}
        layer = self.quantity(model, FUSED + " --gen False --seq 4096", "layers.0", gpu)
        pairs = 1000 * 1001 / 2 + 3096 * 1000
        visited = (pairs + 4096 * 128) / pairs
        self.assertAlmostEqual(
            layer["estimate"]["compute_s"] / layer["bound"]["compute_s"], visited, places=12
        )
        layer = self.quantity(ONE_HEAD, FUSED + " --gen False --seq 4", "layers.0", gpu)
        self.assertAlmostEqual(
            layer["estimate"]["compute_s"] / layer["bound"]["compute_s"], 16 / 10, places=12
        )
        # Query heads of a group share an item: 8 heads x 3 rows on each of 8 K/V heads.
        flags = FUSED + " --query 3 --seq 9"
        layer = self.quantity(LLAMA_70B, flags, "layers.0.estimate.overhead_s", gpu)
        self.assertAlmostEqual(layer, 8e-6)

    def test_fit_is_tight(self) -> None:
        """One more sequence, or one more key, does not fit."""
        models: tuple[dict[str, Any], ...] = (
            LLAMA_70B,
            DEEPSEEK,
            GPT_OSS,
            {**GPT_OSS, "params_b": 117, "active_params_b": 5.1},
        )
        for model, flags in itertools.product(
            models,
            (f"{FUSED} --batch 7 --seq 5000", f"{FUSED} --ngpu 3", f"{FUSED} {HEADS} --ngpu 16"),
        ):
            gpu = {**H100, "memory": 87.77}
            memory = self.quantity(model, flags, "memory", gpu)
            for flag, most in (("--batch", memory["max_batch"]), ("--seq", memory["max_seq"])):
                for more, fits in ((0, most > 0), (1, False)):
                    with self.subTest(flag=flag, flags=flags, more=more, model=model):
                        case = f"{flags} {flag} {max(most + more, 1)}"
                        self.assertEqual(self.quantity(model, case, "memory.fits", gpu), fits)

    def test_windows_bound_the_cache_at_any_length(self) -> None:
        model = {**LLAMA_8B, "window": 4096}
        memory = self.quantity(model, f"{FUSED} --seq 100000000000", "memory")
        self.assertEqual((memory["max_seq"], memory["fits"]), (None, True))
        self.assertEqual(memory["cache_bytes"], 131_072 * 4095)
        step = self.quantity({**model, "params_b": 8}, f"{FUSED} --seq 100000", "throughput")
        self.assertIsNone(step["half_seq"])  # 4,095 rows never take as long as 8e9 parameters
        memory = self.quantity(LLAMA_8B, f"{FUSED} --seq 1", "memory")
        self.assertIsNone(memory["max_batch"])  # nothing cached yet

    def test_what_would_help(self) -> None:
        def gains(model: Any, flags: str, gpu: Any = H100) -> dict[str, float]:
            return {
                change["flag"]: change["gain"]
                for change in self.quantity(model, flags, "would_help", gpu)
            }

        # Decode, memory-bound: half the cache is twice the speed, and so are twice the GPUs;
        # arithmetic in FP8 brings its cache along. 64 of 64 K/V heads could be 8.
        model = {**LLAMA_70B, "n_kv_head": 64}
        found = gains(model, f"{FUSED} --seq 8192")
        self.assertAlmostEqual(found["n_kv_head 8"], 8, delta=0.02)
        self.assertAlmostEqual(found["--kv-dtype fp8"], 2, delta=0.01)
        self.assertAlmostEqual(found["--dtype fp8"], 2, delta=0.01)
        self.assertEqual(list(found), sorted(found, key=lambda flag: -found[flag]))
        # PCIe would cost more than half of the reading saves: no gain listed that is none.
        self.assertNotIn("--batch 2", found)
        self.assertNotIn("--fused", found)
        self.assertNotIn("--link nvlink", found)
        # Ridge first: unfused prefill spills its scores.
        self.assertIn("--fused", gains(LLAMA_8B, "--dtype bf16 --gen False"))
        # A launch shared by twice the sequences: (5 + m) / ((5 + 2 m) / 2).
        busy = gains(LLAMA_8B, f"{FUSED} --seq 2", {**H100, "launch_us": 5})
        self.assertAlmostEqual(busy["--batch 2"], 2, delta=0.01)
        busy = gains(LLAMA_8B, f"{FUSED} --seq 2 --batch 7 --ngpu 3", {**H100, "launch_us": 5})
        self.assertTrue({"--batch 14", "--ngpu 6"} & busy.keys())
        self.assertNotIn("--link nvlink", gains(LLAMA_70B, f"{FUSED} --link nvlink --ngpu 8"))
        # Two GPUs are enough for heads to be split, whose output is exchanged, not every score.
        self.assertIn("--split head", gains(LLAMA_70B, "--dtype bf16 --ngpu 2 --seq 9999"))
        # Links: PCIe 128 GB/s to NVLink 900.
        linked = gains(LLAMA_70B, f"{FUSED} --ngpu 8 --seq 2")
        self.assertGreater(linked["--link nvlink"], 6)
        # The cache does not fit: what makes it fit comes first, whatever it costs.
        tight = self.quantity(LLAMA_70B, f"{FUSED} --seq 400000", "would_help")
        self.assertTrue(tight[0]["fits"])
        self.assertTrue(all(change["fits"] or change["gain"] > 1 for change in tight))
        # On its limits: compute-bound prefill at the lowest precision of a GPU without NVLink.
        plain = {key: H100[key] for key in H100 if key not in ("fp8", "nvlink")}
        self.assertEqual(
            gains(LLAMA_70B, f"{FUSED} --gen False --seq 65536", plain).keys(), {"--ngpu 2"}
        )

    def test_precisions_step_down(self) -> None:
        for dtype, lower, cache in (
            ("fp32", "fp16", "fp16"),
            ("bf16", "fp8", "fp8"),
            ("fp8", None, "fp4"),
        ):
            found = self.quantity(LLAMA_8B, f"--fused --dtype {dtype} --seq 9999", "would_help")
            flags = {change["flag"] for change in found}
            with self.subTest(dtype):
                self.assertEqual(f"--dtype {lower}" in flags, lower is not None)
                self.assertIn(f"--kv-dtype {cache}", flags)
        last = self.quantity(LLAMA_8B, "--fused --dtype fp8 --kv-dtype fp4", "would_help")
        self.assertFalse([change for change in last if "dtype" in change["flag"]])


def gpu(draw: random.Random, **constants: float) -> ab.GPU:
    return ab.GPU(
        name="G",
        peaks={name: draw.uniform(1e12, 1e15) for name in ab.PRECISION_BITS},
        memory=80e9,
        bandwidth=draw.uniform(1e11, 8e12),
        links={"pcie": draw.uniform(1e10, 1e11), "nvlink": draw.uniform(1e11, 2e12)},
        cache=None,
        constants=constants,
        source="test",
    )


def model(draw: random.Random, latent: bool = False, window: int = 0) -> ab.Model:
    kv_head = draw.choice([1, 2, 3, 8])
    layers = ab.Layers(
        kind="windowed" if window else "full",
        n_layer=draw.randint(1, 9),
        n_head=kv_head * draw.choice([1, 2, 7]),
        n_kv_head=kv_head,
        dim_qk=draw.choice([2, 64, 192]),
        dim_v=draw.choice([2, 64, 128]),
        window=window,
        kv_lora_rank=draw.choice([4, 512]) if latent else 0,
        qk_rope_head_dim=2 if latent else 0,
    )
    if latent:
        layers = layers._replace(n_kv_head=layers.n_head)
    return ab.Model("M", layers.n_layer, (layers,), None, {}, "test")


def work(draw: random.Random, **fixed: Any) -> ab.Workload:
    seq = draw.randint(1, 3000)
    query = draw.choice([1, seq, draw.randint(1, seq)])
    drawn = ab.Workload(
        ngpu=draw.choice([1, 1, 2, 3, 8, 16]),
        batch=draw.choice([1, 2, 33]),
        seq=seq,
        query=query,
        phase="decode" if query == 1 else "prefill" if query == seq else "extend",
        dtype=draw.choice(["fp32", "bf16", "fp8"]),
        kv_dtype=draw.choice([None, "fp8", "bf16"]),
        fused=draw.random() < 0.5,
        split=draw.choice(["seq", "head"]),
        link=draw.choice(["pcie", "nvlink"]),
    )
    return drawn._replace(**fixed)


def layer(card: ab.GPU, net: ab.Model, case: ab.Workload) -> ab.Layer:
    return ab.analyse(card, net, case).layers[0]


class Properties(ScriptTest):
    """Over thousands of cases, drawn with a fixed seed."""

    cases = 2000

    def drawn(self, **fixed: Any) -> Any:
        draw = random.Random(3)
        for _ in range(self.cases):
            latent, window = draw.random() < 0.3, draw.choice([0, 0, 1, 5, 700])
            yield gpu(draw), model(draw, latent, window), work(draw, **fixed), draw

    def test_pairs_and_rows_against_the_mask(self) -> None:
        """Count the causal, windowed mask one pair at a time."""
        for window, seq in itertools.product(range(10), range(1, 12)):
            for query in range(1, seq + 1):
                mask = [
                    (row, key)
                    for row in range(seq - query, seq)
                    for key in range(row + 1)
                    if not window or key > row - window
                ]
                decode = query == 1
                case = ab.Workload(
                    1, seq, 1, query, "decode" if decode else "extend", "bf16", fused=True
                )
                net = model(random.Random(1), window=window)
                ops = ab.operands(net.layers[0], case)
                with self.subTest(window=window, seq=seq, query=query):
                    self.assertEqual(ops.pairs, len(mask))
                    seen = {key for _, key in mask}
                    self.assertEqual(ops.read_rows, len(seen) - decode)
                    dense = ab.operands(net.layers[0], case._replace(fused=False))
                    self.assertEqual(dense.pairs, query * len(seen))

    def test_unfused_default_equals_the_classic_report(self) -> None:
        for card, net, case, _ in self.drawn(fused=False, split="seq", link="pcie", kv_dtype=None):
            if net.layers[0].window or net.layers[0].kv_lora_rank:
                continue
            cost = layer(card, net, case)
            products = ab.classic_products(card, cost, case)
            for product, kernel in zip(products, cost.kernels[::2]):
                self.assertEqual(product.flops, kernel.flops)
                self.assertEqual(product.read_bytes, kernel.kv_read_bytes)
                self.assertEqual(product.sync_bytes, kernel.sync_bytes)
                compute_s, _, sync_s, *_ = kernel.bound
                self.assertAlmostEqual(product.compute_s / compute_s, 1, msg=case)
                self.assertEqual(product.sync_s, sync_s, case)

    def test_query_of_all_is_prefill(self) -> None:
        draw = random.Random(4)
        for _ in range(200):
            flags = ["--seq", str(draw.randint(2, 5000)), "--ngpu", str(draw.randint(1, 9))]
            flags += ["--fused"] * draw.randint(0, 1)
            flags += ["--split", draw.choice(["seq", "head"])]
            self.assertEqual(run(*flags, "--query", flags[1]), run(*flags, "--gen", "False"), flags)

    def test_wide_window_is_none(self) -> None:
        for card, net, case, _ in self.drawn():
            kinds = net.layers[0]._replace(window=0, kind="full")
            wide = kinds._replace(window=case.seq)
            self.assertEqual(ab.operands(kinds, case), ab.operands(wide, case))
            plain, windowed = (net._replace(layers=(each,)) for each in (kinds, wide))
            self.assertEqual(
                ab.analyse(card, plain, case).whole, ab.analyse(card, windowed, case).whole
            )

    def test_as_many_key_value_heads_is_no_grouping(self) -> None:
        draw = random.Random(5)
        for _ in range(100):
            heads = draw.randint(1, 64)
            shape = {"n_layer": 2, "n_head": heads, "dim_head": 64}
            flags = ["--seq", str(draw.randint(1, 99)), "--ngpu", str(draw.randint(1, 9))]
            ours = run("--config", self.config(None, {**shape, "n_kv_head": heads}), *flags)
            self.assertEqual(ours, run("--config", self.config(None, shape), *flags))

    def test_faster_hardware_never_slows(self) -> None:
        for card, net, case, draw in self.drawn():
            before = ab.analyse(card, net, case).whole.bound.total_s
            more = draw.uniform(1, 9)
            for faster in (
                card._replace(bandwidth=card.bandwidth * more),
                card._replace(peaks={name: peak * more for name, peak in card.peaks.items()}),
                card._replace(links={name: rate * more for name, rate in card.links.items()}),
            ):
                self.assertLessEqual(ab.analyse(faster, net, case).whole.bound.total_s, before)

    def test_twice_the_batch_is_twice_the_work(self) -> None:
        for card, net, case, _ in self.drawn():
            one = ab.analyse(card, net, case).whole
            two = ab.analyse(card, net, case._replace(batch=2 * case.batch)).whole
            self.assertEqual(two[:3], tuple(2 * count for count in one[:3]), case)
            for doubled, single in ((two.gpu_flops, one.gpu_flops), (two.gpu_bytes, one.gpu_bytes)):
                self.assertAlmostEqual(doubled / single, 2, msg=case)

    def test_intensity_is_bounded_by_reading_each_element_once(self) -> None:
        for card, net, case, _ in self.drawn(ngpu=1):
            ops = ab.operands(net.layers[0], case)
            whole = layer(card, net, case).whole
            # At best each K/V element is read once, for every query that shares it.
            once = ops.k_bytes if ops.latent_form == "absorbed" else ops.k_bytes + ops.v_bytes
            if once:
                self.assertLessEqual(whole.intensity, whole.flops / once)
            self.assertGreaterEqual(whole.bytes, once)

    def test_fused_never_moves_more(self) -> None:
        for card, net, case, _ in self.drawn():
            fused = layer(card, net, case._replace(fused=True)).whole
            unfused = layer(card, net, case._replace(fused=False)).whole
            self.assertLessEqual(fused.bytes, unfused.bytes)
            self.assertLessEqual(fused.flops, unfused.flops)
            self.assertLessEqual(fused.bound.memory_s, unfused.bound.memory_s)

    def test_totals_add_up(self) -> None:
        for card, net, case, draw in self.drawn():
            other = net.layers[0]._replace(window=draw.randint(1, 99), n_layer=3, kind="windowed")
            both = ab.analyse(card, net._replace(layers=(*net.layers, other)), case)
            for got, *parts in zip(both.whole.bound, *(each.whole.bound for each in both.layers)):
                counts = (net.layers[0].n_layer, 3)
                self.assertAlmostEqual(got, sum(n * part for n, part in zip(counts, parts)))
            for each in both.layers:
                for kernel in each.kernels:
                    compute, memory, sync, overhead, total = kernel.bound
                    self.assertAlmostEqual(total, max(compute, memory) + sync + overhead)


class Examples(ScriptTest):
    def test_docstrings_tell_the_truth(self) -> None:
        result = doctest.testmod(ab)
        self.assertEqual(result.failed, 0)
        self.assertGreater(result.attempted, 5)


class Configs(ScriptTest):
    def test_refusals(self) -> None:
        latent = dict(DEEPSEEK)
        for changed, expected in (
            ({"query": 9}, "unknown key"),
            ({"window": 0}, "Model.window must be a whole number from 1"),
            ({"n_layer_window": 2}, "Model.window is missing: n_layer_window needs it"),
            ({"window": 4, "n_layer_window": 97}, "n_layer_window"),
            ({"window": 4, "n_layer_window": 90, "n_layer_no_cache": 7}, "n_layer_no_cache"),
            ({"n_layer_no_cache": 96}, "Model.n_layer must be more than n_layer_no_cache"),
            ({"n_layer_no_cache": -1}, "Model.n_layer_no_cache must be a whole number"),
            ({"n_layer_no_cache": False}, "Model.n_layer_no_cache must be a whole number"),
            ({"active_params_b": 3}, "active_params_b must be at most params_b"),
            ({"active_params_b": 3, "params_b": 2}, "active_params_b must be at most params_b"),
            ({"kv_lora_rank": 512}, "Model.dim_head has no meaning beside kv_lora_rank"),
        ):
            with self.subTest(changed):
                error = self.refusal("--config", self.config(None, changed))
                self.assertIn(expected, error)
        for key in ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"):
            path = self.written(json.dumps({"GPU": H100, "Model": {**latent, key: 0}}))
            self.assertIn(f"Model.{key} must be", self.refusal("--config", path))
            rest = {name: value for name, value in latent.items() if name != key}
            path = self.written(json.dumps({"GPU": H100, "Model": rest}))
            self.assertIn(f"Model.{key} is missing", self.refusal("--config", path))
        path = self.written(json.dumps({"GPU": H100, "Model": {**latent, "n_kv_head": 128}}))
        self.assertIn("n_kv_head has no meaning beside", self.refusal("--config", path))
        for key in ("compute_efficiency", "bandwidth_efficiency", "link_efficiency"):
            error = self.refusal("--config", self.config({key: 1.01}))
            self.assertIn(f"GPU.{key} must be a number above 0 and at most 1, not 1.01", error)
            self.answer("--config", self.config({key: 1}))
        self.assertIn(
            "GPU.launch_us must be", self.refusal("--config", self.config({"launch_us": 0}))
        )
        self.answer("--config", self.config(None, {"n_layer_no_cache": 0, "n_layer_window": 0}))

    def test_flags_that_cannot_be(self) -> None:
        for flags, expected in (
            ("--query 9 --seq 8", "--query 9 must be at most --seq 8"),
            ("--query 0", "--query must be a whole number from 1"),
            ("--split heads", '"heads" (did you mean head?)'),
            ("--link nvlinc", '"nvlinc" (did you mean nvlink?)'),
            ("--link nvlink --ngpu 2", "--link nvlink: A100 has no figure for it (it has pcie)"),
            ("--kv-dtype fp7", "--kv-dtype must be one of fp32, tf32,"),
            ("--format sumary", '"sumary" (did you mean summary?)'),
            ("--fused=1", "--fused"),
        ):
            with self.subTest(flags):
                self.assertIn(expected, self.refusal(*flags.split()))
        self.answer("--link", "nvlink")  # one GPU needs no link
        self.answer("--query", "8", "--seq", "8")
