"""vlmlab plan RECIPE: what it will cost, before it costs anything."""

from __future__ import annotations

import typer

from vlmlab.cli.options import JsonOption, MachineOption, RecipeArgument, SetOption, split_overrides


def plan_command(
    recipe: RecipeArgument, machine: MachineOption = "laptop", set_: SetOption = None, json: JsonOption = False
) -> None:
    """Parameters, tokens, operations, memory, time and money of a recipe on a machine."""
    from vlmlab.plan.estimate import plan, words
    from vlmlab.recipe.load import load_machine, load_recipe

    overrides = split_overrides(set_)
    loaded = load_recipe(recipe, overrides=overrides.recipe)
    result = plan(loaded.recipe, load_machine(machine, overrides=overrides.machine))
    typer.echo(result.model_dump_json(indent=1) if json else words(result))
