"""Sections of a study's page: the claims as a forest plot, and how to read verdicts and intervals."""

from __future__ import annotations

from collections.abc import Sequence

from vlmlab.records.study import ClaimRecord, StudyRecord, Verdict
from vlmlab.report import numbers
from vlmlab.report.figures import Axis
from vlmlab.report.findings_words import effect_words, p_words
from vlmlab.report.markup import Markup, join, tag
from vlmlab.report.study_figures import ForestLine, claim_strip, forest_axis, part_strip, ticks, verdict_icon
from vlmlab.report.study_record import CONDITIONAL, claims_by_unit, conditional
from vlmlab.report.study_words import (
    KINDS,
    VERDICTS,
    estimate_words,
    interval_meaning,
    interval_words,
    meaning,
    needed_words,
)

KIND_WORDS = {
    "exceeds": "one arm better than another",
    "within": "two arms equivalent",
    "rises": "a trend along ordered arms",
    "exceeds_effect": "one effect larger than another",
    "crossing": "one choice wins here, another there",
}


def ruling(verdict: Verdict) -> Markup:
    """The verdict as a small picture and its word."""
    return tag(f"span.ruling.{KINDS[verdict]}", verdict_icon(verdict), tag("span", verdict))


def claims_section(record: StudyRecord) -> Markup:
    """A row a claim: its sentence and reason, its interval against zero, its figures."""
    if not record.claims:
        return tag("p", "The study puts no claim to the test; its arms are compared by eye, below.")
    groups = []
    for unit, claims in claims_by_unit(record).items():
        axis = forest_axis(claims)
        groups.append(
            tag(
                "div.forest",
                tag("div.forest-axis", tag("div", ticks(axis, signed=True), _direction(claims, unit))),
                *(_claim(claim, axis, record) for claim in claims),
            )
        )
    return join([tag("p", interval_meaning(record)), _multiplicity(record), _legend(record.claims), *groups])


def _multiplicity(record: StudyRecord) -> Markup | None:
    if len(record.claims) < 2:
        return None
    words = (
        f"{len(record.claims)} claims are as many chances to be wrong, so they share one error of "
        f"{percent_words(1 - record.confidence)}: thin lines are the simultaneous intervals that follow, which agree "
        "with the verdicts; thick ones are those of each claim alone."
    )
    return tag("p", words)


def _legend(claims: Sequence[ClaimRecord]) -> Markup:
    margin = any(claim.margin is not None for claim in claims)
    declared = any(claim.margin is None for claim in claims)
    return tag(
        "p.legend",
        tag("span", tag("span.key.estimate"), "estimate"),
        tag("span", tag("span.key.bar.thick"), "interval, this claim alone") if len(claims) > 1 else None,
        tag("span", tag("span.key.bar.thin"), "simultaneous interval" if len(claims) > 1 else "interval"),
        tag("span", tag("span.key.triangle"), "effect declared beforehand") if declared else None,
        tag("span", tag("span.key.square.tolerance"), "margin of equivalence") if margin else None,
    )


def percent_words(share: float) -> str:
    """A share that was chosen and not measured: `5 %`."""
    return f"{100 * share:.3g} %"


def _direction(claims: Sequence[ClaimRecord], unit: str) -> Markup:
    if all(claim.kind == "within" for claim in claims):
        return tag("p.direction", tag("span", f"difference in {unit}"))
    return tag("p.direction", tag("span", "← against the claim"), tag("span", unit), tag("span", "for it →"))


def _claim(claim: ClaimRecord, axis: Axis, record: StudyRecord) -> Markup:
    single = claim.interval == claim.interval_alone or len(record.claims) == 1
    held = claim.conditional or conditional(record)
    declared = effect_words(claim.effect, claim.unit)
    facts = [
        f"declared {declared}" if claim.margin is None else f"margin ±{effect_words(claim.margin, claim.unit)[1:]}",
        None if claim.power is None else f"power {numbers.share(claim.power)}",
        f"{claim.replicates} replicates",
        None if claim.finding is None else f"finding {claim.finding}",
    ]
    needed = needed_words(claim)
    figures = tag(
        "div.figures",
        tag("p.effect", tag("strong", estimate_words(claim))),
        tag(
            "p",
            tag("span.quiet", "interval " if single else "simultaneous "),
            interval_words(claim.interval, claim.unit),
        )
        if claim.interval is not None
        else None,
        tag("p", tag("span.quiet", "alone "), interval_words(claim.interval_alone, claim.unit))
        if claim.interval_alone is not None and not single
        else None,
        tag("p.quiet", " · ".join(fact for fact in facts if fact)),
        _details(claim),
    )
    text = tag(
        "div.claim-text",
        tag("p.ruled", ruling(claim.verdict), tag("span.conditional", CONDITIONAL) if held else None),
        tag("h3", claim.words),
        tag("p.because", claim.because),
        tag("p.because", f"{needed}.") if needed else None,
        tag("p.tag", f"{claim.name} · {claim.measure} · {KIND_WORDS.get(claim.kind, claim.kind)}"),
    )
    plot = tag("div.plot", claim_strip(claim, axis))
    return tag("article.claim", text, plot, figures, *(_part(claim, line, axis) for line in _parts(claim)))


def _parts(claim: ClaimRecord) -> list[ForestLine]:
    lines = [ForestLine(part.words, part.estimate, part.interval) for part in claim.parts if len(claim.parts) > 1]
    if claim.common is not None:
        words = claim.common.words or "at the common learning rate"
        lines.append(ForestLine(words, claim.common.estimate, claim.common.interval, kind="common"))
    return lines


def _part(claim: ClaimRecord, line: ForestLine, axis: Axis) -> Markup:
    return tag(
        "div.part",
        tag("p", line.words),
        tag("div.plot", part_strip(claim, line, axis)),
        tag(
            "p.part-figures",
            f"{effect_words(line.estimate, claim.unit)} ",
            tag("span.quiet", interval_words(line.interval, claim.unit)),
        ),
    )


def _details(claim: ClaimRecord) -> Markup | None:
    rows: list[tuple[str, str]] = []
    if claim.p_value is not None:
        rows.append(("p, this claim alone", p_words(claim.p_value)))
    if claim.p_adjusted is not None:
        rows.append(("p, all claims of the study", p_words(claim.p_adjusted)))
    if claim.standard_error is not None:
        rows.append(("standard error", f"{claim.standard_error:.3g}"))
    if claim.degrees_of_freedom is not None:
        rows.append(("degrees of freedom", f"{claim.degrees_of_freedom:.3g}"))
    if claim.components is not None:
        sources = claim.components
        words = f"seeds {sources.seed:.3g}, items {sources.item:.3g}, rest {sources.residual:.3g}"
        rows.append(("standard deviation by source", words))
    if claim.bootstrap is not None:
        rows.append(("crossed bootstrap", interval_words(claim.bootstrap, claim.unit)))
    if not rows:
        return None
    pairs = (part for name, value in rows for part in (tag("dt", name), tag("dd", value)))
    return tag("details", tag("summary", "figures"), tag("dl.entry", *pairs))


def reading_section(record: StudyRecord) -> Markup:
    """Every verdict explained, and what intervals include."""
    verdicts = (
        part
        for verdict in VERDICTS
        for part in (
            tag("dt", ruling(verdict)),
            tag("dd", meaning(verdict, confidence=record.confidence)),
        )
    )
    terms = (
        ("replicate", "One repetition of everything from scratch: initialisation, data order and pre-trained parts."),
        ("interval", interval_meaning(record)),
        (
            "simultaneous",
            f"All of the study's claims together are wrong no more often than {percent_words(1 - record.confidence)} "
            "of the time; intervals and p-values are widened for that (Holm's method).",
        ),
        (
            "declared effect",
            "The difference that was said to matter before anything ran. Power and needed replicates are computed for "
            "it and never for the effect that was seen.",
        ),
        ("blank control", "The same questions with the query's image replaced by plain grey: what guessing reaches."),
        ("oracle", "A reader that is given what the pixels show: what anybody could reach at this resolution."),
    )
    return join(
        [
            tag("dl.reading", *verdicts),
            tag("dl.reading", *(part for name, words in terms for part in (tag("dt", name), tag("dd", words)))),
        ]
    )
