"""Figures of the findings page: strips in percent of their box, so that they fit a phone and a desk."""

from __future__ import annotations

from collections.abc import Sequence

from vlmlab.records.findings import FindingRow, MeasuredEffect
from vlmlab.report import numbers
from vlmlab.report.figures import Axis, round_axis
from vlmlab.report.findings_words import margin_words
from vlmlab.report.markup import Markup, tag

EDGE = 3.0
"""Percent left free at both ends of a strip."""
LINE = 24
"""Pixels of one effect's line."""
TALLY = ("agrees", "disagrees", "cannot-tell", "not-measurable")


def effect_axis(rows: Sequence[FindingRow]) -> Axis:
    """One axis for every effect of the page, zero among its ticks."""
    ends = [0.0]
    for row in rows:
        if row.published.margin is not None:
            ends += [row.published.margin, -row.published.margin if row.published.kind == "tie" else 0.0]
        for effect in drawn(row):
            ends += [*(effect.interval or ()), *([] if effect.estimate is None else [effect.estimate])]
    return round_axis(min(ends), max(ends), intervals=4)


def drawn(row: FindingRow) -> list[MeasuredEffect]:
    """Measured effects in points: others would need an axis of their own and stand in words alone."""
    return [effect for effect in row.measured if effect.unit == "points"]


def effect_ticks(axis: Axis) -> Markup:
    """The numbers above the strips."""
    texts = [
        tag(
            "text.tick",
            f"{tick:+g}".replace("-", numbers.MINUS) if tick else "0",
            attributes={"x": _percent(axis, tick), "y": "14", "text-anchor": "middle"},
        )
        for tick in axis.ticks
    ]
    return tag("svg.strip", *texts, attributes={"width": "100%", "height": "20", "aria-hidden": "true"})


def effect_strip(row: FindingRow, axis: Axis) -> Markup:
    """Published effect above the measured ones, on one axis."""
    height = LINE * (1 + len(drawn(row)))
    shapes = [_upright(axis, tick, "zero" if tick == 0 else "gridline") for tick in axis.ticks]
    shapes += _published(row, axis, f"{LINE / 2:g}")
    words = [f"{row.id}: published {_published_words(row)}"]
    for index, effect in enumerate(drawn(row), start=1):
        level = f"{LINE * (index + 0.5):g}"
        if effect.interval is not None:
            low, high = (_percent(axis, bound) for bound in effect.interval)
            shapes.append(tag("line.bar.score", attributes={"x1": low, "x2": high, "y1": level, "y2": level}))
        if effect.estimate is not None:
            place = {"cx": _percent(axis, effect.estimate), "cy": level, "r": "5"}
            shapes.append(tag("circle.dot.score", attributes=place))
            words.append(f"measured {numbers.gain(effect.estimate)}, {effect.verdict}")
    attributes = {"role": "img", "width": "100%", "height": f"{height}"}
    return tag("svg.strip", tag("title", "; ".join(words)), *shapes, attributes=attributes)


def _published(row: FindingRow, axis: Axis, level: str) -> list[Markup]:
    effect = row.published
    if effect.margin is None:
        return []
    if effect.kind == "tie":
        low, high = (_percent(axis, bound) for bound in (-effect.margin, effect.margin))
        return [tag("line.band", attributes={"x1": low, "x2": high, "y1": level, "y2": level})]
    return [tag("circle.dot.blank", attributes={"cx": _percent(axis, effect.margin), "cy": level, "r": "5"})]


def _published_words(row: FindingRow) -> str:
    effect = row.published
    if effect.margin is None:
        return "without a number"
    return f"within {effect.margin:g}" if effect.kind == "tie" else margin_words(effect.margin)


def tally_bar(tally: Sequence[int], *, title: str) -> Markup:
    """How many agree, disagree, cannot be told and could not be measured, as one bar of equal cells."""
    total, done = sum(tally), 0
    shapes = []
    for kind, number in zip(TALLY, tally, strict=True):
        for _ in range(number):
            box = {"x": f"{100 * done / total:.3f}%", "y": "0", "width": f"{100 / total:.3f}%", "height": "100%"}
            shapes.append(tag(f"rect.cell.{kind}", attributes=box))
            done += 1
    attributes = {"role": "img", "width": "100%", "height": "18"}
    return tag("svg.tally", tag("title", title), *shapes, attributes=attributes)


def share_strip(share: float, interval: tuple[float, float] | None, *, title: str) -> Markup:
    """The share that agrees on a scale from 0 to 100 %, with its interval."""
    axis = Axis(0.0, 1.0, (0.0, 0.5, 1.0))
    shapes = [_upright(axis, tick, "gridline") for tick in axis.ticks]
    if interval is not None:
        low, high = (_percent(axis, bound) for bound in interval)
        shapes.append(tag("line.bar.quiet", attributes={"x1": low, "x2": high, "y1": "50%", "y2": "50%"}))
    shapes.append(tag("circle.dot.score", attributes={"cx": _percent(axis, share), "cy": "50%", "r": "4.5"}))
    attributes = {"role": "img", "width": "100%", "height": "22"}
    return tag("svg.strip", tag("title", title), *shapes, attributes=attributes)


def _percent(axis: Axis, value: float) -> str:
    return f"{EDGE + (100 - 2 * EDGE) * axis.place(value):.2f}%"


def _upright(axis: Axis, value: float, kind: str) -> Markup:
    place = _percent(axis, value)
    return tag(f"line.{kind}", attributes={"x1": place, "x2": place, "y1": "0", "y2": "100%"})
