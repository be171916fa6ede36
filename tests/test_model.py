"""The cost model: published and hand-computed values, and properties over generated cases."""

from __future__ import annotations

import doctest
import itertools
import json
import math
import random
from typing import Any

import attn_bottleneck as ab
from tests import support
from tests.support import (
    DEEPSEEK,
    DEEPSEEK_671B,
    GPT3,
    GPT_OSS,
    H100,
    HYBRID,
    LLAMA2_13B,
    LLAMA_8B,
    LLAMA_70B,
    NO_OVERHEAD,
    ONE_HEAD,
    SLOW,
    ScriptTest,
    run,
)

FUSED = "--dtype bf16 --fused"
HEADS = "--split head --link nvlink"
LAYER = "layers.0."
EIGHT_B = {**LLAMA_8B, "params_b": 8.03}
FOUR_WIDE = dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 4)
FOUR_EXPERTS = {**ONE_HEAD, "hidden_size": 64, "params_b": 8, "active_params_b": 5, "n_expert": 4, "n_expert_active": 1}

# model, flags, column or path, value worked out by hand
GOLDEN: list[tuple[dict[str, Any], str, str, float]] = [
    # KV cache, bytes per token (the design's golden values, from the geometries above).
    (LLAMA_8B, FUSED, "kv_bytes_per_token", 131_072),
    (LLAMA_70B, FUSED, "kv_bytes_per_token", 327_680),
    (LLAMA2_13B, FUSED, "kv_bytes_per_token", 819_200),
    (DEEPSEEK, FUSED, "kv_bytes_per_token", 70_272),
    (GPT3, FUSED, "kv_bytes_per_token", 4_718_592),
    (GPT3, FUSED + " --kv-dtype fp8", "kv_bytes_per_token", 4_718_592 / 2),
    (GPT3, FUSED + " --kv-dtype fp4", "kv_bytes_per_token", 4_718_592 / 4),
    (GPT3, FUSED + " --kv-dtype int4", "kv_bytes_per_token", 4_718_592 / 4),
    # gpt-oss-120b: 36 x 2 x 8 x 64 x 2 bytes, half of it in full layers.
    (GPT_OSS, FUSED, "kv_bytes_per_token", 73_728),
    (GPT_OSS, FUSED, "kv_bytes_per_token_beyond_windows", 36_864),
    # Qwen3-Next: 12 of 48 layers keep a cache, 12 x 2 x 2 x 256 x 2 bytes.
    (HYBRID, FUSED, "kv_bytes_per_token", 24_576),
    # gpt-oss at 1,000 generated keys: 18 x 2048 B x 999 + 18 x 2048 B x 127.
    (GPT_OSS, FUSED + " --seq 1000", "cache_bytes", 36_864 * (999 + 127)),
    # After a prefill of 1,000: 1,000 and 128 rows.
    (GPT_OSS, FUSED + " --seq 1000 --gen False", "cache_bytes", 36_864 * 1128),
    # Half bytes round up once, over all layers: 3 rows of 2 x 1 elements of 4 bits, 3 layers.
    ({"n_layer": 3, "n_head": 1, "dim_head": 1}, FUSED + " --kv-dtype int4 --gen False --seq 3", "cache_bytes", 9),
    # The ridge of an H100 in BF16: 989.5e12 / 3.35e12.
    (LLAMA_8B, FUSED, "ridge_flop_per_byte", 989.5 / 3.35),
    # FlashAttention moves Q, K, V in and O out once: 4 N d (arXiv:2205.14135, theorem 2);
    # standard attention also moves N^2 scores four times (its algorithm 0).
    (ONE_HEAD, FUSED + " --gen False --seq 4096", "bytes", 4 * 4096 * 64 * 2),
    (ONE_HEAD, "--dtype bf16 --gen False --seq 4096", "bytes", (4 * 4096 * 64 + 4 * 4096**2) * 2),
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
    ({**LLAMA_8B, "window": 4096}, FUSED + " --gen False --seq 16384", LAYER + "pairs", 4096 * 4097 / 2 + 12288 * 4096),
    # FLOPs of a decode: 80 layers x 64 heads x (8192 x 255 + 128 x 16383).
    (LLAMA_70B, FUSED + " --seq 8192", "flops", 80 * 64 * (8192 * 255 + 128 * 16383)),
    # GQA reads 8 of 64 heads' worth: 2 x 8 x 128 x 8191 x 2 bytes (arXiv:2305.13245).
    (LLAMA_70B, FUSED + " --seq 8192", LAYER + "kv_read_bytes", 2 * 8 * 128 * 8191 * 2),
    ({**LLAMA_70B, "n_kv_head": 1}, FUSED, LAYER + "kv_read_bytes", 2 * 128 * 1023 * 2),
    # ... and its intensity is near the group size of 8, one FLOP per byte and query head.
    (LLAMA_70B, FUSED + " --seq 1000000", "intensity_flop_per_byte", 7.984),
    # DeepSeek-V3 decode, absorbed: 128 heads on one row of 576 that is read once.
    (DEEPSEEK, FUSED + " --seq 8192", LAYER + "kv_read_bytes", 576 * 8191 * 2),
    (DEEPSEEK, "--dtype bf16 --seq 8192", LAYER + "kv_read_bytes", (576 + 512) * 8191 * 2),
    (DEEPSEEK, FUSED + " --seq 8192", LAYER + "scores_flops", 128 * 8192 * (2 * 576 - 1)),
    (DEEPSEEK, FUSED + " --seq 8192", LAYER + "values_flops", 128 * 512 * (2 * 8192 - 1)),
    # About 242 FLOP/byte: 2 x 128 x (576 + 512) / (576 x 2), DeepSeek's FlashMLA deep dive.
    (DEEPSEEK, FUSED + " --seq 1000000", "intensity_flop_per_byte", 241.7),
    # Two tokens a step (multi-token prediction) read the same rows for twice the work.
    (DEEPSEEK, FUSED + " --seq 1000000 --query 2", "intensity_flop_per_byte", 483.1),
    # Prefill is plain attention of 128 heads, 192 wide for Q and K, 128 for V.
    (DEEPSEEK, FUSED + " --gen False --seq 100", LAYER + "scores_flops", 128 * 5050 * 383),
    (DEEPSEEK, FUSED + " --gen False --seq 100", LAYER + "values_flops", 128 * 128 * 10000),
    (DEEPSEEK, FUSED + " --gen False --seq 100", LAYER + "k_bytes", 128 * 192 * 100 * 2),
    (DEEPSEEK, FUSED + " --gen False --seq 100", "cache_bytes", 70_272 * 100),
    # 4,096 of 8,192 tokens new: the other 4,096 latents are projected to 128 heads of 128 + 128
    # again, 2 x 512 FLOPs an element, and written; with them 576 elements a row are read.
    (DEEPSEEK, FUSED + " --query 4096 --seq 8192", LAYER + "projected_flops", 2 * 4096 * 128 * 512 * 256),
    (
        DEEPSEEK,
        FUSED + " --query 4096 --seq 8192 --kv-dtype fp8",
        LAYER + "bytes",
        # Q, K, V, A of the product, and the projection's heads in BF16; its latents in FP8.
        2 * 128 * (4096 * 192 + 8192 * (192 + 128) + 4096 * 128 + 4096 * 256) + 4096 * 576,
    ),
    # Heads over GPUs: 16 of 64, and 2 of 8 K/V heads.
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 4 --seq 1025", LAYER + "gpu_flops", 16 * (1025 * 255 + 128 * 2049)),
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 4 --seq 1025", LAYER + "gpu_bytes", 2 * 2 * 128 * 1024 * 2 + 2 * 16 * 128 * 2),
    # 16 GPUs: 4 heads each, and a copy of one of the 8 K/V heads, not half of one.
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 16", "gpu_cache_bytes", 80 * 2 * 128 * 2 * 1023),
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 8", "gpu_cache_bytes", 80 * 2 * 128 * 2 * 1023),
    # Keys over GPUs: each holds 1/16 of everything.
    (LLAMA_70B, f"{FUSED} --ngpu 16", "gpu_cache_bytes", 327_680 * 1023 / 16),
    # The latent is held whole by each GPU that has some of the heads, and divided with the keys.
    (DEEPSEEK, f"{FUSED} {HEADS} --ngpu 8", "gpu_cache_bytes", 70_272 * 1023),
    (DEEPSEEK, f"{FUSED} --ngpu 8", "gpu_cache_bytes", 70_272 * 1023 / 8),
    # ... and so it is read: one row of 576 for all heads, beside 16 heads of Q and A.
    (DEEPSEEK, f"{FUSED} {HEADS} --ngpu 8 --seq 1025", LAYER + "gpu_bytes", 576 * 1024 * 2 + 16 * (576 + 512) * 2),
    # Sequences over GPUs: 2 of 7 on the busiest of 4, nothing exchanged.
    (LLAMA_70B, f"{FUSED} --ngpu 4 --batch 7 --split batch", "gpu_cache_bytes", 327_680 * 2046),
    (
        LLAMA_70B,
        f"{FUSED} --ngpu 4 --batch 7 --split batch --seq 1025",
        LAYER + "gpu_flops",
        2 * 64 * (1025 * 255 + 128 * 2049),
    ),
    (LLAMA_70B, f"{FUSED} --ngpu 4 --batch 7 --split batch", "sync_s", 0),
    # The largest batch: 80e9 B / (327,680 x 1,023 B) = 238 on each of 4.
    (LLAMA_70B, f"{FUSED} --ngpu 4 --batch 7 --split batch", "max_batch", 4 * 238),
    # The all-reduce is of the hidden size, here 64 x 128 = 8,192 elements of 2 bytes a token, and
    # may cross one direction of the link once: 450 GB/s of NVLink's 900.
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 8 --batch 4", "reduce_bytes", 80 * 4 * 16_384),
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 8 --batch 4", "exchange_bytes", 0),
    (LLAMA_70B, f"{FUSED} {HEADS} --ngpu 8 --batch 4", "sync_s", 80 * 4 * 16_384 / 450e9),
    (LLAMA_70B, f"{FUSED} {HEADS}", "reduce_bytes", 0),
    (LLAMA_70B, f"{FUSED} {HEADS}", "sync_s", 0),
    ({**LLAMA_70B, "hidden_size": 5}, f"{FUSED} {HEADS} --ngpu 8", "reduce_bytes", 80 * 5 * 2),
    # At least 16 bits wide, however the products compute; FP32 stays FP32.
    (LLAMA_70B, f"--dtype fp8 --fused {HEADS} --ngpu 8", "reduce_bytes", 80 * 16_384),
    (LLAMA_70B, f"--dtype fp32 --fused {HEADS} --ngpu 8", "reduce_bytes", 80 * 32_768),
    # DeepSeek-V3's output, 16 x 2,048 new tokens (the design's golden value), a layer.
    (DEEPSEEK_671B, f"{FUSED} {HEADS} --ngpu 8 --batch 16 --gen False --seq 2048", LAYER + "reduce_bytes", 469_762_048),
    # Keys split, fused, generation: queries of 128 go to 7 of 8 places and come back with 128 wide
    # partial outputs and the 4 bytes of each row's logarithm: less than 1,023 rows of keys.
    (LLAMA_70B, f"{FUSED} --ngpu 8 --batch 3", "exchange_bytes", 80 * 3 * 64 * 516 * 7 / 8),
    (LLAMA_70B, f"{FUSED} --ngpu 8 --batch 3", "reduce_bytes", 80 * 3 * 16_384),
    (LLAMA_70B, f"{FUSED} --ngpu 8", LAYER + "gpu_bytes", 2 * 8 * 128 * 1023 * 2 / 8 + 2 * 64 * 128 * 2),
    (LLAMA_70B, f"{FUSED} --ngpu 8", "sync_s", 80 * (64 * 516 * 7 / 8 + 16_384) / 64e9),
    # ... FP8 queries return 16 bits wide outputs: 128 + 256 + 4 bytes.
    (LLAMA_70B, "--dtype fp8 --fused --ngpu 8", "exchange_bytes", 80 * 64 * 388 * 7 / 8),
    # Prefill: 3/4 of the keys and values of 8 heads are less than of the queries of 32; each GPU
    # reads all of them, for a quarter of the rows.
    (LLAMA_8B, f"{FUSED} --ngpu 4 --gen False --seq 8192", LAYER + "exchange_bytes", 2 * 8 * 128 * 8192 * 2 * 3 / 4),
    (
        LLAMA_8B,
        f"{FUSED} --ngpu 4 --gen False --seq 8192",
        LAYER + "gpu_bytes",
        2 * 8 * 128 * 8192 * 2 + 2 * 32 * 128 * 8192 * 2 / 4,
    ),
    # ... and they and the output cross one direction of the link.
    (
        LLAMA_8B,
        f"{FUSED} --ngpu 4 --gen False --seq 8192",
        LAYER + "sync_s",
        (2 * 8 * 128 * 8192 * 2 * 3 / 4 + 8192 * 4096 * 2) / 64e9,
    ),
    # ... a GPU projects its own quarter of the latents again, to 128 heads of 128 + 128.
    (
        DEEPSEEK,
        f"{FUSED} --ngpu 4 --query 4096 --seq 8192",
        LAYER + "kernels.0.bytes",
        2 * 4096 * (576 + 128 * 256) / 4,
    ),
    # ... in a window no more than its rows; a latent as it is cached, 576 elements a row.
    (
        {**LLAMA_8B, "window": 100},
        f"{FUSED} --ngpu 4 --gen False --seq 8192",
        LAYER + "exchange_bytes",
        2 * 8 * 128 * 100 * 2 * 3 / 4,
    ),
    (DEEPSEEK, f"{FUSED} --kv-dtype fp8 --ngpu 4 --gen False --seq 8192", LAYER + "exchange_bytes", 576 * 8192 * 3 / 4),
    # Unfused: the scores and the output, over both directions, as the user's document has it.
    (LLAMA_70B, "--dtype bf16 --ngpu 8 --query 3", LAYER + "exchange_bytes", 3 * 64 * 1152 * 2),
    (LLAMA_70B, "--dtype bf16 --ngpu 8 --query 3", "reduce_bytes", 0),
    (LLAMA_70B, "--dtype bf16 --ngpu 8", LAYER + "sync_s", 64 * 1152 * 2 / 128e9),
    # Heads split, unfused: only the all-reduce.
    (LLAMA_70B, f"--dtype bf16 {HEADS} --ngpu 8", LAYER + "exchange_bytes", 0),
    (LLAMA_70B, f"--dtype bf16 {HEADS} --ngpu 8", LAYER + "reduce_bytes", 16_384),
    # A layer takes max(compute, memory) of each kernel: here all are memory-bound ...
    (LLAMA_8B, FUSED + " --seq 65536", LAYER + "bound_s", (65535 * 4096 + 16384) / 3350e9),
    (LLAMA_8B, "--dtype bf16 --seq 65536", LAYER + "bound_s", (65535 * 4096 + 16384 + 4 * 32 * 65536 * 2) / 3350e9),
    # ... or its exchange, if that takes longer: everything overlaps.
    (LLAMA_70B, "--dtype bf16 --ngpu 8", LAYER + "bound_s", 64 * 1152 * 2 / 128e9),
    # The cache that fits: (80e9 / 131072) rows and the generated one; with 8.03e9 x 2 bytes of
    # weights (80e9 - 16.06e9) / (131072 x 1023) sequences, with half of them, in FP8, 536.
    (LLAMA_8B, FUSED, "max_seq", 610_351 + 1),
    (EIGHT_B, FUSED, "max_batch", 476),
    (EIGHT_B, FUSED + " --weight-dtype fp8", "max_batch", 536),
    (EIGHT_B, FUSED + " --weight-dtype int4", "gpu_weight_bytes", 4.015e9),
    # Exactly, though a seventh of the weights is no whole number: 7 x 80e9 - 12e9 bytes, and 4 rows x 2 layers x
    # 25 elements x 16 bits of a sequence.
    (
        {"n_layer": 2, "n_head": 5, "kv_lora_rank": 21, **FOUR_WIDE, "params_b": 24},
        FUSED + " --weight-dtype int4 --ngpu 7 --seq 4 --query 4",
        "max_batch",
        1_370_000_000,
    ),
    # One token computes with each parameter and reads it: 16.06e9 B / 3350e9 B/s is more than
    # 16.06e9 FLOP / 989.5e12 FLOP/s; 4-bit weights are read in a quarter of it.
    (EIGHT_B, FUSED, "rest_s", 16.06 / 3350),
    (EIGHT_B, FUSED + " --weight-dtype int4", "rest_s", 16.06 / 4 / 3350),
    # ... 1,024 prompt tokens compute longer than they read, in FP8 weights at the peak of FP8, in
    # 4-bit ones, which no GPU computes with, at that of --dtype.
    (EIGHT_B, FUSED + " --gen False", "rest_s", 1024 * 16.06 / 989.5e3),
    (EIGHT_B, FUSED + " --gen False --weight-dtype fp8", "rest_s", 1024 * 16.06 / 1979e3),
    (EIGHT_B, FUSED + " --gen False --weight-dtype int4", "rest_s", 1024 * 16.06 / 989.5e3),
    # Both are shared by the GPUs, and attention's share is of the two together: at 65,535 rows
    # (65,535 x 131,072 + 32 x 16,384) B / 2 against 16.06e9 B / 2.
    (EIGHT_B, FUSED + " --ngpu 2", "rest_s", 16.06 / 3350 / 2),
    (EIGHT_B, FUSED + " --gen False --ngpu 2", "rest_s", 1024 * 16.06 / 989.5e3 / 2),
    # ... all-reducing 32 layers' outputs of 4,096 elements may take longer, under every split.
    (EIGHT_B, FUSED + " --gen False --ngpu 8 --split batch --batch 8", "rest_s", 32 * 8 * 1024 * 4096 * 2 / 64e9),
    (
        EIGHT_B,
        FUSED + " --seq 65536",
        "attention_share",
        (65535 * 131_072 + 32 * 16_384) / (65535 * 131_072 + 32 * 16_384 + 16.06e9),
    ),
    # One of 4 experts is chosen: 3e9 parameters are what 3 of 4 hold, so all hold 4e9, and 4e9 are
    # used by every token. 3 tokens choose 1 - (3/4)^3 = 37/64 of the experts.
    (FOUR_EXPERTS, FUSED + " --batch 3", "rest_s", (4 + 4 * 37 / 64) * 2 / 3350),
    # Not known to be 4 experts: 5/8 is as if of the weights alone.
    (
        {**ONE_HEAD, "params_b": 8, "active_params_b": 5},
        FUSED + " --batch 3",
        "rest_s",
        8 * (1 - (3 / 8) ** 3) * 2 / 3350,
    ),
    # DeepSeek-V3, 8 tokens: 634e9 are 248/256 of its experts; 16.5e9 + 146.8e9 parameters read.
    (
        DEEPSEEK_671B,
        "--dtype fp8 --fused --batch 8",
        "rest_s",
        (671 - 634 * 256 / 248 + 634 * 256 / 248 * (1 - (248 / 256) ** 8)) / 3350,
    ),
    # Attention of 131,072 bytes a token takes as long as 16.06e9 bytes of weights after 122,528
    # rows less the 16 KiB of Q and A a layer (4 rows).
    (EIGHT_B, FUSED, "half_seq", 122_526),
    # A thousand parameters are read at once: any length will do, that of the new tokens at least.
    ({**LLAMA_8B, "params_b": 1e-6}, FUSED, "half_seq", 1),
    ({**LLAMA_8B, "params_b": 1e-6}, FUSED + " --query 7", "half_seq", 7),
    (LLAMA_8B, FUSED + " --batch 3", "new_tokens", 3),
    # 3 tokens a step.
    (LLAMA_8B, FUSED + " --batch 3 --seq 1", "attention_tokens_per_s", 3350e9 / 32 / 16384),
]


class Published(ScriptTest):
    def test_golden_values(self) -> None:
        for model, flags, path, expected in GOLDEN:
            with self.subTest(flags=flags, model=model, path=path):
                value = self.quantity(model, flags, path)
                rounded = path == "intensity_flop_per_byte"
                close = math.isclose(value, expected, rel_tol=5e-4 if rounded else 1e-12)
                self.assertTrue(close, (value, expected))

    def close(self, value: float, expected: float, tolerance: float = 1e-12) -> None:
        self.assertTrue(math.isclose(value, expected, rel_tol=tolerance), (value, expected))

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
        flash_mla = {**NO_OVERHEAD, "compute_efficiency": 660 / 989.5, "latent_bandwidth_efficiency": 3000 / 3350}
        slow_start = {**NO_OVERHEAD, "launch_us": 5}
        for gpu, model, flags, expected in (
            (H100, LLAMA_70B, f"{FUSED} {long}", "memory"),
            (H100, LLAMA_70B, f"{FUSED} --gen False --seq 8192", "compute"),
            (H100, LLAMA_70B, f"--dtype bf16 --ngpu 8 {long}", "sync"),
            (H100, LLAMA_70B, f"{FUSED} {HEADS} --ngpu 8 {long}", "memory"),
            (H100, DEEPSEEK, f"{FUSED} --seq 8192 --batch 16", "memory"),  # 242 < 295, barely
            (flash_mla, DEEPSEEK, f"{FUSED} --seq 8192 --batch 16", "compute"),
            (H100, DEEPSEEK, f"{FUSED} --seq 8192 --batch 16 --query 2", "compute"),
            (H100, {**DEEPSEEK, "n_head": 16}, f"{FUSED} --seq 8192", "memory"),
            (slow_start, LLAMA_8B, f"{FUSED} --seq 512", "overhead"),
            (slow_start, LLAMA_8B, f"{FUSED} {long}", "memory"),
        ):
            with self.subTest(model=model, flags=flags, gpu=gpu):
                self.assertEqual(self.quantity(model, flags, "limit", gpu), expected)

    def test_latent_form_between_decode_and_prefill(self) -> None:
        """The form that needs fewer FLOPs, both counted by hand."""

        def flops(heads: int, query: int, seq: int, width: int, v_width: int) -> int:
            pairs = sum(range(seq - query + 1, seq + 1))
            return heads * (pairs * (2 * width - 1) + v_width * (2 * pairs - query))

        forms = set()
        for seq, query in ((8192, 2), (8192, 170), (8192, 171), (8192, 180), (131072, 200), (9, 8)):
            absorbed = flops(128, query, seq, 576, 512)
            plain = flops(128, query, seq, 192, 128) + 2 * (seq - query) * 128 * 512 * 256
            layer = self.quantity(DEEPSEEK, f"{FUSED} --seq {seq} --query {query}", "layers.0")
            with self.subTest(seq=seq, query=query):
                self.assertEqual(layer["flops"], min(absorbed, plain))
                form = "plain" if plain < absorbed else "absorbed"
                self.assertEqual(layer["latent_form"], form)
                forms.add(form)
        self.assertEqual(len(forms), 2)
        one, more = (self.quantity(DEEPSEEK, f"{FUSED} --seq 131072 --query {query}", "flops") for query in (170, 171))
        self.assertLess(abs(more / one - 1), 0.01)
        for flags, form in (("", "absorbed"), ("--gen False", "plain")):
            found = self.quantity(DEEPSEEK, f"{FUSED} {flags}", LAYER + "latent_form")
            self.assertEqual(found, form)

    def test_latents_are_projected_by_a_kernel_of_its_own(self) -> None:
        flags = f"{FUSED} --query 4096 --seq 8192 --ngpu 4 {HEADS}"
        kernels = self.quantity(DEEPSEEK, flags, LAYER + "kernels")
        self.assertEqual([kernel["name"] for kernel in kernels], ["projection", "attention"])
        # A quarter of the heads is projected, from latents that every GPU reads.
        self.assertEqual(kernels[0]["flops"], 2 * 4096 * 32 * 512 * 256)
        self.assertEqual(kernels[0]["bytes"], 2 * (4096 * 576 + 4096 * 32 * 256))
        unfused = self.quantity(DEEPSEEK, "--dtype bf16 --query 4096 --seq 8192", LAYER + "kernels")
        self.assertEqual(len(unfused), 4)
        # It reads and computes one after the other, as the attention of plain heads does.
        for kernel in self.quantity(DEEPSEEK, flags, LAYER + "kernels", SLOW):
            self.close(kernel["total_s"], kernel["compute_s"] + kernel["memory_s"] + kernel["overhead_s"])
            self.assertLess(kernel["bound_s"], kernel["total_s"])

    def test_constants_make_the_estimate(self) -> None:
        flags = f"{FUSED} {HEADS} --ngpu 4 --batch 4 --seq 4097"
        layer = self.quantity(LLAMA_70B, flags, "layers.0", SLOW)
        # Per GPU: 16 heads, 2 K/V heads; 4 x 16 x (4097 x 255 + 128 x 8193) FLOPs, but the
        # 4 x 16 x 4097 exponentials take longer at 5 x 1e9/s.
        self.assertLess(4 * 16 * (4097 * 255 + 128 * 8193) / (989.5e12 * 0.5), 4 * 16 * 4097 / 5e9)
        compute = 4 * 16 * 4097 / 5e9
        memory = (4 * 2 * 2 * 128 * 4096 * 2 + 4 * 2 * 16 * 128 * 2) / (3350e9 * 0.8)
        # 65,536 bytes to three others, in one shot, for less than 9 us and 6/4 of them.
        sync = 7e-6 + 2 * 0.5e-6 + 3 * 4 * 8192 * 2 / (450e9 * 0.25)
        # 8 tiles of which 5 run at once, 3/5 of one behind reading; 4 x 16 rows fill one of 64.
        overhead = 3e-6 + 1.5e-6 * 1 / 5
        self.assertLess(20e-6 * 0.6, compute + memory)
        self.close(layer["compute_s"], compute)
        self.close(layer["memory_s"], memory)
        self.close(layer["sync_s"], sync)
        self.close(layer["overhead_s"], overhead)
        self.close(layer["total_s"], compute + memory + sync + overhead)
        self.assertLess(layer["bound_s"], layer["total_s"])
        # With more of them than reading hides: 2 x 256 tiles of 16 keys on 5.
        many = f"{FUSED} {HEADS} --ngpu 4 --batch 256 --seq 2"
        layer = self.quantity(LLAMA_70B, many, "layers.0", SLOW)
        hidden = layer["compute_s"] + layer["memory_s"]
        items = 20e-6 * (512 / 5 - 1) - hidden
        self.close(layer["overhead_s"], 3e-6 + items + 1.5e-6 * 256 * 16 / 64 / 5)
        # Where keys travel each GPU has all K/V heads: 8 tiles of 4/2 heads' 16 rows, 3/5 of one too many.
        layer = self.quantity({**LLAMA_8B, "window": 40}, f"{FUSED} --query 16 --ngpu 2", "layers.0", SLOW)
        self.assertEqual(layer["exchanges"][0]["name"], "keys and values")
        hidden = layer["compute_s"] + layer["memory_s"]
        self.close(layer["overhead_s"], 3e-6 + 20e-6 * 3 / 5 - hidden + 1.5e-6 * 32 / 2 * 16 / 64 / 5)
        # One head of one element: the query's 2 + 2 + 4 bytes are as many as those of two rows; of equal ones the first.
        for seq, name in ((2, "keys and values"), (3, "queries")):
            tie = {"n_layer": 1, "n_head": 1, "dim_head": 1}
            layer = self.quantity(tie, f"{FUSED} --split seq --ngpu 2 --seq {seq}", "layers.0")
            self.assertEqual(layer["exchanges"][0]["name"], name)
        # Unfused: three kernels, each of a launch; 64 heads in 8 tiles, one if they were full.
        unfused = self.quantity(LLAMA_70B, "--dtype bf16 --seq 999999", LAYER + "overhead_s", SLOW)
        self.close(unfused, 3 * (3e-6 + 1.5e-6 / 5))
        # Absorbed latent attention computes while it reads, at a rate of its own.
        layer = self.quantity(DEEPSEEK, f"{FUSED} --seq 9999", "layers.0", SLOW)
        self.close(layer["memory_s"], (576 * 9998 + 128 * 1088) * 2 / (3350e9 * 0.6))
        slower = max(layer["compute_s"], layer["memory_s"])
        self.close(layer["total_s"], slower + layer["overhead_s"])

    def test_the_longest_tile_and_full_ones(self) -> None:
        def tail(layer: Any, rows: int, pairs: float, longest: int) -> float:
            """Of the last 128 rows on one of 5 multiprocessors, beyond the mean ones."""
            each = layer["gpu_flops"] / rows * (longest * rows / pairs - 1)
            return float(128 * each * 5 / (989.5e12 * 0.5))

        # 4,096 rows of 1 head: 64 tiles of 64 rows if packed, 32 of 128 rows.
        prompt = FUSED + " --gen False --seq 4096"
        found = self.quantity(ONE_HEAD, prompt, "layers.0", SLOW)
        pairs = 4096 * 4097 / 2  # whose exponentials are slower than FLOPs here
        self.close(found["compute_s"], pairs / 5e9 + tail(found, 4096, pairs, 4096))
        self.close(found["overhead_s"], 3e-6 + 1.5e-6 * 32 / 5)
        # In a window no row is longer than it: the first rows are shorter.
        found = self.quantity({**ONE_HEAD, "window": 1000}, prompt, "layers.0", SLOW)
        pairs = 1000 * 1001 / 2 + 3096 * 1000
        self.close(found["compute_s"], pairs / 5e9 + tail(found, 4096, pairs, 1000))
        # Dense products have no longest row.
        kernels = self.quantity(ONE_HEAD, "--dtype bf16 --gen False", LAYER + "kernels", SLOW)
        self.assertEqual([kernel["tail_flops"] for kernel in kernels], [0, 0, 0])

    def test_exchanges_at_the_rates_they_reach(self) -> None:
        """Each form of an all-reduce, and what is passed, by hand; PCIe 64 GB/s a direction."""
        rate, pcie = 450e3 * 0.25, 64e3 * 0.5  # bytes/us
        for flags, exchange, us in (
            # 16 KiB a token: one-shot to 7 others while that is shorter, then two-shot.
            (f"{HEADS} --ngpu 8", 0, 7 + 3 * 0.5 + 7 * 16384 / rate),
            (f"{HEADS} --ngpu 8 --batch 64", 0, 7 + 1.5 + 9 + 14 / 8 * 2**20 / rate),
            # 16 MiB are the last of these; above, another library.
            (f"{HEADS} --ngpu 8 --batch 1024", 0, 7 + 1.5 + 9 + 14 / 8 * 2**24 / rate),
            (f"{HEADS} --ngpu 8 --batch 1025", 0, 40 + 14 / 8 * 1025 * 2**14 / rate),
            # Queries of 64 heads to 7 of 8 places.
            ("--link nvlink --ngpu 8", 0, 7 + 1.5 + 64 * 516 * 7 / 8 / rate),
            ("--link pcie --ngpu 8", 0, 5 + 3 * 2 + 64 * 516 * 7 / 8 / pcie),
            ("--link pcie --ngpu 8", 1, 5 + 14 * 2 + 14 / 8 * 16384 / pcie),
        ):
            layer = self.quantity(LLAMA_70B, f"{FUSED} {flags}", "layers.0", SLOW)
            with self.subTest(flags):
                self.close(layer["exchanges"][exchange]["seconds"], us / 1e6)

    def test_the_rest_of_an_estimated_step(self) -> None:
        """The README's formula, term by term: 10 us a kernel, 0.75 and 0.6 of the peaks of 16 and
        8 bits, 0.88 of the bandwidth.
        """
        read, kernels = 3350 * 0.88, 32 * 2 * 10e-6
        for flags, expected in (
            ("", 16.06 / read + kernels),
            ("--gen False", 1024 * 16.06 / (989.5e3 * 0.75) + kernels),
            ("--gen False --weight-dtype fp8", 1024 * 16.06 / (1979e3 * 0.6) + kernels),
            ("--gen False --weight-dtype int4", 1024 * 16.06 / (989.5e3 * 0.75) + kernels),
            # Two GPUs, and 32 one-shot all-reduces of 4,096 elements of 2 bytes.
            ("--ngpu 2 --link nvlink", 16.06 / read / 2 + kernels + 32 * (7.5e-6 + 8192 / (450e9 * 0.25))),
        ):
            with self.subTest(flags):
                self.close(self.quantity(EIGHT_B, f"{FUSED} {flags}", "rest_s", SLOW), expected)
        # Experts: 4e9 of 8e9 parameters are used by each of 3 tokens, 37/64 of the others are read
        # and 1e9 computed with; four kernels in the only layer.
        expected = 4 * 2 / read + 2 * 3 * 1 / (989.5e3 * 0.75) + 4 * 37 / 64 * 2 / read + 4 * 10e-6
        self.close(self.quantity(FOUR_EXPERTS, FUSED + " --batch 3", "rest_s", SLOW), expected)

    def test_an_estimate_needs_every_constant(self) -> None:
        constants = {name: NO_OVERHEAD[name] for name in NO_OVERHEAD if name not in H100}
        for name in constants:
            less = {key: value for key, value in NO_OVERHEAD.items() if key != name}
            for flags, ngpu in (("", 1), (HEADS + " --ngpu 2", 2)):
                found = self.record(LLAMA_70B, f"{FUSED} {flags}", less)
                alone = self.record(LLAMA_70B, f"{FUSED} {flags}", H100)
                with self.subTest(name, ngpu=ngpu):
                    linked = name.startswith("link") and ngpu == 1
                    estimate = linked or name.startswith("pcie")
                    self.assertEqual(found["basis"], "estimate" if estimate else "bound")
                    if not estimate:
                        self.assertEqual(found["total_s"], alone["bound_s"])
                        self.assertEqual(found["rest_s"], alone["rest_s"])
                        self.assertEqual(found["overhead_s"], 0)
        only = self.record(LLAMA_70B, FUSED, {**H100, "multiprocessors": 7})
        self.assertEqual(only["basis"], "bound")

    def test_half_of_the_step(self) -> None:
        """In prefill the rest of the step grows with the length: no single length says it."""
        for flags in ("--gen False", "--query 1024"):
            self.assertIsNone(self.quantity(EIGHT_B, f"{FUSED} {flags}", "half_seq"))
        half = self.quantity(EIGHT_B, f"{FUSED} --query 7 --seq 100", "half_seq")
        for seq, more in ((half, True), (half - 1, False)):
            share = self.quantity(EIGHT_B, f"{FUSED} --query 7 --seq {seq}", "attention_share")
            self.assertEqual(share >= 0.5, more)
        found = {self.quantity(EIGHT_B, f"{FUSED} --seq {seq}", "half_seq") for seq in (1, 1024, 2**20)}
        self.assertEqual(found, {122_526})
        found = {
            json.loads(line)["half_seq"]
            for order in ("1M,128K,1K", "1K,128K,1M")
            for line in self.answer(
                *f"--model llama-3.1-8b --gpu mi300x {FUSED} --format json --seq".split(), order
            ).splitlines()
        }
        self.assertEqual(len(found), 1)

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
            (
                f"{FUSED} --batch 7 --seq 5000",
                f"{FUSED} --ngpu 3",
                f"{FUSED} {HEADS} --ngpu 16",
                f"{FUSED} --split batch --ngpu 3 --batch 7",
            ),
        ):
            gpu = {**H100, "memory": 87.77}
            memory = self.record(model, flags, gpu)
            for flag, most in (("--batch", memory["max_batch"]), ("--seq", memory["max_seq"])):
                for more, fits in ((0, most > 0), (1, False)):
                    with self.subTest(flag=flag, flags=flags, more=more, model=model):
                        case = f"{flags} {flag} {max(most + more, 1)}"
                        self.assertEqual(self.quantity(model, case, "fits", gpu), fits)

    def test_windows_bound_the_cache_at_any_length(self) -> None:
        model = {**LLAMA_8B, "window": 4096}
        memory = self.record(model, f"{FUSED} --seq 100000000000")
        self.assertEqual((memory["max_seq"], memory["fits"]), (None, True))
        self.assertEqual(memory["cache_bytes"], 131_072 * 4095)
        half = self.quantity({**model, "params_b": 8}, f"{FUSED} --seq 100000", "half_seq")
        self.assertIsNone(half)  # 4,095 rows never take as long as 8e9 parameters
        memory = self.record(LLAMA_8B, f"{FUSED} --seq 1")
        self.assertIsNone(memory["max_batch"])  # nothing cached yet
        # Weights of exactly the memory leave room for no row but the new one.
        full = self.record({**LLAMA_8B, "params_b": 40}, f"{FUSED} --seq 1")
        self.assertEqual((full["fits"], full["max_seq"], full["max_batch"]), (True, 1, None))
        full = self.record({**LLAMA_8B, "params_b": 41}, f"{FUSED} --seq 1")
        self.assertEqual((full["fits"], full["max_seq"], full["max_batch"]), (False, 0, 0))

    def changes(self, model: Any, flags: str, gpu: Any = H100) -> dict[str, Any]:
        """Gains of attention by the flags that bring them; all together last."""
        found = self.quantity(model, flags, "would_help", gpu)
        return {change["flags"]: change["attention_gain"] for change in found}

    def test_what_would_help(self) -> None:
        # Decode, memory-bound: half the cache is twice the speed, and so are twice the GPUs and
        # half the K/V heads; arithmetic in FP8 keeps its cache, and so brings nothing.
        found = self.changes(LLAMA_70B, f"{FUSED} --seq 8192")
        for flags in ("--set Model.n_kv_head=4", "--kv-dtype fp8"):
            self.assertTrue(math.isclose(found.pop(flags), 2, rel_tol=0.01), flags)
        self.assertEqual(found.keys(), {"--ngpu 2"})
        # Compute-bound prefill: arithmetic alone, with cache and weights as they are.
        found = self.changes(LLAMA_70B, f"{FUSED} --gen False --seq 65536")
        alone = "--dtype fp8 --kv-dtype bf16 --weight-dtype bf16"
        self.assertTrue(math.isclose(found[alone], 2, rel_tol=0.01))
        self.assertEqual(next(iter(found)), alone)
        # Scores that unfused prefill spills.
        self.assertIn("--fused", self.changes(LLAMA_8B, "--dtype bf16 --gen False"))
        # A launch shared by twice the sequences.
        busy = {**NO_OVERHEAD, "launch_us": 5}
        found = self.changes(LLAMA_8B, f"{FUSED} --seq 2", busy)
        self.assertTrue(math.isclose(found["--batch 2"], 2, rel_tol=0.01))
        # Links: PCIe 128 GB/s to NVLink 900; and no fused kernel is told to be one.
        found = self.changes(LLAMA_70B, f"{FUSED} --ngpu 8 --seq 2")
        self.assertGreater(found["--link nvlink"], 6)
        self.assertNotIn("--fused", found)
        nvlink = f"{FUSED} --ngpu 8 --link nvlink"
        self.assertNotIn("--link pcie", self.changes(LLAMA_70B, nvlink))
        # Heads whose latent every GPU reads: any other split helps.
        found = self.changes(DEEPSEEK, f"{FUSED} {HEADS} --ngpu 8 --batch 64 --seq 8192")
        self.assertLessEqual({"--split batch", "--split seq"}, found.keys())
        # Two GPUs are enough to share otherwise, or by another link.
        found = self.changes(DEEPSEEK, f"{FUSED} --split head --ngpu 2 --batch 64 --seq 8192")
        self.assertLessEqual({"--split batch", "--split seq"}, found.keys())
        found = self.changes(LLAMA_70B, f"{FUSED} --ngpu 2 --seq 2")
        self.assertIn("--link nvlink", found)
        # GPUs whose exchange costs more than it saves.
        slow = {**NO_OVERHEAD, "launch_us": 5, "pcie_hop_us": 5}
        found = self.changes(LLAMA_8B, f"{FUSED} --ngpu 8 --split head", slow)
        self.assertGreater(found["--ngpu 4"], 1.01)
        self.assertNotIn("--ngpu 16", found)

    def test_a_change_is_its_flags(self) -> None:
        """What each line promises is what its flags give, with the case's own before them."""
        for model, flags in (
            (EIGHT_B, f"{FUSED} --ngpu 2 --batch 4 --seq 9999"),
            (EIGHT_B, "--dtype bf16 --ngpu 8 --gen False --seq 999 --link pcie"),
            (DEEPSEEK_671B, f"{FUSED} {HEADS} --ngpu 8 --batch 64 --seq 8192"),
        ):
            for gpu in (H100, NO_OVERHEAD):
                case = self.record(model, flags, gpu)
                self.assertGreater(len(case["would_help"]), 3)
                for change in case["would_help"]:
                    with self.subTest(flags=flags, change=change["flags"]):
                        after = self.record(model, f"{flags} {change['flags']}", gpu)
                        tokens = after["new_tokens"] / case["new_tokens"]
                        for name, gain in (("total_s", change["attention_gain"]), ("step_s", change["step_gain"])):
                            self.close(case[name] / after[name] * tokens, gain, 1e-9)
                        self.assertEqual(after["fits"], change["fits"])

    def test_more_gpus_without_constants_of_their_link_gain_by_the_bounds(self) -> None:
        kernels = {key: value for key, value in SLOW.items() if not key.startswith(("link_", "pcie_"))}
        flags = f"{FUSED} --seq 8192"
        gain = self.changes(LLAMA_70B, flags, kernels)["--ngpu 2"]
        one, two = (self.record(LLAMA_70B, f"{flags} --ngpu {n}", kernels) for n in (1, 2))
        self.assertEqual((one["basis"], two["basis"]), ("estimate", "bound"))
        self.close(gain, one["bound_s"] / two["bound_s"])

    def test_fewer_gpus_with_the_link_that_joins_them(self) -> None:
        """From 16 GPUs, which PCIe joins, to 8 with NVLink: the flags say so."""
        flags = "--gpu h100-sxm --model llama-3.1-70b --ngpu 16 --batch 16 --format json"
        case = json.loads(run(*flags.split()).out)
        half = next(each for each in case["would_help"] if "--ngpu 8" in each["flags"])
        self.assertEqual(half["flags"], "--ngpu 8 --link nvlink")
        after = json.loads(run(*flags.split(), *half["flags"].split()).out)
        self.close(case["total_s"] / after["total_s"], half["attention_gain"], 1e-9)

    def test_together_is_more_than_one_of_them(self) -> None:
        flags = "--gpu h100-sxm --model deepseek-v3 --ngpu 8 --batch 16 --seq 32K --split batch"
        for more in ("", "--weight-dtype fp4"):
            found = json.loads(run(*flags.split(), *more.split(), "--format", "json").out)
            told = [each["flags"] for each in found["would_help"]]
            self.assertEqual(len(told), len(set(told)))

    def test_all_that_help_together(self) -> None:
        case = self.record(EIGHT_B, "--dtype bf16 --ngpu 8 --seq 99999 --batch 64")
        *single, together = case["would_help"]
        self.assertEqual(together["what"], "all that help together")
        self.assertGreaterEqual(
            together["step_gain"], max(each["step_gain"] for each in single if "ngpu" not in each["flags"])
        )
        for flag in ("--ngpu", "--batch", "--set"):
            self.assertNotIn(flag, together["flags"])
        # One flag alone is no "together".
        one = self.quantity(LLAMA_70B, f"{FUSED} --seq 8192", "would_help")
        self.assertEqual([each["what"] for each in one if "together" in each["what"]], [])

    def test_what_makes_it_fit_comes_first(self) -> None:
        found = self.quantity(LLAMA_70B, f"{FUSED} --seq 400000", "would_help")
        fits = [change["fits"] for change in found if "together" not in change["what"]]
        self.assertEqual(fits, sorted(fits, reverse=True))
        self.assertTrue(fits[0])

    def test_half_the_heads_only_where_a_flag_can_say_it(self) -> None:
        for model in (DEEPSEEK, {**LLAMA_70B, "n_kv_head": 1}):
            found = self.changes(model, FUSED)
            self.assertFalse([flags for flags in found if "--set" in flags])

    def test_precisions_step_down(self) -> None:
        for dtype, lower, cache in (("fp32", "fp16", "fp16"), ("bf16", "fp8", "fp8"), ("fp8", None, "fp4")):
            found = self.changes(EIGHT_B, f"--fused --dtype {dtype} --gen False --seq 9999")
            arithmetic = [flags for flags in found if flags.startswith(f"--dtype {lower} ")]
            with self.subTest(dtype):
                self.assertEqual(bool(arithmetic), lower is not None)
                found = self.changes(EIGHT_B, f"--fused --dtype {dtype} --seq 9999")
                self.assertIn(f"--kv-dtype {cache}", found)
                self.assertIn(f"--weight-dtype {cache}", found)
        last = "--fused --dtype fp8 --kv-dtype fp4 --weight-dtype int4 --seq 9999"
        self.assertFalse([flags for flags in self.changes(EIGHT_B, last) if "dtype" in flags])


def gpu(draw: random.Random) -> ab.GPU:
    return ab.GPU(
        name="G",
        peaks={name: draw.uniform(1e12, 1e15) for name in ab.COMPUTING},
        memory=80e9,
        bandwidth=draw.uniform(1e11, 8e12),
        links={"pcie": draw.uniform(1e10, 1e11), "nvlink": draw.uniform(1e11, 2e12)},
        figures={},
        source="test",
    )


def model(draw: random.Random, latent: bool = False, window: int = 0) -> ab.Model:
    kv_head = draw.choice([1, 2, 3, 8])
    layers = ab.Layers(
        kind="windowed" if window else "full",
        n_layer=draw.randint(1, 9),
        n_head=kv_head * draw.choice([1, 2, 7]),
        n_kv_head=kv_head,
        dim_qk=draw.choice([4, 64, 192]),
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
        kv_dtype=draw.choice(["fp8", "bf16", "fp32"]),
        weight_dtype="bf16",
        fused=draw.random() < 0.5,
        split=draw.choice(["seq", "batch"]),
        link=draw.choice(["pcie", "nvlink"]),
    )
    return drawn._replace(**fixed)


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
                case = work(random.Random(1), seq=seq, query=query, phase="decode" if decode else "extend", fused=True)
                net = model(random.Random(1), window=window)
                _, ops = ab.operands(net.layers[0], case)
                with self.subTest(window=window, seq=seq, query=query):
                    self.assertEqual(ops.pairs, len(mask))
                    seen = {key for _, key in mask}
                    self.assertEqual(ops.read_rows, len(seen) - decode)
                    _, dense = ab.operands(net.layers[0], case._replace(fused=False))
                    self.assertEqual(dense.pairs, query * len(seen))

    def test_query_of_all_is_prefill(self) -> None:
        draw = random.Random(4)
        for _ in range(200):
            flags = ["--seq", str(draw.randint(2, 5000)), "--ngpu", draw.choice("123468")]
            flags += ["--fused"] * draw.randint(0, 1)
            flags += ["--split", draw.choice(["seq", "head", "batch"])]
            self.assertEqual(run(*flags, "--query", flags[1]), run(*flags, "--gen", "False"), flags)

    def test_wide_window_is_none(self) -> None:
        for card, net, case, _ in self.drawn():
            kinds = net.layers[0]._replace(window=0, kind="full")
            wide = kinds._replace(window=case.seq)
            self.assertEqual(ab.operands(kinds, case)[1], ab.operands(wide, case)[1])
            plain, windowed = (net._replace(layers=(each,)) for each in (kinds, wide))
            self.assertEqual(ab.analyse(card, plain, case).counts, ab.analyse(card, windowed, case).counts)

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
            before = ab.analyse(card, net, case).terms.bound_s
            more = draw.uniform(1, 9)
            for faster in (
                card._replace(bandwidth=card.bandwidth * more),
                card._replace(peaks={name: peak * more for name, peak in card.peaks.items()}),
                card._replace(links={name: rate * more for name, rate in card.links.items()}),
            ):
                self.assertLessEqual(ab.analyse(faster, net, case).terms.bound_s, before)

    def test_twice_the_batch_is_twice_the_work(self) -> None:
        for card, net, case, _ in self.drawn(split="seq"):
            one = ab.analyse(card, net, case).counts
            two = ab.analyse(card, net, case._replace(batch=2 * case.batch)).counts
            for name in one._fields:
                doubled, single = getattr(two, name), getattr(one, name)
                self.assertTrue(math.isclose(doubled, 2 * single, rel_tol=1e-12), (case, name))

    def test_intensity_is_bounded_by_reading_each_element_once(self) -> None:
        for card, net, case, _ in self.drawn(ngpu=1):
            _, ops = ab.operands(net.layers[0], case)
            found = ab.analyse(card, net, case).layers[0].counts
            # At best each K/V element is read once, for every query that shares it.
            once = ops.k_bytes if ops.latent_form == "absorbed" else ops.k_bytes + ops.v_bytes
            if once:
                self.assertLessEqual(found.intensity, found.flops / once)
            self.assertGreaterEqual(found.bytes, once)

    def test_fused_never_moves_more(self) -> None:
        for card, net, case, _ in self.drawn():
            if case.phase == "extend" and net.layers[0].kv_lora_rank:
                continue  # fewer pairs may make the plain form, which moves more, the cheaper one
            fused = ab.analyse(card, net, case._replace(fused=True)).counts
            unfused = ab.analyse(card, net, case._replace(fused=False)).counts
            self.assertLessEqual(fused.bytes, unfused.bytes)
            self.assertLessEqual(fused.flops, unfused.flops)

    def test_totals_add_up(self) -> None:
        for card, net, case, draw in self.drawn():
            other = net.layers[0]._replace(window=draw.randint(1, 99), n_layer=3, kind="windowed")
            both = ab.analyse(card, net._replace(layers=(*net.layers, other)), case)
            first, second = both.layers
            for name in (*both.counts._fields, *both.terms._fields):
                record = "counts" if name in both.counts._fields else "terms"
                got, one, three = (getattr(getattr(each, record), name) for each in (both, first, second))
                expected = net.layers[0].n_layer * one + 3 * three
                self.assertTrue(math.isclose(got, expected, rel_tol=1e-12), (case, name))
            for each in both.layers:
                overlapped = [max(terms.compute_s, terms.memory_s) for _, terms in each.kernels]
                bound = max(math.fsum(overlapped), math.fsum([seconds for _, seconds in each.exchanges]))
                self.assertTrue(math.isclose(each.terms.bound_s, bound, rel_tol=1e-12), case)

    def test_the_busiest_gpu_does_its_share(self) -> None:
        """However the work is split, n GPUs do all of it, and one alone exactly it."""
        for card, net, case, _ in self.drawn():
            found = ab.analyse(card, net, case).counts
            lone = ab.analyse(card, net, case._replace(ngpu=1)).counts
            self.assertTrue(math.isclose(lone.gpu_flops, lone.flops, rel_tol=1e-12), case)
            self.assertTrue(math.isclose(lone.gpu_bytes, lone.bytes, rel_tol=1e-12), case)
            self.assertGreaterEqual(found.gpu_flops * case.ngpu, lone.flops * (1 - 1e-12))
            self.assertGreaterEqual(found.gpu_bytes * case.ngpu, lone.bytes * (1 - 1e-12))


class Additions(ScriptTest):
    def test_sums_are_additions_in_their_order(self) -> None:
        """From Python 3.12 on sum() of floats compensates, and so gives other bytes than before."""
        seconds = [0.1] * 10 + [1e16, 1.0, -1e16]
        expected = seconds[0]
        for each in seconds[1:]:
            expected = expected + each
        self.assertNotEqual(expected, math.fsum(seconds))
        found = ab.summed([(1, ab.Terms(each, each, each, each, each)) for each in seconds])
        self.assertEqual(set(found), {expected})
        thrice = ab.summed([(3, ab.Terms(0.1)), (7, ab.Terms(0.2))])
        self.assertEqual(thrice.compute_s, 3 * 0.1 + 7 * 0.2)


class Examples(ScriptTest):
    def test_docstrings_tell_the_truth(self) -> None:
        for module, examples in ((ab, 3), (support, 2)):
            self.assertEqual(doctest.testmod(module), (0, examples))


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
            ({"active_params_b": 3}, "active_params_b must be at most params_b, and stand beside it: 3000000000 of 0"),
            ({"n_expert": 4}, "n_expert and n_expert_active must stand together"),
            ({"n_expert_active": 4}, "n_expert and n_expert_active must stand together"),
            ({"n_expert": 4, "n_expert_active": 5}, "Model.n_expert_active must be at most n_expert 4, not 5"),
            (
                {"params_b": 8, "active_params_b": 7, "n_expert": 4, "n_expert_active": 4},
                "active_params_b must be at least 1 of params_b",
            ),
            (
                {"params_b": 8, "active_params_b": 1.9, "n_expert": 4, "n_expert_active": 1},
                "active_params_b must be at least 0.25 of params_b",
            ),
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
        self.assertIn("GPU.launch_us must be", self.refusal("--config", self.config({"launch_us": 0})))
        self.answer("--config", self.config(None, {"n_layer_no_cache": 0, "n_layer_window": 0}))
        # As many active as the experts' part, and all of them, are the ends of what can be.
        experts = {"n_expert": 4, "n_expert_active": 1, "params_b": 8}
        for active in (2, 8):
            self.answer("--config", self.config(None, {**experts, "active_params_b": active}))

    def test_how_many_gpus_a_link_joins(self) -> None:
        for value in (1, 0, 2.5, True, "8"):
            error = self.refusal("--config", self.config({"nvlink": 600, "nvlink_gpus": value}))
            self.assertIn("GPU.nvlink_gpus must be a whole number from", error)
        error = self.refusal("--config", self.config({"nvlink_gpus": 8}))
        self.assertIn("GPU.nvlink_gpus has no meaning without nvlink", error)
        pair = self.config({"nvlink": 600, "nvlink_gpus": 2})
        self.answer("--config", pair, "--link", "nvlink", "--ngpu", "2")
        error = self.refusal("--config", pair, "--link", "nvlink", "--ngpu", "3")
        self.assertIn("--link nvlink joins at most 2 GPUs of A100: 3", error)
        self.answer("--config", self.config({"nvlink": 600}), "--link", "nvlink", "--ngpu", "1000000")

    def test_which_link_is_taken(self) -> None:
        pair = self.config({"nvlink": 600, "nvlink_gpus": 2})
        for flags, link in (
            (f"--config {pair} --ngpu 2", "pcie"),  # the document's N
            (f"--config {pair} --ngpu 2 --model gpt3-175b", "nvlink"),
            (f"--config {pair} --ngpu 3 --model gpt3-175b", "pcie"),
            ("--gpu h100-sxm --ngpu 8 --fp16", "nvlink"),
            ("--gpu h100-pcie --ngpu 4 --fp16", "pcie"),
            ("--gpu h100-pcie --ngpu 4 --fp16 --link pcie", "pcie"),
            ("--gpu l40s --ngpu 2 --fp16", "pcie"),
        ):
            with self.subTest(flags):
                found = json.loads(run(*flags.split(), "--format", "json").out)
                self.assertEqual(found["link"], link)

    def test_heads_that_gpus_cannot_share(self) -> None:
        for model, ngpu, works in (
            (LLAMA_70B, 6, "1, 2, 4, 8, 16, 32, 64"),
            (LLAMA_70B, 128, "1, 2, 4, 8, 16, 32, 64"),
            ({**LLAMA_70B, "n_head": 12, "n_kv_head": 4}, 3, "1, 2, 4, 12"),
            (DEEPSEEK, 3, "1, 2, 4, 8, 16, 32, 64, 128"),
            ({**LLAMA_70B, "n_head": 256, "n_kv_head": 256}, 3, "1, 2, 4, 8, 16, 32, 64, 128, 256"),
            ({**LLAMA_70B, "n_head": 257, "n_kv_head": 257}, 3, "1"),  # counts above 256 are not listed
        ):
            config = self.written(json.dumps({"GPU": H100, "Model": model}))
            flags = ("--config", config, "--fp16", "--split", "head", "--ngpu")
            with self.subTest(ngpu=ngpu, model=model):
                error = self.refusal(*flags, str(ngpu))
                self.assertIn(f"--split head: {ngpu} GPUs do not share", error)
                self.assertIn(f"(such as --ngpu {works};", error)
                for count in works.split(", "):
                    self.answer(*flags, count, warning="")

    def test_precisions_that_only_store(self) -> None:
        self.answer("--kv-dtype", "int4", "--weight-dtype", "int4")
        error = self.refusal("--dtype", "int4")
        self.assertIn("--dtype must be one of fp32, tf32, fp16, bf16, fp8, int8, fp4, not", error)
        self.assertIn('GPU has an unknown key "int4"', self.refusal("--config", self.config({"int4": 4})))

    def test_weights_are_as_published_where_that_is_narrower(self) -> None:
        for flags, expected in (
            ("--model deepseek-v3 --dtype bf16", "fp8"),
            ("--model gpt-oss-20b --dtype bf16", "fp4"),
            ("--model gpt-oss-20b --dtype fp4", "fp4"),
            ("--model deepseek-v3 --dtype fp4", "fp4"),
            ("--model llama-3.1-8b --dtype bf16", "bf16"),
            ("--model deepseek-v3 --dtype bf16 --weight-dtype bf16", "bf16"),
        ):
            with self.subTest(flags):
                found = json.loads(run("--gpu", "b200", *flags.split(), "--fused", "--format", "json").out)
                self.assertEqual(found["weight_dtype"], expected)

    def test_flags_that_cannot_be(self) -> None:
        for flags, expected in (
            ("--query 9 --seq 8", "--query 9 must be at most --seq 8"),
            ("--query 0", "--query must be a whole number from 1"),
            ("--split heads", '"heads" (did you mean head?)'),
            ("--link nvlinc", '"nvlinc" (did you mean nvlink?)'),
            ("--link nvlink --ngpu 2", "--link nvlink: A100 has no figure for it (it has pcie)"),
            ("--kv-dtype fp7", "--kv-dtype must be one of fp32, tf32,"),
            ("--format sumary", '"sumary" (did you mean summary?)'),
            ("--fused=2", "--fused must be one of true, yes, 1, on, false, no, 0, off, not"),
        ):
            with self.subTest(flags):
                self.assertIn(expected, self.refusal(*flags.split()))
        self.answer("--link", "nvlink")  # one GPU needs no link
        self.answer("--query", "8", "--seq", "8")
