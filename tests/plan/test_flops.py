"""Executed operations equal torch's counter with the matmul kernel; useful ones follow packing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.plan.variants import CONNECTORS, FREEZES, LANGUAGES, VISIONS, recipe_with
from vlmlab.batch import IGNORED, Batch, ImageSpan
from vlmlab.plan.flops import ComponentFlops, stage_step_flops
from vlmlab.plan.products import Cost
from vlmlab.recipe.image import Grid
from vlmlab.recipe.recipe import Recipe

GRID = Grid(5, 5)
ROWS, LENGTH = 2, 96
SEGMENTS = (40, 30, 60)
TOLERANCE = 1e-4
"""Equal to the last operation with transformers 5.23; a version may count the rotary angles too, 1e-5 of the whole."""
PERCEIVERS = [changes for changes in CONNECTORS if changes["model.connector"]["kind"] == "perceiver"]


def packed_batch(recipe: Recipe, *, pictures: bool = True) -> Batch:
    """Two rows: documents of 40 and 30 positions, and one of 60; one picture each; every text position learned."""
    tokens = recipe.model.connector.tokens(GRID)
    segments = torch.zeros(ROWS, LENGTH, dtype=torch.int64)
    positions = torch.zeros_like(segments)
    targets = torch.full_like(segments, IGNORED)
    spans: list[ImageSpan] = []
    for row, number, start, length in ((0, 1, 0, 40), (0, 2, 40, 30), (1, 1, 0, 60)):
        segments[row, start : start + length] = number
        positions[row, start : start + length] = torch.arange(length)
        targets[row, start : start + length - 1] = 7
        if pictures:
            spans.append(ImageSpan(row=row, start=start + 1, length=tokens, view=len(spans)))
            targets[row, start : start + tokens] = IGNORED
    return Batch(
        ids=torch.full((ROWS, LENGTH), 7),
        targets=targets,
        positions=positions,
        segments=segments,
        pixels=torch.rand(len(spans), 3, 40, 40),
        grids=(GRID,) * len(spans),
        spans=tuple(spans),
        keys=(("a", "b"), ("c",)),
    )


def counted(recipe: Recipe, name: str, batch: Batch) -> int:
    """Operations of one step by torch's counter."""
    from vlmlab.models.build import BuildOptions, build_model
    from vlmlab.models.objectives.build import build_objective
    from vlmlab.models.trainable import set_trainable

    stage = recipe.stages[name]
    model = build_model(
        recipe.model,
        vocabulary=recipe.vocabulary(),
        seed=0,
        precision="float32",
        options=BuildOptions(attention="matmul"),
    )
    objective = build_objective(
        stage.objective, model=model, recipe_model=recipe.model, vocabulary=recipe.vocabulary(), seed=0, loss_chunk=50
    )
    set_trainable(model, objective, stage)
    # torch's counter does not know its own fused attention on the CPU; the plain one is made of matmuls.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        objective(batch).total.backward()
    return counter.get_total_flops()


def total(costs: dict[str, Cost]) -> float:
    return sum(cost.total for cost in costs.values())


def joint_flops(recipe: Recipe, batch: Batch) -> ComponentFlops:
    return stage_step_flops(
        recipe,
        recipe.stages["joint"],
        rows=ROWS,
        length=LENGTH,
        views=batch.num_views,
        grid=GRID,
        learned=batch.num_learned(),
        segments=SEGMENTS,
    )


@pytest.mark.parametrize(
    "changes",
    [
        *VISIONS,
        *CONNECTORS,
        *LANGUAGES,
        *FREEZES,
        *(PERCEIVERS[0] | freeze for freeze in FREEZES),
        *({"model.connector": {"kind": "pixel_shuffle", "projection": "norm_mlp"}} | freeze for freeze in FREEZES),
        VISIONS[3] | FREEZES[0],
    ],
    ids=json.dumps,
)
def test_executed_operations_equal_torchs_counter(changes: dict[str, Any]) -> None:
    recipe = recipe_with(changes)
    batch = packed_batch(recipe)
    assert total(joint_flops(recipe, batch).executed) == pytest.approx(counted(recipe, "joint", batch), rel=TOLERANCE)


@pytest.mark.parametrize("changes", [FREEZES[0], FREEZES[3]], ids=json.dumps)
def test_text_only_batches_cost_nothing_for_pictures(changes: dict[str, Any]) -> None:
    recipe = recipe_with(changes)
    batch = packed_batch(recipe, pictures=False)
    flops = joint_flops(recipe, batch)
    assert flops.executed["vision"] == flops.executed["connector"] == Cost(0, 0)
    assert total(flops.executed) == pytest.approx(counted(recipe, "joint", batch), rel=TOLERANCE)


@pytest.mark.parametrize("train", [{"vision": {"mode": "full"}}, {}], ids=json.dumps)
@pytest.mark.parametrize("kind", ["siglip", "clip"])
def test_contrastive_operations_equal_torchs_counter(train: dict[str, Any], kind: str) -> None:
    # A wide shared space, so that the matrix of similarities weighs something.
    changes = {"stages.vision.train": train, "model.vision.kind": kind, "stages.vision.objective.embedding": 512}
    recipe = recipe_with(changes)
    rows, length, visual = 6, 64, 25
    texts = [9, 14, 30, 11, 12, 13]  # the longest is cut to max_positions 24
    segments = torch.zeros(rows, length, dtype=torch.int64)
    for row, text in enumerate(texts):
        segments[row, : 1 + visual + text] = 1
    positions = torch.arange(length).expand(rows, -1) * segments
    batch = Batch(
        ids=torch.arange(rows)[:, None] + torch.full((rows, length), 7),
        targets=torch.full((rows, length), IGNORED),
        positions=positions,
        segments=segments,
        pixels=torch.rand(rows, 3, 40, 40),
        grids=(GRID,) * rows,
        spans=tuple(ImageSpan(row=row, start=1, length=visual, view=row) for row in range(rows)),
        keys=tuple((str(row),) for row in range(rows)),
    )
    flops = stage_step_flops(
        recipe,
        recipe.stages["vision"],
        rows=rows,
        length=24,
        views=rows,
        grid=GRID,
        learned=0,
        segments=[min(24, text) for text in texts],
    )
    assert total(flops.executed) == pytest.approx(counted(recipe, "vision", batch), rel=TOLERANCE)
    assert total(flops.useful) < total(flops.executed)


def test_useful_operations_by_hand() -> None:
    recipe = recipe_with({})
    batch = packed_batch(recipe)
    useful = joint_flops(recipe, batch).useful["language"]
    language = recipe.model.language
    maps = 2 * sum(SEGMENTS) * 64 * (2 * 64 + 2 * 32 + 3 * 96)
    attention = sum(2 * 2 * 64 * (length * (length + 1) // 2) for length in SEGMENTS)
    head = 2 * batch.num_learned() * 64 * 400
    assert useful.forward == language.depth * (maps + attention) + head
    assert useful.backward == 2 * useful.forward


def test_a_frozen_language_model_pays_for_gradients_of_its_inputs_only() -> None:
    batch = packed_batch(recipe_with({}))
    joint, connector, language = (joint_flops(recipe_with(FREEZES[index]), batch).useful for index in (0, 2, 3))
    assert 0 < connector["language"].backward < joint["language"].backward
    assert connector["vision"].backward == language["connector"].backward == language["vision"].backward == 0
    assert joint["vision"].backward > joint["vision"].forward
