#!/usr/bin/env python3
"""The constants of a GPU's kernels, or of its links, that explain measured times best.

  python3 tests/fit.py kernels.csv --gpu h100-sxm

fits them to every other row of the file, whose columns the README's "Held against silicon" lists,
holds the estimates against the rows between, and ends with a section for config.json.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # as a script it stands in tests/

import attn_bottleneck as ab

PROGRAM = "fit.py"

# Where every search begins, in the config's units: an ordinary GPU. No cost begins at zero, for a
# search does not move one that no row feels.
START = {
    "launch_us": 9,
    "wave_us": 5,
    "tile_us": 2,
    "exponentials": 4,
    "compute_efficiency": 0.6,
    "bandwidth_efficiency": 0.85,
    "latent_bandwidth_efficiency": 0.8,
    "link_latency_us": 3,
    "link_hop_us": 0.4,
    "link_two_shot_us": 5,
    "link_library_us": 25,
    "link_efficiency": 0.7,
    "pcie_latency_us": 3,
    "pcie_hop_us": 1.5,
    "pcie_efficiency": 0.6,
}
# Values at which these cost nothing.
COST_FREE = {"exponentials": 1e12, "tile_s": 0.0, "wave_s": 0.0}
MULTIPROCESSORS = "multiprocessors"  # that kernels' estimates need too, but no fit finds
BANDWIDTH = "bandwidth_efficiency"
LATENT_BANDWIDTH = "latent_bandwidth_efficiency"

# The relative error from which on a row weighs less and less.
KERNEL_SCALE = 0.1
ALL_REDUCE_SCALE = 0.15

# A cost stays in the fit if without it the loss is larger by this factor, and a bit; latent decode
# gets a bandwidth of its own if that lowers the loss of its rows to this part.
WORTH_A_COST = 1.025
WORTH_A_COST_AT_LEAST = 0.001
WORTH_A_BANDWIDTH = 0.8

# The search: the step of a numerical derivative, and when it ends.
DERIVATIVE_STEP = 1e-5
FIRST_DAMPING = 1e-2
DAMPING_FACTOR = 5.0
MOST_DAMPING = 1e6
LEAST_GAIN = 1e-9
MOST_STEPS = 500
LONGEST_STEP = 1.0  # of a constant's logarithm

Vector = list[float]
Matrix = list[Vector]


# ------------------------------------------------------------------------------------ least squares


def scalar_product(left: Vector, right: Vector) -> float:
    return math.fsum(a * b for a, b in zip(left, right))


def solved(matrix: Matrix, right_side: Vector, damping: float) -> Vector:
    """The x of A x = b by Gauss-Jordan elimination, with the diagonal of A damped.

    Marquardt 1963: each diagonal element is multiplied by 1 + damping. The 1e-9 that is added keeps
    the matrix regular where a constant changes nothing.
    """
    rows = [[*row, value] for row, value in zip(matrix, right_side)]
    for i, row in enumerate(rows):
        row[i] += damping * row[i] + 1e-9
    for i, pivot in enumerate(rows):
        divisor = pivot[i]
        pivot[:] = [value / divisor for value in pivot]
        for other in rows:
            if other is not pivot:
                factor = other[i]
                other[:] = [a - factor * b for a, b in zip(other, pivot)]
    return [row[-1] for row in rows]


Constants = Mapping[str, float]  # by the fields of KernelConstants or LinkConstants


class Point(NamedTuple):
    """Constants that the search has tried, and how well they explain the rows."""

    constants: Constants
    residuals: Vector  # of each row: the logarithm of its estimated over its measured time
    loss: float


class Objective:
    """What a search makes least: the loss of measured rows, beside constants that stay as they are.

    The loss of a residual r is log(1 + (r / scale)^2), Cauchy's, in which errors well above the
    scale hardly weigh. It is averaged over the rows of each kind, and summed over the kinds: a kind
    of few rows weighs as much as one of many.
    """

    def __init__(self, rows: Sequence[ab.Measured], fixed: Constants) -> None:
        self.rows = rows
        self.fixed = fixed
        self.record: Callable[..., ab.Constants] = ab.KernelConstants
        if is_of_link(rows):
            self.record = ab.LinkConstants
        self.scale = ALL_REDUCE_SCALE if is_of_link(rows) else KERNEL_SCALE
        rows_of_kind = collections.Counter(row.kind for row in rows)
        self.shares = [1 / rows_of_kind[row.kind] for row in rows]

    def at(self, constants: Constants) -> Point:
        """The point of these constants."""
        residuals = self.residuals(constants)
        losses = []
        for share, residual in zip(self.shares, residuals):
            losses.append(share * math.log1p((residual / self.scale) ** 2))
        return Point(constants, residuals, loss=math.fsum(losses))

    def residuals(self, constants: Constants) -> Vector:
        """The logarithm of estimated over measured time of each row."""
        known = self.record(**{**self.fixed, **constants})
        return [math.log(row.estimate(known) / row.seconds) for row in self.rows]

    def weights(self, residuals: Vector) -> Vector:
        """Weights with which squared residuals have the loss's slope: share / (scale^2 + r^2)."""
        squared_scale = self.scale**2
        return [share / (squared_scale + r * r) for share, r in zip(self.shares, residuals)]

    def jacobian(self, point: Point) -> Matrix:
        """For each constant the derivatives of the residuals by its logarithm, by differences."""
        columns = []
        for name, value in point.constants.items():
            increased = value * math.exp(DERIVATIVE_STEP)
            residuals = self.residuals({**point.constants, name: increased})
            changes = [after - before for before, after in zip(point.residuals, residuals)]
            columns.append([change / DERIVATIVE_STEP for change in changes])
        return columns

    def step(self, point: Point, jacobian: Matrix, damping: float) -> Vector:
        """How much lower the logarithm of each constant should be, linearly: the damped normal
        equations of weighted least squares, J^T W J step = J^T W r.
        """
        weights = self.weights(point.residuals)
        normal_matrix = []
        gradient = []
        for column in jacobian:
            weighted = [weight * value for weight, value in zip(weights, column)]
            normal_matrix.append([scalar_product(weighted, other) for other in jacobian])
            gradient.append(scalar_product(weighted, point.residuals))
        return solved(normal_matrix, gradient, damping)


def stepped(constants: Constants, step: Vector) -> Constants:
    """Constants a step further: none changes by more than a factor of e, or exceeds a peak."""
    moved = {}
    for (name, value), length in zip(constants.items(), step):
        length = max(-LONGEST_STEP, min(LONGEST_STEP, length))  # noqa: PLW2901
        moved[name] = value * math.exp(-length)
        if name.endswith("efficiency"):
            moved[name] = min(moved[name], 1.0)
    return moved


def least_loss(objective: Objective, start: Constants) -> Point:
    """The point of least loss that a search from `start` finds.

    Levenberg 1944 and Marquardt 1963: Gauss-Newton steps in the constants' logarithms, the damping
    lowered after a step that gains and raised after one that does not; the weights are new at every
    step (iteratively reweighted least squares).
    """
    point = objective.at(start)
    jacobian = objective.jacobian(point)
    damping = FIRST_DAMPING
    for _ in range(MOST_STEPS):
        step = objective.step(point, jacobian, damping)
        trial = objective.at(stepped(point.constants, step))
        gain = point.loss - trial.loss
        if gain > 0:
            point = trial
            damping /= DAMPING_FACTOR
        else:
            damping *= DAMPING_FACTOR
        if 0 < gain <= LEAST_GAIN or damping >= MOST_DAMPING:
            break
        if gain > 0:
            jacobian = objective.jacobian(point)
    return point


# ------------------------------------------------------------------------------ constants of a file


def is_of_link(rows: Sequence[ab.Measured]) -> bool:
    """Whether these are all-reduces, not kernels."""
    return rows[0].kind == "all-reduce"


def config_keys(rows: Sequence[ab.Measured]) -> dict[str, str]:
    """The config's keys of the constants that these rows need, by their fields."""
    keys = {}
    for key, row in ab.catalogue(ab.GPU_KEYS).items():
        if row.get("constants") == rows[0].constants_of and "optional" not in row:
            keys[row["field"]] = key
    return keys


def fitted_constants(rows: Sequence[ab.Measured]) -> Constants:
    """The constants of measured kernels, or of a link, that explain them best."""
    values = ab.read_section(START, "GPU", complete=False)
    start = {}
    for field, key in config_keys(rows).items():
        if key in START:
            start[field] = values[ab.base_name(key)]
    if is_of_link(rows):
        return least_loss(Objective(rows, fixed={}), start).constants
    latent_rows = [row for row in rows if row.kind == "latent decode"]
    other_rows = [row for row in rows if row.kind != "latent decode"]
    constants = kernel_constants(other_rows or latent_rows, start)
    if latent_rows:
        return with_latent_bandwidth(latent_rows, constants, start[LATENT_BANDWIDTH])
    # No row shows it: what the GPU has already, or else as other kernels.
    figures = rows[0].gpu.figures
    latent_bandwidth = figures.get(LATENT_BANDWIDTH, constants[BANDWIDTH])
    return {**constants, LATENT_BANDWIDTH: latent_bandwidth}


def kernel_constants(rows: Sequence[ab.Measured], start: Constants) -> Constants:
    """All constants but latent decode's bandwidth, without the costs that the rows do not show."""
    fixed = {
        MULTIPROCESSORS: rows[0].gpu.figures[MULTIPROCESSORS],
        LATENT_BANDWIDTH: start[LATENT_BANDWIDTH],
    }
    searched = {name: value for name, value in start.items() if name != LATENT_BANDWIDTH}
    best = least_loss(Objective(rows, fixed), searched)
    for name, free_value in COST_FREE.items():
        fewer = {other: value for other, value in best.constants.items() if other != name}
        fixed_too = {**fixed, name: free_value}
        without = least_loss(Objective(rows, fixed_too), fewer)
        if without.loss < best.loss * WORTH_A_COST + WORTH_A_COST_AT_LEAST:
            best = without
            fixed = fixed_too
    return {**fixed, **best.constants}


def with_latent_bandwidth(
    rows: Sequence[ab.Measured], constants: Constants, start: float
) -> Constants:
    """The constants with latent decode's bandwidth: the kernels' own, if its rows show no other."""
    shared = {**constants, LATENT_BANDWIDTH: constants[BANDWIDTH]}
    objective = Objective(rows, fixed=shared)
    apart = least_loss(objective, {LATENT_BANDWIDTH: start})
    if apart.loss < WORTH_A_BANDWIDTH * objective.at({}).loss:
        return {**shared, **apart.constants}
    return shared


# --------------------------------------------------------------------------------------- the answer


def refuse_unfittable(name: str, rows: Sequence[ab.Measured]) -> None:
    """An InputError for rows of a GPU of which no constants can be found."""
    needed = config_keys(rows)
    if any(row.constants_of != rows[0].constants_of for row in rows):
        raise ab.InputError(f"rows of {name} go over both links: --link takes one")
    if MULTIPROCESSORS in needed and MULTIPROCESSORS not in rows[0].gpu.figures:
        raise ab.InputError(f"a fit needs GPU.{MULTIPROCESSORS}, which {name} does not have")
    searched = needed.keys() - {MULTIPROCESSORS}
    least = 2 * len(searched)
    if len(rows) < least:
        raise ab.InputError(f"a fit needs {least} rows of {name} or more, not {len(rows)}")


def config_section(figures: Mapping[str, Any], fitted: Sequence[str]) -> dict[str, Any]:
    """A GPU section of config.json; of fitted figures the three digits that are worth something."""
    section = {}
    for key, meaning in ab.CONFIG_KEYS["GPU"].items():
        name = ab.base_name(key)
        value = figures.get(name)
        if isinstance(value, float):
            digits = 3 if name in fitted else 12
            value = float(f"{value / meaning.scale:.{digits}g}")
        if value is not None:
            section[key] = value
    return section


def fitted_section(name: str, rows: Sequence[ab.Measured]) -> dict[str, Any]:
    """A GPU's section of config.json with the constants that explain every other row best."""
    refuse_unfittable(name, rows)
    figures = dict(rows[0].gpu.figures)
    keys = config_keys(rows)
    for field, value in fitted_constants(rows[::2]).items():
        figures[ab.base_name(keys[field])] = value
    return config_section(figures, list(map(ab.base_name, keys.values())))


def accuracy_of(name: str, rows: Sequence[ab.Measured], section: Mapping[str, Any]) -> str:
    """How far the section's estimates of the rows that were not fitted are off."""
    with ab.blamed_on(f"the fit of {name}:"):
        gpu = ab.made_gpu(ab.read_section(section, "GPU"), "the fit")
    judged = [row._replace(constants=gpu.constants_of(row.constants_of)) for row in rows[1::2]]
    heading = f"{name}, {len(judged):,} rows; fitted on every other row, held against the rest"
    return f"{heading}\n\n{ab.accuracy(judged)}\n"


# ------------------------------------------------------------------------------------- command line


class Parser(argparse.ArgumentParser):
    """A parser that reports what is wrong as the rest of the project does."""

    def error(self, message: str) -> NoReturn:
        raise ab.InputError(message.removeprefix("argument "))


def parser() -> Parser:
    """The arguments: what is not given is not among the flags."""
    result = Parser(PROGRAM, description=__doc__, allow_abbrev=False)
    result.formatter_class = argparse.RawDescriptionHelpFormatter
    result.argument_default = argparse.SUPPRESS
    result.add_argument("measured", metavar="FILE", help="a CSV file, - for standard input")
    result.add_argument("--gpu", metavar="NAME", help="the GPU, or GPUs, that were measured")
    result.add_argument(
        "--link", type=ab.names_flag(ab.LINKS), help="pcie or nvlink, of all-reduces"
    )
    result.add_argument("--config", metavar="FILE", help="a config whose GPU was measured")
    result.add_argument("--set", action="append", metavar="GPU.KEY=N", help="another figure of it")
    result.add_argument("--format", choices=["json"], help="json: the section alone")
    return result


def answer(argv: Sequence[str] | None) -> Iterator[str]:
    """The text for a command line; InputError for one that cannot be answered."""
    flags = vars(parser().parse_args(argv))
    view = flags.pop("format", "report")
    ab.check_flags(flags)
    rows_of_gpu = ab.measured_rows(flags)
    texts = []
    for name, rows in rows_of_gpu.items():
        section = fitted_section(name, rows)
        accuracy = accuracy_of(name, rows, section)
        if view == "report":
            texts.append(accuracy)
        texts.append(json.dumps({"GPU": section}, indent=4) + "\n")
    for name, rows in rows_of_gpu.items():
        warning = ab.unit_warning(name, rows)
        if warning:
            diagnose("warning", warning)
    yield from texts


def diagnose(kind: str, message: str) -> None:
    """One ASCII line on standard error."""
    line = f"{PROGRAM}: {kind}: " + message.encode("ascii", "backslashreplace").decode()
    if len(line) > 300:
        line = f"{line[:296]} ..."
    sys.stderr.write(line + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the answer to a command line (default: sys.argv's) and return the exit code."""
    try:
        for text in answer(argv):
            sys.stdout.write(text)
    except ab.InputError as error:
        # What attn_bottleneck.py reads from --measured is an argument without a flag here.
        diagnose("error", str(error).replace("--measured", "FILE"))
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
