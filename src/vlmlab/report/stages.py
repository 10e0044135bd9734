"""Sections of the page: how each stage went, and what trained in it."""

from __future__ import annotations

from collections.abc import Sequence

from vlmlab.records.read import StageRun
from vlmlab.records.run import LedgerRow
from vlmlab.report import numbers
from vlmlab.report.figures import Scale, Series, curve_chart, curve_kind, curve_legend
from vlmlab.report.markup import Column, Markup, join, table, tag
from vlmlab.report.rates import (
    Curve,
    Rates,
    loss_curve,
    mfu_curve,
    norm_curves,
    source_curves,
    speed_curves,
    stage_rates,
    thinned,
)
from vlmlab.wording import bytes_words, count

OBJECTIVES = {"next_token": "next token", "contrastive": "contrastive image-text"}


def stages_section(stages: Sequence[StageRun]) -> Markup:
    """A card with curves for each stage, then all figures in one table."""
    cards = [_card(number, stage) for number, stage in enumerate(stages, start=1)]
    return join([tag("div.grid", *cards), _figures(stages)])


def _card(number: int, stage: StageRun) -> Markup:
    record, rates = stage.record, stage_rates(stage)
    objective = OBJECTIVES.get(record.objective, record.objective)
    origin = "reused from the store" if record.reused else "trained in this run"
    title = tag("h3", f"{number}. {record.name} ", tag("span.metric", objective))
    skipped = None
    if record.skipped:
        steps = "1 step" if record.skipped == 1 else f"{record.skipped} steps"
        skipped = tag("p.tag.reused", f"{steps} skipped: loss or gradient was not finite")
    facts = [
        ("loss", f"{record.loss_first:.2f} to {record.loss_last:.2f}"),
        ("tokens/s", _or_dash(rates.tokens_per_second)),
        ("useful MFU", _share(record.mfu)),
        ("rows filled", _share(rates.fill)),
        ("data wait", _share(rates.data_wait)),
        ("peak memory", _bytes(record.peak_memory)),
        ("wall", numbers.duration(record.seconds)),
        ("CPU", numbers.duration(record.cpu_seconds)),
        ("learned/s", _or_dash(rates.learned_per_second)),
    ]
    return tag(
        "article.card",
        title,
        tag("p.tag.reused" if record.reused else "p.tag", origin),
        skipped,
        *_charts(stage),
        tag("dl.facts", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts)),
    )


def _charts(stage: StageRun) -> list[Markup]:
    name, steps = stage.record.name, stage.steps
    charts: list[Markup] = []
    losses = thinned(loss_curve(steps))
    if losses:
        words = f"Loss of stage {name} over {stage.record.steps} steps, from {losses[0].y:.2f} to {losses[-1].y:.2f}"
        scale: Scale = "zero" if stage.record.objective == "contrastive" else "close"
        charts.append(tag("p.axis", "loss, by optimiser steps"))
        charts.append(curve_chart([Series("score", losses)], title=words, height=176.0, scale=scale))
    sources = source_curves(steps)
    if len(sources) > 1:
        charts += _curves("loss by source", sources, stage=name, height=150.0, scale="close")
    charts += _curves("gradient norm by component, before clipping", norm_curves(steps), stage=name, scale="decades")
    charts += _curves("tokens a second", speed_curves(steps), stage=name)
    shares = thinned(mfu_curve(steps))
    if shares:
        low, high = min(point.y for point in shares), max(point.y for point in shares)
        words = f"Useful MFU of stage {name}, between {low:.2g} and {high:.2g} % of the machine's declared peak"
        charts.append(tag("p.axis", "useful MFU, % of the machine's declared peak"))
        charts.append(curve_chart([Series("quiet", shares)], title=words, height=96.0, scale="zero"))
    return charts or [tag("p.quiet", "No curve was kept for this stage.")]


def _curves(
    title: str, curves: Sequence[Curve], *, stage: str, height: float = 110.0, scale: Scale = "zero"
) -> list[Markup]:
    """A chart of several curves under its title and legend; nothing where there are none."""
    if not curves:
        return []
    ends = "; ".join(f"{curve.name}: {count(curve.points[0].y)} to {count(curve.points[-1].y)}" for curve in curves)
    series = [Series(curve_kind(index), thinned(curve.points)) for index, curve in enumerate(curves)]
    return [
        tag("p.axis", title),
        curve_legend([curve.name for curve in curves]),
        curve_chart(series, title=f"Stage {stage}, {title}. {ends}", height=height, scale=scale),
    ]


def _or_dash(value: float | None) -> str:
    return "–" if value is None else count(value)


def _share(value: float | None) -> str:
    return "–" if value is None else numbers.share(value)


def _bytes(value: int | None) -> str:
    return "–" if value is None else bytes_words(value)


def _figures(stages: Sequence[StageRun]) -> Markup:
    titles = (
        "steps",
        "documents",
        "images",
        "tokens",
        "visual",
        "learned",
        "fill",
        "tokens/s",
        "learned/s",
        "visual/s",
        "images/s",
        "useful MFU",
        "data wait",
        "peak memory",
        "skipped steps",
        "loss first",
        "loss last",
        "wall",
        "CPU",
    )
    columns = [Column("stage"), *(Column(title, numeric=True) for title in titles)]
    rows = [_figures_row(stage, stage_rates(stage)) for stage in stages]
    return table(
        "All stages in figures. Tokens are real positions, text and visual, without padding; learned ones are "
        "supervised. Rates divide by wall time, data time included; useful MFU is the plan's count of useful "
        "operations over the machine's declared peak",
        columns,
        rows,
        label="Stages in figures",
    )


def _figures_row(stage: StageRun, rates: Rates) -> list[str]:
    record = stage.record
    return [
        record.name + (" (reused)" if record.reused else ""),
        numbers.whole(record.steps),
        numbers.whole(record.documents),
        numbers.whole(record.images),
        numbers.whole(record.tokens),
        numbers.whole(record.visual),
        numbers.whole(record.learned),
        _share(rates.fill),
        _or_dash(rates.tokens_per_second),
        _or_dash(rates.learned_per_second),
        _or_dash(rates.visual_per_second),
        _or_dash(rates.images_per_second),
        _share(record.mfu),
        _share(rates.data_wait),
        _bytes(record.peak_memory),
        numbers.whole(record.skipped),
        f"{record.loss_first:.3f}",
        f"{record.loss_last:.3f}",
        numbers.duration(record.seconds),
        numbers.duration(record.cpu_seconds),
    ]


def ledger_section(stages: Sequence[StageRun]) -> Markup:
    """What was frozen and what trained, with the peak learning rates that really applied."""
    columns = [
        Column("stage and component"),
        Column("mode"),
        Column("group"),
        Column("tensors", numeric=True),
        Column("parameters", numeric=True),
        Column("peak learning rate", numeric=True),
        Column("weight decay", numeric=True),
    ]
    rows = [_ledger_row(stage.record.name, row) for stage in stages for row in stage.record.ledger]
    return table(
        "Every parameter of every stage, by optimiser group", columns, rows, label="Ledger of trainable parameters"
    )


def _ledger_row(stage: str, row: LedgerRow) -> list[Markup | str]:
    frozen = row.mode == "frozen"
    return [
        join([tag("span.quiet", f"{stage} · "), row.component]),
        tag("span.tag.frozen" if frozen else "span.tag", row.mode),
        row.group.replace("_", " "),
        numbers.whole(row.tensors),
        numbers.whole(row.parameters),
        "–" if frozen else numbers.setting(row.learning_rate),
        "–" if frozen else numbers.setting(row.weight_decay),
    ]
