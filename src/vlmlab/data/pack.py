"""Packing: a stream of examples into steps of rows, conserving every token. Its state is plain integers."""

from __future__ import annotations

from dataclasses import dataclass

from vlmlab.data.encode import Example

HELD = 32
"""Examples that may wait for the next step before this one is closed."""

SHORTEST = 2
"""Positions of the shortest document: the begin token and one to learn."""


@dataclass(frozen=True, slots=True, eq=False)
class Packable:
    """An example with the number of its draw and the source it was drawn from."""

    number: int
    source: str
    example: Example


@dataclass(frozen=True, slots=True)
class PackedStep:
    """The rows of one step, and the numbers of the draws that were held over for the next."""

    rows: list[list[Packable]]
    held: tuple[int, ...]


@dataclass(slots=True)
class _Bin:
    items: list[Packable]
    positions: int = 0
    images: int = 0


class Packer:
    """Fills the rows of one step after the other.

    Each example goes to the fullest row that still takes it (best fit). One that fits nowhere is held over; when 32 are
    held, or no row has room for anything, the step is closed, and the held ones come first in the next, in order of
    their draws. So nothing is lost, nothing starves, and everything follows from (held draws, next draw). Without
    packing every row holds one example.
    """

    def __init__(self, *, rows: int, length: int, images: int, packing: bool) -> None:
        self._length = length
        self._images = images
        self._packing = packing
        self._rows = rows
        self._bins = [_Bin([]) for _ in range(rows)]
        self._held: list[Packable] = []

    @property
    def full(self) -> bool:
        """Whether the step should be closed before anything else is added."""
        if not self._packing:
            return all(row.items for row in self._bins)
        return len(self._held) >= HELD or all(self._length - row.positions < SHORTEST for row in self._bins)

    def add(self, item: Packable) -> None:
        """Place an example, which must fit an empty row."""
        positions, images = len(item.example), len(item.example.images)
        assert positions <= self._length, "examples are fitted before they are packed"
        assert images <= self._images, "documents with too many images are left out before they are packed"
        best: _Bin | None = None
        for row in self._bins:
            if row.items and not self._packing:
                continue
            fits = row.positions + positions <= self._length and row.images + images <= self._images
            if fits and (best is None or row.positions > best.positions):
                best = row
        if best is None:
            self._held.append(item)
            return
        best.items.append(item)
        best.positions += positions
        best.images += images

    def close(self) -> PackedStep:
        """Give out the step and begin the next one with what was held over."""
        step = PackedStep([row.items for row in self._bins if row.items], tuple(item.number for item in self._held))
        waiting, self._held = self._held, []
        self._bins = [_Bin([]) for _ in range(self._rows)]
        for item in waiting:
            self.add(item)
        return step
