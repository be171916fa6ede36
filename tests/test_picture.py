"""The picture: every case, roof, tick and legend row where its figures in JSON say, told apart and told in words."""

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

# Okabe and Ito's palette (jfly.uni-koeln.de/color): blue, vermillion, bluish green, purple, orange, sky blue, black.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK = PALETTE = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]  # fmt: skip
TERM_COLOURS = {"compute": ORANGE, "memory": BLUE, "sync": GREEN, "overhead": PURPLE, "total": BLACK}
TWELVE_OF_A_CIRCLE = [cmath.rect(5, turn / 2) for turn in range(12)]  # corners half a radian apart
SHAPES: list[list[Point]] = [  # corners from the point that they mark, y down
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
        """Of the four, by its corners and where its first one is."""
        (x, _), *_, (last, _) = self.corners
        return {3: 2, 12: 1}.get(len(self.corners), 0 if x == last else 3)

    @property
    def point(self) -> Point:
        (x, y), (dx, dy) = self.corners[0], SHAPES[self.shape][0]
        return x - dx, y - dy


class Page:
    """What a picture shows, by kind."""

    def __init__(self, svg: str) -> None:
        self.root = root = ElementTree.fromstring(svg)
        self.lines = [Line(points_of(each), dict(each.attrib)) for each in root.iter(f"{SVG}polyline")]
        self.texts = [
            Text(float(each.attrib["x"]), float(each.attrib["y"]), each.get("text-anchor", ""), each.text or "")
            for each in root.iter(f"{SVG}text")
        ]
        self.markers = [
            Marker(points_of(each), each.attrib["stroke"], each.attrib["fill"], each.findtext(f"{SVG}title") or "")
            for each in root.iter(f"{SVG}polygon")
        ]
        self.width, self.height = float(root.attrib["width"]), float(root.attrib["height"])
        self.panels = [each.points for each in self.lines if each.look.get("class") == "axis"]
        self.top = self.panels[0][0][1]
        self.heading = [text for text in self.texts if text.x == 20]

    def in_panel(self, n: int) -> list[Marker]:
        """The markers of a panel, not those of its legend."""
        (left, top), (_, bottom), (right, _) = self.panels[n]
        return [m for m in self.markers if left < m.point[0] < right and top < m.point[1] < bottom]


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
        """In units of the panel's 640 pixels and height, with 30 % beyond the outermost values at each end."""
        right = math.log2(x / min(self.xs) * 1.3) / math.log2(max(self.xs) / min(self.xs) * 1.69)
        up = math.log2(y / min(self.ys) * 1.3) / math.log2(max(self.ys) / min(self.ys) * 1.69)
        return 90 + 640 * right, self.top + self.height * (1 - up)


class Roof(NamedTuple):
    gpu: str
    dtype: str
    peak: float
    bandwidth: float


class Drawing:
    """What a picture of cases has to show: worked out from what JSON says of them."""

    def __init__(self, flags: str, apart: str, axis: str) -> None:
        """A series for each combination of the names in `apart`, over the axis."""
        every, self.flags = outcomes(flags), flags
        cases = [case for case in every if case["error"] is None]
        self.total, self.cases, self.axis = len(every), cases, axis
        self.series: dict[str, list[Case]] = {}
        for case in cases:
            named = [f"{name} {value_of(case, name)}" for name in apart.split()]
            self.series.setdefault(re.sub(r"\b(gpu|model) ", "", " ".join(named)), []).append(case)
        self.roofs = list(dict.fromkeys(map(roof_of, cases)))
        self.looks: dict[str, tuple[str, int]] = {}
        under: Counter[Roof] = Counter()
        for n, (name, members) in enumerate(self.series.items()):
            roof = roof_of(members[0])
            several = len(self.roofs) > 1  # then the colour is the roof's, and shapes tell apart what is under it
            colour = self.roofs.index(roof) if several else n
            self.looks[name] = (PALETTE[colour % 7], (under[roof] if several else n) % 4)
            under[roof] += 1

    def corners(self, roof: Roof) -> list[Point]:
        ridge, every = roof.peak / roof.bandwidth, [work_of(case)[0] for case in self.cases]
        left, right = min([ridge / 4, *every]), max([4 * ridge, *every])
        return [(left, left * roof.bandwidth), (ridge, roof.peak), (right, roof.peak)]

    def upper(self, top: float) -> Scale:
        points = [work_of(case) for case in self.cases]
        points += [corner for roof in self.roofs for corner in self.corners(roof)]
        return Scale(top, 400, [x for x, _ in points], [y for _, y in points])

    def lower(self, top: float) -> Scale:
        points = [point for timed in self.times().values() for point, _ in timed]
        return Scale(top, 310, [x for x, _ in points], [y for _, y in points])

    def times(self) -> dict[str, list[tuple[Point, Case]]]:
        """The points of the lower panel and their cases, by what the legend calls them; no time has no point."""
        if not self.axis or len(self.cases) < 2:
            return {}
        if len(self.series) > 1:
            lines = {name: ("total_s", members) for name, members in self.series.items()}
        else:
            lines = {term: (f"{term}_s", self.cases) for term in TERM_COLOURS}
        found = {
            name: [
                ((float(value_of(case, self.axis)), case[column]), case)
                for case in cases
                if case[column] and float(value_of(case, self.axis))
            ]
            for name, (column, cases) in lines.items()
        }
        return {name: timed for name, timed in found.items() if timed}

    def look_of_time(self, name: str) -> tuple[str, int]:
        return self.looks[name] if len(self.series) > 1 else (TERM_COLOURS[name], 0)


def value_of(case: Case, name: str) -> Any:
    if "." in name:
        return f"{case['set'][name]:.12g}"
    return case["phase" if name == "gen" else name.replace("-", "_")] or ("config" if name == "model" else False)


def work_of(case: Case) -> Point:
    return case["gpu_flops"] / case["gpu_bytes"], case["gpu_flops"] / case["total_s"]


def roof_of(case: Case) -> Roof:
    gpu = case["inputs"]["gpu"]
    return Roof(case["gpu"], case["dtype"], gpu[case["dtype"]], gpu["bandwidth"])


def words_of(case: Case) -> str:
    """What the tooltip of a case begins with: all that was asked."""
    names = "gpu model ngpu seq batch query phase dtype kv-dtype weight-dtype fused split link".split()
    return ", ".join(f"{name} {value_of(case, name)}" for name in (*names, *case.get("set", {})))


def near(found: Sequence[Point], expected: Sequence[Point]) -> bool:
    """To the tenth of a pixel that the page gives."""
    pairs = [pair for points in zip(found, expected) for pair in zip(*points)]
    return len(found) == len(expected) and all(abs(here - there) < 0.0501 for here, there in pairs)


def round_point(point: Point, shape: int) -> list[Point]:
    return [(point[0] + dx, point[1] + dy) for dx, dy in SHAPES[shape]]


def page(flags: str) -> Page:
    result = run(*flags.split(), "--format", "svg")
    assert (result.code, result.out.isascii()) == (0, True), result.err
    return Page(result.out)


def outcomes(flags: str) -> list[Case]:
    """All cases as JSON has them: one object, or one a line."""
    decoder, found, text = json.JSONDecoder(), [], run(*flags.split(), "--format", "json").out
    while text:
        case, end = decoder.raw_decode(text)
        found.append(case)
        text = text[end:].lstrip()
    return found


SWEEPS = (  # flags, what tells series apart, and the axis of the lower panel
    ("", "", ""),
    ("--gpu h100-sxm --ngpu 2 --seq 1K:64K:x4 --batch 2", "", "seq"),  # all four terms
    ("--gpu l40s --model llama-3.1-8b --batch 64 --seq 1K,64K", "", "seq"),  # one does not fit
    ("--gpu h100-sxm,l40s --seq 1K,8K --batch 1:512:x8 --dtype fp8,bf16", "gpu seq dtype", "batch"),
    ("--gpu h100-sxm --seq 1K:13K:1K --batch 1,4", "seq", "batch"),  # more series than a legend lists
    ("--gpu h100-sxm --seq 1K:12K:1K --batch 1,4", "seq", "batch"),  # as many
    (f"--gpu {TEN_GPUS} --dtype fp16", "gpu", ""),  # more roofs than a legend lists
    (f"--gpu {EIGHT_GPUS} --dtype fp16 --fused True,False", "gpu fused", ""),  # as many, and 16 series
    ("--gpu h100-sxm --set GPU.bandwidth=1000:4000:x2", "", "GPU.bandwidth"),  # a roof for each
    ("--gpu h100-sxm --set GPU.tile_us=0:2:1", "", "GPU.tile_us"),  # nothing stands over zero
    ("--set GPU.bandwidth=500,1500 --set GPU.memory=8,80", "GPU.bandwidth", "GPU.memory"),
    ("--gpu h100-sxm --model llama-3.1-8b,qwen3-8b --seq 1K,4K --gen True,False", "model gen", "seq"),
    ("--gpu h100-sxm --model llama-3.1-8b --ngpu 1,3 --split head", "", "ngpu"),  # only one can be
    ("--gpu h100-sxm --query 1,2 --kv-dtype bf16,fp8 --fused True,False", "kv-dtype fused", "query"),
    ("--gpu h20,v100,l40s --dtype bf16 --seq 1K,2K", "gpu", "seq"),  # one cannot be
    ("--gpu h20,v100 --dtype bf16 --seq 1K,2K", "gpu", "seq"),  # one series is left
    ("--gpu h100-sxm --model llama-3.1-8b --ngpu 1,2,4", "", "ngpu"),  # one GPU sends nothing
    ("--gpu h100-sxm --gen False --seq 4K,8K --batch 3 --split batch --ngpu 2", "", "seq"),  # all at the flat roof
    (
        "--gpu h100-sxm --set GPU.memory=9 --set GPU.nvlink=99 --set GPU.bandwidth=2e3 --set GPU.fp16=500"
        " --set Model.n_layer=9 --set Model.n_head=32 --set Model.n_kv_head=8",
        "",
        "",
    ),  # a heading of several lines
)


@functools.cache
def both(flags: str, apart: str, axis: str) -> tuple[Page, Drawing]:
    return page(flags), Drawing(flags, apart, axis)


def of_each_sweep(check: Callable[[Sweeps, Page, Drawing], None]) -> Callable[[Sweeps], None]:
    @functools.wraps(check)
    def test(self: Sweeps) -> None:
        for flags, apart, axis in SWEEPS:
            with self.subTest(flags):
                check(self, *both(flags, apart, axis))

    return test


class Sweeps(unittest.TestCase):
    """Sweeps of every kind: what is drawn is what JSON says, and nothing else."""

    @of_each_sweep
    def test_every_case_stands_where_its_figures_say(self, page: Page, drawing: Drawing) -> None:
        scale, expected = drawing.upper(page.top), []
        for name, members in drawing.series.items():
            colour, shape = drawing.looks[name]
            points = [scale.at(*work_of(case)) for case in members]
            expected += [(colour, shape, point, case) for point, case in zip(points, members)]
            self.assert_line(page, points, colour)
        self.assert_markers(page.in_panel(0), expected)

    @of_each_sweep
    def test_times_stand_over_what_sweeps(self, page: Page, drawing: Drawing) -> None:
        """All in one colour a series, or by term if there is one series."""
        times, expected = drawing.times(), []
        self.assertEqual(len(page.panels), 2 if times else 1)
        scale = drawing.lower(page.top + 480)
        for name, timed in times.items():
            colour, shape = drawing.look_of_time(name)
            points = [scale.at(*point) for point, _ in timed]
            expected += [(colour, shape, point, case) for point, (_, case) in zip(points, timed)]
            self.assert_line(page, points, colour)
        if times:
            self.assert_markers(page.in_panel(1), expected)

    def assert_markers(self, found: list[Marker], expected: list[tuple[str, int, Point, Case]]) -> None:
        """One for each case, in its series's look and with its words, hollow if it does not fit; the first on top."""
        self.assertEqual(len(found), len(expected))
        left = list(found)
        for colour, shape, point, case in expected:
            words = f"{words_of(case)}: {case['basis']} "
            corners = round_point(point, shape)
            here = [m for m in left if m.colour == colour and near(m.corners, corners) and m.title.startswith(words)]
            self.assertTrue(here, (colour, shape, point, words))
            left.remove(here[0])
            self.assertEqual(here[0].fill, colour if case["fits"] else "#fff")
            ending = f"; {case['limit']} limits" + ("" if case["fits"] else "; does not fit into memory")
            self.assertTrue(here[0].title.endswith(ending), here[0].title)
        self.assertEqual((found[-1].colour, found[-1].shape), expected[0][:2])

    def assert_line(self, page: Page, points: list[Point], colour: str) -> None:
        """Where a series has two points and more."""
        look = {"fill": "none", "stroke": colour, "stroke-opacity": "0.5"}
        here = [line for line in page.lines if near(line.points, points) and line.look.items() >= look.items()]
        self.assertEqual(bool(here), len(points) > 1, (points, colour))

    @of_each_sweep
    def test_roofs(self, page: Page, drawing: Drawing) -> None:
        """From a quarter of the ridge point to four times it, or as far as the cases go."""
        scale = drawing.upper(page.top)
        thick = [line for line in page.lines if line.look.get("stroke-width") == "2.5" and len(line.points) == 3]
        self.assertEqual(len(thick), len(drawing.roofs))
        for n, (roof, line) in enumerate(zip(drawing.roofs, reversed(thick))):
            self.assertEqual(line.look["stroke"], PALETTE[n % 7])
            corners = [scale.at(*corner) for corner in drawing.corners(roof)]
            self.assertTrue(near(line.points, corners), (roof, line, corners))

    @of_each_sweep
    def test_legends(self, page: Page, drawing: Drawing) -> None:
        """Twelve series and eight roofs at most, 18 pixels apart, each row with its line and marker."""
        named = [(name, *look) for name, look in drawing.looks.items() if name]
        roofs = [(f"{roof.gpu} {roof.dtype}: ", PALETTE[n % 7], -1) for n, roof in enumerate(drawing.roofs)]
        times = [(name, *drawing.look_of_time(name)) for name in drawing.times()]
        panels = [[*listed(named, 12), *listed(roofs, 8)], listed(times, 12)]
        self.assertEqual(len([text for text in page.texts if text.x == 778]), sum(map(len, panels)))
        for ((_, top), *_), rows in zip(page.panels, panels):
            for n, row in enumerate(rows):
                self.assert_row(page, top + 18 * n, *row)

    def assert_row(self, page: Page, y: float, name: str, colour: str, shape: int) -> None:
        """A row of a legend: without a colour no line, without a shape no marker."""
        (text,) = [each.text for each in page.texts if (each.x, each.y) == (778, y + 4)]
        self.assertEqual(text.partition(": ")[0], name.partition(": ")[0])
        lines = [line.look for line in page.lines if line.points == [(750, y), (772, y)]]
        self.assertEqual([look["stroke"] for look in lines], [colour] if colour else [], name)
        style = {"stroke-width": "2.5"} if shape < 0 else {"stroke-opacity": "0.5"}
        self.assertTrue(all(look.items() >= style.items() for look in lines), lines)
        marks = [m for m in page.markers if 750 < m.point[0] < 772 and abs(m.point[1] - y) < 6]
        self.assertEqual([(m.title, m.colour, m.fill) for m in marks], [(name, colour, colour)] if shape >= 0 else [])
        for m in marks:
            self.assertTrue(near(m.corners, round_point((761, y), shape)), m)

    @of_each_sweep
    def test_panels_and_their_grids(self, page: Page, drawing: Drawing) -> None:
        """A line across the panel for each tick, its label beside it, and what the axes show."""
        top, times = page.top, bool(drawing.times())
        self.assertEqual(top, 50 + 16 * len(page.heading))
        self.assertEqual(page.height, top + 450 + (410 if times else 0))
        panels = [(drawing.upper(top), "arithmetic intensity, FLOP/byte", "FLOP/s of the busiest GPU", "FLOP/s")]
        panels += [(drawing.lower(top + 480), drawing.axis, "attention of all layers in one step", "s")][:times]
        grid = [line.points for line in page.lines if line.look.get("class") == "grid"]
        for (scale, across, up, unit), panel in zip(panels, page.panels):
            bottom = scale.top + scale.height
            self.assertEqual(panel, [(90, scale.top), (90, bottom), (730, bottom)])
            self.assertIn(Text(410, bottom + 36, "middle", across), page.texts)
            self.assertIn(Text(90, scale.top - 10, "", up), page.texts)
            under = [t for t in page.texts if (t.y, t.anchor) == (bottom + 16, "middle")]
            beside = [t for t in page.texts if t.anchor == "end" and scale.top < t.y - 4 < bottom]
            self.assertTrue(3 <= len(under) <= 10 and 3 <= len(beside) <= 10)
            for tick in under:
                x, _ = scale.at(float(tick.text), scale.ys[0])
                self.assertAlmostEqual(tick.x, x, delta=0.0501)
                grid.remove([(tick.x, scale.top), (tick.x, bottom)])
            for tick in beside:
                number, prefix = re.findall(rf"\A([\d.]+) ([fpnumKMGTPE]?){unit}\Z", tick.text)[0]
                _, y = scale.at(scale.xs[0], float(number) * PREFIXES[prefix])
                self.assertEqual(tick.x, 84)
                self.assertAlmostEqual(tick.y, y + 4, delta=0.0501)
                grid.remove([(90, round(tick.y - 4, 1)), (730, round(tick.y - 4, 1))])
        self.assertEqual(grid, [])

    @of_each_sweep
    def test_page(self, page: Page, drawing: Drawing) -> None:
        """Room for seven pixels a character of the longest name, and a heading that fills its lines."""
        size = {"width": f"{page.width:.0f}", "height": f"{page.height:.0f}"}
        self.assertEqual(page.root.get("viewBox"), f"0 0 {page.width:.0f} {page.height:.0f}")
        (ground,) = page.root.iter(f"{SVG}rect")
        self.assertEqual(ground.attrib, {**size, "fill": "#fff"})
        names = [text.text for text in page.texts if text.x == 778]
        if not [name for name in names if name.endswith(" more")]:
            self.assertEqual(page.width, 810 + 7 * max(map(len, names)))
        self.assertFalse([line for line in page.lines if len(line.points) < 2])

    @of_each_sweep
    def test_heading(self, page: Page, drawing: Drawing) -> None:
        """What the cases have in common, as a table says it, and how many of them cannot be or do not fit."""
        common = run(*drawing.flags.split(), "--format", "table").out.split("\n\n")[0].split()
        cannot, unfit = drawing.total - len(drawing.cases), sum(not case["fits"] for case in drawing.cases)
        lacking = f", {cannot} of {drawing.total} cannot be" if cannot else ""
        lacking += f", {unfit} of {drawing.total} do not fit (hollow)" if unfit else ""
        self.assertEqual(" ".join(each.text for each in page.heading), " ".join(common) + lacking)
        self.assertEqual([each.y for each in page.heading], [24 + 16 * n for n in range(len(page.heading))])
        most = page.width // 8
        for line, after in zip(page.heading, [*page.heading[1:], None]):
            self.assertLessEqual(len(line.text), most)
            if after:
                self.assertGreater(len(f"{line.text} {after.text.split()[0]}"), most)


def listed(rows: list[tuple[str, str, int]], most: int) -> list[tuple[str, str, int]]:
    """The first rows of a legend, and how many are left out."""
    return [*rows[:most], *[(f"and {len(rows) - most} more", "", -1)][: len(rows) > most]]


class Words(ScriptTest):
    def test_the_whole_tooltip(self) -> None:
        """What was asked, the terms that are not nothing, and the verdict."""
        for flags, expected in (
            (
                "--seq 2",
                "gpu A100, model config, ngpu 1, seq 2, batch 1, query 1, phase decode, dtype fp32, kv-dtype fp32,"
                " weight-dtype fp32, fused False, split seq, link pcie: bound 9.91 us (compute 423 ns, memory 9.91 us);"
                " memory limits",
            ),
            (
                "--gpu l40s --model llama-3.1-8b --ngpu 2 --batch 32 --seq 128K --set GPU.bandwidth=864",
                "gpu L40S, model llama-3.1-8b, ngpu 2, seq 131072, batch 32, query 1, phase decode, dtype bf16,"
                " kv-dtype bf16, weight-dtype bf16, fused True, split head, link pcie, GPU.bandwidth 864:"
                " estimate 379 ms (compute 6.06 ms, memory 372 ms, sync 599 us, overhead 266 us); memory limits;"
                " does not fit into memory",
            ),
        ):
            with self.subTest(flags):
                self.assertEqual([marker.title for marker in page(flags).markers], [expected])

    def test_ticks_are_round_and_several(self) -> None:
        """Worked out by hand, between 1 / 1.3 of the first and 1.3 times the last value."""
        for values, expected in (
            ("1000,100000", "1000 10000 100000"),  # three decades will do
            ("1000,10000", "1000 2000 5000 10000"),
            ("1000,2000", "1000 1500 2000"),
            ("2000,4000", "2000 3000 5000"),  # 1 2 5: only 2000 and 5000
            ("1000,1100", "770 800 830 860 890 920 950 980 1100 1400"),  # every third of 28, 1000 counted once
            ("1.3,130", "1 10 100"),  # the least on the edge
            ("9.4,10", "7.3 7.7 8.1 8.5 8.9 9.3 9.7 11"),  # every fourth of 31, with 13 on the edge
            ("0.001,0.002", "0.001 0.0015 0.002"),
            ("1,1000000000", " ".join(f"{10**n}" for n in range(10))),  # ten are not too many
            ("1,10000000000", " ".join(f"{100**n}" for n in range(6))),  # eleven are
        ):
            shown = page(f"--gpu h100-sxm --set GPU.bandwidth={values}")
            (_, (_, bottom), _) = shown.panels[1]
            with self.subTest(values):
                self.assertEqual(" ".join(t.text for t in shown.texts if t.y == bottom + 16), expected)

    def test_words_of_legends(self) -> None:
        for flags, *expected in (
            ("", "A100 fp32: 19.5 TFLOP/s, 1.94 TB/s, ridge 10.1"),
            ("--gpu l40s --dtype bf16", "L40S bf16: 362 TFLOP/s, 864 GB/s, ridge 419"),
            (
                "--gpu h100-sxm --ngpu 2 --model llama-3.1-8b,qwen3-8b --seq 1K --fused True,False --kv-dtype fp8",
                "llama-3.1-8b fused True",
                "llama-3.1-8b fused False",
                "qwen3-8b fused True",
                "qwen3-8b fused False",
                "H100-SXM bf16: 990 TFLOP/s, 3.35 TB/s, ridge 295",
            ),
            (
                "--gpu h100-sxm --ngpu 2 --gen True,False --seq 1K,2K --set GPU.bandwidth=3000",
                *["gen decode", "gen prefill", "H100-SXM bf16: 990 TFLOP/s, 3 TB/s, ridge 330"],
                *["gen decode", "gen prefill"],
            ),
            (
                "--gpu h100-sxm --ngpu 2 --seq 1K,2K",
                "H100-SXM bf16: 990 TFLOP/s, 3.35 TB/s, ridge 295",
                *["compute", "memory", "sync", "overhead", "total"],
            ),
        ):
            with self.subTest(flags):
                self.assertEqual([text.text for text in page(flags).texts if text.x == 778], expected)

    def test_names_are_escaped(self) -> None:
        config = self.config({"model": "<&\"'>"})
        shown = page(f"--config {config}")
        self.assertIn("<&\"'> fp32: 19.5 TFLOP/s, 1.94 TB/s, ridge 10.1", [text.text for text in shown.texts])
        self.assertTrue(shown.markers[0].title.startswith("gpu <&\"'>, model config, "))

    def test_self_contained(self) -> None:
        out = self.answer("--seq", "1,2", "--format", "svg")
        self.assertNotRegex(out.replace("http://www.w3.org/2000/svg", ""), "http|href|script|import|url")

    def test_nothing_is_cut_off(self) -> None:
        """With the longest names: texts within the page, at 6.2 pixels a character."""
        for flags in (
            "--gpu rtx-pro-6000-workstation --model nemotron-3-nano-30b-a3b --seq 1,2",
            "--model all --gpu rtx-pro-6000-workstation,b200 --seq 1K,2K",
        ):
            shown = page(flags)
            with self.subTest(flags):
                for text in shown.texts:
                    self.assertLess(text.x + (0 if text.anchor else 6.2 * len(text.text)), shown.width, text)
                    self.assertLess(text.y, shown.height)

    def test_points_lie_on_or_under_the_roof(self) -> None:
        """From the picture alone."""
        shown = page("--gpu h100-sxm --gen 0 --seq 16:4096:x2")
        roof = next(line.points for line in shown.lines if line.look.get("stroke-width") == "2.5")
        (x0, y0), (x1, y1), _ = roof
        found = [marker.point for marker in shown.in_panel(0)]
        self.assertEqual(len(found), 9)
        for x, y in found:
            self.assertGreaterEqual(y, (y1 if x >= x1 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)) - 0.2)

    def test_two_thousand_cases_at_most(self) -> None:
        self.assertEqual(len(page("--gpu h100-sxm --fused --seq 1:2000").in_panel(0)), 2000)
        self.assertIn(
            "--format svg shows at most 2000 cases, not 2001", self.refusal(*"--seq 1:2001 --format svg".split())
        )
