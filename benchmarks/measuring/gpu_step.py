"""Samples a second and useful MFU of a training step on one GPU, at nanoVLM-222M's shapes with fresh weights."""

from __future__ import annotations

import json
import statistics
import time

import torch

from measuring.bounds import Bounds
from measuring.made import Size, batch_of, example
from measuring.stepping import Ours
from vlmlab.batch import Batch
from vlmlab.models.build import BuildOptions
from vlmlab.plan.flops import stage_step_flops
from vlmlab.recipe.load import load_machine
from vlmlab.recipe.recipe import Recipe

SAMPLES = 200.0
"""Samples a second."""
MFU = 0.5
"""Useful operations over the peak of machines/one-gpu.yaml."""

ROWS, TEXT = 64, 79
"""With 49 visual tokens a row has 128 positions, as nanoVLM's first recipe; one image a sample, no padding."""
WARM, STEPS = 10, 30

SHAPES = {
    "name": "nanovlm-222m",
    "precision": "bfloat16",
    "model": {
        "vision": {"preset": "siglip-base-patch16-224"},
        "image": {"side": 224},
        "connector": {"kind": "pixel_shuffle", "window": 2},
        "language": {"preset": "smollm2-135m"},
    },
    "tokenizer": {"kind": "bpe", "vocabulary": 49152},
    "data": {"sources": {"made": {"kind": "world", "family": "captions"}}},
    "stages": {
        "joint": {
            "objective": {"kind": "next_token"},
            "train": {part: {"mode": "full"} for part in ("vision", "connector", "language")},
            "mixture": {"made": 1.0},
            "duration": {"steps": 1},
        }
    },
}


def measure_gpu() -> None:
    """Measure with blocks as they are and compiled; says so and measures nothing where there is no CUDA device."""
    if not torch.cuda.is_available():
        print("no CUDA device: not measured")
        return
    recipe = Recipe.model_validate_json(json.dumps(SHAPES))
    batch = full_batch(recipe, rows=ROWS)
    useful = useful_flops(recipe, batch)
    peak = load_machine("one-gpu").hardware.peak_bfloat16
    print(
        f"{torch.cuda.get_device_name()}, {recipe.name}: {ROWS} rows of {batch.ids.shape[1]}, "
        f"{batch.num_views} images, {batch.num_learned()} learned tokens, {useful / 1e12:.2f} useful TFLOP a step"
    )
    best = {"samples": 0.0, "mfu": 0.0}
    for compiled in (False, True):
        options = BuildOptions(device="cuda", compile=compiled)
        model = Ours(recipe.model, vocabulary=recipe.vocabulary(), precision="bfloat16", options=options)
        seconds = step_seconds(model, batch, warm=WARM, steps=STEPS)
        samples, mfu = ROWS / seconds, useful / seconds / peak
        best = {"samples": max(best["samples"], samples), "mfu": max(best["mfu"], mfu)}
        print(
            f"  {'compiled' if compiled else 'as it is'}: {1000 * seconds:.1f} ms a step, {samples:.0f} samples/s, "
            f"useful MFU {100 * mfu:.1f} %, {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB",
            flush=True,
        )
        del model
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    bounds = Bounds()
    bounds.at_least("samples a second", best["samples"], SAMPLES)
    bounds.at_least("useful MFU", 100 * best["mfu"], 100 * MFU, unit=" %")
    bounds.finish()


def full_batch(recipe: Recipe, *, rows: int) -> Batch:
    """Rows of one image and TEXT tokens, without padding."""
    vocabulary = recipe.vocabulary()
    documents = [
        [example(Size(TEXT, 1), number=number, model=recipe.model, vocabulary=vocabulary)] for number in range(rows)
    ]
    return batch_of(documents, length=None, model=recipe.model, vocabulary=vocabulary)


def useful_flops(recipe: Recipe, batch: Batch) -> float:
    """Useful operations of a step, forward and backward, by the plan's count."""
    rows, length = batch.ids.shape
    costs = stage_step_flops(
        recipe, recipe.stages["joint"], rows=rows, length=length, views=batch.num_views, grid=batch.grids[0],
        learned=batch.num_learned(), segments=[length] * rows,
    ).useful  # fmt: skip
    return sum(cost.total for cost in costs.values())


def step_seconds(model: Ours, batch: Batch, *, warm: int, steps: int) -> float:
    """Median wall seconds of a step; the loss that a step returns has waited for the device."""
    seconds: list[float] = []
    for number in range(warm + steps):
        started = time.perf_counter()
        model.step(batch)
        if number >= warm:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
