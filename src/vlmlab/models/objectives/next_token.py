"""Next token: cross-entropy at learned positions, over text-only and image documents alike."""

from __future__ import annotations

from typing import final

from torch import nn

from vlmlab.batch import Batch
from vlmlab.models.loss import Loss, next_token_loss
from vlmlab.models.model import VisionLanguageModel


@final
class NextTokenObjective(nn.Module):
    """Holds the model without owning it: the objective has no parameters of its own."""

    def __init__(self, model: VisionLanguageModel, *, loss_chunk: int) -> None:
        super().__init__()
        self._held = (model,)  # in a tuple, so that its parameters are not the objective's
        self.loss_chunk = loss_chunk

    def forward(self, batch: Batch) -> Loss:
        (model,) = self._held
        return next_token_loss(model, model(batch), batch.targets, chunk=self.loss_chunk)
