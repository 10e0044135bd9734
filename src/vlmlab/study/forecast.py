"""When a study will be done: the planned work that is left, at the speed of the work that was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from vlmlab.plan.estimate import plan
from vlmlab.recipe.machine import Machine
from vlmlab.study.execute import Standing
from vlmlab.study.queue import Task

EVALUATION = 0.15
"""Work of an evaluation, as a share of its run's stages."""
LEAST_SHARE = 0.01
LEAST_SECONDS = 5.0
"""Below these nothing is forecast."""


class Forecast:
    """Planned seconds of every stage, shared ones once, and of every evaluation."""

    def __init__(self, tasks: Sequence[Task], *, machine: Machine, clock: Callable[[], float] = time.monotonic) -> None:
        self._stages: dict[str, float] = {}
        self._evaluations: dict[Task, float] = {}
        for task in tasks:
            planned = plan(task.recipe, machine)
            for key, stage in zip(task.stages, planned.stages, strict=True):
                self._stages[key] = stage.seconds
            self._evaluations[task] = EVALUATION * planned.seconds
        self._total = sum(self._stages.values()) + sum(self._evaluations.values())
        self._clock = clock
        self._first: tuple[float, float] | None = None

    def seconds_left(self, standings: Sequence[Standing]) -> float | None:
        """Seconds until all runs ended; None while too little was done to say."""
        now, done = self._clock(), self._done(standings)
        if self._first is None:
            self._first = (now, done)
        since, before = self._first
        if done - before < LEAST_SHARE * self._total or now - since < LEAST_SECONDS:
            return None
        return (self._total - done) * (now - since) / (done - before)

    def _done(self, standings: Sequence[Standing]) -> float:
        stages: dict[str, float] = {}
        evaluated = 0.0
        for standing in standings:
            task = standing.task
            if standing.state in ("finished", "diverged", "failed"):
                stages |= dict.fromkeys(task.stages, 1.0)
                evaluated += self._evaluations[task]
            elif standing.state == "running":
                names = list(task.recipe.stages)
                place = names.index(standing.stage) if standing.stage in names else len(names) * bool(standing.stage)
                for key in task.stages[:place]:
                    stages[key] = 1.0
                if place < len(names):
                    stages[task.stages[place]] = max(standing.done, stages.get(task.stages[place], 0.0))
                elif standing.stage:
                    evaluated += standing.done * self._evaluations[task]
        return evaluated + sum(share * self._stages[key] for key, share in stages.items())
