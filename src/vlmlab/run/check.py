"""The checks of every stage of a recipe without training: on stored weights where earlier stages are done, else fresh.

On top of what a run checks before each stage, one real step is taken and taken back: what trains must move, and nothing
else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from vlmlab.batch import Batch
from vlmlab.data.loader import StageLoader
from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import RecipeError, TrainingError
from vlmlab.files import digest
from vlmlab.models.build import components
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.objectives.build import build_objective
from vlmlab.models.trainable import fingerprint, set_trainable
from vlmlab.recipe.load import LoadedRecipe
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.check import CheckRecord, CheckReport, CheckSection, check_report
from vlmlab.run.execute import fresh_model, prepare, stored_tokenizer
from vlmlab.run.identity import identities_after, initial_identities, stage_content
from vlmlab.run.store import Store
from vlmlab.training.checks.before import MOST_BATCHES, probe_model
from vlmlab.training.checks.gradients import GRADIENTS
from vlmlab.training.checks.groups import probe_groups
from vlmlab.training.checks.subject import Subject, fresh_components
from vlmlab.training.moves import check_moves
from vlmlab.training.optim import build_optimizer

MOVES = "what moves"


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all stages are checked with."""

    recipe: Recipe
    machine: Machine
    tokenizer: Tokenizer
    sources: dict[str, OpenSource]
    model: VisionLanguageModel


def check_recipe(
    loaded: LoadedRecipe, *, machine: Machine, checking: Callable[[str], None] = lambda stage: None
) -> CheckReport:
    """Check every stage; `checking` is told each one's name before it begins. Failures are in the report, not raised.

    The store is read, and gets the tokenizer if it has none; nothing else is written.
    """
    recipe = loaded.recipe
    if not recipe.stages:
        raise RecipeError(str(loaded.path), "the recipe has no stages to check")
    prepare(machine)
    store = Store(Path(machine.store))
    sources = open_sources(recipe.data, root=Path(), names=recipe.drawn_sources())
    tokenizer = stored_tokenizer(recipe, sources=sources, store=store)
    bench = _Bench(recipe, machine, tokenizer, sources, fresh_model(recipe, machine=machine))
    identities = initial_identities(recipe)
    waiting: list[str] = []
    sections: list[CheckSection] = []
    for name in recipe.stages:
        checking(name)
        fresh = fresh_components(recipe, name)
        for earlier in waiting:
            stage = recipe.stages[earlier]
            trained = {part for part in ("vision", "connector", "language") if stage.trains(part)}
            fresh |= trained & fresh_components(recipe, earlier)
        weights = _weights(recipe, name, waiting=waiting)
        sections.append(CheckSection(title=name, weights=weights, checks=check_stage(bench, name, fresh=fresh)))
        content = stage_content(recipe, name, before=identities, tokenizer=tokenizer.fingerprint(), sources=sources)
        identity = digest(content)
        if store.path(identity) is None:
            waiting.append(name)
        else:
            store.load(identity, components(bench.model))
        identities = identities_after(recipe, name, before=identities, identity=identity)
    return check_report(recipe.name, sections)


def _weights(recipe: Recipe, name: str, *, waiting: list[str]) -> str:
    if waiting:
        return f"without the training of {', '.join(waiting)} (not in the store)"
    first = next(iter(recipe.stages)) == name
    return "as the recipe begins" if first else "after the earlier stages, from the store"


def check_stage(bench: _Bench, name: str, *, fresh: frozenset[str]) -> list[CheckRecord]:
    """The checks of one stage. The model is left as it was."""
    recipe, machine, model = bench.recipe, bench.machine, bench.model
    stage = recipe.stages[name]
    objective = build_objective(
        stage.objective, model=model, recipe_model=recipe.model, vocabulary=recipe.vocabulary(),
        seed=recipe.stage_seed(name),
        loss_chunk=machine.loss_chunk,
    ).to(machine.device)  # fmt: skip
    groups = set_trainable(model, objective, stage)
    optimizer = build_optimizer(groups, stage.optimizer, device=machine.device)
    subject = Subject(
        model=model, objective=objective, stage=stage, placeholder=bench.tokenizer.image, rows=machine.micro_rows
    )
    drawn = {source: bench.sources[source] for source, weight in stage.mixture.items() if weight > 0}
    with StageLoader(
        recipe=recipe, stage=name, tokenizer=bench.tokenizer, sources=drawn, workers=0, prefetch=machine.prefetch
    ) as loader:
        batches = [loaded.batch for loaded, _ in zip(loader, range(MOST_BATCHES), strict=False)]
    checks = [probe_groups(subject, optimizer), *probe_model(subject, batches=batches, fresh=fresh)]
    if any(check.outcome == "failed" or (check.name == GRADIENTS and check.outcome == "note") for check in checks):
        return checks
    return [*checks, probe_moves(subject, optimizer, [batch.to(model.device) for batch in batches], name=name)]


def probe_moves(
    subject: Subject, optimizer: torch.optim.Optimizer, batches: Sequence[Batch], *, name: str
) -> CheckRecord:
    """Take a step on `batches` and take it back; the check that ends every stage is applied to it."""
    parts = components(subject.model)
    before = {component: fingerprint(part) for component, part in parts.items()}
    kept = [(parameter, parameter.detach().clone()) for parameter in subject.trained().values()]
    for batch in batches:
        for part in subject.micro_batches(batch):
            loss = subject.loss(part)
            if loss.count and loss.total.requires_grad:
                (loss.total / loss.count).backward()
    optimizer.step()
    try:
        check_moves(parts, subject.stage, before=before, name=name)
    except TrainingError as error:
        return CheckRecord(name=MOVES, outcome="failed", words=f"{error.where}: {error.problem}")
    finally:
        with torch.no_grad():
            for parameter, value in kept:
                parameter.copy_(value)
        optimizer.zero_grad(set_to_none=True)
    frozen = [component for component in parts if not _trains(subject, parts[component])]
    held = f"; {', '.join(frozen)} did not" if frozen else ""
    moved = ", ".join(component for component in parts if component not in frozen)
    return CheckRecord(name=MOVES, outcome="ok", words=f"after one step {moved or 'the objective'} moved{held}")


def _trains(subject: Subject, part: nn.Module) -> bool:
    trained = {id(parameter) for parameter in subject.trained().values()}
    return any(id(parameter) in trained for parameter in part.parameters())
