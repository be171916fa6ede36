"""What several test modules share: running the script, and configs to run it on."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import math
import re
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unittest import mock

import attn_bottleneck
from tests import fit

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "attn_bottleneck.py"
FIT_SCRIPT = ROOT / "tests" / "fit.py"
SHARED = ROOT.parent / "shared"
CONFIG: dict[str, dict[str, Any]] = json.loads((ROOT / "config.json").read_text())


Test = TypeVar("Test", bound=Callable[..., Any])


def needs_shared(folder: str) -> Callable[[Test], Test]:
    """Skip a test, saying so, where the shared folder of facts is not beside the checkout."""
    return unittest.skipUnless((SHARED / folder).is_dir(), f"../shared/{folder} is not here")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Result(NamedTuple):
    """What a script has printed, and its exit code."""

    code: int
    out: str
    err: str


def printed_by(main: Callable[[list[str]], int], *argv: str) -> Result:
    """What a script's main() prints in this process, and its exit code."""
    out = io.StringIO()
    err = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(argv))
    return Result(code, out.getvalue(), err.getvalue())


def run(*argv: str) -> Result:
    """attn_bottleneck.py in this process."""
    return printed_by(attn_bottleneck.main, *argv)


def json_of(flags: str) -> Any:
    """The JSON object of one case."""
    return json.loads(run(*flags.split(), "--format", "json").out)


@functools.cache
def fit_of_h100(name: str) -> Result:
    """The fit of a shared file's rows of an H100: it takes seconds, and several tests read it."""
    return printed_by(fit.main, str(SHARED / "silicon" / name), "--gpu", "h100-sxm")


def process(*argv: str, script: Path = SCRIPT, **options: Any) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, as a shell runs it."""
    defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, str(script), *argv]
    return subprocess.run(command, check=False, timeout=60, **{**defaults, **options})


class ScriptTest(unittest.TestCase):
    """A test case that runs a script, attn_bottleneck.py unless a subclass names another, and
    writes files for it.
    """

    program = "attn_bottleneck.py"
    main = staticmethod(attn_bottleneck.main)

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def written(self, text: str | bytes, name: str = "config.json") -> str:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def config(
        self, gpu: dict[str, Any] | None = None, model: dict[str, Any] | None = None, drop: str = ""
    ) -> str:
        """A config file: the default with some keys set and one, "Section.key", left out."""
        config: dict[str, dict[str, Any]] = {
            "GPU": {**CONFIG["GPU"], **(gpu or {})},
            "Model": {**CONFIG["Model"], **(model or {})},
        }
        if drop:
            section, key = drop.split(".")
            del config[section][key]
        return self.written(json.dumps(config))

    def answer(self, *argv: str, warning: str = "") -> str:
        """What the script prints for arguments that it must accept, with this warning at most."""
        result = printed_by(self.main, *argv)
        self.assertEqual((result.code, result.err[: len(warning)]), (0, warning), argv)
        self.assertEqual(bool(result.err), bool(warning), argv)
        return result.out

    def assert_checked(self, table: str) -> None:
        """That the rows of a table are those whose checksums tests/checksums.py has."""
        from tests import checksums  # which needs this module

        differences = checksums.differences(table)
        if differences:
            self.fail("\n".join(differences))

    def rows(self, *flags: str) -> list[dict[str, str]]:
        """The cases of a sweep as CSV has them, those that cannot be among them."""
        return list(csv.DictReader(io.StringIO(run(*flags, "--format", "csv").out)))

    def refusal(self, *argv: str) -> str:
        """The one line that the script prints for arguments that it must refuse."""
        result = printed_by(self.main, *argv)
        self.assertEqual((result.code, result.out), (2, ""), argv)
        self.assertRegex(result.err, rf"\A{re.escape(self.program)}: error: [ -~]+\n\Z", argv)
        self.assertLess(len(result.err), 400, argv)
        return result.err


class CaseTest(ScriptTest):
    """A test case that asks for single cases of a GPU and a model of its own."""

    def record(self, model: dict[str, Any], flags: str, gpu: dict[str, Any] | None = None) -> Any:
        """The JSON object of a case: on an H100, if no GPU is given."""
        path = self.written(json.dumps({"GPU": gpu or H100, "Model": model}))
        result = run("--config", path, "--format", "json", *flags.split())
        self.assertEqual(result.code, 0, result.err)
        return json.loads(result.out)

    def quantity(
        self, model: dict[str, Any], flags: str, path: str, gpu: dict[str, Any] | None = None
    ) -> Any:
        """One value of that object, under keys and indexes with dots between them."""
        value = self.record(model, flags, gpu)
        for key in path.split("."):
            value = value[int(key)] if key.isdigit() else value[key]
        return value

    def summary(
        self, model: dict[str, Any], flags: str, gpu: dict[str, Any] | None = None
    ) -> list[str]:
        """The lines of the summary of the same case."""
        path = self.written(json.dumps({"GPU": gpu or H100, "Model": model}))
        return run("--config", path, "--format", "summary", *flags.split()).out.splitlines()

    def assert_close(self, value: float, expected: float, tolerance: float = 1e-12) -> None:
        close = math.isclose(value, expected, rel_tol=tolerance)
        self.assertTrue(close, (value, expected))


# A published model: a llama of four layers, 8 heads of 64, 2 of them for keys and values.
BASE: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 9,
    "num_hidden_layers": 4,
    "hidden_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}


class Shape(NamedTuple):
    """Layers of one kind as tests write and compare them."""

    kind: str  # "full" or "windowed"
    n_layer: int
    n_head: int
    n_kv_head: int
    dim_qk: int  # width of a query or key head
    dim_v: int  # width of a value head
    window: int = 0  # keys that a row sees at most; 0: all
    kv_lora_rank: int = 0  # latent attention: width of the latent; 0: not latent
    qk_rope_head_dim: int = 0  # latent attention: width of the rotary part


def full(n_layer: int, shape: str, window: int = 0, latent: str = "0 0") -> Shape:
    """The shape "heads/K/V heads x width of K/of V", with the K/V parts where they differ.

    >>> layers = full(4, "8/2 x 96/64", window=9)
    >>> layers.n_head, layers.n_kv_head, layers.dim_qk, layers.dim_v
    (8, 2, 96, 64)
    """
    heads_text, widths_text = shape.split(" x ")
    heads = [int(number) for number in heads_text.split("/")]
    widths = [int(number) for number in widths_text.split("/")]
    rank, rope = latent.split()
    return Shape(
        kind="windowed" if window else "full",
        n_layer=n_layer,
        n_head=heads[0],
        n_kv_head=heads[-1],
        dim_qk=widths[0],
        dim_v=widths[-1],
        window=window,
        kv_lora_rank=int(rank),
        qk_rope_head_dim=int(rope),
    )


def windowed(n_layer: int, shape: str, window: int) -> Shape:
    return full(n_layer, shape, window)


# ----------------------------------------------- what tests use of the inside of attn_bottleneck.py


def layers_of(shape: Shape) -> attn_bottleneck.Layers:
    """The layers of a shape, as the cost model takes them."""
    return attn_bottleneck.Layers(shape.n_layer, mixer_of(shape))


def mixer_of(shape: Shape) -> attn_bottleneck.Mixer:
    if shape.kv_lora_rank:
        return attn_bottleneck.LatentAttention(
            n_head=shape.n_head,
            kv_lora_rank=shape.kv_lora_rank,
            qk_rope_head_dim=shape.qk_rope_head_dim,
            qk_nope_head_dim=shape.dim_qk - shape.qk_rope_head_dim,
            v_head_dim=shape.dim_v,
            mask=attn_bottleneck.Mask(window=shape.window),
        )
    return attn_bottleneck.GroupedAttention(
        n_head=shape.n_head,
        n_kv_head=shape.n_kv_head,
        dim_qk=shape.dim_qk,
        dim_v=shape.dim_v,
        mask=attn_bottleneck.Mask(window=shape.window),
    )


def shape_of(layers: attn_bottleneck.Layers) -> Shape:
    """The shape of a model's layers of one kind with keys and values."""
    mixer: Any = layers.mixer
    if mixer.kind == "indexed":
        mixer = mixer.attention
    if mixer.kind == "compressed":
        return Shape(
            kind="windowed",
            n_layer=layers.n_layer,
            n_head=mixer.n_head,
            n_kv_head=1,
            dim_qk=mixer.dim_qk,
            dim_v=mixer.dim_qk,
            window=mixer.window,
        )
    latent = isinstance(mixer, attn_bottleneck.LatentAttention)
    window = mixer.mask.window or mixer.mask.chunk
    return Shape(
        kind="windowed" if window else "full",
        n_layer=layers.n_layer,
        n_head=mixer.n_head,
        n_kv_head=mixer.n_kv_head,
        dim_qk=mixer.dim_qk,
        dim_v=mixer.v_head_dim if latent else mixer.dim_v,
        window=window,
        kv_lora_rank=mixer.kv_lora_rank if latent else 0,
        qk_rope_head_dim=mixer.qk_rope_head_dim if latent else 0,
    )


def shapes_of(model: attn_bottleneck.Model) -> tuple[Shape, ...]:
    """The shapes of all layers but those whose mixer keeps a state instead of keys and values; of
    those that differ only in what stands beside them, one.
    """
    n_layers: dict[Shape, int] = {}
    for layers in model.layers:
        if layers.mixer.kind != "state":
            shape = shape_of(layers)
            alike = shape._replace(n_layer=1)
            n_layers[alike] = n_layers.get(alike, 0) + layers.n_layer
    shapes = [shape._replace(n_layer=n_layer) for shape, n_layer in n_layers.items()]
    return tuple(sorted(shapes, key=lambda shape: shape.kind))


def cached_elements(model: attn_bottleneck.Model) -> int:
    """Elements that one token adds to the KV caches of all layers."""
    elements = 0
    for layers in model.layers:
        mixer: Any = layers.mixer
        if mixer.kind == "state":
            continue
        if mixer.kind == "indexed":
            mixer = mixer.attention
        latent = isinstance(mixer, attn_bottleneck.LatentAttention)
        elements += layers.n_layer * (mixer.latent_width if latent else mixer.kv_width)
    return elements


def model_of(*shapes: Shape) -> attn_bottleneck.Model:
    """A model of these layers, whose parameters are unknown."""
    layers = tuple(map(layers_of, shapes))
    n_layer = sum(shape.n_layer for shape in shapes)
    return attn_bottleneck.Model(
        "M", n_layer=n_layer, layers=layers, params=None, figures={}, source="test"
    )


def operands_of(shape: Shape, work: attn_bottleneck.Workload) -> attn_bottleneck.Operands:
    """What the products of one layer work on, in its cheapest form."""
    return attn_bottleneck.cheapest_form(mixer_of(shape), work).operands


def type_entries() -> dict[str, str]:
    """What the script says of each model type that was checked."""
    entries = dict.fromkeys(attn_bottleneck.PLAIN_TYPES.split(), "{}")
    for name, row in attn_bottleneck.catalogue(attn_bottleneck.TYPES).items():
        entries[name] = json.dumps(row)
    return entries


def class_defaults() -> dict[str, str]:
    """What the script says of the classes that have defaults of their own, by their types."""
    rows = {}
    for types, defaults in attn_bottleneck.CLASS_DEFAULTS.items():
        rows[types.replace(" ", ",")] = json.dumps([types, defaults])
    return rows


def catalogue_rows(table: str) -> dict[str, str]:
    """The rows of a table of the catalogue by name, whatever space is between their cells."""
    rows = {}
    for line in table.split("\n\n", maxsplit=1)[0].splitlines()[1:]:
        cells = line.split()
        rows[cells[0]] = " ".join(cells)
    return rows


def keys_read_of_configs() -> list[str]:
    """The keys of published configs that the script reads layers from."""
    keys = list(attn_bottleneck.SCHEDULES)
    for names in attn_bottleneck.NAMES.values():
        keys += names
    return keys


# ------------------------------------------------------------------------------------------ figures


def without_stream(name: str) -> Any:
    """sys.stdout or sys.stderr as Python leaves it where the shell closed it."""
    return mock.patch.object(sys, name, None)


# H100 SXM, dense peaks and both directions of its links, from NVIDIA's datasheet.
H100 = {
    "model": "H100-SXM",
    "fp32": 67,
    "fp16": 989.5,
    "bf16": 989.5,
    "fp8": 1979,
    "memory": 80,
    "bandwidth": 3350,
    "pcie": 128,
    "nvlink": 900,
}
# The same, with kernels that reach all of it, and launches that take next to nothing.
NO_OVERHEAD = {
    **H100,
    "multiprocessors": 132,
    "launch_us": 1e-9,
    "wave_us": 1e-9,
    "tile_us": 0,
    "exponentials": 1e9,
    "compute_efficiency": 1,
    "bandwidth_efficiency": 1,
    "latent_bandwidth_efficiency": 1,
    "link_latency_us": 1e-9,
    "link_hop_us": 1e-9,
    "link_two_shot_us": 1e-9,
    "link_library_us": 1e-9,
    "link_efficiency": 1,
    "pcie_latency_us": 1e-9,
    "pcie_hop_us": 1e-9,
    "pcie_efficiency": 1,
}
# ... and slow ones, for every term to count.
SLOW = {
    **H100,
    "multiprocessors": 5,
    "launch_us": 3,
    "wave_us": 20,
    "tile_us": 1.5,
    "exponentials": 1,
    "compute_efficiency": 0.5,
    "bandwidth_efficiency": 0.8,
    "latent_bandwidth_efficiency": 0.6,
    "link_latency_us": 7,
    "link_hop_us": 0.5,
    "link_two_shot_us": 9,
    "link_library_us": 40,
    "link_efficiency": 0.25,
    "pcie_latency_us": 5,
    "pcie_hop_us": 2,
    "pcie_efficiency": 0.5,
}
# Geometries from the models' own papers and config files (Llama 2: arXiv:2307.09288, Llama 3:
# arXiv:2407.21783, GPT-3: arXiv:2005.14165 table 2.1, DeepSeek-V3: arXiv:2412.19437 section 4.2).
LLAMA_8B = {"n_layer": 32, "n_head": 32, "n_kv_head": 8, "dim_head": 128}
LLAMA_70B = {"n_layer": 80, "n_head": 64, "n_kv_head": 8, "dim_head": 128}
LLAMA2_13B = {"n_layer": 40, "n_head": 40, "dim_head": 128}
GPT3 = {"n_layer": 96, "n_head": 96, "dim_head": 128}
DEEPSEEK = {
    "n_layer": 61,
    "n_head": 128,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
}
ONE_HEAD = {"n_layer": 1, "n_head": 1, "dim_head": 64}
GPT_OSS = {  # arXiv:2508.10925: half of the layers see 128 keys
    "n_layer": 36,
    "n_head": 64,
    "n_kv_head": 8,
    "dim_head": 64,
    "window": 128,
    "n_layer_window": 18,
}
HYBRID = {"n_layer": 48, "n_head": 16, "n_kv_head": 2, "dim_head": 256, "n_layer_no_cache": 36}
# DeepSeek-V3: 256 experts of which 8 are chosen, hidden size 7,168 (arXiv:2412.19437, section 4.2).
DEEPSEEK_671B = {
    **DEEPSEEK,
    "hidden_size": 7168,
    "params_b": 671,
    "active_params_b": 37,
    "n_expert": 256,
    "n_expert_active": 8,
}

# What a letter before a unit stands for.
PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1}
PREFIXES.update({"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15})
