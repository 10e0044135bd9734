"""The training loop: fetch, step, record, save."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vlmlab.data.loader import LoaderState, StageLoader
from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import Diverged, Interrupted
from vlmlab.models.build import components
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.objectives.build import build_objective
from vlmlab.models.trainable import fingerprint, set_trainable
from vlmlab.random_streams import stream_seed
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.stage import Stage
from vlmlab.records.run import LedgerRow, Refusals, StepRecord
from vlmlab.training.checkpoint import CheckpointWriter, find_checkpoint, restore, training_tensors, whole
from vlmlab.training.checks.before import check_batch, check_groups, check_model
from vlmlab.training.checks.subject import Subject, fresh_components
from vlmlab.training.interruption import Wish, heard
from vlmlab.training.ledger import ledger
from vlmlab.training.monitor import Counts, Monitor, MonitorState
from vlmlab.training.moves import check_moves
from vlmlab.training.optim import build_optimizer, finished, progress, set_learning_rates
from vlmlab.training.parallel import small_enough, spread
from vlmlab.training.stage_module import StageModule
from vlmlab.training.step import StepResult, agree, suspects, train_step
from vlmlab.training.world import World

_log = logging.getLogger(__name__)

Listener = Callable[[StepRecord, float], None]
"""Told each line of metrics and the share of the stage that is done."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did."""

    counts: Counts
    ledger: list[LedgerRow]
    refusals: dict[str, Refusals]
    weights: dict[str, dict[str, Tensor]]
    """Every tensor of the components that trained, by component; gathered on the CPU of the leading process where they
    were in shards."""
    sharded: bool
    """Whether the model was left in shards."""
    stop: int
    """The signal that asked to stop during the last step, or 0: the stage is done, the next one should not begin."""


@dataclass(slots=True)
class _Misses:
    """Steps whose loss or gradient was not finite."""

    steps: list[dict[str, Any]] = field(default_factory=list)

    def add(self, result: StepResult, keys: str, *, step: int, stage: Stage, name: str) -> None:
        """Note one, with the samples of all processes; Diverged beyond the declared number."""
        self.steps.append({"step": step, "keys": keys})
        if len(self.steps) > stage.nonfinite_steps:
            listed = "".join(f"\n  step {miss['step']}: {miss['keys']}" for miss in self.steps[-5:])
            raise Diverged(
                f"stages.{name}",
                f"{len(self.steps)} steps had a loss or gradient that is not finite (the last: loss "
                f"{result.loss / result.count}, gradient's norm {result.gradient_norm}); at most "
                f"{stage.nonfinite_steps} may (nonfinite_steps). Lower the learning rate, or look at their samples:"
                f"{listed}",
            )


def train_stage(
    model: VisionLanguageModel,
    *,
    recipe: Recipe,
    name: str,
    tokenizer: Tokenizer,
    sources: dict[str, OpenSource],
    machine: Machine,
    folder: Path,
    content: dict[str, Any],
    sees: bool = True,
    world: World | None = None,
    listener: Listener | None = None,
    on_ledger: Callable[[list[LedgerRow]], None] | None = None,
) -> StageResult:
    """Train one stage of `recipe`; checkpoints and metrics go to `folder`; a second call continues there.

    `content` is what the stage's identity is made from; a checkpoint of another stage is refused. `sees` says whether
    its documents can hold images. The model is trained in place; where it is cut into shards it stays cut, and only
    the result has it whole. Raises Interrupted after SIGTERM or SIGINT, once a checkpoint is written.
    """
    world = World() if world is None else world
    stage = recipe.stages[name]
    objective = build_objective(
        stage.objective, model=model, recipe_model=recipe.model, vocabulary=recipe.vocabulary(),
        seed=recipe.stage_seed(name),
        loss_chunk=machine.loss_chunk,
    ).to(machine.device)  # fmt: skip
    rows = ledger(model, set_trainable(model, objective, stage))
    if on_ledger is not None:
        on_ledger(rows)
    module = StageModule(model, objective, sees=sees, shared=world.size > 1)
    subject = Subject(
        model=model, objective=objective, stage=stage, placeholder=tokenizer.image, rows=machine.micro_rows
    )
    # From the stage's start also where it continues: the weights are still those it began with. Every process looks at
    # the first one's rows, so that all of them refuse or none.
    with StageLoader(
        recipe=recipe, stage=name, tokenizer=tokenizer, sources=sources, workers=0, prefetch=1, size=world.size
    ) as ahead:
        first = (loaded.batch for loaded in ahead)
        if small_enough(module, machine, world):
            check_model(subject, name=name, batches=first, fresh=fresh_components(recipe, name))
        else:
            check_batch(subject, name=name, batch=next(first))
            _log.warning(
                "stages.%s: the model fits in shards only; isolation, gradients and the first loss were not checked "
                "(`vlmlab check` does it on a device that holds the model whole)", name,
            )  # fmt: skip
    shape = spread(module, machine=machine, world=world)
    # Again: shards are new parameters.
    groups = set_trainable(model, objective, stage)
    optimizer = build_optimizer(groups, stage.optimizer, device=machine.device)
    check_groups(subject, name=name, optimizer=optimizer)
    parts: dict[str, nn.Module] = {group.component: _part(model, objective, group.component) for group in groups}
    before = {component: fingerprint(part) for component, part in components(model).items()}

    checkpoints = folder / "checkpoints"
    found = world.tell(find_checkpoint(checkpoints, content=content) if world.leads else None)
    misses = _Misses()
    if found is None:
        monitor_state, loader_state = None, None
    else:
        restore(found, parts=parts, optimizer=optimizer)
        monitor_state = MonitorState.from_plain(found.state["monitor"])
        loader_state = LoaderState.from_plain(found.state["loader"])
        misses.steps.extend(found.state["nonfinite"])
    monitor = Monitor(
        folder / "metrics.jsonl", recipe=recipe, stage=name, machine=machine, world=world, state=monitor_state
    )
    loader = StageLoader(
        recipe=recipe, stage=name, tokenizer=tokenizer, sources=sources, workers=machine.workers,
        prefetch=machine.prefetch, state=loader_state, rank=world.rank, size=world.size,
    )  # fmt: skip
    writer = CheckpointWriter(checkpoints, content=content, keep=machine.checkpoints, world=world)
    clock = _Clock(machine)
    counts = monitor.counts
    with heard() as wish, loader, writer:
        batches = iter(loader)
        place = LoaderState() if loader_state is None else loader_state
        while not finished(stage, steps=counts.steps, tokens=counts.tokens):
            loaded = next(batches)
            place = loaded.state
            step = agree(loaded.batch, stage.objective, world, stop=_asked(wish), save=clock.due(counts.steps + 1))
            reseed(recipe.stage_seed(name), name, counts.steps, world)
            rates = set_learning_rates(optimizer, groups, stage, steps=counts.steps, tokens=counts.tokens)
            result = train_step(
                shape, stage.objective, optimizer, loaded.batch, step,
                components=[group.component for group in groups], clip=stage.optimizer.clip,
                micro_rows=machine.micro_rows, device=machine.device, world=world, sources=loaded.sources,
            )  # fmt: skip
            monitor.add(loaded.batch, result, documents=loaded.documents, waited=loaded.seconds_waited)
            if not result.finite:
                keys = " | ".join(world.gather(suspects(loaded.batch, result)))
                misses.add(result, keys, step=counts.steps, stage=stage, name=name)
            last = finished(stage, steps=counts.steps, tokens=counts.tokens)
            row = monitor.record(learning_rate=rates, last=last)
            if row is not None and listener is not None:
                listener(row, min(1.0, progress(stage, steps=counts.steps, tokens=counts.tokens)))
            if (step.save or step.stop) and not last:
                state = {
                    "monitor": monitor.plain(),
                    "loader": LoaderState.joined(world.gather(place)).plain(),
                    "nonfinite": misses.steps,
                }
                writer.save(step=counts.steps, tensors=training_tensors(parts, optimizer), state=state)
                clock.saved()
            if step.stop and not last:
                writer.finish()
                raise Interrupted(f"stage {name} at step {counts.steps}", number=step.stop)
    optimizer.zero_grad(set_to_none=True)
    check_moves(components(model), stage, before=before, name=name, world=world)
    return StageResult(
        counts=counts,
        ledger=rows,
        refusals=LoaderState.joined(world.gather(place)).refusals(),
        weights={
            component: whole(dict(part.state_dict(keep_vars=True)), world=world)
            for component, part in components(model).items()
            if component in parts
        },
        sharded=shape.how == "shard",
        stop=_last_wish(wish, world),
    )


def reseed(seed: int, stage: str, step: int, world: World) -> None:
    """Random numbers of torch are a function of the step and the process: nothing of them has to be saved."""
    value = stream_seed(seed, "step", stage, step, world.rank)
    # Not torch.manual_seed: it takes a millisecond.
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(value)


class _Clock:
    """When a checkpoint is due."""

    def __init__(self, machine: Machine) -> None:
        self._steps = machine.checkpoint_steps
        self._seconds = machine.checkpoint_seconds
        self._saved = time.perf_counter()

    def due(self, step: int) -> bool:
        """Whether to save after a step."""
        if self._steps is not None:
            return step % self._steps == 0
        return time.perf_counter() - self._saved > self._seconds

    def saved(self) -> None:
        self._saved = time.perf_counter()


def _asked(wish: Wish) -> int:
    return 0 if wish.signal is None else int(wish.signal)


def _last_wish(wish: Wish, world: World) -> int:
    return max(world.gather(_asked(wish)))


def _part(model: VisionLanguageModel, objective: nn.Module, component: str) -> nn.Module:
    return objective if component == "objective" else components(model)[component]
