"""vlmlab study run STUDY: train and evaluate every arm, gather, conclude."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vlmlab.cli.options import JsonOption, MachineOption, OutOption, SetOption, split_overrides

if TYPE_CHECKING:
    from vlmlab.recipe.machine import Machine
    from vlmlab.study.job import Pool

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file.")]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", min=1, metavar="N", help="Runs at once; by default what cores and GPUs allow.")
]
OnOption = Annotated[
    Literal["local", "ray"], typer.Option("--on", help="Where runs take place: this computer, or a Ray cluster.")
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="A Ray cluster that is there; without it one is started here."),
]
RetriesOption = Annotated[
    int, typer.Option("--retries", min=0, metavar="N", help="Times that a run starts again after a machine's fault.")
]
ReplicatesOption = Annotated[
    int | None, typer.Option("--replicates", min=1, metavar="N", help="Replicates instead of the study's number.")
]
NoRunOption = Annotated[bool, typer.Option("--no-run", help="Train nothing: gather and conclude from what is there.")]


def study_run_command(
    study: StudyArgument,
    machine: MachineOption = "laptop",
    jobs: JobsOption = None,
    on: OnOption = "local",
    address: AddressOption = None,
    retries: RetriesOption = 3,
    set_: SetOption = None,
    out: OutOption = None,
    replicates: ReplicatesOption = None,
    no_run: NoRunOption = False,
    json: JsonOption = False,
) -> None:
    """Run a study: what is missing is trained, then everything is gathered and judged. Run again, it continues."""
    from rich.console import Console

    from vlmlab.cli.study_live import LiveTable
    from vlmlab.recipe.load import load_machine
    from vlmlab.study.arms import plain_arms, read_study
    from vlmlab.study.conduct import Conduct, gathered
    from vlmlab.study.execute import alone
    from vlmlab.study.forecast import Forecast
    from vlmlab.study.tasks import task_of
    from vlmlab.training.interruption import heard

    overrides = split_overrides(set_)
    place = load_machine(machine, overrides=overrides.machine)
    path = Path(study)
    asked = read_study(path, overrides=overrides.recipe)
    arms = plain_arms(asked, beside=path.parent)
    folder = Path(place.runs) / "studies" / asked.name if out is None else out
    count = asked.replicates if replicates is None else replicates
    tasks = [
        task_of(arm.name, arm.recipe(seed), folder=folder)
        for arm in arms
        for seed in range(asked.first_seed, asked.first_seed + count)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder), heard() as wish:
        if not no_run:
            pool = open_pool(place, on=on, jobs=jobs, address=address)
            try:
                conduct = Conduct(folder=folder, machine=place, pool=pool, retries=retries, wish=wish)
                with LiveTable(Console(stderr=True), forecast=Forecast(tasks, machine=place)) as live:
                    conduct.run(tasks, live)
            finally:
                pool.close()
        table = gathered(asked, tasks, reference=arms[0].name, folder=folder)
    if not json:
        Console().print(table.csv(), highlight=False, markup=False, soft_wrap=True)
        Console().print(f"table: {folder / 'table.csv'}", highlight=False, markup=False, soft_wrap=True)


def open_pool(machine: Machine, *, on: str, jobs: int | None, address: str | None) -> Pool:
    """The pool that the options name. Raises StudyError for options that do not fit together."""
    from vlmlab.errors import StudyError
    from vlmlab.study.pool import LocalPool

    if on == "ray":
        from vlmlab.study.cluster import RayPool

        return RayPool(machine, address=address, jobs=jobs)
    if address is not None:
        raise StudyError("--address", "names a Ray cluster; add --on ray")
    return LocalPool(machine, jobs=jobs)
