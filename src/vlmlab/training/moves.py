"""What must not move did not, and what must move did."""

from __future__ import annotations

from torch import nn

from vlmlab.errors import TrainingError
from vlmlab.models.trainable import fingerprint
from vlmlab.recipe.stage import Stage
from vlmlab.training.world import World


def check_moves(
    parts: dict[str, nn.Module], stage: Stage, *, before: dict[str, str], name: str, world: World | None = None
) -> None:
    """Raise TrainingError when a frozen component moved or a trained one did not, in any process's shards."""
    world = World() if world is None else world
    changed = world.sum([float(fingerprint(module) != before[component]) for component, module in parts.items()])
    for component, share in zip(parts, changed, strict=True):
        moved = share > 0
        trains = component in stage.train and stage.train[component].mode == "full"
        where = f"stages.{name}.train.{component}"
        if moved and not trains:
            raise TrainingError(where, "the component is frozen but its weights moved")
        if trains and not moved:
            raise TrainingError(
                where,
                "the component should train but its weights did not move; "
                "does the mixture hold documents that reach it?",
            )
