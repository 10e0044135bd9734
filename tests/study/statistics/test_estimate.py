"""Estimates against independent references: t-tests, the analysis of variance, restricted maximum likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from vlmlab.errors import StudyError
from vlmlab.study.statistics.checkpoints import estimate_of_checkpoints
from vlmlab.study.statistics.estimate import bootstrap_interval, estimate
from vlmlab.study.statistics.scores import Scores, by_cluster

DIFFERENCE = {"a": 1.0, "b": -1.0}


def flat(a: np.ndarray, b: np.ndarray) -> Scores:
    """Two arms whose replicates score the same on all of four clusters: seeds are the only noise."""
    means = {
        arm: {seed: np.full(4, value) for seed, value in enumerate(values)} for arm, values in (("a", a), ("b", b))
    }
    return Scores(weights=np.full(4, 0.25), means=means)


def crossed(replicates: int = 6, clusters: int = 9, *, seed: int = 0) -> tuple[Scores, np.ndarray]:
    """Two arms with noise of every source, and their difference as a (replicates, clusters) table."""
    generator = np.random.default_rng(seed)
    tables = [
        generator.normal(0, 3, (replicates, 1)) + generator.normal(0, 5, clusters)
        + generator.normal(0, 2, (replicates, clusters))
        for _ in "ab"
    ]  # fmt: skip
    means = {arm: dict(enumerate(table)) for arm, table in zip("ab", tables, strict=True)}
    return Scores(weights=np.full(clusters, 1 / clusters), means=means), tables[0] - tables[1]


def test_seeds_alone_are_a_paired_t_test() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.normal(1, 2, 5), generator.normal(0, 3, 5)
    found = estimate(flat(a, b), DIFFERENCE)
    expected = stats.ttest_rel(a, b)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()))
    assert 2 * min(found.p_above(), found.p_below()) == pytest.approx(expected.pvalue)
    assert found.components == pytest.approx((np.std(a - b, ddof=1), 0.0, 0.0))


def test_seeds_alone_are_welchs_t_test_where_arms_are_independent() -> None:
    generator = np.random.default_rng(2)
    a, b = generator.normal(1, 1, 7), generator.normal(0, 4, 4)
    found = estimate(flat(a, b), DIFFERENCE, pairing="independent")
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert found.degrees_of_freedom == pytest.approx(expected.df)
    assert found.interval(0.9) == pytest.approx(tuple(expected.confidence_interval(0.9)))
    assert found.replicates == 4
    assert found.components.variance(4) == pytest.approx(found.standard_error**2)


def test_items_alone_are_a_paired_t_test_over_items() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.normal(1, 2, 12), generator.normal(0, 2, 12)
    scores = by_cluster({"a": {0: a}, "b": {0: b}}, clusters=[str(item) for item in range(12)])
    found = estimate_of_checkpoints(scores, DIFFERENCE)
    assert found.interval() == pytest.approx(tuple(stats.ttest_rel(a, b).confidence_interval()))
    assert found.components.seed == found.components.residual == 0
    every = by_cluster({arm: dict.fromkeys(range(3), each) for arm, each in (("a", a), ("b", b))},
                       clusters=[str(item) for item in range(12)])  # fmt: skip
    assert estimate(every, DIFFERENCE).standard_error == pytest.approx(found.standard_error)


def test_the_variance_is_that_of_the_analysis_of_variance() -> None:
    scores, table = crossed()
    replicates, clusters = table.shape
    rows, columns, grand = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - rows[:, None] - columns + grand
    row_square = clusters * rows.var(ddof=1)
    column_square = replicates * columns.var(ddof=1)
    rest_square = (rest**2).sum() / ((replicates - 1) * (clusters - 1))
    assert row_square > rest_square < column_square, "the example must have no negative component"
    found = estimate(scores, DIFFERENCE)
    assert found.value == pytest.approx(grand)
    assert found.standard_error**2 == pytest.approx((row_square + column_square - rest_square) / table.size)
    assert found.components.seed**2 == pytest.approx((row_square - rest_square) / clusters)
    assert found.components.item**2 == pytest.approx((column_square - rest_square) / replicates / clusters)
    assert found.components.residual**2 == pytest.approx(rest_square / clusters)
    assert found.components.variance(replicates) == pytest.approx(found.standard_error**2)


def test_components_are_those_of_restricted_maximum_likelihood() -> None:
    """The mixed model with crossed random effects, maximised over its three variances."""
    scores, table = crossed(5, 7, seed=4)
    replicates, clusters = table.shape
    row = np.kron(np.eye(replicates), np.ones((clusters, clusters)))
    column = np.kron(np.ones((replicates, replicates)), np.eye(clusters))
    ones, values = np.ones(table.size), table.ravel()

    def minus_likelihood(logs: np.ndarray) -> float:
        seed, item, rest = np.exp(logs)
        inverse = np.linalg.inv(seed * row + item * column + rest * np.eye(table.size))
        weight = ones @ inverse @ ones
        left = values - (ones @ inverse @ values) / weight
        return float(-np.linalg.slogdet(inverse)[1] + np.log(weight) + left @ inverse @ left) / 2

    best = optimize.minimize(minus_likelihood, np.log([9.0, 20.0, 8.0]), method="Nelder-Mead",
                             options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 2000})  # fmt: skip
    seed, item, rest = np.exp(best.x)
    found = estimate(scores, DIFFERENCE).components
    assert found.seed**2 == pytest.approx(seed, rel=1e-3)
    assert found.item**2 == pytest.approx(item / clusters, rel=1e-3)
    assert found.residual**2 == pytest.approx(rest / clusters, rel=1e-3)


def test_nothing_depends_on_how_arms_replicates_or_clusters_are_ordered_or_on_the_unit() -> None:
    scores, _ = crossed(seed=5)
    found = estimate(scores, DIFFERENCE)
    order = np.random.default_rng(0).permutation(len(scores.weights))
    mixed = Scores(
        weights=scores.weights[order],
        means={arm: {10 - seed: 2 * scores.means[arm][seed][order] + 7 for seed in range(6)} for arm in "ba"},
    )
    again = estimate(mixed, {"b": -1.0, "a": 1.0})
    assert again.value == pytest.approx(2 * found.value)
    assert again.standard_error == pytest.approx(2 * found.standard_error)
    assert again.degrees_of_freedom == pytest.approx(found.degrees_of_freedom)


def test_a_negative_variance_counts_as_half_of_the_residual() -> None:
    """Where both other components come out negative: the table's rows and columns have equal means."""
    table = np.array([[1.0, -1.0, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0], [0.0, 0.0, -1.0, 1.0]])
    scores = Scores(np.full(4, 0.25), {"a": dict(enumerate(table)), "b": dict(enumerate(np.zeros_like(table)))})
    found = estimate(scores, DIFFERENCE)
    assert (found.components.seed, found.components.item) == (0.0, 0.0)
    # Four clusters, four replicates, sum of squares 8 with 9 degrees of freedom.
    assert found.standard_error**2 == pytest.approx(8 / 9 / 16 / 2)
    low, high = found.interval()
    assert low < 0 < high


def test_only_common_replicates_are_paired() -> None:
    scores, _ = crossed(seed=6)
    fewer = {"a": dict(scores.means["a"]), "b": {seed: scores.means["b"][seed] for seed in (1, 2, 4)}}
    found = estimate(Scores(scores.weights, fewer), DIFFERENCE)
    both = {arm: {seed: scores.means[arm][seed] for seed in (1, 2, 4)} for arm in "ab"}
    assert found == estimate(Scores(scores.weights, both), DIFFERENCE)
    assert found.replicates == 3


@pytest.mark.parametrize(
    ("means", "weights", "message"),
    [
        ({"a": {0: 4}, "b": {0: 4}}, 4, "a and b have 1 replicate in common"),
        ({"a": {0: 4, 1: 4}, "b": {2: 4, 3: 4}}, 4, "0 replicates in common"),
        ({"a": {0: 4, 1: 4}, "c": {0: 4, 1: 4}}, 4, "no scores of arm 'b'; there are a, c"),
        ({"a": {0: 1, 1: 1}, "b": {0: 1, 1: 1}}, 1, "all items are one cluster"),
    ],
)
def test_what_cannot_be_estimated(means: dict[str, dict[int, int]], weights: int, message: str) -> None:
    filled = {arm: {seed: np.zeros(size) for seed, size in runs.items()} for arm, runs in means.items()}
    with pytest.raises(StudyError, match=message):
        estimate(Scores(np.full(weights, 1 / weights), filled), DIFFERENCE)


def test_the_crossed_bootstrap_is_offered_from_ten_replicates_on_and_agrees() -> None:
    scores, _ = crossed(9, 30, seed=7)
    assert bootstrap_interval(scores, DIFFERENCE) is None
    scores, _ = crossed(30, 60, seed=7)
    found, drawn = estimate(scores, DIFFERENCE), bootstrap_interval(scores, DIFFERENCE)
    assert drawn is not None
    width = np.ptp(found.interval())
    assert drawn == pytest.approx(found.interval(), abs=0.15 * width)
    assert bootstrap_interval(scores, DIFFERENCE) == drawn


def test_scores_by_cluster() -> None:
    scores = by_cluster({"a": {0: np.array([1.0, 2.0, 6.0])}}, clusters=["x", "y", "x"])
    assert scores.weights == pytest.approx([2 / 3, 1 / 3])
    assert scores.means["a"][0] == pytest.approx([3.5, 2.0])
    assert scores.mean("a", 0) == pytest.approx(3.0)
    weighed = by_cluster({"a": {0: np.array([1.0, 2.0, 6.0])}}, clusters=["x", "y", "x"], weights=np.array([2, 1, 1]))
    assert weighed.mean("a", 0) == pytest.approx(2.5)
    with pytest.raises(StudyError, match="2 scores for 3 items"):
        by_cluster({"a": {0: np.zeros(2)}}, clusters=["x", "y", "x"])
    with pytest.raises(StudyError, match="1 of 3 scores are not numbers"):
        by_cluster({"a": {0: np.array([0.0, np.nan, 1.0])}}, clusters=["x", "y", "x"])
