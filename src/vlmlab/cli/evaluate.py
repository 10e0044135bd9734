"""vlmlab evaluate RUN: ask a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmlab.cli.options import JsonOption, MachineOption, SetOption, split_overrides
from vlmlab.errors import RecipeError

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, such as runs/tiny.")]
FolderOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder to write to; RUN/evaluation-again if not given.")
]


def evaluate_command(
    run: RunArgument,
    machine: MachineOption = "laptop",
    set_: SetOption = None,
    out: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a trained model again, with its recipe's evaluation changed by --set; the run itself stays as it is."""
    from rich.console import Console

    from vlmlab.cli.progress import ProgressWatcher
    from vlmlab.recipe.load import change_recipe, load_machine
    from vlmlab.recipe.strict_yaml import parse_yaml

    overrides = split_overrides(set_)
    changes = {}
    for override in overrides.recipe:
        path, equals, text = override.partition("=")
        if not equals or not path.startswith("evaluation."):
            raise RecipeError(
                f"--set {override}",
                "`evaluate` can change paths below evaluation only, as in --set evaluation.benchmarks.general.items=50",
            )
        changes[path] = parse_yaml(text, where=path)
    place = load_machine(machine, overrides=overrides.machine)
    from vlmlab.evaluate.run import evaluate
    from vlmlab.run.execute import prepare
    from vlmlab.run.saved import load_run

    prepare(place)
    saved = load_run(run, machine=place)
    recipe = change_recipe(saved.recipe.plain(), changes, where=str(run))
    folder = run / "evaluation-again" if out is None else out
    with ProgressWatcher(Console(stderr=True)) as watcher:
        record = evaluate(
            saved.model,
            recipe=recipe,
            tokenizer=saved.tokenizer,
            machine=place,
            folder=folder,
            root=Path(),
            progress=watcher.evaluating,
        )
    if json:
        typer.echo(record.model_dump_json(indent=1))
        return
    for row in record.scores:
        blank = "" if row.blank is None or row.gain is None else f"  blank {row.blank:6.1f}  gain {row.gain:+6.1f}"
        low, high = row.interval
        typer.echo(f"{row.benchmark:<12} {row.shots} shots  {row.score:6.1f} [{low:.1f}, {high:.1f}]{blank}")
    typer.echo(f"rows: {folder}")
