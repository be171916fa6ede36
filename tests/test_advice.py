"""What would help: changes to a case, what each gains, and how the summary shows them."""

from __future__ import annotations

from typing import Any

from tests.support import (
    DEEPSEEK,
    DEEPSEEK_671B,
    H100,
    LLAMA_8B,
    LLAMA_70B,
    NO_OVERHEAD,
    SLOW,
    CaseTest,
    json_of,
)

FUSED = "--dtype bf16 --fused"
HEADS = "--split head --link nvlink"
EIGHT_B = {**LLAMA_8B, "params_b": 8.03}
SEVENTY_B = {**LLAMA_70B, "params_b": 70.6}


class AdviceTest(CaseTest):
    def attention_gains(
        self, model: dict[str, Any], flags: str, gpu: dict[str, Any] | None = None
    ) -> dict[str, float]:
        """What attention gains by the flags of each change; all together last."""
        changes = self.quantity(model, flags, "would_help", gpu)
        return {change["flags"]: change["attention_gain"] for change in changes}


class Changes(AdviceTest):
    """Which changes help, where one term limits attention."""

    def test_memory_of_decode(self) -> None:
        """Half the cache is twice the speed, and so are twice the GPUs; arithmetic in FP8 keeps its
        cache, and so brings nothing.
        """
        gains = self.attention_gains(LLAMA_70B, f"{FUSED} --seq 8192")
        self.assertEqual(gains.keys(), {"--kv-dtype fp8", "--ngpu 2"})
        self.assert_close(gains["--kv-dtype fp8"], 2, 0.01)

    def test_compute_of_prefill(self) -> None:
        """Arithmetic alone, with cache and weights as they are."""
        gains = self.attention_gains(LLAMA_70B, f"{FUSED} --gen False --seq 65536")
        alone = "--dtype fp8 --kv-dtype bf16 --weight-dtype bf16"
        self.assert_close(gains[alone], 2, 0.01)
        self.assertEqual(next(iter(gains)), alone)

    def test_scores_that_unfused_prefill_spills(self) -> None:
        gains = self.attention_gains(LLAMA_8B, "--dtype bf16 --gen False")
        self.assertIn("--fused", gains)

    def test_a_launch_is_shared_by_twice_the_sequences(self) -> None:
        slow_launch = {**NO_OVERHEAD, "launch_us": 5}
        gains = self.attention_gains(LLAMA_8B, f"{FUSED} --seq 2", slow_launch)
        self.assert_close(gains["--batch 2"], 2, 0.01)

    def test_a_faster_link(self) -> None:
        """PCIe 128 GB/s to NVLink 900; and no fused kernel is told to be one."""
        gains = self.attention_gains(LLAMA_70B, f"{FUSED} --ngpu 8 --seq 2")
        self.assertGreater(gains["--link nvlink"], 6)
        self.assertNotIn("--fused", gains)
        gains = self.attention_gains(LLAMA_70B, f"{FUSED} --ngpu 8 --link nvlink")
        self.assertNotIn("--link pcie", gains)

    def test_another_split(self) -> None:
        """Of heads whose latent every GPU reads: any helps."""
        gains = self.attention_gains(DEEPSEEK, f"{FUSED} {HEADS} --ngpu 8 --batch 64 --seq 8192")
        self.assertLessEqual({"--split batch", "--split seq"}, gains.keys())

    def test_two_gpus_are_enough_to_share_otherwise(self) -> None:
        """Or by another link."""
        flags = f"{FUSED} --split head --ngpu 2 --batch 64 --seq 8192"
        gains = self.attention_gains(DEEPSEEK, flags)
        self.assertLessEqual({"--split batch", "--split seq"}, gains.keys())
        gains = self.attention_gains(LLAMA_70B, f"{FUSED} --ngpu 2 --seq 2")
        self.assertIn("--link nvlink", gains)

    def test_gpus_whose_exchange_costs_more_than_it_saves(self) -> None:
        slow = {**NO_OVERHEAD, "launch_us": 5, "pcie_hop_us": 5}
        gains = self.attention_gains(LLAMA_8B, f"{FUSED} --ngpu 8 --split head", slow)
        self.assertGreater(gains["--ngpu 4"], 1.01)
        self.assertNotIn("--ngpu 16", gains)

    def test_precisions_step_down(self) -> None:
        for dtype, lower, cache in (
            ("fp32", "fp16", "fp16"),
            ("bf16", "fp8", "fp8"),
            ("fp8", None, "fp4"),
        ):
            with self.subTest(dtype):
                prefill = f"--fused --dtype {dtype} --gen False --seq 9999"
                gains = self.attention_gains(EIGHT_B, prefill)
                arithmetic = [flags for flags in gains if flags.startswith(f"--dtype {lower} ")]
                if lower is None:
                    self.assertEqual(arithmetic, [])
                else:
                    self.assertNotEqual(arithmetic, [])
                gains = self.attention_gains(EIGHT_B, f"--fused --dtype {dtype} --seq 9999")
                self.assertIn(f"--kv-dtype {cache}", gains)
                self.assertIn(f"--weight-dtype {cache}", gains)
        last = "--fused --dtype fp8 --kv-dtype fp4 --weight-dtype int4 --seq 9999"
        for flags in self.attention_gains(EIGHT_B, last):
            self.assertNotIn("dtype", flags)

    def test_nothing_helps(self) -> None:
        """The most that FP8 arithmetic and an FP4 cache do, on a GPU that joins no other."""
        slow_launch = {**NO_OVERHEAD, "launch_us": 1e9, "exponentials": 1e9}
        model = {**LLAMA_70B, "n_kv_head": 1}
        least = "--dtype fp8 --kv-dtype fp4 --fused"
        gains = self.attention_gains(model, f"{least} --seq 9", slow_launch)
        self.assertEqual(gains.keys(), {"--batch 2"})  # a launch shared
        no_nvlink = {key: value for key, value in H100.items() if key != "nvlink"}
        flags = f"{least} --gen 0 --seq 1"
        self.assertEqual(self.quantity(model, flags, "would_help", no_nvlink), [])
        lines = self.summary(model, flags, no_nvlink)
        self.assertEqual(lines[-1], "What would help: no single change")


class Gains(AdviceTest):
    def test_a_change_is_its_flags(self) -> None:
        """What each line promises is what its flags give, with the case's before them."""
        for model, flags in (
            (EIGHT_B, f"{FUSED} --ngpu 2 --batch 4 --seq 9999"),
            (EIGHT_B, "--dtype bf16 --ngpu 8 --gen False --seq 999 --link pcie"),
            (DEEPSEEK_671B, f"{FUSED} {HEADS} --ngpu 8 --batch 64 --seq 8192"),
        ):
            for gpu in (H100, NO_OVERHEAD):
                before = self.record(model, flags, gpu)
                self.assertGreater(len(before["would_help"]), 3)
                for change in before["would_help"]:
                    with self.subTest(flags=flags, change=change["flags"]):
                        after = self.record(model, f"{flags} {change['flags']}", gpu)
                        self.assert_gains(change, before, after)

    def assert_gains(self, change: dict[str, Any], before: Any, after: Any) -> None:
        """Of times per new token."""
        tokens = after["new_tokens"] / before["new_tokens"]
        attention_gain = before["total_s"] / after["total_s"] * tokens
        step_gain = before["step_s"] / after["step_s"] * tokens
        self.assert_close(attention_gain, change["attention_gain"], 1e-9)
        self.assert_close(step_gain, change["step_gain"], 1e-9)
        self.assertEqual(after["fits"], change["fits"])

    def test_more_gpus_without_constants_of_their_link_gain_by_the_bounds(self) -> None:
        kernels_only = {}
        for key, value in SLOW.items():
            if not key.startswith(("link_", "pcie_")):
                kernels_only[key] = value
        flags = f"{FUSED} --seq 8192"
        gain = self.attention_gains(LLAMA_70B, flags, kernels_only)["--ngpu 2"]
        one = self.record(LLAMA_70B, f"{flags} --ngpu 1", kernels_only)
        two = self.record(LLAMA_70B, f"{flags} --ngpu 2", kernels_only)
        self.assertEqual((one["basis"], two["basis"]), ("estimate", "bound"))
        self.assert_close(gain, one["bound_s"] / two["bound_s"])

    def test_fewer_gpus_with_the_link_that_joins_them(self) -> None:
        """From 16 GPUs, which PCIe joins, to 8 with NVLink: the flags say so."""
        flags = "--gpu h100-sxm --model llama-3.1-70b --ngpu 16 --batch 16"
        before = json_of(flags)
        half = next(change for change in before["would_help"] if "--ngpu 8" in change["flags"])
        self.assertEqual(half["flags"], "--ngpu 8 --link nvlink")
        after = json_of(f"{flags} {half['flags']}")
        self.assert_close(before["total_s"] / after["total_s"], half["attention_gain"], 1e-9)


class Together(AdviceTest):
    def test_is_more_than_one_of_them(self) -> None:
        flags = "--gpu h100-sxm --model deepseek-v3 --ngpu 8 --batch 16 --seq 32K --split batch"
        for weights in ("", "--weight-dtype fp4"):
            changes = json_of(f"{flags} {weights}")["would_help"]
            every = [change["flags"] for change in changes]
            self.assertEqual(len(every), len(set(every)))

    def test_all_that_help_together(self) -> None:
        flags = "--dtype bf16 --ngpu 8 --seq 99999 --batch 64"
        *single, together = self.quantity(EIGHT_B, flags, "would_help")
        self.assertEqual(together["what"], "all that help together")
        for change in single:
            if "ngpu" not in change["flags"]:
                self.assertGreaterEqual(together["step_gain"], change["step_gain"])
        for flag in ("--ngpu", "--batch", "--set"):
            self.assertNotIn(flag, together["flags"])

    def test_one_flag_is_no_together(self) -> None:
        for change in self.quantity(LLAMA_70B, f"{FUSED} --seq 8192", "would_help"):
            self.assertNotIn("together", change["what"])

    def test_what_makes_it_fit_comes_first(self) -> None:
        changes = self.quantity(LLAMA_70B, f"{FUSED} --seq 400000", "would_help")
        fits = [change["fits"] for change in changes if "together" not in change["what"]]
        self.assertEqual(fits, sorted(fits, reverse=True))
        self.assertTrue(fits[0])


class Words(AdviceTest):
    """How the summary shows it."""

    def test_columns(self) -> None:
        flags = "--dtype bf16 --ngpu 8"
        lines = self.summary(SEVENTY_B, flags)
        changes = self.quantity(SEVENTY_B, flags, "would_help")
        at = lines.index(f"{'What would help':24}attention    step  per new token")
        for change in changes:
            at += 1
            if len(change["flags"]) > 22:
                self.assertEqual(lines[at], f"  {change['flags']}")
                at += 1
            attention_gain, _, step_gain, *_ = lines[at][24:].split()
            with self.subTest(change["flags"]):
                for text, gain in (
                    (attention_gain, change["attention_gain"]),
                    (step_gain, change["step_gain"]),
                ):
                    self.assertLess(abs(float(text) / gain - 1), 0.006)
                self.assertTrue(lines[at].split(" x  ")[-1].startswith(change["what"]))
        self.assertEqual(at, len(lines) - 1)
        self.assertEqual(changes[-1]["what"], "all that help together")

    def test_flags_of_22_characters_stand_beside_their_figures(self) -> None:
        """Those of 23 alone."""
        for flags, expected in (
            (
                "--model falcon-7b --ngpu 142 --batch 32",
                r"\n  --ngpu 71 --split head +[0-9.]+ x +[0-9.]+ x  half the GPUs",
            ),
            (
                "--model deepseek-v3 --ngpu 256 --batch 32",
                r"\n  --ngpu 128 --split head\n {24} +[0-9.]+ x +[0-9.]+ x  half the GPUs",
            ),
        ):
            with self.subTest(flags):
                self.assertRegex(self.answer("--gpu", "h100-sxm", *flags.split()), expected)

    def test_fusing_is_named(self) -> None:
        summary = self.answer(*"--gpu h100-sxm --model llama-3.1-8b --fused no".split())
        self.assertRegex(summary, r"\n  --fused .* one fused kernel\n")

    def test_what_makes_it_fit_is_named(self) -> None:
        summary = self.summary(LLAMA_70B, "--fp16 --fused --seq 300000")
        self.assertIn("makes it fit", "\n".join(summary))
