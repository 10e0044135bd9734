"""vlmlab study design STUDY: what a study compares, shares, costs and could find out, before it costs anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmlab.cli.options import JsonOption, MachineOption, SetOption, split_overrides

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of one in studies/.")]
NoiseOption = Annotated[
    Path | None, typer.Option("--noise", metavar="FILE", help="Measured noise, instead of studies/noise.yaml.")
]


def study_design_command(
    study: StudyArgument,
    machine: MachineOption = "laptop",
    set_: SetOption = None,
    noise: NoiseOption = None,
    json: JsonOption = False,
) -> None:
    """Arms, differences, shared stages, budgets, cost, and the smallest effect that each claim could detect."""
    from rich.console import Console

    from vlmlab.recipe.load import load_machine
    from vlmlab.study.design import design
    from vlmlab.study.load import load_study
    from vlmlab.study.words import design_words

    overrides = split_overrides(set_)
    loaded = load_study(study, overrides=overrides.recipe)
    record = design(loaded, machine=load_machine(machine, overrides=overrides.machine), noise=noise).record()
    if json:
        typer.echo(record.model_dump_json(indent=1))
        return
    Console().print(design_words(record), highlight=False)
