"""Vision backbones: pixels of a view to patch states."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from vlmlab.recipe.preset import expand_preset
from vlmlab.recipe.spec import Spec
from vlmlab.recipe.weights import Fresh, Weights


class Vision(Spec):
    """A vision transformer of Hugging Face's SigLIP or CLIP family."""

    kind: Literal["siglip", "clip"] = "siglip"
    """siglip: no class token, tanh-GELU, mean/std 0.5. clip: class token, quick-GELU, layer norm before the blocks."""
    preset: str | None = None
    """Name of a published backbone whose numbers fill the fields below, such as siglip-so400m-patch14-384."""
    weights: Weights = Field(default_factory=Fresh, discriminator="kind")
    """Where the parameters come from."""
    width: int = Field(default=128, ge=1)
    """Size of a patch state."""
    depth: int = Field(default=4, ge=1)
    """Transformer blocks."""
    heads: int = Field(default=4, ge=1)
    """Attention heads."""
    mlp: int = Field(default=512, ge=1)
    """Hidden size of a block's MLP."""
    patch: int = Field(default=8, ge=1)
    """Pixels of a patch's side."""
    side: int = Field(default=48, ge=1)
    """Pixels of the side that the position table was made for; other grids interpolate it."""
    feature_layer: int = Field(default=-1, le=-1)
    """Hidden state that the connector sees: -1 is the last with the final norm (SigLIP), -2 the one before without it
    (LLaVA)."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Mean of each channel, on a scale from 0 to 1, taken off before the backbone."""
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Standard deviation of each channel, divided out after the mean."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return expand_preset("vision", value)

    @model_validator(mode="after")
    def _geometry(self) -> Vision:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.side < self.patch:
            raise ValueError(f"side {self.side} is smaller than one patch of {self.patch} pixels")
        if -self.feature_layer > self.depth + 1:
            raise ValueError(f"feature_layer {self.feature_layer} is out of range for depth {self.depth}")
        return self

    def positions(self) -> int:
        """Rows of the position table, without a class token. A published 384 px SigLIP of patch 14 has 27 x 27."""
        return (self.side // self.patch) ** 2
