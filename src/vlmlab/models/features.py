"""Features: the patch states of one view, and the grouping of views whose grids are equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vlmlab.recipe.image import Grid


@dataclass(frozen=True, slots=True)
class Features:
    """Patch states of one view: float (grid.patches, width), row by row."""

    patches: Tensor
    grid: Grid


# Hooks on a module find the tensors in what it returns: sharding needs to see the patches.
torch.export.register_dataclass(Features)


def members_by_grid(grids: Sequence[Grid]) -> dict[Grid, list[int]]:
    """Indices of the views of each grid, in order of first appearance.

    >>> members_by_grid([Grid(2, 2), Grid(1, 2), Grid(2, 2)])
    {Grid(height=2, width=2): [0, 2], Grid(height=1, width=2): [1]}
    """
    members: dict[Grid, list[int]] = {}
    for index, grid in enumerate(grids):
        members.setdefault(grid, []).append(index)
    return members


def map_by_grid(features: Sequence[Features], function: Callable[[Tensor, Grid], Tensor]) -> list[Tensor]:
    """Apply `function` to the stacked patches (views, patches, width) of each grid; its results come back per view."""
    results: list[Tensor | None] = [None] * len(features)
    for grid, members in members_by_grid([feature.grid for feature in features]).items():
        together = function(torch.stack([features[index].patches for index in members]), grid)
        for index, result in zip(members, together.unbind(0), strict=True):
            results[index] = result
    return [result for result in results if result is not None]
