#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# dependencies = []
# ///
"""What limits attention on these GPUs, by how much, and what would help most?

Compute, memory bandwidth, synchronisation between GPUs or launch overhead: from the figures of a GPU and of a model this
computes what each of them costs, for one layer and for all, beside the rest of a step.

    python3 attn_bottleneck.py --ngpu 10
    python3 attn_bottleneck.py --gpu h100-sxm --model llama-3.1-70b --ngpu 8 --batch 16 --seq 32K
    python3 attn_bottleneck.py --gpu h100-sxm,b200-sxm --model ./config.json --seq 1K:128K:x2

Symbols

    L  layers              B  batch (sequences)       P  peak, FLOP/s
    H  query heads         S  keys attended to, the   W  memory bandwidth, bytes/s
    K  key/value heads        new ones included       N  link bandwidth, bytes/s, both directions
    d  width of a head     Q  new tokens per             together; M = N / 2 is one
    D  hidden size            sequence                n  GPUs
    e  bytes per element, of what GPUs exchange of outputs at least 2

Formulas, one layer (the README has them all, with what windows and latent attention change)

    pairs                 Q S unfused; fused: the sum over the Q rows of the keys each may see
    FLOPs                 B H pairs (2d - 1) for S = Q K^T, B H d (2 pairs - Q) for A = S V
    K and V read          2 B K d rows e; rows = S - 1 if one token is generated (the new row is still on chip), else S
    other traffic         Q read and A written, 2 B H Q d e; unfused 4 B H Q S e more
    compute, memory       FLOPs / P and bytes / W of the busiest of n GPUs
    sync                  unfused, keys split: scores and values / N; fused: queries, or keys and values, whichever is
                          less, / M; the output's all-reduce, B Q D e / M; sequences split: nothing
    bound                 max(sum over kernels of max(compute, memory), sync): no implementation is faster
    estimate              compute + memory + sync + overhead at the rates that measured kernels reach, where the GPU has
                          constants for them
    KV cache              2 L B K d rows e

Assumptions: peaks are dense; one multiply-add is two FLOPs; GB = 1e9 bytes; weights are spread evenly. Counts are exact
integers.

The file, from top to bottom: units and words, records and catalogue, reading (a config of ours, a published one, by name),
cost model, what would help, sweeps, views, picture, measured kernels, command line. Data runs that way and no other.

Exit codes: 0 answered, whatever the verdict; 1 standard output cannot be written; 2 bad usage or a bad config (one line on
standard error says which key or flag, and what is allowed); 130 interrupted.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import io
import itertools
import json
import math
import operator
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar, Union

if sys.version_info < (3, 9):
    sys.stderr.write("attn_bottleneck.py: error: Python 3.9 or newer is needed\n")
    sys.exit(2)

__version__ = "1.0"

PROGRAM = "attn_bottleneck.py"

# ---------------------------------------------------------------- units and precisions


class Precision(NamedTuple):
    """A number format: its width, whether GPUs compute in it, and what to try below it."""

    bits: int
    computes: bool = True  # else it only stores weights and caches
    lower: tuple[str, ...] = ()  # the next ones down; for a GPU, the first that it has


PRECISIONS = {
    "fp32": Precision(32, lower=("tf32", "fp16", "bf16")),
    "tf32": Precision(32, lower=("fp16", "bf16")),
    "fp16": Precision(16, lower=("fp8", "int8")),
    "bf16": Precision(16, lower=("fp8", "int8")),
    "fp8": Precision(8, lower=("fp4",)),
    "int8": Precision(8, lower=("int4", "fp4")),
    "fp4": Precision(4),
    "int4": Precision(4, computes=False),
}
COMPUTING = [name for name, precision in PRECISIONS.items() if precision.computes]

BYTE_UNITS = {"GB": 10**9, "MB": 10**6, "KB": 10**3}

SPLITS = {"seq": "keys split", "head": "heads split", "batch": "sequences split"}
LINKS = {"pcie": "PCIe", "nvlink": "NVLink"}

# Ranges of what is accepted. Their products stay far below the largest float (1.8e308), so that no time or bandwidth
# derived from them can overflow, and no rate is zero.
MAX_COUNT = 10**18
MIN_FIGURE, MAX_FIGURE = 1e-9, 1e15


def bits(precision: str) -> int:
    return PRECISIONS[precision].bits


def dashed(name: str) -> str:
    """How a flag is typed; a key of the config, which has a dot, as it is."""
    return name if "." in name else name.replace("_", "-")


def stored_bytes(elements: int, precision: str) -> int:
    """Bytes that `elements` take in `precision`; half a byte left over counts as one."""
    return -(-elements * bits(precision) // 8)


class InputError(Exception):
    """What the user gave cannot be used; the message says what, why and what is allowed."""


def naming(where: str, read: Callable[..., Any], *arguments: Any) -> Any:
    """What is read; an InputError says where too: the flag, key or file."""
    try:
        return read(*arguments)
    except InputError as error:
        raise InputError(f"{where} {error}") from None


def quoted(value: object) -> str:
    """`value` as an error message quotes it: JSON's spelling, ASCII, on one line, not endless."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:36]}... ({len(text)} characters)"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name nearest to a misspelt one, or nothing."""
    import difflib  # only a misspelt name needs it

    lower = {each.lower(): each for each in known}
    nearest = [each for each in lower if sorted(each) == sorted(name.lower())]
    nearest = nearest or difflib.get_close_matches(name.lower(), lower, n=1)
    return f" (did you mean {lower[nearest[0]]}?)" if nearest else ""


def squashed(name: str) -> str:
    """A name without what people write differently.

    >>> squashed("H100-SXM") == squashed("h100 sxm")
    True
    """
    return "".join(filter(str.isalnum, name.lower()))


def one_of(text: str, known: Collection[str]) -> str:
    """The known name that is meant, in any case."""
    if text.lower() in known:
        return text.lower()
    hint = did_you_mean(text, known)
    raise InputError(f"must be one of {', '.join(known)}, not {quoted(text)}{hint}")


class Key(NamedTuple):
    """What a number of the config may be, and what one of its unit is in base units."""

    low: float = MIN_FIGURE
    high: float = MAX_FIGURE
    scale: float = 1
    whole: bool = False
    zero: bool = False  # whether 0 is allowed too: none
    required: bool = False

    @property
    def allowed(self) -> str:
        if self.whole:
            return f"a whole number from {self.low} to 10^18"
        share = "a number above 0 and at most 1"
        return share if self.high == 1 else "a number from 1e-9 to 1e15"


COUNT = Key(low=1, high=MAX_COUNT, whole=True)
FIGURE = Key()


def checked(value: object, key: Key) -> Any:
    """A number that a key allows."""
    number: Any = value if type(value) is int or (type(value) is float and not key.whole) else -1
    if key.low <= number <= key.high or (key.zero and number == 0):
        return number
    raise InputError(f"must be {key.allowed}, not {quoted(value)}")


def in_base_units(value: float, key: Key) -> Any:
    """As if it had been typed so: 2.3 us are 2.3e-6 s, not 2.2999999e-6."""
    return value if key.scale == 1 else float(f"{value * key.scale:.15g}")


# Counts may end in these, 1024-based as lengths in tokens are.
COUNT_UNITS = {"K": 2**10, "M": 2**20}


def number_flag(text: str, key: Key) -> Any:
    """A number as people type it: counts with K and M, others with an exponent."""
    if text == "0":
        return checked(0, key)
    if not key.whole:
        if text[-1:].isdigit() and not set(text) - set("0123456789.eE+-"):
            with contextlib.suppress(ValueError):
                return checked(float(text), key)
        raise InputError(f"must be {key.allowed}, not {quoted(text)}")
    number, unit = text, 1
    if text[-1:].upper() in COUNT_UNITS:
        number, unit = text[:-1], COUNT_UNITS[text[-1].upper()]
    if not (number.isascii() and number.isdigit()):
        return checked(text, key)
    if number[0] == "0" and len(number) > 1:
        raise InputError(f"begins with 0: {quoted(text)}; a comma makes a list, 131072 is one count")
    if len(number) > 40:  # int() itself refuses thousands of digits, with words of its own
        raise InputError(f"must be {key.allowed}, not one of {len(text)} digits")
    return checked(int(number) * unit, key)


BOOLEANS = {**dict.fromkeys(("true", "yes", "1", "on"), True), **dict.fromkeys(("false", "no", "0", "off"), False)}


def booleans_flag(text: str) -> Sequence[bool]:
    return [BOOLEANS[one_of(part, BOOLEANS)] for part in text.split(",")]


def names_flag(known: Collection[str]) -> Callable[[str], Sequence[str]]:
    return lambda text: [one_of(part, known) for part in text.split(",")]


MAX_LISTED = 10**6  # values of a flag that are not one range in steps


def values_flag(text: str, key: Key) -> Sequence[Any]:
    """Lists, ranges in steps and ranges by a factor, the end included.

    >>> values_flag("1,2K", COUNT), values_flag("1K:8K:x2", COUNT), values_flag("1:2:.5", FIGURE)
    ([1, 2048], [1024, 2048, 4096, 8192], [1.0, 1.5, 2.0])
    """
    runs: list[Sequence[Any]] = []
    for part in text.split(","):
        low, *rest = part.split(":")
        if not rest:
            runs.append([number_flag(low, key)])
            continue
        first, last, step = number_flag(low, key), number_flag(rest[0], key), (rest[1:] or ["1"])[0]
        by_factor = step[:1] in ("x", "X")
        amount = number_flag(step[by_factor:], COUNT if key.whole else FIGURE)
        if len(rest) > 2 or first > last or (by_factor and amount <= 1):
            allowed = "FIRST:LAST, from small to large; :STEP or :xFACTOR may follow"
            raise InputError(f"{quoted(part)} must be {allowed}")
        if key.whole and not by_factor:
            runs.append(range(first, last + 1, amount))
            continue
        values, slack = [first], 1 + 1e-12
        while values[-1] < last * slack and len(values) <= MAX_LISTED:
            values.append(values[-1] * amount if by_factor else first + len(values) * amount)
        runs.append(values if values[-1] <= last * slack else values[:-1])
    if len(runs) == 1 and isinstance(runs[0], range):
        return runs[0]
    if sum(map(len, runs)) > MAX_LISTED:
        raise InputError(f"lists at most {MAX_LISTED} values, beside one range in steps")
    return [value for run in runs for value in run]


def counts_flag(text: str) -> Sequence[int]:
    return values_flag(text, COUNT)


# --------------------------------------------------------------------- hardware and models


Constants = Mapping[str, float]  # what kernels and links reach, by the key's name in base units


class GPU(NamedTuple):
    """One accelerator, in base units."""

    name: str
    peaks: Mapping[str, float]  # precision -> dense peak, FLOP/s
    memory: float  # bytes
    bandwidth: float  # bytes/s
    links: Mapping[str, float]  # link -> bytes/s, both directions together
    nvlink_gpus: int | None  # that the scale-up link joins; None: no limit is known
    cache: float | None  # bytes of the last level; None: unknown
    constants: Constants  # what real kernels reach
    figures: Mapping[str, Any]  # all of these as the config names them
    source: str  # where they come from

    def has_estimate(self, ngpu: int, link: str) -> bool:
        """Whether every constant is known that an estimate over so many GPUs needs."""
        needed = KERNEL_CONSTANTS if ngpu == 1 else (*KERNEL_CONSTANTS, *LINK_CONSTANTS[link])
        return all(name in self.constants for name in needed)


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
        """Elements that one token adds to the KV cache of one of these layers.

        >>> deepseek_v3 = Layers("full", 61, 128, 128, 192, 128, 0, 512, 64)
        >>> 61 * 2 * deepseek_v3.row_elements  # bytes a token, BF16
        70272
        """
        if self.kv_lora_rank:
            return self.kv_lora_rank + self.qk_rope_head_dim
        return self.n_kv_head * (self.dim_qk + self.dim_v)


class Parameters(NamedTuple):
    """How many there are, and how many of them one token uses."""

    total: float
    active: float
    routed: float = 0.0  # in experts that tokens choose among
    chosen: float = 1.0  # the part of these that one token uses


class Model(NamedTuple):
    """The attention of a transformer, and how many parameters it has."""

    name: str
    n_layer: int  # all layers, those without a growing KV cache included
    layers: tuple[Layers, ...]  # those with attention, by kind
    params: Parameters | None  # None: unknown
    hidden_size: int | None  # None: unknown
    figures: Mapping[str, Any]  # all of these as the config names them
    source: str
    weight_dtype: str | None = None  # that it is published in, where that is narrow
    notes: tuple[str, ...] = ()  # what the figures leave out, or how they were read

    @property
    def hidden(self) -> int:
        """Width of what a layer's output is projected to; unknown, that of the output itself."""
        return self.hidden_size or self.layers[0].n_head * self.layers[0].dim_v


class Workload(NamedTuple):
    """What is asked of the GPUs: one step over `batch` sequences."""

    ngpu: int
    seq: int  # keys attended to, the new tokens' included
    batch: int
    query: int  # new tokens per sequence
    phase: str  # "decode" (one new row, still on chip), "prefill" (all rows new) or "extend"
    dtype: str
    kv_dtype: str
    weight_dtype: str
    fused: bool
    split: str
    link: str


def phase_of(query: int, seq: int, generates: bool) -> str:
    """All rows new is "prefill", one new row, still on chip, "decode", and in between "extend"."""
    if query == seq and not (query == 1 and generates):
        return "prefill"
    return "decode" if query == 1 else "extend"


# The user's own figures; config.json holds the same, and a test keeps the two equal.
DEFAULT_CONFIG: dict[str, dict[str, Any]] = {
    "GPU": {"model": "A100", "fp16": 312, "fp32": 19.5, "memory": 80, "bandwidth": 1935, "pcie": 64},
    "Model": {"n_layer": 96, "n_head": 96, "dim_head": 128},
}


# The catalogue, one row a line; `-` is unpublished or none. Peaks are dense TFLOP/s, memory GB, bandwidth GB/s, pcie
# and nvlink (the scale-up link, whatever its vendor calls it) GB/s in both directions together, cache the last level
# in MiB. NVIDIA's, AMD's, Intel's and Google's datasheets and product pages, each figure held against a second
# source; notes where the two disagree.
GPUS = """\
model                     fp32  tf32   fp16   bf16    fp8   int8     fp4 memory bandwidth pcie nvlink nvlink_gpus last_level_cache    architecture multiprocessors  note
A100                      19.5     -    312      -      -      -       -     80      1935   64      -           -                -               -               -  the user's own row
A100-80GB-PCIe            19.5   156    312    312      -    624       -     80      1935   64    600           2               40          Ampere             108  NVLink in bridged pairs only
A100-80GB-SXM             19.5   156    312    312      -    624       -     80      2039   64    600           8               40          Ampere             108
A100-40GB-PCIe            19.5   156    312    312      -    624       -     40      1555   64    600           2               40          Ampere             108  NVLink in bridged pairs only
A100-40GB-SXM             19.5   156    312    312      -    624       -     40      1555   64    600           8               40          Ampere             108
H100-SXM                    67 494.5  989.5  989.5   1979   1979       -     80      3350  128    900           8               50          Hopper             132
H100-PCIe                   51   378  756.5  756.5   1513   1513       -     80      2000  128    600           2               50          Hopper             114  NVLink in bridged pairs only; 2,039 GB/s by clock and bus
H100-NVL                    60 417.5  835.5  835.5 1670.5 1670.5       -     94      3938  128    600           2               50          Hopper             132  one card: brochures print the pair; NVLink in bridged pairs only
H200-SXM                    67 494.5  989.5  989.5   1979   1979       -    141      4800  128    900           8               50          Hopper             132
H200-NVL                    60 417.5  835.5  835.5 1670.5 1670.5       -    141      4800  128    900           4               50          Hopper             132  NVLink in bridged groups of 2 or 4
H20                         44    74    148    148    296    296       -     96      4000  128    900           8               60               -               -  no datasheet: all secondary; bandwidth also given as 4,096
H800-SXM                    67 494.5  989.5  989.5   1979   1979       -     80      3350  128    400           8               50          Hopper             132  no datasheet: compute taken as H100-SXM, links as 400 GB/s
B200-SXM                    75  1125   2250   2250   4500   4500    9000    180      8000  128   1800           8              126       Blackwell             148  bandwidth disputed, 8,000 or 7,700; memory 180 or 192
B300-SXM                    75  1125   2250   2250   4500  153.5   13500    270      8000  256   1800           8                - Blackwell-Ultra             148  bandwidth disputed, 8,000 or 7,700; memory 270 or 288; L2 unpublished
GB200                       80  1250   2500   2500   5000   5000   10000    186      8000  128   1800          72              126       Blackwell             152  half a superchip; memory 186 or 192
GB300                       80  1250   2500   2500   5000    165   15000    279      8000  256   1800          72                - Blackwell-Ultra             152  half a superchip; memory 279 or 288; L2 unpublished
V100-SXM2-32GB            15.7     -    125      -      -      -       -     32       900   32    300           8                6               -               -
P100-SXM2-16GB            10.6     -   21.2      -      -      -       -     16       732   32    160           8                4               -               -  no tensor cores
T4                         8.1     -     65      -      -    130       -     16       320   32      -           -                4               -               -  bandwidth disputed, 320 or 300
L4                        30.3    60    121    121  242.5  242.5       -     24       300   64      -           -               48               -               -  datasheet prints sparse figures
L40S                      91.6   183 362.05 362.05    733    733       -     48       864   64      -           -               96             Ada             142  L2 also given as 48
L40                       90.5  90.5 181.05 181.05    362    362       -     48       864   64      -           -               96               -               -
A10                       31.2  62.5    125    125      -    250       -     24       600   64      -           -                6               -               -  not the A10G
A30                       10.3  82.5    165    165      -    330       -     24       933   64    200           2               24               -               -  NVLink in bridged pairs only
A40                       37.4  74.8  149.7  149.7      -  299.3       -     48       696   64  112.5           2                6               -               -  NVLink in bridged pairs only
RTX-A6000                 38.7  77.4  154.8  154.8      -  309.7       -     48       768   64  112.5           2                6               -               -  NVLink in bridged pairs only
RTX-6000-Ada              91.1 182.1  364.2  364.2  728.5  728.5       -     48       960   64      -           -               96               -               -  full-rate FP32 accumulation assumed
RTX-PRO-6000-Server        120   234    468    468    936    936    1872     96      1597  128      -           -              128   Blackwell-RTX             188  bandwidth disputed, 1,597 or 1,792; FP16 from TF32
RTX-PRO-6000-Workstation   126 251.9  503.8  503.8 1007.6 1007.6  2015.2     96      1792  128      -           -              128   Blackwell-RTX             188  TF32, FP8, INT8 by fixed ratios
RTX-3090                  35.6  35.6   71.2   71.2      -  284.6       -     24       936   64  112.5           2                6               -               -  FP32 accumulation; NVLink in bridged pairs only
RTX-4090                  82.6  82.6  165.2  165.2  330.3  660.6       -     24      1008   64      -           -               72               -               -  FP32 accumulation
RTX-5090                 104.8 104.8  209.5  209.5    419    838    1676     32      1792  128      -           -               96               -               -  FP32 accumulation
MI210                     22.6     -    181    181      -    181       -     64      1638   64    300           4                8               -               -  bandwidth marketed as 1,600
MI250X                    47.9     -    383    383      -    383       -    128      3277   64    800           8               16               -               -  two dies that software sees as two GPUs; bandwidth marketed as 3,200
MI300X                   163.4 653.7 1307.4 1307.4 2614.9 2614.9       -    192      5300  128    896           8              256               -               -  link to all 7 peers, 128 to one; TF32 also 490; cache: Infinity Cache
MI325X                   163.4 653.7 1307.4 1307.4 2614.9 2614.9       -    256      6000  128    896           8              256               -               -  link to all 7 peers, 128 to one; cache: Infinity Cache
MI350X                   144.2     - 2306.9 2306.9 4613.7 4613.7  9227.5    288      8000  128   1071           8              256               -               -  link to all 7 peers, 153 to one; cache: Infinity Cache
MI355X                   157.3     - 2516.6 2516.6 5033.2 5033.2 10066.3    288      8000  128   1071           8              256               -               -  link to all 7 peers, 153 to one; cache: Infinity Cache
Gaudi2                       -     -      -    432    865      -       -     96      2460   64    525           8               48               -               -  cache: software-managed SRAM
Gaudi3                       -     -      -   1835   1835      -       -    128      3670  128   1050           8               96               -               -  peak disputed, 1,835 or 1,678 at the shipped clock; cache: SRAM
Max-1550                  52.4   419    839    839      -   1678       -    128      3277  128      -           -              408               -               -  two stacks; link direction unstated
Arc-Pro-B60              12.28     -   98.3   98.3      -    197       -     24       456   64      -           -                -               -               -  cache disputed
TPU-v4                       -     -      -    275      -    275       -     32      1200   32    600        4096                -               -               -  link: 6 neighbours, 100 each
TPU-v5e                      -     -      -    197      -    394       -     16       819    -    400         256                -               -               -  link: 4 neighbours, 100 each; host link unpublished
TPU-v5p                      -     -      -    459    459    918       -     95      2765    -   1200        8960                -               -               -  link: 6 neighbours, 200 each; host link unpublished
TPU-v6e                      -     -      -    918    918   1836       -     32      1638    -    800         256                -               -               -  link: 4 neighbours, 200 each; host link unpublished
TPU-v7                       -     -      -   2307   4614      -       -    192      7380    -   1200        9216                -               -               -  link: 6 neighbours, 200 each; host link unpublished
M2-Ultra                     -     -      -      -      -      -       -    192       800    -      -           -                -               -               -  Apple publishes no FLOP/s
M3-Max                       -     -      -      -      -      -       -    128       400    -      -           -                -               -               -  Apple publishes no FLOP/s; 40-core GPU
M4-Max                       -     -      -      -      -      -       -    128       546    -      -           -                -               -               -  Apple publishes no FLOP/s; 40-core GPU
"""
GPU_UNITS = """\
Dense TFLOP/s; memory in GB; bandwidth, and pcie and nvlink in both directions together, in GB/s;
the last-level cache in MiB; - is unpublished or none. nvlink is the scale-up link of any vendor.
Times of a GPU with an architecture are estimates from measured kernels, of the others bounds.

"""

# What measured kernels and links reach, fitted on half of the rows of each architecture and held against the others
# (README, "Held against silicon"): us, 1e9 exponentials/s of a multiprocessor, parts of the peaks. Ampere, Ada and
# Blackwell RTX begin and end tiles for nothing that can be seen, and Ampere's and Ada's exponentials (16 a clock)
# never limit.
ARCHITECTURES = """\
architecture    launch_us wave_us tile_us exponentials compute_efficiency bandwidth_efficiency latent_bandwidth_efficiency link_latency_us link_hop_us link_two_shot_us link_library_us link_efficiency
Ampere                 13     4.3       0         22.6               0.67                 0.71                        0.71             4.0        0.53              6.7              42            0.68
Hopper                 12     1.3     3.8           17               0.72                 0.90                        0.90             2.2        0.32              4.3              23            0.74
Blackwell              10     1.5     3.4           22               0.64                0.915                        0.72             3.8        0.38              7.2              37            0.69
Blackwell-Ultra       9.8    1.35     2.9           31               0.84                0.905                        0.71             3.8        0.39              7.5              37            0.70
Ada                   8.3     3.5       0         40.3               0.50                0.855                       0.855               -           -                -               -               -
Blackwell-RTX         8.4     3.1       0          5.5               0.76                0.965                       0.965               -           -                -               -               -
"""
# PCIe takes the same on each of them.
PCIE_CONSTANTS = {"pcie_latency_us": 2.3, "pcie_hop_us": 1.6, "pcie_efficiency": 0.62}

# Geometry from the models' published config.json (GPT-3: arXiv:2005.14165, table 2.1), billions of parameters, all
# and those active for one token, from their model cards and papers.
MODELS = """\
name                    n_layer n_head n_kv_head dim_head v_head_dim kv_lora_rank qk_rope_head_dim qk_nope_head_dim hidden_size window n_layer_window n_layer_no_cache n_expert n_expert_active params_b active_params_b weights  note
gpt3-175b                    96     96        96      128          -            -                -                -       12288      -              -                -        -               -    174.6               -       -  its sparse layers counted as dense
llama-2-7b                   32     32        32      128          -            -                -                -        4096      -              -                -        -               -     6.74               -       -
llama-2-70b                  80     64         8      128          -            -                -                -        8192      -              -                -        -               -    68.98               -       -
llama-3.1-8b                 32     32         8      128          -            -                -                -        4096      -              -                -        -               -     8.03               -       -
llama-3.1-70b                80     64         8      128          -            -                -                -        8192      -              -                -        -               -    70.55               -       -
llama-3.1-405b              126    128         8      128          -            -                -                -       16384      -              -                -        -               -   405.85               -       -
llama-4-scout                48     40         8      128          -            -                -                -        5120   8192             36                -       16               1      109              17       -  chunks of 8,192 keys counted as windows
llama-4-maverick             48     40         8      128          -            -                -                -        5120   8192             36                -      128               1      400              17       -  chunks of 8,192 keys counted as windows
mistral-7b-v0.1              32     32         8      128          -            -                -                -        4096   4096             32                -        -               -     7.24               -       -
mixtral-8x7b                 32     32         8      128          -            -                -                -        4096      -              -                -        8               2     46.7            12.9       -
qwen2-72b                    80     64         8      128          -            -                -                -        8192      -              -                -        -               -    72.71               -       -
qwen3-8b                     36     32         8      128          -            -                -                -        4096      -              -                -        -               -      8.2               -       -
qwen3-32b                    64     64         8      128          -            -                -                -        5120      -              -                -        -               -     32.8               -       -
qwen3-235b-a22b              94     64         4      128          -            -                -                -        4096      -              -                -      128               8      235              22       -
qwen3-next-80b-a3b           48     16         2      256          -            -                -                -        2048      -              -               36      512              10       80               3       -  36 layers of linear attention
gemma-2-27b                  46     32        16      128          -            -                -                -        4608   4096             23                -        -               -     27.2               -       -
gemma-3-27b                  62     32        16      128          -            -                -                -        5376   1024             52                -        -               -       27               -       -
gpt-oss-20b                  24     64         8       64          -            -                -                -        2880    128             12                -       32               4     20.9             3.6     fp4
gpt-oss-120b                 36     64         8       64          -            -                -                -        2880    128             18                -      128               4    116.8             5.1     fp4
deepseek-v2-lite             27     16         -        -        128          512               64              128        2048      -              -                -       64               6     15.7             2.4       -
deepseek-v3                  61    128         -        -        128          512               64              128        7168      -              -                -      256               8      671              37     fp8  also R1 and V3.1
kimi-k2                      61     64         -        -        128          512               64              128        7168      -              -                -      384               8     1000              32     fp8
minimax-m2.5                 62     48         8      128          -            -                -                -        3072      -              -                -      256               8      230              10       -
falcon-7b                    32     71         1       64          -            -                -                -        4544      -              -                -        -               -     7.22               -       -
nemotron-3-nano-30b-a3b      52     32         2      128          -            -                -                -        2688      -              -               46      128               6     31.6             3.6       -  23 Mamba-2 and 23 expert layers
"""
MODEL_UNITS = """\
Layers, heads, widths in elements, windows in keys, parameters (all, active for a token) in 1e9.

"""


TEXTS = ("model", "architecture", "name", "weights")  # columns of the tables that hold names


@functools.cache
def catalogue(table: str) -> Mapping[str, Mapping[str, Any]]:
    """The rows of a table by name, as the sections of a config; its first line names the keys."""
    head, *lines = table.splitlines()
    keys = head.split()
    rows = {}
    for line in lines:
        cells = zip(keys, line.split(maxsplit=len(keys) - 1))
        row = {key: cell for key, cell in cells if cell != "-" and key != "note"}
        rows[row[keys[0]]] = {key: cell if key in TEXTS else json.loads(cell) for key, cell in row.items()}
    return rows


# ---------------------------------------------------------------------------------- reading


# What real kernels and links reach: optional, but an estimate needs all that it uses.
KERNEL_KEYS = (
    "multiprocessors launch_us wave_us tile_us exponentials compute_efficiency bandwidth_efficiency"
    " latent_bandwidth_efficiency"
).split()
LINK_KEYS = {
    "nvlink": "link_latency_us link_hop_us link_two_shot_us link_library_us link_efficiency".split(),
    "pcie": "pcie_latency_us pcie_hop_us pcie_efficiency".split(),
}
MEASURED_KEYS = [*KERNEL_KEYS, *LINK_KEYS["nvlink"], *LINK_KEYS["pcie"]]
CONSTANT_KEYS = {  # by the endings of their names
    "multiprocessors": COUNT,
    "exponentials": Key(scale=1e9),
    "tile_us": Key(scale=1e-6, zero=True),
    "wave_us": Key(scale=1e-6, zero=True),
    "_us": Key(scale=1e-6),
    "efficiency": Key(high=1),
}


SECTIONS = {"gpu": "GPU", "model": "Model"}  # of the config, by flag


def section_changes(figures: Mapping[str, Any], flag: str) -> dict[str, Any]:
    """What is of one section in figures by keys such as GPU.bandwidth."""
    start = f"{SECTIONS[flag]}."
    return {key[len(start) :]: value for key, value in figures.items() if key.startswith(start)}


def base_name(key: str) -> str:
    """A key's name where its value is in base units: seconds, not microseconds."""
    return key.replace("_us", "_s")


KERNEL_CONSTANTS = list(map(base_name, KERNEL_KEYS))
LINK_CONSTANTS = {link: list(map(base_name, keys)) for link, keys in LINK_KEYS.items()}

CONFIG_KEYS = {
    "GPU": {
        **dict.fromkeys(COMPUTING, Key(scale=1e12)),
        **dict.fromkeys(("memory", "bandwidth", "pcie"), Key(scale=1e9, required=True)),
        "nvlink": Key(scale=1e9),
        "nvlink_gpus": COUNT._replace(low=2),
        "last_level_cache": Key(scale=2**20),
        **{name: next(key for end, key in CONSTANT_KEYS.items() if name.endswith(end)) for name in MEASURED_KEYS},
    },
    "Model": {
        **dict.fromkeys(("n_layer", "n_head"), COUNT._replace(required=True)),
        **dict.fromkeys(("n_kv_head", "dim_head", "v_head_dim"), COUNT),
        **dict.fromkeys(("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim"), COUNT),
        **dict.fromkeys(("hidden_size", "window"), COUNT),
        **dict.fromkeys(("n_layer_window", "n_layer_no_cache"), COUNT._replace(zero=True)),
        **dict.fromkeys(("n_expert", "n_expert_active"), COUNT),
        **dict.fromkeys(("params_b", "active_params_b"), Key(scale=1e9)),
    },
}


def known_keys(found: object, known: Collection[str], where: str) -> dict[str, Any]:
    """`found` itself, if it is an object with none but known keys."""
    if not isinstance(found, dict):
        raise InputError(f"{where} must be an object {{...}}, not {quoted(found)}")
    for name in found:
        if name not in known:
            hint = did_you_mean(name, known) or f" (known: {', '.join(known):.150})"
            if name in ("architectures", "model_type"):
                hint = " (a published config.json goes to --model)"
            raise InputError(f"{where} has an unknown key {quoted(name)}{hint}")
    return found


def read_section(found: object, section: str, complete: bool = True) -> dict[str, Any]:
    """The checked values of one section of a config, in base units; a GPU's name is one more."""
    keys, values = CONFIG_KEYS[section], {}
    named = ["model"] if section == "GPU" else []
    found = known_keys(found, [*named, *keys], section)
    for name in [*named, *keys]:
        value, key = found.get(name), keys.get(name, FIGURE._replace(required=True))
        try:
            if name not in found:
                if key.required and complete:
                    raise InputError("is missing")
            elif name not in named:
                values[name] = in_base_units(checked(value, key), key)
            elif isinstance(value, str) and value and value.isascii() and value.isprintable():
                values[name] = value
            else:
                raise InputError(f"must be a name in printable ASCII, not {quoted(value)}")
        except InputError as error:
            raise InputError(f"{section}.{name} {error}") from None
    return values


def read_gpu(section: object, source: str, complete: bool = True) -> GPU:
    values = read_section(section, "GPU", complete)
    if complete and not any(name in values for name in COMPUTING):
        raise InputError(f"GPU needs a peak: one of {', '.join(COMPUTING)}")
    if "nvlink_gpus" in values and "nvlink" not in values:
        raise InputError("GPU.nvlink_gpus has no meaning without nvlink")
    figures = {base_name(key): value for key, value in values.items()}
    return GPU(
        name=values["model"],
        peaks={name: values[name] for name in COMPUTING if name in values},
        memory=values["memory"],
        bandwidth=values["bandwidth"],
        links={name: values[name] for name in LINKS if name in values},
        nvlink_gpus=values.get("nvlink_gpus"),
        cache=values.get("last_level_cache"),
        constants={base_name(key): values[key] for key in MEASURED_KEYS if key in values},
        figures=figures,
        source=source,
    )


LATENT_KEYS = ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")


def read_model(section: object, source: str, name: str = "") -> Model:
    values = read_section(section, "Model")
    need = LATENT_KEYS if "kv_lora_rank" in values else ("dim_head",)
    if "kv_lora_rank" in values:
        both = values.keys() & {"dim_head", "n_kv_head"}
        if both:
            raise InputError(f"Model.{min(both)} has no meaning beside kv_lora_rank")
        values["dim_head"] = values.get("qk_nope_head_dim", 0) + values.get("qk_rope_head_dim", 0)
    for key in need:
        if key not in values:
            raise InputError(f"Model.{key} is missing")
    n_layer = values["n_layer"]
    attending = n_layer - values.setdefault("n_layer_no_cache", 0)
    windowed = values.setdefault("n_layer_window", attending if "window" in values else 0)
    full = Layers(
        kind="full",
        n_layer=attending - windowed,
        n_head=values["n_head"],
        n_kv_head=values.setdefault("n_kv_head", values["n_head"]),
        dim_qk=values["dim_head"],
        dim_v=values.setdefault("v_head_dim", values["dim_head"]),
        kv_lora_rank=values.get("kv_lora_rank", 0),
        qk_rope_head_dim=values.get("qk_rope_head_dim", 0),
    )
    if full.n_head % full.n_kv_head:
        raise InputError(f"Model.n_kv_head must divide n_head {full.n_head}, not {full.n_kv_head}")
    if windowed and "window" not in values:
        raise InputError("Model.window is missing: n_layer_window needs it")
    if attending < max(windowed, 1):
        raise InputError(
            "Model.n_layer must be more than n_layer_no_cache and hold n_layer_window:"
            f" {n_layer}, {values['n_layer_no_cache']}, {windowed}"
        )
    window = full._replace(kind="windowed", n_layer=windowed, window=values.get("window", 0))
    return Model(
        name=name,
        n_layer=n_layer,
        layers=tuple(each for each in (full, window) if each.n_layer),
        params=read_parameters(values),
        hidden_size=values.get("hidden_size"),
        figures=values,
        source=source,
    )


def read_parameters(values: Mapping[str, Any]) -> Parameters | None:
    """The counts of a Model section and what sits in experts; InputError for what cannot be.

    >>> mixtral = {"params_b": 46.7, "active_params_b": 12.9, "n_expert": 8, "n_expert_active": 2}
    >>> round(read_parameters(mixtral).routed, 2)  # 33.8 are 6 of 8 experts
    45.07
    """
    total, active = values.get("params_b"), values.get("active_params_b", values.get("params_b"))
    experts, chosen = values.get("n_expert"), values.get("n_expert_active")
    if active is not None and (total is None or active > total):
        counts = f"{active:.12g} of {total or 0:.12g}"
        raise InputError(f"Model.active_params_b must be at most params_b, and stand beside it: {counts}")
    if (experts is None) != (chosen is None):
        raise InputError("Model.n_expert and n_expert_active must stand together")
    if experts and chosen > experts:
        raise InputError(f"Model.n_expert_active must be at most n_expert {experts}, not {chosen}")
    if total is None or active is None:
        return None
    if active == total:
        return Parameters(total, active)
    if chosen == experts and experts is not None:
        raise InputError("Model.active_params_b must be params_b where every expert is active")
    part = chosen / experts if experts else active / total
    if experts and active * experts < total * chosen * (1 - 1e-9):  # figures are rounded
        raise InputError(
            f"Model.active_params_b must be at least {part:.3g} of params_b, the part of the experts that is active"
        )
    return Parameters(total, active, min(total, (total - active) / (1 - part)), part)


MAX_JSON_BYTES = 16 * 2**20


def source_name(path: str) -> str:
    name = "standard input" if path == "-" else ascii(path)[1:-1]
    return name if len(name) <= 120 else f"{name[:100]}... ({len(name)} characters)"


def read_text(path: str, most: int) -> str:
    """The text of a file, or of standard input, `-`, of at most so many bytes."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise InputError(f"{source_name(path)}: is larger than {most >> 20} MiB")
        return data.decode("utf-8-sig")
    except OSError as error:
        trouble = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        trouble = f"is not UTF-8 text (byte {error.start})"
    except ValueError as error:  # a path that no file can have: a NUL byte in it
        trouble = str(error)
    raise InputError(f"{source_name(path)}: {trouble}")


def read_json(path: str, finite: bool = True) -> Any:
    """The JSON document in a file, or on standard input, `-`.

    Stricter than the json module: a key given twice is an error, NaN and Infinity too if `finite`.
    """
    source = source_name(path)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{source}: key {quoted(twice)} is given twice")
        return found

    def not_json(constant: str) -> NoReturn:
        raise InputError(f"{source}: {constant} is not a JSON number")

    def whole(digits: str) -> int:
        if len(digits) > 40:  # int() itself refuses thousands of digits, with words of its own
            raise InputError(f"{source}: a number of {len(digits)} digits is too large")
        return int(digits)

    text = read_text(path, MAX_JSON_BYTES)
    try:
        document = json.loads(
            text, object_pairs_hook=unique, parse_constant=not_json if finite else str, parse_int=whole
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{source}: is not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise InputError(f"{source}: is nested too deeply") from None
    return document


def read_config(path: str | None) -> tuple[Mapping[str, Any], str]:
    """The sections of a config file and its name; without one, those of the script's own."""
    folder = os.path.dirname(__file__)  # none where the script came through standard input
    beside = os.path.join(folder, "config.json")
    if path is not None:
        config, source = naming("--config", read_json, path), source_name(path)
    elif folder and os.path.lexists(beside):
        config, source = read_json(beside), "config.json"
    else:
        config, source = DEFAULT_CONFIG, "built-in config"
    return naming(f"{source}:", known_keys, config, CONFIG_KEYS, "it"), source


def default_sharing(gpu: GPU, model: Model, ngpu: int) -> dict[str, Any]:
    """How named GPUs share the work where no flag says it."""
    return {"split": "head" if heads_divide(model, ngpu) else "seq", "link": joining_link(gpu, ngpu)}


def joining_link(gpu: GPU, ngpu: int) -> str:
    """The scale-up link where the GPU has one that joins so many, or no other; else PCIe."""
    joined = ngpu <= (gpu.nvlink_gpus or ngpu) or "pcie" not in gpu.links
    return "nvlink" if "nvlink" in gpu.links and joined else "pcie"


def heads_divide(model: Model, ngpu: int) -> bool:
    """Whether GPUs get equal numbers of heads, as serving engines ask: K/V heads too, or whole copies of one."""
    return all(
        each.n_head % ngpu == 0 and (each.n_kv_head % ngpu == 0 or ngpu % each.n_kv_head == 0) for each in model.layers
    )


def check_case(gpu: GPU, model: Model, work: Workload) -> None:
    """InputError for what cannot be: more new tokens than keys, GPUs that cannot share the work."""
    if work.query > work.seq:
        raise InputError(f"--query {work.query} must be at most --seq {work.seq}")
    joined = gpu.nvlink_gpus or MAX_COUNT
    if work.link == "nvlink" and work.ngpu > joined:
        raise InputError(f"--link nvlink joins at most {joined} GPUs of {gpu.name}: {work.ngpu}")
    if work.split == "head" and not heads_divide(model, work.ngpu):
        most = min(each.n_head for each in model.layers)
        works = [str(n) for n in range(1, min(most, 256) + 1) if heads_divide(model, n)]
        works = [*works[:12], "..."] if len(works) > 12 else works
        heads = " and ".join(f"{each.n_head} heads, {each.n_kv_head} K/V" for each in model.layers)
        raise InputError(
            f"--split head: {work.ngpu} GPUs do not share {heads} evenly (--ngpu {', '.join(works)}"
            " do; --split seq takes any number)"
        )


def figure(gpu: GPU, flag: str, name: str, known: Mapping[str, float]) -> float:
    """A GPU's figure for what a flag names; InputError if it has none."""
    if name in known:
        return known[name]
    has = f" (it has {', '.join(known)})" if known else ""
    rows, start = catalogue(GPUS), squashed(gpu.name)
    others = [other for other in rows if name in rows[other] and squashed(other).startswith(start)]
    has += f"; {others[0]} has one" if others else ""
    raise InputError(f"--{flag} {name}: {gpu.name} has no figure for it{has}")


# ------------------------------------------------------------- published config.json files

ALIASES = {  # what they call each quantity, in order of precedence
    "n_layer": "num_hidden_layers n_layer n_layers num_layers layers",
    "n_head": "num_attention_heads n_head n_heads num_heads attention_heads",
    "n_kv_head": "num_key_value_heads n_kv_heads n_head_kv num_kv_heads num_attention_groups num_query_groups"
    " num_multi_query_heads kv_n_heads",
    "dim_head": "head_dim attention_head_dim kv_channels dim_head",
    "hidden": "hidden_size n_embd n_embed d_model dim embed_dim",
    "longest": "max_position_embeddings n_positions max_seq_len seq_length model_max_length n_ctx",
    "window": "local_attention sliding_window sliding_window_size attention_window_size attention_chunk_size"
    " window_size",
    "width": "intermediate_size_mlp dense_intermediate_size prefix_dense_intermediate_size intermediate_size"
    " ffn_hidden_size ffn_dim n_inner",
    "activation": "hidden_act hidden_activation activation_function activation",
    "n_expert": "num_local_experts num_experts n_routed_experts moe_num_experts",
    "n_active": "num_experts_per_tok experts_per_token num_experts_per_token moe_topk moe_k moe_top_k top_k_experts",
    "expert_width": "moe_intermediate_size intermediate_size",
    "n_shared": "n_shared_experts num_shared_experts moe_num_shared_experts",
    "shared_width": "shared_expert_intermediate_size shared_intermediate_size share_expert_dim",
    "n_dense": "first_k_dense_replace num_dense_layers moe_layer_start_index",
    "sparse_step": "interleave_moe_layer_step decoder_sparse_step",
}
READ = {key for keys in ALIASES.values() for key in keys.split()}
KIND_PARTS = {"windowed": re.compile("swa_|sliding_(?=att)"), "full": re.compile("global_")}  # of keys for one kind
TEXT_SCOPES = ("text_config", "llm_config", "llm_cfg", "language_config", "thinker_config")  # of text decoders

# The model types whose reading was checked, against transformers 5.23 or their own code; "-" is all others.
#   @ latent attention; * layers differ, so that a schedule must say how; % the same where there is a window, ? where a
#   file sets one; ~ a window is in every layer; ^ if use_sliding_window, from max_window_layers on; else it is ignored
#   = the output layer is the embedding, & four hidden sizes wide, unless a file says otherwise; $ weights not counted
#   :KxD is what the class takes for K/V heads and head width where a file is silent, 0 if that is not known; without a
#   number as many as heads, and hidden size / heads; ! keys that must be there
CHECKED_TYPES = """
afmoe%$:x128 apertus arcee aria_text axk1@ axk2@$ bailing_hybrid@* bamba*:8 beam%$:8x128 biogpt bitnet$:5
blip_text_model$ bloom=& chameleon:32 codegen& cohere= cohere2% cohere2_moe%:x128 cohere_compass_text%
cosmos3_edge_text:8x128 cpmant:x128 csm$:8 ctrl cwm%:8x128 dbrx:0 deepseek_ocr2_text deepseek_v2@ deepseek_v3@
deepseek_v32@ diffllama dots1%:32 emu3_text_model:8 ernie4_5:2x128 ernie4_5_moe:4 ernie4_5_vl_moe_text:4 evolla$:8
exaone4%:32 exaone_moe%:32 falcon=& falcon_h1$:8 flex_olmo flint%:4x128 gemma=:16x256 gemma2%=:4x256 gemma3_text%=:4x256
gemma4_text%:4x256 gemma4_unified_text%:4x256 git glm:2x128 glm4:2x128 glm4_moe:8 glm4_moe_lite@ glm4v_moe_text:8
glm4v_text:2 glm_image_text$:2 glm_moe_dsa@ glm_ocr_text:8 gpt2=& gpt_bigcode=& gpt_neo*=& gpt_neox gpt_neox_japanese
gpt_oss%:8x64 gptj& granite granite4_vision_text granite_docling_text:4 granite_swa%:4 granitemoe granitemoe_swa%
granitemoehybrid* granitemoeshared helium:20x128 hrm_text$:x128!num_layers_per_stack hunyuan_v1_dense hunyuan_v1_moe
hunyuan_vl_text hy_v3:8x128 hy_v4@$ hyperclovax idefics$
inkling2_text%$:8x128!swa_num_key_value_heads,swa_num_attention_heads,swa_head_dim
inkling_text%:8x128!swa_num_key_value_heads,swa_num_attention_heads,swa_head_dim internlm3:2x128 iquestcoder:8x128 jais2
jamba*:8 jetmoe$:16x128 kimi_linear@* kolibri1%:4x128 kosmos_2_5_text_model kosmos_2_text_model laguna%:8x128 lfm2*:8
lfm2_moe*:8 lfm3*:4x128 llama llama4_text%:8x128 mellum%:4x128 minicpm3@ minimax*~:8 minimax_m2:8x128
minimax_m3_vl_text:4x128 ministral~:8 ministral3~:8x128 mistral~:8 mistral4@ mixtral~:8 mllama_text_model*:8
modernbert-decoder%$ molmo2_text:8x128 moshi%$ mpt=& muse_glimmer_text%$:2x128 muse_spark_text%$:16x64 nanochat
nemotron:0 nemotron_h*:8x128 olmo olmo2 olmo3% olmo_hybrid* olmoe~ openai-gpt opt= paddleocr_vl_text:2x128 persimmon phi
phi3~ phi4_multimodal~:8 phimoe~:8 qwen2^:32 qwen2_5_omni_text^:4 qwen2_5_vl_text^:8 qwen2_moe%:16 qwen2_vl_text^:8
qwen3^:32x128 qwen3_5_moe_text*:2x256 qwen3_5_text*:4x256 qwen3_moe%:4 qwen3_next*:2x256 qwen3_omni_moe_text:4
qwen3_vl_moe_text:16 qwen3_vl_text:32x128 recurrent_gemma*~!attention_window_size seed_oss:8x128 smollm3%:4
solar_open:8x128 stablelm:32 starcoder2~=:2 step3_text$ step3p5%:8x128 vaultgemma%:4x256
voxtral_realtime_text~$:8!sliding_window xglm youtu@ zamba*:16x0 zamba2*:0x0!attention_head_dim zaya*$:2x128
RefinedWeb=& RefinedWebModel=& Yi aquila baichuan btlm$ bunny-phi$ chatglm$ codeshell$ cogvlm$ deci$:0 deepseek hf_olmo$
internlm internlm2 jais$ kimi_k2@ llava_llama minicpm$ mixformer-sequential$ molmo$ moss$ nemotron-nas*$:0 phi-msft$
plamo$ qwen$ stablelm_epoch telechat$ xverse yuan$ -?$:0
"""
NOTES = r"(?P<name>[\w-]+)(?P<marks>[@*~%^?=&$]*)(:(?P<n_kv_head>\d*)(x(?P<dim_head>\d+))?)?(!(?P<keys>[\w,]+))?"
WINDOWED = frozenset("*%~^?")  # marks; a class without one ignores windows
CHECKED = {known["name"]: known for known in re.finditer(NOTES, CHECKED_TYPES)}
# What else their classes take; in a pattern of n layers the n-th is full, the others windowed.
CLASS_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama mistral qwen2 qwen3": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
    "gemma3_text": {"hidden_size": 2304, "num_hidden_layers": 26, "num_attention_heads": 8},
    "gemma4_text gemma4_unified_text": {"global_head_dim": 512},
    "gemma2 gpt_oss vaultgemma": {"sliding_window_pattern": 2},
    "gemma3_text gemma4_text gemma4_unified_text": {"sliding_window_pattern": 6},
    "cohere2 exaone4 exaone_moe llama4_text olmo3": {"sliding_window_pattern": 4},
    "cohere2 gemma2 gemma3_text ministral mistral": {"sliding_window": 4096},
    "exaone4 exaone_moe olmo3": {"max_position_embeddings": 2048},
    "falcon RefinedWeb RefinedWebModel gpt_bigcode": {"multi_query": True},
    "qwen2 qwen2_moe qwen2_vl_text qwen2_5_vl_text qwen3 smollm3": {"use_sliding_window": False},
    "llama4_text": {"num_shared_experts": 1},
}
# What the cost model does not have, by the keys that say so and by how such model types begin.
NOT_MODELLED = {
    "an encoder": "use_bidirectional_attention eurobert llama_bidirec",
    "an encoder-decoder": "is_encoder_decoder t5",
    "a diffusion model": "llada dream diffusion sdar",
    "compressed KV entries": "compress_ratios compress_rates deepseek_v4",
    "layers that share a KV cache": "num_kv_shared_layers use_cla kv_source_layers layer_sharing gemma3n",
    "layers that run several times": "total_ut_steps mean_recurrence layer_sharing_repeats",
    "block-sparse attention": "blocksparse_block_size nsa",
    "no attention with a growing KV cache": "mamba falcon_mamba rwkv retnet xlstm gla gsa hgrn abc linear_attn"
    " lightning_attn delta_net gated_delta kda comba mesa_net lightnet rodimus mom samba log_linear",
    "two attentions in each layer": "longcat",
    "windowed layers with K/V heads of their own": "mimo_v2",
}
# Keys that, set in a type that was not checked, may change its attention, and parts that do not.
TELLING = re.compile(
    "window|sliding|swa_|local|global|chunk|shar(e|ed|ing)_(head|kv|layer|att)|_shar(ed|ing)|recur|loop|_kv_|per_layer"
    "|expand_|compress_|index_|sparse_(att|conf)|mamba|ssm|linear|conv|lru|rwkv|_interval|layer_(group|pattern|period)"
    "|att(entio)?n_(type|mode|method|head|proj|con|layer)|state_|mixer|latent|reuse|nsa_|tpa_"
)
HARMLESS = re.compile("rope|expert|moe|mlp|vision|image|audio|bias|norm|^max_window_layers$|^use_")

# The kind of a layer by the names that files give it; "none" keeps no growing KV cache.
KIND_NAMES = {
    "full": "* G full global attention full_attention hybrid indexed_attention deepseek_sparse_attention",
    "windowed": "L local sliding sliding_attention chunked_attention hybrid_sliding",
    "none": "M - E mamba mamba2 recurrent conv moe mlp linear_attention",
}
LAYER_KINDS = {name: kind for kind, names in KIND_NAMES.items() for name in names.split()}
INDEX = range(10_000)  # of a layer: more than any model has
Config = Mapping[str, Any]
# How a key's value v, in a config c, names each layer. The first row that a file has counts; a key with a colon is
# read only in types that CHECKED_TYPES has with what follows.
SCHEDULES: dict[str, Callable[[Any, Config], Iterable[Any]]] = {
    "block_configs": lambda v, c: ("-*"[bool(each["attention"].get("n_heads_in_group"))] for each in v),
    "layer_types layers_block_type hybrid_override_pattern attention_layers": lambda v, c: v,
    "attention_types": lambda v, c: (each for names, n in v if names for _ in range(n) for each in names),
    "block_types _block_types": lambda v, c: itertools.cycle(v),
    "attn_type_list": lambda v, c: ({1: "*", 0: "M"}[i] for i in v),
    "hybrid_layer_pattern no_rope_layers:llama4_text": lambda v, c: ({1: "L", 0: "G"}[i] for i in v),
    "sliding_window_per_layer": lambda v, c: ("GL"[bool(i)] for i in v),
    "linear_attn_config": lambda v, c: ("M*"[i + 1 in v["full_attn_layers"]] for i in INDEX),
    "full_attn_idxs attn_layer_indices": lambda v, c: ("M*"[i in v] for i in INDEX),
    "cross_attention_layers": lambda v, c: ("*M"[i in v] for i in INDEX),
    "sliding_window_layers": lambda v, c: ("GL"[i in v] for i in INDEX),
    "attn_layer_period:jamba": lambda v, c: ("M*"[i % v == c["attn_layer_offset"]] for i in INDEX),
    "full_attention_interval": lambda v, c: ("M*"[i % v == v - 1] for i in INDEX),
    "global_attn_every_n_layers:modernbert-decoder": lambda v, c: ("LG"[i % v == 0] for i in INDEX),
    "max_window_layers:^": lambda v, c: ("GL"[i >= v] for i in INDEX),
    "sliding_window_pattern": lambda v, c: ("LG"[i % v == v - 1] if type(v) is int else v[i % len(v)] for i in INDEX),
}


def text_scope(document: object) -> dict[str, Any]:
    """The text decoder's part of a config, with what only its wrapper says."""
    scope: Any = document
    while isinstance(scope, dict):
        inner = next((scope[key] for key in TEXT_SCOPES if isinstance(scope.get(key), dict)), None)
        if inner is None:
            return scope
        outer, scope = scope, {**inner, "model_type": inner.get("model_type") or scope.get("model_type")}
        if "tie_word_embeddings" in outer:
            scope["tie_word_embeddings"] = outer["tie_word_embeddings"]
        if outer.get("model_type") == "paligemma":  # looks both ways at images only
            scope.pop("use_bidirectional_attention", None)
    raise InputError(f"must be an object {{...}}, not {quoted(document)}")


def with_defaults(scope: dict[str, Any], name: str) -> Config:
    """A config over what its class takes, less what it says itself, by whatever name."""
    said = {key for keys in ALIASES.values() if not scope.keys().isdisjoint(keys.split()) for key in keys.split()}
    rows = [row for types, row in CLASS_DEFAULTS.items() if name in types.split()]
    inner = scope["attn_config"] if isinstance(scope.get("attn_config"), dict) else {}  # MPT, DBRX
    own = scope.get("per_layer_config") or {}
    of_numbers = isinstance(own, dict) and all(map(str.isdecimal, own))
    if not of_numbers or any(not isinstance(each, dict) or each.get("skip") for each in own.values()):
        raise InputError("per_layer_config must hold objects under the numbers of layers, and none that has a skip")
    config = {key: value for row in rows for key, value in row.items() if key not in said}
    return {**config, **inner, **scope, "per_layer_config": {int(i): each for i, each in own.items()}}


def count_at(config: Config, quantity: str, default: int | None = None) -> int:
    """The count under the first of a quantity's names that is present; else the default, if any."""
    names = ALIASES.get(quantity, quantity).split()
    for key in names:
        unused = config.get(key) in (0, -1) and quantity not in ("n_layer", "n_head", "n_kv_head")
        if config.get(key) is not None and not unused:
            return int(naming(key, checked, config[key], COUNT))
    if default is None:
        raise InputError(f"no {' or '.join(names[:2])}, and no default for it is known")
    return default


def refuse_unmodelled(config: Config, known: re.Match[str]) -> None:
    """InputError for what is no decoder, or has an attention that is not modelled or not said."""
    model_type = f"model_type {quoted(config.get('model_type'))}"
    for why, words in NOT_MODELLED.items():
        for word in words.split():
            key = "model_type" if model_type.lower().startswith(f'model_type "{word}') else word
            if config.get(key) and config[key] != "vision":  # Gemma 4: both ways at images only
                raise InputError(f"{key} {quoted(config[key])}: {why}, not modelled")
    if config.get("is_causal") is False or "ForMaskedLM" in str(config.get("architectures")):
        raise InputError("is_causal false, or architectures ForMaskedLM: an encoder, not modelled")
    missing = [key for key in (known["keys"] or "").split(",") if key and config.get(key) is None]
    if missing:
        raise InputError(f"no {missing[0]}, and {model_type} has no default for it that is known")
    if known["name"] != "-":
        return
    if not any("vocab_size" in key for key in config):
        raise InputError("no vocab_size: not the config of a language model")
    for key, value in config.items():
        of_layers = isinstance(value, list) and len(value) == count_at(config, "n_layer")
        telling = of_layers or (value not in (None, False, 0, 1, -1, [], {}) and TELLING.search(key))
        plain = {part.sub("", key) for part in KIND_PARTS.values()}
        read = plain & READ or (not isinstance(value, int) and any(key in keys.split() for keys in SCHEDULES))
        if telling and not read and not HARMLESS.search(key):
            raise InputError(f"{key} {quoted(value)} may change its attention, and {model_type} was not checked")


def window_keys(config: Config) -> int:
    """How many keys a windowed layer sees; 0: there is no window, or one without effect."""
    window = count_at(config, "window", 0) // (2 if config.get("local_attention") else 1)  # ModernBERT's: both sides
    unused = config.get("use_sliding_window") is False or window >= count_at(config, "longest", window + 1)
    return 0 if unused else window


def scheduled(config: Config, known: re.Match[str], n: int) -> list[str]:
    """The kinds of n layers as the first schedule in a file says; none without one."""
    words = ((word.partition(":"), rule) for keys, rule in SCHEDULES.items() for word in keys.split())
    for (key, _, only), rule in words:
        value = config.get(key)
        if not value or only not in known.group():
            continue
        try:
            if isinstance(value, (int, float)):
                checked(value, COUNT)
            kinds = [LAYER_KINDS[name] for name in itertools.islice(rule(value, config), n)]
        except KeyError as error:
            raise InputError(f"{key}: {quoted(error.args[0])} is not known here") from None
        except (TypeError, ValueError, AttributeError, InputError):
            raise InputError(f"{key} {quoted(value)}: not a layer schedule") from None
        if len(kinds) < n or set(kinds) == {"none"}:
            raise InputError(f"{key} has {len(kinds)} entries for {n} layers, or no attention")
        return kinds
    return []


def layer_kinds(config: Config, known: re.Match[str]) -> list[str]:
    """The kind of each layer: "full", "windowed" or "none"."""
    listed = config.get("layer_types") or config.get("layers_block_type")
    n = count_at(config, "n_layer", len(listed) if isinstance(listed, list) else None)
    if n > len(INDEX):
        raise InputError(f"num_hidden_layers {n}: more layers than any model has")
    kinds, window, marks = scheduled(config, known, n), window_keys(config), known["marks"]
    silent = config.keys().isdisjoint([*ALIASES["window"].split(), "sliding_window_per_layer"])
    unsaid = silent and "use_sliding_window" not in config
    if not kinds and ("*" in marks or (window and {*marks} & {*"%^?"}) or (unsaid and "%" in marks)):
        raise InputError("no layer_types, so which layers are of which kind is not known")
    kinds = kinds or ["full"] * n
    kinds[-1] = "full" if known["name"].startswith("gemma4") else kinds[-1]  # whatever the file says
    if (unsaid and "windowed" in kinds) or (silent and config.get("use_sliding_window")):
        raise InputError("no sliding_window, but windowed layers")
    always, never = window and "~" in marks, WINDOWED.isdisjoint(marks)  # whatever a file lists
    read = {"full": "windowed"} if always else {"windowed": "full"} if never else {}
    return [read.get(kind, kind) for kind in kinds]


def of_layer(config: Config, kind: str, i: int) -> Config:
    """The config as layer i sees it: what is said of its kind, or of it alone, on top."""
    own: dict[str, Any] = {}
    for key, value in config.items():
        name = KIND_PARTS[kind].sub("", key)
        unused = name == key or value is None or ("global_key" in key and not config.get("attention_k_eq_v"))
        if key.endswith("_per_layer") and isinstance(value, list):
            if i >= len(value):
                raise InputError(f"{key} has only {len(value)} entries")
            own[key.removesuffix("_per_layer")] = value[i]
        elif name in READ and not unused and not config["per_layer_config"]:
            own[name] = value
    if kind == "windowed" and isinstance(config.get("attention_other_setting"), dict):
        own.update(config["attention_other_setting"])  # Step 3.5
    if config.get("block_configs"):
        own.update(config["block_configs"][i]["attention"])  # Nemotron-NAS
    own.update(config["per_layer_config"].get(i, {}))
    if kind == "full" and own.get("sliding_window"):
        raise InputError(f"sliding_window of layer {i}, but that is a full one")
    return {**config, **own}


def key_value_heads(config: Config, n_head: int, of_class: str) -> int:
    """Key/value heads of a layer, by the many ways of saying so."""
    if config.get("multi_query_attention"):  # ChatGLM
        return count_at(config, "multi_query_group_num")
    for key in ("n_shared_head", "n_heads_in_group"):  # PLaMo, Nemotron-NAS
        if config.get(key):
            if n_head % count_at(config, key):
                raise InputError(f"{key} {config[key]} does not divide {n_head} heads")
            return n_head // count_at(config, key)
    said = {key for key in ALIASES["n_kv_head"].split() if config.get(key) is not None}
    several = config.get("new_decoder_architecture") or said - {"num_kv_heads"}  # that is not in use in Falcon 7B
    kinds = f"{config.get('attention_head_type')} {config.get('attn_type')}"
    if "multiquery" in kinds or (config.get("multi_query") and not several):
        return 1
    all_heads = not of_class or (of_class != "0" and "num_key_value_heads" in config)  # null says so
    return count_at(config, "n_kv_head", n_head if all_heads else int(of_class) or None)


def layer_shape(config: Config, kind: str, known: re.Match[str]) -> Layers:
    """One layer with attention, as it sees the config; Layers of one."""
    n_head, window = count_at(config, "n_head"), window_keys(config) if kind == "windowed" else 0
    kind = "windowed" if window else "full"
    if (config.get("kv_lora_rank") or "@" in known["marks"]) and config.get("use_mla") is not False:
        if known["name"] == "minicpm3":
            config = {"v_head_dim": count_at(config, "hidden") // n_head, **config}
        rank, rope, nope, dim_v = (count_at(config, key) for key in LATENT_KEYS)
        return Layers(kind, 1, n_head, n_head, nope + rope, dim_v, window, rank, rope)
    dim_head = count_at(config, "dim_head", 0 if "head_dim" in config else int(known["dim_head"] or 0))
    if not dim_head:
        width = count_at(config, "attention_projection_size", 0) or count_at(config, "hidden")  # the first: Yuan 2
        if width % n_head or known["dim_head"] == "0":
            raise InputError(f"no head_dim, and hidden_size {width} is not {n_head} heads")
        dim_head = width // n_head
    n_kv_head = key_value_heads(config, n_head, known["n_kv_head"] or "")
    if n_head % n_kv_head:
        raise InputError(f"num_key_value_heads {n_kv_head} does not divide {n_head} heads")
    dim_v = count_at(config, "v_head_dim", dim_head) if known["name"] == "-" else dim_head
    return Layers(kind, 1, n_head, n_kv_head, dim_head, dim_v, window)


def sparse_layers(config: Config, n: int) -> int:
    """How many of n layers have experts, where any has."""
    for key in ("mlp_layer_types", "moe_layer_freq"):
        if isinstance(config.get(key), list):
            return sum({"sparse": 1, "dense": 0, 1: 1, 0: 0}[each] for each in config[key][:n])
    first, step = count_at(config, "n_dense", 0), count_at(config, "sparse_step", 1)
    return sum((i + 1) % step == 0 and i not in (config.get("mlp_only_layers") or ()) for i in range(first, n))


def parameters(config: Config, known: re.Match[str], layers: Sequence[Layers]) -> dict[str, int]:
    """All parameters, and those that a token uses, without norms and biases; nothing where that is not known."""
    uncounted = ("hidden_size_per_layer_input", "moe_latent_size", "enable_moe_block")
    act = next((config[key] for key in ALIASES["activation"].split() if config.get(key)), "")
    if "$" in known["marks"] or any(map(config.get, uncounted)) or not (act or "&" in known["marks"]):
        return {}
    hidden, attention = count_at(config, "hidden"), 0
    for each in layers:
        queries, values = each.n_head * each.dim_qk, each.n_head * each.dim_v
        low = count_at(config, "q_lora_rank", 0) if each.kv_lora_rank else 0
        one = (low * (hidden + queries) or hidden * queries) + hidden * (each.row_elements + values)
        latent = each.kv_lora_rank * (queries - each.n_head * each.qk_rope_head_dim + values)
        attention += each.n_layer * (one + latent)
    n, expert, active = sum(x.n_layer for x in layers), count_at(config, "n_expert", 0), count_at(config, "n_active", 0)
    sparse = sparse_layers(config, n) if expert > 1 else 0
    width = count_at(config, "width", 4 * hidden if "&" in known["marks"] else 0)
    expert_width = count_at(config, "expert_width", 0)
    if (sparse < n and not width) or (sparse and not (expert_width and 0 < active <= expert)):
        return {}
    matrices = hidden * (3 if act in ("silu", "swiglu") or "gemma" in known["name"] else 2)
    shared = count_at(config, "n_shared", 0) * expert_width or count_at(config, "shared_width", 0)
    embeddings = 1 if config.get("tie_word_embeddings", "=" in known["marks"]) else 2
    rest = embeddings * count_at(config, "vocab_size") * hidden + attention + sparse * expert * hidden
    rest += matrices * ((n - sparse) * width + sparse * shared)
    routed = sparse * matrices * expert_width  # with one expert a layer
    return {"params_b": rest + expert * routed, **({"active_params_b": rest + active * routed} if sparse else {})}


def published_model(document: object, name: str, source: str) -> Model:
    """The model that a published config describes; InputError for what is not known to be read right."""
    scope = text_scope(document)
    model_type = scope.get("model_type")
    known = CHECKED.get(str(model_type)) or CHECKED.get(f"{model_type}_text") or CHECKED["-"]
    config = with_defaults(scope, known["name"])
    refuse_unmodelled(config, known)
    kinds = layer_kinds(config, known)
    attending = ((i, kind) for i, kind in enumerate(kinds) if kind != "none")
    shapes = collections.Counter(layer_shape(of_layer(config, kind, i), kind, known) for i, kind in attending)
    layers = sorted((one._replace(n_layer=n) for one, n in shapes.items()), key=lambda x: x.kind)
    sparse, window = ("index_topk", "sparse_config", "index_topk_blocks"), window_keys(config)
    notes = [f"{key}, sparse attention, is counted as dense" for key in sparse if config.get(key)]
    if window and WINDOWED.isdisjoint(known["marks"]):
        notes.append(f"sliding_window {window}: its class ignores it, some engines do not")
    if known["name"] == "-":
        read = (f"{x.n_layer} {x.kind}, {x.n_head} heads, {x.n_kv_head} K/V" for x in layers)
        notes.append(f"model_type {quoted(model_type)} was not checked: read as {' + '.join(read)}")
    figures: dict[str, Any] = {"n_layer": len(kinds)}
    with contextlib.suppress(InputError, TypeError, KeyError):  # what is not said well is not known
        figures["hidden_size"] = count_at(config, "hidden")
        expert, active = count_at(config, "n_expert", 0), count_at(config, "n_active", 0)
        if 1 < expert >= active > 0:
            figures.update(n_expert=expert, n_expert_active=active)
        if "none" not in kinds:
            figures.update(parameters(config, known, layers))
    return Model(
        name=name,
        n_layer=len(kinds),
        layers=tuple(layers),
        params=read_parameters(figures),
        hidden_size=figures.get("hidden_size"),
        figures=figures,
        source=source,
        notes=tuple(f"{name}: {note}" for note in notes),
    )


def with_figures(model: Model, changes: Mapping[str, Any]) -> Model:
    """A published model with other figures of the whole, by the config's keys and in its units."""
    own = changes.keys() - "params_b active_params_b n_expert n_expert_active hidden_size".split()
    if own:
        raise InputError(f"Model.{min(own)} is the file's own: --set takes what is of the whole")
    figures = {**model.figures, **{key: in_base_units(changes[key], CONFIG_KEYS["Model"][key]) for key in changes}}
    return model._replace(params=read_parameters(figures), hidden_size=figures.get("hidden_size"), figures=figures)


def import_model(path: str, changes: Mapping[str, Any] = {}) -> Model:
    """The model that a published config.json (a file, or the folder that holds it) describes."""
    file = os.path.join(path, "config.json") if os.path.isdir(path) else path
    document = naming("--model", read_json, file, False)
    folder, name = os.path.split(os.path.abspath(file))
    name = source_name(os.path.basename(folder) if name == "config.json" else name.removesuffix(".json"))
    where = f"--model {source_name(file)}:"
    model: Model = naming(where, published_model, document, name, source_name(file))
    changed: Model = naming(where, with_figures, model, changes)
    return changed


# ------------------------------------------------------------------------------------------ by name


def match_name(name: str, known: Iterable[str], flag: str) -> str:
    """The known name that is meant, or that alone begins so."""
    wanted = squashed(name)
    found = [each for each in known if squashed(each).startswith(wanted)] if wanted else []
    exact = [each for each in found if squashed(each) == wanted]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise InputError(f"--{flag} {quoted(name)} could be {', '.join(found)}")
    hint = did_you_mean(name, known) or f"; --list-{flag}s lists the known ones"
    raise InputError(f"--{flag} {quoted(name)} is not in the catalogue{hint}")


def find_gpu(name: str, changes: Mapping[str, Any] = {}) -> GPU:
    """A GPU of the catalogue, with other figures by the config's keys and in its units."""
    rows = catalogue(GPUS)
    section = dict(rows[match_name(name, rows, "gpu")])
    if "architecture" in section:
        section.update({**catalogue(ARCHITECTURES)[section["architecture"]], **PCIE_CONSTANTS})
        del section["architecture"]
    return read_gpu({**section, **changes}, "catalogue", complete=False)


def find_model(name: str, changes: Mapping[str, Any] = {}) -> Model:
    """A model of the catalogue, or one that a published config.json describes."""
    rows = catalogue(MODELS)
    path_like = os.sep in name or name.endswith(".json") or name == "-"
    if path_like or (squashed(name) not in map(squashed, rows) and os.path.lexists(name)):
        if name.count("/") == 1 and not os.path.lexists(name) and not name.endswith(".json"):
            where = f"its config.json is at huggingface.co/{source_name(name)}"
            raise InputError(f"--model {quoted(name)}: No such file or directory; {where}")
        return import_model(name, changes)
    section = {**rows[match_name(name, rows, "model")], **changes}
    weights = section.pop("weights", None)
    return read_model(section, "catalogue", section.pop("name"))._replace(weight_dtype=weights)


class Subject(NamedTuple):
    """A GPU or a model that is asked for, and how it is made with other figures."""

    base: Any
    changed: Callable[[Mapping[str, Any]], Any]  # by the config's keys and in its units


def subjects(flags: Mapping[str, Any]) -> tuple[list[Subject], list[Subject]]:
    """The GPUs and the models, each by name or from the config; measured kernels need no model."""

    @functools.cache
    def config() -> tuple[Mapping[str, Any], str]:
        return read_config(flags.get("config"))

    def named(flag: str, table: str, find: Callable[..., Any], read: Callable[..., Any]) -> list[Subject]:
        def own(changes: Mapping[str, Any]) -> Any:
            sections, source = config()
            section = sections.get(SECTIONS[flag], {})
            changed = {**section, **changes} if isinstance(section, dict) else section
            return naming(f"{source}:", read, changed, source)

        found = []
        for name in flags.get(flag, "config").split(","):
            if not name:
                raise InputError(f"--{flag} takes names, not nothing")
            for each in catalogue(table) if name == "all" else [name]:
                make = own if each == "config" else functools.partial(find, each)
                found.append(Subject(make({}), make))
        return found

    gpus = named("gpu", GPUS, find_gpu, read_gpu)
    return gpus, [] if "measured" in flags else named("model", MODELS, find_model, read_model)


# ------------------------------------------------------------------------------- cost model


class Terms(NamedTuple):
    """Seconds by what they are spent on, and in total (less than the sum where terms overlap)."""

    compute_s: float = 0.0
    memory_s: float = 0.0
    sync_s: float = 0.0
    overhead_s: float = 0.0
    total_s: float = 0.0

    @property
    def parts(self) -> dict[str, float]:
        """Seconds of each term by its name."""
        return dict(zip(TERMS, self))

    @property
    def limit(self) -> str:
        """The name of the largest term, of equal ones the first: the verdict."""
        return max(self.parts.items(), key=operator.itemgetter(1))[0]


TERMS = tuple(name[: -len("_s")] for name in Terms._fields if name != "total_s")


class Counts(NamedTuple):
    """FLOPs and bytes: of the whole problem as if on one GPU, and of the busiest GPU."""

    flops: int
    bytes: int  # of traffic with the memory
    kv_read_bytes: int  # of that what the products read of K and V
    exchange_bytes: float
    reduce_bytes: int  # the tensors of all-reduces
    gpu_flops: float
    gpu_bytes: float

    @property
    def intensity(self) -> float:
        """Arithmetic intensity, FLOP/byte."""
        return self.gpu_flops / self.gpu_bytes


Record = TypeVar("Record", Terms, Counts)


def summed(parts: Sequence[tuple[int, Record]]) -> Record:
    """The sum of records, each so many times; sum() would round floats otherwise from Python 3.12 on."""
    count, first = parts[0]
    total: list[Any] = [count * value for value in first]
    for count, record in parts[1:]:
        total = [before + count * value for before, value in zip(total, record)]
    return type(first)(*total)


class Rates(NamedTuple):
    """What a GPU's datasheet promises in one case."""

    compute: float  # FLOP/s in the precision of the arithmetic
    gemm_compute: float  # FLOP/s of products with weights
    gemm_bits: int  # width of what these compute in
    memory: float  # bytes/s
    link: float  # bytes/s, both directions together; infinite for one GPU


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
    projected_flops: int  # of cached latents that the plain form projects to heads again
    q_bytes: int
    k_bytes: int
    v_bytes: int
    s_bytes: int
    a_bytes: int
    latent_bytes: int  # read by that projection
    projected_bytes: int  # written by it

    @property
    def flops(self) -> int:
        return self.scores_flops + self.values_flops + self.projected_flops

    @property
    def kv_bytes(self) -> int:
        """What a fused kernel reads of K and V; absorbed, V is part of K."""
        return self.k_bytes if self.latent_form == "absorbed" else self.k_bytes + self.v_bytes


class Kernel(NamedTuple):
    """What the busiest GPU does in one kernel."""

    name: str
    flops: float = 0.0
    exponentials: float = 0.0
    bytes: float = 0.0  # of traffic with the memory
    tiles: float = 1.0  # blocks of query rows of one K/V head, that a multiprocessor works on
    full_tiles: float = 0.0  # these, or as many as all query rows would fill
    width: int = 128  # of a key
    tail_flops: float = 0.0  # of the longest tile, beyond those of the mean one
    overlaps: bool = False  # whether measured kernels of this kind compute while they read


class Exchange(NamedTuple):
    """What the GPUs send each other at one point of a layer."""

    name: str
    precision: str
    bytes: float  # over all GPUs; of an all-reduce, the tensor that is summed
    directions: int  # of the link that it can use at once: 2 as the user's document has it, else 1
    reduces: bool = False


class Shares(NamedTuple):
    """The busiest GPU's part of one layer, by what is shared."""

    scores: float  # FLOPs, S, and what is projected
    kv: float  # K and V
    rows: float  # Q and A
    latents: float  # that are projected
    kv_heads: float  # of all sequences


class Layer(NamedTuple):
    """One layer of a kind."""

    shape: Layers
    operands: Operands
    share: Shares
    kernels: Sequence[Kernel]
    kernel_terms: Sequence[Terms]  # of each kernel
    exchanges: Sequence[Exchange]
    exchange_s: Sequence[float]  # of each exchange
    counts: Counts
    terms: Terms
    bound_s: float


class Memory(NamedTuple):
    """The KV cache, and whether it fits."""

    kv_bytes_per_token: float  # of every layer, while no window is full
    kv_bytes_per_token_beyond_windows: float  # of the layers without a window
    cache_bytes: int
    gpu_cache_bytes: float
    gpu_weight_bytes: float | None  # None: parameter count unknown, and counted as 0
    fits: bool
    max_batch: int | None  # None: no limit
    max_seq: int | None


class Analysis(NamedTuple):
    """A case and what it costs; every view prints from this alone."""

    gpu: GPU
    model: Model
    work: Workload
    basis: str  # "estimate" or "bound": what the terms, the rest and the verdict are by
    layers: tuple[Layer, ...]
    counts: Counts  # of attention in all layers
    terms: Terms
    bound_s: float  # no implementation of this algorithm in this precision is faster
    rest_s: float | None  # everything but attention; None: parameter count unknown
    ridge: float  # arithmetic intensity where reading takes as long as computing, FLOP/byte
    memory: Memory
    changed: Mapping[str, Any] = {}  # figures that --set gave, by their keys

    @property
    def new_tokens(self) -> int:
        return self.work.batch * self.work.query

    @property
    def step_s(self) -> float | None:
        return None if self.rest_s is None else self.terms.total_s + self.rest_s

    @property
    def attention_share(self) -> float | None:
        return None if self.step_s is None else self.terms.total_s / self.step_s

    @property
    def attention_tokens_per_s(self) -> float | None:
        return self.new_tokens / self.terms.total_s if self.memory.fits else None

    @property
    def step_tokens_per_s(self) -> float | None:
        return self.new_tokens / self.step_s if self.step_s and self.memory.fits else None


# Rows of a tile that packs the query heads of a K/V head, and of one that holds a single head's.
PACKED_ROWS, TILE_ROWS = 64, 128
# Bytes of an all-reduce above which serving frameworks change to a library with a longer start.
MOST_OF_ONE_OR_TWO_SHOTS = 2**24
# Products with weights, fitted to measured ones (README, "The rest of the step"): what a kernel costs, and the parts
# of the peak in 16 bits and more, of the peak below, and of the bandwidth.
GEMM_LAUNCH_S, GEMM_EFFICIENCY, NARROW_GEMM_EFFICIENCY, GEMM_BANDWIDTH = 10e-6, 0.75, 0.6, 0.88


def case_rates(gpu: GPU, work: Workload) -> Rates:
    """The datasheet's; InputError if the GPU lacks a figure that this case needs."""
    compute = figure(gpu, "dtype", work.dtype, gpu.peaks)
    gemm_dtype = work.weight_dtype if work.weight_dtype in gpu.peaks else work.dtype
    return Rates(
        compute=compute,
        gemm_compute=gpu.peaks[gemm_dtype],
        gemm_bits=bits(gemm_dtype),
        memory=gpu.bandwidth,
        link=figure(gpu, "link", work.link, gpu.links) if work.ngpu > 1 else math.inf,
    )


def causal_pairs(seq: int, query: int, window: int) -> int:
    """Query-key pairs of the last `query` of `seq` tokens: sum of min(row's keys, window).

    >>> causal_pairs(8, 3, 0), causal_pairs(8, 3, 7)  # 6 + 7 + 8, and 6 + 7 + 7
    (21, 20)
    """
    context = seq - query
    growing = query if not window else min(query, max(0, window - context))
    return growing * context + growing * (growing + 1) // 2 + (query - growing) * window


def operands(layers: Layers, work: Workload) -> Operands:
    """The shapes, FLOPs and bytes of one layer (README, "The cost model"). Latent attention absorbs its projections
    in decode and reads the latents, prefill projects them to plain K and V heads; in between, whichever needs fewer
    FLOPs.
    """
    if not layers.kv_lora_rank:
        return operands_in_form(None, layers, work)
    absorbed = operands_in_form("absorbed", layers, work)
    plain = operands_in_form("plain", layers, work)
    if work.phase == "extend":
        return plain if plain.flops < absorbed.flops else absorbed
    return plain if work.phase == "prefill" else absorbed


def operands_in_form(form: str | None, layers: Layers, work: Workload) -> Operands:
    query, heads, rank = work.query, work.batch * layers.n_head, layers.kv_lora_rank
    keys = min(work.seq, layers.window + query - 1) if layers.window else work.seq
    n_kv_head, d_qk, d_v = layers.n_kv_head, layers.dim_qk, layers.dim_v
    stored, projected_rows = work.kv_dtype, 0
    if form == "absorbed":
        n_kv_head, d_qk, d_v = 1, layers.row_elements, rank
    elif form == "plain":  # K and V were just projected, they are not the cache
        stored, projected_rows = work.dtype, keys - query
    rows = keys - 1 if work.phase == "decode" else keys
    pairs = causal_pairs(work.seq, query, layers.window) if work.fused else query * keys
    projected_width = d_qk - layers.qk_rope_head_dim + d_v
    return Operands(
        latent_form=form,
        n_kv_head=n_kv_head,
        dim_qk=d_qk,
        dim_v=d_v,
        keys=keys,
        read_rows=rows,
        pairs=pairs,
        scores_flops=heads * pairs * (2 * d_qk - 1),
        values_flops=heads * d_v * (2 * pairs - query),
        projected_flops=2 * heads * projected_rows * rank * projected_width,
        q_bytes=stored_bytes(heads * query * d_qk, work.dtype),
        k_bytes=stored_bytes(work.batch * n_kv_head * rows * d_qk, stored),
        v_bytes=stored_bytes(work.batch * n_kv_head * rows * d_v, stored),
        s_bytes=stored_bytes(heads * query * keys, work.dtype),
        a_bytes=stored_bytes(heads * query * d_v, work.dtype),
        latent_bytes=stored_bytes(work.batch * projected_rows * layers.row_elements, work.kv_dtype),
        projected_bytes=stored_bytes(heads * projected_rows * projected_width, work.dtype),
    )


def output_all_reduce(tokens: int, hidden_size: int, dtype: str) -> Exchange:
    """Of a projection's output. What GPUs add up is at least 16 bits wide."""
    wide = dtype if bits(dtype) >= 16 else "bf16"
    size = stored_bytes(tokens * hidden_size, wide)
    return Exchange("all-reduce", wide, size, directions=1, reduces=True)


def layer_exchanges(layers: Layers, ops: Operands, work: Workload, hidden: int) -> list[Exchange]:
    """What GPUs send each other for one layer's attention, in its order."""
    n, batch, query = work.ngpu, work.batch, work.query
    if n == 1 or work.split == "batch":
        return []
    reduced = output_all_reduce(batch * query, hidden, work.dtype)
    if work.split == "head":
        return [reduced]
    if not work.fused:  # the user's document
        return [
            Exchange("scores", work.dtype, ops.s_bytes, directions=2),
            Exchange("values", work.dtype, ops.a_bytes, directions=2),
        ]
    # Queries go round and return with partial outputs and the logarithm of each row's sum, or keys and values go
    # round: pass-Q and pass-KV (arXiv:2411.01783), whichever is less.
    row_bits = ops.dim_qk * bits(work.dtype) + ops.dim_v * bits(reduced.precision) + 32
    queries = (n - 1) * batch * layers.n_head * query * row_bits / (8 * n)
    rows = min(ops.read_rows, layers.window) if layers.window else ops.read_rows
    keys = (n - 1) * batch * layers.row_elements * rows * bits(work.kv_dtype) / (8 * n)
    passed = Exchange("queries", work.dtype, queries, directions=1)
    if keys < queries:
        passed = Exchange("keys and values", work.kv_dtype, keys, directions=1)
    return [passed, reduced]


def busiest_shares(ops: Operands, work: Workload, exchanges: Sequence[Exchange]) -> Shares:
    n = work.ngpu
    if work.split == "batch":
        part = -(-work.batch // n) / work.batch
        return Shares(part, part, part, part, part)
    if work.split == "head":
        kv = max(1 / n, 1 / ops.n_kv_head)
        return Shares(1 / n, kv, 1 / n, 1, kv)
    if exchanges and exchanges[0].name == "keys and values":
        return Shares(1 / n, 1, 1 / n, 1 / n, 1)
    return Shares(1 / n, 1 / n, 1, 1 / n, 1)


def layer_kernels(layers: Layers, ops: Operands, work: Workload, share: Shares) -> list[Kernel]:
    """What the busiest GPU runs for one layer: one kernel if fused, else three; before them what projects latents."""
    heads_of_kv = work.batch * ops.n_kv_head * share.kv_heads
    query_rows = work.batch * layers.n_head * work.query * share.rows
    packed = math.ceil(query_rows / heads_of_kv / PACKED_ROWS)
    alone = query_rows / heads_of_kv / work.query * math.ceil(work.query / TILE_ROWS)
    tiles = heads_of_kv * min(packed, alone)
    flops = (ops.scores_flops + ops.values_flops) * share.scores
    longest = min(work.seq, layers.window or work.seq) if work.fused else ops.keys
    attention = Kernel(
        name="attention",
        flops=flops,
        exponentials=work.batch * layers.n_head * ops.pairs * share.scores,
        tiles=tiles,
        full_tiles=min(tiles, query_rows / PACKED_ROWS),
        width=ops.dim_qk,
        tail_flops=min(work.query, TILE_ROWS) * (flops / query_rows) * (longest * work.query / ops.pairs - 1),
        overlaps=work.fused and ops.latent_form == "absorbed",
    )
    q, a, s = ops.q_bytes * share.rows, ops.a_bytes * share.rows, ops.s_bytes * share.scores
    k, v = ops.k_bytes * share.kv, ops.v_bytes * share.kv
    kernels = [attention._replace(bytes=ops.kv_bytes * share.kv + q + a)]
    if not work.fused:
        scores, values = ops.scores_flops * share.scores, ops.values_flops * share.scores
        kernels = [
            attention._replace(name="S = Q K^T", flops=scores, exponentials=0, bytes=k + q + s),
            attention._replace(name="softmax", flops=0, bytes=2 * s),
            attention._replace(name="A = S V", flops=values, exponentials=0, bytes=v + s + a),
        ]
    if ops.projected_flops:
        traffic = ops.latent_bytes * share.latents + ops.projected_bytes * share.scores
        projection = Kernel("projection", ops.projected_flops * share.scores, bytes=traffic)
        kernels.insert(0, projection)
    return kernels


def kernel_bound(kernel: Kernel, rates: Rates) -> Terms:
    """The roofline (Williams et al., 2009): as if computing and reading overlapped in full."""
    compute_s, memory_s = kernel.flops / rates.compute, kernel.bytes / rates.memory
    return Terms(compute_s, memory_s, total_s=max(compute_s, memory_s))


def kernel_estimate(kernel: Kernel, rates: Rates, constants: Constants) -> Terms:
    """At the rates that measured kernels reach. They overlap computing and reading little, but for absorbed latent
    attention. What a tile costs beyond the first of a multiprocessor is hidden behind either, what it costs to begin
    and end one with many rows is not.
    """
    count = constants["multiprocessors"]
    compute = rates.compute * constants["compute_efficiency"]
    compute_s = kernel.tail_flops * count / compute + max(
        kernel.flops / compute, kernel.exponentials / (constants["exponentials"] * count)
    )
    reached = "latent_bandwidth_efficiency" if kernel.overlaps else "bandwidth_efficiency"
    memory_s = kernel.bytes / (rates.memory * constants[reached])
    work_s = max(compute_s, memory_s) if kernel.overlaps else compute_s + memory_s
    further = max(0.0, kernel.tiles / count - 1) * (128 + kernel.width) / 256
    overhead_s = (
        constants["launch_s"]
        + max(0.0, constants["wave_s"] * further - work_s)
        + constants["tile_s"] * kernel.full_tiles / count
    )
    return Terms(compute_s, memory_s, overhead_s=overhead_s, total_s=work_s + overhead_s)


def exchange_bound(exchange: Exchange, link: float) -> float:
    """Seconds; of an all-reduce as fast as switches that add can make it."""
    return exchange.bytes / (link / 2 * exchange.directions)


def exchange_estimate(exchange: Exchange, work: Workload, rate: float, constants: Constants) -> float:
    """Seconds at the rate that measured exchanges reach. Over the scale-up link an all-reduce is one-shot (each GPU
    sends all of it to every other) or two-shot (reduce-scatter and all-gather), whichever is shorter, and above 16
    MiB another library's; over PCIe it goes round a ring.
    """
    n, at_full_rate_s = work.ngpu, exchange_bound(exchange, rate)
    ring_s = 2 * (n - 1) / n * at_full_rate_s
    if work.link == "pcie":
        latency_s, hop_s = constants["pcie_latency_s"], constants["pcie_hop_s"]
        if exchange.reduces:
            return latency_s + 2 * (n - 1) * hop_s + ring_s / constants["pcie_efficiency"]
        return latency_s + hop_s * math.log2(n) + at_full_rate_s / constants["pcie_efficiency"]
    efficiency = constants["link_efficiency"]
    if exchange.reduces and exchange.bytes > MOST_OF_ONE_OR_TWO_SHOTS:
        return constants["link_library_s"] + ring_s / efficiency
    latency_s = constants["link_latency_s"] + constants["link_hop_s"] * math.log2(n)
    if not exchange.reduces:
        return latency_s + at_full_rate_s / efficiency
    one_shot_s = (n - 1) * at_full_rate_s / efficiency
    two_shot_s = constants["link_two_shot_s"] + ring_s / efficiency
    return latency_s + min(one_shot_s, two_shot_s)


def analyse_layer(layers: Layers, work: Workload, hidden: int, rates: Rates, constants: Constants | None) -> Layer:
    """One layer by the bound, or with constants by the estimate."""
    ops = operands(layers, work)
    exchanges = layer_exchanges(layers, ops, work, hidden)
    share = busiest_shares(ops, work, exchanges)
    kernels = layer_kernels(layers, ops, work, share)
    kernel_terms = [kernel_bound(kernel, rates) for kernel in kernels]
    exchange_s = [exchange_bound(each, rates.link) for each in exchanges]
    bound_s = max(math.fsum([terms.total_s for terms in kernel_terms]), math.fsum(exchange_s))
    if constants is not None:
        kernel_terms = [kernel_estimate(kernel, rates, constants) for kernel in kernels]
        exchange_s = [exchange_estimate(each, work, rates.link, constants) for each in exchanges]
    alone, sync_s = summed([(1, terms) for terms in kernel_terms]), math.fsum(exchange_s)
    total_s = bound_s if constants is None else alone.total_s + sync_s
    read = ops.kv_bytes if work.fused else ops.k_bytes + ops.v_bytes
    scores = 0 if work.fused else 4 * ops.s_bytes
    counts = Counts(
        flops=ops.flops,
        bytes=ops.q_bytes + read + scores + ops.a_bytes + ops.latent_bytes + ops.projected_bytes,
        kv_read_bytes=read,
        exchange_bytes=math.fsum([each.bytes for each in exchanges if not each.reduces]),
        reduce_bytes=sum([int(each.bytes) for each in exchanges if each.reduces]),
        gpu_flops=math.fsum([kernel.flops for kernel in kernels]),
        gpu_bytes=math.fsum([kernel.bytes for kernel in kernels]),
    )
    terms = alone._replace(sync_s=sync_s, total_s=total_s)
    return Layer(layers, ops, share, kernels, kernel_terms, exchanges, exchange_s, counts, terms, bound_s)


def analyse_memory(gpu: GPU, model: Model, work: Workload) -> Memory:
    """What the cache takes in all, and with the weights (spread evenly) of each GPU's memory."""
    width, decode = bits(work.kv_dtype), work.phase == "decode"
    token_bits = lasting_bits = cache_bits = held_bits = 0
    # Keys are spread over the GPUs; sequences are dealt out, the busiest GPU's are rounded up.
    spread, shares = {"seq": (work.ngpu, 1), "batch": (1, work.ngpu)}.get(work.split, (1, 1))
    sequences = -(-work.batch // shares)
    growth = []  # (the most rows, bits of one on a GPU) of each kind of layer
    for layers in model.layers:
        row_bits = layers.n_layer * layers.row_elements * width
        held = row_bits
        if work.split == "head" and not layers.kv_lora_rank:  # a latent belongs to all heads
            held = row_bits // layers.n_kv_head * max(1, layers.n_kv_head // work.ngpu)
        rows = min(work.seq, layers.window) if layers.window else work.seq
        rows -= decode  # the new row is still on chip
        token_bits += row_bits
        lasting_bits += 0 if layers.window else row_bits
        cache_bits += rows * row_bits
        held_bits += rows * held
        growth.append((layers.window - decode if layers.window else MAX_COUNT, held * sequences))
    cache_bytes = -(-work.batch * cache_bits // 8)
    share = sequences * held_bits / (work.batch * cache_bits * spread) if cache_bits else 0.0
    weights = None
    if model.params is not None:
        weights = model.params.total * bits(work.weight_dtype) / 8 / work.ngpu
    free_bits = int((gpu.memory - (weights or 0.0)) * 8 * spread)
    longest = longest_rows(growth, free_bits)
    room = free_bits >= 0
    return Memory(
        kv_bytes_per_token=token_bits / 8,
        kv_bytes_per_token_beyond_windows=lasting_bits / 8,
        cache_bytes=cache_bytes,
        gpu_cache_bytes=cache_bytes * share,
        gpu_weight_bytes=weights,
        fits=sequences * held_bits <= free_bits,
        max_batch=(shares * (free_bits // held_bits) if held_bits else None) if room else 0,
        max_seq=(None if longest is None else longest + decode) if room else 0,
    )


def longest_rows(growth: list[tuple[int, int]], budget_bits: int) -> int | None:
    """The most rows whose cache fits into the budget; None if windows bound it for any number."""
    growing = sum(row_bits for _, row_bits in growth)
    for most, row_bits in sorted(growth):
        rows = budget_bits // growing
        if rows < most:
            return min(rows, MAX_COUNT)
        budget_bits -= most * row_bits
        growing -= row_bits
    return None


def rest_of_step(model: Model, params: Parameters, work: Workload, rates: Rates, constants: Constants | None) -> float:
    """Seconds of everything but attention: each token computes with the active parameters, each weight that some
    token uses is read once, the experts of a token are chosen evenly, and the output of all layers is all-reduced
    once more each. The estimate is fitted to measured matrix products and experts (README, "The rest of the step").
    """
    tokens, n, weight_bytes = work.batch * work.query, work.ngpu, bits(work.weight_dtype) / 8
    always = params.total - params.routed
    chosen = params.routed * (1 - (1 - params.chosen) ** tokens)  # by some token
    reduced = output_all_reduce(tokens, model.hidden, work.dtype)
    if constants is None:
        reduce_s = model.n_layer * exchange_bound(reduced, rates.link)
        compute_s = 2 * params.active * tokens / (rates.gemm_compute * n)
        return max(compute_s, (always + chosen) * weight_bytes / (rates.memory * n), reduce_s)
    part = GEMM_EFFICIENCY if rates.gemm_bits >= 16 else NARROW_GEMM_EFFICIENCY
    compute, memory = rates.gemm_compute * part, rates.memory * GEMM_BANDWIDTH
    flops = 2 * always * tokens
    gemm_s = max(flops / compute, always * weight_bytes / memory)
    expert_s = 2 * (params.active - always) * tokens / compute + chosen * weight_bytes / memory
    kernels_s = (4 if params.routed else 2) * GEMM_LAUNCH_S
    reduce_s = exchange_estimate(reduced, work, rates.link, constants) if n > 1 else 0.0
    return (gemm_s + expert_s) / n + model.n_layer * (kernels_s + reduce_s)


def analyse(gpu: GPU, model: Model, work: Workload, bound_only: bool = False) -> Analysis:
    """The whole answer for one case, as an estimate if the GPU has the constants; InputError for what cannot be."""
    check_case(gpu, model, work)
    rates = case_rates(gpu, work)
    constants = gpu.constants if gpu.has_estimate(work.ngpu, work.link) and not bound_only else None
    layers = tuple([analyse_layer(each, work, model.hidden, rates, constants) for each in model.layers])
    counts = [layer.shape.n_layer for layer in layers]
    return Analysis(
        gpu=gpu,
        model=model,
        work=work,
        basis="bound" if constants is None else "estimate",
        layers=layers,
        counts=summed([*zip(counts, [layer.counts for layer in layers])]),
        terms=summed([*zip(counts, [layer.terms for layer in layers])]),
        bound_s=summed([(n, Terms(total_s=layer.bound_s)) for n, layer in zip(counts, layers)]).total_s,
        rest_s=model.params and rest_of_step(model, model.params, work, rates, constants),
        ridge=rates.compute / rates.memory,
        memory=analyse_memory(gpu, model, work),
    )


# -------------------------------------------------------------------------- what would help


def half_length(case: Analysis) -> int | None:
    """The shortest sequence with which attention takes at least half of the step. None where none does, or the rest
    of the step is unknown or depends on the length: in prefill.
    """
    rest_s = case.rest_s
    if rest_s is None or case.work.phase == "prefill":
        return None

    def reaches(seq: int) -> bool:
        phase = phase_of(case.work.query, seq, case.work.phase == "decode")
        work = case.work._replace(seq=seq, phase=phase)
        attention_s = analyse(case.gpu, case.model, work, case.basis == "bound").terms.total_s
        return attention_s >= rest_s

    too_short, long_enough = case.work.query - 1, 2**40
    if not reaches(long_enough):
        return None
    while long_enough - too_short > 1:
        middle = (too_short + long_enough) // 2
        if reaches(middle):
            long_enough = middle
        else:
            too_short = middle
    return long_enough


class Change(NamedTuple):
    """A change to a case, and what it brings."""

    flags: str
    what: str
    attention_gain: float  # time per new token before / after
    step_gain: float | None  # None: the rest of the step is unknown
    fits: bool
    after: Analysis


def flags_between(before: Analysis, after: Analysis) -> str:
    """What makes one case of another. Cache and weights do not follow the arithmetic here."""
    held = ("kv_dtype", "weight_dtype") if after.work.dtype != before.work.dtype else ()
    flags = [
        f"--{dashed(name)} {value}"
        for name, value in after.work._asdict().items()
        if value != getattr(before.work, name) or name in held
    ]
    if before.model.layers != after.model.layers:
        flags.append(f"--set Model.n_kv_head={after.model.layers[0].n_kv_head}")
    return " ".join(flags).replace("--fused True", "--fused")


def changes_to(case: Analysis, what: str, model: Model, work: Workload) -> list[Change]:
    """The change to another model or workload, if that can be, and makes something faster by a hundredth or fit."""
    try:
        after = analyse(case.gpu, model, work, case.basis == "bound")
    except InputError:  # more GPUs than a link joins, say
        return []
    tokens, step_gain = after.new_tokens / case.new_tokens, None
    gain = case.bound_s / after.bound_s * tokens
    if case.basis == after.basis:  # else more GPUs, but no constants of their link
        gain = case.terms.total_s / after.terms.total_s * tokens
    if case.step_s and after.step_s:
        step_gain = case.step_s / after.step_s * tokens
    fits, fitted = after.memory.fits, case.memory.fits
    if fits < fitted or (fits == fitted and max(gain, step_gain or 0.0) < 1.01):
        return []
    return [Change(flags_between(case, after), what, gain, step_gain, fits, after)]


def other_values(case: Analysis) -> dict[str, dict[Any, str]]:
    """What the flags of a case could be instead, and what that means."""
    work, arithmetic = case.work, [name for name in PRECISIONS[case.work.dtype].lower if name in case.gpu.peaks]

    def narrower(precision: str) -> list[str]:
        return [name for name in PRECISIONS[precision].lower if bits(name) < bits(precision)][:1]

    return {
        "fused": {True: "one fused kernel", False: "separate kernels"},
        "split": SPLITS if work.ngpu > 1 else {},
        "link": LINKS if work.ngpu > 1 else {},
        "kv_dtype": {name: f"{name} KV cache" for name in narrower(work.kv_dtype)},
        "weight_dtype": {name: f"{name} weights" for name in narrower(work.weight_dtype)},
        "dtype": {name: f"{name} arithmetic" for name in arithmetic[:1]},
        "ngpu": {**({work.ngpu // 2: "half the GPUs"} if work.ngpu % 2 == 0 else {}), 2 * work.ngpu: "twice the GPUs"},
        "batch": {2 * work.batch: "twice the batch"},
    }


ALL_TOGETHER = "all that help together"


def what_would_help(case: Analysis) -> list[Change]:
    """The single changes that help, the largest gain first, and last, if it is more than one flag, those together
    that go on helping once the others are in: no other GPUs, batch or model.
    """
    found: list[Change] = []
    flags = []
    for name, values in other_values(case).items():
        for value, what in values.items():
            work = case.work._replace(**{name: value})
            if name == "ngpu":  # a link or split that the number of GPUs decided follows it
                before, after = (default_sharing(case.gpu, case.model, n) for n in (case.work.ngpu, value))
                work = work._replace(**{k: after[k] for k in after if getattr(work, k) == before[k]})
            helpful = changes_to(case, what, case.model, work)
            found += helpful
            if helpful and name not in ("ngpu", "batch"):
                flags.append({name: value})
    layers = case.model.layers
    typed = "n_kv_head" in case.model.figures and "Model.n_kv_head" not in case.changed
    if typed and not any(each.n_kv_head % 2 or each.kv_lora_rank for each in layers):
        halved = tuple([each._replace(n_kv_head=each.n_kv_head // 2) for each in layers])
        found += changes_to(case, "half the K/V heads", case.model._replace(layers=halved), case.work)
    found.sort(key=lambda change: (-change.fits, -change.attention_gain))
    best, fits = case, case.memory.fits
    while True:  # each time the step, or attention if that is all that is known, is faster, or fits at last
        steps = [changes_to(best, ALL_TOGETHER, best.model, best.work._replace(**flag)) for flag in flags]
        gains = [(each.fits, each.step_gain or each.attention_gain, each.after) for step in steps for each in step]
        better = max(gains, key=lambda each: each[:2], default=(fits, 0.0, best))
        if better[:2] < (fits, 1.01):
            break
        fits, _, best = better
    if any(each.flags == flags_between(case, best) for each in found) or best is case:
        return found
    return found + changes_to(case, ALL_TOGETHER, best.model, best.work)


# ------------------------------------------------------------------------------------------- sweeps


# What is taken of an axis that no flag says: on the config's own figures, the user's document's; where a GPU or model is
# named, what serving engines do (None: it depends on the case, see `workload`).
NOT_SAID: dict[str, tuple[Any, Any]] = {
    "gpu": (None, None),
    "model": (None, None),
    "ngpu": (1, 1),
    "seq": (1024, 1024),
    "batch": (1, 1),
    "gen": (True, True),
    "query": (None, None),
    "dtype": ("fp32", None),
    "kv_dtype": (None, None),
    "weight_dtype": (None, None),
    "fused": (False, True),
    "split": ("seq", None),
    "link": ("pcie", None),
}


class Refusal(NamedTuple):
    """A combination of a sweep that cannot be, and why."""

    gpu: GPU
    model: Model
    work: Workload
    reason: str
    changed: Mapping[str, Any] = {}  # figures that --set gave, by their keys


Outcome = Union[Analysis, Refusal]


class Sweep(NamedTuple):
    """What is asked: the values of every axis, in the order of the grid."""

    axes: Mapping[str, Sequence[Any]]  # None: not said
    given: frozenset[str]  # flags
    common: Mapping[str, str]  # what all cases have in common, as text
    bounds: bool  # whether all are bounds, since one GPU has no constants

    @property
    def total(self) -> int:
        return math.prod(map(len, self.axes.values()))

    @property
    def keys(self) -> list[str]:
        """Of the config, that --set gives."""
        return [name for name in self.axes if "." in name]

    @property
    def varying(self) -> list[str]:
        return [name for name, values in self.axes.items() if len(values) > 1]


def workload(gpu: GPU, model: Model, asked: Mapping[str, Any]) -> Workload:
    """A case of a sweep, with what was not said: what serving engines do."""
    ngpu, seq, narrow = asked["ngpu"], asked["seq"], model.weight_dtype
    dtype = asked["dtype"] or ("fp16" if "bf16" not in gpu.peaks and "fp16" in gpu.peaks else "bf16")
    query = asked["query"] or (1 if asked["gen"] else seq)
    sharing = default_sharing(gpu, model, ngpu)
    as_published = narrow if narrow and bits(narrow) < bits(dtype) else dtype
    return Workload(
        ngpu=ngpu,
        seq=seq,
        batch=asked["batch"],
        query=query,
        phase=phase_of(query, seq, asked["gen"]),
        dtype=dtype,
        kv_dtype=asked["kv_dtype"] or dtype,
        weight_dtype=asked["weight_dtype"] or as_published,
        fused=asked["fused"],
        split=asked["split"] or sharing["split"],
        link=asked["link"] or sharing["link"],
    )


def few(values: Sequence[Any]) -> list[Any]:
    """Both ends of an axis, and the first hundred of what is between."""
    return list(dict.fromkeys((values[0], values[-1], *values[:99])))


def without_constants(axes: Mapping[str, Sequence[Any]]) -> str:
    """The name of a GPU that has no estimate of some case, if any; of what --set changes by the ends of its values."""
    for end, subject in itertools.product((0, -1), axes["gpu"]):
        changes = section_changes({name: values[end] for name, values in axes.items()}, "gpu")
        try:
            gpu: GPU = subject.changed(changes) if changes else subject.base
        except InputError:
            continue  # its rows say why
        for ngpu, link in itertools.product(few(axes["ngpu"]), axes["link"]):
            by = link or joining_link(gpu, ngpu)
            if (ngpu == 1 or by in gpu.links) and not gpu.has_estimate(ngpu, by):
                return gpu.name
    return ""


def common_text(axes: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """What the cases have in common, as a heading: of what was not said, all that is taken."""
    gpus, models = ([subject.base for subject in axes[name]] for name in ("gpu", "model"))
    counts = few(axes["ngpu"])
    first = {name: values[0] for name, values in axes.items()}
    every = itertools.product(gpus, models, counts, axes["dtype"])
    works = [
        workload(gpu, model, {**first, "ngpu": ngpu, "dtype": dtype})
        for gpu, model, ngpu, dtype in itertools.islice(every, 5000)
    ]
    found = {}
    if first["query"] is None and len(axes["gen"]) == 1:
        found["phase"] = "decode" if first["gen"] else "prefill"
    for name in ("gpu", "model"):
        if len(axes[name]) == 1:
            found[name] = f"{name} {first[name].base.name or 'config'}"
    shared = ("split", "link") if max(counts) > 1 else ()
    for name in (*"ngpu seq batch query dtype kv_dtype weight_dtype".split(), *shared):
        if len(axes[name]) == 1 and (name != "query" or first["query"]):
            taken = [first[name]]
            if first[name] is None:
                taken = list(dict.fromkeys(getattr(work, name) for work in works))
            found[name] = f"{dashed(name)} {'/'.join(map(str, taken))}"
    if len(axes["fused"]) == 1:
        found["fused"] = "fused" if first["fused"] else "unfused"
    for name in axes:
        if "." in name and len(axes[name]) == 1:
            found[name] = f"{name} {first[name]:.12g}"
    return found


def set_figures(texts: Sequence[str]) -> dict[str, Sequence[Any]]:
    """The values of every key that --set names."""
    found: dict[str, Sequence[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        known = [f"{section}.{key}" for section, keys in CONFIG_KEYS.items() for key in keys]
        if name not in known:
            hint = did_you_mean(name, known) or " (a number of the config, such as GPU.bandwidth)"
            raise InputError(f"--set {quoted(name)} is not a key that takes a number{hint}")
        if not equals or not values:
            raise InputError(f"--set {name} needs a value: --set {name}=VALUE")
        if name in found:
            raise InputError(f"--set {name} is given twice")
        section, _, key = name.partition(".")
        found[name] = naming(f"--set {name}", values_flag, values, CONFIG_KEYS[section][key])
    return found


def read_sweep(flags: Mapping[str, Any]) -> Sweep:
    gpus, models = subjects(flags)
    named = "gpu" in flags or "model" in flags
    axes = {name: flags.get(name) or [taken[named]] for name, taken in NOT_SAID.items()}
    axes.update({"gpu": gpus, "model": models, **set_figures(flags.get("set", []))})
    lacking = without_constants(axes)
    basis = f"bounds: {lacking} lacks constants" if lacking else "estimates"
    return Sweep(axes, frozenset(flags), {**common_text(axes), "basis": basis}, bool(lacking))


def grid(axes: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Every combination, the last axis fastest, none of them kept."""
    if not axes:
        yield ()
        return
    for head in grid(axes[:-1]):
        for value in axes[-1]:
            yield (*head, value)


def outcomes_of(sweep: Sweep) -> Iterator[Outcome]:
    """The outcome of every combination; like is compared with like."""
    keys = sweep.keys

    @functools.lru_cache(maxsize=1024)
    def made(number: int, axis: str, figures: tuple[Any, ...]) -> Any:
        """A GPU or model with the figures that --set gives, or what is wrong with that."""
        subject, changes = sweep.axes[axis][number], section_changes(dict(zip(keys, figures)), axis)
        try:
            return subject.changed(changes) if changes else subject.base
        except InputError as error:
            return InputError(f"--set: {error}")

    numbered = {name: range(len(sweep.axes[name])) for name in ("gpu", "model")}
    for values in grid(list({**sweep.axes, **numbered}.values())):
        asked = dict(zip(sweep.axes, values))
        figures = tuple([asked[key] for key in keys])
        changed = dict(zip(keys, figures))
        gpu, model = made(asked["gpu"], "gpu", figures), made(asked["model"], "model", figures)
        bases = sweep.axes["gpu"][asked["gpu"]].base, sweep.axes["model"][asked["model"]].base
        try:
            for each in (gpu, model):
                if isinstance(each, InputError):
                    raise each
            case = analyse(gpu, model, workload(gpu, model, asked), sweep.bounds)
            yield case._replace(changed=changed) if keys else case
        except InputError as error:
            yield Refusal(*bases, workload(*bases, asked), str(error), changed)


# ------------------------------------------------------------------------------------ views


# The columns of CSV and JSON: what is asked, and what an analysis answers; null where unknown.
CASE_COLUMNS: dict[str, Callable[[Outcome], Any]] = {
    "gpu": operator.attrgetter("gpu.name"),
    "model": lambda outcome: outcome.model.name or None,
    **{name: operator.attrgetter(f"work.{name}") for name in Workload._fields},
    "error": lambda outcome: outcome.reason if isinstance(outcome, Refusal) else None,
}
DERIVED = """\
bound_s rest_s step_s attention_share new_tokens attention_tokens_per_s step_tokens_per_s"""
RESULT_COLUMNS: dict[str, Callable[[Analysis], Any]] = {
    "basis": operator.attrgetter("basis"),
    "limit": operator.attrgetter("terms.limit"),
    **{name: operator.attrgetter(f"terms.{name}") for name in Terms._fields},
    **{name: operator.attrgetter(name) for name in DERIVED.split()},
    **{name: operator.attrgetter(f"counts.{name}") for name in Counts._fields},
    "intensity_flop_per_byte": operator.attrgetter("counts.intensity"),
    "ridge_flop_per_byte": operator.attrgetter("ridge"),
    **{name: operator.attrgetter(f"memory.{name}") for name in Memory._fields},
}
COLUMNS: dict[str, Callable[[Any], Any]] = {**CASE_COLUMNS, **RESULT_COLUMNS}


def axis_value(outcome: Outcome, axis: str) -> Any:
    """The value of one axis as a person writes it; the config's own model has no name."""
    if axis in outcome.changed:
        return f"{outcome.changed[axis]:.12g}"
    column = CASE_COLUMNS["phase" if axis == "gen" else axis]
    return column(outcome) or ("config" if axis == "model" else False)


def case_name(sweep: Sweep, outcome: Outcome) -> str:
    return ", ".join(f"{dashed(name)} {axis_value(outcome, name)}" for name in sweep.varying)


# The classic report: the user's document, to the byte.

RULE = "-" * 38


class Product(NamedTuple):
    """One matrix product of a head: `rows` x `inner` times `inner` x `columns`."""

    formula: str
    rows: int
    inner: int
    columns: int
    read_width: int  # of the K or V that is read
    flops: int
    read_bytes: int


def report(case: Analysis, sweep: Sweep) -> str:
    """Both products of one layer (of each kind), step by step."""
    work, several, rates = case.work, len(case.layers) > 1, case_rates(case.gpu, case.work)
    lines = [
        RULE,
        f"Working with {work.ngpu} {case.gpu.name} GPUs",
        *([f"Model: {case.model.name}"] if case.model.name else []),
        RULE,
        "QKV size per head",
    ]
    for layer in case.layers:
        ops, kind = layer.operands, f" in {layer.shape.kind} layers" if several else ""
        lines += [
            f"Q{kind}: {work.query} x {ops.dim_qk}",
            f"K{kind} (including cache): {ops.keys} x {ops.dim_qk}",
            f"V{kind} (including cache): {ops.keys} x {ops.dim_v}",
        ]
    size = case.memory.cache_bytes  # cut to a whole number of the largest unit it fills
    name, unit = next(((n, u) for n, u in BYTE_UNITS.items() if size >= u), ("bytes", 1))
    lines.append(f"Cached KV size ({work.kv_dtype.upper()}): {size // unit} {name}")
    for layer in case.layers:
        kind = f"{layer.shape.kind.capitalize()} " if several else ""
        lines += [RULE, f"In {kind}Attention Layer (per {layer.shape.n_head} head)"]
        after = iter(layer.exchanges)  # the document has one after each product
        ops, query = layer.operands, work.query
        d, d_v, keys = ops.dim_qk, ops.dim_v, ops.keys
        for product in (
            Product("S = Q x K^T", query, d, keys, d, ops.scores_flops, ops.k_bytes),
            Product("Attn = S x V", query, keys, d_v, d_v, ops.values_flops, ops.v_bytes),
        ):
            exchange = next(after, None) if not work.fused and work.split == "seq" else None
            lines += report_product(work, layer, product, exchange, rates)
        for i, exchange in enumerate(after):
            what = "All-reducing the output" if exchange.reduces else f"Exchanging {exchange.name}"
            lines += [
                "" if i else RULE,
                f"{what} ({exchange.precision.upper()}): {math.ceil(exchange.bytes)} bytes",
                f"Sync time:  {exchange_bound(exchange, rates.link):.3e}s",
            ]
    return "\n".join(lines) + "\n"


def report_product(
    work: Workload, layer: Layer, product: Product, exchange: Exchange | None, rates: Rates
) -> list[str]:
    """A product, and the exchange that the document has after it. Its bandwidth requirements take the time that one
    GPU would compute.
    """
    ops = layer.operands
    batch = f"{work.batch} x " if work.batch > 1 else ""
    heads, rows, columns = f"{batch}{layer.shape.n_head}", product.rows, product.columns
    kept = work.dtype if ops.latent_form == "plain" else work.kv_dtype
    label, cache_label = work.dtype.upper(), kept.upper()
    element, cache_element = (f"{bits(name) / 8:g}" for name in (work.dtype, kept))
    formula, read = product.formula, product.read_bytes
    alone = kernel_bound(Kernel(formula, product.flops, bytes=read), rates)
    lines = [
        RULE,
        formula,
        f"{heads} x (({rows} x {product.inner}) x ({product.inner} x {columns}))",
        RULE,
        f"Total FLOPS: {product.flops} FLOPS",
        f"Computation time ({label}):  {alone.compute_s * layer.share.scores:.3e}s",
        "",
        f"Read Key Matrix ({cache_label}): {batch}{ops.n_kv_head} x"
        f" ({product.read_width} x {ops.read_rows}) x {cache_element} = {read} bytes",
        f"Memory time:  {alone.memory_s * layer.share.kv:.3e}s",
        "",
    ]
    if exchange:
        sync_s = exchange_bound(exchange, rates.link)
        required = read / (alone.compute_s + sync_s) / 1e12
        lines += [
            f"Synchronizing {formula.split(maxsplit=1)[0]} ({label}): {heads} x"
            f" ({rows} x {columns}) x {element} = {exchange.bytes} bytes",
            f"Sync time:  {sync_s:.3e}s",
            "",
            f"Bandwidth Requirement (with sync): {required:.3f} TB/s",
        ]
    required = read / alone.compute_s / 1e12
    return [*lines, f"Bandwidth Requirement (without sync): {required:.3f} TB/s"]


# The summary: one screen for one case.


def prefixed(value: float, unit: str) -> str:
    """Three significant digits with the prefix that suits them, in at most seven columns before a unit of one letter.

    >>> prefixed(0.00123456, "s"), prefixed(45.6e9, "B"), prefixed(13140, "s"), prefixed(2e7, "s")
    ('1.23 ms', '45.6 GB', '13140 s', '20 Ms')
    """
    if unit == "s" and 1000 <= value < 1e5:
        return f"{value:.0f} s"
    if value and not 1e-15 <= value < 1e21:
        return f"{value:.0e} {unit}".replace("e+", "e")
    value, power = float(f"{value:.3g}"), 0
    if value:
        power = min(max(int(f"{value:e}".split("e")[1]) // 3, -5), 6)
    return f"{value / 1000.0**power:.3g} {'fpnum KMGTPE'[power + 5].strip()}{unit}"


def rounded(value: float) -> str:
    """A number in three digits, or in whole ones where it is large."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}" if value < 1e7 else f"{value:.2e}".replace("e+", "e")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shape_text(layer: Layer) -> str:
    ops, window = layer.operands, layer.shape.window
    width = f"{ops.dim_qk}" if ops.dim_v == ops.dim_qk else f"{ops.dim_qk}/{ops.dim_v}"
    form = f", {ops.latent_form} latent" if ops.latent_form else ""
    seen = f", window {window}" if window else ""
    return f"{plural(layer.shape.n_head, 'head')}, {ops.n_kv_head} K/V, width {width}{form}{seen}"


def question(case: Analysis, sweep: Sweep) -> Iterator[str]:
    """What is asked, a line for each part of it."""
    work, model, gpu = case.work, case.model, case.gpu
    new = plural(work.query, "new token")
    yield f"work       {work.phase}: {plural(work.batch, 'sequence')}, {new} each, {plural(work.seq, 'key')}"
    without = model.n_layer - sum(each.n_layer for each in model.layers)
    rest = f", {without} layers without a cache" if without else ""
    yield f"model      {model.name or 'config'} (from {model.source}){rest}"
    for layer in case.layers:
        yield f"           {plural(layer.shape.n_layer, f'{layer.shape.kind} layer')}: {shape_text(layer)}"
    shared = f", {SPLITS[work.split]}, {LINKS[work.link]}" if work.ngpu > 1 else ""
    yield f"GPUs       {work.ngpu} x {gpu.name} (from {gpu.source}){shared}"
    how = "one fused kernel" if work.fused else "separate kernels"
    yield f"precision  {work.dtype}, {work.kv_dtype} cache, {work.weight_dtype} weights; {how}"
    names = ["dtype", *(["weight_dtype"] if work.weight_dtype != work.dtype else []), "fused"]
    names += ["split", "link"] if work.ngpu > 1 else []
    assumed = [f"--{dashed(name)} {getattr(work, name)}" for name in names if name not in sweep.given]
    if assumed:
        yield f"assumed    {' '.join(assumed)}"
    if case.changed:
        yield f"set        {', '.join(f'{key}={axis_value(case, key)}' for key in case.changed)}"


def verdict(case: Analysis) -> str:
    """The largest term of all, and how far the next is below it."""
    ranked = sorted(case.terms.parts.values(), reverse=True)
    ahead = f"{rounded(ranked[0] / ranked[1])} x the next term" if ranked[1] else "the only term"
    return f"{case.terms.limit} limits attention: {prefixed(ranked[0], 's')}, {ahead}"


def bars(terms: Terms) -> Iterator[str]:
    """A bar for each term, and how far it is below the largest."""
    largest = terms.parts[terms.limit]
    for name, seconds in terms.parts.items():
        if seconds:
            bar = "#" * max(round(32 * seconds / largest), 1)
            note = "<- limits" if name == terms.limit else f"{rounded(largest / seconds)} x below"
            yield f"  {name:9} {bar:32} {prefixed(seconds, 's'):>9}  {note}"


def term_cells(terms: Terms, names: Collection[str]) -> str:
    """Times in eight columns each; a name as wide has one more before it."""
    seconds = {**terms.parts, "total": terms.total_s}
    cells = {name: prefixed(seconds[name], "s") if seconds[name] else "-" for name in names}
    return "".join(f"{cell:>{max(8, len(name) + 1)}}" for name, cell in cells.items())


def term_heads(names: Collection[str]) -> str:
    return "".join(f"{name:>{max(8, len(name) + 1)}}" for name in names)


def cost_table(case: Analysis) -> Iterator[str]:
    """One layer of each kind, its kernels and exchanges if there are several, and all layers."""
    names = (*TERMS, "total")
    yield f"{'':17}{term_heads(names)} FLOP/byte  limit"

    def row(name: str, terms: Terms, flops: float = 0, traffic: float = 0) -> str:
        intensity = rounded(flops / traffic) if traffic else "-"
        return f"{name:17}{term_cells(terms, names)}{intensity:>10}  {terms.limit}"

    for layer in case.layers:
        counts = layer.counts
        yield row(f"{layer.shape.kind} layer", layer.terms, counts.gpu_flops, counts.gpu_bytes)
        if len(layer.kernels) + len(layer.exchanges) > 1:
            for kernel, terms in zip(layer.kernels, layer.kernel_terms):
                yield row(f"  {kernel.name}", terms, kernel.flops, kernel.bytes)
            for exchange, seconds in zip(layer.exchanges, layer.exchange_s):
                yield row(f"  {exchange.name}", Terms(sync_s=seconds, total_s=seconds))
    layers = sum(each.n_layer for each in case.model.layers)
    yield row(f"all {plural(layers, 'layer')}", case.terms, case.counts.gpu_flops, case.counts.gpu_bytes)
    yield f"  ridge point of the datasheet's rates: {rounded(case.ridge)} FLOP/byte"


def memory_lines(case: Analysis) -> Iterator[str]:
    memory, size = case.memory, case.gpu.memory
    growth = f"{memory.kv_bytes_per_token:.12g} bytes per token"
    if memory.kv_bytes_per_token != memory.kv_bytes_per_token_beyond_windows:
        growth += f" ({memory.kv_bytes_per_token_beyond_windows:.12g} beyond the windows)"
    yield f"cache      {growth}, {prefixed(memory.cache_bytes, 'B')} in all"
    weights = ", weights not counted (unknown)"
    if memory.gpu_weight_bytes is not None:
        weights = f" and {prefixed(memory.gpu_weight_bytes, 'B')} of weights"
    held = f"{prefixed(memory.gpu_cache_bytes, 'B')} of cache{weights}"
    yield f"each GPU   {prefixed(size, 'B')}: {held}"
    if memory.max_seq == 0:
        yield "room for   no cache beside the weights"
    else:
        batch, seq = memory.max_batch, memory.max_seq
        most = "any batch" if batch is None else f"--batch {min(batch, MAX_COUNT)}" if batch else "no batch"
        longest = "any length" if seq is None else f"--seq {seq}" if seq >= case.work.query else "no length"
        yield f"room for   {most} at this length, {longest} at this batch;"
        if "GPU.memory" not in case.changed:
            yield f"           engines keep a tenth and more: --set GPU.memory={size * 0.9 / 1e9:.12g}"


def step_lines(case: Analysis) -> Iterator[str]:
    attention = f"attention {prefixed(case.terms.total_s, 's')}"
    if case.rest_s is None or case.step_s is None or case.attention_share is None:
        speed = case.attention_tokens_per_s
        ceiling = f", {rounded(speed)} tokens/s without the rest" if speed else ""
        yield f"one step   {attention}{ceiling};"
        yield "           the rest needs parameter counts: --set Model.params_b=70.6"
    else:
        parts = f"{attention} + rest {prefixed(case.rest_s, 's')}"
        share = f"{case.attention_share:.1%} attention"
        yield f"one step   {parts} = {prefixed(case.step_s, 's')}; {share}"
        speed, half = case.step_tokens_per_s, half_length(case)
        told = [f"{rounded(speed)} tokens/s"] if speed else []
        told += [f"half of it is attention from {half} keys on"] if half and half > 1 else []
        if told:
            yield f"           {'; '.join(told)}"
    if case.basis == "estimate":
        yield f"bound      attention {prefixed(case.bound_s, 's')}: no implementation is faster"
    else:
        yield "bounds     no implementation is faster; no constants for estimates here"


def help_lines(case: Analysis) -> Iterator[str]:
    found = what_would_help(case)
    if not found:
        yield "What would help: no single change"
        return
    yield f"{'What would help':24}attention    step  per new token"
    for change in found:
        flags, fits = f"  {change.flags}", ""
        if len(flags) > 24:
            yield flags
            flags = ""
        if not (change.fits and case.memory.fits):
            fits = ", makes it fit" if change.fits else ", does not fit"
        step = f"{rounded(change.step_gain)} x" if change.step_gain else "-"
        gain = f"{rounded(change.attention_gain)} x"
        yield f"{flags:24}{gain:>9}{step:>8}  {change.what}{fits}"


def summary(case: Analysis, sweep: Sweep) -> str:
    """What limits attention, by how much, why, and what to change first: one screen."""
    lines = [
        *([case_name(sweep, case), ""] if sweep.total > 1 else []),
        *question(case, sweep),
        "",
        *([] if case.memory.fits else [f"! {misfit(case)}"]),
        verdict(case),
        *bars(case.terms),
        "",
        *cost_table(case),
        "",
        *memory_lines(case),
        *step_lines(case),
        "",
        *help_lines(case),
        *([""] if sweep.total > 1 else []),
    ]
    return "\n".join(lines) + "\n"


def misfit(case: Analysis) -> str:
    memory = case.memory
    what, needed = "the KV cache does", memory.gpu_cache_bytes
    if memory.gpu_weight_bytes is not None:
        what, needed = "weights and KV cache do", needed + memory.gpu_weight_bytes
    needed_of = f"{prefixed(needed, 'B')} on each GPU of {prefixed(case.gpu.memory, 'B')}"
    return f"{what} not fit: {needed_of}"


def one_after_another(view: Callable[[Analysis, Sweep], str]) -> Callable[[Sweep, Iterator[Outcome]], Iterator[str]]:
    """A view of one case, for several."""

    def texts(sweep: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
        for outcome in outcomes:
            if isinstance(outcome, Analysis):
                yield view(outcome, sweep)
            else:
                yield f"{case_name(sweep, outcome)}: {outcome.reason}\n"

    return texts


# Many cases: a table, CSV and JSON.


def wrapped(text: str, width: int) -> list[str]:
    import textwrap  # only these views need it

    return textwrap.wrap(text, width, break_on_hyphens=False)


def case_table(sweep: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
    """A line a case: what varies, the terms, the step or tokens/s, and the verdict."""
    axes = sweep.varying or ["seq"]
    widths = {name: axis_width(name, sweep.axes[name]) for name in axes}
    single = max(sweep.axes["ngpu"]) == 1
    idle = {"sync": single, "overhead": sweep.bounds}
    terms = [name for name in (*TERMS, "total") if not idle.get(name)]
    known = all(model.base.params for model in sweep.axes["model"])
    misfits = False
    for number, outcome in enumerate(outcomes):
        if number == 0:
            yield "\n".join(wrapped(", ".join(sweep.common.values()), 80)) + "\n\n"
            heads = " ".join(f"{dashed(name):>{width}}" for name, width in widths.items())
            yield f"{heads}{term_heads(terms)}{'step' if known else 'tokens/s':>9} limit\n"
        cells = (f"{axis_value(outcome, name)!s:>{width}}" for name, width in widths.items())
        row = " ".join(cells)
        if isinstance(outcome, Refusal):
            lines = wrapped(outcome.reason, max(78 - len(row), 30))
            yield f"{row}  " + f"\n{'':{len(row) + 2}}".join(lines) + "\n"
            continue
        misfits = misfits or not outcome.memory.fits
        last = prefixed(outcome.step_s, "s") if outcome.step_s else "-"
        if not known:
            speed = outcome.attention_tokens_per_s
            last = rounded(speed) if speed else "-"
        mark = " " if outcome.memory.fits else "!"
        yield f"{row}{term_cells(outcome.terms, terms)}{last:>9}{mark}{outcome.terms.limit}\n"
    if misfits:
        yield "\n! does not fit into memory\n"


def axis_width(name: str, values: Sequence[Any]) -> int:
    """Wide enough for the axis's name and for all of its values: the ends of a range."""
    if name in ("gpu", "model"):
        texts = [subject.base.name or "config" for subject in values]
    else:
        ends = (values[0], values[-1]) if isinstance(values, range) else values
        texts = [f"{value:.12g}" if isinstance(value, float) else f"{value}" for value in ends]
    return max(map(len, [dashed(name), *texts]))


def cells_of(outcome: Outcome) -> list[Any]:
    """A value for each column; none for what a refusal does not answer."""
    answered = COLUMNS if isinstance(outcome, Analysis) else CASE_COLUMNS
    cells = [column(outcome) for column in answered.values()]
    return cells + [None] * (len(COLUMNS) - len(cells))


def csv_rows(sweep: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
    """RFC 4180 but for lines that end in a newline alone: a header, then a line a case."""
    import csv  # only this view needs it

    truth = {True: "true", False: "false"}
    keys = sweep.keys
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([*COLUMNS, *keys])
    for outcome in outcomes:
        cells = cells_of(outcome) + [outcome.changed[key] for key in keys]
        writer.writerow([truth[cell] if type(cell) is bool else cell for cell in cells])
        yield lines.getvalue()
        lines.seek(0)
        lines.truncate()


CHANGE_NAMES = "flags what attention_gain step_gain fits".split()


def json_lines(sweep: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
    """One case: an object for people too; several: one object a line. First the columns, then what these do not have."""
    indent = 2 if sweep.total == 1 else None
    for outcome in outcomes:
        record: dict[str, Any] = {"schema": 2, **dict(zip(COLUMNS, cells_of(outcome)))}
        if isinstance(outcome, Analysis):
            gpu, model = outcome.gpu, outcome.model
            record["half_seq"] = half_length(outcome)
            record["layers"] = [layer_record(layer) for layer in outcome.layers]
            record["would_help"] = [
                {name: getattr(change, name) for name in CHANGE_NAMES} for change in what_would_help(outcome)
            ]
            record["inputs"] = {
                "gpu": {"from": gpu.source, **gpu.figures},
                "model": {"from": model.source, **model.figures},
                "flags": sorted(sweep.given),
            }
        if outcome.changed:
            record["set"] = dict(outcome.changed)
        yield json.dumps(record, indent=indent, allow_nan=False) + "\n"


def layer_record(layer: Layer) -> dict[str, Any]:
    shape = layer.shape
    return {
        "kind": shape.kind,
        "n_layer": shape.n_layer,
        "n_head": shape.n_head,
        "window_keys": shape.window or None,
        **layer.operands._asdict(),
        **layer.counts._asdict(),
        **layer.terms._asdict(),
        "bound_s": layer.bound_s,
        "limit": layer.terms.limit,
        "kernels": [
            {**kernel._asdict(), **terms._asdict()} for kernel, terms in zip(layer.kernels, layer.kernel_terms)
        ],
        "exchanges": [
            {**exchange._asdict(), "seconds": seconds} for exchange, seconds in zip(layer.exchanges, layer.exchange_s)
        ],
    }


# ------------------------------------------------------------------------------------ picture

# Okabe and Ito's colours, which a colour-blind reader can tell apart; markers tell them apart too.
COLOURS = "#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9 #000000".split()
TERM_COLOURS = dict(zip((*TERMS, "total"), "#e69f00 #0072b2 #009e73 #cc79a7 #000000".split()))
MARKERS: list[list[tuple[float, float]]] = [  # corners round a point
    [(-4, -4), (4, -4), (4, 4), (-4, 4)],
    [(5 * math.cos(n / 2), 5 * math.sin(n / 2)) for n in range(12)],
    [(0, -5), (5, 4), (-5, 4)],
    [(0, -6), (5, 0), (0, 6), (-5, 0)],
]
MAX_POINTS = 2000
LEFT, WIDTH, LEGEND = 90, 640, 750  # of a panel, and where its legend begins
Points = Sequence[tuple[float, float]]
MISFITS = "; does not fit into memory"  # at the end of a title, whose marker is hollow then


class Series(NamedTuple):
    """A line of a panel: its points, with what each says when pointed at."""

    name: str
    points: Points
    titles: Sequence[str]  # of its markers; none: no markers
    colour: str
    marker: int = 0
    style: str = "stroke-opacity='0.5'"

    def drawn(self, points: Points, titles: Sequence[str]) -> Iterator[str]:
        """Its line through points on the page, with markers where these have titles."""
        if len(points) > 1:
            yield svg_line(points, f"stroke='{self.colour}' {self.style}")
        for (x, y), title in zip(points, titles):
            path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in MARKERS[self.marker % len(MARKERS)])
            fill = "#fff" if title.endswith(MISFITS) else self.colour  # hollow
            style = f"fill='{fill}' stroke='{self.colour}'"
            yield f"<polygon points='{path}' {style}><title>{escaped(title)}</title></polygon>\n"


def escaped(text: str) -> str:
    import html  # only this view needs it

    return html.escape(text)


def svg_text(x: float, y: float, text: str, style: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escaped(text)}</text>\n"


def svg_line(points: Points, style: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f"<polyline points='{path}' fill='none' {style}/>\n"


def ticks(low: float, high: float) -> list[float]:
    """Round values within a span: decades, with as few between them as make three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps in ("1", "1 2 5", "1 1.5 2 3 5 7", " ".join(f"{n / 10}" for n in range(10, 100))):
        if len(found) < 3:
            values = [float(f"{step}e{power}") for power in powers for step in steps.split()]
            found = [value for value in values if low <= value <= high]
    return found[:: -(-len(found) // 10)]


def plot(
    top: float, height: float, axes: tuple[tuple[str, str], tuple[str, str]], listed: Mapping[int, Sequence[Series]]
) -> Iterator[str]:
    """A log-log panel of series with axes from the data, and beside it a legend of so many of each group."""
    (across, x_unit), (up, y_unit) = axes
    series = [each for group in listed.values() for each in group]
    bottom, points = top + height, [point for each in series for point in each.points]
    (left, right), (low, high) = ((min(values) / 1.3, max(values) * 1.3) for values in zip(*points))

    def x(value: float) -> float:
        return LEFT + math.log(value / left) / math.log(right / left) * WIDTH

    def y(value: float) -> float:
        return top + math.log(high / value) / math.log(high / low) * height

    for value in ticks(left, right):
        yield svg_line([(x(value), top), (x(value), bottom)], "class='grid'")
        label = prefixed(value, x_unit) if x_unit else f"{value:.12g}"
        yield svg_text(x(value), bottom + 16, label, "text-anchor='middle'")
    for value in ticks(low, high):
        yield svg_line([(LEFT, y(value)), (LEFT + WIDTH, y(value))], "class='grid'")
        yield svg_text(LEFT - 6, y(value) + 4, prefixed(value, y_unit), "text-anchor='end'")
    yield svg_line([(LEFT, top), (LEFT, bottom), (LEFT + WIDTH, bottom)], "class='axis'")
    yield svg_text(LEFT + WIDTH / 2, bottom + 36, across, "text-anchor='middle'")
    yield svg_text(LEFT, top - 10, up)
    for each in reversed(series):
        yield from each.drawn([(x(px), y(py)) for px, py in each.points], each.titles)
    at = top
    for most, group in listed.items():
        named = [each for each in group if each.name]
        for each in named[:most]:
            yield from each.drawn([(LEGEND, at), (LEGEND + 22, at)], [])
            yield from each.drawn([(LEGEND + 11, at)], [each.name] if each.titles else [])
            yield svg_text(LEGEND + 28, at + 4, each.name)
            at += 18
        if len(named) > most:
            yield svg_text(LEGEND + 28, at + 4, f"and {len(named) - most} more")
            at += 18


def point_title(case: Analysis) -> str:
    """The whole case and its figures."""
    names = ["gpu", "model", *Workload._fields, *case.changed]
    told = [f"{dashed(name)} {axis_value(case, name)}" for name in names]
    terms = [f"{name} {prefixed(s, 's')}" for name, s in case.terms.parts.items() if s]
    total = f"{case.basis} {prefixed(case.terms.total_s, 's')}"
    misfits = "" if case.memory.fits else MISFITS
    return f"{', '.join(told)}: {total} ({', '.join(terms)}); {case.terms.limit} limits{misfits}"


def roof_of(case: Analysis) -> tuple[str, str, float, float]:
    """A GPU, a precision, and what limits these: peak and bandwidth."""
    return case.gpu.name, case.work.dtype, case.gpu.peaks[case.work.dtype], case.gpu.bandwidth


def picture(sweep: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
    """A roofline, roofs in the colour of their points; if a number sweeps, the time over it below, by term if alone."""
    if sweep.total > MAX_POINTS:
        raise InputError(f"--format svg shows at most {MAX_POINTS} cases, not {sweep.total}")
    cases = [each for each in outcomes if isinstance(each, Analysis)]
    numbers = [name for name in sweep.varying if "." in name or name in ("ngpu", "seq", "batch", "query")]
    axis = numbers[-1] if numbers else ""
    groups: dict[str, list[Analysis]] = {}
    for case in cases:
        others = [name for name in sweep.varying if name != axis]
        told = [f"{'' if name in ('gpu', 'model') else dashed(name)} {axis_value(case, name)}" for name in others]
        groups.setdefault(" ".join(map(str.strip, told)), []).append(case)
    roofs = list(dict.fromkeys(map(roof_of, cases)))
    intensities = [case.counts.intensity for case in cases]
    upper, lower, tops = list[Series](), list[Series](), list[Series]()
    for n, (gpu, dtype, peak, bandwidth) in enumerate(roofs):
        ridge, rates = peak / bandwidth, f"{prefixed(peak, 'FLOP/s')}, {prefixed(bandwidth, 'B/s')}"
        left, right = min(*intensities, ridge / 4), max(*intensities, ridge * 4)
        points = [(left, left * bandwidth), (ridge, peak), (right, peak)]
        name = f"{gpu} {dtype}: {rates}, ridge {rounded(ridge)}"
        tops.append(Series(name, points, (), COLOURS[n % len(COLOURS)], style="stroke-width='2.5'"))
    seen: collections.Counter[int] = collections.Counter()  # series under each roof, told apart by their markers
    for name, group in groups.items():
        titles = [point_title(case) for case in group]
        roof = roofs.index(roof_of(group[0]))
        n, seen[roof] = (seen[roof] if len(roofs) > 1 else len(upper)), seen[roof] + 1
        colour = COLOURS[(roof if len(roofs) > 1 else n) % len(COLOURS)]
        points = [(case.counts.intensity, case.counts.gpu_flops / case.terms.total_s) for case in group]
        upper.append(Series(name, points, titles, colour, n))
        terms = {"total": colour} if len(groups) > 1 else TERM_COLOURS
        for term, of_term in terms.items() if axis and len(cases) > 1 else ():
            seconds = [{**case.terms.parts, "total": case.terms.total_s}[term] for case in group]
            points = [(float(axis_value(case, axis)), each) for case, each in zip(group, seconds) if each]
            if points:
                lower.append(Series(name or term, points, titles, of_term, n))
    width = max(1000, LEGEND + 60 + 7 * max(len(each.name) for each in (*upper, *lower, *tops)))
    lacking = {
        "cannot be": sweep.total - len(cases),
        "do not fit (hollow)": sum(not case.memory.fits for case in cases),
    }
    told = [f"{count} of {sweep.total} {what}" for what, count in lacking.items() if count]
    heading = wrapped(", ".join([*sweep.common.values(), *told]), width // 8)
    top = 50 + 16 * len(heading)
    height = top + 450 + (410 if lower else 0)
    yield (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'"
        f" viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='12'>\n"
        "<style>.grid{stroke:#ddd}.axis{stroke:#333}</style>\n"
        f"<rect width='{width}' height='{height}' fill='#fff'/>\n"
    )
    for i, line in enumerate(heading):
        yield svg_text(20, 24 + 16 * i, line, "font-size='13' font-weight='bold'")
    work_axes = (("arithmetic intensity, FLOP/byte", ""), ("FLOP/s of the busiest GPU", "FLOP/s"))
    yield from plot(top, 400, work_axes, {12: upper, 8: tops})
    if lower:
        time_axes = ((dashed(axis), ""), ("attention of all layers in one step", "s"))
        yield from plot(top + 480, 310, time_axes, {12: lower})
    yield "</svg>\n"


VIEWS: dict[str, Callable[[Sweep, Iterator[Outcome]], Iterator[str]]] = {
    "report": one_after_another(report),
    "summary": one_after_another(summary),
    "table": case_table,
    "csv": csv_rows,
    "json": json_lines,
    "svg": picture,
}


# --------------------------------------------------------------------------- measured kernels


class Measured(NamedTuple):
    """One measured kernel or all-reduce."""

    line: int  # of the file
    gpu: GPU
    kind: str  # of what was measured: the accuracy's classes
    ngpu: int
    size: float  # latency in us, or bytes of an all-reduce: what the size classes go by
    shape: str
    seconds: float
    resident: bool  # in memory for certain: no last-level cache holds what is read
    needed: Sequence[str]  # the constants of its estimate
    bound_s: float
    estimate: Callable[[Constants], float]  # seconds

    def ratio(self, constants: Constants | None) -> float:
        """The estimate's time (the bound's, without constants) over the measured one."""
        return (self.bound_s if constants is None else self.estimate(constants)) / self.seconds


KERNEL_COLUMNS = ("phase", "batch", "seq", "n_head", "latency_us")
REDUCE_COLUMNS = ("ngpu", "bytes", "latency_us")
MAX_CSV_BYTES = 64 * 2**20

KINDS = ("decode", "prefill", "latent decode", "latent prefill", "all-reduce")
ALL = ("all", 0.0, math.inf)  # sizes from one figure up to another
KERNEL_SIZES = (ALL, ("up to 50 us", 0.0, 50.0), ("above 50 us", 50.0, math.inf), ("above 1 ms", 1000.0, math.inf))
REDUCE_SIZES = (ALL, ("below 256 KiB", 0.0, 2.0**18), ("above 16 MiB", 2.0**24 + 1, math.inf))


def read_measured(path: str, gpu_for: Callable[[str], GPU | None], link: str | None) -> list[Measured]:
    """The rows of a CSV file; `gpu_for` says which GPU a row's `gpu` is, None to leave it out."""
    import csv  # only this needs it

    source = source_name(path)
    text = naming("--measured", read_text, path, MAX_CSV_BYTES)
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    found = []
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        reduces = set(REDUCE_COLUMNS) <= set(columns)
        heads = LATENT_KEYS if "kv_lora_rank" in columns else ("n_kv_head", "dim_head")
        missing = [name for name in (*KERNEL_COLUMNS, *heads) if name not in columns]
        if missing and not reduces:
            raise InputError(f"has no column {missing[0]}")
        for row in reader:
            cells = {name: cell.strip() for name, cell in row.items() if name and cell}
            try:
                gpu = gpu_for(cells.get("gpu", ""))
                if gpu:
                    read = reduce_row if reduces else kernel_row
                    found.append(read(reader.line_num, cells, gpu, link))
            except InputError as error:
                raise InputError(f"line {reader.line_num}: {error}") from None
        if not found:
            raise InputError("has no row for this GPU")
    except (InputError, csv.Error) as error:
        raise InputError(f"{source}: {error}") from None
    return found


def read_cell(row: Mapping[str, str], name: str, key: Key = COUNT) -> Any:
    return naming(name, number_flag, row.get(name, ""), key)


def reduce_row(line: int, row: Mapping[str, str], gpu: GPU, link: str | None) -> Measured:
    ngpu, payload = read_cell(row, "ngpu"), read_cell(row, "bytes")
    if ngpu < 2:
        raise InputError("ngpu must be a whole number from 2, not 1")
    by = link or joining_link(gpu, ngpu)
    work = Workload(ngpu, 1, 1, 1, "decode", "bf16", "bf16", "bf16", True, "head", by)
    rate = figure(gpu, "link", by, gpu.links)
    exchange = Exchange("all-reduce", "bf16", payload, directions=1, reduces=True)
    us = read_cell(row, "latency_us", FIGURE)
    return Measured(
        line=line,
        gpu=gpu,
        kind="all-reduce",
        ngpu=ngpu,
        size=payload,
        shape=f"{payload} bytes over {ngpu} GPUs",
        seconds=us / 1e6,
        resident=True,
        needed=LINK_CONSTANTS[work.link],
        bound_s=exchange_bound(exchange, rate),
        estimate=lambda constants: exchange_estimate(exchange, work, rate, constants),
    )


def kernel_row(line: int, row: Mapping[str, str], gpu: GPU, link: str | None) -> Measured:
    phase = naming("phase", one_of, row.get("phase", ""), ("decode", "prefill"))
    batch, seq, n_head = (read_cell(row, name) for name in ("batch", "seq", "n_head"))
    window = 0 if row.get("window", "0") == "0" else read_cell(row, "window")
    dtype = one_of(row.get("dtype", "bf16"), COMPUTING)
    kv_dtype = one_of(row.get("kv_dtype", "bf16"), PRECISIONS)
    if "kv_lora_rank" in row:
        rank, rope, nope, dim_v = (read_cell(row, name) for name in LATENT_KEYS)
        layers = Layers("full", 1, n_head, n_head, nope + rope, dim_v, window, rank, rope)
    else:
        n_kv_head, dim_head = read_cell(row, "n_kv_head"), read_cell(row, "dim_head")
        if n_head % n_kv_head:
            raise InputError(f"n_kv_head must divide n_head {n_head}, not {n_kv_head}")
        layers = Layers("full", 1, n_head, n_kv_head, dim_head, dim_head, window)
    if dtype not in gpu.peaks:
        raise InputError(f"{gpu.name} has no {dtype} figure: --gpu names the GPU that was measured")
    query = 1 if phase == "decode" else seq
    work = Workload(1, seq, batch, query, phase, dtype, kv_dtype, dtype, True, "seq", "pcie")

    rates = case_rates(gpu, work)

    def kernel_of(layers: Layers) -> Kernel:
        ops = operands(layers, work)
        return layer_kernels(layers, ops, work, busiest_shares(ops, work, ()))[0]

    in_fp8 = kv_dtype == "fp8" and "fp8" in gpu.peaks
    # Measured kernels may do less than the estimate takes them to: compute with an FP8 cache in FP8, and read heads
    # of 192 with values of 128.
    least = layers._replace(dim_v=128) if layers.dim_v == 192 else layers
    fastest = rates._replace(compute=gpu.peaks["fp8"]) if in_fp8 else rates
    kernel, us = kernel_of(layers), read_cell(row, "latency_us", FIGURE)
    heads = f"{n_head}/{layers.n_kv_head} x {layers.dim_qk}"
    return Measured(
        line=line,
        gpu=gpu,
        kind=f"latent {phase}" if layers.kv_lora_rank else phase,
        ngpu=1,
        size=us,
        shape=f"{phase} {batch} x {seq}, {heads}, window {window}, {kv_dtype}",
        seconds=us / 1e6,
        resident=gpu.cache is None or operands(layers, work).kv_bytes > gpu.cache,
        needed=KERNEL_CONSTANTS,
        bound_s=kernel_bound(kernel_of(least), fastest).total_s,
        estimate=lambda constants: kernel_estimate(kernel, rates, constants).total_s,
    )


# Where a search begins: tiles dear and exponentials slow, for a cost that no row feels, the search does not move.
STARTS = {
    "kernel": dict(zip(KERNEL_CONSTANTS[1:-1], (9e-6, 5e-6, 2e-6, 4e9, 0.6, 0.85))),
    "latent": {"latent_bandwidth_efficiency": 0.8},
    "nvlink": dict(zip(LINK_CONSTANTS["nvlink"], (3e-6, 0.4e-6, 5e-6, 25e-6, 0.7))),
    "pcie": dict(zip(LINK_CONSTANTS["pcie"], (3e-6, 1.5e-6, 0.6))),
}
NOT_SEEN = {"exponentials": 1e12, "tile_s": 0.0, "wave_s": 0.0}  # figures at which these cost nothing


def fit(rows: Sequence[Measured]) -> dict[str, float]:
    """The constants of measured kernels, or of a link, that explain them best."""
    if rows[0].kind == "all-reduce":
        link = next(name for name, needed in LINK_CONSTANTS.items() if needed == rows[0].needed)
        return searched(rows, STARTS[link], {}, 0.15)[0]
    given = {"multiprocessors": rows[0].gpu.constants["multiprocessors"], **STARTS["latent"]}
    grouped = [row for row in rows if row.kind != "latent decode"] or rows
    found, least = searched(grouped, STARTS["kernel"], given)
    for name, cost_free in NOT_SEEN.items():  # without it, if the rows do not show it
        fewer = {key: value for key, value in found.items() if key != name}
        without, loss = searched(grouped, fewer, {**given, name: cost_free})
        if loss < least * 1.025 + 0.001:
            found, least, given[name] = without, loss, cost_free
    found = {**given, **found}
    own = rows[0].gpu.constants.get("latent_bandwidth_efficiency", found["bandwidth_efficiency"])
    found["latent_bandwidth_efficiency"] = own
    latent = [row for row in rows if row.kind == "latent decode"]
    if latent:
        tied = {**found, "latent_bandwidth_efficiency": found["bandwidth_efficiency"]}
        apart, loss = searched(latent, STARTS["latent"], found)
        found = {**found, **apart} if loss < 0.8 * searched(latent, {}, tied)[1] else tied
    return found


def searched(
    rows: Sequence[Measured], start: Constants, given: Constants, scale: float = 0.1
) -> tuple[dict[str, float], float]:
    """The constants, and their loss: the mean of log(1 + (error / scale)^2), each kind of row weighing the same, in
    which errors well above the scale hardly weigh. By damped Gauss-Newton steps in the constants' logarithms
    (Levenberg 1944, Marquardt 1963), reweighted by its slope.
    """
    kinds = [row.kind for row in rows]
    shares = [1 / kinds.count(kind) for kind in kinds]

    def errors(constants: Constants) -> list[float]:
        known = {**given, **constants}
        return [math.log(row.estimate(known) / row.seconds) for row in rows]

    def loss(found: list[float]) -> float:
        return math.fsum(w * math.log1p((r / scale) ** 2) for w, r in zip(shares, found))

    best, now, damping, small = dict(start), errors(start), 1e-2, 1e-5
    least, gain = loss(now), 1.0
    while gain > 1e-9:
        moved = [errors({**best, name: best[name] * math.exp(small)}) for name in best]
        slopes = [[(b - a) / small for a, b in zip(now, each)] for each in moved]
        weights = [w / (scale**2 + r * r) for w, r in zip(shares, now)]
        pull = [math.fsum(w * a * b for w, a, b in zip(weights, slope, now)) for slope in slopes]
        normal = [[math.fsum(w * x * y for w, x, y in zip(weights, a, b)) for b in slopes] for a in slopes]
        gain = 0.0
        while gain <= 0 and damping < 1e6:
            steps = solved(normal, pull, damping)
            tried = {name: best[name] * math.exp(-max(-1.0, min(1.0, step))) for name, step in zip(best, steps)}
            tried = {n: min(v, 1.0) if n.endswith("efficiency") else v for n, v in tried.items()}
            after = errors(tried)
            gain, damping = least - loss(after), damping * 5
        if gain > 0:
            best, now, least, damping = tried, after, least - gain, damping / 25
    return best, least


def solved(matrix: list[list[float]], right: list[float], damping: float) -> list[float]:
    """The solution of linear equations with a damped diagonal, by Gaussian elimination."""
    lines = [[*line, value] for line, value in zip(matrix, right)]
    for i, line in enumerate(lines):
        line[i] += damping * line[i] + 1e-9
    for i, pivot in enumerate(lines):
        for line in lines[i + 1 :]:
            part = line[i] / pivot[i]
            line[i:] = [a - part * b for a, b in zip(line[i:], pivot[i:])]
    found: list[float] = []
    for i in reversed(range(len(lines))):
        known = math.fsum(map(operator.mul, lines[i][i + 1 : -1], found))
        found.insert(0, (lines[i][-1] - known) / lines[i][i])
    return found


def accuracy(rows: Sequence[Measured], constants: Constants | None) -> str:
    """How far the estimates (bounds, without constants) are off, by kind and size."""
    import statistics  # only this needs it

    lines = [f"{'':16}{'':14}{'rows':>7}{'faster':>8}{'median':>9}{'90 %':>9}{'bias':>9}"]
    ratios = [(row, row.ratio(constants)) for row in rows]

    def line(kind: str, name: str, some: list[tuple[Measured, float]]) -> None:
        if some:
            faster = sum(row.resident and row.seconds < row.bound_s for row, _ in some)
            errors = sorted(abs(ratio - 1) for _, ratio in some)
            median, most = statistics.median(errors), errors[len(errors) * 9 // 10]
            bias = round(statistics.median([ratio - 1 for _, ratio in some]), 3) + 0.0  # no -0.0
            lines.append(f"{kind:16}{name:14}{len(some):7,}{faster:8,}{median:9.1%}{most:9.1%}{bias:+9.1%}")

    for kind in sorted({row.kind for row in rows}, key=KINDS.index):
        some = [each for each in ratios if each[0].kind == kind]
        for name, low, high in REDUCE_SIZES if kind == "all-reduce" else KERNEL_SIZES:
            line(kind, name, [each for each in some if low <= each[0].size < high])
        for ngpu in sorted({row.ngpu for row, _ in some} - {1}):
            line(kind, f"{ngpu} GPUs", [each for each in some if each[0].ngpu == ngpu])
    lines += ["", "worst ten rows"]
    for row, ratio in sorted(ratios, key=lambda each: -abs(math.log(each[1])))[:10]:
        took = prefixed(row.seconds, "s")
        lines.append(f"  line {row.line}: {row.shape}: {took}, here {ratio:.3g} times as long")
    return "\n".join(lines) + "\n"


def fitted_section(name: str, rows: Sequence[Measured]) -> tuple[Constants, dict[str, Any]]:
    """The constants that fit every other row, and a GPU section of config.json with them."""
    gpu, count = rows[0].gpu, len(set(rows[0].needed) - {"multiprocessors"})
    if "multiprocessors" in rows[0].needed and "multiprocessors" not in gpu.constants:
        raise InputError(f"--fit needs GPU.multiprocessors, which {name} does not have")
    if len(rows) < 2 * count:
        raise InputError(f"--fit needs {2 * count} rows of {name} or more, not {len(rows)}")
    figures, section = {**gpu.figures, **fit(rows[::2])}, {}
    for key in ("model", *CONFIG_KEYS["GPU"]):
        value = figures.get(base_name(key))
        if value is not None:
            precise = ".3g" if base_name(key) in rows[0].needed else ".12g"
            exact = isinstance(value, (str, int))
            scale = 1 if exact else CONFIG_KEYS["GPU"][key].scale
            section[key] = value if exact else float(f"{value / scale:{precise}}")
    return naming(f"--fit of {name}:", read_gpu, section, "").constants, section


def held_against(name: str, rows: Sequence[Measured], fits: bool) -> tuple[str, dict[str, Any] | None, str]:
    """The report on a GPU's rows, with the section of a config that fits them, and a warning."""
    own = rows[0].gpu.constants
    known, section, warning = set(rows[0].needed) <= set(own), None, ""
    constants, what = (own, "estimate") if known else (None, "bound only: no constants")
    typical = sorted(row.ratio(constants) for row in rows)[len(rows) // 2]
    if typical > 30 or (known and typical < 1 / 30):
        warning = f"{name} is {typical:.2g} times as slow here: are latencies in microseconds?"
    if fits:
        constants, figures = fitted_section(name, rows)
        section, rows = {"GPU": figures}, rows[1::2]
        what = "fitted on every other row, held against the rest"
    text = f"{name}, {len(rows):,} rows; {what}\n\n{accuracy(rows, constants)}\n"
    return text, section, warning


# ----------------------------------------------------------------------------- command line

EXAMPLES = """\
{program} [flags]

examples:
  python3 attn_bottleneck.py --ngpu 10     the figures of config.json, ten GPUs
  python3 attn_bottleneck.py --fp16 --seq 2048 --gen False     a prompt of 2048
  python3 attn_bottleneck.py --gpu h100-sxm --model llama-3.1-70b --ngpu 8 \\
      --batch 16 --seq 32K                 what limits, what would help
  python3 attn_bottleneck.py --gpu h100-sxm,b200-sxm --model llama-3.1-8b \\
      --seq 1K:128K:x2                     many cases: a table
  python3 attn_bottleneck.py --gpu h100-sxm --model llama-3.1-8b \\
      --set GPU.bandwidth=3350:6700:x2     what if
"""
LISTS = """\
Flags of a case take lists (1,2,8), counts also ranges: 1024:8192:1024 in steps,
1K:128K:x2 by a factor, ends included; K is 1024, M is 1024 K. `all` is every
GPU or model of the catalogue, `config` the config's own. All combinations are
shown, the last flag of a case varying fastest, --set's keys after them.
"""


class Flag(NamedTuple):
    """A flag: the value's name in the help, and how that is read."""

    group: str
    metavar: str  # "": it takes none
    read: Callable[[str], Any]
    help: str


CASE, FIGURES, OUTPUT, MEASUREMENTS = "case", "figures", "output", "measurements"
FLAGS = {
    "gpu": Flag(CASE, "NAME", str, "a GPU of the catalogue, or config"),
    "model": Flag(CASE, "NAME", str, "a model of the catalogue, config, or a published Hugging"
                  " Face config.json or its folder"),
    "ngpu": Flag(CASE, "N", counts_flag, "GPUs that share the work (default 1)"),
    "seq": Flag(CASE, "N", counts_flag, "keys attended to, the new ones included (1024)"),
    "batch": Flag(CASE, "N", counts_flag, "sequences per step (default 1)"),
    "gen": Flag(CASE, "BOOL", booleans_flag, "generation of one token per sequence (default True);"
                " False: prefill of the whole sequence. true/false, yes/no, 1/0, on/off"),
    "query": Flag(CASE, "N", counts_flag, "new tokens per sequence: speculative decoding, chunked"
                  " prefill (default 1, or all of --seq in prefill)"),
    "dtype": Flag(CASE, "TYPE", names_flag(COMPUTING), f"{', '.join(COMPUTING)} (default fp32; bf16"
                  " or fp16 where a GPU or model is named)"),
    "kv_dtype": Flag(CASE, "TYPE", names_flag(PRECISIONS), "precision of the KV cache, one of these"
                     " or int4 (as --dtype)"),
    "weight_dtype": Flag(CASE, "TYPE", names_flag(PRECISIONS), "precision of the weights (as"
                         " --dtype, or what a named model is published in, if narrower)"),
    "fused": Flag(CASE, "BOOL", booleans_flag, "one kernel that keeps the scores on chip and skips"
                  " what is masked (FlashAttention); default where a GPU or model is named"),
    "split": Flag(CASE, "HOW", names_flag(SPLITS), "what the GPUs share: seq, the keys (default);"
                  " head, the heads (where a GPU or model is named and they divide); batch, the"
                  " sequences"),
    "link": Flag(CASE, "LINK", names_flag(LINKS), "pcie (default) or nvlink, the scale-up link"
                 " (where a GPU or model is named and it joins the GPUs)"),
    "fp16": Flag(CASE, "", str, "short for --dtype fp16"),
    "config": Flag(FIGURES, "FILE", str, "GPU and model figures, - for standard input (default:"
                   " config.json beside the script, else the same values built in)"),
    "set": Flag(FIGURES, "KEY=N", str, "another figure of the GPU or model, in the config's units:"
                " --set GPU.bandwidth=3350:6700:x2; repeatable"),
    "format": Flag(OUTPUT, "VIEW", lambda text: one_of(text, VIEWS), "report (default for the"
                   " config's one case); summary (for a named one): what limits attention, and what"
                   " would help; table (for several), csv, json; svg: a picture"),
    "measured": Flag(MEASUREMENTS, "FILE", str, "hold the model against the measured kernels of a"
                     " CSV file, - for standard input"),
    "fit": Flag(MEASUREMENTS, "", str, "with --measured: the constants that fit the file"),
}  # fmt: skip


def program() -> str:
    """What the user called."""
    return "attn-bottleneck" if os.path.basename(sys.argv[0]) == "attn-bottleneck" else PROGRAM


def to_stderr(text: str) -> None:
    """Text on standard error, or nothing where even that cannot be written."""
    with contextlib.suppress(OSError, AttributeError):  # full disk; no standard error at all
        sys.stderr.write(text)
        sys.stderr.flush()


def diagnose(kind: str, message: str) -> None:
    """One ASCII line, however long the message or what it quotes."""
    line = f"{program()}: {kind}: " + message.encode("ascii", "backslashreplace").decode("ascii")
    to_stderr((line if len(line) <= 300 else f"{line[:296]} ...") + "\n")


class Parser(argparse.ArgumentParser):
    """argparse's splitting of a command line; what it finds wrong is an InputError."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def parser() -> Parser:
    result = Parser(
        prog=program(),
        usage=EXAMPLES.format(program=program()),
        add_help=False,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=80),
    )
    result.color = False  # type: ignore[attr-defined,unused-ignore]  # Python 3.14 colours help
    groups = {name: result.add_argument_group(name) for name in (CASE, FIGURES, OUTPUT, MEASUREMENTS)}
    for name, flag in FLAGS.items():
        takes: dict[str, Any] = {"metavar": flag.metavar}
        if flag.metavar == "BOOL":
            takes.update(nargs="?", const="True")
        elif not flag.metavar:
            takes = {"action": "store_const", "const": ""}
        elif name == "set":
            takes["action"] = "append"
        groups[flag.group].add_argument(f"--{dashed(name)}", help=flag.help, **takes)
    for what in ("gpus", "models"):
        text = f"show the catalogue's {what}"
        groups[FIGURES].add_argument(f"--list-{what}", action="store_true", help=text)
    for flags, text in ((["-h", "--help"], "show this help and exit"), (["--version"], "show the version and exit")):
        groups[OUTPUT].add_argument(*flags, action="store_true", help=text)
    return result


def split_flags(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as text by flag; InputError for an argument that is none."""
    words = sys.argv[1:] if argv is None else argv
    for flag, word in zip(("", *words), words):
        if word == "--" or word.endswith("=--"):  # argparse before 3.13 makes an empty list of it
            after = f" after {quoted(flag)}" if flag and word == "--" else ""
            raise InputError(f"unknown argument {quoted(word)}{after}; see --help")
    found, unknown = parser().parse_known_args(words)
    if unknown and not found.help:
        name = unknown[0].split("=")[0]
        key = name.lstrip("-").replace("-", "_")
        hint = did_you_mean(name, [f"--{dashed(flag)}" for flag in vars(found)])
        for section, keys in CONFIG_KEYS.items():
            if key in keys:
                hint = f" (say --set {section}.{key}=)"
        for flag, known in {"dtype": COMPUTING, "format": VIEWS, "link": LINKS, "split": SPLITS}.items():
            hint = f" (say --{flag} {key})" if key in known else hint
        raise InputError(f"unknown argument {quoted(unknown[0])}{hint}; see --help")
    return found


def check_flags(found: argparse.Namespace) -> dict[str, Any]:
    """The values of the flags that were given."""
    values = {}
    for name, flag in FLAGS.items():
        text = getattr(found, name)
        if text is not None:
            values[name] = text if name == "set" else naming(f"--{dashed(name)}", flag.read, text)
    if "fp16" in values and values.setdefault("dtype", ["fp16"]) != ["fp16"]:
        raise InputError(f"--fp16 and --dtype {found.dtype} contradict each other")
    for name in ("config", "measured"):
        if values.get(name) == "":
            raise InputError(f"--{name} must name a file, or - for standard input")
    piped = [f"--{name} -" for name in ("config", "model", "measured") if values.get(name) == "-"]
    if len(piped) > 1:
        raise InputError(f"{' and '.join(piped)}: standard input can be read once")
    if "fit" in values and "measured" not in values:
        raise InputError("--fit needs --measured FILE")
    return values


PROGRESS_STEP = 10_000


def with_warnings(sweep: Sweep) -> Iterator[Outcome]:
    """The outcomes, with what people must know of them on standard error: what figures leave out, and how many do not
    fit; an InputError if there is none that can be.
    """
    refusals: list[str] = []
    done = misfits = 0
    for outcome in with_progress(sweep):
        if isinstance(outcome, Refusal):
            refusals = refusals or [outcome.reason]
            if sweep.total == 1:
                break
        else:
            models = [] if done else sweep.axes["model"]
            notes = [note for model in models for note in model.base.notes]
            done += 1
            if not outcome.memory.fits:
                misfits += 1
                notes += [misfit(outcome)] if sweep.total == 1 else []
            for note in notes:
                diagnose("warning", note)
        yield outcome
    if refusals and not done:
        raise InputError(refusals[0])
    if misfits and sweep.total > 1:
        diagnose("warning", f"{misfits} of {sweep.total} cases do not fit into memory")


def with_progress(sweep: Sweep) -> Iterator[Outcome]:
    """The outcomes, with their number on standard error if that is a terminal."""
    shown = sweep.total >= PROGRESS_STEP and sys.stderr is not None and sys.stderr.isatty()
    try:
        for number, outcome in enumerate(outcomes_of(sweep)):
            if shown and number % PROGRESS_STEP == 0:
                to_stderr(f"\r{number} of {sweep.total} cases")
            yield outcome
    finally:
        if shown:
            to_stderr(f"\r{'':60}\r")


def measured_rows(flags: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, list[Measured]]:
    """The rows of the file by GPU: of those that --gpu names, or of all that it has."""
    named: list[GPU] = [subject.changed(changes) for subject in subjects(flags)[0]]
    gpus = {gpu.name: gpu for gpu in named}

    @functools.cache
    def gpu_for(name: str) -> GPU | None:
        if not name and len(named) > 1:
            raise InputError("no gpu, and --gpu names several")
        if not name or name in gpus:
            return gpus[name or named[0].name]
        found = find_gpu(name, changes)
        return gpus.get(found.name) if "gpu" in flags else found

    rows: dict[str, list[Measured]] = {}
    for row in read_measured(flags["measured"], gpu_for, flags.get("link", [None])[0]):
        rows.setdefault(row.gpu.name, []).append(row)
    return rows


def measure(flags: Mapping[str, Any]) -> Iterator[str]:
    """The report of --measured; InputError for a flag that has no meaning beside it."""
    stray = flags.keys() - {"measured", "fit", "gpu", "link", "config", "format", "set"}
    if stray:
        raise InputError(f"--{dashed(min(stray))} has no meaning beside --measured")
    if "format" in flags and (flags["format"] != "json" or "fit" not in flags):
        raise InputError("--format has no meaning beside --measured, but for json with --fit")
    if len(flags.get("link", "")) > 1:
        raise InputError("--link takes one value beside --measured")
    changes = {}
    for name, values in set_figures(flags.get("set", [])).items():
        section, _, key = name.partition(".")
        if section != "GPU" or len(values) > 1:
            raise InputError(f"--set {name}: --measured takes one value of a GPU's key")
        changes[key] = values[0]
    rows = measured_rows(flags, changes)
    results = [held_against(name, each, "fit" in flags) for name, each in rows.items()]
    for text, fitted, warning in results:  # nothing before the last has been fitted
        if warning:
            diagnose("warning", warning)
        yield "" if "format" in flags else text
        yield json.dumps(fitted, indent=4) + "\n" if fitted else ""


def answer(argv: Sequence[str] | None) -> Iterator[str]:
    """The text for a command line, in pieces; InputError for one that cannot be answered."""
    found = split_flags(argv)
    if found.help:
        yield parser().format_help() + "\n" + LISTS
    elif found.version:
        yield f"{program()} {__version__}\n"
    elif found.list_gpus or found.list_models:
        yield (GPU_UNITS + GPUS) * found.list_gpus + (MODEL_UNITS + MODELS) * found.list_models
    else:
        flags = check_flags(found)
        if "measured" in flags:
            yield from measure(flags)
        else:
            sweep = read_sweep(flags)
            one = "summary" if "gpu" in flags or "model" in flags else "report"
            view = flags.get("format") or (one if sweep.total == 1 else "table")
            yield from VIEWS[view](sweep, with_warnings(sweep))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the answer to a command line (default: sys.argv's) and return the exit code."""
    if sys.stdout is None:  # the shell's `>&-`
        diagnose("error", "standard output is closed")
        return 1
    try:
        for text in answer(argv):
            sys.stdout.write(text)
        sys.stdout.flush()
    except InputError as error:
        diagnose("error", str(error))
        return 2
    except KeyboardInterrupt:
        code = 130  # as a shell counts what the keyboard stopped
    except BrokenPipeError:
        code = 0
    except OSError as error:
        diagnose("error", f"standard output cannot be written: {error.strerror}")
        code = 1
    else:
        return 0
    # Python flushes once more at exit: let what is left go nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
