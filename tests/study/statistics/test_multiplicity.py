"""Corrections against their definitions."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as draw
from scipy import stats

from vlmlab.study.statistics.false_discovery import benjamini_yekutieli
from vlmlab.study.statistics.multiplicity import (
    holm,
    level_of_look,
    simultaneous_confidence,
    spent,
)

P_VALUES = draw.lists(draw.floats(0, 1), min_size=1, max_size=6)


@given(P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(values: list[float]) -> None:
    """Adjusted: the largest Bonferroni p-value of any set of hypotheses that contains it (Marcus, Peritz, Gabriel)."""
    names = {f"claim {place}": value for place, value in enumerate(values)}
    sets = [some for size in range(1, len(values) + 1) for some in combinations(names, size)]
    for name, adjusted in holm(names).items():
        closed = max(min(1.0, len(some) * min(names[each] for each in some)) for some in sets if name in some)
        assert adjusted == pytest.approx(closed)


def test_holm_on_the_example_of_every_textbook() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )


@given(P_VALUES)
def test_benjamini_yekutieli_by_its_definition(values: list[float]) -> None:
    count = len(values)
    harmonic = sum(1 / rank for rank in range(1, count + 1))
    ordered = sorted(values)
    for value, adjusted in zip(values, benjamini_yekutieli(values), strict=True):
        rank = max(place for place, each in enumerate(ordered) if each == value)
        expected = min(1.0, *(ordered[place] * count * harmonic / (place + 1) for place in range(rank, count)), 1.0)
        assert adjusted == pytest.approx(expected)
    assert benjamini_yekutieli([]) == []


def test_spending_is_that_of_lan_and_demets() -> None:
    """Published values of the O'Brien-Fleming-like function at 0.05."""
    for share, published in ((0.25, 0.00009), (0.5, 0.00557), (0.75, 0.02363), (1.0, 0.05)):
        assert spent(0.05, share) == pytest.approx(published, abs=1e-5)
    assert spent(0.05, 0.0) == 0.0
    assert spent(0.05, 1.3) == pytest.approx(0.05)


def test_looks_share_the_error() -> None:
    assert sum(level_of_look(0.05, look, 4) for look in (1, 2, 3, 4)) == pytest.approx(0.05)
    assert level_of_look(0.05, 1, 1) == pytest.approx(0.05)
    # The last of two equal looks by Lan and DeMets' exact boundary: 1.969; adding up errors is never sharper.
    assert level_of_look(0.05, 2, 2) <= 2 * stats.norm.sf(1.969)


def test_simultaneous_confidence() -> None:
    assert simultaneous_confidence(0.95, 1) == pytest.approx(0.95)
    assert simultaneous_confidence(0.95, 10) == pytest.approx(0.995)
