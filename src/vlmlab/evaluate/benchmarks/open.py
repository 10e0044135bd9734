"""The one match from a benchmark's spec to its items."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from vlmlab.data.world.world import GeneratedWorld
from vlmlab.errors import EvaluationError
from vlmlab.evaluate.benchmarks.jsonl import open_jsonl
from vlmlab.evaluate.benchmarks.world import open_world
from vlmlab.evaluate.contract import Benchmark
from vlmlab.recipe.evaluation import JsonlBenchmark, WorldBenchmark
from vlmlab.recipe.recipe import Recipe


def open_benchmarks(recipe: Recipe, *, root: Path) -> tuple[Benchmark, ...]:
    """All benchmarks of a recipe, in its order. Relative paths are relative to `root`."""
    if not recipe.evaluation.benchmarks:
        raise EvaluationError("evaluation.benchmarks", "the recipe names no benchmark; give at least one")
    specs = recipe.evaluation.benchmarks
    world = (
        GeneratedWorld(recipe.data.world) if any(isinstance(spec, WorldBenchmark) for spec in specs.values()) else None
    )
    benchmarks: list[Benchmark] = []
    for name, spec in specs.items():
        match spec:
            case WorldBenchmark():
                assert world is not None
                benchmarks.append(open_world(name, spec, world=world, template=recipe.template))
            case JsonlBenchmark():
                benchmarks.append(open_jsonl(name, spec, root=root, template=recipe.template))
            case _:
                assert_never(spec)
    return tuple(benchmarks)
