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


def differing(there: dict[str, Any], now: dict[str, Any], *, shown: int = 6) -> str | None:
    """The leaves in which two plain values differ, in words, or None.

    >>> differing({"seed": 0}, {"seed": 1})
    'seed: 0 there, 1 now'
    """
    old, new = flatten(there), flatten(now)
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if not names:
        return None
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return "; ".join(f"{name}: {old.get(name)!r} there, {new.get(name)!r} now" for name in names[:shown]) + more


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
