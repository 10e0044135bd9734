"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of one in recipes/.")]
MachineOption = Annotated[
    str, typer.Option("--machine", metavar="NAME", help="A machine file, or the name of one in machines/.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one field, as in --set seed=1 or --set machine.workers=2; repeatable.",
    ),
]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to write to.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output and nothing else there.")]


@dataclass(frozen=True, slots=True)
class Overrides:
    """`--set` options, told apart by their first word."""

    recipe: tuple[str, ...]
    machine: tuple[str, ...]


def split_overrides(options: Sequence[str] | None) -> Overrides:
    """`machine.workers=2` changes the machine, everything else the recipe."""
    given = tuple(options or ())
    machine = tuple(option for option in given if option.startswith("machine."))
    return Overrides(
        recipe=tuple(option for option in given if option not in machine),
        machine=tuple(option.removeprefix("machine.") for option in machine),
    )
