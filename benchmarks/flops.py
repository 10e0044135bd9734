"""`python benchmarks/flops.py`: the executed operations that `plan` counts, against torch's counter.

One step, forward and backward, of every stage of recipes/tiny.yaml and recipes/digits.yaml and of tiny models of every
kind of part, with the matmul kernel, on batches that the loader gives. Sources that read files are replaced by captions
of the generated world: the counts come from the batch, not from the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from measuring.bounds import Bounds
from vlmlab.batch import Batch
from vlmlab.data.loader import StageLoader
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import build_tokenizer
from vlmlab.models.build import BuildOptions, build_model
from vlmlab.models.objectives.build import build_objective
from vlmlab.models.objectives.contrastive import texts_of
from vlmlab.models.trainable import set_trainable
from vlmlab.plan.flops import ComponentFlops, stage_step_flops
from vlmlab.recipe.load import load_recipe
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import WorldSource
from vlmlab.recipe.stage import Contrastive

RECIPES = Path(__file__).resolve().parent.parent / "recipes"

TOLERANCE = 0.01

TINY = (
    "tokenizer.documents=200",
    "data.sources={captions: {kind: world, family: captions}}",
    "stages={joint: {objective: {kind: next_token}, mixture: {captions: 1}, duration: {steps: 1}, "
    "train: {vision: {mode: full}, connector: {mode: full}, language: {mode: full}}, "
    "batch: {rows: 4, length: 128, images: 4}}}",
)
"""One small stage in place of those of the recipe."""

PERCEIVER = "{kind: perceiver, latents: 8, depth: 2, heads: 4, head_width: 32, kv_heads: 2}"

VARIANTS = {
    **{f"connector {kind}": f"model.connector={{kind: {kind}}}" for kind in ("linear", "mlp")},
    "connector perceiver": f"model.connector={PERCEIVER}",
    **{
        f"connector {kind}": f"model.connector={{kind: {kind}, window: 2}}"
        for kind in ("average_pool", "pixel_shuffle")
    },
    **{f"vision {kind}": f"model.vision.kind={kind}" for kind in ("siglip", "clip")},
    **{f"language {kind}": f"model.language.kind={kind}" for kind in ("llama", "mistral", "qwen2", "qwen3", "smollm3")},
}


@dataclass(frozen=True)
class Compared:
    """Operations of one step, counted twice."""

    name: str
    planned: float
    counted: float

    @property
    def difference(self) -> float:
        return self.planned / self.counted - 1


def main() -> None:
    torch.set_num_threads(1)
    compared = [*shipped("tiny"), *shipped("digits")]
    for name, override in VARIANTS.items():
        recipe = load_recipe(RECIPES / "tiny.yaml", overrides=[*TINY, override]).recipe
        compared += [compare(f"tiny model, {name}", recipe, stage) for stage in recipe.stages]
    width = max(len(row.name) for row in compared)
    for row in compared:
        print(
            f"{row.name:<{width}}  plan {row.planned / 1e9:8.4f} GFLOP  torch {row.counted / 1e9:8.4f} GFLOP  "
            f"difference {100 * row.difference:+.4f} %"
        )
    bounds = Bounds()
    for row in compared:
        bounds.at_most(row.name, 100 * abs(row.difference), 100 * TOLERANCE, unit=" %")
    bounds.finish()


def shipped(name: str) -> list[Compared]:
    """Every stage of a shipped recipe, its files replaced by generated captions."""
    path = RECIPES / f"{name}.yaml"
    files = [
        source for source, spec in load_recipe(path).recipe.data.sources.items() if not isinstance(spec, WorldSource)
    ]
    overrides = [f"data.sources.{source}={{kind: world, family: captions}}" for source in files]
    recipe = load_recipe(path, overrides=["tokenizer.documents=200", *overrides]).recipe
    return [compare(f"{name}, stage {stage}", recipe, stage) for stage in recipe.stages]


def compare(name: str, recipe: Recipe, stage: str) -> Compared:
    """Plan and count the first step of a stage."""
    batch = first_batch(recipe, stage)
    planned = step_flops(recipe, stage, batch).executed
    return Compared(name, sum(cost.total for cost in planned.values()), counted(recipe, stage, batch))


def first_batch(recipe: Recipe, stage: str) -> Batch:
    """The first batch of a stage."""
    sources = open_sources(recipe.data, root=Path(), names=recipe.drawn_sources())
    tokenizer = build_tokenizer(recipe, sources)
    with StageLoader(recipe=recipe, stage=stage, tokenizer=tokenizer, sources=sources, workers=0, prefetch=1) as loader:
        return next(iter(loader)).batch


def step_flops(recipe: Recipe, name: str, batch: Batch) -> ComponentFlops:
    """What the plan says about a step with exactly this batch."""
    stage = recipe.stages[name]
    if isinstance(stage.objective, Contrastive):
        texts = texts_of(batch, longest=stage.objective.text.max_positions, marks=recipe.model.fusion.marks)
        length, segments = texts.ids.shape[1], texts.real.sum(dim=1).tolist()
    else:
        length = batch.ids.shape[1]
        real = batch.segments > 0
        rows = torch.arange(batch.num_rows)[:, None].expand_as(batch.segments)
        pairs = torch.stack([rows[real], batch.segments[real]])
        segments = torch.unique(pairs, dim=1, return_counts=True)[1].tolist()
    grids = set(batch.grids)
    side = recipe.image_policy(stage).side
    square = recipe.image_policy(stage).grid(side, side, patch=recipe.model.vision.patch)
    assert grids <= {square}, f"the figures are for square views, found grids {grids}"
    return stage_step_flops(
        recipe,
        stage,
        rows=batch.num_rows,
        length=length,
        views=batch.num_views,
        grid=square,
        learned=batch.num_learned(),
        segments=segments,
    )


def counted(recipe: Recipe, name: str, batch: Batch) -> int:
    """Operations of one forward and backward pass by torch's counter."""
    stage = recipe.stages[name]
    model = build_model(
        recipe.model,
        vocabulary=recipe.vocabulary(),
        seed=0,
        precision=recipe.precision,
        options=BuildOptions(attention="matmul"),
    )
    objective = build_objective(
        stage.objective, model=model, recipe_model=recipe.model, vocabulary=recipe.vocabulary(), seed=0, loss_chunk=8192
    )
    set_trainable(model, objective, stage)
    # torch's counter does not know its own fused attention on the CPU; the plain one is made of matmuls.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        with model.autocast():
            loss = objective(batch).total
        loss.backward()
    return counter.get_total_flops()


if __name__ == "__main__":
    main()
