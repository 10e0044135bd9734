"""vlmlab study design|run|report: from a question to a verdict with its uncertainty."""

from __future__ import annotations

import typer

from vlmlab.cli.study_design import study_design_command
from vlmlab.cli.study_report import study_report_command
from vlmlab.cli.study_run import study_run_command

study_app = typer.Typer(
    help="From a question to a verdict with its uncertainty.", no_args_is_help=True, rich_markup_mode=None
)
study_app.command("design")(study_design_command)
study_app.command("run")(study_run_command)
study_app.command("report")(study_report_command)
