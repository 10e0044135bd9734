"""Power against simulated t-tests, and the searches against power."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from vlmlab.errors import StudyError
from vlmlab.study.statistics.estimate import Components, estimate
from vlmlab.study.statistics.pooling import pooled_noise
from vlmlab.study.statistics.power import (
    Noise,
    equivalence_power,
    minimal_detectable_effect,
    power,
    replicates_needed,
    scaled,
)
from vlmlab.study.statistics.scores import Scores

SEEDS = Noise(Components(seed=3.0, item=0.0, residual=0.0), inf)


@pytest.mark.parametrize("replicates", [3, 5, 10])
def test_power_is_that_of_a_t_test(replicates: int) -> None:
    draws = np.random.default_rng(replicates).normal(4.0, 3.0, (20_000, replicates))
    found = stats.ttest_1samp(draws, 0.0, axis=1)
    observed = np.mean((found.pvalue <= 0.05) & (found.statistic > 0))
    assert power(4.0, SEEDS, replicates=replicates) == pytest.approx(observed, abs=0.012)


def test_power_of_items_alone_is_the_normal_one_and_replicates_do_not_help() -> None:
    items = Noise(Components(seed=0.0, item=2.0, residual=0.0), inf)
    expected = stats.norm.sf(stats.norm.isf(0.025) - 5 / 2)
    assert power(5.0, items, replicates=3) == pytest.approx(expected, abs=1e-6)
    assert power(5.0, items, replicates=300) == pytest.approx(expected, abs=1e-6)
    assert replicates_needed(5.0, items) is None
    assert replicates_needed(6.0, items) is not None


def test_searches_invert_power() -> None:
    noise = Noise(Components(seed=3.0, item=1.0, residual=1.0), inf)
    effect = minimal_detectable_effect(noise, replicates=5)
    assert power(effect, noise, replicates=5) == pytest.approx(0.8, abs=1e-6)
    needed = replicates_needed(4.0, noise)
    assert needed is not None
    assert power(4.0, noise, replicates=needed) >= 0.8 > power(4.0, noise, replicates=needed - 1)
    equal = replicates_needed(5.0, noise, kind="equivalence")
    assert equal is not None
    reached = [equivalence_power(5.0, noise, replicates=count) for count in (equal - 1, equal)]
    assert reached[0] < 0.8 <= reached[1]


def test_equivalence_power_is_that_of_two_one_sided_tests() -> None:
    draws = np.random.default_rng(8).normal(0.0, 3.0, (20_000, 10))
    error = draws.std(axis=1, ddof=1) / sqrt(10)
    half = stats.t.isf(0.05, 9) * error
    observed = np.mean((draws.mean(axis=1) + half < 3.0) & (draws.mean(axis=1) - half > -3.0))
    assert equivalence_power(3.0, SEEDS, replicates=10) == pytest.approx(observed, abs=0.05)


def test_the_cautious_variance_is_an_upper_bound_in_four_of_five_cases() -> None:
    generator = np.random.default_rng(9)
    measured = 9.0 * generator.chisquare(4, 4000) / 4
    raised = [Noise(Components(sqrt(each), 0.0, 0.0), 4.0).cautious().components.seed ** 2 for each in measured]
    assert np.mean(np.array(raised) >= 9.0) == pytest.approx(0.8, abs=0.02)
    assert SEEDS.cautious() is SEEDS


def test_pooled_noise_is_the_analysis_of_variance_of_arm_by_replicate() -> None:
    """Seeds alone: the interaction mean square, whatever replicates have in common."""
    generator = np.random.default_rng(10)
    values = generator.normal(0, 2, (4, 6)) + generator.normal(0, 50, 6)
    scores = Scores(np.full(3, 1 / 3), {f"arm {a}": {r: np.full(3, values[a, r]) for r in range(6)} for a in range(4)})
    noise = pooled_noise(scores)
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    assert noise.components.seed**2 == pytest.approx((rest**2).sum() / 15)
    assert noise.degrees_of_freedom == 15
    apart = pooled_noise(scores, pairing="independent")
    assert apart.components.seed**2 == pytest.approx(values.var(axis=1, ddof=1).mean())
    assert (apart.degrees_of_freedom, apart.arms) == (20, 2)


def test_pooled_noise_of_two_arms_is_that_of_their_difference() -> None:
    generator = np.random.default_rng(11)
    scores = Scores(
        np.full(8, 1 / 8),
        {arm: dict(enumerate(generator.normal(0, 2, (5, 1)) + generator.normal(0, 3, (5, 8)))) for arm in "ab"},
    )
    found = estimate(scores, {"a": 1.0, "b": -1.0})
    noise = scaled(pooled_noise(scores), sqrt(2))
    assert noise.components == pytest.approx(found.components)
    assert noise.degrees_of_freedom == found.seed_degrees_of_freedom
    with pytest.raises(StudyError, match="needs two arms; found a"):
        pooled_noise(scores, arms=["a"])
