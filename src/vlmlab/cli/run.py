"""vlmlab run RECIPE and vlmlab demo: train, evaluate and report."""

from __future__ import annotations

from pathlib import Path

from vlmlab.cli.options import JsonOption, MachineOption, OutOption, RecipeArgument, SetOption, split_overrides


def run_command(
    recipe: RecipeArgument,
    machine: MachineOption = "laptop",
    set_: SetOption = None,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Train, evaluate and report a recipe. On an existing run directory it continues where it stopped."""
    from rich.console import Console

    from vlmlab.cli.progress import ProgressWatcher
    from vlmlab.recipe.load import load_machine, load_recipe

    overrides = split_overrides(set_)
    loaded = load_recipe(recipe, overrides=overrides.recipe)
    place = load_machine(machine, overrides=overrides.machine)
    from vlmlab.run.execute import run_recipe

    with ProgressWatcher(Console(stderr=True)) as watcher:
        path = run_recipe(loaded, machine=place, out=out, watcher=watcher)
    _show(path, as_json=json)


def demo_command(
    machine: MachineOption = "laptop", set_: SetOption = None, out: OutOption = None, json: JsonOption = False
) -> None:
    """Build a small vision-language model from nothing: the same as `vlmlab run tiny`."""
    from rich.console import Console

    if not json:
        Console(stderr=True).print(
            "A vision-language model from nothing: a vision backbone and a language model are pre-trained on a\n"
            "generated world, joined, trained on captions, pages, text and dialogues, and asked with 0, 4 and 8\n"
            "shots. Ctrl-C is safe: run it again and it continues.\n",
            highlight=False,
        )
    run_command("tiny", machine=machine, set_=set_, out=out, json=json)


def _show(path: Path, *, as_json: bool) -> None:
    from json import dumps

    from rich.console import Console

    from vlmlab.report.words import report_json, score_table

    if as_json:
        print(dumps(report_json(path), indent=1, ensure_ascii=False))
        return
    console = Console()
    console.print(score_table(path))
    console.print(f"\nreport: {path / 'report.html'}", soft_wrap=True, markup=False, highlight=False)
