"""vlmlab explain PATH: what a field means."""

from __future__ import annotations

from typing import Annotated

import typer


def explain_command(
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="A dotted path, as in model.connector or machine.attention.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="The whole reference page, as Markdown.")] = False,
) -> None:
    """Type, default, allowed values and meaning of a recipe's or machine's field."""
    from vlmlab.recipe.explain import explain
    from vlmlab.recipe.reference import reference

    typer.echo(reference().rstrip() if everything else explain(path))
