"""Cost of a study on a machine: every stage once for each content, as the store keeps them, and what that saves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vlmlab.plan.estimate import plan
from vlmlab.plan.record import Plan, StagePlan
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.path import get
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.design import DesignCostRecord, SharedStageRecord
from vlmlab.records.study import CostRecord, StudyRecord
from vlmlab.study.levels import Arm
from vlmlab.study.study import Study
from vlmlab.study.tasks import stage_keys
from vlmlab.study.tune import TUNING_SEED


@dataclass(frozen=True, slots=True)
class _Run:
    """One run: its stages by content, with their plans."""

    arm: str
    keys: tuple[str, ...]
    planned: Plan
    trial: bool = False


def design_cost(study: Study, arms: Sequence[Arm], *, machine: Machine) -> DesignCostRecord:
    """What all runs take, tuning trials included, with and without the store."""
    runs = [*_replicates(study, arms, machine), *_trials(study, arms, machine)]
    stages: dict[str, dict[str, StagePlan]] = {}
    asked: dict[str, list[StagePlan]] = {}
    for run in runs:
        for key, stage in zip(run.keys, run.planned.stages, strict=True):
            stages.setdefault(stage.name, {})[key] = stage
            asked.setdefault(stage.name, []).append(stage)
    shared = [
        SharedStageRecord(
            stage=name,
            runs=len(asked[name]),
            trained=len(its),
            seconds=sum(stage.seconds for stage in its.values()),
            seconds_without_store=sum(stage.seconds for stage in asked[name]),
        )
        for name, its in stages.items()
    ]
    first = {run.arm: run for run in reversed(runs) if not run.trial}
    return DesignCostRecord(
        machine=machine.name,
        runs=len(runs),
        trials=sum(run.trial for run in runs),
        prompts=sum(run.planned.prompts for run in runs),
        stages=shared,
        stages_trained=sum(each.trained for each in shared),
        stages_asked=sum(each.runs for each in shared),
        seconds=sum(each.seconds for each in shared),
        seconds_without_store=sum(each.seconds_without_store for each in shared),
        flops=sum(_executed(stage) for its in stages.values() for stage in its.values()),
        flops_without_store=sum(_executed(stage) for its in asked.values() for stage in its),
        price=sum(stage.price for its in stages.values() for stage in its.values()),
        chosen_seconds=_chosen_seconds(study, arms, machine, known={key for its in stages.values() for key in its}),
        replicate_seconds={arm.name: first[arm.name].planned.seconds for arm in arms},
        own_seconds={arm.name: _own_seconds(first[arm.name], list(first.values())) for arm in arms},
        measured=measured_before(study, machine),
    )


def measured_before(study: Study, machine: Machine) -> CostRecord | None:
    """What the last run of the study took, where its record stands among the machine's runs."""
    path = Path(machine.runs) / "studies" / study.name / "study.json"
    try:
        return StudyRecord.model_validate_json(path.read_text(encoding="utf-8")).cost
    except (OSError, UnicodeDecodeError, ValidationError):
        return None


def _replicates(study: Study, arms: Sequence[Arm], machine: Machine) -> Iterator[_Run]:
    for arm in arms:
        planned = plan(arm.recipe, machine)
        for seed in seeds_of(study):
            yield _Run(arm.name, stage_keys(at_seed(arm, seed)), planned)


def _trials(study: Study, arms: Sequence[Arm], machine: Machine) -> Iterator[_Run]:
    tuning = study.tuning
    if tuning is None:
        return
    for arm in arms:
        for value in tuning.grid:
            for number in range(tuning.replicates):
                recipe = arm.replicate(TUNING_SEED + number, trial=value, validation=True)
                yield _Run(arm.name, stage_keys(recipe), plan(recipe, machine), trial=True)


def _chosen_seconds(study: Study, arms: Sequence[Arm], machine: Machine, *, known: set[str]) -> float:
    """The stages that no other run trains where each arm's replicates run at a value of the grid that is not common."""
    if study.tuning is None:
        return 0.0
    added: dict[str, float] = {}
    for arm in arms:
        common = get(arm.recipe.plain(), study.tuning.path)
        other = next(value for value in study.tuning.grid if value != common)
        for seed in seeds_of(study):
            recipe = arm.replicate(seed, trial=other)
            planned = plan(recipe, machine)
            added |= {key: stage.seconds for key, stage in zip(stage_keys(recipe), planned.stages, strict=True)}
    return sum(seconds for key, seconds in added.items() if key not in known)


def seeds_of(study: Study) -> tuple[int, ...]:
    """Seeds of the replicates."""
    return tuple(range(study.first_seed, study.first_seed + study.replicates))


def at_seed(arm: Arm, seed: int) -> Recipe:
    """The arm's recipe at a seed, as far as its stages go."""
    return arm.recipe.model_copy(update={"seed": seed, "seeds": dict(arm.fixed)})


def _own_seconds(run: _Run, beside: Sequence[_Run]) -> float:
    others = {key for other in beside if other.arm != run.arm for key in other.keys}
    return sum(stage.seconds for key, stage in zip(run.keys, run.planned.stages, strict=True) if key not in others)


def _executed(stage: StagePlan) -> float:
    return sum(part.forward + part.backward for part in stage.executed.values())
