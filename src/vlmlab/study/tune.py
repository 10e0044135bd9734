"""Choosing a learning rate for each arm: the same trials for all, and more of them where the best stands at an edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

TUNING_SEED = 100_000
"""First seed of tuning trials: never one of the study's."""
ROUNDING = 4
"""Digits of a value that was computed."""


def best_value(scores: Mapping[float, float]) -> float:
    """The value with the highest score, the lowest of equals.

    >>> best_value({1e-4: 40.0, 3e-4: 52.0, 1e-3: 52.0})
    0.0003
    """
    return max(sorted(scores), key=lambda value: scores[value])


def widened(grid: Sequence[float], chosen: Iterable[float]) -> list[float]:
    """The grid with one more value beyond each edge where some arm's best stands, by the grid's own ratio there.

    >>> widened([1e-3, 2e-3, 4e-3], [4e-3, 2e-3])
    [0.001, 0.002, 0.004, 0.008]
    """
    values, best = sorted(grid), set(chosen)
    lower = [_rounded(values[0] * values[0] / values[1])] if values[0] in best else []
    upper = [_rounded(values[-1] * values[-1] / values[-2])] if values[-1] in best else []
    return [*lower, *values, *upper]


def _rounded(value: float) -> float:
    return float(f"{value:.{ROUNDING}g}")
