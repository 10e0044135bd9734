"""Sections of the page: how each stage went, and what trained in it."""

from __future__ import annotations

from collections.abc import Sequence

from vlmlab.records.read import StageRun
from vlmlab.records.run import LedgerRow
from vlmlab.report import numbers
from vlmlab.report.figures import curve_chart
from vlmlab.report.markup import Column, Markup, join, table, tag
from vlmlab.report.rates import Rates, loss_curve, speed_curve, stage_rates, thinned
from vlmlab.wording import count

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
    losses = thinned(loss_curve(stage.steps))
    speeds = thinned(speed_curve(stage.steps))
    charts: list[Markup] = []
    if losses:
        words = f"Loss of stage {record.name} over {record.steps} steps, from {losses[0].y:.2f} to {losses[-1].y:.2f}"
        charts.append(tag("p.axis", "loss, by optimiser steps"))
        charts.append(
            curve_chart(losses, title=words, kind="score", height=176.0, from_zero=record.objective == "contrastive")
        )
    if speeds:
        low, high = min(point.y for point in speeds), max(point.y for point in speeds)
        bounds = f"between {count(low)} and {count(high)} real tokens a second"
        words = f"Throughput of stage {record.name}, {bounds}"
        charts.append(tag("p.axis", "real tokens a second"))
        charts.append(curve_chart(speeds, title=words, kind="quiet", height=96.0, from_zero=True))
    if not charts:
        charts.append(tag("p.quiet", "No curve was kept for this stage."))
    facts = [
        ("loss", f"{record.loss_first:.2f} to {record.loss_last:.2f}"),
        ("tokens/s", _or_dash(rates.tokens_per_second)),
        ("rows filled", _share(rates.fill)),
        ("data wait", _share(rates.data_wait)),
        ("wall", numbers.duration(record.seconds)),
        ("CPU", numbers.duration(record.cpu_seconds)),
    ]
    facts_list = tag("dl.facts", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts))
    return tag("article.card", title, tag("p.tag.reused" if record.reused else "p.tag", origin), *charts, facts_list)


def _or_dash(value: float | None) -> str:
    return "–" if value is None else count(value)


def _share(value: float | None) -> str:
    return "–" if value is None else numbers.share(value)


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
        "data wait",
        "loss first",
        "loss last",
        "wall",
        "CPU",
    )
    columns = [Column("stage"), *(Column(title, numeric=True) for title in titles)]
    rows = [_figures_row(stage, stage_rates(stage)) for stage in stages]
    return table(
        "All stages in figures. Tokens are real positions, text and visual, without padding",
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
        _share(rates.data_wait),
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
