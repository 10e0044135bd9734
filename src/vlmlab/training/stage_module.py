"""StageModule: a stage's model and objective as one module, from a batch to the sum of its loss.

It is what gets sharded or replicated over processes, so its forward pass touches every parameter group in the same
order on each of them, whatever their batches hold: a process whose rows have no image shows the backbone one grey view
that no loss depends on. Otherwise the others would wait for it in a collective operation for ever.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from vlmlab.batch import Batch
from vlmlab.models.loss import Loss
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.image import Grid


@final
class StageModule(nn.Module):
    """Owns model and objective. `shared` says that several processes run it in step."""

    def __init__(self, model: VisionLanguageModel, objective: nn.Module, *, sees: bool, shared: bool) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.sees = sees
        self.shared = shared

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """(sum of the loss, number of its terms as an int64 scalar, the terms or None)."""
        if self.shared and self.sees and not batch.grids:
            batch = self._with_a_view(batch)
        loss: Loss = self.objective(batch)
        return loss.total, torch.tensor(loss.count), loss.terms

    def forget_unseen(self) -> None:
        """After a step without any image: the visual side has no gradient, as in a process on its own, not zeros."""
        if self.sees:
            for part in (self.model.vision, self.model.connector):
                for parameter in part.parameters():
                    parameter.grad = None

    def _with_a_view(self, batch: Batch) -> Batch:
        """The batch with one grey view that no span shows."""
        spec = self.model.spec
        patches = spec.image.side // spec.vision.patch
        pixels = batch.pixels.new_zeros(1, 3, spec.image.side, spec.image.side)
        return replace(batch, pixels=pixels, grids=(Grid(patches, patches),))
