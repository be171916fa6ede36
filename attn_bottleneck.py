#!/usr/bin/env python3
r"""What limits attention on these GPUs, by how much, and what would help most?

From the figures of a GPU and of a model: what compute, memory bandwidth,
synchronisation between GPUs and launch overhead cost, for one layer and for
all, beside the rest of a step.

  python3 attn_bottleneck.py --ngpu 10     the figures of config.json, ten GPUs
  python3 attn_bottleneck.py --fp16 --seq 2048 --gen False     a prompt of 2048
  python3 attn_bottleneck.py --gpu h100-sxm --model llama-3.1-70b --ngpu 8 \
      --batch 16 --seq 32K                 what limits, what would help
  python3 attn_bottleneck.py --gpu h100-sxm,b200-sxm --model llama-3.1-8b \
      --seq 1K:128K:x2                     many cases: a table
  python3 attn_bottleneck.py --gpu h100-sxm --model llama-3.1-8b \
      --set GPU.bandwidth=3350:6700:x2     what if

Flags of a case take lists (1,2,8), counts also ranges: 1024:8192:1024 in steps,
1K:128K:x2 by a factor, ends included; K is 1024, M is 1024 K. `all` is every
GPU or model of the catalogue, `config` the config's own. All combinations are
shown, the last flag of a case varying fastest, --set's keys after them.

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
    estimate              compute + memory + sync + overhead at the rates that measured kernels reach
    KV cache              2 L B K d rows e

Assumptions: peaks are dense; one multiply-add is two FLOPs; GB = 1e9 bytes; weights are spread evenly. Counts are exact.

The file, from top to bottom: units and words, records and catalogue, reading (a config of ours, a published one, by name),
cost model, what would help, sweeps, views, picture, measured kernels, command line. Data runs that way and no other.

Exit codes: 0 answered, whatever the verdict; 1 standard output cannot be written; 2 bad usage or a bad config (one line
on standard error says which key or flag, and what is allowed); 130 interrupted.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import itertools
import json
import math
import operator
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, Union

if sys.version_info < (3, 9):
    sys.stderr.write("attn_bottleneck.py: error: Python 3.9 or newer is needed\n")
    sys.exit(2)

__version__ = "1.0"
PROGRAM = "attn-bottleneck" if os.path.basename(sys.argv[0]) == "attn-bottleneck" else "attn_bottleneck.py"

# ------------------------------------------------------------------- units and small words


@functools.cache
def catalogue(table: str) -> Mapping[str, Mapping[str, Any]]:
    """The rows of a table by name, as the sections of a config; a blank line ends it. A cell begins or ends where its
    key in the head does (KeyError for one that does not), but for the last one's, which is text.
    """
    head, *lines = table.partition("\n\n")[0].splitlines()
    (*words, last), rows = re.finditer(r"\S+", head), {}
    keys = {edge: word[0] for word in words for edge in word.span()}
    for line in lines:
        name, *cells = re.finditer(r"\S+", line[: last.start()])
        row = {keys.get(cell.start()) or keys[cell.end()]: cell[0] for cell in cells}
        row[last[0]] = line[last.start() :].strip()
        given = [(key, cell) for key, cell in row.items() if cell not in ("", "-") and key != "note"]
        rows[name[0]] = {key: json.loads(cell) if cell.replace(".", "").isdigit() else cell for key, cell in given}
    return rows


# Number formats: bits; whether GPUs compute in it, or only store; the next ones down, of which a GPU takes the first
# that it has.
PRECISIONS = """\
precision bits computes lower
fp32        32      yes tf32 fp16 bf16
tf32        32      yes fp16 bf16
fp16        16      yes fp8 int8
bf16        16      yes fp8 int8
fp8          8      yes fp4
int8         8      yes int4 fp4
fp4          4      yes -
int4         4        - -
"""
BITS: dict[str, int] = {name: row["bits"] for name, row in catalogue(PRECISIONS).items()}
COMPUTING = [name for name, row in catalogue(PRECISIONS).items() if "computes" in row]
LOWER = {name: row.get("lower", "").split() for name, row in catalogue(PRECISIONS).items()}
SPLITS = {"seq": "keys split", "head": "heads split", "batch": "sequences split"}
LINKS = {"pcie": "PCIe", "nvlink": "NVLink"}
Read = TypeVar("Read")  # what a reader makes of a text


def stored_bytes(elements: int, precision: str) -> int:
    """Bytes that `elements` take in `precision`; half a byte left over counts as one."""
    return -(-elements * BITS[precision] // 8)


def dashed(name: str) -> str:
    """How a flag is typed; a key of the config, which has a dot, as it is."""
    return name if "." in name else name.replace("_", "-")


class InputError(argparse.ArgumentTypeError):
    """What the user gave cannot be used; the message, which argparse passes on, says what, why and what is allowed."""


def naming(where: str, read: Callable[..., Read], *arguments: Any) -> Read:
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


def squashed(name: str) -> str:
    """A name without what people write differently."""
    return "".join(filter(str.isalnum, name.lower()))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name nearest to a misspelt one, or nothing."""
    import difflib  # only a misspelt name needs it

    lower, wanted = {word.lower(): word for word in known}, name.lower()
    nearest = [x for x in lower if sorted(x) == sorted(wanted)] or difflib.get_close_matches(wanted, lower, n=1)
    return f" (did you mean {lower[nearest[0]]}?)" if nearest else ""


def one_of(text: str, known: Collection[str]) -> str:
    """The known name that is meant, in any case."""
    if text.lower() in known:
        return text.lower()
    raise InputError(f"must be one of {', '.join(known)}, not {quoted(text)}{did_you_mean(text, known)}")


# What is accepted. Products stay far below the largest float (1.8e308): no time or bandwidth derived from them can
# overflow, and no rate is zero. Counts may end in K and M, 1024-based as lengths in tokens are.
MAX_COUNT = 10**18
MAX_LISTED = 10**6  # values of a flag that are not one range in steps


class Key(NamedTuple):
    """What a value of the config may be, and what one of its unit is in base units."""

    allowed: str = "a number from 1e-9 to 1e15"
    low: float = 1e-9
    high: float = 1e15
    scale: float = 1
    whole: bool = False
    required: bool = False
    text: bool = False  # no number

    def checked(self, value: Any) -> Any:
        """A value that is allowed; InputError for others."""
        kinds = (str,) if self.text else (int,) if self.whole else (int, float)
        if type(value) in kinds and (re.fullmatch("[ -~]+", value) if self.text else self.low <= value <= self.high):
            return value
        raise InputError(f"must be {self.allowed.format(low=self.low)}, not {quoted(value)}")

    def typed(self, text: str) -> Any:
        """A number as people type it: counts with K and M, others with an exponent."""
        value: Any = text
        if self.whole:
            count = re.fullmatch("([0-9]{1,40})([KkMm]?)", text)
            if count and re.match("0[0-9]", text):
                raise InputError(f"begins with 0: {quoted(text)}; a comma makes a list, 131072 is one count")
            value = int(count[1]) * {"": 1, "K": 2**10, "M": 2**20}[count[2].upper()] if count else text
        elif re.fullmatch("[0-9.eE+-]*[0-9]", text):
            with contextlib.suppress(ValueError):
                value = float(text) or 0.0  # no -0.0
        return self.checked(value)


COUNT = Key("a whole number from {low} to 10^18", low=1, high=MAX_COUNT, whole=True)
FIGURE = Key()
PART = Key("a number above 0 and at most 1", high=1)


def values_flag(text: str, key: Key = COUNT) -> Sequence[Any]:
    """Lists, ranges in steps and ranges by a factor, the end included.

    >>> values_flag("1,2K"), values_flag("1K:8K:x2"), values_flag("1:2:.5", FIGURE)
    ([1, 2048], [1024, 2048, 4096, 8192], [1.0, 1.5, 2.0])
    """
    runs: list[Sequence[Any]] = []
    for part in text.split(","):
        low, *rest = part.split(":")
        high = rest[0] if rest else low
        step = rest[1] if len(rest) > 1 else "1"
        first, last = key.typed(low), key.typed(high)
        by_factor = step[:1] in ("x", "X")
        amount = (COUNT if key.whole else FIGURE).typed(step[by_factor:])
        if len(rest) > 2 or first > last or (by_factor and (amount <= 1 or not first)):
            raise InputError(f"{quoted(part)} must be FIRST:LAST, from small to large; :STEP or :xFACTOR may follow")
        if key.whole and not by_factor:
            runs.append(range(first, last + 1, amount))
            continue
        values, end = [first], last * (1 + 1e-12)
        while rest and values[-1] < end and len(values) <= MAX_LISTED:
            values.append(values[-1] * amount if by_factor else first + len(values) * amount)
        runs.append(values if values[-1] <= end else values[:-1])
    if len(runs) == 1 and isinstance(runs[0], range):
        return runs[0]
    if sum(map(len, runs)) > MAX_LISTED:
        raise InputError(f"lists at most {MAX_LISTED} values, beside one range in steps")
    return [value for values in runs for value in values]


BOOLEANS = {**dict.fromkeys("true yes 1 on".split(), True), **dict.fromkeys("false no 0 off".split(), False)}


def names_flag(known: Collection[str]) -> Callable[[str], Sequence[str]]:
    return lambda text: [one_of(part, known) for part in text.split(",")]


# --------------------------------------------------------------------- hardware and models

# NVIDIA's, AMD's, Intel's and Google's datasheets and product pages, each figure held against a second source; notes
# where the two disagree.
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

Dense TFLOP/s; memory in GB; bandwidth, and pcie and nvlink in both directions together, in GB/s;
the last-level cache in MiB; - is unpublished or none. nvlink is the scale-up link of any vendor.
Times of a GPU with an architecture are estimates from measured kernels, of the others bounds.
"""

# What measured kernels and links reach, fitted on half of the rows of each architecture and held against the others
# (README, "Held against silicon"): us, 1e9 exponentials/s of a multiprocessor, parts of the peaks. Ampere, Ada and
# Blackwell RTX begin and end tiles for nothing that can be seen, and Ampere's and Ada's exponentials (16 a clock)
# never limit. The last row is where a fit begins: its search does not move for a cost that no row feels.
ARCHITECTURES = """\
architecture    launch_us wave_us tile_us exponentials compute_efficiency bandwidth_efficiency latent_bandwidth_efficiency link_latency_us link_hop_us link_two_shot_us link_library_us link_efficiency pcie_latency_us pcie_hop_us pcie_efficiency
Ampere                 13     4.3       0         22.6               0.67                 0.71                        0.71             4.0        0.53              6.7              42            0.68             2.3         1.6            0.62
Hopper                 12     1.3     3.8           17               0.72                 0.90                        0.90             2.2        0.32              4.3              23            0.74             2.3         1.6            0.62
Blackwell              10     1.5     3.4           22               0.64                0.915                        0.72             3.8        0.38              7.2              37            0.69             2.3         1.6            0.62
Blackwell-Ultra       9.8    1.35     2.9           31               0.84                0.905                        0.71             3.8        0.39              7.5              37            0.70             2.3         1.6            0.62
Ada                   8.3     3.5       0         40.3               0.50                0.855                       0.855               -           -                -               -               -             2.3         1.6            0.62
Blackwell-RTX         8.4     3.1       0          5.5               0.76                0.965                       0.965               -           -                -               -               -             2.3         1.6            0.62
unfitted                9       5       2            4                0.6                 0.85                         0.8               3         0.4                5              25             0.7               3         1.5             0.6
"""

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

Layers, heads, widths in elements, windows in keys, parameters (all, active for a token) in 1e9.
"""


def base_name(key: str) -> str:
    """A key's name where its value is in base units: seconds, not microseconds."""
    return key.replace("_us", "_s")


# What real kernels and links reach: optional, but an estimate needs all that it uses.
MEASURED_KEYS = ["multiprocessors", *ARCHITECTURES.partition("\n")[0].split()[1:]]
ALL_CONSTANTS = list(map(base_name, MEASURED_KEYS))
LINK_STARTS = {"nvlink": "link_", "pcie": "pcie_"}
LINK_CONSTANTS = {link: [x for x in ALL_CONSTANTS if x.startswith(start)] for link, start in LINK_STARTS.items()}
KERNEL_CONSTANTS = [x for x in ALL_CONSTANTS if not x.startswith(tuple(LINK_STARTS.values()))]
LATENT = "latent_bandwidth_efficiency"
Constants = Mapping[str, float]  # these, among the other figures of a GPU


class GPU(NamedTuple):
    """One accelerator, in base units."""

    name: str
    peaks: Mapping[str, float]  # precision -> dense peak, FLOP/s
    memory: float  # bytes
    bandwidth: float  # bytes/s
    links: Mapping[str, float]  # link -> bytes/s, both directions together
    figures: Mapping[str, Any]  # all by the config's keys, but in base units
    source: str  # where they come from

    def has_estimate(self, ngpu: int, link: str) -> bool:
        """Whether every constant is known that an estimate over so many GPUs needs."""
        required = KERNEL_CONSTANTS if ngpu == 1 else [*KERNEL_CONSTANTS, *LINK_CONSTANTS[link]]
        return set(required) <= self.figures.keys()

    def joining_link(self, ngpu: int) -> str:
        """The scale-up link where there is one that joins so many, or no other; else PCIe."""
        joined = ngpu <= self.figures.get("nvlink_gpus", ngpu) or "pcie" not in self.links
        return "nvlink" if "nvlink" in self.links and joined else "pcie"


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


class Parameters(NamedTuple):
    """How many there are, and how many of them one token uses."""

    total: float
    active: float
    routed: float = 0.0  # in experts that tokens choose among
    active_part: float = 1.0  # of these, that one token uses


class Model(NamedTuple):
    """The attention of a transformer, and how many parameters it has."""

    name: str | None  # None: the config's own
    n_layer: int  # all layers, those without a growing KV cache included
    layers: tuple[Layers, ...]  # those with attention, by kind
    params: Parameters | None  # None: unknown
    figures: Mapping[str, Any]  # all by the config's keys, but in base units; of a published config, those of the whole
    source: str  # where they come from
    weight_dtype: str | None = None  # that it is published in, where that is narrow
    notes: tuple[str, ...] = ()  # what the figures leave out, or how they were read

    def divides(self, ngpu: int) -> bool:
        """Whether GPUs get equal numbers of heads, as serving engines ask: of K/V heads too, or whole copies of one."""
        return all(x.n_head % ngpu == 0 and 0 in (x.n_kv_head % ngpu, ngpu % x.n_kv_head) for x in self.layers)


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
    if query == 1 and (generates or seq > 1):
        return "decode"
    return "prefill" if query == seq else "extend"


def default_sharing(gpu: GPU, model: Model, ngpu: int) -> dict[str, Any]:
    """How named GPUs share the work where no flag says it."""
    return {"split": "head" if model.divides(ngpu) else "seq", "link": gpu.joining_link(ngpu)}


# ---------------------------------------------------------------------------------- reading

SECTIONS = {"gpu": "GPU", "model": "Model"}  # of the config, by flag
CONSTANT_KEYS = {"exponentials": Key(scale=1e9), "us": Key(scale=1e-6), "efficiency": PART}  # by their ends
CONFIG_KEYS = {
    "GPU": {
        "model": Key("a name in printable ASCII", text=True, required=True),
        **dict.fromkeys(COMPUTING, Key(scale=1e12)),
        **dict.fromkeys(("memory", "bandwidth", "pcie"), Key(scale=1e9, required=True)),
        "nvlink": Key(scale=1e9),
        "nvlink_gpus": COUNT._replace(low=2),
        "last_level_cache": Key(scale=2**20),
        **{name: CONSTANT_KEYS.get(name.rpartition("_")[2], COUNT) for name in MEASURED_KEYS},
        **dict.fromkeys(("tile_us", "wave_us"), Key("a number from 0 to 1e15", low=0, scale=1e-6)),
    },
    "Model": {
        **{name: COUNT for name in MODELS.partition("\n")[0].split() if name not in ("name", "weights", "note")},
        **dict.fromkeys(("n_layer", "n_head"), COUNT._replace(required=True)),
        **dict.fromkeys(("n_layer_window", "n_layer_no_cache"), COUNT._replace(low=0)),
        **dict.fromkeys(("params_b", "active_params_b"), Key(scale=1e9)),
    },
}
LATENT_KEYS = ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
WHOLE_KEYS = "params_b active_params_b n_expert n_expert_active hidden_size".split()  # of a model as a whole


def known_keys(given: object, known: Collection[str], where: str) -> dict[str, Any]:
    """What is given itself, if it is an object with none but known keys."""
    if not isinstance(given, dict):
        raise InputError(f"{where} must be an object {{...}}, not {quoted(given)}")
    for name in given:
        if name not in known:
            published = " (a published config.json goes to --model)" if name in ("architectures", "model_type") else ""
            hint = published or did_you_mean(name, known) or f" (known: {', '.join(known):.150})"
            raise InputError(f"{where} has an unknown key {quoted(name)}{hint}")
    return given


def read_section(given: object, section: str, complete: bool = True) -> dict[str, Any]:
    """The checked values of one section of a config, in base units."""
    keys, values = CONFIG_KEYS[section], {}
    given = known_keys(given, keys, section)
    for name, key in keys.items():
        if name in given:
            value = naming(f"{section}.{name}", key.checked, given[name])
            # As if it had been typed so: 2.3 us are 2.3e-6 s, not 2.2999999e-6.
            values[base_name(name)] = value if key.scale == 1 else float(f"{value * key.scale:.15g}")
        elif key.required and complete:
            raise InputError(f"{section}.{name} is missing")
    return values


def made_gpu(figures: Mapping[str, Any], source: str) -> GPU:
    if "nvlink_gpus" in figures and "nvlink" not in figures:
        raise InputError("GPU.nvlink_gpus has no meaning without nvlink")
    peaks, links = ({name: figures[name] for name in names if name in figures} for names in (COMPUTING, LINKS))
    own = {name: figures[name] for name in ("memory", "bandwidth")}
    return GPU(name=figures["model"], peaks=peaks, links=links, figures=figures, source=source, **own)


def shaped(n_layer: int, n_head: int, widths: Mapping[str, int], window: int) -> Layers:
    """Layers of so many query heads, and of what the config's keys say of K/V heads and widths."""
    kind = "windowed" if window else "full"
    own: dict[str, Any] = {"kind": kind, "n_layer": n_layer, "n_head": n_head, "window": window}
    if "kv_lora_rank" in widths:
        own.update({name: widths[name] for name in ("kv_lora_rank", "qk_rope_head_dim")})
        dim_qk = widths["qk_nope_head_dim"] + widths["qk_rope_head_dim"]
        return Layers(n_kv_head=n_head, dim_qk=dim_qk, dim_v=widths["v_head_dim"], **own)
    n_kv_head, dim_head = widths.get("n_kv_head", n_head), widths["dim_head"]
    if n_head % n_kv_head:
        raise InputError(f"n_kv_head must divide n_head {n_head}, not {n_kv_head}")
    return Layers(n_kv_head=n_kv_head, dim_qk=dim_head, dim_v=widths.get("v_head_dim", dim_head), **own)


def read_parameters(values: Mapping[str, Any]) -> Parameters | None:
    """The counts of a Model section and what sits in experts; InputError for what cannot be."""
    total, experts, chosen = values.get("params_b", 0), values.get("n_expert"), values.get("n_expert_active")
    active = values.get("active_params_b", total)
    if active > total:
        counts = f"{active:.12g} of {total:.12g}"
        raise InputError(f"Model.active_params_b must be at most params_b, and stand beside it: {counts}")
    if (experts is None) != (chosen is None):
        raise InputError("Model.n_expert and n_expert_active must stand together")
    if experts and chosen > experts:
        raise InputError(f"Model.n_expert_active must be at most n_expert {experts}, not {chosen}")
    if not total or active > total * (1 - 1e-9):  # figures are rounded
        return Parameters(total, total) if total else None
    part = chosen / experts if experts else active / total
    if active < total * part * (1 - 1e-9):
        allowed = f"at least {part:.3g} of params_b, the part of the experts that is active"
        raise InputError(f"Model.active_params_b must be {allowed}")
    return Parameters(total=total, active=active, routed=min(total, (total - active) / (1 - part)), active_part=part)


def made_model(figures: Mapping[str, Any], source: str, name: str | None = None, weights: str | None = None) -> Model:
    """A model of figures in base units; InputError for those that contradict each other."""
    latent = "kv_lora_rank" in figures
    for key in ("dim_head", "n_kv_head"):
        if latent and key in figures:
            raise InputError(f"Model.{key} has no meaning beside kv_lora_rank")
    for key in LATENT_KEYS if latent else ["dim_head"]:
        if key not in figures:
            raise InputError(f"Model.{key} is missing")
    n_layer, without, window = figures["n_layer"], figures.get("n_layer_no_cache", 0), figures.get("window", 0)
    attending = n_layer - without
    windowed = figures.get("n_layer_window", attending if window else 0)
    if windowed and not window:
        raise InputError("Model.window is missing: n_layer_window needs it")
    if attending < max(windowed, 1):
        allowed = "must be more than n_layer_no_cache and hold n_layer_window"
        raise InputError(f"Model.n_layer {allowed}: {n_layer}, {without}, {windowed}")
    kinds = (attending - windowed, 0), (windowed, window)
    layers = tuple([shaped(n, figures["n_head"], figures, reach) for n, reach in kinds if n])
    own: dict[str, Any] = {"name": name, "source": source, "figures": figures, "weight_dtype": weights}
    return Model(n_layer=n_layer, layers=layers, params=read_parameters(figures), **own)


def with_figures(subject: Any, changes: Mapping[str, Any]) -> Any:
    """A GPU or a model with other figures, in the config's units, of those that keys such as GPU.bandwidth name."""
    section = "GPU" if isinstance(subject, GPU) else "Model"
    own = {key.partition(".")[2]: value for key, value in changes.items() if key.startswith(section)}
    if not own:
        return subject
    figures = {**subject.figures, **read_section(own, section, complete=False)}
    if section == "GPU":
        return made_gpu(figures, subject.source)
    if "n_head" in subject.figures:
        return made_model(figures, subject.source, subject.name, subject.weight_dtype)
    stray = own.keys() - WHOLE_KEYS
    if stray:
        raise InputError(f"Model.{min(stray)} is the file's own: --set takes what is of the whole")
    return subject._replace(params=read_parameters(figures), figures=figures)


def source_name(path: str) -> str:
    name = "standard input" if path == "-" else ascii(path)[1:-1]
    return name if len(name) <= 120 else f"{name[:100]}... ({len(name)} characters)"


def read_text(path: str, most: int, parse: Callable[[str], Any] = str) -> Any:
    """What is made of the text of a file, or of standard input, `-`, of at most so many bytes."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            data = file.read(most + 1)
            if len(data) > most:
                raise InputError(f"is larger than {most >> 20} MiB")
            return parse(data.decode().removeprefix("\ufeff"))
    except OSError as error:
        trouble = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        trouble = f"is not UTF-8 text (byte {error.start})"
    except json.JSONDecodeError as error:
        trouble = f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    except RecursionError:
        trouble = "is nested too deeply"
    except (InputError, ValueError) as error:  # the latter: a path that no file can have, with a NUL byte in it
        trouble = str(error)
    raise InputError(f"{source_name(path)}: {trouble}")


def read_json(path: str) -> Any:
    """The JSON document in a file, or on standard input. A key given twice is an error."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, times in collections.Counter(name for name, _ in pairs).items():
            if times > 1:
                raise InputError(f"key {quoted(name)} is given twice")
        return dict(pairs)

    def whole(digits: str) -> float:  # int() itself refuses thousands of digits, with words of its own
        return int(digits) if len(digits) <= 40 else float(digits)

    return read_text(path, 16 * 2**20, functools.partial(json.loads, object_pairs_hook=unique, parse_int=whole))


def read_config(path: str | None) -> tuple[Mapping[str, Any], str]:
    """The sections of a config file and its name; without one, those of the script's own."""
    folder = os.path.dirname(__file__)  # none where the script came through standard input
    beside = os.path.join(folder, "config.json")
    if path is not None:
        config, source = naming("--config", read_json, path), source_name(path)
    elif folder and os.path.lexists(beside):
        config, source = read_json(beside), "config.json"
    else:
        model = {"n_layer": 96, "n_head": 96, "dim_head": 128}  # the user's own, as is this row of the GPUs
        config, source = {"GPU": {"model": "A100", **catalogue(GPUS)["A100"]}, "Model": model}, "built-in config"
    return naming(f"{source}:", known_keys, config, CONFIG_KEYS, "it"), source


def required_figure(gpu: GPU, flag: str, name: str, known: Mapping[str, float]) -> float:
    """A GPU's figure for what a flag names; InputError if it has none."""
    if name in known:
        return known[name]
    has = f" (it has {', '.join(known)})" if known else ""
    others = [x for x, row in catalogue(GPUS).items() if name in row and squashed(x).startswith(squashed(gpu.name))]
    has += f"; {others[0]} has one" if others else ""
    raise InputError(f"--{flag} {name}: {gpu.name} has no figure for it{has}")


def check_case(gpu: GPU, model: Model, work: Workload) -> None:
    """InputError for what cannot be: more new tokens than keys, GPUs that cannot share the work, a missing figure."""
    if work.query > work.seq:
        raise InputError(f"--query {work.query} must be at most --seq {work.seq}")
    most = gpu.figures.get("nvlink_gpus", work.ngpu)
    if work.link == "nvlink" and work.ngpu > most:
        raise InputError(f"--link nvlink joins at most {most} GPUs of {gpu.name}: {work.ngpu}")
    if work.split == "head" and not model.divides(work.ngpu):
        works = [str(n) for n in range(1, 257) if model.divides(n)][:12]
        heads = " and ".join(f"{layers.n_head} heads, {layers.n_kv_head} K/V" for layers in model.layers)
        evenly = f"such as --ngpu {', '.join(works)}; --split seq takes any number"
        raise InputError(f"--split head: {work.ngpu} GPUs do not share {heads} evenly ({evenly})")
    required_figure(gpu, "dtype", work.dtype, gpu.peaks)
    if work.ngpu > 1:
        required_figure(gpu, "link", work.link, gpu.links)


# ------------------------------------------------------------- published config.json files

# What they call each quantity, in order of precedence.
ALIASES = """\
n_layer      num_hidden_layers n_layer n_layers num_layers layers
n_head       num_attention_heads n_head n_heads num_heads attention_heads
n_kv_head    num_key_value_heads n_kv_heads n_head_kv num_kv_heads num_attention_groups num_query_groups num_multi_query_heads kv_n_heads
dim_head     head_dim attention_head_dim kv_channels dim_head
hidden       hidden_size n_embd n_embed d_model dim embed_dim
longest      max_position_embeddings n_positions max_seq_len seq_length model_max_length n_ctx
window       local_attention sliding_window sliding_window_size attention_window_size attention_chunk_size window_size
width        intermediate_size_mlp dense_intermediate_size prefix_dense_intermediate_size intermediate_size ffn_hidden_size ffn_dim n_inner
activation   hidden_act hidden_activation activation_function activation
n_expert     num_local_experts num_experts n_routed_experts moe_num_experts
n_active     num_experts_per_tok experts_per_token num_experts_per_token moe_topk moe_k moe_top_k top_k_experts
expert_width moe_intermediate_size intermediate_size
n_shared     n_shared_experts num_shared_experts moe_num_shared_experts
shared_width shared_expert_intermediate_size shared_intermediate_size share_expert_dim
n_dense      first_k_dense_replace num_dense_layers moe_layer_start_index
sparse_step  interleave_moe_layer_step decoder_sparse_step
"""
NAMES = {quantity: keys for quantity, *keys in map(str.split, ALIASES.splitlines())}
ALL_ALIASES = {key for keys in NAMES.values() for key in keys}
KIND_PARTS = {"windowed": "swa_|sliding_(?=att)", "full": "global_"}  # of keys for one kind
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
TYPE_ENTRY = r"(?P<name>[\w-]+)(?P<marks>[@*~%^?=&$]*):?(?P<n_kv_head>\d*)x?(?P<dim_head>\d*)!?(?P<keys>[\w,]*)"
WINDOWED = frozenset("*%~^?")  # marks; a class without one ignores windows
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
    "jamba": {"attn_layer_period": 8, "attn_layer_offset": 4},
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
TELLING = (
    "window|sliding|swa_|local|global|chunk|shar(e|ed|ing)_(head|kv|layer|att)|_shar(ed|ing)|recur|loop|_kv_|per_layer"
    "|expand_|compress_|index_|sparse_(att|conf)|mamba|ssm|linear|conv|lru|rwkv|_interval|layer_(group|pattern|period)"
    "|att(entio)?n_(type|mode|method|head|proj|con|layer)|state_|mixer|latent|reuse|nsa_|tpa_"
)
HARMLESS = "rope|expert|moe|mlp|vision|image|audio|bias|norm|^max_window_layers$|^use_"

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


def text_scope(outer: Any) -> dict[str, Any]:
    """The text decoder's part of a config, with what only its wrapper says."""
    while isinstance(outer, dict):
        inner = next((outer[key] for key in TEXT_SCOPES if isinstance(outer.get(key), dict)), None)
        if inner is None:
            return outer
        scope = {**inner, "model_type": inner.get("model_type") or outer.get("model_type")}
        if "tie_word_embeddings" in outer:
            scope["tie_word_embeddings"] = outer["tie_word_embeddings"]
        if outer.get("model_type") == "paligemma":  # looks both ways at images only
            scope.pop("use_bidirectional_attention", None)
        outer = scope
    raise InputError(f"must be an object {{...}}, not {quoted(outer)}")


def with_defaults(scope: dict[str, Any], name: str) -> Config:
    """A config over what its class takes, less what it says itself, by whatever name."""
    said = {key for keys in NAMES.values() if scope.keys() & keys for key in keys}
    rows = [row for types, row in CLASS_DEFAULTS.items() if name in types.split()]
    inner = scope["attn_config"] if isinstance(scope.get("attn_config"), dict) else {}  # MPT, DBRX
    own = scope.get("per_layer_config") or {}
    of_numbers = isinstance(own, dict) and all(re.fullmatch("[0-9]{1,9}", i) for i in own)
    if not of_numbers or any(not isinstance(layer, dict) or layer.get("skip") for layer in own.values()):
        raise InputError("per_layer_config must hold objects under the numbers of layers, and none that has a skip")
    config = {key: value for row in rows for key, value in row.items() if key not in said}
    return {**config, **inner, **scope, "per_layer_config": {int(i): layer for i, layer in own.items()}}


def count_at(config: Config, quantity: str, default: int | None = None) -> int:
    """The count under the first of a quantity's names that is present; else the default, if any."""
    names = NAMES.get(quantity, [quantity])
    unset = (None,) if quantity in ("n_layer", "n_head", "n_kv_head") else (None, 0, -1)
    for key in names:
        if config.get(key) not in unset:
            return int(naming(key, COUNT.checked, config[key]))
    if default is None:
        raise InputError(f"no {' or '.join(names[:2])}, and no default for it is known")
    return default


def refuse_unmodelled(config: Config, entry: re.Match[str]) -> None:
    """InputError for what is no decoder, or has an attention that is not modelled or not said."""
    model_type = f"model_type {quoted(config.get('model_type'))}"
    type_name = str(config.get("model_type")).lower()
    for why, words in NOT_MODELLED.items():
        for word in words.split():
            key = "model_type" if type_name.startswith(word) else word
            if config.get(key) and config[key] != "vision":  # Gemma 4: both ways at images only
                raise InputError(f"{key} {quoted(config[key])}: {why}, not modelled")
    if config.get("is_causal") is False or "ForMaskedLM" in str(config.get("architectures")):
        raise InputError("is_causal false, or architectures ForMaskedLM: an encoder, not modelled")
    missing = [key for key in entry["keys"].split(",") if key and config.get(key) is None]
    if missing:
        raise InputError(f"no {missing[0]}, and {model_type} has no default for it that is known")
    if entry["name"] != "-":
        return
    if not any("vocab_size" in key for key in config):
        raise InputError("no vocab_size: not the config of a language model")
    for key, value in config.items():
        of_layers = isinstance(value, list) and len(value) == count_at(config, "n_layer")
        telling = of_layers or (value not in (None, False, 1, -1, [], {}) and re.search(TELLING, key))
        plain = {re.sub(part, "", key) for part in KIND_PARTS.values()}
        read = plain & ALL_ALIASES or (not isinstance(value, int) and key in " ".join(SCHEDULES).split())
        if telling and not read and not re.search(HARMLESS, key):
            raise InputError(f"{key} {quoted(value)} may change its attention, and {model_type} was not checked")


def window_keys(config: Config) -> int:
    """How many keys a windowed layer sees; 0: there is no window, or one without effect."""
    window = count_at(config, "window", 0) // (2 if config.get("local_attention") else 1)  # ModernBERT's: both sides
    unused = config.get("use_sliding_window") is False or window >= count_at(config, "longest", window + 1)
    return 0 if unused else window


def scheduled(config: Config, entry: re.Match[str], n: int) -> list[str]:
    """The kinds of n layers as the first schedule in a file says; none without one."""
    words = ((word.partition(":"), rule) for keys, rule in SCHEDULES.items() for word in keys.split())
    for (key, _, only), rule in words:
        value = config.get(key)
        if not value or only not in entry.group():
            continue
        said = naming(key, COUNT.checked, value) if isinstance(value, (int, float)) else value
        try:
            kinds = [LAYER_KINDS[name] for name in itertools.islice(rule(said, config), n)]
        except KeyError as error:
            raise InputError(f"{key}: {quoted(error.args[0])} is not known here") from None
        except (TypeError, ValueError, AttributeError):
            raise InputError(f"{key} {quoted(value)}: not a layer schedule") from None
        if len(kinds) < n or set(kinds) == {"none"}:
            raise InputError(f"{key} has {len(kinds)} entries for {n} layers, or no attention")
        return kinds
    return []


def layer_kinds(config: Config, entry: re.Match[str]) -> list[str]:
    """The kind of each layer: "full", "windowed" or "none"."""
    listed = config.get("layer_types") or config.get("layers_block_type")
    n = count_at(config, "n_layer", len(listed) if isinstance(listed, list) else None)
    if n > len(INDEX):
        raise InputError(f"num_hidden_layers {n}: more layers than any model has")
    kinds, window, marks = scheduled(config, entry, n), window_keys(config), entry["marks"]
    no_window_key = config.keys().isdisjoint([*NAMES["window"], "sliding_window_per_layer"])
    nothing_said = no_window_key and "use_sliding_window" not in config
    if not kinds and ("*" in marks or (window and re.search("[%^?]", marks)) or (nothing_said and "%" in marks)):
        raise InputError("no layer_types, so which layers are of which kind is not known")
    kinds = kinds or ["full"] * n
    if entry["name"].startswith("gemma4"):
        kinds[-1] = "full"  # whatever the file says
    if (nothing_said and "windowed" in kinds) or (no_window_key and config.get("use_sliding_window")):
        raise InputError("no sliding_window, but windowed layers")
    all_windowed, windows_ignored = window and "~" in marks, WINDOWED.isdisjoint(marks)  # whatever a file lists
    taken_as = {"full": "windowed"} if all_windowed else {"windowed": "full"} if windows_ignored else {}
    return [taken_as.get(kind, kind) for kind in kinds]


def of_layer(config: Config, kind: str, i: int) -> Config:
    """The config as layer i sees it: what is said of its kind, or of it alone, on top."""
    own: dict[str, Any] = {}
    for key, value in config.items():
        name = re.sub(KIND_PARTS[kind], "", key)
        unused = name == key or value is None or ("global_key" in key and not config.get("attention_k_eq_v"))
        if key.endswith("_per_layer") and isinstance(value, list):
            if i >= len(value):
                raise InputError(f"{key} has only {len(value)} entries")
            own[key.removesuffix("_per_layer")] = value[i]
        elif name in ALL_ALIASES and not unused and not config["per_layer_config"]:
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
            group = count_at(config, key)
            if n_head % group:
                raise InputError(f"{key} {group} does not divide {n_head} heads")
            return n_head // group
    said = {key for key in NAMES["n_kv_head"] if config.get(key) is not None}
    several = config.get("new_decoder_architecture") or said - {"num_kv_heads"}  # that is not in use in Falcon 7B
    multi_query = "multiquery" in f"{config.get('attention_head_type')} {config.get('attn_type')}"
    if multi_query or (config.get("multi_query") and not several):
        return 1
    null = config.get("num_key_value_heads", 0) is None  # as many as heads, whatever other names say
    default = n_head if not of_class or (null and of_class != "0") else int(of_class) or None
    return count_at({} if null else config, "n_kv_head", default)


def layer_shape(config: Config, kind: str, entry: re.Match[str]) -> Layers:
    """One layer with attention, as it sees the config; Layers of one."""
    n_head = count_at(config, "n_head")
    window = window_keys(config) if kind == "windowed" else 0
    if (config.get("kv_lora_rank") or "@" in entry["marks"]) and config.get("use_mla") is not False:
        if entry["name"] == "minicpm3":
            config = {"v_head_dim": count_at(config, "hidden") // n_head, **config}
        return shaped(1, n_head, {key: count_at(config, key) for key in LATENT_KEYS}, window)
    dim_head = count_at(config, "dim_head", 0 if "head_dim" in config else int(entry["dim_head"] or 0))
    if not dim_head:
        width = count_at(config, "attention_projection_size", 0) or count_at(config, "hidden")  # the first: Yuan 2
        if width % n_head or entry["dim_head"] == "0":
            raise InputError(f"no head_dim, and hidden_size {width} is not {n_head} heads")
        dim_head = width // n_head
    n_kv_head = key_value_heads(config, n_head, entry["n_kv_head"])
    dim_v = count_at(config, "v_head_dim", dim_head) if entry["name"] == "-" else dim_head
    return shaped(1, n_head, {"n_kv_head": n_kv_head, "dim_head": dim_head, "v_head_dim": dim_v}, window)


def sparse_layers(config: Config, n: int) -> int:
    """How many of n layers have experts, where any has: a list says it, or else a step from some layer on."""
    for key in ("mlp_layer_types", "moe_layer_freq"):
        if isinstance(config.get(key), list):
            return sum({"sparse": 1, "dense": 0, 1: 1, 0: 0}[kind] for kind in config[key][:n])
    first, step = count_at(config, "n_dense", 0), count_at(config, "sparse_step", 1)
    return sum((i + 1) % step == 0 and i not in (config.get("mlp_only_layers") or ()) for i in range(first, n))


def sizes(config: Config, entry: re.Match[str], layers: Sequence[Layers], n_layer: int) -> Iterator[tuple[str, int]]:
    """Figures of the whole model, as far as they are known; parameters, all and active, without norms and biases."""
    hidden = count_at(config, "hidden")
    yield "hidden_size", hidden
    expert, active = count_at(config, "n_expert", 0), count_at(config, "n_active", 0)
    if 1 < expert >= active > 0:
        yield from (("n_expert", expert), ("n_expert_active", active))
    uncounted = ("hidden_size_per_layer_input", "moe_latent_size", "enable_moe_block")
    act = next((config[key] for key in NAMES["activation"] if config.get(key)), "")
    n, attention = sum(x.n_layer for x in layers), 0
    if n < n_layer or "$" in entry["marks"] or any(map(config.get, uncounted)) or not (act or "&" in entry["marks"]):
        return
    for kind in layers:
        queries, values = kind.n_head * kind.dim_qk, kind.n_head * kind.dim_v
        rank = count_at(config, "q_lora_rank", 0) if kind.kv_lora_rank else 0
        plain = (rank * (hidden + queries) or hidden * queries) + hidden * (kind.row_elements + values)
        latent = kind.kv_lora_rank * (queries - kind.n_head * kind.qk_rope_head_dim + values)
        attention += kind.n_layer * (plain + latent)
    sparse = sparse_layers(config, n) if expert > 1 else 0
    width = count_at(config, "width", 4 * hidden if "&" in entry["marks"] else 0)
    expert_width = count_at(config, "expert_width", 0)
    if (sparse < n and not width) or (sparse and not (expert_width and 0 < active <= expert)):
        return
    matrices = hidden * (3 if act in ("silu", "swiglu") or "gemma" in entry["name"] else 2)
    shared = count_at(config, "n_shared", 0) * expert_width or count_at(config, "shared_width", 0)
    embeddings = 1 if config.get("tie_word_embeddings", "=" in entry["marks"]) else 2
    rest = embeddings * count_at(config, "vocab_size") * hidden + attention + sparse * expert * hidden
    rest += matrices * ((n - sparse) * width + sparse * shared)
    routed = sparse * matrices * expert_width  # with one expert a layer
    yield "params_b", rest + expert * routed
    if sparse:
        yield "active_params_b", rest + active * routed


def published_model(document: object, name: str, source: str) -> Model:
    """The model that a published config describes; InputError for what is not known to be read right."""
    scope = text_scope(document)
    model_type = scope.get("model_type")
    checked = {entry["name"]: entry for entry in re.finditer(TYPE_ENTRY, CHECKED_TYPES)}
    entry = checked.get(str(model_type)) or checked.get(f"{model_type}_text") or checked["-"]
    config = with_defaults(scope, entry["name"])
    refuse_unmodelled(config, entry)
    kinds = layer_kinds(config, entry)
    attending = [(i, kind) for i, kind in enumerate(kinds) if kind != "none"]
    shapes = collections.Counter(layer_shape(of_layer(config, kind, i), kind, entry) for i, kind in attending)
    layers = sorted((one._replace(n_layer=n) for one, n in shapes.items()), key=lambda x: x.kind)
    sparse, window = ("index_topk", "sparse_config", "index_topk_blocks"), window_keys(config)
    notes = [f"{key}, sparse attention, is counted as dense" for key in sparse if config.get(key)]
    if window and WINDOWED.isdisjoint(entry["marks"]):
        notes.append(f"sliding_window {window}: its class ignores it, some engines do not")
    if entry["name"] == "-":
        read = (f"{x.n_layer} {x.kind}, {x.n_head} heads, {x.n_kv_head} K/V" for x in layers)
        notes.append(f"model_type {quoted(model_type)} was not checked: read as {' + '.join(read)}")
    figures: dict[str, Any] = {"n_layer": len(kinds)}
    with contextlib.suppress(InputError, TypeError, KeyError):  # what is not said well is not known
        figures.update(sizes(config, entry, layers, len(kinds)))
    own: dict[str, Any] = {"name": name, "source": source, "figures": figures, "notes": tuple(notes)}
    return Model(n_layer=len(kinds), layers=tuple(layers), params=read_parameters(figures), **own)


# ------------------------------------------------------------------------------------------ by name


def catalogue_row(name: str, table: str, flag: str) -> tuple[str, dict[str, Any]]:
    """The name that is meant, or that alone begins so, and its row."""
    known, wanted = catalogue(table), squashed(name)
    meant = [row for row in known if squashed(row).startswith(wanted)] if wanted else []
    meant = [row for row in meant if squashed(row) == wanted] or meant
    if len(meant) == 1:
        return meant[0], dict(known[meant[0]])
    if meant:
        raise InputError(f"--{flag} {quoted(name)} could be {', '.join(meant)}")
    hint = did_you_mean(name, known) or f"; --list-{flag}s lists the known ones"
    raise InputError(f"--{flag} {quoted(name)} is not in the catalogue{hint}")


def find_gpu(name: str) -> GPU:
    name, section = catalogue_row(name, GPUS, "gpu")
    constants = catalogue(ARCHITECTURES)[section.pop("architecture")] if "architecture" in section else {}
    return made_gpu(read_section({"model": name, **section, **constants}, "GPU", complete=False), "catalogue")


def find_model(name: str) -> Model:
    """A model of the catalogue, or of a published config.json: the file, or the folder that holds it."""
    path_like = os.sep in name or name.endswith(".json") or name == "-"
    if not path_like and (squashed(name) in map(squashed, catalogue(MODELS)) or not os.path.lexists(name)):
        name, row = catalogue_row(name, MODELS, "model")
        weights = row.pop("weights", None)
        return made_model(read_section(row, "Model"), "catalogue", name, weights)
    if name.count("/") == 1 and not os.path.lexists(name) and not name.endswith(".json"):
        where = f"its config.json is at huggingface.co/{source_name(name)}"
        raise InputError(f"--model {quoted(name)}: No such file or directory; {where}")
    file = os.path.join(name, "config.json") if os.path.isdir(name) else name
    document, source = naming("--model", read_json, file), source_name(file)
    folder, name = os.path.split(os.path.abspath(file))
    name = source_name(os.path.basename(folder) if name == "config.json" else name.removesuffix(".json"))
    return naming(f"--model {source}:", published_model, document, name, source)


def subjects(flags: Mapping[str, Any]) -> tuple[list[GPU], list[Model]]:
    """The GPUs and the models, each by name or from the config; measured kernels need no model."""
    config = functools.cache(read_config)

    def own(section: str, made: Callable[..., Any]) -> Any:
        sections, source = config(flags.get("config"))
        return naming(f"{source}:", lambda: made(read_section(sections.get(section, {}), section), source))

    def named(flag: str, table: str, find: Callable[[str], Any], made: Callable[..., Any]) -> list[Any]:
        names = flags.get(flag, "config").split(",")
        names = [row for name in names for row in (catalogue(table) if name == "all" else [name])]
        return [own(SECTIONS[flag], made) if name == "config" else find(name) for name in names]

    gpus = named("gpu", GPUS, find_gpu, made_gpu)
    return gpus, [] if "measured" in flags else named("model", MODELS, find_model, made_model)


# ------------------------------------------------------------------------------- cost model


class Terms(NamedTuple):
    """Seconds by what they are spent on, in total (less than the sum where terms overlap), and what none is below."""

    compute_s: float = 0.0
    memory_s: float = 0.0
    sync_s: float = 0.0
    overhead_s: float = 0.0
    total_s: float = 0.0
    bound_s: float = 0.0  # no implementation of this algorithm in this precision is faster

    @property
    def parts(self) -> dict[str, float]:
        """Seconds of each term by its name."""
        named = zip(self._fields, self)
        return {name.removesuffix("_s"): value for name, value in named if name not in ("total_s", "bound_s")}

    @property
    def limit(self) -> str:
        """The name of the largest term, of equal ones the first: the verdict."""
        parts = self.parts
        return max(parts, key=parts.__getitem__)


TERMS = tuple(Terms().parts)


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


def summed(parts: Sequence[tuple[int, Any]]) -> Any:
    """The sum of records, each so many times; sum() would round floats otherwise from Python 3.12 on."""
    times = [[count * value for value in record] for count, record in parts]
    return type(parts[0][1])(*[functools.reduce(operator.add, values) for values in zip(*times)])


class Operands(NamedTuple):
    """What the products S = Q K^T and A = S V of one layer work on, over all GPUs."""

    latent_form: str | None  # "absorbed" or "plain"; None: not latent attention
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
    bytes: float  # of the document's over all GPUs, of others that each takes in; of an all-reduce, the tensor
    directions: int = 1  # of the link that it can use at once: 2 as the user's document has it
    reduces: bool = False


class Shares(NamedTuple):
    """The busiest GPU's part of one layer, by what is shared; all of it where nothing is said."""

    scores: float = 1  # FLOPs, S, and what is projected
    kv: float = 1  # K and V
    rows: float = 1  # Q and A
    latents: float = 1  # that are projected


class Layer(NamedTuple):
    """One layer of a kind."""

    shape: Layers  # as its kernels see it: of absorbed latents one K/V head, as wide as they are
    operands: Operands
    share: Shares
    kernels: Sequence[tuple[Kernel, Terms]]
    exchanges: Sequence[tuple[Exchange, float]]  # with the seconds of each
    counts: Counts
    terms: Terms


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
    """A case and what it costs."""

    gpu: GPU
    model: Model
    work: Workload
    basis: str  # "estimate" or "bound": what the terms, the rest and the verdict are by
    layers: tuple[Layer, ...]
    counts: Counts  # of attention in all layers
    terms: Terms
    rest_s: float | None  # everything but attention; None: parameter count unknown
    step_s: float | None
    attention_share: float | None
    new_tokens: int
    attention_tokens_per_s: float | None  # None: it does not fit
    step_tokens_per_s: float | None
    ridge: float  # arithmetic intensity where reading takes as long as computing, FLOP/byte
    memory: Memory
    changed: Mapping[str, Any] = {}  # figures that --set gave, by their keys


# Rows of a tile that packs the query heads of a K/V head, and of one that holds a single head's.
PACKED_ROWS, TILE_ROWS = 64, 128
# Bytes of an all-reduce above which serving frameworks change to a library with a longer start.
MOST_OF_ONE_OR_TWO_SHOTS = 2**24
# Products with weights, fitted to measured ones (README, "The rest of the step"): what a kernel costs, and the parts
# of the peak in 16 bits and more, of the peak below, and of the bandwidth.
GEMM_LAUNCH_S, GEMM_EFFICIENCY, NARROW_GEMM_EFFICIENCY, GEMM_BANDWIDTH = 10e-6, 0.75, 0.6, 0.88


def causal_pairs(seq: int, query: int, window: int) -> int:
    """Query-key pairs of the last `query` of `seq` tokens: sum of min(row's keys, window).

    >>> causal_pairs(8, 3, 0), causal_pairs(8, 3, 7)  # 6 + 7 + 8, and 6 + 7 + 7
    (21, 20)
    """
    context = seq - query
    growing = min(query, max(0, (window or seq) - context))
    return growing * context + growing * (growing + 1) // 2 + (query - growing) * window


def operands_in_form(form: str | None, layers: Layers, work: Workload) -> tuple[Layers, Operands]:
    query, heads, rank = work.query, work.batch * layers.n_head, layers.kv_lora_rank
    keys = min(work.seq, (layers.window or work.seq) + query - 1)
    stored, projected_rows = work.kv_dtype, 0
    if form == "absorbed":
        layers = layers._replace(n_kv_head=1, dim_qk=layers.row_elements, dim_v=rank)
    elif form == "plain":  # K and V were just projected, they are not the cache
        stored, projected_rows = work.dtype, keys - query
    rows = keys - 1 if work.phase == "decode" else keys
    pairs = causal_pairs(work.seq, query, layers.window) if work.fused else query * keys
    projected_width = layers.dim_qk - layers.qk_rope_head_dim + layers.dim_v
    return layers, Operands(
        latent_form=form,
        keys=keys,
        read_rows=rows,
        pairs=pairs,
        scores_flops=heads * pairs * (2 * layers.dim_qk - 1),
        values_flops=heads * layers.dim_v * (2 * pairs - query),
        projected_flops=2 * heads * projected_rows * rank * projected_width,
        q_bytes=stored_bytes(heads * query * layers.dim_qk, work.dtype),
        k_bytes=stored_bytes(work.batch * layers.n_kv_head * rows * layers.dim_qk, stored),
        v_bytes=stored_bytes(work.batch * layers.n_kv_head * rows * layers.dim_v, stored),
        s_bytes=stored_bytes(heads * query * keys, work.dtype),
        a_bytes=stored_bytes(heads * query * layers.dim_v, work.dtype),
        latent_bytes=stored_bytes(work.batch * projected_rows * layers.row_elements, work.kv_dtype),
        projected_bytes=stored_bytes(heads * projected_rows * projected_width, work.dtype),
    )


# Latent attention absorbs its projections in decode and reads the latents, prefill projects them to plain K and V
# heads; in between, whichever needs fewer FLOPs, of equal ones the first.
LATENT_FORMS = {"decode": ["absorbed"], "prefill": ["plain"], "extend": ["absorbed", "plain"]}


def operands(layers: Layers, work: Workload) -> tuple[Layers, Operands]:
    """One layer's heads as its kernels see them, FLOPs and bytes (README, "The cost model")."""
    forms = LATENT_FORMS[work.phase] if layers.kv_lora_rank else [None]
    return min([operands_in_form(form, layers, work) for form in forms], key=lambda pair: pair[1].flops)


def shared_out(layers: Layers, ops: Operands, work: Workload, output: Exchange) -> tuple[Shares, Sequence[Exchange]]:
    """The busiest GPU's part of a layer's attention, and what several GPUs send each other for it, in its order."""
    n, batch, part = work.ngpu, work.batch, 1 / work.ngpu
    if n == 1 or work.split == "batch":
        return Shares(**dict.fromkeys(Shares._fields, -(-batch // n) / batch)), []
    if work.split == "head":
        return Shares(scores=part, kv=max(part, 1 / layers.n_kv_head), rows=part), [output]
    keys_stay = Shares(scores=part, kv=part, latents=part)
    if not work.fused:  # the user's document
        scores = Exchange("scores", work.dtype, ops.s_bytes, directions=2)
        return keys_stay, [scores, Exchange("values", work.dtype, ops.a_bytes, directions=2)]
    # Queries go round and return with partial outputs and the logarithm of each row's sum, or keys and values go
    # round: pass-Q and pass-KV (arXiv:2411.01783), whichever is less.
    row_bits = layers.dim_qk * BITS[work.dtype] + layers.dim_v * BITS[output.precision] + 32
    queries = (n - 1) * batch * layers.n_head * work.query * row_bits / (8 * n)
    rows = min(ops.read_rows, layers.window or ops.read_rows)
    keys = (n - 1) * batch * layers.row_elements * rows * BITS[work.kv_dtype] / (8 * n)
    if queries <= keys:
        return keys_stay, [Exchange("queries", work.dtype, queries), output]
    return Shares(scores=part, rows=part, latents=part), [Exchange("keys and values", work.kv_dtype, keys), output]


def layer_kernels(layers: Layers, ops: Operands, work: Workload, share: Shares) -> list[Kernel]:
    """What the busiest GPU runs for one layer: one kernel if fused, else three; before them what projects latents."""
    heads_of_kv = work.batch * layers.n_kv_head * (1 if work.split == "seq" else share.kv)  # keys split: some of each
    query_rows = work.batch * layers.n_head * work.query * share.rows
    packed = math.ceil(query_rows / heads_of_kv / PACKED_ROWS)
    alone = query_rows / heads_of_kv / work.query * math.ceil(work.query / TILE_ROWS)
    tiles = heads_of_kv * min(packed, alone)
    flops = (ops.scores_flops + ops.values_flops) * share.scores
    longest = min(work.seq, layers.window or work.seq) if work.fused else ops.keys
    q, a, s = ops.q_bytes * share.rows, ops.a_bytes * share.rows, ops.s_bytes * share.scores
    attention = Kernel(
        name="attention",
        flops=flops,
        exponentials=work.batch * layers.n_head * ops.pairs * share.scores,
        bytes=ops.kv_bytes * share.kv + q + a,
        tiles=tiles,
        full_tiles=min(tiles, query_rows / PACKED_ROWS),
        width=layers.dim_qk,
        tail_flops=min(work.query, TILE_ROWS) * (flops / query_rows) * (longest * work.query / ops.pairs - 1),
        overlaps=work.fused and ops.latent_form == "absorbed",
    )
    kernels = [attention]
    if not work.fused:
        alike = attention._replace(exponentials=0)
        k, v = ops.k_bytes * share.kv, ops.v_bytes * share.kv
        kernels = [
            alike._replace(name="S = Q K^T", flops=ops.scores_flops * share.scores, bytes=k + q + s),
            attention._replace(name="softmax", flops=0, bytes=2 * s),
            alike._replace(name="A = S V", flops=ops.values_flops * share.scores, bytes=v + s + a),
        ]
    if ops.projected_flops:
        traffic = ops.latent_bytes * share.latents + ops.projected_bytes * share.scores
        kernels.insert(0, Kernel("projection", flops=ops.projected_flops * share.scores, bytes=traffic))
    return kernels


def kernel_bound(kernel: Kernel, compute: float, memory: float) -> Terms:
    """The roofline (Williams et al., 2009) of FLOP/s and bytes/s: as if computing and reading overlapped in full."""
    compute_s, memory_s = kernel.flops / compute, kernel.bytes / memory
    longer_s = max(compute_s, memory_s)
    return Terms(compute_s, memory_s, total_s=longer_s, bound_s=longer_s)


def kernel_estimate(kernel: Kernel, bound: Terms, compute: float, memory: float, constants: Constants) -> Terms:
    """At the part of the datasheet's FLOP/s and bytes/s that measured kernels reach. They overlap computing and reading
    little, but for absorbed latent attention. What a tile costs beyond the first of a multiprocessor is hidden behind
    either, what it costs to begin and end one with many rows is not.
    """
    multiprocessors, attained = constants["multiprocessors"], compute * constants["compute_efficiency"]
    busy_s = max(kernel.flops / attained, kernel.exponentials / (constants["exponentials"] * multiprocessors))
    compute_s = kernel.tail_flops * multiprocessors / attained + busy_s
    memory_s = kernel.bytes / (memory * constants[LATENT if kernel.overlaps else "bandwidth_efficiency"])
    work_s = max(compute_s, memory_s) if kernel.overlaps else compute_s + memory_s
    further = max(0.0, kernel.tiles / multiprocessors - 1) * (128 + kernel.width) / 256
    waves_s = max(0.0, constants["wave_s"] * further - work_s)
    overhead_s = constants["launch_s"] + waves_s + constants["tile_s"] * kernel.full_tiles / multiprocessors
    return Terms(compute_s, memory_s, overhead_s=overhead_s, total_s=work_s + overhead_s, bound_s=bound.bound_s)


def exchange_bound(exchange: Exchange, rate: float) -> float:
    """Seconds; of an all-reduce as fast as switches that add can make it."""
    return exchange.bytes / (rate / 2 * exchange.directions)


def exchange_estimate(exchange: Exchange, n: int, link: str, rate: float, constants: Constants) -> float:
    """Seconds at the part of the link's bytes/s that measured exchanges reach. Over the scale-up link an all-reduce is
    one-shot (each GPU sends all of it to every other) or two-shot (reduce-scatter and all-gather), whichever is
    shorter, and above 16 MiB another library's; over PCIe it goes round a ring.
    """
    start, round_a_ring = LINK_STARTS[link], exchange.reduces and link == "pcie"
    hops = 2 * (n - 1) if round_a_ring else math.log2(n)
    latency_s = constants[f"{start}latency_s"] + constants[f"{start}hop_s"] * hops
    sent_s, efficiency = exchange_bound(exchange, rate), constants[f"{start}efficiency"]
    if not exchange.reduces:
        return latency_s + sent_s / efficiency
    ring_s = 2 * (n - 1) / n * sent_s / efficiency
    if round_a_ring:
        return latency_s + ring_s
    if exchange.bytes > MOST_OF_ONE_OR_TWO_SHOTS:
        return constants["link_library_s"] + ring_s
    return latency_s + min((n - 1) * sent_s / efficiency, constants["link_two_shot_s"] + ring_s)


def analyse_layer(layers: Layers, gpu: GPU, work: Workload, output: Exchange, constants: Constants | None) -> Layer:
    """One layer by the bound, or with constants by the estimate."""
    compute, memory, rate = gpu.peaks[work.dtype], gpu.bandwidth, gpu.links.get(work.link, math.inf)
    shape, ops = operands(layers, work)
    share, exchanges = shared_out(shape, ops, work, output)
    kernels = layer_kernels(shape, ops, work, share)
    kernel_terms = [kernel_bound(kernel, compute, memory) for kernel in kernels]
    exchange_s = [exchange_bound(exchange, rate) for exchange in exchanges]
    bound_s = max(math.fsum([terms.bound_s for terms in kernel_terms]), math.fsum(exchange_s))
    if constants is not None:
        kernel_terms = [kernel_estimate(*each, compute, memory, constants) for each in zip(kernels, kernel_terms)]
        exchange_s = [exchange_estimate(sent, work.ngpu, work.link, rate, constants) for sent in exchanges]
    alone, sync_s = summed([(1, terms) for terms in kernel_terms]), math.fsum(exchange_s)
    total_s = bound_s if constants is None else alone.total_s + sync_s
    read, scores = (ops.kv_bytes, 0) if work.fused else (ops.k_bytes + ops.v_bytes, 4 * ops.s_bytes)
    counts = Counts(
        flops=ops.flops,
        bytes=ops.q_bytes + read + scores + ops.a_bytes + ops.latent_bytes + ops.projected_bytes,
        kv_read_bytes=read,
        exchange_bytes=math.fsum([sent.bytes for sent in exchanges if not sent.reduces]),
        reduce_bytes=sum([int(sent.bytes) for sent in exchanges if sent.reduces]),
        gpu_flops=math.fsum([kernel.flops for kernel in kernels]),
        gpu_bytes=math.fsum([kernel.bytes for kernel in kernels]),
    )
    terms = alone._replace(sync_s=sync_s, total_s=total_s, bound_s=bound_s)
    ran, exchanged = list(zip(kernels, kernel_terms)), list(zip(exchanges, exchange_s))
    return Layer(shape=shape, operands=ops, share=share, kernels=ran, exchanges=exchanged, counts=counts, terms=terms)


def longest_rows(growth: list[tuple[int, int]], budget_bits: int) -> int | None:
    """The most rows whose cache fits into the budget; None if windows bound it for any number."""
    growing = sum(row_bits for _, row_bits in growth)
    for most, row_bits in sorted(growth):
        if budget_bits // growing < most:
            return budget_bits // growing
        budget_bits -= most * row_bits
        growing -= row_bits
    return None


def analyse_memory(gpu: GPU, model: Model, work: Workload) -> Memory:
    """What the cache takes in all, and with the weights (spread evenly) of each GPU's memory."""
    decode = work.phase == "decode"  # its new row is still on chip
    n = work.ngpu  # that keys, sequences (the busiest GPU's are rounded up) or heads are dealt out to
    keys_to, sequences_to, heads_to = {"seq": (n, 1, 1), "batch": (1, n, 1), "head": (1, 1, n)}[work.split]
    sequences = -(-work.batch // sequences_to)
    token_bits = lasting_bits = cache_bits = gpu_bits = 0
    growth = []  # (the most rows, bits of one on a GPU) of each kind of layer
    for layers in model.layers:
        row_bits = layers.n_layer * layers.row_elements * BITS[work.kv_dtype]
        kv_heads = 1 if layers.kv_lora_rank else layers.n_kv_head  # a latent belongs to all heads
        gpu_row_bits = row_bits // kv_heads * max(1, kv_heads // heads_to)
        most = (layers.window or MAX_COUNT) - decode
        rows = min(work.seq - decode, most)
        token_bits += row_bits
        lasting_bits += 0 if layers.window else row_bits
        cache_bits += rows * row_bits
        gpu_bits += rows * gpu_row_bits
        growth.append((most, gpu_row_bits * sequences))
    cache_bytes = -(-work.batch * cache_bits // 8)
    share = sequences * gpu_bits / (work.batch * cache_bits * keys_to) if cache_bits else 0.0
    weight_bits = model.params.total * BITS[work.weight_dtype] if model.params else 0.0
    free_bits = int((gpu.memory * 8 * n - weight_bits) / (n // keys_to))
    longest = longest_rows(growth, free_bits)
    largest = sequences_to * (free_bits // gpu_bits) if gpu_bits else None
    return Memory(
        kv_bytes_per_token=token_bits / 8,
        kv_bytes_per_token_beyond_windows=lasting_bits / 8,
        cache_bytes=cache_bytes,
        gpu_cache_bytes=cache_bytes * share,
        gpu_weight_bytes=model.params and weight_bits / 8 / n,
        fits=sequences * gpu_bits <= free_bits,
        max_batch=0 if free_bits < 0 else largest,
        max_seq=longest if longest is None else max(0, longest + decode),
    )


def rest_of_step(model: Model, gpu: GPU, work: Workload, output: Exchange, constants: Constants | None) -> float | None:
    """Seconds of everything but attention: each token computes with the active parameters, each weight that some
    token uses is read once, the experts of a token are chosen evenly, and the output of all layers is all-reduced
    once more each. The estimate is fitted to measured matrix products and experts (README, "The rest of the step").
    """
    if model.params is None:
        return None
    params, tokens, n = model.params, work.batch * work.query, work.ngpu
    weight_bytes = BITS[work.weight_dtype] / 8
    gemm_dtype = work.weight_dtype if work.weight_dtype in gpu.peaks else work.dtype
    compute, memory, rate = gpu.peaks[gemm_dtype], gpu.bandwidth, gpu.links.get(work.link, math.inf)
    always = params.total - params.routed
    chosen = params.routed * (1 - (1 - params.active_part) ** tokens)  # by some token
    if constants is None:
        reduce_s = model.n_layer * exchange_bound(output, rate) if n > 1 else 0.0
        compute_s = 2 * params.active * tokens / (compute * n)
        return max(compute_s, (always + chosen) * weight_bytes / (memory * n), reduce_s)
    compute *= GEMM_EFFICIENCY if BITS[gemm_dtype] >= 16 else NARROW_GEMM_EFFICIENCY
    memory *= GEMM_BANDWIDTH
    gemm_s = max(2 * always * tokens / compute, always * weight_bytes / memory)
    expert_s = 2 * (params.active - always) * tokens / compute + chosen * weight_bytes / memory
    kernels_s = (4 if params.routed else 2) * GEMM_LAUNCH_S
    reduce_s = exchange_estimate(output, n, work.link, rate, constants) if n > 1 else 0.0
    return (gemm_s + expert_s) / n + model.n_layer * (kernels_s + reduce_s)


def analyse(gpu: GPU, model: Model, work: Workload, bound_only: bool = False) -> Analysis:
    """The whole answer for one case, as an estimate if the GPU has the constants; InputError for what cannot be."""
    check_case(gpu, model, work)
    constants = gpu.figures if gpu.has_estimate(work.ngpu, work.link) and not bound_only else None
    tokens = work.batch * work.query
    wide = work.dtype if BITS[work.dtype] >= 16 else "bf16"  # of what GPUs add up
    first = model.layers[0]
    hidden = model.figures.get("hidden_size", first.n_head * first.dim_v)  # else as wide as what is projected to it
    output = Exchange("all-reduce", wide, stored_bytes(tokens * hidden, wide), reduces=True)
    layers = tuple([analyse_layer(kind, gpu, work, output, constants) for kind in model.layers])
    terms = summed([(layer.shape.n_layer, layer.terms) for layer in layers])
    rest_s, memory = rest_of_step(model, gpu, work, output, constants), analyse_memory(gpu, model, work)
    step_s = None if rest_s is None else terms.total_s + rest_s
    return Analysis(
        gpu=gpu,
        model=model,
        work=work,
        basis="bound" if constants is None else "estimate",
        layers=layers,
        counts=summed([(layer.shape.n_layer, layer.counts) for layer in layers]),
        terms=terms,
        rest_s=rest_s,
        step_s=step_s,
        attention_share=step_s and terms.total_s / step_s,
        new_tokens=tokens,
        attention_tokens_per_s=tokens / terms.total_s if memory.fits else None,
        step_tokens_per_s=tokens / step_s if step_s and memory.fits else None,
        ridge=gpu.peaks[work.dtype] / gpu.bandwidth,
        memory=memory,
    )


# -------------------------------------------------------------------------- what would help


def half_length(case: Analysis) -> int | None:
    """The shortest sequence with which attention takes half of the step, if the rest is known and does not grow too."""
    rest_s, shortest, longest = case.rest_s, case.work.query, 2**40
    if rest_s is None or case.work.phase == "prefill":
        return None

    def reaches(seq: int) -> bool:
        work = case.work._replace(seq=seq, phase=phase_of(case.work.query, seq, generates=True))
        return analyse(case.gpu, case.model, work, case.basis == "bound").terms.total_s >= rest_s

    if not reaches(longest):
        return None
    while shortest < longest:
        middle = (shortest + longest) // 2
        shortest, longest = (shortest, middle) if reaches(middle) else (middle + 1, longest)
    return longest


class Change(NamedTuple):
    """A change to a case, and what it brings."""

    flags: str
    what: str
    attention_gain: float  # time per new token before / after
    step_gain: float | None  # None: the rest of the step is unknown
    fits: bool
    after: Analysis


def changes_to(case: Analysis, what: str, model: Model, work: Workload) -> list[Change]:
    """The change to another model or workload, if that can be, and makes something faster by a hundredth or fit."""
    try:
        after = analyse(case.gpu, model, work, case.basis == "bound")
    except InputError:  # more GPUs than a link joins, say
        return []
    tokens = after.new_tokens / case.new_tokens
    compared = "total_s" if case.basis == after.basis else "bound_s"  # more GPUs, but no constants of their link
    gain = getattr(case.terms, compared) / getattr(after.terms, compared) * tokens
    step_gain = case.step_s / after.step_s * tokens if case.step_s and after.step_s else None
    if (after.memory.fits, max(gain, step_gain or 0.0)) < (case.memory.fits, 1.01):
        return []
    old, new = case.work._asdict(), work._asdict()
    fixed = ("kv_dtype", "weight_dtype") if old["dtype"] != new["dtype"] else ()  # do not follow the arithmetic here
    flags = [f"--{dashed(name)} {value}" for name, value in new.items() if value != old[name] or name in fixed]
    if model.layers != case.model.layers:
        flags.append(f"--set Model.n_kv_head={model.layers[0].n_kv_head}")
    typed = " ".join(flags).replace("--fused True", "--fused")
    fits = after.memory.fits
    return [Change(flags=typed, what=what, attention_gain=gain, step_gain=step_gain, fits=fits, after=after)]


def other_values(case: Analysis) -> dict[str, dict[Any, str]]:
    """What the flags of a case could be instead, and what that means."""
    work, arithmetic = case.work, [name for name in LOWER[case.work.dtype] if name in case.gpu.peaks][:1]
    narrower = {wide: [name for name in LOWER[wide] if BITS[name] < BITS[wide]][:1] for wide in BITS}
    return {
        "fused": {True: "one fused kernel", False: "separate kernels"},
        "split": SPLITS if work.ngpu > 1 else {},
        "link": LINKS if work.ngpu > 1 else {},
        "kv_dtype": {name: f"{name} KV cache" for name in narrower[work.kv_dtype]},
        "weight_dtype": {name: f"{name} weights" for name in narrower[work.weight_dtype]},
        "dtype": {name: f"{name} arithmetic" for name in arithmetic},
        "ngpu": {**({work.ngpu // 2: "half the GPUs"} if work.ngpu % 2 == 0 else {}), 2 * work.ngpu: "twice the GPUs"},
        "batch": {2 * work.batch: "twice the batch"},
    }


def what_would_help(case: Analysis) -> list[Change]:
    """The single changes that help, the largest gain first, and last, if it is more than one flag, those together."""
    changes, steps, flags = list[Change](), list[Change](), list[dict[str, Any]]()
    before = default_sharing(case.gpu, case.model, case.work.ngpu)
    for name, values in other_values(case).items():
        for value, what in values.items():
            if value == getattr(case.work, name):
                continue
            work = case.work._replace(**{name: value})
            # A link or split that the number of GPUs decided follows it.
            after = default_sharing(case.gpu, case.model, work.ngpu)
            work = work._replace(**{k: after[k] for k in after if getattr(work, k) == before[k]})
            helpful = changes_to(case, what, case.model, work)
            changes += helpful
            if helpful and name not in ("ngpu", "batch"):
                steps += helpful
                flags.append({name: value})
    layers = case.model.layers
    settable = "n_head" in case.model.figures and "Model.n_kv_head" not in case.changed
    if settable and not any(kind.n_kv_head % 2 or kind.kv_lora_rank for kind in layers):
        halved = tuple([kind._replace(n_kv_head=kind.n_kv_head // 2) for kind in layers])
        changes += changes_to(case, "half the K/V heads", case.model._replace(layers=halved), case.work)
    changes.sort(key=lambda change: (-change.fits, -change.attention_gain))
    best, what = case, "all that help together"

    def worth(change: Change) -> tuple[bool, float]:
        return change.fits, change.step_gain or change.attention_gain

    # Add the flag that helps most of those that go on helping once the others are in.
    while steps and max(map(worth, steps)) >= (best.memory.fits, 1.01):
        best = max(steps, key=worth).after
        steps = [step for flag in flags for step in changes_to(best, what, best.model, best.work._replace(**flag))]
    single, together = [change.flags for change in changes], changes_to(case, what, best.model, best.work)
    return changes + [change for change in together if change.flags not in single]


# ------------------------------------------------------------------------------------------- sweeps

AXES = "gpu model ngpu seq batch gen query dtype kv_dtype weight_dtype fused split link".split()  # the last is fastest
# What is taken where no flag says it (nothing: it depends on the case, see `workload`): where a GPU or model is named,
# what serving engines do; on the config's own figures, the user's document's.
NOT_SAID: dict[str, Any] = {"ngpu": 1, "seq": 1024, "batch": 1, "gen": True, "fused": True}
OF_THE_DOCUMENT: dict[str, Any] = {**NOT_SAID, "dtype": "fp32", "fused": False, "split": "seq", "link": "pcie"}


class Refusal(NamedTuple):
    """A combination of a sweep that cannot be, and why."""

    gpu: GPU
    model: Model
    work: Workload
    reason: str
    changed: Mapping[str, Any]  # figures that --set gave, by their keys


Outcome = Union[Analysis, Refusal]


class Sweep(NamedTuple):
    """What is asked: the values of every axis, in the order of the grid."""

    axes: Mapping[str, Sequence[Any]]  # None: not said
    varying: Sequence[str]  # axes with several values
    total: int  # cases
    given: frozenset[str]  # flags
    common: Sequence[str]  # what all cases have in common, as text
    bounds: bool  # whether all are bounds, since one GPU has no constants


def workload(gpu: GPU, model: Model, asked: Mapping[str, Any]) -> Workload:
    """A case of a sweep, with what was not said: what serving engines do."""
    dtype = asked["dtype"] or ("fp16" if "bf16" not in gpu.peaks and "fp16" in gpu.peaks else "bf16")
    query = asked["query"] or (1 if asked["gen"] else asked["seq"])
    taken = {
        "query": query,
        "phase": phase_of(query, asked["seq"], asked["gen"]),
        "dtype": dtype,
        "kv_dtype": dtype,
        "weight_dtype": min(dtype, model.weight_dtype or dtype, key=BITS.__getitem__),
        **default_sharing(gpu, model, asked["ngpu"]),
    }
    said = {name: asked[name] for name in Workload._fields if asked.get(name) is not None}
    return Workload(**{**taken, **said})


def changed_at(end: int, axis: str, axes: Mapping[str, Sequence[Any]]) -> list[Any]:
    """The GPUs or models with what --set gives at one end of its values; rows say why others cannot be."""
    figures, changed = {name: values[end] for name, values in axes.items()}, []
    for subject in axes[axis]:
        with contextlib.suppress(InputError):
            changed.append(with_figures(subject, figures))
    return changed


def value_text(value: Any) -> str:
    """The value of an axis as a person writes it; the config's own model has no name."""
    value = getattr(value, "name", value)
    return "config" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def common_text(axes: Mapping[str, Sequence[Any]], ends: Iterable[Sequence[Any]], counts: Collection[int]) -> list[str]:
    """What the cases have in common, as a heading: of what was not said, all that is taken."""
    first, works = {name: values[0] for name, values in axes.items()}, []
    asked = [{**first, "ngpu": n, "dtype": dtype} for n in counts for dtype in axes["dtype"]]
    for gpus, models in ends:
        works += [workload(*each) for each in itertools.islice(itertools.product(gpus, models, asked), 5000)]
    names = "gen gpu model ngpu seq batch query dtype kv_dtype weight_dtype split link fused".split()
    silent = {"gen" if first["query"] else "query", *(("split", "link") if max(counts) == 1 else ())}
    words = {"gen True": "decode", "gen False": "prefill", "fused True": "fused", "fused False": "unfused"}
    parts = []
    for name in dict.fromkeys([*names, *axes]):
        if len(axes[name]) == 1 and name not in silent:
            taken = [first[name]] if first[name] is not None else dict.fromkeys(getattr(work, name) for work in works)
            text = f"{dashed(name)} {'/'.join(map(value_text, taken))}"
            parts += [words.get(text, text)] if taken else []
    return parts


def set_figures(flags: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """The values of every key that --set names."""
    known = {f"{part}.{name}": key for part, keys in CONFIG_KEYS.items() for name, key in keys.items() if not key.text}
    figures: dict[str, Sequence[Any]] = {}
    for text in flags.get("set", []):
        name, _, values = text.partition("=")
        if name not in known:
            hint = did_you_mean(name, known) or " (a number of the config, such as GPU.bandwidth)"
            raise InputError(f"--set {quoted(name)} is not a key that takes a number{hint}")
        if name in figures:
            raise InputError(f"--set {name} is given twice")
        figures[name] = naming(f"--set {name}", values_flag, values, known[name])
    return figures


def read_sweep(flags: Mapping[str, Any]) -> Sweep:
    gpus, models = subjects(flags)
    taken = NOT_SAID if "gpu" in flags or "model" in flags else OF_THE_DOCUMENT
    axes = {name: flags.get(name, [taken.get(name)]) for name in AXES}
    axes.update({"gpu": gpus, "model": models, **set_figures(flags)})
    counts = dict.fromkeys((axes["ngpu"][0], axes["ngpu"][-1], *axes["ngpu"][:99]))  # both ends, some between
    ends = [[changed_at(end, axis, axes) for axis in SECTIONS] for end in (0, -1)]
    lacking = ""  # a GPU that has no estimate of some case; of what --set changes, by the ends of its values
    for gpu in itertools.chain.from_iterable(gpus for gpus, _ in ends):
        for n, said in itertools.product(counts, axes["link"]):
            link = said or gpu.joining_link(n)
            if (n == 1 or link in gpu.links) and not gpu.has_estimate(n, link):
                lacking = lacking or gpu.name
    return Sweep(
        axes=axes,
        varying=[name for name, values in axes.items() if len(values) > 1],
        total=math.prod(map(len, axes.values())),
        given=frozenset(flags),
        common=[*common_text(axes, ends, counts), f"bounds: {lacking} lacks constants" if lacking else "estimates"],
        bounds=bool(lacking),
    )


def analysed(asked: Mapping[str, Any], changed: Mapping[str, Any], bounds: bool) -> Analysis:
    """The answer for one combination; InputError for what cannot be."""
    gpu, model = (naming("--set:", with_figures, asked[axis], changed) for axis in SECTIONS)
    return analyse(gpu, model, workload(gpu, model, asked), bounds)._replace(changed=changed)


def outcomes_of(sweep: Sweep) -> Iterator[Outcome]:
    """The outcome of every combination; like is compared with like."""
    first, keys = {name: values[0] for name, values in sweep.axes.items()}, [key for key in sweep.axes if "." in key]
    for number in range(sweep.total):
        asked, rest = dict(first), number
        for name in reversed(sweep.varying):
            rest, at = divmod(rest, len(sweep.axes[name]))
            asked[name] = sweep.axes[name][at]
        changed = {key: asked[key] for key in keys}
        try:
            yield analysed(asked, changed, sweep.bounds)
        except InputError as error:
            own = {axis: asked[axis] for axis in SECTIONS}
            yield Refusal(work=workload(asked=asked, **own), reason=str(error), changed=changed, **own)


# ------------------------------------------------------------------------------------ views

RULE = "-" * 38
TIMES = (*TERMS, "total")
# Where an outcome has the columns of CSV and JSON: what is asked, then what an analysis answers.
ANSWERED = "rest_s step_s attention_share new_tokens attention_tokens_per_s step_tokens_per_s".split()
CASE_COLUMNS = {"gpu": "gpu.name", "model": "model.name", **{name: f"work.{name}" for name in Workload._fields}}
ANSWER_COLUMNS = {
    "basis": "basis",
    "limit": "terms.limit",
    **{name: f"terms.{name}" for name in Terms._fields},
    **{name: name for name in ANSWERED},
    **{name: f"counts.{name}" for name in Counts._fields},
    "intensity_flop_per_byte": "counts.intensity",
    "ridge_flop_per_byte": "ridge",
    **{name: f"memory.{name}" for name in Memory._fields},
}
COLUMNS = [*CASE_COLUMNS, "error", *ANSWER_COLUMNS]
asked_values, answered_values = (operator.attrgetter(*paths.values()) for paths in (CASE_COLUMNS, ANSWER_COLUMNS))


def cells_of(outcome: Outcome) -> list[Any]:
    """A value for each column; none where unknown, such as what a refusal does not answer."""
    if isinstance(outcome, Analysis):
        return [*asked_values(outcome), None, *answered_values(outcome)]
    return [*asked_values(outcome), outcome.reason, *(None for _ in ANSWER_COLUMNS)]


def axis_value(outcome: Outcome, axis: str) -> str:
    """The value of one axis as a person writes it."""
    if axis in outcome.changed:
        return value_text(outcome.changed[axis])
    return value_text(operator.attrgetter(CASE_COLUMNS["phase" if axis == "gen" else axis])(outcome))


def told(outcome: Outcome, axes: Iterable[str]) -> str:
    return ", ".join(f"{dashed(name)} {axis_value(outcome, name)}" for name in axes)


def report_product(case: Analysis, layer: Layer, name: str, exchange: Exchange | None) -> Iterator[str]:
    """A product, and the exchange that the document has after it. Bandwidths are required in the time of one GPU."""
    work, shape, ops = case.work, layer.shape, layer.operands
    formula, inner, columns = "Attn = S x V", ops.keys, shape.dim_v
    flops, read, width = ops.values_flops, ops.v_bytes, shape.dim_v  # of what is read
    if name == "scores":
        formula, inner, columns = "S = Q x K^T", shape.dim_qk, ops.keys
        flops, read, width = ops.scores_flops, ops.k_bytes, shape.dim_qk
    batch = f"{work.batch} x " if work.batch > 1 else ""
    heads, dtype = f"{batch}{shape.n_head}", work.dtype.upper()
    kept = work.dtype if ops.latent_form == "plain" else work.kv_dtype
    read_size = f"{batch}{shape.n_kv_head} x ({width} x {ops.read_rows}) x {BITS[kept] / 8:g} = {read} bytes"
    alone = kernel_bound(Kernel(formula, flops, bytes=read), case.gpu.peaks[work.dtype], case.gpu.bandwidth)
    yield f"{RULE}\n{formula}\n{heads} x (({work.query} x {inner}) x ({inner} x {columns}))\n{RULE}"
    yield f"Total FLOPS: {flops} FLOPS\nComputation time ({dtype}):  {alone.compute_s * layer.share.scores:.3e}s\n"
    yield f"Read Key Matrix ({kept.upper()}): {read_size}\nMemory time:  {alone.memory_s * layer.share.kv:.3e}s\n"
    if exchange:
        sync_s = exchange_bound(exchange, case.gpu.links[work.link])
        size = f"{heads} x ({work.query} x {columns}) x {BITS[work.dtype] / 8:g} = {exchange.bytes} bytes"
        yield f"Synchronizing {formula.partition(' ')[0]} ({dtype}): {size}\nSync time:  {sync_s:.3e}s\n"
        yield f"Bandwidth Requirement (with sync): {read / (alone.compute_s + sync_s) / 1e12:.3f} TB/s"
    yield f"Bandwidth Requirement (without sync): {read / alone.compute_s / 1e12:.3f} TB/s"


def report(case: Analysis, _: Sweep) -> Iterator[str]:
    """Both products of one layer (of each kind), step by step."""
    work, several = case.work, len(case.layers) > 1
    yield f"{RULE}\nWorking with {work.ngpu} {case.gpu.name} GPUs"
    if case.model.name:
        yield f"Model: {case.model.name}"
    yield f"{RULE}\nQKV size per head"
    for layer in case.layers:
        shape, keys, kind = layer.shape, layer.operands.keys, f" in {layer.shape.kind} layers" if several else ""
        yield f"Q{kind}: {work.query} x {shape.dim_qk}"
        yield f"K{kind} (including cache): {keys} x {shape.dim_qk}"
        yield f"V{kind} (including cache): {keys} x {shape.dim_v}"
    size, units = case.memory.cache_bytes, {"GB": 10**9, "MB": 10**6, "KB": 10**3, "bytes": 1}
    unit = next((name for name in units if size >= units[name]), "bytes")  # the largest that it fills
    yield f"Cached KV size ({work.kv_dtype.upper()}): {size // units[unit]} {unit}"
    for layer in case.layers:
        kind = f"{layer.shape.kind.capitalize()} " if several else ""
        yield f"{RULE}\nIn {kind}Attention Layer (per {layer.shape.n_head} head)"
        exchanges = {exchange.name: exchange for exchange, _ in layer.exchanges}
        for name in ("scores", "values"):  # the document has an exchange after each
            yield from report_product(case, layer, name, exchanges.pop(name, None))
        for i, exchange in enumerate(exchanges.values()):
            what = "All-reducing the output" if exchange.reduces else f"Exchanging {exchange.name}"
            sync_s = exchange_bound(exchange, case.gpu.links[work.link])
            yield "" if i else RULE
            yield f"{what} ({exchange.precision.upper()}): {math.ceil(exchange.bytes)} bytes"
            yield f"Sync time:  {sync_s:.3e}s"


def prefixed(value: float, unit: str) -> str:
    """Three significant digits with the prefix that suits them, in at most seven columns before a unit of one letter.

    >>> prefixed(0.00123456, "s"), prefixed(45.6e9, "B"), prefixed(13140, "s"), prefixed(2e7, "s")
    ('1.23 ms', '45.6 GB', '13140 s', '20 Ms')
    """
    if unit == "s" and 1000 <= value < 1e5:
        return f"{value:.0f} s"
    value = float(f"{value:.3g}")
    if value and not 1e-15 <= value < 1e21:
        return f"{value:.0e} {unit}".replace("e+", "e")
    power = int(f"{value:e}".split("e")[1]) // 3  # from -5 to 6
    return f"{value / 1000.0**power:.3g} {'fpnum KMGTPE'[power + 5].strip()}{unit}"


def rounded(value: float) -> str:
    """A number in three digits, or in whole ones where it is large."""
    if value < 1e7:
        return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return f"{value:.2e}".replace("e+0", "e").replace("e+", "e")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def question(case: Analysis, sweep: Sweep) -> Iterator[str]:
    """What is asked, a line for each part of it."""
    work, model, gpu = case.work, case.model, case.gpu
    asked = [plural(work.batch, "sequence"), f"{plural(work.query, 'new token')} each", plural(work.seq, "key")]
    yield f"work       {work.phase}: {', '.join(asked)}"
    without = model.n_layer - sum(kind.n_layer for kind in model.layers)
    rest = f", {without} layers without a cache" if without else ""
    yield f"model      {value_text(model)} (from {model.source}){rest}"
    for layer in case.layers:
        shape, form = layer.shape, layer.operands.latent_form
        width = f"{shape.dim_qk}" if shape.dim_v == shape.dim_qk else f"{shape.dim_qk}/{shape.dim_v}"
        heads = f"{plural(shape.n_head, 'head')}, {shape.n_kv_head} K/V, width {width}"
        heads += f", {form} latent" if form else ""
        heads += f", window {shape.window}" if shape.window else ""
        yield f"           {plural(shape.n_layer, f'{shape.kind} layer')}: {heads}"
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


def misfit(case: Analysis) -> str:
    memory = case.memory
    what = "the KV cache does" if memory.gpu_weight_bytes is None else "weights and KV cache do"
    needed = prefixed(memory.gpu_cache_bytes + (memory.gpu_weight_bytes or 0), "B")
    return f"{what} not fit: {needed} on each GPU of {prefixed(case.gpu.memory, 'B')}"


def verdict(case: Analysis) -> Iterator[str]:
    """The largest term and how far the next is below it; then a bar for each."""
    limit = case.terms.limit
    if not case.memory.fits:
        yield f"! {misfit(case)}"
    largest, next_below, *_ = sorted(case.terms.parts.values(), reverse=True)
    ahead = f"{rounded(largest / next_below)} x the next term" if next_below else "the only term"
    yield f"{limit} limits attention: {prefixed(largest, 's')}, {ahead}"
    for name, seconds in case.terms.parts.items():
        if seconds:
            bar = "#" * max(round(32 * seconds / largest), 1)
            note = "<- limits" if name == limit else f"{rounded(largest / seconds)} x below"
            yield f"  {name:9} {bar:32} {prefixed(seconds, 's'):>9}  {note}"


def term_cells(names: Collection[str], terms: Terms | None = None) -> str:
    """Times, or the head, in eight columns each; a name as wide has one more before it."""
    cells = names
    if terms:
        times = [getattr(terms, f"{name}_s") for name in names]
        cells = [prefixed(time, "s") if time else "-" for time in times]
    return "".join(f"{cell:>{max(8, len(name) + 1)}}" for name, cell in zip(names, cells))


def cost_table(case: Analysis) -> Iterator[str]:
    """One layer of each kind, its kernels and exchanges if there are several, and all layers."""

    def row(name: str, terms: Terms, intensity: float | None = None) -> str:
        ratio = "-" if intensity is None else rounded(intensity)
        return f"{name:17}{term_cells(TIMES, terms)}{ratio:>10}  {terms.limit}"

    yield f"{'':17}{term_cells(TIMES)} FLOP/byte  limit"
    for layer in case.layers:
        yield row(f"{layer.shape.kind} layer", layer.terms, layer.counts.intensity)
        if len(layer.kernels) + len(layer.exchanges) > 1:
            for kernel, terms in layer.kernels:
                yield row(f"  {kernel.name}", terms, kernel.flops / kernel.bytes)
            for exchange, seconds in layer.exchanges:
                yield row(f"  {exchange.name}", Terms(sync_s=seconds, total_s=seconds))
    layers = sum(kind.n_layer for kind in case.model.layers)
    yield row(f"all {plural(layers, 'layer')}", case.terms, case.counts.intensity)
    yield f"  ridge point of the datasheet's rates: {rounded(case.ridge)} FLOP/byte"


def memory_lines(case: Analysis) -> Iterator[str]:
    memory, size = case.memory, case.gpu.memory
    growth = f"{memory.kv_bytes_per_token:.12g} bytes per token"
    if memory.kv_bytes_per_token != memory.kv_bytes_per_token_beyond_windows:
        growth += f" ({memory.kv_bytes_per_token_beyond_windows:.12g} beyond the windows)"
    yield f"cache      {growth}, {prefixed(memory.cache_bytes, 'B')} in all"
    weights = memory.gpu_weight_bytes
    beside = ", weights not counted (unknown)" if weights is None else f" and {prefixed(weights, 'B')} of weights"
    yield f"each GPU   {prefixed(size, 'B')}: {prefixed(memory.gpu_cache_bytes, 'B')} of cache{beside}"
    if memory.max_seq == 0:
        yield "room for   no cache beside the weights"
        return
    batch, seq = memory.max_batch, memory.max_seq
    most = "any batch" if batch is None else f"--batch {min(batch, MAX_COUNT)}" if batch else "no batch"
    longest = "any length" if seq is None else f"--seq {seq}" if seq >= case.work.query else "no length"
    yield f"room for   {most} at this length, {longest} at this batch;"
    if "GPU.memory" not in case.changed:
        yield f"           engines keep a tenth and more: --set GPU.memory={size * 0.9 / 1e9:.12g}"


def step_lines(case: Analysis) -> Iterator[str]:
    attention = f"attention {prefixed(case.terms.total_s, 's')}"
    if case.rest_s is None or case.step_s is None:
        speed = case.attention_tokens_per_s
        yield f"one step   {attention}{f', {rounded(speed)} tokens/s without the rest' if speed else ''};"
        yield "           the rest needs parameter counts: --set Model.params_b=70.6"
    else:
        total = f"{attention} + rest {prefixed(case.rest_s, 's')} = {prefixed(case.step_s, 's')}"
        yield f"one step   {total}; {case.attention_share:.1%} attention"
        speed, half = case.step_tokens_per_s, half_length(case)
        notes = [f"{rounded(speed)} tokens/s"] if speed else []
        notes += [f"half of it is attention from {half} keys on"] if half and half > 1 else []
        if notes:
            yield f"           {'; '.join(notes)}"
    if case.basis == "estimate":
        yield f"bound      attention {prefixed(case.terms.bound_s, 's')}: no implementation is faster"
    else:
        yield "bounds     no implementation is faster; no constants for estimates here"


def help_lines(case: Analysis) -> Iterator[str]:
    changes = what_would_help(case)
    yield f"{'What would help':24}attention    step  per new token" if changes else "What would help: no single change"
    for change in changes:
        flags = f"  {change.flags:22}" + (f"\n{'':24}" if len(change.flags) > 22 else "")
        step = f"{rounded(change.step_gain)} x" if change.step_gain else "-"
        fits = ", makes it fit" if change.fits else ", does not fit"
        what = change.what + ("" if case.memory.fits else fits)
        yield f"{flags}{rounded(change.attention_gain) + ' x':>9}{step:>8}  {what}"


def summary(case: Analysis, sweep: Sweep) -> Iterator[str]:
    """What limits attention, by how much, why, and what to change first: one screen."""
    named = [[told(case, sweep.varying)]] if sweep.total > 1 else []
    parts = [question(case, sweep), verdict(case), cost_table(case), [*memory_lines(case), *step_lines(case)]]
    yield "\n\n".join(map("\n".join, [*named, *parts, help_lines(case)])) + ("\n" if named else "")


def one_by_one(view: Callable[..., Iterator[str]], sweep: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
    """A view of one case, for several."""
    for case in outcomes:
        lines = [f"{told(case, sweep.varying)}: {case.reason}"] if isinstance(case, Refusal) else view(case, sweep)
        yield "\n".join(lines) + "\n"


def wrapped(text: str, width: int) -> list[str]:
    import textwrap  # only these views need it

    return textwrap.wrap(text, width, break_on_hyphens=False)


def case_table(sweep: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
    """A line a case: what varies, the terms, the step or tokens/s, and the verdict."""
    widths = {}
    for name in sweep.varying or ["seq"]:
        values = sweep.axes[name]
        ends = (values[0], values[-1]) if isinstance(values, range) else values
        texts = ["prefill"] if name == "gen" else map(value_text, ends)
        widths[name] = max(map(len, [dashed(name), *texts]))
    idle = {"sync": max(sweep.axes["ngpu"]) == 1, "overhead": sweep.bounds}
    terms = [name for name in TIMES if not idle.get(name)]
    known = "Model.params_b" in sweep.axes or all(model.params for model in sweep.axes["model"])
    misfits = False
    for number, outcome in enumerate(outcomes):
        if number == 0:
            yield "\n".join(wrapped(", ".join(sweep.common), 80)) + "\n\n"
            heads = " ".join(f"{dashed(name):>{width}}" for name, width in widths.items())
            yield f"{heads}{term_cells(terms)}{'step' if known else 'tokens/s':>9} limit\n"
        row = " ".join(f"{axis_value(outcome, name):>{width}}" for name, width in widths.items())
        if isinstance(outcome, Refusal):
            lines = wrapped(outcome.reason, max(78 - len(row), 30))
            yield f"{row}  " + f"\n{'':{len(row) + 2}}".join(lines) + "\n"
            continue
        misfits = misfits or not outcome.memory.fits
        speed = outcome.attention_tokens_per_s
        last = prefixed(outcome.step_s, "s") if known and outcome.step_s else rounded(speed) if speed else "-"
        mark = " " if outcome.memory.fits else "!"
        yield f"{row}{term_cells(terms, outcome.terms)}{last:>9}{mark}{outcome.terms.limit}\n"
    if misfits:
        yield "\n! does not fit into memory\n"


def csv_rows(_: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
    """RFC 4180 but for lines that end in a newline alone: a header, then a line a case."""
    import csv  # only this view needs it

    write = csv.writer(argparse.Namespace(write=str), lineterminator="\n").writerow  # returns the line
    for number, outcome in enumerate(outcomes):
        header = "" if number else write([*COLUMNS, *outcome.changed])
        cells = [*cells_of(outcome), *outcome.changed.values()]
        yield header + write([str(cell).lower() if isinstance(cell, bool) else cell for cell in cells])


def json_lines(sweep: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
    """One case: an object for people too; several: one object a line. First the columns, then what they do not have."""
    for outcome in outcomes:
        record: dict[str, Any] = {"schema": 2, **dict(zip(COLUMNS, cells_of(outcome)))}
        if isinstance(outcome, Analysis):
            gpu, model, helpful = outcome.gpu, outcome.model, what_would_help(outcome)
            record["half_seq"] = half_length(outcome)
            record["layers"] = [
                {
                    **{key: getattr(layer.shape, key) for key in "kind n_layer n_head n_kv_head dim_qk dim_v".split()},
                    "window_keys": layer.shape.window or None,
                    **layer.operands._asdict(),
                    **layer.counts._asdict(),
                    **layer.terms._asdict(),
                    "limit": layer.terms.limit,
                    "kernels": [{**kernel._asdict(), **terms._asdict()} for kernel, terms in layer.kernels],
                    "exchanges": [{**exchange._asdict(), "seconds": seconds} for exchange, seconds in layer.exchanges],
                }
                for layer in outcome.layers
            ]
            record["would_help"] = [{k: v for k, v in change._asdict().items() if k != "after"} for change in helpful]
            figures = {"gpu": {"from": gpu.source, **gpu.figures}, "model": {"from": model.source, **model.figures}}
            record["inputs"] = {**figures, "flags": sorted(sweep.given)}
        if outcome.changed:
            record["set"] = outcome.changed
        yield json.dumps(record, indent=2 if sweep.total == 1 else None, allow_nan=False) + "\n"


# ------------------------------------------------------------------------------------ picture

# Okabe and Ito's colours, which a colour-blind reader can tell apart; markers tell them apart too.
COLOURS = "#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9 #000000".split()
TERM_COLOURS = {**dict(zip(TERMS, "#e69f00 #0072b2 #009e73 #cc79a7 #d55e00 #56b4e9".split())), "total": "#000000"}
MARKERS: list[list[tuple[float, float]]] = [  # corners round a point
    [(-4, -4), (4, -4), (4, 4), (-4, 4)],
    [(5 * math.cos(n / 2), 5 * math.sin(n / 2)) for n in range(12)],
    [(0, -5), (5, 4), (-5, 4)],
    [(0, -6), (5, 0), (0, 6), (-5, 0)],
]
MAX_POINTS = 2000
LEFT, WIDTH, LEGEND = 90, 640, 750  # of a panel, and where its legend begins
Point = tuple[float, float, str]  # and what its marker says when pointed at; nothing: no marker
MISFITS = "; does not fit into memory"  # at the end of a title, whose marker is hollow then


def escaped(text: str) -> str:
    import html  # only this view needs it

    return html.escape(text)


def svg_text(x: float, y: float, text: str, style: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escaped(text)}</text>\n"


def svg_line(points: Sequence[tuple[float, float]], style: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f"<polyline points='{path}' fill='none' {style}/>\n"


class Series(NamedTuple):
    """A line of a panel."""

    name: str
    points: Sequence[Point]
    colour: str
    marker: int = 0
    style: str = "stroke-opacity='0.5'"

    def drawn(self, points: Sequence[Point]) -> Iterator[str]:
        """Its line and markers through points on the page."""
        if len(points) > 1:
            yield svg_line([(x, y) for x, y, _ in points], f"stroke='{self.colour}' {self.style}")
        for x, y, title in points:
            if title:
                path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in MARKERS[self.marker % len(MARKERS)])
                fill = "#fff" if title.endswith(MISFITS) else self.colour  # hollow
                style = f"fill='{fill}' stroke='{self.colour}'"
                yield f"<polygon points='{path}' {style}><title>{escaped(title)}</title></polygon>\n"


def ticks(low: float, high: float) -> list[float]:
    """Round values within a span: decades, with as few between them as make three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    chosen: list[float] = []
    for steps in ("1", "1 2 5", "1 1.5 2 3 5 7", " ".join(f"{n / 10}" for n in range(10, 100))):
        if len(chosen) < 3:
            values = [float(f"{step}e{power}") for power in powers for step in steps.split()]
            chosen = [value for value in values if low <= value <= high]
    return chosen[:: -(-len(chosen) // 10)]


def plot(top: float, height: float, axes: Sequence[str], *listed: tuple[int, Sequence[Series]]) -> Iterator[str]:
    """A log-log panel of series with axes from the data, and beside it a legend of so many of each group."""
    across, up, unit = axes  # what they are, and the unit of the upright one
    series = [each for _, group in listed for each in group]
    bottom, points = top + height, [point for each in series for point in each.points]
    (left, right), (low, high) = ((min(values) / 1.3, max(values) * 1.3) for values in list(zip(*points))[:2])

    def x(value: float) -> float:
        return LEFT + math.log(value / left) / math.log(right / left) * WIDTH

    def y(value: float) -> float:
        return top + math.log(high / value) / math.log(high / low) * height

    for value in ticks(left, right):
        yield svg_line([(x(value), top), (x(value), bottom)], "class='grid'")
        yield svg_text(x(value), bottom + 16, f"{value:.12g}", "text-anchor='middle'")
    for value in ticks(low, high):
        yield svg_line([(LEFT, y(value)), (LEFT + WIDTH, y(value))], "class='grid'")
        yield svg_text(LEFT - 6, y(value) + 4, prefixed(value, unit), "text-anchor='end'")
    yield svg_line([(LEFT, top), (LEFT, bottom), (LEFT + WIDTH, bottom)], "class='axis'")
    yield svg_text(LEFT + WIDTH / 2, bottom + 36, across, "text-anchor='middle'")
    yield svg_text(LEFT, top - 10, up)
    for each in reversed(series):
        yield from each.drawn([(x(px), y(py), title) for px, py, title in each.points])
    at = top
    for most, group in listed:
        named = [each for each in group if each.name]
        for each in named[:most]:
            yield from each.drawn([(LEGEND, at, ""), (LEGEND + 22, at, "")])
            yield from each.drawn([(LEGEND + 11, at, each.points[0][2] and each.name)])
            yield svg_text(LEGEND + 28, at + 4, each.name)
            at += 18
        if len(named) > most:
            yield svg_text(LEGEND + 28, at + 4, f"and {len(named) - most} more")
            at += 18


def point_title(case: Analysis) -> str:
    """The whole case and its figures."""
    terms = [f"{name} {prefixed(s, 's')}" for name, s in case.terms.parts.items() if s]
    total = f"{case.basis} {prefixed(case.terms.total_s, 's')}"
    misfits = "" if case.memory.fits else MISFITS
    return f"{told(case, [*CASE_COLUMNS, *case.changed])}: {total} ({', '.join(terms)}); {case.terms.limit} limits{misfits}"


def roof_of(case: Analysis) -> str:
    """What limits a GPU in a precision."""
    peak, bandwidth = prefixed(case.gpu.peaks[case.work.dtype], "FLOP/s"), prefixed(case.gpu.bandwidth, "B/s")
    return f"{case.gpu.name} {case.work.dtype}: {peak}, {bandwidth}, ridge {rounded(case.ridge)}"


def picture(sweep: Sweep, outcomes: Iterator[Outcome]) -> Iterator[str]:
    """A roofline, roofs in the colour of their points; if a number sweeps, the time over it below, by term if alone."""
    if sweep.total > MAX_POINTS:
        raise InputError(f"--format svg shows at most {MAX_POINTS} cases, not {sweep.total}")
    cases = [outcome for outcome in outcomes if isinstance(outcome, Analysis)]
    numbers = [name for name in sweep.varying if type(sweep.axes[name][0]) in (int, float)]
    axis = numbers[-1] if numbers else ""
    others = [name for name in sweep.varying if name != axis]
    groups: dict[str, list[Analysis]] = {}
    for case in cases:
        words = [axis_value(case, name) if name in SECTIONS else told(case, [name]) for name in others]
        groups.setdefault(" ".join(words), []).append(case)
    roofs = {roof_of(case): case for case in cases}
    intensities = [case.counts.intensity for case in cases]
    upper, lower, tops = list[Series](), list[Series](), list[Series]()
    for n, (name, case) in enumerate(roofs.items()):
        left, right = min(*intensities, case.ridge / 4), max(*intensities, case.ridge * 4)
        points = [(x, min(x, case.ridge) * case.gpu.bandwidth, "") for x in (left, case.ridge, right)]
        tops.append(Series(name, points, COLOURS[n % len(COLOURS)], style="stroke-width='2.5'"))
    places = list[int]()
    for name, group in groups.items():
        at = list(roofs).index(roof_of(group[0]))
        n = places.count(at)  # series under a roof are told apart by their markers
        places.append(at)
        colour = COLOURS[(at if len(roofs) > 1 else n) % len(COLOURS)]
        titled = [(case, point_title(case)) for case in group]
        points = [(case.counts.intensity, case.counts.gpu_flops / case.terms.total_s, title) for case, title in titled]
        upper.append(Series(name, points, colour, n))
        terms = {"total": colour} if len(groups) > 1 else TERM_COLOURS
        for term, of_term in terms.items() if axis and len(cases) > 1 else ():
            field = f"{term}_s"
            points = [(float(axis_value(case, axis)), getattr(case.terms, field), title) for case, title in titled]
            points = [(x, y, title) for x, y, title in points if x and y]  # no logarithm of zero
            lower += [Series(name if len(groups) > 1 else term, points, of_term, n)] if points else []
    width = LEGEND + 60 + 7 * max(len(each.name) for each in (*upper, *lower, *tops))
    lacking = {"cannot be": sweep.total - len(cases), "do not fit (hollow)": sum(not x.memory.fits for x in cases)}
    notes = [f"{count} of {sweep.total} {what}" for what, count in lacking.items() if count]
    heading = wrapped(", ".join([*sweep.common, *notes]), width // 8)
    top = 50 + 16 * len(heading)
    height = top + 450 + (410 if lower else 0)
    page = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='12'"
    yield f"<svg xmlns='http://www.w3.org/2000/svg' {page}>\n<style>.grid{{stroke:#ddd}}.axis{{stroke:#333}}</style>\n"
    yield f"<rect width='{width}' height='{height}' fill='#fff'/>\n"
    for i, line in enumerate(heading):
        yield svg_text(20, 24 + 16 * i, line, "font-size='13' font-weight='bold'")
    axes = ("arithmetic intensity, FLOP/byte", "FLOP/s of the busiest GPU", "FLOP/s")
    yield from plot(top, 400, axes, (12, upper), (8, tops))
    if lower:
        yield from plot(top + 480, 310, (dashed(axis), "attention of all layers in one step", "s"), (12, lower))
    yield "</svg>\n"


# --------------------------------------------------------------------------- measured kernels


class Measured(NamedTuple):
    """One measured kernel or all-reduce."""

    gpu: GPU
    kind: str  # of what was measured: the accuracy's classes
    size: float  # latency in us, or bytes of an all-reduce: what the size classes go by
    shape: str
    seconds: float
    needed: Sequence[str]  # the constants of its estimate
    bound_s: float
    estimate: Callable[[Constants], float]  # seconds
    line: int = 0  # of the file
    ngpu: int = 1
    resident: bool = True  # in memory for certain: no last-level cache holds what is read

    def ratio(self, constants: Constants | None) -> float:
        """The estimate's time (the bound's, without constants) over the measured one."""
        return (self.bound_s if constants is None else self.estimate(constants)) / self.seconds


KINDS = ("decode", "prefill", "latent decode", "latent prefill", "all-reduce")
ALL = ("all", 0.0, math.inf)  # sizes from one figure up to another
KERNEL_SIZES = (ALL, ("up to 50 us", 0.0, 50.0), ("above 50 us", 50.0, math.inf), ("above 1 ms", 1000.0, math.inf))
REDUCE_SIZES = (ALL, ("below 256 KiB", 0.0, 2.0**18), ("above 16 MiB", MOST_OF_ONE_OR_TWO_SHOTS + 1, math.inf))
NOT_SEEN = {"exponentials": 1e12, "tile_s": 0.0, "wave_s": 0.0}  # figures at which these cost nothing


def read_cell(row: Mapping[str, str], name: str, key: Key = COUNT) -> Any:
    return naming(name, key.typed, row.get(name, ""))


def reduce_row(row: Mapping[str, str], gpu: GPU, link: str | None) -> Measured:
    ngpu, payload = read_cell(row, "ngpu", COUNT._replace(low=2)), read_cell(row, "bytes")
    us, by = read_cell(row, "latency_us", FIGURE), link or gpu.joining_link(ngpu)
    rate = required_figure(gpu, "link", by, gpu.links)
    exchange = Exchange("all-reduce", "bf16", payload, reduces=True)
    return Measured(
        gpu=gpu,
        kind="all-reduce",
        size=payload,
        shape=f"{payload} bytes over {ngpu} GPUs",
        seconds=us / 1e6,
        needed=LINK_CONSTANTS[by],
        bound_s=exchange_bound(exchange, rate),
        estimate=lambda constants: exchange_estimate(exchange, ngpu, by, rate, constants),
        ngpu=ngpu,
    )


def kernel_row(row: Mapping[str, str], gpu: GPU) -> Measured:
    phase = naming("phase", one_of, row.get("phase", ""), ("decode", "prefill"))
    batch, seq, n_head = (read_cell(row, name) for name in ("batch", "seq", "n_head"))
    window = 0 if row.get("window", "0") == "0" else read_cell(row, "window")
    dtype = naming("dtype", one_of, row.get("dtype", "bf16"), COMPUTING)
    kv_dtype = naming("kv_dtype", one_of, row.get("kv_dtype", "bf16"), BITS)
    widths = LATENT_KEYS if "kv_lora_rank" in row else ("n_kv_head", "dim_head")
    layers = shaped(1, n_head, {name: read_cell(row, name) for name in widths}, window)
    if dtype not in gpu.peaks:
        raise InputError(f"{gpu.name} has no {dtype} figure: --gpu names the GPU that was measured")
    query, us = 1 if phase == "decode" else seq, read_cell(row, "latency_us", FIGURE)
    asked: dict[str, Any] = {"seq": seq, "batch": batch, "query": query, "phase": phase, "kv_dtype": kv_dtype}
    work = Workload(ngpu=1, dtype=dtype, weight_dtype=dtype, fused=True, split="seq", link="pcie", **asked)
    compute, memory = gpu.peaks[dtype], gpu.bandwidth
    # Measured kernels may do less than the estimate takes them to: compute with an FP8 cache in FP8, and read heads
    # of 192 with values of 128.
    least = layers._replace(dim_v=128) if layers.dim_v == 192 else layers
    fastest = gpu.peaks.get("fp8", compute) if kv_dtype == "fp8" else compute
    shape, ops = operands(layers, work)
    kernel, shortest = (layer_kernels(*each, work, Shares())[0] for each in ((shape, ops), operands(least, work)))
    bound = kernel_bound(kernel, compute, memory)
    return Measured(
        gpu=gpu,
        kind=f"latent {phase}" if layers.kv_lora_rank else phase,
        size=us,
        shape=f"{phase} {batch} x {seq}, {n_head}/{layers.n_kv_head} x {layers.dim_qk}, window {window}, {kv_dtype}",
        seconds=us / 1e6,
        needed=KERNEL_CONSTANTS,
        bound_s=kernel_bound(shortest, fastest, memory).bound_s,
        estimate=lambda constants: kernel_estimate(kernel, bound, compute, memory, constants).total_s,
        resident=ops.kv_bytes > gpu.figures.get("last_level_cache", 0),
    )


def read_measured(text: str, gpu_for: Callable[[str], GPU | None], link: str | None) -> Iterator[Measured]:
    """The rows of a CSV file; `gpu_for` says which GPU a row's `gpu` is, None to leave it out."""
    import csv  # only this needs it

    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(text.splitlines(True), delimiter=separator, skipinitialspace=True)
    try:
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(str(error)) from None
    columns = {name.strip() for name in reader.fieldnames or ()}
    reduces = columns >= {"ngpu", "bytes", "latency_us"}
    heads = LATENT_KEYS if "kv_lora_rank" in columns else ("n_kv_head", "dim_head")
    for name in () if reduces else ("phase", "batch", "seq", "n_head", "latency_us", *heads):
        if name not in columns:
            raise InputError(f"has no column {name}")
    read = functools.partial(reduce_row, link=link) if reduces else kernel_row
    for number, row in lines:
        cells = {name.strip(): cell.strip() for name, cell in row.items() if name and cell}
        gpu = naming(f"line {number}:", gpu_for, cells.get("gpu", ""))
        if gpu:
            yield naming(f"line {number}:", read, cells, gpu)._replace(line=number)


def solved(matrix: list[list[float]], right: list[float], damping: float) -> list[float]:
    """The solution of linear equations with a damped diagonal, by Gauss-Jordan elimination."""
    lines = [[*line, value] for line, value in zip(matrix, right)]
    for i, line in enumerate(lines):
        line[i] += damping * line[i] + 1e-9
    for i, pivot in enumerate(lines):
        pivot[:] = [value / pivot[i] for value in pivot]
        for line in lines[:i] + lines[i + 1 :]:
            line[:] = [a - line[i] * b for a, b in zip(line, pivot)]
    return [line[-1] for line in lines]


def searched(rows: Sequence[Measured], start: Constants, given: Constants) -> tuple[Constants, float]:
    """The constants, and their loss: the mean of log(1 + (error / scale)^2), each kind of row weighing the same, in
    which errors well above the scale hardly weigh. By damped Gauss-Newton steps in the constants' logarithms
    (Levenberg 1944, Marquardt 1963), reweighted by its slope.
    """
    kinds, scale = [row.kind for row in rows], 0.15 if rows[0].kind == "all-reduce" else 0.1
    shares = [1 / kinds.count(kind) for kind in kinds]

    def errors(constants: Constants) -> list[float]:
        known = {**given, **constants}
        return [math.log(row.estimate(known) / row.seconds) for row in rows]

    def loss(residuals: list[float]) -> float:
        return math.fsum(w * math.log1p((r / scale) ** 2) for w, r in zip(shares, residuals))

    best, now, small = start, errors(start), 1e-5
    gain, damping, tries = 0.0, 1e-2, 500
    while tries and damping < 1e6 and not 0 < gain <= 1e-9:
        tries -= 1
        moved = [errors({**best, name: best[name] * math.exp(small)}) for name in best]
        slopes = [[(b - a) / small for a, b in zip(now, after)] for after in moved]
        weights = [w / (scale**2 + r * r) for w, r in zip(shares, now)]
        pull = [math.fsum(w * a * b for w, a, b in zip(weights, slope, now)) for slope in slopes]
        normal = [[math.fsum(w * x * y for w, x, y in zip(weights, a, b)) for b in slopes] for a in slopes]
        steps = zip(best.items(), solved(normal, pull, damping))
        tried = {name: value * math.exp(-max(-1.0, min(1.0, step))) for (name, value), step in steps}
        tried = {name: min(value, 1.0) if name.endswith("efficiency") else value for name, value in tried.items()}
        after = errors(tried)
        gain, damping = loss(now) - loss(after), damping * 5
        if gain > 0:
            best, now, damping = tried, after, damping / 25
    return best, loss(now)


def fit(rows: Sequence[Measured]) -> Constants:
    """The constants of measured kernels, or of a link, that explain them best."""
    begin = read_section(catalogue(ARCHITECTURES)["unfitted"], "GPU", complete=False)
    start = {name: begin[name] for name in rows[0].needed if name in begin}
    if rows[0].kind == "all-reduce":
        return searched(rows, start, {})[0]
    figures, latent_start = rows[0].gpu.figures, {LATENT: start.pop(LATENT)}  # latent decode is fitted apart
    given = {"multiprocessors": figures["multiprocessors"], **latent_start}
    grouped = [row for row in rows if row.kind != "latent decode"] or rows
    fitted, least = searched(grouped, start, given)
    for name, cost_free in NOT_SEEN.items():  # without it, if the rows do not show it
        fewer = {key: value for key, value in fitted.items() if key != name}
        without, loss = searched(grouped, fewer, {**given, name: cost_free})
        if loss < least * 1.025 + 0.001:
            fitted, least, given[name] = without, loss, cost_free
    tied = {**given, **fitted, LATENT: fitted["bandwidth_efficiency"]}
    latent = [row for row in rows if row.kind == "latent decode"]
    if not latent:
        return {**tied, LATENT: figures.get(LATENT, tied[LATENT])}
    apart, loss = searched(latent, latent_start, tied)
    return {**tied, **apart} if loss < 0.8 * searched(latent, {}, tied)[1] else tied


def accuracy(rows: Sequence[Measured], constants: Constants | None) -> str:
    """How far the estimates (bounds, without constants) are off, by kind and size."""
    import statistics  # only this needs it

    lines = [f"{'':30}{'rows':>7}{'faster':>8}{'median':>9}{'90 %':>9}{'bias':>9}"]
    ratios = [(row, row.ratio(constants)) for row in rows]
    for kind in sorted({row.kind for row in rows}, key=KINDS.index):
        some = [(row, ratio) for row, ratio in ratios if row.kind == kind]
        bands = REDUCE_SIZES if kind == "all-reduce" else KERNEL_SIZES
        classes = {name: [pair for pair in some if low <= pair[0].size < high] for name, low, high in bands}
        counts = sorted({row.ngpu for row, _ in some} - {1})
        classes.update({f"{ngpu} GPUs": [pair for pair in some if pair[0].ngpu == ngpu] for ngpu in counts})
        for name, group in classes.items():
            if group:
                faster = sum(row.resident and row.seconds < row.bound_s for row, _ in group)
                errors = sorted(abs(ratio - 1) for _, ratio in group)
                median, most = statistics.median(errors), errors[len(errors) * 9 // 10]
                bias = round(statistics.median([ratio - 1 for _, ratio in group]), 3) + 0.0  # no -0.0
                lines.append(f"{kind:16}{name:14}{len(group):7,}{faster:8,}{median:9.1%}{most:9.1%}{bias:+9.1%}")
    lines += ["", "worst ten rows"]
    for row, ratio in sorted(ratios, key=lambda pair: -abs(math.log(pair[1])))[:10]:
        lines.append(f"  line {row.line}: {row.shape}: {prefixed(row.seconds, 's')}, here {ratio:.3g} times as long")
    return "\n".join(lines) + "\n"


def fitted_section(name: str, rows: Sequence[Measured]) -> dict[str, Any]:
    """A GPU section of config.json with the constants that fit every other row."""
    needed, figures = rows[0].needed, rows[0].gpu.figures
    if any(row.needed != needed for row in rows):
        raise InputError(f"--fit: rows of {name} go over both links: --link takes one")
    if "multiprocessors" in needed and "multiprocessors" not in figures:
        raise InputError(f"--fit needs GPU.multiprocessors, which {name} does not have")
    least = 2 * len(set(needed) - {"multiprocessors"})
    if len(rows) < least:
        raise InputError(f"--fit needs {least} rows of {name} or more, not {len(rows)}")
    figures, section = {**figures, **fit(rows[::2])}, {}
    for key, meaning in CONFIG_KEYS["GPU"].items():
        value = figures.get(base_name(key))
        if isinstance(value, float):
            digits = 3 if base_name(key) in needed else 12
            value = float(f"{value / meaning.scale:.{digits}g}")
        if value is not None:
            section[key] = value
    return section


# ----------------------------------------------------------------------------- command line

VIEWS: dict[str, Callable[[Sweep, Iterator[Outcome]], Iterator[str]]] = {
    "report": functools.partial(one_by_one, report),
    "summary": functools.partial(one_by_one, summary),
    "table": case_table,
    "csv": csv_rows,
    "json": json_lines,
    "svg": picture,
}
FLAGS = f"""\
flag         group        value help
gpu          case         NAME  a GPU of the catalogue, or config
model        case         NAME  a model of the catalogue, config, or a published Hugging Face config.json or its folder
ngpu         case         N     GPUs that share the work (default 1)
seq          case         N     keys attended to, the new ones included (1024)
batch        case         N     sequences per step (default 1)
gen          case         BOOL  generation of one token per sequence (default True); False: prefill of the whole sequence. true/false, yes/no, 1/0, on/off
query        case         N     new tokens per sequence: speculative decoding, chunked prefill (default 1, or all of --seq in prefill)
dtype        case         TYPE  {", ".join(COMPUTING)} (default fp32; bf16 or fp16 where a GPU or model is named)
kv_dtype     case         TYPE  precision of the KV cache, one of these or {", ".join(name for name in BITS if name not in COMPUTING)} (as --dtype)
weight_dtype case         TYPE  precision of the weights (as --dtype, or what a named model is published in, if narrower)
fused        case         BOOL  one kernel that keeps the scores on chip and skips what is masked (FlashAttention); default where a GPU or model is named
split        case         HOW   what the GPUs share: seq, the keys (default); head, the heads (where a GPU or model is named and they divide); batch, the sequences
link         case         LINK  pcie (default) or nvlink, the scale-up link (where a GPU or model is named and it joins the GPUs)
fp16         case         -     short for --dtype fp16
config       figures      FILE  GPU and model figures, - for standard input (default: config.json beside the script, else the same values built in)
set          figures      KEY=N another figure of the GPU or model, in the config's units: --set GPU.bandwidth=3350:6700:x2; repeatable
list_gpus    figures      -     show the catalogue's gpus
list_models  figures      -     show the catalogue's models
format       output       VIEW  report (default for the config's one case); summary (for a named one): what limits attention, and what would help; table (for several), csv, json; svg: a picture
help         output       -     show this help and exit
version      output       -     show the version and exit
measured     measurements FILE  hold the model against the measured kernels of a CSV file, - for standard input
fit          measurements -     with --measured: the constants that fit the file
"""
READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("ngpu", "seq", "batch", "query"), values_flag),
    **dict.fromkeys(("gen", "fused"), lambda text: [BOOLEANS[word] for word in names_flag(BOOLEANS)(text)]),
    "dtype": names_flag(COMPUTING),
    **dict.fromkeys(("kv_dtype", "weight_dtype"), names_flag(BITS)),
    "split": names_flag(SPLITS),
    "link": names_flag(LINKS),
    "format": lambda text: one_of(text, VIEWS),
}


def to_stderr(text: str) -> None:
    """Text on standard error, or nothing where even that cannot be written."""
    with contextlib.suppress(OSError, AttributeError):  # full disk; no standard error at all
        sys.stderr.write(text)  # its newline or carriage return flushes


def diagnose(kind: str, message: str) -> None:
    """One ASCII line, however long the message or what it quotes."""
    line = f"{PROGRAM}: {kind}: " + message.encode("ascii", "backslashreplace").decode()
    to_stderr((line if len(line) <= 300 else f"{line[:296]} ...") + "\n")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(PROGRAM, add_help=False, allow_abbrev=False, exit_on_error=False)
    result.usage, result.description = "%(prog)s [flags]", (__doc__ or "").partition("\nSymbols")[0]
    result.formatter_class = functools.partial(argparse.RawDescriptionHelpFormatter, width=80)
    result.argument_default = argparse.SUPPRESS  # what is not given is not there
    result.color = False  # type: ignore[attr-defined,unused-ignore]  # Python 3.14 colours help
    group = functools.cache(result.add_argument_group)
    for name, row in catalogue(FLAGS).items():
        takes: dict[str, Any] = {"action": "store_const", "const": ""}
        if "value" in row:
            takes = {"metavar": row["value"], "type": READERS.get(name)}
        if row.get("value") == "BOOL":
            takes.update(nargs="?", const="True")
        if name == "set":
            takes["action"] = "append"
        short = ["-h"] if name == "help" else []
        group(row["group"]).add_argument(*short, f"--{dashed(name)}", help=row["help"], **takes)
    return result


def read_flags(argv: Sequence[str] | None) -> dict[str, Any]:
    """The values of the flags that are given; InputError for an argument that is none."""
    words = sys.argv[1:] if argv is None else argv
    for flag, word in zip(("", *words), words):
        if word == "--" or word.endswith("=--"):  # argparse before 3.13 makes an empty list of it
            after = f" after {quoted(flag)}" if flag and word == "--" else ""
            raise InputError(f"unknown argument {quoted(word)}{after}; see --help")
    try:
        parsed, unknown = parser().parse_known_args(words)
    except argparse.ArgumentError as error:
        raise InputError(f"{error.argument_name} {error.message}") from None
    if unknown and "help" not in parsed:
        name = unknown[0].split("=")[0]
        says = {key: f"--set {section}.{key}=" for section, keys in CONFIG_KEYS.items() for key in keys}
        listed: dict[str, Iterable[str]] = {"dtype": COMPUTING, "format": VIEWS, "link": LINKS, "split": SPLITS}
        says.update({value: f"--{flag} {value}" for flag, known in listed.items() for value in known})
        meant = says.get(name.lstrip("-").replace("-", "_"))
        hint = f" (say {meant})" if meant else did_you_mean(name, [f"--{dashed(flag)}" for flag in catalogue(FLAGS)])
        raise InputError(f"unknown argument {quoted(unknown[0])}{hint}; see --help")
    return vars(parsed)


def check_flags(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The flags, with those that others are short for; InputError for those that contradict each other."""
    if "fp16" in values and values.get("dtype", ["fp16"]) != ["fp16"]:
        raise InputError(f"--fp16 and --dtype {','.join(values['dtype'])} contradict each other")
    for name in ("config", "measured"):
        if values.get(name) == "":
            raise InputError(f"--{name} must name a file, or - for standard input")
    piped = [f"--{name} -" for name in ("config", "model", "measured") if values.get(name) == "-"]
    if len(piped) > 1:
        raise InputError(f"{' and '.join(piped)}: standard input can be read once")
    if "fit" in values and "measured" not in values:
        raise InputError("--fit needs --measured FILE")
    if "measured" in values:
        stray = values.keys() - {"measured", "fit", "gpu", "link", "config", "format", "set"}
        if stray:
            raise InputError(f"--{dashed(min(stray))} has no meaning beside --measured")
        if "format" in values and (values["format"] != "json" or "fit" not in values):
            raise InputError("--format has no meaning beside --measured, but for json with --fit")
        if len(values.get("link", "")) > 1:
            raise InputError("--link takes one value beside --measured")
    return {**values, "dtype": ["fp16"]} if "fp16" in values else values


def with_warnings(sweep: Sweep) -> Iterator[Outcome]:
    """The outcomes, with progress and warnings on standard error; InputError if none can be."""
    first_reason, done, misfits, step = "", 0, 0, 10_000
    progress = sweep.total >= step and sys.stderr is not None and sys.stderr.isatty()
    try:
        for number, outcome in enumerate(outcomes_of(sweep)):
            if progress and number % step == 0:
                to_stderr(f"\r{number} of {sweep.total} cases")
            if isinstance(outcome, Refusal):
                first_reason = first_reason or outcome.reason
                if sweep.total == 1:
                    break
            else:
                done, misfits = done + 1, misfits + (not outcome.memory.fits)
                notes = [f"{x.name}: {note}" for x in sweep.axes["model"] for note in x.notes] if done == 1 else []
                notes += [misfit(outcome)] if misfits and sweep.total == 1 else []
                for note in notes:
                    diagnose("warning", note)
            yield outcome
    finally:
        if progress:
            to_stderr(f"\r{'':60}\r")
    if not done:
        raise InputError(first_reason)
    if misfits and sweep.total > 1:
        diagnose("warning", f"{misfits} of {sweep.total} cases do not fit into memory")


def measured_rows(flags: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, list[Measured]]:
    """The rows of the file by GPU: of those that --gpu names, or of all that it has."""
    gpus: dict[str, GPU] = {gpu.name: naming("--set:", with_figures, gpu, changes) for gpu in subjects(flags)[0]}

    @functools.cache
    def gpu_for(name: str) -> GPU | None:
        if not name and len(gpus) > 1:
            raise InputError("no gpu, and --gpu names several")
        if not name or name in gpus:
            return gpus[name or next(iter(gpus))]
        gpu = find_gpu(name)
        return gpus.get(gpu.name) if "gpu" in flags else naming("--set:", with_figures, gpu, changes)

    text, name = naming("--measured", read_text, flags["measured"], 64 * 2**20), source_name(flags["measured"])
    rows: dict[str, list[Measured]] = {}
    for row in naming(f"{name}:", list[Measured], read_measured(text, gpu_for, flags.get("link", [None])[0])):
        rows.setdefault(row.gpu.name, []).append(row)
    if not rows:
        raise InputError(f"{name}: has no row for this GPU")
    return rows


def measure(flags: Mapping[str, Any]) -> Iterator[str]:
    """The report of --measured on the rows of each GPU, and with --fit a section of a config that fits them."""
    figures = set_figures(flags)
    for name, values in figures.items():
        if not name.startswith("GPU.") or len(values) > 1:
            raise InputError(f"--set {name}: --measured takes one value of a GPU's key")
    texts, warnings = list[str](), list[str]()  # for when the last has been fitted
    for name, measured in measured_rows(flags, {name: values[0] for name, values in figures.items()}).items():
        rows, own, section = measured, measured[0].gpu.figures, None
        known = {constant for row in rows for constant in row.needed} <= own.keys()
        constants, what = (own, "estimate") if known else (None, "bound only: no constants")
        typical = sorted(row.ratio(constants) for row in rows)[len(rows) // 2]
        if typical > 30 or (known and typical < 1 / 30):
            warnings.append(f"{name} is {typical:.2g} times as slow here: are latencies in microseconds?")
        if "fit" in flags:
            section, what = fitted_section(name, rows), "fitted on every other row, held against the rest"
            constants, rows = naming(f"--fit of {name}:", read_section, section, "GPU"), rows[1::2]
        heading = f"{name}, {len(rows):,} rows; {what}"
        texts.append("" if "format" in flags else f"{heading}\n\n{accuracy(rows, constants)}\n")
        texts.append(json.dumps({"GPU": section}, indent=4) + "\n" if section else "")
    for warning in warnings:
        diagnose("warning", warning)
    yield "".join(texts)


def run(argv: Sequence[str] | None) -> Iterator[str]:
    """The text for a command line, in pieces; InputError for one that cannot be answered."""
    given = read_flags(argv)
    if "help" in given:
        yield parser().format_help()
    elif "version" in given:
        yield f"{PROGRAM} {__version__}\n"
    elif "list_gpus" in given or "list_models" in given:
        yield GPUS if "list_gpus" in given else ""
        yield MODELS if "list_models" in given else ""
    elif "measured" in given:
        yield from measure(check_flags(given))
    else:
        flags = check_flags(given)
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
        for text in run(argv):
            sys.stdout.write(text)
        sys.stdout.flush()
        return 0
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
    # Python flushes once more at exit: let what is left go nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
