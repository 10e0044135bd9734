"""`vlmlab run`, `vlmlab demo` and `vlmlab evaluate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vlmlab.cli.progress import ProgressWatcher
from vlmlab.evaluate.run import evaluate as evaluate_model
from vlmlab.recipe.load import load_machine, load_recipe
from vlmlab.recipe.recipe import Recipe
from vlmlab.report.words import report_json, score_table
from vlmlab.run.execute import prepare, run_recipe
from vlmlab.run.saved import load_run


def run(recipe: str, *, machine: str, overrides: Sequence[str], machine_overrides: Sequence[str], out: Path | None, as_json: bool) -> None:
    """Train, evaluate and report a recipe; progress goes to standard error, the table to standard output."""
    loaded = load_recipe(recipe, overrides=overrides)
    place = load_machine(machine, overrides=machine_overrides)
    console = Console(stderr=True)
    with ProgressWatcher(console) as watcher:
        path = run_recipe(loaded, machine=place, out=out, watcher=watcher)
    show(path, as_json=as_json)


def show(path: Path, *, as_json: bool) -> None:
    """The scores of a finished run."""
    if as_json:
        print(json.dumps(report_json(path), indent=1))
        return
    console = Console()
    console.print(score_table(path))
    console.print(f"report: {path / 'report.html'}", soft_wrap=True)


def evaluate(path: Path, *, machine: str, overrides: Sequence[str], machine_overrides: Sequence[str], out: Path, as_json: bool) -> None:
    """Ask a finished run again, with its recipe's evaluation changed by `overrides` (paths below `evaluation`)."""
    from vlmlab.recipe.load import change_recipe
    from vlmlab.recipe.strict_yaml import parse_yaml

    place = load_machine(machine, overrides=machine_overrides)
    prepare(place)
    saved = load_run(path, machine=place)
    changes = {}
    for override in overrides:
        name, _, text = override.partition("=")
        changes[name] = parse_yaml(text, where=name)
    recipe: Recipe = change_recipe(saved.recipe.plain(), changes, where=str(path)) if changes else saved.recipe
    console = Console(stderr=True)
    with ProgressWatcher(console) as watcher:
        record = evaluate_model(
            saved.model, recipe=recipe, tokenizer=saved.tokenizer, machine=place, folder=out, root=Path(), progress=watcher.evaluating
        )
    if as_json:
        print(json.dumps(record.model_dump(mode="json"), indent=1))
        return
    for row in record.scores:
        blank = "" if row.blank is None else f"  blank {row.blank:6.1f}  gain {row.gain:+6.1f}"
        print(f"{row.benchmark:<12} {row.shots} shots  {row.score:6.1f} [{row.interval[0]:.1f}, {row.interval[1]:.1f}]{blank}")
