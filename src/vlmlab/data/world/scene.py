"""Scene: what a picture shows, as plain values; and which split a scene belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np

from vlmlab.data.world.facts import Emblem

Split = Literal["train", "test"]

TEST_SHARE = 0.2
"""Share of all possible scenes that only the test split may show."""


class Kind(NamedTuple):
    """What an object is: indices into SHAPES and COLOURS."""

    shape: int
    colour: int


class Thing(NamedTuple):
    """An object in a cell. The offset is in shares of the free room around it, -1 to 1."""

    shape: int
    colour: int
    large: bool
    row: int
    column: int
    offset: tuple[float, float]


class Sign(NamedTuple):
    """A board over a whole row of cells. `glyph` is the height of its letters as a share of the shorter side."""

    word: str
    row: int
    glyph: float
    offset: tuple[float, float]


class Flag(NamedTuple):
    """The emblem of place number `entity` in a cell."""

    entity: int
    emblem: Emblem
    row: int
    column: int
    offset: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture: `height` x `width` pixels of the master render, a grid of cells, things in reading order."""

    height: int
    width: int
    rows: int
    columns: int
    tint: int
    shading: int
    things: tuple[Thing, ...]
    sign: Sign | None = None
    flag: Flag | None = None

    def signature(self) -> str:
        """What makes two scenes the same for a reader: everything but sizes, offsets and shading."""
        things = ";".join([f"{thing[0]},{thing[1]},{thing[3]},{thing[4]}" for thing in self.things])
        sign = f"{self.sign.word},{self.sign.row}" if self.sign else ""
        flag = f"{self.flag.entity},{self.flag.row},{self.flag.column}" if self.flag else ""
        return f"{self.rows}x{self.columns}|{self.tint}|{things}|{sign}|{flag}"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of printed words: `letter` x `glyph` pixels (width, height) a letter."""

    height: int
    width: int
    lines: tuple[str, ...]
    letter: int
    glyph: int
    tint: int
    light_on_dark: bool

    @property
    def text(self) -> str:
        return " ".join(self.lines)

    def signature(self) -> str:
        """The text and the ground it is printed on."""
        return f"page|{self.text}|{self.tint}|{self.light_on_dark}"


def split_of(seed: int, signature: str) -> Split:
    """The only split of world `seed` that may show a scene with this signature."""
    value = int.from_bytes(blake2b(f"{seed}|{signature}".encode(), digest_size=4).digest(), "little")
    return "test" if value < TEST_SHARE * 2**32 else "train"


class Adjacent(NamedTuple):
    """Object `other` is next to object `thing` (indices into Scene.things) in direction DIRECTIONS[direction]."""

    thing: int
    direction: int
    other: int


@lru_cache(maxsize=64)
def adjacent(scene: Scene) -> tuple[Adjacent, ...]:
    """Objects that are nearest neighbours in a row or column of cells, with nothing between them."""
    taken: dict[tuple[int, int], int] = {(thing.row, thing.column): index for index, thing in enumerate(scene.things)}
    if scene.flag is not None:
        taken[scene.flag.row, scene.flag.column] = -1
    if scene.sign is not None:
        taken |= {(scene.sign.row, column): -1 for column in range(scene.columns)}
    found = []
    for index, thing in enumerate(scene.things):
        for direction, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
            row, column = thing.row + down, thing.column + right
            while 0 <= row < scene.rows and 0 <= column < scene.columns:
                other = taken.get((row, column))
                if other is not None:
                    if other >= 0:
                        found.append(Adjacent(index, direction, other))
                    break
                row, column = row + down, column + right
    return tuple(found)


@dataclass(frozen=True, slots=True)
class ScenePicture:
    """A Picture that is rendered when its pixels are asked for."""

    key: str
    scene: Scene

    def pixels(self) -> np.ndarray:
        """uint8, (scene.height, scene.width, 3)."""
        from vlmlab.data.world.render import render

        return render(self.scene)


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A Picture of printed words."""

    key: str
    page: Page

    def pixels(self) -> np.ndarray:
        """uint8, (page.height, page.width, 3)."""
        from vlmlab.data.world.render import render_page

        return render_page(self.page)
