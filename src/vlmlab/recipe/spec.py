"""The base of every recipe part: frozen, strict, a sentence under each field, and a hash of its content."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from vlmlab.files import digest


class Spec(BaseModel):
    """A frozen value whose unknown fields are refused.

    The sentence under each field feeds `explain` and the reference.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False, defer_build=True
    )

    def plain(self) -> dict[str, Any]:
        """The value as plain JSON data, every default written out."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """A 16-hex-digit hash that changes when any field changes."""
        return digest(self.plain())


def flatten(value: Any, *, prefix: str = "") -> dict[str, Any]:
    """Plain data as {dotted path: leaf}. Lists are leaves; an empty mapping is a leaf.

    >>> flatten({"model": {"side": 48}})
    {'model.side': 48}
    """
    if isinstance(value, dict) and value:
        leaves: dict[str, Any] = {}
        for name, child in value.items():
            leaves |= flatten(child, prefix=f"{prefix}.{name}" if prefix else str(name))
        return leaves
    return {prefix: value}
