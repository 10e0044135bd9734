"""Benjamini-Yekutieli across studies, in plain Python: the list of findings answers without scipy."""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_yekutieli(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the share of false discoveries under any dependence (Benjamini, Yekutieli 2001)."""
    count = len(p_values)
    harmonic = sum(1 / rank for rank in range(1, count + 1))
    adjusted, least = [0.0] * count, 1.0
    for rank, index in sorted(enumerate(sorted(range(count), key=p_values.__getitem__), start=1), reverse=True):
        least = min(least, p_values[index] * harmonic * count / rank)
        adjusted[index] = least
    return adjusted
