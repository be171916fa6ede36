"""Random command lines, configs and measurements: an answer, or one line that says why not."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from tests import fit
from tests.support import CONFIG, NO_OVERHEAD, Result, ScriptTest, printed_by, run

CASE_FLAGS = {
    "--gpu": "h100-sxm a100-80gb-sxm mi300x,l4 config all V100 h100 x",
    "--model": (
        "llama-3.1-8b gemma-3-27b deepseek-v3 falcon-7b,qwen2-72b config mistral nowhere/model"
        " ./no.json"
    ),
    "--ngpu": "1 2 3,8 1:4 x 0",
    "--seq": "1 7 1024 1K:8K:x2 4K,131072 1e3 1M 10:1 007 1:9:x1",
    "--batch": "1 2 64 1:3 -1 10**9 999999999999999999",
    "--gen": "True False yes,no maybe",
    "--query": "1 2 8 1:3 5000",
    "--dtype": "bf16 fp8 fp32,fp16 fp4 int4 fp9",
    "--kv-dtype": "fp8 int4 bf16,int8 half",
    "--weight-dtype": "fp4 int8 fp8",
    "--fused": "True False",
    "--split": "seq head batch seq,head tensor",
    "--link": "pcie nvlink pcie,nvlink ib",
    "--set": (
        "GPU.bandwidth=1:9:x3 Model.n_head=7 GPU.memory=1e15 Model.window=100 GPU.tile_us=-1"
        " Model.name=x ="
    ),
    "--format": "report summary table csv json svg pdf",
    "--config": "/no/such/file",
    "--measured": "/no/such/file -",
}
STRAY = (
    "--fp16 --fit --help --version --list-gpus --list-models --sqe 17 -- --seq=-- -h --gen --fused"
    " --no"
).split()
CELLS = ["", *"1 0 -1 8 64 1e3 10**9 x decode prefill fp8 H100-SXM".split(), "9" * 30]
MORE_KEYS = ["window", "n_layer_window", "kv_lora_rank", "params_b", "n_expert", "x"]
VALUES: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    1.5,
    8,
    1e300,
    1e-300,
    10**18,
    10**19,
    "",
    "x",
    [],
    {},
    [1],
    {"a": 1},
]


MEASURED_ROW = {
    "gpu": "H100-SXM",
    "phase": "decode",
    "batch": "8",
    "seq": "1024",
    "n_head": "32",
    "n_kv_head": "8",
    "dim_head": "128",
    "kv_dtype": "bf16",
    "window": "0",
    "latency_us": "55.5",
    "ngpu": "8",
    "bytes": "65536",
}


class Anything(ScriptTest):
    """Never a traceback."""

    def check(self, *argv: str) -> None:
        self.check_result(run(*argv), "attn_bottleneck.py", argv)

    def check_result(self, result: Result, program: str, argv: Sequence[str]) -> None:
        with self.subTest(argv=argv):
            self.assertRegex(result.out + result.err, r"\A[ -~\n]*\Z")
            for line in result.err.splitlines():
                self.assertLessEqual(len(line), 300)
            last_line = result.err.splitlines()[-1] if result.err else ""
            if last_line.startswith(f"{program}: error: "):
                self.assertEqual(result.code, 2)
            else:
                self.assertEqual(result.code, 0, result.err)
                self.assertNotEqual(result.out, "")

    def test_command_lines(self) -> None:
        draw = random.Random(13)
        for _ in range(350):
            argv = []
            for flag in draw.sample(sorted(CASE_FLAGS), draw.randint(0, 5)):
                argv += [flag, draw.choice(CASE_FLAGS[flag].split())]
            if draw.random() < 0.2:
                argv.insert(draw.randint(0, len(argv)), draw.choice(STRAY))
            self.check(*argv)

    def test_configs(self) -> None:
        draw = random.Random(14)
        for _ in range(250):
            gpu = draw.choice([CONFIG["GPU"], NO_OVERHEAD])
            config: Any = {"GPU": dict(gpu), "Model": dict(CONFIG["Model"])}
            for _ in range(draw.randint(0, 2)):
                section = config[draw.choice(["GPU", "Model"])]
                key = draw.choice([*section, *MORE_KEYS])
                section[key] = draw.choice([8, 16, 96, draw.choice(VALUES)])
            if draw.random() < 0.05:
                config = draw.choice(VALUES)
            text = json.dumps(config)
            if draw.random() < 0.1:
                cut = draw.randrange(len(text))
                replaced = draw.choice(["", "\0", '"', "}", "NaN"])
                text = text[:cut] + replaced + text[cut + 1 :]
            view = draw.choice(["report", "summary", "json", "svg"])
            self.check("--config", self.written(text), "--format", view)

    def test_measurements(self) -> None:
        draw = random.Random(15)
        for _ in range(200):
            path = self.written(self.drawn_measurements(draw), "m.csv")
            flags = []
            if draw.random() < 0.5:
                flags = ["--gpu", draw.choice(["h100-sxm", "mi300x", "config"])]
            self.check("--measured", path, *flags)
            if draw.random() < 0.3:
                self.check_result(printed_by(fit.main, path, *flags), "fit.py", [path, *flags])

    def drawn_measurements(self, draw: random.Random) -> str:
        """A file of up to three rows, of which some lack a cell or have a strange one."""
        columns = draw.sample(list(MEASURED_ROW), draw.randint(10, len(MEASURED_ROW)))
        separator = draw.choice(",;\t")
        lines = [separator.join(columns)]
        for _ in range(draw.randint(0, 3)):
            cells = [MEASURED_ROW[name] for name in columns]
            for n in range(len(cells)):
                if draw.random() < 0.03:
                    cells[n] = draw.choice(CELLS)
            if draw.random() < 0.1:
                cells.pop()
            lines.append(separator.join(cells))
        return "\n".join(lines) + draw.choice(["", "\n", "\n\n", '"', "\r\n\0"])
