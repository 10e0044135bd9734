"""The command line: one file a verb, imports inside the verbs, so that help and plan answer at once and without torch.

Exit status: 0 done, 1 failed, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vlmlab.cli.check import check_command
from vlmlab.cli.evaluate import evaluate_command
from vlmlab.cli.explain import explain_command
from vlmlab.cli.findings import findings_command
from vlmlab.cli.look import look_command
from vlmlab.cli.plan import plan_command
from vlmlab.cli.report import report_command
from vlmlab.cli.run import demo_command, run_command
from vlmlab.cli.study import study_app
from vlmlab.cli.submit import submit_command
from vlmlab.cli.verdict import verdict_command
from vlmlab.cli.world import world_command
from vlmlab.errors import Interrupted, VlmlabError

app = typer.Typer(
    name="vlmlab",
    help="A laboratory for vision-language models: declare a design, train it, evaluate it, report it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# A new verb is two lines: its import above and its registration here.
app.command("demo")(demo_command)
app.command("run")(run_command)
app.command("submit")(submit_command)
app.command("evaluate")(evaluate_command)
app.command("report")(report_command)
app.command("plan")(plan_command)
app.command("look")(look_command)
app.command("check")(check_command)
app.command("explain")(explain_command)
app.add_typer(study_app, name="study")
app.command("findings")(findings_command)
app.command("verdict")(verdict_command)
app.command("world")(world_command)

_INTERRUPTED = 130


def _version(asked: bool) -> None:
    if asked:
        from vlmlab import __version__

        typer.echo(f"vlmlab {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. A user's mistake is one message and status 2; our own mistakes keep their traceback."""
    try:
        app()
    except VlmlabError as error:
        print(f"vlmlab: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as stopped:
        print(f"vlmlab: {stopped}", file=sys.stderr)
        sys.exit(stopped.status)
    except SystemExit as stop:
        # typer turns Ctrl-C into this exit.
        if stop.code == _INTERRUPTED:
            print("interrupted; run the same command again to continue", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
