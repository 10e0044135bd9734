"""What a reader of a plan should know: what is not pinned, what does not fit, what is repeated."""

from __future__ import annotations

from vlmlab.plan.record import StagePlan
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import WorldSource
from vlmlab.recipe.tokenizer import PretrainedTokenizer
from vlmlab.recipe.weights import Hub
from vlmlab.wording import bytes_words


def notes(recipe: Recipe, machine: Machine, *, stages: list[StagePlan]) -> list[str]:
    """Sentences, the most important first."""
    found: list[str] = []
    memory = machine.hardware.memory_gib * 2**30
    for stage in stages:
        if stage.memory.total > memory:
            needed, given = bytes_words(stage.memory.total), bytes_words(memory)
            found.append(
                f"stages.{stage.name} needs about {needed} on a device of {given}; "
                "lower machine.micro_rows or turn on machine.gradient_checkpointing"
            )
        for source, epochs in stage.epochs.items():
            if epochs > 4:
                found.append(f"stages.{stage.name} repeats data.sources.{source} {epochs:.1f} times")
    found += [f"{path} is not pinned; give a commit hash" for path in unpinned(recipe)]
    return found


def unpinned(recipe: Recipe) -> list[str]:
    """Dotted paths of everything that is fetched without a revision."""
    found: list[str] = []
    for component, weights in (("vision", recipe.model.vision.weights), ("language", recipe.model.language.weights)):
        if isinstance(weights, Hub) and not weights.revision:
            found.append(f"model.{component}.weights.revision")
    tokenizer = recipe.tokenizer
    if isinstance(tokenizer, PretrainedTokenizer) and "/" in tokenizer.name and not tokenizer.revision:
        found.append("tokenizer.revision")
    for name, source in recipe.data.sources.items():
        if not isinstance(source, WorldSource) and source.path.startswith("hf://") and "@" not in source.path:
            found.append(f"data.sources.{name}.path")
    return found
