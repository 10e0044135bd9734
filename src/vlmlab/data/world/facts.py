"""Places: names, emblems and facts, and which facts training may ask over pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from vlmlab.data.world.draws import Draws
from vlmlab.data.world.vocabulary import COLOURS, NAME_ENDS, NAME_MIDDLES, NAME_STARTS, PATTERNS, RELATIONS, SIGNS

TEXT_ONLY_SHARE = 0.4
"""Share of facts that no training dialogue asks over a picture: the knowledge benchmark asks these."""
MIN_FLAG_CONTRAST = 120.0
"""Least distance of a flag's two colours in RGB, so that its pattern shows."""


class Emblem(NamedTuple):
    """A flag: indices into PATTERNS and COLOURS."""

    pattern: int
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Entity:
    """A place: its name, its flag, and one value index for each relation."""

    name: str
    emblem: Emblem
    values: tuple[int, ...]

    def value(self, relation: int) -> str:
        """What is true of this place, in a word."""
        return RELATIONS[relation].values[self.values[relation]]


class Pair(NamedTuple):
    """A fact: indices of the entity and of the relation."""

    entity: int
    relation: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All places and the one division of their facts. `told` may be asked over pictures in training; `text_only`
    never are. Each is grouped by relation and value, so that answers can be drawn evenly."""

    entities: tuple[Entity, ...]
    told: tuple[tuple[tuple[Pair, ...], ...], ...]
    text_only: tuple[tuple[tuple[Pair, ...], ...], ...]

    @property
    def told_pairs(self) -> frozenset[Pair]:
        return frozenset(pair for relation in self.told for group in relation for pair in group)

    @property
    def text_only_pairs(self) -> frozenset[Pair]:
        return frozenset(pair for relation in self.text_only for group in relation for pair in group)

    def groups(self, split: str) -> tuple[tuple[tuple[Pair, ...], ...], ...]:
        """Facts that may be asked over pictures of this split: per relation, non-empty groups of one value."""
        return self.told if split == "train" else self.text_only


def build_facts(seed: int, entities: int) -> Facts:
    """Places as a function of the seed: names, emblems, and balanced relations that do not predict each other."""
    draws = Draws(seed, "facts", entities)
    names = _names(draws, entities)
    emblems = _emblems(draws, entities)
    columns: list[list[int]] = []
    for relation in RELATIONS:
        columns.append(_values(draws, entities, num_values=len(relation.values), before=columns))
    places = tuple(Entity(names[i], emblems[i], tuple(column[i] for column in columns)) for i in range(entities))
    told, text_only = [], []
    debt = 0.0
    for relation, spec in enumerate(RELATIONS):
        asked, kept = [], []
        for value in range(len(spec.values)):
            group = draws.shuffled([Pair(i, relation) for i in range(entities) if columns[relation][i] == value])
            debt += TEXT_ONLY_SHARE * len(group)
            held = min(len(group), round(debt))
            debt -= held
            kept.append(tuple(group[:held]))
            asked.append(tuple(group[held:]))
        told.append(tuple(group for group in asked if group))
        text_only.append(tuple(group for group in kept if group))
    assert all(told + text_only), "every relation needs facts on both sides"
    return Facts(places, tuple(told), tuple(text_only))


def _names(draws: Draws, count: int) -> list[str]:
    every = [start + middle + end for start in NAME_STARTS for middle in NAME_MIDDLES for end in NAME_ENDS]
    return draws.sample([name for name in every if name not in SIGNS], count)


def _emblems(draws: Draws, count: int) -> list[Emblem]:
    """Different flags; a flag and its colour-swapped twin only once all other flags are used."""
    once, again = [], []
    for pattern in range(len(PATTERNS)):
        for first in range(len(COLOURS)):
            for second in range(first + 1, len(COLOURS)):
                if math.dist(COLOURS[first].rgb, COLOURS[second].rgb) >= MIN_FLAG_CONTRAST:
                    pair = (first, second) if draws.chance(0.5) else (second, first)
                    once.append(Emblem(pattern, *pair))
                    again.append(Emblem(pattern, *pair[::-1]))
    flags = draws.shuffled(once) + draws.shuffled(again)
    assert len(flags) >= count, "more places than flags"
    return flags[:count]


def _values(draws: Draws, entities: int, *, num_values: int, before: list[list[int]]) -> list[int]:
    """One value index a place, each value equally often, and knowing the columns before says little about it.

    Swaps are kept when they do not raise the number of places that share two values; 40 swaps a place suffice.
    """
    column = draws.shuffled([i % num_values for i in range(entities)])
    tables = [[[0] * num_values for _ in range(num_values)] for _ in before]
    for table, other in zip(tables, before, strict=True):
        for theirs, ours in zip(other, column, strict=True):
            table[theirs][ours] += 1
    for _ in range(40 * entities if before else 0):
        a, b = draws.below(entities), draws.below(entities)
        ours, swapped = column[a], column[b]
        change = 0
        for table, other in zip(tables, before, strict=True):
            first, second = table[other[a]], table[other[b]]
            if first is not second:
                change += 2 * (first[swapped] - first[ours] + 1 + second[ours] - second[swapped] + 1)
        if ours != swapped and change <= 0:
            column[a], column[b] = swapped, ours
            for table, other in zip(tables, before, strict=True):
                table[other[a]][ours] -= 1
                table[other[a]][swapped] += 1
                table[other[b]][swapped] -= 1
                table[other[b]][ours] += 1
    return column
