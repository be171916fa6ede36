#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# dependencies = []
# ///
"""What limits attention on this GPU: compute, memory bandwidth or synchronisation?

From a GPU's and a model's figures this computes, for one attention layer, the
work of its two matrix products, the bytes they read, the bytes that several
GPUs must exchange, and how long each of these takes at the datasheet's rates.

    python3 attn_bottleneck.py --ngpu 10

Symbols

    L  layers              B  batch (sequences)      P  peak, FLOP/s
    H  query heads         S  keys attended to       W  memory bandwidth, bytes/s
    K  key/value heads     Q  new tokens per         N  link bandwidth, bytes/s,
    d  width of a head        sequence                  both directions together
    e  bytes per element   n  GPUs

Formulas, one layer (rows = S - 1 in generation: the new row is still on chip)

    FLOPs of S = Q K^T     B H Q S (2d - 1)          time: FLOPs / P / n
    FLOPs of A = S V       B H Q d (2S - 1)
    K (or V) read          B K d rows e              time: bytes / W / n
    S synchronised         B H Q S e                 time: bytes / N, if n > 1
    A synchronised         B H Q d e
    KV cache               2 L B K d rows e

Assumptions: peaks are dense; each of the n GPUs holds 1/n of the keys; one
multiply-add is two FLOPs; GB = 1e9 bytes. Counts are exact integers.

Exit codes: 0 answered, 1 standard output cannot be written, 2 bad usage or a bad
config (one line on standard error says which key or flag, and what is allowed).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

__version__ = "1.0"

PROGRAM = "attn_bottleneck.py"

# ---------------------------------------------------------------- units and precisions

PRECISION_BITS = {"fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "fp4": 4}

# One precision down: the first of these that a GPU has. Half the cache: the first half as wide.
LOWER_PRECISIONS = {
    "fp32": ("tf32", "fp16", "bf16"),
    "tf32": ("fp16", "bf16"),
    "fp16": ("fp8", "int8"),
    "bf16": ("fp8", "int8"),
    "fp8": ("fp4",),
    "int8": ("fp4",),
    "fp4": (),
}

BYTE_UNITS = {"GB": 10**9, "MB": 10**6, "KB": 10**3}

SPLITS = {"seq": "keys split", "head": "heads split"}
LINKS = {"pcie": "PCIe", "nvlink": "NVLink"}

# Ranges of what is accepted. Their products stay far below the largest float (1.8e308), so that
# no time or bandwidth derived from them can overflow, and no rate is zero.
MAX_COUNT = 10**18
MIN_FIGURE, MAX_FIGURE = 1e-9, 1e15


def stored_bytes(elements: int, precision: str) -> int:
    """Bytes that `elements` take in `precision`; half a byte left over counts as one."""
    return -(-elements * PRECISION_BITS[precision] // 8)


# --------------------------------------------------------------------- hardware and models


class GPU(NamedTuple):
    """One accelerator, in base units."""

    name: str
    peaks: Mapping[str, float]  # precision -> dense peak, FLOP/s
    memory: float  # bytes
    bandwidth: float  # bytes/s
    links: Mapping[str, float]  # link -> bytes/s, both directions together
    constants: Mapping[str, float]  # what real kernels reach, by the config's key
    source: str  # where these figures come from


class Layers(NamedTuple):
    """Layers of one kind: how many there are, and the shape of their attention."""

    kind: str  # "full" or "windowed"
    n_layer: int
    n_head: int
    n_kv_head: int
    dim_qk: int  # width of a query or key head
    dim_v: int  # width of a value head
    window: int = 0  # keys that a row attends to at most; 0: all of them
    kv_lora_rank: int = 0  # latent attention: width of the shared latent; 0: not latent
    qk_rope_head_dim: int = 0  # latent attention: width of the rotary part beside it

    @property
    def row_elements(self) -> int:
        """Elements that one token adds to the KV cache of one of these layers."""
        if self.kv_lora_rank:
            return self.kv_lora_rank + self.qk_rope_head_dim
        return self.n_kv_head * (self.dim_qk + self.dim_v)


class Model(NamedTuple):
    """The attention of a transformer, and how many parameters it has."""

    name: str
    n_layer: int  # all layers, those without a growing KV cache included
    layers: tuple[Layers, ...]  # those with attention, by kind
    params: float | None  # None: unknown
    active_params: float | None  # used by one token
    given: frozenset[str]  # keys that were given; the others have their defaults
    source: str

    def inputs(self) -> dict[str, Any]:
        """The config keys that describe this model, defaults included, in base units."""
        first = self.layers[0]
        windowed = [each for each in self.layers if each.window]
        latent = {}
        if first.kv_lora_rank:
            latent = {
                "kv_lora_rank": first.kv_lora_rank,
                "qk_rope_head_dim": first.qk_rope_head_dim,
                "qk_nope_head_dim": first.dim_qk - first.qk_rope_head_dim,
            }
        return {
            "n_layer": self.n_layer,
            "n_head": first.n_head,
            "n_kv_head": first.n_kv_head,
            "dim_head": first.dim_qk,
            "v_head_dim": first.dim_v,
            **latent,
            "window": windowed[0].window if windowed else None,
            "n_layer_window": sum(each.n_layer for each in windowed),
            "n_layer_no_cache": self.n_layer - sum(each.n_layer for each in self.layers),
            "params": self.params,
            "active_params": self.active_params,
        }


class Workload(NamedTuple):
    """What is asked of the GPUs: one step over `batch` sequences."""

    ngpu: int
    batch: int
    seq: int  # keys attended to, the new tokens' included
    query: int  # new tokens per sequence
    phase: str  # "decode" (one new row, still on chip), "prefill" (all rows new) or "extend"
    dtype: str
    kv_dtype: str | None = None  # None: as dtype
    fused: bool = False
    split: str = "seq"
    link: str = "pcie"

    @property
    def cache_dtype(self) -> str:
        return self.kv_dtype or self.dtype


# The user's own figures; config.json holds the same, and a test keeps the two equal.
DEFAULT_CONFIG: dict[str, dict[str, Any]] = {
    "GPU": {
        "model": "A100",
        "fp16": 312,
        "fp32": 19.5,
        "memory": 80,
        "bandwidth": 1935,
        "pcie": 64,
    },
    "Model": {"n_layer": 96, "n_head": 96, "dim_head": 128},
}


# ---------------------------------------------------------------------------------- reading


class InputError(Exception):
    """What the user gave cannot be used; the message says what, why and what is allowed."""


def shown(value: object) -> str:
    """`value` as an error message quotes it: JSON's spelling, ASCII, on one line, not endless."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:36]}... ({len(text)} characters)"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name nearest to a misspelt one, or nothing."""
    import difflib  # noqa: PLC0415  # only a misspelt name needs it

    lower = {each.lower(): each for each in known}
    nearest = difflib.get_close_matches(name.lower(), lower, n=1)
    return f" (did you mean {lower[nearest[0]]}?)" if nearest else ""


def check_text(value: object) -> str:
    if isinstance(value, str) and value and value.isascii() and value.isprintable():
        return value
    raise InputError(f"must be a name in printable ASCII, not {shown(value)}")


def check_count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_COUNT:
        return value
    raise InputError(f"must be a whole number from 1 to 10^18, not {shown(value)}")


def check_figure(value: object) -> float:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    figure = float(value) if numeric else 0.0  # type: ignore[arg-type]
    if MIN_FIGURE <= figure <= MAX_FIGURE:
        return figure
    raise InputError(f"must be a number from 1e-9 to 1e15, not {shown(value)}")


def check_share(value: object) -> float:
    figure = check_figure(value)
    if figure > 1:
        raise InputError(f"must be a number above 0 and at most 1, not {shown(value)}")
    return figure


def check_count_or_none(value: object) -> int:
    return 0 if value == 0 and type(value) is int else check_count(value)


class Key(NamedTuple):
    """How a config key is checked, and what one of its unit is in base units."""

    check: Callable[[object], Any]
    required: bool = False
    scale: float = 1


# What real kernels reach of the figures above: optional, and together the GPU's constants.
GPU_CONSTANTS = {
    "launch_us": Key(check_figure, scale=1e-6),
    "compute_efficiency": Key(check_share),
    "bandwidth_efficiency": Key(check_share),
    "link_latency_us": Key(check_figure, scale=1e-6),
    "link_efficiency": Key(check_share),
}

CONFIG_KEYS = {
    "GPU": {
        "model": Key(check_text, required=True),
        **{name: Key(check_figure, name in ("fp16", "fp32"), 1e12) for name in PRECISION_BITS},
        "memory": Key(check_figure, required=True, scale=1e9),
        "bandwidth": Key(check_figure, required=True, scale=1e9),
        "pcie": Key(check_figure, required=True, scale=1e9),
        "nvlink": Key(check_figure, scale=1e9),
        **GPU_CONSTANTS,
    },
    "Model": {
        "n_layer": Key(check_count, required=True),
        "n_head": Key(check_count, required=True),
        "n_kv_head": Key(check_count),
        "dim_head": Key(check_count),
        "v_head_dim": Key(check_count),
        "kv_lora_rank": Key(check_count),
        "qk_rope_head_dim": Key(check_count),
        "qk_nope_head_dim": Key(check_count),
        "window": Key(check_count),
        "n_layer_window": Key(check_count_or_none),
        "n_layer_no_cache": Key(check_count_or_none),
        "params_b": Key(check_figure, scale=1e9),
        "active_params_b": Key(check_figure, scale=1e9),
    },
}


def known_keys(found: object, known: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`found` itself, if it is an object with none but known keys."""
    if not isinstance(found, dict):
        raise InputError(f"{where} must be an object {{...}}, not {shown(found)}")
    for name in found:
        if name not in known:
            hint = did_you_mean(name, known) or f" (known: {', '.join(known)})"
            raise InputError(f"{where} has an unknown key {shown(name)}{hint}")
    return found


def read_section(config: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The checked values of one section of a config, in base units."""
    keys = CONFIG_KEYS[section]
    found = known_keys(config.get(section, {}), keys, section)
    values = {}
    for name, key in keys.items():
        try:
            if name in found:
                value = key.check(found[name])
                values[name] = value if key.scale == 1 else value * key.scale
            elif key.required:
                raise InputError("is missing")
        except InputError as error:
            raise InputError(f"{section}.{name} {error}") from None
    return values


def read_gpu(config: Mapping[str, Any], source: str) -> GPU:
    values = read_section(config, "GPU")
    return GPU(
        name=values["model"],
        peaks={name: values[name] for name in PRECISION_BITS if name in values},
        memory=values["memory"],
        bandwidth=values["bandwidth"],
        links={name: values[name] for name in LINKS if name in values},
        constants={name: values[name] for name in GPU_CONSTANTS if name in values},
        source=source,
    )


LATENT_KEYS = ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")


def read_model(config: Mapping[str, Any], source: str) -> Model:
    values = read_section(config, "Model")
    need = LATENT_KEYS if "kv_lora_rank" in values else ("dim_head",)
    if "kv_lora_rank" in values:
        both = values.keys() & {"dim_head", "n_kv_head"}
        if both:
            raise InputError(f"Model.{min(both)} has no meaning beside kv_lora_rank")
        values["dim_head"] = values.get("qk_nope_head_dim", 0) + values.get("qk_rope_head_dim", 0)
    for name in need:
        if name not in values:
            raise InputError(f"Model.{name} is missing")
    n_layer, n_head = values["n_layer"], values["n_head"]
    n_kv_head = values.get("n_kv_head", n_head)
    if n_head % n_kv_head:
        raise InputError(f"Model.n_kv_head must divide n_head {n_head}, not {n_kv_head}")
    attending = n_layer - values.get("n_layer_no_cache", 0)
    windowed = values.get("n_layer_window", attending if "window" in values else 0)
    if windowed and "window" not in values:
        raise InputError("Model.window is missing: n_layer_window needs it")
    if attending < max(windowed, 1):
        raise InputError(
            f"Model.n_layer must be more than n_layer_no_cache and hold n_layer_window: {n_layer}"
        )
    params, active = values.get("params_b"), values.get("active_params_b")
    if active is not None and (params is None or active > params):
        raise InputError("Model.active_params_b must be at most params_b, and stand beside it")
    full = Layers(
        kind="full",
        n_layer=attending - windowed,
        n_head=n_head,
        n_kv_head=n_kv_head,
        dim_qk=values["dim_head"],
        dim_v=values.get("v_head_dim", values["dim_head"]),
        kv_lora_rank=values.get("kv_lora_rank", 0),
        qk_rope_head_dim=values.get("qk_rope_head_dim", 0),
    )
    window = full._replace(kind="windowed", n_layer=windowed, window=values.get("window", 0))
    layers = tuple(each for each in (full, window) if each.n_layer)
    return Model(
        "",
        n_layer,
        layers,
        params,
        params if active is None else active,
        frozenset(name.replace("_b", "") for name in values),
        source,
    )


Value = TypeVar("Value")

MAX_JSON_BYTES = 16 * 2**20


def read_json(path: str) -> tuple[Any, str]:
    """The JSON document in a file (or on standard input, `-`) and what errors call it.

    Stricter than the json module: a key given twice, NaN and Infinity are errors.
    """
    source = "standard input" if path == "-" else ascii(path)[1:-1]

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{source}: key {shown(twice)} is given twice")
        return found

    def not_json(constant: str) -> NoReturn:
        raise InputError(f"{source}: {constant} is not a JSON number")

    def whole(digits: str) -> int:
        if len(digits) > 40:  # int() itself refuses thousands of digits, with words of its own
            raise InputError(f"{source}: a number of {len(digits)} digits is too large")
        return int(digits)

    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            data = file.read(MAX_JSON_BYTES + 1)
        if len(data) > MAX_JSON_BYTES:
            raise InputError(f"{source}: is larger than {MAX_JSON_BYTES >> 20} MiB")
        document = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=unique,
            parse_constant=not_json,
            parse_int=whole,
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: {json_trouble(error)}") from None
    except RecursionError:
        raise InputError(f"{source}: is nested too deeply") from None
    return document, source


def json_trouble(error: OSError | ValueError) -> str:
    """What kept a file from being read as JSON, in words."""
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 text (byte {error.start})"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    return str(error)  # a path that no file can have: a NUL byte in it


def read_config(path: str | None) -> tuple[GPU, Model]:
    """The hardware and the model of a config file; without one, of the script's own."""
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "config.json")
    if path is None and not os.path.lexists(beside):
        config, source = DEFAULT_CONFIG, "built-in config"
    else:
        config, source = read_json(beside if path is None else path)
        source = source if path else "config.json"
    try:
        known_keys(config, CONFIG_KEYS, "it")
        return read_gpu(config, source), read_model(config, source)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


# ------------------------------------------------------------------------------- cost model

TERMS = ("compute", "memory", "sync", "overhead")


class Terms(NamedTuple):
    """Seconds by what they are spent on. Computing and reading overlap, so that the total is
    max(compute, memory) + sync + overhead of each kernel, summed over the kernels.
    """

    compute_s: float
    memory_s: float
    sync_s: float
    overhead_s: float
    total_s: float

    @property
    def limit(self) -> str:
        """The name of the largest term: the verdict."""
        return TERMS[self.index(max(self[:4]))]


class Cost(NamedTuple):
    """What a kernel, a layer or all layers cost."""

    name: str
    flops: int
    kv_bytes: int  # read from the KV cache
    bytes: int  # all traffic with the memory
    sync_bytes: int  # exchanged between the GPUs
    gpu_flops: float  # the busiest GPU's part
    gpu_bytes: float
    bound: Terms  # at the datasheet's rates: no kernel is faster
    estimate: Terms | None  # at the rates that kernels reach, where the GPU's constants say so

    @property
    def terms(self) -> Terms:
        return self.estimate or self.bound

    @property
    def intensity(self) -> float:
        """Arithmetic intensity, FLOP/byte."""
        return self.gpu_flops / self.gpu_bytes


class Rates(NamedTuple):
    """What times are computed with."""

    compute: float  # FLOP/s
    memory: float  # bytes/s
    link: float  # bytes/s
    launch_s: float  # per kernel
    link_latency_s: float  # per exchange


class Operands(NamedTuple):
    """What the products S = Q K^T and A = S V of one layer work on, over all GPUs."""

    latent_form: str | None  # "absorbed" or "plain"; None: not latent attention
    n_kv_head: int
    dim_qk: int
    dim_v: int
    keys: int  # that the new tokens of a sequence can see: S, or fewer in a window
    read_rows: int  # of K and V per head
    pairs: int  # query-key pairs per head
    scores_flops: int
    values_flops: int
    q_bytes: int
    k_bytes: int
    v_bytes: int
    s_bytes: int
    a_bytes: int
    scores_sync_bytes: int
    values_sync_bytes: int


class Layer(NamedTuple):
    """One layer of a kind."""

    layers: Layers
    operands: Operands
    kernels: tuple[Cost, ...]
    whole: Cost


class Memory(NamedTuple):
    """The KV cache, and whether it fits."""

    bytes_per_token: float  # of every layer, while no window is full
    bytes_per_token_beyond_windows: float  # of the layers without a window
    cache_bytes: int
    gpu_cache_bytes: float
    gpu_weight_bytes: float | None  # None: parameter count unknown, and counted as 0
    fits: bool
    max_batch: int | None  # None: no limit
    max_seq: int | None


class Throughput(NamedTuple):
    """Attention of all layers in one step, and the rest of the step where it is known."""

    new_tokens: int
    tokens_per_s: float | None  # ceiling, from attention alone; None: does not fit
    rest_s: float | None  # every other layer of the model; None: parameter count unknown
    attention_share: float | None
    half_seq: int | None  # where attention reaches half of the step; None: unknown, or never


class Analysis(NamedTuple):
    """A case and what it costs; every view prints from this alone."""

    gpu: GPU
    model: Model
    work: Workload
    given: frozenset[str]  # flags that were given
    ridge: float  # FLOP/byte
    layers: tuple[Layer, ...]
    whole: Cost
    memory: Memory
    throughput: Throughput


def rates(gpu: GPU, work: Workload, reached: Mapping[str, float]) -> Rates:
    """The datasheet's rates, cut to what `reached` says that kernels reach of them."""
    link = gpu.links[work.link] if work.ngpu > 1 else MAX_FIGURE
    return Rates(
        compute=gpu.peaks[work.dtype] * reached.get("compute_efficiency", 1),
        memory=gpu.bandwidth * reached.get("bandwidth_efficiency", 1),
        # A ring sends to one neighbour and receives from the other: half of both directions.
        link=link * reached.get("link_efficiency", 1) / (2 if work.split == "head" else 1),
        launch_s=reached.get("launch_us", 0),
        link_latency_s=reached.get("link_latency_us", 0),
    )


def latent_form(layers: Layers, work: Workload) -> str | None:
    """How latent attention computes: prefill up-projects the latents to plain K and V heads,
    decode absorbs the projections and reads the latents; in between, whichever needs fewer FLOPs
    per key and head: absorbed Q (2 rank + rope), plain Q (nope + rope + v) + rank (nope + v).
    """
    if not layers.kv_lora_rank:
        return None
    if work.phase != "extend":
        return "plain" if work.phase == "prefill" else "absorbed"
    rank, rope = layers.kv_lora_rank, layers.qk_rope_head_dim
    up_projection = rank * (layers.dim_qk - rope + layers.dim_v)
    plain = work.query * (layers.dim_qk + layers.dim_v) + up_projection
    return "plain" if plain < work.query * (2 * rank + rope) else "absorbed"


def causal_pairs(seq: int, query: int, window: int) -> int:
    """Query-key pairs of the last `query` of `seq` tokens: sum of min(row's keys, window)."""
    context = seq - query
    growing = query if not window else min(query, max(0, window - context))
    return growing * context + growing * (growing + 1) // 2 + (query - growing) * window


def operands(layers: Layers, work: Workload) -> Operands:
    """The shapes, FLOPs and bytes of one layer (DESIGN's table; README, "The cost model")."""
    _, batch, seq, query, phase, dtype, *_ = work
    form, kv_dtype = latent_form(layers, work), work.cache_dtype
    kv_heads, d_qk, d_v = layers.n_kv_head, layers.dim_qk, layers.dim_v
    if form == "absorbed":
        kv_heads, d_qk, d_v = 1, layers.row_elements, layers.kv_lora_rank
    elif form == "plain":
        kv_dtype = dtype  # heads just projected: they are no cache
    keys = min(seq, layers.window + query - 1) if layers.window else seq
    rows = keys - 1 if phase == "decode" else keys
    pairs = causal_pairs(seq, query, layers.window) if work.fused else query * keys
    heads = batch * layers.n_head
    s_bytes = stored_bytes(heads * query * keys, dtype)
    a_bytes = stored_bytes(heads * query * d_v, dtype)
    scores_sync = values_sync = 0
    if work.ngpu > 1 and work.split == "head":
        # One ring all-reduce of the output, after which heads are as wide as the model has them.
        output = stored_bytes(heads * query * layers.dim_v, dtype)
        values_sync = -(-2 * (work.ngpu - 1) * output // work.ngpu)
    elif work.ngpu > 1 and work.fused:  # partial results, each with a maximum and a sum per row
        values_sync = stored_bytes(heads * query * (d_v + 2), dtype)
    elif work.ngpu > 1:
        scores_sync, values_sync = s_bytes, a_bytes
    return Operands(
        latent_form=form,
        n_kv_head=kv_heads,
        dim_qk=d_qk,
        dim_v=d_v,
        keys=keys,
        read_rows=rows,
        pairs=pairs,
        scores_flops=heads * pairs * (2 * d_qk - 1),
        values_flops=heads * d_v * (2 * pairs - query),
        q_bytes=stored_bytes(heads * query * d_qk, dtype),
        k_bytes=stored_bytes(batch * kv_heads * d_qk * rows, kv_dtype),
        v_bytes=stored_bytes(batch * kv_heads * d_v * rows, kv_dtype),
        s_bytes=s_bytes,
        a_bytes=a_bytes,
        scores_sync_bytes=scores_sync,
        values_sync_bytes=values_sync,
    )


def shares(layers: Layers, n_kv_head: int, work: Workload) -> tuple[float, float]:
    """The busiest GPU's part of the query heads' work and of K and V. Heads do not split: 10 over
    4 GPUs makes 3; with fewer K/V heads than GPUs, GPUs hold copies.
    """
    n = work.ngpu
    if work.split == "seq":
        return 1 / n, 1 / n
    return -(-layers.n_head // n) / layers.n_head, -(-n_kv_head // n) / n_kv_head


def analyse_layer(layers: Layers, work: Workload, both: Sequence[Rates]) -> Layer:
    """One layer at the datasheet's rates and, if there are two, at those reached."""
    ops = operands(layers, work)
    q_share, kv_share = shares(layers, ops.n_kv_head, work)

    def kernel(name: str, flops: int, kv_bytes: int, other_bytes: int, sync_bytes: int) -> Cost:
        gpu_flops = flops * q_share
        gpu_bytes = kv_bytes * kv_share + other_bytes * q_share
        bound, *estimate = (
            kernel_terms(gpu_flops, gpu_bytes, sync_bytes, each, each.launch_s) for each in both
        )
        return Cost(
            name=name,
            flops=flops,
            kv_bytes=kv_bytes,
            bytes=kv_bytes + other_bytes,
            sync_bytes=sync_bytes,
            gpu_flops=gpu_flops,
            gpu_bytes=gpu_bytes,
            bound=bound,
            estimate=estimate[0] if estimate else None,
        )

    q, k, v, s, a = ops.q_bytes, ops.k_bytes, ops.v_bytes, ops.s_bytes, ops.a_bytes
    kernels: tuple[Cost, ...]
    if work.fused:
        flops = ops.scores_flops + ops.values_flops
        kv_bytes = k if ops.latent_form == "absorbed" else k + v  # absorbed: V is part of K
        kernels = (kernel("fused", flops, kv_bytes, q + a, ops.values_sync_bytes),)
    else:
        kernels = (
            kernel("S = Q K^T", ops.scores_flops, k, q + s, ops.scores_sync_bytes),
            kernel("softmax", 0, 0, 2 * s, 0),
            kernel("A = S V", ops.values_flops, v, s + a, ops.values_sync_bytes),
        )
    return Layer(layers, ops, kernels, summed("one layer", [(1, each) for each in kernels]))


class Product(NamedTuple):
    """One matrix product of the classic report: K or V traffic alone, at the datasheet's rates."""

    formula: str
    rows: int
    inner: int
    columns: int
    read_width: int  # of the K or V that is read
    flops: int
    read_bytes: int
    sync_name: str
    sync_columns: int
    sync_bytes: int


class ProductTimes(NamedTuple):
    compute_s: float
    memory_s: float
    sync_s: float
    required: float  # bytes/s at which reading takes as long as computing on one GPU
    required_with_sync: float


def classic_products(layer: Layer, work: Workload) -> tuple[Product, Product]:
    """S = Q K^T and A = S V as the user's document has them."""
    ops = layer.operands
    q, d, d_v, keys = work.query, ops.dim_qk, ops.dim_v, ops.keys
    synced, width = ("Attn and softmax statistics", d_v + 2) if work.fused else ("Attn", d_v)
    scores = (ops.scores_flops, ops.k_bytes, "S", keys, ops.scores_sync_bytes)
    values = (ops.values_flops, ops.v_bytes, synced, width, ops.values_sync_bytes)
    return (
        Product("S = Q x K^T", q, d, keys, d, *scores),
        Product("Attn = S x V", q, keys, d_v, d_v, *values),
    )


def classic_times(gpu: GPU, layer: Layer, work: Workload, product: Product) -> ProductTimes:
    """Requirements take the computation undivided by the number of GPUs: kept as documented."""
    rate = rates(gpu, work, {})
    q_share, kv_share = shares(layer.layers, layer.operands.n_kv_head, work)
    alone_s, sync_s = product.flops / rate.compute, product.sync_bytes / rate.link
    return ProductTimes(
        compute_s=alone_s * q_share,
        memory_s=product.read_bytes / rate.memory * kv_share,
        sync_s=sync_s,
        required=product.read_bytes / alone_s,
        required_with_sync=product.read_bytes / (alone_s + sync_s),
    )


def kernel_terms(
    gpu_flops: float, gpu_bytes: float, sync_bytes: int, rate: Rates, overhead_s: float
) -> Terms:
    """The roofline of one kernel: max(compute, memory), then what cannot overlap with it."""
    compute_s = gpu_flops / rate.compute
    memory_s = gpu_bytes / rate.memory
    sync_s = sync_bytes / rate.link + rate.link_latency_s if sync_bytes else 0.0
    total_s = max(compute_s, memory_s) + sync_s + overhead_s
    return Terms(compute_s, memory_s, sync_s, overhead_s, total_s)


def summed(name: str, parts: Sequence[tuple[int, Cost]]) -> Cost:
    """Costs that follow one another, each so many times."""

    def total(field: Callable[[Cost], float]) -> Any:
        return sum(n * field(cost) for n, cost in parts)

    def terms(of: Callable[[Cost], Terms | None]) -> Terms | None:
        each = [(n, part) for n, cost in parts if (part := of(cost))]
        columns = zip(*([n * value for value in part] for n, part in each))
        return Terms(*map(sum, columns)) if each else None

    bound = terms(lambda cost: cost.bound)
    assert bound is not None
    return Cost(
        name=name,
        flops=total(lambda cost: cost.flops),
        kv_bytes=total(lambda cost: cost.kv_bytes),
        bytes=total(lambda cost: cost.bytes),
        sync_bytes=total(lambda cost: cost.sync_bytes),
        gpu_flops=total(lambda cost: cost.gpu_flops),
        gpu_bytes=total(lambda cost: cost.gpu_bytes),
        bound=bound,
        estimate=terms(lambda cost: cost.estimate),
    )


def all_layers(gpu: GPU, model: Model, work: Workload) -> tuple[tuple[Layer, ...], Cost]:
    both = [rates(gpu, work, {})]
    if gpu.constants:
        both.append(rates(gpu, work, gpu.constants))
    layers = tuple(analyse_layer(each, work, both) for each in model.layers)
    return layers, summed("all layers", [(each.layers.n_layer, each.whole) for each in layers])


def cached_rows(layers: Layers, work: Workload) -> int:
    """Rows per sequence that one of these layers keeps: those before a generated token, or all."""
    rows = min(work.seq, layers.window) if layers.window else work.seq
    return rows - 1 if work.phase == "decode" else rows


def row_bits(layers: Layers, work: Workload) -> int:
    """Bits that a cached token of these layers takes on one GPU (with `--split seq`: on all).
    A latent belongs to all heads, so that splitting heads leaves it whole.
    """
    heads = 1 if layers.kv_lora_rank else layers.n_kv_head
    held = heads if work.split == "seq" else -(-heads // work.ngpu)
    width = layers.row_elements // heads * held
    return layers.n_layer * width * PRECISION_BITS[work.cache_dtype]


def longest_seq(model: Model, work: Workload, budget_bits: int) -> int | None:
    """The longest sequence whose cache fits into the budget; None if windows bound any."""
    decode = work.phase == "decode"
    kinds = sorted(model.layers, key=lambda each: each.window or MAX_COUNT)
    growing = sum(row_bits(each, work) for each in kinds) * work.batch
    for layers in kinds:
        rows, most = budget_bits // growing, layers.window - decode
        if not layers.window or rows < most:
            return rows + decode
        full = row_bits(layers, work) * work.batch
        budget_bits -= full * most
        growing -= full
    return None


def analyse_memory(gpu: GPU, model: Model, work: Workload) -> Memory:
    """What the cache takes in all, and with the weights (spread evenly) of each GPU's memory."""
    parts = work.ngpu if work.split == "seq" else 1
    token = {each: each.row_elements * PRECISION_BITS[work.cache_dtype] for each in model.layers}
    cache_bits = sum(k.n_layer * bits * cached_rows(k, work) for k, bits in token.items())
    sequence_bits = sum(row_bits(each, work) * cached_rows(each, work) for each in model.layers)
    weights = None
    if model.params is not None:
        weights = model.params * PRECISION_BITS[work.dtype] / 8 / work.ngpu
    free_bits = int((gpu.memory - (weights or 0)) * 8 * parts)
    max_batch: int | None = 0
    max_seq: int | None = 0
    if free_bits > 0:
        max_batch = free_bits // sequence_bits if sequence_bits else None
        max_seq = longest_seq(model, work, free_bits)
    return Memory(
        bytes_per_token=sum(k.n_layer * bits for k, bits in token.items()) / 8,
        bytes_per_token_beyond_windows=sum(
            k.n_layer * bits for k, bits in token.items() if not k.window
        )
        / 8,
        cache_bytes=-(-work.batch * cache_bits // 8),
        gpu_cache_bytes=work.batch * sequence_bits / parts / 8,
        gpu_weight_bytes=weights,
        fits=work.batch * sequence_bits <= free_bits,
        max_batch=max_batch,
        max_seq=max_seq,
    )


def rest_of_step(gpu: GPU, model: Model, work: Workload) -> float | None:
    """Seconds of everything but attention: every token computes with the active parameters, and
    each weight that some token uses is read once. With experts chosen evenly, T tokens use the
    share 1 - (1 - active/all)^T of the weights (all of them in a dense model).
    """
    if model.params is None or model.active_params is None:
        return None
    rate = rates(gpu, work, gpu.constants)
    tokens = work.batch * work.query
    used = 1 - (1 - model.active_params / model.params) ** tokens
    compute_s = 2 * model.active_params * tokens / rate.compute / work.ngpu
    weight_bytes = model.params * used * PRECISION_BITS[work.dtype] / 8
    return max(compute_s, weight_bytes / rate.memory / work.ngpu)


def half_length(gpu: GPU, model: Model, work: Workload) -> int | None:
    """The shortest sequence with which attention takes at least half of the step, if any does."""

    def reaches(seq: int) -> bool:
        query = seq if work.phase == "prefill" else work.query
        case = work._replace(seq=seq, query=query)
        rest_s = rest_of_step(gpu, model, case)
        return rest_s is not None and all_layers(gpu, model, case)[1].terms.total_s >= rest_s

    too_short, long_enough = work.query - 1, 2**40
    if not reaches(long_enough):
        return None
    while long_enough - too_short > 1:
        middle = (too_short + long_enough) // 2
        if reaches(middle):
            long_enough = middle
        else:
            too_short = middle
    return long_enough


def refuse_impossible(gpu: GPU, work: Workload) -> None:
    """InputError for a case that cannot be: a figure that the GPU lacks, or Q > S."""

    def figure(flag: str, name: str, known: Mapping[str, float]) -> None:
        if name not in known:
            has = f" (it has {', '.join(known)})" if known else ""
            raise InputError(f"--{flag} {name}: {gpu.name} has no figure for it{has}")

    figure("dtype", work.dtype, gpu.peaks)
    if work.ngpu > 1:
        figure("link", work.link, gpu.links)
    if work.query > work.seq:
        raise InputError(f"--query {work.query} must be at most --seq {work.seq}")


def analyse(
    gpu: GPU, model: Model, work: Workload, given: frozenset[str] = frozenset()
) -> Analysis:
    """The whole answer for one case; InputError for one that cannot be."""
    refuse_impossible(gpu, work)
    layers, whole = all_layers(gpu, model, work)
    memory = analyse_memory(gpu, model, work)
    attention_s, new_tokens = whole.terms.total_s, work.batch * work.query
    rest_s = rest_of_step(gpu, model, work)
    throughput = Throughput(
        new_tokens=new_tokens,
        tokens_per_s=new_tokens / attention_s if memory.fits else None,
        rest_s=rest_s,
        attention_share=None if rest_s is None else attention_s / (attention_s + rest_s),
        half_seq=half_length(gpu, model, work),
    )
    rate = rates(gpu, work, {})
    ridge = rate.compute / rate.memory
    return Analysis(gpu, model, work, given, ridge, layers, whole, memory, throughput)


class Change(NamedTuple):
    """One change to a case, and what it brings."""

    name: str
    flag: str
    gain: float  # time per new token before / after
    total_s: float  # attention of all layers
    fits: bool


def changes(case: Analysis) -> Iterator[tuple[str, str, Model, Workload]]:
    """Every single change that applies to a case, whether it helps or not."""
    gpu, model, work = case.gpu, case.model, case.work

    def on(name: str, flag: str, **change: Any) -> tuple[str, str, Model, Workload]:
        return name, flag, model, work._replace(**change)

    if not work.fused:
        yield on("fused kernel", "--fused", fused=True)
    if work.ngpu > 1 and work.split == "seq":
        yield on("split heads, not keys", "--split head", split="head")
    if work.ngpu > 1 and work.link == "pcie" and "nvlink" in gpu.links:
        yield on("NVLink", "--link nvlink", link="nvlink")
    cache = work.cache_dtype
    for lower in LOWER_PRECISIONS[cache]:
        if PRECISION_BITS[lower] < PRECISION_BITS[cache]:
            yield on(f"{lower} KV cache", f"--kv-dtype {lower}", kv_dtype=lower)
            break
    for lower in LOWER_PRECISIONS[work.dtype]:
        if lower in gpu.peaks:
            yield on(f"{lower} arithmetic", f"--dtype {lower}", dtype=lower)
            break
    yield on("twice the GPUs", f"--ngpu {2 * work.ngpu}", ngpu=2 * work.ngpu)
    yield on("twice the batch", f"--batch {2 * work.batch}", batch=2 * work.batch)
    grouped = tuple(
        each._replace(n_kv_head=each.n_head // 8)
        if each.n_head % 8 == 0 and each.n_head // 8 < each.n_kv_head and not each.kv_lora_rank
        else each
        for each in model.layers
    )
    if grouped != model.layers:
        heads = grouped[0].n_kv_head
        name = f"a model of {heads} K/V heads"
        yield name, f"n_kv_head {heads}", model._replace(layers=grouped), work


def what_would_help(case: Analysis) -> list[Change]:
    """The changes that make attention faster, or its cache fit, the largest gain first."""
    before = case.whole.terms.total_s / case.throughput.new_tokens
    found = []
    for name, flag, model, work in changes(case):
        with contextlib.suppress(InputError):  # twice the GPUs of a GPU that has no such link
            refuse_impossible(case.gpu, work)
            total_s = all_layers(case.gpu, model, work)[1].terms.total_s
            gain = before / (total_s / (work.batch * work.query))
            fits = analyse_memory(case.gpu, model, work).fits
            if fits > case.memory.fits or (gain >= 1.01 and fits == case.memory.fits):
                found.append(Change(name, flag, gain, total_s, fits))
    return sorted(found, key=lambda change: (-change.fits, -change.gain))


# ------------------------------------------------------------------------------------ views

RULE = "-" * 38


def whole_bytes(count: int) -> str:
    """A byte count cut to a whole number of the largest unit in which it is not 0."""
    for unit, size in BYTE_UNITS.items():
        if count >= size:
            return f"{count // size} {unit}"
    return f"{count} bytes"


def report(case: Analysis) -> str:
    """The classic report: both products of one layer (of each kind), step by step."""
    work, many = case.work, len(case.layers) > 1
    lines = [
        RULE,
        f"Working with {work.ngpu} {case.gpu.name} GPUs",
        RULE,
        "QKV size per head",
    ]
    for layer in case.layers:
        ops, kind = layer.operands, f" in {layer.layers.kind} layers" if many else ""
        lines += [
            f"Q{kind}: {work.query} x {ops.dim_qk}",
            f"K{kind} (including cache): {ops.keys} x {ops.dim_qk}",
            f"V{kind} (including cache): {ops.keys} x {ops.dim_v}",
        ]
    cache = whole_bytes(case.memory.cache_bytes)
    lines.append(f"Cached KV size ({work.cache_dtype.upper()}): {cache}")
    for layer in case.layers:
        kind = f"{layer.layers.kind.capitalize()} " if many else ""
        lines += [RULE, f"In {kind}Attention Layer (per {layer.layers.n_head} head)"]
        for product in classic_products(layer, work):
            lines += report_product(case, layer, product)
    return "\n".join(lines) + "\n"


def report_product(case: Analysis, layer: Layer, p: Product) -> list[str]:
    work = case.work
    label, cache_label = work.dtype.upper(), work.cache_dtype.upper()
    element, cache_element = (f"{PRECISION_BITS[p] / 8:g}" for p in (work.dtype, work.cache_dtype))
    batch = f"{work.batch} x " if work.batch > 1 else ""
    heads, ops = f"{batch}{layer.layers.n_head}", layer.operands
    t = classic_times(case.gpu, layer, work, p)
    lines = [
        RULE,
        p.formula,
        f"{heads} x (({p.rows} x {p.inner}) x ({p.inner} x {p.columns}))",
        RULE,
        f"Total FLOPS: {p.flops} FLOPS",
        f"Computation time ({label}):  {t.compute_s:.3e}s",
        "",
        f"Read Key Matrix ({cache_label}): {batch}{ops.n_kv_head} x"
        f" ({p.read_width} x {ops.read_rows}) x {cache_element} = {p.read_bytes} bytes",
        f"Memory time:  {t.memory_s:.3e}s",
        "",
    ]
    if p.sync_bytes:
        synchronised = (
            f"Synchronizing {p.sync_name} ({label}): {heads} x"
            f" ({p.rows} x {p.sync_columns}) x {element} = {p.sync_bytes} bytes"
        )
        reduced = f"All-reducing Attn ({label}), each GPU of {work.ngpu}: {p.sync_bytes} bytes"
        lines += [
            synchronised if work.split == "seq" else reduced,
            f"Sync time:  {t.sync_s:.3e}s",
            "",
            f"Bandwidth Requirement (with sync): {t.required_with_sync / 1e12:.3f} TB/s",
        ]
    lines.append(f"Bandwidth Requirement (without sync): {t.required / 1e12:.3f} TB/s")
    return lines


def prefixed(value: float, unit: str) -> str:
    """Three significant digits with the prefix that suits them: 1.23 ms, 45.6 GB."""
    prefixes = ("f", "p", "n", "u", "m", "", "K", "M", "G", "T", "P", "E")
    value = float(f"{value:.3g}")
    power = 0
    if value:
        power = min(max(int(f"{value:e}".split("e")[1]) // 3, -5), 6 if unit != "s" else 0)
    return f"{value / 1000.0**power:.3g} {prefixes[power + 5]}{unit}"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def title(case: Analysis) -> str:
    """The case in full, in one line."""
    work, model = case.work, case.model
    kinds = [
        f"{each.n_layer:,} {each.kind} layers"
        + (f" of {each.window:,} keys" if each.window else "")
        for each in model.layers
    ]
    without = model.n_layer - sum(each.n_layer for each in model.layers)
    if without:
        kinds.append(f"{without:,} without a cache")
    ops, first = case.layers[0].operands, model.layers[0]
    heads = f"{first.n_head:,} heads, {ops.n_kv_head:,} K/V, width {ops.dim_qk:,}"
    if ops.dim_v != ops.dim_qk:
        heads += f"/{ops.dim_v:,}"
    if ops.latent_form:
        heads += f", {ops.latent_form} latent"
    spread = f"{SPLITS[work.split]}, {LINKS[work.link]}" if work.ngpu > 1 else "not split"
    parts = [
        f"{work.phase}, {work.batch:,} x {plural(work.query, 'new token')}, {work.seq:,} keys",
        (model.name and f"{model.name}: ") + f"{' + '.join(kinds)} ({heads})",
        f"{work.ngpu:,} x {case.gpu.name}",
        f"{work.dtype}, {work.cache_dtype} cache",
        "fused" if work.fused else "unfused",
        spread,
    ]
    return "; ".join(parts)


def digits(value: float) -> str:
    """A number in three digits, or in whole ones where it is large."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def times(ratio: float) -> str:
    return f"{digits(ratio)} x"


def verdict(case: Analysis) -> str:
    """The largest term of all, and how far the next is below it."""
    terms = case.whole.terms
    ranked = sorted(terms[:4], reverse=True)
    ahead = f"{times(ranked[0] / ranked[1])} the next term" if ranked[1] else "the only term"
    return f"{terms.limit} limits attention: {prefixed(ranked[0], 's')}, {ahead}"


def bars(cost: Cost) -> Iterator[str]:
    """A bar for each term, and how far it is below the largest."""
    terms = cost.terms
    largest = max(terms[:4])
    for name, seconds in zip(TERMS, terms):
        if seconds:
            bar = "#" * max(round(32 * seconds / largest), 1)
            note = "<- limits" if name == terms.limit else f"{times(largest / seconds)} below"
            yield f"  {name:9} {bar:32} {prefixed(seconds, 's'):>9}  {note}"


def cost_table(case: Analysis) -> Iterator[str]:
    """One layer of each kind, its kernels if there are several, and all layers."""
    columns = [*TERMS, "total", "FLOP/byte", "limit"]
    yield (
        f"{'':15}"
        + "".join(f"{name:>9}" for name in columns[:5])
        + "{:>10}  {}".format(*columns[5:])
    )

    def row(name: str, cost: Cost) -> str:
        cells = "".join(
            f"{prefixed(seconds, 's') if seconds else '-':>9}" for seconds in cost.terms
        )
        return f"{name:15}{cells}{cost.intensity:10.3g}  {cost.terms.limit}"

    for layer in case.layers:
        yield row(f"{layer.layers.kind} layer", layer.whole)
        if len(layer.kernels) > 1:
            yield from (row(f"  {kernel.name}", kernel) for kernel in layer.kernels)
    yield row(f"all {sum(each.n_layer for each in case.model.layers):,} layers", case.whole)


def memory_lines(case: Analysis) -> Iterator[str]:
    memory = case.memory
    growth = f"{memory.bytes_per_token:,.10g} bytes per token"
    if memory.bytes_per_token != memory.bytes_per_token_beyond_windows:
        growth += f" ({memory.bytes_per_token_beyond_windows:,.10g} beyond the windows)"
    yield f"KV cache: {growth}, {prefixed(memory.cache_bytes, 'B')} in all"
    weights = "no parameter count, so weights not counted"
    if memory.gpu_weight_bytes is not None:
        weights = f"with {prefixed(memory.gpu_weight_bytes, 'B')} of weights"
    yield (
        f"  on each GPU {prefixed(memory.gpu_cache_bytes, 'B')} of"
        f" {prefixed(case.gpu.memory, 'B')} ({weights})"
    )
    if not memory.max_seq and memory.max_seq is not None:
        yield "  no room for a cache beside the weights"
        return
    batch, seq = ("any" if n is None else f"{n:,}" for n in (memory.max_batch, memory.max_seq))
    yield f"  fits up to batch {batch} at this length, or length {seq} at this batch"


def throughput_lines(case: Analysis) -> Iterator[str]:
    work, whole, step = case.work, case.whole, case.throughput
    what = plural(work.batch, "prompt") if work.phase == "prefill" else "step"
    spent = f"bound {prefixed(whole.bound.total_s, 's')}, no kernel is faster"
    if whole.estimate:
        spent = f"estimate {prefixed(whole.estimate.total_s, 's')}, {spent}"
    yield f"attention per {what}: {spent}"
    if step.tokens_per_s:
        yield f"  at most {digits(step.tokens_per_s)} tokens/s from attention alone"
    if step.rest_s is not None and step.attention_share is not None:
        half = "at no length" if step.half_seq is None else f"from {step.half_seq:,} keys on"
        yield (
            f"  {step.attention_share:.1%} of the step, the rest takes"
            f" {prefixed(step.rest_s, 's')}; half of it {half}"
        )


def help_lines(case: Analysis) -> Iterator[str]:
    found = what_would_help(case)
    yield "What would help, each change alone" if found else "What would help: no single change"
    for change in found:
        fits = "" if change.fits else "still does not fit"
        if change.fits and not case.memory.fits:
            fits = "makes it fit"
        line = f"  {times(change.gain):>8}  {change.flag:17} {change.name:28} {fits}"
        yield line.rstrip()


def summary(case: Analysis) -> str:
    """What limits attention, by how much, why, and what to change first: one screen."""
    lines = [title(case)]
    if not case.memory.fits:
        lines.append(f"! {misfit(case)}")
    lines += [
        "",
        f"{verdict(case)}",
        *bars(case.whole),
        "",
        *cost_table(case),
        f"  a kernel below the ridge point of {case.ridge:.3g} FLOP/byte waits for memory",
        "",
        *memory_lines(case),
        *throughput_lines(case),
        "",
        *help_lines(case),
    ]
    return "\n".join(lines) + "\n"


def misfit(case: Analysis) -> str:
    memory = case.memory
    what, needed = "the KV cache does", memory.gpu_cache_bytes
    if memory.gpu_weight_bytes is not None:
        what, needed = "weights and KV cache do", needed + memory.gpu_weight_bytes
    needed_of = f"{prefixed(needed, 'B')} on each GPU of {prefixed(case.gpu.memory, 'B')}"
    return f"{what} not fit: {needed_of}"


def input_record(case: Analysis) -> dict[str, Any]:
    """Every input with its value in base units and where it came from."""

    def of(value: object, source: str) -> dict[str, object]:
        return {"value": value, "from": source}

    gpu, model, work = case.gpu, case.model, case.work
    flags = {
        name: of(value, "flag" if name in case.given else "default")
        for name, value in work._replace(kv_dtype=work.cache_dtype)._asdict().items()
    }
    figures = {
        "name": gpu.name,
        **{f"{name}_flop_per_s": value for name, value in gpu.peaks.items()},
        "memory_bytes": gpu.memory,
        "bandwidth_bytes_per_s": gpu.bandwidth,
        **{f"{name}_bytes_per_s": value for name, value in gpu.links.items()},
        **{name.replace("_us", "_s"): value for name, value in gpu.constants.items()},
    }
    return {
        **flags,
        "gpu": {name: of(value, gpu.source) for name, value in figures.items()},
        "model": {
            name: of(value, model.source if name in model.given else "default")
            for name, value in model.inputs().items()
        },
    }


def terms_record(cost: Cost) -> dict[str, Any]:
    return {
        **dict(zip(COUNTS, cost[1:7])),
        "intensity_flop_per_byte": cost.intensity,
        "bound": cost.bound._asdict(),
        "estimate": cost.estimate and cost.estimate._asdict(),
        "limit": cost.terms.limit,
    }


COUNTS = ("flops", "kv_read_bytes", "bytes", "sync_bytes", "flops_per_gpu", "bytes_per_gpu")


def record(case: Analysis) -> dict[str, Any]:
    """The whole analysis as plain data, in base units."""
    return {
        "schema": 1,
        "inputs": input_record(case),
        "verdict": case.whole.terms.limit,
        "ridge_flop_per_byte": case.ridge,
        "layers": [
            {
                "kind": layer.layers.kind,
                "n_layer": layer.layers.n_layer,
                "n_head": layer.layers.n_head,
                "window_keys": layer.layers.window or None,
                **layer.operands._asdict(),
                **terms_record(layer.whole),
                "kernels": [{"name": each.name, **terms_record(each)} for each in layer.kernels],
            }
            for layer in case.layers
        ],
        "all_layers": terms_record(case.whole),
        "memory": case.memory._asdict(),
        "throughput": case.throughput._asdict(),
        "would_help": [change._asdict() for change in what_would_help(case)],
    }


def json_text(case: Analysis) -> str:
    return json.dumps(record(case), indent=2, allow_nan=False) + "\n"


VIEWS = {"report": report, "summary": summary, "json": json_text}


# ----------------------------------------------------------------------------- command line

EXAMPLES = f"""\
{PROGRAM} [flags]

examples:
  python3 {PROGRAM}                        the figures of config.json
  python3 {PROGRAM} --ngpu 10              ten GPUs, linked by PCIe
  python3 {PROGRAM} --fp16 --seq 2048      half precision, 2048 keys
  python3 {PROGRAM} --gen False --seq 512  prefill of 512 tokens
  python3 {PROGRAM} --config my.json > report.txt
"""

BOOLEANS = {
    **dict.fromkeys(("true", "yes", "1", "on"), True),
    **dict.fromkeys(("false", "no", "0", "off"), False),
}


def count_flag(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        return check_count(text)
    if len(text) > 40:  # int() itself refuses thousands of digits, with words of its own
        raise InputError(f"must be a whole number from 1 to 10^18, not one of {len(text)} digits")
    return check_count(int(text))


def one_of(text: str, known: Mapping[str, Value]) -> Value:
    if text.lower() in known:
        return known[text.lower()]
    raise InputError(
        f"must be one of {', '.join(known)}, not {shown(text)}{did_you_mean(text, known)}"
    )


def boolean_flag(text: str) -> bool:
    return one_of(text, BOOLEANS)


def name_flag(known: Iterable[str]) -> Callable[[str], str]:
    names = {name: name for name in known}
    return lambda text: one_of(text, names)


class Flag(NamedTuple):
    """A flag: how its text is checked, its default, and its line in the help."""

    check: Callable[[str], Any]
    default: Any
    metavar: str
    help: str


FLAGS = {
    "ngpu": Flag(count_flag, 1, "N", "GPUs that share the work (default 1)"),
    "seq": Flag(count_flag, 1024, "N", "keys attended to, the new ones included (default 1024)"),
    "batch": Flag(count_flag, 1, "N", "sequences per step (default 1)"),
    "gen": Flag(
        boolean_flag,
        True,
        "BOOL",
        "generation of one token per sequence (default True); False: prefill of the whole"
        " sequence. true/false, yes/no, 1/0, on/off",
    ),
    "query": Flag(
        count_flag,
        None,
        "N",
        "new tokens per sequence: speculative decoding, chunked prefill (default 1, or all of"
        " --seq in prefill)",
    ),
    "dtype": Flag(
        name_flag(PRECISION_BITS), "fp32", "TYPE", f"{', '.join(PRECISION_BITS)} (default fp32)"
    ),
    "fp16": Flag(boolean_flag, False, "", "short for --dtype fp16"),
    "kv_dtype": Flag(
        name_flag(PRECISION_BITS), None, "TYPE", "precision of the KV cache (default: as --dtype)"
    ),
    "fused": Flag(
        boolean_flag,
        False,
        "",
        "one kernel that keeps the scores on chip and skips what is masked (FlashAttention)",
    ),
    "split": Flag(
        name_flag(SPLITS),
        "seq",
        "HOW",
        "what the GPUs share: seq, the keys (default), or head, the heads",
    ),
    "link": Flag(name_flag(LINKS), "pcie", "LINK", "between the GPUs: pcie (default) or nvlink"),
    "format": Flag(
        name_flag(VIEWS),
        "report",
        "VIEW",
        "report (default); summary: what limits attention, and what would help; json: every"
        " quantity in base units",
    ),
    "config": Flag(
        str,
        None,
        "FILE",
        "GPU and model figures, - for standard input (default: config.json beside the script, else"
        " the same values built in)",
    ),
}


def dashed(name: str) -> str:
    return name.replace("_", "-")


class Parser(argparse.ArgumentParser):
    """argparse's splitting of a command line; what it finds wrong is an InputError."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def parser() -> Parser:
    result = Parser(
        prog=PROGRAM,
        usage=EXAMPLES,
        add_help=False,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=80),
    )
    result.color = False  # type: ignore[attr-defined,unused-ignore]  # Python 3.14 colours help
    flags = result.add_argument_group("flags")
    flags.add_argument("-h", "--help", action="store_true", help="show this help and exit")
    for name, flag in FLAGS.items():
        takes: dict[str, Any] = {"metavar": flag.metavar}
        if flag.check is boolean_flag:
            takes = (
                {**takes, "nargs": "?", "const": "True"}
                if flag.metavar
                else {"action": "store_const", "const": "True"}
            )
        flags.add_argument(f"--{dashed(name)}", help=flag.help, **takes)
    flags.add_argument("--version", action="store_true", help="show the version and exit")
    return result


def split_flags(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as text by flag; InputError for an argument that is none."""
    found, unknown = parser().parse_known_args(argv)
    if unknown and not found.help:
        name = unknown[0].split("=")[0]
        hint = did_you_mean(name, [f"--{dashed(flag)}" for flag in vars(found)])
        raise InputError(f"unknown argument {shown(unknown[0])}{hint}; see --help")
    return found


def check_flags(found: argparse.Namespace) -> tuple[dict[str, Any], frozenset[str]]:
    """The value of every flag, given or default, and the names of those given."""
    values, given = {}, set()
    for name, flag in FLAGS.items():
        text = getattr(found, name)
        try:
            values[name] = flag.default if text is None else flag.check(text)
        except InputError as error:
            raise InputError(f"--{dashed(name)} {error}") from None
        if text is not None:
            given.add(name)
    if values.pop("fp16"):
        if "dtype" in given and values["dtype"] != "fp16":
            raise InputError(f"--fp16 and --dtype {values['dtype']} contradict each other")
        values["dtype"] = "fp16"
        given.add("dtype")
    return values, frozenset(given)


def workload(flags: Mapping[str, Any]) -> Workload:
    query = flags["query"] or (1 if flags["gen"] else flags["seq"])
    phase = "decode" if query == 1 else "extend"
    if query == flags["seq"] and not (query == 1 and flags["gen"]):
        phase = "prefill"
    same = {name: flags[name] for name in flags.keys() & set(Workload._fields)}
    return Workload(**{**same, "query": query, "phase": phase})


def answer(argv: Sequence[str] | None) -> Iterator[str]:
    """The text for a command line, in pieces; InputError for one that cannot be answered."""
    found = split_flags(argv)
    if found.help:
        yield parser().format_help()
        return
    if found.version:
        yield f"{PROGRAM} {__version__}\n"
        return
    flags, given = check_flags(found)
    gpu, model = read_config(flags["config"])
    case = analyse(gpu, model, workload(flags), given)
    if not case.memory.fits:
        complain("warning", misfit(case))
    yield VIEWS[flags["format"]](case)


def complain(kind: str, message: str) -> None:
    """One line on standard error, or nothing where even that cannot be written."""
    with contextlib.suppress(OSError, AttributeError):  # full disk; no standard error at all
        sys.stderr.write(f"{PROGRAM}: {kind}: {message}\n")
        sys.stderr.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the answer to a command line (default: sys.argv's) and return the exit code."""
    if sys.stdout is None:  # the shell's `>&-`
        complain("error", "standard output is closed")
        return 1
    try:
        for text in answer(argv):
            sys.stdout.write(text)
        sys.stdout.flush()
    except InputError as error:
        complain("error", str(error))
        return 2
    except BrokenPipeError:
        code = 0
    except OSError as error:
        complain("error", f"standard output cannot be written: {error.strerror}")
        code = 1
    else:
        return 0
    # Python flushes once more at exit: let what is left go nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
