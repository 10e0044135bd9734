"""Prompts that the language model has read once: their keys and values, to be continued in more than one way."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import DynamicCache

from vlmlab.batch import Batch
from vlmlab.models.model import VisionLanguageModel


class Prefix:
    """A left-padded batch of prompts in the cache; `extend` reads on, `rewind` forgets what came after the prompts."""

    def __init__(self, model: VisionLanguageModel, batch: Batch, *, visual: list[Tensor]) -> None:
        """Read the prompts. `visual` has the visual tokens of each view of the batch."""
        self._model = model
        self._cache = DynamicCache()
        self._segments = batch.segments
        self._prompt = batch.ids.shape[1]
        embeds = model.embed(batch, visual=visual)
        hidden = model.language.run(embeds, positions=batch.positions, segments=batch.segments, cache=self._cache)
        # Left padding: the last column is every prompt's last token.
        self.last: Tensor = hidden[:, -1]
        """Hidden state from which each prompt's next token is predicted: (rows, width)."""
        self._next = batch.positions[:, -1] + 1

    @property
    def rows(self) -> int:
        return self._segments.shape[0]

    @property
    def device(self) -> torch.device:
        return self._segments.device

    def extend(self, ids: Tensor) -> Tensor:
        """Read `ids` (rows, n) after what was read; their hidden states (rows, n, width).

        Padding at the right needs no mask: nothing real comes after it, and `rewind` drops it.
        """
        count = ids.shape[1]
        positions = self._next[:, None] + torch.arange(count, device=self.device)
        self._segments = torch.cat([self._segments, torch.ones_like(ids)], dim=1)
        self._next = self._next + count
        embeds = self._model.language.embed_tokens(ids)
        return self._model.language.run(embeds, positions=positions, segments=self._segments, cache=self._cache)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits in float32, whatever the precision of the products."""
        return self._model.language.head(hidden).float()

    def rewind(self) -> None:
        """Forget everything after the prompts."""
        extra = self._segments.shape[1] - self._prompt
        if extra:
            # A negative number is the count of tokens to remove in every release that we support.
            self._cache.crop(-extra)
            self._segments = self._segments[:, : self._prompt]
            self._next = self._next - extra

    def keep(self, rows: Tensor) -> None:
        """Keep these rows alone, in this order; the others are finished."""
        self._cache.batch_select_indices(rows)
        self._segments = self._segments[rows]
        self._next = self._next[rows]
        self.last = self.last[rows]
