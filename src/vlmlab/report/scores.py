"""Sections of the page: scores with their controls, and what demonstrations bring."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from vlmlab.records.run import EvaluationRecord, ScoreRecord
from vlmlab.report import numbers
from vlmlab.report.figures import score_axis, shot_chart, strip, strip_axis
from vlmlab.report.markup import Markup, join, tag
from vlmlab.report.words import metric_words, shots_words


def by_benchmark(evaluation: EvaluationRecord) -> list[list[ScoreRecord]]:
    """Scores grouped by benchmark, in the order of the record."""
    return [list(group) for _, group in groupby(evaluation.scores, key=lambda score: score.benchmark)]


def legend(*, blank: bool) -> Markup:
    """What full and hollow dots mean."""
    return tag(
        "p.legend",
        tag("span", tag("span.key.score"), "with the image"),
        tag("span", tag("span.key.blank"), "control: the query's image is plain grey") if blank else None,
        tag("span", tag("span.key.bar"), "interval"),
    )


def scores_section(evaluation: EvaluationRecord) -> Markup:
    """The table of scores, a strip with dots and intervals beside each row. On a phone each row becomes a card."""
    blank = any(score.blank is not None for score in evaluation.scores)
    head = tag(
        "tr",
        *(_header(title) for title in ("Shots", "Score", "Blank control", "Gain")),
        _header("Score and control", classes="plot"),
        attributes=_role("row"),
    )
    groups = [_group(scores) for scores in by_benchmark(evaluation)]
    table = tag(
        "table.scores",
        tag("caption", "Scores out of 100 by benchmark and number of shots"),
        tag("thead", head, attributes=_role("rowgroup")),
        *groups,
        attributes=_role("table"),
    )
    words = f"Intervals hold {numbers.share(evaluation.confidence)} of the bootstrap over clusters of items. "
    words += (
        "The control asks the same questions with the query's image replaced by plain grey; "
        "the gain is the difference, paired by item. A gain whose interval lies above zero is in bold."
        if blank
        else "No blank-image control was asked."
    )
    return join([tag("p", words), legend(blank=blank), table])


def _role(role: str) -> dict[str, str]:
    """Cards are laid out with `display`, which takes a table's meaning away in some browsers; roles keep it."""
    return {"role": role}


def _header(title: str, *, classes: str = "") -> Markup:
    return tag(f"th.{classes}" if classes else "th", title, attributes={"scope": "col", "role": "columnheader"})


def _group(scores: Sequence[ScoreRecord]) -> Markup:
    axis = score_axis(scores)
    first = scores[0]
    title = tag(
        "th",
        tag("span.benchmark", first.benchmark),
        tag("span.metric", f"{metric_words(first.metric)}, {numbers.whole(first.items)} items"),
        attributes={"scope": "rowgroup", "colspan": "4", "role": "rowheader"},
    )
    head = tag("tr.group", title, tag("td.plot", strip_axis(axis), attributes=_role("cell")), attributes=_role("row"))
    rows = [
        tag(
            "tr",
            tag("th", shots_words(score.shots), attributes={"scope": "row", "role": "rowheader"}),
            _cell("Score", numbers.score(score.score), numbers.interval(score.interval)),
            _optional("Blank control", score.blank, score.blank_interval, gain=False),
            _optional("Gain", score.gain, score.gain_interval, gain=True),
            tag("td.plot", strip(score, axis), attributes=_role("cell")),
            attributes=_role("row"),
        )
        for score in scores
    ]
    return tag("tbody", head, *rows, attributes=_role("rowgroup"))


def _optional(label: str, value: float | None, interval: tuple[float, float] | None, *, gain: bool) -> Markup:
    if value is None or interval is None:
        return _cell(label, "–", "no image" if not gain else "")
    if not gain:
        return _cell(label, numbers.score(value), numbers.interval(interval))
    return _cell(label, numbers.gain(value), numbers.interval(interval, signed=True), strong=interval[0] > 0)


def _cell(label: str, value: str, interval: str, *, strong: bool = False) -> Markup:
    """`label` is shown on cards only, where the column's header is out of sight."""
    return tag(
        "td.num",
        tag("span.label", label, attributes={"aria-hidden": "true"}),
        tag("strong", value) if strong else tag("span.value", value),
        " ",
        tag("span.interval", interval),
        attributes=_role("cell"),
    )


def shots_section(evaluation: EvaluationRecord) -> Markup | None:
    """One chart a benchmark; None where no benchmark was asked with two numbers of shots."""
    groups = [group for group in by_benchmark(evaluation) if len({score.shots for score in group}) > 1]
    if not groups:
        return None
    figures = []
    for group in groups:
        name = group[0].benchmark
        gains = [row for row in evaluation.shot_gains if row["benchmark"] == name]
        lines = [
            tag(
                "span.gain",
                f"{shots_words(row['shots'])} over {row['over']}: ",
                tag("strong" if row["interval"][0] > 0 else "span", numbers.gain(row["gain"])),
                f" ({numbers.interval(row['interval'], signed=True)})",
            )
            for row in gains
        ]
        figures.append(
            tag(
                "figure",
                tag("h3", name, " ", tag("span.metric", metric_words(group[0].metric))),
                shot_chart(group),
                tag("figcaption", *lines),
            )
        )
    blank = any(score.blank is not None for group in groups for score in group)
    words = (
        "Score against the number of demonstrations in the prompt. "
        "Below each chart: what demonstrations add over none, paired by item."
    )
    return join([tag("p", words), legend(blank=blank), tag("div.grid", *figures)])
