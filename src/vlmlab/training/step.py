"""One optimiser step: micro-batches, gradients normalised by the global number of learned tokens, clipping."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from vlmlab.batch import Batch
from vlmlab.errors import TrainingError
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.stage import Contrastive, Objective


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did."""

    loss: float
    """Sum over the learned tokens, or over the pairs."""
    count: int
    """Learned tokens, or pairs."""
    gradient_norm: float


def micro_batches(batch: Batch, *, rows: int | None, objective: Objective) -> Iterator[Batch]:
    """Split a step's batch. A contrastive batch stays whole: its negatives are the whole batch."""
    if rows is None or rows >= batch.num_rows or isinstance(objective, Contrastive):
        yield batch
        return
    for start in range(0, batch.num_rows, rows):
        part = batch.rows(start, min(start + rows, batch.num_rows))
        if part.num_learned():
            yield part


def train_step(
    model: VisionLanguageModel,
    objective: nn.Module,
    spec: Objective,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    *,
    clip: float,
    micro_rows: int | None,
    device: str,
) -> StepResult:
    """Forward, backward and update.

    The gradient is that of the mean over all learned tokens of the step, however it is cut.
    """
    count = batch.num_rows if isinstance(spec, Contrastive) else batch.num_learned()
    if count == 0:
        raise TrainingError("batch", f"no token of the step is learned; documents: {_keys(batch)}")
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    counted = 0
    for part in micro_batches(batch, rows=micro_rows, objective=spec):
        with model.autocast():
            loss = objective(part.to(device))
        (loss.total / count).backward()
        total += float(loss.total.detach())
        counted += loss.count
    assert counted == count, f"the objective counted {counted} targets, the batch holds {count}"
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, clip))
    if not (math.isfinite(total) and math.isfinite(norm)):
        raise TrainingError(
            "batch",
            f"the loss is {total / count} and the gradient's norm {norm}; documents: {_keys(batch)}; "
            "lower the learning rate",
        )
    optimizer.step()
    return StepResult(loss=total, count=count, gradient_norm=norm)


def _keys(batch: Batch) -> str:
    keys = [key for row in batch.keys for key in row]
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
