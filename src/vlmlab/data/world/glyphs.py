"""Letters: a capital alphabet of 5 x 7 dots, enlarged to any size. Our own drawing, equal on every machine."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

DOTS_WIDE, DOTS_HIGH = 5, 7

_ALPHABET = """
a .###. #...# #...# ##### #...# #...# #...#
b ####. #...# #...# ####. #...# #...# ####.
c .#### #.... #.... #.... #.... #.... .####
d ####. #...# #...# #...# #...# #...# ####.
e ##### #.... #.... ####. #.... #.... #####
f ##### #.... #.... ####. #.... #.... #....
g .#### #.... #.... #..## #...# #...# .####
h #...# #...# #...# ##### #...# #...# #...#
i ##### ..#.. ..#.. ..#.. ..#.. ..#.. #####
j ..### ...#. ...#. ...#. ...#. #..#. .##..
k #...# #..#. #.#.. ##... #.#.. #..#. #...#
l #.... #.... #.... #.... #.... #.... #####
m #...# ##.## #.#.# #.#.# #...# #...# #...#
n #...# ##..# ##..# #.#.# #..## #..## #...#
o .###. #...# #...# #...# #...# #...# .###.
p ####. #...# #...# ####. #.... #.... #....
q .###. #...# #...# #...# #.#.# #..#. .##.#
r ####. #...# #...# ####. #.#.. #..#. #...#
s .#### #.... #.... .###. ....# ....# ####.
t ##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#..
u #...# #...# #...# #...# #...# #...# .###.
v #...# #...# #...# #...# #...# .#.#. ..#..
w #...# #...# #...# #.#.# #.#.# ##.## #...#
x #...# #...# .#.#. ..#.. .#.#. #...# #...#
y #...# #...# .#.#. ..#.. ..#.. ..#.. ..#..
z ##### ....# ...#. ..#.. .#... #.... #####
"""

LETTERS: dict[str, np.ndarray] = {
    line[0]: np.array([[dot == "#" for dot in row] for row in line[2:].split()], dtype=np.uint8)
    for line in _ALPHABET.strip().splitlines()
}


def natural_width(characters: int, glyph: int) -> int:
    """Pixels of a line of so many characters with letters `glyph` pixels high: letters five dots, gaps one dot."""
    return round(glyph * ((DOTS_WIDE + 1) * characters - 1) / DOTS_HIGH)


@lru_cache(maxsize=4096)
def line_mask(text: str, height: int, width: int) -> np.ndarray:
    """Ink of a line of letters and spaces filling the box: uint16 (height, width, 1), 0 to 256."""
    columns = [np.zeros((DOTS_HIGH, 1), np.uint8)] * (2 * len(text) - 1)
    columns[::2] = [LETTERS[letter] if letter != " " else np.zeros((DOTS_HIGH, DOTS_WIDE), np.uint8) for letter in text]
    dots = np.concatenate(columns, axis=1).repeat(12, axis=0).repeat(12, axis=1)
    return coverage(dots > 0, height, width)


def coverage(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A large boolean mask shrunk to a box: uint16 (height, width, 1), 0 (outside) to 256 (covered)."""
    small = Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).resize((width, height), Image.Resampling.BOX)
    ink = np.asarray(small, dtype=np.uint16)
    return (ink + (ink > 127))[:, :, None]
