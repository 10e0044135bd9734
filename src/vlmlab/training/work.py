"""Work: what the rows of one step hold, and the useful operations that they cost by the plan's own count."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, dataclass
from typing import assert_never

import numpy as np

from vlmlab.batch import Batch
from vlmlab.plan.flops import allowed_pairs, read_costs, view_costs
from vlmlab.recipe.image import Grid
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.stage import Contrastive, NextToken, Stage
from vlmlab.training.world import World


@dataclass(frozen=True, slots=True)
class StepTotals:
    """What one step's rows hold: of this process, or summed over all of them. Whole numbers, exact as floats."""

    rows: float
    positions: float
    """Padding included."""
    tokens: float
    """Real positions: text and visual."""
    visual: float
    """Positions that visual tokens fill."""
    images: float
    """Occurrences of images; a view that is shown twice counts twice."""
    views: float
    documents: float
    read: float
    """Positions that the language model reads, or under a contrastive objective the text tower."""
    pairs: float
    """Pairs of such a position and one that it may look at."""
    seeing: float
    """Useful operations of vision and connector, forward and backward."""

    def summed(self, world: World) -> StepTotals:
        """Over all processes; each of them gets the same."""
        return self if world.size == 1 else StepTotals(*world.sum(astuple(self)))


class Work:
    """Counts the useful operations of one stage: real positions, attention inside documents, nothing for what is
    frozen. The plan estimates with the same functions."""

    def __init__(self, recipe: Recipe, stage: str) -> None:
        self._recipe = recipe
        self._stage: Stage = recipe.stages[stage]
        self._per_view: dict[Grid, float] = {}

    def totals(self, batch: Batch, *, documents: int) -> StepTotals:
        """What this process's rows hold."""
        lengths = segment_lengths(batch)
        tokens = int(lengths.sum())
        visual = sum(span.length for span in batch.spans)
        read = self._texts(batch, lengths) if isinstance(self._stage.objective, Contrastive) else lengths[lengths > 0]
        return StepTotals(
            rows=batch.num_rows,
            positions=batch.ids.numel(),
            tokens=tokens,
            visual=visual,
            images=len(batch.spans),
            views=batch.num_views,
            documents=documents,
            read=int(read.sum()),
            pairs=allowed_pairs(self._stage.objective, read.tolist()),
            seeing=sum(number * self._view(grid) for grid, number in Counter(batch.grids).items()),
        )

    def useful(self, totals: StepTotals, *, learned: int) -> float:
        """Useful operations of a step, forward and backward, from what it holds over all processes."""
        costs = read_costs(
            self._recipe,
            self._stage,
            rows=totals.rows,
            positions=totals.read,
            pairs=totals.pairs,
            learned=learned,
            pictures=totals.views > 0,
        )
        return totals.seeing + sum(cost.total for cost in costs.values())

    def _view(self, grid: Grid) -> float:
        if grid not in self._per_view:
            costs = view_costs(self._recipe, self._stage, views=1, grid=grid)
            self._per_view[grid] = sum(cost.total for cost in costs.values())
        return self._per_view[grid]

    def _texts(self, batch: Batch, lengths: np.ndarray) -> np.ndarray:
        """Lengths of the texts that the text tower reads: no begin token, no image, cut to its longest."""
        match self._stage.objective:
            case Contrastive() as objective:
                texts = lengths.sum(axis=1) - 1
                for span in batch.spans:
                    texts[span.row] -= self._recipe.model.fusion.positions(span.length)
                return np.minimum(texts, objective.text.max_positions)
            case NextToken():
                raise AssertionError("the language model reads whole documents")
            case _ as never:
                assert_never(never)


def segment_lengths(batch: Batch) -> np.ndarray:
    """int64 (rows, most documents of a row): positions of each document, 0 where a row has fewer.

    Segments 1 1 2 2 2 0 | 1 1 1 0 0 0 give 2 3 | 3 0.
    """
    segments = batch.segments.cpu().numpy()
    most = int(segments.max(initial=0)) + 1
    rows = np.arange(batch.num_rows)[:, None] * most
    counts = np.bincount((segments + rows).ravel(), minlength=batch.num_rows * most)
    return counts.reshape(batch.num_rows, most)[:, 1:]
