"""vlmlab study run STUDY: train and evaluate every arm, gather, conclude."""

from __future__ import annotations

from pathlib import Path
from sys import argv
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
    from contextlib import ExitStack

    from rich.console import Console

    from vlmlab.cli.study_live import LiveTable
    from vlmlab.files import write_json, write_text
    from vlmlab.recipe.load import load_machine
    from vlmlab.report.study_page import write_study_page
    from vlmlab.report.study_words import study_summary
    from vlmlab.study.blueprint import blueprint_of
    from vlmlab.study.conduct import Conduct, conduct_study
    from vlmlab.study.design import design
    from vlmlab.study.execute import alone
    from vlmlab.study.forecast import Forecast
    from vlmlab.study.load import load_study
    from vlmlab.training.interruption import heard

    overrides = split_overrides(set_)
    place = load_machine(machine, overrides=overrides.machine)
    loaded = load_study(study, overrides=overrides.recipe)
    asked = loaded.study
    planned = design(loaded, machine=place)
    folder = Path(place.runs) / "studies" / asked.name if out is None else out
    count = asked.replicates if replicates is None else replicates
    with ExitStack() as stack:
        stack.enter_context(alone(folder))
        wish = stack.enter_context(heard())
        write_text(folder / "study.yaml", loaded.text)
        write_json(folder / "design.json", planned.record().model_dump(mode="json"))
        pool = None if no_run else open_pool(place, on=on, jobs=jobs, address=address)
        if pool is not None:
            stack.callback(pool.close)
        live = stack.enter_context(LiveTable(Console(stderr=True)))
        by = Conduct(
            folder=folder, machine=place, pool=pool, retries=retries, wish=wish,
            listening=lambda tasks: live.follow(Forecast(tasks, machine=place)),
        )  # fmt: skip
        record = conduct_study(
            blueprint_of(planned),
            seeds=range(asked.first_seed, asked.first_seed + count),
            by=by,
            rerun=[" ".join(["vlmlab", *argv[1:]])],
        )
    page = write_study_page(folder)
    if json:
        print(record.model_dump_json(indent=1))
    else:
        console = Console()
        console.print(study_summary(record))
        console.print(f"\nreport: {page}", highlight=False, markup=False, soft_wrap=True)
    if not record.complete and not no_run:
        raise SystemExit(1)


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
