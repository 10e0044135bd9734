"""Loading published parameters: numbers are compared first, and a key too few or too many is an error."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from vlmlab.errors import RecipeError
from vlmlab.recipe.weights import Folder, Hub

Loaded = TypeVar("Loaded", bound=PreTrainedModel)


@dataclass(frozen=True, slots=True)
class Location:
    """Where weights lie, as Hugging Face names it. `where` is the recipe's path, for messages."""

    name: str
    revision: str
    where: str


def locate(weights: Folder | Hub, *, where: str) -> Location:
    """The place that a recipe's `weights` names."""
    match weights:
        case Folder():
            return Location(weights.path, "main", where)
        case Hub():
            return Location(weights.name, weights.revision or "main", where)


def read_configuration(location: Location) -> PreTrainedConfig:
    """The published configuration. Raises RecipeError where there is none."""
    try:
        return AutoConfig.from_pretrained(location.name, revision=location.revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RecipeError(
            location.where,
            f"no configuration can be read from '{location.name}' ({first}); give a folder with config.json and "
            "safetensors, or a repository that can be reached",
        ) from error


def check_numbers(found: Mapping[str, Any], expected: Mapping[str, Any], *, location: Location) -> None:
    """Raise RecipeError naming every field of the published configuration that differs from the recipe's numbers."""
    different = [
        f"{name} is {found.get(name)!r} there, {value!r} in the recipe"
        for name, value in expected.items()
        if not _equal(found.get(name), value)
    ]
    if different:
        raise RecipeError(
            location.where,
            f"'{location.name}' does not have the recipe's numbers: {'; '.join(different)}; mend the recipe",
        )


def _equal(found: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, int | float):
        return math.isclose(found, expected, rel_tol=1e-6)
    return found == expected


@contextmanager
def _quiet() -> Generator[None]:
    """Without transformers' progress bars and load reports: what matters of a report we raise."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def load_parameters(
    model_class: type[Loaded], *, configuration: PreTrainedConfig, location: Location, unused: tuple[str, ...] = ()
) -> Loaded:
    """A float32 model from safetensors. Keys that begin with one of `unused` may be left over (the other tower's)."""
    try:
        with _quiet():
            loaded: Any = model_class.from_pretrained(
                location.name,
                config=configuration,
                revision=location.revision,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        model, report = loaded
    except (OSError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise RecipeError(
            location.where, f"'{location.name}' cannot be loaded ({first}); complete safetensors are needed"
        ) from error
    missing = sorted(report["missing_keys"])
    unexpected = sorted(key for key in report["unexpected_keys"] if not key.startswith(unused or "\0"))
    mismatched = sorted(str(entry) for entry in report["mismatched_keys"])
    problems = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", mismatched))
        if keys
    ]
    if problems:
        raise RecipeError(
            location.where,
            f"'{location.name}' does not hold exactly the parameters of {model_class.__name__}: {'; '.join(problems)}",
        )
    return model
