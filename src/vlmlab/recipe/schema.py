"""Schema: what may stand at a dotted path. The one place that walks the types of specs."""

from __future__ import annotations

import inspect
import types
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Place:
    """What may stand somewhere in a recipe: one or several specs, a named mapping, or a leaf."""

    annotation: Any
    specs: tuple[type[BaseModel], ...]
    """Specs that may stand here; empty at a mapping or leaf."""
    tag: str | None
    """Field that tells several specs apart."""
    entry: Any
    """Annotation of the entries of a named mapping, else None."""
    names: tuple[str, ...]
    """Names that a mapping's entries may have; empty means any."""
    nullable: bool
    owner: type[BaseModel] | None = None
    """The spec whose field this place is; None at the root and at entries."""
    name: str = ""
    """The field's name in it."""

    @property
    def field(self) -> FieldInfo | None:
        """The field that holds this place."""
        return None if self.owner is None else self.owner.model_fields[self.name]

    def members(self) -> dict[str, type[BaseModel]]:
        """Specs by the word that selects them: the tag's value, else the class name."""
        return {_word(spec, self.tag): spec for spec in self.specs}

    def narrowed(self, value: Any) -> tuple[type[BaseModel], ...]:
        """The specs that `value` can be, judged by its tag; all of them where it has none."""
        if self.tag is not None and isinstance(value, dict):
            chosen = self.members().get(str(value.get(self.tag)))
            if chosen is not None:
                return (chosen,)
        return self.specs

    def fields(self) -> dict[str, Place]:
        """Every field that one of the specs has."""
        return {name: place_of_field(spec, name) for spec in reversed(self.specs) for name in spec.model_fields}


def root(spec: type[BaseModel]) -> Place:
    """The place of a whole recipe or machine."""
    return place_of(spec)


def place_of_field(spec: type[BaseModel], name: str) -> Place:
    """The place that a spec's field opens."""
    field = spec.model_fields[name]
    tag = field.discriminator if isinstance(field.discriminator, str) else None
    return replace(place_of(field.annotation, tag=tag), owner=spec, name=name)


def place_of(annotation: Any, *, tag: str | None = None) -> Place:
    """The place of a type annotation."""
    while get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        for item in metadata:
            if isinstance(item, FieldInfo) and isinstance(item.discriminator, str):
                tag = item.discriminator
    choices = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    present = tuple(choice for choice in choices if choice is not type(None))
    specs = tuple(choice for choice in present if inspect.isclass(choice) and issubclass(choice, BaseModel))
    entry, names = None, ()
    if get_origin(present[0]) is dict:
        key, entry = get_args(present[0])
        names = get_args(key) if get_origin(key) is Literal else ()
    return Place(annotation, specs, tag, entry, names, len(present) < len(choices))


def field_of(specs: tuple[type[BaseModel], ...], name: str) -> Place | None:
    """The place of a field that one of `specs` has."""
    for spec in specs:
        if name in spec.model_fields:
            return place_of_field(spec, name)
    return None


def default_tag(place: Place) -> dict[str, Any]:
    """{tag: value} of what stands at a place by default; empty where nothing does."""
    if place.tag is None or place.field is None or place.field.is_required():
        return {}
    default = place.field.get_default(call_default_factory=True, validated_data={})
    return {place.tag: default.model_dump(mode="json")[place.tag]} if isinstance(default, BaseModel) else {}


def _word(spec: type[BaseModel], tag: str | None) -> str:
    return spec.__name__ if tag is None else str(get_args(spec.model_fields[tag].annotation)[0])
