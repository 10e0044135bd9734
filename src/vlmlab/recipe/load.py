"""Recipes and machines from files: strict YAML, `from` and `change`, overrides, and every problem named at once.

A recipe file either says everything or derives from another one:

    from: tiny                     # a name in recipes/, or a path
    name: wider
    about: tiny with a wider connector
    remove: [stages.align]         # first: an entry disappears, a field returns to its default
    change:                        # then, in this order
      model.connector: {kind: mlp, hidden: 256}
      stages.joint.mixture.pages: 2
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from vlmlab.errors import RecipeError, near
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.path import Tree, no_such_field, remove, replace
from vlmlab.recipe.problems import Problem, problems
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.spec import Spec
from vlmlab.recipe.strict_yaml import parse_yaml

AnySpec = TypeVar("AnySpec", bound=Spec)
_DERIVED = ("name", "about", "from", "change", "remove")
_CHECKOUT = Path(__file__).resolve().parents[3]
"""The source checkout, whose recipes/ and machines/ are the shipped ones."""


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A recipe with where it comes from."""

    recipe: Recipe
    text: str
    """The file as written."""
    base: Recipe | None
    """The recipe that it derives from, if it says `from`."""
    base_name: str | None
    path: Path
    tree: Tree
    """What was written, `from`, `change` and overrides applied, before defaults and presets fill the rest."""


def load_recipe(path: Path | str, *, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Load a recipe file, or the shipped recipe of that name, with `path=value` overrides applied.

    Raises RecipeError that lists every problem as `FILE: dotted.path: problem`.
    """
    return _load(_find(path, folder="recipes"), overrides=overrides, chain=())


def load_machine(path: Path | str = "laptop", *, overrides: Sequence[str] = ()) -> Machine:
    """Load a machine file, or the shipped machine of that name, with `path=value` overrides applied."""
    found = _find(path, folder="machines")
    tree = _mapping(_read(found), where=str(found))
    collected: list[Problem] = []
    tree = _overridden(tree, overrides, schema=Machine, collected=collected)
    return _validated(tree, Machine, where=str(found), collected=collected)


def change_recipe(tree: Tree, changes: dict[str, Any], *, where: str) -> Recipe:
    """The recipe of a written tree with some dotted paths set; what a study does for each of its arms."""
    collected: list[Problem] = []
    for path, value in changes.items():
        tree = _attempt(tree, lambda tree, path=path, value=value: replace(tree, path, value, schema=Recipe), collected)
    return _validated(tree, Recipe, where=where, collected=collected)


def _load(path: Path, *, overrides: Sequence[str], chain: tuple[Path, ...]) -> LoadedRecipe:
    where = str(path)
    if path.resolve() in chain:
        names = " -> ".join(step.stem for step in (*chain, path))
        raise RecipeError(where, f"from: recipes derive from each other in a circle: {names}")
    text = _read(path)
    tree = _mapping(text, where=where)
    collected: list[Problem] = []
    base: LoadedRecipe | None = None
    if "from" in tree:
        if not isinstance(tree["from"], str):
            raise RecipeError(where, f"from: expected a recipe's name or path; found {tree['from']!r}")
        origin = _find(tree["from"], folder="recipes", asked_by=path)
        base = _load(origin, overrides=(), chain=(*chain, path.resolve()))
        tree = _derived(tree, base.tree, collected=collected)
    tree = {"name": path.stem} | tree
    tree = _overridden(tree, overrides, schema=Recipe, collected=collected)
    recipe = _validated(tree, Recipe, where=where, collected=collected)
    return LoadedRecipe(
        recipe=recipe,
        text=text,
        base=None if base is None else base.recipe,
        base_name=None if base is None else base.recipe.name,
        path=path,
        tree=tree,
    )


def _derived(written: Tree, base: Tree, *, collected: list[Problem]) -> Tree:
    for name in written:
        if name not in _DERIVED:
            words = no_such_field("", name, list(_DERIVED))
            if name in Recipe.model_fields:
                words = "a recipe that says 'from' changes fields under 'change', with dotted paths"
            collected.append(Problem(name, words))
    tree = {name: value for name, value in base.items() if name not in ("name", "about")}
    tree = {name: written[name] for name in ("name", "about") if name in written} | tree
    removed, changed = written.get("remove") or [], written.get("change") or {}
    if not isinstance(removed, list) or not all(isinstance(path, str) for path in removed):
        collected.append(Problem("remove", f"expected a list of dotted paths; found {removed!r}"))
        removed = []
    if not isinstance(changed, dict):
        collected.append(Problem("change", f"expected a mapping of dotted paths to values; found {changed!r}"))
        changed = {}
    for path in removed:
        tree = _attempt(tree, lambda tree, path=path: remove(tree, path), collected, under="remove")
    for path, value in changed.items():
        tree = _attempt(
            tree,
            lambda tree, path=path, value=value: replace(tree, path, value, schema=Recipe),
            collected,
            under="change",
        )
    return tree


def _overridden(tree: Tree, overrides: Sequence[str], *, schema: type[Spec], collected: list[Problem]) -> Tree:
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path.strip():
            collected.append(
                Problem(f"--set {override}", "expected path=value, as in --set model.connector.hidden=256")
            )
            continue

        def change(tree: Tree, path: str = path.strip(), text: str = text) -> Tree:
            return replace(tree, path, parse_yaml(text, where=path), schema=schema)

        tree = _attempt(tree, change, collected, under="--set")
    return tree


def _attempt(tree: Tree, change: Callable[[Tree], Tree], collected: list[Problem], *, under: str = "") -> Tree:
    """The changed tree; where the change is impossible the tree as it was, and one more problem."""
    try:
        return change(tree)
    except RecipeError as error:
        collected.append(Problem(f"{under} {error.where}".strip(), error.problem))
        return tree


def _validated(tree: Tree, schema: type[AnySpec], *, where: str, collected: list[Problem]) -> AnySpec:
    """The frozen value of a tree. Raises RecipeError with all that was collected before and all that is wrong now."""
    found = [*collected, *_dotted_names(tree, ())]
    try:
        value = schema.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        found += problems(error, schema=schema, tree=tree)
    else:
        if not found:
            return value
    raise RecipeError(where, f"\n{where}: ".join(map(str, found)))


def _dotted_names(tree: Any, steps: tuple[str, ...]) -> list[Problem]:
    """Names that no dotted path could reach."""
    if not isinstance(tree, dict):
        return []
    found = [
        Problem(".".join(steps), f"the name {name!r} must not be empty or hold a dot")
        for name in tree
        if "." in name or not name
    ]
    return found + [problem for name, child in tree.items() for problem in _dotted_names(child, (*steps, name))]


def _mapping(text: str, *, where: str) -> Tree:
    tree = parse_yaml(text, where=where)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise RecipeError(where, f"expected a mapping of fields; found {type(tree).__name__}")
    return tree


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), f"cannot be read: {error}") from error


def _find(path: Path | str, *, folder: str, asked_by: Path | None = None) -> Path:
    """The file of a path or name: beside the file that asks, in the working directory, in the source checkout.

    A name never means the file that asks, so that my own tiny.yaml may say `from: tiny`.
    """
    given = Path(path)
    is_name = len(given.parts) == 1 and given.suffix not in (".yaml", ".yml")
    tails = [Path(f"{given}.yaml"), Path(folder) / f"{given}.yaml"] if is_name else [given]
    roots = [Path(), _CHECKOUT] if asked_by is None else [asked_by.parent, Path(), _CHECKOUT]
    for file in (root / tail for root in roots for tail in tails):
        if file.is_file() and not (is_name and asked_by is not None and file.resolve() == asked_by.resolve()):
            return file
    known = sorted({file.stem for root in roots for file in (root / folder).glob("*.yaml")})
    problem = (
        f"no file of this name in {folder}/{near(given.name, known)}"
        if is_name
        else f"no such file{near(given.stem, known)}"
    )
    raise (
        RecipeError(str(path), problem) if asked_by is None else RecipeError(str(asked_by), f"from: {path}: {problem}")
    )
