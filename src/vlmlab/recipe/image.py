"""How an image becomes the pixels that the vision backbone sees."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from vlmlab.recipe.spec import Spec


class Grid(NamedTuple):
    """Patches of one view."""

    height: int
    width: int

    @property
    def patches(self) -> int:
        return self.height * self.width


class ImagePolicy(Spec):
    """Size and shape of the views. A view's sides are always multiples of the backbone's patch."""

    policy: Literal["square", "pad", "keep"] = "square"
    """square: stretch to side x side. pad: keep the aspect ratio, centre on mean grey. keep: keep the aspect ratio as
    nearly as whole patches allow, longer side at most `side`."""
    side: int = Field(default=48, ge=1, le=16384)
    """Pixels of a square view's side, or the longest side under `keep`."""
    resampler: Literal["torch", "pillow"] = "torch"
    """Library that resizes: torch is several times faster, pillow is what published image processors use; they differ
    by about one grey level."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    """Interpolation, always with antialiasing."""

    def view_size(self, height: int, width: int, *, patch: int) -> tuple[int, int]:
        """Pixels (height, width) of the view of an image of `height` x `width` pixels.

        Under `keep` the longer side becomes `side` and the shorter the nearest positive multiple of `patch`:
        side 48, patch 8, an image of 100 x 200 gives (24, 48).
        """
        if self.policy != "keep":
            return self.side, self.side
        scale = self.side / max(height, width)
        limit = self.side // patch

        def patches(pixels: int) -> int:
            return min(limit, max(1, round(pixels * scale / patch)))

        return patches(height) * patch, patches(width) * patch

    def grid(self, height: int, width: int, *, patch: int) -> Grid:
        """Patches of the view of an image of `height` x `width` pixels."""
        rows, columns = self.view_size(height, width, patch=patch)
        return Grid(rows // patch, columns // patch)
