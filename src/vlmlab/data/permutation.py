"""Permutation: a shuffled order of 0 ... size - 1 that can be asked at any place."""

from __future__ import annotations

from vlmlab.random_streams import stream, stream_seed

MATERIALISED = 5_000_000
"""Largest size that is kept as an array (20 MB)."""

ROUNDS = 4
_MASK = (1 << 64) - 1


class Permutation:
    """A bijection of range(size), a function of (seed, key).

    Up to 5 million places it is numpy's permutation, kept in memory. Beyond, a Feistel network of four rounds over the
    next even power of two, walked until it lands inside: a few microseconds a place and no memory.
    """

    def __init__(self, size: int, seed: int, *key: str | int) -> None:
        assert size >= 1
        self.size = size
        self._order = stream(seed, *key).permutation(size).astype("int32") if size <= MATERIALISED else None
        self._half = ((size - 1).bit_length() + 1) // 2
        self._keys = tuple(stream_seed(seed, *key, "round", number) for number in range(ROUNDS))

    def __getitem__(self, place: int) -> int:
        assert 0 <= place < self.size
        if self._order is not None:
            return int(self._order[place])
        value = self._shuffle(place)
        while value >= self.size:
            value = self._shuffle(value)
        return value

    def _shuffle(self, value: int) -> int:
        mask = (1 << self._half) - 1
        left, right = value >> self._half, value & mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        return left << self._half | right


def _mix(value: int) -> int:
    """SplitMix64's finaliser: every bit of the input changes every bit of the output with probability one half."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
