"""Verdicts: what each says, and that intervals never contradict them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw

from vlmlab.study.statistics.estimate import Components, Estimate
from vlmlab.study.statistics.verdicts import crossing, decide, exceeds, within


def found(value: float, error: float = 1.0, freedom: float = 30.0) -> Estimate:
    return Estimate(value, error, freedom, Components(error, 0.0, 0.0), 5, 4.0)


@pytest.mark.parametrize(
    ("value", "outcome"), [(3.0, "holds"), (-3.0, "reversed"), (1.0, "cannot tell"), (-1.0, "cannot tell")]
)
def test_exceeds(value: float, outcome: str) -> None:
    (decision,) = decide([exceeds("claim", found(value))])
    assert decision.outcome == outcome
    assert decision.interval == pytest.approx(found(value).interval(0.95))
    assert decision.interval == pytest.approx(decision.interval_alone)


def test_exceeds_by_more_than_something() -> None:
    """Reversed still means worse, not "better by less"."""
    outcomes = [decide([exceeds("claim", found(value), by=2.0)])[0].outcome for value in (5.0, 3.0, -1.0, -3.0)]
    assert outcomes == ["holds", "cannot tell", "cannot tell", "reversed"]


@pytest.mark.parametrize(
    ("value", "error", "outcome"),
    [(0.0, 1.0, "equivalent"), (0.0, 2.0, "cannot tell"), (1.5, 1.0, "cannot tell"), (6.0, 1.0, "reversed"),
     (-6.0, 1.0, "reversed"), (0.0, 0.0, "equivalent")],
)  # fmt: skip
def test_within(value: float, error: float, outcome: str) -> None:
    (decision,) = decide([within("claim", found(value, error), margin=3.0)])
    assert decision.outcome == outcome
    low, high = found(value, error).interval(0.9)
    assert (low > -3.0 and high < 3.0) == (outcome == "equivalent")
    assert decision.interval_alone == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [(3.0, 3.0, "holds"), (3.0, 1.0, "cannot tell"), (3.0, -3.0, "reversed"), (-3.0, -3.0, "reversed"),
     (0.0, 0.0, "cannot tell")],
)  # fmt: skip
def test_crossing(first: float, second: float, outcome: str) -> None:
    (decision,) = decide([crossing("claim", found(first), found(second))])
    assert decision.outcome == outcome
    assert decision.estimate.value == min(first, second)


def test_an_open_crossing_has_an_open_interval() -> None:
    """One of two effects must be below zero with half the error: 2.1 standard errors are not enough."""
    (decision,) = decide([crossing("claim", found(-2.1), found(3.0))])
    assert decision.outcome == "cannot tell"
    assert decision.interval[0] < 0 <= decision.interval[1]


def test_claims_share_the_error() -> None:
    """2.5 standard errors are enough for one claim and not for ten; after nine that hold they are enough again."""
    one = exceeds("weak", found(2.5))
    strong = [exceeds(f"strong {number}", found(9.0)) for number in range(9)]
    none = [exceeds(f"none {number}", found(0.1)) for number in range(9)]
    assert decide([one])[0].outcome == "holds"
    assert decide([one, *none])[0].outcome == "cannot tell"
    assert decide([one, *strong])[0].outcome == "holds"
    assert decide([one], level=0.001)[0].outcome == "cannot tell"


@settings(max_examples=60)
@given(draw.lists(draw.tuples(draw.floats(-6, 6), draw.floats(0.2, 3)), min_size=1, max_size=6))
def test_intervals_agree_with_verdicts(drawn: list[tuple[float, float]]) -> None:
    claims = [exceeds(f"claim {place}", found(*each)) for place, each in enumerate(drawn)]
    for decision in decide(claims):
        low, high = decision.interval
        assert low <= decision.estimate.value <= high
        match decision.outcome:
            case "holds":
                assert low >= 0 < decision.estimate.value
            case "reversed":
                assert high <= 0 > decision.estimate.value
            case _:
                assert low <= 0 <= high


@settings(max_examples=60)
@given(draw.lists(draw.tuples(draw.floats(-9, 9), draw.floats(0.2, 3)), min_size=1, max_size=6))
def test_intervals_agree_with_verdicts_on_margins(drawn: list[tuple[float, float]]) -> None:
    claims = [within(f"claim {place}", found(*each), margin=3.0) for place, each in enumerate(drawn)]
    for decision in decide(claims):
        low, high = decision.interval
        assert low <= decision.estimate.value <= high
        match decision.outcome:
            case "equivalent":
                assert -3.0 <= low <= high <= 3.0
            case "reversed":
                assert low >= 3.0 or high <= -3.0
            case _:
                assert low <= 3.0
                assert high >= -3.0


def test_ten_false_claims_are_found_in_one_study_of_twenty() -> None:
    """Normal estimates that share a baseline, as arms of a study do."""
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(1500):
        values = generator.normal(size=10) + generator.normal()
        claims = [exceeds(str(place), found(value, np.sqrt(2), 1e6)) for place, value in enumerate(values)]
        wrong += any(decision.outcome != "cannot tell" for decision in decide(claims))
    assert 0.015 < wrong / 1500 < 0.06


def test_ten_intervals_hold_the_truth_together() -> None:
    """As long as no end is drawn to zero by a decision; and the ends of a decided claim never pass the claim's own."""
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(1000):
        values = generator.normal(size=10)
        decided = decide([exceeds(str(place), found(value + 9, 1.0, 1e6)) for place, value in enumerate(values)])
        wrong += any(not low <= 9 <= high for low, high in (each.interval for each in decided))
    assert 0.02 < wrong / 1000 < 0.07
