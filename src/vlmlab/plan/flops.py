"""Floating-point operations of one step, by component, forward and backward, aware of what is frozen and of packing.

Two figures. *Executed*: what the dense attention kernel computes, padding and forbidden pairs included; this is what
torch's FlopCounterMode counts. *Useful*: real positions only, and attention only to earlier positions of the same
document.

A component's backward pass costs its forward products once more for the weights if it trains, and once more for its
inputs if it or anything before it trains (vision -> connector -> language). So a frozen language model behind a
connector that trains still pays for gradients of its inputs, and a frozen vision backbone costs nothing backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from vlmlab.plan.products import (
    Cost,
    connector_products,
    contrastive_products,
    cost,
    language_products,
    vision_products,
)
from vlmlab.recipe.image import Grid
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.stage import Contrastive, NextToken, Stage


@dataclass(frozen=True, slots=True)
class ComponentFlops:
    """Operations of one step by component: vision, connector, language, objective."""

    executed: dict[str, Cost]
    useful: dict[str, Cost]


@dataclass(frozen=True, slots=True)
class StepCounts:
    """What one step holds."""

    rows: int
    length: int
    """Positions of a row, padding included: of the token rows, or of the text tower under a contrastive objective."""
    views: float
    grid: Grid
    positions: float
    """Real positions: text and visual, or of the text tower under a contrastive objective."""
    pairs: float
    """Pairs of a position and one that it may look at."""
    learned: float


def stage_step_flops(
    recipe: Recipe,
    stage: Stage,
    *,
    rows: int,
    length: int,
    views: int,
    grid: Grid,
    learned: int,
    segments: Sequence[int],
) -> ComponentFlops:
    """Operations of one step with exactly these counts.

    `segments` are the lengths of the documents in the rows, visual positions included. Under a contrastive objective
    `rows` are pairs, and `length` and `segments` those of the texts that the text tower reads.
    """
    match stage.objective:
        case NextToken():
            pairs = sum(segment * (segment + 1) / 2 for segment in segments)
        case Contrastive():
            pairs = sum(segment * segment for segment in segments)
        case _ as never:
            assert_never(never)
    counts = StepCounts(
        rows=rows, length=length, views=views, grid=grid, positions=sum(segments), pairs=pairs, learned=learned
    )
    return step_flops(recipe, stage, counts)


def step_flops(recipe: Recipe, stage: Stage, counts: StepCounts) -> ComponentFlops:
    """Operations of one step; counts may be expectations."""
    dense = counts.rows * counts.length
    return ComponentFlops(
        executed=_costs(recipe, stage, counts, positions=dense, pairs=dense * counts.length),
        useful=_costs(recipe, stage, counts, positions=counts.positions, pairs=counts.pairs),
    )


def _costs(recipe: Recipe, stage: Stage, counts: StepCounts, *, positions: float, pairs: float) -> dict[str, Cost]:
    model = recipe.model
    pictures = counts.views > 0
    vision = vision_products(model.vision, views=counts.views, grid=counts.grid)
    seen = pictures and stage.trains("vision")
    match stage.objective:
        case Contrastive() as objective:
            own = contrastive_products(
                objective.text,
                embedding=objective.embedding,
                image_width=model.vision.width,
                rows=counts.rows,
                positions=positions,
                pairs=pairs,
            )
            nothing = Cost(0.0, 0.0)
            return {
                "vision": cost(vision, trains=seen, upstream=False),
                "connector": nothing,
                "language": nothing,
                "objective": cost(own, trains=True, upstream=seen),
            }
        case NextToken():
            connector = connector_products(
                model.connector, vision=model.vision, language=model.language, views=counts.views, grid=counts.grid
            )
            language = language_products(
                model.language,
                vocabulary=recipe.vocabulary(),
                positions=positions,
                pairs=pairs,
                learned=counts.learned,
            )
            connected = pictures and stage.trains("connector")
            return {
                "vision": cost(vision, trains=seen, upstream=False),
                "connector": cost(connector, trains=connected, upstream=seen),
                "language": cost(language, trains=stage.trains("language"), upstream=seen or connected),
                "objective": Cost(0.0, 0.0),
            }
        case _ as never:
            assert_never(never)
