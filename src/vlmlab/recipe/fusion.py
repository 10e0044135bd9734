"""Fusion: where visual tokens meet the language model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vlmlab.recipe.spec import Spec


class Autoregressive(Spec):
    """Visual tokens take positions in the token row and are attended to like text (fully autoregressive)."""

    kind: Literal["autoregressive"] = "autoregressive"
    """Fully autoregressive fusion."""
    marks: bool = False
    """Put <image_start> and <image_end> around each image's visual tokens."""

    def positions(self, visual_tokens: int) -> int:
        """Positions of the row that one image takes."""
        return visual_tokens + 2 * self.marks


Fusion = Autoregressive
FusionField = Field(default_factory=Autoregressive)
