"""The arms of a study: the product of its axes applied to the base, each one an ordinary recipe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from vlmlab.errors import RecipeError, StudyError, near
from vlmlab.recipe import path as paths
from vlmlab.recipe.load import LoadedRecipe, change_recipe
from vlmlab.recipe.path import Tree
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.strict_yaml import yaml_text
from vlmlab.study.load import LoadedStudy
from vlmlab.study.study import Axis, BenchmarkMeasure, MeanMeasure, PathAxis, Study

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_OWN = {
    "seed": "replicates set it; say how many with replicates, and where they begin with first_seed",
    "seeds": "replicates set it; say sharing: across to share stages among them",
    "name": "names change no result",
    "about": "words change no result",
}
"""Fields of a recipe that no axis may vary, and why."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant of the base, in all of its replicates."""

    name: str
    levels: dict[str, str]
    """Level by axis."""
    changes: dict[str, Any]
    """What it sets in the base, the study's own changes and what was solved for it included: {dotted path: value}."""
    tree: Tree
    """The base as it was written, with the changes."""
    recipe: Recipe
    """At the study's first seed."""
    study: Study
    base: LoadedRecipe
    solved: dict[str, Any] = field(default_factory=dict)
    """The free field, as it was solved to hold the budget equal."""
    fixed: Mapping[str, int] = field(default_factory=dict)
    """Stages that keep one seed in every replicate."""

    def replicate(self, seed: int, *, trial: float | None = None, validation: bool = False) -> Recipe:
        """The recipe of one replicate, with the tuned field at `trial`.

        On validation scenes it is asked only what the tuning looks at.
        """
        return change_recipe(self._own(seed, trial, validation), {}, where=f"arm {self.name}")

    def loaded(self, seed: int, *, trial: float | None = None, validation: bool = False) -> LoadedRecipe:
        """The same as if it came from a file; its text is a recipe file of its own."""
        tree = self._own(seed, trial, validation)
        recipe = change_recipe(tree, {}, where=f"arm {self.name}")
        return LoadedRecipe(
            recipe=recipe,
            text=yaml_text(recipe.plain()),
            base=self.base.recipe,
            base_name=self.base.recipe.name,
            path=self.base.path,
            tree=tree,
        )

    def _own(self, seed: int, trial: float | None, validation: bool) -> Tree:
        own: dict[str, Any] = {"name": f"{self.study.name}-{self.name.replace('/', '-')}", "seed": seed}
        if self.fixed:
            own["seeds"] = dict(self.fixed)
        if trial is not None:
            assert self.study.tuning is not None
            own[self.study.tuning.path] = trial
        if validation:
            own["evaluation.benchmarks"] = self._validation()
        return _applied(self.tree, own)

    def _validation(self) -> dict[str, Any]:
        """The benchmarks of the tuning measure, on validation scenes."""
        assert self.study.tuning is not None
        asked: dict[str, dict[str, Any]] = {}
        for part in parts_of(self.study, self.study.tuning.measure).values():
            plain = self.recipe.evaluation.benchmarks[part.benchmark].plain()
            before = asked.get(part.benchmark, {"shots": []})["shots"]
            asked[part.benchmark] = plain | {"split": "validation", "shots": sorted({*before, part.shots})}
        return asked


def parts_of(study: Study, measure: str) -> dict[str, BenchmarkMeasure]:
    """The benchmark measures that a measure is made of, by name."""
    found = study.measures[measure]
    if isinstance(found, BenchmarkMeasure):
        return {measure: found}
    assert isinstance(found, MeanMeasure)
    parts = {name: study.measures.get(name) for name in found.mean}
    return {name: part for name, part in parts.items() if isinstance(part, BenchmarkMeasure)}


def build_arms(loaded: LoadedStudy) -> tuple[Arm, ...]:
    """The arms in the order of the axes' product. Raises StudyError naming every level that makes no recipe."""
    study, base = loaded.study, loaded.base
    found = list(_plain_problems(study, loaded.where))
    if found:
        raise StudyError("", "\n".join(found))
    _changed(loaded, study.change, where=f"{loaded.where}: change")
    names = _arm_names(loaded)
    changes = {name: study.change | _changes(study, levels) for name, levels in names.items()}
    recipes = {name: _attempt(loaded, changes[name]) for name in names}
    failed = {name for name, recipe in recipes.items() if recipe is None}
    if failed:
        raise StudyError("", "\n".join(_failures(loaded, names, failed)))
    arms = []
    for name, levels in names.items():
        recipe = recipes[name]
        assert recipe is not None
        tree = _applied(base.tree, changes[name])
        arms.append(Arm(name, levels, changes[name], tree, recipe, study, base))
    return tuple(arms)


def changed_arm(arm: Arm, path: str, value: Any) -> Arm:
    """The arm with one more field set, as the one that is solved for a budget."""
    tree = _applied(arm.tree, {path: value})
    recipe = change_recipe(tree, {"seed": arm.recipe.seed}, where=f"arm {arm.name}")
    return replace(arm, changes=arm.changes | {path: value}, tree=tree, recipe=recipe, solved={path: value})


def _plain_problems(study: Study, where: str) -> Iterable[str]:
    """Everything about names that can be said before an arm is made."""
    if not study.axes:
        yield f"{where}: axes: there are none; say what differs between arms"
    for name, axis in study.axes.items():
        here = f"{where}: axes.{name}"
        if not axis.levels:
            yield f"{here}.levels: there are none; name at least two"
        for level in axis.levels:
            if not _NAME.fullmatch(level):
                yield f"{here}.levels: {level!r} names an arm and a folder; use letters, digits, _ . + and -"
        for path in {axis.path} if isinstance(axis, PathAxis) else {p for level in axis.levels.values() for p in level}:
            if path in _OWN:
                yield f"{here}: {path} cannot be varied: {_OWN[path]}"
    if not _NAME.fullmatch(study.name):
        yield f"{where}: name: {study.name!r} names a folder; use letters, digits, _ . + and -"


def _arm_names(loaded: LoadedStudy) -> dict[str, dict[str, str]]:
    """Levels by axis of every arm that is wanted, by its name."""
    study = loaded.study
    every = {
        "/".join(levels): dict(zip(study.axes, levels, strict=True))
        for levels in product(*(axis.levels for axis in study.axes.values()))
    }
    unknown = [f"{loaded.where}: leave_out: no arm {name!r}{near(name, every)}" for name in study.leave_out
               if name not in every]  # fmt: skip
    if unknown:
        raise StudyError("", "\n".join(unknown))
    kept = {name: levels for name, levels in every.items() if name not in study.leave_out}
    # Without claims a single arm is enough: its replicates measure the noise.
    if len(kept) < (2 if study.claims else 1):
        raise StudyError(
            f"{loaded.where}: axes",
            f"{len(kept)} arm{'' if len(kept) == 1 else 's'}; a comparison needs two: add a level"
            + (", or leave out fewer" if study.leave_out else ""),
        )
    return kept


def _changes(study: Study, levels: Mapping[str, str]) -> dict[str, Any]:
    """What the levels of an arm set."""
    found: dict[str, Any] = {}
    for axis, level in levels.items():
        found |= _level(study.axes[axis], level)
    return found


def _level(axis: Axis, level: str) -> dict[str, Any]:
    value = axis.levels[level]
    return {axis.path: value} if isinstance(axis, PathAxis) else dict(value)


def _applied(tree: Tree, changes: Mapping[str, Any]) -> Tree:
    for path, value in changes.items():
        tree = paths.replace(tree, path, value, schema=Recipe)
    return tree


def _changed(loaded: LoadedStudy, changes: Mapping[str, Any], *, where: str) -> Recipe:
    """Raises StudyError in whose problems `where` stands first."""
    own = {"seed": loaded.study.first_seed}
    try:
        return change_recipe(loaded.base.tree, {**changes, **own}, where=where)
    except RecipeError as error:
        raise StudyError(error.where, error.problem) from error


def _attempt(loaded: LoadedStudy, changes: Mapping[str, Any]) -> Recipe | None:
    try:
        return _changed(loaded, changes, where="")
    except StudyError:
        return None


def _failures(loaded: LoadedStudy, names: Mapping[str, Mapping[str, str]], failed: set[str]) -> Iterable[str]:
    """What is wrong, at the level that is to blame: one that fails alone and in every arm; else at the arm."""
    study = loaded.study
    explained: set[str] = set()
    for axis, spec in study.axes.items():
        said: set[str] = set()
        for level in spec.levels:
            arms = {name for name, levels in names.items() if levels[axis] == level}
            if not arms or not arms <= failed:
                continue
            where = f"{loaded.where}: axes.{axis}.levels.{level}"
            problem = _problem(loaded, study.change | _level(spec, level), where)
            if problem is None:
                continue
            explained |= arms
            # A path that does not exist is one mistake, however many levels there are.
            words = problem.removeprefix(where)
            if words not in said:
                alone = isinstance(spec, PathAxis) and _missing(loaded, spec)
                yield f"{loaded.where}: axes.{axis}.path{words}" if alone else problem
            said.add(words)
    for name in names:
        if name in failed - explained:
            problem = _problem(loaded, study.change | _changes(study, names[name]), f"{loaded.where}: arm {name}")
            yield f"{problem}; change the levels, or leave_out: [{name}]"


def _problem(loaded: LoadedStudy, changes: Mapping[str, Any], where: str) -> str | None:
    try:
        _changed(loaded, changes, where=where)
    except StudyError as error:
        return str(error)
    return None


def _missing(loaded: LoadedStudy, axis: PathAxis) -> bool:
    """Whether no recipe has the axis' path."""
    tree = _applied(loaded.base.tree, loaded.study.change)
    try:
        paths.replace(tree, axis.path, next(iter(axis.levels.values())), schema=Recipe)
    except RecipeError:
        return True
    return False


def varying(arms: Sequence[Arm]) -> tuple[str, ...]:
    """The axes in which some of these arms differ."""
    return tuple(axis for axis in arms[0].levels if len({arm.levels[axis] for arm in arms}) > 1)
