"""vlmlab report RUN: write the page of a run again and print its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmlab.cli.options import JsonOption

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, such as runs/tiny.")]


def report_command(run: RunArgument, json: JsonOption = False) -> None:
    """Write the page of a run and print its scores, with intervals and controls; --json writes nothing."""
    from json import dumps

    from rich.console import Console

    from vlmlab.report.page import write_report
    from vlmlab.report.words import report_json, score_table

    if json:
        typer.echo(dumps(report_json(run), indent=1, ensure_ascii=False))
        return
    page = write_report(run)
    console = Console()
    console.print(score_table(run))
    console.print(f"\nreport: {page}", soft_wrap=True, markup=False, highlight=False)
