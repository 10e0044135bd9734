"""How a recipe differs from the one that it derives from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from vlmlab.recipe.spec import flatten

NAMING = frozenset({"name", "about"})
"""Fields that every recipe has to itself and that change no result."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One leaf that is not the same. None where the leaf does not exist; a leaf that is null is the text 'null'."""

    path: str
    base: str | None
    here: str | None


def differences(base: dict[str, Any], recipe: dict[str, Any]) -> tuple[Difference, ...]:
    """Leaves that differ between two resolved recipes, in the order of `recipe`, then those that only `base` has."""
    before, after = _leaves(base), _leaves(recipe)
    paths = [*after, *(path for path in before if path not in after)]
    return tuple(
        Difference(path, words(before[path]) if path in before else None, words(after[path]) if path in after else None)
        for path in paths
        if not (path in before and path in after and before[path] == after[path])
    )


def words(value: Any) -> str:
    """A leaf as it would stand in a recipe."""
    return (
        value if isinstance(value, str) and value.strip() == value and value else json.dumps(value, ensure_ascii=False)
    )


def _leaves(recipe: dict[str, Any]) -> dict[str, Any]:
    """Flat leaves without names, and without empty mappings: filling one already shows as the leaves it gained."""
    flat = flatten(recipe)
    return {path: value for path, value in flat.items() if path not in NAMING and value != {}}
