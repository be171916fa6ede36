"""Random command lines, configs and measurements: an answer, or one line that says why not. Never a traceback."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.support import CONFIG, NO_OVERHEAD, ScriptTest, run

CASE_FLAGS = {
    "--gpu": "h100-sxm a100-80gb-sxm mi300x,l4 config all V100 h100 x",
    "--model": "llama-3.1-8b gemma-3-27b deepseek-v3 falcon-7b,qwen2-72b config mistral nowhere/model ./no.json",
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
    "--set": "GPU.bandwidth=1:9:x3 Model.n_head=7 GPU.memory=1e15 Model.window=100 GPU.tile_us=-1 Model.name=x =",
    "--format": "report summary table csv json svg pdf",
    "--config": "/no/such/file",
    "--measured": "/no/such/file -",
}
STRAY = "--fp16 --fit --help --version --list-gpus --list-models --sqe 17 -- --seq=-- -h --gen --fused --no".split()
CELLS = ["", *"1 0 -1 8 64 1e3 10**9 x decode prefill fp8 H100-SXM".split(), "9" * 30]
VALUES: list[Any] = [None, True, 0, 1, -1, 1.5, 8, 1e300, 1e-300, 10**18, 10**19, "", "x", [], {}, [1], {"a": 1}]


class Anything(ScriptTest):
    def check(self, *argv: str) -> None:
        result = run(*argv)
        with self.subTest(argv=argv):
            self.assertIn(result.code, (0, 2))
            self.assertTrue(result.out or result.code == 2)
            self.assertRegex(result.out + result.err, r"\A[ -~\n]*\Z")
            last = result.err.splitlines()[-1] if result.err else ""
            self.assertEqual(last.startswith("attn_bottleneck.py: error: "), result.code == 2, result.err)
            self.assertLessEqual(max(map(len, result.err.splitlines()), default=0), 300)

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
            config: Any = {"GPU": {**draw.choice([CONFIG["GPU"], NO_OVERHEAD])}, "Model": {**CONFIG["Model"]}}
            for _ in range(draw.randint(0, 2)):
                section = config[draw.choice(["GPU", "Model"])]
                key = draw.choice([*section, "window", "n_layer_window", "kv_lora_rank", "params_b", "n_expert", "x"])
                section[key] = draw.choice([8, 16, 96, *draw.sample(VALUES, 1)])
            text = json.dumps(draw.choice(VALUES) if draw.random() < 0.05 else config)
            if draw.random() < 0.1:
                cut = draw.randrange(len(text))
                text = text[:cut] + draw.choice(["", "\0", '"', "}", "NaN"]) + text[cut + 1 :]
            self.check("--config", self.written(text), "--format", draw.choice(["report", "summary", "json", "svg"]))

    def test_measurements(self) -> None:
        draw = random.Random(15)
        columns = "gpu phase batch seq n_head n_kv_head dim_head kv_dtype window latency_us ngpu bytes".split()
        good = dict(zip(columns, "H100-SXM decode 8 1024 32 8 128 bf16 0 55.5 8 65536".split()))
        for _ in range(200):
            some = draw.sample(columns, draw.randint(10, len(columns)))
            separator = draw.choice(",;\t")
            lines = [separator.join(some)]
            for _ in range(draw.randint(0, 3)):
                cells = [draw.choice(CELLS) if draw.random() < 0.03 else good[name] for name in some]
                lines.append(separator.join(cells[: len(cells) - (draw.random() < 0.1)]))
            text = "\n".join(lines) + draw.choice(["", "\n", "\n\n", '"', "\r\n\0"])
            flags = ["--gpu", draw.choice(["h100-sxm", "mi300x", "config"])] if draw.random() < 0.5 else []
            self.check("--measured", self.written(text, "m.csv"), *flags, *draw.choice([[], [], ["--fit"]]))
