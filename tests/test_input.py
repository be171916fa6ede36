"""Bad usage and bad configs: one line that says what is wrong and what is allowed; exit code 2."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import unittest
from typing import Any
from unittest import mock

import attn_bottleneck
from tests.support import CONFIG, ROOT, SCRIPT, ScriptTest, process, run, without_stream


class Flags(ScriptTest):
    def test_counts(self) -> None:
        for flag in ("--ngpu", "--seq", "--batch"):
            for value in ("0", "-1", "1.5", "1e3", "nan", "inf", "True", "x", "1_0", "+1"):
                with self.subTest(flag, value=value):
                    error = self.refusal(f"{flag}={value}")
                    self.assertIn(f"{flag} must be a whole number from 1 to 10^18", error)
                    self.assertIn(value, error)

    def test_refusals(self) -> None:
        count = "must be a whole number from 1 to 10^18"
        dtypes = "must be one of fp32, tf32, fp16, bf16, fp8, int8, fp4"
        nines = "9" * 35
        for flags, *expected in (
            ("--seq=", f'--seq {count}, not ""'),
            ("--seq=\u0661", count),  # ARABIC-INDIC DIGIT ONE
            ("--seq=" + "9" * 19, f"--seq {count}, not 9999999999999999999"),
            ("--seq=" + "9" * 5000, f'--seq {count}, not "{nines}... (5002 characters)'),
            (f"--seq={'9' * 40}", f"--seq {count}, not {'9' * 40}\n"),
            (f"--seq={'9' * 41}", f'--seq {count}, not "{nines}... (43 characters)'),
            ("--seq=05", 'begins with 0: "05"'),
            ("--seq=0K", f"--seq {count}, not 0\n"),
            (f"--dtype={'x' * 38}", 'not "' + "x" * 38 + '"\n'),
            (f"--dtype={'x' * 39}", 'not "' + "x" * 35 + "... (41 characters)"),
            ("--ngpu", "--ngpu expected one argument"),
            ("--seq -5", count, '"-5"'),
            ("--gen maybe", "--gen must be one of true, yes, 1, on, false, no, 0, off", '"maybe"'),
            ("--dtype fp17", dtypes, '"fp17" (did you mean fp16?)'),
            ("--dtype=", dtypes, '""'),
            ("--dtype fp8", "--dtype fp8: A100 has no figure for it (it has fp32, fp16)"),
            ("--fp16 --dtype fp32", "--fp16 and --dtype fp32 contradict each other"),
            ("--fp16=1", "--fp16"),
            ("--sqe 4", 'unknown argument "--sqe" (did you mean --seq?)'),
            ("--nGPU=4", '"--nGPU=4" (did you mean --ngpu?)'),
            ("--ng 4", 'unknown argument "--ng"'),
            ("10", 'unknown argument "10"; see --help'),
            ("--config", "--config expected one argument"),
        ):
            with self.subTest(flags):
                error = self.refusal(*flags.split())
                for part in expected:
                    self.assertIn(part, error)

    def test_last_of_a_repeated_flag_counts(self) -> None:
        self.assertEqual(self.answer("--seq", "8", "--seq", "9"), self.answer("--seq", "9"))

    def test_help_opens_with_examples(self) -> None:
        text = self.answer("-h")
        self.assertEqual(text, self.answer("--help"))
        self.assertEqual(text, self.answer("--ngpu", "2", "--help", "--bogus"))
        examples = text.split("\ncase:")[0]
        self.assertIn("python3 attn_bottleneck.py --ngpu 10", examples)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        with mock.patch.dict(os.environ, COLUMNS="40", FORCE_COLOR="1"):
            self.assertEqual(self.answer("-h"), text)

    def test_help_has_groups_of_flags(self) -> None:
        text = self.answer("-h")
        for group, flags in (
            ("case", ["--gpu NAME", "--ngpu N", "--gen [BOOL]", "--fused [BOOL]"]),
            ("figures", ["--config FILE", "--set KEY=N", "--list-gpus"]),
            ("output", ["--format VIEW", "--version", "-h, --help"]),
            ("measurements", ["--measured FILE"]),
        ):
            paragraph = text.split(f"\n{group}:")[1].split("\n\n")[0]
            for flag in flags:
                with self.subTest(flag):
                    self.assertIn(f"\n  {flag} ", paragraph)

    def test_examples_of_the_help_run(self) -> None:
        examples = self.answer("-h").split("\ncase:")[0].replace("\\\n", " ")
        commands = re.findall(r"^ *python3 attn_bottleneck\.py (.*)", examples, re.MULTILINE)
        self.assertGreater(len(commands), 3)
        for command in commands:
            # What an example is for stands after five spaces, or after "the".
            flags = re.split("     +[^- ]|   +the", command)[0]
            with self.subTest(flags):
                self.assertEqual(run(*flags.split()).code, 0)

    def test_what_people_type_instead(self) -> None:
        hub = "No such file or directory; its config.json is at huggingface.co/meta-llama/Llama-3"
        for flags, expected in (
            ("--fp8", "(say --dtype fp8)"),
            ("--bf16", "(say --dtype bf16)"),
            ("--bandwidth 5000", "(say --set GPU.bandwidth=)"),
            ("--n-kv-head=8", "(say --set Model.n_kv_head=)"),
            (
                "--gpu a100 --link nvlink --ngpu 2",
                "A100 has no figure for it (it has pcie); A100-80GB-PCIe has one",
            ),
            ("--model meta-llama/Llama-3.1-8B", hub),
            ("--seq --", 'unknown argument "--" after "--seq"'),
            ("--dtype=--", 'unknown argument "--dtype=--"; see --help'),
            ("--seq 9 --dtype=--", 'unknown argument "--dtype=--"; see --help'),
            ("--", 'unknown argument "--"; see --help'),
            ("--json", "(say --format json)"),
            ("--nvlink", "(say --link nvlink)"),
            ("--config - --model -", "--config - and --model -: standard input can be read once"),
            ("--config /nowhere", "--config /nowhere: cannot be read: No such file"),
            ("--measured /nowhere", "--measured /nowhere: cannot be read: No such file"),
            ("--config " + "x/" * 60_000, "characters): cannot be read: "),
            ("--config " + "x" * 120, "--config " + "x" * 120 + ": cannot be read: "),
            (
                "--config " + "x" * 121,
                "--config " + "x" * 100 + "... (121 characters): cannot be read: ",
            ),
            ("--config=", "--config must name a file"),
            ("--measured=", "--measured must name a file"),
            ("--seq 128K:1K:x2", '"128K:1K:x2" must be FIRST:LAST, from small to large'),
            ("--seq 131,072", 'begins with 0: "072"; a comma makes a list, 131072 is one count'),
            ("--seq " + "x" * 120_000, "--seq must be a whole number"),
            ("--" + "x" * 120_000, "unknown argument"),
            ("--gpu " + "\u00e9" * 9, '--gpu "\\u00e9'),
            ("--model \u00e9.json", "--model \\xe9.json: cannot be read"),
            ("--\u00e9", "unknown argument"),
        ):
            with self.subTest(flags[:60]):
                error = self.refusal(*flags.split())
                self.assertIn(expected, error)
                self.assertLess(len(error), 340)
        self.assertEqual(self.answer("--seq", "1K:4K:X2"), self.answer("--seq", "1K:4K:x2"))
        self.assertEqual(len(self.answer("--seq", "1,128").splitlines()), 6)

    def test_lines_of_at_most_300_characters(self) -> None:
        start = "attn_bottleneck.py: error: --dtype fp8: "
        end = " has no figure for it (it has fp32, fp16)"
        longest = 300 - len(start + end)
        name = "X" * longest
        error = self.refusal("--config", self.config({"model": name}), "--dtype", "fp8")
        self.assertEqual(error, f"{start}{name}{end}\n")
        name += "X"
        error = self.refusal("--config", self.config({"model": name}), "--dtype", "fp8")
        self.assertEqual(error, f"{(start + name + end)[:296]} ...\n")

    def test_flags_that_take_lists_of_booleans(self) -> None:
        rows = self.rows("--fused", "true,False", "--gen", "on,off")
        cases = [(row["phase"], row["fused"]) for row in rows]
        phases_by_fusing = itertools.product(("decode", "prefill"), ("true", "false"))
        self.assertEqual(cases, list(phases_by_fusing))
        self.assertEqual(self.answer("--fused"), self.answer("--fused", "True"))

    def test_version(self) -> None:
        expected = f"attn_bottleneck.py {attn_bottleneck.__version__}\n"
        self.assertEqual(self.answer("--version"), expected)


class Config(ScriptTest):
    def test_wrong_values(self) -> None:
        count = "whole number from 1 to 10^18"
        figure = "number from 1e-9 to 1e15"
        wrong = ["0", "-1", "true", "false", '"8"', "null", "[8]", "{}", "1e999", "-0.0", "1e300"]
        for key in "fp16 fp32 memory bandwidth pcie bf16 tf32 fp8 int8 fp4 nvlink".split():
            for value in wrong:
                with self.subTest(key=key, value=value):
                    self.assert_refused("GPU", key, value, figure)
        for key in ("n_layer", "n_head", "n_kv_head", "dim_head"):
            for value in [*wrong, "1.5", "2.0"]:
                with self.subTest(key=key, value=value):
                    self.assert_refused("Model", key, value, count)

    def assert_refused(self, section: str, key: str, value: str, allowed: str) -> None:
        """That a config is refused that has this JSON for a value, saying what is allowed."""
        config = {name: dict(figures) for name, figures in CONFIG.items()}
        config[section][key] = "SET"
        text = json.dumps(config).replace('"SET"', value)
        error = self.refusal("--config", self.written(text))
        self.assertIn(f"config.json: {section}.{key} must be a {allowed}, not ", error)

    def test_quotes_what_it_found(self) -> None:
        for value, quoted in (
            (-3, "-3"),
            ("8", '"8"'),
            (True, "true"),
            (None, "null"),
            ([1], "a list"),
            ({}, "an object"),
        ):
            with self.subTest(value=value):
                error = self.refusal("--config", self.config(gpu={"fp16": value}))
                self.assertTrue(error.endswith(f", not {quoted}\n"), error)
        error = self.refusal("--config", self.config(gpu={"fp16": "x" * 9999}))
        self.assertIn("... (10001 characters)", error)
        for digits, expected in ((40, f", not {'9' * 40}\n"), (41, ", not 1e+41\n")):
            error = self.refusal("--config", self.config(gpu={"fp16": int("9" * digits)}))
            self.assertTrue(error.endswith(expected), error)

    def test_name_must_be_printable(self) -> None:
        for name in ("", "A\n100", "A\u00e9", 100, None, "\ud800"):
            with self.subTest(name=name):
                error = self.refusal("--config", self.config(gpu={"model": name}))
                self.assertIn("GPU.model must be a name in printable ASCII, not ", error)

    def test_missing_keys(self) -> None:
        for section, keys in CONFIG.items():
            for key in set(keys) - {"fp16", "fp32"}:
                with self.subTest(key):
                    error = self.refusal("--config", self.config(drop=f"{section}.{key}"))
                    self.assertIn(f"config.json: {section}.{key} is missing", error)
        # One precision is enough: TPUs and Gaudis have neither FP16 nor FP32.
        for key, dtype in (("fp16", "fp32"), ("fp32", "fp16")):
            self.answer("--config", self.config(drop=f"GPU.{key}"), "--dtype", dtype)
        none = {
            "GPU": {"model": "X", "memory": 1, "bandwidth": 1, "pcie": 1},
            "Model": CONFIG["Model"],
        }
        error = self.refusal("--config", self.written(json.dumps(none)))
        self.assertIn("--dtype fp32: X has no figure for it", error)
        error = self.refusal("--config", self.written("{}"))
        self.assertIn("GPU.model is missing", error)

    def test_unknown_keys(self) -> None:
        error = self.refusal("--config", self.config(gpu={"bandwith": 3}))
        self.assertIn('GPU has an unknown key "bandwith" (did you mean bandwidth?)', error)
        error = self.refusal("--config", self.config(gpu={"zzz": 3}))
        self.assertLess(len(error), 302)
        published = self.written('{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}')
        error = self.refusal("--config", published)
        self.assertIn("(a published config.json goes to --model)", error)
        error = self.refusal("--config", self.config(model={"zzz": 3}))
        self.assertIn('unknown key "zzz" (known: n_layer, n_head,', error)
        error = self.refusal("--config", self.written('{"gpu": {}}'))
        self.assertIn('unknown key "gpu" (did you mean GPU?)', error)

    def test_heads_must_divide(self) -> None:
        for kv_head in (5, 192):
            error = self.refusal("--config", self.config(model={"n_kv_head": kv_head}))
            self.assertIn(f"n_kv_head must divide n_head 96, not {kv_head}", error)

    def test_not_a_config(self) -> None:
        for text, expected in (
            (b"", "is not JSON: Expecting value (line 1, column 1)"),
            (b"{", "is not JSON: "),
            (b'{"GPU": {},}', "is not JSON: "),
            (b"\xff\xfe{", "is not UTF-8 text (byte 0)"),
            (b'{"a": "\xe9"}', "is not UTF-8 text (byte 7)"),
            (b"[]", "it must be an object {...}, not a list"),
            (b'"x"', 'it must be an object {...}, not "x"'),
            (b'{"GPU": 3}', "GPU must be an object {...}, not 3"),
            (
                b'{"GPU": {"model": "A", "fp16": NaN}}',
                "GPU.fp16 must be a number from 1e-9 to 1e15, not NaN",
            ),
            (
                b'{"GPU": {"model": "A", "fp16": -Infinity}}',
                "GPU.fp16 must be a number from 1e-9 to 1e15, not -Infinity",
            ),
            (b'{"GPU": {"fp32": 1, "fp16": 1, "fp16": 2}}', 'key "fp16" is given twice'),
            (b'{"GPU": {}, "GPU": {}}', 'key "GPU" is given twice'),
            (
                b'{"GPU": {"model": "A", "fp16": ' + b"9" * 5000 + b"}}",
                "GPU.fp16 must be a number from 1e-9 to 1e15, not ",
            ),
            (b"[" * 100_000, "is nested too deeply"),
            (b" " * (2**24 + 1), "is larger than 16 MiB"),
        ):
            with self.subTest(text[:40]):
                self.assertIn(
                    f"config.json: {expected}", self.refusal("--config", self.written(text))
                )

    def test_not_a_file(self) -> None:
        link = self.folder / "link.json"
        link.symlink_to("nowhere")
        for path, expected in (
            (str(self.folder), "cannot be read: Is a directory"),
            (str(self.folder / "none.json"), "none.json: cannot be read: No such file"),
            (str(link), "link.json: cannot be read: No such file"),
            (str(self.folder / "new\nline\u00e9"), "new\\nline\\xe9: cannot be read"),
            ("a\0b", "a\\x00b: embedded null byte"),
        ):
            with self.subTest(path):
                self.assertIn(expected, self.refusal("--config", path))

    def test_byte_order_mark_is_welcome(self) -> None:
        text = (ROOT / "config.json").read_bytes()
        self.assertEqual(
            self.answer("--config", self.written(b"\xef\xbb\xbf" + text)), self.answer()
        )

    def test_flags_do_not_come_from_the_config(self) -> None:
        path = self.config(gpu={"model": "X1", "fp32": 39, "nvlink": 600})
        report = self.answer("--config", path, "--ngpu", "3")
        self.assertIn("Working with 3 X1 GPUs\n", report)
        self.assertIn("Computation time (FP32):  2.143e-07s", report)  # 25067520 / 39e12 / 3


class WhereTheConfigComesFrom(ScriptTest):
    def test_beside_the_script_or_built_in(self) -> None:
        script = self.folder / "attn_bottleneck.py"
        with mock.patch.object(attn_bottleneck, "__file__", str(script)):
            built_in = self.answer("--format", "json").replace("built-in config", "config.json")
            self.config(gpu={"model": "beside"})
            self.assertIn("1 beside GPUs", self.answer())
            self.written("{", "config.json")
            self.assertIn("config.json: is not JSON", self.refusal())
        self.assertEqual(
            built_in, self.answer("--format", "json")
        )  # the shipped file says the same

    def test_never_the_current_folder(self) -> None:
        self.config(gpu={"model": "elsewhere"})
        self.assertIn("1 A100 GPUs", process(cwd=self.folder).stdout)

    def test_script_from_standard_input(self) -> None:
        """It stands in no folder then, whatever the current one holds."""
        self.config(gpu={"model": "elsewhere"})
        command = [sys.executable, "-", "--format", "summary"]
        options: dict[str, Any] = {"cwd": self.folder, "capture_output": True, "text": True}
        out = subprocess.run(
            command, check=True, input=SCRIPT.read_text(), timeout=60, **options
        ).stdout
        self.assertIn("1 x A100 (from built-in config)", out)

    def test_standard_input(self) -> None:
        text = (ROOT / "config.json").read_text().replace("A100", "piped")
        self.assertIn("1 piped GPUs", process("--config", "-", input=text).stdout)
        error = process("--config", "-", input="{").stderr
        self.assertIn("standard input: is not JSON", error)
        model = {"model_type": "llama", "vocab_size": 9}  # the sizes of its class
        flags = ["--gpu", "h100-sxm", "--model", "-", "--set", "Model.params_b=7,70"]
        out = process(*flags, input=json.dumps(model)).stdout
        self.assertRegex(out, r" total +step limit\n +7 .* ms .*\n +70 .* ms!")

    @unittest.skipUnless(os.path.exists("/dev/stdin"), "no /dev/stdin here")
    def test_pipe_by_name(self) -> None:
        text = (ROOT / "config.json").read_text().replace("A100", "piped")
        self.assertIn("1 piped GPUs", process("--config", "/dev/stdin", input=text).stdout)


class NoStandardStreams(ScriptTest):
    def test_no_standard_error(self) -> None:
        with without_stream("stderr"):
            self.assertEqual(attn_bottleneck.main(["--bogus"]), 2)

    def test_no_standard_output(self) -> None:
        with without_stream("stdout"), mock.patch.object(sys, "stderr") as stderr:
            self.assertEqual(attn_bottleneck.main([]), 1)
        stderr.write.assert_called_once_with(
            "attn_bottleneck.py: error: standard output is closed\n"
        )
