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
                self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
                self.logit_bias = nn.Parameter(torch.tensor(-10.0))
            case "softmax":
                self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, batch: Batch) -> Loss:
        """Each row holds one pair: its text and the view of its first span. The count is the number of pairs."""
        (model,) = self._held
        views = first_views(batch)
        features = model.see(batch.pixels, batch.grids)
        pooled = torch.stack([features[view].patches.float().mean(dim=0) for view in views])
        images = F.normalize(self.image_projection(pooled).float(), dim=-1)
        texts = texts_of(batch, longest=self.spec.text.max_positions, marks=self.marks)
        captions = F.normalize(self.text(texts.ids, texts.real).float(), dim=-1)
        counted = counted_pairs(texts)
        with torch.autocast(images.device.type, enabled=False):
            similarity = images @ captions.t()
            match self.spec.loss:
                case "sigmoid":
                    total = sigmoid_loss(similarity * self.logit_scale.exp() + self.logit_bias, counted)
                case "softmax":
                    total = softmax_loss(similarity * self.logit_scale.clamp(max=LARGEST_LOG_SCALE).exp(), counted)
        return Loss(total, batch.num_rows)


def sigmoid_loss(logits: Tensor, counted: Tensor) -> Tensor:
    """Sum over all counted entries of -log sigmoid(±logit), + on the diagonal (SigLIP, arXiv 2303.15343).

    `logits` float (images, texts), `counted` bool of the same shape. SigLIP divides the sum by the number of pairs.
    """
    sign = 2 * torch.eye(logits.shape[0], device=logits.device) - 1
    return -(F.logsigmoid(sign * logits) * counted).sum()


def softmax_loss(logits: Tensor, counted: Tensor) -> Tensor:
    """Sum over pairs of the mean of both cross-entropies, image to text and text to image (CLIP)."""
    logits = logits.masked_fill(~counted, -math.inf)
    partner = torch.arange(logits.shape[0], device=logits.device)
    both = F.cross_entropy(logits, partner, reduction="sum") + F.cross_entropy(logits.t(), partner, reduction="sum")
    return both / 2


def counted_pairs(texts: Texts) -> Tensor:
    """Bool (pairs, pairs): the diagonal, and pairs whose texts differ."""
    ids = torch.where(texts.real, texts.ids, -1)
    differ = (ids[:, None, :] != ids[None, :, :]).any(dim=-1)
    return differ | torch.eye(ids.shape[0], dtype=torch.bool, device=ids.device)


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
