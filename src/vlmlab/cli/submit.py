"""vlmlab submit RECIPE: hand a run to a Slurm cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmlab.cli.options import MachineOption, OutOption, RecipeArgument, SetOption, split_overrides

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Write the batch file and submit nothing.")]


def submit_command(
    recipe: RecipeArgument,
    machine: MachineOption = "eight-gpu",
    set_: SetOption = None,
    out: OutOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Run a recipe on a Slurm cluster, as machine.slurm says; a job that runs out of time continues in a new one."""
    from vlmlab.recipe.load import load_machine, load_recipe

    overrides = split_overrides(set_)
    loaded = load_recipe(recipe, overrides=overrides.recipe)
    place = load_machine(machine, overrides=overrides.machine)
    from vlmlab.run.submit import submit

    folder = Path(place.runs) / loaded.recipe.name if out is None else out
    arguments = ["run", recipe, "--machine", machine, "--out", str(folder)]
    arguments += [word for option in set_ or () for word in ("--set", option)]
    job, file = submit(arguments, machine=place, name=loaded.recipe.name, folder=folder / "slurm", dry_run=dry_run)
    if file is not None:
        typer.echo(file.read_text(encoding="utf-8"))
        typer.echo(f"written to {file}; nothing was submitted", err=True)
    else:
        typer.echo(f"job {job}; its logs are in {folder / 'slurm'}")
