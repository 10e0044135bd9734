"""The track record: how often verdicts of small studies agree with what was published, by kind of question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from vlmlab.records.findings import Agreement, TrackRow
from vlmlab.records.study import Verdict
from vlmlab.study.findings import FAMILIES, Direction, Finding, Open, Tie

FEW = 10
"""Decisions below which the page says that they are too few."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding with what the last verdicts about it say; null where nothing was measured."""

    finding: Finding
    agreement: Agreement | None


def agreement_of(
    direction: Direction, verdict: Verdict, *, claim: str, adjusted_p: float | None, level: float
) -> Agreement | None:
    """What one verdict says about a published direction; null where nothing competes.

    `claim` is the claim's kind. A claim states what the paper states, or a part of it: that it holds agrees, that it is
    reversed or that its arms are equivalent disagrees. Equivalence is what a claim of kind `within` states, and what
    any claim about a tie is held against. A decision that does not survive the correction over the page is none;
    "equivalent" about another kind of claim has no p-value of its own and stays as the study corrected it.
    """
    if isinstance(direction, Open):
        return None
    if verdict == "not measurable":
        return "not measurable"
    is_within = claim == "within"
    rests_on_p = verdict in ("holds", "reversed") or is_within
    if rests_on_p and adjusted_p is not None and adjusted_p > level:
        return "cannot tell"
    equal = verdict == "equivalent" or (is_within and verdict == "holds")
    match verdict:
        case "holds" | "reversed" | "equivalent" if isinstance(direction, Tie) or is_within:
            return "agrees" if equal else "disagrees"
        case "holds":
            return "agrees"
        case "reversed" | "equivalent":
            return "disagrees"
        case _:
            return "cannot tell"


def together(agreements: Sequence[Agreement]) -> Agreement | None:
    """Several claims about one finding as one: it agrees only where all of them do, and one disagreement decides."""
    words: tuple[Agreement, ...] = ("disagrees", "cannot tell", "not measurable", "agrees")
    return next((word for word in words if word in agreements), None)


def track_record(judged: Sequence[Judged], *, confidence: float = 0.95) -> list[TrackRow]:
    """One row for all findings, then one a family in the order of the list of families.

    "Cannot tell" and "not measurable" are shown and count neither way.
    """
    rows = [_row(None, judged, confidence=confidence)]
    for family in FAMILIES:
        of_family = [each for each in judged if each.finding.entry.family == family]
        if of_family:
            rows.append(_row(family, of_family, confidence=confidence))
    return rows


def wilson(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share: it stays inside 0 and 1 and holds its level at small numbers.

    >>> wilson(7, 10)
    (0.3968, 0.8922)
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def _row(family: str | None, judged: Sequence[Judged], *, confidence: float) -> TrackRow:
    found = [each.agreement for each in judged]
    agrees, disagrees = found.count("agrees"), found.count("disagrees")
    decided = agrees + disagrees
    interval = wilson(agrees, decided, confidence=confidence) if decided else None
    kind = None if family is None else next(kind for name, kind in FAMILIES.items() if name == family)
    return TrackRow(
        family=family,
        findings=len(judged),
        agrees=agrees,
        disagrees=disagrees,
        cannot_tell=found.count("cannot tell"),
        not_measurable=found.count("not measurable"),
        share=agrees / decided if decided else None,
        interval=interval,
        few=0 < decided < FEW,
        words=_words(agrees, decided, interval, confidence=confidence),
        question="" if kind is None else kind.question,
        small="" if kind is None else kind.small,
    )


def _words(agrees: int, decided: int, interval: tuple[float, float] | None, *, confidence: float) -> str:
    if interval is None:
        return "Nothing decided yet."
    words = (
        f"{agrees} of {decided} agree: {100 * agrees / decided:.0f} %, "
        f"{100 * confidence:.0f} % interval {100 * interval[0]:.0f} to {100 * interval[1]:.0f} %."
    )
    return words if decided >= FEW else f"{words} Too few to judge by: {decided} decided."
