"""A stage's identity: the hash of everything that can change its outcome.

It is built component by component: a contrastive stage depends on the vision backbone and not on the connector, a
stage over text alone on the language model alone. Arms of a study that differ elsewhere share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from vlmlab.files import digest
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import JsonlSource, WorldSource
from vlmlab.recipe.stage import Component, Contrastive

NUMERICS = 1
"""Raised on purpose when golden losses change: finished stages of older numerics are then trained again."""

COMPONENTS: tuple[Component, ...] = ("vision", "connector", "language")
TEXT_FAMILIES = ("facts", "twins", "binding_text")


class Fingerprinted(Protocol):
    """A source as far as identities go: one that is open, or what is declared of it."""

    def fingerprint(self) -> str:
        """A hash of its content."""
        ...


def has_images(recipe: Recipe, source: str) -> bool:
    """Whether documents of the source can hold images."""
    spec = recipe.data.sources[source]
    match spec:
        case WorldSource():
            return spec.family not in TEXT_FAMILIES
        case JsonlSource():
            return spec.form != "text"
        case _:
            return True


def used_components(recipe: Recipe, stage: str) -> tuple[str, ...]:
    """Components whose weights a stage's outcome depends on."""
    spec = recipe.stages[stage]
    if isinstance(spec.objective, Contrastive):
        return ("vision",)
    if any(has_images(recipe, source) for source, weight in spec.mixture.items() if weight > 0):
        return ("vision", "connector", "language")
    return ("language",)


def initial_identities(recipe: Recipe) -> dict[str, str]:
    """Identity of each component before the first stage."""
    model = recipe.model
    of = {component: recipe.component_seed(component) for component in COMPONENTS}
    language_width = [model.language.width, model.language.mlp, model.language.norm_epsilon]
    return {
        "vision": digest(["vision", of["vision"], model.vision.plain()]),
        "connector": digest(
            ["connector", of["connector"], model.connector.plain(), model.vision.width, language_width]
        ),
        "language": digest(["language", of["language"], model.language.plain(), recipe.vocabulary()]),
    }


def stage_content(
    recipe: Recipe, stage: str, *, before: Mapping[str, str], tokenizer: str, sources: Mapping[str, Fingerprinted]
) -> dict[str, Any]:
    """Everything that can change the outcome of a stage that starts from components with identities `before`.

    Its hash is the stage's identity.
    """
    spec = recipe.stages[stage]
    used = used_components(recipe, stage)
    content: dict[str, Any] = {
        "numerics": NUMERICS,
        "stage": spec.plain(),
        "name": stage,
        "seed": recipe.stage_seed(stage),
        "precision": recipe.precision,
        "tokenizer": tokenizer,
        "template": recipe.template.plain(),
        "bad_samples": recipe.data.bad_samples.plain(),
        "before": {component: before[component] for component in used},
        "sources": {name: sources[name].fingerprint() for name, weight in spec.mixture.items() if weight > 0},
    }
    if "vision" in used:
        content["image"] = recipe.image_policy(spec).plain()
    if len(used) == 3:
        content["fusion"] = recipe.model.fusion.plain()
    return content


def identities_after(recipe: Recipe, stage: str, *, before: Mapping[str, str], identity: str) -> dict[str, str]:
    """Identities of the components after the stage."""
    spec = recipe.stages[stage]
    return {
        component: digest([identity, component])
        if component in spec.train and spec.train[component].mode == "full"
        else old
        for component, old in before.items()
    }
