"""Multiple choice by likelihood (metrics.md, section 5).

The prompt is common to all candidates, so only a candidate's own tokens count. The length-normalised variant divides
by the number of those tokens, never by the length of the prompt with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice with the sum of its tokens' log-probabilities, in nats, and their number."""

    text: str
    log_likelihood: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Log-probability of an average token."""
        return self.log_likelihood / self.tokens


def most_likely(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate with the largest sum; the first of equals."""
    return max(candidates, key=lambda candidate: candidate.log_likelihood)


def most_likely_per_token(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate with the largest mean over its tokens; the first of equals."""
    return max(candidates, key=lambda candidate: candidate.per_token)


def choice_accuracy(prediction: str, answer: str) -> float:
    """1 if the chosen candidate is the right one. Candidates are compared as they are written."""
    return float(prediction == answer)
