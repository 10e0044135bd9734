"""vlmlab run RECIPE and vlmlab demo: train, evaluate and report."""

from __future__ import annotations

from os import environ
from pathlib import Path
from typing import TYPE_CHECKING

from vlmlab.cli.options import JsonOption, MachineOption, OutOption, RecipeArgument, SetOption, split_overrides

if TYPE_CHECKING:
    from vlmlab.recipe.machine import Machine


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
    if place.devices > 1 and "WORLD_SIZE" not in environ:
        _launch(place, recipe=recipe, machine=machine, set_=set_, out=out, json=json)
        return
    from vlmlab.run.execute import run_recipe

    with ProgressWatcher(Console(stderr=True)) as watcher:
        path = run_recipe(loaded, machine=place, out=out, watcher=watcher)
    if environ.get("RANK", "0") == "0":
        _show(path, as_json=json)


def _launch(place: Machine, *, recipe: str, machine: str, set_: list[str] | None, out: Path | None, json: bool) -> None:
    """The same command once for each device of this node. Several nodes meet where VLMLAB_RENDEZVOUS says."""
    from vlmlab.run.execute import prepare
    from vlmlab.run.launch import Rendezvous, launch

    prepare(place)  # what is missing is said before any process starts
    arguments = ["run", recipe, "--machine", machine]
    arguments += [word for option in set_ or () for word in ("--set", option)]
    arguments += [] if out is None else ["--out", str(out)]
    arguments += ["--json"] if json else []
    endpoint, job = environ.get("VLMLAB_RENDEZVOUS", "localhost:0"), environ.get("VLMLAB_JOB", "")
    status = launch(arguments, machine=place, rendezvous=Rendezvous(endpoint, job))
    if status:
        raise SystemExit(status)


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
