"""Optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from vlmlab.recipe.spec import Spec


class Schedule(Spec):
    """Learning rate over a stage, as a share of each component's peak."""

    kind: Literal["cosine", "linear", "constant"] = "cosine"
    """Shape after the warm-up."""
    warmup: int = Field(default=20, ge=0)
    """Steps of linear warm-up; the first step has peak / warmup."""
    final: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of the peak at the last step; ignored by constant."""

    def factor(self, progress: float, step: int) -> float:
        """Share of the peak at 0-based `step`, where `progress` in [0, 1] is the share of the stage that is done."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        match self.kind:
            case "constant":
                return 1.0
            case "linear":
                return 1.0 - (1.0 - self.final) * min(1.0, progress)
            case "cosine":
                return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


class AdamW(Spec):
    """AdamW. Decay applies to parameters of two and more dimensions, never to norms, biases and embeddings' scales."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate of components that name none."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the first and second moments."""
    epsilon: float = Field(default=1e-8, gt=0)
    """Added to the root of the second moment."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled decay, times the learning rate."""
    clip: float = Field(default=1.0, gt=0)
    """Largest global norm of the gradient."""
    schedule: Schedule = Field(default_factory=Schedule)
    """Learning-rate schedule."""
