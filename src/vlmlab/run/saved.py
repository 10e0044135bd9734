"""A finished run, read back: its recipe, tokenizer and trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import RunError
from vlmlab.models.build import components
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.run.execute import fresh_model
from vlmlab.training.checkpoint import load_into


@dataclass(frozen=True, slots=True)
class SavedRun:
    """What is needed to ask a trained model."""

    recipe: Recipe
    tokenizer: Tokenizer
    model: VisionLanguageModel


def load_run(path: Path, *, machine: Machine) -> SavedRun:
    """Read a run directory. Raises RunError where it holds no trained model."""
    resolved, folder = path / "recipe.resolved.json", path / "model"
    if not resolved.exists():
        raise RunError(str(path), "no recipe.resolved.json here; this is not a run directory (`vlmlab run` makes one)")
    if not (folder / "language.safetensors").exists():
        raise RunError(str(path), "the run has no trained model yet; run the same `vlmlab run` again to continue it")
    recipe = Recipe.model_validate_json(resolved.read_text(encoding="utf-8"))
    model = fresh_model(recipe, machine=machine)
    for component, module in components(model).items():
        file = folder / f"{component}.safetensors"
        load_into(module, load_file(file), where=str(file))
    return SavedRun(recipe=recipe, tokenizer=Tokenizer.load(folder), model=model)
