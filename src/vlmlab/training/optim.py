"""AdamW over the groups that a stage trains, and the learning rate of each step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vlmlab.models.trainable import ParameterGroup
from vlmlab.recipe.optim import AdamW
from vlmlab.recipe.stage import Stage, Steps, Tokens


def build_optimizer(groups: Sequence[ParameterGroup], spec: AdamW, *, device: str) -> torch.optim.AdamW:
    """One optimiser group a ParameterGroup, in their order. The fused kernel exists on CPU and CUDA alike."""
    return torch.optim.AdamW(
        [
            {"params": list(group.parameters), "lr": group.learning_rate, "weight_decay": group.weight_decay}
            for group in groups
        ],
        betas=spec.betas,
        eps=spec.epsilon,
        fused=device in ("cpu", "cuda"),
    )


def progress(stage: Stage, *, steps: int, tokens: int) -> float:
    """Share of the stage that is done before a step: 0 at the first step, near 1 at the last."""
    match stage.duration:
        case Steps(steps=total):
            return steps / max(1, total - 1)
        case Tokens(tokens=total):
            return tokens / total


def finished(stage: Stage, *, steps: int, tokens: int) -> bool:
    """Whether the stage has run its duration."""
    match stage.duration:
        case Steps(steps=total):
            return steps >= total
        case Tokens(tokens=total):
            return tokens >= total


def set_learning_rates(
    optimizer: torch.optim.AdamW, groups: Sequence[ParameterGroup], stage: Stage, *, steps: int, tokens: int
) -> dict[str, float]:
    """Set the rate of the coming step and return it by component."""
    factor = stage.optimizer.schedule.factor(progress(stage, steps=steps, tokens=tokens), steps)
    rates: dict[str, float] = {}
    for slot, group in zip(optimizer.param_groups, groups, strict=True):
        slot["lr"] = group.learning_rate * factor
        rates[group.component] = slot["lr"]
    return rates
