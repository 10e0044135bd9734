"""The oracle reader: what can be read from a picture at the resolution that a recipe gives its model.

It knows how the world draws, but not exactly where things stand nor each pixel's exact value. For each thing that an
item asks to be seen it renders the scene with every value that the thing could have, shrinks all of them as the recipe
does, and takes the nearest to what it sees. An item is legible if it always takes the true value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
from PIL import Image

from vlmlab.data.world.benchmarks import Posed
from vlmlab.data.world.content import Content
from vlmlab.data.world.questions import Slot
from vlmlab.data.world.render import render
from vlmlab.data.world.scene import Scene
from vlmlab.data.world.vocabulary import COLOURS, SHAPES
from vlmlab.random_streams import stream
from vlmlab.recipe.image import ImagePolicy

MISALIGNMENT = 0.5
"""Pixels of the view by which the reader is wrong about where things stand, down and to the right."""
NOISE = 12.0
"""Standard deviation, in grey levels of the view, of what the reader sees around what is there."""


@dataclass(frozen=True, slots=True)
class Legibility:
    """What the oracle read of a benchmark: how many items, and the ids of those that it got wrong."""

    items: int
    illegible: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of items that are legible, 0 to 1."""
        return 1.0 - len(self.illegible) / self.items if self.items else 0.0


def read_benchmark(posed: Sequence[Posed], content: Content, image: ImagePolicy) -> Legibility:
    """Read every item that shows a picture. Items without a picture count as legible."""
    illegible = [item.item.id for item in posed if item.scene is not None and not _legible(item, content, image)]
    return Legibility(len(posed), tuple(illegible))


def _legible(posed: Posed, content: Content, image: ImagePolicy) -> bool:
    assert posed.scene is not None
    truth = render(posed.scene)
    shift = MISALIGNMENT * max(truth.shape[:2]) / image.side
    seen = [view(moved(truth, by), image) for by in (shift, -shift)]
    noise = stream(content.seed, "oracle", posed.item.id).normal(0.0, NOISE, seen[0].shape).astype(np.float32)
    seen = [one + noise for one in seen]
    return all(_reads(posed.scene, slot, seen, content, image) for slot in posed.slots)


def _reads(scene: Scene, slot: Slot, seen: list[np.ndarray], content: Content, image: ImagePolicy) -> bool:
    others = [view(render(other), image) for other in other_scenes(scene, slot, content)]
    mine = view(render(scene), image)
    for one in seen:
        distance = float(np.square(one - mine).sum())
        if any(float(np.square(one - other).sum()) <= distance for other in others):
            return False
    return True


def view(pixels: np.ndarray, image: ImagePolicy) -> np.ndarray:
    """The picture at the recipe's resolution, float32; padding is left out, for there is nothing to read in it."""
    height, width = pixels.shape[:2]
    match image.policy:
        case "square":
            size = (image.side, image.side)
        case "pad" | "keep":
            scale = image.side / max(height, width)
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
        case _:
            assert_never(image.policy)
    how = Image.Resampling.BICUBIC if image.interpolation == "bicubic" else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize(size, how), dtype=np.float32)


def moved(pixels: np.ndarray, by: float) -> np.ndarray:
    """The picture shifted down and to the right by `by` of its pixels, its edges repeated.

    >>> line = np.array([[10, 20, 30]], np.uint8)
    >>> moved(line, 1.0).tolist(), moved(line, -0.5).tolist()
    ([[10, 10, 20]], [[15, 25, 30]])
    """
    whole = math.floor(by)
    near, far = _rolled(pixels, whole), _rolled(pixels, whole + 1)
    rest = by - whole
    return np.rint(near * (1 - rest) + far * rest).astype(np.uint8)


def _rolled(pixels: np.ndarray, by: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    rows = np.clip(np.arange(height) - by, 0, height - 1)
    columns = np.clip(np.arange(width) - by, 0, width - 1)
    return pixels[rows][:, columns]


def other_scenes(scene: Scene, slot: Slot, content: Content) -> list[Scene]:
    """The scene with every other value that the slot could have."""
    match slot.what:
        case "shape":
            mine = scene.things[slot.index].shape
            return [_with_thing(scene, slot.index, shape=shape) for shape in range(len(SHAPES)) if shape != mine]
        case "colour":
            mine = scene.things[slot.index].colour
            return [_with_thing(scene, slot.index, colour=colour) for colour in range(len(COLOURS)) if colour != mine]
        case "word":
            assert scene.sign is not None
            sign = scene.sign
            return [replace(scene, sign=sign._replace(word=word)) for word in content.words if word != sign.word]
        case "place":
            assert scene.flag is not None
            flag = scene.flag
            places = enumerate(content.facts.entities)
            return [
                replace(scene, flag=flag._replace(entity=number, emblem=place.emblem))
                for number, place in places
                if number != flag.entity
            ]
        case _:
            assert_never(slot.what)


def _with_thing(scene: Scene, index: int, *, shape: int | None = None, colour: int | None = None) -> Scene:
    thing = scene.things[index]
    changed = thing._replace(
        shape=thing.shape if shape is None else shape, colour=thing.colour if colour is None else colour
    )
    return replace(scene, things=(*scene.things[:index], changed, *scene.things[index + 1 :]))
