"""vlmlab: a laboratory for vision-language models. The public names, imported when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmlab.errors import (
        BatchError,
        DataError,
        EvaluationError,
        RecipeError,
        RunError,
        TrainingError,
        VlmlabError,
    )
    from vlmlab.evaluate.run import evaluate as evaluate_model
    from vlmlab.models.build import build_model
    from vlmlab.plan.estimate import plan as plan_recipe
    from vlmlab.plan.record import Plan
    from vlmlab.recipe.load import LoadedRecipe, load_machine, load_recipe
    from vlmlab.recipe.machine import Machine
    from vlmlab.recipe.recipe import Recipe
    from vlmlab.run.execute import run_recipe

__version__ = "0.1.0"

__all__ = [
    "BatchError",
    "DataError",
    "EvaluationError",
    "LoadedRecipe",
    "Machine",
    "Plan",
    "Recipe",
    "RecipeError",
    "RunError",
    "TrainingError",
    "VlmlabError",
    "build_model",
    "evaluate_model",
    "load_machine",
    "load_recipe",
    "plan_recipe",
    "run_recipe",
]

# Name -> module and name there. `plan` and `evaluate` are packages, so their functions carry another name here.
_PLACES = {
    "BatchError": ("vlmlab.errors", "BatchError"),
    "DataError": ("vlmlab.errors", "DataError"),
    "EvaluationError": ("vlmlab.errors", "EvaluationError"),
    "LoadedRecipe": ("vlmlab.recipe.load", "LoadedRecipe"),
    "Machine": ("vlmlab.recipe.machine", "Machine"),
    "Plan": ("vlmlab.plan.record", "Plan"),
    "Recipe": ("vlmlab.recipe.recipe", "Recipe"),
    "RecipeError": ("vlmlab.errors", "RecipeError"),
    "RunError": ("vlmlab.errors", "RunError"),
    "TrainingError": ("vlmlab.errors", "TrainingError"),
    "VlmlabError": ("vlmlab.errors", "VlmlabError"),
    "build_model": ("vlmlab.models.build", "build_model"),
    "evaluate_model": ("vlmlab.evaluate.run", "evaluate"),
    "load_machine": ("vlmlab.recipe.load", "load_machine"),
    "load_recipe": ("vlmlab.recipe.load", "load_recipe"),
    "plan_recipe": ("vlmlab.plan.estimate", "plan"),
    "run_recipe": ("vlmlab.run.execute", "run_recipe"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'vlmlab' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return vars(importlib.import_module(module))[attribute]
