"""How a recipe differs from the one that it derives from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vlmlab.recipe.spec import flatten

NAMING = frozenset({"name", "about"})
"""Fields that every recipe has to itself and that change no result."""


LARGEST_SPELLED_OUT = 4
"""A part with more fields than this that only one recipe has is not spelled out."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One leaf that is not the same. None where the leaf does not exist; a leaf that is null is the text 'null'."""

    path: str
    base: str | None
    here: str | None


def differences(base: dict[str, Any], recipe: dict[str, Any]) -> tuple[Difference, ...]:
    """Leaves that differ between two resolved recipes: at each level those of `recipe`, then those of `base`.

    A whole part that only one of them has, such as a stage, is one row with the number of its fields.
    """
    return tuple(_differences(_named(base), _named(recipe), prefix=""))


def _differences(base: dict[str, Any], recipe: dict[str, Any], *, prefix: str) -> Iterator[Difference]:
    for name in [*recipe, *(name for name in base if name not in recipe)]:
        path = f"{prefix}{name}"
        before, after = base.get(name, {}), recipe.get(name, {})
        if isinstance(before, dict) and isinstance(after, dict):
            only = len(flatten(before or after)) if not (before and after) and (before or after) else 0
            if only > LARGEST_SPELLED_OUT:
                fields = f"{only} fields"
                yield Difference(path, fields if before else None, fields if after else None)
            else:
                yield from _differences(before, after, prefix=f"{path}.")
            continue
        old, new = _leaves(base, name), _leaves(recipe, name)
        for leaf in [*new, *(leaf for leaf in old if leaf not in new)]:
            if leaf not in old or leaf not in new or old[leaf] != new[leaf]:
                yield Difference(
                    f"{prefix}{leaf}",
                    words(old[leaf]) if leaf in old else None,
                    words(new[leaf]) if leaf in new else None,
                )


def words(value: Any) -> str:
    """A leaf as it would stand in a recipe."""
    return (
        value if isinstance(value, str) and value.strip() == value and value else json.dumps(value, ensure_ascii=False)
    )


def _leaves(part: dict[str, Any], name: str) -> dict[str, Any]:
    """The flat leaves of one entry; none where it is missing or empty: filling it already shows as what it gained."""
    flat = flatten({name: part[name]}) if name in part else {}
    return {path: value for path, value in flat.items() if value != {}}


def _named(recipe: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in recipe.items() if name not in NAMING}
