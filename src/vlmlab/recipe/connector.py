"""Connectors: patch states to visual tokens. `tokens` is the one place where their number is computed."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from vlmlab.recipe.image import Grid
from vlmlab.recipe.spec import Spec


class Linear(Spec):
    """One linear map per patch."""

    kind: Literal["linear"]
    """One linear map."""

    def tokens(self, grid: Grid) -> int:
        return grid.patches


class MLP(Spec):
    """Linear, GELU, linear per patch (LLaVA-1.5)."""

    kind: Literal["mlp"]
    """Two-layer perceptron."""
    hidden: int | None = Field(default=None, ge=1)
    """Hidden size; null means the language model's width."""

    def tokens(self, grid: Grid) -> int:
        return grid.patches


class Perceiver(Spec):
    """Perceiver resampler: learned latents attend to patch states (Idefics2's block: RMSNorm, gated MLP, grouped
    queries).
    """

    kind: Literal["perceiver"]
    """Perceiver resampler."""
    latents: int = Field(default=64, ge=1)
    """Learned queries, which is the number of visual tokens of a view."""
    depth: int = Field(default=3, ge=1)
    """Blocks."""
    heads: int = Field(default=16, ge=1)
    """Query heads."""
    head_width: int = Field(default=96, ge=1)
    """Size of a head."""
    kv_heads: int = Field(default=4, ge=1)
    """Key and value heads, shared by groups of query heads."""
    projection: Literal["gated_mlp", "linear"] = "gated_mlp"
    """How patch states reach the language model's width before the latents see them."""
    projection_hidden: int | None = Field(default=None, ge=1)
    """Hidden size of the gated projection; null means the language model's MLP size."""

    def tokens(self, grid: Grid) -> int:
        return self.latents


class AveragePool(Spec):
    """Mean over windows, then one linear map (MM1)."""

    kind: Literal["average_pool"]
    """Average pooling."""
    window: int = Field(default=2, ge=1)
    """Side of the window in patches; a last partial window averages what it has."""

    def tokens(self, grid: Grid) -> int:
        return math.ceil(grid.height / self.window) * math.ceil(grid.width / self.window)


class PixelShuffle(Spec):
    """Concatenate window x window neighbours, then map to the language model (Idefics3: linear; VILA: norm and MLP)."""

    kind: Literal["pixel_shuffle"]
    """Pixel shuffle, tokens row by row."""
    window: int = Field(default=2, ge=1)
    """Side of the merged square in patches; odd grids are zero-padded at the bottom and right."""
    projection: Literal["linear", "norm_mlp"] = "linear"
    """linear: one map without bias (Idefics3). norm_mlp: LayerNorm, linear, GELU, linear (VILA's mlp_downsample)."""

    def tokens(self, grid: Grid) -> int:
        return math.ceil(grid.height / self.window) * math.ceil(grid.width / self.window)


Connector = Annotated[Linear | MLP | Perceiver | AveragePool | PixelShuffle, Field(discriminator="kind")]
