"""A tiny stage that passes every check, for tests to break."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tests.models.tiny import VOCABULARY, model_spec, packed_batch, stage_spec, tiny_model
from vlmlab.batch import Batch
from vlmlab.models.build import BuildOptions
from vlmlab.models.objectives.build import build_objective
from vlmlab.models.trainable import set_trainable
from vlmlab.recipe.stage import Contrastive, Stage
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.before import probe_model
from vlmlab.training.checks.subject import Subject
from vlmlab.training.optim import build_optimizer

PLACEHOLDER = 3
ALL = frozenset({"vision", "connector", "language", "objective"})
LENGTHS = [[14, 9, 12], [20, 13]]


def subject(
    *,
    train: tuple[str, ...] = ("vision", "connector", "language"),
    rows: int | None = None,
    options: BuildOptions | None = None,
    precision: str = "float32",
    connector: str = "mlp",
) -> Subject:
    """A next-token stage over a fresh model."""
    return _subject(
        stage_spec(train=train),
        model=tiny_model(options=options, precision=precision, connector=connector),
        rows=rows,
        connector=connector,
    )


def contrastive_subject(loss: str) -> Subject:
    """A contrastive stage that trains the backbone."""
    stage = stage_spec("contrastive", train=("vision",))
    objective = stage.objective
    assert isinstance(objective, Contrastive)
    tree = stage.plain() | {"objective": objective.plain() | {"loss": loss, "embedding": 64}}
    return _subject(Stage.model_validate(tree, strict=False), model=tiny_model(), rows=None, connector="mlp")


def _subject(stage: Stage, *, model: Any, rows: int | None, connector: str) -> Subject:
    objective = build_objective(
        stage.objective, model=model, recipe_model=model_spec(connector=connector), vocabulary=VOCABULARY, seed=0,
        loss_chunk=64,
    )  # fmt: skip
    set_trainable(model, objective, stage)
    return Subject(model=model, objective=objective, stage=stage, placeholder=PLACEHOLDER, rows=rows)


def optimizer_of(subject: Subject) -> torch.optim.AdamW:
    """The stage's real optimiser."""
    groups = set_trainable(subject.model, subject.objective, subject.stage)
    return build_optimizer(groups, subject.stage.optimizer, device="cpu")


def images(lengths: list[list[int]] | None = None, *, connector: str = "mlp", seed: int = 0) -> Batch:
    """Packed rows with an image in each row's first document, placeholders in place."""
    batch = packed_batch(model_spec(connector=connector), LENGTHS if lengths is None else lengths, seed=seed)
    ids = batch.ids.clone()
    for span in batch.spans:
        ids[span.row, span.start : span.start + span.length] = PLACEHOLDER
    keys = tuple(tuple(f"source#{row}.{number}" for number in range(len(held))) for row, held in enumerate(batch.keys))
    return replace(batch, ids=ids, keys=keys)


def text() -> Batch:
    """The same rows without images."""
    batch = images()
    ids = torch.where(batch.ids == PLACEHOLDER, PLACEHOLDER + 4, batch.ids)
    return replace(batch, ids=ids, spans=(), grids=(), pixels=batch.pixels[:0])


def checks(subject: Subject, *batches: Batch, fresh: frozenset[str] = ALL) -> dict[str, CheckRecord]:
    """Every probe of the model by name."""
    return {check.name: check for check in probe_model(subject, batches=batches, fresh=fresh)}


def failed(found: dict[str, CheckRecord]) -> set[str]:
    """Names of the checks that failed."""
    return {name for name, check in found.items() if check.outcome == "failed"}
