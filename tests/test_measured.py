"""Held against silicon: measured kernels, the constants that fit them, and a user's own file."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
import random
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attn_bottleneck as ab
from tests.support import DEEPSEEK, H100, NO_OVERHEAD, SHARED, ScriptTest, fit_of_h100, needs_shared, process, run

# Quoted from the public measurement tables of NVIDIA's aiconfigurator (Apache-2.0): one layer's
# attention core on one GPU, activations in BF16, causal, the fastest of vLLM 0.24, SGLang 0.5.14
# and TensorRT-LLM 1.3rc20 (A100: vLLM 0.14, SGLang 0.5.10; L40S: SGLang 0.5.10).
ATTENTION = """\
gpu,phase,batch,seq,n_head,n_kv_head,dim_head,window,kv_dtype,latency_us
A100-80GB-SXM,decode,32,128,1,1,128,0,bf16,11.451
A100-80GB-SXM,decode,16,16,32,8,128,0,bf16,16.637
A100-80GB-SXM,decode,256,32,32,2,128,0,bf16,34.661
A100-80GB-SXM,decode,512,128,4,4,128,0,bf16,98.213
A100-80GB-SXM,decode,128,1024,64,8,128,0,bf16,351.216
A100-80GB-SXM,decode,2048,1024,2,2,128,0,bf16,1354.165
A100-80GB-SXM,prefill,16,16,4,1,128,0,bf16,11.867
A100-80GB-SXM,prefill,64,1,16,4,128,0,bf16,23.488
A100-80GB-SXM,prefill,128,32,16,16,128,0,bf16,132.901
A100-80GB-SXM,prefill,2,4096,16,8,128,0,bf16,848.186
A100-80GB-SXM,prefill,2,8192,64,64,128,0,bf16,11686.52
A100-80GB-SXM,prefill,8,12288,32,8,128,0,bf16,48977.512
H100-SXM,decode,16,32,4,1,64,0,bf16,7.984
H100-SXM,decode,32,4,32,8,256,0,bf16,16.128
H100-SXM,decode,512,32,48,8,128,0,fp8,54.875
H100-SXM,decode,8,131072,6,1,128,0,bf16,190.656
H100-SXM,decode,256,16384,2,1,128,0,bf16,693.365
H100-SXM,decode,32,8192,16,16,256,0,bf16,1401.323
H100-SXM,prefill,1,64,8,1,128,0,bf16,12.126
H100-SXM,prefill,16,64,64,8,64,128,bf16,22.627
H100-SXM,prefill,256,64,8,2,128,0,fp8,130.971
H100-SXM,prefill,32,512,32,32,256,0,bf16,839.136
H100-SXM,prefill,8,10240,40,8,128,8192,bf16,10697.304
H100-SXM,prefill,8,12288,64,1,128,0,fp8,25833.26
B200-SXM,decode,1,64,10,2,128,0,fp8,8.784
B200-SXM,decode,128,2048,16,1,64,0,fp8,14.837
B200-SXM,decode,2048,4,2,1,256,1024,bf16,46.928
B200-SXM,decode,1024,16,128,8,128,0,bf16,114.261
B200-SXM,decode,1024,1024,8,4,128,0,bf16,304.034
B200-SXM,decode,1024,16,96,96,128,0,bf16,1038.883
B200-SXM,prefill,1,32,16,1,128,0,bf16,10.382
B200-SXM,prefill,16,16,40,8,64,0,bf16,23.013
B200-SXM,prefill,128,64,40,2,64,128,fp8,106.299
B200-SXM,prefill,256,256,24,8,256,0,bf16,686.178
B200-SXM,prefill,128,1024,96,8,256,0,bf16,8620.835
B200-SXM,prefill,8,16384,64,2,64,0,bf16,23297.356
L40S,decode,128,32,12,1,128,0,bf16,8.704
L40S,decode,64,16,64,8,128,0,fp8,20.651
L40S,decode,2048,128,4,2,64,128,fp8,76.629
L40S,decode,2048,16,16,8,64,128,bf16,366.592
L40S,decode,8,32768,40,8,128,0,bf16,1489.205
L40S,decode,128,4096,16,4,256,0,bf16,2966.528
L40S,prefill,2,1,8,1,128,0,bf16,8.672
L40S,prefill,2,512,12,12,64,0,fp8,22.869
L40S,prefill,128,1,96,96,128,0,bf16,119.467
L40S,prefill,4,4096,64,4,64,128,bf16,814.08
L40S,prefill,32,4096,24,2,64,0,bf16,11693.055
L40S,prefill,8,12288,48,1,64,0,fp8,48000.158
"""
LATENT = """\
gpu,phase,batch,seq,n_head,kv_lora_rank,qk_rope_head_dim,qk_nope_head_dim,v_head_dim,kv_dtype,latency_us
H100-SXM,decode,1024,512,32,512,64,128,128,bf16,268.608
H100-SXM,prefill,8,8192,4,512,64,128,128,bf16,1227.285
B200-SXM,decode,4,131072,1,512,64,128,128,bf16,122.683
B200-SXM,prefill,128,512,16,512,64,128,128,bf16,421.765
"""
ALL_REDUCE = """\
gpu,ngpu,bytes,latency_us
H100-SXM,2,16384,2.689
H100-SXM,2,67108864,246.804
H100-SXM,4,16384,2.91
H100-SXM,4,67108864,321.876
L40S,2,16384,6.208
L40S,2,67108864,3333.857
"""
CACHES = {"A100-80GB-SXM": 40, "H100-SXM": 50, "B200-SXM": 126, "L40S": 96}  # MiB

# Goals for the median error in percent, above 50 us, on the rows that were not fitted.
GOALS = {
    "A100-80GB-SXM": {"decode": 12, "prefill": 12},
    "H100-SXM": {"decode": 8, "prefill": 12, "latent decode": 12, "latent prefill": 20},
    "B200-SXM": {"decode": 10, "prefill": 14, "latent decode": 14, "latent prefill": 20},
    "B300-SXM": {"decode": 12, "prefill": 17, "latent decode": 14, "latent prefill": 26},
    "L40S": {"decode": 10, "prefill": 15},
    "RTX-PRO-6000-Server": {"decode": 12, "prefill": 18},
}
KERNELS = ("attention.csv", "attention-b300-rtxpro.csv", "mla.csv", "mla-b300.csv")
ALL_REDUCES = ("allreduce.csv", "allreduce-b300-l40s.csv")


def kernel(row: dict[str, str]) -> Any:
    """A quoted row as the script's JSON sees it: the flags of one layer on one GPU."""
    model: dict[str, Any] = {"n_layer": 1, "n_head": int(row["n_head"])}
    if "kv_lora_rank" in row:
        model.update({key: int(row[key]) for key in DEEPSEEK if key in row and key != "n_head"})
    else:
        model.update(n_kv_head=int(row["n_kv_head"]), dim_head=int(row["dim_head"]))
        if row["window"] != "0":
            model["window"] = int(row["window"])
    return model


class Quoted(ScriptTest):
    def cases(self, text: str) -> Any:
        for row in csv.DictReader(io.StringIO(text)):
            model = self.written(json.dumps({"Model": kernel(row)}))
            flags = f"--gpu {row['gpu']} --dtype bf16 --fused --kv-dtype {row['kv_dtype']}"
            flags += f" --batch {row['batch']} --seq {row['seq']} --gen {row['phase'] == 'decode'}"
            found = json.loads(run("--config", model, *flags.split(), "--format", "json").out)
            yield row, found["layers"][0], float(row["latency_us"]) / 1e6

    def test_no_kernel_is_faster_than_the_bound(self) -> None:
        checked = 0
        for row, layer, seconds in (*self.cases(ATTENTION), *self.cases(LATENT)):
            if layer["kv_read_bytes"] > CACHES[row["gpu"]] * 2**20:
                checked += 1
                with self.subTest(**row):
                    self.assertLessEqual(layer["bound_s"], seconds)
        self.assertGreaterEqual(checked, 15)

    def test_estimates_meet_measurements(self) -> None:
        errors: dict[str, list[float]] = {"decode": [], "prefill": []}
        for row, layer, seconds in self.cases(ATTENTION):
            errors[row["phase"]].append(abs(layer["total_s"] / seconds - 1))
            with self.subTest(**row):
                self.assertGreaterEqual(layer["total_s"], layer["bound_s"])
        self.assertLess(statistics.median(errors["decode"]), 0.15)
        self.assertLess(statistics.median(errors["prefill"]), 0.20)

    def test_small_steps_are_overhead(self) -> None:
        for row, layer, seconds in self.cases(ATTENTION):
            small = row["phase"] == "decode" and seconds < 18e-6
            large = row["phase"] == "decode" and seconds > 1.3e-3 and row["seq"] != "16"
            prompt = row["phase"] == "prefill" and seconds > 5e-3
            limits = {"overhead": small, "memory": large, "compute": prompt}
            with self.subTest(**row):
                self.assertIn(layer["limit"], [name for name, clear in limits.items() if clear] or ab.TERMS)

    def test_summary_of_a_small_step_says_overhead(self) -> None:
        flags = "--gpu h100-sxm --model llama-3.1-8b --dtype bf16 --fused --seq 512"
        lines = self.answer(*flags.split(), "--format", "summary").splitlines()
        self.assertIn("overhead limits attention: ", "\n".join(lines))
        # 32 launches of 12 us, and 32 x 32 heads over 64 rows: half a full tile in 132 of 3.8 us.
        overhead = 32 * (12 + 3.8 * 0.5 / 132)
        self.assertIn(f"  overhead  {'#' * 32} {overhead:6.3g} us  <- limits", lines)
        bounds = self.answer("--gpu", "mi300x", "--fp16", "--format", "summary")
        self.assertIn("\nbounds     no implementation is faster; no constants for", bounds)

    def test_all_reduces(self) -> None:
        for row in csv.DictReader(io.StringIO(ALL_REDUCE)):
            n, payload = int(row["ngpu"]), int(row["bytes"])
            if row["gpu"] == "L40S":  # a ring over PCIe, 32 GB/s a direction
                by_hand = 2.3 + 2 * (n - 1) * 1.6 + 2 * (n - 1) / n * payload / (32e3 * 0.62)
            elif payload > 16 * 2**20:  # NVLink, 450 GB/s a direction
                by_hand = 23 + 2 * (n - 1) / n * payload / (450e3 * 0.74)
            else:
                one_shot = (n - 1) * payload / (450e3 * 0.74)
                two_shot = 4.3 + 2 * (n - 1) / n * payload / (450e3 * 0.74)
                by_hand = 2.2 + 0.32 * math.log2(n) + min(one_shot, two_shot)
            report = self.report(ALL_REDUCE, "--gpu", row["gpu"])
            shape = f"{payload} bytes over {n} GPUs"
            line = next(line for line in report.splitlines() if shape in line)
            ratio = float(line.split("here ")[1].split()[0])
            with self.subTest(shape):
                self.assertAlmostEqual(ratio, by_hand / float(row["latency_us"]), delta=0.006)
                self.assertLess(abs(ratio - 1), 0.25)

    def report(self, text: str, *flags: str) -> str:
        return self.answer("--measured", self.written(text, "rows.csv"), *flags)


def table_rows(text: str) -> dict[tuple[str, str], list[str]]:
    """The cells of an accuracy table by phase and size."""
    found = {}
    for line in text.splitlines():
        parts = re.split(r"\s{2,}", line.strip())
        if parts[0] in ab.KINDS:
            found[parts[0], parts[1]] = parts[2:]
    return found


class Table(ScriptTest):
    """What --measured prints."""

    def test_rows_over_both_links(self) -> None:
        """Cards that NVLink joins in pairs: two over it, four over PCIe; no fit of both at once."""
        path = self.written("ngpu,bytes,latency_us\n2,4096,9\n4,4096,30\n", "m.csv")
        error = self.refusal("--measured", path, "--set", "GPU.nvlink_gpus=2")
        self.assertIn("--set: GPU.nvlink_gpus has no meaning without nvlink", error)
        out = self.answer("--measured", path, "--gpu", "a100-80gb-pcie")
        self.assertIn("A100-80GB-PCIe, 2 rows; estimate", out)
        # 4.0 + 0.53 us and 4,096 bytes at 300 GB/s, less than two shots; 2.3 + 6 x 1.6 us and 2 x 3/4 of them at 32.
        for rest in ((4.53 + 4096 / 0.68 / 300e3) / 9, (2.3 + 6 * 1.6 + 1.5 * 4096 / 0.62 / 32e3) / 30):
            self.assertIn(f", here {rest:.3g} times", out)
        error = self.refusal("--measured", path, "--gpu", "a100-80gb-pcie", "--fit")
        self.assertIn("--fit: rows of A100-80GB-PCIe go over both links: --link takes one", error)
        # Without the constants of one link, all are bounds.
        gpu = {"model": "X", "bf16": 9, "memory": 8, "bandwidth": 9, "pcie": 64, "nvlink": 600, "nvlink_gpus": 2}
        config = self.written(
            json.dumps({"GPU": {**gpu, "pcie_latency_us": 2, "pcie_hop_us": 1, "pcie_efficiency": 1}})
        )
        self.assertIn("X, 2 rows; bound only", self.answer("--measured", path, "--config", config))

    def test_figures(self) -> None:
        """Against a bound of 10 us: errors and bias by hand."""
        # 33,499,136 bytes (512 a row of K and V, 512 of Q and A) over 3,350 GB/s: just below 10 us.
        rows = 65_427
        head = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\n"
        times = [9, 10, 12.5, 20, 40, 100]
        body = "".join(f"decode,1,{rows + 1},1,1,128,{us}\n" for us in times)
        config = self.written(json.dumps({"GPU": H100}))
        out = self.answer("--config", config, "--measured", self.written(head + body, "m.csv"))
        self.assertIn("H100-SXM, 6 rows; bound only: no constants\n", out)
        found = table_rows(out)
        # Errors 1/9, 0, 0.2, 0.5, 0.75, 0.9; between the third and fourth, and the sixth.
        self.assertEqual(found["decode", "all"], ["6", "1", "35.0%", "90.0%", "-35.0%"])
        self.assertEqual(found["decode", "above 50 us"], ["1", "0", "90.0%", "90.0%", "-90.0%"])
        self.assertEqual(found["decode", "up to 50 us"][0], "5")
        self.assertNotIn(("decode", "above 1 ms"), found)
        worst = out.split("worst ten rows\n")[1].splitlines()
        self.assertEqual(
            worst[0], "  line 7: decode 1 x 65428, 1/1 x 128, window 0, bf16: 100 us, here 0.1 times as long"
        )
        self.assertEqual(len([line for line in worst if line]), 6)
        # A twenty-fifth of a percent below is no bias; the worst ten are ten.
        row = f"decode,1,{rows + 1},1,1,128,10.0035\n"
        out = self.answer("--config", config, "--measured", self.written(head + row * 12, "m.csv"))
        self.assertEqual(table_rows(out)["decode", "all"], ["12", "0", "0.0%", "0.0%", "+0.0%"])
        self.assertEqual(len(out.split("worst ten rows\n")[1].split("\n")), 10 + 2)

    def test_what_a_cache_holds_is_not_counted_as_faster(self) -> None:
        head = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\n"
        row = "decode,1,65537,1,1,128,5\n"  # 2 x 65,536 rows of 256 bytes: 32 MiB
        for cache, faster in ((31, "1"), (32, "0")):
            config = self.written(json.dumps({"GPU": {**H100, "last_level_cache": cache}}))
            path = self.written(head + row, "m.csv")
            out = self.answer("--config", config, "--measured", path)
            self.assertEqual(table_rows(out)["decode", "all"][1], faster)

    def test_which_gpu_a_row_is_of(self) -> None:
        path = self.written(ATTENTION, "m.csv")
        everything = self.answer("--measured", path)
        names = re.findall(r"^(\S+), 12 rows; estimate$", everything, re.MULTILINE)
        self.assertEqual(names, list(CACHES))
        one = self.answer("--measured", path, "--gpu", "b200")
        self.assertEqual(re.findall(r"^(\S+), \d+ rows", one, re.MULTILINE), ["B200-SXM"])
        self.assertIn("has no row for this GPU", self.refusal("--measured", path, "--gpu", "h20"))
        text = "".join(line.partition(",")[2] + "\n" for line in ATTENTION.splitlines()[:3])
        own = self.answer("--measured", self.written(text, "o.csv"), "--gpu", "h20")
        self.assertIn("H20, 2 rows; bound only: no constants", own)
        config = self.written(json.dumps({"GPU": {**H100, "model": "mine"}}))
        text = text.replace("phase", "gpu,phase").replace("decode", "mine,decode")
        named = self.answer("--measured", self.written(text, "n.csv"), "--config", config)
        self.assertIn("mine, 2 rows; bound only: no constants", named)
        text = text.replace("gpu,phase", "phase").replace("mine,decode", "decode")
        piped = process("--measured", "-", "--gpu", "h20", input=text)
        self.assertEqual(piped.stdout, own)

    def test_refusals(self) -> None:
        head = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\n"
        good = "decode,1,64,8,1,128,10\n"
        latency = "line 2: latency_us must be a number from 1e-9"
        texts: tuple[tuple[str | bytes, str], ...] = (
            ("", "m.csv: has no column phase"),
            ("phase,batch\n", "m.csv: has no column seq"),
            (head.replace("n_kv_head,", ""), "has no column n_kv_head"),
            (head, "m.csv: has no row for this GPU"),
            (head + good.replace("decode", "train"), 'line 2: phase must be one of decode, prefill, not "train"'),
            (head + good + good.replace(",64,", ",0,"), "line 3: seq must be a whole number"),
            (head + good.replace("8,1,", "8,3,"), "line 2: n_kv_head must divide n_head 8, not 3"),
            *((head + good.replace(",10", f",{us}"), latency) for us in ("-1", "nan", "1_0", "x", "")),
            (
                head.replace("dim_head", "dim_head,dtype") + good.replace(",10", ",fp1,10"),
                "line 2: dtype must be one of",
            ),
            (
                head.replace("dim_head", "dim_head,kv_dtype") + good.replace(",10", ",x,10"),
                "line 2: kv_dtype must be one",
            ),
            (head + "x" * 200_000, "m.csv: field larger than field limit"),
            (head + good.replace("64", '"6\n4"'), 'line 3: seq must be a whole number from 1 to 10^18, not "6\\n4"'),
            (head + "decode\n", 'line 2: batch must be a whole number from 1 to 10^18, not ""'),
            ("ngpu,bytes,latency_us\n2,x,1\n", "line 2: bytes must be a whole number"),
            ("ngpu,bytes,latency_us\n,2,1\n", 'line 2: ngpu must be a whole number from 2 to 10^18, not ""'),
            ("ngpu,bytes,latency_us\n1,2,1\n", "line 2: ngpu must be a whole number from 2 to 10^18, not 1"),
            (b"\xff\xfe", "m.csv: is not UTF-8"),
            (b"x" * (2**26 + 1), "m.csv: is larger than 64 MiB"),
        )
        for text, expected in texts:
            with self.subTest(text[:99]):
                path = self.written(text, "m.csv")
                self.assertIn(expected, self.refusal("--measured", path, "--gpu", "h100-sxm"))
        path = self.written("gpu,ngpu,bytes,latency_us\nh1oo,2,2,1\n", "m.csv")
        error = self.refusal("--measured", path)
        self.assertIn('line 2: --gpu "h1oo" is not in the catalogue', error)
        error = self.refusal("--measured", self.written(head + good, "m.csv"))
        self.assertIn("A100 has no bf16 figure: --gpu names the GPU that was measured", error)
        self.assertIn("No such file", self.refusal("--measured", "/nowhere.csv"))
        self.assertIn("--fit needs --measured FILE", self.refusal("--fit"))
        one = ("--measured", self.written("ngpu,bytes,latency_us\n2,1048576,9\n", "m.csv"))
        for flags, expected in (
            (("--format", "json"), "--format has no meaning beside --measured, but for json with"),
            (("--format", "csv", "--fit"), "--format has no meaning beside --measured"),
            (("--seq", "9"), "--seq has no meaning beside --measured"),
            (("--link", "pcie,nvlink"), "--link takes one value beside --measured"),
            (("--link", "nvlink"), "--link nvlink: A100 has no figure for it"),
        ):
            with self.subTest(flags):
                self.assertIn(expected, self.refusal(*one, *flags))

    def test_separators_and_spaces(self) -> None:
        text = "phase, batch, seq, n_head, n_kv_head, dim_head, latency_us\n"
        text += "decode, 1, 1K, 8, 1, 128, 1.5e1\n"
        expected = self.answer("--measured", self.written(text, "m.csv"), "--gpu", "h100-sxm")
        for separator in (",", ";", "\t", " ; "):
            path = self.written(text.replace(", ", separator), "m.csv")
            self.assertEqual(self.answer("--measured", path, "--gpu", "h100-sxm"), expected)

    def test_link_of_all_reduces(self) -> None:
        """NVLink where there is one, else PCIe; --link decides."""
        path = self.written("ngpu,bytes,latency_us\n2,900000000,3000\n", "m.csv")
        for flags, ratio in (
            (("--gpu", "a100-80gb-sxm"), (42e-6 + 900e6 / (300e9 * 0.68)) / 3e-3),
            (("--gpu", "a100-80gb-sxm", "--link", "pcie"), (2.3e-6 + 2 * 1.6e-6 + 900e6 / (32e9 * 0.62)) / 3e-3),
            ((), 900e6 / 32e9 / 3e-3),
        ):
            out = self.answer("--measured", path, *flags)
            self.assertIn(f"here {ratio:.3g} times as long", out)

    def test_rows_of_each_number_of_gpus(self) -> None:
        more = ALL_REDUCE + "H100-SXM,4,1048576,11\n"
        one = self.answer("--measured", self.written(more, "m.csv"), "--gpu", "h100-sxm")
        counts = {size: cells[0] for (_, size), cells in table_rows(one).items()}
        self.assertEqual((counts["all"], counts["2 GPUs"], counts["4 GPUs"]), ("5", "2", "3"))
        self.assertNotIn("8 GPUs", counts)

    def test_sizes_and_their_edges(self) -> None:
        """50 us and 1 ms are above, 256 KiB and 16 MiB neither below nor above."""
        kernels = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\n"
        kernels += "".join(f"decode,1,9999,8,8,128,{us}\n" for us in (49.9, 50, 60, 999, 1000, 1100))
        reduces = "ngpu,bytes,latency_us\n"
        for size in (2**18 - 1, 2**18, 2**24, 2**24 + 1, 2**25):
            reduces += f"2,{size},50\n"
        for text, kind, expected in (
            (kernels, "decode", {"all": "6", "up to 50 us": "1", "above 50 us": "5", "above 1 ms": "2"}),
            (reduces, "all-reduce", {"all": "5", "below 256 KiB": "1", "above 16 MiB": "2", "2 GPUs": "5"}),
        ):
            out = self.answer("--measured", self.written(text, "m.csv"), "--gpu", "h100-sxm")
            found = table_rows(out)
            self.assertEqual({size: cells[0] for (_, size), cells in found.items()}, expected, kind)
            # 32 MiB over 450 GB/s take 75 us; 41 MB over 3,350 GB/s 12 us.
            self.assertEqual(found[kind, "all"][1], "1" if kind == "all-reduce" else "0")

    def test_constants_of_kernels_are_enough_for_kernels(self) -> None:
        """Those of links are not needed, and not one of the kernels' may lack."""
        path = self.written("phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\ndecode,1,9999,8,8,128,50\n", "m.csv")
        kernels = {key: value for key, value in NO_OVERHEAD.items() if not key.startswith(("link_", "pcie_"))}
        for lacking in ("", "tile_us"):
            gpu = {key: value for key, value in kernels.items() if key != lacking}
            out = self.answer("--config", self.written(json.dumps({"GPU": gpu})), "--measured", path)
            self.assertIn("bound only: no constants" if lacking else "H100-SXM, 1 rows; estimate\n", out)

    def test_bounds_of_what_kernels_may_do_less(self) -> None:
        """An FP8 cache at the peak of FP8, heads of 192 with values of 128."""
        head = "phase,batch,seq,n_head,n_kv_head,dim_head,kv_dtype,latency_us\n"
        # 8,192 rows of 8 heads: n (n + 1) / 2 pairs of 4 x 128 - 1 FLOPs, less 128 a row.
        pairs, heads = 8192 * 8193 / 2, 8
        wide = heads * (pairs * (2 * 192 - 1) + 128 * (2 * pairs - 8192)) / 989.5e12
        fp8 = heads * (pairs * (2 * 128 - 1) + 128 * (2 * pairs - 8192)) / 1979e12
        for cells, bound in (("192,bf16", wide), ("128,fp8", fp8)):
            for us, faster in ((bound * 0.999e6, "1"), (bound * 1.001e6, "0")):
                path = self.written(head + f"prefill,1,8192,8,8,{cells},{us:.4f}\n", "m.csv")
                config = self.written(json.dumps({"GPU": H100}))
                out = self.answer("--config", config, "--measured", path)
                self.assertEqual(table_rows(out)["prefill", "all"][1], faster, cells)
        # Latents of 512 are projected to the same: keys of 128 + 64, values of 128.
        head = "phase,batch,seq,n_head,kv_lora_rank,qk_rope_head_dim,qk_nope_head_dim,v_head_dim,latency_us\n"
        for us, faster in ((wide * 0.999e6, "1"), (wide * 1.001e6, "0")):
            path = self.written(head + f"prefill,1,8192,8,512,64,128,128,{us:.4f}\n", "m.csv")
            out = self.answer("--config", config, "--measured", path)
            self.assertEqual(table_rows(out)["latent prefill", "all"][1], faster)

    def test_rows_of_no_gpu_where_several_are_named(self) -> None:
        path = self.written("ngpu,bytes,latency_us\n2,1048576,9\n", "m.csv")
        error = self.refusal("--measured", path, "--gpu", "h100-sxm,l40s")
        self.assertIn("line 2: no gpu, and --gpu names several", error)

    def test_how_far_off_other_units_are(self) -> None:
        """From 30 times too slow on, against a bound of 10 us; or too fast, if it is an estimate."""
        head = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\n"
        for gpu, us, noticed in (
            (H100, 10 / 29.5, False),
            (H100, 10 / 30.5, True),
            (H100, 10 * 99, False),  # what takes longer than its bound may be so
            (NO_OVERHEAD, 10 * 29.5, False),
            (NO_OVERHEAD, 10 * 30.5, True),
        ):
            path = self.written(f"{head}decode,1,65428,1,1,128,{us:.6f}\n", "m.csv")
            config = self.written(json.dumps({"GPU": gpu}))
            with self.subTest(us=us):
                self.assertEqual("microseconds" in run("--config", config, "--measured", path).err, noticed)

    def test_other_units_are_noticed(self) -> None:
        rows = list(csv.DictReader(io.StringIO(ATTENTION)))
        for factor, flags in ((1e-3, ()), (1e-6, ()), (1e3, ()), (1e-3, ("--gpu", "mi300x"))):
            text = ",".join(name for name in rows[0] if name != "gpu") + "\n"
            for row in rows[12:24]:
                us = float(row["latency_us"]) * factor
                cells = [cell for name, cell in row.items() if name not in ("gpu", "latency_us")]
                text += ",".join([*cells, f"{us:.9f}"]) + "\n"
            result = run("--measured", self.written(text, "m.csv"), *(flags or ("--gpu", "h100-sxm")))
            with self.subTest(factor=factor, flags=flags):
                self.assertIn("are latencies in microseconds?", result.err)


def synthetic(draw: random.Random, heads: list[int], seconds: Callable[..., float]) -> str:
    """Kernels that take exactly what a formula says."""
    lines = ["phase,batch,seq,n_head,n_kv_head,dim_head,latency_us"]
    for _ in range(240):
        phase = draw.choice(["decode", "prefill"])
        kv_head = draw.choice([1, 4, 8])
        shape = (draw.choice([1, 8, 64]), 2 ** draw.randint(6, 13), kv_head * draw.choice([1, 8]))
        width = draw.choice(heads)
        spent = seconds(phase, *shape, kv_head, width)
        lines.append(f"{phase},{','.join(map(str, shape))},{kv_head},{width},{spent * 1e6:.6f}")
    return "\n".join(lines) + "\n"


class Fit(ScriptTest):
    true = {  # noqa: RUF012
        "launch_us": 6.5,
        "wave_us": 2.25,
        "tile_us": 3.0,
        "exponentials": 8.0,
        "compute_efficiency": 0.55,
        "bandwidth_efficiency": 0.8,
    }

    def seconds(self, phase: str, *shape: int) -> float:
        """The README's estimate, by hand: H100 rates, 132 multiprocessors."""
        true = self.true
        batch, seq, n_head, n_kv_head, width = shape
        query = 1 if phase == "decode" else seq
        pairs = seq if phase == "decode" else seq * (seq + 1) / 2
        heads, group = batch * n_head, n_head // n_kv_head
        flops = heads * (pairs * (2 * width - 1) + width * (2 * pairs - query))
        rows = seq - 1 if phase == "decode" else seq
        traffic = 2 * (2 * batch * n_kv_head * width * rows + 2 * heads * query * width)
        packed = math.ceil(query * group / 64)
        tiles = batch * n_kv_head * min(packed, group * math.ceil(query / 128))
        peak = 989.5e12 * true["compute_efficiency"]
        # The longest row sees seq keys, the mean one pairs / query; up to 128 rows on one of 132.
        tail = min(query, 128) * flops / heads / query * (seq * query / pairs - 1) * 132 / peak
        exponentials = heads * pairs / (132 * true["exponentials"] * 1e9)
        core = max(flops / peak, exponentials) + tail
        core += traffic / (3350e9 * true["bandwidth_efficiency"])
        items = true["wave_us"] / 1e6 * max(0, tiles / 132 - 1) * (128 + width) / 256
        full = true["tile_us"] / 1e6 * min(tiles, heads * query / 64) / 132
        return true["launch_us"] / 1e6 + max(core, items) + full

    def fitted(self, text: str, *flags: str) -> tuple[str, dict[str, Any]]:
        out = self.answer("--measured", self.written(text, "m.csv"), "--fit", *flags)
        table, _, section = out.partition("{")
        return table, json.loads("{" + section)["GPU"]

    def test_linear_equations(self) -> None:
        """By hand: x = (1, -2, 3); a damping of one doubles the diagonal."""
        matrix = [[4.0, 1.0, 2.0], [1.0, 5.0, 3.0], [2.0, 3.0, 6.0]]
        for damping, right in ((0.0, [8.0, 0.0, 14.0]), (1.0, [12.0, -10.0, 32.0])):
            for value, expected in zip(ab.solved(matrix, right, damping), (1, -2, 3)):
                self.assertAlmostEqual(value / expected, 1, delta=1e-7)

    def test_finds_the_constants_of_a_formula(self) -> None:
        text = synthetic(random.Random(6), [16, 64, 256], self.seconds)
        table, section = self.fitted(text, "--gpu", "h100-sxm")
        self.assertIn("120 rows; fitted on every other row, held against the rest", table)
        for name, value in self.true.items():
            self.assertAlmostEqual(section[name] / value, 1, delta=0.01, msg=name)
        self.assertEqual(section["multiprocessors"], 132)
        self.assertEqual((section["bf16"], section["bandwidth"]), (989.5, 3350))
        self.assertEqual(section["latent_bandwidth_efficiency"], 0.9)  # no row shows another
        # Ready to paste: the config reads it, and then estimates what was measured.
        config = self.written(json.dumps({"GPU": section}))
        out = self.answer("--config", config, "--measured", str(self.folder / "m.csv"))
        for line in re.findall(r"^(?:decode|prefill) .*$", out, re.MULTILINE):
            self.assertLess(float(line.split()[-3].rstrip("%")), 1.0, line)
        again = ("--measured", str(self.folder / "m.csv"), "--gpu", "h100-sxm", "--fit")
        self.assertEqual(json.loads(self.answer(*again, "--format", "json"))["GPU"], section)

    def test_leaves_out_what_the_rows_do_not_show(self) -> None:
        self.true = {**self.true, "exponentials": 1e9, "tile_us": 0, "wave_us": 0, "launch_us": 12.34}
        text = synthetic(random.Random(7), [128], self.seconds)
        section = self.fitted(text, "--gpu", "h100-sxm")[1]
        self.assertEqual([section[key] for key in ("exponentials", "tile_us", "wave_us")], [1000, 0, 0])
        self.assertEqual(section["launch_us"], 12.3)  # digits that stay the same from other starts

    def with_latent(self, efficiency: float, noise: float = 0.0) -> dict[str, Any]:
        """What fits grouped rows, and latent decode that reaches so much of the bandwidth, more or less."""
        self.true = {**self.true, "exponentials": 1e9, "tile_us": 0}
        draw = random.Random(8)
        columns = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us,"
        columns += "kv_lora_rank,qk_rope_head_dim,qk_nope_head_dim,v_head_dim"
        text = synthetic(draw, [64, 128], self.seconds).splitlines()
        lines = [columns, *(f"{line},,,," for line in text[1:])]
        for batch in (1, 2, 4, 8, 16, 32, 64):
            for seq in (4096, 16384, 65536):
                read = 2 * batch * (576 * (seq - 1) + 16 * (576 + 512))
                flops = batch * 16 * (seq * 1151 + 512 * (2 * seq - 1))
                spent = 6.5e-6 + max(read / (3350e9 * efficiency), flops / (989.5e12 * 0.55))
                spent *= math.exp(draw.uniform(-noise, noise))
                lines.append(f"decode,{batch},{seq},16,,,{spent * 1e6:.6f},512,64,128,128")
        return self.fitted("\n".join(lines) + "\n", "--gpu", "h100-sxm")[1]

    def test_finds_what_latent_decode_reads_with(self) -> None:
        """Beside grouped rows, whose constants it leaves as they are."""
        section = self.with_latent(0.4)
        self.assertAlmostEqual(section["latent_bandwidth_efficiency"], 0.4, delta=0.005)
        self.assertAlmostEqual(section["bandwidth_efficiency"], 0.8, delta=0.01)

    def test_latent_decode_that_shows_no_rate_of_its_own_has_the_other(self) -> None:
        section = self.with_latent(0.8, 0.25)
        self.assertAlmostEqual(section["bandwidth_efficiency"], 0.8, delta=0.01)
        self.assertEqual(section["latent_bandwidth_efficiency"], section["bandwidth_efficiency"])

    def test_no_more_than_the_datasheet(self) -> None:
        """Rows that are faster than PCIe can be."""
        text = "ngpu,bytes,latency_us\n"
        for ngpu in (2, 4, 8):
            for power in range(8, 30, 2):
                ring = 2 * (ngpu - 1) / ngpu * 2**power
                text += f"{ngpu},{2**power},{3 + 2 * (ngpu - 1) * 1.1 + ring / (64e3 * 1.2):.6f}\n"
        section = self.fitted(text, "--gpu", "h100-sxm", "--link", "pcie")[1]
        self.assertEqual(section["pcie_efficiency"], 1)

    def test_wild_rows_hardly_move_it(self) -> None:
        """One row in eight five times as long, or a fifth."""
        lines = synthetic(random.Random(10), [64, 128], self.seconds).splitlines()
        for i in range(5, len(lines), 8):
            cells, us = lines[i].rsplit(",", 1)
            lines[i] = f"{cells},{float(us) * (5 if i % 16 == 5 else 0.2):.6f}"
        section = self.fitted("\n".join(lines) + "\n", "--gpu", "h100-sxm")[1]
        for name in ("launch_us", "bandwidth_efficiency", "compute_efficiency"):
            self.assertAlmostEqual(section[name] / self.true[name], 1, delta=0.03, msg=name)

    def test_kinds_weigh_the_same(self) -> None:
        """Kernels too small for all but their launch: a few of one kind take 5 % longer, many of another 5 % less."""
        text = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\n"
        for seq in (1, 2, 3, 4):
            text += f"decode,1,{seq},8,8,16,{6.5 * math.exp(0.05):.6f}\n" * 2
            text += f"prefill,1,{seq},8,8,16,{6.5 * math.exp(-0.05):.6f}\n" * 8
        section = self.fitted(text, "--gpu", "h100-sxm")[1]
        self.assertAlmostEqual(section["launch_us"] / 6.5, 1, delta=0.01)

    def test_least_loss(self) -> None:
        """Of one kernel with three times in turn: the least mean of log(1 + (error / scale)^2), by trying all."""
        times = [6.5 * math.exp((0, 0.02, 0.3)[i % 3]) for i in range(48)]
        kernel = "phase,batch,seq,n_head,n_kv_head,dim_head,latency_us\ndecode,1,1,8,8,16,"
        for measured, flags, sum_of, scale in (
            (kernel, "", {"launch_us": 1}, 0.1),
            ("ngpu,bytes,latency_us\n2,1,", "--link pcie", {"pcie_latency_us": 1, "pcie_hop_us": 2}, 0.15),
        ):
            head, row = measured.split("\n")
            text = "\n".join([head, *(f"{row}{us:.6f}" for us in times)]) + "\n"
            section = self.fitted(text, "--gpu", "h100-sxm", *flags.split())[1]
            trials = [6.5 + i / 1000 for i in range(2000)]
            least = min(trials, key=lambda us: sum(math.log1p((math.log(us / each) / scale) ** 2) for each in times))
            with self.subTest(head):
                found = sum(section[key] * n for key, n in sum_of.items())
                self.assertAlmostEqual(found / least, 1, delta=0.004)

    def test_latent_rows_alone_show_their_launch(self) -> None:
        lines = ["phase,batch,seq,n_head,latency_us,kv_lora_rank,qk_rope_head_dim,qk_nope_head_dim,v_head_dim"]
        for batch in (1, 2, 4, 8, 16, 32, 64):
            for seq in (64, 512, 4096, 16384, 65536):
                read = 2 * batch * (576 * (seq - 1) + 16 * (576 + 512))
                us = 6.5 + read / (3350e3 * 0.6)
                lines.append(f"decode,{batch},{seq},16,{us:.6f},512,64,128,128")
        section = self.fitted("\n".join(lines) + "\n", "--gpu", "h100-sxm")[1]
        self.assertAlmostEqual(section["launch_us"] / 6.5, 1, delta=0.1)
        self.assertAlmostEqual(section["latent_bandwidth_efficiency"], 0.6, delta=0.03)

    def test_latent_rows_alone(self) -> None:
        rows = LATENT.splitlines()
        text = "\n".join([rows[0], *(rows[1:3] * 7)]) + "\n"
        section = self.fitted(text, "--gpu", "h100-sxm")[1]
        self.assertLess(section["compute_efficiency"], 1)

    def test_finds_the_constants_of_a_link(self) -> None:
        scale_up = "ngpu,bytes,latency_us\n"
        pcie = "ngpu,bytes,latency_us\n"
        for ngpu in (2, 4, 8):
            for power in range(8, 30):
                ring = 2 * (ngpu - 1) / ngpu * 2**power
                sent = (ngpu - 1) * 2**power / (450e3 * 0.81)
                spent = 4.2 + 0.5 * math.log2(ngpu) + min(sent, 6 + ring / (450e3 * 0.81))
                if power > 24:
                    spent = 30 + ring / (450e3 * 0.81)
                scale_up += f"{ngpu},{2**power},{spent:.6f}\n"
                pcie += f"{ngpu},{2**power},{3 + 2 * (ngpu - 1) * 1.1 + ring / (64e3 * 0.7):.6f}\n"
        for text, link, expected in (
            (scale_up, "nvlink", {"latency": 4.2, "hop": 0.5, "two_shot": 6, "library": 30}),
            (pcie, "pcie", {"latency": 3, "hop": 1.1}),
        ):
            section = self.fitted(text, "--gpu", "h100-sxm", "--link", link)[1]
            prefix = "link" if link == "nvlink" else "pcie"
            for name, value in expected.items():
                found = section[f"{prefix}_{name}_us"]
                self.assertAlmostEqual(found / value, 1, delta=0.01, msg=name)
            part = section[f"{prefix}_efficiency"]
            self.assertAlmostEqual(part, 0.81 if link == "nvlink" else 0.7, delta=0.005)

    def test_refuses_what_cannot_be_fitted(self) -> None:
        text = synthetic(random.Random(9), [64], self.seconds)
        few = self.written("\n".join(text.splitlines()[:14]) + "\n", "few.csv")
        error = self.refusal("--measured", few, "--gpu", "h100-sxm", "--fit")
        self.assertIn("--fit needs 14 rows of H100-SXM or more, not 13", error)
        enough = self.written(text, "m.csv")
        error = self.refusal("--measured", enough, "--gpu", "mi300x", "--fit")
        self.assertIn("--fit needs GPU.multiprocessors, which MI300X does not have", error)
        # Nothing of one GPU before another cannot be fitted.
        lines = text.splitlines()
        mixed = [f"gpu,{lines[0]}", *(f"h100-sxm,{line}" for line in lines[1:]), f"b200,{lines[1]}"]
        error = self.refusal("--measured", self.written("\n".join(mixed), "x.csv"), "--fit")
        self.assertIn("--fit needs 14 rows of B200-SXM or more, not 1", error)
        # Latencies of 10^-30 us would need figures that no config takes.
        tiny = "".join(re.sub(r"[^,]+$", "1e-9", line) + "\n" for line in lines[1:])
        path = self.written(lines[0] + "\n" + tiny, "t.csv")
        result = run("--measured", path, "--gpu", "h100-sxm", "--fit")
        self.assertEqual((result.code, result.out), (2, ""))
        self.assertIn("error: --fit of H100-SXM: GPU.", result.err.splitlines()[-1])


class WholeSample(ScriptTest):
    """Where the sample is: the catalogue's constants are its fit, and meet the goals."""

    @needs_shared("silicon")
    def test_goals_on_the_rows_that_were_not_fitted(self) -> None:
        """For kernels by the catalogue's constants, which are rounded."""
        for name in KERNELS:
            for gpu, rows in self.by_gpu(name).items():
                table = table_rows(ab.accuracy(rows[1::2], rows[0].gpu.figures))
                for (kind, size), cells in table.items():
                    with self.subTest(gpu=gpu, kind=kind, size=size):
                        if size == "above 50 us":
                            self.assertLessEqual(float(cells[2].rstrip("%")), GOALS[gpu][kind])

    @needs_shared("silicon")
    def test_goals_of_all_reduces(self) -> None:
        errors: dict[int, list[float]] = {2: [], 4: [], 8: []}
        for name in ALL_REDUCES:
            for gpu, rows in self.by_gpu(name).items():
                for row in rows[1::2]:
                    error = abs(row.estimate(row.gpu.figures) / row.seconds - 1)
                    if gpu != "L40S":
                        errors[row.ngpu].append(error)
                if gpu == "L40S":
                    table = table_rows(ab.accuracy(rows[1::2], rows[0].gpu.figures))
                    for size, cells in table.items():
                        if size[1].endswith("GPUs"):
                            self.assertLessEqual(float(cells[2].rstrip("%")), 12)
        for each in errors.values():
            self.assertLess(statistics.median(each), 0.10)
        pooled = sorted(error for each in errors.values() for error in each)
        self.assertLess(statistics.median(pooled), 0.06)
        self.assertLess(pooled[len(pooled) * 9 // 10], 0.16)

    def by_gpu(self, name: str) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        gpu_for = functools.lru_cache(ab.find_gpu)
        for row in ab.read_measured((SHARED / "silicon" / name).read_text(), gpu_for, None):
            found.setdefault(row.gpu.name, []).append(row)
        return found

    @needs_shared("silicon")
    def test_constants_are_what_a_fit_finds(self) -> None:
        """To the two digits that the table has, of H100's kernels and links."""
        known = ab.catalogue(ab.ARCHITECTURES)["Hopper"]
        for name in ("attention.csv", "allreduce.csv"):
            result = fit_of_h100(name)
            self.assertEqual((result.code, result.err), (0, ""))
            found = json.loads(result.out[result.out.index("{") :])["GPU"]
            for key, value in known.items():
                if key != "architecture":
                    with self.subTest(name, constant=key):
                        self.assertAlmostEqual(found[key] / value, 1, delta=0.035)

    @needs_shared("silicon")
    def test_bounds_hold_for_999_of_1000_rows(self) -> None:
        for name in (*KERNELS, *ALL_REDUCES):
            for gpu, rows in self.by_gpu(name).items():
                resident = [row for row in rows if row.resident]
                faster = [row for row in resident if row.seconds < row.bound_s]
                with self.subTest(gpu, file=name):
                    self.assertLessEqual(len(faster), len(resident) / 1000)

    @needs_shared("silicon")
    def test_quoted_rows_are_those_of_the_sample(self) -> None:
        for text, name in ((ATTENTION, "attention"), (LATENT, "mla"), (ALL_REDUCE, "allreduce")):
            path = Path(SHARED / "silicon" / f"{name}.csv")
            with path.open(newline="") as file:
                columns = text.splitlines()[0].split(",")
                known = {tuple(row[key] for key in columns) for row in csv.DictReader(file)}
            for line in text.splitlines()[1:]:
                self.assertIn(tuple(line.split(",")), known)
