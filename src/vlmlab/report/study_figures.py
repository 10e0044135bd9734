"""Figures of a study's page: strips in percent of their box, so that they fit a phone and a desk, and banded curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vlmlab.records.study import CellRecord, ClaimRecord, CurveRecord, GateRecord, Verdict
from vlmlab.report import numbers
from vlmlab.report.figures import Axis, Frame, curve_kind, round_axis
from vlmlab.report.markup import Markup, tag
from vlmlab.report.study_words import KINDS, estimate_words, interval_words, level_interval, level_words
from vlmlab.wording import count

EDGE = 4.0
"""Percent left free at both ends of a strip."""
CLAIM = 56
"""Least height of a claim's strip; the style sheet lets it fill its row, so that zero is one line through all rows."""
WIDEST = 6.0
"""Intervals farther out than this many times the largest effect, estimate or margin are cut, with an arrow."""


def percent(axis: Axis, value: float) -> str:
    """The value's place on a strip."""
    return f"{EDGE + (100 - 2 * EDGE) * axis.place(value):.2f}%"


def upright(axis: Axis, value: float, kind: str) -> Markup:
    """A line from the top of a strip to its bottom."""
    place = percent(axis, value)
    return tag(f"line.{kind}", attributes={"x1": place, "x2": place, "y1": "0", "y2": "100%"})


def tick_words(value: float, *, signed: bool) -> str:
    """A tick's number, with its sign where the axis is one of differences."""
    text = f"{value:+g}" if signed and value else f"{value:g}"
    return text.replace("-", numbers.MINUS)


def ticks(axis: Axis, *, signed: bool) -> Markup:
    """The numbers above strips."""
    texts = [
        tag(
            "text.tick",
            tick_words(tick, signed=signed),
            attributes={"x": percent(axis, tick), "y": "14", "text-anchor": "middle"},
        )
        for tick in axis.ticks
    ]
    return _strip(texts, height=20)


def _strip(shapes: Iterable[Markup], *, height: float, title: str | None = None) -> Markup:
    box = {"width": "100%", "height": f"{height:g}"}
    if title is None:
        return tag("svg.strip", *shapes, attributes=box | {"aria-hidden": "true"})
    return tag("svg.strip", tag("title", title), *shapes, attributes=box | {"role": "img"})


def _dot(kind: str, x: str, y: str, radius: float) -> Markup:
    return tag(f"circle.{kind}", attributes={"cx": x, "cy": y, "r": f"{radius:g}"})


def _bar(kind: str, axis: Axis, interval: tuple[float, float], y: str) -> Markup:
    low, high = (percent(axis, bound) for bound in interval)
    return tag(f"line.{kind}", attributes={"x1": low, "x2": high, "y1": y, "y2": y})


def _mark(kind: str, points: str, x: str, y: str) -> Markup:
    """A small shape in pixels at a place in percent: `points` are relative to it."""
    inner = tag(f"polygon.{kind}", attributes={"points": points})
    return tag("svg.at", inner, attributes={"x": x, "y": y, "width": "1", "height": "1", "aria-hidden": "true"})


# ---- verdicts as small pictures: an interval against the line of no difference ----


def verdict_icon(verdict: Verdict) -> Markup:
    """What the verdict says, drawn as the forest plot would show it. The word always stands beside it."""
    zero = tag("line.icon-zero", attributes={"x1": "16", "x2": "16", "y1": "1", "y2": "17"})

    def bar(low: float, high: float, y: float) -> list[Markup]:
        ends = {"x1": f"{low:g}", "x2": f"{high:g}", "y1": f"{y:g}", "y2": f"{y:g}"}
        return [tag("line.icon-bar", attributes=ends), _dot("icon-dot", f"{(low + high) / 2:g}", f"{y:g}", 3)]

    match verdict:
        case "holds":
            shapes = [zero, *bar(20, 31, 9)]
        case "reversed":
            shapes = [zero, *bar(1, 12, 9)]
        case "equivalent":
            box = {"x": "6", "y": "1", "width": "20", "height": "16", "rx": "2"}
            shapes = [tag("rect.icon-margin", attributes=box), zero, *bar(10, 22, 9)]
        case "cannot tell":
            shapes = [zero, *bar(7, 30, 9)]
        case "not measurable":
            line = {"x1": "3", "x2": "29", "y1": "9", "y2": "9"}
            slash = {"x1": "11", "x2": "21", "y1": "16", "y2": "2"}
            shapes = [tag("line.icon-bar.dashed", attributes=line), tag("line.icon-bar", attributes=slash)]
        case "depends on the learning rate":
            shapes = [zero, *bar(19, 30, 5), *bar(2, 13, 13)]
    attributes = {"viewBox": "0 0 32 18", "width": "32", "height": "18", "aria-hidden": "true"}
    return tag(f"svg.icon.{KINDS[verdict]}", *shapes, attributes=attributes)


# ---- forest plot ----


@dataclass(frozen=True, slots=True)
class ForestLine:
    """An estimate with its interval for the forest plot; `alone` is the interval for this line only."""

    words: str
    estimate: float
    interval: tuple[float, float] | None
    alone: tuple[float, float] | None = None
    kind: str = "part"


def forest_axis(claims: Sequence[ClaimRecord]) -> Axis:
    """One axis for all claims in a unit, zero among its ticks."""
    near, ends = [0.0], [0.0]
    for claim in claims:
        near += [claim.effect, claim.margin or 0.0, abs(claim.estimate or 0.0), *(abs(p.estimate) for p in claim.parts)]
        ends += [claim.effect] if claim.margin is None else [claim.margin, -claim.margin]
        ends += [] if claim.estimate is None else [claim.estimate]
        common = [] if claim.common is None else [claim.common]
        for interval in (claim.interval, claim.interval_alone, *(part.interval for part in (*claim.parts, *common))):
            ends += list(interval or ())
    far = WIDEST * max(near)
    low, high = max(min(ends), -far), min(max(ends), far)
    # Zero is never at an edge: a reader must see that there is another side.
    return round_axis(min(low, -0.15 * high), max(high, -0.15 * low), intervals=5)


def claim_strip(claim: ClaimRecord, axis: Axis) -> Markup:
    """The claim's estimate and intervals against zero, its margin as a band, its declared effect as a mark."""
    kind = KINDS[claim.verdict]
    shapes = _ground(claim, axis)
    title = f"{claim.name}: {estimate_words(claim)}, {claim.verdict}"
    if claim.estimate is None:
        return _strip(shapes, height=CLAIM, title=title)
    line = ForestLine("", claim.estimate, claim.interval, claim.interval_alone, kind)
    title += f", interval {interval_words(claim.interval, claim.unit)}" if claim.interval is not None else ""
    return _strip([*shapes, *_line(line, axis, y="31", radius=6)], height=CLAIM, title=title)


def part_strip(claim: ClaimRecord, line: ForestLine, axis: Axis) -> Markup:
    """One contrast of a claim under it."""
    title = f"{line.words}: {interval_words(line.interval, claim.unit)}"
    return _strip([*_ground(claim, axis, effect=False), *_line(line, axis, y="14", radius=4)], height=28, title=title)


def _ground(claim: ClaimRecord, axis: Axis, *, effect: bool = True) -> list[Markup]:
    shapes = []
    if claim.margin is not None:
        low, high = percent(axis, -claim.margin), percent(axis, claim.margin)
        width = f"{float(high[:-1]) - float(low[:-1]):.2f}%"
        shapes.append(tag("rect.tolerance", attributes={"x": low, "y": "0", "width": width, "height": "100%"}))
        shapes += [upright(axis, bound, "tolerance-edge") for bound in (-claim.margin, claim.margin)]
    shapes += [upright(axis, tick, "gridline") for tick in axis.ticks if tick != 0]
    shapes.append(upright(axis, 0.0, "zero"))
    if effect and claim.margin is None:
        shapes.append(_mark("declared", "-5,0 5,0 0,8", percent(axis, claim.effect), "8"))
    return shapes


def _line(line: ForestLine, axis: Axis, *, y: str, radius: float) -> list[Markup]:
    shapes = []
    if line.interval is not None:
        shapes.append(_bar(f"whisker.{line.kind}", axis, line.interval, y))
        for bound, arrow in zip(line.interval, ("0,-5 0,5 -7,0", "0,-5 0,5 7,0"), strict=True):
            if axis.low <= bound <= axis.high:
                shapes.append(_mark(f"cap.{line.kind}", "-0.75,-5 0.75,-5 0.75,5 -0.75,5", percent(axis, bound), y))
            else:
                shapes.append(_mark(f"cap.{line.kind}", arrow, percent(axis, bound), y))
    if line.alone is not None:
        shapes.append(_bar(f"alone.{line.kind}", axis, line.alone, y))
    shapes.append(_dot(f"estimate.{line.kind}", percent(axis, line.estimate), y, radius))
    return shapes


# ---- arms ----


def cells_axis(cells: Sequence[CellRecord], diverged: Mapping[str, Sequence[int]]) -> Axis:
    """An axis close around the means and intervals of one measure and the replicates that did not diverge."""
    values = [value for cell in cells for value in (cell.mean, *(cell.interval or ()))]
    values += [
        value
        for cell in cells
        for seed, value in zip(cell.seeds, cell.replicates, strict=True)
        if seed not in diverged.get(cell.arm, ())
    ]
    return round_axis(min(values), max(values), intervals=5)


def cell_strip(cell: CellRecord, axis: Axis, *, reference: float | None, diverged: Sequence[int], unit: str) -> Markup:
    """Replicates as dots above the arm's mean with its interval; the reference arm's mean runs through as a line."""
    shapes = [upright(axis, tick, "gridline") for tick in axis.ticks]
    if reference is not None:
        shapes.append(upright(axis, reference, "reference"))
    for seed, value in zip(cell.seeds, cell.replicates, strict=True):
        x = percent(axis, value)
        if seed in diverged:
            shapes += [_mark("cross", points, x, "11") for points in CROSS]
        else:
            shapes.append(_dot("replicate", x, "11", 3.5))
    if cell.interval is not None:
        shapes.append(_bar("bar.score", axis, cell.interval, "25"))
    shapes.append(_dot("dot.score", percent(axis, cell.mean), "25", 5))
    words = ", ".join(
        f"seed {seed} {level_words(value, unit)}{' (diverged)' if seed in diverged else ''}"
        for seed, value in zip(cell.seeds, cell.replicates, strict=True)
    )
    title = f"{cell.arm}: mean {level_words(cell.mean, unit)}"
    title += f", interval {level_interval(cell.interval, unit)}" if cell.interval is not None else ""
    return _strip(shapes, height=36, title=f"{title}; {words}")


CROSS = ("-4,-3 -3,-4 4,3 3,4", "-4,3 -3,4 4,-3 3,-4")


# ---- budgets ----


def spent_bar(spent: float | None, planned: float | None, *, most: float, title: str, held: bool) -> Markup:
    """What was spent as a bar from zero, what was planned as a line across it."""
    shapes = [tag("rect.track", attributes={"x": "0", "y": "0", "width": "100%", "height": "100%"})]
    if spent is not None:
        width = f"{100 * spent / most:.2f}%"
        kind = "rect.spent.held" if held else "rect.spent"
        shapes.append(tag(kind, attributes={"x": "0", "y": "0", "width": width, "height": "100%"}))
    if planned is not None:
        place = f"{min(99.6, 100 * planned / most):.2f}%"
        shapes.append(tag("line.planned", attributes={"x1": place, "x2": place, "y1": "0", "y2": "100%"}))
    box = {"role": "img", "width": "100%", "height": "10"}
    return tag("svg.budget-bar", tag("title", title), *shapes, attributes=box)


# ---- calibration ----


def gauge(gate: GateRecord) -> Markup:
    """The way from the blank-image control (0 %) to the oracle reader (100 %), the band that can show differences."""
    axis = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
    low, high = percent(axis, gate.low), percent(axis, gate.high)
    width = f"{float(high[:-1]) - float(low[:-1]):.2f}%"
    shapes = [
        _bar("gauge-track", axis, (0.0, 1.0), "26"),
        tag("rect.gauge-band", attributes={"x": low, "y": "20", "width": width, "height": "12", "rx": "2"}),
    ]
    labels = ((0.0, "blank"), (gate.low, f"{100 * gate.low:.0f} %"), (gate.high, f"{100 * gate.high:.0f} %"))
    for place, words in (*labels, (1.0, "oracle")):
        x = percent(axis, place)
        anchor = "start" if place == 0 else "end" if place == 1 else "middle"
        shapes.append(tag("line.gauge-tick", attributes={"x1": x, "x2": x, "y1": "17", "y2": "35"}))
        shapes.append(tag("text.tick", words, attributes={"x": x, "y": "48", "text-anchor": anchor}))
    title = f"Calibration of {gate.measure}: {gate.words}"
    if gate.share is not None:
        x = percent(axis, gate.share)
        kind = "passed" if gate.passed else "failed"
        shapes.append(_mark(f"needle.{kind}", "-7,0 7,0 0,11", x, "9"))
        shapes.append(_dot(f"needle.{kind}", x, "26", 4.5))
    return _strip(shapes, height=52, title=title)


# ---- learning curves ----

LEAST_POINTS = 12
"""A curve with more points than this is drawn without its first tenth, whose fall would flatten all the rest."""


def band_chart(curves: Sequence[CurveRecord], *, order: Sequence[str], title: str) -> Markup:
    """One stage's loss: a line an arm, its replicates' range as a band. `order` gives each arm its colour."""
    last = max((curve.steps[-1] for curve in curves if curve.steps), default=1)
    kept = {curve.arm: _kept(curve, last) for curve in curves}
    lowest = min(curve.lowest[index] for curve in curves for index in kept[curve.arm])
    highest = max(curve.highest[index] for curve in curves for index in kept[curve.arm])
    axis = round_axis(0.0, float(last), intervals=4)
    frame = Frame(Axis(0.0, float(last), axis.ticks), round_axis(lowest, highest, intervals=4), 200.0)
    shapes = frame.lines()
    for tick in axis.ticks:
        if tick <= last:
            x, _ = frame.at(tick, frame.y.low)
            anchor = "middle" if tick < 0.97 * last else "end"
            words = count(tick) if tick >= 1000 else f"{tick:g}"
            place = {"x": f"{x:.1f}", "y": f"{frame.height - 8:.1f}", "text-anchor": anchor}
            shapes.append(tag("text.tick", words, attributes=place))
    for curve in curves:
        kind = curve_kind(order.index(curve.arm))
        edge = [frame.at(curve.steps[index], curve.highest[index]) for index in kept[curve.arm]]
        edge += [frame.at(curve.steps[index], curve.lowest[index]) for index in reversed(kept[curve.arm])]
        shapes.append(tag(f"polygon.area.{kind}", attributes={"points": _points(edge)}))
    for curve in curves:
        places = [frame.at(curve.steps[index], curve.losses[index]) for index in kept[curve.arm]]
        kind = curve_kind(order.index(curve.arm))
        shapes.append(tag(f"polyline.line.{kind}", attributes={"points": _points(places)}))
    return frame.picture(title, shapes)


def _kept(curve: CurveRecord, last: int) -> list[int]:
    if len(curve.steps) <= LEAST_POINTS:
        return list(range(len(curve.steps)))
    kept = [index for index, step in enumerate(curve.steps) if step >= 0.1 * last]
    return kept or list(range(len(curve.steps)))


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
