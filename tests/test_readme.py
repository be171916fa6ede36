"""The README's commands print what it shows."""

from __future__ import annotations

import re
import shlex

import attn_bottleneck
from tests.support import ROOT, ScriptTest, fit_of_h100, needs_shared, run

README = (ROOT / "README.md").read_text()


def shown_commands() -> list[tuple[str, str]]:
    """Every `$ command` of the README's console blocks with the output shown below it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


class Readme(ScriptTest):
    def test_commands_print_what_is_shown(self) -> None:
        run_here = 0
        for command, output in shown_commands():
            program, script, *argv = shlex.split(command)
            if (program, script) == ("python3", "attn_bottleneck.py"):
                run_here += 1
                with self.subTest(command):
                    result = run(*argv)
                    self.assertShown(result.out + result.err, output)
        self.assertGreaterEqual(run_here, 2)

    @needs_shared("silicon")
    def test_fit_prints_what_is_shown(self) -> None:
        command = "python3 tests/fit.py attention.csv --gpu h100-sxm"
        self.assertShown(fit_of_h100("attention.csv").out, dict(shown_commands())[command])

    def assertShown(self, printed: str, shown: str) -> None:  # noqa: N802
        """What is printed, but for what a line of three dots leaves out."""
        for i, part in enumerate(shown.split("...\n")):
            at = printed.find(part)
            self.assertTrue(at == 0 if i == 0 else at >= 0, part)
            printed = printed[at + len(part) :]
        if not shown.endswith("...\n"):
            self.assertEqual(printed, "")

    def test_says_how_to_run_the_tests(self) -> None:
        self.assertIn(("python3 -m unittest", ""), shown_commands())

    def test_names_every_flag_and_key(self) -> None:
        for flag in re.findall(r"--[a-z0-9-]+[a-z0-9]", self.answer("--help")):
            with self.subTest(flag):
                self.assertTrue(flag in README, flag)
        for section, keys in attn_bottleneck.CONFIG_KEYS.items():
            for key in keys:
                with self.subTest(key):
                    self.assertTrue(re.search(rf"`({section}\.)?{key}`", README), key)
