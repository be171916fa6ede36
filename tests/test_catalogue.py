"""GPUs and models by name."""

from __future__ import annotations

import json
import re
from typing import Any

import attn_bottleneck as ab
from tests.support import (
    CONFIG,
    SHARED,
    ScriptTest,
    cached_elements,
    needs_shared,
    read_csv,
    run,
    shapes_of,
)


class Catalogue(ScriptTest):
    def test_rows_are_those_that_were_checked(self) -> None:
        for table in ("GPU_ROWS", "MODEL_ROWS", "ARCHITECTURE_ROWS"):
            with self.subTest(table):
                self.assert_checked(table)

    def test_a_cell_that_is_under_no_head_is_noticed(self) -> None:
        """Such as where the head has a key more; a row need not have a cell for every key."""
        head, _, rows = ab.GPUS.partition("\n")
        with self.assertRaises(KeyError):
            ab.catalogue(head.replace("  fp32", "  fp64  fp32") + "\n" + rows)
        table = """\
name  some  few note
a        3  4.5 x y
b     -       7
c               z

Units
"""
        self.assertEqual(
            ab.catalogue(table), {"a": {"some": 3, "few": 4.5}, "b": {"few": 7}, "c": {}}
        )

    def test_names_are_found_however_they_are_written(self) -> None:
        for name in ("H100-SXM", "h100-sxm", "h100sxm", "H100 SXM", "h100.sxm", "h100_s"):
            with self.subTest(name):
                self.assertIn("1 x H100-SXM (", self.answer("--gpu", name))
        for name in ("llama-3.1-70b", "Llama 3.1 70B", "llama3170b", "LLAMA-3-1-70b"):
            with self.subTest(name):
                self.assertIn("model      llama-3.1-70b (", run("--model", name).out)
        self.assertIn("1 x L4 (", self.answer("--gpu", "l4"))  # exact, though L40 begins so

    def test_unknown_and_ambiguous_names(self) -> None:
        for flags, expected in (
            (("--gpu", "h100"), '--gpu "h100" could be H100-SXM, H100-PCIe, H100-NVL'),
            (("--gpu", "h100-smx"), '"h100-smx" is not in the catalogue (did you mean H100-SXM?)'),
            (("--gpu", "zzz"), '--gpu "zzz" is not in the catalogue; --list-gpus lists'),
            (("--gpu", ""), '--gpu "" is not in the catalogue; --list-gpus'),
            (("--gpu", "-"), "is not in the catalogue"),
            (("--model", "lama-2-7b"), "(did you mean llama-2-7b?)"),
            (
                ("--model", "qwen3"),
                "could be qwen3-4b, qwen3-8b, qwen3-14b, qwen3-32b, qwen3-30b-a3b",
            ),
            (("--model", ""), '--model "" is not in the catalogue; --list-models'),
        ):
            with self.subTest(flags):
                self.assertIn(expected, self.refusal(*flags))

    def test_missing_figures_are_asked_for_only_when_needed(self) -> None:
        for flags, expected in (
            ("--gpu m2-ultra", "--dtype bf16: M2-Ultra has no figure for it"),
            (
                "--gpu tpu-v5e --dtype fp32",
                "--dtype fp32: TPU-v5e has no figure for it (it has bf16, int8)",
            ),
            (
                "--gpu tpu-v5e --dtype bf16 --ngpu 2 --link pcie",
                "--link pcie: TPU-v5e has no figure for it (it has nvlink)",
            ),
            ("--gpu l40s --dtype bf16 --ngpu 2 --link nvlink", "--link nvlink: L40S has no figure"),
            ("--gpu h100-sxm --dtype fp4", "(it has fp32, tf32, fp16, bf16, fp8, int8)"),
        ):
            with self.subTest(flags):
                self.assertIn(expected, self.refusal(*flags.split()))
        self.answer("--gpu", "tpu-v5e", "--dtype", "bf16")
        self.answer("--gpu", "tpu-v5e", "--dtype", "bf16", "--ngpu", "2")

    def test_the_users_own_row_is_unchanged(self) -> None:
        flags = "--ngpu 10 --dtype fp32 --fused False --split seq --link pcie --format report"
        named = self.answer("--gpu", "A100", *flags.split())
        self.assertEqual(named, self.answer("--ngpu", "10"))
        self.assertEqual({"model": "A100", **ab.catalogue(ab.GPUS)["A100"]}, CONFIG["GPU"])

    def test_names_override_their_sections_alone(self) -> None:
        config = self.config({"model": "Mine"}, {"n_layer": 7})
        summary = self.answer("--config", config, "--gpu", "h20")
        self.assertIn("1 x H20 (from catalogue)", summary)
        self.assertIn("7 full layers: ", summary)
        summary = self.answer("--config", config, "--model", "falcon-7b")
        self.assertIn("1 x Mine (from ", summary)
        self.assertIn("32 full layers: 71 heads, 1 K/V", summary)
        # A section that is overridden may be missing; the other may not.
        model = self.written('{"Model": {"n_layer": 1, "n_head": 1, "dim_head": 8}}')
        self.assertIn("1 full layer: 1 head,", self.answer("--config", model, "--gpu", "h20"))
        self.assertIn("GPU.model is missing", self.refusal("--config", model))
        self.assertIn("GPU.model is missing", self.refusal("--config", model, "--model", "kimi-k2"))
        both = run("--config", "/nowhere", "--model", "kimi-k2", "--gpu", "h20").out
        self.assertIn("model      kimi-k2 (", both)

    def test_lists_have_every_row_and_units(self) -> None:
        gpus = self.answer("--list-gpus")
        models = self.answer("--list-models")
        self.assertGreaterEqual(len(gpus.splitlines()), 43)
        self.assertGreaterEqual(len(models.splitlines()), 28)
        for text, units in ((gpus, "TFLOP/s"), (models, "1e9")):
            self.assertIn(units, text)
            self.assertTrue(text.isascii())
        for name in ("H100-SXM", "MI300X", "TPU-v7", "M4-Max"):
            self.assertIn(f"\n{name} ", gpus)
        for name in ("gpt3-175b", "deepseek-v3", "nemotron-3-nano-30b-a3b"):
            self.assertIn(f"\n{name} ", models)
        # 79.67e9 by the facts, 80 by its name; three of four layers are gated delta nets.
        line = r"(?m)^qwen3-next-80b-a3b +79\.67e9 parameters; 12 full, 36 state$"
        self.assertRegex(models, line)

    def test_rows_are_aligned_and_parse(self) -> None:
        for table in (ab.GPUS, ab.MODELS):
            head, *lines = table.split("\n\n")[0].splitlines()
            columns = head.split()[:-1]
            ends = [match.end() - 1 for match in re.finditer(r"\S+(?= )", head)]
            for line in lines:
                with self.subTest(line):
                    self.assertGreaterEqual(len(line.split()), len(columns))
                    for end in ends[1 : len(columns)]:
                        self.assertNotEqual(line[end], " ")
                        self.assertIn(line[end + 1 : end + 2], ("", " "))
        for name in ab.catalogue(ab.GPUS):
            self.assertEqual(ab.find_gpu(name).name, name)
        for name in ab.catalogue(ab.MODELS):
            self.assertEqual(ab.find_model(name).name, name)

    def test_quoted_rows(self) -> None:
        """NVIDIA's, AMD's and Google's own pages; both directions of a link; dense peaks."""
        for name, peak, memory, bandwidth, link in (
            ("H100-SXM", 989.5e12, 80e9, 3350e9, 900e9),
            ("H200-SXM", 989.5e12, 141e9, 4800e9, 900e9),
            ("H800-SXM", 989.5e12, 80e9, 3350e9, 400e9),
            ("B200-SXM", 2250e12, 180e9, 8000e9, 1800e9),
            ("A100-80GB-SXM", 312e12, 80e9, 2039e9, 600e9),
            ("MI300X", 1307.4e12, 192e9, 5300e9, 896e9),
            ("TPU-v5p", 459e12, 95e9, 2765e9, 1200e9),
        ):
            with self.subTest(name):
                gpu = ab.find_gpu(name)
                self.assertAlmostEqual(gpu.peaks["bf16"] / peak, 1)
                self.assertEqual((gpu.memory, gpu.bandwidth), (memory, bandwidth))
                self.assertEqual(gpu.links["nvlink"], link)
        self.assertEqual(ab.find_gpu("H100-SXM").figures["last_level_cache"], 50 * 2**20)

    @needs_shared("facts")
    def test_gpus_are_the_facts(self) -> None:
        rows = read_csv(SHARED / "facts" / "gpus.csv")
        known = ab.catalogue(ab.GPUS)
        self.assertEqual(len(known), len(rows) + 1)
        figures = [
            ("memory", "memory_gb", 1),
            ("bandwidth", "bandwidth_gb_s", 1),
            ("pcie", "pcie_gb_s", 2),
            ("nvlink", "link_gb_s_per_direction", 2),
            ("nvlink_gpus", "scale_up_gpus", 1),
            ("last_level_cache", "l2_cache_mb", 1),
        ]
        for precision in ab.COMPUTING:
            unit = "tops" if precision == "int8" else "tflops"
            figures.append((precision, f"{precision}_{unit}", 1))
        for row in rows:
            expected: dict[str, Any] = {}
            for key, column, scale in figures:
                if key == "nvlink_gpus" and not row["link_gb_s_per_direction"]:
                    continue
                if row[column]:
                    expected[key] = float(row[column]) * scale
            with self.subTest(row["name"]):
                found = dict(known[row["name"]])
                self.assertEqual("architecture" in found, "multiprocessors" in found)
                for key in ("architecture", "multiprocessors"):
                    found.pop(key, None)
                self.assertEqual(found, expected)

    @needs_shared("facts")
    def test_models_are_the_facts(self) -> None:
        for row in read_csv(SHARED / "facts" / "models.csv"):
            with self.subTest(row["name"]):
                model = ab.find_model(row["name"])
                shapes = {shape.kind: shape for shape in shapes_of(model)}
                full = shapes.get("full")
                windowed = shapes.get("windowed")
                self.assertEqual(model.n_layer, int(row["n_layer"]))
                self.assertEqual(full.n_layer if full else 0, int(row["n_layers_full"]))
                self.assertEqual(windowed.n_layer if windowed else 0, int(row["n_layers_sliding"]))
                self.assertEqual(windowed.window if windowed else 0, int(row["window"] or 0))
                first = shapes_of(model)[0]
                hidden_size = model.figures.get("hidden_size", first.n_head * first.dim_v)
                for key, value in (
                    ("n_head", first.n_head),
                    ("n_kv_head", first.n_kv_head),
                    ("dim_head_qk", first.dim_qk),
                    ("dim_head_v", first.dim_v),
                    ("kv_lora_rank", first.kv_lora_rank),
                    ("qk_rope_head_dim", first.qk_rope_head_dim),
                    ("hidden_size", hidden_size),
                    ("moe_experts", model.figures.get("n_expert", 0)),
                    ("moe_active", model.figures.get("n_expert_active", 0)),
                ):
                    self.assertEqual(value, int(row[key] or 0), key)
                cached = 2 * cached_elements(model)
                self.assertEqual(cached, int(row["kv_bytes_per_token_2B_all"]))
                self.assertIsNotNone(model.params)

    def test_absorbed_latent_decode_on_eight_gpus(self) -> None:
        flags = "--gpu h100-sxm --model deepseek-v3 --ngpu 8 --batch 64 --seq 8192 --dtype bf16"
        flags += " --fused --split head --link nvlink --format json"
        result = run(*flags.split())
        found = json.loads(result.out)
        layer = found["layers"][0]
        self.assertEqual(layer["latent_form"], "absorbed")
        # 16 of 128 heads on a whole copy of the latents: intensity about 2 x 16 x 1088 / 1152.
        self.assertAlmostEqual(found["intensity_flop_per_byte"], 30.2, delta=0.2)
        self.assertEqual(layer["kv_read_bytes"], 64 * 8191 * 576 * 2)
        self.assertEqual(layer["reduce_bytes"], 64 * 7168 * 2)
        self.assertEqual(found["limit"], "memory")
        self.assertEqual(found["gpu_cache_bytes"], 61 * 64 * 8191 * 576 * 2)
        # 671e9 parameters in FP8 over 8 GPUs, and the latents.
        self.assertIn("weights and KV cache do not fit: 121 GB on each GPU of 80 GB", result.err)
