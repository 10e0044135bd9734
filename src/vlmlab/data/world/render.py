"""Render: a scene or a page to pixels. Masks are cached, so that 96 x 96 pixels take about 0.1 ms."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vlmlab.data.world.cloth import flag_cloth, shape_mask
from vlmlab.data.world.glyphs import line_mask, natural_width
from vlmlab.data.world.scene import Flag, Page, Scene, Sign, Thing
from vlmlab.data.world.vocabulary import COLOURS, TINTS

SMALL, LARGE = 0.64, 0.86
"""Sides of small and large objects as shares of a cell's shorter side."""
FLAG_WIDTH, FLAG_HEIGHT = 0.92, 0.70
"""Sides of a flag as shares of a cell's shorter side."""
BOARD_PADDING = 0.22
"""Light margin around a sign's letters, as a share of their height."""
SHADING = 9.0
"""Grey levels by which the background falls off from one edge to the other, in either direction from its tint."""
INK, PAPER, BOARD_EDGE = (22, 22, 26), (244, 240, 228), (95, 85, 75)
LARGEST_CACHED = 128 * 128


def _ground(tint: int, shading: int, height: int, width: int) -> np.ndarray:
    down, right = ((1, 0), (-1, 0), (0, 1), (0, -1))[shading]
    slope = down * np.linspace(-1, 1, height)[:, None] + right * np.linspace(-1, 1, width)[None, :]
    ground = np.array(TINTS[tint])[None, None, :] + SHADING * slope[:, :, None]
    return np.rint(ground).astype(np.uint8)


_cached_ground = lru_cache(maxsize=256)(_ground)


@lru_cache(maxsize=1024)
def _paint(shape: int, colour: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """What stays of the ground (0 to 256) and what paint adds: uint16."""
    mask = shape_mask(shape, pixels)
    return np.uint16(256) - mask, mask * np.array(COLOURS[colour].rgb, np.uint16)


@lru_cache(maxsize=2048)
def _board(word: str, height: int, width: int, padding: int) -> np.ndarray:
    """A light board with a thin edge and dark letters of `height` x `width` pixels in all: uint8."""
    mask = line_mask(word, height, width)
    board = np.empty((height + 2 * padding, width + 2 * padding, 3), np.uint8)
    board[:] = BOARD_EDGE
    edge = max(1, padding // 5)
    board[edge:-edge, edge:-edge] = PAPER
    inside = board[padding:-padding, padding:-padding]
    inside[:] = (inside * (np.uint16(256) - mask) + mask * np.array(INK, np.uint16)) >> 8
    return board


def _corner(centre: float, room: float, side: int, offset: float, limit: int) -> int:
    """First pixel of a thing of `side` pixels around `centre`, shifted within its room, never outside the picture."""
    free = max(0.0, (room - side) / 2)
    return min(max(0, round(centre - side / 2 + 0.9 * offset * free)), limit - side)


class _Placer:
    """Pixel places in the grid of one scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.cell_height, self.cell_width = scene.height / scene.rows, scene.width / scene.columns
        self.cell = min(self.cell_height, self.cell_width)

    def corner(self, row: int, column: int, sides: tuple[int, int], offset: tuple[float, float]) -> tuple[int, int]:
        top = _corner((row + 0.5) * self.cell_height, self.cell_height, sides[0], offset[0], self.scene.height)
        left = _corner((column + 0.5) * self.cell_width, self.cell_width, sides[1], offset[1], self.scene.width)
        return top, left


def render(scene: Scene) -> np.ndarray:
    """The master render: uint8 (scene.height, scene.width, 3)."""
    if scene.height * scene.width <= LARGEST_CACHED:
        canvas = _cached_ground(scene.tint, scene.shading, scene.height, scene.width).copy()
    else:
        canvas = _ground(scene.tint, scene.shading, scene.height, scene.width)
    placer = _Placer(scene)
    for thing in scene.things:
        _draw_thing(canvas, thing, placer)
    if scene.sign is not None:
        _draw_sign(canvas, scene.sign, placer)
    if scene.flag is not None:
        _draw_flag(canvas, scene.flag, placer)
    return canvas


def _draw_thing(canvas: np.ndarray, thing: Thing, placer: _Placer) -> None:
    side = max(1, round((LARGE if thing.large else SMALL) * placer.cell))
    keep, add = _paint(thing.shape, thing.colour, side)
    top, left = placer.corner(thing.row, thing.column, (side, side), thing.offset)
    region = canvas[top : top + side, left : left + side]
    region[:] = (region * keep + add) >> 8


def glyph_height(scene: Scene, sign: Sign) -> int:
    """Pixels of the sign's letters in the master render: the share that the sign asks for, or what fits its row."""
    fits = 0.94 * scene.height / scene.rows / (1 + 2 * BOARD_PADDING)
    return max(3, round(min(sign.glyph * min(scene.height, scene.width), fits)))


def _draw_sign(canvas: np.ndarray, sign: Sign, placer: _Placer) -> None:
    scene = placer.scene
    glyph = glyph_height(scene, sign)
    padding = max(1, round(BOARD_PADDING * glyph))
    width = max(len(sign.word), min(natural_width(len(sign.word), glyph), round(0.98 * scene.width) - 2 * padding))
    board = _board(sign.word, glyph, width, padding)
    board = board[: scene.height, : scene.width]
    sides = (board.shape[0], board.shape[1])
    top = _corner((sign.row + 0.5) * placer.cell_height, placer.cell_height, sides[0], sign.offset[0], scene.height)
    left = _corner(scene.width / 2, scene.width, sides[1], sign.offset[1], scene.width)
    canvas[top : top + sides[0], left : left + sides[1]] = board


def _draw_flag(canvas: np.ndarray, flag: Flag, placer: _Placer) -> None:
    sides = (max(3, round(FLAG_HEIGHT * placer.cell)), max(3, round(FLAG_WIDTH * placer.cell)))
    top, left = placer.corner(flag.row, flag.column, sides, flag.offset)
    canvas[top : top + sides[0], left : left + sides[1]] = flag_cloth(flag.emblem, *sides)


def render_page(page: Page) -> np.ndarray:
    """Printed lines, centred from top to bottom and starting at the left margin: uint8 (page.height, page.width, 3)."""
    paper, ink = (INK, PAPER) if page.light_on_dark else (PAPER, INK)
    tint = np.array(TINTS[page.tint], np.int32)
    canvas = np.empty((page.height, page.width, 3), np.uint8)
    canvas[:] = (3 * np.array(paper, np.int32) + tint) // 4
    step = page.height / len(page.lines)
    for number, line in enumerate(page.lines):
        width = min(page.letter * len(line), page.width)
        height = min(page.glyph, page.height)
        mask = line_mask(line, height, width)
        top = min(max(0, round((number + 0.5) * step - height / 2)), page.height - height)
        left = min(round(0.04 * page.width), page.width - width)
        region = canvas[top : top + height, left : left + width]
        region[:] = (region * (np.uint16(256) - mask) + mask * np.array(ink, np.uint16)) >> 8
    return canvas
