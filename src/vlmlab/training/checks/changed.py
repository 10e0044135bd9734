"""The same batch with other content at chosen positions: other words, other pixels, the same shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vlmlab.batch import Batch, ImageSpan


def changed(batch: Batch, where: Tensor, *, vocabulary: int, placeholder: int) -> Batch:
    """Another token id at each text position of the bool mask `where` (rows, length), and other pixels in every view
    that is shown there and nowhere else."""
    visual = visual_positions(batch)
    other = (batch.ids + 1) % vocabulary
    other = torch.where(other == placeholder, (other + 1) % vocabulary, other)
    ids = torch.where(where & ~visual & (batch.segments != 0), other, batch.ids)
    pixels = batch.pixels.clone()
    inside = [bool(where[span.row, span.start : span.start + span.length].all()) for span in batch.spans]
    for view in range(batch.num_views):
        shown = [whole for span, whole in zip(batch.spans, inside, strict=True) if span.view == view]
        if shown and all(shown):
            pixels[view] = 255 - pixels[view] if pixels.dtype == torch.uint8 else 0.5 - pixels[view]
    return replace(batch, ids=ids, pixels=pixels)


def visual_positions(batch: Batch) -> Tensor:
    """Bool (rows, length): where visual tokens stand."""
    visual = torch.zeros_like(batch.ids, dtype=torch.bool)
    for span in batch.spans:
        visual[span.row, span.start : span.start + span.length] = True
    return visual


def one_document_a_row(batch: Batch) -> Tensor:
    """Bool (rows, length): row r's document number r, counted round: the first of the first row, the second of the
    second. A leak shows where content flows out of a document, wherever it stands."""
    where = torch.zeros_like(batch.ids, dtype=torch.bool)
    for row, keys in enumerate(batch.keys):
        if len(keys) > 1:
            where[row] = batch.segments[row] == 1 + row % len(keys)
    return where


def last_half(batch: Batch) -> Tensor:
    """Bool (rows, length): the second half of each row's last document."""
    where = torch.zeros_like(batch.ids, dtype=torch.bool)
    for row, keys in enumerate(batch.keys):
        places = torch.nonzero(batch.segments[row] == len(keys)).squeeze(1)
        if len(keys) and len(places) > 1:
            where[row, places[len(places) // 2] : places[-1] + 1] = True
    return where


def joined(batch: Batch, *, longest: int) -> Batch | None:
    """One row of the two shortest documents of a batch, or None where they do not fit into `longest` positions."""
    lengths = [
        (int((batch.segments[row] == segment).sum()), row, segment)
        for row, keys in enumerate(batch.keys)
        for segment in range(1, len(keys) + 1)
    ]
    chosen = sorted(length for length in lengths if length[0] > 1)[:2]
    if len(chosen) < 2 or chosen[0][0] + chosen[1][0] > longest:
        return None
    # The longer one last, so that the first half of the row is not all that is changed.
    return row_of(batch, [(row, segment) for _, row, segment in chosen])


def row_of(batch: Batch, documents: Sequence[tuple[int, int]]) -> Batch:
    """One row of whole documents, each (row, segment)."""
    pieces: dict[str, list[Tensor]] = {"ids": [], "targets": [], "positions": [], "segments": []}
    spans: list[ImageSpan] = []
    keys: list[str] = []
    offset = 0
    for number, (row, segment) in enumerate(documents, start=1):
        places = torch.nonzero(batch.segments[row] == segment).squeeze(1)
        start, stop = int(places[0]), int(places[-1]) + 1
        pieces["ids"].append(batch.ids[row, start:stop])
        pieces["targets"].append(batch.targets[row, start:stop])
        pieces["positions"].append(batch.positions[row, start:stop])
        pieces["segments"].append(torch.full_like(batch.ids[row, start:stop], number))
        spans += [
            replace(span, row=0, start=span.start - start + offset)
            for span in batch.spans
            if span.row == row and start <= span.start < stop
        ]
        keys.append(batch.keys[row][segment - 1])
        offset += stop - start
    whole = {name: torch.cat(parts)[None] for name, parts in pieces.items()}
    together = Batch(**whole, pixels=batch.pixels, grids=batch.grids, spans=tuple(spans), keys=(tuple(keys),))
    return together.rows(0, 1)
