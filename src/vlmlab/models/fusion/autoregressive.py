"""Fully autoregressive fusion: visual tokens take the place of placeholder embeddings in the row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vlmlab.batch import Batch, ImageSpan
from vlmlab.errors import BatchError


def fill_spans(embeddings: Tensor, visual: Sequence[Tensor], batch: Batch, *, connector: str) -> Tensor:
    """Put `visual[span.view]` (tokens, width) at each span of `embeddings` (rows, length, width).

    Raises BatchError where a span does not have as many positions as the connector produced tokens.
    """
    if not batch.spans:
        return embeddings
    check_spans(batch.spans, [tokens.shape[0] for tokens in visual], batch, connector=connector)
    rows, length, width = embeddings.shape
    starts = np.array([span.row * length + span.start for span in batch.spans])
    lengths = np.array([span.length for span in batch.spans])
    first = np.repeat(starts - np.concatenate(([0], lengths.cumsum()[:-1])), lengths)
    index = torch.from_numpy(first + np.arange(lengths.sum())).to(embeddings.device)
    tokens = torch.cat([visual[span.view] for span in batch.spans]).to(embeddings.dtype)
    return embeddings.reshape(rows * length, width).index_copy(0, index, tokens).view(rows, length, width)


def check_spans(spans: Sequence[ImageSpan], produced: Sequence[int], batch: Batch, *, connector: str) -> None:
    """Raise BatchError for the first span that its row or its visual tokens do not fit."""
    rows, length = batch.ids.shape
    for number, span in enumerate(spans):
        if not 0 <= span.view < len(produced):
            raise BatchError(
                "batch", f"image span {number} shows view {span.view}, but the batch has {len(produced)} views"
            )
        if not (0 <= span.row < rows and span.start >= 0 and span.start + span.length <= length):
            raise BatchError(
                "batch",
                f"image span {number} covers positions {span.start} to {span.start + span.length} of row {span.row}, "
                f"but the batch has {rows} rows of {length}",
            )
        if produced[span.view] != span.length:
            grid = batch.grids[span.view]
            raise BatchError(
                "batch",
                f"image span {number} has {span.length} positions but connector '{connector}' produced "
                f"{produced[span.view]} tokens for grid {grid.height}x{grid.width}; "
                "the data and the model must be built from one recipe",
            )
