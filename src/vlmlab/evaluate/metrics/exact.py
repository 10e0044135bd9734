"""Exact match after the least normalisation: outer white space off, lower case."""

from __future__ import annotations

from collections.abc import Sequence


def normalise(text: str) -> str:
    """Outer white space off, lower case; nothing else."""
    return text.strip().lower()


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the prediction equals any reference, else 0."""
    return float(normalise(prediction) in {normalise(reference) for reference in references})
