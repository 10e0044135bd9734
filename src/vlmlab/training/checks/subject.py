"""Subject: what the checks look at, and the two things that they do with it: a forward pass and a loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlmlab.batch import Batch
from vlmlab.models.build import components
from vlmlab.models.loss import Loss
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.objectives.contrastive import ContrastiveObjective
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.stage import Component, Contrastive, Stage
from vlmlab.recipe.weights import Fresh


@dataclass(frozen=True, slots=True)
class Subject:
    """A stage as it is about to run. Model and objective are plain modules, neither sharded nor replicated."""

    model: VisionLanguageModel
    objective: nn.Module
    """A batch to a Loss."""
    stage: Stage
    placeholder: int
    """The token id at visual positions."""
    rows: int | None
    """Rows of one forward pass; None means all rows of a batch."""

    @property
    def pairs(self) -> bool:
        """Whether the objective takes image-text pairs, whose batch stays whole."""
        return isinstance(self.stage.objective, Contrastive)

    def parts(self) -> dict[str, nn.Module]:
        """Components of the model, and the objective."""
        return components(self.model) | {"objective": self.objective}

    def trained(self) -> dict[str, nn.Parameter]:
        """What must train as the recipe says, by name; a tied parameter once."""
        unused = {id(parameter) for parameter in self.model.vision.unused_parameters()}
        return {
            f"{component}.{name}": parameter
            for component, part in self.parts().items()
            if self.stage.trains(as_component(component))
            for name, parameter in part.named_parameters()
            if id(parameter) not in unused
        }

    def frozen(self) -> dict[str, nn.Parameter]:
        """Every other parameter, by name."""
        trained = {id(parameter) for parameter in self.trained().values()}
        return {
            f"{component}.{name}": parameter
            for component, part in self.parts().items()
            for name, parameter in part.named_parameters()
            if id(parameter) not in trained
        }

    def micro_batches(self, batch: Batch) -> Iterator[Batch]:
        """The batch as it will be cut."""
        if self.rows is None or self.pairs or self.rows >= batch.num_rows:
            yield batch
            return
        for start in range(0, batch.num_rows, self.rows):
            yield batch.rows(start, min(start + self.rows, batch.num_rows))

    def hidden(self, batch: Batch) -> Tensor:
        """Hidden states (rows, length, width), computed as in training; two calls draw the same random numbers."""
        with same_draws(self.model.device), self.model.autocast():
            return self.model(batch).detach()

    def loss(self, batch: Batch) -> Loss:
        """The objective's loss, computed as in training."""
        with self.model.autocast():
            return self.objective(batch)


def same_draws(device: torch.device) -> AbstractContextManager[None]:
    """Put torch's generators back afterwards."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def key_biases(model: VisionLanguageModel, objective: nn.Module) -> list[nn.Parameter]:
    """Biases of attention keys where no position turns them: they add one number to all scores of a query, which the
    softmax takes away again. Their gradient is zero by mathematics and rounding in practice."""
    layers = [block.get_submodule("self_attn.k_proj") for block in model.vision.blocks]
    if isinstance(objective, ContrastiveObjective):
        layers += [block.get_submodule("key") for block in objective.text.blocks]
    return [layer.bias for layer in layers if isinstance(layer, nn.Linear)]


def fresh_components(recipe: Recipe, name: str) -> frozenset[str]:
    """Components that are still as they were drawn when stage `name` begins: no published weights, not yet trained."""
    drawn = {"connector", "objective"}
    if isinstance(recipe.model.vision.weights, Fresh):
        drawn.add("vision")
    if isinstance(recipe.model.language.weights, Fresh):
        drawn.add("language")
    for earlier, stage in recipe.stages.items():
        if earlier == name:
            break
        drawn -= {component for component in stage.train if component != "objective" and stage.trains(component)}
    return frozenset(drawn)


def as_component(name: str) -> Component:
    """A component's name as its type."""
    match name:
        case "vision" | "connector" | "language" | "objective":
            return name
        case _:
            raise AssertionError(f"{name} is no component")
