"""vlmlab study report STUDY|DIR: write the page of a study again and print its verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmlab.cli.options import JsonOption
from vlmlab.errors import StudyError, near

StudyOrFolder = Annotated[
    str,
    typer.Argument(
        metavar="STUDY|DIR",
        help="A study file, the name of a study, or its folder, such as runs/studies/connectors.",
    ),
]
CsvOption = Annotated[
    bool,
    typer.Option("--csv", help="Write claims.csv, arms.csv and benchmarks.csv into the folder and print their paths."),
]
RUNS = Path("runs") / "studies"


def study_report_command(study: StudyOrFolder, json: JsonOption = False, csv: CsvOption = False) -> None:
    """Write the page of a study and print its verdicts; --json prints the record and writes nothing."""
    from rich.console import Console

    from vlmlab.report.study_page import write_study_page
    from vlmlab.report.study_record import read_study
    from vlmlab.report.study_tables import write_study_tables
    from vlmlab.report.study_words import study_summary

    if json and csv:
        raise StudyError("--csv", "found --json too; ask for one of them")
    folder = study_folder(study)
    record = read_study(folder)
    if json:
        typer.echo(record.model_dump_json(indent=1))
        return
    if csv:
        for path in write_study_tables(folder, record):
            typer.echo(path)
        return
    page = write_study_page(folder)
    console = Console()
    console.print(study_summary(record))
    console.print(f"\nreport: {page}", soft_wrap=True, markup=False, highlight=False)


def study_folder(study: str, *, runs: Path = RUNS) -> Path:
    """The folder of a study given as a folder, a study file or a name."""
    given = Path(study)
    if given.is_dir():
        return given
    if given.is_file():
        return runs / _named(given)
    if (runs / study).is_dir():
        return runs / study
    known = [child.name for child in sorted(runs.iterdir()) if child.is_dir()] if runs.is_dir() else []
    hint = near(given.stem, known) if known else "; `vlmlab study run STUDY` makes one"
    raise StudyError(study, f"no such study file, and no study of this name in {runs}{hint}")


def _named(path: Path) -> str:
    """The `name` of a study file."""
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise StudyError(str(path), f"not a study file: {str(error).splitlines()[0]}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("name"), str):
        raise StudyError(str(path), "expected a study file with a `name`, or the folder of a study")
    return tree["name"]
