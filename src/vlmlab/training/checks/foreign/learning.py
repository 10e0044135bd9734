"""A foreign model's loss and gradients on a few samples, with images and without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.expectation import MISMATCH
from vlmlab.training.checks.foreign.encode import Encoded
from vlmlab.training.checks.foreign.folder import ForeignModel

GRADIENTS = "gradients"
TEXT_ONLY = "text-only batches"
FIRST_LOSS = "first loss"
LABELS = "loss and labels"
MOST = 3
"""Samples of each kind that are learned from."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a few samples did: which parameters got a gradient, and the losses."""

    reached: frozenset[str]
    total: float
    """Sum over the learned tokens, computed here from the logits, in nats."""
    own: float
    """The same from the losses that the model returned."""
    count: int


def probe_learning(foreign: ForeignModel, encoded: Sequence[Encoded]) -> list[CheckRecord]:
    """Gradients, the danger of batches without images, and the loss before any step."""
    useful = [sample for sample in encoded if bool(sample.learned.any())]
    shown = [sample for sample in useful if sample.images][:MOST]
    plain = [sample for sample in useful if not sample.images][:MOST]
    if not useful:
        words = "no sample has a token to learn"
        return [CheckRecord(name=name, outcome="not applicable", words=words) for name in (GRADIENTS, FIRST_LOSS)]
    seen = learn(foreign, shown)
    text = learn(foreign, plain if plain else [_made(useful[0], placeholder=foreign.placeholder)])
    mixed = bool(shown) and any(not sample.images for sample in encoded)
    losses = seen if shown else text
    reached = seen.reached | text.reached
    return [
        _gradients(foreign, reached, images=bool(shown)),
        _text_only(foreign, reached, text.reached, mixed=mixed),
        _first_loss(foreign, losses),
        _labels(losses),
    ]


def learn(foreign: ForeignModel, samples: Sequence[Encoded]) -> Learned:
    """Backward passes of some samples, one at a time, without a step; gradients are removed afterwards."""
    total, own, count = 0.0, 0.0, 0
    foreign.model.zero_grad(set_to_none=True)
    for sample in samples:
        output = foreign.model(**foreign.inputs({**sample.inputs, "labels": sample.labels}), use_cache=False)
        output.loss.backward()
        terms = _terms(output.logits, sample.labels.to(output.logits.device))
        total += float(terms.sum())
        own += float(output.loss.detach()) * len(terms)
        count += len(terms)
    reached = frozenset(
        name
        for name, parameter in foreign.model.named_parameters()
        if parameter.grad is not None and bool(parameter.grad.count_nonzero())
    )
    foreign.model.zero_grad(set_to_none=True)
    return Learned(reached, total, own, count)


@torch.no_grad()
def _terms(logits: Tensor, labels: Tensor) -> Tensor:
    targets = labels[0, 1:]
    kept = targets != -100
    return F.cross_entropy(logits[0, :-1][kept].float(), targets[kept], reduction="none")


def _gradients(foreign: ForeignModel, reached: frozenset[str], *, images: bool) -> CheckRecord:
    trained = [name for name, parameter in foreign.model.named_parameters() if parameter.requires_grad]
    missing = [name for name in trained if name not in reached]
    if not missing:
        return CheckRecord(name=GRADIENTS, outcome="ok", words=f"all {len(trained)} tensors have one")
    idle = sorted(_parts(trained) - _parts(set(reached)))
    if idle and images:
        return CheckRecord(
            name=GRADIENTS,
            outcome="failed",
            words=f"none reaches any tensor of {', '.join(idle)}; is it detached, or its output not used?",
        )
    why = "" if images else " (no sample has an image)"
    return CheckRecord(
        name=GRADIENTS,
        outcome="note",
        words=f"{len(missing)} of {len(trained)} tensors get none{why}, such as {', '.join(missing[:3])}: freeze them, "
        "or DDP stops at the second step and weight decay still moves them",
    )


def _text_only(foreign: ForeignModel, reached: frozenset[str], text: frozenset[str], *, mixed: bool) -> CheckRecord:
    missing = reached - text
    if not missing:
        return CheckRecord(name=TEXT_ONLY, outcome="ok", words="reach every tensor that others reach")
    parts = ", ".join(sorted(_parts(missing)))
    words = (
        f"leave {len(missing)} tensors of {parts} without a gradient: a process whose batch is text only does not "
        "take part in their collective operations, and all processes hang"
    )
    if mixed:
        words += ". These data hold both kinds: give each batch an image, or run the visual side on a dummy one"
    return CheckRecord(name=TEXT_ONLY, outcome="failed" if mixed else "note", words=words)


def _first_loss(foreign: ForeignModel, learned: Learned) -> CheckRecord:
    mean, most = learned.total / learned.count, math.log(foreign.vocabulary) + MISMATCH
    words = f"{mean:.3f} over {learned.count} tokens; guessing costs ln({foreign.vocabulary}) = {most - MISMATCH:.2f}"
    if math.isfinite(mean) and mean <= most:
        return CheckRecord(name=FIRST_LOSS, outcome="ok", words=words)
    return CheckRecord(
        name=FIRST_LOSS, outcome="failed", words=f"{words}. Is this the model's tokenizer, and its image processor?"
    )


def _labels(learned: Learned) -> CheckRecord:
    own, ours = learned.own / learned.count, learned.total / learned.count
    words = f"the model's own loss is {own:.4f}, that of the next learned tokens {ours:.4f}"
    if abs(own - ours) <= 1e-3 * max(1.0, abs(ours)):
        return CheckRecord(name=LABELS, outcome="ok", words=words)
    return CheckRecord(
        name=LABELS, outcome="failed", words=f"{words}: labels are shifted twice or not at all, or more is learned"
    )


def _made(sample: Encoded, *, placeholder: int | None) -> Encoded:
    """A text-only sample of another one's text tokens."""
    ids = sample.ids[sample.ids != (-1 if placeholder is None else placeholder)][None]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    learned = torch.ones_like(ids, dtype=torch.bool)
    return Encoded(sample.key, inputs, learned, images=0, slipped=0, unstable=False)


def _parts(names: frozenset[str] | set[str] | list[str]) -> set[str]:
    """The large parts that parameters belong to: model.vision_tower, lm_head."""
    return {".".join(name.split(".")[: 2 if name.startswith("model.") else 1]) for name in names}
