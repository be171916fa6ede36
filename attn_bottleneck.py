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

BYTE_UNITS = {"GB": 10**9, "MB": 10**6, "KB": 10**3}

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


class Model(NamedTuple):
    """The attention geometry of a transformer."""

    n_layer: int
    n_head: int
    n_kv_head: int
    dim_head: int


class Workload(NamedTuple):
    """What is asked of the GPUs: one step over `batch` sequences."""

    n_gpu: int
    batch: int
    seq: int  # keys attended to, the new tokens' included
    query: int  # new tokens per sequence
    generation: bool
    dtype: str


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


class Key(NamedTuple):
    """How a config key is checked, and what one of its unit is in base units."""

    check: Callable[[object], Any]
    required: bool = False
    scale: float = 1.0


CONFIG_KEYS = {
    "GPU": {
        "model": Key(check_text, required=True),
        **{name: Key(check_figure, name in ("fp16", "fp32"), 1e12) for name in PRECISION_BITS},
        "memory": Key(check_figure, required=True, scale=1e9),
        "bandwidth": Key(check_figure, required=True, scale=1e9),
        "pcie": Key(check_figure, required=True, scale=1e9),
        "nvlink": Key(check_figure, scale=1e9),
    },
    "Model": {
        "n_layer": Key(check_count, required=True),
        "n_head": Key(check_count, required=True),
        "n_kv_head": Key(check_count),
        "dim_head": Key(check_count, required=True),
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


def read_section(config: Mapping[str, Any], section: str, source: str) -> dict[str, Any]:
    """The checked values of one section of a config, in base units."""
    keys = CONFIG_KEYS[section]
    found = known_keys(config.get(section, {}), keys, f"{source}: {section}")
    values = {}
    for name, key in keys.items():
        try:
            if name in found:
                value = key.check(found[name])
                values[name] = value if key.scale == 1 else value * key.scale
            elif key.required:
                raise InputError("is missing")
        except InputError as error:
            raise InputError(f"{source}: {section}.{name} {error}") from None
    return values


def read_gpu(config: Mapping[str, Any], source: str) -> GPU:
    values = read_section(config, "GPU", source)
    return GPU(
        name=values["model"],
        peaks={name: values[name] for name in PRECISION_BITS if name in values},
        memory=values["memory"],
        bandwidth=values["bandwidth"],
        links={name: values[name] for name in ("pcie", "nvlink") if name in values},
    )


def read_model(config: Mapping[str, Any], source: str) -> Model:
    values = read_section(config, "Model", source)
    n_head, n_kv_head = values["n_head"], values.get("n_kv_head", values["n_head"])
    if n_head % n_kv_head:
        raise InputError(f"{source}: Model.n_kv_head must divide n_head {n_head}, not {n_kv_head}")
    return Model(values["n_layer"], n_head, n_kv_head, values["dim_head"])


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
    known_keys(config, CONFIG_KEYS, f"{source}: it")
    return read_gpu(config, source), read_model(config, source)


# ------------------------------------------------------------------------------- cost model


class Product(NamedTuple):
    """One of attention's two matrix products in one layer, over all GPUs."""

    flops: int
    read_bytes: int  # of K or V
    sync_bytes: int  # exchanged between the GPUs; 0 on one GPU
    compute_s: float
    memory_s: float
    sync_s: float


class Analysis(NamedTuple):
    """A case and what it costs; every view prints from this alone."""

    gpu: GPU
    model: Model
    work: Workload
    cached_rows: int  # rows of K (and of V) per sequence and head
    cache_bytes: int
    scores: Product  # S = Q K^T
    values: Product  # A = S V


def product(gpu: GPU, work: Workload, flops: int, read_bytes: int, result_bytes: int) -> Product:
    """Times at the GPU's peaks; each of n GPUs holds 1/n of the keys, results are exchanged."""
    n = work.n_gpu
    sync_bytes = result_bytes if n > 1 else 0
    return Product(
        flops=flops,
        read_bytes=read_bytes,
        sync_bytes=sync_bytes,
        compute_s=flops / gpu.peaks[work.dtype] / n,
        memory_s=read_bytes / gpu.bandwidth / n,
        sync_s=sync_bytes / gpu.links["pcie"],
    )


def analyse(gpu: GPU, model: Model, work: Workload) -> Analysis:
    """What one attention layer costs; InputError if the GPU lacks the precision."""
    if work.dtype not in gpu.peaks:
        raise InputError(
            f"--dtype {work.dtype}: {gpu.name} has no figure for it (it has {', '.join(gpu.peaks)})"
        )
    d, rows = model.dim_head, work.seq - 1 if work.generation else work.seq
    query_rows = work.batch * model.n_head * work.query
    kv_bytes = stored_bytes(work.batch * model.n_kv_head * d * rows, work.dtype)
    scores = product(
        gpu,
        work,
        flops=query_rows * work.seq * (2 * d - 1),
        read_bytes=kv_bytes,
        result_bytes=stored_bytes(query_rows * work.seq, work.dtype),
    )
    values = product(
        gpu,
        work,
        flops=query_rows * d * (2 * work.seq - 1),
        read_bytes=kv_bytes,
        result_bytes=stored_bytes(query_rows * d, work.dtype),
    )
    return Analysis(gpu, model, work, rows, 2 * model.n_layer * kv_bytes, scores, values)


# ------------------------------------------------------------------------------------ views

RULE = "-" * 38


def whole_bytes(count: int) -> str:
    """A byte count cut to a whole number of the largest unit in which it is not 0."""
    for unit, size in BYTE_UNITS.items():
        if count >= size:
            return f"{count // size} {unit}"
    return f"{count} bytes"


def report_product(case: Analysis, part: Product, formula: str, shapes: str, result: str) -> str:
    """The block of one product; `result` names what is synchronised, and its shape."""
    model, work = case.model, case.work
    label = work.dtype.upper()
    element = f"{PRECISION_BITS[work.dtype] / 8:g}"
    batch = f"{work.batch} x " if work.batch > 1 else ""
    name, shape = result.split(maxsplit=1)
    lines = [
        RULE,
        formula,
        f"{batch}{model.n_head} x ({shapes})",
        RULE,
        f"Total FLOPS: {part.flops} FLOPS",
        f"Computation time ({label}):  {part.compute_s:.3e}s",
        "",
        f"Read Key Matrix ({label}): {batch}{model.n_kv_head} x"
        f" ({model.dim_head} x {case.cached_rows}) x {element} = {part.read_bytes} bytes",
        f"Memory time:  {part.memory_s:.3e}s",
        "",
    ]
    # The requirement takes the work of one GPU, undivided: kept as the user's document has it.
    alone_s = part.flops / case.gpu.peaks[work.dtype]
    if work.n_gpu > 1:
        lines += [
            f"Synchronizing {name} ({label}): {batch}{model.n_head} x"
            f" ({shape}) x {element} = {part.sync_bytes} bytes",
            f"Sync time:  {part.sync_s:.3e}s",
            "",
            "Bandwidth Requirement (with sync):"
            f" {part.read_bytes / (alone_s + part.sync_s) / 1e12:.3f} TB/s",
        ]
    required = part.read_bytes / alone_s / 1e12
    lines.append(f"Bandwidth Requirement (without sync): {required:.3f} TB/s")
    return "\n".join(lines) + "\n"


def report(case: Analysis) -> str:
    """The classic report: both products of one layer, step by step."""
    work, d = case.work, case.model.dim_head
    q, s = work.query, work.seq
    head = [
        RULE,
        f"Working with {work.n_gpu} {case.gpu.name} GPUs",
        RULE,
        "QKV size per head",
        f"Q: {q} x {d}",
        f"K (including cache): {s} x {d}",
        f"V (including cache): {s} x {d}",
        f"Cached KV size ({work.dtype.upper()}): {whole_bytes(case.cache_bytes)}",
        RULE,
        f"In Attention Layer (per {case.model.n_head} head)",
    ]
    return (
        "\n".join(head)
        + "\n"
        + report_product(
            case, case.scores, "S = Q x K^T", f"({q} x {d}) x ({d} x {s})", f"S {q} x {s}"
        )
        + report_product(
            case, case.values, "Attn = S x V", f"({q} x {s}) x ({s} x {d})", f"Attn {q} x {d}"
        )
    )


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


def dtype_flag(text: str) -> str:
    return one_of(text, {name: name for name in PRECISION_BITS})


class Flag(NamedTuple):
    """A flag with a value: how it is checked, its default, and its line in the help."""

    check: Callable[[str], Any]
    default: Any
    metavar: str
    help: str


FLAGS = {
    "ngpu": Flag(count_flag, 1, "N", "GPUs that share the work (default 1)"),
    "gen": Flag(
        boolean_flag,
        True,
        "BOOL",
        "generation of one token per sequence (default True); False: prefill of the whole"
        " sequence. true/false, yes/no, 1/0, on/off",
    ),
    "dtype": Flag(dtype_flag, "fp32", "TYPE", f"{', '.join(PRECISION_BITS)} (default fp32)"),
    "seq": Flag(count_flag, 1024, "N", "keys attended to, the new ones included (default 1024)"),
    "batch": Flag(count_flag, 1, "N", "sequences per step (default 1)"),
    "config": Flag(
        str,
        None,
        "FILE",
        "GPU and model figures, - for standard input (default: config.json"
        " beside the script, else the same values built in)",
    ),
}


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
        bare = "?" if flag.check is boolean_flag else None
        const = "True" if bare else None
        flags.add_argument(
            f"--{name}", metavar=flag.metavar, nargs=bare, const=const, help=flag.help
        )
    flags.add_argument("--fp16", action="store_true", help="short for --dtype fp16")
    flags.add_argument("--version", action="store_true", help="show the version and exit")
    return result


def split_flags(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as text by flag; InputError for an argument that is none."""
    found, unknown = parser().parse_known_args(argv)
    if unknown and not found.help:
        name = unknown[0].split("=")[0]
        hint = did_you_mean(name, [f"--{flag}" for flag in vars(found)])
        raise InputError(f"unknown argument {shown(unknown[0])}{hint}; see --help")
    return found


def check_flags(found: argparse.Namespace) -> dict[str, Any]:
    """The checked value of every flag, given or default."""
    values = {}
    for name, flag in FLAGS.items():
        text = getattr(found, name)
        try:
            values[name] = flag.default if text is None else flag.check(text)
        except InputError as error:
            raise InputError(f"--{name} {error}") from None
    if found.fp16:
        if found.dtype is not None and values["dtype"] != "fp16":
            raise InputError(f"--fp16 and --dtype {values['dtype']} contradict each other")
        values["dtype"] = "fp16"
    return values


def answer(argv: Sequence[str] | None) -> Iterator[str]:
    """The text for a command line, in pieces; InputError for one that cannot be answered."""
    found = split_flags(argv)
    if found.help:
        yield parser().format_help()
        return
    if found.version:
        yield f"{PROGRAM} {__version__}\n"
        return
    flags = check_flags(found)
    gpu, model = read_config(flags["config"])
    work = Workload(
        n_gpu=flags["ngpu"],
        batch=flags["batch"],
        seq=flags["seq"],
        query=1 if flags["gen"] else flags["seq"],
        generation=flags["gen"],
        dtype=flags["dtype"],
    )
    yield report(analyse(gpu, model, work))


def complain(message: str) -> None:
    """One line on standard error, or nothing where even that cannot be written."""
    with contextlib.suppress(OSError, AttributeError):  # full disk; no standard error at all
        sys.stderr.write(f"{PROGRAM}: error: {message}\n")
        sys.stderr.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the answer to a command line (default: sys.argv's) and return the exit code."""
    if sys.stdout is None:  # the shell's `>&-`
        complain("standard output is closed")
        return 1
    try:
        for text in answer(argv):
            sys.stdout.write(text)
        sys.stdout.flush()
    except InputError as error:
        complain(str(error))
        return 2
    except BrokenPipeError:
        code = 0
    except OSError as error:
        complain(f"standard output cannot be written: {error.strerror}")
        code = 1
    else:
        return 0
    # Python flushes once more at exit: let what is left go nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
