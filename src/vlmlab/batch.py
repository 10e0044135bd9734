"""Batch: the only thing that passes from data to model. Tensors with named shapes; moving and slicing, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from vlmlab.recipe.image import Grid

IGNORED = -100
"""Target at positions that are not learned."""


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """Where one image's visual tokens stand: row, first position, number of positions, and the view that fills them."""

    row: int
    start: int
    length: int
    view: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of tokens with their images.

    ids        int64 (rows, length)   token ids; the placeholder id at visual positions; the pad id at padding
    targets    int64 (rows, length)   targets[r, p] is the token to be predicted *from* position p, or IGNORED
    positions  int64 (rows, length)   0, 1, 2, ... within each document
    segments   int64 (rows, length)   1, 2, ... by document, 0 at padding; different segments never see each other
    pixels     uint8 (views, 3, height, width)   as resized; the backbone normalises them, where floats count as
               normalised already; smaller views are padded at the bottom and right with 0, which no grid reaches
    grids      one Grid a view: patches that are real
    spans      one ImageSpan an image occurrence; several spans may show the same view
    keys       keys[r] are the documents of row r, in order of their segments
    """

    ids: Tensor
    targets: Tensor
    positions: Tensor
    segments: Tensor
    pixels: Tensor
    grids: tuple[Grid, ...]
    spans: tuple[ImageSpan, ...]
    keys: tuple[tuple[str, ...], ...]

    @property
    def num_rows(self) -> int:
        return self.ids.shape[0]

    @property
    def num_views(self) -> int:
        return self.pixels.shape[0]

    def num_learned(self) -> int:
        """Positions with a target."""
        return int((self.targets != IGNORED).sum())

    def num_real(self) -> int:
        """Positions that are not padding."""
        return int((self.segments != 0).sum())

    def num_visual(self) -> int:
        """Positions that visual tokens fill."""
        return sum(span.length for span in self.spans)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        moved = {field.name: getattr(self, field.name) for field in fields(self)}
        return Batch(
            **{name: value.to(device) if isinstance(value, Tensor) else value for name, value in moved.items()}
        )

    def rows(self, start: int, stop: int) -> Batch:
        """Rows [start, stop) with the views that they show, renumbered."""
        kept = [span for span in self.spans if start <= span.row < stop]
        views = sorted({span.view for span in kept})
        new_view = {view: index for index, view in enumerate(views)}
        return Batch(
            ids=self.ids[start:stop],
            targets=self.targets[start:stop],
            positions=self.positions[start:stop],
            segments=self.segments[start:stop],
            pixels=self.pixels[views],
            grids=tuple(self.grids[view] for view in views),
            spans=tuple(replace(span, row=span.row - start, view=new_view[span.view]) for span in kept),
            keys=self.keys[start:stop],
        )
