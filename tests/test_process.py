"""The script as a process: pipes, full disks, and the ways to start it."""

from __future__ import annotations

import ast
import os
import runpy
import signal
import subprocess
import sys
import unittest
from unittest import mock

import attn_bottleneck
from tests.support import ROOT, SCRIPT, ScriptTest, process, run

FULL_DISK = os.path.exists("/dev/full")


class Pipes(ScriptTest):
    def unread(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        """Run the script into a pipe that nobody reads."""
        read_end, write_end = os.pipe()
        os.close(read_end)
        with open(write_end, "wb") as stdout:
            command = [sys.executable, str(SCRIPT), *argv]
            return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)

    def test_closed_pipe_is_quiet(self) -> None:
        for buffering in ("", "1"):
            for argv in ((), ("--help",), ("--version",)):
                with self.subTest(argv, unbuffered=buffering):
                    with mock.patch.dict(os.environ, PYTHONUNBUFFERED=buffering):
                        result = self.unread(*argv)
                    self.assertEqual((result.returncode, result.stderr), (0, b""))

    @unittest.skipUnless(FULL_DISK, "no /dev/full here")
    def test_full_disk_is_one_line(self) -> None:
        error = "standard output cannot be written: No space left on device"
        expected = f"attn_bottleneck.py: error: {error}\n"
        for buffering in ("", "1"):
            for argv in ((), ("--help",), ("--version",)):
                with self.subTest(argv, unbuffered=buffering):
                    with (
                        mock.patch.dict(os.environ, PYTHONUNBUFFERED=buffering),
                        open("/dev/full", "w") as full,
                    ):
                        result = process(*argv, stdout=full)
                    self.assertEqual((result.returncode, result.stderr), (1, expected))

    @unittest.skipUnless(FULL_DISK, "no /dev/full here")
    def test_full_standard_error_keeps_the_exit_code(self) -> None:
        with open("/dev/full", "w") as full:
            self.assertEqual(process("--bogus", stderr=full).returncode, 2)

    def test_failing_output_in_this_process(self) -> None:
        """The same two ends, where coverage sees them."""
        ends = (
            (BrokenPipeError(), 0),
            (OSError(28, "No space left"), 1),
            (KeyboardInterrupt(), 130),
        )
        for error, code in ends:
            with (
                self.subTest(error),
                open(os.devnull, "w") as stand_in,
                mock.patch.object(sys, "stdout") as stdout,
                mock.patch.object(sys, "stderr"),
            ):
                stdout.fileno = stand_in.fileno
                stdout.write.side_effect = error
                self.assertEqual(attn_bottleneck.main([]), code)

    def test_interrupt_is_quiet(self) -> None:
        command = [sys.executable, str(SCRIPT), "--seq", f"1:{10**18}", "--format", "csv"]
        # Children of a shell's background job ignore it, unless this process handles it.
        self.addCleanup(
            signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler)
        )
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.send_signal(signal.SIGINT)
            self.assertEqual((child.communicate()[1], child.returncode), (b"", 130))


class Start(ScriptTest):
    def test_ways_to_start(self) -> None:
        expected = run("--ngpu", "3").out
        self.assertEqual(process("--ngpu", "3").stdout, expected)
        module = [sys.executable, "-m", "attn_bottleneck", "--ngpu", "3"]
        self.assertEqual(subprocess.check_output(module, cwd=ROOT, text=True), expected)

    def test_exit_code_reaches_the_shell(self) -> None:
        with (
            mock.patch.object(sys, "argv", [str(SCRIPT), "--bogus"]),
            mock.patch.object(sys, "stderr"),
            self.assertRaises(SystemExit) as stopped,
        ):
            runpy.run_path(str(SCRIPT), run_name="__main__")
        self.assertEqual(stopped.exception.code, 2)

    def test_older_pythons_are_told(self) -> None:
        """One line, from a file that Python 3.7 can read."""
        ast.parse(SCRIPT.read_text(), feature_version=(3, 7))
        with (
            mock.patch.object(sys, "version_info", (3, 8, 18)),
            mock.patch.object(sys, "stderr") as stderr,
            self.assertRaises(SystemExit) as stopped,
        ):
            runpy.run_path(str(SCRIPT), run_name="__main__")
        self.assertEqual(stopped.exception.code, 2)
        stderr.write.assert_called_once_with(
            "attn_bottleneck.py: error: Python 3.9 or newer is needed\n"
        )

    def test_output_is_the_same_under_any_locale(self) -> None:
        plain = process(env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
        self.assertEqual(plain.stdout, run().out)

    def test_only_the_standard_library_is_imported(self) -> None:
        bare = subprocess.run(
            [sys.executable, "-I", "-S", str(SCRIPT)], capture_output=True, text=True, check=False
        )
        self.assertEqual((bare.returncode, bare.stdout), (0, run().out))

    def test_top_level_holds_nothing_else(self) -> None:
        tracked = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if tracked.returncode:
            self.skipTest("not a git checkout")
        visible = {line.split("/")[0] for line in tracked.stdout.splitlines()}
        visible = {name for name in visible if not name.startswith(".")}
        allowed = {"attn_bottleneck.py", "config.json", "README.md", "tests", "pyproject.toml"}
        self.assertLessEqual(visible, allowed)
