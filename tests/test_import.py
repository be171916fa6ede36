"""Models from published config.json files: right, or refused, or read with a warning."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import attn_bottleneck as ab
from tests.support import BASE, CONFIG, SHARED, ScriptTest, full, needs_shared, process, read_csv, run, windowed

Config = dict[str, Any]

LATENT = {"kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 24, "v_head_dim": 16}


def without(*keys: str, **own: Any) -> Config:
    return {key: value for key, value in {**BASE, **own}.items() if key not in keys}


ALL4 = full(4, "8/2 x 64")
SLIDING = ["sliding_attention"] * 3 + ["full_attention"]
# A rule, what a config says of it (beside BASE, unless that is left out), and the layers it means.
Expected = tuple[Any, ...]  # one Layers, or a tuple of them
RULES: list[tuple[str, Config, Expected]] = [
    ("llama", BASE, ALL4),
    ("null says as many K/V heads as heads", {**BASE, "num_key_value_heads": None}, full(4, "8 x 64")),
    ("no width of values in this class", {**BASE, "v_head_dim": 32}, ALL4),
    ("null is no width", {**BASE, "model_type": "ernie4_5", "head_dim": None}, ALL4),
    ("silence is", {**BASE, "model_type": "ernie4_5"}, full(4, "8/2 x 128")),
    (
        "as many layers as kinds",
        without("num_hidden_layers", model_type="granitemoehybrid", layers_block_type=["attention", "mamba"] * 3),
        full(3, "8/2 x 64"),
    ),
    ("so does silence, in this class", without("num_key_value_heads"), full(4, "8 x 64")),
    ("in others a number", without("num_key_value_heads", model_type="internlm3"), full(4, "8/2 x 128")),
    ("more entries than layers", {**BASE, "layer_types": ["attention"] * 5}, ALL4),
    ("Infinity", {**BASE, "time_step_limit": [0.0, float("inf")]}, ALL4),
    # Scopes.
    *(
        (f"in {scope}", {"model_type": "wrapper", "num_hidden_layers": 9, scope: BASE}, ALL4)
        for scope in ("text_config", "llm_config", "llm_cfg", "language_config")
    ),
    ("in two", {"talker_config": {}, "thinker_config": {"text_config": BASE}}, ALL4),
    ("all from the class", {"text_config": {"model_type": "llama"}}, full(32, "32 x 128")),
    (
        "the wrapper's type",
        {"model_type": "gemma3", "text_config": without("model_type", "num_key_value_heads")},
        full(4, "8/4 x 256", 4096),
    ),
    ("a flat gemma3", {**BASE, "model_type": "gemma3"}, full(4, "8/2 x 256", 4096)),
    (
        "PaliGemma looks both ways at images",
        {"model_type": "paligemma", "text_config": {**BASE, "use_bidirectional_attention": True}},
        ALL4,
    ),
    # Names of keys.
    ("GPT-2", {"model_type": "gpt2", "n_layer": 3, "n_head": 4, "n_embd": 256}, full(3, "4 x 64")),
    ("XGLM", {"model_type": "xglm", "num_layers": 3, "attention_heads": 4, "d_model": 256}, full(3, "4 x 64")),
    (
        "Kosmos",
        {"model_type": "kosmos_2_text_model", "layers": 3, "attention_heads": 4, "embed_dim": 256},
        full(3, "4 x 64"),
    ),
    # K/V heads.
    (
        "ChatGLM",
        {**BASE, "model_type": "chatglm", "multi_query_attention": True, "multi_query_group_num": 4},
        full(4, "8/4 x 64"),
    ),
    ("DBRX", without("num_key_value_heads", model_type="dbrx", attn_config={"kv_n_heads": 4}), full(4, "8/4 x 64")),
    (
        "MPT, one",
        without("num_key_value_heads", model_type="mpt", attn_config={"attn_type": "multiquery_attention"}),
        full(4, "8/1 x 64"),
    ),
    ("MPT, all", without("num_key_value_heads", model_type="mpt", attn_config={}), full(4, "8 x 64")),
    ("StarCoder", without("num_key_value_heads", model_type="gpt_bigcode"), full(4, "8/1 x 64")),
    (
        "SantaCoder",
        without("num_key_value_heads", model_type="gpt2", attention_head_type="multiquery"),
        full(4, "8/1 x 64"),
    ),
    ("CodeShell", without("num_key_value_heads", model_type="codeshell", num_query_groups=2), ALL4),
    ("CogVLM2", without("num_key_value_heads", model_type="cogvlm", num_multi_query_heads=2), ALL4),
    ("PLaMo", {**BASE, "model_type": "plamo", "n_shared_head": 8}, full(4, "8/1 x 64")),
    ("Yuan 2", without("num_key_value_heads", model_type="yuan", attention_projection_size=1024), full(4, "8 x 128")),
    ("Falcon 7B", without("num_key_value_heads", model_type="RefinedWebModel"), full(4, "8/1 x 64")),
    ("Falcon 7B, converted", without("num_key_value_heads", model_type="falcon", num_kv_heads=8), full(4, "8/1 x 64")),
    ("Falcon 40B", without("num_key_value_heads", model_type="RefinedWeb", n_head_kv=4), full(4, "8/4 x 64")),
    (
        "Falcon 40B, converted",
        without("num_key_value_heads", model_type="falcon", num_kv_heads=4, new_decoder_architecture=True),
        full(4, "8/4 x 64"),
    ),
    ("Falcon, many", without("num_key_value_heads", model_type="falcon", multi_query=False), full(4, "8 x 64")),
    (
        "DeciLM: of each layer",
        without("num_key_value_heads", model_type="deci", num_key_value_heads_per_layer=[2, 2, 4, 2]),
        (full(3, "8/2 x 64"), full(1, "8/4 x 64")),
    ),
    (
        "Laguna: heads of each layer",
        {
            **BASE,
            "model_type": "laguna",
            "num_attention_heads_per_layer": [8, 16, 16, 8],
            "layer_types": ["full_attention"] * 4,
        },
        (full(2, "8/2 x 128"), full(2, "16/2 x 128")),
    ),
    (
        "Nemotron-NAS: a group's size, and blocks without attention",
        {
            **without("num_key_value_heads", model_type="nemotron-nas"),
            "block_configs": [
                {"attention": {"n_heads_in_group": 4, "no_op": False}},
                {"attention": {"n_heads_in_group": None, "no_op": True}},
                {"attention": {"n_heads_in_group": None, "replace_with_linear": True}},
                {"attention": {"n_heads_in_group": 8}},
            ],
        },
        (full(1, "8/2 x 64"), full(1, "8/1 x 64")),
    ),
    # Latent attention; head_dim says nothing there.
    ("latent", {**BASE, **LATENT, "head_dim": 64}, full(4, "8 x 32/16", latent="32 8")),
    ("latent by its class", {**BASE, **LATENT, "model_type": "deepseek_v3"}, full(4, "8 x 32/16", latent="32 8")),
    (
        "MiniCPM3 says no v_head_dim",
        {**without(), **{k: LATENT[k] for k in LATENT if k != "v_head_dim"}, "model_type": "minicpm3"},
        full(4, "8 x 32/64", latent="32 8"),
    ),
    (
        "latent in a window",
        {**BASE, **LATENT, "model_type": "mistral", "sliding_window": 9},
        full(4, "8 x 32/16", 9, "32 8"),
    ),
    ("latent keys that are null", {**BASE, **dict.fromkeys(LATENT)}, ALL4),
    ("latent keys not in use", {**BASE, **LATENT, "v_head_dim": 0, "use_mla": False}, ALL4),
    # Windows, in a class that has them everywhere, somewhere, if switched on, or never.
    ("everywhere", {**BASE, "model_type": "mistral", "sliding_window": 9}, full(4, "8/2 x 64", 9)),
    ("by the class", {**BASE, "model_type": "mistral"}, full(4, "8/2 x 64", 4096)),
    ("null is none", {**BASE, "model_type": "mistral", "sliding_window": None}, ALL4),
    ("0 is none", {**BASE, "model_type": "phi3", "sliding_window": 0}, ALL4),
    (
        "as long as the context",
        {**BASE, "model_type": "mistral", "sliding_window": 9, "max_position_embeddings": 9},
        ALL4,
    ),
    (
        "longer than the class's context",
        {**BASE, "model_type": "olmo3", "sliding_window": 4096, "layer_types": SLIDING},
        ALL4,
    ),
    ("as long as that", {**BASE, "model_type": "olmo3", "sliding_window": 2048, "layer_types": SLIDING}, ALL4),
    (
        "one shorter",
        {**BASE, "model_type": "olmo3", "sliding_window": 2047, "layer_types": SLIDING},
        (full(1, "8/2 x 64"), windowed(3, "8/2 x 64", 2047)),
    ),
    (
        "listed",
        {**BASE, "model_type": "olmo3", "sliding_window": 9, "layer_types": SLIDING},
        (full(1, "8/2 x 64"), windowed(3, "8/2 x 64", 9)),
    ),
    ("switched off", {**BASE, "model_type": "smollm3", "sliding_window": 9, "use_sliding_window": False}, ALL4),
    ("off unless said", {**BASE, "model_type": "qwen2", "sliding_window": 9}, ALL4),
    (
        "from a layer on",
        {**BASE, "model_type": "qwen2", "sliding_window": 9, "max_window_layers": 3, "use_sliding_window": True},
        (full(3, "8/2 x 64"), windowed(1, "8/2 x 64", 9)),
    ),
    ("never", {**BASE, "sliding_window": 9}, ALL4),
    ("never, whatever a file lists", {**BASE, "sliding_window": 9, "layer_types": SLIDING}, ALL4),
    ("Grok's -1", {**BASE, "model_type": "git", "sliding_window_size": -1}, ALL4),
    ("Qwen2.5-1M", {**BASE, "model_type": "qwen2", "dual_chunk_attention_config": {"chunk_size": 9}}, ALL4),
    (
        "of each layer",
        {**BASE, "model_type": "olmo3", "sliding_window_per_layer": [9, None, 5, 9]},
        (full(1, "8/2 x 64"), windowed(2, "8/2 x 64", 9), windowed(1, "8/2 x 64", 5)),
    ),
    (
        "Gemma 2's pattern",
        {**BASE, "model_type": "gemma2", "num_hidden_layers": 5, "head_dim": 64},
        (full(2, "8/2 x 64"), windowed(3, "8/2 x 64", 4096)),
    ),
    (
        "every third",
        {**BASE, "model_type": "gemma3_text", "sliding_window_pattern": 3, "head_dim": 64},
        (full(1, "8/2 x 64"), windowed(3, "8/2 x 64", 4096)),
    ),
    (
        "a pattern of letters",
        {**BASE, "model_type": "exaone4", "sliding_window": 9, "sliding_window_pattern": "LG"},
        (full(2, "8/2 x 64"), windowed(2, "8/2 x 64", 9)),
    ),
    (
        "a pattern, but no window",
        {**BASE, "model_type": "exaone4", "sliding_window": None, "sliding_window_pattern": None},
        ALL4,
    ),
    (
        "GPT-Neo",
        {**BASE, "model_type": "gpt_neo", "window_size": 9, "attention_types": [[["global", "local"], 2]]},
        (full(2, "8/2 x 64"), windowed(2, "8/2 x 64", 9)),
    ),
    (
        "GPT-Neo, all global",
        {**BASE, "model_type": "gpt_neo", "window_size": 9, "attention_layers": ["global"] * 4},
        ALL4,
    ),
    (
        "Llama 4",
        {**BASE, "model_type": "llama4_text", "no_rope_layers": [], "attention_chunk_size": 9, "head_dim": 64},
        (full(1, "8/2 x 64"), windowed(3, "8/2 x 64", 9)),
    ),
    (
        "Llama 4, listed",
        {**BASE, "model_type": "llama4", "no_rope_layers": [1, 0, 0, 1], "attention_chunk_size": 9, "head_dim": 64},
        (full(2, "8/2 x 64"), windowed(2, "8/2 x 64", 9)),
    ),
    ("SmolLM3's rope", {**BASE, "model_type": "smollm3", "sliding_window": None, "no_rope_layers": [1, 0, 1, 0]}, ALL4),
    (
        "ModernBERT's decoder",
        {
            **without("num_key_value_heads", model_type="modernbert-decoder"),
            "local_attention": 128,
            "global_attn_every_n_layers": 4,
        },
        (full(1, "8 x 64"), windowed(3, "8 x 64", 64)),
    ),
    (
        "RecurrentGemma",
        {
            **BASE,
            "model_type": "recurrent_gemma",
            "attention_window_size": 9,
            "block_types": ["recurrent", "recurrent", "attention"],
        },
        full(1, "8/2 x 64", 9),
    ),
    # A geometry of its own in layers of one kind, or in one layer.
    (
        "windowed layers' own",
        {
            **BASE,
            "model_type": "inkling_text",
            "sliding_window_size": 9,
            "swa_num_attention_heads": 16,
            "swa_num_key_value_heads": 4,
            "swa_head_dim": 32,
            "layer_types": ["hybrid_sliding"] * 3 + ["hybrid"],
        },
        (full(1, "8/2 x 128"), windowed(3, "16/4 x 32", 9)),
    ),
    (
        "Step 3.5",
        {
            **without("num_key_value_heads", model_type="step3p5", num_attention_groups=2),
            "sliding_window": 9,
            "layer_types": SLIDING,
            "attention_other_setting": {"num_attention_heads": 16, "num_attention_groups": 4},
        },
        (full(1, "8/2 x 128"), windowed(3, "16/4 x 128", 9)),
    ),
    (
        "Gemma 4",
        {
            **BASE,
            "model_type": "gemma4_text",
            "head_dim": 32,
            "global_head_dim": 64,
            "num_global_key_value_heads": 1,
            "attention_k_eq_v": True,
            "sliding_window": 9,
            "use_bidirectional_attention": "vision",
            "layer_types": ["sliding_attention"] * 4,  # the last one is full whatever it says
        },
        (full(1, "8/1 x 64"), windowed(3, "8/2 x 32", 9)),
    ),
    (
        "Gemma 4, K and V apart, its class's width",
        {
            **BASE,
            "model_type": "gemma4_text",
            "num_global_key_value_heads": 1,
            "sliding_window": 9,
            "layer_types": SLIDING,
        },
        (full(1, "8/2 x 512"), windowed(3, "8/2 x 256", 9)),
    ),
    (
        "Gemma 4, as transformers 5.15 saves it",
        {
            **BASE,
            "model_type": "gemma4_text",
            "head_dim": 32,
            "num_global_key_value_heads": 1,
            "attention_k_eq_v": True,
            "sliding_window": 9,
            "layer_types": SLIDING,
            "per_layer_config": {"03": {"head_dim": 64, "num_key_value_heads": 4}},
        },
        (full(1, "8/4 x 64"), windowed(3, "8/2 x 32", 9)),
    ),
    # Layers without a cache, by every way of saying so.
    *(
        (kind, {**BASE, "model_type": kind, "head_dim": 64, **keys}, full(n, "8/2 x 64"))
        for kind, n, keys in (
            ("nemotron_h", 1, {"hybrid_override_pattern": "M-*E", "chunk_size": 128}),
            ("jamba", 1, {"attn_layer_period": 4, "attn_layer_offset": 2}),
            ("jamba", 1, {"num_hidden_layers": 8}),  # by its class the fifth of each eight
            ("bamba", 2, {"attn_layer_indices": [1, 3]}),
            ("lfm2", 2, {"full_attn_idxs": [1, 3], "conv_bias": False}),
            ("minimax", 3, {"attn_type_list": [0, 1, 1, 1]}),
            ("qwen3_next", 2, {"full_attention_interval": 2, "linear_num_key_heads": 16}),
            ("qwen3_next", 1, {"full_attention_interval": 3, "num_hidden_layers": 5}),
            ("bamba", 1, {"attn_layer_indices": [2]}),
            ("lfm2", 3, {"full_attn_idxs": [0, 1, 3]}),
            ("mllama_text_model", 3, {"cross_attention_layers": [3]}),
            ("nemotron_h", 1, {"layers_block_type": ["mamba", "moe", "attention", "mlp"]}),
            ("zamba", 1, {"layers_block_type": ["mamba", "mamba", "mamba", "hybrid"]}),
            ("granitemoehybrid", 4, {"mamba_n_heads": 128, "layer_types": ["attention"] * 4}),
            ("falcon_h1", 4, {"mamba_d_ssm": 1}),
        )
    ),
    (
        "Kimi Linear",
        {**BASE, **LATENT, "model_type": "kimi_linear", "linear_attn_config": {"full_attn_layers": [1, 4]}},
        full(2, "8 x 32/16", latent="32 8"),
    ),
    # Switches that are off.
    ("no sharing", {**BASE, "use_cla": False, "cla_share_factor": 2}, ALL4),
]

# Read, but with a warning that ends so.
UNKNOWN = {**BASE, "model_type": "new"}
# Null is as many as heads, which zamba2's class does not have for all of its layers; it knows no groups.
ZAMBA2: Config = {
    "attention_head_dim": 64,
    "layers_block_type": ["hybrid"] * 4,
    "num_key_value_heads": None,
    "num_query_groups": 4,
}
WARNED: list[tuple[str, Config, Expected, str]] = [
    (
        "an unknown type that says everything",
        UNKNOWN,
        ALL4,
        'model_type "new" was not checked: read as 4 full, 8 heads, 2 K/V',
    ),
    ("no type at all", without("model_type"), ALL4, "model_type null was not checked"),
    (
        "with windows that are listed",
        {**UNKNOWN, "sliding_window": 9, "layer_types": SLIDING, "rope_local_base_freq": 10_000},
        (full(1, "8/2 x 64"), windowed(3, "8/2 x 64", 9)),
        "read as 1 full, 8 heads, 2 K/V + 3 windowed, 8 heads, 2 K/V",
    ),
    (
        "with windows by flags",
        {**UNKNOWN, "sliding_window": 9, "hybrid_layer_pattern": [1, 0, 0, 1]},
        (full(2, "8/2 x 64"), windowed(2, "8/2 x 64", 9)),
        "was not checked",
    ),
    (
        "Baichuan-M1",
        {
            **UNKNOWN,
            "sliding_window": 9,
            "sliding_window_layers": [0],
            "num_swa_attention_heads": 16,
            "num_swa_key_value_heads": 4,
        },
        (full(3, "8/2 x 64"), windowed(1, "16/4 x 32", 9)),
        "was not checked",
    ),
    ("latent", {**UNKNOWN, **LATENT}, full(4, "8 x 32/16", latent="32 8"), "was not checked"),
    (
        "an indexer",
        {
            **BASE,
            **LATENT,
            "model_type": "deepseek_v32",
            "index_topk": 9,
            "layer_types": ["deepseek_sparse_attention", "indexed_attention"] * 2,
        },
        full(4, "8 x 32/16", latent="32 8"),
        "index_topk, sparse attention, is counted as dense",
    ),
    (
        "a window that the class ignores",
        {**BASE, "sliding_window": 9},
        ALL4,
        "sliding_window 9: its class ignores it, some engines do not",
    ),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("our own config", CONFIG, "no vocab_size: not the config of a language model"),
    ("a list", [], "must be an object {...}, not a list"),
    ("a vision tower", without("vocab_size", model_type="vit"), "no vocab_size"),
    (
        "a type that is a list",
        {**UNKNOWN, "model_type": [], "n_layers": "x", "num_hidden_layers": None},
        "n_layers must be",
    ),
    # Not a decoder.
    ("BERT", without("num_key_value_heads", model_type="bert"), "no num_key_value_heads or n_kv_heads, and no default"),
    ("ModernBERT", {**BASE, "architectures": ["ModernBertForMaskedLM"]}, "ForMaskedLM: an encoder"),
    ("not causal", {**BASE, "is_causal": False}, "is_causal false, or"),
    ("EmbeddingGemma", {**BASE, "use_bidirectional_attention": True}, "attention true: an encoder"),
    ("T5", {**BASE, "is_encoder_decoder": True}, "is_encoder_decoder true: an encoder-decoder"),
    ("Dream", {**BASE, "model_type": "Dream"}, 'model_type "Dream": a diffusion model, not modelled'),
    # Attentions that the cost model does not have.
    ("DeepSeek-V4", {**BASE, "compress_ratios": [4, 128]}, "compress_ratios a list: compressed KV"),
    ("Gemma 4 E2B", {**BASE, "num_kv_shared_layers": 20}, "num_kv_shared_layers 20: layers that"),
    ("Gemma 3n by its class", {**BASE, "model_type": "gemma3n_text"}, '"gemma3n_text": layers that'),
    ("MobileLLM", {**BASE, "layer_sharing": True}, "layer_sharing true: layers that share"),
    ("Ouro", {**BASE, "total_ut_steps": 4}, "total_ut_steps 4: layers that run several times"),
    ("Phi-3 small", {**BASE, "blocksparse_block_size": 64}, "blocksparse_block_size 64: block-sparse"),
    ("RWKV", {**BASE, "model_type": "rwkv6"}, 'model_type "rwkv6": no attention with a growing KV'),
    ("LongCat", {**BASE, "model_type": "longcat_flash"}, "two attentions in each layer"),
    *(
        (f"model type {kind}", {**BASE, "model_type": kind}, f'model_type "{kind}": {why}, not modelled')
        for why, kinds in (
            ("no attention with a growing KV cache", "gla hgrn2 linear_attn retnet lightnet rodimus mom samba kda"),
            ("no attention with a growing KV cache", "delta_net gated_deltanet log_linear_mamba2 rwkv7 mesa_net"),
            ("a diffusion model", "LLaDA Dream sdar"),
            ("block-sparse attention", "nsa"),
        )
        for kind in kinds.split()
    ),
    ("MiMo-V2", {**BASE, "model_type": "mimo_v2_flash"}, "windowed layers with K/V heads of their"),
    # Silence that no recorded default fills.
    *(
        (f"{kind} without {key}", without(key, model_type=kind, **own), text)
        for kind, key, own, text in (
            ("nemotron", "num_key_value_heads", {}, "no num_key_value_heads or n_kv_heads"),
            ("granite", "num_attention_heads", {}, "no num_attention_heads or n_head"),
            ("granite", "num_hidden_layers", {}, "no num_hidden_layers or n_layer"),
            ("granite", "hidden_size", {}, "no hidden_size or n_embd"),
            ("zamba", "head_dim", {"layers_block_type": ["hybrid"] * 4}, "no head_dim, and"),
            ("deepseek_v3", "kv_lora_rank", LATENT, "no kv_lora_rank, and no default"),
            ("deepseek_v3", "v_head_dim", LATENT, "no v_head_dim, and no default"),
            ("hrm_text", "", {}, "no num_layers_per_stack, and"),
            ("beam", "", {"sliding_window": 9}, "no layer_types"),
            ("beam", "", {}, "no layer_types"),
            ("qwen2", "", {"sliding_window": 9, "use_sliding_window": True}, "no layer_types"),
            ("qwen2", "", {"use_sliding_window": True}, "no sliding_window, but"),
            ("inkling_text", "", {"swa_num_key_value_heads": 2, "swa_head_dim": 64}, "no swa_num_attention_heads, and"),
            ("jamba", "", {}, "attn_layer_period has 4 entries for 4 layers, or no attention"),
            ("zamba2", "", ZAMBA2, "no num_key_value_heads or n_kv_heads"),
            ("new", "num_hidden_layers", {}, "no num_hidden_layers or n_layer"),
            ("new", "hidden_size", {}, "no hidden_size or n_embd"),
            ("new", "", {"sliding_window": 9}, "no layer_types"),
        )
    ),
    ("windows of what length", {**BASE, "layer_types": SLIDING}, "no sliding_window, but"),
    # Keys that may change the attention of a type that was not checked.
    *(
        (f"new with {key}", {**UNKNOWN, key: value}, f"{key} {shown} may change its")
        for key, value, shown in (
            ("attn_window_size", 9, "9"),
            ("local_layer_ids", [0, 1], "a list"),
            ("layer_heads", [8, 8, 8, 4], "a list"),
            ("mamba_d_state", 16, "16"),
            ("sliding_window_pattern", 4, "4"),
            ("attn_layer_period", 4, "4"),
            ("per_layer_config", {"0": {}}, "an object"),
            ("attention_type", "funny", '"funny"'),
            ("tpa_rank", 9, "9"),
            ("kv_latent_dim", 9, "9"),
            ("token_mixer", "hyena", '"hyena"'),
            ("nsa_config", {"block": 9}, "an object"),
        )
    ),
    # Schedules and geometries that make no sense.
    ("an unknown kind", {**BASE, "layer_types": ["delta"] * 4}, 'layer_types: "delta" is not known'),
    ("kinds that are objects", {**BASE, "layer_types": [{}] * 4}, "layer_types a list: not a layer"),
    ("no list", {**BASE, "attn_type_list": 7}, "attn_type_list 7: not a layer schedule"),
    ("too short", {**BASE, "layer_types": ["attention"]}, "layer_types has 1 entries for 4 layers"),
    ("no attention", {**BASE, "layer_types": ["mamba"] * 4}, "layer_types has 4 entries for 4"),
    ("a negative pattern", {**BASE, "sliding_window_pattern": -2}, "sliding_window_pattern must be a whole number"),
    ("true", {**BASE, "full_attention_interval": True}, "full_attention_interval must be a whole number"),
    ("heads of too few layers", {**BASE, "num_key_value_heads_per_layer": [4]}, "has only 1 entries"),
    ("a part skipped", {**BASE, "per_layer_config": {"1": {"skip": ["attention"]}}}, "has a skip"),
    ("overrides by name", {**BASE, "per_layer_config": {"full": {}}}, "per_layer_config must hold"),
    ("overrides by a long number", {**BASE, "per_layer_config": {"9" * 5000: {}}}, "per_layer_config must hold"),
    (
        "a window in a full layer",
        {**BASE, "per_layer_config": {"1": {"sliding_window": 9}}},
        "sliding_window of layer 1, but that is a full one",
    ),
    (
        "uneven groups",
        {**BASE, "block_configs": [{"attention": {"n_heads_in_group": 3}}] * 4},
        "n_heads_in_group 3 does not divide",
    ),
    ("uneven heads", {**BASE, "num_key_value_heads": 3}, "n_kv_head must divide n_head 8, not 3"),
    ("uneven width", {**BASE, "hidden_size": 513}, "hidden_size 513 is not 8 heads"),
    ("heads as a list", {**BASE, "num_key_value_heads": [2, 2]}, "num_key_value_heads must be a"),
    ("negative", {**BASE, "num_hidden_layers": -4}, "num_hidden_layers must be a whole number"),
    ("text", {**BASE, "num_attention_heads": "8"}, "num_attention_heads must be a whole number"),
    ("infinite", {**BASE, "hidden_size": float("inf")}, "hidden_size must be a whole number"),
    ("not a model", {**BASE, "num_hidden_layers": 10**9}, "more layers than any model has"),
    ("nearly one", {**BASE, "num_hidden_layers": 10_001}, "more layers than any model has"),
    ("groups unsaid", {**BASE, "multi_query_attention": True}, "no multi_query_group_num"),
    ("no rank", {**BASE, **LATENT, "kv_lora_rank": True}, "kv_lora_rank must be a whole number"),
]

# Parameters that are easy to add up: V D of the embedding, attention, feed-forward, at D = 8.
TINY: Config = {
    "model_type": "llama",
    "vocab_size": 100,
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
    "hidden_act": "silu",
}
ATTENTION, DENSE = 2 * 8 * (8 + 4 + 4 + 8), 2 * 3 * 8 * 16
PLAIN = 2 * 100 * 8 + ATTENTION + DENSE
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 4}
EXPERT, ROUTER = 3 * 8 * 4, 4 * 8
COUNTED: list[tuple[str, Config, Any]] = [
    ("gated", {}, (PLAIN, PLAIN)),
    ("tied", {"tie_word_embeddings": True}, (PLAIN - 800, PLAIN - 800)),
    ("tied by its class", {"model_type": "gemma", "head_dim": 4}, (PLAIN - 800, PLAIN - 800)),
    ("two matrices", {"hidden_act": "gelu"}, (PLAIN - DENSE // 3, PLAIN - DENSE // 3)),
    ("an experts' key without experts", {"decoder_sparse_step": "x", "first_k_dense_replace": []}, (PLAIN, PLAIN)),
    (
        "four wide, by its class",
        {"model_type": "bloom", "intermediate_size": None, "hidden_act": None},
        (800 + ATTENTION + 2 * 2 * 8 * 32, 800 + ATTENTION + 2 * 2 * 8 * 32),
    ),
    (
        "latent",
        {**LATENT, "q_lora_rank": 5},
        (1600 + DENSE + 2 * (5 * 8 + 5 * 64 + 8 * 40 + 32 * 2 * 40 + 2 * 16 * 8),) * 2,
    ),
    ("latent, queries as they are", LATENT, (1600 + DENSE + 2 * (8 * 64 + 8 * 40 + 32 * 2 * 40 + 2 * 16 * 8),) * 2),
    *(
        (
            f"the list decides, not {key}",
            {**EXPERTS, "mlp_layer_types": ["dense", "sparse"], key: value},
            (1600 + ATTENTION + DENSE // 2 + 4 * EXPERT + ROUTER, 1600 + ATTENTION + DENSE // 2 + 1 * EXPERT + ROUTER),
        )
        for key, value in (
            ("first_k_dense_replace", 2),
            ("decoder_sparse_step", 8),
            ("mlp_only_layers", [0, 1]),
            ("moe_layer_freq", [1, 1]),
        )
    ),
    (
        "experts everywhere",
        EXPERTS,
        (1600 + ATTENTION + 2 * (4 * EXPERT + ROUTER), 1600 + ATTENTION + 2 * (1 * EXPERT + ROUTER)),
    ),
    *(
        (
            f"experts in one layer by {next(iter(keys))}",
            {**EXPERTS, **keys},
            (1600 + ATTENTION + DENSE // 2 + 4 * EXPERT + ROUTER, 1600 + ATTENTION + DENSE // 2 + EXPERT + ROUTER),
        )
        for keys in (
            {"mlp_layer_types": ["dense", "sparse"]},
            {"moe_layer_freq": [0, 1]},
            {"first_k_dense_replace": 1},
            {"decoder_sparse_step": 2},
            {"mlp_only_layers": [0]},
        )
    ),
    (
        "two experts",
        {**EXPERTS, "num_experts": 2},
        (1600 + ATTENTION + 2 * (2 * EXPERT + 16), 1600 + ATTENTION + 2 * (EXPERT + 16)),
    ),
    (
        "experts in the second of three layers",
        {**EXPERTS, "num_hidden_layers": 3, "decoder_sparse_step": 2},
        tuple(1600 + 3 * ATTENTION // 2 + DENSE + used * EXPERT + ROUTER for used in (4, 1)),
    ),
    (
        "experts in the third of five layers",
        {**EXPERTS, "num_hidden_layers": 5, "decoder_sparse_step": 3},
        tuple(1600 + 5 * ATTENTION // 2 + 2 * DENSE + used * EXPERT + ROUTER for used in (4, 1)),
    ),
    (
        "a shared expert",
        {**EXPERTS, "n_shared_experts": 1},
        (1600 + ATTENTION + 2 * (5 * EXPERT + ROUTER), 1600 + ATTENTION + 2 * (2 * EXPERT + ROUTER)),
    ),
    (
        "a shared part of its own width",
        {**EXPERTS, "shared_expert_intermediate_size": 4},
        (1600 + ATTENTION + 2 * (5 * EXPERT + ROUTER), 1600 + ATTENTION + 2 * (2 * EXPERT + ROUTER)),
    ),
    ("one expert is none", {"num_experts": 1}, (PLAIN, PLAIN)),
    ("every expert active", {**EXPERTS, "num_experts_per_tok": 4}, (1600 + ATTENTION + 2 * (4 * EXPERT + ROUTER),) * 2),
    ("an unknown type", {"model_type": "new"}, None),
    ("weights of other kinds", {"hidden_size_per_layer_input": 2}, None),
    ("an activation unsaid", {"hidden_act": None}, None),
    ("a width unsaid", {"intermediate_size": None}, None),
    ("a width of experts unsaid", {"num_experts": 4, "num_experts_per_tok": 1, "intermediate_size": None}, None),
    ("a width of each layer", {"intermediate_size": [16, 16]}, None),
    ("how many experts unsaid", {"num_experts": 4, "moe_intermediate_size": 4}, None),
    ("a vocabulary unsaid", {"vocab_size": None}, None),
    ("no cache in one layer", {"layer_types": ["mamba", "attention"]}, None),
]


def imported(config: Any) -> ab.Model:
    return ab.published_model(config, "it", "here")


def shared_rows(file: str) -> Iterator[Config]:
    with (SHARED / "hf_classes" / f"{file}.jsonl").open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def built(row: Config) -> Counter[ab.Layers]:
    """The layers that transformers built, a window without effect left out."""
    found: Counter[ab.Layers] = Counter()
    for each in row["layers"]:
        window = 0 if row["longest"] and each["window"] >= row["longest"] else each["window"]
        found[
            ab.Layers(
                kind="windowed" if window else "full",
                n_layer=1,
                n_head=each["n_head"],
                n_kv_head=each.get("n_kv_head", each["n_head"]),
                dim_qk=each["dim_qk"],
                dim_v=each["dim_v"],
                window=window,
                kv_lora_rank=each.get("kv_lora_rank", 0),
                qk_rope_head_dim=each.get("qk_rope_head_dim", 0),
            )
        ] += each["n_layer"]
    return found


class Rules(ScriptTest):
    def test_what_each_rule_reads(self) -> None:
        for name, config, expected in RULES:
            with self.subTest(name):
                model = imported(config)
                layers: tuple[Any, ...] = expected if type(expected) is tuple else (expected,)
                self.assertEqual(sorted(model.layers), sorted(layers))
                self.assertEqual([x.kind for x in model.layers], sorted(x.kind for x in layers))

    def test_what_is_read_with_a_warning(self) -> None:
        for name, config, expected, warning in WARNED:
            with self.subTest(name):
                model = imported(config)
                layers: tuple[Any, ...] = expected if type(expected) is tuple else (expected,)
                self.assertEqual(model.layers, layers)
                self.assertEqual(len(model.notes), 1)
                self.assertIn(warning, model.notes[0])
        self.assertEqual(imported(BASE).notes, ())

    def test_refusals_name_the_key_and_the_reason(self) -> None:
        for name, config, expected in REFUSED:
            with self.subTest(name):
                error = self.refusal("--model", self.written(json.dumps(config)))
                self.assertIn("error: --model ", error)
                self.assertIn(expected, error)

    def test_sizes_and_parameters(self) -> None:
        for name, keys, expected in COUNTED:
            with self.subTest(name):
                config = {**TINY, **keys}
                model = imported({key: config[key] for key in config if config[key] is not None})
                params = model.params
                found = params and (params.total, params.active)
                self.assertEqual(found, expected)
                self.assertEqual(model.figures["hidden_size"], 8)
        mixture = imported({**TINY, **EXPERTS})
        assert mixture.params
        self.assertEqual((experts_of(mixture), mixture.params.active_part), ((4, 1), 1 / 4))
        self.assertEqual(experts_of(imported({**TINY, **EXPERTS, "num_experts": 2})), (2, 1))
        self.assertIsNone(experts_of(imported({**TINY, **EXPERTS, "num_experts": 1})))
        for keys in ({}, {"num_experts": 4}, {"num_experts": 4, "num_experts_per_tok": 9}):
            self.assertIsNone(experts_of(imported({**TINY, **keys})))
        strange = imported({**TINY, "num_experts": [4, 4]})
        self.assertEqual((strange.params, experts_of(strange), strange.figures["hidden_size"]), (None, None, 8))

    def test_a_wrapper_says_whether_the_embedding_is_tied(self) -> None:
        config = {"tie_word_embeddings": True, "text_config": {**TINY, "tie_word_embeddings": False}}
        self.assertEqual(imported(config).params, ab.Parameters(PLAIN - 800, PLAIN - 800))

    def test_anything_is_a_model_or_a_refusal(self) -> None:
        """No value under any key ends in another error, or in a shape without a size."""
        draw = random.Random(4)
        keys = sorted({key for _, config, _ in RULES for key in config})
        keys += [key.partition(":")[0] for keys in ab.SCHEDULES for key in keys.split()]
        keys += [key for names in ab.NAMES.values() for key in names]
        values: list[Any] = [None, 0, 1, -1, 3, True, False, "", "x", "LG", 1.5, 10**30, [], {}]
        values += [[1], [None], [[]], ["full_attention"] * 9, [[["global"], 10**12]], {"a": 1}]
        values += [{"full_attn_layers": [1]}, [{"attention": {"n_heads_in_group": 3}}] * 9]
        values += [{"1": {"head_dim": 3}}, {"1": 5}, [[[], 10**12]], {"attention": None}]
        for _ in range(2500):
            config = dict(draw.choice(RULES)[1])
            for key in draw.sample(keys, draw.randint(1, 3)):
                config[key] = draw.choice(values)
            try:
                model = imported(config)
            except ab.InputError:
                continue
            for layers in model.layers:
                self.assertTrue(all(number > 0 for number in layers[1:6]), config)

    def test_huge_lists_and_counts_end_soon(self) -> None:
        types = {"attention_types": [[["global", "local"], 10**12]] * 10_000, "window_size": 9}
        huge = {**BASE, "model_type": "gpt_neo", "num_hidden_layers": 10_000, **types}
        self.assertEqual([each.n_layer for each in imported(huge).layers], [5000, 5000])
        with self.assertRaises(ab.InputError):
            imported({**BASE, "model_type": "jamba", "attn_layer_period": 1, "attn_layer_offset": 10**30})


# What was checked of each model type, and of each row of class defaults: CRC-32 of what stands in the script.
TYPE_ENTRIES = """
afmoe:ebf2cf1e apertus:e3d7687d arcee:cc85bebb aria_text:3e6ee2ac axk1:38f84370 axk2:bc7a3c7a bailing_hybrid:a8367ad1
bamba:365e32e0 beam:fdb24a35 biogpt:3656eced bitnet:8830a79e blip_text_model:ecd31a67 bloom:7ebedf6a
chameleon:04f824aa codegen:4591f4e9 cohere:6cbd60f9 cohere2:da93d0dd cohere2_moe:067bea5a cohere_compass_text:1f2c9d22
cosmos3_edge_text:485a0383 cpmant:0b6e31e8 csm:7a73e14d ctrl:0222717a cwm:e113e6ff dbrx:59f177e8
deepseek_ocr2_text:08c9679e deepseek_v2:a35b94f0 deepseek_v3:ba40a5b1 deepseek_v32:050b76d6 diffllama:9028ddca
dots1:6531678a emu3_text_model:4fce4676 ernie4_5:eb895784 ernie4_5_moe:6ee7be1e ernie4_5_vl_moe_text:61d95248
evolla:75bd398e exaone4:b8f4d5e7 exaone_moe:dc8807dc falcon:662a3f84 falcon_h1:7f750bfe flex_olmo:e55e51b2
flint:55a82613 gemma:2f378bb8 gemma2:55a5782f gemma3_text:88c0fc86 gemma4_text:620db0a7 gemma4_unified_text:cbcd8ba1
git:518e617c glm:837e4404 glm4:4d7415f2 glm4_moe:c1acb043 glm4_moe_lite:6d408689 glm4v_moe_text:28f2c85b
glm4v_text:44db28ac glm_image_text:738795c2 glm_moe_dsa:c880a4ce glm_ocr_text:be0a0f52 gpt2:26b6b5f8
gpt_bigcode:7ac5bea9 gpt_neo:50c3cda9 gpt_neox:50cab6b0 gpt_neox_japanese:1849d381 gpt_oss:59fa4db0 gptj:98e83a80
granite:dbb10698 granite4_vision_text:cc9fa596 granite_docling_text:50d86925 granite_swa:e138ff4b granitemoe:79cfaed1
granitemoe_swa:1e987b1c granitemoehybrid:e520b266 granitemoeshared:70f7b749 helium:c743431b hrm_text:c84287a8
hunyuan_v1_dense:245997a0 hunyuan_v1_moe:8b8ade11 hunyuan_vl_text:80ab1a72 hy_v3:af73fd0b hy_v4:1217c037
hyperclovax:5b30732c idefics:af9a131f inkling2_text:25cf271c inkling_text:9be7a270 internlm3:5f67053a
iquestcoder:c62c0342 jais2:1df9838d jamba:e5bb2955 jetmoe:c8a15b3f kimi_linear:4d878f9a kolibri1:d1d437d4
kosmos_2_5_text_model:185f68e9 kosmos_2_text_model:d25f2d41 laguna:2ec018b8 lfm2:0c2633af lfm2_moe:c9683471
lfm3:9f03442d llama:48e3c0d9 llama4_text:36017c44 mellum:b400f3c6 minicpm3:07e67135 minimax:fa1092fc
minimax_m2:47fc8e6b minimax_m3_vl_text:8b601d77 ministral:232bfb72 ministral3:0ef33455 mistral:cd272b33
mistral4:4501ef46 mixtral:904d3765 mllama_text_model:c9d7204b modernbert-decoder:59c15170 molmo2_text:ed00d1d8
moshi:5db9cebe mpt:27a2e9b2 muse_glimmer_text:feb6f5cd muse_spark_text:4d58e263 nanochat:e0c789b1 nemotron:3d9d02ea
nemotron_h:ddb9320c olmo:0e92632e olmo2:c60d21a1 olmo3:210a94d4 olmo_hybrid:7b84945d olmoe:3152e67a
openai-gpt:405ac26f opt:05cba0fa paddleocr_vl_text:a1796f96 persimmon:2dee9e6f phi:32fa8911 phi3:c5b2019a
phi4_multimodal:6b71d0e2 phimoe:fbbebdd7 qwen2:a9479158 qwen2_5_omni_text:76e64d61 qwen2_5_vl_text:21b2ad3c
qwen2_moe:af4e4989 qwen2_vl_text:24b9fff4 qwen3:9a351760 qwen3_5_moe_text:1495904a qwen3_5_text:5f203b1e
qwen3_moe:f7f841a8 qwen3_next:6dee114c qwen3_omni_moe_text:0acda00d qwen3_vl_moe_text:001efa0e qwen3_vl_text:6da2c014
recurrent_gemma:272c2e71 seed_oss:4aef8b74 smollm3:d09421cd solar_open:b3f4d86e stablelm:bed2cbc1 starcoder2:cb4267a2
step3_text:000ad09f step3p5:2a043ddb vaultgemma:14efcc1e voxtral_realtime_text:8c4c9c82 xglm:381cb384 youtu:ad004137
zamba:bfe41172 zamba2:12955818 zaya:06a29ab0 RefinedWeb:5cd8212e RefinedWebModel:68947ac7 Yi:1ece2d1e aquila:5ec26147
baichuan:51000f1f btlm:6c102784 bunny-phi:22ff0617 chatglm:4789ec86 codeshell:4b25e29f cogvlm:164ba3eb deci:1e249c9c
deepseek:bc9a4dc7 hf_olmo:8769c477 internlm:c95a53d8 internlm2:9214beb8 jais:e92d36dc kimi_k2:9a854dde
llava_llama:856d96aa minicpm:070cd9a5 mixformer-sequential:8c71e08a molmo:f153deca moss:aa63bb59 nemotron-nas:94b12616
phi-msft:939a2094 plamo:fbd16d82 qwen:7d190d74 stablelm_epoch:bfbaf181 telechat:d927bb95 xverse:42663f8d yuan:e06926e2
-:6b0ff4b6
"""
DEFAULT_ROWS = """
llama:8b1bdd0b gemma3_text:ef1378a9 gemma4_text:08205a3f gemma2:06b38d53 gemma3_text:b6be1904 cohere2:7ec9e186
cohere2:b4c3eef2 exaone4:f46621a3 falcon:23ac740b qwen2:35902ac3 llama4_text:d93666b3 jamba:e764d972
"""


class Checked(ScriptTest):
    """What transformers 5.23 builds of the same configs (../shared/hf_classes), or a type's own code."""

    def test_entries_are_those_that_were_checked(self) -> None:
        entries = re.finditer(ab.TYPE_ENTRY, ab.CHECKED_TYPES)
        found = [f"{entry['name']}:{zlib.crc32(entry.group().encode()):08x}" for entry in entries]
        self.assertEqual(found, TYPE_ENTRIES.split())
        rows = {types: json.dumps([types, row]) for types, row in ab.CLASS_DEFAULTS.items()}
        found = [f"{types.split()[0]}:{zlib.crc32(row.encode()):08x}" for types, row in rows.items()]
        self.assertEqual(found, DEFAULT_ROWS.split())

    def test_what_classes_take_where_a_file_is_silent(self) -> None:
        silent = {"vocab_size": 9}
        eight = {**silent, "num_hidden_layers": 8, "hidden_size": 2048, "num_attention_heads": 32}
        for types, config, expected in (
            ("llama qwen2", silent, (full(32, "32 x 128"),)),
            ("mistral", silent, (windowed(32, "32/8 x 128", 4096),)),
            ("gemma3_text", silent, (full(4, "8/4 x 256"), windowed(22, "8/4 x 256", 4096))),
            ("gemma2", eight, (full(4, "32/4 x 256"), windowed(4, "32/4 x 256", 4096))),
            ("gpt_oss", {**eight, "sliding_window": 64}, (full(4, "32/8 x 64"), windowed(4, "32/8 x 64", 64))),
            ("vaultgemma", {**eight, "sliding_window": 64}, (full(4, "32/4 x 256"), windowed(4, "32/4 x 256", 64))),
            ("cohere2", eight, (full(2, "32 x 64"), windowed(6, "32 x 64", 4096))),
            ("llama4_text", {**eight, "sliding_window": 64}, (full(2, "32/8 x 128"), windowed(6, "32/8 x 128", 64))),
            ("exaone4 olmo3", {**eight, "sliding_window": 2047}, (full(2, "32 x 64"), windowed(6, "32 x 64", 2047))),
            ("exaone4 exaone_moe olmo3", {**eight, "sliding_window": 2048}, (full(8, "32 x 64"),)),
            ("ministral", eight, (windowed(8, "32/8 x 64", 4096),)),
            ("falcon RefinedWeb gpt_bigcode", eight, (full(8, "32/1 x 64"),)),
            ("qwen2 smollm3", {**eight, "sliding_window": 64, "num_key_value_heads": 4}, (full(8, "32/4 x 64"),)),
            ("jamba", {**eight, "num_hidden_layers": 12}, (full(1, "32/8 x 64"),)),
            ("jamba", {**eight, "num_hidden_layers": 13}, (full(2, "32/8 x 64"),)),  # the 5th and the 13th
        ):
            for model_type in types.split():
                with self.subTest(model_type, **config):
                    self.assertEqual(imported({"model_type": model_type, **config}).layers, expected)


def experts_of(model: ab.Model) -> tuple[int, int] | None:
    if "n_expert" not in model.figures:
        return None
    return model.figures["n_expert"], model.figures["n_expert_active"]


class Files(ScriptTest):
    def test_what_a_file_calls_itself_is_quoted(self) -> None:
        """On one line of ASCII, and nowhere else."""
        path = self.written(json.dumps({**BASE, "model_type": "strange\n\u202e<b>"}), "S.json")
        result = run("--gpu", "h100-sxm", "--model", path, "--format", "json")
        self.assertIn('model_type "strange\\n\\u202e<b>" was not checked', result.err)
        self.assertEqual((result.code, result.err.count("\n"), result.out.count("strange")), (0, 1, 0))

    def test_warnings_are_one_line_each(self) -> None:
        path = self.written(json.dumps({**BASE, "sliding_window": 9, "sparse_config": [1]}), "S.json")
        warnings = [
            f"attn_bottleneck.py: warning: S: {warning}"
            for warning in (
                "sparse_config, sparse attention, is counted as dense",
                "sliding_window 9: its class ignores it, some engines do not",
            )
        ]
        self.assertEqual(run("--model", path).err.splitlines(), warnings)
        self.assertEqual(run("--model", path, "--seq", "9,10,11").err.splitlines(), warnings)  # once

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

    def test_what_a_class_takes_where_a_file_is_silent(self) -> None:
        """LlamaConfig's and Gemma3TextConfig's own sizes, in transformers."""
        for kind, hidden_size, layers in (
            ("llama", 4096, {(32, 32, None)}),
            ("gemma3_text", 2304, {(4, 8, None), (22, 8, 4096)}),
        ):
            path = self.written(json.dumps({"model_type": kind}))
            found = json.loads(self.answer("--model", path, "--gpu", "b200", "--format", "json"))
            with self.subTest(kind):
                self.assertEqual(found["inputs"]["model"]["hidden_size"], hidden_size)
                shapes = {(each["n_layer"], each["n_head"], each["window_keys"]) for each in found["layers"]}
                self.assertEqual(shapes, layers)

    def test_two_geometries_are_both_named(self) -> None:
        config = next(config for name, config, _ in RULES if name == "Gemma 4")
        summary = self.answer("--model", self.written(json.dumps(config)), "--format", "summary")
        self.assertIn("\n           1 full layer: 8 heads, 1 K/V, width 64\n", summary)
        windowed = "3 windowed layers: 8 heads, 2 K/V, width 32, window 9"
        self.assertIn(f"\n           {windowed}\n", summary)
        # 1 x 1 x (64 + 64) + 3 x 2 x (32 + 32) elements of 2 bytes.
        self.assertIn("cache      1024 bytes per token (256 beyond the windows)", summary)

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
        texts: tuple[tuple[Any, str], ...] = (
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

    def test_a_folder_does_not_hide_a_catalogue_name(self) -> None:
        (self.folder / "Llama 2 7B").mkdir()
        (self.folder / "my-model").mkdir()
        self.written(json.dumps(BASE), "my-model/config.json")
        for name, expected in (("Llama 2 7B", "llama-2-7b"), ("my-model", "my-model")):
            report = process("--model", name, "--gpu", "mi325x", cwd=self.folder).stdout
            self.assertIn(f"model      {expected} (from ", report)


class Shared(ScriptTest):
    """All that transformers builds, where its record is beside the checkout: never wrong."""

    @needs_shared("hf_classes")
    def test_classes_and_keys_left_out(self) -> None:
        for file, least in (("classes", 390), ("left_out", 20)):
            right = 0
            for row in shared_rows(file):
                with self.subTest(row["case"]):
                    try:
                        model = imported(row["config"])
                    except ab.InputError:
                        continue
                    found = Counter({x._replace(n_layer=1): x.n_layer for x in model.layers})
                    self.assertEqual(found, built(row))
                    right += 1
            self.assertGreaterEqual(right, least, file)

    @needs_shared("hf_classes")
    def test_parameters_are_at_most_3_percent_off(self) -> None:
        configs = {row["case"]: row["config"] for row in shared_rows("classes")}
        right: Counter[str] = Counter()
        for row in shared_rows("parameters"):
            file = SHARED / "hf_configs" / row["case"]
            if file.suffix == ".json" and not file.exists():
                continue
            with self.subTest(row["case"]):
                config = ab.read_json(str(file)) if file.suffix == ".json" else configs[row["case"]]
                try:
                    params = imported(config).params
                except ab.InputError:
                    continue
                if params:
                    self.assertAlmostEqual(params.total / row["total"], 1, delta=0.03)
                    self.assertAlmostEqual(params.active / row["active"], 1, delta=0.03)
                    right[file.suffix] += 1
        self.assertGreaterEqual(right[".full"], 135)
        self.assertGreaterEqual(right[".json"], 50 if right[".json"] else 0)

    @needs_shared("hf_configs")
    def test_corpus_is_right_or_refused(self) -> None:
        folder = SHARED / "hf_configs"
        right = 0
        for row in read_csv(folder / "manifest.csv"):
            with self.subTest(row["file"]):
                number = {key: int(float(v)) for key, v in row.items() if re.fullmatch(r"\d+(\.\d*)?", v)}
                try:
                    model = ab.find_model(str(folder / row["file"]))
                except ab.InputError as error:
                    self.assertEqual(row["status"], "partial", str(error))
                    continue
                right += 1
                self.assertEqual(model.n_layer, number["n_layer"])
                self.assertEqual(
                    model.figures.get("hidden_size"), number.get("hidden_size", model.figures.get("hidden_size"))
                )
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
        self.assertGreaterEqual(right, 70)
