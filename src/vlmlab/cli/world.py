"""vlmlab world DIR: the generated world in the public formats of real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmlab.cli.options import JsonOption, SetOption, split_overrides

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to.")]
RecipeOption = Annotated[
    str, typer.Option("--recipe", metavar="RECIPE", help="Whose world: data.world of this recipe.")
]
DocumentsOption = Annotated[int, typer.Option("--documents", min=1, help="Documents of each kind.")]
ItemsOption = Annotated[int, typer.Option("--items", min=1, help="Items of each benchmark.")]


def world_command(
    folder: FolderArgument, recipe: RecipeOption = "tiny", documents: DocumentsOption = 1000, items: ItemsOption = 200,
    set_: SetOption = None, json: JsonOption = False,
) -> None:  # fmt: skip
    """Write captions, pages, text, rendered pages, dialogues and benchmarks as tar, parquet and JSON lines."""
    from json import dumps

    from vlmlab.data.world.write import write_world
    from vlmlab.recipe.load import load_recipe

    spec = load_recipe(recipe, overrides=split_overrides(set_).recipe).recipe.data.world
    card = write_world(folder, spec, documents=documents, items=items)
    typer.echo(dumps(card, indent=1) if json else f"{folder}: written; {folder / 'README.md'} says what each file is")
