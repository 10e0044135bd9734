"""Floating-point operations of one step, by component, forward and backward, aware of what is frozen and of packing.

Two figures. *Executed*: what the dense attention kernel computes, padding and forbidden pairs included; this is what
torch's FlopCounterMode counts. *Useful*: real positions only, and attention only to earlier positions of the same
document.

A component's backward pass costs its forward products once more for the weights if it trains, and once more for its
inputs if it or anything before it trains (vision -> connector -> language). So a frozen language model behind a
connector that trains still pays for gradients of its inputs, and a frozen vision backbone costs nothing backward.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from vlmlab.recipe.stage import Contrastive, NextToken, Objective, Stage


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
    counts = StepCounts(
        rows=rows,
        length=length,
        views=views,
        grid=grid,
        positions=sum(segments),
        pairs=allowed_pairs(stage.objective, segments),
        learned=learned,
    )
    return step_flops(recipe, stage, counts)


def allowed_pairs(objective: Objective, segments: Iterable[int]) -> float:
    """Pairs of a position and one that it may look at, in documents (or texts of the text tower) of these lengths."""
    match objective:
        case NextToken():
            return sum(segment * (segment + 1) for segment in segments) / 2
        case Contrastive():
            return float(sum(segment * segment for segment in segments))
        case _ as never:
            assert_never(never)


def step_flops(recipe: Recipe, stage: Stage, counts: StepCounts) -> ComponentFlops:
    """Operations of one step; counts may be expectations."""
    dense = counts.rows * counts.length
    seeing = view_costs(recipe, stage, views=counts.views, grid=counts.grid)
    pictures = counts.views > 0
    rows, learned = counts.rows, counts.learned
    executed = read_costs(
        recipe, stage, rows=rows, positions=dense, pairs=dense * counts.length, learned=learned, pictures=pictures
    )
    useful = read_costs(
        recipe, stage, rows=rows, positions=counts.positions, pairs=counts.pairs, learned=learned, pictures=pictures
    )
    return ComponentFlops(executed=seeing | executed, useful=seeing | useful)


def view_costs(recipe: Recipe, stage: Stage, *, views: float, grid: Grid) -> dict[str, Cost]:
    """What sees, over `views` views of one grid: vision and connector. Proportional to the number of views."""
    model = recipe.model
    vision = vision_products(model.vision, views=views, grid=grid)
    seen = views > 0 and stage.trains("vision")
    match stage.objective:
        case Contrastive():
            connector = Cost(0.0, 0.0)
        case NextToken():
            products = connector_products(
                model.connector, vision=model.vision, language=model.language, views=views, grid=grid
            )
            connector = cost(products, trains=views > 0 and stage.trains("connector"), upstream=seen)
        case _ as never:
            assert_never(never)
    return {"vision": cost(vision, trains=seen, upstream=False), "connector": connector}


def read_costs(
    recipe: Recipe, stage: Stage, *, rows: float, positions: float, pairs: float, learned: float, pictures: bool
) -> dict[str, Cost]:
    """What reads, over the rows of one step: language model and objective. `pictures`: whether the step has views."""
    model = recipe.model
    seen = pictures and stage.trains("vision")
    nothing = Cost(0.0, 0.0)
    match stage.objective:
        case Contrastive() as objective:
            own = contrastive_products(
                objective.text,
                embedding=objective.embedding,
                image_width=model.vision.width,
                rows=rows,
                positions=positions,
                pairs=pairs,
            )
            return {"language": nothing, "objective": cost(own, trains=True, upstream=seen)}
        case NextToken():
            language = language_products(
                model.language, vocabulary=recipe.vocabulary(), positions=positions, pairs=pairs, learned=learned
            )
            upstream = seen or (pictures and stage.trains("connector"))
            return {
                "language": cost(language, trains=stage.trains("language"), upstream=upstream),
                "objective": nothing,
            }
        case _ as never:
            assert_never(never)
