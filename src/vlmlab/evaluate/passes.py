"""Passes: the ways in which every item of a benchmark is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vlmlab.data.document import Document
from vlmlab.data.item import Item
from vlmlab.evaluate.contract import Benchmark, blank_item
from vlmlab.evaluate.shots import demonstrations


@dataclass(frozen=True, slots=True)
class Pass:
    """One number of shots, one demonstration seed (None at 0 shots: there is nothing to draw) and one condition."""

    shots: int
    seed: int | None
    condition: Literal["image", "blank"]


def passes(benchmark: Benchmark, *, blank_control: bool) -> tuple[Pass, ...]:
    """All passes of a benchmark. The blank control is asked where any item has a picture."""
    blank = blank_control and any(item.picture is not None for item in benchmark.items)
    conditions: tuple[Literal["image", "blank"], ...] = ("image", "blank") if blank else ("image",)
    return tuple(
        Pass(shots, seed, condition)
        for shots in benchmark.spec.shots
        for seed in (benchmark.spec.demonstration_seeds if shots else (None,))
        for condition in conditions
    )


def items_of(benchmark: Benchmark, asked: Pass) -> tuple[Item, ...]:
    """The items of a pass: an item without a picture has no blank control."""
    if asked.condition == "image":
        return benchmark.items
    return tuple(item for item in benchmark.items if item.picture is not None)


def prompt(benchmark: Benchmark, item: Item, asked: Pass) -> Document:
    """The prompt of an item in a pass. The blank control changes the query's image alone."""
    shots = () if asked.seed is None else demonstrations(benchmark, item, shots=asked.shots, seed=asked.seed)
    return benchmark.as_document(item if asked.condition == "image" else blank_item(item), shots)
