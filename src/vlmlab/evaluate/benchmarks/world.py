"""Benchmarks of the generated world."""

from __future__ import annotations

from vlmlab.data.world.world import GeneratedWorld
from vlmlab.evaluate.contract import Benchmark
from vlmlab.recipe.evaluation import WorldBenchmark
from vlmlab.recipe.tokenizer import Template

POOL = 512
"""Demonstrations to draw from; more would add images to look at, not variety that 8 shots could use."""


def open_world(name: str, spec: WorldBenchmark, *, world: GeneratedWorld, template: Template) -> Benchmark:
    """The first items of the family's test split, or validation items, and a pool from its training split."""
    scenes = world.spec.scenes if spec.scenes is None else spec.scenes
    items = (world.benchmark_items if spec.split == "test" else world.validation_items)(spec.family, spec.items, scenes)
    draws = max(spec.shots) > 0 and any(item.demonstrations is None for item in items)
    pool = world.demonstration_pool(spec.family, max(POOL, 4 * max(spec.shots)), scenes) if draws else []
    return Benchmark(name, spec, spec.metric_name(), template, tuple(items), tuple(pool))
