"""LookRecord: what `vlmlab look` knows about one sample, as plain JSON data."""

from __future__ import annotations

from typing import Literal

from vlmlab.records.run import Record

Kind = Literal["text", "special", "visual", "mark", "padding"]


class PartRecord(Record):
    """One part of the document. `text` for a text, `image` (a number into `images`) for an image."""

    text: str | None
    image: int | None
    learn: bool


class PictureRecord(Record):
    """One image: as decoded, and as the vision backbone sees it before normalisation. Sizes are (height, width)."""

    key: str
    size: tuple[int, int]
    image: str
    """data: URI of the decoded image, shrunk where it is large."""
    view_size: tuple[int, int]
    view: str
    """data: URI of the view."""
    grid: tuple[int, int]
    visual_tokens: int


class TokenRecord(Record):
    """One position of the packed row, read back from the batch."""

    position: int
    place: int
    """Position within its document, as the language model counts it."""
    segment: int
    """1, 2, ... by document; 0 is padding."""
    id: int
    text: str
    kind: Kind
    image: int | None
    """Number of the row's image that this visual position belongs to."""
    learned: bool
    """Whether the token is a target of the loss."""
    target: int | None
    """The token to be predicted from here."""


class PackedRecord(Record):
    """One document of the packed row."""

    key: str
    source: str
    segment: int
    start: int
    length: int
    learned: int
    visual: int
    images: int


class LookRecord(Record):
    """A sample at every stage of its way: document, encoded example, packed row."""

    recipe: str
    stage: str
    objective: str
    source: str
    index: int
    draw: int | None
    """Number of the draw in the stage's mixture; null where the sample was asked for by source or key."""
    epoch: int | None
    key: str
    refused: str | None
    """Why training does not use the sample; it is then in no row."""
    document: list[PartRecord]
    images: list[PictureRecord]
    positions: int
    """Positions of the encoded document, before it is cut."""
    kept: int
    """Positions that are left of it in the row."""
    length: int
    """Positions of a row."""
    segment: int
    """The segment of this sample in `tokens`; 0 where it was refused."""
    row: list[PackedRecord]
    tokens: list[TokenRecord]
