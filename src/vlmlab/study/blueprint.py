"""A designed study as running needs it: its arms as records, and the recipe of every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vlmlab.plan.estimate import plan
from vlmlab.plan.record import StagePlan
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.path import get
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.study import ArmRecord, BudgetRecord
from vlmlab.report.differences import differences
from vlmlab.study.levels import Arm
from vlmlab.study.study import Study
from vlmlab.study.tasks import stage_keys


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A study as it was designed, as far as running needs it."""

    study: Study
    arms: Sequence[ArmRecord]
    """As designed; the first is the reference."""
    hold: str
    """The budget held equal, in words."""
    stages: Sequence[str]
    """Stages whose budget is compared."""
    recipe: Callable[[str, int, float | None, bool], Recipe]
    """Of an arm at a seed, at a value of the tuned field (None: as the arm is written), on validation scenes or not."""
    common: float | None
    """The tuned field's value as it is written."""


def blueprint_of(study: Study, arms: Sequence[Arm], *, machine: Machine) -> Blueprint:
    """The blueprint of arms in their order."""
    stages = study.hold.stages or differing_stages(arms)
    by_name = {arm.name: arm for arm in arms}
    first = arms[0].loaded(study.first_seed).recipe.plain()

    def recipe(arm: str, seed: int, value: float | None, validation: bool) -> Recipe:
        return by_name[arm].loaded(seed, trial=value, validation=validation).recipe

    records = [
        ArmRecord(
            name=arm.name,
            levels=arm.levels,
            differences=[
                (each.path, str(each.base), str(each.here))
                for each in differences(first, arm.loaded(study.first_seed).recipe.plain())
            ],
            solved=arm.solved,
            planned=planned_budget(arm.recipe, machine, stages=stages),
            spent=None,
            replicates=[],
            diverged=[],
            missing=[],
        )
        for arm in arms
    ]
    common = None if study.tuning is None else get(arms[0].recipe.plain(), study.tuning.path)
    hold = f"{study.hold.budget.replace('_', ' ')} of {', '.join(stages)}"
    return Blueprint(study, records, hold, stages, recipe, common)


def planned_budget(recipe: Recipe, machine: Machine, *, stages: Sequence[str]) -> BudgetRecord:
    """What the plan expects an arm to spend on `stages`."""
    planned = plan(recipe, machine)
    own = [stage for stage in planned.stages if stage.name in stages]

    def patches(stage: StagePlan) -> int:
        side = recipe.image_policy(recipe.stages[stage.name]).side
        return stage.images * (side // recipe.model.vision.patch) ** 2

    return BudgetRecord(
        updates=sum(stage.steps for stage in own),
        examples=sum(stage.documents for stage in own),
        images=sum(stage.images for stage in own),
        supervised_tokens=sum(stage.learned_tokens for stage in own),
        positions=sum(stage.tokens for stage in own),
        patches=sum(map(patches, own)),
        stage_flops=sum(_useful(stage) for stage in own),
        total_flops=planned.useful,
        cpu_seconds=None,
    )


def _useful(stage: StagePlan) -> float:
    return sum(part.forward + part.backward for part in stage.useful.values())


def differing_stages(arms: Sequence[Arm]) -> list[str]:
    """Stages that arms do not share, in the reference's order; all of them where nothing differs."""
    keys = [dict(zip(arm.recipe.stages, stage_keys(arm.recipe), strict=True)) for arm in arms]
    names = list(dict.fromkeys(name for its in keys for name in its))
    return [name for name in names if len({its.get(name) for its in keys}) > 1] or names
