"""One optimiser step: micro-batches, gradients normalised by the global number of learned tokens, clipping."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from vlmlab.batch import IGNORED, Batch
from vlmlab.errors import TrainingError
from vlmlab.recipe.stage import Contrastive, Objective
from vlmlab.training.parallel import Spread
from vlmlab.training.world import World

RowSources = Sequence[Sequence[str]]
"""The source of each document of a batch: one list a row, parallel to `Batch.keys`."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did, over all processes but for `source_losses`."""

    loss: float
    """Sum over the learned tokens, or over the pairs."""
    count: int
    """Learned tokens, or pairs."""
    gradient_norm: float
    """Before clipping."""
    component_norms: dict[str, float] = field(default_factory=dict)
    """Norm of each trained component's gradient, before clipping; their squares sum to that of `gradient_norm`."""
    source_losses: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Source to (sum of the loss, learned tokens), of this process's rows; empty where the loss is not a sum over
    tokens."""
    lost_rows: tuple[int, ...] = ()
    """Of this process's rows, those with a loss that is not finite."""
    finite: bool = True
    """False where loss or gradient was not finite: the weights were left as they were."""


def micro_batches(batch: Batch, *, rows: int | None, objective: Objective, world: World) -> Iterator[Batch]:
    """Split a step's batch. A contrastive batch stays whole: its negatives are the whole batch.

    A part that learns nothing is left out by a process on its own; among several each does all of its parts.
    """
    if rows is None or rows >= batch.num_rows or isinstance(objective, Contrastive):
        yield batch
        return
    for start in range(0, batch.num_rows, rows):
        part = batch.rows(start, min(start + rows, batch.num_rows))
        if world.size > 1 or part.num_learned():
            yield part


@dataclass(frozen=True, slots=True)
class Agreed:
    """What all processes know of the coming step."""

    count: int
    """Learned tokens, or pairs, of the whole step."""
    own: int
    """Of this process."""
    views: int
    """Views of the whole step."""
    stop: int
    """The signal that asked some process to stop after this step, or 0."""
    save: bool
    """Whether the leading process wants a checkpoint after this step."""


def agree(batch: Batch, spec: Objective, world: World, *, stop: int, save: bool) -> Agreed:
    """Add up what the processes hold, and let them all stop and save at the same step. One reduction."""
    own = batch.num_rows if isinstance(spec, Contrastive) else batch.num_learned()
    slots = [0.0] * world.size
    slots[world.rank] = float(stop)
    wishes = float(save and world.leads)
    count, views, saving, *stops = world.sum([own, batch.num_views, wishes, *slots])
    if count == 0:
        keys = " | ".join(world.gather(keys_of(batch)))
        raise TrainingError("batch", f"no token of the step is learned; documents: {keys}")
    return Agreed(count=int(count), own=own, views=int(views), stop=int(max(stops)), save=saving > 0)


def train_step(
    spread: Spread,
    spec: Objective,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    agreed: Agreed,
    *,
    components: Sequence[str],
    clip: float,
    micro_rows: int | None,
    device: str,
    world: World,
    sources: RowSources | None = None,
) -> StepResult:
    """Forward, backward and update.

    The gradient is that of the mean over all learned tokens of the step, however it is cut and over however many
    processes. `components` names the component of each optimiser group. A step whose loss or gradient is not finite
    changes nothing and says so.
    """
    count = agreed.count
    optimizer.zero_grad(set_to_none=True)
    total, counted = 0.0, 0
    terms: list[Tensor] = []
    parts = list(micro_batches(batch, rows=micro_rows, objective=spec, world=world))
    for number, part in enumerate(parts):
        with spread.accumulating(last=number == len(parts) - 1):
            with spread.module.model.autocast():
                loss, terms_counted, part_terms = spread.call(part.to(device))
            # Nothing that trains may reach this part: its rows are text alone, and the language model is frozen.
            if loss.requires_grad:
                # Processes average their gradients; the sum over all of them is wanted.
                (loss / count if world.size == 1 else loss * (world.size / count)).backward()
        total += float(loss.detach())
        counted += int(terms_counted)
        if part_terms is not None:
            terms.append(part_terms)
    assert counted == agreed.own, f"the objective counted {counted} targets, the batch holds {agreed.own}"
    if world.size > 1:
        (total,) = world.sum([total])
        if not agreed.views:
            spread.module.forget_unseen()
    norm, by_component = clip_gradients(optimizer, components, clip=clip, world=world)
    finite = math.isfinite(total) and math.isfinite(norm)
    if finite:
        optimizer.step()
    return StepResult(
        loss=total,
        count=count,
        gradient_norm=norm,
        component_norms=by_component,
        source_losses=losses_by_source(batch, sources, terms) if finite else {},
        lost_rows=() if finite else lost_rows(batch, terms),
        finite=finite,
    )


@torch.no_grad()
def clip_gradients(
    optimizer: torch.optim.Optimizer, components: Sequence[str], *, clip: float, world: World
) -> tuple[float, dict[str, float]]:
    """Scale all gradients so that their joint norm is at most `clip`; the norms before, joint and by component.

    The arithmetic is that of torch.nn.utils.clip_grad_norm_: a norm of norms.
    """
    gradients: list[Tensor] = []
    owners: list[str] = []
    for component, group in zip(components, optimizer.param_groups, strict=True):
        for parameter in group["params"]:
            if parameter.grad is not None:
                gradients.append(parameter.grad)
                owners.append(component)
    if not gradients:
        return 0.0, {}
    norms = torch.stack(torch._foreach_norm([_own(gradient) for gradient in gradients], 2.0))
    if isinstance(gradients[0], DTensor):
        # Of shards, each process's squares add up; all tensors in one reduction.
        norms = torch.tensor(world.sum(norms.double().square().tolist()), device=norms.device).sqrt()
    joint = torch.linalg.vector_norm(norms, 2.0)
    factor = torch.clamp(clip / (joint + 1e-6), max=1.0)
    torch._foreach_mul_([_own(gradient) for gradient in gradients], factor)
    squares = dict.fromkeys(owners, 0.0)
    for owner, norm in zip(owners, norms.tolist(), strict=True):
        squares[owner] += norm * norm
    return float(joint), {name: math.sqrt(value) for name, value in squares.items()}


def _own(gradient: Tensor) -> Tensor:
    """This process's part of a gradient."""
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient


def losses_by_source(batch: Batch, sources: RowSources | None, terms: Sequence[Tensor]) -> dict[str, tuple[float, int]]:
    """Sum and number of the learned tokens' losses of each source."""
    if sources is None or not terms:
        return {}
    names = sorted({name for row in sources for name in row})
    number = {name: index for index, name in enumerate(names)}
    rows, columns = torch.nonzero(batch.targets != IGNORED, as_tuple=True)
    width = max(map(len, sources), default=0)
    table = torch.full((batch.num_rows, width + 1), -1, dtype=torch.int64)
    for row, held in enumerate(sources):
        for place, name in enumerate(held, start=1):
            table[row, place] = number[name]
    owner = table[rows.cpu(), batch.segments.cpu()[rows.cpu(), columns.cpu()]]
    values = torch.cat([part.reshape(-1) for part in terms]).to("cpu", torch.float64)
    sums = torch.zeros(len(names), dtype=torch.float64).index_add_(0, owner, values)
    counts = torch.bincount(owner, minlength=len(names))
    return {name: (float(sums[index]), int(counts[index])) for index, name in enumerate(names) if int(counts[index])}


def lost_rows(batch: Batch, terms: Sequence[Tensor]) -> tuple[int, ...]:
    """Rows with a learned token whose loss is not finite."""
    if not terms:
        return ()
    rows = torch.nonzero(batch.targets != IGNORED)[:, 0].cpu()
    wrong = ~torch.cat([part.reshape(-1) for part in terms]).isfinite().cpu()
    return tuple(rows[wrong].unique().tolist())


def suspects(batch: Batch, result: StepResult) -> str:
    """Documents that may have spoilt a step: those of rows whose loss is not finite, or all."""
    if not result.lost_rows:
        return keys_of(batch)
    return ", ".join(key for row in result.lost_rows for key in batch.keys[row])


def keys_of(batch: Batch) -> str:
    """The first documents of a batch, for messages."""
    keys = [key for row in batch.keys for key in row]
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
