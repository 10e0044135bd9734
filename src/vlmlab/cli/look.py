"""`vlmlab look`: what the model sees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vlmlab.data.look import look as look_at
from vlmlab.data.look import look_page, look_text
from vlmlab.errors import RecipeError, near
from vlmlab.files import write_text
from vlmlab.recipe.load import load_machine, load_recipe
from vlmlab.run.execute import open_sources, stored_tokenizer
from vlmlab.run.store import Store


def look(recipe: str, *, stage: str | None, source: str | None, position: int, machine: str, overrides: Sequence[str], page: Path | None, as_json: bool) -> None:
    """Print one sample as the model gets it, or write it as a page."""
    loaded = load_recipe(recipe, overrides=overrides)
    if not loaded.recipe.stages:
        raise RecipeError(str(loaded.path), "the recipe has no stages to look at")
    name = list(loaded.recipe.stages)[-1] if stage is None else stage
    if name not in loaded.recipe.stages:
        raise RecipeError(str(loaded.path), f"stages.{name}: no such stage{near(name, loaded.recipe.stages)}")
    sources = open_sources(loaded.recipe, root=Path())
    tokenizer = stored_tokenizer(loaded.recipe, sources=sources, store=Store(Path(load_machine(machine).store)))
    record = look_at(loaded.recipe, stage=name, source=source, position=position, tokenizer=tokenizer, sources=sources)
    if page is not None:
        write_text(page, look_page(record))
        print(page)
    elif as_json:
        print(json.dumps(record.model_dump(mode="json")))
    else:
        print(look_text(record))
