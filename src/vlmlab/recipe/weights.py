"""Where a backbone's parameters come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vlmlab.recipe.spec import Spec


class Fresh(Spec):
    """Drawn anew, keyed by (seed, parameter name), so that two recipes differ only where they say so."""

    kind: Literal["fresh"] = "fresh"
    """Fresh parameters."""


class Folder(Spec):
    """A folder in Hugging Face's layout: config.json and safetensors."""

    kind: Literal["folder"]
    """A local folder."""
    path: str
    """The folder, relative to the working directory."""


class Hub(Spec):
    """A repository of the Hugging Face hub."""

    kind: Literal["hub"]
    """A hub repository."""
    name: str
    """Repository, as in google/siglip-so400m-patch14-384."""
    revision: str = ""
    """Commit hash. Empty means not pinned, which `plan` reports."""


Weights = Fresh | Folder | Hub
WeightsField = Annotated[Weights, Field(discriminator="kind")]
