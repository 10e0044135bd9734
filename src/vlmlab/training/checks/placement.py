"""Visual positions: as many as the connector makes tokens, with the placeholder there and nowhere else."""

from __future__ import annotations

import torch

from vlmlab.batch import Batch
from vlmlab.models.features import members_by_grid
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.subject import Subject
from vlmlab.training.checks.supervision import at

PLACEMENT = "visual positions"


def probe_placement(subject: Subject, batch: Batch) -> CheckRecord:
    """Spans against the real output of the connector, and placeholder ids against spans.

    The number of visual tokens depends on the grid alone, so one view of each grid is shown to the model.
    """
    covered = torch.zeros_like(batch.ids)
    for number, span in enumerate(batch.spans):
        inside = covered[span.row, span.start : span.start + span.length] if 0 <= span.row < batch.num_rows else None
        if inside is None or span.start < 0 or len(inside) != span.length or not 0 <= span.view < batch.num_views:
            return _failed(
                f"image span {number} ({span}) is not inside the batch of {tuple(batch.ids.shape)} positions"
            )
        inside += 1
    if bool((covered > 1).any()):
        return _failed(f"image spans overlap, first in {at(batch, covered > 1)}; each visual position has one image")
    stray = (batch.ids == subject.placeholder) & (covered == 0)
    if bool(stray.any()):
        return _failed(
            f"{int(stray.sum())} placeholder ids ({subject.placeholder}) stand where no image is, first in "
            f"{at(batch, stray)}; literal image tokens in a text must be encoded as text"
        )
    bare = (batch.ids != subject.placeholder) & (covered == 1)
    if bool(bare.any()):
        return _failed(
            f"{int(bare.sum())} visual positions hold another id than the placeholder ({subject.placeholder}), first "
            f"in {at(batch, bare)}; data and model must be built from one recipe"
        )
    if not batch.spans:
        return CheckRecord(name=PLACEMENT, outcome="not applicable", words="no image in the first batches")
    produced = tokens_by_view(subject, batch)
    for number, span in enumerate(batch.spans):
        if produced[span.view] != span.length:
            grid = batch.grids[span.view]
            return _failed(
                f"image span {number} has {span.length} positions but connector "
                f"'{subject.model.spec.connector.kind}' produced {produced[span.view]} tokens for grid "
                f"{grid.height}x{grid.width}; the data and the model must be built from one recipe"
            )
    words = f"{batch.num_visual()} positions in {len(batch.spans)} images, as many as the connector makes"
    return CheckRecord(name=PLACEMENT, outcome="ok", words=words)


@torch.no_grad()
def tokens_by_view(subject: Subject, batch: Batch) -> list[int]:
    """Visual tokens that the model really makes of each view."""
    counts = [0] * batch.num_views
    for grid, members in members_by_grid(batch.grids).items():
        first = members[0]
        with subject.model.autocast():
            features = subject.model.see(batch.pixels[first : first + 1], (grid,))
            (tokens,) = subject.model.connector(features)
        for view in members:
            counts[view] = tokens.shape[0]
    return counts


def _failed(words: str) -> CheckRecord:
    return CheckRecord(name=PLACEMENT, outcome="failed", words=words)
