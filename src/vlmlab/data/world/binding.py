"""Binding: a fresh map from nonce words to values of one attribute, told only inside its own document."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Literal, NamedTuple

from vlmlab.data.world.draws import Draws
from vlmlab.data.world.scene import Kind, Split
from vlmlab.data.world.vocabulary import COLOURS, SHAPES
from vlmlab.data.world.words import NONCE_WORDS

Attribute = Literal["shape", "colour"]

TEST_SHARE = 0.3
"""Share of (label, value) pairs that only the test split uses."""


class Game(NamedTuple):
    """One document's map: labels[i] names value values[i] of the attribute."""

    attribute: Attribute
    labels: tuple[str, ...]
    values: tuple[int, ...]

    def kind(self, draws: Draws, label: int) -> Kind:
        """An object that label number `label` names; its other attribute is a distractor."""
        if self.attribute == "shape":
            return Kind(self.values[label], draws.below(len(COLOURS)))
        return Kind(draws.below(len(SHAPES)), self.values[label])


def pair_split(seed: int, label: str, attribute: Attribute, value: int) -> Split:
    """The only split in which `label` may name this value."""
    data = blake2b(f"{seed}|binding|{label}|{attribute}|{value}".encode(), digest_size=4).digest()
    return "test" if int.from_bytes(data, "little") < TEST_SHARE * 2**32 else "train"


@dataclass(frozen=True)
class Bindings:
    """Which nonce words may name which values, by split; a function of the seed."""

    seed: int

    @cached_property
    def _labels(self) -> dict[tuple[Split, Attribute, int], tuple[str, ...]]:
        table: dict[tuple[Split, Attribute, int], list[str]] = {}
        for label in NONCE_WORDS:
            for attribute, count in (("shape", len(SHAPES)), ("colour", len(COLOURS))):
                for value in range(count):
                    split = pair_split(self.seed, label, attribute, value)
                    table.setdefault((split, attribute, value), []).append(label)
        return {key: tuple(labels) for key, labels in table.items()}

    def game(self, draws: Draws, split: Split, *, labels: int) -> Game:
        """A fresh map of `labels` different words to different values of one attribute."""
        attribute: Attribute = draws.choose(("shape", "colour"))
        values = draws.sample(range(len(SHAPES) if attribute == "shape" else len(COLOURS)), labels)
        words: list[str] = []
        for value in values:
            word = draws.choose(self._labels[split, attribute, value])
            while word in words:
                word = draws.choose(self._labels[split, attribute, value])
            words.append(word)
        return Game(attribute, tuple(words), tuple(values))


def label_order(draws: Draws, *, labels: int, turns: int) -> list[int]:
    """Which label each turn shows: each at least twice, the rest at random, in random order."""
    order = [label for label in range(labels) for _ in range(2)]
    order += [draws.below(labels) for _ in range(turns - len(order))]
    return draws.shuffled(order)
