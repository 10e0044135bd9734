"""What could be scored at best on a benchmark: the ceiling of the calibration gate.

On the generated world it is what the oracle reader sees at the recipe's resolution, for the truth scores 100 whatever
the careless annotators say; a caption's ceiling is one reference against the others. Elsewhere it is 100.
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from vlmlab.data.item import Item
from vlmlab.data.world.oracle import read_benchmark
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.evaluate.benchmarks.open import open_benchmarks
from vlmlab.evaluate.metrics.cider import Cider
from vlmlab.files import digest, read_json, write_json
from vlmlab.recipe.evaluation import WorldBenchmark
from vlmlab.recipe.recipe import Recipe

VERSION = 1
"""Raised when the oracle reads otherwise, so that kept scores are computed again."""


def oracle_score(recipe: Recipe, benchmark: str, *, kept: Path) -> float | None:
    """Points of the oracle on a benchmark; None where nobody knows. `kept` is a file that remembers it."""
    spec = recipe.evaluation.benchmarks[benchmark]
    image = recipe.model.image if spec.image is None else spec.image
    key = digest([VERSION, spec.plain(), recipe.data.world.plain(), image.plain()])
    known: dict[str, float | None] = read_json(kept) if kept.exists() else {}
    if key not in known:
        if isinstance(spec, WorldBenchmark):
            world = GeneratedWorld(recipe.data.world)
            scenes = recipe.data.world.scenes if spec.scenes is None else spec.scenes
            posed = world.posed_items(spec.family, spec.items, scenes)
            share = read_benchmark(posed, world.content, image).share
            best = _captions([each.item for each in posed]) if spec.metric_name() == "cider" else 100.0
            known[key] = share * best
        else:
            known[key] = None if spec.metric_name() == "cider" else 100.0
        write_json(kept, known)
    return known[key]


def chance_score(recipe: Recipe, benchmark: str) -> float:
    """Points of guessing where no item has an image: one over the number of choices, else nothing."""
    spec = recipe.evaluation.benchmarks[benchmark]
    if spec.metric_name() != "multiple_choice":
        return 0.0
    only = recipe.model_copy(
        update={"evaluation": recipe.evaluation.model_copy(update={"benchmarks": {benchmark: spec}})}
    )
    (opened,) = open_benchmarks(only, root=Path())
    return 100.0 * mean(1.0 / len(item.choices) for item in opened.items)


def _captions(items: list[Item]) -> float:
    """CIDEr of the first reference against the others."""
    cider = Cider(item.answers for item in items)
    return 100.0 * mean(cider.score(item.answers[0], item.answers[1:]) for item in items)
