"""Connectors that map each patch on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from vlmlab.models.features import Features, map_by_grid


@final
class LinearConnector(nn.Module):
    """One linear map with bias: (patches, vision width) to (patches, language width)."""

    def __init__(self, *, vision_width: int, language_width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(vision_width, language_width)

    def forward(self, features: Sequence[Features]) -> list[Tensor]:
        return map_by_grid(features, lambda patches, grid: self.projection(patches))


@final
class MLPConnector(nn.Module):
    """Linear, GELU, linear, with biases (LLaVA-1.5; `linear_1` and `linear_2` of its published weights)."""

    def __init__(self, *, vision_width: int, hidden: int, language_width: int) -> None:
        super().__init__()
        self.first = nn.Linear(vision_width, hidden)
        self.activation = nn.GELU()
        self.second = nn.Linear(hidden, language_width)

    def forward(self, features: Sequence[Features]) -> list[Tensor]:
        return map_by_grid(features, lambda patches, grid: self.second(self.activation(self.first(patches))))
