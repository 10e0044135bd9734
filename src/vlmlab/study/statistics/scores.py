"""Scores: one measure of every arm and replicate, by cluster of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vlmlab.errors import StudyError


@dataclass(frozen=True, slots=True)
class Scores:
    """One measure. Items and demonstration draws of one scene (or fact) are one cluster; arms share the clusters."""

    weights: np.ndarray
    """(clusters,) share of each cluster in the mean; sums to 1."""
    means: Mapping[str, Mapping[int, np.ndarray]]
    """By arm and replicate: (clusters,) mean of the cluster's items, in the measure's unit."""

    def replicates(self, arm: str) -> tuple[int, ...]:
        """Replicates of an arm, in order."""
        return tuple(sorted(self.means[arm]))

    def rows(self, arm: str, replicates: Sequence[int]) -> np.ndarray:
        """(replicates, clusters)."""
        return np.stack([self.means[arm][replicate] for replicate in replicates])

    def mean(self, arm: str, replicate: int) -> float:
        """The measure of one replicate."""
        return float(self.weights @ self.means[arm][replicate])


def by_cluster(
    scores: Mapping[str, Mapping[int, np.ndarray]],
    *,
    clusters: Sequence[str],
    weights: np.ndarray | None = None,
) -> Scores:
    """Scores from one array of items for each arm and replicate, all in the same order of items.

    `weights` are the items' shares of the mean (equal ones by default). Raises StudyError for arrays of other lengths
    or numbers that are not finite.
    """
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    share = np.full(len(clusters), 1.0 / max(1, len(clusters))) if weights is None else weights / weights.sum()
    total = np.bincount(place, weights=share, minlength=len(names))
    means: dict[str, dict[int, np.ndarray]] = {}
    for arm, runs in scores.items():
        for replicate, values in runs.items():
            if len(values) != len(clusters):
                raise StudyError(
                    f"arm {arm}, replicate {replicate}", f"{len(values)} scores for {len(clusters)} items; expected one"
                )
            if not np.isfinite(values).all():
                raise StudyError(
                    f"arm {arm}, replicate {replicate}",
                    f"{int((~np.isfinite(values)).sum())} of {len(values)} scores are not numbers",
                )
            sums = np.bincount(place, weights=share * values, minlength=len(names))
            means.setdefault(arm, {})[replicate] = sums / total
    return Scores(weights=total, means=means)
