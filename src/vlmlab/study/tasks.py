"""The runs of a study: one for each arm and replicate, in directories named by what they run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmlab.files import digest
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import WorldSource
from vlmlab.recipe.tokenizer import TrainedBPE
from vlmlab.run.identity import identities_after, initial_identities, stage_content
from vlmlab.study.queue import Purpose, Task


def task_of(
    arm: str, recipe: Recipe, *, folder: Path, purpose: Purpose = "replicate", trial: float | None = None
) -> Task:
    """The run of an arm's recipe. Another recipe, as after a change to a level, is another directory."""
    name = f"seed-{recipe.seed}-{recipe.fingerprint()}"
    place = folder / "arms" / arm if purpose == "replicate" else folder / "tuning" / arm / f"{trial:g}"
    return Task(arm, recipe.seed, place / name, recipe, stage_keys(recipe), purpose, trial)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A source by what the recipe says of it; what its files hold is not looked at."""

    content: Any

    def fingerprint(self) -> str:
        return digest(self.content)


def stage_keys(recipe: Recipe) -> tuple[str, ...]:
    """One key a stage, equal where two recipes train the same stage from the same start.

    They are made as the store's identities are, from what is declared of the data and the tokenizer: nothing is opened.
    """
    sources = {name: _Declared(_source(recipe, name)) for name in recipe.drawn_sources()}
    tokenizer: list[Any] = [recipe.tokenizer.plain()]
    if isinstance(recipe.tokenizer, TrainedBPE):
        # It is trained on every source that some stage draws from.
        tokenizer += [recipe.template.plain(), {name: source.content for name, source in sources.items()}]
    words = digest(tokenizer)
    before = initial_identities(recipe)
    keys = []
    for name in recipe.stages:
        key = digest(stage_content(recipe, name, before=before, tokenizer=words, sources=sources))
        before = identities_after(recipe, name, before=before, identity=key)
        keys.append(key)
    return tuple(keys)


def _source(recipe: Recipe, name: str) -> list[Any]:
    spec = recipe.data.sources[name]
    return [spec.plain(), recipe.data.world.plain() if isinstance(spec, WorldSource) else None]
