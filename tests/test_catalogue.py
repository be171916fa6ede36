"""GPUs and models by name, and models from published config.json files: right or refused."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import attn_bottleneck as ab
from tests.support import SHARED, ScriptTest, needs_shared, process, run

# Geometry as tests write it: per kind (layers, window), heads, K/V heads, widths of K and V.
LLAMA = {"model_type": "llama", "vocab_size": 9, "num_hidden_layers": 4, "hidden_size": 512}
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 2}
BASE = {**LLAMA, **HEADS}
PLAIN = {key: value for key, value in BASE.items() if key != "model_type"}
MLA = {"kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 24, "v_head_dim": 16}

# A config, and its layers: (kind, count, heads, K/V heads, width of K, of V, window, latent, rope).
FULL4 = ("full", 4, 8, 2, 64, 64, 0, 0, 0)
RULES: list[tuple[str, dict[str, Any], list[tuple[Any, ...]]]] = [
    ("llama", BASE, [FULL4]),
    ("no model type", PLAIN, [FULL4]),
    ("no K/V heads", {**LLAMA, "num_attention_heads": 8}, [("full", 4, 8, 8, 64, 64, 0, 0, 0)]),
    ("null K/V heads", {**BASE, "num_key_value_heads": None}, [("full", 4, 8, 8, 64, 64, 0, 0, 0)]),
    # Aliases.
    (
        "GPT-2",
        {"model_type": "gpt2", "vocab_size": 9, "n_layer": 3, "n_head": 4, "n_embd": 256},
        [("full", 3, 4, 4, 64, 64, 0, 0, 0)],
    ),
    (
        "ChatGLM",
        {
            "model_type": "chatglm",
            "padded_vocab_size": 9,
            "num_layers": 28,
            "num_attention_heads": 32,
            "hidden_size": 4096,
            "kv_channels": 128,
            "multi_query_attention": True,
            "multi_query_group_num": 2,
        },
        [("full", 28, 32, 2, 128, 128, 0, 0, 0)],
    ),
    (
        "DBRX",
        {
            "model_type": "dbrx",
            "vocab_size": 9,
            "n_layers": 40,
            "n_heads": 48,
            "d_model": 6144,
            "attn_config": {"kv_n_heads": 8, "clip_qkv": 8},
        },
        [("full", 40, 48, 8, 128, 128, 0, 0, 0)],
    ),
    (
        "MPT, one K/V head",
        {
            "model_type": "mpt",
            "vocab_size": 9,
            "n_layers": 2,
            "n_heads": 4,
            "d_model": 64,
            "attn_config": {"attn_type": "multiquery_attention"},
        },
        [("full", 2, 4, 1, 16, 16, 0, 0, 0)],
    ),
    (
        "Step-3's groups",
        {**LLAMA, "num_attention_heads": 8, "num_attention_groups": 1},
        [("full", 4, 8, 1, 64, 64, 0, 0, 0)],
    ),
    # Trap 1: Gemma 3's text_config leaves nearly everything to its class.
    (
        "Gemma 3 4B",
        {
            "model_type": "gemma3",
            "vision_config": {"num_hidden_layers": 27, "num_attention_heads": 16},
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 2560,
                "num_hidden_layers": 34,
                "intermediate_size": 10240,
                "sliding_window": 1024,
            },
        },
        [("full", 5, 8, 4, 256, 256, 0, 0, 0), ("windowed", 29, 8, 4, 256, 256, 1024, 0, 0)],
    ),
    # Trap 2: head_dim means nothing under latent attention.
    ("latent", {**BASE, **MLA, "head_dim": 64}, [("full", 4, 8, 8, 32, 16, 0, 32, 8)]),
    (
        "latent, MiniCPM3",
        {**BASE, **MLA, "v_head_dim": None},
        [("full", 4, 8, 8, 32, 64, 0, 32, 8)],
    ),
    (
        "latent, total width",
        {**BASE, **MLA, "qk_nope_head_dim": None, "qk_head_dim": 40},
        [("full", 4, 8, 8, 40, 16, 0, 32, 8)],
    ),
    # Trap 3: latent keys that are null or unused.
    ("latent keys null", {**BASE, **dict.fromkeys(MLA)}, [FULL4]),
    ("use_mla false", {**BASE, **MLA, "v_head_dim": None, "use_mla": False}, [FULL4]),
    ("cross-layer sharing unused", {**BASE, "use_cla": False, "cla_share_factor": 2}, [FULL4]),
    # Trap 4: a window that is switched off, or on from some layer on.
    ("window off", {**BASE, "sliding_window": 9, "use_sliding_window": False}, [FULL4]),
    (
        "Qwen2, off unless said",
        {**BASE, "model_type": "qwen2", "sliding_window": 9, "max_window_layers": 2},
        [FULL4],
    ),
    (
        "Qwen2, on",
        {
            **BASE,
            "model_type": "qwen2",
            "sliding_window": 9,
            "max_window_layers": 3,
            "use_sliding_window": True,
        },
        [("full", 3, 8, 2, 64, 64, 0, 0, 0), ("windowed", 1, 8, 2, 64, 64, 9, 0, 0)],
    ),
    (
        "Qwen2 MoE, on: layers 0 and 2 of the first three",
        {
            **BASE,
            "model_type": "qwen2_moe",
            "sliding_window": 9,
            "max_window_layers": 3,
            "use_sliding_window": True,
        },
        [("full", 2, 8, 2, 64, 64, 0, 0, 0), ("windowed", 2, 8, 2, 64, 64, 9, 0, 0)],
    ),
    # Trap 5: a window without effect, a window everywhere.
    ("window too wide", {**BASE, "sliding_window": 99, "max_position_embeddings": 99}, [FULL4]),
    ("window null", {**BASE, "model_type": "mistral", "sliding_window": None}, [FULL4]),
    (
        "window everywhere",
        {**BASE, "sliding_window": 98, "max_position_embeddings": 99},
        [("windowed", 4, 8, 2, 64, 64, 98, 0, 0)],
    ),
    (
        "Mistral's class has a window",
        {**BASE, "model_type": "mistral"},
        [("windowed", 4, 8, 2, 64, 64, 4096, 0, 0)],
    ),
    # Trap 6: look-alike windows.
    ("a vision tower's window", {**BASE, "vision_config": {"window_size": 112}}, [FULL4]),
    (
        "GPT-Neo, all global",
        {
            "model_type": "gpt_neo",
            "vocab_size": 9,
            "num_layers": 4,
            "num_heads": 8,
            "hidden_size": 512,
            "window_size": 256,
            "attention_layers": ["global"] * 4,
        },
        [("full", 4, 8, 8, 64, 64, 0, 0, 0)],
    ),
    (
        "GPT-Neo, every other one local",
        {
            "model_type": "gpt_neo",
            "vocab_size": 9,
            "num_layers": 4,
            "num_heads": 8,
            "hidden_size": 512,
            "window_size": 256,
            "attention_types": [[["global", "local"], 2]],
        },
        [("full", 2, 8, 8, 64, 64, 0, 0, 0), ("windowed", 2, 8, 8, 64, 64, 256, 0, 0)],
    ),
    # Trap 7: head width beside hidden / heads.
    ("head_dim given", {**BASE, "head_dim": 128}, [("full", 4, 8, 2, 128, 128, 0, 0, 0)]),
    ("Gemma's class", {**BASE, "model_type": "gemma"}, [("full", 4, 8, 2, 256, 256, 0, 0, 0)]),
    # Trap 8: the Falcons.
    (
        "Falcon 7B",
        {
            "model_type": "RefinedWebModel",
            "vocab_size": 9,
            "n_layer": 32,
            "n_head": 71,
            "hidden_size": 4544,
            "multi_query": True,
        },
        [("full", 32, 71, 1, 64, 64, 0, 0, 0)],
    ),
    (
        "Falcon 7B, converted",
        {
            "model_type": "falcon",
            "vocab_size": 9,
            "num_hidden_layers": 32,
            "num_kv_heads": 71,
            "num_attention_heads": 71,
            "hidden_size": 4544,
            "multi_query": True,
            "new_decoder_architecture": False,
        },
        [("full", 32, 71, 1, 64, 64, 0, 0, 0)],
    ),
    (
        "Falcon 40B",
        {
            "model_type": "RefinedWeb",
            "vocab_size": 9,
            "n_layer": 60,
            "n_head": 128,
            "hidden_size": 8192,
            "n_head_kv": 8,
        },
        [("full", 60, 128, 8, 64, 64, 0, 0, 0)],
    ),
    (
        "Falcon 40B, converted",
        {
            "model_type": "falcon",
            "vocab_size": 9,
            "num_hidden_layers": 60,
            "num_kv_heads": 8,
            "num_attention_heads": 128,
            "hidden_size": 8192,
            "multi_query": True,
            "new_decoder_architecture": True,
        },
        [("full", 60, 128, 8, 64, 64, 0, 0, 0)],
    ),
    (
        "Falcon, many",
        {**BASE, "model_type": "falcon", "num_key_value_heads": None, "multi_query": False},
        [("full", 4, 8, 8, 64, 64, 0, 0, 0)],
    ),
    (
        "StarCoder",
        {"model_type": "gpt_bigcode", "vocab_size": 9, "n_layer": 2, "n_head": 4, "n_embd": 64},
        [("full", 2, 4, 1, 16, 16, 0, 0, 0)],
    ),
    # Trap 9: a group's size is no count of K/V heads, and some blocks have no attention.
    (
        "Nemotron-NAS",
        {
            **BASE,
            "num_hidden_layers": None,
            "num_key_value_heads": None,
            "block_configs": [
                {"attention": {"n_heads_in_group": 4, "no_op": False}},
                {"attention": {"n_heads_in_group": None, "no_op": True}},
                {"attention": {"n_heads_in_group": None, "replace_with_linear": True}},
                {"attention": {"n_heads_in_group": 8}},
                {"attention": {"n_heads_in_group": 4}},
            ],
        },
        [("full", 2, 8, 2, 64, 64, 0, 0, 0), ("full", 1, 8, 1, 64, 64, 0, 0, 0)],
    ),
    # Trap 10: layers without a cache, by every way of saying so.
    *(
        (name, {**BASE, **keys}, [("full", count, 8, 2, 64, 64, 0, 0, 0)])
        for name, count, keys in (
            ("Nemotron-H", 1, {"hybrid_override_pattern": "M-*E", "chunk_size": 128}),
            ("Jamba", 1, {"attn_layer_period": 4, "attn_layer_offset": 2, "mamba_d_conv": 4}),
            ("Bamba", 2, {"attn_layer_indices": [1, 3], "mamba_d_conv": 4}),
            ("LFM2", 2, {"full_attn_idxs": [1, 3], "conv_bias": False}),
            ("Kimi Linear", 2, {"linear_attn_config": {"full_attn_layers": [1, 4]}}),
            ("MiniMax-01", 3, {"attn_type_list": [0, 1, 1, 1]}),
            ("Qwen3-Next", 2, {"full_attention_interval": 2, "linear_num_key_heads": 16}),
            ("Llama 3.2 Vision", 3, {"cross_attention_layers": [3]}),
            ("Nemotron 3", 1, {"layers_block_type": ["mamba", "moe", "attention", "mlp"]}),
            ("Zamba", 1, {"layers_block_type": ["mamba", "mamba", "mamba", "hybrid"]}),
        )
    ),
    ("Falcon-H1", {**BASE, "model_type": "falcon_h1", "mamba_d_ssm": 1}, [FULL4]),
    # Trap 11: mamba keys without a mamba layer.
    ("Granite 4", {**BASE, "mamba_n_heads": 128, "layer_types": ["attention"] * 4}, [FULL4]),
    # Trap 12: entries for the layers of multi-token prediction.
    (
        "more entries than layers",
        {
            **BASE,
            "layer_types": ["full_attention"] * 4 + ["sliding_attention"],
            "num_nextn_predict_layers": 1,
        },
        [FULL4],
    ),
    # Trap 13: K and V of different widths, and a geometry of its own in windowed layers.
    (
        "MiMo-V2",
        {
            **BASE,
            "head_dim": 192,
            "v_head_dim": 128,
            "hybrid_layer_pattern": [0, 1, 1, 0],
            "sliding_window": 128,
            "swa_num_key_value_heads": 4,
            "swa_num_attention_heads": 8,
            "swa_head_dim": 96,
            "swa_v_head_dim": 64,
            "swa_rope_theta": 10000,
        },
        [("full", 2, 8, 2, 192, 128, 0, 0, 0), ("windowed", 2, 8, 4, 96, 64, 128, 0, 0)],
    ),
    (
        "Baichuan-M1",
        {
            **BASE,
            "sliding_window": 128,
            "sliding_window_layers": [0],
            "conv_window": 2,
            "num_swa_attention_heads": 16,
            "num_swa_key_value_heads": 4,
        },
        [("full", 3, 8, 2, 64, 64, 0, 0, 0), ("windowed", 1, 16, 4, 32, 32, 128, 0, 0)],
    ),
    (
        "Gemma 4",
        {
            **BASE,
            "head_dim": 32,
            "global_head_dim": 64,
            "num_global_key_value_heads": 1,
            "attention_k_eq_v": True,
            "sliding_window": 128,
            "num_kv_shared_layers": 0,
            "use_bidirectional_attention": "vision",
            "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
        },
        [("full", 1, 8, 1, 64, 64, 0, 0, 0), ("windowed", 3, 8, 2, 32, 32, 128, 0, 0)],
    ),
    (
        "Gemma 4, K and V apart",
        {
            **BASE,
            "head_dim": 32,
            "global_head_dim": 64,
            "num_global_key_value_heads": 1,
            "attention_k_eq_v": False,
            "layer_types": ["full_attention"] * 4,
        },
        [("full", 4, 8, 2, 64, 64, 0, 0, 0)],
    ),
    # Trap 14: patterns as strings, Infinity, no model type.
    (
        "EXAONE 4",
        {**BASE, "sliding_window": 128, "sliding_window_pattern": "LLLG"},
        [("full", 1, 8, 2, 64, 64, 0, 0, 0), ("windowed", 3, 8, 2, 64, 64, 128, 0, 0)],
    ),
    ("EXAONE 4 1.2B", {**BASE, "sliding_window": None, "sliding_window_pattern": "LLLG"}, [FULL4]),
    ("Infinity", {**BASE, "time_step_limit": [0.0, float("inf")]}, [FULL4]),
    (
        "Gemma 2",
        {**BASE, "model_type": "gemma2", "num_hidden_layers": 5, "head_dim": 64},
        [("full", 2, 8, 2, 64, 64, 0, 0, 0), ("windowed", 3, 8, 2, 64, 64, 4096, 0, 0)],
    ),
    (
        "Llama 4",
        {**BASE, "model_type": "llama4_text", "no_rope_layers": [], "attention_chunk_size": 64},
        [("full", 1, 8, 2, 64, 64, 0, 0, 0), ("windowed", 3, 8, 2, 64, 64, 64, 0, 0)],
    ),
    (
        "Llama 4, said",
        {**BASE, "model_type": "llama4_text", "no_rope_layers": [1, 0, 0, 1]},
        [("full", 2, 8, 2, 64, 64, 0, 0, 0), ("windowed", 2, 8, 2, 64, 64, 8192, 0, 0)],
    ),
    (
        "Llama 4, three layers",
        {**BASE, "model_type": "llama4", "num_hidden_layers": 3},
        [("windowed", 3, 8, 2, 64, 64, 8192, 0, 0)],
    ),
    (
        "Jamba, from layer 0 on",
        {**BASE, "num_hidden_layers": 5, "attn_layer_period": 4},
        [("full", 2, 8, 2, 64, 64, 0, 0, 0)],
    ),
    (
        "a latent in a window",
        {**BASE, **MLA, "sliding_window": 9},
        [("windowed", 4, 8, 8, 32, 16, 9, 32, 8)],
    ),
    ("SmolLM3", {**BASE, "no_rope_layers": [1, 1, 1, 0]}, [FULL4]),
    (
        "RecurrentGemma",
        {
            **BASE,
            "block_types": ["recurrent", "recurrent", "attention"],
            "attention_window_size": 64,
            "lru_width": 512,
        },
        [("windowed", 1, 8, 2, 64, 64, 64, 0, 0)],
    ),
    # Trap 15: wrappers.
    *(
        (f"in {scope}", {"model_type": "wrapper", "num_hidden_layers": 99, scope: BASE}, [FULL4])
        for scope in ("text_config", "llm_config", "llm_cfg", "language_config")
    ),
    (
        "Qwen2.5-Omni",
        {
            "talker_config": {**BASE, "num_hidden_layers": 9},
            "thinker_config": {"text_config": BASE},
        },
        [FULL4],
    ),
    (
        "LLaVA 1.5: all from Llama's class",
        {"text_config": {"model_type": "llama", "vocab_size": 32064}},
        [("full", 32, 32, 32, 128, 128, 0, 0, 0)],
    ),
    # Trap 17: a sparse reader caches every key.
    ("an indexer", {**BASE, **MLA, "index_topk": 2048}, [("full", 4, 8, 8, 32, 16, 0, 32, 8)]),
    (
        "Laguna: heads of each layer",
        {
            **BASE,
            "head_dim": 64,
            "num_attention_heads_per_layer": [8, 16, 16, 8],
            "layer_types": ["full_attention"] * 4,
        },
        [("full", 2, 8, 2, 64, 64, 0, 0, 0), ("full", 2, 16, 2, 64, 64, 0, 0, 0)],
    ),
    (
        "DeciLM: K/V heads of each layer",
        {**BASE, "num_key_value_heads": None, "num_key_value_heads_per_layer": [2, 2, 4, 2]},
        [("full", 3, 8, 2, 64, 64, 0, 0, 0), ("full", 1, 8, 4, 64, 64, 0, 0, 0)],
    ),
    ("CodeShell", {**LLAMA, "n_head": 8, "num_query_groups": 2, "multi_query": True}, [FULL4]),
    ("CogVLM2", {**LLAMA, "num_attention_heads": 8, "num_multi_query_heads": 2}, [FULL4]),
    (
        "DeepSeek-VL2: latent keys of 0",
        {**BASE, **dict.fromkeys(MLA, 0), "use_mla": False, "kv_lora_rank": None},
        [FULL4],
    ),
    ("no window: 0", {**BASE, "sliding_window": 0}, [FULL4]),
    (
        "Trinity: what a list of kinds already says",
        {
            **BASE,
            "sliding_window": 64,
            "global_attn_every_n_layers": 4,
            "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
        },
        [("full", 1, 8, 2, 64, 64, 0, 0, 0), ("windowed", 3, 8, 2, 64, 64, 64, 0, 0)],
    ),
    ("odd keys", {**BASE, "attention_dropout": 0.0, "rope_local_base_freq": 10000}, [FULL4]),
    (
        "no layer count",
        {**BASE, "num_hidden_layers": None, "layer_types": ["attention"] * 4},
        [FULL4],
    ),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("our own config", ab.DEFAULT_CONFIG, "no vocab_size: not the config of a language model"),
    ("a list", [], "must be an object {...}, not a list"),
    ("empty", {}, "no vocab_size"),
    ("a vision tower", {**BASE, "model_type": "vit", "vocab_size": None}, "vit"),
    ("vision only", {k: v for k, v in PLAIN.items() if k != "vocab_size"}, "no vocab_size"),
    (
        "another tower",
        {**{k: v for k, v in BASE.items() if k != "vocab_size"}, "model_type": "hiera"},
        "no vocab_size",
    ),
    ("BERT", {**BASE, "model_type": "bert"}, 'model_type "bert": an encoder, not modelled'),
    ("BERT by class", {**PLAIN, "architectures": ["ModernBertForMaskedLM"]}, "an encoder"),
    ("RoBERTa-like", {**BASE, "type_vocab_size": 1}, "type_vocab_size 1: an encoder"),
    ("T5", {**BASE, "is_encoder_decoder": True}, "is_encoder_decoder true: an encoder-decoder"),
    ("CLIP's text", {"text_config": {**BASE, "model_type": "clip_text_model"}}, "an encoder"),
    ("not causal", {**BASE, "is_causal": False}, "is_causal false: an encoder"),
    ("EmbeddingGemma", {**BASE, "use_bidirectional_attention": True}, "an encoder"),
    # Trap 16 and other attentions that the model does not have.
    ("DeepSeek-V4", {**BASE, "compress_ratios": [4, 128]}, "compress_ratios a list: compressed KV"),
    ("shared K/V", {**BASE, "num_kv_shared_layers": 2}, "num_kv_shared_layers 2: layers that use"),
    ("Hunyuan-Large", {**BASE, "use_cla": True}, "use_cla true: layers that share a KV cache"),
    ("Phi-3 small", {**BASE, "blocksparse_block_size": 64}, "block-sparse attention"),
    ("Mamba 2", {**BASE, "model_type": "mamba2"}, "no attention, not modelled"),
    ("RWKV", {**BASE, "model_type": "rwkv6"}, 'model_type "rwkv6": no attention'),
    (
        "every fourth",
        {**BASE, "global_attn_every_n_layers": 4},
        "global_attn_every_n_layers 4: not",
    ),
    ("LongCat", {**BASE, "model_type": "longcat_flash"}, "two attentions in each layer"),
    ("an unknown kind", {**BASE, "layer_types": ["delta"] * 4}, 'kind "delta": an unknown'),
    ("an unknown mix", {**BASE, "mamba_d_state": 1}, "mamba_d_state, but no layer_types: which"),
    (
        "an unknown schedule",
        {**BASE, "local_layer_ids": [0, 1]},
        "local_layer_ids a list: not a key",
    ),
    ("an unknown window", {**BASE, "attn_window_size": 9}, "attn_window_size 9: not a key"),
    (
        "heads of too few layers",
        {**BASE, "num_key_value_heads_per_layer": [4, 4]},
        "num_key_value_heads_per_layer has only 2 entries",
    ),
    ("heads in another list", {**BASE, "layer_heads": [4, 4]}, "layer_heads a list: not a key"),
    (
        "Step 3.5: other heads in some layers",
        {
            **BASE,
            "attention_other_setting": {"num_attention_heads": 96},
            "layer_types": ["full_attention"] * 4,
        },
        "attention_other_setting an object: not a key",
    ),
    ("heads as a list", {**BASE, "num_key_value_heads": [2, 2]}, "must be a whole number"),
    ("a schedule of dicts", {**BASE, "layer_types": [{}] * 4}, "layer_types a list: not a layer"),
    ("no schedule", {**BASE, "attn_type_list": 7}, "attn_type_list 7: not a layer schedule"),
    ("too short", {**BASE, "layer_types": ["attention"]}, "layer_types has 1 entries for 4"),
    ("a negative pattern", {**BASE, "sliding_window_pattern": -2}, "not a layer schedule"),
    (
        "uneven groups",
        {**BASE, "block_configs": [{"attention": {"n_heads_in_group": 3}}] * 4},
        "n_heads_in_group 3 does not divide 8 heads",
    ),
    ("zero period", {**BASE, "attn_layer_period": 0}, "not a layer schedule"),
    (
        "NAS windows",
        {**BASE, "block_configs": [{"attention": {"window_length": 9}}]},
        "window_length",
    ),
    # What is missing or wrong.
    (
        "no heads",
        {k: v for k, v in PLAIN.items() if k != "num_attention_heads"},
        "no num_attention_heads or n_head, and no default for it is known",
    ),
    (
        "no layers",
        {k: v for k, v in PLAIN.items() if k != "num_hidden_layers"},
        "no num_hidden_layers or n_layer, and no default",
    ),
    ("no width", {k: v for k, v in PLAIN.items() if k != "hidden_size"}, "no head_dim, and hidden"),
    ("uneven width", {**BASE, "hidden_size": 513}, "hidden_size 513 is not 8 heads"),
    ("uneven heads", {**BASE, "num_key_value_heads": 3}, "num_key_value_heads 3 does not divide 8"),
    ("no window", {**BASE, "layer_types": ["sliding_attention"] * 4}, "but no sliding_window"),
    ("negative", {**BASE, "num_hidden_layers": -4}, "num_hidden_layers must be a whole number"),
    ("text", {**BASE, "num_attention_heads": "8"}, "num_attention_heads must be a whole number"),
    ("infinite", {**BASE, "hidden_size": float("inf")}, "hidden_size must be a whole number"),
    ("not a model", {**BASE, "num_hidden_layers": 10**9}, "more layers than any model has"),
    ("half latent", {**BASE, "kv_lora_rank": 32}, "qk_rope_head_dim must be a whole number"),
    ("no attention", {**BASE, "layer_types": ["mamba"] * 4}, "no layer has attention"),
    ("groups unsaid", {**BASE, "multi_query_attention": True}, "multi_query_group_num must be"),
    ("no rank", {**BASE, **MLA, "kv_lora_rank": True}, "kv_lora_rank must be a whole number"),
]


class Import(ScriptTest):
    def imported(self, config: Any) -> ab.Model:
        return ab.import_model(self.written(json.dumps(config)))

    def test_every_rule_and_trap(self) -> None:
        for name, config, expected in RULES:
            with self.subTest(name):
                model = self.imported(config)
                self.assertEqual([tuple(each) for each in model.layers], expected)
                n_layer = config.get("num_hidden_layers")
                if isinstance(n_layer, int) and n_layer < 99:
                    self.assertEqual(model.n_layer, n_layer)

    def test_refusals_name_the_field_and_the_reason(self) -> None:
        for name, config, expected in REFUSED:
            with self.subTest(name):
                error = self.refusal("--model", self.written(json.dumps(config)))
                self.assertIn("error: --model ", error)
                self.assertIn(expected, error)

    def test_sparse_reading_is_said_to_be_left_out(self) -> None:
        path = self.written(json.dumps({**BASE, **MLA, "index_topk": 2048}), "Sparse.json")
        self.answer(
            "--model",
            path,
            warning=(
                "attn_bottleneck.py: warning: Sparse: index_topk, sparse attention, is counted"
            ),
        )

    def test_file_or_folder_names_the_model(self) -> None:
        folder = self.folder / "My-Model"
        folder.mkdir()
        self.written(json.dumps(BASE), "My-Model/config.json")
        self.written(json.dumps(BASE), "Other.json")
        for path, name in (
            (folder, "My-Model"),
            (folder / "config.json", "My-Model"),
            (self.folder / "Other.json", "Other"),
        ):
            with self.subTest(path):
                report = self.answer("--model", str(path), "--format", "report")
                self.assertIn(f"\nModel: {name}\n", report)
                summary = self.answer("--model", str(path))
                source = path if path.suffix else path / "config.json"
                self.assertIn(f"\nmodel      {name} (from {source})\n", summary)
                self.assertIn("\n           4 full layers: 8 heads, 2 K/V, width 64\n", summary)
                found = json.loads(self.answer("--model", str(path), "--format", "json"))
                self.assertEqual(found["model"], name)
                self.assertEqual(found["inputs"]["model"]["from"], str(source))

    def test_two_geometries_are_both_named(self) -> None:
        path = self.written(json.dumps({name: each for name, each, _ in RULES}["MiMo-V2"]))
        summary = self.answer("--model", path, "--format", "summary")
        self.assertIn("\n           2 full layers: 8 heads, 2 K/V, width 192/128\n", summary)
        windowed = "2 windowed layers: 8 heads, 4 K/V, width 96/64, window of 128"
        self.assertIn(f"\n           {windowed}\n", summary)
        # 2 x 2 x (192 + 128) + 2 x 4 x (96 + 64) elements of 2 bytes.
        self.assertIn("cache      5120 bytes per token (2560 beyond the windows)", summary)

    def test_bad_files(self) -> None:
        link = self.folder / "link.json"
        link.symlink_to("nowhere")
        for path, expected in (
            (str(self.folder), "config.json: cannot be read: No such file"),
            (str(link), "link.json: cannot be read: No such file"),
            ("./nowhere/", "cannot be read: No such file"),
        ):
            with self.subTest(path):
                self.assertIn(expected, self.refusal("--model", path))
        texts: tuple[tuple[str | bytes, str], ...] = (
            ("[", "is not JSON"),
            ("[" * 100_000, "is nested too deeply"),
            (b" " * (2**24 + 1), "is larger than 16 MiB"),
            ('{"hidden_size": 1, "hidden_size": 2}', "given twice"),
            ('{"vocab_size": 9, "n_layer": Infinity}', "n_layer must be a whole number"),
            (b"\xff", "is not UTF-8"),
        )
        for text, expected in texts:
            with self.subTest(expected):
                self.assertIn(expected, self.refusal("--model", self.written(text)))

    def test_anything_is_a_model_or_a_refusal(self) -> None:
        """No value under any key ends in another error, or in a shape without a size."""
        draw = random.Random(4)
        keys = sorted({key for _, config, _ in RULES for key in config} | set(ab.SCHEDULES))
        values: list[Any] = [None, 0, 1, -1, 3, True, False, "", "x", "LG", 1.5, 10**30, [], {}]
        values += [[1], [None], [[]], ["full_attention"] * 9, [[["global"], 10**12]], {"a": 1}]
        values += [{"full_attn_layers": [1]}, [{"attention": {"n_heads_in_group": 3}}] * 9]
        for _ in range(3000):
            config = dict(draw.choice(RULES)[1])
            for key in draw.sample(keys, draw.randint(1, 3)):
                config[key] = draw.choice(values)
            try:
                model = ab.published_model(config, "drawn", "here")
            except ab.InputError:
                continue
            for layers in model.layers:
                self.assertTrue(all(number > 0 for number in layers[1:6]), config)

    def test_a_folder_does_not_hide_a_catalogue_name(self) -> None:
        (self.folder / "Llama 2 7B").mkdir()
        (self.folder / "my-model").mkdir()
        self.written(json.dumps(BASE), "my-model/config.json")
        for name, expected in (("Llama 2 7B", "llama-2-7b"), ("my-model", "my-model")):
            report = process("--model", name, "--gpu", "mi325x", cwd=self.folder).stdout
            self.assertIn(f"model      {expected} (from ", report)

    @needs_shared("hf_configs")
    def test_corpus_is_right_or_refused(self) -> None:
        folder = SHARED / "hf_configs"
        right = 0
        for row in read_csv(folder / "manifest.csv"):
            with self.subTest(row["file"]):
                number = {key: int(float(value)) for key, value in row.items() if is_number(value)}
                try:
                    model = ab.import_model(str(folder / row["file"]))
                except ab.InputError as error:
                    self.assertEqual(row["status"], "partial", str(error))
                    continue
                right += 1
                self.assertEqual(model.n_layer, number["n_layer"])
                for kind, count, prefix in (
                    ("full", "n_kv_layers_full", ""),
                    ("windowed", "n_kv_layers_sliding", "sliding_"),
                ):
                    layers = [each for each in model.layers if each.kind == kind]
                    self.assertEqual(sum(each.n_layer for each in layers), number[count])
                    for each in layers:
                        own = prefix if f"{prefix}n_head" in number else ""
                        for key, value in (
                            ("n_head", each.n_head),
                            ("n_kv_head", each.n_kv_head),
                            ("head_dim_qk", each.dim_qk),
                            ("head_dim_v", each.dim_v),
                        ):
                            self.assertEqual(value, number[f"{own}{key}"], key)
                        self.assertEqual(each.kv_lora_rank, number.get("kv_lora_rank", 0))
                        self.assertEqual(each.qk_rope_head_dim, number.get("qk_rope_head_dim", 0))
                        self.assertEqual(each.window, number["window"] if kind == "windowed" else 0)
                cached = sum(each.n_layer * each.row_elements * 2 for each in model.layers)
                self.assertEqual(cached, number["kv_bytes_per_token_all_layers"])
        self.assertGreaterEqual(right, 66)


def is_number(text: str | None) -> bool:
    return bool(text) and str(text).replace(".", "", 1).isdigit()


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Catalogue(ScriptTest):
    def test_names_are_found_however_they_are_written(self) -> None:
        for name in ("H100-SXM", "h100-sxm", "h100sxm", "H100 SXM", "h100.sxm", "h100_s"):
            with self.subTest(name):
                self.assertIn("1 x H100-SXM (", self.answer("--gpu", name))
        for name in ("llama-3.1-70b", "Llama 3.1 70B", "llama3170b", "LLAMA-3-1-70b"):
            with self.subTest(name):
                self.assertIn("model      llama-3.1-70b (", run("--model", name).out)
        self.assertIn("1 x L4 (", self.answer("--gpu", "l4"))  # exact, though L40 begins so

    def test_unknown_and_ambiguous_names(self) -> None:
        for flags, expected in (
            (("--gpu", "h100"), '--gpu "h100" could be H100-SXM, H100-PCIe, H100-NVL'),
            (("--gpu", "h100-smx"), '"h100-smx" is not in the catalogue (did you mean H100-SXM?)'),
            (("--gpu", "zzz"), '--gpu "zzz" is not in the catalogue; --list-gpus lists'),
            (("--gpu", ""), "--gpu takes names, not nothing"),
            (("--gpu", "-"), "is not in the catalogue"),
            (("--model", "lama-2-7b"), "(did you mean llama-2-7b?)"),
            (("--model", "qwen3"), "could be qwen3-8b, qwen3-32b, qwen3-235b-a22b, qwen3-next"),
            (("--model", ""), "--model takes names, not nothing"),
        ):
            with self.subTest(flags):
                self.assertIn(expected, self.refusal(*flags))

    def test_missing_figures_are_asked_for_only_when_needed(self) -> None:
        for flags, expected in (
            ("--gpu m2-ultra", "--dtype bf16: M2-Ultra has no figure for it"),
            (
                "--gpu tpu-v5e --dtype fp32",
                "--dtype fp32: TPU-v5e has no figure for it (it has bf16, int8)",
            ),
            (
                "--gpu tpu-v5e --dtype bf16 --ngpu 2 --link pcie",
                "--link pcie: TPU-v5e has no figure for it (it has nvlink)",
            ),
            ("--gpu l40s --dtype bf16 --ngpu 2 --link nvlink", "--link nvlink: L40S has no figure"),
            ("--gpu h100-sxm --dtype fp4", "(it has fp32, tf32, fp16, bf16, fp8, int8)"),
        ):
            with self.subTest(flags):
                self.assertIn(expected, self.refusal(*flags.split()))
        self.answer(*["--gpu", "tpu-v5e", "--dtype", "bf16"])
        self.answer(*["--gpu", "tpu-v5e", "--dtype", "bf16", "--ngpu", "2"])

    def test_the_users_own_row_is_unchanged(self) -> None:
        flags = "--ngpu 10 --dtype fp32 --fused False --split seq --link pcie --format report"
        named = self.answer("--gpu", "A100", *flags.split())
        self.assertEqual(named, self.answer("--ngpu", "10"))
        row = ab.catalogue(ab.GPUS)["A100"]
        self.assertEqual(row, ab.DEFAULT_CONFIG["GPU"])

    def test_names_override_their_sections_alone(self) -> None:
        config = self.config({"model": "Mine"}, {"n_layer": 7})
        summary = self.answer("--config", config, "--gpu", "h20")
        self.assertIn("1 x H20 (from catalogue)", summary)
        self.assertIn("7 full layers: ", summary)
        summary = self.answer("--config", config, "--model", "falcon-7b")
        self.assertIn("1 x Mine (from ", summary)
        self.assertIn("32 full layers: 71 heads, 1 K/V", summary)
        # A section that is overridden may be missing; the other may not.
        model = self.written('{"Model": {"n_layer": 1, "n_head": 1, "dim_head": 8}}')
        self.assertIn("1 full layers: 1 heads", self.answer("--config", model, "--gpu", "h20"))
        self.assertIn("GPU.model is missing", self.refusal("--config", model))
        self.assertIn("GPU.model is missing", self.refusal("--config", model, "--model", "kimi-k2"))
        both = run("--config", "/nowhere", "--model", "kimi-k2", "--gpu", "h20").out
        self.assertIn("model      kimi-k2 (", both)

    def test_lists_have_every_row_and_units(self) -> None:
        gpus, models = self.answer("--list-gpus"), self.answer("--list-models")
        self.assertGreaterEqual(len(gpus.splitlines()), 43)
        self.assertGreaterEqual(len(models.splitlines()), 28)
        for text, units in ((gpus, "TFLOP/s"), (models, "1e9")):
            self.assertIn(units, text)
            self.assertTrue(text.isascii())
        for name in ("H100-SXM", "MI300X", "TPU-v7", "M4-Max"):
            self.assertIn(f"\n{name} ", gpus)
        for name in ("gpt3-175b", "deepseek-v3", "nemotron-3-nano-30b-a3b"):
            self.assertIn(f"\n{name} ", models)

    def test_rows_are_aligned_and_parse(self) -> None:
        for table in (ab.GPUS, ab.MODELS):
            lines = table.splitlines()
            columns = lines[0].split()[:-1]
            ends = [i for i, (a, b) in enumerate(zip(lines[0], lines[0][1:])) if a != " " == b]
            for line in lines[1:]:
                with self.subTest(line):
                    self.assertGreaterEqual(len(line.split()), len(columns))
                    for end in ends[1 : len(columns)]:
                        self.assertNotEqual(line[end], " ")
                        self.assertIn(line[end + 1 : end + 2], ("", " "))
        for name in ab.catalogue(ab.GPUS):
            self.assertEqual(ab.find_gpu(name).name, name)
        for name in ab.catalogue(ab.MODELS):
            self.assertEqual(ab.find_model(name).name, name)

    def test_quoted_rows(self) -> None:
        """NVIDIA's, AMD's and Google's own pages; both directions of a link; dense peaks."""
        for name, peak, memory, bandwidth, link in (
            ("H100-SXM", 989.5e12, 80e9, 3350e9, 900e9),
            ("H200-SXM", 989.5e12, 141e9, 4800e9, 900e9),
            ("H800-SXM", 989.5e12, 80e9, 3350e9, 400e9),
            ("B200-SXM", 2250e12, 180e9, 8000e9, 1800e9),
            ("A100-80GB-SXM", 312e12, 80e9, 2039e9, 600e9),
            ("MI300X", 1307.4e12, 192e9, 5300e9, 896e9),
            ("TPU-v5p", 459e12, 95e9, 2765e9, 1200e9),
        ):
            with self.subTest(name):
                gpu = ab.find_gpu(name)
                self.assertAlmostEqual(gpu.peaks["bf16"] / peak, 1)
                self.assertEqual((gpu.memory, gpu.bandwidth), (memory, bandwidth))
                self.assertEqual(gpu.links["nvlink"], link)
        self.assertEqual(ab.find_gpu("H100-SXM").cache, 50 * 2**20)

    @needs_shared("facts")
    def test_gpus_are_the_facts(self) -> None:
        rows = read_csv(SHARED / "facts" / "gpus.csv")
        known = ab.catalogue(ab.GPUS)
        self.assertEqual(len(known), len(rows) + 1)
        for row in rows:
            expected: dict[str, Any] = {"model": row["name"]}
            for key, column, scale in (
                *((p, f"{p}_{'tops' if p == 'int8' else 'tflops'}", 1) for p in ab.COMPUTING),
                ("memory", "memory_gb", 1),
                ("bandwidth", "bandwidth_gb_s", 1),
                ("pcie", "pcie_gb_s", 2),
                ("nvlink", "link_gb_s_per_direction", 2),
                ("nvlink_gpus", "scale_up_gpus", 1),
                ("last_level_cache", "l2_cache_mb", 1),
            ):
                if row[column] and (key != "nvlink_gpus" or row["link_gb_s_per_direction"]):
                    expected[key] = float(row[column]) * scale
            with self.subTest(row["name"]):
                found = dict(known[row["name"]])
                self.assertEqual("architecture" in found, "multiprocessors" in found)
                for key in ("architecture", "multiprocessors"):
                    found.pop(key, None)
                self.assertEqual(found, expected)

    @needs_shared("facts")
    def test_models_are_the_facts(self) -> None:
        for row in read_csv(SHARED / "facts" / "models.csv"):
            with self.subTest(row["name"]):
                model = ab.find_model(row["name"])
                count = {each.kind: each for each in model.layers}
                full = count["full"].n_layer if "full" in count else 0
                self.assertEqual(model.n_layer, int(row["n_layer"]))
                self.assertEqual(full, int(row["n_layers_full"]))
                windowed = count.get("windowed")
                self.assertEqual(windowed.n_layer if windowed else 0, int(row["n_layers_sliding"]))
                self.assertEqual(windowed.window if windowed else 0, int(row["window"] or 0))
                first = model.layers[0]
                for key, value in (
                    ("n_head", first.n_head),
                    ("n_kv_head", first.n_kv_head),
                    ("dim_head_qk", first.dim_qk),
                    ("dim_head_v", first.dim_v),
                    ("kv_lora_rank", first.kv_lora_rank),
                    ("qk_rope_head_dim", first.qk_rope_head_dim),
                    ("hidden_size", model.hidden),
                    ("moe_experts", model.figures.get("n_expert", 0)),
                    ("moe_active", model.figures.get("n_expert_active", 0)),
                ):
                    self.assertEqual(value, int(row[key] or 0), key)
                cached = sum(each.n_layer * each.row_elements * 2 for each in model.layers)
                self.assertEqual(cached, int(row["kv_bytes_per_token_2B_all"]))
                self.assertIsNotNone(model.params)

    def test_absorbed_latent_decode_on_eight_gpus(self) -> None:
        flags = "--gpu h100-sxm --model deepseek-v3 --ngpu 8 --batch 64 --seq 8192 --dtype bf16"
        flags += " --fused --split head --link nvlink --format json"
        result = run(*flags.split())
        found = json.loads(result.out)
        layer = found["layers"][0]
        self.assertEqual(layer["latent_form"], "absorbed")
        # 16 of 128 heads on a whole copy of the latents: intensity about 2 x 16 x 1088 / 1152.
        self.assertAlmostEqual(found["intensity_flop_per_byte"], 30.2, delta=0.2)
        self.assertEqual(layer["kv_read_bytes"], 64 * 8191 * 576 * 2)
        self.assertEqual(layer["reduce_bytes"], 64 * 7168 * 2)
        self.assertEqual(found["limit"], "memory")
        self.assertEqual(found["gpu_cache_bytes"], 61 * 64 * 8191 * 576 * 2)
        # 671e9 parameters in FP8 over 8 GPUs, and the latents.
        self.assertIn("weights and KV cache do not fit: 121 GB on each GPU of 80 GB", result.err)
