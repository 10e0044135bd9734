"""Findings in the terminal: the listing, and one finding in full."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.table import Table
from rich.text import Text

from vlmlab.records.findings import FindingRow, FindingsRecord, MeasuredEffect, PublishedEffect
from vlmlab.report import numbers
from vlmlab.wording import seconds_words, table

WIDTH = 100
WIDE = 110
STYLES = {"agrees": "green", "disagrees": "red", "cannot tell": "yellow", "not measurable": "yellow"}


def findings_outcome(record: FindingsRecord) -> str:
    """The first sentence of the page and of the listing."""
    total = record.track[0]
    measured = total.agrees + total.disagrees + total.cannot_tell + total.not_measurable
    if not measured:
        return f"None of {total.findings} findings has a verdict from a small study yet."
    parts = [
        f"{number} {words}"
        for number, words in (
            (total.agrees, "agree with what was published" if total.agrees != 1 else "agrees with what was published"),
            (total.disagrees, "disagree" if total.disagrees != 1 else "disagrees"),
            (total.cannot_tell, "cannot be told yet"),
            (total.not_measurable, "could not be measured"),
        )
        if number
    ]
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    verb = "has a verdict" if measured == 1 else "have a verdict"
    return f"{measured} of {total.findings} findings {verb} from a small study: {listed}."


def listing_notes(record: FindingsRecord) -> list[str]:
    """What the marks of the listing mean, where it has them."""
    starred = any(row.missing and row.testable != "no" for row in record.rows)
    notes = ["* needs something that recipes cannot say yet; `vlmlab findings ID` says what"] if starred else []
    return notes if record.rows else ["no finding fits these filters"]


def findings_table(rows: Sequence[FindingRow], *, width: int) -> Table:
    """A line a finding, by paper. The statement takes what is left; below 110 columns it needs the room of others."""
    listing = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), expand=True)
    is_wide = width >= WIDE
    tested = any(row.study or row.measured for row in rows)
    listing.add_column("id", no_wrap=True)
    listing.add_column("what was found", no_wrap=True, overflow="ellipsis", ratio=1)
    if is_wide:
        listing.add_column("family", no_wrap=True, style="dim")
    listing.add_column("small", no_wrap=True)
    if tested and is_wide:
        listing.add_column("study", no_wrap=True)
    if tested:
        listing.add_column("last verdict", no_wrap=True)
    if tested and is_wide:
        listing.add_column("CPU", no_wrap=True, justify="right")
    for _, group in groupby(rows, key=lambda row: row.paper):
        for row in group:
            cells: list[str | Text] = [row.id, Text(row.statement)]
            cells += [row.family] if is_wide else []
            cells += [testable_words(row)]
            cells += [_study_name(row)] if tested and is_wide else []
            cells += [_verdict(row)] if tested else []
            cells += [_cost(row)] if tested and is_wide else []
            listing.add_row(*cells)
        listing.add_section()
    return listing


def testable_words(row: FindingRow) -> str:
    """`yes`, `partly` or `no`, with a star where recipes lack what the arms need."""
    return row.testable + ("*" if row.missing and row.testable != "no" else "")


def _study_name(row: FindingRow) -> str:
    names = [effect.study for effect in row.measured] or ([] if row.study is None else [_stem(row.study)])
    return ", ".join(dict.fromkeys(names))


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].removesuffix(".yaml")


def _verdict(row: FindingRow) -> Text:
    if row.agreement is not None:
        return Text(row.agreement, style=STYLES[row.agreement])
    if not row.measured:
        return Text("not run" if row.study is not None else "", style="dim")
    return Text(", ".join(dict.fromkeys(effect.verdict for effect in row.measured)))


def _cost(row: FindingRow) -> str:
    return "" if row.cpu_seconds is None else seconds_words(row.cpu_seconds)


def finding_text(row: FindingRow) -> str:
    """Everything about one finding: published numbers with their certainty, conflicts, test and evidence."""
    lines = [
        f"{row.id}  {row.paper}, {row.source} ({row.certainty})  {row.family}",
        _wrapped(row.statement),
        "",
        _wrapped(f"published: {published_words(row.published)}", hang=4),
        _wrapped(f"measure: {row.measure}{_unless(row.measure_certainty, row.certainty)}", hang=4),
        *_scores(row),
        "",
    ]
    if row.fields:
        lines.append(_wrapped(f"differs in: {', '.join(row.fields)}", hang=4))
    if row.missing:
        lines.append(_wrapped(f"recipes lack: {', '.join(row.missing)}", hang=4))
    lines.append(_wrapped(f"small study: {row.testable}. {row.how}", hang=4))
    if row.study is not None:
        lines.append(f"  study: {row.study}   (vlmlab findings run {row.id})")
    lines += [f"  recipe of {arm}: {recipe}" for arm, recipe in row.recipes.items()]
    if row.conflicts:
        lines.append(f"  disagrees with: {', '.join(row.conflicts)}")
    for effect in row.measured:
        lines += ["", *_measured(effect)]
    if row.agreement is not None:
        lines.append(f"  last verdict: {row.agreement}")
    elif not row.measured:
        lines.append("  no verdict yet")
    return "\n".join(lines)


def published_words(effect: PublishedEffect) -> str:
    """The direction with its margin.

    `transformer over no head: +3.1 attentive (memory). MLP +2.8 over no head; …`
    """
    match effect.kind:
        case "wins":
            head = f"{effect.winner} over {effect.over}" if effect.over is not None else f"{effect.winner} wins"
            number = "" if effect.margin is None else f": {margin_words(effect.margin)} {effect.measure}"
        case "tie":
            head = "tie"
            number = "" if effect.margin is None else f", within {effect.margin:g}"
        case _:
            head, number = "no direction", ""
    return f"{head}{number}{_unless(effect.certainty, 'verified')}. {effect.words}"


def margin_words(margin: float) -> str:
    """A published margin with its sign and the decimals that it has.

    >>> margin_words(0.85), margin_words(16.0)
    ('+0.85', '+16.0')
    """
    return f"{margin:+.2f}".removesuffix("0").replace("-", numbers.MINUS)


def _unless(certainty: str, expected: str) -> str:
    return "" if certainty == expected else f" ({certainty})"


def _scores(row: FindingRow) -> list[str]:
    arms = row.published.arms
    measures = list(dict.fromkeys(measure for arm in arms for measure in arm.scores))
    if not measures:
        return [_wrapped(f"arms: {'; '.join(arm.name for arm in arms)}", hang=4)]
    head = ["arm", *measures, ""]
    cells = [
        [
            arm.name,
            *(score_words(arm.scores.get(measure)) for measure in measures),
            "" if arm.certainty == row.certainty else arm.certainty,
        ]
        for arm in arms
    ]
    return ["", table([head, *cells], indent=4)]


def score_words(score: float | str | None) -> str:
    """A published score as it was published: text stays text, a learning rate is short, nothing is a dash.

    >>> score_words(70.0), score_words(6e-05), score_words(None)
    ('70.0', '6e-5', '–')
    """
    match score:
        case None:
            return "–"
        case str():
            return score.replace("-", numbers.MINUS)
        case _ if 0 < abs(score) < 0.1:
            return numbers.setting(score)
        case _:
            return f"{score:.2f}".removesuffix("0").replace("-", numbers.MINUS)


def effect_words(value: float, unit: str) -> str:
    """A measured effect with its sign: points with one decimal, nats with three."""
    return numbers.gain(value) if unit == "points" else f"{value:+.3f}".replace("-", numbers.MINUS)


def effect_interval(effect: MeasuredEffect) -> str | None:
    """Its interval, or null."""
    if effect.interval is None:
        return None
    low, high = (effect_words(bound, effect.unit) for bound in effect.interval)
    return f"{low} to {high}"


def _measured(effect: MeasuredEffect) -> list[str]:
    value = "" if effect.estimate is None else f" {effect_words(effect.estimate, effect.unit)} {effect.unit}"
    interval = effect_interval(effect)
    origin = "came with vlmlab" if effect.shipped else "measured here"
    lines = [
        _wrapped(f"measured by {effect.study} ({origin}, {effect.origin}): {effect.claim}", hang=4),
        f"    {effect.verdict}{f':{value}' if value else ''}{f' ({interval})' if interval else ''}, {effect.measure}, "
        f"{effect.replicates} replicates",
    ]
    if effect.p is not None and effect.adjusted_p is not None:
        lines.append(f"    p {p_words(effect.p)}, corrected over all findings {p_words(effect.adjusted_p)}")
    return lines + [f"    {note}" for note in effect.notes]


def p_words(value: float) -> str:
    """A p-value with three decimals.

    >>> p_words(0.0004), p_words(0.03)
    ('< 0.001', '0.03')
    """
    return "< 0.001" if value < 0.001 else f"{value:.3f}".rstrip("0").removesuffix(".")


def _wrapped(text: str, *, hang: int = 2) -> str:
    return textwrap.fill(
        text, width=WIDTH, initial_indent="  ", subsequent_indent=" " * hang, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
