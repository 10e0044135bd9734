"""Scores of a benchmark with cluster bootstrap intervals.

Items of one scene are not independent, so scenes are what is resampled. An item's figure is its mean over the
demonstration seeds; CIDEr's document frequencies stay fixed. The draw is a fixed stream that depends on the benchmark
alone, so every quantity of a benchmark sees the same resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlmlab.evaluate.contract import Benchmark
from vlmlab.random_streams import stream
from vlmlab.recipe.evaluation import Evaluation
from vlmlab.records.run import ItemRecord, ScoreRecord

CHUNK = 2_000_000
"""Counts that exist at the same time while resampling."""


def bootstrap_means(
    columns: np.ndarray, clusters: Sequence[str], *, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Means of `columns` (items, quantities) over resampled clusters: (resamples, quantities)."""
    _, membership = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(membership.max()) + 1
    sizes = np.bincount(membership, minlength=count).astype(np.float64)
    sums = np.zeros((count, columns.shape[1]))
    np.add.at(sums, membership, columns)
    chunk = max(1, CHUNK // count)
    means: list[np.ndarray] = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        means.append((times @ sums) / (times @ sizes)[:, None])
    return np.concatenate(means)


def interval(draws: np.ndarray, *, confidence: float) -> tuple[float, float]:
    """The percentile interval of resampled values."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(draws, (tail, 1.0 - tail))
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class BenchmarkSummary:
    """One benchmark at every number of shots, and what shots bring over none."""

    scores: list[ScoreRecord]
    shot_gains: list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class _Level:
    """One number of shots: figures of each item, in the benchmark's order, scores times 100."""

    shots: int
    score: np.ndarray
    blank: np.ndarray | None
    log_likelihood: np.ndarray


def _per_item(records: Sequence[ItemRecord], order: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean score (times 100) and log-likelihood of each item over the seeds; NaN where it was not asked."""
    index = np.array([order[record.item] for record in records])
    asked = np.bincount(index, minlength=len(order)).astype(np.float64)
    asked[asked == 0] = np.nan
    scores = np.bincount(index, weights=[100.0 * record.score for record in records], minlength=len(order)) / asked
    likelihoods = (
        np.bincount(index, weights=[record.log_likelihood for record in records], minlength=len(order)) / asked
    )
    return scores, likelihoods


def summarise(benchmark: Benchmark, records: Sequence[ItemRecord], *, evaluation: Evaluation) -> BenchmarkSummary:
    """The scores of a benchmark from its item records."""
    order = {item.id: index for index, item in enumerate(benchmark.items)}
    clusters = [item.cluster for item in benchmark.items]
    levels: list[_Level] = []
    for shots in benchmark.spec.shots:
        image = [record for record in records if record.shots == shots and record.condition == "image"]
        blank = [record for record in records if record.shots == shots and record.condition == "blank"]
        score, likelihood = _per_item(image, order)
        without = None
        if blank:
            # An item without a picture has nothing to blank: it gains nothing.
            without = _per_item(blank, order)[0]
            without = np.where(np.isnan(without), score, without)
        levels.append(_Level(shots, score, without, likelihood))

    def bounds(values: np.ndarray) -> tuple[float, float]:
        rng = stream(0, "bootstrap", benchmark.name)
        draws = bootstrap_means(values[:, None], clusters, resamples=evaluation.resamples, rng=rng)[:, 0]
        return interval(draws, confidence=evaluation.confidence)

    scores = [
        ScoreRecord(
            benchmark=benchmark.name,
            metric=benchmark.metric,
            shots=level.shots,
            items=len(order),
            score=float(level.score.mean()),
            interval=bounds(level.score),
            blank=None if level.blank is None else float(level.blank.mean()),
            blank_interval=None if level.blank is None else bounds(level.blank),
            gain=None if level.blank is None else float((level.score - level.blank).mean()),
            gain_interval=None if level.blank is None else bounds(level.score - level.blank),
            log_likelihood=float(level.log_likelihood.mean()),
        )
        for level in levels
    ]
    gains: list[dict[str, object]] = []
    none = next((level for level in levels if level.shots == 0), None)
    if none is not None:
        for level in levels:
            if level.shots:
                gain = level.score - none.score
                gains.append(
                    {
                        "benchmark": benchmark.name,
                        "shots": level.shots,
                        "over": 0,
                        "gain": float(gain.mean()),
                        "interval": list(bounds(gain)),
                    }
                )
    return BenchmarkSummary(scores, gains)
