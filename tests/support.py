"""What several test modules share: running the script, and configs to run it on."""

from __future__ import annotations

import contextlib
import csv
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
            "GPU": {**attn_bottleneck.DEFAULT_CONFIG["GPU"], **(gpu or {})},
            "Model": {**attn_bottleneck.DEFAULT_CONFIG["Model"], **(model or {})},
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


def without_stream(name: str) -> Any:
    """sys.stdout or sys.stderr as Python leaves it where the shell closed it."""
    return mock.patch.object(sys, name, None)
