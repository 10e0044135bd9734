"""Randomness as a function of (seed, purpose, key), never of order or of the number of workers."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(seed: int, *key: str | int) -> int:
    """A 63-bit integer that depends on `seed` and on every part of `key`, equal on every machine and Python."""
    text = "\x1f".join([str(seed), *map(str, key)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def stream(seed: int, *key: str | int) -> np.random.Generator:
    """A fresh generator for one purpose: `stream(seed, "mixture", block)`."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, *key)))
