"""What a dotted path means: type, default, allowed values, the sentence under it, and its sub-fields."""

from __future__ import annotations

import json
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel

from vlmlab.errors import RecipeError, near
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.path import no_such_field, split
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.schema import Place, place_of, place_of_field, root
from vlmlab.recipe.sentences import sentences


def explain(path: str = "") -> str:
    """What stands at a dotted path of a recipe, or of a machine (`machine.attention`), in words.

    Entries of named mappings go by any name (`stages.ANY.batch.rows`); one of several components is chosen by its kind
    (`model.connector.perceiver.latents`). Raises RecipeError with a near name for an unknown path.
    """
    steps = split(path) if path else []
    schema: type[BaseModel] = Recipe
    if steps[:1] == ["machine"]:
        schema, steps = Machine, steps[1:]
    place = root(schema)
    done = ["machine"] if schema is Machine else []
    for step in steps:
        place = _step(place, step, done)
        done.append(step)
    return _words(place, ".".join(done) or "recipe")


def describe_field(spec: type[BaseModel], name: str) -> str:
    """Type, allowed values and default of a field: 'whole number, at least 1; default 64'."""
    place, field = place_of_field(spec, name), spec.model_fields[name]
    parts = [", ".join([type_words(field.annotation), *_limits(field.metadata)])]
    if len(place.specs) > 1:
        parts = [f"one of {', '.join(place.members())}" + (" or null" if place.nullable else "")]
    if field.is_required():
        return f"{parts[0]}; required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, BaseModel):
        members = {spec: word for word, spec in place.members().items()}
        return parts[0] if len(place.specs) == 1 else f"{parts[0]}; default {members[type(default)]}"
    return f"{parts[0]}; default {_value(default)}"


def type_words(annotation: Any) -> str:
    """A type in plain words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(arguments[0])
    if origin in (Union, types.UnionType):
        words = [type_words(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(words + (["null"] if type(None) in arguments else []))
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}" if len(arguments) > 1 else str(arguments[0])
    if origin is tuple:
        inner = [argument for argument in arguments if argument is not Ellipsis]
        if get_origin(inner[0]) is Literal:
            return f"list of any of {', '.join(map(str, get_args(inner[0])))}"
        return (
            f"list of {type_words(inner[0])}s"
            if Ellipsis in arguments
            else f"list of {len(inner)} {type_words(inner[0])}s"
        )
    if origin is dict:
        return f"named {type_words(arguments[1])} entries"
    plain = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return plain.get(annotation) or annotation.__name__


def summary(spec: type[BaseModel]) -> str:
    """The first paragraph of a spec's docstring, as one line."""
    return " ".join((spec.__doc__ or "").strip().split("\n\n")[0].split())


def _step(place: Place, step: str, done: list[str]) -> Place:
    here = ".".join(done)
    if place.entry is not None:
        if place.names and step not in (*place.names, "ANY"):
            raise RecipeError(f"{here}.{step}", f"no such entry in {here}{near(step, place.names)}")
        return place_of(place.entry)
    if len(place.specs) > 1 and step in place.members():
        return place_of(place.members()[step])
    if not place.specs:
        raise RecipeError(f"{here}.{step}", f"{here} is a single value and has no fields")
    fields = place.fields()
    if step not in fields:
        kinds = list(place.members()) if len(place.specs) > 1 else []
        raise RecipeError(".".join([*done, step]), no_such_field(here or "a recipe", step, [*fields, *kinds]))
    return fields[step]


def _words(place: Place, path: str) -> str:
    lines = [path]
    if place.owner is not None:
        lines = [
            f"{path}: {describe_field(place.owner, place.name)}",
            f"  {sentences(place.owner).get(place.name, '')}".rstrip(),
        ]
    if place.entry is not None:
        entry = place_of(place.entry)
        names = ", ".join(place.names) or "any name"
        lines.append(f"  Entries: {names}.")
        place = entry
    if len(place.specs) > 1:
        lines.append(f"  One of, chosen by '{place.tag}':" if place.tag else "  One of:")
        for word, spec in place.members().items():
            lines += ["", f"  {word}: {summary(spec)}", *_fields(spec, skip=place.tag, indent=4)]
    elif place.specs:
        lines += [f"  {summary(place.specs[0])}", *_fields(place.specs[0], skip=None, indent=2)]
    return "\n".join(lines)


def _fields(spec: type[BaseModel], *, skip: str | None, indent: int) -> list[str]:
    lines: list[str] = []
    for name in spec.model_fields:
        if name != skip:
            lines.append(" " * indent + f"{name}: {describe_field(spec, name)}")
            lines.append(" " * (indent + 4) + sentences(spec).get(name, ""))
    return lines


def _limits(metadata: list[Any]) -> list[str]:
    words: list[str] = []
    for item in metadata:
        match item:
            case annotated_types.Ge():
                words.append(f"at least {item.ge}")
            case annotated_types.Gt():
                words.append(f"greater than {item.gt}")
            case annotated_types.Le():
                words.append(f"at most {item.le}")
            case annotated_types.Lt():
                words.append(f"less than {item.lt}")
            case annotated_types.MinLen():
                words.append(f"at least {item.min_length} entry")
    return words


def _value(default: Any) -> str:
    match default:
        case tuple():
            return json.dumps(list(default))
        case dict():
            return "none" if not default else json.dumps(default, default=str)
        case _:
            return json.dumps(default, ensure_ascii=False)
