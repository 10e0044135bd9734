"""Supervised tokens: the batch teaches something, and what it teaches is the next token of the same document."""

from __future__ import annotations

import torch

from vlmlab.batch import IGNORED, Batch
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.subject import Subject

SUPERVISION = "supervised tokens"
DOCUMENTS = "documents in rows"
FEW = 0.01
"""Share of learned positions below which the words say so."""


def probe_supervision(subject: Subject, batch: Batch) -> CheckRecord:
    """Learned tokens > 0; each is the next token of its own document, and no placeholder."""
    if subject.pairs:
        return _pairs(batch, rows=subject.stage.batch.rows)
    learned = batch.targets != IGNORED
    count, real = batch.num_learned(), batch.num_real()
    if not count:
        return _failed(
            f"0 of {real} tokens of the first batch are learned; expected at least one. Its documents: "
            f"{names(batch)}. Does the template or the source mark answers as learned (`vlmlab look`)?"
        )
    following = torch.zeros_like(learned)
    following[:, :-1] = (batch.segments[:, 1:] == batch.segments[:, :-1]) & (batch.targets[:, :-1] == batch.ids[:, 1:])
    wrong = learned & ((batch.segments == 0) | ~following)
    if bool(wrong.any()):
        return _failed(
            f"{int(wrong.sum())} of {count} learned targets are not the next token of their document, first in "
            f"{at(batch, wrong)}; targets are shifted, padded or cross a document's end"
        )
    visual = learned & (batch.targets == subject.placeholder)
    if bool(visual.any()):
        return _failed(
            f"{int(visual.sum())} targets are the image placeholder, first in {at(batch, visual)}; visual positions "
            "are never learned: is the placeholder's id a token of the text?"
        )
    idle = documents(batch) - documents(batch, where=learned)
    share = f"{count} of {real} tokens are learned ({100 * count / real:.0f} %)"
    if idle:
        first = min(idle)
        share += f"; {len(idle)} documents teach nothing, such as {batch.keys[first[0]][first[1] - 1]}"
    return CheckRecord(name=SUPERVISION, outcome="note" if idle or count < FEW * real else "ok", words=share)


def probe_documents(batch: Batch) -> CheckRecord:
    """Each document is one run of its own segment number with positions from 0: what isolation is built on."""
    for row, keys in enumerate(batch.keys):
        segments = batch.segments[row]
        real = segments[segments != 0]
        runs, lengths = torch.unique_consecutive(real, return_counts=True)
        if runs.tolist() != list(range(1, len(keys) + 1)):
            return CheckRecord(
                name=DOCUMENTS,
                outcome="failed",
                words=f"row {row} has {len(keys)} documents ({', '.join(keys[:3])}) but its segments are "
                f"{runs.tolist()[:8]}; expected 1 to {len(keys)}, each in one run. Documents of one segment see each "
                "other",
            )
        expected = torch.cat([torch.arange(int(length)) for length in lengths]) if len(lengths) else real.cpu()
        if not torch.equal(batch.positions[row][segments != 0].cpu(), expected):
            return CheckRecord(
                name=DOCUMENTS,
                outcome="failed",
                words=f"row {row} ({', '.join(keys[:3])}): positions do not restart at 0 with each document",
            )
    count = sum(map(len, batch.keys))
    return CheckRecord(name=DOCUMENTS, outcome="ok", words=f"{count} in {batch.num_rows} rows, each in its own segment")


def _pairs(batch: Batch, *, rows: int) -> CheckRecord:
    """`rows` are those of the whole step: the first batch may be one process's share of it."""
    if rows < 2:
        return _failed(
            f"a step has {rows} pair ({names(batch)}); a contrastive loss needs at least two, for "
            "its negatives are the other pairs: raise batch.rows"
        )
    return CheckRecord(name=SUPERVISION, outcome="ok", words=f"{rows} pairs, each the others' negative")


def _failed(words: str) -> CheckRecord:
    return CheckRecord(name=SUPERVISION, outcome="failed", words=words)


def documents(batch: Batch, *, where: torch.Tensor | None = None) -> set[tuple[int, int]]:
    """(row, segment) of the documents, or of those with a position in the bool mask `where` (rows, length)."""
    real = batch.segments != 0
    rows, columns = torch.nonzero(real if where is None else real & where, as_tuple=True)
    return set(zip(rows.tolist(), batch.segments[rows, columns].tolist(), strict=True))


def at(batch: Batch, mask: torch.Tensor) -> str:
    """The first position of a bool mask (rows, length), with its document's key."""
    row, position = torch.nonzero(mask)[0].tolist()
    segment = int(batch.segments[row, position])
    key = batch.keys[row][segment - 1] if 0 < segment <= len(batch.keys[row]) else "padding"
    return f"{key} (row {row}, position {position})"


def names(batch: Batch, *, most: int = 5) -> str:
    """The first keys of a batch."""
    keys = [key for row in batch.keys for key in row]
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")
