"""Validation errors in plain words: dotted path, what was found, what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from vlmlab.errors import near
from vlmlab.recipe.path import no_such_field
from vlmlab.recipe.schema import Place, field_of, place_of, root
from vlmlab.recipe.sentences import sentences


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and the dotted path where it stands; the path is empty for the whole file."""

    path: str
    words: str

    def __str__(self) -> str:
        return f"{self.path}: {self.words}" if self.path else self.words


@dataclass(frozen=True, slots=True)
class _Location:
    """A pydantic location without union tags."""

    steps: tuple[str, ...]
    place: Place | None
    """What may stand there; None for an unknown field."""
    parent: Place | None
    alternative: tuple[tuple[str, ...], Place] | None
    """The path and place of the innermost choice between specs without a tag."""


def problems(error: ValidationError, *, schema: type[BaseModel], tree: Mapping[str, Any]) -> list[Problem]:
    """Every problem of a validation error, once."""
    found: dict[Problem, None] = {}
    for item in error.errors():
        location = _locate(item["loc"], schema)
        if location.alternative is not None:
            path, place = location.alternative
            value = _value(tree, path)
            fitting = [
                spec
                for spec in place.specs
                if isinstance(value, dict) and set(value) <= set(spec.model_fields) and value
            ]
            if not fitting:
                forms = " or ".join(
                    "{" + ", ".join(f"{name}: ..." for name in spec.model_fields) + "}" for spec in place.specs
                )
                found[Problem(".".join(path), f"expected {forms}; found {_short(value)}")] = None
                continue
            if fitting[0].__name__ not in item["loc"]:
                continue
        found[_problem(dict(item), location, schema)] = None
    return list(found)


def _locate(loc: tuple[int | str, ...], schema: type[BaseModel]) -> _Location:
    place: Place | None = root(schema)
    parent: Place | None = None
    steps: list[str] = []
    alternative: tuple[tuple[str, ...], Place] | None = None
    queue = [str(part) for part in loc]
    while queue:
        part = queue.pop(0)
        if part == "[key]":
            continue
        if place is None:
            # Below a leaf: a list index, or the name of a type in a union of types, which is not part of the path.
            steps += [part] if part.isdigit() else []
            continue
        if len(place.specs) > 1 and part in place.members():
            if place.tag is None:
                alternative = (tuple(steps), place)
            place = place_of(place.members()[part])
            continue
        parent = place
        if place.entry is not None:
            steps.append(part)
            place = place_of(place.entry)
        elif place.specs:
            steps.append(part)
            place = field_of(place.specs, part)
        else:
            steps += [part] if part.isdigit() else []
            place = None
    return _Location(tuple(steps), place, parent, alternative)


def _problem(item: dict[str, Any], location: _Location, schema: type[BaseModel]) -> Problem:
    path = ".".join(location.steps)
    found = f"; found {_short(item['input'])}"
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            above = ".".join(location.steps[:-1])
            known = sorted(location.parent.fields()) if location.parent is not None else []
            return Problem(path, no_such_field(above, location.steps[-1], known))
        case "missing":
            place = location.place
            meaning = sentences(place.owner).get(place.name) if place and place.owner else None
            return Problem(path, f"is missing{': ' + meaning.rstrip('.') if meaning else ''}")
        case "union_tag_invalid":
            tag = str(context["discriminator"]).strip("'")
            known = re.findall(r"'([^']*)'", str(context["expected_tags"]))
            return Problem(
                path, f"{tag} {context['tag']!r} is not one of {', '.join(known)}{_meant(context['tag'], known)}"
            )
        case "union_tag_not_found":
            tag = str(context["discriminator"]).strip("'")
            known = list(location.place.members()) if location.place else []
            return Problem(path, f"say which {tag}: one of {', '.join(known)}")
        case "literal_error":
            known = re.findall(r"'([^']*)'", str(context["expected"]))
            if item["loc"][-1] == "[key]":
                return Problem(path, f"no such entry{near(str(item['input']), known)}")
            return Problem(
                path, f"{_short(item['input'])} is not one of {', '.join(known)}{_meant(item['input'], known)}"
            )
        case "value_error":
            words = str(context["error"])
            # "image: side 300 is ..." and "mixture.pages is -1 ..." start with the path below the spec that refuses.
            inner = re.match(r"([A-Za-z_][\w-]*(?:\.[\w-]+)*)(?:: | (?=is ))(.*)", words, re.DOTALL)
            place = location.place if location.steps else root(schema)
            if inner and place is not None and inner[1].split(".")[0] in place.fields():
                return Problem(f"{path}.{inner[1]}" if path else inner[1], inner[2])
            return Problem(path, words)
        case "model_type" | "model_attributes_type" | "dict_type":
            words = list(location.place.members()) if location.place and location.place.tag else []
            example = f", such as {{{location.place.tag}: {words[0]}}}" if words and location.place else ""
            return Problem(path, f"expected a mapping of fields{example}{found}")
        case kind:
            return Problem(path, f"{_expected(kind, context) or item['msg'].removeprefix('Value error, ')}{found}")


def _expected(kind: str, context: Mapping[str, Any]) -> str | None:
    match kind:
        case "int_type" | "int_from_float" | "int_parsing":
            return "expected a whole number"
        case "float_type" | "float_parsing":
            return "expected a number"
        case "finite_number":
            return "expected a finite number"
        case "string_type":
            return "expected text"
        case "bool_type" | "bool_parsing":
            return "expected true or false"
        case "tuple_type" | "list_type":
            return "expected a list"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "greater_than":
            return f"must be greater than {context['gt']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "less_than":
            return f"must be less than {context['lt']}"
        case "too_short":
            return f"expected at least {context['min_length']} entries"
        case "too_long":
            return f"expected at most {context['max_length']} entries"
    return None


def _meant(name: Any, known: list[str]) -> str:
    """The nearest name, if there is one: the known ones have been listed already."""
    words = near(str(name), known)
    return words if "did you mean" in words else ""


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _value(tree: Any, steps: tuple[str, ...]) -> Any:
    for step in steps:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree
