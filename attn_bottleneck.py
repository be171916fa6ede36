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

Formulas, one layer (the README has them all, with what windows and latents change)

    pairs            Q S unfused; fused: the sum over the Q rows of the keys each may see
    FLOPs            B H pairs (2d - 1) for the scores, B H d (2 pairs - Q) for the outputs
    K and V read     2 B K d rows e; rows = S - 1 if one token is generated (the new row is
                     still on chip), else S
    other traffic    Q read and A written, 2 B H Q d e; unfused 4 B H Q S e more
    compute, memory  FLOPs / P and bytes / W of the busiest of n GPUs
    sync             unfused, keys split: scores and values / N; fused: (n - 1)/n of the
                     queries, or of keys and values, whichever is less, / M; the output's
                     all-reduce, B Q D e / M; sequences split: nothing
    bound            max(sum over kernels of max(compute, memory), sync): no implementation is
                     faster
    estimate         compute + memory (of kernels that overlap them the larger) + sync +
                     overhead, at the rates that measured kernels reach
    KV cache         2 L B K d rows e

`report` is the worked example that this tool began with, on the config's own figures: one layer,
product by product, unfused, the keys split.

Assumptions: peaks are dense; one multiply-add is two FLOPs; GB = 1e9 bytes; weights are spread
evenly. Counts are exact.

The file, from top to bottom: units and words; hardware and models; kernels; layers, by kind;
reading (a config of ours, a published one, by name); cost model; what would help; sweeps; views;
picture; measured kernels; command line. Data runs that way and no other.

Exit codes: 0 answered, whatever the verdict; 1 standard output cannot be written; 2 bad usage or a
bad config (one line on standard error says which key or flag, and what is allowed); 130
interrupted.
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
from typing import Any, NamedTuple, Protocol, TypeVar, Union

if sys.version_info < (3, 9):
    sys.stderr.write("attn_bottleneck.py: error: Python 3.9 or newer is needed\n")
    sys.exit(2)

__version__ = "1.0"
PROGRAM = (
    "attn-bottleneck"
    if os.path.basename(sys.argv[0]) == "attn-bottleneck"
    else "attn_bottleneck.py"
)


# ---------------------------------------------------------------------------- units and small words


@functools.cache
def catalogue(table: str) -> Mapping[str, Mapping[str, Any]]:
    """The rows of a table by name, as the sections of a config; a blank line ends it. A cell
    begins or ends where its key in the head does (KeyError for one that does not), but for the
    last one's, which is text. What is "-" is not there, nor are notes.
    """
    head, *lines = table.partition("\n\n")[0].splitlines()
    *words, last = re.finditer(r"\S+", head)
    key_from = {word.start(): word[0] for word in words}
    key_to = {word.end(): word[0] for word in words}
    rows = {}
    for line in lines:
        name, *cells = re.finditer(r"\S+", line[: last.start()])
        texts = {last[0]: line[last.start() :].strip()}
        for cell in cells:
            begins = cell.start() in key_from
            key = key_from[cell.start()] if begins else key_to[cell.end()]
            texts[key] = cell[0]
        row: dict[str, Any] = {}
        for key, text in texts.items():
            if key != "note" and text not in ("", "-"):
                row[key] = json.loads(text) if text.replace(".", "").isdigit() else text
        rows[name[0]] = row
    return rows


# Number formats: bits; whether GPUs compute in it, or only store; the next ones down, of which a
# GPU takes the first that it has.
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
SPLITS = {"seq": "keys split", "head": "heads split", "batch": "sequences split"}
LINKS = {"pcie": "PCIe", "nvlink": "NVLink"}


def ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def stored_bytes(elements: int, precision: str) -> int:
    """Bytes that `elements` take in `precision`; half a byte left over counts as one."""
    return ceil_div(elements * BITS[precision], 8)


def dashed(name: str) -> str:
    """How a flag is typed; a key of the config, which has a dot, as it is."""
    return name if "." in name else name.replace("_", "-")


Values = Mapping[str, Any]  # by name
Figures = Values  # by the config's keys, but in base units: seconds, bytes, parameters
Lines = Iterator[str]


class InputError(argparse.ArgumentTypeError):
    """What the user gave cannot be used; the message, which argparse passes on, says what, why and
    what is allowed.
    """


@contextlib.contextmanager
def blamed_on(where: str) -> Iterator[None]:
    """An InputError from within says where too: the flag, key or file."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where} {error}") from None


def quoted(value: object) -> str:
    """`value` as an error message quotes it: JSON's spelling, ASCII, on one line, not endless."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:36]}... ({len(text)} characters)"


SI_PREFIXES = {
    -5: "f",
    -4: "p",
    -3: "n",
    -2: "u",
    -1: "m",
    0: "",
    1: "K",
    2: "M",
    3: "G",
    4: "T",
    5: "P",
    6: "E",
}


def prefixed(value: float, unit: str) -> str:
    """Three significant digits with the prefix that suits them, in at most seven columns before a
    unit of one letter.

    >>> prefixed(0.00123456, "s"), prefixed(45.6e9, "B"), prefixed(13140, "s"), prefixed(2e7, "s")
    ('1.23 ms', '45.6 GB', '13140 s', '20 Ms')
    """
    if unit == "s" and 1000 <= value < 1e5:
        return f"{value:.0f} s"
    value = float(f"{value:.3g}")
    if value and not 1e-15 <= value < 1e21:
        return f"{value:.0e} {unit}".replace("e+", "e")
    power = int(f"{value:e}".split("e")[1]) // 3
    return f"{value / 1000.0**power:.3g} {SI_PREFIXES[power]}{unit}"


def squashed(name: str) -> str:
    """A name without what people write differently."""
    return "".join(filter(str.isalnum, name.lower()))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name nearest to a misspelt one, or nothing."""
    import difflib  # only a misspelt name needs it

    wanted = name.lower()
    lower = {word.lower(): word for word in known}
    # Letters that changed places first.
    nearest = [word for word in lower if sorted(word) == sorted(wanted)]
    if not nearest:
        nearest = difflib.get_close_matches(wanted, lower, n=1)
    return f" (did you mean {lower[nearest[0]]}?)" if nearest else ""


def one_of(text: str, known: Collection[str]) -> str:
    """The known name that is meant, in any case."""
    if text.lower() in known:
        return text.lower()
    raise InputError(
        f"must be one of {', '.join(known)}, not {quoted(text)}{did_you_mean(text, known)}"
    )


# What is accepted. Products stay far below the largest float (1.8e308): no time or bandwidth
# derived from them can overflow, and no rate is zero. Counts may end in K and M, 1024-based as
# lengths in tokens are.
MAX_COUNT = 10**18
MAX_LISTED = 10**6  # values of a flag that are not one range in steps
MULTIPLES = {"": 1, "K": 2**10, "M": 2**20}


def typed_count(text: str) -> int | None:
    count = re.fullmatch("([0-9]{1,40})([KkMm]?)", text)
    if not count:
        return None
    if re.match("0[0-9]", text):
        raise InputError(
            f"begins with 0: {quoted(text)}; a comma makes a list, 131072 is one count"
        )
    return int(count[1]) * MULTIPLES[count[2].upper()]


def typed_figure(text: str) -> float | None:
    if not re.fullmatch("[0-9.eE+-]*[0-9]", text):
        return None
    with contextlib.suppress(ValueError):
        return float(text) + 0.0  # no -0.0
    return None


class Key(NamedTuple):
    """What a value of the config or of a flag may be, and what one of its unit is in base units."""

    allowed: str = "a number from 1e-9 to 1e15"
    least: float = 1e-9
    most: float = 1e15
    scale: float = 1
    whole: bool = False
    text: bool = False  # no number
    choices: tuple[str, ...] = ()  # no number either
    needed: bool = False

    def checked(self, value: Any) -> Any:
        """A value that is allowed; InputError for others."""
        if self.choices:
            good = value in self.choices
        elif self.text:
            good = type(value) is str and bool(re.fullmatch("[ -~]+", value))
        else:
            numeric = type(value) is int or (type(value) is float and not self.whole)
            good = numeric and self.least <= value <= self.most
        if not good:
            raise self.refusal(value)
        return value

    def typed(self, text: str) -> Any:
        """A number as people type it: counts with K and M, others with an exponent."""
        number = typed_count(text) if self.whole else typed_figure(text)
        if number is None:
            raise self.refusal(text)
        return self.checked(number)

    def refusal(self, value: object) -> InputError:
        return InputError(f"must be {self.allowed.format(least=self.least)}, not {quoted(value)}")


COUNT = Key("a whole number from {least} to 10^18", least=1, most=MAX_COUNT, whole=True)
FIGURE = Key()


def stepped_values(first: float, last: float, step: float, by_factor: bool) -> list[float]:
    """From the first value to the last in steps, or by a factor."""
    end = last * (1 + 1e-12)  # steps such as .1 pass it by a rounding error
    values: list[float] = []
    value = first
    while value <= end and len(values) <= MAX_LISTED:
        values.append(value)
        if by_factor:
            value *= step
        else:
            value = first + len(values) * step  # not value + step: errors would add up
    return values


def run_of_values(part: str, key: Key) -> Sequence[Any]:
    """A value, or FIRST:LAST, FIRST:LAST:STEP or FIRST:LAST:xFACTOR."""
    low, *rest = part.split(":")
    first = key.typed(low)
    last = key.typed(rest[0]) if rest else first
    step_text = rest[1] if len(rest) > 1 else "1"
    by_factor = step_text.startswith(("x", "X"))
    if by_factor:
        step_text = step_text[1:]
    step = (COUNT if key.whole else FIGURE).typed(step_text)
    stands_still = by_factor and (step <= 1 or not first)
    if len(rest) > 2 or first > last or stands_still:
        raise InputError(
            f"{quoted(part)} must be FIRST:LAST, from small to large; :STEP or :xFACTOR may follow"
        )
    if key.whole and not by_factor:
        return range(first, last + 1, step)
    return stepped_values(first, last, step, by_factor) if rest else [first]


def values_flag(text: str, key: Key = COUNT) -> Sequence[Any]:
    """Lists, ranges in steps and ranges by a factor, the end included.

    >>> values_flag("1,2K"), values_flag("1K:8K:x2"), values_flag("1:2:.5", FIGURE)
    ([1, 2048], [1024, 2048, 4096, 8192], [1.0, 1.5, 2.0])
    """
    runs = [run_of_values(part, key) for part in text.split(",")]
    if len(runs) == 1 and isinstance(runs[0], range):
        return runs[0]
    if sum(map(len, runs)) > MAX_LISTED:
        raise InputError(f"lists at most {MAX_LISTED} values, beside one range in steps")
    return list(itertools.chain.from_iterable(runs))


def names_flag(known: Collection[str]) -> Callable[[str], Sequence[str]]:
    return lambda text: [one_of(part, known) for part in text.split(",")]


TRUE_WORDS = ("true", "yes", "1", "on")
FALSE_WORDS = ("false", "no", "0", "off")


def booleans_flag(text: str) -> list[bool]:
    return [word in TRUE_WORDS for word in names_flag((*TRUE_WORDS, *FALSE_WORDS))(text)]


# ------------------------------------------------------------------------------ hardware and models

# NVIDIA's, AMD's, Intel's and Google's datasheets and product pages, each figure held against a
# second source; notes where the two disagree.
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

# What measured kernels and links reach, fitted on half of the rows of each architecture and held
# against the others (README, "Held against silicon"): us, 1e9 exponentials/s of a multiprocessor,
# parts of the peaks. Ampere, Ada and Blackwell RTX begin and end tiles for nothing that can be
# seen, and Ampere's and Ada's exponentials (16 a clock) never limit.
ARCHITECTURES = """\
architecture    launch_us wave_us tile_us exponentials compute_efficiency bandwidth_efficiency latent_bandwidth_efficiency state_bandwidth_efficiency state_chunk_us sparse_efficiency index_efficiency link_latency_us link_hop_us link_two_shot_us link_library_us link_efficiency pcie_latency_us pcie_hop_us pcie_efficiency
Ampere                 13     4.3       0         22.6               0.67                 0.71                        0.71                          -              -                 -                -             4.0        0.53              6.7              42            0.68             2.3         1.6            0.62
Hopper                 12     1.3     3.8           17               0.72                 0.90                        0.90                       0.88            3.0              0.60            0.445             2.2        0.32              4.3              23            0.74             2.3         1.6            0.62
Blackwell              10     1.5     3.4           22               0.64                0.915                        0.72                       0.80           2.45             0.257             0.38             3.8        0.38              7.2              37            0.69             2.3         1.6            0.62
Blackwell-Ultra       9.8    1.35     2.9           31               0.84                0.905                        0.71                       0.80            2.4             0.285            0.415             3.8        0.39              7.5              37            0.70             2.3         1.6            0.62
Ada                   8.3     3.5       0         40.3               0.50                0.855                       0.855                          -              -                 -                -               -           -                -               -               -             2.3         1.6            0.62
Blackwell-RTX         8.4     3.1       0          5.5               0.76                0.965                       0.965                          -              -                 -                -               -           -                -               -               -             2.3         1.6            0.62
"""

# Geometry from the models' published config.json (GPT-3: arXiv:2005.14165, table 2.1), billions of
# parameters, all and those active for one token, from their model cards and papers.
MODELS = """\
name                    n_layer n_head n_kv_head dim_head v_head_dim kv_lora_rank qk_rope_head_dim qk_nope_head_dim hidden_size chunk window n_layer_window n_layer_no_cache n_expert n_expert_active params_b active_params_b weights  note
gpt3-175b                    96     96        96      128          -            -                -                -       12288     -      -              -                -        -               -    174.6               -       -  its sparse layers counted as dense
llama-2-7b                   32     32        32      128          -            -                -                -        4096     -      -              -                -        -               -     6.74               -       -
llama-2-70b                  80     64         8      128          -            -                -                -        8192     -      -              -                -        -               -    68.98               -       -
llama-3.1-8b                 32     32         8      128          -            -                -                -        4096     -      -              -                -        -               -     8.03               -       -
llama-3.1-70b                80     64         8      128          -            -                -                -        8192     -      -              -                -        -               -    70.55               -       -
llama-3.3-70b                80     64         8      128          -            -                -                -        8192     -      -              -                -        -               -    70.55               -       -
llama-3.1-405b              126    128         8      128          -            -                -                -       16384     -      -              -                -        -               -   405.85               -       -
llama-4-scout                48     40         8      128          -            -                -                -        5120  8192      -             36                -       16               1      109              17       -
llama-4-maverick             48     40         8      128          -            -                -                -        5120  8192      -             36                -      128               1      400              17       -
mistral-7b-v0.1              32     32         8      128          -            -                -                -        4096     -   4096             32                -        -               -     7.24               -       -
mixtral-8x7b                 32     32         8      128          -            -                -                -        4096     -      -              -                -        8               2     46.7            12.9       -
qwen2-72b                    80     64         8      128          -            -                -                -        8192     -      -              -                -        -               -    72.71               -       -
qwen3-4b                     36     32         8      128          -            -                -                -        2560     -      -              -                -        -               -     4.02               -       -
qwen3-8b                     36     32         8      128          -            -                -                -        4096     -      -              -                -        -               -      8.2               -       -
qwen3-14b                    40     40         8      128          -            -                -                -        5120     -      -              -                -        -               -    14.77               -       -
qwen3-32b                    64     64         8      128          -            -                -                -        5120     -      -              -                -        -               -     32.8               -       -
qwen3-30b-a3b                48     32         4      128          -            -                -                -        2048     -      -              -                -      128               8    30.53            3.35       -
qwen3-235b-a22b              94     64         4      128          -            -                -                -        4096     -      -              -                -      128               8      235              22       -
gemma-2-27b                  46     32        16      128          -            -                -                -        4608     -   4096             23                -        -               -     27.2               -       -
gemma-3-27b                  62     32        16      128          -            -                -                -        5376     -   1024             52                -        -               -       27               -       -
gpt-oss-20b                  24     64         8       64          -            -                -                -        2880     -    128             12                -       32               4     20.9             3.6     fp4
gpt-oss-120b                 36     64         8       64          -            -                -                -        2880     -    128             18                -      128               4    116.8             5.1     fp4
deepseek-v2-lite             27     16         -        -        128          512               64              128        2048     -      -              -                -       64               6     15.7             2.4       -
deepseek-v3                  61    128         -        -        128          512               64              128        7168     -      -              -                -      256               8      671              37     fp8  also V3.1
deepseek-r1                  61    128         -        -        128          512               64              128        7168     -      -              -                -      256               8      671              37     fp8  deepseek-v3, trained further
kimi-k2                      61     64         -        -        128          512               64              128        7168     -      -              -                -      384               8     1000              32     fp8
kimi-k2.5                    61     64         -        -        128          512               64              128        7168     -      -              -                -      384               8   1026.4            32.9    int4  its vision encoder not counted
minimax-m2.5                 62     48         8      128          -            -                -                -        3072     -      -              -                -      256               8      230              10     fp8
falcon-7b                    32     71         1       64          -            -                -                -        4544     -      -              -                -        -               -     7.22               -       -

Layers, heads, widths in elements, windows in keys, parameters (all, active for a token) in 1e9.
"""


# Models whose layers take more to say, as published: the keys of their config.json (of its text
# decoder) that matter here, each held against the file in question. Qwen3.5-397B: two model cards
# (mlx-community's and SGLang's).
PUBLISHED = """\
{
  "qwen3-next-80b-a3b": {
    "full_attention_interval": 4, "head_dim": 256, "linear_num_key_heads": 16,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
    "hidden_act": "silu", "vocab_size": 151936, "model_type": "qwen3_next",
    "num_hidden_layers": 48, "hidden_size": 2048, "num_attention_heads": 16,
    "num_key_value_heads": 2, "linear_num_value_heads": 32, "num_experts": 512,
    "num_experts_per_tok": 10, "moe_intermediate_size": 512, "shared_expert_intermediate_size":
    512
  },
  "qwen3.5-27b": {
    "full_attention_interval": 4, "head_dim": 256, "linear_num_key_heads": 16,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
    "hidden_act": "silu", "vocab_size": 248320, "model_type": "qwen3_5_text",
    "num_hidden_layers": 64, "hidden_size": 5120, "num_attention_heads": 24,
    "num_key_value_heads": 4, "linear_num_value_heads": 48, "intermediate_size": 17408
  },
  "qwen3.5-397b-a17b": {
    "full_attention_interval": 4, "head_dim": 256, "linear_num_key_heads": 16,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
    "hidden_act": "silu", "vocab_size": 248320, "model_type": "qwen3_5_moe_text",
    "num_hidden_layers": 60, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 2, "linear_num_value_heads": 64, "num_experts": 512,
    "num_experts_per_tok": 10, "moe_intermediate_size": 1024,
    "shared_expert_intermediate_size": 1024
  },
  "gemma-4-26b-a4b": {
    "model_type": "gemma4_text", "head_dim": 256, "global_head_dim": 512, "attention_k_eq_v":
    true, "sliding_window": 1024, "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": true, "vocab_size": 262144, "num_hidden_layers": 30, "hidden_size":
    2816, "num_attention_heads": 16, "num_key_value_heads": 8, "num_global_key_value_heads": 2,
    "enable_moe_block": true, "intermediate_size": 2112, "num_experts": 128, "top_k_experts":
    8, "moe_intermediate_size": 704, "sliding_window_pattern": 6
  },
  "gemma-4-31b": {
    "model_type": "gemma4_text", "head_dim": 256, "global_head_dim": 512, "attention_k_eq_v":
    true, "sliding_window": 1024, "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": true, "vocab_size": 262144, "num_hidden_layers": 60, "hidden_size":
    5376, "num_attention_heads": 32, "num_key_value_heads": 16, "num_global_key_value_heads":
    4, "intermediate_size": 21504, "sliding_window_pattern": 6
  },
  "deepseek-v3.2": {
    "hidden_act": "silu", "kv_lora_rank": 512, "qk_rope_head_dim": 64, "n_routed_experts": 256,
    "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3, "index_head_dim": 128, "index_topk": 2048, "model_type":
    "deepseek_v32", "num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128,
    "q_lora_rank": 1536, "qk_nope_head_dim": 128, "v_head_dim": 128, "index_n_heads": 64,
    "intermediate_size": 18432, "vocab_size": 129280, "weights": "fp8"
  },
  "deepseek-v4-pro": {
    "model_type": "deepseek_v4", "num_hidden_layers": 61, "hidden_size": 7168,
    "num_attention_heads": 128, "num_key_value_heads": 1, "head_dim": 512, "qk_rope_head_dim":
    64, "q_lora_rank": 1536, "o_lora_rank": 1024, "o_groups": 16, "index_n_heads": 64,
    "index_head_dim": 128, "index_topk": 1024, "sliding_window": 128, "compress_ratios": [128,
    128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4,
    128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4,
    128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4, 128, 4], "hidden_act": "silu",
    "n_routed_experts": 384, "num_experts_per_tok": 6, "n_shared_experts": 1,
    "moe_intermediate_size": 3072, "vocab_size": 129280, "weights": "fp4"
  },
  "glm-5.2": {
    "hidden_act": "silu", "kv_lora_rank": 512, "qk_rope_head_dim": 64, "n_routed_experts": 256,
    "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3, "index_head_dim": 128, "index_topk": 2048, "model_type":
    "glm_moe_dsa", "num_hidden_layers": 78, "hidden_size": 6144, "num_attention_heads": 64,
    "q_lora_rank": 2048, "qk_nope_head_dim": 192, "v_head_dim": 256, "index_n_heads": 32,
    "index_topk_freq": 4, "index_skip_topk_offset": 3, "intermediate_size": 12288,
    "vocab_size": 154880
  },
  "nemotron-h-56b": {
    "model_type": "nemotron_h", "hybrid_override_pattern":
    "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
    "hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
    "mamba_num_heads": 256, "mamba_head_dim": 64, "ssm_state_size": 256, "n_groups": 8,
    "conv_kernel": 4, "chunk_size": 128, "intermediate_size": 32768, "mlp_hidden_act": "relu2",
    "vocab_size": 131072
  },
  "nemotron-3-nano-30b-a3b": {
    "model_type": "nemotron_h", "hybrid_override_pattern":
    "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", "hidden_size": 2688,
    "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128, "mamba_num_heads":
    64, "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4,
    "chunk_size": 128, "n_routed_experts": 128, "num_experts_per_tok": 6,
    "moe_intermediate_size": 1856, "moe_shared_expert_intermediate_size": 3712,
    "mlp_hidden_act": "relu2", "vocab_size": 131072
  }
}
"""


class KernelConstants(NamedTuple):
    """What an estimate of attention kernels needs to know of a GPU beside its datasheet."""

    multiprocessors: int
    launch_s: float  # of a kernel
    wave_s: float  # of a further wave of tiles, 128 wide
    tile_s: float  # to begin and end a full tile
    exponentials: float  # a second, of one multiprocessor
    compute_efficiency: float  # parts of the datasheet's rates
    bandwidth_efficiency: float
    latent_bandwidth_efficiency: float  # where latents are read while computing
    # Of states and of sparse attention; None: not measured, and taken as others.
    state_bandwidth_efficiency: float | None = None
    state_chunk_s: float | None = None  # that a head waits for a chunk of a prompt
    sparse_efficiency: float | None = None  # of the peak, where each token has keys of its own
    index_efficiency: float | None = None  # of the peak in FP8


class LinkConstants(NamedTuple):
    """What an estimate of exchanges needs to know of a link; the last two only where an all-reduce
    is not a ring.
    """

    latency_s: float
    hop_s: float  # for each doubling of the GPUs; round a ring for each step
    efficiency: float  # part of the datasheet's rate
    two_shot_s: float | None = None  # a two-shot all-reduce starts later than a one-shot
    library_s: float | None = None  # start of an all-reduce above 16 MiB


Constants = Union[KernelConstants, LinkConstants]


class GPU(NamedTuple):
    """One accelerator, in base units."""

    name: str
    peaks: Mapping[str, float]  # precision -> dense peak, FLOP/s
    memory: float  # bytes
    bandwidth: float  # bytes/s
    links: Mapping[str, float]  # link -> bytes/s, both directions together
    kernel_constants: KernelConstants | None  # None: not all are known
    link_constants: Mapping[str, LinkConstants]  # of links of which all are known
    figures: Figures  # all by the config's keys, but in base units
    source: str  # where they come from

    def has_estimate(self, ngpu: int, link: str) -> bool:
        """Whether every constant is known that an estimate over so many GPUs needs."""
        return self.kernel_constants is not None and (ngpu == 1 or link in self.link_constants)

    def constants_of(self, what: str) -> Constants | None:
        """Those of "kernels" or of a link, if all are known."""
        return self.kernel_constants if what == "kernels" else self.link_constants.get(what)

    def joining_link(self, ngpu: int) -> str:
        """The scale-up link where there is one that joins so many, or no other; else PCIe."""
        if "nvlink" not in self.links:
            return "pcie"
        if "pcie" in self.links and ngpu > self.figures.get("nvlink_gpus", ngpu):
            return "pcie"
        return "nvlink"


# --------------------------------------------------------------------- kernels: how long each takes


class Terms(NamedTuple):
    """Seconds of a kernel, a layer or all layers, by term and in total.

    total_s is less than the sum of the terms where they overlap; it equals bound_s where a GPU has
    no constants.
    """

    compute_s: float = 0.0
    memory_s: float = 0.0
    sync_s: float = 0.0
    overhead_s: float = 0.0
    total_s: float = 0.0
    bound_s: float = 0.0  # no implementation of this algorithm in this precision is faster

    @property
    def parts(self) -> dict[str, float]:
        """Seconds of each term by its name."""
        return {
            "compute": self.compute_s,
            "memory": self.memory_s,
            "sync": self.sync_s,
            "overhead": self.overhead_s,
        }

    @property
    def times(self) -> dict[str, float]:
        """Seconds of each term, and in total."""
        return {**self.parts, "total": self.total_s}

    @property
    def limit(self) -> str:
        """The name of the largest term, of equal ones the first: the verdict."""
        parts = self.parts
        return max(parts, key=parts.__getitem__)


class KernelShare(NamedTuple):
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
    # What only estimates count: what kernels compute and move beyond the least, how many pieces
    # multiprocessors work on one by one, and in how many steps that follow each other.
    extra_flops: float = 0.0
    extra_bytes: float = 0.0
    pieces: float = 0.0
    steps: int = 0


class Rates(NamedTuple):
    """What a GPU offers a kernel: the datasheet's FLOP/s and bytes/s, and what is attained."""

    compute: float
    memory: float
    constants: KernelConstants


Estimate = Callable[[KernelShare, Rates], Terms]

# What measured kernels of 2026 take on every GPU alike (README, "Held against silicon"): seconds of
# a launch with its first wave, elements/s of a multiprocessor, parts of the bandwidth.
STATE_STEP_START_S = 4e-6
STATE_PROMPT_START_S = 3e-6
STATE_WAVE_S = 10e-6  # before the first chunk of each wave of heads
UNFUSED_STATE_START_S = 16e-6  # where no fused kernel was measured
UNFUSED_STATE_CHUNK_S = 2.3e-6
CONVOLUTION_STEP_START_S = 1.5e-6
CONVOLUTION_STEP_BANDWIDTH = 0.6
CONVOLUTION_PROMPT_START_S = 2e-6
CONVOLUTION_ELEMENTS = 4.5e9
SPARSE_START_S = 3e-6
INDEX_START_S = 5e-6
INDEX_EFFICIENCY = 0.4  # where none was measured
INDEX_STEP_START_S = 8e-6  # with that of its top-k
TOP_K_START_S = 4e-6
TOP_K_ROW_S = 1.9e-6  # of a row with more keys than are taken
TOP_K_KEY_S = 0.2e-9  # of a key
TOP_K_PAIR_BYTES = 10


def overlapped(compute_s: float, memory_s: float, overhead_s: float) -> Terms:
    """A kernel that computes while it reads."""
    longer_s = max(compute_s, memory_s)
    return Terms(
        compute_s=compute_s,
        memory_s=memory_s,
        overhead_s=overhead_s,
        total_s=longer_s + overhead_s,
    )


def attained_flops(rates: Rates) -> float:
    return rates.compute * rates.constants.compute_efficiency


def wave_count(kernel: KernelShare, rates: Rates) -> int:
    """How often every multiprocessor takes one of a kernel's pieces."""
    return math.ceil(kernel.pieces / rates.constants.multiprocessors)


def attention_estimate(kernel: KernelShare, rates: Rates) -> Terms:
    """At the part of the datasheet's FLOP/s and bytes/s that measured kernels reach. They overlap
    computing and reading little, but for absorbed latent attention, and exponentials with FLOPs.
    Further waves of tiles cost time only where they outlast computing and reading; beginning and
    ending full tiles always does.
    """
    constants = rates.constants
    multiprocessors = constants.multiprocessors
    attained_compute = attained_flops(rates)
    exponential_s = kernel.exponentials / (constants.exponentials * multiprocessors)
    # A multiprocessor works on the tail alone.
    tail_s = kernel.tail_flops * multiprocessors / attained_compute
    compute_s = tail_s + max(kernel.flops / attained_compute, exponential_s)
    efficiency = constants.bandwidth_efficiency
    if kernel.overlaps:
        efficiency = constants.latent_bandwidth_efficiency
    memory_s = (kernel.bytes + kernel.extra_bytes) / (rates.memory * efficiency)
    work_s = max(compute_s, memory_s) if kernel.overlaps else compute_s + memory_s
    # Waves were fitted to keys 128 wide; of a wider one half the cost grows.
    further_waves = max(0.0, kernel.tiles / multiprocessors - 1) * (128 + kernel.width) / 256
    waves_s = max(0.0, constants.wave_s * further_waves - work_s)
    tiles_s = constants.tile_s * kernel.full_tiles / multiprocessors
    overhead_s = constants.launch_s + waves_s + tiles_s
    return Terms(
        compute_s=compute_s,
        memory_s=memory_s,
        overhead_s=overhead_s,
        total_s=work_s + overhead_s,
    )


def state_bandwidth(rates: Rates) -> float:
    """Bytes/s at which kernels of states read and write."""
    efficiency = rates.constants.state_bandwidth_efficiency
    if efficiency is None:
        efficiency = rates.constants.bandwidth_efficiency
    return rates.memory * efficiency


def state_step_estimate(kernel: KernelShare, rates: Rates) -> Terms:
    """A few new tokens: the state is read once, and written after every token."""
    moved = kernel.bytes + kernel.extra_bytes
    memory_s = moved / state_bandwidth(rates)
    return overlapped(kernel.flops / attained_flops(rates), memory_s, STATE_STEP_START_S)


def state_prompt_estimate(kernel: KernelShare, rates: Rates) -> Terms:
    """Many new tokens, chunk by chunk: a multiprocessor takes the chunks of a head one after the
    other, `steps` of them, whatever computing and reading could be done meanwhile.
    """
    constants = rates.constants
    compute_s = (kernel.flops + kernel.extra_flops) / attained_flops(rates)
    moved = kernel.bytes
    if constants.state_chunk_s is None:
        start_s = UNFUSED_STATE_START_S
        chain_s = kernel.steps * UNFUSED_STATE_CHUNK_S
        moved += kernel.extra_bytes
    else:
        start_s = STATE_PROMPT_START_S
        chunks_s = STATE_WAVE_S + kernel.steps * constants.state_chunk_s
        chain_s = wave_count(kernel, rates) * chunks_s
    memory_s = moved / state_bandwidth(rates)
    waiting_s = max(0.0, chain_s - max(compute_s, memory_s))
    return overlapped(compute_s, memory_s, start_s + waiting_s)


def convolution_step_estimate(kernel: KernelShare, rates: Rates) -> Terms:
    moved = kernel.bytes + kernel.extra_bytes
    memory_s = moved / (rates.memory * CONVOLUTION_STEP_BANDWIDTH)
    return overlapped(0.0, memory_s, CONVOLUTION_STEP_START_S)


def convolution_prompt_estimate(kernel: KernelShare, rates: Rates) -> Terms:
    """Bound by instructions: so many elements a second, the pieces, whatever the usual width."""
    elements_s = kernel.pieces / (CONVOLUTION_ELEMENTS * rates.constants.multiprocessors)
    compute_s = max(elements_s, kernel.flops / attained_flops(rates))
    moved = kernel.bytes + kernel.extra_bytes
    return overlapped(compute_s, moved / state_bandwidth(rates), CONVOLUTION_PROMPT_START_S)


def sparse_prompt_estimate(kernel: KernelShare, rates: Rates) -> Terms:
    """Attention of each new token to keys of its own: a piece is a token, padded to all keys that
    one may take, and multiprocessors take one each at a time.
    """
    constants = rates.constants
    efficiency = constants.sparse_efficiency
    if efficiency is None:
        efficiency = constants.compute_efficiency
    padded_flops = (kernel.flops + kernel.extra_flops) / kernel.pieces
    wave_flops = padded_flops * constants.multiprocessors
    compute_s = wave_count(kernel, rates) * wave_flops / (rates.compute * efficiency)
    memory_s = kernel.bytes / (rates.memory * constants.bandwidth_efficiency)
    return overlapped(compute_s, memory_s, SPARSE_START_S)


def index_prompt_estimate(kernel: KernelShare, rates: Rates) -> Terms:
    """Scores of every key for many new tokens. However few there are, each multiprocessor works on
    as many pairs as `extra_flops` take.
    """
    constants = rates.constants
    efficiency = constants.index_efficiency
    if efficiency is None:
        efficiency = INDEX_EFFICIENCY
    least_flops = kernel.extra_flops * constants.multiprocessors
    compute_s = max(kernel.flops, least_flops) / (rates.compute * efficiency)
    memory_s = kernel.bytes / (rates.memory * constants.bandwidth_efficiency)
    return overlapped(compute_s, memory_s, INDEX_START_S)


def top_k_s(kernel: KernelShare, rates: Rates) -> float:
    """Seconds in which multiprocessors take the best keys of rows, the pieces, of so many keys, the
    steps.
    """
    return wave_count(kernel, rates) * kernel.steps * TOP_K_KEY_S


def index_step_estimate(kernel: KernelShare, rates: Rates) -> Terms:
    """Scores of every key for a few new tokens, and the best of them."""
    bandwidth = rates.memory * rates.constants.latent_bandwidth_efficiency
    memory_s = (kernel.bytes + kernel.extra_bytes) / bandwidth
    overhead_s = INDEX_STEP_START_S + top_k_s(kernel, rates)
    return overlapped(kernel.flops / attained_flops(rates), memory_s, overhead_s)


def top_k_prompt_estimate(kernel: KernelShare, rates: Rates) -> Terms:
    """The best keys of many rows: a wave of rows takes a start, and a time a key."""
    rows_s = wave_count(kernel, rates) * TOP_K_ROW_S + top_k_s(kernel, rates)
    memory_s = kernel.extra_bytes / rates.memory
    waiting_s = max(0.0, rows_s - memory_s)
    return overlapped(0.0, memory_s, TOP_K_START_S + waiting_s)


def kernel_bound(kernel: KernelShare, compute: float, memory: float) -> Terms:
    """The roofline (Williams et al., 2009) of FLOP/s and bytes/s: as if computing and reading
    overlapped in full.
    """
    compute_s = kernel.flops / compute
    memory_s = kernel.bytes / memory
    longer_s = max(compute_s, memory_s)
    return Terms(compute_s=compute_s, memory_s=memory_s, total_s=longer_s, bound_s=longer_s)


class Traffic(NamedTuple):
    """Bytes that a kernel moves over all GPUs, shared out as a field of Shares says."""

    shared_as: str
    bytes: int


class Tiling(NamedTuple):
    """What a kernel of attention cuts into tiles of query rows, over all GPUs."""

    n_head: int  # of all sequences together
    n_kv_head: int
    query_rows: int  # of a head
    longest_row: int  # keys of the row that has most
    pairs: int  # query-key pairs per head
    width: int  # of a key


class Kernel(NamedTuple):
    """What one kernel computes and moves, over all GPUs, and how long measured ones take."""

    name: str
    flops: int
    traffic: Sequence[Traffic]
    estimate: Estimate = attention_estimate
    shared_as: str = "heads"  # how FLOPs and what else is no traffic are shared out
    exponentials: int = 0
    tiling: Tiling | None = None  # None: it does not go by query rows
    overlaps: bool = False  # whether measured kernels of this kind compute while they read
    narrow: bool = False  # whether it computes in FP8 where the GPU can
    extra_flops: int = 0  # these four: as in KernelShare
    extra_bytes: int = 0
    pieces: int = 0
    steps: int = 0


class Shares(NamedTuple):
    """The busiest GPU's part of one layer, by what is shared; whole unless it is split. A kernel's
    traffic goes by these names.
    """

    heads: float = 1  # FLOPs, scores, and what else goes by query heads
    kv: float = 1  # K and V
    kv_heads: float = 1  # K/V heads of which it has keys
    rows: float = 1  # Q and A
    common: float = 1  # what belongs to all heads: latents that are projected, rows of an indexer


# Rows of a tile that packs the query heads of a K/V head, and of one that holds a single head's.
PACKED_ROWS = 64
TILE_ROWS = 128


def tiled(shared: KernelShare, tiling: Tiling, share: Shares) -> KernelShare:
    """A kernel with its tiles: of packed heads, or of single ones where that makes fewer.

    Rows that see more keys make their tile longer than the mean, and in a causal mask those come
    last, when the other multiprocessors are done. The tail is what such a tile has beyond a mean
    one: its rows, times the FLOPs of a mean row, times (longest / mean - 1).
    """
    kv_heads = tiling.n_kv_head * share.kv_heads
    rows = tiling.n_head * tiling.query_rows * share.rows
    packed_tiles = math.ceil(rows / kv_heads / PACKED_ROWS)
    heads_of_group = rows / kv_heads / tiling.query_rows
    single_tiles = heads_of_group * math.ceil(tiling.query_rows / TILE_ROWS)
    tiles = kv_heads * min(packed_tiles, single_tiles)
    longest_over_mean = tiling.longest_row * tiling.query_rows / tiling.pairs
    tile_rows = min(tiling.query_rows, TILE_ROWS)
    return shared._replace(
        tiles=tiles,
        full_tiles=min(tiles, rows / PACKED_ROWS),
        width=tiling.width,
        tail_flops=tile_rows * (shared.flops / rows) * (longest_over_mean - 1),
    )


def shared_kernel(kernel: Kernel, share: Shares) -> KernelShare:
    """What the busiest GPU does of one kernel."""
    shares = share._asdict()
    part = shares[kernel.shared_as]
    moved = [traffic.bytes * shares[traffic.shared_as] for traffic in kernel.traffic]
    shared = KernelShare(
        name=kernel.name,
        flops=kernel.flops * part,
        exponentials=kernel.exponentials * part,
        bytes=functools.reduce(operator.add, moved, 0),  # as sum() did before Python 3.12
        overlaps=kernel.overlaps,
        extra_flops=kernel.extra_flops * part,
        extra_bytes=kernel.extra_bytes * part,
        pieces=kernel.pieces * part,
        steps=kernel.steps,
    )
    return shared if kernel.tiling is None else tiled(shared, kernel.tiling, share)


# ---------------------------------------------------------------------------------- layers, by kind


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

    @property
    def new_tokens(self) -> int:
        return self.batch * self.query

    @property
    def rows_on_chip(self) -> int:
        """New rows of a sequence that are neither read nor kept yet."""
        return 1 if self.phase == "decode" else 0

    @property
    def output_dtype(self) -> str:
        """What GPUs add up is at least 16 bits wide."""
        return self.dtype if BITS[self.dtype] >= 16 else "bf16"

    @property
    def is_prompt(self) -> bool:
        """Whether kernels of states take the new tokens in chunks, not one by one."""
        return self.query > STATE_STEP_TOKENS

    @property
    def is_sparse_prompt(self) -> bool:
        """The same of sparse readers and their indexers."""
        return self.query > SPARSE_STEP_TOKENS


# New tokens of a sequence up to which kernels take them one by one: verifying kernels of states
# were measured up to 8, those of prompts with an indexer from 4 on.
STATE_STEP_TOKENS = 16
SPARSE_STEP_TOKENS = 3


def phase_of(query: int, seq: int, generates: bool) -> str:
    """One row that is generated, or added to others, is "decode": it is still on chip. All rows new
    is "prefill", and in between "extend".
    """
    if query == 1 and (generates or seq > 1):
        return "decode"
    return "prefill" if query == seq else "extend"


class Kept(NamedTuple):
    """A part of what one layer keeps of a sequence: rows, or a state."""

    bits: int  # of a row, or of the state
    heads: int  # by which GPUs that split heads can share it out; 1: each holds all of it
    most_rows: int = MAX_COUNT
    tokens: int = 1  # that share a row
    grows: bool = True  # False: a state, which is there whatever the length

    def gpu_bits(self, ngpu: int, split: str) -> int:
        """Bits of a row or state on a GPU; where keys are split, on all GPUs together. A state that
        does not divide is on each GPU whole.
        """
        if split == "seq":
            copied = not self.grows and self.heads % ngpu
            return self.bits * ngpu if copied else self.bits
        if split == "head" and self.grows:
            return self.bits // self.heads * max(1, self.heads // ngpu)
        if split == "head" and self.heads % ngpu == 0:
            return ceil_div(self.bits, ngpu)
        return self.bits


class HeadShape(NamedTuple):
    """The heads of a layer as its kernels see them."""

    n_head: int
    n_kv_head: int
    dim_qk: int  # width of a query or key head
    dim_v: int  # width of a value head

    @property
    def words(self) -> list[str]:
        """What a summary says of them."""
        width = f"{self.dim_qk}" if self.dim_v == self.dim_qk else f"{self.dim_qk}/{self.dim_v}"
        heads = f"{self.n_head} head" if self.n_head == 1 else f"{self.n_head} heads"
        return [heads, f"{self.n_kv_head} K/V", f"width {width}"]


class Operands(NamedTuple):
    """What S = Q K^T and A = S V of one layer work on, over all GPUs."""

    latent_form: str | None = None  # "absorbed" or "plain"; None: not latent attention
    keys: int = 0  # that the new tokens of a sequence can see: S, or fewer in a window
    read_rows: int = 0  # of K and V per head
    pairs: int = 0  # query-key pairs per head
    scores_flops: int = 0
    values_flops: int = 0
    projected_flops: int = 0  # of cached latents that the plain form projects to heads again
    q_bytes: int = 0
    k_bytes: int = 0
    v_bytes: int = 0
    s_bytes: int = 0
    a_bytes: int = 0
    latent_bytes: int = 0  # read by that projection
    projected_bytes: int = 0  # written by it

    @property
    def kv_bytes(self) -> int:
        """What a fused kernel reads of K and V; absorbed, V is part of K."""
        return self.k_bytes if self.latent_form == "absorbed" else self.k_bytes + self.v_bytes


class Form(NamedTuple):
    """One way in which kernels may compute a layer."""

    shape: HeadShape
    kernels: Sequence[Kernel]
    operands: Operands = Operands()
    # What GPUs that split the keys send round: queries that return as partial outputs, or else keys
    # and values.
    query_bits: int = 0
    key_bits: int | None = None  # None: there are no keys to split, only heads
    candidate_bytes: int = 0  # the best keys that a GPU finds among its own, gathered by all
    bound_as_one: bool = False  # one kernel could do it all: so takes it the bound
    reduces: bool = True  # the output of a mixer beside another is reduced with that one's

    @property
    def flops(self) -> int:
        return sum([kernel.flops for kernel in self.kernels])


class Mixer(Protocol):
    """What a kind of layers says of itself; each class below is one."""

    @property
    def kind(self) -> str:
        """Its name in answers."""

    @property
    def n_head(self) -> int:
        """Query heads."""

    @property
    def n_kv_head(self) -> int:
        """Heads of keys and values as they are before any of it is absorbed."""

    @property
    def dim_qk(self) -> int:
        """Width of a query or key head, likewise."""

    @property
    def output_width(self) -> int:
        """Of what is projected to the hidden size."""

    @property
    def unfused(self) -> bool:
        """Whether separate kernels for scores, softmax and values can compute it."""

    @property
    def words(self) -> list[str]:
        """What a summary says of it beside the heads that its kernels see."""

    @property
    def figures(self) -> Values:
        """What JSON says of it beside heads and widths."""

    def divides(self, ngpu: int) -> bool:
        """Whether GPUs can share it by heads."""

    def kept(self, work: Workload) -> list[Kept]:
        """What it keeps of a sequence."""

    def parameters(self, hidden: int) -> int | None:
        """Of its projections from and to a hidden size; None: not known."""

    def forms(self, work: Workload) -> list[Form]:
        """The ways in which its kernels may compute a workload."""


def shares_heads(n_head: int, n_kv_head: int, ngpu: int) -> bool:
    """Whether GPUs get equal numbers of heads, as serving engines ask: of K/V heads too, or whole
    copies of one.
    """
    whole_kv_heads = n_kv_head % ngpu == 0 or ngpu % n_kv_head == 0
    return n_head % ngpu == 0 and whole_kv_heads


def causal_pairs(seq: int, query: int, window: int) -> int:
    """Query-key pairs of the last `query` of `seq` tokens: sum of min(row's keys, window).

    >>> causal_pairs(8, 3, 0), causal_pairs(8, 3, 7)  # 6 + 7 + 8, and 6 + 7 + 7
    (21, 20)
    """
    context = seq - query
    if not window:
        return query * context + query * (query + 1) // 2
    unlimited = min(query, max(0, window - context))  # rows that see all before them
    unlimited_pairs = unlimited * context + unlimited * (unlimited + 1) // 2
    return unlimited_pairs + (query - unlimited) * window


def chunk_pairs(seq: int, chunk: int) -> int:
    """Query-key pairs of `seq` tokens that see the keys of their chunk up to themselves.

    >>> chunk_pairs(5, 3)  # 1 + 2 + 3, and 1 + 2
    9
    """
    chunks, rest = divmod(seq, chunk)
    return chunks * (chunk * (chunk + 1) // 2) + rest * (rest + 1) // 2


def compressed_pairs(seq: int, ratio: int, most: int) -> int:
    """Pairs of `seq` tokens with one row for each `ratio` tokens, `most` rows at most: sum of
    min(floor(i / ratio), most).

    >>> compressed_pairs(6, 2, 9), compressed_pairs(6, 2, 2)  # 0 + 1 + 1 + 2 + 2 + 3
    (9, 8)
    """
    rows = min(seq // ratio, most)
    fewer = ratio * rows * (rows - 1) // 2  # of tokens that see fewer rows than the last
    return fewer + rows * (seq - ratio * rows + 1)


class Mask(NamedTuple):
    """The keys that a row sees: all before it, the last ones, or those of its chunk."""

    window: int = 0  # 0: all
    chunk: int = 0  # 0: no chunks

    @property
    def kind(self) -> str:
        if self.chunk:
            return "chunked"
        return "windowed" if self.window else "full"

    @property
    def most_rows(self) -> int:
        """That any row sees."""
        return self.window or self.chunk or MAX_COUNT

    @property
    def words(self) -> list[str]:
        if self.chunk:
            return [f"chunks of {self.chunk}"]
        return [f"window {self.window}"] if self.window else []

    @property
    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"window_keys": self.window or None}
        if self.chunk:
            figures["chunk"] = self.chunk
        return figures

    def keys(self, seq: int, query: int) -> int:
        """That some of the last `query` tokens sees."""
        if self.chunk:
            return seq - (seq - query) // self.chunk * self.chunk
        return min(seq, self.window + query - 1) if self.window else seq

    def pairs(self, seq: int, query: int) -> int:
        """Query-key pairs of the last `query` tokens."""
        if self.chunk:
            return chunk_pairs(seq, self.chunk) - chunk_pairs(seq - query, self.chunk)
        return causal_pairs(seq, query, self.window)


def attention_operands(
    shape: HeadShape, mask: Mask, work: Workload, kv_dtype: str, latent_form: str | None
) -> Operands:
    """What attention under a mask works on; K and V in a precision."""
    query = work.query
    heads = work.batch * shape.n_head
    kv_heads = work.batch * shape.n_kv_head
    keys = mask.keys(work.seq, query)
    rows = keys - work.rows_on_chip
    pairs = mask.pairs(work.seq, query) if work.fused else query * keys
    return Operands(
        latent_form=latent_form,
        keys=keys,
        read_rows=rows,
        pairs=pairs,
        scores_flops=heads * pairs * (2 * shape.dim_qk - 1),
        values_flops=heads * shape.dim_v * (2 * pairs - query),
        q_bytes=stored_bytes(heads * query * shape.dim_qk, work.dtype),
        k_bytes=stored_bytes(kv_heads * rows * shape.dim_qk, kv_dtype),
        v_bytes=stored_bytes(kv_heads * rows * shape.dim_v, kv_dtype),
        s_bytes=stored_bytes(heads * query * keys, work.dtype),
        a_bytes=stored_bytes(heads * query * shape.dim_v, work.dtype),
    )


def sent_rows(operands: Operands, mask: Mask) -> int:
    """Rows of K and V that go round: no more than one new token reads."""
    return min(operands.read_rows, mask.most_rows)


def fused_kernel(operands: Operands, tiling: Tiling) -> Kernel:
    return Kernel(
        name="attention",
        flops=operands.scores_flops + operands.values_flops,
        traffic=[
            Traffic("kv", operands.kv_bytes),
            Traffic("rows", operands.q_bytes),
            Traffic("rows", operands.a_bytes),
        ],
        exponentials=tiling.n_head * tiling.pairs,
        tiling=tiling,
        overlaps=operands.latent_form == "absorbed",
    )


def separate_kernels(operands: Operands, tiling: Tiling) -> list[Kernel]:
    """One for each product, and one for the softmax between them."""
    query = Traffic("rows", operands.q_bytes)
    keys = Traffic("kv", operands.k_bytes)
    values = Traffic("kv", operands.v_bytes)
    scores = Traffic("heads", operands.s_bytes)
    output = Traffic("rows", operands.a_bytes)
    return [
        Kernel(
            name="S = Q K^T",
            flops=operands.scores_flops,
            traffic=[keys, query, scores],
            tiling=tiling,
        ),
        Kernel(
            name="softmax",
            flops=0,
            traffic=[scores, scores],
            exponentials=tiling.n_head * tiling.pairs,
            tiling=tiling,
        ),
        Kernel(
            name="A = S V",
            flops=operands.values_flops,
            traffic=[values, scores, output],
            tiling=tiling,
        ),
    ]


def attention_tiling(shape: HeadShape, operands: Operands, work: Workload, most: int) -> Tiling:
    """The tiles of a layer whose rows see so many keys at most."""
    return Tiling(
        n_head=work.batch * shape.n_head,
        n_kv_head=work.batch * shape.n_kv_head,
        query_rows=work.query,
        longest_row=min(operands.keys, most) if work.fused else operands.keys,
        pairs=operands.pairs,
        width=shape.dim_qk,
    )


def travelling_query_bits(shape: HeadShape, work: Workload) -> int:
    """Queries and, of each, a partial output with the logarithm of its row's sum, in 32 bits, to
    add them up by.
    """
    returned_bits = shape.dim_v * BITS[work.output_dtype] + 32
    row_bits = shape.dim_qk * BITS[work.dtype] + returned_bits
    return work.batch * shape.n_head * work.query * row_bits


def softmax_attention(
    shape: HeadShape,
    mask: Mask,
    work: Workload,
    kv_dtype: str,
    latent_form: str | None = None,
) -> Form:
    """Attention under a mask: one kernel if fused, else three; K and V are in a precision."""
    operands = attention_operands(shape, mask, work, kv_dtype, latent_form)
    tiling = attention_tiling(shape, operands, work, mask.most_rows)
    if work.fused:
        kernels = [fused_kernel(operands, tiling)]
    else:
        kernels = separate_kernels(operands, tiling)
    kv_width = shape.dim_qk if latent_form == "absorbed" else shape.dim_qk + shape.dim_v
    kv_rows = tiling.n_kv_head * sent_rows(operands, mask)
    return Form(
        shape=shape,
        operands=operands,
        kernels=kernels,
        query_bits=travelling_query_bits(shape, work),
        key_bits=kv_rows * kv_width * BITS[kv_dtype],
    )


class GroupedAttention(NamedTuple):
    """Attention of query heads that share K/V heads in groups."""

    n_head: int
    n_kv_head: int
    dim_qk: int
    dim_v: int
    mask: Mask = Mask()
    borrows: bool = False  # it keeps nothing, and reads the rows of an earlier layer
    gated: bool = False  # a gate as wide as the queries
    values_are_keys: bool = False  # no weights for values

    @property
    def unfused(self) -> bool:
        return True

    @property
    def kind(self) -> str:
        return self.mask.kind

    @property
    def output_width(self) -> int:
        return self.n_head * self.dim_v

    @property
    def words(self) -> list[str]:
        return [*self.mask.words, "a cache of another layer"] if self.borrows else self.mask.words

    @property
    def figures(self) -> Values:
        figures = self.mask.figures
        return {**figures, "borrowed_cache": True} if self.borrows else figures

    @property
    def kv_width(self) -> int:
        return self.n_kv_head * (self.dim_qk + self.dim_v)

    def divides(self, ngpu: int) -> bool:
        return shares_heads(self.n_head, self.n_kv_head, ngpu)

    def kept(self, work: Workload) -> list[Kept]:
        if self.borrows:
            return []
        row_bits = self.kv_width * BITS[work.kv_dtype]
        return [Kept(row_bits, heads=self.n_kv_head, most_rows=self.mask.most_rows)]

    def parameters(self, hidden: int) -> int | None:
        queries = self.n_head * self.dim_qk
        width = queries + self.output_width
        if self.gated:
            width += queries
        if not self.borrows:
            width += self.n_kv_head * self.dim_qk
            width += 0 if self.values_are_keys else self.n_kv_head * self.dim_v
        return hidden * width

    def forms(self, work: Workload) -> list[Form]:
        shape = HeadShape(self.n_head, self.n_kv_head, self.dim_qk, self.dim_v)
        return [softmax_attention(shape, self.mask, work, work.kv_dtype)]


class LatentAttention(NamedTuple):
    """Attention to one latent of each token for all heads (DeepSeek-V2, arXiv:2405.04434)."""

    n_head: int
    kv_lora_rank: int  # width of the shared latent
    qk_rope_head_dim: int  # width of the rotary part beside it
    qk_nope_head_dim: int  # widths of what a head projects from the latent: of the rest of a key
    v_head_dim: int  # and of a value
    mask: Mask = Mask()
    q_lora_rank: int | None = 0  # of latent queries; 0: they are projected at once; None: not known

    @property
    def kind(self) -> str:
        return "latent"

    @property
    def unfused(self) -> bool:
        return True

    @property
    def n_kv_head(self) -> int:
        return self.n_head

    @property
    def dim_qk(self) -> int:
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def output_width(self) -> int:
        return self.n_head * self.v_head_dim

    @property
    def latent_width(self) -> int:
        return self.kv_lora_rank + self.qk_rope_head_dim

    @property
    def words(self) -> list[str]:
        return self.mask.words

    @property
    def figures(self) -> Values:
        return self.mask.figures

    def divides(self, ngpu: int) -> bool:
        return self.n_head % ngpu == 0

    def kept(self, work: Workload) -> list[Kept]:
        row_bits = self.latent_width * BITS[work.kv_dtype]
        return [Kept(row_bits, heads=1, most_rows=self.mask.most_rows)]

    def parameters(self, hidden: int) -> int | None:
        if self.q_lora_rank is None:
            return None
        to_queries = self.n_head * self.dim_qk
        queries = hidden * to_queries
        if self.q_lora_rank:
            queries = self.q_lora_rank * (hidden + to_queries)
        from_latent = self.n_head * (self.qk_nope_head_dim + self.v_head_dim)
        output = hidden * self.output_width
        return queries + hidden * self.latent_width + self.kv_lora_rank * from_latent + output

    def forms(self, work: Workload) -> list[Form]:
        """Decode absorbs the projections and reads the latents, prefill projects them to plain K
        and V heads; in between either can be.
        """
        if work.phase == "decode":
            return [self.absorbed(work)]
        if work.phase == "prefill":
            return [self.plain(work)]
        return [self.absorbed(work), self.plain(work)]

    def absorbed_shape(self) -> HeadShape:
        return HeadShape(self.n_head, 1, self.latent_width, self.kv_lora_rank)

    def absorbed(self, work: Workload) -> Form:
        shape = self.absorbed_shape()
        return softmax_attention(shape, self.mask, work, work.kv_dtype, latent_form="absorbed")

    def plain(self, work: Workload) -> Form:
        """K and V were just projected, they are not the cache; the latents that were cached are
        projected again, in a kernel of its own. What GPUs that split the keys could send round is
        the latents.
        """
        shape = HeadShape(self.n_head, self.n_head, self.dim_qk, self.v_head_dim)
        form = softmax_attention(shape, self.mask, work, work.dtype, latent_form="plain")
        cached_rows = form.operands.keys - work.query
        latent_rows = sent_rows(form.operands, self.mask)
        heads = work.batch * self.n_head
        width = self.qk_nope_head_dim + self.v_head_dim
        operands = form.operands._replace(
            projected_flops=2 * heads * cached_rows * self.kv_lora_rank * width,
            latent_bytes=stored_bytes(work.batch * cached_rows * self.latent_width, work.kv_dtype),
            projected_bytes=stored_bytes(heads * cached_rows * width, work.dtype),
        )
        projection = Kernel(
            name="projection",
            flops=operands.projected_flops,
            traffic=[
                Traffic("common", operands.latent_bytes),
                Traffic("heads", operands.projected_bytes),
            ],
        )
        return form._replace(
            operands=operands,
            kernels=[projection, *form.kernels] if cached_rows else form.kernels,
            key_bits=work.batch * latent_rows * self.latent_width * BITS[work.kv_dtype],
        )


class Indexer(NamedTuple):
    """What scores every key, and takes the best for each new token."""

    n_head: int
    dim_head: int
    topk: int
    row_bytes: int  # of a token, whatever the cache's precision
    narrow: bool  # whether it computes in FP8 where the GPU can

    def kernels(self, work: Workload, rows: int, pairs: int) -> list[Kernel]:
        """Over so many rows of each sequence, and pairs of a new token and a row. Kernels of a few
        tokens write and read a score of 4 bytes; a bound counts none, since a kernel could keep it.
        """
        pairs *= work.batch
        row_bytes = work.batch * rows * self.row_bytes
        scoring = Kernel(
            name="indexer",
            flops=pairs * self.n_head * (2 * self.dim_head + 2),
            traffic=[Traffic("common", row_bytes)],
            estimate=index_step_estimate,
            shared_as="common",
            narrow=self.narrow,
            extra_bytes=8 * pairs,
            pieces=work.new_tokens,
            steps=rows,
        )
        if not work.is_sparse_prompt:
            return [scoring]
        # However few the new tokens, a multiprocessor works on 128 / n_head rows of them.
        scoring = scoring._replace(
            estimate=index_prompt_estimate, extra_flops=256 * rows * self.dim_head
        )
        best = Kernel(
            name="top-k",
            flops=0,
            traffic=[],
            estimate=top_k_prompt_estimate,
            shared_as="common",
            extra_bytes=TOP_K_PAIR_BYTES * pairs,
            pieces=work.new_tokens,
            steps=ceil_div(pairs, work.new_tokens),
        )
        return [scoring, best]

    def before(self, form: Form, work: Workload, rows: int, pairs: int) -> Form:
        """A form whose attention reads what this finds: as `kernels`."""
        return form._replace(
            kernels=[*self.kernels(work, rows, pairs), *form.kernels],
            candidate_bytes=work.new_tokens * self.topk * 8,
        )

    def parameters(self, hidden: int, query_rank: int | None) -> int | None:
        """Of DeepSeek's indexer: queries from latents, keys, their norm, weights of heads."""
        if not query_rank:
            return None
        queries = query_rank * self.n_head * self.dim_head
        return queries + hidden * self.dim_head + 2 * self.dim_head + hidden * self.n_head


def sparse_kernel(kernel: Kernel, work: Workload, most: int) -> Kernel:
    """Attention of each new token to `most` keys of its own, if there are so many. A few tokens
    read theirs in turn; in bulk each is padded to the most.
    """
    if not work.is_sparse_prompt:
        read = sum([moved.bytes for moved in kernel.traffic if moved.shared_as == "kv"])
        return kernel._replace(extra_bytes=(work.query - 1) * read)
    pairs = kernel.tiling.pairs if kernel.tiling else 1
    padded_flops = kernel.flops * work.query * most // pairs
    return kernel._replace(
        estimate=sparse_prompt_estimate,
        extra_flops=max(0, padded_flops - kernel.flops),
        pieces=work.new_tokens,
    )


def sparse_form(shape: HeadShape, operands: Operands, work: Workload, most: int) -> Form:
    """Attention of each new token to `most` keys of its own, in one kernel."""
    tiling = attention_tiling(shape, operands, work, most)
    return Form(
        shape=shape,
        operands=operands,
        kernels=[sparse_kernel(fused_kernel(operands, tiling), work, most)],
        query_bits=travelling_query_bits(shape, work),
        key_bits=8 * operands.kv_bytes,
    )


class IndexedAttention(NamedTuple):
    """Attention to the best keys that an indexer finds: DeepSeek sparse attention over latents
    (arXiv:2512.02556), MiniMax's over grouped heads. Layers that own no indexer use the choice of
    one before them.
    """

    attention: GroupedAttention | LatentAttention
    indexer: Indexer
    owner: bool = True

    @property
    def kind(self) -> str:
        return "indexed"

    @property
    def unfused(self) -> bool:
        return False

    @property
    def n_head(self) -> int:
        return self.attention.n_head

    @property
    def n_kv_head(self) -> int:
        return self.attention.n_kv_head

    @property
    def dim_qk(self) -> int:
        return self.attention.dim_qk

    @property
    def output_width(self) -> int:
        return self.attention.output_width

    @property
    def words(self) -> list[str]:
        chooser = "own indexer" if self.owner else "indexer of another layer"
        return [f"best {self.indexer.topk} keys", chooser]

    @property
    def figures(self) -> Values:
        return {"topk": self.indexer.topk, "owns_indexer": self.owner}

    def divides(self, ngpu: int) -> bool:
        return self.attention.divides(ngpu)

    def row_bits(self, work: Workload) -> int:
        """Of one token: FP8 latents carry a scale for each 128 elements, and rope in 16 bits."""
        attention = self.attention
        if isinstance(attention, GroupedAttention):
            return attention.kv_width * BITS[work.kv_dtype]
        if work.kv_dtype == "fp8":
            rank = attention.kv_lora_rank
            return 8 * (rank + 4 * ceil_div(rank, 128) + 2 * attention.qk_rope_head_dim)
        return attention.latent_width * BITS[work.kv_dtype]

    def kept(self, work: Workload) -> list[Kept]:
        heads = 1
        if isinstance(self.attention, GroupedAttention):
            heads = self.n_kv_head
        rows = Kept(self.row_bits(work), heads=heads)
        index_rows = Kept(8 * self.indexer.row_bytes, heads=1)
        return [rows, index_rows] if self.owner else [rows]

    def parameters(self, hidden: int) -> int | None:
        attention = self.attention.parameters(hidden)
        if attention is None or not self.owner:
            return attention
        if isinstance(self.attention, GroupedAttention):
            return None
        indexer = self.indexer.parameters(hidden, self.attention.q_lora_rank)
        return None if indexer is None else attention + indexer

    def forms(self, work: Workload) -> list[Form]:
        """A prompt of no more keys than are taken runs as plain attention."""
        most = self.indexer.topk
        if work.query > 1 and work.seq <= most:
            return self.attention.forms(work)
        rows = min(work.seq, most)
        row_bytes = work.batch * ceil_div(rows * self.row_bits(work), 8)
        mask = Mask(window=most)
        if isinstance(self.attention, LatentAttention):
            shape = self.attention.absorbed_shape()
            operands = attention_operands(shape, mask, work, work.kv_dtype, "absorbed")
            operands = operands._replace(k_bytes=row_bytes, v_bytes=row_bytes)
        else:
            shape = HeadShape(self.n_head, self.n_kv_head, self.dim_qk, self.attention.dim_v)
            operands = attention_operands(shape, mask, work, work.kv_dtype, None)
            keys_bytes = row_bytes * self.dim_qk // (self.dim_qk + shape.dim_v)
            operands = operands._replace(k_bytes=keys_bytes, v_bytes=row_bytes - keys_bytes)
        operands = operands._replace(read_rows=rows)
        form = sparse_form(shape, operands, work, most)
        if not self.owner:
            return [form]
        pairs = causal_pairs(work.seq, work.query, 0)
        return [self.indexer.before(form, work, work.seq, pairs)]


class CompressedAttention(NamedTuple):
    """Attention to the last rows of K = V, one head for all, and to rows that stand for several
    tokens each (DeepSeek-V4). The cache is FP8 whatever is asked: a scale for each 64 elements.
    """

    n_head: int
    dim_qk: int
    qk_rope_head_dim: int
    window: int
    ratio: int  # tokens of a compressed row; 0: the window alone
    indexer: Indexer | None = None  # of compressed rows; None: all of them are read
    weights: int | None = None  # parameters; None: not known

    @property
    def kind(self) -> str:
        return "compressed"

    @property
    def unfused(self) -> bool:
        return False

    @property
    def n_kv_head(self) -> int:
        return 1

    @property
    def output_width(self) -> int:
        return self.n_head * self.dim_qk

    @property
    def words(self) -> list[str]:
        words = [f"window {self.window}"]
        if self.ratio:
            words.append(f"a row for each {self.ratio} tokens")
        if self.indexer:
            words.append(f"best {self.indexer.topk} of them")
        return words

    @property
    def figures(self) -> Values:
        topk = self.indexer.topk if self.indexer else None
        return {"window_keys": self.window, "ratio": self.ratio, "topk": topk}

    @property
    def row_bytes(self) -> int:
        plain = self.dim_qk - self.qk_rope_head_dim
        return plain + 2 * self.qk_rope_head_dim + plain // 64 + 1

    @property
    def state_bytes(self) -> int:
        """Of the compressor: values and gates in 32 bits of the rows to come; with an indexer,
        which overlap, of two rows at once, and of its own.
        """
        if self.indexer is None:
            return self.ratio * self.dim_qk * 8
        return 2 * self.ratio * 2 * (self.dim_qk + self.indexer.dim_head) * 8

    def divides(self, ngpu: int) -> bool:
        return self.n_head % ngpu == 0

    def kept(self, work: Workload) -> list[Kept]:
        row_bits = 8 * self.row_bytes
        kept = [Kept(row_bits, heads=1, most_rows=self.window)]
        if self.ratio:
            kept.append(Kept(row_bits, heads=1, tokens=self.ratio))
            kept.append(Kept(8 * self.state_bytes, heads=1, grows=False))
        if self.indexer:
            kept.append(Kept(8 * self.indexer.row_bytes, heads=1, tokens=self.ratio))
        return kept

    def parameters(self, hidden: int) -> int | None:
        return self.weights

    def compressed_pairs(self, work: Workload, most: int) -> int:
        """Pairs of a new token and a compressed row, of at most so many."""
        if not self.ratio:
            return 0
        before = compressed_pairs(work.seq - work.query, self.ratio, most)
        return compressed_pairs(work.seq, self.ratio, most) - before

    def operands(self, work: Workload, rows: int, most: int) -> Operands:
        """K = V of so many rows, of which a token sees at most so many that are compressed."""
        heads = work.batch * self.n_head
        row_bytes = work.batch * rows * self.row_bytes
        row_width = heads * work.query * self.dim_qk
        pairs = causal_pairs(work.seq, work.query, self.window) + self.compressed_pairs(work, most)
        return Operands(
            latent_form="absorbed",
            keys=rows,
            read_rows=rows,
            pairs=pairs,
            scores_flops=heads * pairs * (2 * self.dim_qk - 1),
            values_flops=heads * self.dim_qk * (2 * pairs - work.query),
            q_bytes=stored_bytes(row_width, work.dtype),
            k_bytes=row_bytes,
            v_bytes=row_bytes,
            a_bytes=stored_bytes(row_width, work.dtype),
        )

    def forms(self, work: Workload) -> list[Form]:
        shape = HeadShape(self.n_head, 1, self.dim_qk, self.dim_qk)
        compressed = work.seq // self.ratio if self.ratio else 0
        most = self.indexer.topk if self.indexer else compressed
        rows = min(work.seq, self.window) + min(compressed, most)
        form = sparse_form(shape, self.operands(work, rows, most), work, rows)
        if not self.indexer or not compressed:
            return [form]
        pairs = self.compressed_pairs(work, compressed)
        return [self.indexer.before(form, work, compressed, pairs)]


class StateRule(NamedTuple):
    """How a token changes a state."""

    flops: int  # for each element of the state, one token at a time
    delta: bool  # chunks of the delta rule correct each other


# Read off transformers 5.24 with a counter of FLOPs. The last is of convolutions alone.
STATE_RULES = {
    "delta": StateRule(flops=7, delta=True),
    "additive": StateRule(flops=5, delta=False),
    "selective": StateRule(flops=7, delta=False),
    "recurrent": StateRule(flops=3, delta=False),
    "none": StateRule(flops=0, delta=False),
}


class StateMixer(NamedTuple):
    """A mixer that keeps a state of h heads, dk x dv each, and the last rows of a convolution,
    whatever the length: gated delta nets, Mamba, lightning attention, RG-LRU, convolutions alone.
    """

    n_head: int
    dim_k: int
    dim_v: int
    conv_channels: int
    conv_width: int  # of the convolution; 1: there is none
    rule: str
    state_dtype: str = "fp32"
    groups: int = 0  # of keys that heads share; 0: as many as heads
    chunk: int = 64  # tokens that prompts take at once
    beside: bool = False  # another mixer of the same layer, whose output is reduced with this one's
    weights: tuple[int, int] = (0, 0)  # parameters for each element of the hidden size, and others

    @property
    def kind(self) -> str:
        return "state"

    @property
    def unfused(self) -> bool:
        return False

    @property
    def n_kv_head(self) -> int:
        return self.n_head

    @property
    def dim_qk(self) -> int:
        return self.dim_k

    @property
    def output_width(self) -> int:
        return self.n_head * self.dim_v if self.n_head else self.conv_channels

    @property
    def words(self) -> list[str]:
        words = [f"{self.n_head} heads of {self.dim_k} x {self.dim_v}"] if self.n_head else []
        if self.conv_channels:
            words.append(f"convolution of {self.conv_channels} channels")
        return words

    @property
    def figures(self) -> Values:
        return {
            "rule": self.rule,
            "state_dtype": self.state_dtype,
            "conv_channels": self.conv_channels,
            "conv_width": self.conv_width,
        }

    def divides(self, ngpu: int) -> bool:
        return True  # whole copies where heads do not divide

    def state_bits(self) -> int:
        return self.n_head * self.dim_k * self.dim_v * BITS[self.state_dtype]

    def conv_bits(self, dtype: str) -> int:
        return (self.conv_width - 1) * self.conv_channels * BITS[dtype]

    def kept(self, work: Workload) -> list[Kept]:
        heads = self.n_head or self.conv_channels
        bits = [self.state_bits(), self.conv_bits(work.dtype)]
        return [Kept(part, heads=heads, grows=False) for part in bits if part]

    def parameters(self, hidden: int) -> int | None:
        for_each, others = self.weights
        return for_each * hidden + others

    def chunked_flops(self, tokens: int) -> int:
        """Of the chunked algorithm, in which prompts run."""
        groups = self.groups or self.n_head
        if STATE_RULES[self.rule].delta:
            within_chunk = 2 * self.chunk * (3 * self.dim_k + 2 * self.dim_v)
            per_token = self.n_head * (6 * self.dim_k * self.dim_v + within_chunk)
        else:
            heads = self.n_head * (4 * self.dim_k * self.dim_v + self.chunk * self.dim_v)
            per_token = heads + groups * self.chunk * self.dim_k
        return tokens * per_token

    def state_kernel(self, work: Workload) -> Kernel:
        """A prompt from nothing only writes the state; tokens to verify each write it."""
        tokens = work.new_tokens
        state_bytes = work.batch * self.state_bits() // 8
        times = 1 if work.phase == "prefill" else 2
        values = self.n_head * self.dim_v
        inputs = max(self.conv_channels, self.n_head * 2 * self.dim_k + values)
        moved = stored_bytes(tokens * (inputs + values), work.dtype)
        flops = tokens * STATE_RULES[self.rule].flops * self.n_head * self.dim_k * self.dim_v
        kernel = Kernel(
            name="state",
            flops=flops,
            traffic=[Traffic("heads", times * state_bytes), Traffic("heads", moved)],
            estimate=state_step_estimate,
            extra_bytes=(work.query - 1) * state_bytes,
        )
        if not work.is_prompt:
            return kernel
        # Where no fused kernel was measured, ten arrays as wide as keys and values are moved.
        widths = self.n_head * (self.dim_k + self.dim_v)
        return kernel._replace(
            estimate=state_prompt_estimate,
            extra_flops=max(0, self.chunked_flops(tokens) - flops),
            extra_bytes=tokens * widths * 20,
            pieces=work.batch * self.n_head,
            steps=ceil_div(work.query, self.chunk),
        )

    def conv_kernel(self, work: Workload) -> Kernel:
        tokens = work.new_tokens
        elements = tokens * self.conv_channels
        rows = work.batch * ceil_div(self.conv_bits(work.dtype), 8)
        estimate = convolution_prompt_estimate if work.is_prompt else convolution_step_estimate
        return Kernel(
            name="convolution",
            flops=2 * self.conv_width * elements,
            traffic=[Traffic("heads", 2 * rows)],
            estimate=estimate,
            extra_bytes=2 * stored_bytes(elements, work.dtype),
            pieces=elements,
        )

    def forms(self, work: Workload) -> list[Form]:
        """In one kernel, as the bound has it; measured ones run the convolution apart."""
        kernels = []
        if self.n_head:
            kernels.append(self.state_kernel(work))
        if self.conv_width > 1:
            kernels.append(self.conv_kernel(work))
        heads = self.n_head or self.conv_channels
        shape = HeadShape(heads, heads, self.dim_k, self.dim_v)
        return [Form(shape, kernels, bound_as_one=True, reduces=not self.beside)]


class Layers(NamedTuple):
    """So many layers with the same mixer."""

    n_layer: int
    mixer: Mixer


class Parameters(NamedTuple):
    """How many there are, and how many of them one token uses."""

    total: float
    active: float
    routed: float = 0.0  # in experts that tokens choose among
    active_part: float = 1.0  # of these, that one token uses


class Model(NamedTuple):
    """The attention of a transformer, and how many parameters it has."""

    name: str | None  # None: the config's own
    n_layer: int  # all layers, those without a mixer included
    layers: tuple[Layers, ...]  # those with a mixer, by kind; twice those with two
    params: Parameters | None  # None: unknown
    figures: Figures  # of a published config those of the whole
    source: str  # where they come from
    weight_dtype: str | None = None  # that it is published in, where that is narrow
    published: bool = False  # read from a published config, whose layers no figures describe
    n_layer_idle: int = 0  # layers that keep nothing, and of whose mixer nothing is known
    notes: tuple[str, ...] = ()  # what the figures leave out, or how they were read

    def divides(self, ngpu: int) -> bool:
        """Whether GPUs can share all layers by heads."""
        return all(layers.mixer.divides(ngpu) for layers in self.layers)

    @property
    def unfused(self) -> bool:
        """Whether separate kernels can compute all layers."""
        return all(layers.mixer.unfused for layers in self.layers)


# ------------------------------------------------------------------------------------------ reading

SECTIONS = {"gpu": "GPU", "model": "Model"}  # of the config, by flag
GPU_KEYS = """\
key                         unit       least needed constants optional field
model                       name           -    yes         -        -
fp32                        TFLOP/s        -      -         -        -
tf32                        TFLOP/s        -      -         -        -
fp16                        TFLOP/s        -      -         -        -
bf16                        TFLOP/s        -      -         -        -
fp8                         TFLOP/s        -      -         -        -
int8                        TFLOP/s        -      -         -        -
fp4                         TFLOP/s        -      -         -        -
memory                      GB             -    yes         -        -
bandwidth                   GB/s           -    yes         -        -
pcie                        GB/s           -    yes         -        -
nvlink                      GB/s           -      -         -        -
nvlink_gpus                 count          2      -         -        -
last_level_cache            MiB            -      -         -        -
multiprocessors             count          -      -   kernels        - multiprocessors
launch_us                   us             -      -   kernels        - launch_s
wave_us                     us             0      -   kernels        - wave_s
tile_us                     us             0      -   kernels        - tile_s
exponentials                1e9/s          -      -   kernels        - exponentials
compute_efficiency          part           -      -   kernels        - compute_efficiency
bandwidth_efficiency        part           -      -   kernels        - bandwidth_efficiency
latent_bandwidth_efficiency part           -      -   kernels        - latent_bandwidth_efficiency
state_bandwidth_efficiency  part           -      -   kernels      yes state_bandwidth_efficiency
state_chunk_us              us             -      -   kernels      yes state_chunk_s
sparse_efficiency           part           -      -   kernels      yes sparse_efficiency
index_efficiency            part           -      -   kernels      yes index_efficiency
link_latency_us             us             -      -    nvlink        - latency_s
link_hop_us                 us             -      -    nvlink        - hop_s
link_two_shot_us            us             -      -    nvlink        - two_shot_s
link_library_us             us             -      -    nvlink        - library_s
link_efficiency             part           -      -    nvlink        - efficiency
pcie_latency_us             us             -      -      pcie        - latency_s
pcie_hop_us                 us             -      -      pcie        - hop_s
pcie_efficiency             part           -      -      pcie        - efficiency

constants   a field of KernelConstants, or of a link's LinkConstants; an estimate needs all of them
optional    not this one
"""
MODEL_KEYS = """\
key                         unit       least needed whole
n_layer                     count          -    yes -
n_head                      count          -    yes -
n_kv_head                   count          -      - -
dim_head                    count          -      - -
v_head_dim                  count          -      - -
kv_lora_rank                count          -      - -
qk_rope_head_dim            count          -      - -
qk_nope_head_dim            count          -      - -
hidden_size                 count          -      - yes
window                      count          -      - -
chunk                       count          -      - -
n_layer_window              count          0      - -
n_layer_full                count          0      - -
n_layer_no_cache            count          0      - -
n_layer_state               count          0      - -
n_head_state                count          -      - -
dim_k_state                 count          -      - -
dim_v_state                 count          -      - -
conv_channels               count          -      - -
conv_width                  count          -      - -
state_groups                count          -      - -
state_chunk                 count          -      - -
state_dtype                 dtype          -      - -
state_rule                  rule           -      - -
index_n_head                count          -      - -
index_dim_head              count          -      - -
index_topk                  count          -      - -
n_layer_index               count          -      - -
n_layer_indexed             count          -      - -
n_layer_expert              count          0      - yes
n_expert                    count          -      - yes
n_expert_active             count          -      - yes
params_b                    1e9            -      - yes
active_params_b             1e9            -      - yes

whole       of a model as a whole, so that it can be set beside a published file
"""
UNITS: dict[str, Key] = {
    "name": Key("a name in printable ASCII", text=True),
    "count": COUNT,
    "part": Key("a number above 0 and at most 1", most=1),
    "TFLOP/s": Key(scale=1e12),
    "GB": Key(scale=1e9),
    "GB/s": Key(scale=1e9),
    "MiB": Key(scale=2**20),
    "us": Key(scale=1e-6),
    "1e9": Key(scale=1e9),
    "1e9/s": Key(scale=1e9),
    "dtype": Key("one of fp32, fp16, bf16, fp8", choices=("fp32", "fp16", "bf16", "fp8")),
    "rule": Key("one of delta, additive", choices=("delta", "additive")),
}


def keys_of(table: str) -> dict[str, Key]:
    """What the values of a section may be, by key."""
    keys = {}
    for name, row in catalogue(table).items():
        key = UNITS[row["unit"]]._replace(needed="needed" in row)
        if "least" in row:
            key = key._replace(least=row["least"])
        if row.get("least") == 0 and not key.whole:
            key = key._replace(allowed="a number from 0 to 1e15")
        keys[name] = key
    return keys


CONFIG_KEYS = {"GPU": keys_of(GPU_KEYS), "Model": keys_of(MODEL_KEYS)}
LATENT_KEYS = ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
WHOLE_KEYS = {name for name, row in catalogue(MODEL_KEYS).items() if "whole" in row}


def base_name(key: str) -> str:
    """A key's name where its value is in base units: seconds, not microseconds."""
    return f"{key.removesuffix('_us')}_s" if key.endswith("_us") else key


def checked_object(given: object, known: Collection[str], where: str) -> dict[str, Any]:
    """What is given itself, if it is an object with none but known keys."""
    if not isinstance(given, dict):
        raise InputError(f"{where} must be an object {{...}}, not {quoted(given)}")
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f" (known: {', '.join(known):.150})"
            if name in ("architectures", "model_type"):
                hint = " (a published config.json goes to --model)"
            raise InputError(f"{where} has an unknown key {quoted(name)}{hint}")
    return given


def read_section(given: object, section: str, complete: bool = True) -> dict[str, Any]:
    """The checked values of one section of a config, in base units."""
    keys = CONFIG_KEYS[section]
    given = checked_object(given, keys, section)
    values = {}
    for name, key in keys.items():
        if name in given:
            with blamed_on(f"{section}.{name}"):
                value = key.checked(given[name])
            # As if it had been typed so: 2.3 us are 2.3e-6 s, not 2.2999999e-6.
            in_base_units = value if key.scale == 1 else float(f"{value * key.scale:.15g}")
            values[base_name(name)] = in_base_units
        elif key.needed and complete:
            raise InputError(f"{section}.{name} is missing")
    return values


def constants_in(figures: Figures, of: str) -> dict[str, Any]:
    """The constants of kernels or of a link, by field, or nothing where one is missing."""
    constants = {}
    for key, row in catalogue(GPU_KEYS).items():
        if row.get("constants") == of:
            if base_name(key) in figures:
                constants[row["field"]] = figures[base_name(key)]
            elif "optional" not in row:
                return {}
    return constants


def made_gpu(figures: Figures, source: str) -> GPU:
    """A GPU of figures in base units; InputError for those that contradict each other."""
    if "nvlink_gpus" in figures and "nvlink" not in figures:
        raise InputError("GPU.nvlink_gpus has no meaning without nvlink")
    kernel_constants = constants_in(figures, "kernels")
    links = {link: constants_in(figures, link) for link in LINKS}
    return GPU(
        name=figures["model"],
        peaks={name: figures[name] for name in COMPUTING if name in figures},
        memory=figures["memory"],
        bandwidth=figures["bandwidth"],
        links={name: figures[name] for name in LINKS if name in figures},
        kernel_constants=KernelConstants(**kernel_constants) if kernel_constants else None,
        link_constants={link: LinkConstants(**fields) for link, fields in links.items() if fields},
        figures=figures,
        source=source,
    )


def read_parameters(figures: Figures) -> Parameters | None:
    """The counts of a Model section and what sits in experts; InputError for what cannot be."""
    total = figures.get("params_b", 0)
    active = figures.get("active_params_b", total)
    experts = figures.get("n_expert")
    chosen = figures.get("n_expert_active")
    if active > total:
        counts = f"{active:.12g} of {total:.12g}"
        raise InputError(
            f"Model.active_params_b must be at most params_b, and stand beside it: {counts}"
        )
    if (experts is None) != (chosen is None):
        raise InputError("Model.n_expert and n_expert_active must stand together")
    n_layer = figures["n_layer"]
    with_experts = figures.get("n_layer_expert", 0)
    if with_experts > n_layer:
        raise InputError(f"Model.n_layer_expert must be at most n_layer {n_layer}: {with_experts}")
    if experts and chosen > experts:
        raise InputError(f"Model.n_expert_active must be at most n_expert {experts}, not {chosen}")
    if not total:
        return None
    if active > total * (1 - 1e-9):  # figures are rounded
        return Parameters(total=total, active=total)
    # The part of the routed experts that a token uses. Without their counts all weights are
    # experts'.
    part = active / total
    if experts:
        part = chosen / experts
    if active < total * part * (1 - 1e-9):
        allowed = f"at least {part:.3g} of params_b, the part of the experts that is active"
        raise InputError(f"Model.active_params_b must be {allowed}")
    # The inactive weights are the unused (1 - part) of the experts.
    routed = (total - active) / (1 - part)
    return Parameters(total=total, active=active, routed=min(total, routed), active_part=part)


def made_latent(widths: Values, n_head: int, mask: Mask) -> LatentAttention:
    """Latent attention of so many heads, by what the config's keys say of widths."""
    return LatentAttention(
        n_head=n_head,
        kv_lora_rank=widths["kv_lora_rank"],
        qk_rope_head_dim=widths["qk_rope_head_dim"],
        qk_nope_head_dim=widths["qk_nope_head_dim"],
        v_head_dim=widths["v_head_dim"],
        mask=mask,
        q_lora_rank=widths.get("q_lora_rank", 0),
    )


def made_grouped(widths: Values, n_head: int, mask: Mask) -> GroupedAttention:
    """Attention of so many query heads, by what the config's keys say of K/V heads and widths."""
    n_kv_head = widths.get("n_kv_head", n_head)
    if n_head % n_kv_head:
        raise InputError(f"n_kv_head must divide n_head {n_head}, not {n_kv_head}")
    return GroupedAttention(
        n_head=n_head,
        n_kv_head=n_kv_head,
        dim_qk=widths["dim_head"],
        dim_v=widths.get("v_head_dim", widths["dim_head"]),
        mask=mask,
    )


def made_mixer(widths: Values, n_head: int, mask: Mask) -> GroupedAttention | LatentAttention:
    """Attention by the config's keys: latent where one says so."""
    make = made_latent if "kv_lora_rank" in widths else made_grouped
    return make(widths, n_head, mask)


def latent_indexer(n_head: int, dim_head: int, topk: int) -> Indexer:
    """DeepSeek's: a row is FP8 with a scale of 32 bits."""
    return Indexer(n_head, dim_head, topk, row_bytes=dim_head + 4, narrow=True)


def grouped_indexer(n_head: int, dim_head: int, topk: int) -> Indexer:
    """MiniMax's: a row is BF16."""
    return Indexer(n_head, dim_head, topk, row_bytes=2 * dim_head, narrow=False)


def together(figures: Figures, keys: Sequence[str]) -> bool:
    """Whether these keys are there; InputError where some are and some are not."""
    there = [key for key in keys if key in figures]
    if there and len(there) < len(keys):
        missing = next(key for key in keys if key not in figures)
        raise InputError(f"Model.{missing} is missing: {there[0]} needs it")
    return bool(there)


def refuse_keys(figures: Figures, keys: Sequence[str], reason: str) -> None:
    """InputError where one of these keys is there, by a reason that names the {key}."""
    for key in keys:
        if key in figures:
            raise InputError(reason.format(key=key))


STATE_KEYS = (
    "n_head_state",
    "conv_channels",
    "state_groups",
    "state_chunk",
    "state_dtype",
    "state_rule",
)


def made_states(figures: Figures, n_layer: int, beside: int) -> list[Layers]:
    """Layers with a state, of which some have another mixer beside it."""
    has_state = together(figures, ("n_head_state", "dim_k_state", "dim_v_state"))
    has_convolution = together(figures, ("conv_channels", "conv_width"))
    if not n_layer:
        refuse_keys(figures, STATE_KEYS, "Model.n_layer_state is missing: {key} needs it")
        return []
    if not has_state and not has_convolution:
        raise InputError("Model.n_head_state is missing: n_layer_state needs it")
    heads = figures.get("n_head_state", 0)
    if not heads and figures["conv_width"] < 2:
        raise InputError("Model.conv_width must be at least 2 where there is no state, not 1")
    groups = figures.get("state_groups", 0)
    if groups and heads % groups:
        raise InputError(f"Model.state_groups must divide n_head_state {heads}, not {groups}")
    mixer = StateMixer(
        n_head=heads,
        dim_k=figures.get("dim_k_state", 0),
        dim_v=figures.get("dim_v_state", 0),
        conv_channels=figures.get("conv_channels", 0),
        conv_width=figures.get("conv_width", 1),
        rule=figures.get("state_rule", "delta") if has_state else "none",
        state_dtype=figures.get("state_dtype", "fp32"),
        groups=groups,
        chunk=figures.get("state_chunk", 64),
    )
    layers = [
        Layers(n_layer - beside, mixer),
        Layers(beside, mixer._replace(beside=True)),
    ]
    return [kind for kind in layers if kind.n_layer]


INDEX_KEYS = ("index_n_head", "index_dim_head", "index_topk", "n_layer_index", "n_layer_indexed")


def made_full(figures: Figures, n_layer: int) -> list[Layers]:
    """Layers that see all keys, and of those the ones that read the best that an indexer finds."""
    if not n_layer:
        refuse_keys(figures, INDEX_KEYS, "Model.{key} has no meaning without full layers")
        return []
    attention = made_mixer(figures, figures["n_head"], Mask())
    indexed = 0
    layers = []
    if together(figures, ("index_n_head", "index_dim_head", "index_topk")):
        make = latent_indexer if "kv_lora_rank" in figures else grouped_indexer
        indexer = make(figures["index_n_head"], figures["index_dim_head"], figures["index_topk"])
        indexed = figures.get("n_layer_indexed", n_layer)
        owners = figures.get("n_layer_index", indexed)
        if not owners <= indexed <= n_layer:
            counts = f"{owners}, {indexed}, {n_layer}"
            raise InputError(
                "Model.n_layer_index must be at most n_layer_indexed, "
                f"and that the full layers: {counts}"
            )
        layers.append(Layers(owners, IndexedAttention(attention, indexer)))
        layers.append(Layers(indexed - owners, IndexedAttention(attention, indexer, owner=False)))
    else:
        refuse_keys(figures, INDEX_KEYS, "Model.index_topk is missing: {key} needs it")
    layers.insert(0, Layers(n_layer - indexed, attention))
    return [kind for kind in layers if kind.n_layer]


class KindCounts(NamedTuple):
    full: int
    windowed: int
    state: int
    both: int  # full or windowed, with a state beside


def kind_counts(figures: Figures, masked: bool) -> KindCounts:
    """How many layers of each kind there are. Full are those that no other key counts, or as many
    as n_layer_full says: then some may have two mixers, or none.
    """
    n_layer = figures["n_layer"]
    idle = figures.get("n_layer_no_cache", 0)
    states = figures.get("n_layer_state", 0)
    attending = n_layer - idle - states
    windowed = figures.get("n_layer_window", attending if masked else 0)
    full = figures.get("n_layer_full", attending - windowed)
    if windowed and not masked:
        raise InputError("Model.window is missing: n_layer_window needs it")
    if attending + states < 1 or attending < 0 or full < 0 or full + windowed > n_layer - idle:
        allowed = "must be more than n_layer_no_cache and hold n_layer_window"
        counts = f"{n_layer}, {idle}, {windowed}"
        if states:
            allowed += " and n_layer_state"
            counts += f", {states}"
        raise InputError(f"Model.n_layer {allowed}: {counts}")
    if full + windowed + states < 1:
        raise InputError("Model.n_layer_full must be at least 1 where no other layer has a mixer")
    return KindCounts(full, windowed, states, max(0, full + windowed + states + idle - n_layer))


def made_layers(figures: Figures) -> tuple[Layers, ...]:
    """The kinds of layers that there are."""
    if "chunk" in figures and "window" in figures:
        raise InputError("Model.chunk has no meaning beside window")
    mask = Mask(window=figures.get("window", 0), chunk=figures.get("chunk", 0))
    counts = kind_counts(figures, mask != Mask())
    layers = made_states(figures, counts.state, counts.both) + made_full(figures, counts.full)
    if counts.windowed:
        layers.append(Layers(counts.windowed, made_mixer(figures, figures["n_head"], mask)))
    return tuple(layers)


def made_model(
    figures: Figures,
    source: str,
    name: str | None = None,
    weight_dtype: str | None = None,
) -> Model:
    """A model of figures in base units; InputError for those that contradict each other."""
    latent = "kv_lora_rank" in figures
    if latent:
        reason = "Model.{key} has no meaning beside kv_lora_rank"
        refuse_keys(figures, ("dim_head", "n_kv_head"), reason)
    for key in LATENT_KEYS if latent else ["dim_head"]:
        if key not in figures:
            raise InputError(f"Model.{key} is missing")
    return Model(
        name=name,
        n_layer=figures["n_layer"],
        layers=made_layers(figures),
        params=read_parameters(figures),
        figures=figures,
        source=source,
        weight_dtype=weight_dtype,
        n_layer_idle=figures.get("n_layer_no_cache", 0),
    )


def changed_figures(figures: Figures, section: str, changes: Values) -> Figures:
    """Figures with those that keys such as GPU.bandwidth set, which are in the config's units."""
    values = {}
    for key, value in changes.items():
        key_section, _, name = key.partition(".")
        if key_section == section:
            values[name] = value
    return {**figures, **read_section(values, section, complete=False)} if values else figures


def changed_gpu(gpu: GPU, changes: Values) -> GPU:
    figures = changed_figures(gpu.figures, "GPU", changes)
    return gpu if figures is gpu.figures else made_gpu(figures, gpu.source)


def changed_model(model: Model, changes: Values) -> Model:
    """A model with other figures; of a published file, those that are of the whole."""
    figures = changed_figures(model.figures, "Model", changes)
    if figures is model.figures:
        return model
    if not model.published:
        return made_model(figures, model.source, model.name, model.weight_dtype)
    names = {key.removeprefix("Model.") for key in changes if key.startswith("Model.")}
    stray = names - WHOLE_KEYS
    if stray:
        raise InputError(f"Model.{min(stray)} is the file's own: --set takes what is of the whole")
    return model._replace(params=read_parameters(figures), figures=figures)


def source_name(path: str) -> str:
    """A file as answers and errors name it."""
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
    except InputError as error:
        trouble = str(error)
    except ValueError as error:  # a NUL byte in the path; the JSON and UTF-8 errors are above
        trouble = str(error)
    raise InputError(f"{source_name(path)}: {trouble}")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, times in collections.Counter([name for name, _ in pairs]).items():
        if times > 1:
            raise InputError(f"key {quoted(name)} is given twice")
    return dict(pairs)


def whole_number(digits: str) -> float:
    """An int; from 41 digits on, which no key allows, a float: int() refuses thousands of them in
    words that are not ours.
    """
    return int(digits) if len(digits) <= 40 else float(digits)


def parse_json(text: str) -> Any:
    """A JSON document. A key given twice is an error."""
    return json.loads(text, object_pairs_hook=unique_keys, parse_int=whole_number)


def read_json(path: str) -> Any:
    """The JSON document in a file, or on standard input."""
    return read_text(path, 16 * 2**20, parse_json)


# --------------------------------------------------------------- published config.json files: words

Config = Mapping[str, Any]
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
activation   hidden_act hidden_activation activation_function activation mlp_hidden_act
n_expert     num_local_experts num_experts n_routed_experts moe_num_experts num_routed_experts
n_active     num_experts_per_tok experts_per_token num_experts_per_token moe_topk moe_k moe_top_k top_k_experts
expert_width moe_intermediate_size intermediate_size
n_shared     n_shared_experts num_shared_experts moe_num_shared_experts
shared_width shared_expert_intermediate_size shared_intermediate_size share_expert_dim moe_shared_expert_intermediate_size
"""
# The same of layers with a state, which only types that were checked have.
STATE_ALIASES = """\
k_heads      linear_num_key_heads
v_heads      linear_num_value_heads
k_width      linear_key_head_dim
v_width      linear_value_head_dim
kda_heads    linear_num_heads
kda_width    linear_head_dim
mamba_heads  mamba_num_heads mamba_n_heads n_mamba_heads
mamba_width  mamba_head_dim mamba_d_head mamba_headdim
mamba_state  ssm_state_size mamba_d_state
mamba_groups n_groups mamba_n_groups mamba_ngroups
mamba_chunk  chunk_size mamba_chunk_size
conv_width   linear_conv_kernel_dim short_conv_kernel_size conv_kernel mamba_d_conv conv1d_width conv_L_cache
n_dense      first_k_dense_replace num_dense_layers moe_layer_start_index
sparse_step  interleave_moe_layer_step decoder_sparse_step
"""
ALIAS_ROWS = [line.split() for line in (ALIASES + STATE_ALIASES).splitlines()]
NAMES = {quantity: keys for quantity, *keys in ALIAS_ROWS}
ALL_ALIASES = {key for line in ALIASES.splitlines() for key in line.split()[1:]}
KIND_PARTS = {
    "windowed": "swa_|sliding_(?=att)",
    "full": "global_",
    "state": "$^",
}  # of keys for one kind
TEXT_SCOPES = (
    "text_config",
    "llm_config",
    "llm_cfg",
    "language_config",
    "thinker_config",
)  # of text decoders
# The model types whose reading was checked, against transformers 5.23 or their own code; those of
# the last row were not.
TYPES = """\
type                  layers states      beside window   latent kv_heads head_dim tied mlp weights schedule                   needs
afmoe                 -      -           -      listed   -      -        128      -    -   other   -                          -
axk1                  -      -           -      -        yes    -        -        -    -   -       -                          -
axk2                  -      -           -      -        yes    -        -        -    -   other   -                          -
bailing_hybrid        differ bailing     -      -        yes    -        -        -    -   -       -                          -
bamba                 differ mamba2      -      -        -      8        -        -    -   -       -                          -
beam                  -      -           -      listed   -      8        128      -    -   other   -                          -
bitnet                -      -           -      -        -      5        -        -    -   other   -                          -
blip_text_model       -      -           -      -        -      -        -        -    -   other   -                          -
bloom                 -      -           -      -        -      -        -        yes  4x  -       -                          -
chameleon             -      -           -      -        -      32       -        -    -   -       -                          -
codegen               -      -           -      -        -      -        -        -    4x  -       -                          -
cohere                -      -           -      -        -      -        -        yes  -   -       -                          -
cohere2               -      -           -      listed   -      -        -        -    -   -       -                          -
cohere2_moe           -      -           -      listed   -      -        128      -    -   -       -                          -
cohere_compass_text   -      -           -      listed   -      -        -        -    -   -       -                          -
cosmos3_edge_text     -      -           -      -        -      8        128      -    -   -       -                          -
cpmant                -      -           -      -        -      -        128      -    -   -       -                          -
csm                   -      -           -      -        -      8        -        -    -   other   -                          -
cwm                   -      -           -      listed   -      8        128      -    -   -       -                          -
dbrx                  -      -           -      -        -      unknown  -        -    -   -       -                          -
deepseek_v2           -      -           -      -        yes    -        -        -    -   -       -                          -
deepseek_v3           -      -           -      -        yes    -        -        -    -   -       -                          -
deepseek_v32          -      -           -      -        yes    -        -        -    -   -       -                          -
deepseek_v4           -      -           -      -        -      -        -        -    -   -       -                          -
gemma3n_text          -      -           -      listed   -      2        256      yes  -   other   -                          -
mimo_v2_flash         -      -           -      listed   -      4        192      -    -   -       -                          -
mimo_v2               -      -           -      listed   -      unknown  unknown  -    -   other   -                          -
longcat_flash         -      -           -      -        yes    -        -        -    -   other   -                          -
dots1                 -      -           -      listed   -      32       -        -    -   -       -                          -
emu3_text_model       -      -           -      -        -      8        -        -    -   -       -                          -
ernie4_5              -      -           -      -        -      2        128      -    -   -       -                          -
ernie4_5_moe          -      -           -      -        -      4        -        -    -   -       -                          -
ernie4_5_vl_moe_text  -      -           -      -        -      4        -        -    -   -       -                          -
evolla                -      -           -      -        -      8        -        -    -   other   -                          -
exaone4               -      -           -      listed   -      32       -        -    -   -       -                          -
exaone_moe            -      -           -      listed   -      32       -        -    -   -       -                          -
falcon                -      -           -      -        -      -        -        yes  4x  -       -                          -
falcon_h1             -      mamba2      yes    -        -      8        -        -    -   -       -                          -
flint                 -      -           -      listed   -      4        128      -    -   -       -                          -
gemma                 -      -           -      -        -      16       256      yes  -   -       -                          -
gemma2                -      -           -      listed   -      4        256      yes  -   -       -                          -
gemma3_text           -      -           -      listed   -      4        256      yes  -   -       -                          -
gemma4_text           -      -           -      listed   -      4        256      yes  -   -       -                          -
gemma4_unified_text   -      -           -      listed   -      4        256      yes  -   -       -                          -
glm                   -      -           -      -        -      2        128      -    -   -       -                          -
glm4                  -      -           -      -        -      2        128      -    -   -       -                          -
glm4_moe              -      -           -      -        -      8        -        -    -   -       -                          -
glm4_moe_lite         -      -           -      -        yes    -        -        -    -   -       -                          -
glm4v_moe_text        -      -           -      -        -      8        -        -    -   -       -                          -
glm4v_text            -      -           -      -        -      2        -        -    -   -       -                          -
glm_image_text        -      -           -      -        -      2        -        -    -   other   -                          -
glm_moe_dsa           -      -           -      -        yes    -        -        -    -   -       -                          -
glm_ocr_text          -      -           -      -        -      8        -        -    -   -       -                          -
gpt2                  -      -           -      -        -      -        -        yes  4x  -       -                          -
gpt_bigcode           -      -           -      -        -      -        -        yes  4x  -       -                          -
gpt_neo               differ -           -      -        -      -        -        yes  4x  -       -                          -
gpt_oss               -      -           -      listed   -      8        64       -    -   -       -                          -
gptj                  -      -           -      -        -      -        -        -    4x  -       -                          -
granite_docling_text  -      -           -      -        -      4        -        -    -   -       -                          -
granite_swa           -      -           -      listed   -      4        -        -    -   -       -                          -
granitemoe_swa        -      -           -      listed   -      -        -        -    -   -       -                          -
granitemoehybrid      differ mamba2      -      -        -      -        -        -    -   -       -                          -
helium                -      -           -      -        -      20       128      -    -   -       -                          -
hrm_text              -      -           -      -        -      -        128      -    -   other   -                          num_layers_per_stack
hy_v3                 -      -           -      -        -      8        128      -    -   -       -                          -
hy_v4                 -      -           -      -        yes    -        -        -    -   other   -                          -
idefics               -      -           -      -        -      -        -        -    -   other   -                          -
inkling2_text         -      -           -      listed   -      8        128      -    -   other   -                          swa_num_key_value_heads,swa_num_attention_heads,swa_head_dim
inkling_text          -      -           -      listed   -      8        128      -    -   -       -                          swa_num_key_value_heads,swa_num_attention_heads,swa_head_dim
internlm3             -      -           -      -        -      2        128      -    -   -       -                          -
iquestcoder           -      -           -      -        -      8        128      -    -   -       -                          -
jamba                 differ mamba1      -      -        -      8        -        -    -   -       attn_layer_period          -
jetmoe                -      -           -      -        -      16       128      -    -   other   -                          -
kimi_linear           differ kda         -      -        yes    -        -        -    -   -       -                          -
kolibri1              -      -           -      listed   -      4        128      -    -   -       -                          -
laguna                -      -           -      listed   -      8        128      -    -   -       -                          -
lfm2                  differ convolution -      -        -      8        -        -    -   -       -                          -
lfm2_moe              differ convolution -      -        -      8        -        -    -   -       -                          -
lfm3                  differ convolution -      -        -      4        128      -    -   -       -                          -
llama4_text           -      -           -      listed   -      8        128      -    -   -       no_rope_layers             -
mellum                -      -           -      listed   -      4        128      -    -   -       -                          -
minicpm3              -      -           -      -        yes    -        -        -    -   -       -                          -
minimax               differ lightning   -      all      -      8        -        -    -   -       -                          -
minimax_m2            -      -           -      -        -      8        128      -    -   -       -                          -
minimax_m3_vl_text    -      -           -      -        -      4        128      -    -   -       -                          -
ministral             -      -           -      all      -      8        -        -    -   -       -                          -
ministral3            -      -           -      all      -      8        128      -    -   -       -                          -
mistral               -      -           -      all      -      8        -        -    -   -       -                          -
mistral4              -      -           -      -        yes    -        -        -    -   -       -                          -
mixtral               -      -           -      all      -      8        -        -    -   -       -                          -
mllama_text_model     differ -           -      -        -      8        -        -    -   -       -                          -
modernbert-decoder    -      -           -      listed   -      -        -        -    -   other   global_attn_every_n_layers -
molmo2_text           -      -           -      -        -      8        128      -    -   -       -                          -
moshi                 -      -           -      listed   -      -        -        -    -   other   -                          -
mpt                   -      -           -      -        -      -        -        yes  4x  -       -                          -
muse_glimmer_text     -      -           -      listed   -      2        128      -    -   other   -                          -
muse_spark_text       -      -           -      listed   -      16       64       -    -   other   -                          -
nemotron              -      -           -      -        -      unknown  -        -    -   -       -                          -
nemotron_h            differ mamba2      -      -        -      8        128      -    -   -       -                          -
olmo3                 -      -           -      listed   -      -        -        -    -   -       -                          -
olmo_hybrid           differ gdn         -      -        -      -        -        -    -   -       -                          -
olmoe                 -      -           -      all      -      -        -        -    -   -       -                          -
opt                   -      -           -      -        -      -        -        yes  -   -       -                          -
paddleocr_vl_text     -      -           -      -        -      2        128      -    -   -       -                          -
phi3                  -      -           -      all      -      -        -        -    -   -       -                          -
phi4_multimodal       -      -           -      all      -      8        -        -    -   -       -                          -
phimoe                -      -           -      all      -      8        -        -    -   -       -                          -
qwen2                 -      -           -      switched -      32       -        -    -   -       max_window_layers          -
qwen2_5_omni_text     -      -           -      switched -      4        -        -    -   -       max_window_layers          -
qwen2_5_vl_text       -      -           -      switched -      8        -        -    -   -       max_window_layers          -
qwen2_moe             -      -           -      listed   -      16       -        -    -   -       -                          -
qwen2_vl_text         -      -           -      switched -      8        -        -    -   -       max_window_layers          -
qwen3                 -      -           -      switched -      32       128      -    -   -       max_window_layers          -
qwen3_5_moe_text      differ gdn         -      -        -      2        256      -    -   -       -                          -
qwen3_5_text          differ gdn         -      -        -      4        256      -    -   -       -                          -
qwen3_moe             -      -           -      listed   -      4        -        -    -   -       -                          -
qwen3_next            differ gdn         -      -        -      2        256      -    -   -       -                          -
qwen3_omni_moe_text   -      -           -      -        -      4        -        -    -   -       -                          -
qwen3_vl_moe_text     -      -           -      -        -      16       -        -    -   -       -                          -
qwen3_vl_text         -      -           -      -        -      32       128      -    -   -       -                          -
recurrent_gemma       differ rg_lru      -      all      -      -        -        -    -   other   -                          attention_window_size
seed_oss              -      -           -      -        -      8        128      -    -   -       -                          -
smollm3               -      -           -      listed   -      4        -        -    -   -       -                          -
solar_open            -      -           -      -        -      8        128      -    -   -       -                          -
stablelm              -      -           -      -        -      32       -        -    -   -       -                          -
starcoder2            -      -           -      all      -      2        -        yes  -   -       -                          -
step3_text            -      -           -      -        -      -        -        -    -   other   -                          -
step3p5               -      -           -      listed   -      8        128      -    -   -       -                          -
vaultgemma            -      -           -      listed   -      4        256      -    -   -       -                          -
voxtral_realtime_text -      -           -      all      -      8        -        -    -   other   -                          sliding_window
youtu                 -      -           -      -        yes    -        -        -    -   -       -                          -
zamba                 differ mamba1      yes    -        -      16       unknown  -    -   other   -                          -
zamba2                differ mamba2      yes    -        -      unknown  unknown  -    -   other   -                          attention_head_dim
zaya                  differ -           -      -        -      2        128      -    -   other   -                          -
RefinedWeb            -      -           -      -        -      -        -        yes  4x  -       -                          -
RefinedWebModel       -      -           -      -        -      -        -        yes  4x  -       -                          -
btlm                  -      -           -      -        -      -        -        -    -   other   -                          -
bunny-phi             -      -           -      -        -      -        -        -    -   other   -                          -
chatglm               -      -           -      -        -      -        -        -    -   other   -                          -
codeshell             -      -           -      -        -      -        -        -    -   other   -                          -
cogvlm                -      -           -      -        -      -        -        -    -   other   -                          -
deci                  -      -           -      -        -      unknown  -        -    -   other   -                          -
hf_olmo               -      -           -      -        -      -        -        -    -   other   -                          -
jais                  -      -           -      -        -      -        -        -    -   other   -                          -
kimi_k2               -      -           -      -        yes    -        -        -    -   -       -                          -
minicpm               -      -           -      -        -      -        -        -    -   other   -                          -
mixformer-sequential  -      -           -      -        -      -        -        -    -   other   -                          -
molmo                 -      -           -      -        -      -        -        -    -   other   -                          -
moss                  -      -           -      -        -      -        -        -    -   other   -                          -
nemotron-nas          differ -           -      -        -      unknown  -        -    -   other   -                          -
phi-msft              -      -           -      -        -      -        -        -    -   other   -                          -
plamo                 -      -           -      -        -      -        -        -    -   other   -                          -
qwen                  -      -           -      -        -      -        -        -    -   other   -                          -
telechat              -      -           -      -        -      -        -        -    -   other   -                          -
yuan                  -      -           -      -        -      -        -        -    -   other   -                          -
unchecked             -      -           -      set      -      unknown  -        -    -   other   -                          -

layers    differ: a schedule must say how
states    the family of mixers that keep a state: a row of STATE_FAMILIES
beside    yes: full layers have such a mixer too
window    which layers have one: listed, those that a schedule lists; set, the same where a file sets
          one; all; switched, those from a layer on if use_sliding_window is on; -, none, whatever a
          file says
kv_heads  K/V heads where a file is silent; -, as many as heads
head_dim  width of a head there; -, hidden size / heads
tied      the output layer is the embedding, unless a file says otherwise
mlp       4x: four hidden sizes wide, unless a file says otherwise
weights   other: of kinds that are not counted here
schedule  a key that says which layers are of which kind in this type alone
needs     keys that must be there
"""
# Checked types that need no row: latent if the file says so, windows are ignored, silence is as
# many K/V heads as heads.
PLAIN_TYPES = """
apertus arcee aria_text biogpt ctrl deepseek_ocr2_text diffllama flex_olmo git gpt_neox
gpt_neox_japanese granite granite4_vision_text granitemoe granitemoeshared hunyuan_v1_dense
hunyuan_v1_moe hunyuan_vl_text hyperclovax jais2 kosmos_2_5_text_model kosmos_2_text_model llama
nanochat olmo olmo2 openai-gpt persimmon phi xglm Yi aquila baichuan deepseek internlm internlm2
llava_llama stablelm_epoch xverse
"""
Type = Mapping[str, Any]  # a row of TYPES; "type" is its name


def checked_type(model_type: object) -> Type:
    """What is known of a model type."""
    rows = catalogue(TYPES)
    for name in (str(model_type), f"{model_type}_text"):
        if name in rows:
            return {"type": name, **rows[name]}
        if name in PLAIN_TYPES.split():
            return {"type": name}
    return {"type": "unchecked", **rows["unchecked"]}


# Defaults of transformers' classes, by the model types that share them. sliding_window_pattern n:
# every n-th layer is full, the others windowed.
CLASS_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama mistral qwen2 qwen3": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "gemma3_text": {
        "hidden_size": 2304,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
    },
    "gemma4_text gemma4_unified_text": {"global_head_dim": 512},
    "gemma2 gpt_oss vaultgemma": {"sliding_window_pattern": 2},
    "gemma3_text gemma4_text gemma4_unified_text": {"sliding_window_pattern": 6},
    "cohere2 exaone4 exaone_moe llama4_text olmo3": {"sliding_window_pattern": 4},
    "cohere2 gemma2 gemma3_text ministral mistral": {"sliding_window": 4096},
    "exaone4 exaone_moe olmo3": {"max_position_embeddings": 2048},
    "falcon RefinedWeb RefinedWebModel gpt_bigcode": {"multi_query": True},
    "qwen2 qwen2_moe qwen2_vl_text qwen2_5_vl_text qwen3 smollm3": {"use_sliding_window": False},
    "llama4_text": {"num_shared_experts": 1},
    "jamba": {
        "attn_layer_period": 8,
        "attn_layer_offset": 4,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
    },
    "qwen3_next qwen3_5_text qwen3_5_moe_text": {
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
    },
    "qwen3_next qwen3_5_text qwen3_5_moe_text olmo_hybrid kimi_linear": {
        "linear_conv_kernel_dim": 4,
    },
    "kimi_linear": {"linear_num_heads": 32, "linear_head_dim": 128},
    "nemotron_h": {
        "mamba_num_heads": 128,
        "mamba_head_dim": 64,
        "ssm_state_size": 128,
        "n_groups": 8,
        "conv_kernel": 4,
        "chunk_size": 128,
    },
    "bamba granitemoehybrid falcon_h1": {
        "mamba_n_heads": 128,
        "mamba_d_state": 256,
        "mamba_n_groups": 1,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_chunk_size": 256,
    },
    "falcon_h1": {"mamba_d_ssm": 1024, "mamba_rms_norm": False},
    "zamba2": {
        "mamba_d_state": 64,
        "mamba_ngroups": 1,
        "mamba_d_conv": 4,
        "n_mamba_heads": 8,
    },
    "jamba zamba": {"mamba_d_state": 16},
    "jamba zamba zamba2": {"mamba_d_conv": 4, "mamba_expand": 2},
    "recurrent_gemma": {"conv1d_width": 4},
    "lfm2 lfm2_moe": {"conv_L_cache": 3},
    "lfm3": {"conv_L_cache": 7},
    "mimo_v2_flash": {"swa_num_key_value_heads": 8, "v_head_dim": 128},
}


def text_scope(outer: Any) -> dict[str, Any]:
    """The text decoder's part of a config, with what only its wrapper says."""
    while isinstance(outer, dict):
        inner = next(
            (outer[key] for key in TEXT_SCOPES if isinstance(outer.get(key), dict)),
            None,
        )
        if inner is None:
            return outer
        model_type = inner.get("model_type") or outer.get("model_type")
        scope = {**inner, "model_type": model_type}
        if "tie_word_embeddings" in outer:
            scope["tie_word_embeddings"] = outer["tie_word_embeddings"]
        if outer.get("model_type") == "paligemma":  # looks both ways at images only
            scope.pop("use_bidirectional_attention", None)
        outer = scope
    raise InputError(f"must be an object {{...}}, not {quoted(outer)}")


def layer_overrides(scope: Config) -> dict[int, Any]:
    """What per_layer_config says of single layers, by their numbers."""
    overrides = scope.get("per_layer_config") or {}
    right = isinstance(overrides, dict)
    right = right and all(re.fullmatch("[0-9]{1,9}", number) for number in overrides)
    right = right and all(isinstance(layer, dict) for layer in overrides.values())
    if not right or any(layer.get("skip") for layer in overrides.values()):
        raise InputError(
            "per_layer_config must hold objects under the numbers of layers, and none that has a"
            " skip"
        )
    return {int(number): layer for number, layer in overrides.items()}


def with_defaults(scope: dict[str, Any], type_name: str) -> Config:
    """A config with its class's defaults for quantities that it has under no name."""
    present = set[str]()
    for names in NAMES.values():
        if scope.keys() & names:
            present.update(names)
    defaults: dict[str, Any] = {}
    for types, row in CLASS_DEFAULTS.items():
        if type_name in types.split():
            defaults.update(row)
    config = {key: value for key, value in defaults.items() if key not in present}
    if isinstance(scope.get("attn_config"), dict):  # MPT, DBRX
        config.update(scope["attn_config"])
    config.update(scope)
    config["per_layer_config"] = layer_overrides(scope)
    return config


def count_at(config: Config, quantity: str, default: int | None = None) -> int:
    """The count under the first of a quantity's names that is present; else the default, if any."""
    names = NAMES.get(quantity, [quantity])
    # Zero and -1 say "none", but a model with no layers or heads is a mistake.
    unset = (None,) if quantity in ("n_layer", "n_head", "n_kv_head") else (None, 0, -1)
    for key in names:
        if config.get(key) not in unset:
            with blamed_on(key):
                return int(COUNT.checked(config[key]))
    if default is None:
        raise InputError(f"no {' or '.join(names[:2])}, and no default for it is known")
    return default


def known_count(config: Config, quantity: str) -> int | None:
    """The count under the first of a quantity's names that is present, 0 without one; None where
    that is no count.
    """
    for key in NAMES.get(quantity, [quantity]):
        value = config.get(key)
        if value not in (None, 0, -1):
            return value if type(value) is int and 0 < value <= MAX_COUNT else None
    return 0


def known_counts(config: Config, quantities: str) -> dict[str, int] | None:
    """The counts of all these quantities; None where one is no count."""
    sizes = {}
    for quantity in quantities.split():
        size = known_count(config, quantity)
        if size is None:
            return None
        sizes[quantity] = size
    return sizes


class NotModelled(NamedTuple):
    """What the cost model does not have, by the keys that say so and by the first words of such
    model types: "mom" is that of "mom_7b", not of "momentum".
    """

    why: str
    keys: str = ""
    types: str = ""

    def is_type(self, model_type: str) -> bool:
        names = self.types.replace(" ", "|")
        return bool(names and re.match(f"({names})(?![a-z])", model_type.lower()))


NOT_MODELLED = [
    NotModelled("an encoder", keys="use_bidirectional_attention", types="eurobert llama_bidirec"),
    NotModelled("an encoder-decoder", keys="is_encoder_decoder", types="t5 t5gemma"),
    NotModelled("a diffusion model", types="llada dream diffusion sdar"),
    NotModelled("layers that share a KV cache", keys="kv_source_layers layer_sharing"),
    NotModelled("an indexer of blocks", keys="index_kpool"),
    NotModelled(
        "layers that run several times",
        keys="total_ut_steps mean_recurrence layer_sharing_repeats",
    ),
    NotModelled("block-sparse attention", keys="blocksparse_block_size", types="nsa"),
    NotModelled(
        "no attention with a growing KV cache",
        types="mamba falcon_mamba rwkv retnet xlstm gla gsa hgrn abc linear_attn lightning_attn"
        " delta_net deltanet gated_delta gated_deltanet kda comba mesa_net lightnet rodimus mom samba"
        " log_linear",
    ),
    NotModelled("a mixer that is not known here", types="hymba phi4flash qwen4_exp dots3"),
]
# Parts of keys that, set in a type that was not checked, may change its attention, and parts that
# do not.
TELLING = "|".join(
    """
window sliding swa_ local global chunk share_head share_kv share_layer share_att shared_head
shared_kv shared_layer shared_att sharing_head sharing_kv sharing_layer sharing_att _shared
_sharing recur loop _kv_ per_layer expand_ compress_ index_ sparse_att sparse_conf mamba ssm linear
conv lru rwkv _interval layer_group layer_pattern layer_period attn_type attention_type attn_mode
attention_mode attn_method attention_method attn_head attention_head attn_proj attention_proj
attn_con attention_con attn_layer attention_layer state_ mixer latent reuse nsa_ tpa_
""".split()
)
HARMLESS = "rope|expert|moe|mlp|vision|image|audio|bias|norm|^max_window_layers$|^use_"


# ----------------------------------------------------------- published config.json files: schedules

# The kind of a layer by the names that files give it: "state" keeps no growing KV cache, "mlp" has
# no mixer, and of "none" nothing is known.
KIND_NAMES = {
    "full": "* G full global attention full_attention hybrid indexed_attention"
    " deepseek_sparse_attention minimax_m3_sparse",
    "windowed": "L local sliding sliding_attention chunked_attention hybrid_sliding",
    "state": "M mamba mamba2 recurrent conv linear_attention",
    "mlp": "- E moe mlp",
}
LAYER_KINDS = {name: kind for kind, names in KIND_NAMES.items() for name in names.split()}
LAYER_NUMBERS = range(10_000)  # more than any model has
Schedule = Callable[
    [Any, Config], Iterable[str]
]  # the kind of each layer from a key's value and its config


def named_kinds(names: Iterable[str], _: Config) -> Iterable[str]:
    """A name for each layer."""
    return (LAYER_KINDS[name] for name in names)


def cycled_kinds(names: Iterable[str], config: Config) -> Iterable[str]:
    """Names that repeat."""
    return named_kinds(itertools.cycle(names), config)


def repeated_kinds(groups: Iterable[tuple[Sequence[str], int]], config: Config) -> Iterable[str]:
    """GPT-Neo's [[["global", "local"], 12]]: names, and how often they follow each other."""
    for names, times in groups:
        for _ in range(times if names else 0):
            yield from named_kinds(names, config)


def flags_of_layers(on: str, off: str) -> Schedule:
    """One flag a layer, 1 or 0."""
    return lambda flags, _: ({1: on, 0: off}[flag] for flag in flags)


def numbers_of_layers(inside: str, outside: str) -> Schedule:
    """The numbers of some layers."""
    return lambda numbers, _: (inside if i in numbers else outside for i in LAYER_NUMBERS)


def kinds_of_period(number: int, period: int, one: str, others: str) -> Iterable[str]:
    """Layer `number`, and every one that is `period` later."""
    return (one if i % period == number else others for i in LAYER_NUMBERS)


def last_of_period(last: str, others: str) -> Schedule:
    """How many layers there are from one of a kind to the next."""
    return lambda period, _: kinds_of_period(period - 1, period, last, others)


def pattern_of_windows(value: Any, _: Config) -> Iterable[str]:
    """Gemma's 6: every sixth layer is full; or a letter for each layer, over and over."""
    if type(value) is int:
        return kinds_of_period(value - 1, value, "full", "windowed")
    return (LAYER_KINDS[value[i % len(value)]] for i in LAYER_NUMBERS)


def windows_of_layers(windows: Iterable[Any], _: Config) -> Iterable[str]:
    return ("windowed" if window else "full" for window in windows)


def kinds_of_blocks(blocks: Iterable[Any], _: Config) -> Iterable[str]:
    """Nemotron-NAS: of each block how many heads share a K/V head, or that it has none."""
    for block in blocks:
        yield "full" if block["attention"].get("n_heads_in_group") else "none"


def full_layers_of_kimi(value: Any, _: Config) -> Iterable[str]:
    """Kimi-Linear: numbers of layers, counted from 1."""
    numbers = value["full_attn_layers"]
    return ("full" if i + 1 in numbers else "state" for i in LAYER_NUMBERS)


def offset_in_period(period: int, config: Config) -> Iterable[str]:
    """Jamba: the layers attn_layer_offset, attn_layer_offset + period, ..."""
    return kinds_of_period(config["attn_layer_offset"], period, "full", "state")


def first_of_period(period: int, _: Config) -> Iterable[str]:
    """ModernBERT: layers 0, period, ... see all keys."""
    return kinds_of_period(0, period, "full", "windowed")


def windowed_from(first: int, _: Config) -> Iterable[str]:
    """Qwen 2: the number of the first layer with a window."""
    return ("windowed" if i >= first else "full" for i in LAYER_NUMBERS)


# How the key says which layers are of which kind; the first that a file has counts. Keys in
# TYPE_SCHEDULES count only in types whose row names them.
SCHEDULES: dict[str, Schedule] = {
    "block_configs": kinds_of_blocks,
    "layer_types": named_kinds,
    "layers_block_type": named_kinds,
    "hybrid_override_pattern": named_kinds,  # a letter each
    "attention_layers": named_kinds,
    "attention_types": repeated_kinds,
    "block_types": cycled_kinds,
    "_block_types": cycled_kinds,
    "attn_type_list": flags_of_layers("full", "state"),
    "hybrid_layer_pattern": flags_of_layers("windowed", "full"),
    "no_rope_layers": flags_of_layers("windowed", "full"),
    "sliding_window_per_layer": windows_of_layers,
    "linear_attn_config": full_layers_of_kimi,
    "full_attn_idxs": numbers_of_layers("full", "state"),
    "attn_layer_indices": numbers_of_layers("full", "state"),
    "cross_attention_layers": numbers_of_layers("none", "full"),
    "sliding_window_layers": numbers_of_layers("windowed", "full"),
    "attn_layer_period": offset_in_period,
    "full_attention_interval": last_of_period("full", "state"),
    "global_attn_every_n_layers": first_of_period,
    "max_window_layers": windowed_from,
    "sliding_window_pattern": pattern_of_windows,
}
TYPE_SCHEDULES = {row["schedule"] for row in catalogue(TYPES).values() if "schedule" in row}


def is_read(key: str, value: object) -> bool:
    """Whether a key is read in every type: as another's name (global_head_dim is a head_dim), or
    as a schedule.
    """
    names = {re.sub(part, "", key) for part in KIND_PARTS.values()}
    schedules = key in SCHEDULES and key not in TYPE_SCHEDULES and not isinstance(value, int)
    return schedules or not names.isdisjoint(ALL_ALIASES)


def refuse_unread(config: Config) -> None:
    """InputError for a key that may change the attention of a type that was not checked."""
    if not any("vocab_size" in key for key in config):
        raise InputError("no vocab_size: not the config of a language model")
    for key, value in config.items():
        one_a_layer = isinstance(value, list) and len(value) == count_at(config, "n_layer")
        says_nothing = value in (None, 0, 1, -1, [], {})  # False is 0 and True is 1 here
        suspect = one_a_layer or (not says_nothing and re.search(TELLING, key))
        if suspect and not is_read(key, value) and not re.search(HARMLESS, key):
            model_type = f"model_type {quoted(config.get('model_type'))}"
            raise InputError(
                f"{key} {quoted(value)} may change its attention, and {model_type} was not checked"
            )


def refuse_unmodelled(config: Config, known: Type) -> None:
    """InputError for what is no decoder, or has an attention that is not modelled or not said."""
    model_type = quoted(config.get("model_type"))
    for row in NOT_MODELLED:
        keys = row.keys.split()
        if row.is_type(str(config.get("model_type"))):
            keys.append("model_type")
        for key in keys:
            if config.get(key) and config[key] != "vision":  # Gemma 4: both ways at images only
                raise InputError(f"{key} {quoted(config[key])}: {row.why}, not modelled")
    if config.get("is_causal") is False or "ForMaskedLM" in str(config.get("architectures")):
        raise InputError("is_causal false, or architectures ForMaskedLM: an encoder, not modelled")
    for key in known.get("needs", "").split(","):
        if key and config.get(key) is None:
            raise InputError(
                f"no {key}, and model_type {model_type} has no default for it that is known"
            )
    if known["type"] == "unchecked":
        refuse_unread(config)


def window_keys(config: Config) -> int:
    """How many keys a windowed layer sees; 0: there is no window, or one without effect."""
    window = count_at(config, "window", 0)
    if config.get("local_attention"):  # ModernBERT's: both sides
        window //= 2
    if config.get("use_sliding_window") is False or window >= count_at(
        config, "longest", window + 1
    ):
        return 0
    return window


def scheduled_kinds(config: Config, known: Type, n_layer: int) -> list[str]:
    """The kinds of layers as the first schedule in a file says; none without one."""
    for key, schedule in SCHEDULES.items():
        value = config.get(key)
        if not value or (key in TYPE_SCHEDULES and key != known.get("schedule")):
            continue
        if isinstance(value, (int, float)):
            with blamed_on(key):
                value = COUNT.checked(value)
        try:
            kinds = list(itertools.islice(schedule(value, config), n_layer))
        except KeyError as error:
            raise InputError(f"{key}: {quoted(error.args[0])} is not known here") from None
        except (TypeError, ValueError, AttributeError):
            raise InputError(f"{key} {quoted(value)}: not a layer schedule") from None
        if len(kinds) < n_layer or not {"full", "windowed"} & set(kinds):
            raise InputError(
                f"{key} has {len(kinds)} entries for {n_layer} layers, or no attention"
            )
        return kinds
    return []


def layer_count(config: Config) -> int:
    """How many layers there are; where no count says it, as many as a list has."""
    kinds = config.get("layer_types") or config.get("layers_block_type")
    pattern = config.get("hybrid_override_pattern")
    if not kinds and isinstance(pattern, str):  # Nemotron: a letter each
        kinds = list(pattern)
    n_layer = count_at(config, "n_layer", len(kinds) if isinstance(kinds, list) else None)
    if n_layer > len(LAYER_NUMBERS):
        raise InputError(f"num_hidden_layers {n_layer}: more layers than any model has")
    return n_layer


def ignores_windows(known: Type) -> bool:
    return "window" not in known and "layers" not in known


def names_window(config: Config) -> bool:
    """Whether a key for the window's width is there, whatever it holds."""
    return not config.keys().isdisjoint([*NAMES["window"], "sliding_window_per_layer"])


def mentions_window(config: Config) -> bool:
    return names_window(config) or "use_sliding_window" in config


def refuse_unknown_windows(config: Config, known: Type, window: int) -> None:
    """InputError for a file without a schedule whose layers may still differ."""
    which = known.get("window")
    sets_window = window > 0 and which in ("listed", "set", "switched")
    silent = which == "listed" and not mentions_window(config)
    if "layers" in known or sets_window or silent:
        raise InputError("no layer_types, so which layers are of which kind is not known")


def complete_kinds(config: Config, known: Type, kinds: list[str], window: int) -> list[str]:
    """The kinds of the layers as scheduled, all full without a schedule; InputError where windows
    are hinted at, but not which layers have them or how wide they are.
    """
    if not kinds:
        refuse_unknown_windows(config, known, window)
        kinds = ["full"] * layer_count(config)
    if known["type"].startswith("gemma4"):
        kinds[-1] = "full"  # whatever the file says
    if config.get("use_sliding_window") and not names_window(config):
        raise InputError("no sliding_window, but windowed layers")
    if "windowed" in kinds and not mentions_window(config):
        raise InputError("no sliding_window, but windowed layers")
    return kinds


def layer_kinds(config: Config, known: Type) -> list[str]:
    """The kind of each layer: "full", "windowed" or "none"."""
    if config.get("compress_ratios") or config.get("compress_rates"):
        return ["full"] * layer_count(config)
    kinds = scheduled_kinds(config, known, layer_count(config))
    window = window_keys(config)
    kinds = complete_kinds(config, known, kinds, window)
    if known.get("window") == "all" and window:
        return ["windowed" if kind == "full" else kind for kind in kinds]
    if ignores_windows(known):
        return ["full" if kind == "windowed" else kind for kind in kinds]
    return kinds


# ----------------------------------------------------------- published config.json files: attention


def kind_overrides(config: Config, kind: str) -> Config:
    """What keys for one kind of layers say, under the keys for all: swa_head_dim as head_dim. Where
    single layers are described the keys for kinds are leftovers.
    """
    if config["per_layer_config"]:
        return {}
    overrides = {}
    for key, value in config.items():
        plain_key = re.sub(KIND_PARTS[kind], "", key)
        named = plain_key != key and plain_key in ALL_ALIASES and value is not None
        # Gemma 4 uses num_global_key_value_heads only where keys are values too.
        unused = "global_key" in key and not config.get("attention_k_eq_v")
        if named and not unused:
            overrides[plain_key] = value
    return overrides


def list_entries(config: Config, i: int) -> Config:
    """What lists with an entry a layer say, under the keys for all."""
    overrides = {}
    for key, value in config.items():
        if key.endswith("_per_layer") and isinstance(value, list):
            if i >= len(value):
                raise InputError(f"{key} has only {len(value)} entries")
            overrides[key.removesuffix("_per_layer")] = value[i]
    return overrides


def of_layer(config: Config, kind: str, i: int) -> Config:
    """The config as layer i sees it: what is said of its kind, or of it alone, on top."""
    seen = {**kind_overrides(config, kind), **list_entries(config, i)}
    if kind == "windowed" and isinstance(config.get("attention_other_setting"), dict):
        seen.update(config["attention_other_setting"])  # Step 3.5
    if config.get("block_configs"):
        seen.update(config["block_configs"][i]["attention"])  # Nemotron-NAS
    seen.update(config["per_layer_config"].get(i, {}))
    if kind == "full" and seen.get("sliding_window"):
        raise InputError(f"sliding_window of layer {i}, but that is a full one")
    return {**config, **seen}


def is_multi_query(config: Config) -> bool:
    """Whether all query heads share one K/V head, by the ways of saying so without a number."""
    if "multiquery" in f"{config.get('attention_head_type')} {config.get('attn_type')}":
        return True
    named = {key for key in NAMES["n_kv_head"] if config.get(key) is not None}
    named.discard("num_kv_heads")  # Falcon 7B has it, and does not use it
    several = named or config.get("new_decoder_architecture")
    return bool(config.get("multi_query") and not several)


def key_value_heads(config: Config, n_head: int, known: Type) -> int:
    """Key/value heads of a layer, by the many ways of saying so."""
    if config.get("multi_query_attention"):  # ChatGLM
        return count_at(config, "multi_query_group_num")
    for key in (
        "n_shared_head",
        "n_heads_in_group",
    ):  # PLaMo, Nemotron-NAS: query heads of each
        if config.get(key):
            group = count_at(config, key)
            if n_head % group:
                raise InputError(f"{key} {group} does not divide {n_head} heads")
            return n_head // group
    if is_multi_query(config):
        return 1
    null = "num_key_value_heads" in config and config["num_key_value_heads"] is None
    if known.get("kv_heads") == "unknown":
        return count_at({} if null else config, "n_kv_head")
    if null:
        return n_head  # whatever other names say
    return count_at(config, "n_kv_head", known.get("kv_heads", n_head))


def head_width(config: Config, n_head: int, known: Type) -> int:
    """Width of a head: said, its class's, or the hidden size over the heads."""
    class_width = known.get("head_dim", 0)
    derivable = class_width != "unknown"
    default = 0
    if derivable and "head_dim" not in config:  # a null overrides the class's
        default = class_width
    width = count_at(config, "dim_head", default)
    if width:
        return width
    all_heads = count_at(config, "attention_projection_size", 0)  # Yuan 2
    if not all_heads:
        all_heads = count_at(config, "hidden")
    if all_heads % n_head or not derivable:
        raise InputError(f"no head_dim, and hidden_size {all_heads} is not {n_head} heads")
    return all_heads // n_head


def layer_mask(config: Config, kind: str) -> Mask:
    if kind != "windowed":
        return Mask()
    keys = window_keys(config)
    return Mask(chunk=keys) if config.get("attention_chunk_size") else Mask(window=keys)


GATED_TYPES = ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")


def layer_mixer(config: Config, kind: str, known: Type) -> GroupedAttention | LatentAttention:
    """The attention of one layer, as it sees the config."""
    n_head = count_at(config, "n_head")
    mask = layer_mask(config, kind)
    latent = config.get("kv_lora_rank") or "latent" in known
    if latent and config.get("use_mla") is not False:
        if known["type"] == "minicpm3":
            config = {"v_head_dim": count_at(config, "hidden") // n_head, **config}
        widths: dict[str, Any] = {key: count_at(config, key) for key in LATENT_KEYS}
        widths["q_lora_rank"] = known_count(config, "q_lora_rank")
        return made_latent(widths, n_head, mask)
    dim_head = head_width(config, n_head, known)
    widths = {"n_kv_head": key_value_heads(config, n_head, known), "dim_head": dim_head}
    if known["type"] == "unchecked" or known["type"].startswith("mimo_v2"):
        widths["v_head_dim"] = count_at(config, "v_head_dim", dim_head)
    mixer = made_grouped(widths, n_head, mask)
    gated = known["type"] in GATED_TYPES and config.get("attn_output_gate") is not False
    alike = bool(kind == "full" and config.get("attention_k_eq_v"))  # Gemma 4
    return mixer._replace(gated=gated, values_are_keys=alike)


def indexer_of(config: Config, latent: bool) -> Indexer | None:
    """What finds the best keys, where a file says how many."""
    if latent and config.get("index_topk"):
        heads = count_at(config, "index_n_heads")
        return latent_indexer(
            heads, count_at(config, "index_head_dim"), count_at(config, "index_topk")
        )
    sparse = config.get("sparse_attention_config")
    if isinstance(sparse, dict) and sparse.get("sparse_topk_blocks"):
        keys = count_at(sparse, "sparse_topk_blocks") * count_at(sparse, "sparse_block_size")
        heads = count_at(sparse, "sparse_num_index_heads")
        return grouped_indexer(heads, count_at(sparse, "sparse_index_dim"), keys)
    if config.get("index_topk_blocks"):
        keys = count_at(config, "index_topk_blocks") * count_at(config, "index_block_size")
        heads = count_at(config, "index_n_heads")
        return grouped_indexer(heads, count_at(config, "index_head_dim"), keys)
    return None


def owns_indexer(config: Config, i: int) -> bool:
    """Whether layer i has an indexer of its own (GLM-5)."""
    types = config.get("indexer_types")
    pattern = config.get("index_topk_pattern")
    if isinstance(types, list) and i < len(types):
        return bool(types[i] == "full")
    if isinstance(pattern, str) and i < len(pattern):
        return pattern[i] != "S"
    offset = count_at(config, "index_skip_topk_offset", 0)
    period = count_at(config, "index_topk_freq", 1)
    return max(i - offset + 1, 0) % period == 0


def is_indexed(config: Config, i: int) -> bool:
    """Whether layer i reads the keys of an indexer, where the file has one (MiniMax-M3)."""
    names = config.get("layer_types")
    if isinstance(names, list) and "minimax_m3_sparse" in names:
        return names[i : i + 1] == ["minimax_m3_sparse"]
    sparse = config.get("sparse_attention_config")
    flags = sparse.get("sparse_attention_freq") if isinstance(sparse, dict) else None
    return bool(flags[i]) if isinstance(flags, list) and i < len(flags) else True


COMPRESSION_NAMES = {
    "compressed_sparse_attention": 4,
    "heavily_compressed_attention": 128,
}


def compression_ratios(config: Config, n_layer: int) -> list[int]:
    """Tokens of a compressed row, of each layer; none where a file has no compressed rows."""
    ratios = config.get("compress_ratios")
    names = config.get("layer_types")
    if not ratios and config.get("compress_rates") and isinstance(names, list):
        ratios = [COMPRESSION_NAMES.get(str(name), 0) for name in names]
    if not ratios:
        return []
    if not isinstance(ratios, list) or len(ratios) < n_layer:
        raise InputError(f"compress_ratios {quoted(ratios)}: not a ratio for each layer")
    for ratio in ratios[:n_layer]:
        if ratio not in (0, 4, 128):
            raise InputError(
                f"compress_ratios {quoted(ratio)}: rows of so many tokens, not modelled"
            )
    return ratios[:n_layer]


def compressed_parameters(
    config: Config, n_head: int, dim: int, indexer: Indexer | None, ratio: int
) -> int | None:
    """Of one layer (transformers 5.24): queries by way of a latent, K = V, an output in groups by
    way of a latent, and the compressor.
    """
    sizes = known_counts(config, "hidden q_lora_rank o_lora_rank o_groups")
    if sizes is None or 0 in sizes.values():
        return None
    hidden = sizes["hidden"]
    rank = sizes["q_lora_rank"]
    output_rank = sizes["o_lora_rank"]
    queries = hidden * rank + rank + rank * n_head * dim
    keys = hidden * dim + dim
    outputs = output_rank * n_head * dim + sizes["o_groups"] * output_rank * hidden
    total = queries + keys + outputs + n_head  # of these one each, its sink
    if indexer:  # rows overlap, its own likewise: twice the widths, and 8 places and a norm
        width = indexer.dim_head
        compressor = (4 * hidden + 9) * dim
        index_compressor = (4 * hidden + 9) * width
        index_queries = rank * indexer.n_head * width + hidden * indexer.n_head
        return total + compressor + index_compressor + index_queries
    return total + (2 * hidden + 129) * dim if ratio else total


def compressed_mixer(config: Config, ratio: int) -> Mixer:
    """DeepSeek-V4's layer of a ratio."""
    n_head = count_at(config, "n_head")
    dim = count_at(config, "dim_head")
    indexer = None
    if ratio == 4:
        heads = count_at(config, "index_n_heads")
        topk = count_at(config, "index_topk")
        indexer = latent_indexer(heads, count_at(config, "index_head_dim"), topk)
    return CompressedAttention(
        n_head=n_head,
        dim_qk=dim,
        qk_rope_head_dim=count_at(config, "qk_rope_head_dim"),
        window=count_at(config, "sliding_window", 128),
        ratio=ratio,
        indexer=indexer,
        weights=compressed_parameters(config, n_head, dim, indexer, ratio),
    )


def borrowing_layers(config: Config, n_layer: int) -> Collection[int]:
    """The layers that keep no rows, and read those of an earlier one."""
    shared = count_at(config, "num_kv_shared_layers", 0)
    if shared:  # Gemma 3n and 4
        if shared >= n_layer:
            raise InputError(f"num_kv_shared_layers {shared} of {n_layer} layers")
        return range(n_layer - shared, n_layer)
    if config.get("use_cla"):  # Hunyuan: the first of each few keeps rows for the others
        factor = count_at(config, "cla_share_factor")
        return [i for i in range(n_layer) if i % factor]
    return ()


# -------------------------------------------------------------- published config.json files: states


STATE_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
STATE_DTYPE = Key(f"one of {', '.join(STATE_DTYPES)}", choices=tuple(STATE_DTYPES))


def state_dtype(config: Config) -> str:
    """What a file says of its states' precision; fp32 where it says nothing."""
    for key in ("mamba_ssm_dtype", "mamba_ssm_cache_dtype", "state_dtype"):
        if config.get(key) is not None:
            with blamed_on(key):
                return STATE_DTYPES[STATE_DTYPE.checked(config[key])]
    return "fp32"


def gated_delta_net(config: Config) -> StateMixer:
    """Qwen3-Next, Olmo-Hybrid (arXiv:2412.06464)."""
    heads = count_at(config, "v_heads")
    dim_k = count_at(config, "k_width")
    dim_v = count_at(config, "v_width")
    keys = count_at(config, "k_heads") * dim_k
    values = heads * dim_v
    width = count_at(config, "conv_width")
    channels = 2 * keys + values
    return StateMixer(
        n_head=heads,
        dim_k=dim_k,
        dim_v=dim_v,
        conv_channels=channels,
        conv_width=width,
        rule="delta",
        weights=(
            2 * keys + 3 * values + 2 * heads,
            width * channels + 2 * heads + dim_v,
        ),
    )


def kda_mixer(heads: int, dim: int, conv_width: int, gates: tuple[int, int]) -> StateMixer:
    """Kimi delta attention (arXiv:2510.26692): a convolution each of queries, keys and values. The
    weights of its gates come for each element of the hidden size, and others.
    """
    all_heads = heads * dim
    for_each, others = gates
    convolutions = 3 * conv_width * all_heads
    return StateMixer(
        n_head=heads,
        dim_k=dim,
        dim_v=dim,
        conv_channels=3 * all_heads,
        conv_width=conv_width,
        rule="delta",
        weights=(
            4 * all_heads + heads + for_each,
            convolutions + all_heads + heads + dim + others,
        ),
    )


def kimi_delta(config: Config) -> StateMixer:
    """Kimi-Linear's: two gates by way of a latent as wide as a head."""
    inner = config.get("linear_attn_config")
    heads_at = ("num_heads", "head_dim", "short_conv_kernel_size")
    if isinstance(inner, dict):
        heads, dim, width = [count_at(inner, key) for key in heads_at]
    else:
        heads = count_at(config, "kda_heads")
        dim = count_at(config, "kda_width")
        width = count_at(config, "conv_width")
    return kda_mixer(heads, dim, width, gates=(2 * dim, 2 * dim * heads * dim))


def lightning_attention(config: Config) -> StateMixer:
    """MiniMax-Text-01 (arXiv:2501.08313)."""
    heads = count_at(config, "n_head")
    dim = count_at(config, "dim_head", 0) or count_at(config, "hidden") // heads
    return StateMixer(
        n_head=heads,
        dim_k=dim,
        dim_v=dim,
        conv_channels=0,
        conv_width=1,
        rule="additive",
        weights=(5 * heads * dim, heads * dim),
    )


def bailing_mixer(config: Config) -> StateMixer:
    """Kimi's, where there is a short convolution (V3), else lightning attention (V2.5)."""
    if not config.get("short_conv_kernel_size"):
        return lightning_attention(config)
    heads = count_at(config, "kda_heads", count_at(config, "n_head"))
    dim = count_at(config, "kda_width", count_at(config, "dim_head"))
    width = count_at(config, "short_conv_kernel_size")
    return kda_mixer(heads, dim, width, gates=(2 * heads * dim, 0))


def mamba_2(config: Config) -> StateMixer:
    """State space duality (arXiv:2405.21060)."""
    heads = count_at(config, "mamba_heads")
    inner = count_at(config, "mamba_d_ssm", 0)
    if not inner:
        inner = count_at(config, "mamba_expand", 2) * count_at(config, "hidden")
    width = count_at(config, "mamba_width", 0) or inner // heads
    states = count_at(config, "mamba_state")
    groups = count_at(config, "mamba_groups")
    values = heads * width
    channels = values + 2 * groups * states
    conv_width = count_at(config, "conv_width")
    norm = 0 if config.get("mamba_rms_norm") is False else values
    return StateMixer(
        n_head=heads,
        dim_k=states,
        dim_v=width,
        conv_channels=channels,
        conv_width=conv_width,
        rule="additive",
        groups=groups,
        chunk=count_at(config, "mamba_chunk", 256),
        weights=(
            2 * values + channels + heads,
            (conv_width + 1) * channels + 3 * heads + norm,
        ),
    )


def mamba_1(config: Config) -> StateMixer:
    """Selective state spaces (arXiv:2312.00752)."""
    hidden = count_at(config, "hidden")
    inner = count_at(config, "mamba_expand") * hidden
    states = count_at(config, "mamba_state")
    conv_width = count_at(config, "conv_width")
    rank = ceil_div(hidden, 16)
    if config.get("mamba_dt_rank") != "auto":
        rank = count_at(config, "mamba_dt_rank", rank)
    projections = inner * (rank + 2 * states) + rank * inner
    norms = rank + 2 * states  # Jamba's
    return StateMixer(
        n_head=inner,
        dim_k=states,
        dim_v=1,
        conv_channels=inner,
        conv_width=conv_width,
        rule="selective",
        weights=(
            3 * inner,
            (conv_width + 1) * inner + projections + 2 * inner + inner * states + norms,
        ),
    )


def rg_lru(config: Config) -> StateMixer:
    """Griffin's recurrent unit (arXiv:2402.19427)."""
    width = count_at(config, "lru_width", count_at(config, "hidden"))
    conv_width = count_at(config, "conv_width")
    gates = 2 * (width * width // count_at(config, "n_head") + width) + width
    return StateMixer(
        n_head=width,
        dim_k=1,
        dim_v=1,
        conv_channels=width,
        conv_width=conv_width,
        rule="recurrent",
        weights=(3 * width + 1, 2 * width + (conv_width + 1) * width + gates),
    )


def short_convolution(config: Config) -> StateMixer:
    """LFM2: gates and a convolution, no state."""
    hidden = count_at(config, "hidden")
    width = count_at(config, "conv_width")
    if width < 2:
        raise InputError(f"a convolution over {width} token keeps nothing")
    return StateMixer(
        n_head=0,
        dim_k=0,
        dim_v=0,
        conv_channels=hidden,
        conv_width=width,
        rule="none",
        weights=(4 * hidden + width, 0),
    )


STATE_FAMILIES: dict[str, Callable[[Config], StateMixer]] = {
    "gdn": gated_delta_net,
    "kda": kimi_delta,
    "bailing": bailing_mixer,
    "mamba2": mamba_2,
    "mamba1": mamba_1,
    "lightning": lightning_attention,
    "rg_lru": rg_lru,
    "convolution": short_convolution,
}


# ----------------------------------------------------------- published config.json files: the model


def layer_mixers(config: Config, kind: str, known: Type, i: int) -> list[Mixer]:
    """The mixers of layer i: attention, a state, both, or none that is known."""
    family = STATE_FAMILIES.get(known.get("states", ""))
    mixers: list[Mixer] = []
    if kind in ("full", "windowed"):
        seen = of_layer(config, kind, i)
        attention = layer_mixer(seen, kind, known)
        mixers.append(attention)
        latent = isinstance(attention, LatentAttention)
        indexer = indexer_of(config, latent) if kind == "full" else None
        if indexer and is_indexed(config, i):
            owner = owns_indexer(config, i) if latent else True
            mixers = [IndexedAttention(attention, indexer, owner)]
    if family and (kind == "state" or (kind == "full" and "beside" in known)):
        state = family(config)._replace(state_dtype=state_dtype(config), beside=bool(mixers))
        mixers.append(state)
    return mixers


def counted_layers(config: Config, known: Type, kinds: Sequence[str]) -> tuple[Layers, ...]:
    """The layers with a mixer, those with the same together, by their kinds' names."""
    counts = collections.Counter[Mixer]()
    ratios = compression_ratios(config, len(kinds))
    if ratios:
        for ratio in ratios:
            counts[compressed_mixer(config, ratio)] += 1
        kinds = ()
    borrowing = borrowing_layers(config, len(kinds))
    for i, kind in enumerate(kinds):
        for mixer in layer_mixers(config, kind, known, i):
            if i in borrowing and isinstance(mixer, GroupedAttention):
                mixer = mixer._replace(borrows=True)  # noqa: PLW2901
            counts[mixer] += 1
    layers = [Layers(n_layer, mixer) for mixer, n_layer in counts.items()]
    return tuple(sorted(layers, key=lambda kind: kind.mixer.kind))


def expert_counts(config: Config) -> Mapping[str, int] | None:
    """How many experts there are and how many a token uses; empty without any, None where it is
    not known.
    """
    experts = known_count(config, "n_expert")
    active = known_count(config, "n_active")
    if experts is None or active is None:
        return None
    mixture = experts > 1 and 0 < active <= experts
    return {"n_expert": experts, "n_expert_active": active} if mixture else {}


def mixer_parameters(layers: Sequence[Layers], hidden: int) -> int | None:
    """Of all mixers; None where some are not known."""
    total = 0
    for n_layer, mixer in layers:
        parameters = mixer.parameters(hidden)
        if parameters is None:
            return None
        total += n_layer * parameters
    return total


EXPERTS_IN = {
    "sparse": True,
    "dense": False,
    "moe": True,
    "hash_moe": True,
    1: True,
    0: False,
}  # a layer, by what lists say


def listed_experts(words: Sequence[Any]) -> int | None:
    """How many layers have experts, by a word or a number for each; None: one is not known."""
    known = all(isinstance(word, (str, int)) and word in EXPERTS_IN for word in words)
    return [EXPERTS_IN[word] for word in words].count(True) if known else None


def layers_with_experts(config: Config, n_layer: int) -> int | None:
    """How many layers have experts, where any has: a list says it, or else a step from some layer
    on. None: said in a way that is not known.
    """
    for key in ("mlp_layer_types", "moe_layer_freq"):
        if isinstance(config.get(key), list):
            return listed_experts(config[key][:n_layer])
    sizes = known_counts(config, "expert_layer_period expert_layer_offset n_dense sparse_step")
    dense = config.get("mlp_only_layers") or []
    if sizes is None or not isinstance(dense, list):
        return None
    period = sizes["expert_layer_period"]
    if period:  # Jamba
        offset = sizes["expert_layer_offset"]
        return len([i for i in range(n_layer) if i % period == offset])
    step = max(sizes["sparse_step"], 1)
    sparse = [i for i in range(sizes["n_dense"], n_layer) if (i + 1) % step == 0]
    return len([i for i in sparse if i not in dense])


class Mlps(NamedTuple):
    """The MLPs of a model: how many layers have a dense one, how many experts, and their widths."""

    dense: int
    sparse: int
    width: int
    experts: int
    active: int
    expert_width: int
    shared_width: int


def mlp_layers(config: Config, n_layer: int, experts: int) -> tuple[int, int] | None:
    """How many layers have a dense MLP, and how many have experts; None where it is not known."""
    pattern = config.get("hybrid_override_pattern") or config.get("layers_block_type")
    if not isinstance(pattern, (str, list)):
        pattern = []
    names = [LAYER_KINDS.get(str(name)) for name in pattern]
    if "mlp" in names:  # Nemotron: layers of their own
        sparse = [name for name in pattern if name in ("E", "moe")]
        return names.count("mlp") - len(sparse), len(sparse)
    sparse_layers = layers_with_experts(config, n_layer) if experts > 1 else 0
    if sparse_layers is None:
        return None
    if config.get("enable_moe_block"):  # Gemma 4: both in each layer
        return n_layer, sparse_layers
    return n_layer - sparse_layers, sparse_layers


def is_mixture(config: Config, active: int) -> bool:
    """Whether a file that names no number of experts means some all the same."""
    named = any(config.get(key) is not None for key in NAMES["n_expert"])
    return not named and bool(active or config.get("moe_intermediate_size"))


def published_mlps(config: Config, known: Type, hidden: int, n_layer: int) -> Mlps | None:
    """What a file says of MLPs; None where it does not say enough."""
    sizes = known_counts(config, "n_expert n_active width expert_width n_shared shared_width")
    if sizes is None:
        return None
    experts = sizes["n_expert"]
    layers = mlp_layers(config, n_layer, experts)
    if layers is None or (not experts and is_mixture(config, sizes["n_active"])):
        return None
    dense, sparse = layers
    width = sizes["width"]
    if not width and "mlp" in known:
        width = 4 * hidden
    expert_width = sizes["expert_width"]
    shared_width = sizes["n_shared"] * expert_width
    if not shared_width or config.get("moe_shared_expert_intermediate_size"):  # Nemotron
        shared_width = sizes["shared_width"]
    if (dense and not width) or (sparse and not expert_width):
        return None
    if sparse and not 0 < sizes["n_active"] <= experts:
        return None
    return Mlps(dense, sparse, width, experts, sizes["n_active"], expert_width, shared_width)


def parameter_counts(
    config: Config, known: Type, layers: Sequence[Layers], hidden: int, n_layer: int
) -> dict[str, int]:
    """All and active: embeddings, mixers, MLPs, experts and routers, without norms and biases.
    Nothing where there are weights of other kinds, or not enough is said.
    """
    activation = next((config[key] for key in NAMES["activation"] if config.get(key)), "")
    other = ("hidden_size_per_layer_input", "moe_latent_size")
    if "weights" in known or any(config.get(key) for key in other):
        return {}
    if not activation and "mlp" not in known:
        return {}
    mixers = mixer_parameters(layers, hidden)
    mlps = published_mlps(config, known, hidden, n_layer)
    vocabulary = known_count(config, "vocab_size")
    if mixers is None or mlps is None or not vocabulary:
        return {}
    gated = activation in ("silu", "swiglu") or "gemma" in known["type"]
    matrices = hidden * (3 if gated else 2)  # of an MLP, for each unit of its width
    embeddings = 1 if config.get("tie_word_embeddings", "tied" in known) else 2
    dense = matrices * (mlps.dense * mlps.width + mlps.sparse * mlps.shared_width)
    routers = mlps.sparse * mlps.experts * hidden
    always = embeddings * vocabulary * hidden + mixers + dense + routers
    expert = mlps.sparse * matrices * mlps.expert_width  # one in each layer that has some
    counts = {"params_b": always + mlps.experts * expert}
    if mlps.sparse:
        counts["active_params_b"] = always + mlps.active * expert
    return counts


def whole_figures(
    config: Config, known: Type, layers: Sequence[Layers], kinds: Sequence[str]
) -> dict[str, Any]:
    """Figures of the whole model by the config's keys, as far as they are known."""
    figures: dict[str, Any] = {"n_layer": len(kinds)}
    hidden = known_count(config, "hidden")
    if not hidden:
        return figures
    figures["hidden_size"] = hidden
    experts = expert_counts(config)
    if experts is None:
        return figures
    figures.update(experts)
    if "none" not in kinds and ("states" in known or "state" not in kinds):
        figures.update(parameter_counts(config, known, layers, hidden, len(kinds)))
    return figures


def reading_notes(config: Config, known: Type, layers: Iterable[Layers]) -> Lines:
    """What a user has to know of how a config was read."""
    sparse = [kind for kind in layers if kind.mixer.kind in ("indexed", "compressed")]
    for key in (
        "index_topk",
        "sparse_config",
        "index_topk_blocks",
        "sparse_attention_config",
    ):
        if config.get(key) and not sparse:
            yield f"{key}, sparse attention, is counted as dense"
    window = window_keys(config)
    if window and ignores_windows(known) and not sparse:
        yield f"sliding_window {window}: its class ignores it, some engines do not"
    if known["type"] == "unchecked":
        shapes = []
        for n_layer, mixer in layers:
            heads = f"{mixer.n_head} heads, {mixer.n_kv_head} K/V"
            shapes.append(f"{n_layer} {mixer.kind}, {heads}")
        model_type = quoted(config.get("model_type"))
        yield f"model_type {model_type} was not checked: read as {' + '.join(shapes)}"


def published_model(document: object, name: str | None, source: str) -> Model:
    """The model that a published config describes; InputError for what is not known to be read
    right.
    """
    scope = text_scope(document)
    known = checked_type(scope.get("model_type"))
    config = with_defaults(scope, known["type"])
    refuse_unmodelled(config, known)
    kinds = layer_kinds(config, known)
    layers = counted_layers(config, known, kinds)
    if known["type"] == "longcat_flash":  # two latent attentions in each layer
        layers = tuple([Layers(2 * n_layer, mixer) for n_layer, mixer in layers])
    figures = whole_figures(config, known, layers, kinds)
    unknown_states = 0 if "states" in known else kinds.count("state")
    return Model(
        name=name,
        n_layer=len(kinds),
        layers=layers,
        params=read_parameters(figures),
        figures=figures,
        source=source,
        published=True,
        n_layer_idle=kinds.count("none") + unknown_states,
        notes=tuple(reading_notes(config, known, layers)),
    )


# ------------------------------------------------------------------------------------------ by name


class ConfigFile(NamedTuple):
    """A config of ours: a GPU and a model by their figures."""

    sections: Values
    source: str

    def gpu(self) -> GPU:
        with blamed_on(f"{self.source}:"):
            return made_gpu(read_section(self.sections.get("GPU", {}), "GPU"), self.source)

    def model(self) -> Model:
        section = self.sections.get("Model", {})
        with blamed_on(f"{self.source}:"):
            if isinstance(section, dict) and "model_type" in section:
                with blamed_on("Model"):
                    return published_model(section, None, self.source)
            return made_model(read_section(self.sections.get("Model", {}), "Model"), self.source)


def read_config(path: str | None) -> ConfigFile:
    """A config file; without one, the script's own."""
    folder = os.path.dirname(__file__)  # none where the script came through standard input
    beside = os.path.join(folder, "config.json")
    if path is not None:
        with blamed_on("--config"):
            document = read_json(path)
        source = source_name(path)
    elif folder and os.path.lexists(beside):
        document = read_json(beside)
        source = "config.json"
    else:
        gpu = {
            "model": "A100",
            **catalogue(GPUS)["A100"],
        }  # the user's own, as is this model
        document = {"GPU": gpu, "Model": {"n_layer": 96, "n_head": 96, "dim_head": 128}}
        source = "built-in config"
    with blamed_on(f"{source}:"):
        return ConfigFile(checked_object(document, CONFIG_KEYS, "it"), source)


@functools.cache
def published_models() -> Mapping[str, Values]:
    models: dict[str, Values] = json.loads(PUBLISHED)
    return models


def known_models() -> Mapping[str, Values]:
    """The models of the catalogue: by our keys, or by published ones."""
    return {**catalogue(MODELS), **published_models()}


def catalogue_row(name: str, known: Mapping[str, Values], flag: str) -> tuple[str, dict[str, Any]]:
    """The name that is meant, or that alone begins so, and its row."""
    wanted = squashed(name)
    beginning = [row for row in known if wanted and squashed(row).startswith(wanted)]
    same = [row for row in beginning if squashed(row) == wanted]
    meant = same if same else beginning
    if len(meant) == 1:
        return meant[0], dict(known[meant[0]])
    if meant:
        raise InputError(f"--{flag} {quoted(name)} could be {', '.join(meant)}")
    hint = did_you_mean(name, known) or f"; --list-{flag}s lists the known ones"
    raise InputError(f"--{flag} {quoted(name)} is not in the catalogue{hint}")


def find_gpu(name: str) -> GPU:
    """A GPU of the catalogue, with the constants of its architecture."""
    name, row = catalogue_row(name, catalogue(GPUS), "gpu")
    architecture = row.pop("architecture", None)
    constants = catalogue(ARCHITECTURES)[architecture] if architecture else {}
    section = {"model": name, **row, **constants}
    return made_gpu(read_section(section, "GPU", complete=False), "catalogue")


def read_published(file: str) -> Model:
    """The model of a published config.json, with its folder's name, or of another file, with its
    own.
    """
    with blamed_on("--model"):
        document = read_json(file)
    source = source_name(file)
    folder, name = os.path.split(os.path.abspath(file))
    name = os.path.basename(folder) if name == "config.json" else name.removesuffix(".json")
    with blamed_on(f"--model {source}:"):
        return published_model(document, source_name(name), source)


def find_model(name: str) -> Model:
    """A model of the catalogue, or of a published config.json: the file, or the folder that holds
    it.
    """
    path_like = os.sep in name or name.endswith(".json") or name == "-"
    known = known_models()
    in_catalogue = squashed(name) in map(squashed, known)
    if not path_like and (in_catalogue or not os.path.lexists(name)):
        name, row = catalogue_row(name, known, "model")
        weights = row.pop("weights", None)
        if "model_type" in row:
            return published_model(row, name, "catalogue")._replace(weight_dtype=weights)
        return made_model(read_section(row, "Model"), "catalogue", name, weights)
    if name.count("/") == 1 and not os.path.lexists(name) and not name.endswith(".json"):
        where = f"its config.json is at huggingface.co/{source_name(name)}"
        raise InputError(f"--model {quoted(name)}: No such file or directory; {where}")
    return read_published(os.path.join(name, "config.json") if os.path.isdir(name) else name)


def listed_names(names: str, known: Iterable[str]) -> Iterator[str]:
    """Names between commas, `all` as those of the catalogue."""
    for name in names.split(","):
        if name == "all":
            yield from known
        else:
            yield name


def read_named(
    names: str,
    known: Iterable[str],
    find: Callable[[str], Any],
    of_config: Callable[[], Any],
) -> list[Any]:
    """GPUs or models by name, or the config's own, which is read only for that."""
    return [of_config() if name == "config" else find(name) for name in listed_names(names, known)]


# --------------------------------------------------------------------------------------- cost model


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
    """The sum of records, field by field, each so many times; sum() would round floats differently
    from Python 3.12 on.
    """
    count, record = parts[0]
    totals: list[Any] = [count * value for value in record]
    for count, record in parts[1:]:
        totals = [total + count * value for total, value in zip(totals, record)]
    return type(record)(*totals)


class Exchange(NamedTuple):
    """What the GPUs send each other at one point of a layer."""

    name: str
    precision: str
    # Unfused, the whole tensor over all GPUs; of an all-reduce, the tensor that each GPU has; else
    # what the busiest GPU receives.
    bytes: float
    directions: int = 1  # of the link that it uses at once: 2 in the worked example
    reduces: bool = False


class Layer(NamedTuple):
    """One layer of a kind, in the form that needs fewest FLOPs."""

    mixer: Mixer
    n_layer: int  # of its kind
    form: Form
    share: Shares
    kernels: Sequence[tuple[KernelShare, Terms]]
    exchanges: Sequence[tuple[Exchange, float]]  # with the seconds of each
    counts: Counts
    terms: Terms


class Memory(NamedTuple):
    """The KV cache, and whether it fits."""

    kv_bytes_per_token: float  # of every layer, while no window is full
    kv_bytes_per_token_beyond_windows: float  # of the layers without a window
    cache_bytes: int  # all that is kept
    state_bytes: int  # of that states, rows of convolutions and compressors
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


# Bytes of an all-reduce above which serving frameworks change to a library with a longer start.
LIBRARY_REDUCE_BYTES = 2**24
# Products with weights, fitted to measured ones (README, "The rest of the step"): what a kernel
# costs, and the parts of the peak in 16 bits and more, of the peak below, and of the bandwidth.
GEMM_LAUNCH_S = 10e-6
GEMM_EFFICIENCY = 0.75
NARROW_GEMM_EFFICIENCY = 0.6
GEMM_BANDWIDTH_EFFICIENCY = 0.88


def required_figure(gpu: GPU, flag: str, name: str, known: Mapping[str, float]) -> float:
    """A GPU's figure for what a flag names; InputError if it has none."""
    if name in known:
        return known[name]
    has = f" (it has {', '.join(known)})" if known else ""
    for other, row in catalogue(GPUS).items():
        if name in row and squashed(other).startswith(squashed(gpu.name)):
            has = f"{has}; {other} has one"
            break
    raise InputError(f"--{flag} {name}: {gpu.name} has no figure for it{has}")


def uneven_heads(model: Model) -> str:
    """The heads of a model, and numbers of GPUs that share them evenly."""
    mixers = [layers.mixer for layers in model.layers]
    heads = " and ".join([f"{mixer.n_head} heads, {mixer.n_kv_head} K/V" for mixer in mixers])
    counts = [str(n) for n in range(1, 257) if model.divides(n)]
    such = f"such as --ngpu {', '.join(counts[:12])}; --split seq takes any number"
    return f"{heads} evenly ({such})"


def check_case(gpu: GPU, model: Model, work: Workload) -> None:
    """InputError for what cannot be: more new tokens than keys, GPUs that cannot share the work, a
    missing figure.
    """
    if work.query > work.seq:
        raise InputError(f"--query {work.query} must be at most --seq {work.seq}")
    most = gpu.figures.get("nvlink_gpus", work.ngpu)
    if work.link == "nvlink" and work.ngpu > most:
        raise InputError(f"--link nvlink joins at most {most} GPUs of {gpu.name}: {work.ngpu}")
    if work.split == "head" and not model.divides(work.ngpu):
        raise InputError(f"--split head: {work.ngpu} GPUs do not share {uneven_heads(model)}")
    for layers in model.layers:
        if not work.fused and not layers.mixer.unfused:
            raise InputError(f"--fused False: {layers.mixer.kind} layers run fused alone")
    required_figure(gpu, "dtype", work.dtype, gpu.peaks)
    if work.ngpu > 1:
        required_figure(gpu, "link", work.link, gpu.links)


def keys_travelling(
    form: Form, work: Workload, reduced: Sequence[Exchange]
) -> tuple[Shares, Sequence[Exchange]]:
    """Where GPUs split the keys of a fused layer: queries go round and return with partial outputs,
    or keys and values go round: pass-Q and pass-KV (arXiv:2411.01783), whichever is less.
    """
    n = work.ngpu
    part = 1 / n
    exchanges = []
    if form.candidate_bytes:
        exchanges.append(Exchange("candidates", "fp32", (n - 1) * form.candidate_bytes))
    query_bytes = (n - 1) * form.query_bits / (8 * n)
    key_bytes = (n - 1) * (form.key_bits or 0) / (8 * n)
    if query_bytes <= key_bytes:
        exchanges.append(Exchange("queries", work.dtype, query_bytes))
        return Shares(heads=part, kv=part, common=part), [*exchanges, *reduced]
    exchanges.append(Exchange("keys and values", work.kv_dtype, key_bytes))
    return Shares(heads=part, rows=part, common=part), [*exchanges, *reduced]


def shared_out(form: Form, work: Workload, output: Exchange) -> tuple[Shares, Sequence[Exchange]]:
    """The busiest GPU's part of a layer, and what several GPUs send each other for it, in its
    order.
    """
    n = work.ngpu
    part = 1 / n
    if n == 1 or work.split == "batch":
        part = math.ceil(work.batch / n) / work.batch
        return Shares(heads=part, kv=part, kv_heads=part, rows=part, common=part), []
    reduced = [output] if form.reduces else []
    if form.key_bits is None:  # states: whole copies where heads do not divide
        part = 1 if form.shape.n_head % n else part
        return Shares(heads=part, kv=part, kv_heads=part, rows=part), reduced
    if work.split == "head":
        kv_part = max(part, 1 / form.shape.n_kv_head)
        return Shares(heads=part, kv=kv_part, kv_heads=kv_part, rows=part), reduced
    if not work.fused:  # as in the worked example
        scores = Exchange("scores", work.dtype, form.operands.s_bytes, directions=2)
        values = Exchange("values", work.dtype, form.operands.a_bytes, directions=2)
        return Shares(heads=part, kv=part, common=part), [scores, values]
    return keys_travelling(form, work, reduced)


def exchange_bound(exchange: Exchange, rate: float) -> float:
    """Seconds at the link's full rate; an all-reduce sends its tensor once, as where switches add."""
    return exchange.bytes / (rate / 2 * exchange.directions)


def all_reduce_estimate(exchange: Exchange, n: int, rate: float, constants: LinkConstants) -> float:
    """Over the scale-up link an all-reduce is one-shot (each GPU sends all of it to every other)
    or two-shot (reduce-scatter and all-gather), whichever is shorter, and above 16 MiB another
    library's; over PCIe it goes round a ring.
    """
    sent_s = exchange_bound(exchange, rate)
    ring_s = 2 * (n - 1) / n * sent_s / constants.efficiency
    if constants.two_shot_s is None or constants.library_s is None:  # PCIe's
        return constants.latency_s + constants.hop_s * (2 * (n - 1)) + ring_s
    if exchange.bytes > LIBRARY_REDUCE_BYTES:
        return constants.library_s + ring_s
    latency_s = constants.latency_s + constants.hop_s * math.log2(n)
    one_shot_s = (n - 1) * sent_s / constants.efficiency
    return latency_s + min(one_shot_s, constants.two_shot_s + ring_s)


def exchange_estimate(exchange: Exchange, n: int, rate: float, constants: LinkConstants) -> float:
    """Seconds at the part of the link's bytes/s that measured exchanges reach."""
    if exchange.reduces:
        return all_reduce_estimate(exchange, n, rate, constants)
    latency_s = constants.latency_s + constants.hop_s * math.log2(n)
    return latency_s + exchange_bound(exchange, rate) / constants.efficiency


def cheapest_form(mixer: Mixer, work: Workload) -> Form:
    """Of the forms in which kernels may compute a layer, that of fewest FLOPs; of equal ones the
    first.
    """
    return min(mixer.forms(work), key=lambda form: form.flops)


def layer_counts(
    form: Form, kernels: Sequence[KernelShare], exchanges: Sequence[Exchange]
) -> Counts:
    moved_bytes = 0
    kv_read_bytes = 0
    for kernel in form.kernels:
        for traffic in kernel.traffic:
            moved_bytes += traffic.bytes
            if traffic.shared_as in ("kv", "common"):
                kv_read_bytes += traffic.bytes
    return Counts(
        flops=form.flops,
        bytes=moved_bytes,
        kv_read_bytes=kv_read_bytes,
        exchange_bytes=math.fsum([sent.bytes for sent in exchanges if not sent.reduces]),
        reduce_bytes=sum([int(sent.bytes) for sent in exchanges if sent.reduces]),
        gpu_flops=math.fsum([kernel.flops for kernel in kernels]),
        gpu_bytes=math.fsum([kernel.bytes for kernel in kernels]),
    )


def estimated(kernel: Kernel, shared: KernelShare, bound: Terms, rates: Rates) -> Terms:
    return kernel.estimate(shared, rates)._replace(bound_s=bound.bound_s)


def kernel_peak(kernel: Kernel, gpu: GPU, work: Workload) -> float:
    """FLOP/s in the precision in which a kernel computes."""
    peak = gpu.peaks[work.dtype]
    return max(peak, gpu.peaks.get("fp8", peak)) if kernel.narrow else peak


def layer_bound(form: Form, kernel_terms: Sequence[Terms], exchange_s: Sequence[float]) -> float:
    """Seconds: the kernels' one after the other, or where one could do it all as one, if exchanges
    do not take longer.
    """
    kernels_s = math.fsum([terms.bound_s for terms in kernel_terms])
    if form.bound_as_one:
        compute_s = math.fsum([terms.compute_s for terms in kernel_terms])
        memory_s = math.fsum([terms.memory_s for terms in kernel_terms])
        kernels_s = max(compute_s, memory_s)
    return max(kernels_s, math.fsum(exchange_s))


def analyse_layer(
    layers: Layers, gpu: GPU, work: Workload, output: Exchange, estimates: bool
) -> Layer:
    """One layer, by the bound or by the estimate."""
    form = cheapest_form(layers.mixer, work)
    share, exchanges = shared_out(form, work, output)
    kernels = [shared_kernel(kernel, share) for kernel in form.kernels]
    peaks = [kernel_peak(kernel, gpu, work) for kernel in form.kernels]
    rate = gpu.links.get(work.link, math.inf)  # one GPU needs no link, and exchanges nothing
    kernel_terms = [
        kernel_bound(kernel, peak, gpu.bandwidth) for kernel, peak in zip(kernels, peaks)
    ]
    exchange_s = [exchange_bound(exchange, rate) for exchange in exchanges]
    bound_s = layer_bound(form, kernel_terms, exchange_s)
    if estimates and gpu.kernel_constants:
        kernel_terms = [
            estimated(kernel, shared, bound, Rates(peak, gpu.bandwidth, gpu.kernel_constants))
            for kernel, shared, bound, peak in zip(form.kernels, kernels, kernel_terms, peaks)
        ]
        exchange_s = [
            exchange_estimate(exchange, work.ngpu, rate, gpu.link_constants[work.link])
            for exchange in exchanges
        ]
    terms = summed([(1, kernel) for kernel in kernel_terms])
    sync_s = math.fsum(exchange_s)
    total_s = max(bound_s, terms.total_s + sync_s) if estimates else bound_s
    return Layer(
        mixer=layers.mixer,
        n_layer=layers.n_layer,
        form=form,
        share=share,
        kernels=list(zip(kernels, kernel_terms)),
        exchanges=list(zip(exchanges, exchange_s)),
        counts=layer_counts(form, kernels, exchanges),
        terms=terms._replace(sync_s=sync_s, total_s=total_s, bound_s=bound_s),
    )


class CacheGrowth(NamedTuple):
    """How rows grow on the GPU that holds most of them: those of a kind of layers."""

    most_tokens: int  # after which there are no more
    tokens: int  # that share a row
    row_bits: int


def grown_bits(growth: Sequence[CacheGrowth], tokens: int) -> int:
    rows = [min(tokens, part.most_tokens) // part.tokens * part.row_bits for part in growth]
    return sum(rows)


def longest_shared_rows(growth: Sequence[CacheGrowth], budget_bits: int) -> int:
    """The most tokens, of which some rows never stop growing."""
    shortest = 0
    longest = MAX_COUNT
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        if grown_bits(growth, middle) <= budget_bits:
            shortest = middle
        else:
            longest = middle - 1
    return shortest


def longest_rows(growth: Sequence[CacheGrowth], budget_bits: int) -> int | None:
    """The most tokens whose rows fit into the budget; None if windows bound them for any number.

    Shorter windows fill first; a full one has its whole size, and grows no more. Where several
    tokens share a row, by bisection.
    """
    if any(part.tokens > 1 for part in growth):
        return longest_shared_rows(growth, budget_bits)
    growing_bits = sum([part.row_bits for part in growth])
    for part in sorted(growth):
        if budget_bits // growing_bits < part.most_tokens:
            return budget_bits // growing_bits
        budget_bits -= part.most_tokens * part.row_bits
        growing_bits -= part.row_bits
    return None


class CacheBits(NamedTuple):
    """What the cache of a sequence takes."""

    token: float  # for each token while no window is full
    lasting_token: float  # in layers without a window
    whole: int
    states: int  # of that, whatever the length
    gpu: int  # on a GPU; where keys are split, on all together
    gpu_states: int
    gpu_growth: list[CacheGrowth]  # of that the rest


def cache_bits(model: Model, work: Workload) -> CacheBits:
    """Of a sequence in all layers. In generation the new row is still on chip."""
    token = 0.0
    lasting_token = 0.0
    whole = 0
    states = 0
    gpu = 0
    gpu_states = 0
    growth = []
    for n_layer, mixer in model.layers:
        for part in mixer.kept(work):
            bits = n_layer * part.bits
            gpu_bits = n_layer * part.gpu_bits(work.ngpu, work.split)
            if part.grows:
                most_tokens = part.most_rows * part.tokens - work.rows_on_chip
                length = min(work.seq - work.rows_on_chip, most_tokens)
                rows = length // part.tokens
                token += bits / part.tokens
                if part.most_rows == MAX_COUNT:
                    lasting_token += bits / part.tokens
                growth.append(CacheGrowth(most_tokens, part.tokens, gpu_bits))
            else:
                rows = 1
                states += bits
                gpu_states += gpu_bits
            whole += rows * bits
            gpu += rows * gpu_bits
    return CacheBits(token, lasting_token, whole, states, gpu, gpu_states, growth)


def analyse_memory(gpu: GPU, model: Model, work: Workload) -> Memory:
    """What the cache takes in all, and with the weights (spread evenly) of each GPU's memory."""
    n = work.ngpu
    sequences = math.ceil(work.batch / n) if work.split == "batch" else work.batch  # of the busiest
    key_parts = n if work.split == "seq" else 1
    bits = cache_bits(model, work)
    cache_bytes = ceil_div(work.batch * bits.whole, 8)
    gpu_part = 0.0
    if bits.whole:
        gpu_part = sequences * bits.gpu / (work.batch * bits.whole * key_parts)
    weight_bits = model.params.total * BITS[work.weight_dtype] if model.params else 0.0
    # Where keys are split, all GPUs together hold each sequence; else each GPU holds its own.
    free_bits = int((gpu.memory * 8 * n - weight_bits) / (n // key_parts))
    max_batch = None
    if free_bits < 0:
        max_batch = 0
    elif bits.gpu:
        max_batch = free_bits // bits.gpu * (n if work.split == "batch" else 1)
    max_rows = longest_rows(bits.gpu_growth, free_bits // sequences - bits.gpu_states)
    max_seq = None if max_rows is None else max(0, max_rows + work.rows_on_chip)
    if sequences * bits.gpu_states > free_bits:
        max_seq = 0
    return Memory(
        kv_bytes_per_token=bits.token / 8,
        kv_bytes_per_token_beyond_windows=bits.lasting_token / 8,
        cache_bytes=cache_bytes,
        state_bytes=ceil_div(work.batch * bits.states, 8),
        gpu_cache_bytes=cache_bytes * gpu_part,
        gpu_weight_bytes=weight_bits / 8 / n if model.params else None,
        fits=sequences * bits.gpu <= free_bits,
        max_batch=max_batch,
        max_seq=max_seq,
    )


class WeightWork(NamedTuple):
    """What the rest of a step computes and reads: each token computes with the active parameters,
    each weight that some token uses is read once, the experts of a token are chosen evenly.
    """

    compute: float  # FLOP/s of a GPU: the weights' precision's, where it has one
    narrow: bool  # whether that is below 16 bits
    always_flops: float
    always_bytes: float
    expert_flops: float
    expert_bytes: float


def weight_work(params: Parameters, gpu: GPU, work: Workload) -> WeightWork:
    gemm_dtype = work.weight_dtype if work.weight_dtype in gpu.peaks else work.dtype
    weight_bytes = BITS[work.weight_dtype] / 8
    always = params.total - params.routed
    # The chance that no token chooses an expert.
    unused_part = (1 - params.active_part) ** work.new_tokens
    return WeightWork(
        compute=gpu.peaks[gemm_dtype],
        narrow=BITS[gemm_dtype] < 16,
        always_flops=2 * always * work.new_tokens,
        always_bytes=always * weight_bytes,
        expert_flops=2 * (params.active - always) * work.new_tokens,
        expert_bytes=params.routed * (1 - unused_part) * weight_bytes,
    )


def rest_bound(model: Model, gpu: GPU, work: Workload, output: Exchange) -> float | None:
    """The least seconds of everything but attention; each layer has a second all-reduce, after its
    MLP.
    """
    if model.params is None:
        return None
    weights = weight_work(model.params, gpu, work)
    n = work.ngpu
    flops = 2 * model.params.active * work.new_tokens
    compute_s = flops / (weights.compute * n)
    memory_s = (weights.always_bytes + weights.expert_bytes) / (gpu.bandwidth * n)
    reduce_s = model.n_layer * exchange_bound(output, gpu.links[work.link]) if n > 1 else 0.0
    return max(compute_s, memory_s, reduce_s)


def rest_estimate(model: Model, gpu: GPU, work: Workload, output: Exchange) -> float | None:
    """Seconds of everything but attention, fitted to measured matrix products and experts (README,
    "The rest of the step").
    """
    if model.params is None:
        return None
    weights = weight_work(model.params, gpu, work)
    efficiency = NARROW_GEMM_EFFICIENCY if weights.narrow else GEMM_EFFICIENCY
    compute = weights.compute * efficiency
    memory = gpu.bandwidth * GEMM_BANDWIDTH_EFFICIENCY
    always_s = max(weights.always_flops / compute, weights.always_bytes / memory)
    experts_s = weights.expert_flops / compute + weights.expert_bytes / memory
    products = 4 if model.params.routed else 2  # a layer: attention's projections, MLP or experts
    layer_s = products * GEMM_LAUNCH_S
    if work.ngpu > 1:
        rate = gpu.links[work.link]
        layer_s += exchange_estimate(output, work.ngpu, rate, gpu.link_constants[work.link])
    return (always_s + experts_s) / work.ngpu + model.n_layer * layer_s


def output_reduce(model: Model, work: Workload) -> Exchange:
    """The all-reduce of a layer's output, as wide as the hidden size, or if that is unknown as
    what is projected to it.
    """
    hidden = model.figures.get("hidden_size", model.layers[0].mixer.output_width)
    size = stored_bytes(work.new_tokens * hidden, work.output_dtype)
    return Exchange("all-reduce", work.output_dtype, size, reduces=True)


def analyse(gpu: GPU, model: Model, work: Workload, bound_only: bool = False) -> Analysis:
    """The whole answer for one case, as an estimate if the GPU has the constants; InputError for
    what cannot be.
    """
    check_case(gpu, model, work)
    estimates = gpu.has_estimate(work.ngpu, work.link) and not bound_only
    output = output_reduce(model, work)
    layers = [analyse_layer(kind, gpu, work, output, estimates) for kind in model.layers]
    terms = summed([(layer.n_layer, layer.terms) for layer in layers])
    memory = analyse_memory(gpu, model, work)
    if estimates:
        rest_s = rest_estimate(model, gpu, work, output)
    else:
        rest_s = rest_bound(model, gpu, work, output)
    step_s = None if rest_s is None else terms.total_s + rest_s
    return Analysis(
        gpu=gpu,
        model=model,
        work=work,
        basis="estimate" if estimates else "bound",
        layers=tuple(layers),
        counts=summed([(layer.n_layer, layer.counts) for layer in layers]),
        terms=terms,
        rest_s=rest_s,
        step_s=step_s,
        attention_share=terms.total_s / step_s if step_s else None,
        new_tokens=work.new_tokens,
        attention_tokens_per_s=work.new_tokens / terms.total_s if memory.fits else None,
        step_tokens_per_s=work.new_tokens / step_s if step_s and memory.fits else None,
        ridge=gpu.peaks[work.dtype] / gpu.bandwidth,
        memory=memory,
    )


def without_chunks(model: Model) -> Model:
    """A model whose chunks are windows: the most keys that a row of a chunk may see."""
    layers = []
    for n_layer, mixer in model.layers:
        if isinstance(mixer, GroupedAttention) and mixer.mask.chunk:
            windowed = mixer._replace(mask=Mask(window=mixer.mask.chunk))
            layers.append(Layers(n_layer, windowed))
        else:
            layers.append(Layers(n_layer, mixer))
    return model._replace(layers=tuple(layers))


def half_length(case: Analysis) -> int | None:
    """The shortest sequence with which attention takes half of the step, if the rest is known and
    does not grow too.
    """
    rest_s = case.rest_s
    if rest_s is None or case.work.phase == "prefill":
        return None

    model = without_chunks(case.model)  # longer sequences may see fewer keys of a chunk

    def reaches(seq: int) -> bool:
        phase = phase_of(case.work.query, seq, generates=True)
        work = case.work._replace(seq=seq, phase=phase)
        return analyse(case.gpu, model, work, case.basis == "bound").terms.total_s >= rest_s

    shortest = case.work.query
    longest = 2**40
    if not reaches(longest):
        return None
    while shortest < longest:
        middle = (shortest + longest) // 2
        if reaches(middle):
            longest = middle
        else:
            shortest = middle + 1
    return longest


# ---------------------------------------------------------------------------------- what would help


class Change(NamedTuple):
    """A change to a case, and what it brings."""

    flags: str
    what: str
    attention_gain: float  # time per new token before / after
    step_gain: float | None  # None: the rest of the step is unknown
    fits: bool
    after: Analysis

    @property
    def gain(self) -> float:
        """Of the step, where that is known."""
        return self.step_gain if self.step_gain else self.attention_gain


def typed_change(before: Workload, after: Workload) -> str:
    """The flags that make one workload of another."""
    old = before._asdict()
    flags = []
    for name, value in after._asdict().items():
        # --kv-dtype and --weight-dtype default to --dtype: to stay as they are, they must be typed.
        stays = name in ("kv_dtype", "weight_dtype") and before.dtype != after.dtype
        if name == "fused" and value and not before.fused:
            flags.append("--fused")
        elif value != old[name] or stays:
            flags.append(f"--{dashed(name)} {value}")
    return " ".join(flags)


def change_to(case: Analysis, what: str, work: Workload) -> Change | None:
    """The change to another workload, if that can be, and makes something faster by a hundredth or
    fit.
    """
    try:
        after = analyse(case.gpu, case.model, work, case.basis == "bound")
    except InputError:  # more GPUs than a link joins, say
        return None
    tokens = after.new_tokens / case.new_tokens
    before_s = case.terms.total_s
    after_s = after.terms.total_s
    if case.basis != after.basis:  # more GPUs, but no constants of their link
        before_s = case.terms.bound_s
        after_s = after.terms.bound_s
    step_gain = None
    if case.step_s and after.step_s:
        step_gain = case.step_s / after.step_s * tokens
    change = Change(
        flags=typed_change(case.work, work),
        what=what,
        attention_gain=before_s / after_s * tokens,
        step_gain=step_gain,
        fits=after.memory.fits,
        after=after,
    )
    if change.fits and not case.memory.fits:
        return change
    if case.memory.fits and not change.fits:
        return None
    faster = change.attention_gain >= 1.01 or (change.step_gain or 0.0) >= 1.01
    return change if faster else None


def lower_precisions(name: str) -> list[str]:
    """Those below a precision, the next ones first."""
    lower: str = catalogue(PRECISIONS)[name].get("lower", "")
    return lower.split()


def other_values(case: Analysis) -> dict[str, dict[Any, str]]:
    """What the flags of a case could be instead, and what that means."""
    work = case.work
    values: dict[str, dict[Any, str]] = {
        "fused": {True: "one fused kernel", False: "separate kernels"},
        "split": SPLITS if work.ngpu > 1 else {},
        "link": LINKS if work.ngpu > 1 else {},
        "kv_dtype": {},
        "weight_dtype": {},
        "dtype": {},
        "ngpu": {},
        "batch": {2 * work.batch: "twice the batch"},
    }
    for flag, what in (("kv_dtype", "KV cache"), ("weight_dtype", "weights")):
        stored = getattr(work, flag)
        for name in lower_precisions(stored):
            if BITS[name] < BITS[stored]:
                values[flag][name] = f"{name} {what}"
                break
    for name in lower_precisions(work.dtype):
        if name in case.gpu.peaks:
            values["dtype"][name] = f"{name} arithmetic"
            break
    if work.ngpu % 2 == 0:
        values["ngpu"][work.ngpu // 2] = "half the GPUs"
    values["ngpu"][2 * work.ngpu] = "twice the GPUs"
    return values


def default_sharing(gpu: GPU, model: Model, ngpu: int) -> dict[str, str]:
    """How named GPUs share the work where no flag says it."""
    return {
        "split": "head" if model.divides(ngpu) else "seq",
        "link": gpu.joining_link(ngpu),
    }


def changed_work(case: Analysis, flag: str, value: Any) -> Workload:
    """A workload with another value; a link or split that the number of GPUs decided follows it."""
    before = default_sharing(case.gpu, case.model, case.work.ngpu)
    work = case.work._replace(**{flag: value})
    followed: dict[str, Any] = {}
    for name, choice in default_sharing(case.gpu, case.model, work.ngpu).items():
        if getattr(work, name) == before[name]:
            followed[name] = choice
    return work._replace(**followed)


class FlagChange(NamedTuple):
    """A single change that may be one of several."""

    flag: str
    value: Any
    change: Change


def single_changes(case: Analysis) -> list[FlagChange]:
    """The changes of one flag that help."""
    singles = []
    for flag, values in other_values(case).items():
        for value, what in values.items():
            if value != getattr(case.work, flag):
                change = change_to(case, what, changed_work(case, flag, value))
                if change:
                    singles.append(FlagChange(flag, value, change))
    return singles


def changes_together(case: Analysis, singles: Sequence[FlagChange]) -> Change | None:
    """Of single changes those that help together: the best first, then the best of those that go
    on helping with it, and so on. Not more GPUs and sequences, which cost something else.
    """
    what = "all that help together"
    flags = [single for single in singles if single.flag not in ("ngpu", "batch")]
    changes = [single.change for single in flags]
    best = case
    while changes:
        next_best = max(changes, key=lambda change: (change.fits, change.gain))
        if next_best.fits == best.memory.fits and next_best.gain < 1.01:
            break
        best = next_best.after
        works = [best.work._replace(**{single.flag: single.value}) for single in flags]
        further = [change_to(best, what, work) for work in works]
        changes = [change for change in further if change]
    return change_to(case, what, best.work)


def what_would_help(case: Analysis) -> list[Change]:
    """The single changes that help, the largest gain first, and last, if it is more than one flag,
    those together.
    """
    singles = single_changes(case)
    together = changes_together(case, singles)
    changes = [single.change for single in singles]
    changes.sort(key=lambda change: (-change.fits, -change.attention_gain))
    if together and together.flags not in [change.flags for change in changes]:
        changes.append(together)
    return changes


# ------------------------------------------------------------------------------------------- sweeps


class Refusal(NamedTuple):
    """A combination of a sweep that cannot be, and why."""

    gpu: GPU
    model: Model
    work: Workload
    reason: str
    changed: Values  # figures that --set gave, by their keys


Outcome = Union[Analysis, Refusal]


Outcomes = Iterator[Outcome]


class Sweep(NamedTuple):
    """What is asked: the values of every axis, in the order of the grid."""

    axes: Mapping[str, Sequence[Any]]  # None: not given
    varying: Sequence[str]  # axes with several values
    total: int  # cases
    given: frozenset[str]  # flags
    common: Sequence[str]  # what all cases have in common, as text
    bounds: bool  # whether all are bounds, since one GPU has no constants


def default_dtype(gpu: GPU) -> str:
    return "fp16" if "fp16" in gpu.peaks and "bf16" not in gpu.peaks else "bf16"


def workload(gpu: GPU, model: Model, values: Values) -> Workload:
    """One case of a sweep; what its axes leave open is as serving engines do it."""
    query = values["query"]
    if query is None:
        query = 1 if values["gen"] else values["seq"]
    dtype = values["dtype"]
    if dtype is None:
        dtype = default_dtype(gpu)
    weight_dtype = dtype
    if model.weight_dtype and BITS[model.weight_dtype] < BITS[dtype]:
        weight_dtype = model.weight_dtype
    fused = values["fused"]
    if fused is None:  # the config's figures: as the worked example, where kernels can
        fused = not model.unfused
    fields = {
        "query": query,
        "phase": phase_of(query, values["seq"], values["gen"]),
        "dtype": dtype,
        "kv_dtype": dtype,
        "weight_dtype": weight_dtype,
        "fused": fused,
        **default_sharing(gpu, model, values["ngpu"]),
    }
    for name in Workload._fields:
        if values.get(name) is not None:
            fields[name] = values[name]
    return Workload(**fields)


def value_text(value: Any) -> str:
    """The value of an axis as a person writes it; the config's own model has no name."""
    value = getattr(value, "name", value)
    if value is None:
        return "config"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def analysed(values: Values, changed: Values, bounds: bool) -> Analysis:
    """The answer for one combination; InputError for what cannot be."""
    gpu = values["gpu"]
    model = values["model"]
    if changed:
        with blamed_on("--set:"):
            gpu = changed_gpu(gpu, changed)
            model = changed_model(model, changed)
    return analyse(gpu, model, workload(gpu, model, values), bounds)._replace(changed=changed)


def outcomes_of(sweep: Sweep) -> Outcomes:
    """The outcome of every combination. Its number, in mixed radix, says which values it has:
    itertools.product would make a tuple of every axis, and an axis may be endless.
    """
    first = {name: values[0] for name, values in sweep.axes.items()}
    set_keys = [key for key in sweep.axes if "." in key]
    for number in range(sweep.total):
        values = dict(first)
        rest = number
        for name in reversed(sweep.varying):
            rest, digit = divmod(rest, len(sweep.axes[name]))
            values[name] = sweep.axes[name][digit]
        changed = {key: values[key] for key in set_keys}
        try:
            yield analysed(values, changed, sweep.bounds)
        except InputError as error:
            gpu = values["gpu"]
            model = values["model"]
            yield Refusal(
                gpu=gpu,
                model=model,
                work=workload(gpu, model, values),
                reason=str(error),
                changed=changed,
            )


# -------------------------------------------------------------------------------------------- views

RULE = "-" * 38
TIMES = tuple(Terms().times)
# Where an outcome has the columns of CSV and JSON: what is asked, then what an analysis answers.
CASE_COLUMNS = {
    "gpu": "gpu.name",
    "model": "model.name",
    **{name: f"work.{name}" for name in Workload._fields},
}
ANSWER_COLUMNS = {
    "basis": "basis",
    "limit": "terms.limit",
    **{name: f"terms.{name}" for name in Terms._fields},
    "rest_s": "rest_s",
    "step_s": "step_s",
    "attention_share": "attention_share",
    "new_tokens": "new_tokens",
    "attention_tokens_per_s": "attention_tokens_per_s",
    "step_tokens_per_s": "step_tokens_per_s",
    **{name: f"counts.{name}" for name in Counts._fields},
    "intensity_flop_per_byte": "counts.intensity",
    "ridge_flop_per_byte": "ridge",
    **{name: f"memory.{name}" for name in Memory._fields},
}
COLUMNS = [*CASE_COLUMNS, "error", *ANSWER_COLUMNS]
case_values = operator.attrgetter(*CASE_COLUMNS.values())
answer_values = operator.attrgetter(*ANSWER_COLUMNS.values())


def cells_of(outcome: Outcome) -> list[Any]:
    """A value for each column; none where unknown, such as what a refusal does not answer."""
    if isinstance(outcome, Analysis):
        return [*case_values(outcome), None, *answer_values(outcome)]
    return [*case_values(outcome), outcome.reason, *[None] * len(ANSWER_COLUMNS)]


def axis_value(outcome: Outcome, axis: str) -> str:
    """The value of one axis as a person writes it."""
    if axis in outcome.changed:
        return value_text(outcome.changed[axis])
    column = "phase" if axis == "gen" else axis
    return value_text(operator.attrgetter(CASE_COLUMNS[column])(outcome))


def axis_values(outcome: Outcome, axes: Iterable[str]) -> str:
    return ", ".join([f"{dashed(name)} {axis_value(outcome, name)}" for name in axes])


class Product(NamedTuple):
    """One of the two products as the worked example shows it; both read a "Key Matrix"."""

    formula: str
    inner: int  # rows of the right factor
    columns: int  # of the result
    width: int  # of what is read
    flops: int
    read_bytes: int


def scores_product(layer: Layer) -> Product:
    operands = layer.form.operands
    return Product(
        formula="S = Q x K^T",
        inner=layer.form.shape.dim_qk,
        columns=operands.keys,
        width=layer.form.shape.dim_qk,
        flops=operands.scores_flops,
        read_bytes=operands.k_bytes,
    )


def values_product(layer: Layer) -> Product:
    operands = layer.form.operands
    return Product(
        formula="Attn = S x V",
        inner=operands.keys,
        columns=layer.form.shape.dim_v,
        width=layer.form.shape.dim_v,
        flops=operands.values_flops,
        read_bytes=operands.v_bytes,
    )


def report_heads(case: Analysis, layer: Layer) -> str:
    batch = f"{case.work.batch} x " if case.work.batch > 1 else ""
    return f"{batch}{layer.form.shape.n_head}"


def report_reading(case: Analysis, layer: Layer, product: Product) -> str:
    """How many bytes of K or V a product reads."""
    work = case.work
    kept_dtype = work.dtype if layer.form.operands.latent_form == "plain" else work.kv_dtype
    batch = f"{work.batch} x " if work.batch > 1 else ""
    heads = f"{batch}{layer.form.shape.n_kv_head}"
    rows = f"{heads} x ({product.width} x {layer.form.operands.read_rows})"
    size = f"{rows} x {BITS[kept_dtype] / 8:g} = {product.read_bytes} bytes"
    return f"Read Key Matrix ({kept_dtype.upper()}): {size}"


def report_product(
    case: Analysis, layer: Layer, product: Product, exchange: Exchange | None
) -> Lines:
    """A product, and the exchange after it. The bandwidth requirement is that of reading K or V in
    the time in which one GPU computes (and synchronises).
    """
    work = case.work
    heads = report_heads(case, layer)
    dtype = work.dtype.upper()
    kernel = KernelShare(product.formula, flops=product.flops, bytes=product.read_bytes)
    alone = kernel_bound(kernel, case.gpu.peaks[work.dtype], case.gpu.bandwidth)
    yield f"{RULE}\n{product.formula}"
    yield f"{heads} x (({work.query} x {product.inner}) x ({product.inner} x {product.columns}))"
    yield f"{RULE}\nTotal FLOPS: {product.flops} FLOPS"
    yield f"Computation time ({dtype}):  {alone.compute_s * layer.share.heads:.3e}s\n"
    yield report_reading(case, layer, product)
    yield f"Memory time:  {alone.memory_s * layer.share.kv:.3e}s\n"
    if exchange:
        sync_s = exchange_bound(exchange, case.gpu.links[work.link])
        result = f"{heads} x ({work.query} x {product.columns})"
        size = f"{result} x {BITS[work.dtype] / 8:g} = {exchange.bytes} bytes"
        yield f"Synchronizing {product.formula.partition(' ')[0]} ({dtype}): {size}"
        yield f"Sync time:  {sync_s:.3e}s\n"
        required = product.read_bytes / (alone.compute_s + sync_s)
        yield f"Bandwidth Requirement (with sync): {required / 1e12:.3f} TB/s"
    required = product.read_bytes / alone.compute_s
    yield f"Bandwidth Requirement (without sync): {required / 1e12:.3f} TB/s"


def report_layer(case: Analysis, layer: Layer) -> Lines:
    """Its products, each with the exchange that follows it in the worked example, and what else is
    exchanged.
    """
    exchanges = {exchange.name: exchange for exchange, _ in layer.exchanges}
    scores = exchanges.pop("scores", None)
    values = exchanges.pop("values", None)
    yield from report_product(case, layer, scores_product(layer), scores)
    yield from report_product(case, layer, values_product(layer), values)
    before = RULE
    for exchange in exchanges.values():
        what = "All-reducing the output" if exchange.reduces else f"Exchanging {exchange.name}"
        sync_s = exchange_bound(exchange, case.gpu.links[case.work.link])
        yield before
        yield f"{what} ({exchange.precision.upper()}): {math.ceil(exchange.bytes)} bytes"
        yield f"Sync time:  {sync_s:.3e}s"
        before = ""


def in_largest_unit(size: int) -> str:
    """Bytes in the largest unit that they fill, cut."""
    for name, unit in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def reported(outcomes: Outcomes) -> Outcomes:
    """Outcomes, with refusals of cases whose layers have no two products to show."""
    for outcome in outcomes:
        if isinstance(outcome, Analysis) and not outcome.model.unfused:
            kinds = [
                layers.mixer.kind for layers in outcome.model.layers if not layers.mixer.unfused
            ]
            yield Refusal(
                gpu=outcome.gpu,
                model=outcome.model,
                work=outcome.work,
                reason=f"--format report has no {kinds[0]} layers: --format summary",
                changed=outcome.changed,
            )
        else:
            yield outcome


def report(case: Analysis, _: Sweep) -> Lines:
    """Both products of one layer (of each kind), step by step."""
    work = case.work
    several = len(case.layers) > 1
    yield f"{RULE}\nWorking with {work.ngpu} {case.gpu.name} GPUs"
    if case.model.name:
        yield f"Model: {case.model.name}"
    yield f"{RULE}\nQKV size per head"
    for layer in case.layers:
        shape = layer.form.shape
        keys = layer.form.operands.keys
        kind = f" in {layer.mixer.kind} layers" if several else ""
        yield f"Q{kind}: {work.query} x {shape.dim_qk}"
        yield f"K{kind} (including cache): {keys} x {shape.dim_qk}"
        yield f"V{kind} (including cache): {keys} x {shape.dim_v}"
    size = in_largest_unit(case.memory.cache_bytes)
    yield f"Cached KV size ({work.kv_dtype.upper()}): {size}"
    for layer in case.layers:
        kind = f"{layer.mixer.kind.capitalize()} " if several else ""
        yield f"{RULE}\nIn {kind}Attention Layer (per {layer.form.shape.n_head} head)"
        yield from report_layer(case, layer)


def rounded(value: float) -> str:
    """A number in three digits, or in whole ones where it is large."""
    if value < 1000:
        return f"{value:.3g}"
    if value < 1e7:
        return f"{value:.0f}"
    return f"{value:.2e}".replace("e+0", "e").replace("e+", "e")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def layer_words(layer: Layer) -> str:
    """A kind of layers: how many, their heads, and what else is special."""
    words = layer.form.shape.words
    if layer.mixer.kind == "state":
        words = []
    if layer.form.operands.latent_form and layer.mixer.kind == "latent":
        words.append(f"{layer.form.operands.latent_form}")
    words += layer.mixer.words
    return f"{plural(layer.n_layer, f'{layer.mixer.kind} layer')}: {', '.join(words)}"


def assumed_flags(work: Workload, sweep: Sweep) -> list[str]:
    """The choices that no flag made, as flags."""
    names = ["dtype"]
    if work.weight_dtype != work.dtype:
        names.append("weight_dtype")
    names.append("fused")
    if work.ngpu > 1:
        names += ["split", "link"]
    assumed = [name for name in names if name not in sweep.given]
    return [f"--{dashed(name)} {getattr(work, name)}" for name in assumed]


def question(case: Analysis, sweep: Sweep) -> Lines:
    """What is asked, a line for each part of it."""
    work = case.work
    model = case.model
    new_tokens = f"{plural(work.query, 'new token')} each"
    size = f"{plural(work.batch, 'sequence')}, {new_tokens}, {plural(work.seq, 'key')}"
    yield f"work       {work.phase}: {size}"
    idle = model.n_layer_idle
    rest = f", {idle} layers without a cache" if idle else ""
    yield f"model      {value_text(model)} (from {model.source}){rest}"
    for layer in case.layers:
        yield f"           {layer_words(layer)}"
    shared = f", {SPLITS[work.split]}, {LINKS[work.link]}" if work.ngpu > 1 else ""
    yield f"GPUs       {work.ngpu} x {case.gpu.name} (from {case.gpu.source}){shared}"
    how = "one fused kernel" if work.fused else "separate kernels"
    stored = f"{work.kv_dtype} cache, {work.weight_dtype} weights"
    yield f"precision  {work.dtype}, {stored}; {how}"
    assumed = assumed_flags(work, sweep)
    if assumed:
        yield f"assumed    {' '.join(assumed)}"
    if case.changed:
        values = [f"{key}={axis_value(case, key)}" for key in case.changed]
        yield f"set        {', '.join(values)}"


def misfit(case: Analysis) -> str:
    """What does not fit, and how much it is."""
    memory = case.memory
    what = "weights and KV cache do"
    size = memory.gpu_cache_bytes
    if memory.gpu_weight_bytes is None:
        what = "the KV cache does"
    else:
        size += memory.gpu_weight_bytes
    capacity = f"on each GPU of {prefixed(case.gpu.memory, 'B')}"
    return f"{what} not fit: {prefixed(size, 'B')} {capacity}"


def verdict(case: Analysis) -> Lines:
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


def term_width(name: str) -> int:
    """Columns of a term in tables: eight, or if its name is as wide one more than that."""
    return max(8, len(name) + 1)


def term_heads(names: Iterable[str]) -> str:
    return "".join([f"{name:>{term_width(name)}}" for name in names])


def term_cells(names: Iterable[str], terms: Terms) -> str:
    cells = []
    times = terms.times
    for name in names:
        text = prefixed(times[name], "s") if times[name] else "-"
        cells.append(f"{text:>{term_width(name)}}")
    return "".join(cells)


def cost_row(name: str, terms: Terms, intensity: float | None = None) -> str:
    ratio = "-" if intensity is None else rounded(intensity)
    return f"{name:17}{term_cells(TIMES, terms)}{ratio:>10}  {terms.limit}"


def cost_table(case: Analysis) -> Lines:
    """One layer of each kind, its kernels and exchanges if there are several, and all layers."""
    yield f"{'':17}{term_heads(TIMES)} FLOP/byte  limit"
    for layer in case.layers:
        yield cost_row(f"{layer.mixer.kind} layer", layer.terms, layer.counts.intensity)
        if len(layer.kernels) + len(layer.exchanges) > 1:
            for kernel, terms in layer.kernels:
                intensity = kernel.flops / kernel.bytes if kernel.bytes else None
                yield cost_row(f"  {kernel.name}", terms, intensity)
            for exchange, seconds in layer.exchanges:
                yield cost_row(f"  {exchange.name}", Terms(sync_s=seconds, total_s=seconds))
    n_layer = sum([layer.n_layer for layer in case.layers])
    yield cost_row(f"all {plural(n_layer, 'layer')}", case.terms, case.counts.intensity)
    yield f"  ridge point of the datasheet's rates: {rounded(case.ridge)} FLOP/byte"


def room(case: Analysis) -> str:
    """The largest batch, and the longest sequence, that fit."""
    batch = case.memory.max_batch
    seq = case.memory.max_seq
    if batch is None:
        most = "any batch"
    elif batch:
        most = f"--batch {min(batch, MAX_COUNT)}"
    else:
        most = "no batch"
    if seq is None:
        longest = "any length"
    elif seq >= case.work.query:
        longest = f"--seq {seq}"
    else:
        longest = "no length"
    return f"{most} at this length, {longest} at this batch"


def memory_lines(case: Analysis) -> Lines:
    """What is kept, and what fits beside it."""
    memory = case.memory
    size = case.gpu.memory
    growth = f"{memory.kv_bytes_per_token:.12g} bytes per token"
    if memory.kv_bytes_per_token != memory.kv_bytes_per_token_beyond_windows:
        growth += f" ({memory.kv_bytes_per_token_beyond_windows:.12g} beyond the windows)"
    if memory.state_bytes:
        state = memory.state_bytes / case.work.batch
        growth += f", state {prefixed(state, 'B')} each sequence"
    yield f"cache      {growth}, {prefixed(memory.cache_bytes, 'B')} in all"
    beside = ", weights not counted (unknown)"
    if memory.gpu_weight_bytes is not None:
        beside = f" and {prefixed(memory.gpu_weight_bytes, 'B')} of weights"
    cache = f"{prefixed(memory.gpu_cache_bytes, 'B')} of cache"
    yield f"each GPU   {prefixed(size, 'B')}: {cache}{beside}"
    if memory.max_seq == 0:
        yield "room for   no cache beside the weights"
        return
    yield f"room for   {room(case)};"
    if "GPU.memory" not in case.changed:
        usable = f"--set GPU.memory={size * 0.9 / 1e9:.12g}"
        yield f"           engines keep a tenth and more: {usable}"


def step_lines(case: Analysis) -> Lines:
    """A whole step, and how far attention could be from this time."""
    attention = f"attention {prefixed(case.terms.total_s, 's')}"
    if case.rest_s is None or case.step_s is None:
        speed = case.attention_tokens_per_s
        tokens = f", {rounded(speed)} tokens/s without the rest" if speed else ""
        yield f"one step   {attention}{tokens};"
        yield "           the rest needs parameter counts: --set Model.params_b=70.6"
    else:
        total = f"rest {prefixed(case.rest_s, 's')} = {prefixed(case.step_s, 's')}"
        yield f"one step   {attention} + {total}; {case.attention_share:.1%} attention"
        speed = case.step_tokens_per_s
        half = half_length(case)
        notes = []
        if speed:
            notes.append(f"{rounded(speed)} tokens/s")
        if half and half > 1:
            notes.append(f"half of it is attention from {half} keys on")
        if notes:
            yield f"           {'; '.join(notes)}"
    if case.basis == "estimate":
        bound = f"attention {prefixed(case.terms.bound_s, 's')}"
        yield f"bound      {bound}: no implementation is faster"
    else:
        yield "bounds     no implementation is faster; no constants for estimates here"


def help_lines(case: Analysis) -> Lines:
    """The changes that help, a row each."""
    changes = what_would_help(case)
    if not changes:
        yield "What would help: no single change"
        return
    yield f"{'What would help':24}attention    step  per new token"
    for change in changes:
        flags = f"  {change.flags:22}"
        if len(change.flags) > 22:
            flags = f"  {change.flags}\n{'':24}"
        attention = f"{rounded(change.attention_gain)} x"
        step = f"{rounded(change.step_gain)} x" if change.step_gain else "-"
        what = change.what
        if not case.memory.fits:
            what += ", makes it fit" if change.fits else ", does not fit"
        yield f"{flags}{attention:>9}{step:>8}  {what}"


def summary(case: Analysis, sweep: Sweep) -> Lines:
    """What limits attention, by how much, why, and what to change first: one screen."""
    several = sweep.total > 1
    if several:
        yield f"{axis_values(case, sweep.varying)}\n"
    yield from question(case, sweep)
    yield ""
    yield from verdict(case)
    yield ""
    yield from cost_table(case)
    yield ""
    yield from memory_lines(case)
    yield from step_lines(case)
    yield ""
    yield from help_lines(case)
    if several:
        yield ""


CaseView = Callable[[Analysis, Sweep], Lines]


def one_by_one(view: CaseView, sweep: Sweep, outcomes: Outcomes) -> Lines:
    """The lines of a view of one case, for several."""
    for outcome in outcomes:
        if isinstance(outcome, Refusal):
            lines = [f"{axis_values(outcome, sweep.varying)}: {outcome.reason}"]
        else:
            lines = list(view(outcome, sweep))
        yield "\n".join(lines) + "\n"


def wrapped(text: str, width: int) -> list[str]:
    import textwrap  # only these views need it

    return textwrap.wrap(text, width, break_on_hyphens=False)


def axis_width(name: str, values: Sequence[Any]) -> int:
    """Columns that the values of an axis take in a table."""
    if name == "gen":
        return len("prefill")
    ends = (values[0], values[-1]) if isinstance(values, range) else values
    return max(map(len, [dashed(name), *map(value_text, ends)]))


def shown_terms(sweep: Sweep) -> list[str]:
    """The terms that some case may have."""
    terms = list(TIMES)
    if max(sweep.axes["ngpu"]) == 1:
        terms.remove("sync")
    if sweep.bounds:
        terms.remove("overhead")
    return terms


def last_cell(case: Analysis, known: bool) -> str:
    """The step where all models' is known, else the tokens/s of attention."""
    if known and case.step_s:
        return prefixed(case.step_s, "s")
    speed = case.attention_tokens_per_s
    return rounded(speed) if speed else "-"


def case_table(sweep: Sweep, outcomes: Outcomes) -> Lines:
    """A line a case: what varies, the terms, the step or tokens/s, and the verdict."""
    widths = {name: axis_width(name, sweep.axes[name]) for name in sweep.varying or ["seq"]}
    terms = shown_terms(sweep)
    models = sweep.axes["model"]
    known = "Model.params_b" in sweep.axes or all(model.params for model in models)
    heads = " ".join([f"{dashed(name):>{width}}" for name, width in widths.items()])
    last_head = "step" if known else "tokens/s"
    heading = "\n".join(wrapped(", ".join(sweep.common), 80))
    misfits = False
    for number, outcome in enumerate(outcomes):
        if number == 0:
            yield f"{heading}\n\n{heads}{term_heads(terms)}{last_head:>9} limit\n"
        row = " ".join([f"{axis_value(outcome, name):>{width}}" for name, width in widths.items()])
        if isinstance(outcome, Refusal):
            lines = wrapped(outcome.reason, max(78 - len(row), 30))
            indented = f"\n{'':{len(row) + 2}}".join(lines)
            yield f"{row}  {indented}\n"
            continue
        mark = " "
        if not outcome.memory.fits:
            mark = "!"
            misfits = True
        last = last_cell(outcome, known)
        yield f"{row}{term_cells(terms, outcome.terms)}{last:>9}{mark}{outcome.terms.limit}\n"
    if misfits:
        yield "\n! does not fit into memory\n"


class EchoFile:
    """What csv's writer writes a row to, which its writerow then returns."""

    def write(self, text: str) -> str:
        return text


def csv_rows(_: Sweep, outcomes: Outcomes) -> Lines:
    """RFC 4180 but for lines that end in a newline alone: a header, then a line a case."""
    import csv  # only this view needs it

    line_of = csv.writer(EchoFile(), lineterminator="\n").writerow
    for number, outcome in enumerate(outcomes):
        heading = line_of([*COLUMNS, *outcome.changed]) if number == 0 else ""
        cells = [*cells_of(outcome), *outcome.changed.values()]
        # A call for each of 45 cells would take a tenth of a sweep's time.
        row = line_of([str(cell).lower() if isinstance(cell, bool) else cell for cell in cells])
        yield f"{heading}{row}"


def layer_record(layer: Layer) -> dict[str, Any]:
    """A kind of layers as JSON has it."""
    kernels = []
    for kernel, terms in layer.kernels:
        kernels.append({**kernel._asdict(), **terms._asdict()})
    exchanges = []
    for exchange, seconds in layer.exchanges:
        exchanges.append({**exchange._asdict(), "seconds": seconds})
    record: dict[str, Any] = {"kind": layer.mixer.kind, "n_layer": layer.n_layer}
    record.update(layer.form.shape._asdict())
    record.update(layer.mixer.figures)
    record.update(layer.form.operands._asdict())
    record.update(layer.counts._asdict())
    record.update(layer.terms._asdict())
    record.update(limit=layer.terms.limit, kernels=kernels, exchanges=exchanges)
    return record


def change_record(change: Change) -> dict[str, Any]:
    record = change._asdict()
    del record["after"]
    return record


def json_lines(sweep: Sweep, outcomes: Outcomes) -> Lines:
    """One case: an object for people too; several: one object a line. First the columns, then what
    they do not have.
    """
    for outcome in outcomes:
        record: dict[str, Any] = {"schema": 3}
        record.update(zip(COLUMNS, cells_of(outcome)))
        if isinstance(outcome, Analysis):
            gpu = outcome.gpu
            model = outcome.model
            record["half_seq"] = half_length(outcome)
            record["layers"] = list(map(layer_record, outcome.layers))
            record["would_help"] = list(map(change_record, what_would_help(outcome)))
            record["inputs"] = {
                "gpu": {"from": gpu.source, **gpu.figures},
                "model": {"from": model.source, **model.figures},
                "flags": sorted(sweep.given),
            }
        if outcome.changed:
            record["set"] = outcome.changed
        indent = 2 if sweep.total == 1 else None
        yield json.dumps(record, indent=indent, allow_nan=False) + "\n"


# ------------------------------------------------------------------------------------------ picture

# Okabe and Ito's colours, which a colour-blind reader can tell apart; markers tell them apart too.
COLOURS = "#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9 #000000".split()
TERM_COLOURS = {
    "compute": "#e69f00",
    "memory": "#0072b2",
    "sync": "#009e73",
    "overhead": "#cc79a7",
    "total": "#000000",
}
Position = tuple[float, float]
MARKERS: list[list[Position]] = [  # corners round a point
    [(-4, -4), (4, -4), (4, 4), (-4, 4)],
    [(5 * math.cos(n / 2), 5 * math.sin(n / 2)) for n in range(12)],
    [(0, -5), (5, 4), (-5, 4)],
    [(0, -6), (5, 0), (0, 6), (-5, 0)],
]
MAX_POINTS = 2000
LEFT = 90  # of a panel
WIDTH = 640
LEGEND = 750  # where it begins
LEGEND_LINE = 18
LINE_STYLE = "stroke-opacity='0.5'"
ROOF_STYLE = "stroke-width='2.5'"


def escaped(text: str) -> str:
    import html  # only this view needs it

    return html.escape(text)


def svg_text(x: float, y: float, text: str, style: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escaped(text)}</text>\n"


def svg_points(positions: Iterable[Position]) -> str:
    return " ".join([f"{x:.1f},{y:.1f}" for x, y in positions])


def svg_line(positions: Iterable[Position], style: str) -> str:
    return f"<polyline points='{svg_points(positions)}' fill='none' {style}/>\n"


class Point(NamedTuple):
    """A place in a panel's units."""

    x: float
    y: float
    title: str = ""  # what its marker says when pointed at; nothing: it has no marker
    hollow: bool = False


class Series(NamedTuple):
    """A line of a panel."""

    name: str
    points: Sequence[Point]
    colour: str
    marker: int = 0
    style: str = LINE_STYLE

    def line(self, positions: Sequence[Position]) -> str:
        return svg_line(positions, f"stroke='{self.colour}' {self.style}")

    def mark(self, position: Position, title: str, hollow: bool = False) -> str:
        x, y = position
        corners = [(x + dx, y + dy) for dx, dy in MARKERS[self.marker % len(MARKERS)]]
        style = f"fill='{'#fff' if hollow else self.colour}' stroke='{self.colour}'"
        shown = f"<title>{escaped(title)}</title>"
        return f"<polygon points='{svg_points(corners)}' {style}>{shown}</polygon>\n"


def ticks(low: float, high: float) -> list[float]:
    """Round values within a span: decades, with as few between them as make three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tenths = [f"{n / 10}" for n in range(10, 100)]
    inside: list[float] = []
    for steps in (["1"], ["1", "2", "5"], ["1", "1.5", "2", "3", "5", "7"], tenths):
        if len(inside) < 3:
            values = [float(f"{step}e{power}") for power, step in itertools.product(powers, steps)]
            inside = [value for value in values if low <= value <= high]
    return inside[:: ceil_div(len(inside), 10)]


class Scale(NamedTuple):
    """A logarithmic axis: from where to where on the page its values are."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)


def scale_of(values: Sequence[float], start: float, end: float) -> Scale:
    """An axis that holds all values, with a margin."""
    return Scale(low=min(values) / 1.3, high=max(values) * 1.3, start=start, end=end)


class Panel(NamedTuple):
    """A log-log diagram."""

    top: float
    height: float
    across: str  # what its axes are
    up: str
    unit: str  # of the upright one
    series: Sequence[Series]
    roofs: Sequence[Series] = ()


def legend(panel: Panel) -> Lines:
    """The names of twelve series and eight roofs, and how many more there are."""
    y = panel.top
    for most, series in ((12, panel.series), (8, panel.roofs)):
        named = [line for line in series if line.name]
        for line in named[:most]:
            yield line.line([(LEGEND, y), (LEGEND + 22, y)])
            if line.points[0].title:
                yield line.mark((LEGEND + 11, y), line.name)
            yield svg_text(LEGEND + 28, y + 4, line.name)
            y += LEGEND_LINE
        if len(named) > most:
            yield svg_text(LEGEND + 28, y + 4, f"and {len(named) - most} more")
            y += LEGEND_LINE


def axes_lines(panel: Panel, across: Scale, up: Scale) -> Lines:
    """Both axes of a panel with their ticks, a grid and what they are."""
    for value in ticks(across.low, across.high):
        x = across.at(value)
        yield svg_line([(x, up.end), (x, up.start)], "class='grid'")
        yield svg_text(x, up.start + 16, f"{value:.12g}", "text-anchor='middle'")
    for value in ticks(up.low, up.high):
        y = up.at(value)
        yield svg_line([(LEFT, y), (across.end, y)], "class='grid'")
        yield svg_text(LEFT - 6, y + 4, prefixed(value, panel.unit), "text-anchor='end'")
    corners = [(LEFT, up.end), (LEFT, up.start), (across.end, up.start)]
    yield svg_line(corners, "class='axis'")
    yield svg_text(LEFT + WIDTH / 2, up.start + 36, panel.across, "text-anchor='middle'")
    yield svg_text(LEFT, up.end - 10, panel.up)


def plot(panel: Panel) -> Lines:
    """A panel with axes from the data, and beside it a legend."""
    series = [*panel.series, *panel.roofs]
    points = list(itertools.chain.from_iterable([line.points for line in series]))
    across = scale_of([point.x for point in points], LEFT, LEFT + WIDTH)
    up = scale_of([point.y for point in points], panel.top + panel.height, panel.top)
    yield from axes_lines(panel, across, up)
    for line in reversed(series):
        places = [(across.at(point.x), up.at(point.y)) for point in line.points]
        if len(places) > 1:
            yield line.line(places)
        for place, point in zip(places, line.points):
            if point.title:
                yield line.mark(place, point.title, point.hollow)
    yield from legend(panel)


def point_title(case: Analysis) -> str:
    """The whole case and its figures."""
    parts = case.terms.parts.items()
    terms = ", ".join([f"{name} {prefixed(seconds, 's')}" for name, seconds in parts if seconds])
    axes = axis_values(case, [*CASE_COLUMNS, *case.changed])
    total = f"{case.basis} {prefixed(case.terms.total_s, 's')}"
    misfits = "" if case.memory.fits else "; does not fit into memory"
    return f"{axes}: {total} ({terms}); {case.terms.limit} limits{misfits}"


def point_of(case: Analysis, x: float, y: float) -> Point:
    return Point(x, y, title=point_title(case), hollow=not case.memory.fits)


def roof_name(case: Analysis) -> str:
    """A roof's label: GPU and precision, peak, bandwidth, ridge point."""
    peak = prefixed(case.gpu.peaks[case.work.dtype], "FLOP/s")
    bandwidth = prefixed(case.gpu.bandwidth, "B/s")
    roof = f"{case.gpu.name} {case.work.dtype}"
    return f"{roof}: {peak}, {bandwidth}, ridge {rounded(case.ridge)}"


def roof_series(cases: Sequence[Analysis]) -> list[Series]:
    """A roof for each GPU and precision: what bandwidth allows up to the ridge, then the peak."""
    intensities = [case.counts.intensity for case in cases]
    roofs = {roof_name(case): case for case in cases}
    series = []
    for n, (name, case) in enumerate(roofs.items()):
        left = min(*intensities, case.ridge / 4)
        right = max(*intensities, case.ridge * 4)
        corners = [
            Point(x, min(x, case.ridge) * case.gpu.bandwidth) for x in (left, case.ridge, right)
        ]
        series.append(Series(name, corners, COLOURS[n % len(COLOURS)], style=ROOF_STYLE))
    return series


class Group(NamedTuple):
    """The cases of a series, and how it looks: the colour of its roof, where there are several,
    and a marker of its own under it.
    """

    name: str
    cases: Sequence[Analysis]
    colour: str
    marker: int


def grouped_cases(cases: Sequence[Analysis], axes: Sequence[str]) -> list[Group]:
    """A group for each combination of the values of some axes."""
    by_name: dict[str, list[Analysis]] = {}
    for case in cases:
        words = []
        for axis in axes:
            words.append(axis_value(case, axis) if axis in SECTIONS else axis_values(case, [axis]))
        by_name.setdefault(" ".join(words), []).append(case)
    roofs = list(dict.fromkeys(map(roof_name, cases)))
    under_roof = collections.Counter[str]()
    groups = []
    for name, some in by_name.items():
        roof = roof_name(some[0])
        marker = under_roof[roof]
        under_roof[roof] += 1
        colour = roofs.index(roof) if len(roofs) > 1 else marker
        groups.append(Group(name, some, COLOURS[colour % len(COLOURS)], marker))
    return groups


def roofline_series(groups: Sequence[Group]) -> list[Series]:
    series = []
    for group in groups:
        points = []
        for case in group.cases:
            speed = case.counts.gpu_flops / case.terms.total_s
            points.append(point_of(case, case.counts.intensity, speed))
        series.append(Series(group.name, points, group.colour, group.marker))
    return series


def time_series(groups: Sequence[Group], axis: str) -> list[Series]:
    """The time of each group over an axis; of a single group by term."""
    series = []
    for group in groups:
        colours = {"total": group.colour} if len(groups) > 1 else TERM_COLOURS
        for term, colour in colours.items():
            points = []
            for case in group.cases:
                x = float(axis_value(case, axis))
                seconds = case.terms.times[term]
                if x and seconds:  # no logarithm of zero
                    points.append(point_of(case, x, seconds))
            name = group.name if len(groups) > 1 else term
            if points:
                series.append(Series(name, points, colour, group.marker))
    return series


def left_out(sweep: Sweep, cases: Sequence[Analysis]) -> Lines:
    """What of a sweep a picture does not show, or shows hollow."""
    refused = sweep.total - len(cases)
    misfits = len([case for case in cases if not case.memory.fits])
    if refused:
        yield f"{refused} of {sweep.total} cannot be"
    if misfits:
        yield f"{misfits} of {sweep.total} do not fit (hollow)"


def page_start(width: int, height: int, heading: Sequence[str]) -> Lines:
    size = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'"
    font = "font-family='sans-serif' font-size='12'"
    yield f"<svg xmlns='http://www.w3.org/2000/svg' {size} {font}>\n"
    yield "<style>.grid{stroke:#ddd}.axis{stroke:#333}</style>\n"
    yield f"<rect width='{width}' height='{height}' fill='#fff'/>\n"
    for i, line in enumerate(heading):
        yield svg_text(20, 24 + 16 * i, line, "font-size='13' font-weight='bold'")


def picture(sweep: Sweep, outcomes: Outcomes) -> Lines:
    """A roofline, roofs in the colour of their points; if a number sweeps, the time over it below,
    by term if alone.
    """
    if sweep.total > MAX_POINTS:
        raise InputError(f"--format svg shows at most {MAX_POINTS} cases, not {sweep.total}")
    cases = [outcome for outcome in outcomes if isinstance(outcome, Analysis)]
    numbers = [name for name in sweep.varying if type(sweep.axes[name][0]) in (int, float)]
    axis = numbers[-1] if numbers else ""
    groups = grouped_cases(cases, [name for name in sweep.varying if name != axis])
    upper = roofline_series(groups)
    roofs = roof_series(cases)
    lower = time_series(groups, axis) if axis and len(cases) > 1 else []
    width = LEGEND + 60 + 7 * max([len(series.name) for series in (*upper, *lower, *roofs)])
    heading = wrapped(", ".join([*sweep.common, *left_out(sweep, cases)]), width // 8)
    top = 50 + 16 * len(heading)
    height = top + 450 + (410 if lower else 0)
    yield from page_start(width, height, heading)
    roofline = Panel(
        top=top,
        height=400,
        across="arithmetic intensity, FLOP/byte",
        up="FLOP/s of the busiest GPU",
        unit="FLOP/s",
        series=upper,
        roofs=roofs,
    )
    yield from plot(roofline)
    if lower:
        times = Panel(
            top=top + 480,
            height=310,
            across=dashed(axis),
            up="attention of all layers in one step",
            unit="s",
            series=lower,
        )
        yield from plot(times)
    yield "</svg>\n"


# --------------------------------------------------------------------------------- measured kernels

Cells = Mapping[str, str]  # of a row, by column


class Measured(NamedTuple):
    """One measured kernel or all-reduce."""

    gpu: GPU
    kind: str  # of what was measured: the accuracy's classes
    size: float  # latency in us, or bytes of an all-reduce: what the size classes go by
    shape: str
    seconds: float
    bound_s: float
    constants_of: str  # "kernels" or a link
    constants: Constants | None  # of this GPU; None: not all are known
    estimate: Callable[[Any], float]  # seconds from such constants
    line: int = 0  # of the file
    ngpu: int = 1
    resident: bool = True  # in memory for certain: no last-level cache holds what is read

    @property
    def ratio(self) -> float:
        """The estimate's time (the bound's, without constants) over the measured one."""
        seconds = self.bound_s if self.constants is None else self.estimate(self.constants)
        return seconds / self.seconds


class Band(NamedTuple):
    """Rows from one size up to another."""

    name: str
    low: float
    high: float


KINDS = (
    "decode",
    "prefill",
    "latent decode",
    "latent prefill",
    "indexed decode",
    "indexed prefill",
    "state decode",
    "state prefill",
    "all-reduce",
)
STATE_COLUMNS = ("n_head_state", "dim_k_state", "dim_v_state")
INDEX_COLUMNS = ("index_n_head", "index_dim_head", "index_topk")
KERNEL_BANDS = (
    Band("all", 0.0, math.inf),
    Band("up to 50 us", 0.0, 50.0),
    Band("above 50 us", 50.0, math.inf),
    Band("above 1 ms", 1000.0, math.inf),
)
REDUCE_BANDS = (
    Band("all", 0.0, math.inf),
    Band("below 256 KiB", 0.0, 2.0**18),
    Band("above 16 MiB", LIBRARY_REDUCE_BYTES + 1, math.inf),
)
MAX_MEASURED_BYTES = 64 * 2**20


def read_cell(row: Cells, name: str, key: Key = COUNT) -> Any:
    with blamed_on(name):
        return key.typed(row.get(name, ""))


def read_word(row: Cells, name: str, known: Collection[str], default: str) -> str:
    with blamed_on(name):
        return one_of(row.get(name, default), known)


def reduce_row(row: Cells, gpu: GPU, link: str | None) -> Measured:
    """A row of an all-reduce over a link, or over the one that joins the GPUs."""
    ngpu = read_cell(row, "ngpu", COUNT._replace(least=2))
    payload = read_cell(row, "bytes")
    us = read_cell(row, "latency_us", FIGURE)
    link_name = link if link else gpu.joining_link(ngpu)
    rate = required_figure(gpu, "link", link_name, gpu.links)
    exchange = Exchange("all-reduce", "bf16", payload, reduces=True)
    return Measured(
        gpu=gpu,
        kind="all-reduce",
        size=payload,
        shape=f"{payload} bytes over {ngpu} GPUs",
        seconds=us / 1e6,
        bound_s=exchange_bound(exchange, rate),
        constants_of=link_name,
        constants=gpu.constants_of(link_name),
        estimate=lambda constants: all_reduce_estimate(exchange, ngpu, rate, constants),
        ngpu=ngpu,
    )


def measured_state(row: Cells) -> StateMixer:
    """What a row says of a mixer that keeps a state."""
    heads, dim_k, dim_v = [read_cell(row, name) for name in STATE_COLUMNS]
    has_convolution = "conv_channels" in row
    return StateMixer(
        n_head=heads,
        dim_k=dim_k,
        dim_v=dim_v,
        conv_channels=read_cell(row, "conv_channels") if has_convolution else 0,
        conv_width=read_cell(row, "conv_width") if has_convolution else 1,
        rule=read_word(row, "state_rule", ("delta", "additive"), default="delta"),
        state_dtype=read_word(row, "state_dtype", BITS, default="fp32"),
    )


def measured_mixer(row: Cells) -> Mixer:
    """What a row says of the layer that was measured."""
    if "n_head_state" in row:
        return measured_state(row)
    n_head = read_cell(row, "n_head")
    window = 0 if row.get("window", "0") == "0" else read_cell(row, "window")
    latent = "kv_lora_rank" in row
    keys = LATENT_KEYS if latent else ("n_kv_head", "dim_head")
    widths = {key: read_cell(row, key) for key in keys}
    attention = made_mixer(widths, n_head, Mask(window=window))
    if row.keys().isdisjoint(INDEX_COLUMNS):
        return attention
    if window:
        raise InputError("window has no meaning beside index_topk")
    make = latent_indexer if latent else grouped_indexer
    return IndexedAttention(attention, make(*[read_cell(row, name) for name in INDEX_COLUMNS]))


def measured_work(row: Cells) -> Workload:
    """What a row says of the workload: one GPU's, fused."""
    phase = read_word(row, "phase", ("decode", "prefill"), default="")
    batch = read_cell(row, "batch")
    seq = read_cell(row, "seq")
    query = 1 if phase == "decode" else seq
    if "query" in row:
        query = read_cell(row, "query")
        if query > seq:
            raise InputError(f"query {query} must be at most seq {seq}")
    dtype = read_word(row, "dtype", COMPUTING, default="bf16")
    return Workload(
        ngpu=1,
        seq=seq,
        batch=batch,
        query=query,
        phase=phase if query in (1, seq) else "extend",
        dtype=dtype,
        kv_dtype=read_word(row, "kv_dtype", BITS, default="bf16"),
        weight_dtype=dtype,
        fused=True,
        split="seq",
        link="pcie",
    )


def least_work(mixer: Mixer) -> Mixer:
    """The least that kernels of this shape do: those of heads of 192 may read values of 128."""
    if isinstance(mixer, GroupedAttention) and mixer.dim_v == 192:
        return mixer._replace(dim_v=128)
    return mixer


class LoneLayer(NamedTuple):
    """The kernels of one layer on one GPU, with what it does in each and the FLOP/s in its
    precision.
    """

    form: Form
    kernels: Sequence[tuple[Kernel, KernelShare, float]]
    bandwidth: float

    def bound_s(self, fastest: float) -> float:
        """Of kernels that compute at this many FLOP/s at least."""
        terms = []
        for _, shared, peak in self.kernels:
            terms.append(kernel_bound(shared, max(peak, fastest), self.bandwidth))
        return layer_bound(self.form, terms, [])

    def estimate_s(self, constants: KernelConstants) -> float:
        seconds = 0.0
        for kernel, shared, peak in self.kernels:
            rates = Rates(peak, self.bandwidth, constants)
            seconds += kernel.estimate(shared, rates).total_s
        return seconds


def lone_layer(mixer: Mixer, gpu: GPU, work: Workload) -> LoneLayer:
    form = cheapest_form(mixer, work)
    kernels = []
    for kernel in form.kernels:
        peak = kernel_peak(kernel, gpu, work)
        kernels.append((kernel, shared_kernel(kernel, Shares()), peak))
    return LoneLayer(form, kernels, gpu.bandwidth)


def measured_kind(mixer: Mixer, work: Workload) -> str:
    """The class of a row in the table of accuracy."""
    phase = "prefill" if work.is_prompt or work.phase == "prefill" else "decode"
    return f"{mixer.kind} {phase}" if mixer.kind in ("latent", "indexed", "state") else phase


def kernel_row(row: Cells, gpu: GPU) -> Measured:
    """A row of the kernels of one layer."""
    work = measured_work(row)
    mixer = measured_mixer(row)
    us = read_cell(row, "latency_us", FIGURE)
    if work.dtype not in gpu.peaks:
        raise InputError(
            f"{gpu.name} has no {work.dtype} figure: --gpu names the GPU that was measured"
        )
    layer = lone_layer(mixer, gpu, work)
    # Measured kernels may do less than the estimate takes them to, and compute with an FP8 cache
    # in FP8.
    least_layer = lone_layer(least_work(mixer), gpu, work)
    fastest = gpu.peaks.get("fp8", 0.0) if work.kv_dtype == "fp8" else 0.0
    operands = layer.form.operands
    resident_bytes = operands.kv_bytes
    if mixer.kind == "state":  # it is read and written, but there once
        resident_bytes = work.batch * sum([part.bits for part in mixer.kept(work)]) // 8
    heads = f"{mixer.n_head}/{mixer.n_kv_head} x {mixer.dim_qk}"
    window = mixer.figures.get("window_keys") or 0
    return Measured(
        gpu=gpu,
        kind=measured_kind(mixer, work),
        size=us,
        shape=f"{work.phase} {work.batch} x {work.seq}, {heads}, window {window}, {work.kv_dtype}",
        seconds=us / 1e6,
        bound_s=least_layer.bound_s(fastest),
        constants_of="kernels",
        constants=gpu.constants_of("kernels"),
        estimate=layer.estimate_s,
        resident=resident_bytes > gpu.figures.get("last_level_cache", 0),
    )


def required_columns(columns: Collection[str]) -> tuple[str, ...]:
    """The columns that a file of kernels must have."""
    always = ("phase", "batch", "seq", "latency_us")
    if "n_head_state" in columns:
        return (*always, *STATE_COLUMNS)
    widths = LATENT_KEYS if "kv_lora_rank" in columns else ("n_kv_head", "dim_head")
    indexer = () if set(columns).isdisjoint(INDEX_COLUMNS) else INDEX_COLUMNS
    return (*always, "n_head", *widths, *indexer)


GPUByName = Callable[[str], Union[GPU, None]]


def read_measured(text: str, gpu_for: GPUByName, link: str | None) -> Iterator[Measured]:
    """The rows of a CSV file; `gpu_for` says which GPU a row's `gpu` is, None to leave it out."""
    import csv  # only this needs it

    separator = max(",;\t", key=text.partition("\n")[0].count)
    lines = text.splitlines(True)
    reader = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(str(error)) from None
    columns = {name.strip() for name in reader.fieldnames or ()}
    reduces = columns >= {"ngpu", "bytes", "latency_us"}
    for name in () if reduces else required_columns(columns):
        if name not in columns:
            raise InputError(f"has no column {name}")
    for number, row in rows:
        cells = {name.strip(): cell.strip() for name, cell in row.items() if name and cell}
        with blamed_on(f"line {number}:"):
            gpu = gpu_for(cells.get("gpu", ""))
            if gpu is None:
                continue
            measured = reduce_row(cells, gpu, link) if reduces else kernel_row(cells, gpu)
        yield measured._replace(line=number)


def classes_of(rows: Sequence[Measured]) -> Iterator[tuple[str, list[Measured]]]:
    """The rows of one kind by their size, and by how many GPUs reduced."""
    for name, low, high in REDUCE_BANDS if rows[0].kind == "all-reduce" else KERNEL_BANDS:
        yield name, [row for row in rows if low <= row.size < high]
    for ngpu in sorted({row.ngpu for row in rows} - {1}):
        yield f"{ngpu} GPUs", [row for row in rows if row.ngpu == ngpu]


def error_row(kind: str, name: str, rows: Sequence[Measured]) -> str:
    """How far the estimates of a class are off."""
    import statistics  # only this needs it

    faster = len([row for row in rows if row.resident and row.seconds < row.bound_s])
    errors = sorted([abs(row.ratio - 1) for row in rows])
    median = statistics.median(errors)
    nine_in_ten = errors[len(errors) * 9 // 10]
    bias = round(statistics.median([row.ratio - 1 for row in rows]), 3) + 0.0  # no -0.0
    found = f"{median:9.1%}{nine_in_ten:9.1%}{bias:+9.1%}"
    return f"{kind:16}{name:14}{len(rows):7,}{faster:8,}{found}"


def accuracy(rows: Sequence[Measured]) -> str:
    """How far the estimates (bounds, without constants) are off, by kind and size."""
    lines = [f"{'':30}{'rows':>7}{'faster':>8}{'median':>9}{'90 %':>9}{'bias':>9}"]
    for kind in sorted({row.kind for row in rows}, key=KINDS.index):
        for name, some in classes_of([row for row in rows if row.kind == kind]):
            if some:
                lines.append(error_row(kind, name, some))
    lines += ["", "worst ten rows"]
    for row in sorted(rows, key=lambda row: -abs(math.log(row.ratio)))[:10]:
        measured = prefixed(row.seconds, "s")
        times = f"here {row.ratio:.3g} times as long"
        lines.append(f"  line {row.line}: {row.shape}: {measured}, {times}")
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------- command line

VIEWS: dict[str, Callable[[Sweep, Outcomes], Lines]] = {
    "report": functools.partial(one_by_one, report),
    "summary": functools.partial(one_by_one, summary),
    "table": case_table,
    "csv": csv_rows,
    "json": json_lines,
    "svg": picture,
}


class Flag(NamedTuple):
    """A flag: how it is read, and what is taken where it is not given."""

    # Of the help; the flags of "case" that take values are the axes of a sweep, the last the
    # fastest.
    group: str
    value: str  # what the help calls it; nothing: it takes none
    help: str
    read: Callable[[str], Any] = str
    of_config: Any = None  # the default on the config's figures alone, as in the worked example
    # The default where a GPU or model is named, as serving engines do; None: it depends on the
    # case.
    of_named: Any = None


STORED_ONLY = ", ".join([name for name in BITS if name not in COMPUTING])
FLAGS = {
    "gpu": Flag(
        group="case",
        value="NAME",
        help="a GPU of the catalogue, or config",
    ),
    "model": Flag(
        group="case",
        value="NAME",
        help="a model of the catalogue, config, or a published Hugging Face config.json or its"
        " folder",
    ),
    "ngpu": Flag(
        group="case",
        value="N",
        help="GPUs that share the work (default 1)",
        read=values_flag,
        of_config=1,
        of_named=1,
    ),
    "seq": Flag(
        group="case",
        value="N",
        help="keys attended to, the new ones included (1024)",
        read=values_flag,
        of_config=1024,
        of_named=1024,
    ),
    "batch": Flag(
        group="case",
        value="N",
        help="sequences per step (default 1)",
        read=values_flag,
        of_config=1,
        of_named=1,
    ),
    "gen": Flag(
        group="case",
        value="BOOL",
        help="generation of one token per sequence (default True); False: prefill of the whole"
        " sequence. true/false, yes/no, 1/0, on/off",
        read=booleans_flag,
        of_config=True,
        of_named=True,
    ),
    "query": Flag(
        group="case",
        value="N",
        help="new tokens per sequence: speculative decoding, chunked prefill (default 1, or all of"
        " --seq in prefill)",
        read=values_flag,
    ),
    "dtype": Flag(
        group="case",
        value="TYPE",
        help=f"{', '.join(COMPUTING)} (default fp32; bf16 or fp16 where a GPU or model is named)",
        read=names_flag(COMPUTING),
        of_config="fp32",
    ),
    "kv_dtype": Flag(
        group="case",
        value="TYPE",
        help=f"precision of the KV cache, one of these or {STORED_ONLY} (as --dtype)",
        read=names_flag(BITS),
    ),
    "weight_dtype": Flag(
        group="case",
        value="TYPE",
        help="precision of the weights (as --dtype, or what a named model is published in, if"
        " narrower)",
        read=names_flag(BITS),
    ),
    "fused": Flag(
        group="case",
        value="BOOL",
        help="one kernel that keeps the scores on chip and skips what is masked (FlashAttention);"
        " default where a GPU or model is named",
        read=booleans_flag,
        of_named=True,
    ),
    "split": Flag(
        group="case",
        value="HOW",
        help="what the GPUs share: seq, the keys (default); head, the heads (where a GPU or model"
        " is named and they divide); batch, the sequences",
        read=names_flag(SPLITS),
        of_config="seq",
    ),
    "link": Flag(
        group="case",
        value="LINK",
        help="pcie (default) or nvlink, the scale-up link (where a GPU or model is named and it"
        " joins the GPUs)",
        read=names_flag(LINKS),
        of_config="pcie",
    ),
    "fp16": Flag(
        group="case",
        value="",
        help="short for --dtype fp16",
    ),
    "config": Flag(
        group="figures",
        value="FILE",
        help="GPU and model figures, - for standard input (default: config.json beside the script,"
        " else the same values built in)",
    ),
    "set": Flag(
        group="figures",
        value="KEY=N",
        help="another figure of the GPU or model, in the config's units: --set"
        " GPU.bandwidth=3350:6700:x2; repeatable",
    ),
    "list_gpus": Flag(
        group="figures",
        value="",
        help="show the catalogue's gpus",
    ),
    "list_models": Flag(
        group="figures",
        value="",
        help="show the catalogue's models",
    ),
    "format": Flag(
        group="output",
        value="VIEW",
        help="report (default for the config's one case); summary (for a named one): what limits"
        " attention, and what would help; table (for several), csv, json; svg: a picture",
        read=lambda text: one_of(text, VIEWS),
    ),
    "help": Flag(
        group="output",
        value="",
        help="show this help and exit",
    ),
    "version": Flag(
        group="output",
        value="",
        help="show the version and exit",
    ),
    "measured": Flag(
        group="measurements",
        value="FILE",
        help="hold the model against the measured kernels of a CSV file, - for standard input",
    ),
}
AXES = {name: flag for name, flag in FLAGS.items() if flag.group == "case" and flag.value}
FIT_MOVED = "--fit is not here: run python3 tests/fit.py FILE, in the project's checkout"


def to_stderr(text: str) -> None:
    """Text on standard error, or nothing where even that cannot be written."""
    with contextlib.suppress(OSError, AttributeError):  # full disk; no standard error at all
        sys.stderr.write(text)  # its newline or carriage return flushes


def diagnose(kind: str, message: str) -> None:
    """One ASCII line, however long the message or what it quotes."""
    line = f"{PROGRAM}: {kind}: " + message.encode("ascii", "backslashreplace").decode()
    if len(line) > 300:
        line = f"{line[:296]} ..."
    to_stderr(f"{line}\n")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        PROGRAM, add_help=False, allow_abbrev=False, exit_on_error=False
    )
    result.usage = "%(prog)s [flags]"
    result.description = (__doc__ or "").partition("\nSymbols")[0]
    result.formatter_class = functools.partial(argparse.RawDescriptionHelpFormatter, width=80)
    result.argument_default = argparse.SUPPRESS  # what is not given is not there
    result.color = False  # type: ignore[attr-defined,unused-ignore]  # Python 3.14 colours help
    titles = dict.fromkeys([flag.group for flag in FLAGS.values()])
    groups = {title: result.add_argument_group(title) for title in titles}
    for name, flag in FLAGS.items():
        takes: dict[str, Any] = {"metavar": flag.value, "type": flag.read}
        if not flag.value:
            takes = {"action": "store_const", "const": ""}
        elif flag.value == "BOOL":
            takes.update(nargs="?", const="True")
        elif name == "set":
            takes["action"] = "append"
        names = ["-h", "--help"] if name == "help" else [f"--{dashed(name)}"]
        groups[flag.group].add_argument(*names, help=flag.help, **takes)
    return result


def refuse_dashes(words: Sequence[str]) -> None:
    """InputError for two dashes alone: argparse before 3.13 makes an empty list of them."""
    before = ""
    for word in words:
        if word == "--" and before:
            raise InputError(f'unknown argument "--" after {quoted(before)}; see --help')
        if word == "--" or word.endswith("=--"):
            raise InputError(f"unknown argument {quoted(word)}; see --help")
        before = word


def flag_for(word: str) -> str:
    """The flag that a value, or a key of the config, goes to; nothing for other words."""
    values: dict[str, Collection[str]] = {
        "dtype": COMPUTING,
        "format": VIEWS,
        "link": LINKS,
        "split": SPLITS,
    }
    for flag, known in values.items():
        if word in known:
            return f"--{flag} {word}"
    for section, keys in CONFIG_KEYS.items():
        if word in keys:
            return f"--set {section}.{word}="
    return ""


def read_flags(argv: Sequence[str] | None) -> dict[str, Any]:
    """The values of the flags that are given; InputError for an argument that is none."""
    words = sys.argv[1:] if argv is None else argv
    refuse_dashes(words)
    try:
        parsed, unknown = parser().parse_known_args(words)
    except argparse.ArgumentError as error:
        raise InputError(f"{error.argument_name} {error.message}") from None
    if unknown and "help" not in parsed:
        name = unknown[0].split("=")[0]
        if name == "--fit":
            raise InputError(FIT_MOVED)
        meant = flag_for(name.lstrip("-").replace("-", "_"))
        hint = f" (say {meant})" if meant else ""
        if not hint:
            hint = did_you_mean(name, [f"--{dashed(flag)}" for flag in FLAGS])
        raise InputError(f"unknown argument {quoted(unknown[0])}{hint}; see --help")
    return vars(parsed)


def check_flags(values: Values) -> Values:
    """The flags, with those that others are short for; InputError for those that contradict each
    other.
    """
    if "fp16" in values and values.get("dtype", ["fp16"]) != ["fp16"]:
        raise InputError(f"--fp16 and --dtype {','.join(values['dtype'])} contradict each other")
    for name in ("config", "measured"):
        if values.get(name) == "":
            raise InputError(f"--{name} must name a file, or - for standard input")
    piped = [f"--{name} -" for name in ("config", "model", "measured") if values.get(name) == "-"]
    if len(piped) > 1:
        raise InputError(f"{' and '.join(piped)}: standard input can be read once")
    if "measured" in values:
        stray = values.keys() - {"measured", "gpu", "link", "config", "set"}
        if stray:
            raise InputError(f"--{dashed(min(stray))} has no meaning beside --measured")
        if len(values.get("link", "")) > 1:
            raise InputError("--link takes one value beside --measured")
    return {**values, "dtype": ["fp16"]} if "fp16" in values else values


def set_figures(flags: Values) -> dict[str, Sequence[Any]]:
    """The values of every key that --set names."""
    known = {}
    for section, keys in CONFIG_KEYS.items():
        for name, key in keys.items():
            if not key.text and not key.choices:
                known[f"{section}.{name}"] = key
    figures: dict[str, Sequence[Any]] = {}
    for text in flags.get("set", []):
        name, _, values = text.partition("=")
        if name not in known:
            hint = did_you_mean(name, known) or " (a number of the config, such as GPU.bandwidth)"
            raise InputError(f"--set {quoted(name)} is not a key that takes a number{hint}")
        if name in figures:
            raise InputError(f"--set {name} is given twice")
        with blamed_on(f"--set {name}"):
            figures[name] = values_flag(values, known[name])
    return figures


Axes = Mapping[str, Sequence[Any]]


def first_values(axes: Axes) -> dict[str, Any]:
    return {name: values[0] for name, values in axes.items()}


def ends_of(axes: Axes, axis: str, changed: Callable[[Any, Values], Any]) -> list[Any]:
    """GPUs or models under the first values of --set, then under the last. Those that cannot be are
    left out: their rows say why.
    """
    last_values = {name: values[-1] for name, values in axes.items()}
    ends = []
    for values in (first_values(axes), last_values):
        for subject in axes[axis]:
            with contextlib.suppress(InputError):
                ends.append(changed(subject, values))
    return ends


def gpu_without_constants(
    gpus: Iterable[GPU], counts: Collection[int], links: Sequence[str | None]
) -> str:
    """The name of a GPU without the constants for an estimate of some case, if there is one."""
    for gpu in gpus:
        for n, given_link in itertools.product(counts, links):
            link = given_link if given_link else gpu.joining_link(n)
            possible = n == 1 or link in gpu.links
            if possible and not gpu.has_estimate(n, link):
                return gpu.name
    return ""


# The order of a heading, and how its words are shortened.
HEADING_ORDER = "gen gpu model ngpu seq batch query dtype kv_dtype weight_dtype split link fused"
HEADING_WORDS = {
    "gen True": "decode",
    "gen False": "prefill",
    "fused True": "fused",
    "fused False": "unfused",
}


def some_of(values: Sequence[int]) -> list[int]:
    """Both ends of an axis, and some between: it may be long."""
    return list(dict.fromkeys((values[0], values[-1], *values[:99])))


def assumed_values(
    name: str, axes: Axes, gpus: Sequence[GPU], models: Sequence[Model]
) -> list[Any]:
    """What the first cases of a sweep take for a flag that is not given."""
    first = first_values(axes)
    values: dict[Any, None] = {}  # in their order
    cases = itertools.product(gpus, models, some_of(axes["ngpu"]), axes["dtype"])
    for gpu, model, ngpu, dtype in itertools.islice(cases, 10_000):
        work = workload(gpu, model, {**first, "ngpu": ngpu, "dtype": dtype})
        values[getattr(work, name)] = None
    return list(values)


def common_text(axes: Axes, gpus: Sequence[GPU], models: Sequence[Model]) -> Lines:
    """What the cases have in common, as a heading: where no flag says it, all that is assumed."""
    first = first_values(axes)
    hidden = {"gen" if first["query"] else "query"}
    if max(axes["ngpu"]) == 1:
        hidden.update(("split", "link"))
    for name in dict.fromkeys([*HEADING_ORDER.split(), *axes]):
        if len(axes[name]) > 1 or name in hidden:
            continue
        values = [first[name]]
        if first[name] is None:
            values = assumed_values(name, axes, gpus, models)
        text = f"{dashed(name)} {'/'.join(map(value_text, values))}"
        if values:
            yield HEADING_WORDS.get(text, text)


def config_of(flags: Values) -> Callable[[], ConfigFile]:
    """The config that the flags name, read once, and only if something asks for it."""
    return functools.cache(functools.partial(read_config, flags.get("config")))


def read_sweep(flags: Values) -> Sweep:
    """What the flags ask for."""
    config = config_of(flags)
    gpus = read_named(flags.get("gpu", "config"), catalogue(GPUS), find_gpu, lambda: config().gpu())
    models = read_named(
        flags.get("model", "config"),
        known_models(),
        find_model,
        lambda: config().model(),
    )
    named = "gpu" in flags or "model" in flags
    axes: dict[str, Sequence[Any]] = {}
    for name, flag in AXES.items():
        axes[name] = flags.get(name, [flag.of_named if named else flag.of_config])
    axes.update(gpu=gpus, model=models, **set_figures(flags))
    gpu_ends = ends_of(axes, "gpu", changed_gpu)
    model_ends = ends_of(axes, "model", changed_model)
    lacking = gpu_without_constants(gpu_ends, some_of(axes["ngpu"]), axes["link"])
    basis = f"bounds: {lacking} lacks constants" if lacking else "estimates"
    return Sweep(
        axes=axes,
        varying=[name for name, values in axes.items() if len(values) > 1],
        total=math.prod(map(len, axes.values())),
        given=frozenset(flags),
        common=[*common_text(axes, gpu_ends, model_ends), basis],
        bounds=bool(lacking),
    )


PROGRESS_STEP = 10_000  # cases


def with_progress(outcomes: Outcomes, total: int) -> Outcomes:
    """The outcomes, counted on a terminal where they are many."""
    if total < PROGRESS_STEP or sys.stderr is None or not sys.stderr.isatty():
        yield from outcomes
        return
    try:
        for number, outcome in enumerate(outcomes):
            if number % PROGRESS_STEP == 0:
                to_stderr(f"\r{number} of {total} cases")
            yield outcome
    finally:
        to_stderr(f"\r{'':60}\r")


def warn_of_reading(models: Iterable[Model]) -> None:
    for model in models:
        for note in model.notes:
            diagnose("warning", f"{value_text(model)}: {note}")


def with_warnings(sweep: Sweep, outcomes: Outcomes) -> Outcomes:
    """Outcomes of a sweep, with warnings on standard error; InputError if none can be."""
    first_reason = ""
    answered = 0
    misfits = 0
    for outcome in with_progress(outcomes, sweep.total):
        if isinstance(outcome, Refusal):
            first_reason = first_reason or outcome.reason
            if sweep.total > 1:
                yield outcome
            continue
        answered += 1
        if answered == 1:
            warn_of_reading(sweep.axes["model"])
        if not outcome.memory.fits:
            misfits += 1
            if sweep.total == 1:
                diagnose("warning", misfit(outcome))
        yield outcome
    if not answered:
        raise InputError(first_reason)
    if misfits and sweep.total > 1:
        diagnose("warning", f"{misfits} of {sweep.total} cases do not fit into memory")


def measured_changes(flags: Values) -> dict[str, Any]:
    """The figures that --set gives beside --measured."""
    changes = {}
    for name, values in set_figures(flags).items():
        if not name.startswith("GPU.") or len(values) > 1:
            raise InputError(f"--set {name}: --measured takes one value of a GPU's key")
        changes[name] = values[0]
    return changes


def measured_rows(flags: Values) -> dict[str, list[Measured]]:
    """The rows of the file by GPU: of those that --gpu names, or of all that it has."""
    changes = measured_changes(flags)
    gpus: dict[str, GPU] = {}
    config = config_of(flags)
    for gpu in read_named(
        flags.get("gpu", "config"), catalogue(GPUS), find_gpu, lambda: config().gpu()
    ):
        with blamed_on("--set:"):
            gpus[gpu.name] = changed_gpu(gpu, changes)

    @functools.cache
    def gpu_for(name: str) -> GPU | None:
        if not name and len(gpus) > 1:
            raise InputError("no gpu, and --gpu names several")
        if not name:
            return next(iter(gpus.values()))
        if name in gpus:
            return gpus[name]
        gpu = find_gpu(name)
        if "gpu" in flags:
            return gpus.get(gpu.name)
        with blamed_on("--set:"):
            return changed_gpu(gpu, changes)

    name = source_name(flags["measured"])
    with blamed_on("--measured"):
        text = read_text(flags["measured"], MAX_MEASURED_BYTES)
    rows: dict[str, list[Measured]] = {}
    with blamed_on(f"{name}:"):
        for row in read_measured(text, gpu_for, flags.get("link", [None])[0]):
            rows.setdefault(row.gpu.name, []).append(row)
    if not rows:
        raise InputError(f"{name}: has no row for this GPU")
    return rows


def unit_warning(name: str, rows: Sequence[Measured]) -> str:
    """What is wrong with latencies that are far from what a GPU can do; nothing with others."""
    typical = sorted([row.ratio for row in rows])[len(rows) // 2]
    estimated = rows[0].constants is not None
    if typical > 30 or (estimated and typical < 1 / 30):
        return f"{name} is {typical:.2g} times as slow here: are latencies in microseconds?"
    return ""


def measure(flags: Values) -> Lines:
    """The report of --measured on the rows of each GPU."""
    for name, measured in measured_rows(flags).items():
        known = all(row.constants for row in measured)
        rows = measured if known else [row._replace(constants=None) for row in measured]
        warning = unit_warning(name, rows)
        if warning:
            diagnose("warning", warning)
        basis = "estimate" if known else "bound only: no constants"
        yield f"{name}, {len(rows):,} rows; {basis}\n\n{accuracy(rows)}\n"


def published_lines() -> Lines:
    """A line for each model of the catalogue that is described by published keys."""
    yield "\nBy published keys:\n"
    for name in published_models():
        model = find_model(name)
        kinds = ", ".join([f"{kind.n_layer} {kind.mixer.kind}" for kind in model.layers])
        billions = model.figures["params_b"] / 1e9
        size = f"{billions:.4g}e9 parameters"
        yield f"{name:23} {size}; {kinds}\n"


def run(argv: Sequence[str] | None) -> Lines:
    """The text for a command line, in pieces; InputError for one that cannot be answered."""
    given = read_flags(argv)
    if "help" in given:
        yield parser().format_help()
    elif "version" in given:
        yield f"{PROGRAM} {__version__}\n"
    elif "list_gpus" in given or "list_models" in given:
        yield GPUS if "list_gpus" in given else ""
        if "list_models" in given:
            yield MODELS
            yield from published_lines()
    elif "measured" in given:
        yield from measure(check_flags(given))
    else:
        flags = check_flags(given)
        sweep = read_sweep(flags)
        if "format" in flags:
            view = flags["format"]
        elif sweep.total > 1:
            view = "table"
        elif "gpu" in flags or "model" in flags or not sweep.axes["model"][0].unfused:
            view = "summary"
        else:
            view = "report"
        outcomes = outcomes_of(sweep)
        if view == "report":
            outcomes = reported(outcomes)
        yield from VIEWS[view](sweep, with_warnings(sweep, outcomes))


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
