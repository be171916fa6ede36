"""Models from published config.json files: right, or refused, or read with a warning."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import attn_bottleneck as ab
from tests.support import (
    BASE,
    CONFIG,
    SHARED,
    ScriptTest,
    Shape,
    cached_elements,
    full,
    keys_read_of_configs,
    needs_shared,
    process,
    read_csv,
    run,
    shapes_of,
    windowed,
)

Config = dict[str, Any]

LATENT = {"kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 24, "v_head_dim": 16}
NULL_LATENT = dict.fromkeys(LATENT)
LATENT_BASE: Config = {**BASE, **LATENT}


def of_type(model_type: str, **changes: Any) -> Config:
    """BASE of another type, with some keys changed or added."""
    return {**BASE, "model_type": model_type, **changes}


def without(*keys: str, **changes: Any) -> Config:
    """BASE with some keys changed or added, and others left out."""
    config = {**BASE, **changes}
    return {key: value for key, value in config.items() if key not in keys}


ALL4 = full(4, "8/2 x 64")
SLIDING = ["sliding_attention"] * 3 + ["full_attention"]
Row = tuple[Any, ...]
# A rule, a config that it reads, and the layers that it means, by kind.
RULES: list[Row] = [
    ("llama", BASE, ALL4),
    (
        "null says as many K/V heads as heads",
        {**BASE, "num_key_value_heads": None},
        full(4, "8 x 64"),
    ),
    ("no width of values in this class", {**BASE, "v_head_dim": 32}, ALL4),
    ("null is no width", of_type("ernie4_5", head_dim=None), ALL4),
    ("silence is", of_type("ernie4_5"), full(4, "8/2 x 128")),
    (
        "as many layers as kinds",
        without(
            "num_hidden_layers",
            model_type="granitemoehybrid",
            layers_block_type=["attention", "mamba"] * 3,
        ),
        full(3, "8/2 x 64"),
    ),
    ("so does silence, in this class", without("num_key_value_heads"), full(4, "8 x 64")),
    (
        "in others a number",
        without("num_key_value_heads", model_type="internlm3"),
        full(4, "8/2 x 128"),
    ),
    ("more entries than layers", {**BASE, "layer_types": ["attention"] * 5}, ALL4),
    ("Infinity", {**BASE, "time_step_limit": [0.0, float("inf")]}, ALL4),
    # Scopes.
    ("in two", {"talker_config": {}, "thinker_config": {"text_config": BASE}}, ALL4),
    ("all from the class", {"text_config": {"model_type": "llama"}}, full(32, "32 x 128")),
    (
        "the wrapper's type",
        {"model_type": "gemma3", "text_config": without("model_type", "num_key_value_heads")},
        full(4, "8/4 x 256", 4096),
    ),
    ("a flat gemma3", of_type("gemma3"), full(4, "8/2 x 256", 4096)),
    (
        "PaliGemma looks both ways at images",
        {"model_type": "paligemma", "text_config": {**BASE, "use_bidirectional_attention": True}},
        ALL4,
    ),
    # Names of keys.
    ("GPT-2", {"model_type": "gpt2", "n_layer": 3, "n_head": 4, "n_embd": 256}, full(3, "4 x 64")),
    (
        "XGLM",
        {"model_type": "xglm", "num_layers": 3, "attention_heads": 4, "d_model": 256},
        full(3, "4 x 64"),
    ),
    (
        "Kosmos",
        {"model_type": "kosmos_2_text_model", "layers": 3, "attention_heads": 4, "embed_dim": 256},
        full(3, "4 x 64"),
    ),
    # K/V heads.
    (
        "ChatGLM",
        of_type("chatglm", multi_query_attention=True, multi_query_group_num=4),
        full(4, "8/4 x 64"),
    ),
    (
        "DBRX",
        without("num_key_value_heads", model_type="dbrx", attn_config={"kv_n_heads": 4}),
        full(4, "8/4 x 64"),
    ),
    (
        "MPT, one",
        without(
            "num_key_value_heads",
            model_type="mpt",
            attn_config={"attn_type": "multiquery_attention"},
        ),
        full(4, "8/1 x 64"),
    ),
    (
        "MPT, all",
        without("num_key_value_heads", model_type="mpt", attn_config={}),
        full(4, "8 x 64"),
    ),
    ("StarCoder", without("num_key_value_heads", model_type="gpt_bigcode"), full(4, "8/1 x 64")),
    (
        "SantaCoder",
        without("num_key_value_heads", model_type="gpt2", attention_head_type="multiquery"),
        full(4, "8/1 x 64"),
    ),
    ("CodeShell", without("num_key_value_heads", model_type="codeshell", num_query_groups=2), ALL4),
    ("CogVLM2", without("num_key_value_heads", model_type="cogvlm", num_multi_query_heads=2), ALL4),
    ("PLaMo", of_type("plamo", n_shared_head=8), full(4, "8/1 x 64")),
    (
        "Yuan 2",
        without("num_key_value_heads", model_type="yuan", attention_projection_size=1024),
        full(4, "8 x 128"),
    ),
    (
        "Falcon 7B",
        without("num_key_value_heads", model_type="RefinedWebModel"),
        full(4, "8/1 x 64"),
    ),
    (
        "Falcon 7B, converted",
        without("num_key_value_heads", model_type="falcon", num_kv_heads=8),
        full(4, "8/1 x 64"),
    ),
    (
        "Falcon 40B",
        without("num_key_value_heads", model_type="RefinedWeb", n_head_kv=4),
        full(4, "8/4 x 64"),
    ),
    (
        "Falcon 40B, converted",
        without(
            "num_key_value_heads",
            model_type="falcon",
            num_kv_heads=4,
            new_decoder_architecture=True,
        ),
        full(4, "8/4 x 64"),
    ),
    (
        "Falcon, many",
        without("num_key_value_heads", model_type="falcon", multi_query=False),
        full(4, "8 x 64"),
    ),
    (
        "DeciLM: of each layer",
        without(
            "num_key_value_heads", model_type="deci", num_key_value_heads_per_layer=[2, 2, 4, 2]
        ),
        full(3, "8/2 x 64"),
        full(1, "8/4 x 64"),
    ),
    (
        "Laguna: heads of each layer",
        of_type(
            "laguna",
            num_attention_heads_per_layer=[8, 16, 16, 8],
            layer_types=["full_attention"] * 4,
        ),
        full(2, "8/2 x 128"),
        full(2, "16/2 x 128"),
    ),
    (
        "Nemotron-NAS: a group's size, and blocks without attention",
        without(
            "num_key_value_heads",
            model_type="nemotron-nas",
            block_configs=[
                {"attention": {"n_heads_in_group": 4, "no_op": False}},
                {"attention": {"n_heads_in_group": None, "no_op": True}},
                {"attention": {"n_heads_in_group": None, "replace_with_linear": True}},
                {"attention": {"n_heads_in_group": 8}},
            ],
        ),
        full(1, "8/2 x 64"),
        full(1, "8/1 x 64"),
    ),
    # Latent attention; head_dim says nothing there.
    ("latent", {**LATENT_BASE, "head_dim": 64}, full(4, "8 x 32/16", latent="32 8")),
    (
        "two of them in each layer of this class",
        {**LATENT_BASE, "model_type": "longcat_flash", "num_layers": 4},
        full(8, "8 x 32/16", latent="32 8"),
    ),
    (
        "latent by its class",
        {**LATENT_BASE, "model_type": "deepseek_v3"},
        full(4, "8 x 32/16", latent="32 8"),
    ),
    (
        "MiniCPM3 says no v_head_dim",
        without("v_head_dim", model_type="minicpm3", **LATENT),
        full(4, "8 x 32/64", latent="32 8"),
    ),
    (
        "latent in a window",
        {**LATENT_BASE, "model_type": "mistral", "sliding_window": 9},
        full(4, "8 x 32/16", 9, "32 8"),
    ),
    ("latent keys that are null", {**BASE, **NULL_LATENT}, ALL4),
    ("latent keys not in use", {**LATENT_BASE, "v_head_dim": 0, "use_mla": False}, ALL4),
    # Windows, in a class that has them everywhere, somewhere, if switched on, or never.
    ("everywhere", of_type("mistral", sliding_window=9), full(4, "8/2 x 64", 9)),
    ("by the class", of_type("mistral"), full(4, "8/2 x 64", 4096)),
    ("null is none", of_type("mistral", sliding_window=None), ALL4),
    ("0 is none", of_type("phi3", sliding_window=0), ALL4),
    (
        "as long as the context",
        of_type("mistral", sliding_window=9, max_position_embeddings=9),
        ALL4,
    ),
    (
        "longer than the class's context",
        of_type("olmo3", sliding_window=4096, layer_types=SLIDING),
        ALL4,
    ),
    ("as long as that", of_type("olmo3", sliding_window=2048, layer_types=SLIDING), ALL4),
    (
        "one shorter",
        of_type("olmo3", sliding_window=2047, layer_types=SLIDING),
        full(1, "8/2 x 64"),
        windowed(3, "8/2 x 64", 2047),
    ),
    (
        "listed",
        of_type("olmo3", sliding_window=9, layer_types=SLIDING),
        full(1, "8/2 x 64"),
        windowed(3, "8/2 x 64", 9),
    ),
    ("switched off", of_type("smollm3", sliding_window=9, use_sliding_window=False), ALL4),
    ("off unless said", of_type("qwen2", sliding_window=9), ALL4),
    (
        "from a layer on",
        of_type("qwen2", sliding_window=9, max_window_layers=3, use_sliding_window=True),
        full(3, "8/2 x 64"),
        windowed(1, "8/2 x 64", 9),
    ),
    ("never", {**BASE, "sliding_window": 9}, ALL4),
    ("never, whatever a file lists", {**BASE, "sliding_window": 9, "layer_types": SLIDING}, ALL4),
    ("Grok's -1", of_type("git", sliding_window_size=-1), ALL4),
    ("Qwen2.5-1M", of_type("qwen2", dual_chunk_attention_config={"chunk_size": 9}), ALL4),
    (
        "of each layer",
        of_type("olmo3", sliding_window_per_layer=[9, None, 5, 9]),
        full(1, "8/2 x 64"),
        windowed(2, "8/2 x 64", 9),
        windowed(1, "8/2 x 64", 5),
    ),
    (
        "Gemma 2's pattern",
        of_type("gemma2", num_hidden_layers=5, head_dim=64),
        full(2, "8/2 x 64"),
        windowed(3, "8/2 x 64", 4096),
    ),
    (
        "every third",
        of_type("gemma3_text", sliding_window_pattern=3, head_dim=64),
        full(1, "8/2 x 64"),
        windowed(3, "8/2 x 64", 4096),
    ),
    (
        "a pattern of letters",
        of_type("exaone4", sliding_window=9, sliding_window_pattern="LG"),
        full(2, "8/2 x 64"),
        windowed(2, "8/2 x 64", 9),
    ),
    (
        "a pattern, but no window",
        of_type("exaone4", sliding_window=None, sliding_window_pattern=None),
        ALL4,
    ),
    (
        "GPT-Neo",
        of_type("gpt_neo", window_size=9, attention_types=[[["global", "local"], 2]]),
        full(2, "8/2 x 64"),
        windowed(2, "8/2 x 64", 9),
    ),
    (
        "GPT-Neo, all global",
        of_type("gpt_neo", window_size=9, attention_layers=["global"] * 4),
        ALL4,
    ),
    (
        "Llama 4",
        of_type("llama4_text", no_rope_layers=[], attention_chunk_size=9, head_dim=64),
        full(1, "8/2 x 64"),
        windowed(3, "8/2 x 64", 9),
    ),
    (
        "Llama 4, listed",
        of_type("llama4", no_rope_layers=[1, 0, 0, 1], attention_chunk_size=9, head_dim=64),
        full(2, "8/2 x 64"),
        windowed(2, "8/2 x 64", 9),
    ),
    ("SmolLM3's rope", of_type("smollm3", sliding_window=None, no_rope_layers=[1, 0, 1, 0]), ALL4),
    (
        "ModernBERT's decoder",
        without(
            "num_key_value_heads",
            model_type="modernbert-decoder",
            local_attention=128,
            global_attn_every_n_layers=4,
        ),
        full(1, "8 x 64"),
        windowed(3, "8 x 64", 64),
    ),
    (
        "RecurrentGemma",
        of_type(
            "recurrent_gemma",
            attention_window_size=9,
            block_types=["recurrent", "recurrent", "attention"],
        ),
        full(1, "8/2 x 64", 9),
    ),
    # A geometry of its own in layers of one kind, or in one layer.
    (
        "windowed layers' own",
        of_type(
            "inkling_text",
            sliding_window_size=9,
            swa_num_attention_heads=16,
            swa_num_key_value_heads=4,
            swa_head_dim=32,
            layer_types=["hybrid_sliding"] * 3 + ["hybrid"],
        ),
        full(1, "8/2 x 128"),
        windowed(3, "16/4 x 32", 9),
    ),
    (
        "Step 3.5",
        without(
            "num_key_value_heads",
            model_type="step3p5",
            num_attention_groups=2,
            sliding_window=9,
            layer_types=SLIDING,
            attention_other_setting={"num_attention_heads": 16, "num_attention_groups": 4},
        ),
        full(1, "8/2 x 128"),
        windowed(3, "16/4 x 128", 9),
    ),
    (
        "Gemma 4",
        of_type(
            "gemma4_text",
            head_dim=32,
            global_head_dim=64,
            num_global_key_value_heads=1,
            attention_k_eq_v=True,
            sliding_window=9,
            use_bidirectional_attention="vision",
            layer_types=["sliding_attention"] * 4,  # the last one is full whatever it says
        ),
        full(1, "8/1 x 64"),
        windowed(3, "8/2 x 32", 9),
    ),
    (
        "Gemma 4, K and V apart, its class's width",
        of_type("gemma4_text", num_global_key_value_heads=1, sliding_window=9, layer_types=SLIDING),
        full(1, "8/2 x 512"),
        windowed(3, "8/2 x 256", 9),
    ),
    (
        "Gemma 4, as transformers 5.15 saves it",
        of_type(
            "gemma4_text",
            head_dim=32,
            num_global_key_value_heads=1,
            attention_k_eq_v=True,
            sliding_window=9,
            layer_types=SLIDING,
            per_layer_config={"03": {"head_dim": 64, "num_key_value_heads": 4}},
        ),
        full(1, "8/4 x 64"),
        windowed(3, "8/2 x 32", 9),
    ),
    (
        "Kimi Linear",
        {
            **LATENT_BASE,
            "model_type": "kimi_linear",
            "linear_attn_config": {
                "full_attn_layers": [1, 4],
                "num_heads": 8,
                "head_dim": 64,
                "short_conv_kernel_size": 4,
            },
        },
        full(2, "8 x 32/16", latent="32 8"),
    ),
    # Switches that are off.
    ("no sharing", {**BASE, "use_cla": False, "cla_share_factor": 2}, ALL4),
]
# The scopes that a wrapper holds a model's config in.
SCOPES = ("text_config", "llm_config", "llm_cfg", "language_config")
# Layers without a cache, by every way of saying so: a type, its keys, and how many layers have one.
WITHOUT_CACHE: list[tuple[str, Config, int]] = [
    ("nemotron_h", {"hybrid_override_pattern": "M-*E", "chunk_size": 128}, 1),
    ("jamba", {"attn_layer_period": 4, "attn_layer_offset": 2}, 1),
    ("jamba", {"num_hidden_layers": 8}, 1),  # by its class the fifth of each eight
    ("bamba", {"attn_layer_indices": [1, 3]}, 2),
    ("lfm2", {"full_attn_idxs": [1, 3], "conv_bias": False}, 2),
    ("minimax", {"attn_type_list": [0, 1, 1, 1]}, 3),
    ("qwen3_next", {"full_attention_interval": 2, "linear_num_key_heads": 16}, 2),
    ("qwen3_next", {"full_attention_interval": 3, "num_hidden_layers": 5}, 1),
    ("bamba", {"attn_layer_indices": [2]}, 1),
    ("lfm2", {"full_attn_idxs": [0, 1, 3]}, 3),
    ("mllama_text_model", {"cross_attention_layers": [3]}, 3),
    ("nemotron_h", {"layers_block_type": ["mamba", "moe", "attention", "mlp"]}, 1),
    ("zamba", {"layers_block_type": ["mamba", "mamba", "mamba", "hybrid"]}, 1),
    ("granitemoehybrid", {"mamba_n_heads": 128, "layer_types": ["attention"] * 4}, 4),
    ("falcon_h1", {"mamba_d_ssm": 1}, 4),
]

UNKNOWN = of_type("new")
# Null is as many as heads, which zamba2's class does not have for all of its layers; it knows no
# groups.
ZAMBA2: Config = {
    "attention_head_dim": 64,
    "layers_block_type": ["hybrid"] * 4,
    "num_key_value_heads": None,
    "num_query_groups": 4,
}
# A config that is read with a warning, which ends so, and the layers that it means, by kind.
WARNED: list[Row] = [
    (
        "an unknown type that says everything",
        UNKNOWN,
        'model_type "new" was not checked: read as 4 full, 8 heads, 2 K/V',
        ALL4,
    ),
    ("no type at all", without("model_type"), "model_type null was not checked", ALL4),
    (
        "with windows that are listed",
        {**UNKNOWN, "sliding_window": 9, "layer_types": SLIDING, "rope_local_base_freq": 10_000},
        "read as 1 full, 8 heads, 2 K/V + 3 windowed, 8 heads, 2 K/V",
        full(1, "8/2 x 64"),
        windowed(3, "8/2 x 64", 9),
    ),
    (
        "with windows by flags",
        {**UNKNOWN, "sliding_window": 9, "hybrid_layer_pattern": [1, 0, 0, 1]},
        "was not checked",
        full(2, "8/2 x 64"),
        windowed(2, "8/2 x 64", 9),
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
        "was not checked",
        full(3, "8/2 x 64"),
        windowed(1, "16/4 x 32", 9),
    ),
    ("latent", {**UNKNOWN, **LATENT}, "was not checked", full(4, "8 x 32/16", latent="32 8")),
    (
        "a window that the class ignores",
        {**BASE, "sliding_window": 9},
        "sliding_window 9: its class ignores it, some engines do not",
        ALL4,
    ),
]

# A config that is refused, and why.
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
    (
        "BERT",
        without("num_key_value_heads", model_type="bert"),
        "no num_key_value_heads or n_kv_heads, and no default",
    ),
    ("ModernBERT", {**BASE, "architectures": ["ModernBertForMaskedLM"]}, "ForMaskedLM: an encoder"),
    ("not causal", {**BASE, "is_causal": False}, "is_causal false, or"),
    ("EmbeddingGemma", {**BASE, "use_bidirectional_attention": True}, "attention true: an encoder"),
    ("T5", {**BASE, "is_encoder_decoder": True}, "is_encoder_decoder true: an encoder-decoder"),
    ("Dream", of_type("Dream"), 'model_type "Dream": a diffusion model, not modelled'),
    # Attentions that the cost model does not have.
    (
        "too few ratios",
        {**BASE, "compress_ratios": [4, 128]},
        "compress_ratios a list: not a ratio",
    ),
    ("DeepSeek-V4.1", {**BASE, "compress_ratios": [1, 2, 4, 4]}, "compress_ratios 1: rows of so"),
    ("all borrowed", {**BASE, "num_kv_shared_layers": 4}, "num_kv_shared_layers 4 of 4 layers"),
    (
        "Mistral Large 4",
        {**BASE, "kv_source_layers": [0, 0]},
        "kv_source_layers a list: layers that",
    ),
    ("GLM-5-Next", {**BASE, "index_kpool": 4}, "index_kpool 4: an indexer of blocks"),
    ("Hymba", of_type("hymba"), '"hymba": a mixer that is not known here'),
    ("MobileLLM", {**BASE, "layer_sharing": True}, "layer_sharing true: layers that share"),
    ("Ouro", {**BASE, "total_ut_steps": 4}, "total_ut_steps 4: layers that run several times"),
    (
        "Phi-3 small",
        {**BASE, "blocksparse_block_size": 64},
        "blocksparse_block_size 64: block-sparse",
    ),
    ("RWKV", of_type("rwkv6"), 'model_type "rwkv6": no attention with a growing KV'),
    ("windows of what length", {**BASE, "layer_types": SLIDING}, "no sliding_window, but"),
    # Schedules and geometries that make no sense.
    (
        "an unknown kind",
        {**BASE, "layer_types": ["delta"] * 4},
        'layer_types: "delta" is not known',
    ),
    (
        "kinds that are objects",
        {**BASE, "layer_types": [{}] * 4},
        "layer_types a list: not a layer",
    ),
    ("no list", {**BASE, "attn_type_list": 7}, "attn_type_list 7: not a layer schedule"),
    ("too short", {**BASE, "layer_types": ["attention"]}, "layer_types has 1 entries for 4 layers"),
    ("no attention", {**BASE, "layer_types": ["mamba"] * 4}, "layer_types has 4 entries for 4"),
    (
        "a negative pattern",
        {**BASE, "sliding_window_pattern": -2},
        "sliding_window_pattern must be a whole number",
    ),
    (
        "true",
        {**BASE, "full_attention_interval": True},
        "full_attention_interval must be a whole number",
    ),
    (
        "heads of too few layers",
        {**BASE, "num_key_value_heads_per_layer": [4]},
        "has only 1 entries",
    ),
    ("a part skipped", {**BASE, "per_layer_config": {"1": {"skip": ["attention"]}}}, "has a skip"),
    ("overrides by name", {**BASE, "per_layer_config": {"full": {}}}, "per_layer_config must hold"),
    (
        "overrides by a long number",
        {**BASE, "per_layer_config": {"9" * 5000: {}}},
        "per_layer_config must hold",
    ),
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
    ("no rank", {**LATENT_BASE, "kv_lora_rank": True}, "kv_lora_rank must be a whole number"),
]

# Types whose attention the cost model does not have, and why.
NOT_MODELLED = {
    "no attention with a growing KV cache": """
        gla hgrn2 linear_attn retnet lightnet rodimus mom samba kda
        delta_net gated_deltanet log_linear_mamba2 rwkv7 mesa_net""",
    "a diffusion model": "LLaDA Dream sdar",
    "block-sparse attention": "nsa",
}
# Silence that no recorded default fills: a type, the key that is left out, others, and the reason.
SILENT: list[tuple[str, str, Config, str]] = [
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
    (
        "inkling_text",
        "",
        {"swa_num_key_value_heads": 2, "swa_head_dim": 64},
        "no swa_num_attention_heads, and",
    ),
    ("jamba", "", {}, "attn_layer_period has 4 entries for 4 layers, or no attention"),
    ("zamba2", "", ZAMBA2, "no num_key_value_heads or n_kv_heads"),
    ("new", "num_hidden_layers", {}, "no num_hidden_layers or n_layer"),
    ("new", "hidden_size", {}, "no hidden_size or n_embd"),
    ("new", "", {"sliding_window": 9}, "no layer_types"),
]
# Keys that may change the attention of a type that was not checked, and how they are quoted.
UNREAD: list[tuple[str, Any, str]] = [
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
]
# Parameters that are easy to add up: embeddings of 100 x 8 in and out, and two layers.
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
EMBEDDINGS = 2 * 100 * 8
ATTENTION = 2 * 8 * (8 + 4 + 4 + 8)
DENSE = 2 * 3 * 8 * 16
PLAIN = EMBEDDINGS + ATTENTION + DENSE
UNGATED = EMBEDDINGS + ATTENTION + 2 * 2 * 8 * 16
FOUR_WIDE = EMBEDDINGS // 2 + ATTENTION + 2 * 2 * 8 * 32  # and a tied embedding
LATENT_KV = 8 * 40 + 32 * 2 * 40 + 2 * 16 * 8
LATENT_PLAIN = EMBEDDINGS + DENSE + 2 * (8 * 64 + LATENT_KV)
LATENT_RANK_5 = EMBEDDINGS + DENSE + 2 * (5 * 8 + 5 * 64 + LATENT_KV)
INDEXER = {"index_n_heads": 3, "index_head_dim": 4, "index_topk": 7}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 4}
EXPERT = 3 * 8 * 4
ROUTER = 4 * 8
# What every token uses beside its expert, where both layers have experts, and where one has.
SPARSE = EMBEDDINGS + ATTENTION + 2 * ROUTER
HALF_SPARSE = EMBEDDINGS + ATTENTION + DENSE // 2 + ROUTER
SECOND_OF_THREE = EMBEDDINGS + 3 * ATTENTION // 2 + DENSE + ROUTER
THIRD_OF_FIVE = EMBEDDINGS + 5 * ATTENTION // 2 + 2 * DENSE + ROUTER
# Keys beside TINY's, and the parameters that they mean, all and active; None: unknown.
COUNTED: list[tuple[str, Config, int | None, int | None]] = [
    ("gated", {}, PLAIN, PLAIN),
    ("tied", {"tie_word_embeddings": True}, PLAIN - 800, PLAIN - 800),
    ("tied by its class", {"model_type": "gemma", "head_dim": 4}, PLAIN - 800, PLAIN - 800),
    ("two matrices", {"hidden_act": "gelu"}, UNGATED, UNGATED),
    (
        "an experts' key without experts",
        {"decoder_sparse_step": "x", "first_k_dense_replace": []},
        PLAIN,
        PLAIN,
    ),
    (
        "four wide, by its class",
        {"model_type": "bloom", "intermediate_size": None, "hidden_act": None},
        FOUR_WIDE,
        FOUR_WIDE,
    ),
    ("latent", {**LATENT, "q_lora_rank": 5}, LATENT_RANK_5, LATENT_RANK_5),
    (
        "an indexer: queries from latents, keys and their norm, a weight a head",
        {**LATENT, "q_lora_rank": 5, "model_type": "deepseek_v32", **INDEXER},
        LATENT_RANK_5 + 2 * (5 * 3 * 4 + 8 * 4 + 2 * 4 + 8 * 3),
        LATENT_RANK_5 + 2 * (5 * 3 * 4 + 8 * 4 + 2 * 4 + 8 * 3),
    ),
    ("latent, queries as they are", LATENT, LATENT_PLAIN, LATENT_PLAIN),
    ("experts everywhere", EXPERTS, SPARSE + 2 * 4 * EXPERT, SPARSE + 2 * EXPERT),
    (
        "two experts",
        {**EXPERTS, "num_experts": 2},
        SPARSE - ROUTER + 2 * 2 * EXPERT,
        SPARSE - ROUTER + 2 * EXPERT,
    ),
    (
        "experts in the second of three layers",
        {**EXPERTS, "num_hidden_layers": 3, "decoder_sparse_step": 2},
        SECOND_OF_THREE + 4 * EXPERT,
        SECOND_OF_THREE + EXPERT,
    ),
    (
        "experts in the third of five layers",
        {**EXPERTS, "num_hidden_layers": 5, "decoder_sparse_step": 3},
        THIRD_OF_FIVE + 4 * EXPERT,
        THIRD_OF_FIVE + EXPERT,
    ),
    (
        "a shared expert",
        {**EXPERTS, "n_shared_experts": 1},
        SPARSE + 2 * 5 * EXPERT,
        SPARSE + 2 * 2 * EXPERT,
    ),
    (
        "a shared part with a width",
        {**EXPERTS, "shared_expert_intermediate_size": 4},
        SPARSE + 2 * 5 * EXPERT,
        SPARSE + 2 * 2 * EXPERT,
    ),
    ("one expert is none", {"num_experts": 1}, PLAIN, PLAIN),
    (
        "every expert active",
        {**EXPERTS, "num_experts_per_tok": 4},
        SPARSE + 2 * 4 * EXPERT,
        SPARSE + 2 * 4 * EXPERT,
    ),
    ("an unknown type", {"model_type": "new"}, None, None),
    ("weights of other kinds", {"hidden_size_per_layer_input": 2}, None, None),
    ("an activation unsaid", {"hidden_act": None}, None, None),
    ("a width unsaid", {"intermediate_size": None}, None, None),
    (
        "a width of experts unsaid",
        {"num_experts": 4, "num_experts_per_tok": 1, "intermediate_size": None},
        None,
        None,
    ),
    ("a width of each layer", {"intermediate_size": [16, 16]}, None, None),
    ("how many experts unsaid", {"num_experts": 4, "moe_intermediate_size": 4}, None, None),
    ("a vocabulary unsaid", {"vocab_size": None}, None, None),
    ("no cache in one layer", {"layer_types": ["mamba", "attention"]}, None, None),
]
LINEAR_FIRST = {"layer_types": ["linear_attention", "full_attention"]}
DELTA_NET = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 1,
    "linear_key_head_dim": 4,
    "linear_value_head_dim": 4,
    "linear_conv_kernel_dim": 3,
}
MAMBA = {"mamba_expand": 2, "mamba_d_state": 3, "mamba_d_conv": 4}
MAMBA_1 = {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 1, "num_experts": 1}
MAMBA_2 = {"attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_n_groups": 1, "mamba_d_head": 4}
KDA = {"num_heads": 2, "head_dim": 3, "short_conv_kernel_size": 4}
COMPRESSED = {
    "compress_ratios": [4, 128],
    "head_dim": 6,
    "qk_rope_head_dim": 2,
    "q_lora_rank": 3,
    "o_lora_rank": 2,
    "o_groups": 2,
    "index_n_heads": 3,
    "index_head_dim": 5,
    "index_topk": 7,
}
ONE_OF_TWO = PLAIN - ATTENTION // 2
ONE_LATENT_OF_TWO = EMBEDDINGS + DENSE + 8 * 64 + LATENT_KV
# Other mixers in TINY, mostly in the first of its layers: the keys that say so, all parameters but
# theirs, and theirs, part by part.
MIXERS: list[tuple[str, Config, int, list[int]]] = [
    (
        "olmo_hybrid: q k v gate, two numbers a head, out; convolution; A and dt, norm",
        {**LINEAR_FIRST, **DELTA_NET},
        ONE_OF_TWO,
        [8 * (4 + 4 + 8 + 8), 8 * (2 + 2), 8 * 8, 3 * 16, 2 + 2, 4],
    ),
    (
        "kimi_linear: q k v out; beta; two gates of rank 3; convolutions; A and dt, norm",
        {**LINEAR_FIRST, **LATENT, "num_experts": 0, "linear_attn_config": KDA},
        ONE_LATENT_OF_TWO,
        [4 * 8 * 6, 8 * 2, 2 * (8 * 3 + 3 * 6), 3 * 4 * 6, 2 + 6, 3],
    ),
    (
        "jamba: in, out; convolution and bias; x, dt and bias; A, D; norms of dt, B and C",
        {**MAMBA, **MAMBA_1},
        ONE_OF_TWO,
        [8 * 32, 16 * 8, 4 * 16 + 16, 16 * 7, 16 + 16, 16 * 3, 16, 1 + 3 + 3],
    ),
    (
        "jamba: as with a rank of 1, which is hidden / 16",
        {**MAMBA, **MAMBA_1, "mamba_dt_rank": "auto"},
        ONE_OF_TWO,
        [679],
    ),
    (
        "bamba: z, x B C and dt; out; convolution and bias; A, D and dt; norm",
        {**MAMBA, **MAMBA_2},
        ONE_OF_TWO,
        [8 * (16 + 16 + 3 + 3 + 4), 16 * 8, 4 * 22 + 22, 3 * 4, 16],
    ),
    (
        "minimax: q k v, gate, out; norm",
        {**LINEAR_FIRST, "num_experts": 0},
        ONE_OF_TWO,
        [3 * 8 * 8, 8 * 8, 8 * 8, 8],
    ),
    (
        "deepseek_v4: in both layers queries by way of 3, K = V, outputs by way of 2 x 2, sinks; "
        "rows of 4 tokens and their places, of the indexer, too, and its queries and weights; "
        "rows of 128",
        COMPRESSED,
        EMBEDDINGS + DENSE,
        [
            *(
                2 * 8 * 3,
                2 * 3,
                2 * 3 * 2 * 6,
                2 * 8 * 6,
                2 * 6,
                2 * 2 * 2 * 6,
                2 * 2 * 2 * 8,
                2 * 2,
            ),
            *(2 * 8 * 12, 4 * 12, 6, 2 * 8 * 10, 4 * 10, 5, 3 * 3 * 5, 8 * 3),
            *(2 * 8 * 6, 128 * 6, 6),
        ],
    ),
    (
        "lfm2: in, out; convolution",
        {"layer_types": ["conv", "full_attention"], "conv_L_cache": 3},
        ONE_OF_TWO,
        [8 * 24, 8 * 8, 3 * 8],
    ),
]
LISTED = {"mlp_layer_types": ["dense", "sparse"]}
# The ways to say that one of two layers has experts; a list decides, whatever other keys say.
ONE_LAYER_OF_EXPERTS: list[Config] = [
    LISTED,
    {"moe_layer_freq": [0, 1]},
    {"first_k_dense_replace": 1},
    {"decoder_sparse_step": 2},
    {"mlp_only_layers": [0]},
    {**LISTED, "first_k_dense_replace": 2},
    {**LISTED, "decoder_sparse_step": 8},
    {**LISTED, "mlp_only_layers": [0, 1]},
    {**LISTED, "moe_layer_freq": [1, 1]},
]


def imported(config: Any) -> ab.Model:
    return ab.published_model(config, "it", "here")


def layers_without_cache(model_type: str, keys: Config) -> Config:
    return {**BASE, "model_type": model_type, "head_dim": 64, **keys}


def wrapped(scope: str) -> Config:
    return {"model_type": "wrapper", "num_hidden_layers": 9, scope: BASE}


def parameters_of(model: ab.Model) -> tuple[float | None, float | None]:
    """All parameters, and those active for one token; None: unknown."""
    if model.params is None:
        return None, None
    return model.params.total, model.params.active


def experts_of(model: ab.Model) -> tuple[int, int] | None:
    """How many experts there are, and how many a token chooses; None: unknown, or none."""
    if "n_expert" not in model.figures:
        return None
    return model.figures["n_expert"], model.figures["n_expert_active"]


class Rules(ScriptTest):
    def test_what_each_rule_reads(self) -> None:
        for name, config, *layers in RULES:
            with self.subTest(name):
                self.assert_layers(imported(config), layers)

    def test_scopes(self) -> None:
        for scope in SCOPES:
            with self.subTest(scope):
                self.assert_layers(imported(wrapped(scope)), [ALL4])

    def test_layers_without_a_cache(self) -> None:
        for model_type, keys, n_layer in WITHOUT_CACHE:
            with self.subTest(model_type, **keys):
                model = imported(layers_without_cache(model_type, keys))
                self.assert_layers(model, [full(n_layer, "8/2 x 64")])

    def assert_layers(self, model: ab.Model, expected: list[Shape]) -> None:
        """That a model has these layers and no others, those of one kind beside each other."""
        shapes = shapes_of(model)
        self.assertEqual(sorted(shapes), sorted(expected))
        self.assertEqual([shape.kind for shape in shapes], sorted(shape.kind for shape in expected))

    def test_what_is_read_with_a_warning(self) -> None:
        for name, config, warning, *layers in WARNED:
            with self.subTest(name):
                model = imported(config)
                self.assertEqual(list(shapes_of(model)), layers)
                self.assertEqual(len(model.notes), 1)
                self.assertIn(warning, model.notes[0])
        self.assertEqual(imported(BASE).notes, ())

    def test_refusals_name_the_key_and_the_reason(self) -> None:
        for name, config, expected in REFUSED:
            with self.subTest(name):
                self.assert_refused(config, expected)

    def test_types_that_are_not_modelled(self) -> None:
        for reason, model_types in NOT_MODELLED.items():
            for model_type in model_types.split():
                with self.subTest(model_type):
                    expected = f'model_type "{model_type}": {reason}, not modelled'
                    self.assert_refused(of_type(model_type), expected)

    def test_silence_that_nothing_fills(self) -> None:
        for model_type, key, others, expected in SILENT:
            with self.subTest(model_type, without=key, **others):
                config = without(key, model_type=model_type, **others)
                self.assert_refused(config, expected)

    def test_keys_of_unknown_types(self) -> None:
        for key, value, quoted in UNREAD:
            with self.subTest(key):
                self.assert_refused({**UNKNOWN, key: value}, f"{key} {quoted} may change its")

    def test_values_that_say_nothing(self) -> None:
        values: list[Any] = [None, False, True, 0, 1, -1, [], {}]
        for value in values:
            with self.subTest(value=value):
                model = imported({**UNKNOWN, "tpa_rank": value})
                self.assert_layers(model, [full(4, "8/2 x 64")])

    def assert_refused(self, config: Any, expected: str) -> None:
        error = self.refusal("--model", self.written(json.dumps(config)))
        self.assertIn("error: --model ", error)
        self.assertIn(expected, error)

    def test_parameters(self) -> None:
        for name, keys, total, active in COUNTED:
            with self.subTest(name):
                config = {**TINY, **keys}
                given = {key: value for key, value in config.items() if value is not None}
                model = imported(given)
                self.assertEqual(parameters_of(model), (total, active))
                self.assertEqual(model.figures["hidden_size"], 8)

    def test_parameters_of_mixers(self) -> None:
        for name, keys, others, mixer in MIXERS:
            with self.subTest(name):
                model = imported({**TINY, **keys, "model_type": name.split(":")[0]})
                self.assertEqual(parameters_of(model)[0], others + sum(mixer))

    def test_parameters_with_one_layer_of_experts(self) -> None:
        for keys in ONE_LAYER_OF_EXPERTS:
            with self.subTest(**keys):
                model = imported({**TINY, **EXPERTS, **keys})
                expected = (HALF_SPARSE + 4 * EXPERT, HALF_SPARSE + EXPERT)
                self.assertEqual(parameters_of(model), expected)
                self.assertEqual(model.figures["hidden_size"], 8)

    def test_experts(self) -> None:
        mixture: Config = {**TINY, **EXPERTS}
        model = imported(mixture)
        assert model.params
        self.assertEqual((experts_of(model), model.params.active_part), ((4, 1), 1 / 4))
        self.assertEqual(experts_of(imported({**mixture, "num_experts": 2})), (2, 1))
        self.assertIsNone(experts_of(imported({**mixture, "num_experts": 1})))
        self.assertIsNone(experts_of(imported(TINY)))
        self.assertIsNone(experts_of(imported({**TINY, "num_experts": 4})))
        too_many = {**TINY, "num_experts": 4, "num_experts_per_tok": 9}
        self.assertIsNone(experts_of(imported(too_many)))
        strange = imported({**TINY, "num_experts": [4, 4]})
        self.assertEqual((strange.params, experts_of(strange)), (None, None))
        self.assertEqual(strange.figures["hidden_size"], 8)

    def test_a_wrapper_says_whether_the_embedding_is_tied(self) -> None:
        text_config = {**TINY, "tie_word_embeddings": False}
        model = imported({"tie_word_embeddings": True, "text_config": text_config})
        self.assertEqual(model.params, ab.Parameters(PLAIN - 800, PLAIN - 800))

    def test_anything_is_a_model_or_a_refusal(self) -> None:
        """No value under any key ends in another error, or in a shape without a size."""
        draw = random.Random(4)
        configs: list[Config] = [config for _, config, *_ in RULES]
        configs += [wrapped(scope) for scope in SCOPES]
        configs += [layers_without_cache(kind, keys) for kind, keys, _ in WITHOUT_CACHE]
        keys = sorted({key for config in configs for key in config})
        keys += keys_read_of_configs()
        values: list[Any] = [None, 0, 1, -1, 3, True, False, "", "x", "LG", 1.5, 10**30, [], {}]
        values += [[1], [None], [[]], ["full_attention"] * 9, [[["global"], 10**12]], {"a": 1}]
        values += [{"full_attn_layers": [1]}, [{"attention": {"n_heads_in_group": 3}}] * 9]
        values += [{"1": {"head_dim": 3}}, {"1": 5}, [[[], 10**12]], {"attention": None}]
        for _ in range(2500):
            config = dict(draw.choice(configs))
            for key in draw.sample(keys, draw.randint(1, 3)):
                config[key] = draw.choice(values)
            try:
                model = imported(config)
            except ab.InputError:
                continue
            for shape in shapes_of(model):
                counts = (shape.n_layer, shape.n_head, shape.n_kv_head, shape.dim_qk, shape.dim_v)
                self.assertGreater(min(counts), 0, config)

    def test_huge_lists_and_counts_end_soon(self) -> None:
        attention_types = [[["global", "local"], 10**12]] * 10_000
        huge = of_type("gpt_neo", attention_types=attention_types, window_size=9)
        model = imported({**huge, "num_hidden_layers": 10_000})
        self.assertEqual([shape.n_layer for shape in shapes_of(model)], [5000, 5000])
        offset = of_type("jamba", attn_layer_period=1, attn_layer_offset=10**30)
        with self.assertRaises(ab.InputError):
            imported(offset)


SILENT_CLASS = {"vocab_size": 9}
EIGHT_LAYERS = {
    "vocab_size": 9,
    "num_hidden_layers": 8,
    "hidden_size": 2048,
    "num_attention_heads": 32,
}
WINDOW_64 = {**EIGHT_LAYERS, "sliding_window": 64}
# Types, a config that is silent, and the layers that their class makes of it.
CLASSES: list[Row] = [
    ("llama qwen2", SILENT_CLASS, full(32, "32 x 128")),
    ("mistral", SILENT_CLASS, windowed(32, "32/8 x 128", 4096)),
    ("gemma3_text", SILENT_CLASS, full(4, "8/4 x 256"), windowed(22, "8/4 x 256", 4096)),
    ("gemma2", EIGHT_LAYERS, full(4, "32/4 x 256"), windowed(4, "32/4 x 256", 4096)),
    ("gpt_oss", WINDOW_64, full(4, "32/8 x 64"), windowed(4, "32/8 x 64", 64)),
    ("vaultgemma", WINDOW_64, full(4, "32/4 x 256"), windowed(4, "32/4 x 256", 64)),
    ("cohere2", EIGHT_LAYERS, full(2, "32 x 64"), windowed(6, "32 x 64", 4096)),
    ("llama4_text", WINDOW_64, full(2, "32/8 x 128"), windowed(6, "32/8 x 128", 64)),
    (
        "exaone4 olmo3",
        {**EIGHT_LAYERS, "sliding_window": 2047},
        full(2, "32 x 64"),
        windowed(6, "32 x 64", 2047),
    ),
    ("exaone4 exaone_moe olmo3", {**EIGHT_LAYERS, "sliding_window": 2048}, full(8, "32 x 64")),
    ("ministral", EIGHT_LAYERS, windowed(8, "32/8 x 64", 4096)),
    ("falcon RefinedWeb gpt_bigcode", EIGHT_LAYERS, full(8, "32/1 x 64")),
    ("qwen2 smollm3", {**WINDOW_64, "num_key_value_heads": 4}, full(8, "32/4 x 64")),
    ("jamba", {**EIGHT_LAYERS, "num_hidden_layers": 12}, full(1, "32/8 x 64")),
    # The 5th and the 13th.
    ("jamba", {**EIGHT_LAYERS, "num_hidden_layers": 13}, full(2, "32/8 x 64")),
]


class Classes(ScriptTest):
    """What transformers 5.23 builds of the same configs (../shared/hf_classes), or what the code of
    a type does.
    """

    def test_entries_are_those_that_were_checked(self) -> None:
        for table in ("TYPE_ENTRIES", "DEFAULT_ROWS"):
            with self.subTest(table):
                self.assert_checked(table)

    def test_what_classes_take_where_a_file_is_silent(self) -> None:
        for model_types, config, *layers in CLASSES:
            for model_type in model_types.split():
                with self.subTest(model_type, **config):
                    model = imported({"model_type": model_type, **config})
                    self.assertEqual(list(shapes_of(model)), layers)


class Files(ScriptTest):
    def test_what_a_file_calls_itself_is_quoted(self) -> None:
        """On one line of ASCII, and nowhere else."""
        path = self.written(json.dumps({**BASE, "model_type": "strange\n\u202e<b>"}), "S.json")
        result = run("--gpu", "h100-sxm", "--model", path, "--format", "json")
        self.assertIn('model_type "strange\\n\\u202e<b>" was not checked', result.err)
        self.assertEqual(
            (result.code, result.err.count("\n"), result.out.count("strange")), (0, 1, 0)
        )

    def test_warnings_are_one_line_each(self) -> None:
        path = self.written(
            json.dumps({**BASE, "sliding_window": 9, "sparse_config": [1]}), "S.json"
        )
        warnings = [
            "attn_bottleneck.py: warning: S: sparse_config, sparse attention, is counted as dense",
            "attn_bottleneck.py: warning: S: sliding_window 9: its class ignores it, some engines"
            " do not",
        ]
        self.assertEqual(run("--model", path).err.splitlines(), warnings)
        self.assertEqual(
            run("--model", path, "--seq", "9,10,11").err.splitlines(), warnings
        )  # once

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
                case = json.loads(self.answer("--model", str(path), "--format", "json"))
                self.assertEqual(case["model"], name)
                self.assertEqual(case["inputs"]["model"]["from"], str(source))

    def test_what_a_class_takes_where_a_file_is_silent(self) -> None:
        """The sizes of LlamaConfig and Gemma3TextConfig in transformers."""
        for model_type, hidden_size, expected in (
            ("llama", 4096, {(32, 32, None)}),
            ("gemma3_text", 2304, {(4, 8, None), (22, 8, 4096)}),
        ):
            path = self.written(json.dumps({"model_type": model_type}))
            case = json.loads(self.answer("--model", path, "--gpu", "b200", "--format", "json"))
            shapes = set()
            for layer in case["layers"]:
                shapes.add((layer["n_layer"], layer["n_head"], layer["window_keys"]))
            with self.subTest(model_type):
                self.assertEqual(case["inputs"]["model"]["hidden_size"], hidden_size)
                self.assertEqual(shapes, expected)

    def test_two_geometries_are_both_named(self) -> None:
        config = next(config for name, config, *_ in RULES if name == "Gemma 4")
        summary = self.answer("--model", self.written(json.dumps(config)), "--format", "summary")
        self.assertIn("\n           1 full layer: 8 heads, 1 K/V, width 64\n", summary)
        self.assertIn(
            "\n           3 windowed layers: 8 heads, 2 K/V, width 32, window 9\n", summary
        )
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


CLASSES_FOLDER = SHARED / "hf_classes"
CONFIGS_FOLDER = SHARED / "hf_configs"


def records(name: str) -> Iterator[Config]:
    """The records of one of the shared files."""
    with (CLASSES_FOLDER / f"{name}.jsonl").open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def built_layers(record: Config) -> Counter[Shape]:
    """The layers that transformers built, a window without effect left out."""
    counts: Counter[Shape] = Counter()
    for layers in record["layers"]:
        window = layers["window"]
        if record["longest"] and window >= record["longest"]:
            window = 0
        shape = Shape(
            kind="windowed" if window else "full",
            n_layer=1,
            n_head=layers["n_head"],
            n_kv_head=layers.get("n_kv_head", layers["n_head"]),
            dim_qk=layers["dim_qk"],
            dim_v=layers["dim_v"],
            window=window,
            kv_lora_rank=layers.get("kv_lora_rank", 0),
            qk_rope_head_dim=layers.get("qk_rope_head_dim", 0),
        )
        counts[shape] += layers["n_layer"]
    return counts


def model_or_refusal(config: Any) -> ab.Model | None:
    """The model of a published config; None if it is refused."""
    try:
        return imported(config)
    except ab.InputError:
        return None


class Shared(ScriptTest):
    """All that transformers builds, where its record is beside the checkout: never wrong."""

    @needs_shared("hf_classes")
    def test_classes_and_keys_left_out(self) -> None:
        for name, least in (("classes", 390), ("left_out", 20)):
            right = 0
            for record in records(name):
                model = model_or_refusal(record["config"])
                if model is None:
                    continue
                shapes = {shape._replace(n_layer=1): shape.n_layer for shape in shapes_of(model)}
                with self.subTest(record["case"]):
                    self.assertEqual(Counter(shapes), built_layers(record))
                    right += 1
            self.assertGreaterEqual(right, least, name)

    @needs_shared("hf_classes")
    def test_parameters_of_classes(self) -> None:
        """At most 3 % off."""
        configs = {record["case"]: record["config"] for record in records("classes")}
        right = 0
        for record in records("parameters"):
            case = record["case"]
            if not case.endswith(".json"):
                read = self.has_right_parameters(configs[case], record)
                if read and case.endswith(".full"):
                    right += 1
        self.assertGreaterEqual(right, 135)

    @needs_shared("hf_classes")
    def test_parameters_of_published_models(self) -> None:
        """At most 3 % off, where their configs are here too."""
        if not CONFIGS_FOLDER.is_dir():
            self.skipTest("../shared/hf_configs is not here")
        right = 0
        for record in records("parameters"):
            path = CONFIGS_FOLDER / record["case"]
            if path.suffix == ".json":
                right += self.has_right_parameters(ab.read_json(str(path)), record)
        self.assertGreaterEqual(right, 50)

    def has_right_parameters(self, config: Config, record: Config) -> bool:
        """Whether a config says its parameters; they must be what transformers counts."""
        model = model_or_refusal(config)
        if model is None or model.params is None:
            return False
        with self.subTest(record["case"]):
            self.assertAlmostEqual(model.params.total / record["total"], 1, delta=0.03)
            self.assertAlmostEqual(model.params.active / record["active"], 1, delta=0.03)
        return True

    @needs_shared("hf_configs")
    def test_corpus_is_right_or_refused(self) -> None:
        right = 0
        for row in read_csv(CONFIGS_FOLDER / "manifest.csv"):
            with self.subTest(row["file"]):
                try:
                    model = ab.find_model(str(CONFIGS_FOLDER / row["file"]))
                except ab.InputError as error:
                    self.assertEqual(row["status"], "partial", str(error))
                    continue
                right += 1
                numbers = {}
                for column, cell in row.items():
                    if re.fullmatch(r"\d+(\.\d*)?", cell):
                        numbers[column] = int(float(cell))
                self.assert_model(model, numbers)
        self.assertGreaterEqual(right, 70)

    def assert_model(self, model: ab.Model, numbers: dict[str, int]) -> None:
        """That a model is what its row of the manifest says."""
        self.assertEqual(model.n_layer, numbers["n_layer"])
        if model.layers[0].mixer.kind == "compressed":
            return  # test_mixers.py has what is kept of its rows
        if "hidden_size" in numbers:
            self.assertEqual(model.figures.get("hidden_size"), numbers["hidden_size"])
        layers = Counter({"full": 0, "windowed": 0})
        for shape in shapes_of(model):
            layers[shape.kind] += shape.n_layer
            self.assert_shape(shape, numbers)
        self.assertEqual(layers["full"], numbers["n_kv_layers_full"])
        self.assertEqual(layers["windowed"], numbers["n_kv_layers_sliding"])
        cached = 2 * cached_elements(model)
        self.assertEqual(cached, numbers["kv_bytes_per_token_all_layers"])

    def assert_shape(self, shape: Shape, numbers: dict[str, int]) -> None:
        """That layers of one kind are what the row says: of windowed ones apart, if it does."""
        prefix = ""
        window = 0
        if shape.kind == "windowed":
            window = numbers["window"]
            if "sliding_n_head" in numbers:
                prefix = "sliding_"
        self.assertEqual(shape.n_head, numbers[f"{prefix}n_head"])
        self.assertEqual(shape.n_kv_head, numbers[f"{prefix}n_kv_head"])
        self.assertEqual(shape.dim_qk, numbers[f"{prefix}head_dim_qk"])
        self.assertEqual(shape.dim_v, numbers[f"{prefix}head_dim_v"])
        self.assertEqual(shape.kv_lora_rank, numbers.get("kv_lora_rank", 0))
        self.assertEqual(shape.qk_rope_head_dim, numbers.get("qk_rope_head_dim", 0))
        self.assertEqual(shape.window, window)
