"""The loss before the first step, against what fresh heads must give."""

from __future__ import annotations

import math

from vlmlab.models.initialise import VARIANCE
from vlmlab.models.objectives.contrastive import counted_pairs, texts_of
from vlmlab.recipe.stage import Contrastive, NextToken
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.gradients import FirstLoss
from vlmlab.training.checks.subject import Subject

FIRST_LOSS = "first loss"
TOLERANCE = 0.5
"""Nats between the loss of a fresh language model and its expectation, beyond what few tokens add."""
MISMATCH = 0.5
"""Nats that a trained language model may lose beyond guessing: a foreign tokenizer costs several."""
SOFTMAX_TOLERANCE = 2.0
"""Nats. At CLIP's first temperature of 0.07 fresh embeddings that differ by 0.1 already move logits by 1.4."""
SIMILARITY_DEVIATIONS = 4.0
"""How far the cosine of fresh image and text embeddings may be from 0, in standard deviations of two random directions
(1 / sqrt(embedding)): fresh towers map every input to nearly one direction."""
MOST_SIMILARITY = 0.9


def probe_first_loss(subject: Subject, first: FirstLoss | None, *, fresh: frozenset[str]) -> CheckRecord:
    """The first loss near its expectation. `fresh` are the components that are still as they were drawn.

    A fresh language model draws logits of variance 0.4 for each token, so it loses ln(vocabulary) + 0.2 nats: measured
    ln(vocabulary) + 0.11 to 0.24 for widths of 16 to 576 and vocabularies of 64 to 49,152. One that was trained must
    not do worse than guessing, else the tokenizer is another one than its own.
    """
    if first is None:
        return CheckRecord(name=FIRST_LOSS, outcome="not applicable", words="no batch gave a loss")
    objective = subject.stage.objective
    match objective:
        case NextToken() if "language" in fresh:
            vocabulary = subject.model.language.head_weight.shape[0]
            expected, slack = math.log(vocabulary) + VARIANCE / 2, TOLERANCE + 2 / math.sqrt(first.count)
            words = f"ln({vocabulary}) + {VARIANCE / 2:.1f} of a fresh language model"
            return _between(first, expected - slack, expected + slack, words=words)
        case NextToken():
            vocabulary = subject.model.language.head_weight.shape[0]
            most = math.log(vocabulary) + MISMATCH
            words = f"ln({vocabulary}) of guessing, for the language model was trained before: is this its tokenizer?"
            return _between(first, 0.0, most, words=words)
        case Contrastive():
            return _contrastive(objective, subject, first)


def _contrastive(objective: Contrastive, subject: Subject, first: FirstLoss) -> CheckRecord:
    texts = texts_of(first.batch, longest=objective.text.max_positions, marks=subject.model.spec.fusion.marks)
    counted = counted_pairs(texts).sum(dim=1)
    match objective.loss:
        case "softmax":
            expected = float(counted.double().log().mean())
            words = f"the mean of ln(candidates), {int(counted.min())} to {int(counted.max())} a pair"
            return _between(first, max(0.0, expected - SOFTMAX_TOLERANCE), expected + SOFTMAX_TOLERANCE, words=words)
        case "sigmoid":
            negatives = float(counted.double().mean()) - 1
            cosine = min(MOST_SIMILARITY, SIMILARITY_DEVIATIONS / math.sqrt(objective.embedding))
            losses = [_sigmoid_loss(cosine * step / 100, negatives) for step in range(-100, 101)]
            words = f"{negatives:.0f} negatives a pair at a cosine of -{cosine:.2f} to {cosine:.2f}"
            return _between(first, 0.9 * min(losses), 1.1 * max(losses), words=words)


def _sigmoid_loss(similarity: float, negatives: float) -> float:
    """SigLIP's loss a pair where all embeddings have one cosine, at its first scale (10) and bias (-10)."""
    logit = 10.0 * similarity - 10.0
    return math.log1p(math.exp(-logit)) + negatives * math.log1p(math.exp(logit))


def _between(first: FirstLoss, least: float, most: float, *, words: str) -> CheckRecord:
    found = f"{first.mean:.3f} over {first.count}"
    expected = f"expected {least:.2f} to {most:.2f}: {words}"
    if math.isfinite(first.mean) and least <= first.mean <= most:
        return CheckRecord(name=FIRST_LOSS, outcome="ok", words=f"{found}; {expected}")
    return CheckRecord(
        name=FIRST_LOSS,
        outcome="failed",
        words=f"{found}; {expected}. Weights, tokenizer, targets or the output layer are not what the recipe says",
    )
