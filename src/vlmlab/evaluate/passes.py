"""Passes: the ways in which every item of a benchmark is asked, and which share what stands before the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vlmlab.data.document import Document
from vlmlab.data.item import Item
from vlmlab.evaluate.contract import Benchmark, blank_item
from vlmlab.evaluate.shots import demonstrations

Condition = Literal["image", "blank"]


@dataclass(frozen=True, slots=True)
class Pass:
    """One number of shots, one demonstration seed (None at 0 shots: there is nothing to draw) and one condition."""

    shots: int
    seed: int | None
    condition: Condition


def passes(benchmark: Benchmark, *, blank_control: bool) -> tuple[Pass, ...]:
    """All passes of a benchmark. The blank control is asked where any item has a picture."""
    blank = blank_control and any(item.picture is not None for item in benchmark.items)
    conditions: tuple[Condition, ...] = ("image", "blank") if blank else ("image",)
    return tuple(
        Pass(shots, seed, condition)
        for shots in benchmark.spec.shots
        for seed in (benchmark.spec.demonstration_seeds if shots else (None,))
        for condition in conditions
    )


def asks(item: Item, asked: Pass) -> bool:
    """Whether the pass asks the item: one without a picture has no blank control."""
    return asked.condition == "image" or item.picture is not None


def shown_item(item: Item, asked: Pass) -> Item:
    """The item as the pass shows it."""
    return item if asked.condition == "image" else blank_item(item)


def prompt(benchmark: Benchmark, item: Item, asked: Pass) -> Document:
    """The prompt of an item in a pass. The blank control changes the query's image alone."""
    shots = () if asked.seed is None else demonstrations(benchmark, item, shots=asked.shots, seed=asked.seed)
    return benchmark.as_document(shown_item(item, asked), shots)


@dataclass(frozen=True, slots=True)
class Level:
    """Passes of an item after the same demonstrations."""

    demonstrations: tuple[Item, ...]
    passes: tuple[Pass, ...]


def chains(
    benchmark: Benchmark, item: Item, all_passes: tuple[Pass, ...], *, seed: int | None
) -> list[tuple[Level, ...]]:
    """The item's passes of one demonstration seed, fewest shots first, in chains where each level's demonstrations
    begin with those of the level before. Drawn demonstrations make one chain; rotated ones need not."""
    made: list[list[Level]] = []
    mine = [asked for asked in all_passes if asked.seed == seed and asks(item, asked)]
    for shots in sorted({asked.shots for asked in mine}):
        shown = () if seed is None else demonstrations(benchmark, item, shots=shots, seed=seed)
        level = Level(shown, tuple(asked for asked in mine if asked.shots == shots))
        before = made[-1][-1].demonstrations if made else ()
        if made and all(left is right for left, right in zip(before, shown[: len(before)], strict=True)):
            made[-1].append(level)
        else:
            made.append([level])
    return [tuple(chain) for chain in made]
