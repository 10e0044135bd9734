"""Sections of a study's page: what each arm reached, by measure and by benchmark, and how it got there."""

from __future__ import annotations

from collections.abc import Sequence

from vlmlab.records.study import BenchmarkRow, CellRecord, CurveRecord, StudyRecord
from vlmlab.report import numbers
from vlmlab.report.figures import curve_kind
from vlmlab.report.markup import Column, Markup, join, table, tag
from vlmlab.report.study_figures import band_chart, cell_strip, cells_axis, ticks
from vlmlab.report.study_record import CONDITIONAL, arm_name, cells_of, conditional, measures, unit_of
from vlmlab.report.study_words import level_interval, level_words
from vlmlab.report.words import metric_words, shots_words


def arms_section(record: StudyRecord) -> Markup | None:
    """A panel a measure: every replicate as a dot, the mean with its interval below."""
    names = measures(record)
    if not names:
        return None
    words = (
        "Each dot is one replicate of an arm; below it the mean with its interval for seeds and items. Overlapping "
        "intervals do not mean that arms are equal: differences are judged above, in pairs where arms are paired. Axes "
        "do not begin at zero."
    )
    if conditional(record):
        words += f" All of it is {CONDITIONAL}."
    diverged = any(arm.diverged for arm in record.arms)
    legend = tag(
        "p.legend",
        tag("span", tag("span.key.replicate"), "replicate"),
        tag("span", tag("span.key.score"), "mean"),
        tag("span", tag("span.key.bar"), f"{numbers.share(record.confidence)} interval"),
        tag("span", tag("span.key.bar.upright"), "mean of the reference"),
        tag("span", tag("span.key.cross", "×"), "diverged, counts as chance (at the edge where it is off the axis)")
        if diverged
        else None,
    )
    return join([tag("p", words), legend, *(_measure(record, name) for name in names)])


def _measure(record: StudyRecord, measure: str) -> Markup:
    cells, unit = cells_of(record, measure), unit_of(record, measure)
    if not cells:
        return tag("p.quiet", f"{measure}: no arm has it.")
    diverged = {arm.name: arm.diverged for arm in record.arms}
    axis = cells_axis(cells, diverged)
    reference = next((cell.mean for cell in cells if cell.arm == record.reference), None)
    rows = [
        tag(
            "div.arm",
            _name(cell, record),
            tag("div.plot", cell_strip(cell, axis, reference=reference, diverged=diverged[cell.arm], unit=unit)),
            _level(cell, unit, diverged[cell.arm]),
        )
        for cell in cells
    ]
    head = tag("div.arm.arm-axis", tag("span"), tag("div.plot", ticks(axis, signed=False)), tag("span"))
    missing = [arm.name for arm in record.arms if arm.name not in {cell.arm for cell in cells}]
    lacking = tag("p.tag.reused", f"no replicate of {', '.join(missing)} has this measure") if missing else None
    return tag("figure.measure", tag("h3", measure, " ", tag("span.metric", unit)), head, *rows, lacking)


def _name(cell: CellRecord, record: StudyRecord) -> Markup:
    reference = tag("span.metric", " reference") if cell.arm == record.reference else None
    return tag("p.arm-name", arm_name(cell.arm), reference)


def _level(cell: CellRecord, unit: str, diverged: Sequence[int]) -> Markup:
    interval = level_interval(cell.interval, unit)
    facts = [
        None if cell.blank is None else f"blank {level_words(cell.blank, unit)}",
        f"{len(diverged)} of {len(cell.seeds)} diverged" if diverged else None,
        "one replicate: no interval" if cell.interval is None else None,
    ]
    return tag(
        "p.arm-level",
        tag("strong", level_words(cell.mean, unit)),
        " ",
        tag("span.interval", interval),
        *(tag("span.detail", fact) for fact in facts if fact),
    )


def benchmarks_section(record: StudyRecord) -> Markup | None:
    """A row a benchmark and number of shots, a column an arm."""
    if not record.benchmarks:
        return None
    arms = [arm.name for arm in record.arms]
    by_place: dict[tuple[str, str, int], dict[str, BenchmarkRow]] = {}
    for row in record.benchmarks:
        by_place.setdefault((row.benchmark, row.metric, row.shots), {})[row.arm] = row
    rows, last = [], None
    for (benchmark, metric, shots), found in by_place.items():
        name = tag("span.benchmark", benchmark, " ", tag("span.metric", metric_words(metric)))
        rows.append(
            [
                name if benchmark != last else tag("span.quiet.again", benchmark),
                shots_words(shots),
                *(_cell(found.get(arm)) for arm in arms),
            ]
        )
        last = benchmark
    words = "Means over replicates with their standard deviation, and the blank control below: the same questions "
    words += "with the query's image replaced by plain grey. This table tests nothing; the claims above do"
    columns = [Column("benchmark"), Column("asked with"), *(Column(arm, numeric=True) for arm in arms)]
    if conditional(record):
        words += f". All of it is {CONDITIONAL}"
    return tag("div.sticky", table(words, columns, rows, label="Scores by benchmark and arm"))


def _cell(row: BenchmarkRow | None) -> Markup:
    if row is None:
        return tag("span.quiet", "–")
    return join(
        [
            tag("strong", numbers.score(row.score)),
            None if row.deviation is None else tag("span.quiet", f" ± {numbers.score(row.deviation)}"),
            tag("span.detail", "no image" if row.blank is None else f"blank {numbers.score(row.blank)}"),
        ]
    )


def curves_section(record: StudyRecord) -> Markup | None:
    """A chart a stage in which arms differ or trained."""
    order = [arm.name for arm in record.arms]
    curves = [curve for curve in record.curves if curve.steps and curve.arm in order]
    if not curves:
        return None
    stages: dict[str, list[CurveRecord]] = {}
    for curve in curves:
        stages.setdefault(curve.stage, []).append(curve)
    figures = []
    for stage, group in stages.items():
        ends = "; ".join(f"{curve.arm} ends at {curve.losses[-1]:.3f}" for curve in group)
        figures.append(
            tag(
                "figure",
                tag("h3", stage, " ", tag("span.metric", "loss, by optimiser steps")),
                band_chart(group, order=order, title=f"Loss of stage {stage}. {ends}"),
                tag(
                    "figcaption.ends",
                    *(
                        _end(curve, order.index(curve.arm))
                        for curve in sorted(group, key=lambda curve: curve.losses[-1])
                    ),
                ),
            )
        )
    words = (
        "Lines are means over replicates, bands reach from the lowest replicate to the highest. Losses of arms whose "
        "documents or supervised tokens differ do not compare. Below each chart: the last loss, lowest arm first. The "
        "first tenth of long curves is left out."
    )
    return join([tag("p", words), tag("div.grid", *figures)])


def _end(curve: CurveRecord, index: int) -> Markup:
    return tag(
        "span.end",
        tag("span", tag(f"span.key.bar.{curve_kind(index)}"), tag("span", arm_name(curve.arm))),
        tag("strong", f"{curve.losses[-1]:.3f}"),
        tag("span", f"{curve.lowest[-1]:.3f} to {curve.highest[-1]:.3f}"),
    )
