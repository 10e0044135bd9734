"""Visual tokens of pictures, computed once however often few-shot prompts show them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vlmlab.data.collate import stack_views
from vlmlab.data.encode import EncodedImage
from vlmlab.models.model import VisionLanguageModel

MEMORY = 512 * 2**20
"""Bytes of visual tokens and views that are kept between batches; what one batch needs is there in any case."""


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    view: Tensor
    tokens: Tensor

    @property
    def size(self) -> int:
        return self.view.nbytes + self.tokens.nbytes


class VisualTokens:
    """A store by picture key; pictures that were not used for longest are forgotten first.

    A key promises equal pixels, but two benchmarks may show one picture under two image policies: the view is kept
    beside its tokens and compared, so that another view is another entry's replacement and never its stand-in.
    """

    def __init__(self, model: VisionLanguageModel, *, views: int, memory: int = MEMORY) -> None:
        """`views` views pass the backbone at a time."""
        self._model = model
        self._views = views
        self._memory = memory
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._used = 0
        self.computed = 0
        """Views that passed the backbone so far."""

    @torch.no_grad()
    def of(self, images: Iterable[EncodedImage]) -> list[Tensor]:
        """The visual tokens of each distinct picture, in order of first occurrence: (tokens, width) each."""
        distinct: dict[str, EncodedImage] = {}
        for image in images:
            distinct.setdefault(image.key, image)
        missing = [image for image in distinct.values() if not self._knows(image)]
        for start in range(0, len(missing), self._views):
            self._compute(missing[start : start + self._views])
        tokens = [self._known[key].tokens for key in distinct]
        for key in distinct:
            self._known.move_to_end(key)
        while self._used > self._memory and self._known:
            _, dropped = self._known.popitem(last=False)
            self._used -= dropped.size
        return tokens

    def _knows(self, image: EncodedImage) -> bool:
        known = self._known.get(image.key)
        return known is not None and (known.view is image.view or torch.equal(known.view, image.view))

    def _compute(self, images: list[EncodedImage]) -> None:
        device = next(self._model.parameters()).device
        pixels = stack_views([image.view for image in images]).to(device)
        produced = self._model.visual_tokens(pixels, tuple(image.grid for image in images))
        self.computed += len(images)
        for image, tokens in zip(images, produced, strict=True):
            old = self._known.pop(image.key, None)
            # A slice would keep the whole batch's tokens alive.
            known = _Known(image.view, tokens.clone())
            self._known[image.key] = known
            self._used += known.size - (0 if old is None else old.size)
