"""vlmlab check: what must hold before training, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmlab.cli.options import JsonOption, MachineOption, SetOption, split_overrides
from vlmlab.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from vlmlab.records.check import CheckReport, CheckSection

RecipeOrNone = Annotated[
    str | None, typer.Argument(metavar="[RECIPE]", help="A recipe file, or the name of one in recipes/.")
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", metavar="DIR", help="Instead of a recipe: a Hugging Face model's folder, with --data."),
]
DataOption = Annotated[
    str | None,
    typer.Option("--data", metavar="PATH", help='JSON lines of {"messages": [...]} or {"text": ...}, with images.'),
]
PackedOption = Annotated[
    str | None,
    typer.Option(
        "--packed",
        metavar="WAY",
        help="How your trainer packs samples: positions, cache, ones or blocks; a leak there then fails.",
    ),
]
STYLES = {"ok": "green", "note": "yellow", "not applicable": "dim", "failed": "bold red"}


def check_command(
    recipe: RecipeOrNone = None, model: ModelOption = None, data: DataOption = None, packed: PackedOption = None,
    machine: MachineOption = "laptop", set_: SetOption = None, json: JsonOption = False,
) -> None:  # fmt: skip
    """Check every stage of a recipe without training it, or a foreign model with its data; status 1 if one fails."""
    from rich.console import Console

    errors = Console(stderr=True)
    if recipe is not None and model is None and data is None and packed is None:
        report = _recipe(recipe, machine=machine, set_=set_, console=errors)
    elif recipe is None and model is not None and data is not None:
        report = _model(model, data=data, packed=packed, machine=machine, set_=set_)
    else:
        raise RecipeError("check", "expected either a RECIPE, or --model DIR with --data PATH")
    if json:
        typer.echo(report.model_dump_json(indent=1))
    else:
        console = Console()
        for section in report.sections:
            console.print(section_table(section))
            console.print()
        console.print(verdict(report), markup=False, highlight=False)
    if not report.passed:
        raise typer.Exit(1)


def _recipe(recipe: str, *, machine: str, set_: list[str] | None, console: Console) -> CheckReport:
    from vlmlab.recipe.load import load_machine, load_recipe

    overrides = split_overrides(set_)
    loaded = load_recipe(recipe, overrides=overrides.recipe)
    place = load_machine(machine, overrides=overrides.machine)
    from vlmlab.run.check import check_recipe

    with console.status("checking") as status:
        return check_recipe(loaded, machine=place, checking=lambda name: status.update(f"checking stage {name}"))


def _model(folder: Path, *, data: str, packed: str | None, machine: str, set_: list[str] | None) -> CheckReport:
    from vlmlab.recipe.load import load_machine

    overrides = split_overrides(set_)
    if overrides.recipe:
        raise RecipeError(f"--set {overrides.recipe[0]}", "a foreign model has no recipe; change machine.… alone")
    place = load_machine(machine, overrides=overrides.machine)
    from vlmlab.run.execute import prepare
    from vlmlab.training.checks.foreign.check import check_foreign

    prepare(place)
    return check_foreign(folder, data=data, packed=packed, device=place.device)


def section_table(section: CheckSection) -> Table:
    """One line a check."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=f"{escape(section.title)}: weights {escape(section.weights)}",
        title_justify="left",
        box=None,
        show_header=False,
        padding=(0, 2, 0, 0),
    )
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in section.checks:
        table.add_row(f"[{STYLES[check.outcome]}]{check.outcome}[/]", escape(check.name), escape(check.words))
    return table


def verdict(report: CheckReport) -> str:
    """The last line."""
    outcomes = [check.outcome for section in report.sections for check in section.checks]
    failed, notes = outcomes.count("failed"), outcomes.count("note")
    noted = f", {notes} to know of" if notes else ""
    if failed:
        return f"{report.subject}: {failed} of {len(outcomes)} checks failed{noted}"
    return f"{report.subject}: no check failed ({len(outcomes)} in all{noted})"
