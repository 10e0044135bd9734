"""Figures as inline SVG, drawn by hand.

matplotlib is left out: its colours are fixed in the file, so dark mode would need a second picture, and its text
turns into outlines that no screen reader reads. Ours carry classes that the style sheet colours, and stay small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from vlmlab.records.run import ScoreRecord
from vlmlab.report import numbers
from vlmlab.report.markup import Markup, join, tag
from vlmlab.report.rates import Point
from vlmlab.wording import count


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis from `low` to `high` with ticks at round numbers, both ends included."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...] = field(default=(), repr=False)
    """Words at the ticks; without them the ticks' own numbers."""

    def place(self, value: float) -> float:
        """The value's place between 0 and 1, clipped to the axis."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def round_axis(low: float, high: float, *, intervals: int = 4) -> Axis:
    """The smallest axis of about `intervals` round steps (1, 2, 2.5 or 5 times a power of ten) that holds low and high.

    >>> round_axis(0.4, 6.9)
    Axis(low=0.0, high=8.0, ticks=(0.0, 2.0, 4.0, 6.0, 8.0))
    """
    if high <= low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / intervals
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(index * step, 10) for index in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def decade_axis(low: float, high: float) -> Axis:
    """An axis over the logarithms (base 10) of positive values, labelled with the values: whole decades.

    >>> decade_axis(0.3, 27.0).labels
    ('0.1', '1', '10', '100')
    """
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    every = math.ceil((last - first) / 4)
    powers = range(first, last + every, every)
    return Axis(powers[0], powers[-1], tuple(map(float, powers)), tuple(_tick(10.0**power) for power in powers))


def score_axis(scores: Sequence[ScoreRecord]) -> Axis:
    """0 to 100, but for scores such as CIDEr that may exceed it: then up to the largest bound."""
    top = max(bound for score in scores for bound in (score.score, score.interval[1], *(score.blank_interval or ())))
    if scores[0].metric == "cider" or top > 100:
        return round_axis(0.0, max(top, 1.0))
    return Axis(0.0, 100.0, (0.0, 25.0, 50.0, 75.0, 100.0))


def _tick(value: float) -> str:
    return count(value) if abs(value) >= 1000 else f"{value:g}".replace("-", numbers.MINUS)


# ---- one row of the score table: a strip without text, in percent of the cell, so that it fits any width ----

EDGE = 3.0
"""Percent left free at both ends of a strip, so that a dot at 0 or 100 is whole."""


def _percent(place: float) -> str:
    return f"{EDGE + (100 - 2 * EDGE) * place:.2f}%"


def strip(score: ScoreRecord, axis: Axis) -> Markup:
    """Score (full dot) over blank control (hollow dot), each with its interval as a line."""
    shapes: list[Markup] = [_vertical(axis.place(tick), "gridline") for tick in axis.ticks]
    words = f"score {numbers.score(score.score)}, interval {numbers.interval(score.interval)}"
    level = "50%"
    if score.blank is not None and score.blank_interval is not None:
        level = "34%"
        shapes += _dot(axis, score.blank, score.blank_interval, "72%", "blank")
        words += f"; blank image {numbers.score(score.blank)}, interval {numbers.interval(score.blank_interval)}"
    shapes += _dot(axis, score.score, score.interval, level, "score")
    return tag("svg.strip", tag("title", words), *shapes, attributes={"role": "img", "width": "100%", "height": "30"})


def _vertical(place: float, kind: str) -> Markup:
    return tag(f"line.{kind}", attributes={"x1": _percent(place), "x2": _percent(place), "y1": "0", "y2": "100%"})


def _dot(axis: Axis, value: float, interval: tuple[float, float], level: str, kind: str) -> list[Markup]:
    low, high = (_percent(axis.place(bound)) for bound in interval)
    return [
        tag(f"line.bar.{kind}", attributes={"x1": low, "x2": high, "y1": level, "y2": level}),
        tag(f"circle.dot.{kind}", attributes={"cx": _percent(axis.place(value)), "cy": level, "r": "4.5"}),
    ]


def strip_axis(axis: Axis) -> Markup:
    """The numbers above the strips of a benchmark."""
    texts = [
        tag("text.tick", _tick(tick), attributes={"x": _percent(axis.place(tick)), "y": "14", "text-anchor": "middle"})
        for tick in axis.ticks
    ]
    return tag("svg.strip", *texts, attributes={"width": "100%", "height": "20", "aria-hidden": "true"})


# ---- charts: drawn for a box of 340 units, about the width of a phone, so that their text is never below 10 px ----

WIDTH = 340.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 12.0, 10.0, 26.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A chart's inner box and its two axes."""

    x: Axis
    y: Axis
    height: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Units of the picture."""
        across = LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT)
        down = TOP + (1 - self.y.place(y)) * (self.height - TOP - BOTTOM)
        return across, down

    def lines(self) -> list[Markup]:
        """Horizontal lines with their numbers."""
        shapes = []
        labels = self.y.labels or tuple(map(_tick, self.y.ticks))
        for tick, label in zip(self.y.ticks, labels, strict=True):
            _, y = self.at(self.x.low, tick)
            shapes.append(tag("line.gridline", attributes=_ends(LEFT, y, WIDTH - RIGHT, y)))
            shapes.append(_text(label, LEFT - 6, y + 3.5, anchor="end"))
        return shapes

    def picture(self, title: str, shapes: list[Markup]) -> Markup:
        """The chart, with its title as the text alternative."""
        attributes = {"role": "img", "viewBox": f"0 0 {WIDTH:g} {self.height:g}"}
        return tag("svg.chart", tag("title", title), join(shapes), attributes=attributes)


def _ends(x1: float, y1: float, x2: float, y2: float) -> dict[str, str]:
    return {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}


def _text(words: str, x: float, y: float, *, anchor: str) -> Markup:
    return tag("text.tick", words, attributes={"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor})


def _line(kind: str, places: Sequence[tuple[float, float]]) -> Markup:
    return tag(f"polyline.line.{kind}", attributes={"points": " ".join(f"{x:.1f},{y:.1f}" for x, y in places)})


def shot_chart(scores: Sequence[ScoreRecord]) -> Markup:
    """Score and blank control of one benchmark against the number of shots, which stand at equal distances."""
    ordered = sorted(scores, key=lambda score: score.shots)
    last = max(1, len(ordered) - 1)
    frame = Frame(Axis(-0.25, last + 0.25, ()), score_axis(ordered), 176.0)
    shapes = frame.lines()
    for index, score in enumerate(ordered):
        x, _ = frame.at(index, 0)
        shapes.append(_text(str(score.shots), x, frame.height - 8, anchor="middle"))
    blanks = [(index, score.blank, score.blank_interval) for index, score in enumerate(ordered)]
    for kind, series, shift in (
        ("blank", [row for row in blanks if row[1] is not None], 3.0),
        ("score", [(index, score.score, score.interval) for index, score in enumerate(ordered)], -3.0),
    ):
        places = []
        for index, value, interval in series:
            assert value is not None
            x, y = frame.at(index, value)
            places.append((x + shift, y))
            if interval is not None:
                (_, low), (_, high) = frame.at(index, interval[0]), frame.at(index, interval[1])
                shapes.append(tag(f"line.bar.{kind}", attributes=_ends(x + shift, low, x + shift, high)))
        shapes.append(_line(kind, places))
        shapes += [
            tag(f"circle.dot.{kind}", attributes={"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "4"}) for x, y in places
        ]
    words = "; ".join(
        f"{score.shots} shots: {numbers.score(score.score)}"
        + ("" if score.blank is None else f", blank image {numbers.score(score.blank)}")
        for score in ordered
    )
    return frame.picture(f"{ordered[0].benchmark} by number of shots. {words}.", shapes)


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart; `kind` is its class in the style sheet."""

    kind: str
    points: Sequence[Point]


Scale = Literal["close", "zero", "decades"]
"""How the values' axis runs: close around them, from zero, or in powers of ten where all are positive."""


def curve_chart(series: Sequence[Series], *, title: str, height: float, scale: Scale) -> Markup:
    """Curves over optimiser steps, on one axis."""
    points = [point for each in series for point in each.points]
    low, high = min(point.y for point in points), max(point.y for point in points)
    if scale == "decades" and low > 0:
        y = decade_axis(low, high)
        series = [Series(each.kind, [Point(at.x, math.log10(at.y)) for at in each.points]) for each in series]
    else:
        y = round_axis(low if scale == "close" else 0.0, high, intervals=4 if height > 120 else 2)
    last = max(point.x for point in points)
    x = round_axis(0.0, last, intervals=4)
    frame = Frame(Axis(0.0, last, x.ticks), y, height)
    shapes = frame.lines()
    for tick in x.ticks:
        if tick <= last:
            across, _ = frame.at(tick, y.low)
            shapes.append(_text(_tick(tick), across, height - 8, anchor="middle" if tick < 0.97 * last else "end"))
    for each in series:
        places = [frame.at(point.x, point.y) for point in each.points]
        if len(places) > 1:
            shapes.append(_line(each.kind, places))
        else:
            shapes.append(tag(f"circle.dot.{each.kind}", attributes=_centre(places[0])))
    return frame.picture(title, shapes)


COLOURS = 6
"""Colours of parts and of curves; the seventh curve has the first one's, dashed."""


def curve_kind(index: int) -> str:
    """The class of one of several curves."""
    return f"curve{index % COLOURS}" + (".again" if index >= COLOURS else "")


def curve_legend(names: Sequence[str]) -> Markup:
    """The names of several curves, in their order."""
    entries = [tag("span", tag(f"span.key.bar.{curve_kind(index)}"), name) for index, name in enumerate(names)]
    return tag("p.legend.curves", *entries)


def _centre(place: tuple[float, float]) -> dict[str, str]:
    return {"cx": f"{place[0]:.1f}", "cy": f"{place[1]:.1f}", "r": "4"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a whole, for `parts_bar`."""

    name: str
    value: float


def parts_bar(parts: Sequence[Part], *, title: str) -> Markup:
    """Shares of a whole as one bar, in percent of its box."""
    total = sum(part.value for part in parts)
    shapes, done = [], 0.0
    for index, part in enumerate(parts):
        width = 100 * part.value / total
        box = {"x": f"{done:.3f}%", "y": "0", "width": f"{max(0.0, width - 0.25):.3f}%", "height": "100%"}
        shapes.append(tag(f"rect.part{index % COLOURS}", attributes=box))
        done += width
    return tag("svg.parts", tag("title", title), *shapes, attributes={"role": "img", "width": "100%", "height": "22"})
