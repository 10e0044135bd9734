"""Layout: where the objects, the sign and the flag of a scene stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from vlmlab.data.world.draws import Draws
from vlmlab.data.world.facts import Entity
from vlmlab.data.world.scene import Flag, Kind, Scene, Sign, Split, Thing, split_of
from vlmlab.data.world.vocabulary import COLOURS, MAX_OBJECTS, SHAPES, TINTS
from vlmlab.recipe.source import Scenes

FEWEST_CELLS = 4
"""A grid has at least this many cells, so that place carries information even with one object."""
KINDS: tuple[Kind, ...] = tuple(Kind(shape, colour) for shape in range(len(SHAPES)) for colour in range(len(COLOURS)))
"""All objects."""
MIN_SIDE = 8
"""Pixels of the shorter side of a master render, however extreme its aspect ratio."""


class Cells(NamedTuple):
    """Rows and columns of a grid."""

    rows: int
    columns: int


@lru_cache(maxsize=4096)
def choose_grid(height: int, width: int, slots: int, sign: bool) -> Cells:
    """The grid with the largest cells that has a cell for each slot beside a sign's row.

    A square picture takes 2x2 for up to four slots, then 3x3, 4x4; a wide one takes more columns than rows.
    """
    best: tuple[float, int, int] | None = None
    cells = Cells(2, 2)
    for rows in range(2 if sign else 1, MAX_OBJECTS + 3):
        for columns in range(1, MAX_OBJECTS + 3):
            free = (rows - sign) * columns
            if free < slots or rows * columns < FEWEST_CELLS:
                continue
            score = (min(height / rows, width / columns), -abs(rows - columns), rows * columns)
            if best is None or score > best:
                best, cells = score, Cells(rows, columns)
    return cells


@dataclass(frozen=True, slots=True)
class Contents:
    """What a scene must hold. `aligned`: the first two objects stand next to each other in a row or column."""

    kinds: tuple[Kind, ...]
    word: str | None = None
    place: int | None = None
    aligned: bool = False


def room_for_objects(scenes: Scenes, *, sign: bool, flag: bool) -> tuple[int, int]:
    """Fewest and most objects beside a sign and a flag.

    Few objects give way to them, so that cells stay large; a recipe's lower bound never does.
    """
    low, high = min(scenes.objects[0], MAX_OBJECTS), min(scenes.objects[1], MAX_OBJECTS)
    room = FEWEST_CELLS - 2 * sign - flag
    return low, max(low, min(high, room)) if high <= FEWEST_CELLS else high


def draw_kinds(draws: Draws, count: int) -> tuple[Kind, ...]:
    """Different objects."""
    return tuple([KINDS[cell] for cell in _different(draws, count)])


def _different(draws: Draws, count: int) -> list[int]:
    cells: list[int] = []
    while len(cells) < count:
        cell = draws.below(len(KINDS))
        if cell not in cells:
            cells.append(cell)
    return cells


def arrange(
    draws: Draws, contents: Contents, *, entities: Sequence[Entity], scenes: Scenes, seed: int, split: Split
) -> Scene:
    """A scene of `split` with these contents. Places and tint are drawn again until the scene belongs to the split,
    which is independent of the contents and so leaves the balance of answers alone."""
    while True:
        scene = _place(draws, contents, entities=entities, scenes=scenes)
        if split_of(seed, scene.signature()) == split:
            return scene


def master_size(draws: Draws, scenes: Scenes) -> tuple[int, int]:
    """Pixels (height, width) of a master render; ratios are drawn evenly in their logarithm."""
    low, high = scenes.aspect
    if low == high == 1.0:
        return scenes.master, scenes.master
    aspect = math.exp(draws.number(math.log(low), math.log(high)))
    shorter = max(MIN_SIDE, round(scenes.master * min(aspect, 1 / aspect)))
    return (shorter, scenes.master) if aspect >= 1 else (scenes.master, shorter)


def _place(draws: Draws, contents: Contents, *, entities: Sequence[Entity], scenes: Scenes) -> Scene:
    height, width = master_size(draws, scenes)
    sign_wanted = contents.word is not None
    slots = len(contents.kinds) + (contents.place is not None)
    rows, columns = choose_grid(height, width, max(slots, 1), sign_wanted)
    sign = None
    if contents.word is not None:
        glyph = draws.number(*scenes.glyph)
        row = draws.below(rows) if columns > 1 else draws.choose((0, rows - 1))
        sign = Sign(contents.word, row, glyph, draws.offset(scenes.jitter))
    blocked = -1 if sign is None else sign.row
    cells = _free_cells(rows, columns, blocked)
    chosen: list[tuple[int, int]] = []
    if contents.aligned:
        chosen = draws.choose(_pairs(rows, columns, blocked))
        if draws.chance(0.5):
            chosen = chosen[::-1]
        cells = tuple(cell for cell in cells if cell not in chosen)
    chosen = chosen + draws.sample(cells, slots - len(chosen))
    flag = None
    if contents.place is not None:
        row, column = chosen.pop()
        flag = Flag(contents.place, entities[contents.place].emblem, row, column, draws.offset(scenes.jitter))
    things = [
        Thing(kind.shape, kind.colour, draws.chance(0.5), cell[0], cell[1], draws.offset(scenes.jitter))
        for kind, cell in zip(contents.kinds, chosen, strict=True)
    ]
    if len(things) > 1:
        things.sort(key=_reading_order)
    return Scene(
        height, width, rows, columns, draws.below(len(TINTS)), draws.below(4), tuple(things), sign=sign, flag=flag
    )


def _reading_order(thing: Thing) -> tuple[int, int]:
    return thing.row, thing.column


@lru_cache(maxsize=1024)
def _free_cells(rows: int, columns: int, blocked: int) -> tuple[tuple[int, int], ...]:
    """Cells outside the sign's row."""
    return tuple((row, column) for row in range(rows) if row != blocked for column in range(columns))


@lru_cache(maxsize=1024)
def _pairs(rows: int, columns: int, blocked: int) -> list[list[tuple[int, int]]]:
    """Neighbouring cells outside the sign's row."""
    free = _free_cells(rows, columns, blocked)
    pairs = [
        [cell, other] for cell in free for other in ((cell[0] + 1, cell[1]), (cell[0], cell[1] + 1)) if other in free
    ]
    assert pairs, "no two neighbouring cells"
    return pairs
