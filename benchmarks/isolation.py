"""`python benchmarks/isolation.py`: packed documents change nothing of each other, and packing changes no loss.

Real packed rows of the last stage of recipes/tiny.yaml (images, dialogues, pages, text) through its model with fresh
weights. Every document in turn gets other tokens and other pixels, at the same number of tokens and views; the hidden
states of all others, and the gradient of their losses by every parameter, must not move by one bit on a CPU, whatever
the kernel and precision. Then each document is run in a row of its own: in float32 the losses and gradients of the
packed rows must be the sums of those, tensor by tensor (but for the biases of the backbone's attention keys, whose
gradient is rounding: the softmax takes them away). A model whose attention takes a row for one document shows what a
leak looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from measuring.bounds import Bounds
from vlmlab.batch import IGNORED, Batch
from vlmlab.data.loader import StageLoader
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import build_tokenizer
from vlmlab.models.attention import Kernel, Layout, make_layout
from vlmlab.models.build import BuildOptions, build_model
from vlmlab.models.model import Precision, VisionLanguageModel
from vlmlab.models.objectives.build import build_objective
from vlmlab.recipe.load import load_recipe
from vlmlab.recipe.recipe import Recipe
from vlmlab.training.checks.changed import changed, row_of
from vlmlab.training.checks.subject import key_biases

KERNELS: tuple[Kernel, ...] = ("matmul", "sdpa", "segments", "auto")
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
STAGE = "instruct"
ROWS = 4
RELATIVE = 1e-5
"""Largest relative difference between packed and unpacked losses and gradients, in float32."""
LEAK = 1e-3
"""What a leak moves hidden states by, at least."""


@dataclass(frozen=True)
class Bench:
    """A model with its objective; every parameter that a loss depends on takes a gradient."""

    model: VisionLanguageModel
    objective: nn.Module
    placeholder: int

    def hidden(self, batch: Batch) -> Tensor:
        with torch.no_grad(), self.model.autocast():
            return self.model(batch)

    def learn(self, batch: Batch) -> tuple[float, dict[str, Tensor]]:
        """Sum of the loss over the learned tokens, and its gradient by every parameter that has one."""
        self.model.zero_grad(set_to_none=True)
        with self.model.autocast():
            loss = self.objective(batch)
        loss.total.backward()
        gradients = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
        return float(loss.total.detach().double()), gradients

    def changed(self, batch: Batch, where: Tensor) -> Batch:
        vocabulary = self.model.language.head_weight.shape[0]
        return changed(batch, where, vocabulary=vocabulary, placeholder=self.placeholder)


def main() -> None:
    torch.set_num_threads(1)
    recipe = load_recipe("tiny", overrides=["tokenizer.documents=500"]).recipe
    batch, placeholder = packed_rows(recipe)
    documents = sum(map(len, batch.keys))
    print(f"{documents} documents in {batch.num_rows} rows, {len(batch.spans)} images, {batch.num_learned()} learned")
    bounds = Bounds()
    for precision in PRECISIONS:
        for kernel in KERNELS:
            name = f"{kernel}, {precision}"
            bench = build(recipe, kernel=kernel, precision=precision, placeholder=placeholder)
            own, others = states_moved(bench, batch)
            bounds.at_least(f"{name}: own hidden states move with a document's content", own, LEAK)
            bounds.at_most(f"{name}: hidden states of the others", others, 0.0)
            bounds.at_most(f"{name}: gradients of the others' losses", gradients_moved(bench, batch), 0.0)
            if precision == "float32":
                loss, worst, tensor = unpacked(bench, batch)
                bounds.at_most(f"{name}: packed loss against the sum of unpacked ones", loss, RELATIVE)
                bounds.at_most(f"{name}: packed gradients against the same (worst: {tensor})", worst, RELATIVE)
    with mock.patch("vlmlab.models.language.causal.make_layout", one_segment):
        bench = build(recipe, kernel="matmul", precision="float32", placeholder=placeholder)
        _, others = states_moved(bench, batch)
        bounds.at_least("a row taken for one document: hidden states of the others", others, LEAK)
        bounds.at_least("a row taken for one document: gradients of the others", gradients_moved(bench, batch), LEAK)
    bounds.finish()


def packed_rows(recipe: Recipe) -> tuple[Batch, int]:
    """The first rows of the stage that hold several documents, and the placeholder's id."""
    sources = open_sources(recipe.data, root=Path(), names=recipe.drawn_sources())
    tokenizer = build_tokenizer(recipe, sources)
    drawn = {name: sources[name] for name in recipe.stages[STAGE].mixture}
    with StageLoader(recipe=recipe, stage=STAGE, tokenizer=tokenizer, sources=drawn, workers=0, prefetch=1) as loader:
        batch = next(loader).batch.rows(0, ROWS)
    assert all(len(keys) > 1 for keys in batch.keys), "the rows are packed"
    return batch, tokenizer.image


def build(recipe: Recipe, *, kernel: Kernel, precision: Precision, placeholder: int) -> Bench:
    model = build_model(
        recipe.model, vocabulary=recipe.vocabulary(), seed=recipe.seed, precision=precision,
        options=BuildOptions(attention=kernel),
    )  # fmt: skip
    objective = build_objective(
        recipe.stages[STAGE].objective, model=model, recipe_model=recipe.model, vocabulary=recipe.vocabulary(),
        seed=recipe.seed, loss_chunk=8192,
    )  # fmt: skip
    return Bench(model, objective, placeholder)


def one_segment(segments: Tensor, *, num_queries: int, kernel: Kernel, dtype: torch.dtype) -> Layout:
    """What a loader that forgets document ids makes of a row."""
    return make_layout(segments.clamp(max=1), num_queries=num_queries, kernel=kernel, dtype=dtype)


def places(batch: Batch) -> Iterator[Tensor]:
    """Bool (rows, length): the first document of every row, then the second, and so on."""
    for number in range(1, max(map(len, batch.keys)) + 1):
        yield batch.segments == number


def states_moved(bench: Bench, batch: Batch) -> tuple[float, float]:
    """Largest difference of hidden states when a document changes: the least of its own, the most of the others'."""
    base = bench.hidden(batch)
    own, others = torch.inf, 0.0
    for where in places(batch):
        moved = (bench.hidden(bench.changed(batch, where)) - base).abs().amax(dim=-1)
        own = min(own, float(moved[where].max()))
        others = max(others, float(moved[(batch.segments != 0) & ~where].max()))
    return own, others


def gradients_moved(bench: Bench, batch: Batch) -> float:
    """Largest difference of a gradient of the other documents' losses when a document changes."""
    most = 0.0
    for where in places(batch):
        # Only the others teach: what is left of the gradient is their contribution.
        quiet = replace(batch, targets=batch.targets.masked_fill(where, IGNORED))
        (_, base), (_, moved) = bench.learn(quiet), bench.learn(bench.changed(quiet, where))
        assert base.keys() == moved.keys()
        most = max(most, *(float((base[name] - moved[name]).abs().max()) for name in base))
    return most


def unpacked(bench: Bench, batch: Batch) -> tuple[float, float, str]:
    """Relative differences between the packed rows and the sum over their documents, each in a row of its own: of the
    loss, and of the gradient of the tensor that differs most, with its name."""
    packed_loss, packed = bench.learn(batch)
    total, summed = 0.0, {name: torch.zeros_like(gradient, dtype=torch.float64) for name, gradient in packed.items()}
    for row, keys in enumerate(batch.keys):
        for segment in range(1, len(keys) + 1):
            loss, gradients = bench.learn(row_of(batch, [(row, segment)]))
            total += loss
            for name, gradient in gradients.items():
                summed[name] += gradient
    idle = {id(bias) for bias in key_biases(bench.model, bench.objective)}
    differences = {
        name: float((packed[name] - summed[name]).norm() / summed[name].norm())
        for name, parameter in bench.model.named_parameters()
        if name in packed and id(parameter) not in idle
    }
    worst = max(differences, key=differences.__getitem__)
    return abs(packed_loss - total) / total, differences[worst], worst


if __name__ == "__main__":
    main()
