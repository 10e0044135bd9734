"""Isolation and causality, probed on the actual model: content is changed, and hidden states must not move.

Masks are not compared: a mask can be right and not be used. On a CPU equal shapes give equal bits, so a single bit that
moves is a leak. On CUDA a difference up to a share of the states' root mean square is taken as rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vlmlab.batch import Batch
from vlmlab.models.model import Precision
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.changed import changed, joined, last_half, one_document_a_row
from vlmlab.training.checks.subject import Subject
from vlmlab.training.checks.supervision import at

ISOLATION = "isolation"
CAUSALITY = "causality"
CUDA_TOLERANCE: dict[Precision, float] = {"float32": 1e-5, "bfloat16": 1e-2}
"""Largest difference on CUDA, as a share of the hidden states' root mean square. Two documents that see each other
differ by a tenth and more."""


def probe_isolation(subject: Subject, batch: Batch, *, packing: bool) -> list[CheckRecord]:
    """Other content in one document of each row moves no hidden state of another document, in its row or elsewhere;
    other content in the last half of a row's last document moves nothing before it.

    Looks at the first micro-batch that has a packed row, or at a row made of two documents of the batch.
    """
    if subject.pairs:
        words = "a contrastive stage does not run the language model"
        return [CheckRecord(name=name, outcome="not applicable", words=words) for name in (ISOLATION, CAUSALITY)]
    part, words = _packed_part(subject, batch, packing=packing)
    base = subject.hidden(part)
    if not bool(torch.isfinite(base).all()):
        failed = f"hidden states are not finite before the first step, first in {at(part, ~finite_at(base))}"
        return [CheckRecord(name=ISOLATION, outcome="failed", words=failed)]
    return [_isolation(subject, part, base, words=words), _causality(subject, part, base)]


def _packed_part(subject: Subject, batch: Batch, *, packing: bool) -> tuple[Batch, str]:
    """What to probe: a micro-batch with a packed row, best one with images; else a row made for it."""
    parts = list(subject.micro_batches(batch))
    packed = [part for part in parts if any(len(keys) > 1 for keys in part.keys)]
    if packed:
        return next((part for part in packed if part.spans), packed[0]), ""
    made = joined(batch, longest=subject.model.language.spec.max_positions) if packing else None
    return (parts[0], "") if made is None else (made, "; no row of the batch is packed, so one was made")


def _isolation(subject: Subject, part: Batch, base: Tensor, *, words: str) -> CheckRecord:
    where = one_document_a_row(part)
    if not bool(where.any()):
        return CheckRecord(
            name=ISOLATION, outcome="not applicable", words="packing is off: every row holds one document"
        )
    moved, tolerance = _moved(subject, part, base, where)
    others = (part.segments != 0) & ~where
    if not bool((moved[where] > tolerance).any()):
        return CheckRecord(
            name=ISOLATION,
            outcome="failed",
            words=f"other tokens and pixels in {at(part, where)} moved not one of its own hidden states: the model "
            "does not read its input",
        )
    leaks = others & ~(moved <= tolerance)
    if bool(leaks.any()):
        return CheckRecord(
            name=ISOLATION,
            outcome="failed",
            words=f"other content in {at(part, where)} moved hidden states of {at(part, leaks)} by up to "
            f"{float(moved[leaks].max()):.3g}; expected at most {tolerance:.3g}. Packed documents see each other: the "
            "attention does not follow batch.segments",
        )
    documents = sum(len(keys) for keys in part.keys)
    found = f"largest difference {float(moved[others].max()):.3g} at {int(others.sum())} positions"
    return CheckRecord(name=ISOLATION, outcome="ok", words=f"{documents} documents, {found}{words}")


def _causality(subject: Subject, part: Batch, base: Tensor) -> CheckRecord:
    where = last_half(part)
    moved, tolerance = _moved(subject, part, base, where)
    if not bool((moved[where] > tolerance).any()):
        return CheckRecord(name=CAUSALITY, outcome="not applicable", words="no document has two texts to tell apart")
    earlier = (part.segments != 0) & ~where
    leaks = earlier & ~(moved <= tolerance)
    if bool(leaks.any()):
        return CheckRecord(
            name=CAUSALITY,
            outcome="failed",
            words=f"other tokens from {at(part, where)} on moved hidden states before them, at {at(part, leaks)}, by "
            f"up to {float(moved[leaks].max()):.3g}; expected at most {tolerance:.3g}. The model sees what it is to "
            "predict: its attention is not causal",
        )
    words = f"largest difference {float(moved[earlier].max()) if bool(earlier.any()) else 0.0:.3g} before the change"
    return CheckRecord(name=CAUSALITY, outcome="ok", words=words)


def _moved(subject: Subject, part: Batch, base: Tensor, where: Tensor) -> tuple[Tensor, float]:
    """Largest difference of each position's state (rows, length) when the content at `where` changes, and what counts
    as none."""
    vocabulary = subject.model.language.head_weight.shape[0]
    other = subject.hidden(changed(part, where, vocabulary=vocabulary, placeholder=subject.placeholder))
    moved = (other.float() - base.float()).abs().amax(dim=-1)
    if base.device.type == "cpu":
        return moved, 0.0
    scale = float(base.float().square().mean().sqrt())
    return moved, CUDA_TOLERANCE[subject.model.precision] * scale


def finite_at(states: Tensor) -> Tensor:
    """Bool (rows, length): positions whose state is finite throughout."""
    return torch.isfinite(states).all(dim=-1)
