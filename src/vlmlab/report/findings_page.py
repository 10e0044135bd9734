"""The findings page: what papers published beside what small studies measured, drawn from its record alone."""

from __future__ import annotations

from vlmlab.records.findings import FindingRow, FindingsRecord, MeasuredEffect, TrackRow
from vlmlab.report import numbers
from vlmlab.report.findings_catalogue import AGREEMENT, anchor, badge, catalogue_section, conflict_section, published
from vlmlab.report.findings_figures import effect_axis, effect_strip, effect_ticks, share_strip, tally_bar
from vlmlab.report.findings_words import (
    effect_interval,
    effect_words,
    findings_outcome,
    p_words,
)
from vlmlab.report.frame import framed
from vlmlab.report.markup import Markup, join, tag

NO_BREAK_HYPHEN = "\u2011"


def findings_page(record: FindingsRecord) -> str:
    """The whole page as text. The same record gives the same bytes; the page fetches nothing and runs no script."""
    sections = [
        ("measured", "Published and measured", _measured_section(record)),
        ("record", "Track record", _track_section(record)),
        ("conflicts", "Where papers disagree", conflict_section(record.rows)),
        ("catalogue", "Every finding", catalogue_section(record.rows)),
        ("reading", "How to read this page", _reading_section(record)),
    ]
    links = [tag("a", title, attributes={"href": f"#{name}"}) for name, title, _ in sections]
    body = tag(
        "body",
        tag("a.skip", "Skip to the findings that were measured", attributes={"href": "#measured"}),
        _header(record),
        tag("nav", *links, attributes={"aria-label": "Sections"}),
        tag("main", *(_section(*section) for section in sections)),
        tag("footer", f"Drawn by vlmlab {record.vlmlab} from the catalogue in findings/ and from records of studies."),
    )
    return framed("Findings · vlmlab", body, styles=("findings.css",))


def _header(record: FindingsRecord) -> Markup:
    papers = list(dict.fromkeys(row.paper for row in record.rows))
    testable = sum(row.testable != "no" for row in record.rows)
    now = sum(row.testable != "no" and not row.missing for row in record.rows)
    facts = [
        f"{len(record.rows)} findings of {len(papers)} papers",
        f"{testable} that a small study can test, fully or partly",
        f"{now} of them with today's recipes",
    ]
    return tag(
        "header",
        tag("p.kind", "vlmlab findings"),
        tag("h1", "Findings"),
        tag(
            "p.about",
            "Published claims about vision-language models, and what studies of a few CPU minutes an arm say.",
        ),
        tag("p.outcome", findings_outcome(record)),
        tag("p.facts-line", join([tag("span", fact) for fact in facts], between=" ")),
    )


def _section(name: str, title: str, content: Markup) -> Markup:
    heading = tag("h2", title, attributes={"id": f"{name}-title"})
    return tag("section", heading, content, attributes={"id": name, "aria-labelledby": f"{name}-title"})


def _track_section(record: FindingsRecord) -> Markup:
    total, *families = record.track
    lead = tag(
        "p",
        "How often the verdict of a small study has the direction that was published. "
        "Only decisions count; verdicts that cannot tell and questions that could not be measured stand beside them. "
        + total.words,
    )
    keys = (tag("span", tag(f"span.key.square.{word.replace(' ', '-')}"), word) for word in AGREEMENT)
    legend = tag(
        "p.legend",
        *keys,
        tag("span", tag("span.key.bar"), f"{numbers.share(record.confidence)} interval of the share that agrees"),
    )
    measured = [row for row in families if _counted(row)]
    others = [row for row in families if not _counted(row)]
    parts = [lead, legend, tag("div.track", *(_track_row(row) for row in (total, *measured)))]
    if others:
        parts += [tag("h3", "Kinds of questions without a verdict yet"), tag("div.unasked", *map(_unasked, others))]
    return join(parts)


def _counted(row: TrackRow) -> int:
    return row.agrees + row.disagrees + row.cannot_tell + row.not_measurable


def _unasked(row: TrackRow) -> Markup:
    return tag("article.family", *_kind(row, f"{row.findings} findings"))


def _kind(row: TrackRow, number: str) -> list[Markup]:
    parts = [tag("h3", row.family or "all families", " ", tag("span.metric", number))]
    if row.question:
        parts += [
            tag("p.question", row.question),
            tag("p.small", tag("span.quiet", "What a small study can say: "), row.small),
        ]
    return parts


def _track_row(row: TrackRow) -> Markup:
    tally = [row.agrees, row.disagrees, row.cannot_tell, row.not_measurable]
    decided, measured = row.agrees + row.disagrees, _counted(row)
    parts: list[Markup] = []
    if measured:
        parts.append(tally_bar(tally, title=f"{row.family or 'all families'}: {row.words}"))
    if row.share is not None:
        parts += [
            share_strip(row.share, row.interval, title=row.words),
            tag(
                "p.numbers",
                tag("strong", f"{row.agrees} of {decided}"),
                " agree",
                tag("span.interval", _percent(row.interval)),
                tag("span.interval", "too few to judge") if row.few else None,
            ),
        ]
    else:
        parts.append(tag("p.numbers.quiet", "nothing decided" if measured else "no verdict yet"))
    return tag(
        "article.family.total" if row.family is None else "article.family",
        tag("div.what", *_kind(row, f"{measured} of {row.findings} measured")),
        tag("div.tally", *parts),
    )


def _percent(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f} %"


def _measured_section(record: FindingsRecord) -> Markup:
    rows = [row for row in record.rows if row.measured]
    if not rows:
        words = "No study has been run. `vlmlab findings run ID` runs the study of a finding that names one."
        return tag("p", words)
    axis = effect_axis(rows)
    lead = tag(
        "p",
        "Above what the paper reports, below what the study measured, both in points in the direction of the claim. "
        "They are different measures on different models: compare the side of zero, not the length.",
    )
    legend = tag(
        "p.legend",
        tag("span", tag("span.key.blank"), "published (a band for a tie)"),
        tag("span", tag("span.key.score"), "measured"),
        tag("span", tag("span.key.bar"), "interval, seeds and items together"),
    )
    cards = [_measured_card(row, axis_row=effect_strip(row, axis)) for row in rows]
    return join([lead, legend, tag("div.effects", tag("div.effect-axis", effect_ticks(axis)), *cards)])


def _measured_card(row: FindingRow, *, axis_row: Markup) -> Markup:
    return tag(
        "article.effect",
        tag(
            "div.claim",
            tag("h3", tag("a", row.id, attributes={"href": f"#{anchor(row.id)}"}), " ", badge(row)),
            tag("p", row.statement),
            tag("p.tag", f"{row.paper}, {row.source} · {row.family}"),
        ),
        tag("div.plot", axis_row),
        tag(
            "dl.pair",
            tag("dt", "Published"),
            tag("dd", published(row.published), tag("span.detail", row.measure)),
            *(part for effect in row.measured for part in _measured(effect)),
        ),
    )


def _measured(effect: MeasuredEffect) -> list[Markup]:
    title = tag("dt", "Measured", tag("span.quiet", f" · {effect.study}"))
    value = "" if effect.estimate is None else f"{effect_words(effect.estimate, effect.unit)} "
    interval = effect_interval(effect)
    facts = [
        effect.measure if effect.unit == "points" else f"{effect.measure}, {effect.unit}",
        f"{effect.replicates} replicates",
        None
        if effect.p is None or effect.adjusted_p is None
        else f"p {p_words(effect.p)}, over the page {p_words(effect.adjusted_p)}",
        *effect.notes,
        "came with vlmlab" if effect.shipped else "measured here",
        effect.finished[:10].replace("-", NO_BREAK_HYPHEN),
    ]
    return [
        title,
        tag(
            "dd",
            tag("strong", value),
            f"({interval}) " if interval else None,
            tag("span.word", effect.verdict),
            tag("span.detail", effect.claim),
            tag("span.detail", " · ".join(fact for fact in facts if fact)),
        ),
    ]


def _reading_section(record: FindingsRecord) -> Markup:
    rows = [
        ("agrees", "the study's claim holds as the paper states it, or is equivalent where the paper reports a tie"),
        ("disagrees", "the claim is reversed, or the arms are equivalent where the paper reports a difference"),
        ("cannot tell", "the interval decides nothing, or does so no longer after the correction over this page"),
        ("not measurable", "the study's own gates failed: its base arm was too weak or too strong to show the effect"),
        (
            "verified",
            "read in the paper, in its authors' code or card, or checked by executing; not marked on this page",
        ),
        ("secondary", "third-party notes; the paper's own text was not read"),
        ("memory", "recalled or inferred: confirm before quoting"),
    ]
    corrected = (
        f"A study corrects for its own claims. This page corrects again for all {record.corrected} of its claims "
        f"(Benjamini-Yekutieli at {record.level:g}), and agreement is counted after that."
    )
    again = "vlmlab findings report"
    return join(
        [
            tag("dl.reading", *(part for word, words in rows for part in (tag("dt", word), tag("dd", words)))),
            tag("p", corrected if record.corrected else "A study corrects for its own claims."),
            tag(
                "p",
                "The page is made by ",
                tag("code", again),
                "; a finding's study runs with ",
                tag("code", "vlmlab findings run ID"),
                ".",
            ),
        ]
    )
