"""The queue of a study: which run starts next, so that every shared stage is trained once and nobody waits for it.

A run holds a core while it waits for a stage that another one trains. So a run starts only when each of its stages is
either finished or trained by nobody; first those whose stages most others wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vlmlab.recipe.recipe import Recipe

Purpose = Literal["replicate", "tuning"]


@dataclass(frozen=True, slots=True)
class Task:
    """One run: an arm at a seed, where it lives, and its stages by content."""

    arm: str
    seed: int
    folder: Path
    """Run directory; its name holds the recipe's fingerprint, so that another recipe is another directory."""
    recipe: Recipe = field(compare=False)
    stages: tuple[str, ...] = field(compare=False)
    """One key a stage in their order, equal where two runs share the stage."""
    purpose: Purpose = "replicate"
    trial: float | None = None
    """Value of the tuned field."""

    @property
    def words(self) -> str:
        """`arm at seed 0`, with the tuned value."""
        trial = "" if self.trial is None else f", trial {self.trial:g}"
        return f"{self.arm} at seed {self.seed}{trial}"


def next_task(waiting: Sequence[Task], *, training: set[str], finished: set[str]) -> Task | None:
    """The run to start now, or None where every one would wait for a stage that another trains.

    `training` holds the unfinished stages of the runs that are going on.
    """
    ready = [task for task in waiting if not (set(task.stages) - finished) & training]
    if not ready:
        return None
    waiting_for: dict[str, int] = {}
    for task in waiting:
        for stage in set(task.stages) - finished:
            waiting_for[stage] = waiting_for.get(stage, 0) + 1
    # The first of equals: the order of the design.
    return max(ready, key=lambda task: sum(waiting_for[stage] - 1 for stage in set(task.stages) - finished))
