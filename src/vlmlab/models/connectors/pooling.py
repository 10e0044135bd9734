"""Connectors that merge neighbouring patches: average pooling (MM1) and pixel shuffle (Idefics3, VILA)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from vlmlab.models.features import Features, map_by_grid
from vlmlab.recipe.image import Grid


@final
class AveragePoolConnector(nn.Module):
    """Mean over windows, then one linear map with bias. A last partial window averages the patches that it has."""

    def __init__(self, *, window: int, vision_width: int, language_width: int) -> None:
        super().__init__()
        self.window = window
        self.projection = nn.Linear(vision_width, language_width)

    def forward(self, features: Sequence[Features]) -> list[Tensor]:
        return map_by_grid(features, lambda patches, grid: self.projection(average_windows(patches, grid, self.window)))


@final
class PixelShuffleConnector(nn.Module):
    """Concatenate window x window neighbours, then map them. Without `norm`: one linear map, no bias (Idefics3).

    With it: LayerNorm, linear, GELU, linear (VILA's mlp_downsample). Tokens run row by row, as in Idefics3 and VILA's
    later code; weights of VILA1.5 were trained with tokens column by column.
    """

    def __init__(self, *, window: int, norm_mlp: bool, vision_width: int, language_width: int) -> None:
        super().__init__()
        self.window = window
        merged = vision_width * window * window
        if norm_mlp:
            self.projection = nn.Sequential(
                nn.LayerNorm(merged),
                nn.Linear(merged, language_width),
                nn.GELU(),
                nn.Linear(language_width, language_width),
            )
        else:
            self.projection = nn.Linear(merged, language_width, bias=False)

    def forward(self, features: Sequence[Features]) -> list[Tensor]:
        return map_by_grid(features, lambda patches, grid: self.projection(merge_windows(patches, grid, self.window)))


def average_windows(patches: Tensor, grid: Grid, window: int) -> Tensor:
    """Means over windows. (views, patches, width) to (views, windows, width), row by row.

    A 3 x 3 grid with window 2 gives 2 x 2 means, of 4, 2, 2 and 1 patches.
    """
    views, _, width = patches.shape
    image = patches.transpose(1, 2).reshape(views, width, grid.height, grid.width)
    pooled = F.avg_pool2d(image, window, ceil_mode=True, count_include_pad=False)
    return pooled.flatten(2).transpose(1, 2)


def merge_windows(patches: Tensor, grid: Grid, window: int) -> Tensor:
    """Concatenate the patches of each window, row by row: (views, patches, width) to (views, windows, width * window²).

    On a 4 x 4 grid with window 2 the tokens hold patches [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15].
    Grids that are not a multiple of the window get zeros at the bottom and right.
    """
    views, _, width = patches.shape
    rows, columns = -(-grid.height // window), -(-grid.width // window)
    image = patches.reshape(views, grid.height, grid.width, width)
    missing_rows, missing_columns = rows * window - grid.height, columns * window - grid.width
    if missing_rows or missing_columns:
        image = F.pad(image, (0, 0, 0, missing_columns, 0, missing_rows))
    windows = image.reshape(views, rows, window, columns, window, width).transpose(2, 3)
    return windows.reshape(views, rows * columns, window * window * width)
