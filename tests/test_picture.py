"""The picture: every case, roof, tick and legend row stands where its figures in JSON say."""

from __future__ import annotations

import cmath
import functools
import json
import math
import re
import unittest
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

from tests.support import PREFIXES, ScriptTest, run

SVG = "{http://www.w3.org/2000/svg}"
Point = tuple[float, float]
Case = dict[str, Any]  # an object of --format json

# Okabe and Ito's palette (jfly.uni-koeln.de/color).
BLUE = "#0072b2"
VERMILLION = "#d55e00"
GREEN = "#009e73"
PURPLE = "#cc79a7"
ORANGE = "#e69f00"
SKY = "#56b4e9"
BLACK = "#000000"
PALETTE = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK]
TERM_COLOURS = {
    "compute": ORANGE,
    "memory": BLUE,
    "sync": GREEN,
    "overhead": PURPLE,
    "total": BLACK,
}

# Shapes of markers by the corners' places from the point that they mark, y down.
SQUARE, CIRCLE, TRIANGLE, DIAMOND = range(4)
TWELVE_OF_A_CIRCLE = [cmath.rect(5, turn / 2) for turn in range(12)]  # half a radian apart
SHAPES: list[list[Point]] = [
    [(-4, -4), (4, -4), (4, 4), (-4, 4)],
    [(corner.real, corner.imag) for corner in TWELVE_OF_A_CIRCLE],
    [(0, -5), (5, 4), (-5, 4)],
    [(0, -6), (5, 0), (0, 6), (-5, 0)],
]
EIGHT_GPUS = "h100-sxm,b200-sxm,l40s,a100-80gb-sxm,mi300x,h20,l4,a10"
TEN_GPUS = f"{EIGHT_GPUS},v100,t4"


class Line(NamedTuple):
    points: list[Point]
    look: dict[str, str]


class Text(NamedTuple):
    x: float
    y: float
    anchor: str
    text: str


class Marker(NamedTuple):
    corners: list[Point]
    colour: str
    fill: str
    title: str

    @property
    def shape(self) -> int:
        """Which of the four, by its corners and where the first one is."""
        if len(self.corners) == 3:
            return TRIANGLE
        if len(self.corners) == 12:
            return CIRCLE
        first_x, _ = self.corners[0]
        last_x, _ = self.corners[-1]
        return SQUARE if first_x == last_x else DIAMOND

    @property
    def point(self) -> Point:
        """What it marks."""
        x, y = self.corners[0]
        dx, dy = SHAPES[self.shape][0]
        return x - dx, y - dy


class Page:
    """What a picture shows, by kind."""

    def __init__(self, svg: str) -> None:
        self.root = ElementTree.fromstring(svg)
        self.lines = [line_of(element) for element in self.root.iter(f"{SVG}polyline")]
        self.texts = [text_of(element) for element in self.root.iter(f"{SVG}text")]
        self.markers = [marker_of(element) for element in self.root.iter(f"{SVG}polygon")]
        self.width = float(self.root.attrib["width"])
        self.height = float(self.root.attrib["height"])
        self.panels = [line.points for line in self.lines if line.look.get("class") == "axis"]
        self.top = self.panels[0][0][1]
        self.heading = [text for text in self.texts if text.x == 20]
        self.legend = [text.text for text in self.texts if text.x == 778]

    def in_panel(self, n: int) -> list[Marker]:
        """The markers of a panel, not those of its legend."""
        (left, top), (_, bottom), (right, _) = self.panels[n]
        markers = []
        for marker in self.markers:
            x, y = marker.point
            if left < x < right and top < y < bottom:
                markers.append(marker)
        return markers


def line_of(element: ElementTree.Element) -> Line:
    return Line(points_of(element), dict(element.attrib))


def text_of(element: ElementTree.Element) -> Text:
    x = float(element.attrib["x"])
    y = float(element.attrib["y"])
    return Text(x, y, anchor=element.get("text-anchor", ""), text=element.text or "")


def marker_of(element: ElementTree.Element) -> Marker:
    return Marker(
        corners=points_of(element),
        colour=element.attrib["stroke"],
        fill=element.attrib["fill"],
        title=element.findtext(f"{SVG}title", ""),
    )


def points_of(element: ElementTree.Element) -> list[Point]:
    pairs = [pair.split(",") for pair in element.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]


class Scale(NamedTuple):
    """A log-log panel: its corner on the page, its height, and the values that it has to show."""

    top: float
    height: float
    xs: list[float]
    ys: list[float]

    def at(self, x: float, y: float) -> Point:
        """Where a point of the data stands on the page, in a panel of 640 pixels and the height."""
        right = part_of_axis(x, self.xs)
        up = part_of_axis(y, self.ys)
        return 90 + 640 * right, self.top + self.height * (1 - up)


def part_of_axis(value: float, values: list[float]) -> float:
    """Where a value stands on an axis from 0 to 1, with 30 % beyond the outermost at each end."""
    least = min(values) / 1.3
    most = max(values) * 1.3
    return math.log2(value / least) / math.log2(most / least)


class Roof(NamedTuple):
    gpu: str
    dtype: str
    peak: float
    bandwidth: float


class Look(NamedTuple):
    colour: str
    shape: int  # of markers; none where it is negative


class Timed(NamedTuple):
    """A time in the lower panel, and its case."""

    x: float
    seconds: float
    case: Case


class Drawing:
    """What a picture of cases has to show: worked out from what JSON says of them."""

    def __init__(self, flags: str, apart: str, axis: str) -> None:
        """A series for each combination of the names in `apart`, over the axis."""
        every = outcomes(flags)
        self.flags = flags
        self.total = len(every)
        self.cases = [case for case in every if case["error"] is None]
        self.axis = axis
        self.series: dict[str, list[Case]] = {}
        for case in self.cases:
            self.series.setdefault(series_name(case, apart.split()), []).append(case)
        self.roofs = list(dict.fromkeys(map(roof_of, self.cases)))
        self.looks = self.looks_of_series()

    def looks_of_series(self) -> dict[str, Look]:
        """One after the other; of several roofs the colour, and under each one shape after the
        other.
        """
        looks = {}
        under_roof: Counter[Roof] = Counter()
        for n, (name, cases) in enumerate(self.series.items()):
            roof = roof_of(cases[0])
            if len(self.roofs) > 1:
                colour = self.roofs.index(roof)
                shape = under_roof[roof]
            else:
                colour = n
                shape = n
            looks[name] = Look(PALETTE[colour % 7], shape % 4)
            under_roof[roof] += 1
        return looks

    def corners(self, roof: Roof) -> list[Point]:
        """From a quarter of the ridge point to four times it, or as far as the cases go."""
        ridge = roof.peak / roof.bandwidth
        intensities = [work_of(case)[0] for case in self.cases]
        left = min([ridge / 4, *intensities])
        right = max([4 * ridge, *intensities])
        return [(left, left * roof.bandwidth), (ridge, roof.peak), (right, roof.peak)]

    def upper(self, top: float) -> Scale:
        points = [work_of(case) for case in self.cases]
        for roof in self.roofs:
            points += self.corners(roof)
        return Scale(top, 400, [x for x, _ in points], [y for _, y in points])

    def lower(self, top: float) -> Scale:
        xs = []
        seconds = []
        for times in self.times().values():
            xs += [time.x for time in times]
            seconds += [time.seconds for time in times]
        return Scale(top, 310, xs, seconds)

    def times(self) -> dict[str, list[Timed]]:
        """The points of the lower panel by what the legend calls them; no time has no point."""
        if not self.axis or len(self.cases) < 2:
            return {}
        lines = {}
        if len(self.series) > 1:
            for name, cases in self.series.items():
                lines[name] = self.times_of(cases, "total_s")
        else:
            for term in TERM_COLOURS:
                lines[term] = self.times_of(self.cases, f"{term}_s")
        return {name: times for name, times in lines.items() if times}

    def times_of(self, cases: list[Case], column: str) -> list[Timed]:
        times = []
        for case in cases:
            x = float(value_of(case, self.axis))
            if x and case[column]:
                times.append(Timed(x, case[column], case))
        return times

    def look_of_time(self, name: str) -> Look:
        if len(self.series) > 1:
            return self.looks[name]
        return Look(TERM_COLOURS[name], SQUARE)


def series_name(case: Case, apart: list[str]) -> str:
    """What the legend calls a case's series: the values that tell it apart."""
    words = []
    for name in apart:
        value = value_of(case, name)
        words.append(f"{value}" if name in ("gpu", "model") else f"{name} {value}")
    return " ".join(words)


def value_of(case: Case, name: str) -> Any:
    """The value of a flag or of a key of --set, as words in the picture say it."""
    if "." in name:
        return f"{case['set'][name]:.12g}"
    if name == "gen":
        return case["phase"]
    if name == "model":
        return case["model"] or "config"
    return case[name.replace("-", "_")]


def work_of(case: Case) -> Point:
    return case["gpu_flops"] / case["gpu_bytes"], case["gpu_flops"] / case["total_s"]


def roof_of(case: Case) -> Roof:
    gpu = case["inputs"]["gpu"]
    return Roof(case["gpu"], case["dtype"], gpu[case["dtype"]], gpu["bandwidth"])


def words_of(case: Case) -> str:
    """What the tooltip of a case begins with: all of its values."""
    names = "gpu model ngpu seq batch query phase dtype kv-dtype weight-dtype fused split link"
    words = [f"{name} {value_of(case, name)}" for name in names.split()]
    for key in case.get("set", {}):
        words.append(f"{key} {value_of(case, key)}")
    return ", ".join(words)


def near(points: Sequence[Point], expected: Sequence[Point]) -> bool:
    """Whether points are those expected, to the tenth of a pixel that the page gives."""
    if len(points) != len(expected):
        return False
    for (x, y), (expected_x, expected_y) in zip(points, expected):
        if abs(x - expected_x) >= 0.0501 or abs(y - expected_y) >= 0.0501:
            return False
    return True


def marker_corners(point: Point, shape: int) -> list[Point]:
    """The corners of a marker of a point."""
    x, y = point
    return [(x + dx, y + dy) for dx, dy in SHAPES[shape]]


def page(flags: str) -> Page:
    result = run(*flags.split(), "--format", "svg")
    assert (result.code, result.out.isascii()) == (0, True), result.err
    return Page(result.out)


def outcomes(flags: str) -> list[Case]:
    """All cases as JSON has them: one object, or one a line."""
    text = run(*flags.split(), "--format", "json").out
    decoder = json.JSONDecoder()
    cases = []
    while text:
        case, end = decoder.raw_decode(text)
        cases.append(case)
        text = text[end:].lstrip()
    return cases


SEVEN_KEYS = (
    "--set GPU.memory=9 --set GPU.nvlink=99 --set GPU.bandwidth=2e3 --set GPU.fp16=500"
    " --set Model.n_layer=9 --set Model.n_head=32 --set Model.n_kv_head=8"
)
TWO_MODELS = "--model llama-3.1-8b,qwen3-8b"
# Flags, the names that tell series apart, and the axis of the lower panel.
SWEEPS = (
    ("", "", ""),
    # All four terms.
    ("--gpu h100-sxm --ngpu 2 --seq 1K:64K:x4 --batch 2", "", "seq"),
    # One does not fit.
    ("--gpu l40s --model llama-3.1-8b --batch 64 --seq 1K,64K", "", "seq"),
    ("--gpu h100-sxm,l40s --seq 1K,8K --batch 1:512:x8 --dtype fp8,bf16", "gpu seq dtype", "batch"),
    # More series than a legend lists, and as many.
    ("--gpu h100-sxm --seq 1K:13K:1K --batch 1,4", "seq", "batch"),
    ("--gpu h100-sxm --seq 1K:12K:1K --batch 1,4", "seq", "batch"),
    # More roofs than a legend lists, and as many, and 16 series.
    (f"--gpu {TEN_GPUS} --dtype fp16", "gpu", ""),
    (f"--gpu {EIGHT_GPUS} --dtype fp16 --fused True,False", "gpu fused", ""),
    # A roof for each.
    ("--gpu h100-sxm --set GPU.bandwidth=1000:4000:x2", "", "GPU.bandwidth"),
    # Nothing stands over zero.
    ("--gpu h100-sxm --set GPU.tile_us=0:2:1", "", "GPU.tile_us"),
    ("--set GPU.bandwidth=500,1500 --set GPU.memory=8,80", "GPU.bandwidth", "GPU.memory"),
    (f"--gpu h100-sxm {TWO_MODELS} --seq 1K,4K --gen True,False", "model gen", "seq"),
    # Only one can be.
    ("--gpu h100-sxm --model llama-3.1-8b --ngpu 1,3 --split head", "", "ngpu"),
    (
        "--gpu h100-sxm --query 1,2 --kv-dtype bf16,fp8 --fused True,False",
        "kv-dtype fused",
        "query",
    ),
    # One cannot be; one series is left.
    ("--gpu h20,v100,l40s --dtype bf16 --seq 1K,2K", "gpu", "seq"),
    ("--gpu h20,v100 --dtype bf16 --seq 1K,2K", "gpu", "seq"),
    # One GPU sends nothing.
    ("--gpu h100-sxm --model llama-3.1-8b --ngpu 1,2,4", "", "ngpu"),
    # All at the flat roof.
    ("--gpu h100-sxm --gen False --seq 4K,8K --batch 3 --split batch --ngpu 2", "", "seq"),
    # A heading of several lines.
    (f"--gpu h100-sxm {SEVEN_KEYS}", "", ""),
)


@functools.cache
def page_and_drawing(flags: str, apart: str, axis: str) -> tuple[Page, Drawing]:
    return page(flags), Drawing(flags, apart, axis)


def of_each_sweep(check: Callable[[Sweeps, Page, Drawing], None]) -> Callable[[Sweeps], None]:
    """A test that checks the picture of every sweep."""

    @functools.wraps(check)
    def test(self: Sweeps) -> None:
        for sweep in SWEEPS:
            with self.subTest(sweep):
                shown, drawing = page_and_drawing(*sweep)
                check(self, shown, drawing)

    return test


class ExpectedMarker(NamedTuple):
    look: Look
    point: Point
    case: Case


class LegendRow(NamedTuple):
    name: str
    colour: str  # of its line; none if empty
    shape: int  # of its marker; none if negative


class Sweeps(unittest.TestCase):
    """Sweeps of every kind: what is drawn is what JSON says, and nothing else."""

    @of_each_sweep
    def test_every_case_stands_where_its_figures_say(self, page: Page, drawing: Drawing) -> None:
        scale = drawing.upper(page.top)
        expected = []
        for name, cases in drawing.series.items():
            look = drawing.looks[name]
            points = [scale.at(*work_of(case)) for case in cases]
            for point, case in zip(points, cases):
                expected.append(ExpectedMarker(look, point, case))
            self.assert_line(page, points, look.colour)
        self.assert_markers(page.in_panel(0), expected)

    @of_each_sweep
    def test_times_stand_over_the_axis(self, page: Page, drawing: Drawing) -> None:
        """All in one colour a series, or by term if there is one series."""
        lines = drawing.times()
        self.assertEqual(len(page.panels), 2 if lines else 1)
        if not lines:
            return
        scale = drawing.lower(page.top + 480)
        expected = []
        for name, times in lines.items():
            look = drawing.look_of_time(name)
            points = [scale.at(time.x, time.seconds) for time in times]
            for point, time in zip(points, times):
                expected.append(ExpectedMarker(look, point, time.case))
            self.assert_line(page, points, look.colour)
        self.assert_markers(page.in_panel(1), expected)

    def assert_markers(self, markers: list[Marker], expected: list[ExpectedMarker]) -> None:
        """That there is one for each case, the first on top."""
        self.assertEqual(len(markers), len(expected))
        rest = list(markers)
        for look, point, case in expected:
            rest.remove(self.marker_among(rest, look, point, case))
        top = markers[-1]
        self.assertEqual(Look(top.colour, top.shape), expected[0].look)

    def marker_among(self, markers: list[Marker], look: Look, point: Point, case: Case) -> Marker:
        """The marker of a case, in its series's look and with its words, hollow if it does not
        fit.
        """
        words = f"{words_of(case)}: {case['basis']} "
        ending = f"; {case['limit']} limits"
        fill = look.colour
        if not case["fits"]:
            ending += "; does not fit into memory"
            fill = "#fff"
        corners = marker_corners(point, look.shape)
        for marker in markers:
            if (
                marker.colour == look.colour
                and near(marker.corners, corners)
                and marker.title.startswith(words)
            ):
                self.assertEqual(marker.fill, fill)
                self.assertTrue(marker.title.endswith(ending), marker.title)
                return marker
        raise self.failureException(f"no marker {look} at {point}: {words}")

    def assert_line(self, page: Page, points: list[Point], colour: str) -> None:
        """That there is one where a series has two points and more."""
        look = {"fill": "none", "stroke": colour, "stroke-opacity": "0.5"}
        lines = []
        for line in page.lines:
            if line.look.items() >= look.items() and near(line.points, points):
                lines.append(line)
        if len(points) > 1:
            self.assertNotEqual(lines, [], (points, colour))
        else:
            self.assertEqual(lines, [], (points, colour))

    @of_each_sweep
    def test_roofs(self, page: Page, drawing: Drawing) -> None:
        scale = drawing.upper(page.top)
        thick = [line for line in page.lines if line.look.get("stroke-width") == "2.5"]
        lines = [line for line in thick if len(line.points) == 3]
        self.assertEqual(len(lines), len(drawing.roofs))
        for n, (roof, line) in enumerate(zip(drawing.roofs, reversed(lines))):
            self.assertEqual(line.look["stroke"], PALETTE[n % 7])
            corners = [scale.at(*corner) for corner in drawing.corners(roof)]
            self.assertTrue(near(line.points, corners), (roof, line, corners))

    @of_each_sweep
    def test_legends(self, page: Page, drawing: Drawing) -> None:
        """Twelve series and eight roofs at most, 18 pixels apart, each with its line and marker."""
        series = [LegendRow(name, *look) for name, look in drawing.looks.items() if name]
        roofs = []
        for n, roof in enumerate(drawing.roofs):
            roofs.append(LegendRow(f"{roof.gpu} {roof.dtype}: ", PALETTE[n % 7], -1))
        times = [LegendRow(name, *drawing.look_of_time(name)) for name in drawing.times()]
        upper = first_rows(series, 12) + first_rows(roofs, 8)
        lower = first_rows(times, 12)
        self.assertEqual(len(page.legend), len(upper) + len(lower))
        for panel, rows in zip(page.panels, (upper, lower)):
            _, top = panel[0]
            for n, row in enumerate(rows):
                self.assert_legend_row(page, top + 18 * n, row)

    def assert_legend_row(self, page: Page, y: float, row: LegendRow) -> None:
        (text,) = [text for text in page.texts if (text.x, text.y) == (778, y + 4)]
        self.assertEqual(text.text.partition(": ")[0], row.name.partition(": ")[0])
        lines = [line.look for line in page.lines if line.points == [(750, y), (772, y)]]
        colours = [look["stroke"] for look in lines]
        self.assertEqual(colours, [row.colour] if row.colour else [], row)
        markers = []
        for marker in page.markers:
            marker_x, marker_y = marker.point
            if 750 < marker_x < 772 and abs(marker_y - y) < 6:
                markers.append(marker)
        if row.shape < 0:
            for look in lines:
                self.assertEqual(look["stroke-width"], "2.5")
            self.assertEqual(markers, [])
        else:
            for look in lines:
                self.assertEqual(look["stroke-opacity"], "0.5")
            (marker,) = markers
            style = (marker.title, marker.colour, marker.fill)
            self.assertEqual(style, (row.name, row.colour, row.colour))
            corners = marker_corners((761, y), row.shape)
            self.assertTrue(near(marker.corners, corners), marker)

    @of_each_sweep
    def test_panels_and_their_grids(self, page: Page, drawing: Drawing) -> None:
        """A line across the panel for each tick, its label beside it, and what the axes show."""
        self.assertEqual(page.top, 50 + 16 * len(page.heading))
        grid = [line.points for line in page.lines if line.look.get("class") == "grid"]
        height = page.top + 450
        upper = drawing.upper(page.top)
        self.assert_axes(
            page, 0, upper, "arithmetic intensity, FLOP/byte", "FLOP/s of the busiest GPU"
        )
        grid_lines = self.grid_of_ticks(page, upper, "FLOP/s")
        if drawing.times():
            height += 410
            lower = drawing.lower(page.top + 480)
            self.assert_axes(page, 1, lower, drawing.axis, "attention of all layers in one step")
            grid_lines += self.grid_of_ticks(page, lower, "s")
        self.assertEqual(page.height, height)
        self.assertEqual(sorted(grid), sorted(grid_lines))

    def assert_axes(self, page: Page, n: int, scale: Scale, across: str, up: str) -> None:
        """That a panel's axes stand where its scale says, with their names."""
        bottom = scale.top + scale.height
        self.assertEqual(page.panels[n], [(90, scale.top), (90, bottom), (730, bottom)])
        self.assertIn(Text(410, bottom + 36, "middle", across), page.texts)
        self.assertIn(Text(90, scale.top - 10, "", up), page.texts)

    def grid_of_ticks(self, page: Page, scale: Scale, unit: str) -> list[list[Point]]:
        """The lines that a panel's ticks need, which stand where their labels say."""
        top = scale.top
        bottom = scale.top + scale.height
        under = [text for text in page.texts if (text.y, text.anchor) == (bottom + 16, "middle")]
        beside = []
        for text in page.texts:
            if text.anchor == "end" and top < text.y - 4 < bottom:
                beside.append(text)
        lines: list[list[Point]] = []
        for ticks in (under, beside):
            self.assertGreaterEqual(len(ticks), 3)
            self.assertLessEqual(len(ticks), 10)
        for tick in under:
            x, _ = scale.at(float(tick.text), scale.ys[0])
            self.assertAlmostEqual(tick.x, x, delta=0.0501)
            lines.append([(tick.x, top), (tick.x, bottom)])
        for tick in beside:
            label = re.fullmatch(rf"([\d.]+) ([fpnumKMGTPE]?){unit}", tick.text)
            assert label, tick
            _, y = scale.at(scale.xs[0], float(label[1]) * PREFIXES[label[2]])
            self.assertEqual(tick.x, 84)
            self.assertAlmostEqual(tick.y, y + 4, delta=0.0501)
            tick_y = round(tick.y - 4, 1)
            lines.append([(90, tick_y), (730, tick_y)])
        return lines

    @of_each_sweep
    def test_page(self, page: Page, drawing: Drawing) -> None:
        """Room for seven pixels a character of the longest name."""
        width = f"{page.width:.0f}"
        height = f"{page.height:.0f}"
        self.assertEqual(page.root.get("viewBox"), f"0 0 {width} {height}")
        (ground,) = page.root.iter(f"{SVG}rect")
        self.assertEqual(ground.attrib, {"width": width, "height": height, "fill": "#fff"})
        if not any(name.endswith(" more") for name in page.legend):
            self.assertEqual(page.width, 810 + 7 * max(map(len, page.legend)))
        for line in page.lines:
            self.assertGreaterEqual(len(line.points), 2)

    @of_each_sweep
    def test_heading(self, page: Page, drawing: Drawing) -> None:
        """What the cases have in common, as a table says it, and how many of them cannot be or do
        not fit, in lines that are filled.
        """
        table = run(*drawing.flags.split(), "--format", "table").out
        expected = " ".join(table.split("\n\n")[0].split())
        refused = drawing.total - len(drawing.cases)
        if refused:
            expected += f", {refused} of {drawing.total} cannot be"
        misfits = [case for case in drawing.cases if not case["fits"]]
        if misfits:
            expected += f", {len(misfits)} of {drawing.total} do not fit (hollow)"
        lines = [text.text for text in page.heading]
        self.assertEqual(" ".join(lines), expected)
        for n, text in enumerate(page.heading):
            self.assertEqual(text.y, 24 + 16 * n)
        most = page.width // 8
        for line in lines:
            self.assertLessEqual(len(line), most)
        for line, after in zip(lines, lines[1:]):
            longer = f"{line} {after.split()[0]}"
            self.assertGreater(len(longer), most)


def first_rows(rows: list[LegendRow], most: int) -> list[LegendRow]:
    """The first rows of a legend, and how many are left out."""
    if len(rows) <= most:
        return rows
    return [*rows[:most], LegendRow(f"and {len(rows) - most} more", "", -1)]


class Words(ScriptTest):
    def test_the_whole_tooltip(self) -> None:
        """All values of the case, the terms that are not nothing, and the verdict."""
        named = "--gpu l40s --model llama-3.1-8b --ngpu 2 --batch 32 --seq 128K"
        for flags, expected in (
            (
                "--seq 2",
                "gpu A100, model config, ngpu 1, seq 2, batch 1, query 1, phase decode,"
                " dtype fp32, kv-dtype fp32, weight-dtype fp32, fused False, split seq, link pcie:"
                " bound 9.91 us (compute 423 ns, memory 9.91 us); memory limits",
            ),
            (
                f"{named} --set GPU.bandwidth=864",
                "gpu L40S, model llama-3.1-8b, ngpu 2, seq 131072, batch 32, query 1, phase decode,"
                " dtype bf16, kv-dtype bf16, weight-dtype bf16, fused True, split head, link pcie,"
                " GPU.bandwidth 864: estimate 379 ms (compute 6.06 ms, memory 372 ms, sync 599 us,"
                " overhead 266 us); memory limits; does not fit into memory",
            ),
        ):
            with self.subTest(flags):
                self.assertEqual([marker.title for marker in page(flags).markers], [expected])

    def test_ticks_are_round_and_several(self) -> None:
        """Worked out by hand, between 1 / 1.3 of the first and 1.3 times the last value."""
        ten_decades = [10**n for n in range(10)]
        every_second_decade = [100**n for n in range(6)]
        for values, expected in (
            ("1000,100000", [1000, 10000, 100000]),  # three decades will do
            ("1000,10000", [1000, 2000, 5000, 10000]),
            ("1000,2000", [1000, 1500, 2000]),
            ("2000,4000", [2000, 3000, 5000]),  # 1 2 5: only 2000 and 5000
            # Every third of 28, 1000 counted once.
            ("1000,1100", [770, 800, 830, 860, 890, 920, 950, 980, 1100, 1400]),
            ("1.3,130", [1, 10, 100]),  # the least on the edge
            # Every fourth of 31, with 13 on the edge.
            ("9.4,10", [7.3, 7.7, 8.1, 8.5, 8.9, 9.3, 9.7, 11]),
            ("0.001,0.002", [0.001, 0.0015, 0.002]),
            ("1,1000000000", ten_decades),  # ten are not too many
            ("1,10000000000", every_second_decade),  # eleven are
        ):
            shown = page(f"--gpu h100-sxm --set GPU.bandwidth={values}")
            _, (_, bottom), _ = shown.panels[1]
            ticks = [text.text for text in shown.texts if text.y == bottom + 16]
            with self.subTest(values):
                self.assertEqual(ticks, list(map(str, expected)))

    def test_words_of_legends(self) -> None:
        for flags, *expected in (
            ("", "A100 fp32: 19.5 TFLOP/s, 1.94 TB/s, ridge 10.1"),
            ("--gpu l40s --dtype bf16", "L40S bf16: 362 TFLOP/s, 864 GB/s, ridge 419"),
            (
                f"--gpu h100-sxm --ngpu 2 {TWO_MODELS} --seq 1K --fused True,False --kv-dtype fp8",
                "llama-3.1-8b fused True",
                "llama-3.1-8b fused False",
                "qwen3-8b fused True",
                "qwen3-8b fused False",
                "H100-SXM bf16: 990 TFLOP/s, 3.35 TB/s, ridge 295",
            ),
            (
                "--gpu h100-sxm --ngpu 2 --gen True,False --seq 1K,2K --set GPU.bandwidth=3000",
                "gen decode",
                "gen prefill",
                "H100-SXM bf16: 990 TFLOP/s, 3 TB/s, ridge 330",
                "gen decode",
                "gen prefill",
            ),
            (
                "--gpu h100-sxm --ngpu 2 --seq 1K,2K",
                "H100-SXM bf16: 990 TFLOP/s, 3.35 TB/s, ridge 295",
                "compute",
                "memory",
                "sync",
                "overhead",
                "total",
            ),
        ):
            with self.subTest(flags):
                self.assertEqual(page(flags).legend, expected)

    def test_names_are_escaped(self) -> None:
        config = self.config({"model": "<&\"'>"})
        shown = page(f"--config {config}")
        self.assertIn("<&\"'> fp32: 19.5 TFLOP/s, 1.94 TB/s, ridge 10.1", shown.legend)
        self.assertTrue(shown.markers[0].title.startswith("gpu <&\"'>, model config, "))

    def test_self_contained(self) -> None:
        out = self.answer("--seq", "1,2", "--format", "svg")
        without_namespace = out.replace("http://www.w3.org/2000/svg", "")
        self.assertNotRegex(without_namespace, "http|href|script|import|url")

    def test_nothing_is_cut_off(self) -> None:
        """With the longest names: texts within the page, at 6.2 pixels a character."""
        for flags in (
            "--gpu rtx-pro-6000-workstation --model nemotron-3-nano-30b-a3b --seq 1,2",
            "--model all --gpu rtx-pro-6000-workstation,b200 --seq 1K,2K",
        ):
            shown = page(flags)
            with self.subTest(flags):
                for text in shown.texts:
                    right = text.x
                    if not text.anchor:
                        right += 6.2 * len(text.text)
                    self.assertLess(right, shown.width, text)
                    self.assertLess(text.y, shown.height)

    def test_points_lie_on_or_under_the_roof(self) -> None:
        """From the picture alone."""
        shown = page("--gpu h100-sxm --gen 0 --seq 16:4096:x2")
        roof = next(line for line in shown.lines if line.look.get("stroke-width") == "2.5")
        (left, low), (ridge, high), _ = roof.points
        slope = (high - low) / (ridge - left)
        markers = shown.in_panel(0)
        self.assertEqual(len(markers), 9)
        for marker in markers:
            x, y = marker.point
            roof_y = high if x >= ridge else low + slope * (x - left)
            self.assertGreaterEqual(y, roof_y - 0.2)

    def test_two_thousand_cases_at_most(self) -> None:
        self.assertEqual(len(page("--gpu h100-sxm --fused --seq 1:2000").in_panel(0)), 2000)
        error = self.refusal(*"--seq 1:2001 --format svg".split())
        self.assertIn("--format svg shows at most 2000 cases, not 2001", error)
