"""Gradients: they reach every tensor that trains, are finite, and reach nothing that is frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from vlmlab.batch import Batch
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.subject import Subject, key_biases

GRADIENTS = "gradients"


@dataclass(frozen=True, slots=True)
class FirstLoss:
    """The loss of the first micro-batch that teaches something, before any step."""

    mean: float
    """In nats a learned token, or a pair."""
    count: int
    batch: Batch


def probe_gradients(subject: Subject, batches: Sequence[Batch]) -> tuple[CheckRecord, FirstLoss | None]:
    """Backward passes, one micro-batch after the other, until every tensor that trains has a gradient.

    Normally that is the first one. A mixture that rarely shows an image may need several; where none of `batches` holds
    one, the visual side is left to the check at the end of the stage, which demands that what trains has moved.
    """
    first: FirstLoss | None = None
    tried = 0
    idle = {id(bias) for bias in key_biases(subject.model, subject.objective)}
    waiting = subject.trained()
    for part in _parts(subject, batches):
        loss = subject.loss(part)
        tried += 1
        if loss.count == 0 or not loss.total.requires_grad:
            continue
        (loss.total / loss.count).backward()
        if first is None:
            first = FirstLoss(float(loss.total.detach()) / loss.count, loss.count, part)
        broken = _not_finite(subject)
        if broken:
            return _failed(f"gradients are not finite before the first step: {_names(broken)}"), first
        waiting = {
            name: parameter
            for name, parameter in waiting.items()
            if not _reached(parameter, zero=id(parameter) in idle)
        }
        if not waiting:
            break
    return _verdict(subject, batches, waiting, tried=tried), first


def _parts(subject: Subject, batches: Sequence[Batch]) -> Iterator[Batch]:
    for batch in batches:
        yield from subject.micro_batches(batch)


def _verdict(
    subject: Subject, batches: Sequence[Batch], waiting: dict[str, nn.Parameter], *, tried: int
) -> CheckRecord:
    moved = [name for name, parameter in subject.frozen().items() if parameter.grad is not None]
    if moved:
        return _failed(f"frozen tensors have a gradient: {_names(moved)}; the recipe says that they do not train")
    trained = len(subject.trained())
    if not waiting:
        words = f"all {trained} tensors that train have one, none of {len(subject.frozen())} frozen ones"
        return CheckRecord(name=GRADIENTS, outcome="ok", words=words)
    visual = {name for name in waiting if name.split(".")[0] in ("vision", "connector")}
    if len(visual) == len(waiting) and not any(batch.spans for batch in batches):
        return CheckRecord(
            name=GRADIENTS,
            outcome="note",
            words=f"no image in the first {len(batches)} batches: that gradients reach {len(waiting)} tensors of the "
            "visual side is checked at the end of the stage alone",
        )
    none = [name for name, parameter in waiting.items() if parameter.grad is None]
    zero = [name for name in waiting if name not in none]
    found = "; ".join(
        words
        for words in (
            f"no gradient reaches {_names(none)}" if none else "",
            f"the gradient is exactly zero for {_names(zero)}" if zero else "",
        )
        if words
    )
    return _failed(
        f"{found} after {tried} micro-batches; expected one for each of the {trained} tensors that train. Is a part "
        "detached, or its output not used?"
    )


def _reached(parameter: nn.Parameter, *, zero: bool) -> bool:
    """Whether there is a gradient; it may be exactly zero where mathematics says so."""
    return parameter.grad is not None and (zero or bool(parameter.grad.count_nonzero()))


def _not_finite(subject: Subject) -> list[str]:
    return [
        name
        for name, parameter in subject.trained().items()
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all())
    ]


def _failed(words: str) -> CheckRecord:
    return CheckRecord(name=GRADIENTS, outcome="failed", words=words)


def _names(names: Sequence[str], *, most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
