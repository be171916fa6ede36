"""How fast the script is: `python3 -m tests.bench`. Ratios and rates of one run, not a test."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.support import SCRIPT

SWEEP = ["--gpu", "h100-sxm", "--dtype", "bf16", "--fused", "--format", "csv", "--seq"]


def seconds(command: list[str]) -> float:
    """Wall time of a whole process."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def cold_start(runs: int = 20) -> None:
    """The default report over a bare interpreter, pair by pair."""
    reports = []
    bare_starts = []
    for _ in range(runs):
        reports.append(seconds([sys.executable, str(SCRIPT)]))
        bare_starts.append(seconds([sys.executable, "-c", "pass"]))
    ratio = statistics.median(report / bare for report, bare in zip(reports, bare_starts))
    report_ms = statistics.median(reports) * 1e3
    bare_ms = statistics.median(bare_starts) * 1e3
    times = f"{report_ms:.0f} ms over {bare_ms:.0f} ms"
    tell(f"cold start: {ratio:.2f} times `python3 -c pass` ({times})")


def sweep_rate(cases: int = 100_000) -> None:
    """Cases of a CSV sweep per second, end to end."""
    spent = statistics.median(
        seconds([sys.executable, str(SCRIPT), *SWEEP, f"1:{cases}"]) for _ in range(3)
    )
    tell(f"CSV sweep: {cases / spent:,.0f} cases per second")


def peak_memory() -> None:
    """Peak resident memory of a short and of a long sweep."""
    probe = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True,"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    for cases in (1_000, 1_000_000):
        command = [sys.executable, str(SCRIPT), *SWEEP, f"1:{cases}"]
        peak = subprocess.check_output([sys.executable, "-c", probe, *command])
        tell(f"peak memory of {cases:,} cases: {int(peak) / 1024:.1f} MiB")


if __name__ == "__main__":
    cold_start()
    sweep_rate()
    peak_memory()
