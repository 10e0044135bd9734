"""vlmlab look RECIPE: what the model sees."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmlab.cli.options import JsonOption, MachineOption, RecipeArgument, SetOption, split_overrides
from vlmlab.errors import RecipeError, near

StageOption = Annotated[
    str | None,
    typer.Option("--stage", metavar="NAME", help="Stage whose image policy and rows apply; the last if not given."),
]
SourceOption = Annotated[
    str | None, typer.Option("--source", metavar="NAME", help="Look into one source instead of the stage's mixture.")
]
PositionOption = Annotated[int, typer.Option("--position", min=0, help="Number of the draw, or index into the source.")]
KeyOption = Annotated[str | None, typer.Option("--key", help="A sample's key, as records and errors name it.")]
PageOption = Annotated[Path | None, typer.Option("--page", metavar="FILE", help="Write an HTML page instead of text.")]


def look_command(
    recipe: RecipeArgument, stage: StageOption = None, source: SourceOption = None, position: PositionOption = 0,
    key: KeyOption = None, page: PageOption = None, machine: MachineOption = "laptop", set_: SetOption = None,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Show one sample on its way to the model: document, token ids with what is learned, views, the packed row."""
    from vlmlab.files import write_text
    from vlmlab.recipe.load import load_machine, load_recipe

    overrides = split_overrides(set_)
    loaded = load_recipe(recipe, overrides=overrides.recipe)
    if not loaded.recipe.stages:
        raise RecipeError(str(loaded.path), "the recipe has no stages to look at")
    name = list(loaded.recipe.stages)[-1] if stage is None else stage
    if name not in loaded.recipe.stages:
        raise RecipeError(str(loaded.path), f"stages.{name}: no such stage{near(name, loaded.recipe.stages)}")
    place = load_machine(machine, overrides=overrides.machine)
    from vlmlab.data.look import look, look_page, look_text
    from vlmlab.data.sources.open import open_sources
    from vlmlab.run.execute import stored_tokenizer
    from vlmlab.run.store import Store

    sources = open_sources(loaded.recipe.data, root=Path(), names=loaded.recipe.drawn_sources())
    tokenizer = stored_tokenizer(loaded.recipe, sources=sources, store=Store(Path(place.store)))
    record = look(
        loaded.recipe, stage=name, source=source, position=position, key=key, tokenizer=tokenizer, sources=sources
    )
    if page is not None:
        write_text(page, look_page(record))
        typer.echo(str(page))
    else:
        typer.echo(record.model_dump_json(indent=1) if json else look_text(record))
