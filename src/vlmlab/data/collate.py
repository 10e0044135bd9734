"""Rows of examples to a Batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vlmlab.batch import IGNORED, Batch, ImageSpan
from vlmlab.data.encode import EncodedImage, Example
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.recipe.image import Grid
from vlmlab.recipe.recipe import Model


def collate(rows: Sequence[Sequence[Example]], *, length: int, tokenizer: Tokenizer, model: Model) -> Batch:
    """Packed rows of `length` positions, padded on the right.

    targets[r, p] is the token at p + 1 where that one is learned and of the same document. The ids a b | c d with every
    token but the first of a document learned give the targets b - | d -.
    """
    board = _Board(num_rows=len(rows), length=length, tokenizer=tokenizer)
    for row, examples in enumerate(rows):
        assert sum(map(len, examples)) <= length, "rows are packed before they are collated"
        offset = 0
        for segment, example in enumerate(examples, start=1):
            board.write(example, row=row, offset=offset, segment=segment)
            offset += len(example)
    return board.batch(model, keys=tuple(tuple(example.key for example in examples) for examples in rows))


def collate_prompts(examples: Sequence[Example], *, tokenizer: Tokenizer, model: Model) -> Batch:
    """One prompt a row, padded on the left to the longest, so that every row continues at the same place.

    Positions start at 0 at the first real token. What a prompt's parts mark as learned has targets here too.
    """
    length = max(map(len, examples), default=0)
    board = _Board(num_rows=len(examples), length=length, tokenizer=tokenizer)
    for row, example in enumerate(examples):
        board.write(example, row=row, offset=length - len(example), segment=1)
    return board.batch(model, keys=tuple((example.key,) for example in examples))


class _Board:
    """The tensors of a batch while they are written, as arrays: numpy is quicker with small pieces."""

    def __init__(self, *, num_rows: int, length: int, tokenizer: Tokenizer) -> None:
        shape = (num_rows, length)
        self.ids = np.full(shape, tokenizer.pad, dtype=np.int64)
        self.targets = np.full(shape, IGNORED, dtype=np.int64)
        self.positions = np.zeros(shape, dtype=np.int64)
        self.segments = np.zeros(shape, dtype=np.int64)
        self.views: list[EncodedImage] = []
        self.view_numbers: dict[str, list[int]] = {}
        self.spans: list[ImageSpan] = []

    def write(self, example: Example, *, row: int, offset: int, segment: int) -> None:
        stop = offset + len(example)
        ids = np.array(example.ids, dtype=np.int64)
        learn = np.array(example.learn, dtype=np.bool_)
        self.ids[row, offset:stop] = ids
        self.targets[row, offset : stop - 1] = np.where(learn[1:], ids[1:], IGNORED)
        self.positions[row, offset:stop] = np.arange(len(example))
        self.segments[row, offset:stop] = segment
        for image in example.images:
            self.spans.append(
                ImageSpan(row=row, start=offset + image.start, length=image.length, view=self._view(image))
            )

    def _view(self, image: EncodedImage) -> int:
        """The number of the image's view; one that is already there is shown again."""
        known = self.view_numbers.setdefault(image.key, [])
        for number in known:
            view = self.views[number].view
            # Keys promise equal pixels; two recipes of one world in one mixture could break the promise.
            if view is image.view or torch.equal(view, image.view):
                return number
        known.append(len(self.views))
        self.views.append(image)
        return known[-1]

    def batch(self, model: Model, *, keys: tuple[tuple[str, ...], ...]) -> Batch:
        side = model.image.side
        views = [image.view for image in self.views]
        return Batch(
            ids=torch.from_numpy(self.ids),
            targets=torch.from_numpy(self.targets),
            positions=torch.from_numpy(self.positions),
            segments=torch.from_numpy(self.segments),
            pixels=stack_views(views) if views else torch.zeros((0, 3, side, side), dtype=torch.uint8),
            grids=tuple(Grid(*image.grid) for image in self.views),
            spans=tuple(self.spans),
            keys=keys,
        )


def stack_views(views: Sequence[Tensor]) -> Tensor:
    """uint8 views (3, height, width) of any sizes, at least one, as one uint8 (views, 3, height, width).

    Smaller views are padded at the bottom and right with 0.
    """
    height = max(view.shape[1] for view in views)
    width = max(view.shape[2] for view in views)
    even = all(view.shape[1:] == (height, width) for view in views)
    # numpy asks the system for large pages, which torch does not; small ones cost more time than the copy itself.
    pixels = (np.empty if even else np.zeros)((len(views), 3, height, width), dtype=np.uint8)
    for place, view in zip(pixels, views, strict=True):
        place[:, : view.shape[1], : view.shape[2]] = view.numpy()
    return torch.from_numpy(pixels)
