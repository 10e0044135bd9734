"""Document: captions, interleaved pages, dialogues, plain text and few-shot prompts are one type.

An ordered list of parts, each text or image, each marked "learn" or "given". Training data and evaluation prompts
pass the same encoder, so that a difference between them cannot exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


class Picture(Protocol):
    """Where the pixels of one image come from. Cheap to hold; decoded late, in a worker."""

    @property
    def key(self) -> str:
        """A name that is equal for equal pixels within a run: features are cached under it."""
        ...

    def pixels(self) -> np.ndarray:
        """The decoded image: uint8, shape (height, width, 3), RGB. Raises DataError naming the key."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A run of text. `learn` says whether its tokens are targets of the loss."""

    text: str
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Image:
    """An image at this place of the document. Its visual tokens are never targets."""

    picture: Picture


Part = Text | Image


@dataclass(frozen=True, slots=True)
class Document:
    """One sample. `complete` is False for prompts: an incomplete document gets no end token, so it can be continued."""

    key: str
    parts: tuple[Part, ...]
    complete: bool = True

    @property
    def images(self) -> tuple[Image, ...]:
        """The images, in reading order."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def text(self) -> str:
        """The text with `<image>` where an image stands; for people, never for the tokenizer."""
        return "".join(part.text if isinstance(part, Text) else "<image>" for part in self.parts)


@dataclass(frozen=True, slots=True)
class ArrayPicture:
    """Pixels that are already decoded: uint8 (height, width, 3)."""

    key: str
    array: np.ndarray

    def pixels(self) -> np.ndarray:
        return self.array


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """JPEG, PNG or WebP bytes."""

    key: str
    data: bytes

    def pixels(self) -> np.ndarray:
        from vlmlab.data.decode import decode

        return decode(self.data, key=self.key)


@dataclass(frozen=True, slots=True)
class FilePicture:
    """An image file, read when its pixels are asked for."""

    key: str
    path: Path

    def pixels(self) -> np.ndarray:
        from vlmlab.data.decode import decode
        from vlmlab.errors import DataError

        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise DataError(self.key, f"image file {self.path} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise DataError(self.key, f"image file {str(self.path)!r} has an impossible name ({error})") from error
        return decode(data, key=self.key)


@dataclass(frozen=True, slots=True)
class GreyPicture:
    """The blank-image control: the picture it stands for, with every pixel at mean grey (128)."""

    of: Picture

    @property
    def key(self) -> str:
        return f"{self.of.key}#grey"

    def pixels(self) -> np.ndarray:
        return np.full_like(self.of.pixels(), 128)
