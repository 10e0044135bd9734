"""A designed study as running needs it: its arms as records, and the recipe of every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vlmlab.recipe.path import get
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.study import ArmRecord
from vlmlab.study.design import Design
from vlmlab.study.study import Study


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


def blueprint_of(design: Design) -> Blueprint:
    """The blueprint of a design."""
    arms = {arm.name: arm for arm in design.arms}
    study = design.study

    def recipe(arm: str, seed: int, value: float | None, validation: bool) -> Recipe:
        return arms[arm].replicate(seed, trial=value, validation=validation)

    return Blueprint(
        study=study,
        arms=design.record().arms,
        hold=f"{study.hold.budget.replace('_', ' ')} of {', '.join(design.stages)}",
        stages=design.stages,
        recipe=recipe,
        common=None if study.tuning is None else get(design.reference.recipe.plain(), study.tuning.path),
    )
