"""The plan of a recipe on a machine: parameters, steps, tokens, operations, memory, time and money."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vlmlab.plan.expectation import expectation
from vlmlab.plan.flops import StepCounts, step_flops
from vlmlab.plan.hardware import price, seconds
from vlmlab.plan.memory import stage_memory
from vlmlab.plan.notes import notes
from vlmlab.plan.products import Cost
from vlmlab.plan.record import Flops, MemoryPlan, Plan, StagePlan
from vlmlab.plan.shapes import model_parameters, trained_parameters
from vlmlab.plan.words import words
from vlmlab.recipe.evaluation import Benchmark, WorldBenchmark
from vlmlab.recipe.image import Grid
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import WorldSource
from vlmlab.recipe.stage import Contrastive, Stage, Steps

__all__ = ["plan", "words"]

_LONGEST_TEXT = 1.5
"""Expected longest text of a contrastive step over the mean one."""


def plan(recipe: Recipe, machine: Machine) -> Plan:
    """What the recipe will cost on the machine. Parameters are exact; what depends on data is estimated."""
    parameters = model_parameters(recipe)
    stages = [_stage_plan(recipe, name, machine=machine) for name in recipe.stages]
    evaluation = recipe.evaluation
    prompts = sum(_prompts(benchmark, blank=evaluation.blank_control) for benchmark in evaluation.benchmarks.values())
    return Plan(
        recipe=recipe.name,
        fingerprint=recipe.fingerprint(),
        machine=machine.name,
        hardware=machine.hardware.name,
        precision=recipe.precision,
        parameters=parameters,
        total_parameters=sum(parameters.values()),
        visual_tokens_per_view=recipe.model.connector.tokens(_grid(recipe, None)),
        stages=stages,
        prompts=prompts,
        tokens=sum(stage.tokens for stage in stages),
        executed=sum(_total(stage.executed) for stage in stages),
        useful=sum(_total(stage.useful) for stage in stages),
        seconds=sum(stage.seconds for stage in stages),
        price=sum(stage.price for stage in stages),
        notes=notes(recipe, machine, stages=stages),
    )


@dataclass(frozen=True, slots=True)
class _Mean:
    """The mean document of a stage's mixture, as far as it fits into a row."""

    positions: float
    images: float
    learned: float


def _stage_plan(recipe: Recipe, name: str, *, machine: Machine) -> StagePlan:
    stage = recipe.stages[name]
    batch = stage.batch
    grid = _grid(recipe, stage)
    tokens = recipe.model.connector.tokens(grid)
    mean = _mean_document(recipe, stage, visual=tokens)
    documents_per_row = _documents_per_row(stage, mean)
    documents = batch.rows * documents_per_row
    positions = documents * mean.positions
    steps = stage.duration.steps if isinstance(stage.duration, Steps) else math.ceil(stage.duration.tokens / positions)
    counts = _counts(stage, mean, documents=documents, grid=grid)
    flops = step_flops(recipe, stage, counts)
    executed = {part: _with_recompute(cost, machine) for part, cost in flops.executed.items()}
    duration = steps * seconds(
        sum(cost.total for cost in executed.values()), precision=recipe.precision, machine=machine
    )
    memory = stage_memory(recipe, stage, machine=machine, counts=counts)
    total = sum(stage.mixture.values())
    sizes = {source: spec.size for source, spec in recipe.data.sources.items() if isinstance(spec, WorldSource)}
    images = documents * mean.images * steps
    return StagePlan(
        name=name,
        objective=stage.objective.kind,
        steps=steps,
        rows=batch.rows,
        length=batch.length,
        fill=positions / (batch.rows * batch.length),
        tokens=round(positions * steps),
        documents=round(documents * steps),
        images=round(images),
        visual_tokens=round(images * tokens),
        learned_tokens=round(documents * mean.learned * steps),
        epochs={
            source: documents * steps * weight / total / sizes[source]
            for source, weight in stage.mixture.items()
            if weight and source in sizes
        },
        trained=trained_parameters(recipe, stage),
        executed={
            part: Flops(forward=steps * cost.forward, backward=steps * cost.backward) for part, cost in executed.items()
        },
        useful={
            part: Flops(forward=steps * cost.forward, backward=steps * cost.backward)
            for part, cost in flops.useful.items()
        },
        seconds=duration,
        price=price(duration, machine=machine),
        memory=MemoryPlan(
            weights=memory.weights,
            gradients=memory.gradients,
            optimizer=memory.optimizer,
            activations=memory.activations,
            total=memory.total,
        ),
    )


def _mean_document(recipe: Recipe, stage: Stage, *, visual: int) -> _Mean:
    total = sum(stage.mixture.values())
    shares = {source: weight / total for source, weight in stage.mixture.items() if weight}
    per_image = recipe.model.fusion.positions(visual)
    positions = images = learned = 0.0
    for source, share in shares.items():
        expected = expectation(recipe.data.sources[source])
        length = expected.text_tokens + expected.images * per_image
        # A document longer than the row is cut; text and images are then fewer by the same share.
        kept = min(1.0, stage.batch.length / length)
        positions += share * length * kept
        images += share * expected.images * kept
        learned += share * expected.learned * kept
    return _Mean(positions, images, learned)


def _documents_per_row(stage: Stage, mean: _Mean) -> float:
    """Documents of a row: one, or as many as positions and images allow; packing leaves about half a document free."""
    if isinstance(stage.objective, Contrastive) or not stage.batch.packing:
        return 1.0
    by_length = max(1.0, stage.batch.length / mean.positions - 0.5)
    by_images = stage.batch.images / mean.images if mean.images else by_length
    return max(min(by_length, by_images), min(1.0, stage.batch.length / mean.positions))


def _counts(stage: Stage, mean: _Mean, *, documents: float, grid: Grid) -> StepCounts:
    batch = stage.batch
    if isinstance(stage.objective, Contrastive):
        # The text tower reads the learned text of a pair, padded to the longest text of the step.
        longest = min(stage.objective.text.max_positions, batch.length, math.ceil(_LONGEST_TEXT * mean.learned))
        text = min(mean.learned, longest)
        return StepCounts(
            rows=batch.rows,
            length=longest,
            views=documents,
            grid=grid,
            positions=documents * text,
            pairs=documents * text * text,
            learned=0,
        )
    return StepCounts(
        rows=batch.rows,
        length=batch.length,
        views=documents * mean.images,
        grid=grid,
        positions=documents * mean.positions,
        pairs=documents * mean.positions * (mean.positions + 1) / 2,
        learned=documents * mean.learned,
    )


def _grid(recipe: Recipe, stage: Stage | None) -> Grid:
    """The grid of a square image."""
    policy = recipe.model.image if stage is None else recipe.image_policy(stage)
    return policy.grid(policy.side, policy.side, patch=recipe.model.vision.patch)


def _with_recompute(cost: Cost, machine: Machine) -> Cost:
    """Gradient checkpointing runs the forward pass of what has a backward pass twice."""
    again = cost.forward if machine.gradient_checkpointing and cost.backward else 0.0
    return Cost(cost.forward, cost.backward + again)


def _prompts(benchmark: Benchmark, *, blank: bool) -> int:
    asked = sum(len(benchmark.demonstration_seeds) if shots else 1 for shots in benchmark.shots)
    pictures = not (isinstance(benchmark, WorldBenchmark) and benchmark.family == "text")
    return benchmark.items * asked * (2 if blank and pictures else 1)


def _total(flops: dict[str, Flops]) -> float:
    return sum(part.forward + part.backward for part in flops.values())
