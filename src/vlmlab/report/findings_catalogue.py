"""Sections of the findings page: every finding with its published numbers, and the pairs that disagree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from vlmlab.records.findings import FindingRow, PublishedEffect
from vlmlab.report import numbers
from vlmlab.report.findings_words import margin_words, score_words
from vlmlab.report.markup import Markup, join, tag
from vlmlab.wording import seconds_words

AGREEMENT = {
    "agrees": ("✓", "good"),
    "disagrees": ("✗", "bad"),
    "cannot tell": ("?", "unsure"),
    "not measurable": ("–", "unsure"),
}
"""Mark and class of each outcome; the word always stands beside them."""


def conflict_section(rows: Sequence[FindingRow]) -> Markup:
    """Every pair of findings that contradict each other, side by side."""
    by_id = {row.id: row for row in rows}
    pairs = [
        (row, by_id[other])
        for row in rows
        for other in row.conflicts
        if other in by_id and list(by_id).index(row.id) < list(by_id).index(other)
    ]
    if not pairs:
        return tag("p", "No two of these findings contradict each other.")
    lead = tag(
        "p",
        f"{len(pairs)} pairs of findings do not fit together. Models, data and scales differ, so that both may be true "
        "of their own; a study that varies both questions at once is the way to tell.",
    )
    return join([lead, tag("div.conflicts", *(_conflict(*pair) for pair in pairs))])


def _conflict(one: FindingRow, other: FindingRow) -> Markup:
    return tag("article.conflict", _side(one), tag("p.against", "against"), _side(other))


def _side(row: FindingRow) -> Markup:
    return tag(
        "div.side",
        tag(
            "h3",
            tag("a", row.id, attributes={"href": f"#{anchor(row.id)}"}),
            " ",
            tag("span.metric", row.paper),
            " " if row.measured else None,
            badge(row) if row.measured else None,
        ),
        tag("p", row.statement),
        tag("p.effect-line", published(row.published)),
    )


def catalogue_section(rows: Sequence[FindingRow]) -> Markup:
    """Every finding, folded, by paper."""
    parts: list[Markup] = [
        tag(
            "p",
            "By paper. A statement opens to its published numbers, what differs between the arms, and how a small "
            "study can test it.",
        )
    ]
    for paper, group in groupby(rows, key=lambda row: row.paper):
        parts.append(tag("h3.paper", paper))
        parts += [_entry(row) for row in group]
    return join(parts)


def _entry(row: FindingRow) -> Markup:
    summary = tag(
        "summary",
        tag("span.id", row.id),
        tag("span.statement", row.statement),
        tag("span.family-name", row.family),
        badge(row) if row.measured else tag("span.badge.none", _testable(row)),
    )
    facts: list[tuple[str, Markup | str]] = [
        ("Source", f"{row.paper}, {row.source}"),
        ("Certainty", row.certainty),
        (
            "Measure",
            row.measure + ("" if row.measure_certainty == row.certainty else f" ({row.measure_certainty})"),
        ),
        (
            "Conclusion",
            join(
                [published(row.published), tag("span.detail", row.published.words.replace(" -", f" {numbers.MINUS}"))]
            ),
        ),
    ]
    if not any(arm.scores for arm in row.published.arms):
        facts.append(("Arms", "; ".join(arm.name for arm in row.published.arms)))
    if row.fields:
        facts.append(("Differs in", join([tag("code", field) for field in row.fields], between=", ")))
    if row.missing:
        facts.append(("Recipes lack", ", ".join(row.missing)))
    facts.append((f"Small study: {row.testable}", row.how))
    if row.study is not None:
        cost = "" if row.cpu_seconds is None else f", {seconds_words(row.cpu_seconds)} of CPU time when last run"
        facts.append(("Study", join([tag("code", row.study), cost])))
    facts += [(f"Recipe of {arm}", tag("code", recipe)) for arm, recipe in row.recipes.items()]
    if row.conflicts:
        links = [tag("a", other, attributes={"href": f"#{anchor(other)}"}) for other in row.conflicts]
        facts.append(("Disagrees with", join(links, between=", ")))
    listed = [part for name, words in facts for part in (tag("dt", name), tag("dd", words))]
    return tag(
        "details.finding",
        summary,
        # The anchor stands inside, so that a link to it opens the finding.
        tag("div.inside", tag("dl.entry", *listed), _scores(row.published), attributes={"id": anchor(row.id)}),
    )


def _scores(effect: PublishedEffect) -> Markup | None:
    measures = list(dict.fromkeys(measure for arm in effect.arms for measure in arm.scores))
    if not measures:
        return None
    head = tag(
        "tr",
        tag("th", "arm", attributes={"scope": "col"}),
        *(tag("th.num", measure, attributes={"scope": "col"}) for measure in measures),
    )
    rows = [
        tag(
            "tr.winner" if arm.name == effect.winner else "tr",
            tag("th", arm.name, _unsure(arm.certainty), attributes={"scope": "row"}),
            *(tag("td.num", score_words(arm.scores.get(measure))) for measure in measures),
        )
        for arm in effect.arms
    ]
    table = tag("table", tag("thead", head), tag("tbody", *rows), attributes={"aria-label": "Published scores"})
    label = {"tabindex": "0", "role": "region", "aria-label": "Published scores"}
    return tag("div.scroll", table, attributes=label)


def _unsure(certainty: str) -> Markup | None:
    return None if certainty == "verified" else join([" ", tag(f"span.certainty.{certainty}", certainty)])


def _testable(row: FindingRow) -> str:
    if row.testable == "no":
        return "not small"
    words = "testable" if row.testable == "yes" else "partly testable"
    return f"{words}, not yet" if row.missing else words


def badge(row: FindingRow) -> Markup:
    """The outcome as a word with its mark."""
    if row.agreement is None:
        return tag("span.badge.unsure", "nothing to agree with")
    mark, kind = AGREEMENT[row.agreement]
    return tag(f"span.badge.{kind}", tag("span.mark", mark, attributes={"aria-hidden": "true"}), row.agreement)


def published(effect: PublishedEffect) -> Markup:
    """The published direction with its margin, and how sure we are where that is less than verified."""
    words: list[Markup | str] = []
    match effect.kind:
        case "wins":
            winner, over = tag("em", effect.winner or ""), tag("em", effect.over or "")
            if effect.margin is not None:
                words = [tag("strong", margin_words(effect.margin)), " ", winner, " over ", over, f", {effect.measure}"]
            elif effect.over is not None:
                words = [winner, " over ", over, "; no number is known"]
            else:
                words = [winner, " wins; no number is known"]
        case "tie":
            words = [tag("strong", "tie" if effect.margin is None else f"tie, within {effect.margin:g}")]
        case _:
            words = [tag("strong", "no direction")]
    return join([*words, _unsure(effect.certainty)])


def anchor(finding_id: str) -> str:
    """Where a finding stands on the page."""
    return f"finding-{finding_id}"
