"""What must not move did not, and what must move did."""

from __future__ import annotations

import torch
from torch import nn

from vlmlab.errors import TrainingError
from vlmlab.recipe.stage import Stage


def fingerprint(module: nn.Module) -> tuple[int, ...]:
    """One wrapping integer sum of each parameter's bits: cheap on any device, changes when a value changes."""
    sums = []
    for parameter in module.parameters():
        bits = torch.int32 if parameter.element_size() == 4 else torch.int16
        sums.append(parameter.detach().contiguous().view(bits).sum(dtype=torch.int64))
    return tuple(int(value) for value in sums)


def check_moves(parts: dict[str, nn.Module], stage: Stage, *, before: dict[str, tuple[int, ...]], name: str) -> None:
    """Raise TrainingError when a frozen component moved or a trained one did not."""
    for component, module in parts.items():
        moved = fingerprint(module) != before[component]
        trains = component in stage.train and stage.train[component].mode == "full"
        where = f"stages.{name}.train.{component}"
        if moved and not trains:
            raise TrainingError(where, "the component is frozen but its weights moved")
        if trains and not moved:
            raise TrainingError(
                where, "the component should train but its weights did not move; does the mixture hold documents that reach it?"
            )
