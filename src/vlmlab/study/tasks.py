"""The runs of a study: one for each arm and replicate, in directories named by what they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlmlab.files import digest
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import JsonlSource, WorldSource
from vlmlab.recipe.stage import Contrastive
from vlmlab.study.queue import Purpose, Task

TEXT_FAMILIES = ("facts", "twins", "binding_text")


def task_of(
    arm: str, recipe: Recipe, *, folder: Path, purpose: Purpose = "replicate", trial: float | None = None
) -> Task:
    """The run of an arm's recipe. Another recipe, as after a change to a level, is another directory."""
    name = f"seed-{recipe.seed}-{recipe.fingerprint()}"
    place = folder / "arms" / arm if purpose == "replicate" else folder / "tuning" / arm / f"{trial:g}"
    return Task(arm, recipe.seed, place / name, recipe, stage_keys(recipe), purpose, trial)


def stage_keys(recipe: Recipe) -> tuple[str, ...]:
    """One key a stage, equal where two recipes train the same stage from the same start.

    The store has the last word by each stage's identity, for which the data must be opened; these keys only say what
    to wait for.
    """
    model = recipe.model
    before: dict[str, Any] = {
        "vision": [recipe.component_seed("vision"), model.vision.plain()],
        "connector": [recipe.component_seed("connector"), model.connector.plain()],
        "language": [recipe.component_seed("language"), model.language.plain()],
    }
    before["connector"] = [*before["connector"], model.vision.width, model.language.width]
    keys = []
    for name, stage in recipe.stages.items():
        used = _used(recipe, name)
        sources = {
            source: recipe.data.sources[source].plain() for source, weight in stage.mixture.items() if weight > 0
        }
        key = digest(
            [
                name, recipe.stage_seed(name), stage.plain(), sources, recipe.data.world.plain(),
                recipe.data.bad_samples.plain(),
                recipe.precision, recipe.tokenizer.plain(), recipe.template.plain(),
                {part: before[part] for part in used},
                recipe.image_policy(stage).plain() if "vision" in used else None,
                model.fusion.plain() if len(used) == 3 else None,
            ]
        )  # fmt: skip
        keys.append(key)
        for part, training in stage.train.items():
            if part in before and training.mode != "frozen":
                before[part] = [key, part]
    return tuple(keys)


def _used(recipe: Recipe, stage: str) -> tuple[str, ...]:
    """Components that a stage's outcome depends on."""
    spec = recipe.stages[stage]
    if isinstance(spec.objective, Contrastive):
        return ("vision",)
    drawn = [recipe.data.sources[source] for source, weight in spec.mixture.items() if weight > 0]
    if any(_has_images(source) for source in drawn):
        return ("vision", "connector", "language")
    return ("language",)


def _has_images(source: object) -> bool:
    match source:
        case WorldSource(family=family):
            return family not in TEXT_FAMILIES
        case JsonlSource(form=form):
            return form != "text"
        case _:
            return True
