"""What must hold before the first step of a stage: every probe, and the refusal to train where one fails."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import torch

from vlmlab.batch import Batch
from vlmlab.errors import TrainingError
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.expectation import probe_first_loss
from vlmlab.training.checks.gradients import probe_gradients
from vlmlab.training.checks.groups import probe_groups
from vlmlab.training.checks.isolation import probe_isolation
from vlmlab.training.checks.placement import probe_placement
from vlmlab.training.checks.subject import Subject
from vlmlab.training.checks.supervision import probe_documents, probe_supervision
from vlmlab.training.checks.untouched import untouched

MOST_BATCHES = 4
"""Batches that are looked at where the first ones hold no image and the visual side trains."""


def check_before_first_step(
    subject: Subject,
    *,
    name: str,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    fresh: frozenset[str],
) -> list[CheckRecord]:
    """Run every probe of stage `name`; TrainingError where one fails. The model is left as it was, to the last bit.

    `batches` are those that the stage will see, from its first; they are taken one at a time and seldom more than one.
    The cost is that of one to three steps: three forward passes, and one with its backward pass. For sharded models
    the two halves are `check_model`, before sharding, and `check_groups`, after the optimiser was built.
    """
    return [
        *check_groups(subject, name=name, optimizer=optimizer),
        *check_model(subject, name=name, batches=batches, fresh=fresh),
    ]


def check_groups(subject: Subject, *, name: str, optimizer: torch.optim.Optimizer) -> list[CheckRecord]:
    """The probe of the optimiser alone. Parameters may be sharded; rates must not have been scaled yet."""
    return refuse([probe_groups(subject, optimizer)], name=name)


def check_model(subject: Subject, *, name: str, batches: Iterable[Batch], fresh: frozenset[str]) -> list[CheckRecord]:
    """The probes of batch and model."""
    return refuse(probe_model(subject, batches=batches, fresh=fresh), name=name)


def check_batch(subject: Subject, *, name: str, batch: Batch) -> list[CheckRecord]:
    """The probes that need no model."""
    return refuse([probe_supervision(subject, batch), probe_documents(batch)], name=name)


def refuse(checks: Sequence[CheckRecord], *, name: str) -> list[CheckRecord]:
    """The checks, or TrainingError with every failed one."""
    failed = [f"{check.name}: {check.words}" for check in checks if check.outcome == "failed"]
    if failed:
        where = f"stages.{name}"
        raise TrainingError(where, f"\n{where}: ".join(failed))
    return list(checks)


def probe_model(subject: Subject, *, batches: Iterable[Batch], fresh: frozenset[str]) -> list[CheckRecord]:
    """Every probe but that of the optimiser. Where the batch itself is wrong the model is not asked."""
    device = subject.model.device
    taken = (batch.to(device) for batch in itertools.islice(batches, MOST_BATCHES))
    seen = _until_image(subject, taken)
    shown = next((batch for batch in seen if batch.spans), seen[0])
    checks = [probe_supervision(subject, seen[0]), probe_documents(seen[0])]
    with untouched([subject.model, subject.objective], device=device):
        checks.append(probe_placement(subject, shown))
        if any(check.outcome == "failed" for check in checks):
            return checks
        checks += probe_isolation(subject, shown, packing=subject.stage.batch.packing)
        gradients, first = probe_gradients(subject, seen)
        checks += [gradients, probe_first_loss(subject, first, fresh=fresh)]
    return checks


def _until_image(subject: Subject, batches: Iterator[Batch]) -> list[Batch]:
    """The first batch; where the visual side trains, also those after it up to the first with an image."""
    seen = [next(batches)]
    if subject.stage.trains("vision") or subject.stage.trains("connector"):
        while not seen[-1].spans and (batch := next(batches, None)) is not None:
            seen.append(batch)
    return seen
