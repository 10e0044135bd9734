"""Verdicts: what the estimate of a claim decides, once several claims share one error.

found = [contrast_claim("a over b", estimate(scores, {"a": 1, "b": -1}))]
decide(found, confidence=0.95)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vlmlab.study.statistics.estimate import Estimate
from vlmlab.study.statistics.multiplicity import holm, simultaneous_confidence

Outcome = Literal["holds", "reversed", "equivalent", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Test:
    """A claim as one-sided p-values; the smaller one, twice, is what enters Holm's method."""

    name: str
    estimates: tuple[Estimate, ...]
    """One, or two for an intersection-union."""
    p_holds: float
    """One-sided, of the null hypothesis that the claim is false."""
    p_reversed: float
    """One-sided, of the null hypothesis that the effect does not point the other way."""
    bound: float = 0.0
    """The claim says that the effect is above this."""
    kind: Literal["exceeds", "within"] = "exceeds"

    @property
    def p_value(self) -> float:
        """Two-sided. For equivalence the larger of two one-sided tests (TOST), which is the 90 % interval of the
        protocol at a level of 5 %."""
        if self.kind == "within":
            return min(1.0, self.p_holds, 2 * self.p_reversed)
        return min(1.0, 2 * self.p_holds, 2 * self.p_reversed)


@dataclass(frozen=True, slots=True)
class Decision:
    """A claim decided."""

    name: str
    outcome: Outcome
    estimate: Estimate
    """Of an intersection-union the smaller effect."""
    p_value: float
    p_adjusted: float
    interval: tuple[float, float]
    """Simultaneous over the study's claims, and never against the decision."""
    interval_alone: tuple[float, float]
    """At the study's confidence for this claim alone; 90 % for equivalence at 95 %."""


def exceeds(name: str, found: Estimate, *, by: float = 0.0) -> Test:
    """The effect is above `by`. Reversed: below zero."""
    return Test(name, (found,), p_holds=found.p_above(by), p_reversed=found.p_below(0.0), bound=by)


def within(name: str, found: Estimate, *, margin: float) -> Test:
    """The effect lies inside +-margin. Reversed: outside."""
    outside = min(found.p_above(margin), found.p_below(-margin))
    inside = max(found.p_above(-margin), found.p_below(margin))
    return Test(name, (found,), p_holds=inside, p_reversed=outside, bound=margin, kind="within")


def crossing(name: str, first: Estimate, second: Estimate) -> Test:
    """Both effects are above zero: an intersection-union test. Reversed: either is below."""
    return Test(
        name,
        (first, second),
        p_holds=max(first.p_above(), second.p_above()),
        p_reversed=min(1.0, 2 * min(first.p_below(), second.p_below())),
    )


def decide(tests: Sequence[Test], *, confidence: float = 0.95, level: float | None = None) -> list[Decision]:
    """Decide the claims of a study together: Holm's method, and simultaneous intervals.

    `level` is the error all claims share, 1 - confidence unless a look may only spend a part. The chance of any wrong
    decision is at most that. Intervals are Bonferroni's, which hold the truth together with the same chance; where
    Holm's method decides beyond them the bound is drawn to the claim's own, and that end rests on the decision. Both
    statements are true on their own; that both are right at once is less sure (90 % for one false claim among nine true
    ones). Two-sided intervals that have both do not exist for Holm's method, short of saying of every decided claim no
    more than its sign (Strassburger, Bretz 2008; Guilbaud 2008).
    """
    shared = 1 - confidence if level is None else level
    adjusted = holm({test.name: test.p_value for test in tests})
    return [
        _decision(test, p_adjusted=adjusted[test.name], level=shared, claims=len(tests), confidence=confidence)
        for test in tests
    ]


def _decision(test: Test, *, p_adjusted: float, level: float, claims: int, confidence: float) -> Decision:
    found = min(test.estimates, key=lambda each: each.value)
    outcome: Outcome = "cannot tell"
    if p_adjusted <= level:
        towards = test.p_holds <= test.p_reversed
        outcome = ("equivalent" if test.kind == "within" else "holds") if towards else "reversed"
    alone = confidence if test.kind == "exceeds" else 2 * confidence - 1
    together = simultaneous_confidence(1 - level, claims)
    low, high = found.interval(together if test.kind == "exceeds" else 2 * together - 1)
    match test.kind, outcome:
        case "exceeds", "holds":
            low = max(low, test.bound)
        case "exceeds", "reversed":
            high = min(high, 0.0)
        case "exceeds", _:
            low, high = min(low, test.bound), max(high, 0.0)
        case "within", "equivalent":
            low, high = max(low, -test.bound), min(high, test.bound)
        case "within", "reversed":
            low, high = (max(low, test.bound), high) if found.value > 0 else (low, min(high, -test.bound))
        case _:
            low, high = min(low, test.bound), max(high, -test.bound)
    return Decision(
        name=test.name,
        outcome=outcome,
        estimate=found,
        p_value=test.p_value,
        p_adjusted=p_adjusted,
        interval=(low, high),
        interval_alone=found.interval(alone),
    )
