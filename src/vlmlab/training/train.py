"""The training loop: fetch, step, record, save."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from vlmlab.data.loader import LoaderState, StageLoader
from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.models.build import components
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.objectives.build import build_objective
from vlmlab.models.trainable import ParameterGroup, fingerprint, set_trainable
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import LedgerRow, Refusals, StepRecord
from vlmlab.training.checkpoint import load_checkpoint, restore, save_checkpoint
from vlmlab.training.monitor import Counts, Monitor
from vlmlab.training.moves import check_moves
from vlmlab.training.optim import build_optimizer, finished, progress, set_learning_rates
from vlmlab.training.step import train_step

Listener = Callable[[StepRecord, float], None]
"""Told each line of metrics and the share of the stage that is done."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did. The model was trained in place."""

    counts: Counts
    ledger: list[LedgerRow]
    refusals: dict[str, Refusals]


def ledger(model: VisionLanguageModel, groups: Sequence[ParameterGroup]) -> list[LedgerRow]:
    """One row an optimiser group and one a frozen component, with the rates that really apply."""
    rows: list[LedgerRow] = []
    trained = {group.component for group in groups}
    for component, module in components(model).items():
        if component not in trained:
            parameters = list(module.parameters())
            rows.append(
                LedgerRow(
                    component=component, mode="frozen", group="frozen", tensors=len(parameters),
                    parameters=sum(parameter.numel() for parameter in parameters), learning_rate=0.0, weight_decay=0.0,
                )
            )  # fmt: skip
    for group in groups:
        rows.append(
            LedgerRow(
                component=group.component, mode="full", group=group.group, tensors=len(group.parameters),
                parameters=sum(parameter.numel() for parameter in group.parameters),
                learning_rate=group.learning_rate, weight_decay=group.weight_decay,
            )
        )  # fmt: skip
    return rows


def train_stage(
    model: VisionLanguageModel,
    *,
    recipe: Recipe,
    name: str,
    tokenizer: Tokenizer,
    sources: dict[str, OpenSource],
    machine: Machine,
    folder: Path,
    listener: Listener | None = None,
    on_ledger: Callable[[list[LedgerRow]], None] | None = None,
) -> StageResult:
    """Train one stage of `recipe` in place; checkpoints and metrics go to `folder`; a second call continues there."""
    stage = recipe.stages[name]
    objective = build_objective(
        stage.objective, model=model, recipe_model=recipe.model, vocabulary=recipe.vocabulary(), seed=recipe.seed,
        loss_chunk=machine.loss_chunk,
    ).to(machine.device)  # fmt: skip
    groups = set_trainable(model, objective, stage)
    rows = ledger(model, groups)
    if on_ledger is not None:
        on_ledger(rows)
    optimizer = build_optimizer(groups, stage.optimizer, device=machine.device)
    parts: dict[str, nn.Module] = {group.component: _part(model, objective, group.component) for group in groups}
    before = {component: fingerprint(module) for component, module in components(model).items()}

    checkpoint = load_checkpoint(folder / "checkpoints")
    monitor_path = folder / "metrics.jsonl"
    if checkpoint is None:
        monitor, state = Monitor(monitor_path, machine.log_every), None
    else:
        restore(checkpoint, parts=parts, optimizer=optimizer, where=str(folder))
        monitor = Monitor(monitor_path, machine.log_every, counts=Counts(**checkpoint.state["counts"]))
        state = LoaderState.from_plain(checkpoint.state["loader"])

    saved = time.perf_counter()
    loader = StageLoader(
        recipe=recipe, stage=name, tokenizer=tokenizer, sources=sources, workers=machine.workers,
        prefetch=machine.prefetch, state=state,
    )  # fmt: skip
    with loader:
        batches = iter(loader)
        counts = monitor.counts
        while not finished(stage, steps=counts.steps, tokens=counts.tokens):
            loaded = next(batches)
            rates = set_learning_rates(optimizer, groups, stage, steps=counts.steps, tokens=counts.tokens)
            result = train_step(
                model, objective, stage.objective, optimizer, loaded.batch, clip=stage.optimizer.clip,
                micro_rows=machine.micro_rows, device=machine.device,
            )  # fmt: skip
            monitor.add(loaded.batch, result, documents=loaded.documents, waited=loaded.seconds_waited)
            last = finished(stage, steps=counts.steps, tokens=counts.tokens)
            row = monitor.record(learning_rate=rates, last=last)
            if row is not None and listener is not None:
                listener(row, min(1.0, progress(stage, steps=counts.steps, tokens=counts.tokens)))
            if not last and time.perf_counter() - saved > machine.checkpoint_seconds:
                save_checkpoint(
                    folder / "checkpoints", step=counts.steps, parts=parts, optimizer=optimizer,
                    state={"counts": counts.plain(), "loader": loaded.state.plain()},
                )  # fmt: skip
                saved = time.perf_counter()
        refusals = loader.refusals()
    check_moves(components(model), stage, before=before, name=name)
    return StageResult(counts=counts, ledger=rows, refusals=refusals)


def _part(model: VisionLanguageModel, objective: nn.Module, component: str) -> nn.Module:
    return objective if component == "objective" else components(model)[component]
