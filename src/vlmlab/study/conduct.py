"""A study from its first run to its record: tuning trials, the replicates of every arm, the table, the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmlab.files import write_json
from vlmlab.recipe.machine import Machine
from vlmlab.records.study import ArmRecord, StudyRecord
from vlmlab.study.blueprint import Blueprint
from vlmlab.study.conclude import Ran, conclude
from vlmlab.study.execute import Execution, Listener, Place
from vlmlab.study.gather import Gathered, gather
from vlmlab.study.job import Pool
from vlmlab.study.outcomes import Outcomes, state_of
from vlmlab.study.queue import Task
from vlmlab.study.study import MeanMeasure, Study
from vlmlab.study.tasks import task_of
from vlmlab.study.tune import TUNING_SEED, best_value, widened
from vlmlab.training.interruption import Wish


@dataclass(frozen=True, slots=True)
class Conduct:
    """Where and how the runs of a study take place."""

    folder: Path
    machine: Machine
    pool: Pool | None
    """None: nothing is run, what is there is gathered."""
    retries: int
    wish: Wish
    listening: Callable[[Sequence[Task]], Listener]
    """Makes the listener of a set of tasks."""

    def run(self, tasks: Sequence[Task], outcomes: Outcomes) -> None:
        """Run tasks to their ends."""
        if self.pool is None:
            return
        machine = self.folder / "machine.json"
        write_json(machine, self.machine.plain())
        place = Place(folder=self.folder, machine=machine, threads=self.machine.threads, retries=self.retries)
        listener = self.listening(tasks)
        Execution(tasks, place=place, pool=self.pool, outcomes=outcomes, wish=self.wish).run(listener)


def conduct_study(blueprint: Blueprint, *, seeds: Sequence[int], by: Conduct, rerun: Sequence[str]) -> StudyRecord:
    """Run what is missing, gather and conclude. table.csv and study.json are written into the folder."""
    study, folder = blueprint.study, by.folder
    outcomes = Outcomes(folder / "outcomes.jsonl")
    trials, chosen = tuned(blueprint, by=by, outcomes=outcomes)

    def replicates(values: Mapping[str, float]) -> list[Task]:
        return [
            task_of(
                arm.name,
                blueprint.recipe(arm.name, seed, values.get(arm.name), False),
                folder=folder,
                trial=values.get(arm.name, blueprint.common),
            )
            for arm in blueprint.arms
            for seed in seeds
        ]

    tasks, plain = replicates(chosen), replicates({})
    by.run(list(dict.fromkeys([*tasks, *plain])), outcomes)
    gathered = gather(tasks, measures=study.measures, reference=blueprint.arms[0].name)
    gathered.write(folder / "table.csv")
    common: Gathered | None = None
    if study.tuning is not None:
        common = gather(plain, measures=study.measures, reference=blueprint.arms[0].name)
        common.write(folder / "table_common.csv")
    ran = Ran(
        study=study,
        arms=[_with_choice(arm, study, chosen.get(arm.name)) for arm in blueprint.arms],
        hold=blueprint.hold,
        stages=blueprint.stages,
        tasks=tasks,
        gathered=gathered,
        outcomes=outcomes.of([*trials, *tasks, *(task for task in plain if task not in tasks)]),
        rerun=rerun,
        trials=trials,
        common_tasks=[task for task in plain if task not in tasks],
        common=common,
        tuned=tuning_words(study, chosen),
    )
    return conclude(ran, folder=folder)


def tuned(blueprint: Blueprint, *, by: Conduct, outcomes: Outcomes) -> tuple[list[Task], dict[str, float]]:
    """Run the tuning trials: all of them, and the value that each arm chose. Widened for all arms where one stands at
    an edge, so that each arm has the same number of trials."""
    tuning = blueprint.study.tuning
    if tuning is None:
        return [], {}
    grid = sorted(tuning.grid)
    for widening in range(tuning.widen + 1):
        trials = _trials(blueprint, grid, by.folder)
        by.run([task for _, _, task in trials], outcomes)
        chosen = _chosen(blueprint, trials)
        wider = widened(grid, chosen.values())
        if wider == grid or widening == tuning.widen:
            break
        grid = wider
    return [task for _, _, task in trials], chosen


def _trials(blueprint: Blueprint, grid: Sequence[float], folder: Path) -> list[tuple[str, float, Task]]:
    tuning = blueprint.study.tuning
    assert tuning is not None
    trials = []
    for arm in blueprint.arms:
        for value in grid:
            for number in range(tuning.replicates):
                recipe = blueprint.recipe(arm.name, TUNING_SEED + number, value, True)
                task = task_of(arm.name, recipe, folder=folder, purpose="tuning", trial=value)
                trials.append((arm.name, value, task))
    return trials


def _chosen(blueprint: Blueprint, trials: Sequence[tuple[str, float, Task]]) -> dict[str, float]:
    """The best value of each arm, by the mean over its tuning seeds; a trial that diverged is never the best."""
    study = blueprint.study
    assert study.tuning is not None
    measure = study.tuning.measure
    parts = {measure: study.measures[measure]}
    parts |= {name: study.measures[name] for name in _parts(study, measure)}
    chosen = {}
    for arm in blueprint.arms:
        scores: dict[float, list[float]] = {}
        for name, value, task in trials:
            if name == arm.name and state_of(task.folder) == "finished":
                table = gather([task], measures=parts, reference=name).tables[measure]
                scores.setdefault(value, []).append(table.mean(name, task.seed))
        whole = {value: sum(its) / len(its) for value, its in scores.items() if len(its) == study.tuning.replicates}
        if whole:
            chosen[arm.name] = best_value(whole)
    return chosen


def _parts(study: Study, measure: str) -> list[str]:
    found = study.measures[measure]
    return list(found.mean) if isinstance(found, MeanMeasure) else []


def _with_choice(arm: ArmRecord, study: Study, value: float | None) -> ArmRecord:
    if study.tuning is None or value is None:
        return arm
    solved: dict[str, Any] = {**arm.solved, study.tuning.path: value}
    return arm.model_copy(update={"solved": solved})


def tuning_words(study: Study, chosen: Mapping[str, float]) -> str | None:
    """What was tuned, in words."""
    if study.tuning is None:
        return None
    values = ", ".join(f"{arm} {value:g}" for arm, value in chosen.items())
    return f"{study.tuning.path} by {study.tuning.measure} on validation scenes: {values or 'no trial has ended'}"
