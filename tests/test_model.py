"""The cost model: published and hand-computed values, and properties over generated cases."""

from __future__ import annotations

import doctest
import itertools
import json
import math
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

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
    CaseTest,
    ScriptTest,
    Shape,
    json_of,
    model_of,
    operands_of,
    run,
)

FUSED = "--dtype bf16 --fused"
HEADS = "--split head --link nvlink"
EIGHT_B = {**LLAMA_8B, "params_b": 8.03}
FOUR_WIDE = dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 4)
FOUR_EXPERTS = {
    **ONE_HEAD,
    "hidden_size": 64,
    "params_b": 8,
    "active_params_b": 5,
    "n_expert": 4,
    "n_expert_active": 1,
}

# A model, flags beside FUSED, a column or path, and its value, worked out by hand.
GOLDEN: list[tuple[dict[str, Any], str, str, float]] = [
    # KV cache, bytes per token (the design's golden values, from the geometries above).
    (LLAMA_8B, "", "kv_bytes_per_token", 131_072),
    (LLAMA_70B, "", "kv_bytes_per_token", 327_680),
    (LLAMA2_13B, "", "kv_bytes_per_token", 819_200),
    (DEEPSEEK, "", "kv_bytes_per_token", 70_272),
    (GPT3, "", "kv_bytes_per_token", 4_718_592),
    (GPT3, "--kv-dtype fp8", "kv_bytes_per_token", 4_718_592 / 2),
    (GPT3, "--kv-dtype fp4", "kv_bytes_per_token", 4_718_592 / 4),
    (GPT3, "--kv-dtype int4", "kv_bytes_per_token", 4_718_592 / 4),
    # gpt-oss-120b: 36 x 2 x 8 x 64 x 2 bytes, half of it in full layers.
    (GPT_OSS, "", "kv_bytes_per_token", 73_728),
    (GPT_OSS, "", "kv_bytes_per_token_beyond_windows", 36_864),
    # Qwen3-Next: 12 of 48 layers keep a cache, 12 x 2 x 2 x 256 x 2 bytes.
    (HYBRID, "", "kv_bytes_per_token", 24_576),
    # gpt-oss at 1,000 generated keys: 18 x 2048 B x 999 + 18 x 2048 B x 127.
    (GPT_OSS, "--seq 1000", "cache_bytes", 36_864 * (999 + 127)),
    # After a prefill of 1,000: 1,000 and 128 rows.
    (GPT_OSS, "--seq 1000 --gen False", "cache_bytes", 36_864 * 1128),
    # Half bytes round up once, over all layers: 3 rows of 2 x 1 elements of 4 bits, 3 layers.
    (
        {"n_layer": 3, "n_head": 1, "dim_head": 1},
        "--kv-dtype int4 --gen False --seq 3",
        "cache_bytes",
        9,
    ),
    # The ridge of an H100 in BF16: 989.5e12 / 3.35e12.
    (LLAMA_8B, "", "ridge_flop_per_byte", 989.5 / 3.35),
    # FlashAttention moves Q, K, V in and O out once: 4 N d (arXiv:2205.14135, theorem 2);
    # standard attention also moves N^2 scores four times (its algorithm 0).
    (ONE_HEAD, "--gen False --seq 4096", "bytes", 4 * 4096 * 64 * 2),
    (ONE_HEAD, "--fused no --gen False --seq 4096", "bytes", (4 * 4096 * 64 + 4 * 4096**2) * 2),
    # Causality leaves N (N + 1) / 2 pairs to a fused kernel, N^2 to two dense products.
    (ONE_HEAD, "--gen False --seq 4096", "layers.0.pairs", 4096 * 4097 / 2),
    (ONE_HEAD, "--fused no --gen False --seq 4096", "layers.0.pairs", 4096**2),
    # 3 rows at 8 keys: 6 + 7 + 8; in a window of 4: 4 + 4 + 4; of 7: 6 + 7 + 7.
    (ONE_HEAD, "--query 3 --seq 8", "layers.0.pairs", 21),
    ({**ONE_HEAD, "window": 4}, "--query 3 --seq 8", "layers.0.pairs", 12),
    ({**ONE_HEAD, "window": 7}, "--query 3 --seq 8", "layers.0.pairs", 20),
    # ... where they see 4 + 2 keys between them; a window longer than S changes nothing.
    ({**ONE_HEAD, "window": 4}, "--query 3 --seq 8", "layers.0.read_rows", 6),
    ({**ONE_HEAD, "window": 4}, "--fused no --dtype fp16 --query 3 --seq 8", "layers.0.pairs", 18),
    ({**ONE_HEAD, "window": 4}, "--seq 8", "layers.0.read_rows", 3),
    ({**ONE_HEAD, "window": 9}, "--query 3 --seq 8", "layers.0.pairs", 21),
    # Prefill in a window (Mistral 7B, arXiv:2310.06825: W = 4096): W (W + 1) / 2 + (S - W) W.
    (
        {**LLAMA_8B, "window": 4096},
        "--gen False --seq 16384",
        "layers.0.pairs",
        4096 * 4097 / 2 + 12288 * 4096,
    ),
    # FLOPs of a decode: 80 layers x 64 heads x (8192 x 255 + 128 x 16383).
    (LLAMA_70B, "--seq 8192", "flops", 80 * 64 * (8192 * 255 + 128 * 16383)),
    # GQA reads 8 of 64 heads' worth: 2 x 8 x 128 x 8191 x 2 bytes (arXiv:2305.13245).
    (LLAMA_70B, "--seq 8192", "layers.0.kv_read_bytes", 2 * 8 * 128 * 8191 * 2),
    ({**LLAMA_70B, "n_kv_head": 1}, "", "layers.0.kv_read_bytes", 2 * 128 * 1023 * 2),
    # ... and its intensity is near the group size of 8, one FLOP per byte and query head.
    (LLAMA_70B, "--seq 1000000", "intensity_flop_per_byte", 7.984),
    # DeepSeek-V3 decode, absorbed: 128 heads on one row of 576 that is read once.
    (DEEPSEEK, "--seq 8192", "layers.0.kv_read_bytes", 576 * 8191 * 2),
    (DEEPSEEK, "--fused no --seq 8192", "layers.0.kv_read_bytes", (576 + 512) * 8191 * 2),
    (DEEPSEEK, "--seq 8192", "layers.0.scores_flops", 128 * 8192 * (2 * 576 - 1)),
    (DEEPSEEK, "--seq 8192", "layers.0.values_flops", 128 * 512 * (2 * 8192 - 1)),
    # About 242 FLOP/byte: 2 x 128 x (576 + 512) / (576 x 2), DeepSeek's FlashMLA deep dive.
    (DEEPSEEK, "--seq 1000000", "intensity_flop_per_byte", 241.7),
    # Two tokens a step (multi-token prediction) read the same rows for twice the work.
    (DEEPSEEK, "--seq 1000000 --query 2", "intensity_flop_per_byte", 483.1),
    # Prefill is plain attention of 128 heads, 192 wide for Q and K, 128 for V.
    (DEEPSEEK, "--gen False --seq 100", "layers.0.scores_flops", 128 * 5050 * 383),
    (DEEPSEEK, "--gen False --seq 100", "layers.0.values_flops", 128 * 128 * 10000),
    (DEEPSEEK, "--gen False --seq 100", "layers.0.k_bytes", 128 * 192 * 100 * 2),
    (DEEPSEEK, "--gen False --seq 100", "cache_bytes", 70_272 * 100),
    # 4,096 of 8,192 tokens new: the other 4,096 latents are projected to 128 heads of 128 + 128
    # again, 2 x 512 FLOPs an element, and written; with them 576 elements a row are read.
    (DEEPSEEK, "--query 4096 --seq 8192", "layers.0.projected_flops", 2 * 4096 * 128 * 512 * 256),
    (
        DEEPSEEK,
        "--query 4096 --seq 8192 --kv-dtype fp8",
        "layers.0.bytes",
        # Q, K, V, A of the product, and the projection's heads in BF16; its latents in FP8.
        2 * 128 * (4096 * 192 + 8192 * (192 + 128) + 4096 * 128 + 4096 * 256) + 4096 * 576,
    ),
    # Heads over GPUs: 16 of 64, and 2 of 8 K/V heads.
    (
        LLAMA_70B,
        f"{HEADS} --ngpu 4 --seq 1025",
        "layers.0.gpu_flops",
        16 * (1025 * 255 + 128 * 2049),
    ),
    (
        LLAMA_70B,
        f"{HEADS} --ngpu 4 --seq 1025",
        "layers.0.gpu_bytes",
        2 * 2 * 128 * 1024 * 2 + 2 * 16 * 128 * 2,
    ),
    # 16 GPUs: 4 heads each, and a copy of one of the 8 K/V heads, not half of one.
    (LLAMA_70B, f"{HEADS} --ngpu 16", "gpu_cache_bytes", 80 * 2 * 128 * 2 * 1023),
    (LLAMA_70B, f"{HEADS} --ngpu 8", "gpu_cache_bytes", 80 * 2 * 128 * 2 * 1023),
    # Keys over GPUs: each holds 1/16 of everything.
    (LLAMA_70B, "--ngpu 16", "gpu_cache_bytes", 327_680 * 1023 / 16),
    # The latent is held whole by each GPU that has some of the heads, and divided with the keys.
    (DEEPSEEK, f"{HEADS} --ngpu 8", "gpu_cache_bytes", 70_272 * 1023),
    (DEEPSEEK, "--ngpu 8", "gpu_cache_bytes", 70_272 * 1023 / 8),
    # ... and so it is read: one row of 576 for all heads, beside 16 heads of Q and A.
    (
        DEEPSEEK,
        f"{HEADS} --ngpu 8 --seq 1025",
        "layers.0.gpu_bytes",
        576 * 1024 * 2 + 16 * (576 + 512) * 2,
    ),
    # Sequences over GPUs: 2 of 7 on the busiest of 4, nothing exchanged.
    (LLAMA_70B, "--ngpu 4 --batch 7 --split batch", "gpu_cache_bytes", 327_680 * 2046),
    (
        LLAMA_70B,
        "--ngpu 4 --batch 7 --split batch --seq 1025",
        "layers.0.gpu_flops",
        2 * 64 * (1025 * 255 + 128 * 2049),
    ),
    (LLAMA_70B, "--ngpu 4 --batch 7 --split batch", "sync_s", 0),
    # The largest batch: 80e9 B / (327,680 x 1,023 B) = 238 on each of 4.
    (LLAMA_70B, "--ngpu 4 --batch 7 --split batch", "max_batch", 4 * 238),
    # The all-reduce is of the hidden size, here 64 x 128 = 8,192 elements of 2 bytes a token, and
    # may cross one direction of the link once: 450 GB/s of NVLink's 900.
    (LLAMA_70B, f"{HEADS} --ngpu 8 --batch 4", "reduce_bytes", 80 * 4 * 16_384),
    (LLAMA_70B, f"{HEADS} --ngpu 8 --batch 4", "exchange_bytes", 0),
    (LLAMA_70B, f"{HEADS} --ngpu 8 --batch 4", "sync_s", 80 * 4 * 16_384 / 450e9),
    (LLAMA_70B, f"{HEADS}", "reduce_bytes", 0),
    (LLAMA_70B, f"{HEADS}", "sync_s", 0),
    ({**LLAMA_70B, "hidden_size": 5}, f"{HEADS} --ngpu 8", "reduce_bytes", 80 * 5 * 2),
    # At least 16 bits wide, however the products compute; FP32 stays FP32.
    (LLAMA_70B, f"--dtype fp8 {HEADS} --ngpu 8", "reduce_bytes", 80 * 16_384),
    (LLAMA_70B, f"--dtype fp32 {HEADS} --ngpu 8", "reduce_bytes", 80 * 32_768),
    # DeepSeek-V3's output, 16 x 2,048 new tokens (the design's golden value), a layer.
    (
        DEEPSEEK_671B,
        f"{HEADS} --ngpu 8 --batch 16 --gen False --seq 2048",
        "layers.0.reduce_bytes",
        469_762_048,
    ),
    # Keys split, fused, generation: queries of 128 go to 7 of 8 places and come back with 128 wide
    # partial outputs and the 4 bytes of each row's logarithm: less than 1,023 rows of keys.
    (LLAMA_70B, "--ngpu 8 --batch 3", "exchange_bytes", 80 * 3 * 64 * 516 * 7 / 8),
    (LLAMA_70B, "--ngpu 8 --batch 3", "reduce_bytes", 80 * 3 * 16_384),
    (LLAMA_70B, "--ngpu 8", "layers.0.gpu_bytes", 2 * 8 * 128 * 1023 * 2 / 8 + 2 * 64 * 128 * 2),
    (LLAMA_70B, "--ngpu 8", "sync_s", 80 * (64 * 516 * 7 / 8 + 16_384) / 64e9),
    # ... FP8 queries return 16 bits wide outputs: 128 + 256 + 4 bytes.
    (LLAMA_70B, "--dtype fp8 --ngpu 8", "exchange_bytes", 80 * 64 * 388 * 7 / 8),
    # Prefill: 3/4 of the keys and values of 8 heads are less than of the queries of 32; each GPU
    # reads all of them, for a quarter of the rows.
    (
        LLAMA_8B,
        "--ngpu 4 --gen False --seq 8192",
        "layers.0.exchange_bytes",
        2 * 8 * 128 * 8192 * 2 * 3 / 4,
    ),
    (
        LLAMA_8B,
        "--ngpu 4 --gen False --seq 8192",
        "layers.0.gpu_bytes",
        2 * 8 * 128 * 8192 * 2 + 2 * 32 * 128 * 8192 * 2 / 4,
    ),
    # ... and they and the output cross one direction of the link.
    (
        LLAMA_8B,
        "--ngpu 4 --gen False --seq 8192",
        "layers.0.sync_s",
        (2 * 8 * 128 * 8192 * 2 * 3 / 4 + 8192 * 4096 * 2) / 64e9,
    ),
    # ... a GPU projects its own quarter of the latents again, to 128 heads of 128 + 128.
    (
        DEEPSEEK,
        "--ngpu 4 --query 4096 --seq 8192",
        "layers.0.kernels.0.bytes",
        2 * 4096 * (576 + 128 * 256) / 4,
    ),
    # ... in a window no more than its rows; a latent as it is cached, 576 elements a row.
    (
        {**LLAMA_8B, "window": 100},
        "--ngpu 4 --gen False --seq 8192",
        "layers.0.exchange_bytes",
        2 * 8 * 128 * 100 * 2 * 3 / 4,
    ),
    (
        DEEPSEEK,
        "--kv-dtype fp8 --ngpu 4 --gen False --seq 8192",
        "layers.0.exchange_bytes",
        576 * 8192 * 3 / 4,
    ),
    # Unfused: the scores and the output, over both directions, as the user's document has it.
    (LLAMA_70B, "--fused no --ngpu 8 --query 3", "layers.0.exchange_bytes", 3 * 64 * 1152 * 2),
    (LLAMA_70B, "--fused no --ngpu 8 --query 3", "reduce_bytes", 0),
    (LLAMA_70B, "--fused no --ngpu 8", "layers.0.sync_s", 64 * 1152 * 2 / 128e9),
    # Heads split, unfused: only the all-reduce.
    (LLAMA_70B, f"--fused no {HEADS} --ngpu 8", "layers.0.exchange_bytes", 0),
    (LLAMA_70B, f"--fused no {HEADS} --ngpu 8", "layers.0.reduce_bytes", 16_384),
    # A layer takes max(compute, memory) of each kernel: here all are memory-bound ...
    (LLAMA_8B, "--seq 65536", "layers.0.bound_s", (65535 * 4096 + 16384) / 3350e9),
    (
        LLAMA_8B,
        "--fused no --seq 65536",
        "layers.0.bound_s",
        (65535 * 4096 + 16384 + 4 * 32 * 65536 * 2) / 3350e9,
    ),
    # ... or its exchange, if that takes longer: everything overlaps.
    (LLAMA_70B, "--fused no --ngpu 8", "layers.0.bound_s", 64 * 1152 * 2 / 128e9),
    # The cache that fits: (80e9 / 131072) rows and the generated one; with 8.03e9 x 2 bytes of
    # weights (80e9 - 16.06e9) / (131072 x 1023) sequences, with half of them, in FP8, 536.
    (LLAMA_8B, "", "max_seq", 610_351 + 1),
    (EIGHT_B, "", "max_batch", 476),
    (EIGHT_B, "--weight-dtype fp8", "max_batch", 536),
    (EIGHT_B, "--weight-dtype int4", "gpu_weight_bytes", 4.015e9),
    # Exactly, though a seventh of the weights is no whole number: 7 x 80e9 - 12e9 bytes, and 4 rows
    # x 2 layers x 25 elements x 16 bits of a sequence.
    (
        {"n_layer": 2, "n_head": 5, "kv_lora_rank": 21, **FOUR_WIDE, "params_b": 24},
        "--weight-dtype int4 --ngpu 7 --seq 4 --query 4",
        "max_batch",
        1_370_000_000,
    ),
    # One token computes with each parameter and reads it: 16.06e9 B / 3350e9 B/s is more than
    # 16.06e9 FLOP / 989.5e12 FLOP/s; 4-bit weights are read in a quarter of it.
    (EIGHT_B, "", "rest_s", 16.06 / 3350),
    (EIGHT_B, "--weight-dtype int4", "rest_s", 16.06 / 4 / 3350),
    # ... 1,024 prompt tokens compute longer than they read, in FP8 weights at the peak of FP8, in
    # 4-bit ones, which no GPU computes with, at that of --dtype.
    (EIGHT_B, "--gen False", "rest_s", 1024 * 16.06 / 989.5e3),
    (EIGHT_B, "--gen False --weight-dtype fp8", "rest_s", 1024 * 16.06 / 1979e3),
    (EIGHT_B, "--gen False --weight-dtype int4", "rest_s", 1024 * 16.06 / 989.5e3),
    # Both are shared by the GPUs, and attention's share is of the two together: at 65,535 rows
    # (65,535 x 131,072 + 32 x 16,384) B / 2 against 16.06e9 B / 2.
    (EIGHT_B, "--ngpu 2", "rest_s", 16.06 / 3350 / 2),
    (EIGHT_B, "--gen False --ngpu 2", "rest_s", 1024 * 16.06 / 989.5e3 / 2),
    # ... all-reducing 32 layers' outputs of 4,096 elements may take longer, under every split.
    (
        EIGHT_B,
        "--gen False --ngpu 8 --split batch --batch 8",
        "rest_s",
        32 * 8 * 1024 * 4096 * 2 / 64e9,
    ),
    (
        EIGHT_B,
        "--seq 65536",
        "attention_share",
        (65535 * 131_072 + 32 * 16_384) / (65535 * 131_072 + 32 * 16_384 + 16.06e9),
    ),
    # One of 4 experts is chosen: 3e9 parameters are what 3 of 4 hold, so all hold 4e9, and 4e9 are
    # used by every token. 3 tokens choose 1 - (3/4)^3 = 37/64 of the experts.
    (FOUR_EXPERTS, "--batch 3", "rest_s", (4 + 4 * 37 / 64) * 2 / 3350),
    # Not known to be 4 experts: 5/8 is as if of the weights alone.
    (
        {**ONE_HEAD, "params_b": 8, "active_params_b": 5},
        "--batch 3",
        "rest_s",
        8 * (1 - (3 / 8) ** 3) * 2 / 3350,
    ),
    # DeepSeek-V3, 8 tokens: 634e9 are 248/256 of its experts; 16.5e9 + 146.8e9 parameters read.
    (
        DEEPSEEK_671B,
        "--dtype fp8 --batch 8",
        "rest_s",
        (671 - 634 * 256 / 248 + 634 * 256 / 248 * (1 - (248 / 256) ** 8)) / 3350,
    ),
    # Attention of 131,072 bytes a token takes as long as 16.06e9 bytes of weights after 122,528
    # rows less the 16 KiB of Q and A a layer (4 rows).
    (EIGHT_B, "", "half_seq", 122_526),
    # A thousand parameters are read at once: any length will do, that of the new tokens at least.
    ({**LLAMA_8B, "params_b": 1e-6}, "", "half_seq", 1),
    ({**LLAMA_8B, "params_b": 1e-6}, "--query 7", "half_seq", 7),
    (LLAMA_8B, "--batch 3", "new_tokens", 3),
    # 3 tokens a step.
    (LLAMA_8B, "--batch 3 --seq 1", "attention_tokens_per_s", 3350e9 / 32 / 16384),
]


class GoldenValues(CaseTest):
    def test_golden_values(self) -> None:
        for model, flags, path, expected in GOLDEN:
            with self.subTest(flags=flags, model=model, path=path):
                value = self.quantity(model, f"{FUSED} {flags}", path)
                tolerance = 5e-4 if path == "intensity_flop_per_byte" else 1e-12
                self.assert_close(value, expected, tolerance)

    def test_verdicts(self) -> None:
        long = "--seq 32768 --batch 16"
        short = "--seq 8192 --batch 16"
        # What FlashMLA is measured to reach on this GPU: 3,000 GB/s and 660 TFLOP/s (its README
        # and its deep dive of 2025-04-22), where its authors call 128 heads compute-bound.
        flash_mla = {
            **NO_OVERHEAD,
            "compute_efficiency": 660 / 989.5,
            "latent_bandwidth_efficiency": 3000 / 3350,
        }
        slow_start = {**NO_OVERHEAD, "launch_us": 5}
        for gpu, model, flags, expected in (
            (H100, LLAMA_70B, f"{FUSED} {long}", "memory"),
            (H100, LLAMA_70B, f"{FUSED} --gen False --seq 8192", "compute"),
            (H100, LLAMA_70B, f"--dtype bf16 --ngpu 8 {long}", "sync"),
            (H100, LLAMA_70B, f"{FUSED} {HEADS} --ngpu 8 {long}", "memory"),
            (H100, DEEPSEEK, f"{FUSED} {short}", "memory"),  # 242 < 295, barely
            (flash_mla, DEEPSEEK, f"{FUSED} {short}", "compute"),
            (H100, DEEPSEEK, f"{FUSED} {short} --query 2", "compute"),
            (H100, {**DEEPSEEK, "n_head": 16}, f"{FUSED} --seq 8192", "memory"),
            (slow_start, LLAMA_8B, f"{FUSED} --seq 512", "overhead"),
            (slow_start, LLAMA_8B, f"{FUSED} {long}", "memory"),
        ):
            with self.subTest(model=model, flags=flags, gpu=gpu):
                self.assertEqual(self.quantity(model, flags, "limit", gpu), expected)


class LatentAttention(CaseTest):
    def test_form_between_decode_and_prefill(self) -> None:
        """The form that needs fewer FLOPs, both counted by hand."""

        def flops(query: int, seq: int, width: int, v_width: int) -> int:
            """Of 128 heads."""
            pairs = sum(range(seq - query + 1, seq + 1))
            return 128 * (pairs * (2 * width - 1) + v_width * (2 * pairs - query))

        forms = set()
        for seq, query in ((8192, 2), (8192, 170), (8192, 171), (8192, 180), (131072, 200), (9, 8)):
            absorbed = flops(query, seq, 576, 512)
            plain = flops(query, seq, 192, 128) + 2 * (seq - query) * 128 * 512 * 256
            form = "plain" if plain < absorbed else "absorbed"
            forms.add(form)
            layer = self.quantity(DEEPSEEK, f"{FUSED} --seq {seq} --query {query}", "layers.0")
            with self.subTest(seq=seq, query=query):
                self.assertEqual(layer["flops"], min(absorbed, plain))
                self.assertEqual(layer["latent_form"], form)
        self.assertEqual(len(forms), 2)

    def test_no_jump_where_the_form_changes(self) -> None:
        long = f"{FUSED} --seq 131072"
        before = self.quantity(DEEPSEEK, f"{long} --query 170", "flops")
        after = self.quantity(DEEPSEEK, f"{long} --query 171", "flops")
        self.assertLess(abs(after / before - 1), 0.01)

    def test_form_of_decode_and_of_prefill(self) -> None:
        decode = self.quantity(DEEPSEEK, FUSED, "layers.0.latent_form")
        prefill = self.quantity(DEEPSEEK, f"{FUSED} --gen False", "layers.0.latent_form")
        self.assertEqual((decode, prefill), ("absorbed", "plain"))

    def test_latents_are_projected_by_another_kernel(self) -> None:
        flags = f"{FUSED} --query 4096 --seq 8192 --ngpu 4 {HEADS}"
        kernels = self.quantity(DEEPSEEK, flags, "layers.0.kernels")
        self.assertEqual([kernel["name"] for kernel in kernels], ["projection", "attention"])
        # A quarter of the heads is projected, from latents that every GPU reads.
        self.assertEqual(kernels[0]["flops"], 2 * 4096 * 32 * 512 * 256)
        self.assertEqual(kernels[0]["bytes"], 2 * (4096 * 576 + 4096 * 32 * 256))
        unfused = "--dtype bf16 --query 4096 --seq 8192"
        self.assertEqual(len(self.quantity(DEEPSEEK, unfused, "layers.0.kernels")), 4)
        # It reads and computes one after the other, as the attention of plain heads does.
        for kernel in self.quantity(DEEPSEEK, flags, "layers.0.kernels", SLOW):
            spent = kernel["compute_s"] + kernel["memory_s"] + kernel["overhead_s"]
            self.assert_close(kernel["total_s"], spent)
            self.assertLess(kernel["bound_s"], kernel["total_s"])

    def test_absorbed_form_computes_while_it_reads(self) -> None:
        """At a rate that it alone has."""
        layer = self.quantity(DEEPSEEK, f"{FUSED} --seq 9999", "layers.0", SLOW)
        self.assert_close(layer["memory_s"], (576 * 9998 + 128 * 1088) * 2 / (3350e9 * 0.6))
        slower = max(layer["compute_s"], layer["memory_s"])
        self.assert_close(layer["total_s"], slower + layer["overhead_s"])


class Estimates(CaseTest):
    """With the constants of a GPU on which every term counts."""

    def test_terms(self) -> None:
        flags = f"{FUSED} {HEADS} --ngpu 4 --batch 4 --seq 4097"
        layer = self.quantity(LLAMA_70B, flags, "layers.0", SLOW)
        # Per GPU: 16 heads, 2 K/V heads; 4 x 16 x (4097 x 255 + 128 x 8193) FLOPs, but the
        # 4 x 16 x 4097 exponentials take longer at 5 x 1e9/s.
        compute = 4 * 16 * 4097 / 5e9
        self.assertLess(4 * 16 * (4097 * 255 + 128 * 8193) / (989.5e12 * 0.5), compute)
        memory = (4 * 2 * 2 * 128 * 4096 * 2 + 4 * 2 * 16 * 128 * 2) / (3350e9 * 0.8)
        # 65,536 bytes to three others, in one shot, for less than 9 us and 6/4 of them.
        sync = 7e-6 + 2 * 0.5e-6 + 3 * 4 * 8192 * 2 / (450e9 * 0.25)
        # 8 tiles of which 5 run at once, 3/5 of one behind reading; 4 x 16 rows fill one of 64.
        overhead = 3e-6 + 1.5e-6 * 1 / 5
        self.assertLess(20e-6 * 0.6, compute + memory)
        self.assert_close(layer["compute_s"], compute)
        self.assert_close(layer["memory_s"], memory)
        self.assert_close(layer["sync_s"], sync)
        self.assert_close(layer["overhead_s"], overhead)
        self.assert_close(layer["total_s"], compute + memory + sync + overhead)
        self.assertLess(layer["bound_s"], layer["total_s"])

    def test_more_tiles_than_reading_hides(self) -> None:
        """2 x 256 tiles of 16 keys on 5 multiprocessors."""
        flags = f"{FUSED} {HEADS} --ngpu 4 --batch 256 --seq 2"
        layer = self.quantity(LLAMA_70B, flags, "layers.0", SLOW)
        hidden = layer["compute_s"] + layer["memory_s"]
        waves = 20e-6 * (512 / 5 - 1) - hidden
        self.assert_close(layer["overhead_s"], 3e-6 + waves + 1.5e-6 * 256 * 16 / 64 / 5)

    def test_tiles_where_keys_travel(self) -> None:
        """Each GPU has all K/V heads: 8 tiles of 4/2 heads' 16 rows, 3/5 of one too many."""
        model = {**LLAMA_8B, "window": 40}
        layer = self.quantity(model, f"{FUSED} --query 16 --ngpu 2", "layers.0", SLOW)
        self.assertEqual(layer["exchanges"][0]["name"], "keys and values")
        hidden = layer["compute_s"] + layer["memory_s"]
        waves = 20e-6 * 3 / 5 - hidden
        self.assert_close(layer["overhead_s"], 3e-6 + waves + 1.5e-6 * 32 / 2 * 16 / 64 / 5)

    def test_of_equal_exchanges_the_first(self) -> None:
        """One head of one element: the query's 2 + 2 + 4 bytes are as many as those of two rows."""
        model = {"n_layer": 1, "n_head": 1, "dim_head": 1}
        for seq, name in ((2, "keys and values"), (3, "queries")):
            layer = self.quantity(model, f"{FUSED} --split seq --ngpu 2 --seq {seq}", "layers.0")
            self.assertEqual(layer["exchanges"][0]["name"], name)

    def test_each_kernel_is_launched(self) -> None:
        """Unfused, three of them; 64 heads in 8 tiles, one if they were full."""
        overhead = self.quantity(
            LLAMA_70B, "--dtype bf16 --seq 999999", "layers.0.overhead_s", SLOW
        )
        self.assert_close(overhead, 3 * (3e-6 + 1.5e-6 / 5))

    def test_the_longest_tile_and_full_ones(self) -> None:
        def tail(layer: Any, rows: int, pairs: float, longest: int) -> float:
            """Of the last 128 rows on one of 5 multiprocessors, beyond the mean ones."""
            row_flops = layer["gpu_flops"] / rows * (longest * rows / pairs - 1)
            return float(128 * row_flops * 5 / (989.5e12 * 0.5))

        # 4,096 rows of 1 head: 64 tiles of 64 rows if packed, 32 of 128 rows.
        prompt = FUSED + " --gen False --seq 4096"
        layer = self.quantity(ONE_HEAD, prompt, "layers.0", SLOW)
        pairs = 4096 * 4097 / 2  # whose exponentials are slower than FLOPs here
        self.assert_close(layer["compute_s"], pairs / 5e9 + tail(layer, 4096, pairs, 4096))
        self.assert_close(layer["overhead_s"], 3e-6 + 1.5e-6 * 32 / 5)
        # In a window no row is longer than it: the first rows are shorter.
        layer = self.quantity({**ONE_HEAD, "window": 1000}, prompt, "layers.0", SLOW)
        pairs = 1000 * 1001 / 2 + 3096 * 1000
        self.assert_close(layer["compute_s"], pairs / 5e9 + tail(layer, 4096, pairs, 1000))
        # Dense products have no longest row.
        kernels = self.quantity(ONE_HEAD, "--dtype bf16 --gen False", "layers.0.kernels", SLOW)
        self.assertEqual([kernel["tail_flops"] for kernel in kernels], [0, 0, 0])

    def test_exchanges_at_the_rates_they_reach(self) -> None:
        """Each form of an all-reduce, and what is passed, by hand; PCIe 64 GB/s a direction."""
        nvlink = 450e3 * 0.25  # bytes/us
        pcie = 64e3 * 0.5
        for flags, exchange, us in (
            # 16 KiB a token: one-shot to 7 others while that is shorter, then two-shot.
            (f"{HEADS} --ngpu 8", 0, 7 + 3 * 0.5 + 7 * 16384 / nvlink),
            (f"{HEADS} --ngpu 8 --batch 64", 0, 7 + 1.5 + 9 + 14 / 8 * 2**20 / nvlink),
            # 16 MiB are the last of these; above, another library.
            (f"{HEADS} --ngpu 8 --batch 1024", 0, 7 + 1.5 + 9 + 14 / 8 * 2**24 / nvlink),
            (f"{HEADS} --ngpu 8 --batch 1025", 0, 40 + 14 / 8 * 1025 * 2**14 / nvlink),
            # Queries of 64 heads to 7 of 8 places.
            ("--link nvlink --ngpu 8", 0, 7 + 1.5 + 64 * 516 * 7 / 8 / nvlink),
            ("--link pcie --ngpu 8", 0, 5 + 3 * 2 + 64 * 516 * 7 / 8 / pcie),
            ("--link pcie --ngpu 8", 1, 5 + 14 * 2 + 14 / 8 * 16384 / pcie),
        ):
            layer = self.quantity(LLAMA_70B, f"{FUSED} {flags}", "layers.0", SLOW)
            with self.subTest(flags):
                self.assert_close(layer["exchanges"][exchange]["seconds"], us / 1e6)

    def test_rest_of_the_step(self) -> None:
        """The README's formula, term by term: 10 us a kernel, 0.75 and 0.6 of the peaks of 16 and
        8 bits, 0.88 of the bandwidth.
        """
        bandwidth = 3350 * 0.88
        kernels = 32 * 2 * 10e-6
        # 32 one-shot all-reduces of 4,096 elements of 2 bytes.
        all_reduces = 32 * (7.5e-6 + 8192 / (450e9 * 0.25))
        for flags, expected in (
            ("", 16.06 / bandwidth + kernels),
            ("--gen False", 1024 * 16.06 / (989.5e3 * 0.75) + kernels),
            ("--gen False --weight-dtype fp8", 1024 * 16.06 / (1979e3 * 0.6) + kernels),
            ("--gen False --weight-dtype int4", 1024 * 16.06 / (989.5e3 * 0.75) + kernels),
            ("--ngpu 2 --link nvlink", 16.06 / bandwidth / 2 + kernels + all_reduces),
        ):
            with self.subTest(flags):
                rest = self.quantity(EIGHT_B, f"{FUSED} {flags}", "rest_s", SLOW)
                self.assert_close(rest, expected)

    def test_rest_of_the_step_with_experts(self) -> None:
        """4e9 of 8e9 parameters are used by each of 3 tokens, 37/64 of the others are read and 1e9
        computed with; four kernels in the only layer.
        """
        bandwidth = 3350 * 0.88
        used_by_all = 4 * 2 / bandwidth
        computed = 2 * 3 * 1 / (989.5e3 * 0.75)
        experts = 4 * 37 / 64 * 2 / bandwidth
        rest = self.quantity(FOUR_EXPERTS, FUSED + " --batch 3", "rest_s", SLOW)
        self.assert_close(rest, used_by_all + computed + experts + 4 * 10e-6)

    def test_an_estimate_needs_every_constant(self) -> None:
        """Of its kernels, and of its link where GPUs exchange something."""
        constants = [name for name in NO_OVERHEAD if name not in H100]
        for flags, ngpu in ((FUSED, 1), (f"{FUSED} {HEADS} --ngpu 2", 2)):
            bound = self.record(LLAMA_70B, flags, H100)
            for name in constants:
                gpu = {key: value for key, value in NO_OVERHEAD.items() if key != name}
                case = self.record(LLAMA_70B, flags, gpu)
                not_needed = name.startswith("pcie") or (name.startswith("link") and ngpu == 1)
                with self.subTest(name, ngpu=ngpu):
                    if not_needed:
                        self.assertEqual(case["basis"], "estimate")
                    else:
                        self.assertEqual(case["basis"], "bound")
                        self.assertEqual(case["total_s"], bound["bound_s"])
                        self.assertEqual(case["rest_s"], bound["rest_s"])
                        self.assertEqual(case["overhead_s"], 0)
        only = self.record(LLAMA_70B, FUSED, {**H100, "multiprocessors": 7})
        self.assertEqual(only["basis"], "bound")


class HalfOfTheStep(CaseTest):
    def test_none_in_prefill(self) -> None:
        """The rest of the step grows with the length there: no single length says it."""
        for flags in ("--gen False", "--query 1024"):
            self.assertIsNone(self.quantity(EIGHT_B, f"{FUSED} {flags}", "half_seq"))

    def test_is_the_first_length_with_half(self) -> None:
        half = self.quantity(EIGHT_B, f"{FUSED} --query 7 --seq 100", "half_seq")
        share = self.quantity(EIGHT_B, f"{FUSED} --query 7 --seq {half}", "attention_share")
        self.assertGreaterEqual(share, 0.5)
        share = self.quantity(EIGHT_B, f"{FUSED} --query 7 --seq {half - 1}", "attention_share")
        self.assertLess(share, 0.5)

    def test_is_the_same_at_every_length(self) -> None:
        for seq in (1, 1024, 2**20):
            half = self.quantity(EIGHT_B, f"{FUSED} --seq {seq}", "half_seq")
            self.assertEqual(half, 122_526)

    def test_is_the_same_in_every_order(self) -> None:
        halves = set()
        for lengths in ("1M,128K,1K", "1K,128K,1M"):
            flags = f"--model llama-3.1-8b --gpu mi300x {FUSED} --format json --seq {lengths}"
            for line in self.answer(*flags.split()).splitlines():
                halves.add(json.loads(line)["half_seq"])
        self.assertEqual(len(halves), 1)


class Memory(CaseTest):
    def test_fit_is_tight(self) -> None:
        """One more sequence, or one more key, does not fit."""
        gpu = {**H100, "memory": 87.77}
        models: tuple[dict[str, Any], ...] = (
            LLAMA_70B,
            DEEPSEEK,
            GPT_OSS,
            {**GPT_OSS, "params_b": 117, "active_params_b": 5.1},
        )
        workloads = (
            f"{FUSED} --batch 7 --seq 5000",
            f"{FUSED} --ngpu 3",
            f"{FUSED} {HEADS} --ngpu 16",
            f"{FUSED} --split batch --ngpu 3 --batch 7",
        )
        for model, flags in itertools.product(models, workloads):
            case = self.record(model, flags, gpu)
            for flag, most in (("--batch", case["max_batch"]), ("--seq", case["max_seq"])):
                with self.subTest(flag=flag, flags=flags, model=model):
                    fits = self.quantity(model, f"{flags} {flag} {max(most, 1)}", "fits", gpu)
                    self.assertEqual(fits, most > 0)
                    fits = self.quantity(model, f"{flags} {flag} {most + 1}", "fits", gpu)
                    self.assertFalse(fits)

    def test_windows_bound_the_cache_at_any_length(self) -> None:
        model = {**LLAMA_8B, "window": 4096}
        case = self.record(model, f"{FUSED} --seq 100000000000")
        self.assertEqual((case["max_seq"], case["fits"]), (None, True))
        self.assertEqual(case["cache_bytes"], 131_072 * 4095)
        half = self.quantity({**model, "params_b": 8}, f"{FUSED} --seq 100000", "half_seq")
        self.assertIsNone(half)  # 4,095 rows never take as long as 8e9 parameters

    def test_one_key_caches_nothing(self) -> None:
        case = self.record(LLAMA_8B, f"{FUSED} --seq 1")
        self.assertIsNone(case["max_batch"])
        # Weights of exactly the memory leave room for no row but the new one.
        case = self.record({**LLAMA_8B, "params_b": 40}, f"{FUSED} --seq 1")
        self.assertEqual((case["fits"], case["max_seq"], case["max_batch"]), (True, 1, None))
        case = self.record({**LLAMA_8B, "params_b": 41}, f"{FUSED} --seq 1")
        self.assertEqual((case["fits"], case["max_seq"], case["max_batch"]), (False, 0, 0))


class DrawnCase(NamedTuple):
    """A case with figures at random: layers of one kind."""

    gpu: ab.GPU
    shape: Shape
    work: ab.Workload

    @property
    def model(self) -> ab.Model:
        return model_of(self.shape)


def drawn_gpu(draw: random.Random) -> ab.GPU:
    return ab.GPU(
        name="G",
        peaks={name: draw.uniform(1e12, 1e15) for name in ab.COMPUTING},
        memory=80e9,
        bandwidth=draw.uniform(1e11, 8e12),
        links={"pcie": draw.uniform(1e10, 1e11), "nvlink": draw.uniform(1e11, 2e12)},
        kernel_constants=None,
        link_constants={},
        figures={},
        source="test",
    )


def drawn_shape(draw: random.Random, latent: bool = False, window: int = 0) -> Shape:
    n_kv_head = draw.choice([1, 2, 3, 8])
    shape = Shape(
        kind="windowed" if window else "full",
        n_layer=draw.randint(1, 9),
        n_head=n_kv_head * draw.choice([1, 2, 7]),
        n_kv_head=n_kv_head,
        dim_qk=draw.choice([4, 64, 192]),
        dim_v=draw.choice([2, 64, 128]),
        window=window,
    )
    if latent:
        rank = draw.choice([4, 512])
        return shape._replace(n_kv_head=shape.n_head, kv_lora_rank=rank, qk_rope_head_dim=2)
    return shape


def drawn_work(draw: random.Random, **fixed: Any) -> ab.Workload:
    """A workload with figures at random, but for those that are given."""
    seq = draw.randint(1, 3000)
    query = draw.choice([1, seq, draw.randint(1, seq)])
    phase = "extend"
    if query == seq:
        phase = "prefill"
    if query == 1:
        phase = "decode"
    work = ab.Workload(
        ngpu=draw.choice([1, 1, 2, 3, 8, 16]),
        batch=draw.choice([1, 2, 33]),
        seq=seq,
        query=query,
        phase=phase,
        dtype=draw.choice(["fp32", "bf16", "fp8"]),
        kv_dtype=draw.choice(["fp8", "bf16", "fp32"]),
        weight_dtype="bf16",
        fused=draw.random() < 0.5,
        split=draw.choice(["seq", "batch"]),
        link=draw.choice(["pcie", "nvlink"]),
    )
    return work._replace(**fixed)


class Properties(ScriptTest):
    """Over thousands of cases, drawn with a fixed seed."""

    cases = 2000

    def drawn(self, draw: random.Random, **fixed: Any) -> Iterator[DrawnCase]:
        for _ in range(self.cases):
            latent = draw.random() < 0.3
            window = draw.choice([0, 0, 1, 5, 700])
            gpu = drawn_gpu(draw)
            shape = drawn_shape(draw, latent, window)
            yield DrawnCase(gpu, shape, drawn_work(draw, **fixed))

    def assert_close(self, value: float, expected: float, case: DrawnCase) -> None:
        self.assertTrue(math.isclose(value, expected, rel_tol=1e-12), (value, expected, case))

    def test_pairs_and_rows_against_the_mask(self) -> None:
        """Count the causal, windowed mask one pair at a time."""
        for window, seq in itertools.product(range(10), range(1, 12)):
            shape = drawn_shape(random.Random(1), window=window)
            for query in range(1, seq + 1):
                mask = []
                for row in range(seq - query, seq):
                    for key in range(row + 1):
                        if not window or key > row - window:
                            mask.append((row, key))
                keys = {key for _, key in mask}
                phase = "decode" if query == 1 else "extend"
                work = drawn_work(random.Random(1), seq=seq, query=query, phase=phase, fused=True)
                fused = operands_of(shape, work)
                dense = operands_of(shape, work._replace(fused=False))
                with self.subTest(window=window, seq=seq, query=query):
                    self.assertEqual(fused.pairs, len(mask))
                    # The new row of a decode step is still on chip.
                    read_rows = len(keys) - 1 if query == 1 else len(keys)
                    self.assertEqual(fused.read_rows, read_rows)
                    self.assertEqual(dense.pairs, query * len(keys))

    def test_query_of_all_is_prefill(self) -> None:
        draw = random.Random(4)
        for _ in range(200):
            seq = str(draw.randint(2, 5000))
            flags = ["--seq", seq, "--ngpu", draw.choice("123468")]
            flags += draw.choice([[], ["--fused"]])
            flags += ["--split", draw.choice(["seq", "head", "batch"])]
            self.assertEqual(run(*flags, "--query", seq), run(*flags, "--gen", "False"), flags)

    def test_wide_window_is_none(self) -> None:
        for case in self.drawn(random.Random(3)):
            plain = case.shape._replace(window=0, kind="full")
            wide = case.shape._replace(window=case.work.seq, kind="full")
            self.assertEqual(operands_of(plain, case.work), operands_of(wide, case.work))
            plain_counts = ab.analyse(case.gpu, model_of(plain), case.work).counts
            wide_counts = ab.analyse(case.gpu, model_of(wide), case.work).counts
            self.assertEqual(plain_counts, wide_counts)

    def test_as_many_key_value_heads_is_no_grouping(self) -> None:
        draw = random.Random(5)
        for _ in range(100):
            heads = draw.randint(1, 64)
            model = {"n_layer": 2, "n_head": heads, "dim_head": 64}
            flags = ["--seq", str(draw.randint(1, 99)), "--ngpu", str(draw.randint(1, 9))]
            grouped = run("--config", self.config(None, {**model, "n_kv_head": heads}), *flags)
            plain = run("--config", self.config(None, model), *flags)
            self.assertEqual(grouped, plain)

    def test_faster_hardware_never_slows(self) -> None:
        draw = random.Random(3)
        for case in self.drawn(draw):
            before = ab.analyse(case.gpu, case.model, case.work).terms.bound_s
            factor = draw.uniform(1, 9)
            peaks = {name: peak * factor for name, peak in case.gpu.peaks.items()}
            links = {name: rate * factor for name, rate in case.gpu.links.items()}
            for faster in (
                case.gpu._replace(bandwidth=case.gpu.bandwidth * factor),
                case.gpu._replace(peaks=peaks),
                case.gpu._replace(links=links),
            ):
                after = ab.analyse(faster, case.model, case.work).terms.bound_s
                self.assertLessEqual(after, before)

    def test_twice_the_batch_is_twice_the_work(self) -> None:
        for case in self.drawn(random.Random(3), split="seq"):
            twice = case.work._replace(batch=2 * case.work.batch)
            single = ab.analyse(case.gpu, case.model, case.work).counts
            doubled = ab.analyse(case.gpu, case.model, twice).counts
            for one, two in zip(single, doubled):
                self.assert_close(two, 2 * one, case)

    def test_intensity_is_bounded_by_reading_each_element_once(self) -> None:
        for case in self.drawn(random.Random(3), ngpu=1):
            operands = operands_of(case.shape, case.work)
            counts = ab.analyse(case.gpu, case.model, case.work).layers[0].counts
            # At best each K/V element is read once, for every query that shares it; absorbed, V is
            # part of K.
            once = operands.k_bytes
            if operands.latent_form != "absorbed":
                once += operands.v_bytes
            if once:
                self.assertLessEqual(counts.intensity, counts.flops / once)
            self.assertGreaterEqual(counts.bytes, once)

    def test_fused_never_moves_more(self) -> None:
        for case in self.drawn(random.Random(3)):
            if case.work.phase == "extend" and case.shape.kv_lora_rank:
                continue  # fewer pairs may make the plain form, which moves more, the cheaper one
            fused_work = case.work._replace(fused=True)
            unfused_work = case.work._replace(fused=False)
            fused = ab.analyse(case.gpu, case.model, fused_work).counts
            unfused = ab.analyse(case.gpu, case.model, unfused_work).counts
            self.assertLessEqual(fused.bytes, unfused.bytes)
            self.assertLessEqual(fused.flops, unfused.flops)

    def test_totals_add_up(self) -> None:
        """Of so many layers of one shape, and three of another."""
        draw = random.Random(3)
        for case in self.drawn(draw):
            window = draw.randint(1, 99)
            other = case.shape._replace(window=window, n_layer=3, kind="windowed")
            both = ab.analyse(case.gpu, model_of(case.shape, other), case.work)
            first, second = both.layers
            n_layer = case.shape.n_layer
            for total, one, three in zip(both.counts, first.counts, second.counts):
                self.assert_close(total, n_layer * one + 3 * three, case)
            for total, one, three in zip(both.terms, first.terms, second.terms):
                self.assert_close(total, n_layer * one + 3 * three, case)
            for layer in both.layers:
                # The longer of its kernels, each by its longer term, and of its exchanges.
                kernels = [max(terms.compute_s, terms.memory_s) for _, terms in layer.kernels]
                exchanges = [seconds for _, seconds in layer.exchanges]
                bound = max(math.fsum(kernels), math.fsum(exchanges))
                self.assert_close(layer.terms.bound_s, bound, case)

    def test_the_busiest_gpu_does_its_share(self) -> None:
        """However the work is split, n GPUs do all of it, and one alone exactly it."""
        for case in self.drawn(random.Random(3)):
            ngpu = case.work.ngpu
            counts = ab.analyse(case.gpu, case.model, case.work).counts
            alone = ab.analyse(case.gpu, case.model, case.work._replace(ngpu=1)).counts
            self.assert_close(alone.gpu_flops, alone.flops, case)
            self.assert_close(alone.gpu_bytes, alone.bytes, case)
            self.assertGreaterEqual(counts.gpu_flops * ngpu, alone.flops * (1 - 1e-12))
            self.assertGreaterEqual(counts.gpu_bytes * ngpu, alone.bytes * (1 - 1e-12))


class Additions(ScriptTest):
    def test_sums_are_additions_in_their_order(self) -> None:
        """From Python 3.12 on sum() of floats compensates, and so gives other bytes than before."""
        seconds = [0.1] * 10 + [1e16, 1.0, -1e16]
        expected = 0.1
        for value in seconds[1:]:
            expected = expected + value
        self.assertNotEqual(expected, math.fsum(seconds))
        terms = [(1, ab.Terms(value, value, value, value, value)) for value in seconds]
        self.assertEqual(set(ab.summed(terms)), {expected})

    def test_sums_of_so_many(self) -> None:
        total = ab.summed([(3, ab.Terms(0.1)), (7, ab.Terms(0.2))])
        self.assertEqual(total.compute_s, 3 * 0.1 + 7 * 0.2)


class Examples(ScriptTest):
    def test_docstrings_tell_the_truth(self) -> None:
        for module, examples in ((ab, 5), (support, 2)):
            self.assertEqual(doctest.testmod(module), (0, examples))


class Figures(ScriptTest):
    def test_refusals(self) -> None:
        for changes, expected in (
            ({"query": 9}, "unknown key"),
            ({"window": 0}, "Model.window must be a whole number from 1"),
            ({"n_layer_window": 2}, "Model.window is missing: n_layer_window needs it"),
            ({"window": 4, "n_layer_window": 97}, "n_layer_window"),
            ({"window": 4, "n_layer_window": 90, "n_layer_no_cache": 7}, "n_layer_no_cache"),
            ({"n_layer_no_cache": 96}, "Model.n_layer must be more than n_layer_no_cache"),
            ({"n_layer_expert": 97}, "Model.n_layer_expert must be at most n_layer 96: 97"),
            ({"n_layer_no_cache": -1}, "Model.n_layer_no_cache must be a whole number"),
            ({"n_layer_no_cache": False}, "Model.n_layer_no_cache must be a whole number"),
            (
                {"active_params_b": 3},
                "active_params_b must be at most params_b, and stand beside it: 3000000000 of 0",
            ),
            ({"n_expert": 4}, "n_expert and n_expert_active must stand together"),
            ({"n_expert_active": 4}, "n_expert and n_expert_active must stand together"),
            (
                {"n_expert": 4, "n_expert_active": 5},
                "Model.n_expert_active must be at most n_expert 4, not 5",
            ),
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
            with self.subTest(changes):
                error = self.refusal("--config", self.config(model=changes))
                self.assertIn(expected, error)

    def test_refusals_of_latent_attention(self) -> None:
        for key in ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"):
            path = self.written(json.dumps({"GPU": H100, "Model": {**DEEPSEEK, key: 0}}))
            self.assertIn(f"Model.{key} must be", self.refusal("--config", path))
            rest = {name: value for name, value in DEEPSEEK.items() if name != key}
            path = self.written(json.dumps({"GPU": H100, "Model": rest}))
            self.assertIn(f"Model.{key} is missing", self.refusal("--config", path))
        path = self.written(json.dumps({"GPU": H100, "Model": {**DEEPSEEK, "n_kv_head": 128}}))
        self.assertIn("n_kv_head has no meaning beside", self.refusal("--config", path))

    def test_refusals_of_constants(self) -> None:
        for key in ("compute_efficiency", "bandwidth_efficiency", "link_efficiency"):
            error = self.refusal("--config", self.config({key: 1.01}))
            self.assertIn(f"GPU.{key} must be a number above 0 and at most 1, not 1.01", error)
            self.answer("--config", self.config({key: 1}))
        error = self.refusal("--config", self.config({"launch_us": 0}))
        self.assertIn("GPU.launch_us must be", error)

    def test_ends_of_what_can_be(self) -> None:
        """As many active as the experts' part, and all of them."""
        self.answer("--config", self.config(None, {"n_layer_no_cache": 0, "n_layer_window": 0}))
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
        self.answer(
            "--config", self.config({"nvlink": 600}), "--link", "nvlink", "--ngpu", "1000000"
        )

    def test_default_links(self) -> None:
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
                self.assertEqual(json_of(flags)["link"], link)

    def test_heads_that_gpus_cannot_share(self) -> None:
        powers = "1, 2, 4, 8, 16, 32, 64"
        for n_head, n_kv_head, ngpu, works in (
            (64, 8, 6, powers),
            (64, 8, 128, powers),
            (12, 4, 3, "1, 2, 4, 12"),
            (256, 256, 3, f"{powers}, 128, 256"),
            (257, 257, 3, "1"),  # counts above 256 are not listed
        ):
            model = {**LLAMA_70B, "n_head": n_head, "n_kv_head": n_kv_head}
            with self.subTest(ngpu=ngpu, model=model):
                self.assert_shared_by(model, ngpu, works)
        self.assert_shared_by(DEEPSEEK, 3, f"{powers}, 128")

    def assert_shared_by(self, model: dict[str, Any], ngpu: int, works: str) -> None:
        """That so many GPUs do not share the heads, but these numbers of them do."""
        config = self.written(json.dumps({"GPU": H100, "Model": model}))
        flags = ("--config", config, "--fp16", "--split", "head", "--ngpu")
        error = self.refusal(*flags, str(ngpu))
        self.assertIn(f"--split head: {ngpu} GPUs do not share", error)
        self.assertIn(f"(such as --ngpu {works};", error)
        for count in works.split(", "):
            self.answer(*flags, count)

    def test_precisions_that_only_store(self) -> None:
        self.answer("--kv-dtype", "int4", "--weight-dtype", "int4")
        error = self.refusal("--dtype", "int4")
        self.assertIn("--dtype must be one of fp32, tf32, fp16, bf16, fp8, int8, fp4, not", error)
        self.assertIn(
            'GPU has an unknown key "int4"', self.refusal("--config", self.config({"int4": 4}))
        )

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
                case = json_of(f"--gpu b200 --fused {flags}")
                self.assertEqual(case["weight_dtype"], expected)

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
