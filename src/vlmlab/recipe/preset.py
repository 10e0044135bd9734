"""Published backbones by name: their numbers ship with us, so that `plan` needs neither torch nor the network."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import yaml

from vlmlab.errors import near


@functools.cache
def presets() -> dict[str, dict[str, dict[str, Any]]]:
    """{component: {name: fields}} as shipped in backbones.yaml."""
    text = resources.files("vlmlab.recipe").joinpath("backbones.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def expand_preset(component: str, value: Any) -> Any:
    """Fill the fields that `value` leaves out from the preset it names. Fields that it gives win."""
    if not isinstance(value, dict):
        return value
    fields = value
    # A preset that is no text is refused with the other fields.
    if isinstance(value.get("preset"), str):
        known = presets()[component]
        name = value["preset"]
        if name not in known:
            raise ValueError(f"preset {name!r} is not known{near(str(name), known)}")
        fields = known[name] | value
    # What a before-validator returns is no longer JSON to pydantic, and strict fields then want tuples, not lists.
    return {field: tuple(item) if isinstance(item, list) else item for field, item in fields.items()}
