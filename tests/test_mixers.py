"""Layers that keep a state, read the best keys, compressed rows or those of another layer.

Golden values are quoted from ../shared/facts/mechanisms.md, which read them off transformers 5.24,
vLLM 0.33 and SGLang 0.5.10, or worked out by hand beside the value.
"""

from __future__ import annotations

import json
import unittest
from typing import Any

from tests.support import (
    BASE,
    H100,
    LLAMA_8B,
    NO_OVERHEAD,
    SHARED,
    CaseTest,
    json_of,
    needs_shared,
    run,
)

# Qwen3-Next-80B-A3B, as published: every fourth of 48 layers is full, the others gated delta nets.
QWEN3_NEXT: dict[str, Any] = {
    "model_type": "qwen3_next",
    "num_hidden_layers": 48,
    "full_attention_interval": 4,
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "hidden_act": "silu",
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "vocab_size": 151936,
}
# DeepSeek-V3.2: 64 index heads of 128 find the best 2,048 keys in each of 61 layers.
DEEPSEEK_V32: dict[str, Any] = {
    "model_type": "deepseek_v32",
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "num_attention_heads": 128,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "index_n_heads": 64,
    "index_head_dim": 128,
    "index_topk": 2048,
    "vocab_size": 129280,
}
# DeepSeek-V4-Pro's attention: 31 layers of a row for 128 tokens, 30 of a row for 4 with an indexer.
DEEPSEEK_V4: dict[str, Any] = {
    "model_type": "deepseek_v4",
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "num_attention_heads": 128,
    "num_key_value_heads": 1,
    "head_dim": 512,
    "qk_rope_head_dim": 64,
    "q_lora_rank": 1536,
    "o_lora_rank": 1024,
    "o_groups": 16,
    "index_n_heads": 64,
    "index_head_dim": 128,
    "index_topk": 1024,
    "sliding_window": 128,
    "compress_ratios": [128, 128] + [4, 128] * 29 + [4],
    "vocab_size": 129280,
}
GEMMA_E2B: dict[str, Any] = {
    "model_type": "gemma4_text",
    "num_hidden_layers": 35,
    "hidden_size": 1536,
    "num_attention_heads": 8,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "global_head_dim": 512,
    "num_kv_shared_layers": 20,
    "sliding_window": 512,
    "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 7,
    "vocab_size": 262144,
}
# A state of 4 heads, 16 x 8 each, in 3 of 5 layers; by hand below.
SMALL_STATES: dict[str, Any] = {
    "n_layer": 5,
    "n_head": 8,
    "n_kv_head": 2,
    "dim_head": 64,
    "hidden_size": 512,
    "n_layer_state": 3,
    "n_head_state": 4,
    "dim_k_state": 16,
    "dim_v_state": 8,
    "conv_channels": 96,
    "conv_width": 4,
}


def layers_of(record: Any, kind: str) -> list[Any]:
    return [layer for layer in record["layers"] if layer["kind"] == kind]


class MixerTest(CaseTest):
    def published(self, config: dict[str, Any], flags: str) -> Any:
        """The JSON of a case of a published config on an H100."""
        path = self.written(json.dumps(config))
        return json_of(f"--gpu h100-sxm --model {path} {flags}")


class States(MixerTest):
    def test_golden_states(self) -> None:
        """Bytes kept by a sequence and moved by a token, FLOPs, bytes of a token's K and V."""
        record = self.published(QWEN3_NEXT, "--seq 4096")
        self.assertEqual(record["state_bytes"], 77_266_944)
        self.assertEqual(record["kv_bytes_per_token"], 24_576)
        (state,) = layers_of(record, "state")
        self.assertEqual(state["n_layer"], 36)
        self.assertEqual(36 * state["flops"], 134_479_872)
        # Beside states and rows of the convolution, which are read and written, a token's inputs
        # (two keys and a value of 32 heads) and outputs, 2 bytes each.
        inputs = 2 * (32 * (2 * 128 + 128) + 32 * 128)
        self.assertEqual(36 * (state["bytes"] - inputs), 154_533_888)

    def test_prompt_from_nothing_only_writes_its_state(self) -> None:
        decode = self.record(SMALL_STATES, "--fused --dtype bf16 --seq 1 --gen 1")
        prefill = self.record(SMALL_STATES, "--fused --dtype bf16 --seq 1 --gen 0")
        state = 4 * 16 * 8 * 4
        (before,) = layers_of(decode, "state")
        (after,) = layers_of(prefill, "state")
        self.assertEqual(before["bytes"] - after["bytes"], state)

    def test_own_config_by_hand(self) -> None:
        """3 layers of 4 x 16 x 8 numbers in 4 bytes and 3 rows of 96 in 2; 7 FLOPs a number and 2 x 4
        a channel; a token's 192 inputs (two keys and a value of 4 heads, not the 96 channels: 160)
        and 32 outputs.
        """
        record = self.record(SMALL_STATES, "--fused --dtype bf16 --batch 10 --seq 100")
        self.assertEqual(record["state_bytes"], 10 * 3 * (4 * 16 * 8 * 4 + 3 * 96 * 2))
        (state,) = layers_of(record, "state")
        self.assertEqual(state["flops"], 10 * (7 * 4 * 16 * 8 + 2 * 4 * 96))
        inputs = 4 * (2 * 16 + 8)
        moved = 2 * (4 * 16 * 8 * 4) + 2 * 3 * 96 * 2 + 2 * (inputs + 4 * 8)
        self.assertEqual(state["bytes"], 10 * moved)
        self.assertEqual([layer["n_layer"] for layer in layers_of(record, "full")], [2])
        self.assertEqual(
            record["cache_bytes"] - record["state_bytes"], 10 * 2 * 2 * 2 * 64 * 99 * 2
        )

    def test_bound_is_of_one_kernel_and_the_estimate_of_two(self) -> None:
        (state,) = layers_of(self.record(SMALL_STATES, "--fused --dtype bf16"), "state")
        self.assertEqual([kernel["name"] for kernel in state["kernels"]], ["state", "convolution"])
        flops = sum(kernel["flops"] for kernel in state["kernels"])
        moved = sum(kernel["bytes"] for kernel in state["kernels"])
        self.assert_close(state["bound_s"], max(flops / 989.5e12, moved / 3.35e12))

    def test_rule_and_precision(self) -> None:
        additive = {**SMALL_STATES, "state_rule": "additive", "state_dtype": "bf16"}
        record = self.record(additive, "--fused --dtype bf16 --seq 100")
        self.assertEqual(record["state_bytes"], 3 * (4 * 16 * 8 * 2 + 3 * 96 * 2))
        (state,) = layers_of(record, "state")
        self.assertEqual(state["flops"], 5 * 4 * 16 * 8 + 2 * 4 * 96)

    def test_shared_like_heads_or_copied_whole(self) -> None:
        """4 heads over 2 GPUs are 2 each; over 8, or 16, none divides: a copy on each."""
        one = self.record(SMALL_STATES, "--fused --dtype bf16 --seq 100")["state_bytes"]
        for split in ("head", "seq"):
            for ngpu, part in ((2, 0.5), (4, 0.25), (8, 1)):
                flags = (
                    f"--fused --dtype bf16 --seq 100 --ngpu {ngpu} --split {split} --link nvlink"
                )
                with self.subTest(split=split, ngpu=ngpu):
                    record = self.record(SMALL_STATES, flags)
                    rows = 2 * 2 * 2 * 64 * 99 * 2
                    share = 1 / ngpu if split == "seq" else max(1 / ngpu, 1 / 2)
                    self.assert_close(record["gpu_cache_bytes"], one * part + rows * share)
                    (state,) = layers_of(record, "state")
                    names = [exchange["name"] for exchange in state["exchanges"]]
                    self.assertEqual(names, ["all-reduce"])
                    self.assert_close(state["gpu_flops"], state["flops"] * part)

    def test_layers_with_two_mixers_exchange_once(self) -> None:
        """5 layers, of which 3 have both."""
        both = {**SMALL_STATES, "n_layer_full": 5}
        record = self.record(both, "--fused --dtype bf16 --ngpu 2 --split head --link nvlink")
        counts = [layer["n_layer"] for layer in record["layers"]]
        self.assertEqual(sorted(counts), [3, 5])
        (state,) = layers_of(record, "state")
        self.assertEqual(state["exchanges"], [])

    def test_room_counts_states(self) -> None:
        """However short, no more sequences fit than states do."""
        size = 3 * (4 * 16 * 8 * 4 + 3 * 96 * 2)
        small = {**H100, "memory": 10 * size / 1e9}
        record = self.record(SMALL_STATES, "--fused --dtype bf16 --seq 1", small)
        self.assertEqual(record["max_batch"], 10)
        over = self.record(SMALL_STATES, "--fused --dtype bf16 --seq 1 --batch 11", small)
        self.assertEqual((over["fits"], over["max_seq"]), (False, 0))

    def test_states_alone(self) -> None:
        """3 layers of 4 x 16 x 8 numbers, without a convolution: any length fits, or none."""
        model = {**LLAMA_8B, "n_layer": 3, "n_layer_state": 3}
        model = {**model, "n_head_state": 4, "dim_k_state": 16, "dim_v_state": 8}
        size = 3 * 4 * 16 * 8 * 4
        for memory, longest in ((size, None), (size - 1, 0)):
            with self.subTest(memory=memory):
                gpu = {**H100, "memory": memory / 1e9}
                record = self.record(model, "--fused --dtype bf16", gpu)
                self.assertEqual((record["max_seq"], record["cache_bytes"]), (longest, size))
        lines = self.summary(model, "--fused --dtype bf16")
        self.assertIn("           3 state layers: 4 heads of 16 x 8", lines)

    def test_estimate_of_decode(self) -> None:
        """4 us and two states, inputs and outputs at the bandwidth; 1.5 us and the convolution's rows,
        with its channels in and out, at 0.6 of it.
        """
        record = self.record(SMALL_STATES, "--fused --dtype bf16 --batch 10", NO_OVERHEAD)
        (state,) = layers_of(record, "state")
        times = {kernel["name"]: kernel["total_s"] for kernel in state["kernels"]}
        moved = 10 * (2 * 4 * 16 * 8 * 4 + 2 * (160 + 32))
        self.assert_close(times["state"], 4e-6 + moved / 3.35e12)
        moved = 10 * (2 * 3 * 96 * 2 + 2 * 2 * 96)
        self.assert_close(times["convolution"], 1.5e-6 + moved / (0.6 * 3.35e12))

    def test_estimate_of_a_prompt_waits_for_its_chunks(self) -> None:
        """10 x 4 heads are one wave of 132: 3 us, 10 us, and 1,000 tokens in 16 chunks of 64."""
        gpu = {**NO_OVERHEAD, "state_chunk_us": 3}
        flags = "--fused --dtype bf16 --batch 10 --gen 0 --seq 1000"
        (state,) = layers_of(self.record(SMALL_STATES, flags, gpu), "state")
        self.assert_close(state["kernels"][0]["total_s"], 3e-6 + 10e-6 + 16 * 3e-6)
        # Without a measured chunk: 16 us and 2.3 us each.
        (state,) = layers_of(self.record(SMALL_STATES, flags, NO_OVERHEAD), "state")
        self.assert_close(state["kernels"][0]["total_s"], 16e-6 + 16 * 2.3e-6)

    def test_refusals(self) -> None:
        flags = ("--fused", "True")
        for changes, expected in (
            ({"n_layer_state": 6}, "Model.n_layer must be more than n_layer_no_cache and hold"),
            ({"n_layer_state": 0}, "Model.n_layer_state is missing: n_head_state needs it"),
            ({"state_rule": "gated"}, "Model.state_rule must be one of delta, additive"),
            ({"state_dtype": "int4"}, "Model.state_dtype must be one of fp32, fp16, bf16, fp8"),
            ({"n_layer_full": 9}, "Model.n_layer must be more than"),
            ({"window": 9, "chunk": 9}, "Model.chunk has no meaning beside window"),
            ({"index_topk": 9}, "Model.index_n_head is missing: index_topk needs it"),
            ({"n_layer_index": 2}, "Model.index_topk is missing: n_layer_index needs it"),
            ({"state_groups": 3}, "Model.state_groups must divide n_head_state 4, not 3"),
            ({"n_layer_full": 0, "index_topk": 9}, "Model.index_topk has no meaning without full"),
            (
                {"index_n_head": 2, "index_dim_head": 4, "index_topk": 9, "n_layer_indexed": 3},
                "Model.n_layer_index must be at most n_layer_indexed",
            ),
        ):
            with self.subTest(changes):
                path = self.written(json.dumps({"GPU": H100, "Model": {**SMALL_STATES, **changes}}))
                self.assertIn(expected, self.refusal("--config", path, *flags))
        for key in ("dim_k_state", "conv_width"):
            model = {name: value for name, value in SMALL_STATES.items() if name != key}
            path = self.written(json.dumps({"GPU": H100, "Model": model}))
            self.assertIn(f"Model.{key} is missing", self.refusal("--config", path, *flags))

    def test_layers_of_nothing(self) -> None:
        for changes, expected in (
            ({"n_layer_state": 3}, "Model.n_head_state is missing: n_layer_state needs it"),
            ({"state_dtype": "bf16"}, "Model.n_layer_state is missing: state_dtype needs it"),
            ({"n_layer_full": 0}, "Model.n_layer_full must be at least 1 where no other layer has"),
            (
                {"n_layer_state": 3, "conv_channels": 8, "conv_width": 1},
                "Model.conv_width must be at least 2 where there is no state, not 1",
            ),
        ):
            with self.subTest(changes):
                path = self.written(json.dumps({"GPU": H100, "Model": {**LLAMA_8B, **changes}}))
                self.assertIn(expected, self.refusal("--config", path, "--fused"))

    def test_a_state_without_a_convolution_is_one_kernel(self) -> None:
        model = {key: SMALL_STATES[key] for key in SMALL_STATES if not key.startswith("conv")}
        (state,) = layers_of(self.record(model, "--fused --dtype bf16"), "state")
        self.assertEqual([kernel["name"] for kernel in state["kernels"]], ["state"])

    def test_a_convolution_beside_heads_that_do_not_divide_it(self) -> None:
        """3 layers of 7 heads of 16 x 8, and of 3 rows of 30 channels, in 32 bits."""
        model = {**SMALL_STATES, "n_layer": 3, "n_head_state": 7, "conv_channels": 30}
        record = self.record(model, "--fused --dtype fp32 --split head")
        self.assertEqual(record["gpu_cache_bytes"], 3 * 4 * (7 * 128 + 90))

    def test_a_wide_convolution_computes(self) -> None:
        """However wide: no kernel is faster than the GPU computes."""
        model = {**SMALL_STATES, "conv_width": 1_000_000}
        flags = "--fused --dtype bf16 --gen 0 --seq 1000"
        (state,) = layers_of(self.record(model, flags, NO_OVERHEAD), "state")
        least_s = 2 * 1_000_000 * 96 * 1000 / 989.5e12
        self.assertGreaterEqual(state["kernels"][-1]["total_s"], least_s)

    def test_chunked_algorithm_of_a_prompt(self) -> None:
        """4 heads of 16 x 8, 1,000 tokens, chunk 64: delta 6 x 128 + 128 x 64 FLOPs a head, additive
        4 x 128 + 64 x 8 and for each of 2 groups 64 x 16; less what the recurrence is counted as.
        """
        flags = "--fused --dtype bf16 --gen 0 --seq 1000"
        for changes, chunked, counted in (
            ({}, 4 * (6 * 128 + 128 * 64), 7 * 4 * 128),
            (
                {"state_rule": "additive", "state_groups": 2},
                4 * (4 * 128 + 64 * 8) + 2 * 64 * 16,
                5 * 4 * 128,
            ),
        ):
            with self.subTest(changes):
                (state,) = layers_of(self.record({**SMALL_STATES, **changes}, flags), "state")
                self.assertEqual(state["kernels"][0]["extra_flops"], 1000 * (chunked - counted))

    def test_a_published_prompt_runs_in_chunks_of_64(self) -> None:
        """A head of 128 x 128: 6 x 16,384 FLOPs a token and 2 x 64 x 5 x 128, for 7 x 16,384."""
        record = self.published(QWEN3_NEXT, "--gen 0 --seq 1000")
        (state,) = layers_of(record, "state")
        extra_flops = 1000 * 32 * (2 * 64 * 5 * 128 - 128 * 128)
        self.assertEqual(state["kernels"][0]["extra_flops"], extra_flops)

    def test_runs_fused_alone(self) -> None:
        path = self.written(json.dumps({"GPU": H100, "Model": SMALL_STATES}))
        error = self.refusal("--config", path, "--fused", "False")
        self.assertIn("--fused False: state layers run fused alone", error)
        error = self.refusal("--config", path, "--format", "report")
        self.assertIn("--format report has no state layers: --format summary", error)
        flags = ("--set", "GPU.memory=1e-9", "--format", "report")  # nor a warning before
        error = self.refusal("--config", path, *flags)
        self.assertIn("--format report has no state layers: --format summary", error)
        models = ("--model", "llama-3.1-8b,qwen3-next-80b-a3b")
        out = self.answer("--gpu", "h100-sxm", *models, "--format", "report")
        self.assertIn("Model: llama-3.1-8b\n", out)
        refusal = "qwen3-next-80b-a3b: --format report has no state layers: --format summary\n"
        self.assertTrue(out.endswith(refusal), out)
        out = self.answer("--config", path)
        self.assertIn("3 state layers: 4 heads of 16 x 8, convolution of 96 channels", out)
        self.assertIn(", state 9.6 KB each sequence", out)  # 3 x (2,048 + 3 x 96 x 4), all in fp32


class SparseReaders(MixerTest):
    def test_golden_reads_of_latents(self) -> None:
        """At 131,072 keys, FP8 rows: 61 indexers."""
        record = self.published(DEEPSEEK_V32, "--seq 131072 --kv-dtype fp8")
        self.assertEqual(record["kv_bytes_per_token"], 48_068)
        self.assertEqual(record["kv_read_bytes"], 1_055_391_744 + 81_952_768)
        (layer,) = record["layers"]
        flops = {kernel["name"]: 61 * kernel["flops"] for kernel in layer["kernels"]}
        self.assert_close(flops["indexer"], 132.0e9, 0.001)
        self.assert_close(flops["attention"], 34.8e9, 0.001)
        self.assertEqual(self.published(DEEPSEEK_V32, "")["kv_bytes_per_token"], 78_324)

    def test_a_bound_reads_what_is_chosen(self) -> None:
        """The issue's example: 0.25 ms at 128K on 8 H200, where the dense bound was 1.92 ms."""
        path = self.written(json.dumps(DEEPSEEK_V32))
        record = json_of(f"--gpu h200-sxm --ngpu 8 --model {path} --seq 128K")
        self.assert_close(record["bound_s"], 0.25e-3, 0.01)

    def test_each_of_few_tokens_reads_its_best_keys(self) -> None:
        """Three tokens to verify move thrice what one does: their queries, outputs and keys."""
        memory_s = []
        for query in (1, 3):
            record = self.published(DEEPSEEK_V32, f"--seq 131072 --batch 8 --query {query}")
            memory_s.append(record["layers"][0]["kernels"][-1]["memory_s"])
        self.assert_close(memory_s[1], 3 * memory_s[0])

    def test_index_rows_are_on_every_gpu_under_head(self) -> None:
        alone = self.published(DEEPSEEK_V32, "--seq 131072")
        shared = self.published(DEEPSEEK_V32, "--seq 131072 --ngpu 8 --split head")
        self.assertEqual(alone["gpu_cache_bytes"], shared["gpu_cache_bytes"])
        kernels = [record["layers"][0]["kernels"][0] for record in (alone, shared)]
        self.assertEqual(kernels[0]["bytes"], kernels[1]["bytes"])
        self.assertEqual(kernels[0]["flops"], kernels[1]["flops"])

    def test_candidates_are_gathered_where_keys_are_split(self) -> None:
        """Of 7 other GPUs 8 bytes for each of 2,048 keys of 3 sequences."""
        flags = "--seq 131072 --ngpu 8 --split seq --batch 3"
        (layer,) = self.published(DEEPSEEK_V32, flags)["layers"]
        sizes = {exchange["name"]: exchange["bytes"] for exchange in layer["exchanges"]}
        self.assertEqual(sizes["candidates"], 7 * 3 * 2048 * 8)

    def test_prompts_of_no_more_keys_run_as_plain_attention(self) -> None:
        for seq, names in (
            (2048, ["attention"]),
            (2049, ["indexer", "top-k", "attention"]),
        ):
            with self.subTest(seq=seq):
                (layer,) = self.published(DEEPSEEK_V32, f"--gen 0 --seq {seq}")["layers"]
                self.assertEqual([kernel["name"] for kernel in layer["kernels"]], names)
        self.assertEqual(layer["pairs"], 2048 * 2049 // 2 + 2048)

    def test_owners_and_others(self) -> None:
        """GLM-5.2's 21 indexers of 78 layers: 53,940 bytes a token in FP8."""
        glm = {
            **DEEPSEEK_V32,
            "model_type": "glm_moe_dsa",
            "num_hidden_layers": 78,
            "num_attention_heads": 64,
            "index_n_heads": 32,
            "indexer_types": ["full"] * 21 + ["shared"] * 57,
        }
        record = self.published(glm, "--seq 131072 --kv-dtype fp8")
        self.assertEqual(record["kv_bytes_per_token"], 53_940)
        owns = {layer["owns_indexer"]: layer["n_layer"] for layer in record["layers"]}
        self.assertEqual(owns, {True: 21, False: 57})
        self.assertEqual(record["kv_read_bytes"], 363_331_584 + 104_792_064)

    def test_own_config_over_grouped_heads(self) -> None:
        """An index row of 2 x 64 bytes, the best 100 of 1,000 keys of 2 heads of 64 and 64."""
        model = {**LLAMA_8B, "n_layer": 4, "index_n_head": 2, "index_dim_head": 64}
        model = {**model, "index_topk": 100, "n_layer_indexed": 3, "n_layer_index": 1}
        record = self.record(model, "--fused --dtype bf16 --seq 1000")
        counts = [(layer["kind"], layer["n_layer"]) for layer in record["layers"]]
        self.assertEqual(counts, [("full", 1), ("indexed", 1), ("indexed", 2)])
        row = 2 * 8 * 128 * 2
        self.assertEqual(record["kv_bytes_per_token"], 4 * row + 128)
        self.assertEqual(record["kv_read_bytes"], 999 * row + 3 * 100 * row + 1000 * 128)


class CompressedRows(MixerTest):
    def test_golden_rows(self) -> None:
        record = self.published(DEEPSEEK_V4, "--seq 131072")
        self.assert_close(record["kv_bytes_per_token_beyond_windows"], 5511.4375)
        self.assertEqual(record["state_bytes"], 18_710_528)
        self.assertEqual(record["kv_read_bytes"], 170_800_128)
        million = self.published(DEEPSEEK_V4, f"--seq {2**20}")
        self.assertEqual(million["kv_read_bytes"], 1_208_898_560)
        flops = {"indexer": 0.0, "attention": 0.0}
        for layer in record["layers"]:
            for kernel in layer["kernels"]:
                flops[kernel["name"]] += layer["n_layer"] * kernel["flops"]
        self.assert_close(flops["attention"], 18.4e9, 0.01)
        self.assert_close(flops["indexer"], 16.2e9, 0.01)

    def test_cache_grows_a_row_at_a_time(self) -> None:
        """From 1,024 tokens to 1,028 each of 30 layers gets a row of 584 and an index row of 132."""
        sizes = [
            self.published(DEEPSEEK_V4, f"--gen 0 --seq {seq}")["cache_bytes"]
            for seq in (1024, 1027, 1028)
        ]
        self.assertEqual(sizes[1] - sizes[0], 0)
        self.assertEqual(sizes[2] - sizes[1], 30 * (584 + 132))

    def test_longest_that_fits_is_the_last(self) -> None:
        path = self.written(json.dumps(DEEPSEEK_V4))
        flags = f"--gpu h100-sxm --model {path} --set Model.params_b=1"
        longest = json_of(f"{flags} --seq 1000")["max_seq"]
        self.assertTrue(json_of(f"{flags} --seq {longest}")["fits"])
        self.assertFalse(json_of(f"{flags} --seq {longest + 4}")["fits"])

    def test_pairs_of_a_prompt_by_counting(self) -> None:
        """Each of 300 tokens sees 128 rows at most, and a compressed one for each 4, or 128, before."""
        record = self.published(DEEPSEEK_V4, "--gen 0 --seq 300")
        for layer in record["layers"]:
            ratio = layer["ratio"]
            seen = [min(i, 128) + min(i // ratio, 1024) for i in range(1, 301)]
            with self.subTest(ratio=ratio):
                self.assertEqual(layer["pairs"], sum(seen))


class BorrowedAndChunked(MixerTest):
    def test_borrowed_caches_are_read_but_not_kept(self) -> None:
        """Gemma 4 E2B keeps 15 of 35: 6,144 bytes a token, 6,291,456 in windows of 512."""
        record = self.published(GEMMA_E2B, "--seq 32768 --gen 0")
        self.assertEqual(record["kv_bytes_per_token_beyond_windows"], 6_144)
        self.assertEqual(record["cache_bytes"], 6_144 * 32768 + 6_291_456)
        decode = self.published(GEMMA_E2B, "--seq 32769")
        # 7 full layers of 512 and 28 windows of 512 (511 read), a head of K and of V each.
        expected = 7 * 2 * 512 * 2 * 32768 + 28 * 2 * 256 * 2 * 511
        self.assertEqual(decode["kv_read_bytes"], expected)

    def test_chunks(self) -> None:
        """Keys ((S - 1) mod C) + 1; a prompt's pairs by counting; the cache holds a chunk at most."""
        model = {**LLAMA_8B, "n_layer": 4, "n_layer_window": 3, "chunk": 8}
        for seq in (1, 7, 8, 9, 16, 23):
            with self.subTest(seq=seq):
                decode = self.record(model, f"--fused --dtype bf16 --seq {seq}")
                (chunked,) = layers_of(decode, "chunked")
                self.assertEqual(chunked["keys"], (seq - 1) % 8 + 1)
                prompt = self.record(model, f"--fused --dtype bf16 --seq {seq} --gen 0")
                (chunked,) = layers_of(prompt, "chunked")
                self.assertEqual(chunked["pairs"], sum(i % 8 + 1 for i in range(seq)))
                row = 2 * 8 * 128 * 2
                self.assertEqual(prompt["cache_bytes"], row * (seq + 3 * min(seq, 8)))

    def test_a_model_section_may_be_a_published_config(self) -> None:
        path = self.written(json.dumps({"GPU": H100, "Model": QWEN3_NEXT}))
        record = json_of(f"--config {path} --fused --dtype bf16 --seq 4096")
        self.assertEqual(record["state_bytes"], 77_266_944)
        bad = self.written(json.dumps({"GPU": H100, "Model": {**QWEN3_NEXT, "head_dim": "x"}}))
        self.assertIn("Model head_dim must be", self.refusal("--config", bad))


class WholeModels(unittest.TestCase):
    """Parameters of published files, embeddings included: within 0.5 % of the library's."""

    @needs_shared("hf_configs")
    def test_parameters(self) -> None:
        for file, total, active in (
            ("Qwen3-Next-80B-A3B", 79_674_391_296, 3.87e9),
            ("Qwen3.5-27B", 26_895_998_464, None),
            ("Nemotron-H-56B-Base-8K", 56_324_350_464, None),
            ("gemma-4-26B-A4B", 25_233_141_760, 3.82e9),
            ("DeepSeek-V3.2", 671_877_929_216, 38.4e9),
            ("GLM-5.2", 743_377_000_704, 41.3e9),
            ("DeepSeek-V4-Pro", 1_572_997_179_491, 49.8e9),
        ):
            with self.subTest(file):
                model = json_of(f"--gpu h200-sxm --model {SHARED}/hf_configs/{file}.json")
                figures = model["inputs"]["model"]
                self.assertAlmostEqual(figures["params_b"] / total, 1, delta=0.005)
                if active:
                    self.assertAlmostEqual(figures["active_params_b"] / active, 1, delta=0.005)

    @needs_shared("hf_2026")
    def test_newer_files_are_read(self) -> None:
        for file in sorted((SHARED / "hf_2026").glob("*.json")):
            with self.subTest(file.name):
                result = run("--gpu", "h200-sxm", "--model", str(file))
                self.assertEqual(result.code, 0, result.err)


class Words(MixerTest):
    """What a summary says of each kind."""

    def test_kinds(self) -> None:
        for config, line in (
            (
                QWEN3_NEXT,
                "36 state layers: 32 heads of 128 x 128, convolution of 8192 channels",
            ),
            (
                DEEPSEEK_V32,
                "61 indexed layers: 128 heads, 1 K/V, width 576/512, best 2048 keys, own indexer",
            ),
            (
                DEEPSEEK_V4,
                "30 compressed layers: 128 heads, 1 K/V, width 512, window 128,"
                " a row for each 4 tokens, best 1024 of them",
            ),
            (
                {**DEEPSEEK_V4, "compress_ratios": [0] * 61},
                "61 compressed layers: 128 heads, 1 K/V, width 512, window 128",
            ),
            (GEMMA_E2B, "4 full layers: 8 heads, 1 K/V, width 512, a cache of another layer"),
        ):
            with self.subTest(line):
                path = self.written(json.dumps(config))
                out = run("--gpu", "h100-sxm", "--model", path, "--batch", "2").out
                self.assertIn(f"           {line}\n", out)

    def test_convolutions_alone(self) -> None:
        """LFM2: of 512 channels the last two inputs are kept, 2 bytes each, in 2 of 4 layers."""
        lfm2 = {**BASE, "model_type": "lfm2", "full_attn_idxs": [1, 3], "conv_L_cache": 3}
        record = self.published(lfm2, "--seq 100")
        self.assertEqual(record["state_bytes"], 2 * 2 * 512 * 2)
        out = run("--gpu", "h100-sxm", "--model", self.written(json.dumps(lfm2))).out
        self.assertIn("2 state layers: convolution of 512 channels\n", out)

    def test_gpus_that_do_not_share_one_head(self) -> None:
        path = self.written(json.dumps(DEEPSEEK_V4))
        flags = ("--gpu", "h100-sxm", "--model", path, "--split", "head", "--ngpu", "3")
        self.assertIn("3 GPUs do not share 128 heads, 1 K/V", self.refusal(*flags))


class Dialects(MixerTest):
    """Ways in which published files say the same."""

    def kinds(self, config: dict[str, Any], flags: str = "") -> list[tuple[str, int]]:
        record = self.published(config, f"--seq 4096 {flags}")
        return [(layer["kind"], layer["n_layer"]) for layer in record["layers"]]

    def test_indexers(self) -> None:
        glm = {**DEEPSEEK_V32, "model_type": "glm_moe_dsa", "num_hidden_layers": 6}
        for said, owners in (
            ({}, 6),
            ({"index_topk_pattern": "FSSFSS"}, 2),
            # Layers 0, 1, 2 and then each fourth: max(l - 3 + 1, 0) % 4 == 0.
            ({"index_topk_freq": 4, "index_skip_topk_offset": 3}, 3),
        ):
            with self.subTest(said):
                record = self.published({**glm, **said}, "--seq 4096")
                owned = [layer["n_layer"] for layer in record["layers"] if layer["owns_indexer"]]
                self.assertEqual(owned, [owners])

    def test_minimax_m3(self) -> None:
        """The best 16 blocks of 128 keys by 4 index heads of 128, in half of the layers."""
        m3 = {**BASE, "model_type": "minimax_m3_vl_text", "head_dim": 64}
        sparse = {
            "sparse_num_index_heads": 4,
            "sparse_index_dim": 128,
            "sparse_topk_blocks": 16,
            "sparse_block_size": 128,
            "sparse_attention_freq": [0, 1, 0, 1],
        }
        names = ["full_attention", "minimax_m3_sparse"] * 2
        library: dict[str, Any] = {
            "index_n_heads": 4,
            "index_head_dim": 128,
            "index_topk_blocks": 16,
        }
        library = {**library, "index_block_size": 128, "layer_types": names}
        for config in ({**m3, "sparse_attention_config": sparse}, {**m3, **library}):
            with self.subTest(list(config)):
                self.assertEqual(self.kinds(config), [("full", 2), ("indexed", 2)])
                record = self.published(config, "--seq 4096")
                (layer,) = layers_of(record, "indexed")
                self.assertEqual(layer["topk"], 2048)
                self.assertEqual(layer["kernels"][0]["bytes"], 4096 * 256)

    def test_names_for_fewer_layers_than_there_are(self) -> None:
        blocks = {
            "block_configs": [{"attention": {"n_heads_in_group": 4}}] * 4,
            "layer_types": ["minimax_m3_sparse"],
            "sparse_attention_config": {
                "sparse_num_index_heads": 4,
                "sparse_index_dim": 64,
                "sparse_topk_blocks": 4,
                "sparse_block_size": 64,
            },
        }
        self.assertEqual(
            self.kinds({**BASE, "head_dim": 64, **blocks}), [("full", 3), ("indexed", 1)]
        )

    def test_caches_across_layers(self) -> None:
        """Hunyuan's first of each two layers keeps rows: half the cache, all of the reading."""
        plain = self.published(BASE, "--seq 100")
        cla = {**BASE, "use_cla": True, "cla_share_factor": 2}
        shared = self.published(cla, "--seq 100")
        self.assertEqual(shared["cache_bytes"] * 2, plain["cache_bytes"])
        self.assertEqual(shared["kv_read_bytes"], plain["kv_read_bytes"])

    def test_parameters_of_layers_that_borrow(self) -> None:
        """Two of 4 layers have no weights of keys and values: 2 heads of 64 each, from 512."""
        sizes = {"hidden_act": "silu", "intermediate_size": 9}
        plain = self.published({**BASE, **sizes}, "")
        cla = {**BASE, **sizes, "use_cla": True, "cla_share_factor": 2}
        before = plain["inputs"]["model"]["params_b"]
        after = self.published(cla, "")["inputs"]["model"]["params_b"]
        self.assertEqual(before - after, 2 * 512 * 2 * 2 * 64)

    def test_layers_of_a_window_alone(self) -> None:
        """A ratio of 0: 128 rows of 584 bytes, and no compressor's state."""
        config = {**DEEPSEEK_V4, "compress_ratios": [0] * 61}
        record = self.published(config, "--seq 4096 --gen 0")
        self.assertEqual(record["cache_bytes"], 61 * 128 * 584)
        self.assertEqual((record["state_bytes"], record["max_seq"]), (0, None))

    def test_bailing(self) -> None:
        """V2.5 is lightning attention, V3 Kimi's: a state of 8 x 64 x 64, and a convolution."""
        bailing = {
            **BASE,
            "model_type": "bailing_hybrid",
            "kv_lora_rank": 64,
            "qk_rope_head_dim": 16,
            "qk_nope_head_dim": 48,
            "v_head_dim": 64,
            "head_dim": 64,
            "layer_types": ["linear_attention", "full_attention"] * 2,
        }
        state = 2 * 8 * 64 * 64 * 4
        for said, size in (
            ({}, state),
            ({"short_conv_kernel_size": 4}, state + 2 * 3 * 3 * 8 * 64 * 2),
        ):
            with self.subTest(said):
                record = self.published({**bailing, **said}, "--seq 100")
                self.assertEqual(record["state_bytes"], size)

    def test_what_a_file_says_is_taken_or_refused(self) -> None:
        """Values that no class would take, where silence has a meaning."""
        hybrid = {
            **BASE,
            "model_type": "falcon_h1",
            "mamba_d_ssm": 64,
            "mamba_n_heads": 4,
            "mamba_d_head": 16,
            "mamba_n_groups": 1,
            "mamba_d_state": 8,
            "mamba_d_conv": 4,
        }
        self.assertTrue(layers_of(self.published(hybrid, ""), "state"))
        for key in ("mamba_d_ssm", "mamba_d_head", "mamba_ssm_dtype", "mamba_ssm_cache_dtype"):
            for value in ("x", 1.5, -5, True, [1]):
                with self.subTest(key, value=value):
                    path = self.written(json.dumps({**hybrid, key: value}))
                    error = self.refusal("--gpu", "h100-sxm", "--model", path)
                    self.assertIn(f"{key} must be", error)
        convolutions = {
            **BASE,
            "model_type": "lfm2",
            "layer_types": ["conv", "full_attention"] * 2,
            "conv_L_cache": 1,
        }
        path = self.written(json.dumps(convolutions))
        error = self.refusal("--gpu", "h100-sxm", "--model", path)
        self.assertIn("a convolution over 1 token keeps nothing", error)

    def test_states_in_16_bits(self) -> None:
        narrow = {**QWEN3_NEXT, "mamba_ssm_dtype": "bfloat16"}
        rows = 36 * 3 * 8192 * 2
        record = self.published(narrow, "--seq 100")
        self.assertEqual(record["state_bytes"], rows + (77_266_944 - rows) // 2)

    def test_unknown_sizes_leave_parameters_unknown(self) -> None:
        for base, said in (
            (DEEPSEEK_V32, {"q_lora_rank": "x"}),
            (DEEPSEEK_V4, {"o_groups": "x"}),
            (QWEN3_NEXT, {"num_experts": None}),
            (QWEN3_NEXT, {"mlp_layer_types": ["x"] * 48}),
            (QWEN3_NEXT, {"mlp_only_layers": "x"}),
            ({**DEEPSEEK_V32, "index_topk": None}, {"q_lora_rank": "x"}),
            (DEEPSEEK_V32, {"q_lora_rank": None}),
        ):
            with self.subTest(said):
                config = {"hidden_act": "silu", "intermediate_size": 9, **base, **said}
                record = self.published(config, "--seq 100")
                self.assertIsNone(record["gpu_weight_bytes"])


class Measurements(MixerTest):
    def report(self, text: str, gpu: dict[str, Any]) -> str:
        config = self.written(json.dumps({"GPU": gpu}))
        return self.answer("--measured", self.written(text, "m.csv"), "--config", config)

    def test_states(self) -> None:
        """A row of test_estimate_of_decode: two kernels' time, measured as long as it takes."""
        moved = 10 * (2 * 4 * 16 * 8 * 4 + 2 * (160 + 32))
        conv = 10 * (2 * 3 * 96 * 2 + 2 * 2 * 96)
        us = 5.5 + (moved + conv / 0.6) / 3.35e6
        head = "phase,batch,seq,n_head_state,dim_k_state,dim_v_state,conv_channels,conv_width,latency_us"
        out = self.report(f"{head}\ndecode,10,100,4,16,8,96,4,{us:.9f}\n", NO_OVERHEAD)
        self.assertRegex(out, r"\nstate decode +all +1 +0 +0.0% +0.0% +\+0.0%\n")
        out = self.report(
            "phase,batch,seq,n_head_state,dim_k_state,dim_v_state,state_rule,latency_us\n"
            "prefill,1,999,4,16,8,additive,52.8\n",
            NO_OVERHEAD,
        )
        # 16 us and 16 chunks of 2.3 us.
        self.assertRegex(out, r"\nstate prefill +all +1 +0 +0.0%")

    def test_sparse_readers(self) -> None:
        columns = "phase,batch,seq,n_head,kv_lora_rank,qk_rope_head_dim,qk_nope_head_dim,v_head_dim"
        index = "index_n_head,index_dim_head,index_topk,query,latency_us"
        text = f"{columns},{index}\n"
        text += "decode,64,65536,128,512,64,128,128,64,128,2048,2,900\n"
        text += "prefill,1,16384,128,512,64,128,128,64,128,2048,16384,9000\n"
        out = self.report(text, NO_OVERHEAD)
        self.assertIn("\nindexed decode  all ", out)
        self.assertIn("\nindexed prefill all ", out)
        grouped = "phase,batch,seq,n_head,n_kv_head,dim_head,index_n_head,index_dim_head,index_topk"
        out = self.report(f"{grouped},latency_us\ndecode,64,65536,64,8,128,4,128,2048,99\n", H100)
        self.assertIn("bound only", out)

    def test_a_part_of_an_indexer(self) -> None:
        head = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us"
        for columns, values, expected in (
            ("index_n_head,index_dim_head", "4,128", "has no column index_topk"),
            (
                "index_n_head,index_topk,index_dim_head",
                "4,,128",
                "index_topk must be a whole number",
            ),
            (
                "index_n_head,index_topk,index_dim_head,window",
                "4,99,128,9",
                "window has no meaning",
            ),
        ):
            with self.subTest(columns):
                text = f"{head},{columns}\ndecode,64,65536,64,8,128,99,{values}\n"
                path = self.written(text, "m.csv")
                self.assertIn(expected, self.refusal("--measured", path, "--gpu", "h100-sxm"))

    def test_more_new_tokens_than_keys(self) -> None:
        text = "phase,batch,seq,n_head,n_kv_head,dim_head,query,latency_us\ndecode,1,8,8,8,64,9,9\n"
        error = self.refusal("--measured", self.written(text, "m.csv"), "--gpu", "h100-sxm")
        self.assertIn("line 2: query 9 must be at most seq 8", error)
