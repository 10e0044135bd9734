"""Memory of one training step on one device: exact for parameters and their states, an estimate for activations."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vlmlab.plan.flops import StepCounts
from vlmlab.plan.shapes import model_parameters, objective_parameters, trained_parameters
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.stage import Contrastive, Stage

_FLOAT32 = 4


WHOLE_SHARE = 0.4
"""Share of a device's memory that weights, gradients and optimiser state may take before `auto` cuts them into
shards."""


def state_bytes(*, parameters: int, trained: int) -> int:
    """Float32 weights of everything, and gradients and AdamW's two moments of what trains."""
    return _FLOAT32 * (parameters + 3 * trained)


def fits_whole(machine: Machine, *, parameters: int, trained: int) -> bool:
    """Whether one device can hold the training state of the whole model."""
    return state_bytes(parameters=parameters, trained=trained) <= WHOLE_SHARE * machine.hardware.memory_gib * 2**30


def shards(machine: Machine, *, parameters: int, trained: int) -> bool:
    """Whether several devices hold the training state in shards rather than each the whole."""
    match machine.parallel:
        case "replicate":
            return False
        case "shard":
            return machine.devices > 1
        case "auto":
            return machine.devices > 1 and not fits_whole(machine, parameters=parameters, trained=trained)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device."""

    weights: int
    """float32, all components."""
    gradients: int
    optimizer: int
    """Two float32 moments of what trains."""
    activations: float
    """Kept for the backward pass of one micro-batch, and the logits of one chunk; within a factor of two."""

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations


def stage_memory(recipe: Recipe, stage: Stage, *, machine: Machine, counts: StepCounts) -> Memory:
    """Memory of a stage. Shards are even; what is gathered for one block at a time is left out."""
    own = objective_parameters(stage.objective, vision=recipe.model.vision, vocabulary=recipe.vocabulary())
    trained = sum(trained_parameters(recipe, stage).values())
    parameters = sum(model_parameters(recipe).values()) + own
    parts = machine.devices if shards(machine, parameters=parameters, trained=trained) else 1
    return Memory(
        weights=math.ceil(_FLOAT32 * parameters / parts),
        gradients=math.ceil(_FLOAT32 * trained / parts),
        optimizer=math.ceil(2 * _FLOAT32 * trained / parts),
        activations=_activations(recipe, stage, machine=machine, counts=counts),
    )


def _activations(recipe: Recipe, stage: Stage, *, machine: Machine, counts: StepCounts) -> float:
    """What a block keeps for its backward pass: inputs of its products, both norms, its attention weights.

    A vision state keeps about 8 width + 2 mlp + 2 heads x states values a block, a language position about
    6 width + 2 queries + 4 keys + 4 mlp + 2 heads x length. Without gradients, or with checkpointing, only one block
    lives at a time, and with checkpointing every block's input.
    """
    model = recipe.model
    rows = math.ceil(counts.rows / machine.devices)
    rows = rows if machine.micro_rows is None else min(rows, machine.micro_rows)
    share = rows / counts.rows
    size = 2 if recipe.precision == "bfloat16" else _FLOAT32
    vision, language = model.vision, model.language
    states = counts.grid.patches + (vision.kind == "clip")
    per_state = 8 * vision.width + 2 * vision.mlp + 2 * vision.heads * states
    seen = counts.views * share * states
    kept = seen * _blocks(per_state, vision.width, depth=vision.depth, backward=stage.trains("vision"), machine=machine)
    positions = rows * counts.length
    if isinstance(stage.objective, Contrastive):
        tower = stage.objective.text
        per_position = 8 * tower.width + 2 * tower.mlp + 2 * tower.heads * counts.length
        kept += positions * tower.depth * per_position + 2 * counts.rows**2
    else:
        queries, keys = language.heads * language.head(), language.groups() * language.head()
        per_position = (
            6 * language.width + 2 * queries + 4 * keys + 4 * language.mlp + 2 * language.heads * counts.length
        )
        kept += positions * _blocks(per_position, language.width, depth=language.depth, backward=True, machine=machine)
        # Logits, their softmax and their gradient, in float32.
        learned = min(machine.loss_chunk, counts.learned * share)
        kept += 3 * learned * recipe.vocabulary() * _FLOAT32 / size
    return kept * size


def _blocks(per_position: float, width: int, *, depth: int, backward: bool, machine: Machine) -> float:
    if not backward:
        return per_position
    return depth * width + per_position if machine.gradient_checkpointing else depth * per_position
