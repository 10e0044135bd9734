"""What the language model has read of a batch of prompts; it can be continued in more than one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from vlmlab.batch import Batch
from vlmlab.models.model import VisionLanguageModel


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A place to return to. It holds references alone: the cache grows by concatenation and never writes in place."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    segments: Tensor
    positions: Tensor
    last: Tensor


class Reading:
    """Rows of text and images, read piece by piece; `mark` and `rewind` give one beginning several continuations."""

    def __init__(self, model: VisionLanguageModel, *, rows: int) -> None:
        device = next(model.parameters()).device
        self._model = model
        self._cache = DynamicCache()
        self._segments = torch.zeros((rows, 0), dtype=torch.int64, device=device)
        self._positions = torch.zeros(rows, dtype=torch.int64, device=device)
        self._last: Tensor | None = None

    @property
    def rows(self) -> int:
        return self._segments.shape[0]

    @property
    def device(self) -> torch.device:
        return self._segments.device

    @property
    def last(self) -> Tensor:
        """Hidden state from which each row's next token is predicted: (rows, width)."""
        assert self._last is not None, "nothing has been read"
        return self._last

    def read(self, batch: Batch, *, visual: Sequence[Tensor]) -> None:
        """Read a left-padded piece of each row; `visual` has the visual tokens of each view of the batch.

        The padding stays in the cache as columns of segment 0, which nothing sees; positions go on as if it were not.
        """
        embeds = self._model.embed(batch, visual=visual)
        self._run(embeds, positions=batch.positions + self._positions[:, None], segments=batch.segments)
        self._positions = self._positions + batch.segments.sum(dim=1)

    def extend(self, ids: Tensor) -> Tensor:
        """Read `ids` (rows, n); their hidden states (rows, n, width).

        Padding at the right needs no mask: nothing real comes after it before the next `rewind`.
        """
        positions = self._positions[:, None] + torch.arange(ids.shape[1], device=self.device)
        embeds = self._model.language.embed_tokens(ids)
        hidden = self._run(embeds, positions=positions, segments=torch.ones_like(ids))
        self._positions = self._positions + ids.shape[1]
        return hidden

    def _run(self, embeds: Tensor, *, positions: Tensor, segments: Tensor) -> Tensor:
        self._segments = torch.cat([self._segments, segments], dim=1)
        hidden = self._model.language.run(embeds, positions=positions, segments=self._segments, cache=self._cache)
        # Left padding: the last column is every row's last token.
        self._last = hidden[:, -1]
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits in float32, whatever the precision of the products."""
        return self._model.language.head(hidden).float()

    def mark(self) -> Mark:
        """Remember this place."""
        states: list[tuple[Tensor, Tensor]] = []
        for layer in self._layers():
            assert layer.keys is not None
            assert layer.values is not None
            states.append((layer.keys, layer.values))
        return Mark(tuple(states), self._segments, self._positions, self.last)

    def rewind(self, mark: Mark) -> None:
        """Forget everything after the mark, rows that left included."""
        for layer, (keys, values) in zip(self._layers(), mark.layers, strict=True):
            layer.keys, layer.values = keys, values
        self._segments, self._positions, self._last = mark.segments, mark.positions, mark.last

    def _layers(self) -> list[DynamicLayer]:
        return [layer for layer in self._cache.layers if isinstance(layer, DynamicLayer)]

    def keep(self, rows: Tensor) -> None:
        """Keep these rows alone, in this order; the others are finished."""
        self._cache.batch_select_indices(rows)
        self._segments = self._segments[rows]
        self._positions = self._positions[rows]
        self._last = self.last[rows]
