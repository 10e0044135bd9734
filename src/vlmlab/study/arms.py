"""The arms of a study as recipes: the product of its axes, applied to the base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vlmlab.errors import StudyError
from vlmlab.recipe.load import LoadedRecipe, change_recipe, load_recipe
from vlmlab.recipe.path import replace
from vlmlab.recipe.problems import problems
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.strict_yaml import parse_yaml
from vlmlab.records.study import ArmRecord, BudgetRecord
from vlmlab.report.differences import differences
from vlmlab.study.conduct import Blueprint
from vlmlab.study.study import PathAxis, Study
from vlmlab.study.tasks import stage_keys


@dataclass(frozen=True, slots=True)
class PlainArm:
    """An arm: its name and what it changes in the base."""

    name: str
    levels: dict[str, str]
    changes: dict[str, Any]
    base: LoadedRecipe

    def recipe(self, seed: int) -> Recipe:
        """The recipe of one replicate."""
        return change_recipe(
            self.base.tree, self.changes | {"name": self.base.recipe.name, "seed": seed}, where=self.name
        )


def read_study(path: Path, *, overrides: Sequence[str] = ()) -> Study:
    """A study's page."""
    tree = parse_yaml(path.read_text(encoding="utf-8"), where=str(path))
    for override in overrides:
        name, _, text = override.partition("=")
        tree = replace(tree, name.strip(), parse_yaml(text, where=name), schema=Study)
    try:
        return Study.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        listed = problems(error, schema=Study, tree=tree)
        raise StudyError(str(path), f"\n{path}: ".join(map(str, listed))) from error


def plain_arms(study: Study, *, beside: Path) -> list[PlainArm]:
    """The arms in the order of the product of all axes."""
    given = beside / study.base
    found = [each for each in (given, given.with_suffix(".yaml")) if each.is_file()]
    base = load_recipe(found[0] if found else study.base)
    arms = []
    for levels in product(*(axis.levels for axis in study.axes.values())):
        changes = dict(study.change)
        for axis, level in zip(study.axes.values(), levels, strict=True):
            value = axis.levels[level]
            changes |= {axis.path: value} if isinstance(axis, PathAxis) else value
        name = "/".join(levels)
        if name not in study.leave_out:
            arms.append(PlainArm(name, dict(zip(study.axes, levels, strict=True)), changes, base))
    return arms


def blueprint(study: Study, *, beside: Path) -> Blueprint:
    """The study as running needs it."""
    arms = {arm.name: arm for arm in plain_arms(study, beside=beside)}
    first = next(iter(arms.values())).recipe(study.first_seed).plain()

    def recipe(arm: str, seed: int, value: float | None, validation: bool) -> Recipe:
        return arms[arm].recipe(seed)

    nothing = BudgetRecord(
        updates=0, examples=0, images=0, supervised_tokens=0, positions=0, patches=0, stage_flops=0, total_flops=0,
        cpu_seconds=None,
    )  # fmt: skip
    records = [
        ArmRecord(
            name=arm.name, levels=arm.levels,
            differences=[
                (each.path, str(each.base), str(each.here))
                for each in differences(first, arm.recipe(study.first_seed).plain())
            ],
            solved={}, planned=nothing, spent=None, replicates=[], diverged=[], missing=[],
        )
        for arm in arms.values()
    ]  # fmt: skip
    keys = {arm.name: stage_keys(arm.recipe(study.first_seed)) for arm in arms.values()}
    names = list(next(iter(arms.values())).recipe(study.first_seed).stages)
    differing = [name for place, name in enumerate(names) if len({its[place] for its in keys.values()}) > 1]
    return Blueprint(study, records, study.hold.budget, differing or names, recipe, None)
