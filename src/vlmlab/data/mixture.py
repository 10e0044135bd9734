"""Mixture: which sample of which source is the n-th draw of a stage; a function of n, not of what came before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

from vlmlab.data.permutation import Permutation
from vlmlab.errors import DataError
from vlmlab.random_streams import stream

BLOCK = 1024
"""Draws within which the proportions are exact to one draw a source."""

CACHED_BLOCKS = 4
CACHED_PERMUTATIONS = 4


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw: a source, an index into it, and how often the source was read through before."""

    source: str
    index: int
    epoch: int


@dataclass(frozen=True, slots=True)
class _Block:
    source: np.ndarray
    """Source number of each draw of the block."""
    ordinal: np.ndarray
    """How many draws of that source precede it in the stage."""


class Mixture:
    """Draws from several sources in exact proportions.

    Weights become whole quotas of each block of 1024 draws by largest remainders, and what rounding leaves over is
    carried into the next block, so that the counts do not drift from the shares. Inside a block the order is permuted.
    Each source is read in a new permutation every epoch (see `Permutation` for sources of more than 5 million samples).
    `weights` need not sum to one; sources of weight 0 are left out.
    """

    def __init__(self, weights: Mapping[str, float], sizes: Mapping[str, int], *, seed: int, purpose: str) -> None:
        for name, weight in weights.items():
            if weight < 0:
                raise DataError(f"mixture.{name}", f"weight is {weight}; weights must be zero or positive")
        self.names = tuple(name for name, weight in weights.items() if weight > 0)
        if not self.names:
            raise DataError("mixture", "all weights are zero; at least one must be positive")
        for name in self.names:
            if sizes[name] < 1:
                raise DataError(f"mixture.{name}", "the source is empty; expected at least one sample")
        self._sizes = tuple(sizes[name] for name in self.names)
        self._seed = seed
        self._purpose = purpose
        # Written as decimals and brought to one denominator, so that 0.1 is a tenth and no error accumulates.
        shares = [Fraction(repr(float(weights[name]))) for name in self.names]
        scale = lcm(*(share.denominator for share in shares))
        self._parts = tuple(int(share * scale) for share in shares)
        self._whole = sum(self._parts)
        self._owed = [0] * len(self.names)
        self._before: list[tuple[int, ...]] = [(0,) * len(self.names)]
        self._blocks: dict[int, _Block] = {}
        self._permutations: dict[tuple[int, int], Permutation] = {}

    def draw(self, n: int) -> Draw:
        """The n-th draw, n = 0, 1, 2, ...; independent of the order of calls."""
        block = self._block(n // BLOCK)
        number = int(block.source[n % BLOCK])
        epoch, place = divmod(int(block.ordinal[n % BLOCK]), self._sizes[number])
        return Draw(source=self.names[number], index=self._permutation(number, epoch)[place], epoch=epoch)

    def quotas(self, block: int) -> dict[str, int]:
        """Draws of each source in a block."""
        self._advance(block + 1)
        return {
            name: after - before
            for name, before, after in zip(self.names, self._before[block], self._before[block + 1], strict=True)
        }

    def _advance(self, blocks: int) -> None:
        """Extend the running counts; a block costs a few integer operations a source."""
        while len(self._before) <= blocks:
            owed = [left + BLOCK * part for left, part in zip(self._owed, self._parts, strict=True)]
            counts = [max(0, value // self._whole) for value in owed]
            rest = [value - count * self._whole for value, count in zip(owed, counts, strict=True)]
            order = sorted(range(len(rest)), key=lambda i: (-rest[i], i))
            short = BLOCK - sum(counts)
            for i in order[: max(0, short)]:
                counts[i] += 1
            # Very small weights may be ahead of their share; then others wait for them.
            for i in [i for i in reversed(order) if counts[i] > 0][: max(0, -short)]:
                counts[i] -= 1
            assert sum(counts) == BLOCK
            self._owed = [value - count * self._whole for value, count in zip(owed, counts, strict=True)]
            self._before.append(tuple(had + count for had, count in zip(self._before[-1], counts, strict=True)))

    def _block(self, number: int) -> _Block:
        known = self._blocks.get(number)
        if known is not None:
            return known
        counts = list(self.quotas(number).values())
        source = stream(self._seed, self._purpose, "order", number).permutation(
            np.repeat(np.arange(len(counts)), counts)
        )
        ordinal = np.empty(BLOCK, dtype=np.int64)
        for i, before in enumerate(self._before[number]):
            ordinal[source == i] = before + np.arange(counts[i])
        if len(self._blocks) >= CACHED_BLOCKS:
            self._blocks.pop(next(iter(self._blocks)))
        self._blocks[number] = _Block(source=source, ordinal=ordinal)
        return self._blocks[number]

    def _permutation(self, number: int, epoch: int) -> Permutation:
        known = self._permutations.get((number, epoch))
        if known is not None:
            return known
        if len(self._permutations) >= CACHED_PERMUTATIONS * len(self.names):
            self._permutations.pop(next(iter(self._permutations)))
        made = Permutation(self._sizes[number], self._seed, self._purpose, "epoch", self.names[number], epoch)
        self._permutations[number, epoch] = made
        return made
