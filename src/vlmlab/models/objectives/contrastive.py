"""Contrastive image-text: the two sides of a pair agree, others do not (SigLIP's sigmoid loss, CLIP's softmax loss)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlmlab.batch import Batch
from vlmlab.errors import BatchError
from vlmlab.models.gathering import first_row, gather_padded, gather_rows
from vlmlab.models.loss import Loss
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.objectives.text_tower import TextEncoder
from vlmlab.recipe.stage import Contrastive

LARGEST_LOG_SCALE = math.log(100.0)
"""CLIP's bound on the softmax loss's scale, without which training can diverge (arXiv 2103.00020, section 2.5)."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of the pairs: int64 ids (pairs, length), 0 where `real` is False; bool `real` of the same shape."""

    ids: Tensor
    real: Tensor


@final
class ContrastiveObjective(nn.Module):
    """Text tower, the two projections, scale and bias. The image side is the mean over the backbone's patch states.

    Pairs of one batch with the same text are no negatives of each other: such entries are left out of the loss.
    """

    def __init__(
        self, spec: Contrastive, *, model: VisionLanguageModel, vision_width: int, vocabulary: int, marks: bool
    ) -> None:
        super().__init__()
        self._held = (model,)  # in a tuple, so that its parameters are not the objective's
        self.spec = spec
        self.marks = marks
        self.text = TextEncoder(spec.text, vocabulary=vocabulary, embedding=spec.embedding)
        self.image_projection = nn.Linear(vision_width, spec.embedding)
        match spec.loss:
            case "sigmoid":
                # Of one element, not none: scalars cannot be cut into shards.
                self.logit_scale = nn.Parameter(torch.tensor([math.log(10.0)]))
                self.logit_bias = nn.Parameter(torch.tensor([-10.0]))
            case "softmax":
                self.logit_scale = nn.Parameter(torch.tensor([math.log(1 / 0.07)]))

    def forward(self, batch: Batch) -> Loss:
        """Each row holds one pair: its text and the view of its first span. The count is the number of pairs.

        Among several processes the negatives are the pairs of all; the loss is this process's share of the sum.
        """
        (model,) = self._held
        views = first_views(batch)
        features = model.see(batch.pixels, batch.grids)
        pooled = torch.stack([features[view].patches.float().mean(dim=0) for view in views])
        images = F.normalize(self.image_projection(pooled).float(), dim=-1)
        texts = texts_of(batch, longest=self.spec.text.max_positions, marks=self.marks)
        captions = F.normalize(self.text(texts.ids, texts.real).float(), dim=-1)
        first = first_row(batch.num_rows)
        counted = counted_pairs(texts)
        with torch.autocast(images.device.type, enabled=False):
            all_images, all_captions = gather_rows(images), gather_rows(captions)
            match self.spec.loss:
                case "sigmoid":
                    logits = (images @ all_captions.t()) * self.logit_scale.exp() + self.logit_bias
                    total = sigmoid_loss(logits, counted, first=first)
                case "softmax":
                    scale = self.logit_scale.clamp(max=LARGEST_LOG_SCALE).exp()
                    to_texts = (images @ all_captions.t()) * scale
                    alone = all_images is images
                    to_images = to_texts.t() if alone else (captions @ all_images.t()) * scale
                    total = softmax_loss(to_texts, to_images, counted, first=first)
        return Loss(total, batch.num_rows)


def _partners(counted: Tensor, *, first: int) -> Tensor:
    """int64 (own,): the column of each own row's partner among the pairs of all processes."""
    return torch.arange(first, first + counted.shape[0], device=counted.device)


def sigmoid_loss(logits: Tensor, counted: Tensor, *, first: int = 0) -> Tensor:
    """Sum over all counted entries of -log sigmoid(±logit), + for partners (SigLIP, arXiv 2303.15343).

    `logits` float (own images, all texts), `counted` bool of the same shape; own row i's partner is column first + i.
    SigLIP divides the sum by the number of pairs.
    """
    sign = torch.full_like(logits, -1.0).scatter_(1, _partners(counted, first=first)[:, None], 1.0)
    return -(F.logsigmoid(sign * logits) * counted).sum()


def softmax_loss(to_texts: Tensor, to_images: Tensor, counted: Tensor, *, first: int = 0) -> Tensor:
    """Sum over own pairs of the mean of both cross-entropies, image to text and text to image (CLIP).

    `to_texts` float (own images, all texts), `to_images` float (own texts, all images), `counted` bool of their shape.
    """
    partner = _partners(counted, first=first)
    both = [
        F.cross_entropy(logits.masked_fill(~counted, -math.inf), partner, reduction="sum")
        for logits in (to_texts, to_images)
    ]
    return (both[0] + both[1]) / 2


def counted_pairs(texts: Texts) -> Tensor:
    """Bool (own pairs, pairs of all processes): partners, and pairs whose texts differ."""
    own = torch.where(texts.real, texts.ids, -1)
    every = gather_padded(own, fill=-1)
    own = F.pad(own, (0, every.shape[1] - own.shape[1]), value=-1)
    counted = (own[:, None, :] != every[None, :, :]).any(dim=-1)
    partner = _partners(counted, first=first_row(own.shape[0]))
    return counted.scatter_(1, partner[:, None], True)


def first_views(batch: Batch) -> list[int]:
    """The view of each row's first span. Raises BatchError for a row without an image."""
    views: dict[int, int] = {}
    for span in sorted(batch.spans, key=lambda span: (span.row, span.start)):
        views.setdefault(span.row, span.view)
    for row in range(batch.num_rows):
        if row not in views:
            raise BatchError(
                "batch", f"row {row} ({', '.join(batch.keys[row])}) has no image; a contrastive stage needs pairs"
            )
    return [views[row] for row in range(batch.num_rows)]


def texts_of(batch: Batch, *, longest: int, marks: bool) -> Texts:
    """The text tokens of each row, moved to the front: not padding, not the first token (<bos>), not visual, no marks.

    The end token stays. Texts longer than `longest` are cut. Raises BatchError for a row without text.
    """
    real = ((batch.segments != 0) & (batch.positions != 0)).cpu()
    for span in batch.spans:
        real[span.row, max(0, span.start - marks) : span.start + span.length + marks] = False
    place = real.cumsum(dim=1) - 1
    real &= place < longest
    lengths = real.sum(dim=1)
    if int(lengths.min()) == 0:
        row = int(lengths.argmin())
        raise BatchError(
            "batch", f"row {row} ({', '.join(batch.keys[row])}) has no text; a contrastive stage needs pairs"
        )
    rows, columns = real.nonzero(as_tuple=True)
    ids = torch.zeros(batch.num_rows, int(lengths.max()), dtype=torch.int64)
    ids[rows, place[rows, columns]] = batch.ids.cpu()[rows, columns]
    device = batch.ids.device
    return Texts(ids.to(device), (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).to(device))
