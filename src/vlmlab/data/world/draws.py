"""Draws: the many small choices behind one row, from one seed, equal on every Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar, final

from vlmlab.random_streams import stream_seed

Value = TypeVar("Value")


@final
class Draws:
    """Choices for one purpose: `Draws(seed, "row", "train", "captions", 17)`.

    Built on `random.Random.random` alone, whose sequence Python promises not to change (those of `choice` and
    `shuffle` it does not), and several times cheaper to make than a numpy generator.
    """

    __slots__ = ("_next",)

    def __init__(self, seed: int, *key: str | int) -> None:
        self._next = random.Random(stream_seed(seed, *key)).random

    def below(self, limit: int) -> int:
        """An integer from 0 to limit - 1."""
        return int(self._next() * limit)

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._next() * (high - low + 1))

    def number(self, low: float, high: float) -> float:
        """A number from low to high."""
        return low + (high - low) * self._next()

    def offset(self, reach: float) -> tuple[float, float]:
        """Two numbers from -reach to reach."""
        draw = self._next
        return reach * (2 * draw() - 1), reach * (2 * draw() - 1)

    def chance(self, share: float) -> bool:
        """True in this share of draws."""
        return self._next() < share

    def choose(self, values: Sequence[Value]) -> Value:
        """One of the values, all equally likely."""
        return values[int(self._next() * len(values))]

    def pick(self, shares: Sequence[tuple[Value, float]]) -> Value:
        """One of the values, likely in proportion to its share; the shares add up to 1."""
        rest = self._next()
        for value, share in shares:
            rest -= share
            if rest < 0:
                return value
        return shares[-1][0]

    def sample(self, values: Sequence[Value], count: int) -> list[Value]:
        """`count` different places of `values`, in random order."""
        pool, draw = list(values), self._next
        size = len(pool)
        for place in range(count):
            other = place + int(draw() * (size - place))
            pool[place], pool[other] = pool[other], pool[place]
        return pool[:count]

    def shuffled(self, values: Sequence[Value]) -> list[Value]:
        """All values in random order."""
        return self.sample(values, len(values))
