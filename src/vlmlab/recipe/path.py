"""Dotted paths on plain trees: the one way to read, change and list fields.

The command line's `--set`, a recipe's `change` and `remove`, and studies all come through here. A path names a leaf
(`stages.pretrain.batch.rows`), a whole component (`model.connector`) or an entry of a named mapping
(`data.sources.pages`).

* A value replaces what stood there; a mapping replaces the whole component, fields left out take their default.
* A new name adds an entry to a named mapping (stages, sources, mixture, train, benchmarks).
* Another `kind` (or `mode`) starts the component anew: the old kind's fields do not fit the new one.
* Trees are never changed in place.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from vlmlab.errors import RecipeError, near
from vlmlab.recipe.schema import Place, default_tag, field_of, place_of, root
from vlmlab.recipe.spec import flatten

Tree = dict[str, Any]


def paths(tree: Tree) -> list[str]:
    """The dotted path of every leaf."""
    return [path for path in flatten(tree) if path]


def get(tree: Tree, path: str) -> Any:
    """The value at `path`. Raises RecipeError with a near name where nothing stands."""
    node: Any = tree
    done: list[str] = []
    for step in split(path):
        if not isinstance(node, dict) or step not in node:
            raise RecipeError(path, f"nothing stands at {'.'.join([*done, step])}{_near(step, node)}")
        node = node[step]
        done.append(step)
    return node


def replace(tree: Tree, path: str, value: Any, *, schema: type[BaseModel]) -> Tree:
    """A tree with `value` at `path`. Raises RecipeError with a near name where `schema` has no such field."""
    changed = _replace(tree, split(path), value, place=root(schema), done=[])
    assert isinstance(changed, dict)
    return changed


def remove(tree: Tree, path: str) -> Tree:
    """A tree without `path`: an entry disappears, a field returns to its default.

    Raises RecipeError where nothing stands.
    """
    get(tree, path)
    *parents, last = split(path)

    def without(node: Tree, steps: list[str]) -> Tree:
        if steps:
            return node | {steps[0]: without(node[steps[0]], steps[1:])}
        return {name: child for name, child in node.items() if name != last}

    return without(tree, parents)


def split(path: str) -> list[str]:
    """The steps of a dotted path. Raises RecipeError for an empty path or step."""
    steps = path.split(".")
    if not all(steps):
        raise RecipeError(
            path, "not a dotted path; expected names with single dots between them, as in model.vision.width"
        )
    return steps


def no_such_field(parent: str, name: str, known: list[str]) -> str:
    """The sentence for an unknown field, with the nearest known one."""
    return f"no such field in {parent or 'the file'}{near(name, known)}"


def _replace(node: Any, steps: list[str], value: Any, *, place: Place, done: list[str]) -> Any:
    if not steps:
        return value
    step, *rest = steps
    here = ".".join(done)
    if place.entry is not None:
        if place.names and step not in place.names:
            raise RecipeError(f"{here}.{step}", f"no such entry in {here}{near(step, place.names)}")
        entries = _mapping(node, here)
        child = _replace(entries.get(step), rest, value, place=place_of(place.entry), done=[*done, step])
        return entries | {step: child}
    if not place.specs:
        raise RecipeError(".".join([*done, *steps]), f"{here} is a single value and has no fields; set {here} itself")
    fields = _mapping(node, here) or default_tag(place)
    if step == place.tag and not rest and fields.get(step) != value:
        return {step: value}
    specs = place.narrowed(fields)
    inner = field_of(specs, step)
    if inner is None:
        known = sorted({name for spec in specs for name in spec.model_fields})
        other = [word for word, spec in place.members().items() if step in spec.model_fields]
        if other and place.tag is not None:
            found = f"{place.tag} {fields[place.tag]!r} has no such field, but {', '.join(other)} has"
            raise RecipeError(f"{here}.{step}", f"{found}; set {here}.{place.tag} first")
        raise RecipeError(".".join([*done, step]), no_such_field(here, step, known))
    if place.tag is None and len(place.specs) > 1:
        # Alternatives without a tag, such as {steps: N} or {tokens: N}: the field decides, the others' fields go.
        owner = next(spec for spec in specs if step in spec.model_fields)
        fields = {name: child for name, child in fields.items() if name in owner.model_fields}
    return fields | {step: _replace(fields.get(step), rest, value, place=inner, done=[*done, step])}


def _mapping(node: Any, here: str) -> Tree:
    if node is None:
        return {}
    if not isinstance(node, dict):
        raise RecipeError(here, f"expected a mapping of fields; found {node!r}")
    return node


def _near(name: str, node: Any) -> str:
    return near(name, map(str, node)) if isinstance(node, dict) else "; its parent is a single value"
