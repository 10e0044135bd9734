"""Masks of shapes and flags at any size, drawn large and shrunk."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vlmlab.data.world.facts import Emblem
from vlmlab.data.world.glyphs import coverage
from vlmlab.data.world.vocabulary import COLOURS, PATTERNS, SHAPES

OVERSAMPLING = 6
FLAG_BORDER = (35, 35, 35)


def _inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points of the square from -1 to 1 (y downwards) a shape covers."""
    radius = np.hypot(x, y)
    match shape:
        case "circle":
            return radius <= 0.98
        case "square":
            return np.maximum(np.abs(x), np.abs(y)) <= 0.86
        case "triangle":
            return (y <= 0.84) & (abs(x) <= 0.56 * (y + 0.92))
        case "star":
            angle = np.mod(np.arctan2(x, -y), 2 * np.pi / 5) - np.pi / 5
            inner = 0.36
            # The edge of a five-pointed star from the tip (radius 1 at 36 degrees) to the notch (radius 0.36 at 0).
            across, along = radius * np.abs(np.sin(angle)), radius * np.cos(angle)
            tip_across, tip_along = np.sin(np.pi / 5), np.cos(np.pi / 5)
            return (along - inner) * tip_across <= across * (tip_along - inner)
        case "diamond":
            return abs(x) / 0.72 + abs(y) <= 0.99
        case "cross":
            return ((abs(x) <= 0.29) & (abs(y) <= 0.94)) | ((abs(y) <= 0.29) & (abs(x) <= 0.94))
        case "ring":
            return (radius <= 0.98) & (radius >= 0.55)
        case "heart":
            u, v = 1.22 * x, -1.22 * y + 0.12
            return (u * u + v * v - 1) ** 3 - u * u * v**3 <= 0
        case _:
            raise AssertionError(shape)


def _points(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    x = (np.arange(width * OVERSAMPLING) + 0.5) / (width * OVERSAMPLING) * 2 - 1
    y = (np.arange(height * OVERSAMPLING) + 0.5) / (height * OVERSAMPLING) * 2 - 1
    return np.broadcast_to(x[None, :], (y.size, x.size)), np.broadcast_to(y[:, None], (y.size, x.size))


@lru_cache(maxsize=1024)
def shape_mask(shape: int, pixels: int) -> np.ndarray:
    """Coverage of SHAPES[shape] in a box of `pixels` x `pixels`: uint16 (pixels, pixels, 1), 0 to 256."""
    x, y = _points(pixels, pixels)
    return coverage(_inside(SHAPES[shape], x, y), pixels, pixels)


def _second(pattern: str, x: np.ndarray, y: np.ndarray, ratio: float) -> np.ndarray:
    """Which points of a flag's cloth have its second colour; x and y from -1 to 1, `ratio` is width / height."""
    match pattern:
        case "halves_across":
            return y > 0
        case "halves_down":
            return x > 0
        case "stripe_across":
            return abs(y) <= 0.36
        case "stripe_down":
            return abs(x) <= 0.36
        case "disc":
            return np.hypot(x * ratio, y) <= 0.62
        case "cross":
            return (abs(x) * ratio <= 0.24) | (abs(y) <= 0.24)
        case "saltire":
            return (abs(x - y) <= 0.34) | (abs(x + y) <= 0.34)
        case "quarters":
            return x * y > 0
        case "corner":
            return y > x
        case "frame":
            return (abs(x) * ratio >= ratio - 0.42) | (abs(y) >= 0.58)
        case "wedge":
            return x + 1 <= 1.2 * (1 - abs(y))
        case _:
            raise AssertionError(pattern)


@lru_cache(maxsize=2048)
def flag_cloth(emblem: Emblem, height: int, width: int) -> np.ndarray:
    """A flag with a thin dark border: uint8 (height, width, 3)."""
    x, y = _points(height, width)
    ink = coverage(_second(PATTERNS[emblem.pattern], x, y, width / height), height, width).astype(np.int32)
    first, second = np.array(COLOURS[emblem.first].rgb), np.array(COLOURS[emblem.second].rgb)
    cloth = ((first * (256 - ink) + second * ink) >> 8).astype(np.uint8)
    border = max(1, height // 24)
    cloth[:border] = cloth[-border:] = FLAG_BORDER
    cloth[:, :border] = cloth[:, -border:] = FLAG_BORDER
    return cloth
