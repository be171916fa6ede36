"""What several test modules share: running the script, and configs to run it on."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unittest import mock

import attn_bottleneck

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "attn_bottleneck.py"
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
    code: int
    out: str
    err: str


def run(*argv: str) -> Result:
    """The script's main() in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = attn_bottleneck.main(list(argv))
    return Result(code, out.getvalue(), err.getvalue())


@functools.cache
def fit_of_h100(name: str) -> Result:
    """The fit of a shared file's rows of an H100, seconds long: several tests read the same."""
    return run("--measured", str(SHARED / "silicon" / name), "--gpu", "h100-sxm", "--fit")


def process(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own, as a shell runs it."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.run([sys.executable, str(SCRIPT), *argv], check=False, timeout=60, **options)


class ScriptTest(unittest.TestCase):
    """A test case that runs the script and writes configs for it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def written(self, text: str | bytes, name: str = "config.json") -> str:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def config(self, gpu: dict[str, Any] | None = None, model: dict[str, Any] | None = None, drop: str = "") -> str:
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
        result = run(*argv)
        self.assertEqual((result.code, result.err[: len(warning)]), (0, warning), argv)
        self.assertEqual(bool(result.err), bool(warning), argv)
        return result.out

    def rows(self, *flags: str) -> list[dict[str, str]]:
        """The cases of a sweep as CSV has them, those that cannot be among them."""
        return list(csv.DictReader(io.StringIO(run(*flags, "--format", "csv").out)))

    def refusal(self, *argv: str) -> str:
        """The one line that the script prints for arguments that it must refuse."""
        result = run(*argv)
        self.assertEqual((result.code, result.out), (2, ""), argv)
        self.assertRegex(result.err, r"\Aattn_bottleneck\.py: error: [ -~]+\n\Z", argv)
        self.assertLess(len(result.err), 400, argv)
        return result.err


# A published model: a llama of four layers, 8 heads of 64, 2 of them for keys and values.
BASE: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 9,
    "num_hidden_layers": 4,
    "hidden_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}


def full(n_layer: int, shape: str, window: int = 0, latent: str = "0 0") -> attn_bottleneck.Layers:
    """Layers as tests write them: "heads/K/V heads x width of K/of V", K/V parts where they differ.

    >>> layers = full(4, "8/2 x 96/64", window=9)
    >>> layers.n_head, layers.n_kv_head, layers.dim_qk, layers.dim_v
    (8, 2, 96, 64)
    """
    heads, widths = ([int(n) for n in part.split("/")] for part in shape.split(" x "))
    rank, rope = map(int, latent.split())
    kind = "windowed" if window else "full"
    return attn_bottleneck.Layers(kind, n_layer, heads[0], heads[-1], widths[0], widths[-1], window, rank, rope)


def windowed(n_layer: int, shape: str, window: int) -> attn_bottleneck.Layers:
    return full(n_layer, shape, window)


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
