"""Reader: the number of a draw to an example or the reason why there is none. It runs in the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from vlmlab.data.document import Document
from vlmlab.data.encode import EncodedImage, Encoder, Example, View, check_images, fit
from vlmlab.data.mishaps import Refusal, Skipped
from vlmlab.data.mixture import Mixture
from vlmlab.data.pack import Packable
from vlmlab.data.rows import as_document
from vlmlab.data.sources.contract import OpenSource
from vlmlab.errors import DataError
from vlmlab.recipe.image import Grid
from vlmlab.recipe.stage import Rows
from vlmlab.recipe.tokenizer import Template

CHUNK = 32
"""Draws that a worker prepares at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class SentImage:
    """An EncodedImage with its view as an array."""

    start: int
    length: int
    view: np.ndarray
    grid: tuple[int, int]
    key: str
    marked: bool


@dataclass(frozen=True, slots=True, eq=False)
class SentExample:
    """An example on its way between processes.

    Arrays are copied through the pipe; tensors would each take a file descriptor and a place in shared memory, of which
    containers have little.
    """

    key: str
    ids: np.ndarray
    learn: np.ndarray
    images: tuple[SentImage, ...]

    def received(self) -> Example:
        return Example(
            key=self.key,
            ids=self.ids.tolist(),
            learn=self.learn.tolist(),
            images=tuple(
                EncodedImage(
                    image.start, image.length, torch.from_numpy(image.view), Grid(*image.grid), image.key, image.marked
                )
                for image in self.images
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """What became of one draw."""

    number: int
    source: str
    outcome: SentExample | Refusal

    def packable(self) -> Packable:
        assert isinstance(self.outcome, SentExample), f"draw {self.number} was refused"
        return Packable(number=self.number, source=self.source, example=self.outcome.received())


def _refusal(error: DataError, *, key: str) -> Refusal:
    """The sample's key names it, so that it can be found again; what the error names beside it goes into the reason."""
    reason = error.problem if error.where == key else f"{error.where}: {error.problem}"
    return Refusal(key, reason, skipped=isinstance(error, Skipped))


class Reader(Dataset[list[Sent]]):
    """Chunk number to the outcomes of its 32 draws; a function of the recipe and the number alone.

    The draws are dealt out to the recipe's streams in turn: stream s of S has the draws s, s + S, s + 2S, ...
    """

    def __init__(
        self,
        *,
        mixture: Mixture,
        sources: Mapping[str, OpenSource],
        encoder: Encoder,
        template: Template,
        rows: Rows,
        pairs: bool,
    ) -> None:
        self.mixture = mixture
        self._sources = dict(sources)
        self._encoder = encoder
        self._template = template
        self._rows = rows
        self._pairs = pairs
        self.streams = rows.streams

    def chunk_number(self, chunk: int, stream: int) -> int:
        """The index of a stream's chunk."""
        return chunk * self.streams + stream

    def __getitem__(self, index: int) -> list[Sent]:
        chunk, stream = divmod(index, self.streams)
        return self._read([place * self.streams + stream for place in range(chunk * CHUNK, (chunk + 1) * CHUNK)])

    def read(self, number: int) -> Sent:
        """One draw. What is wrong with a sample is returned, not raised, so that it reaches the count in order."""
        return self._read([number])[0]

    def read_row(self, source: str, index: int, *, number: int) -> Sent:
        """A sample of a source as if it were drawn as `number`."""
        document = self._document(source, index)
        return Sent(number, source, self._example(document, self._views(document)))

    def _read(self, numbers: Sequence[int]) -> list[Sent]:
        """Draws, one kind of work after the other for all of them: each then finds its code and tables in the cache.

        In turn for every sample the rest of the work beside decoding and resizing took half as long again.
        """
        draws = [self.mixture.draw(number) for number in numbers]
        documents = [self._document(draw.source, draw.index) for draw in draws]
        views = [self._views(document) for document in documents]
        return [
            Sent(number, draw.source, self._example(document, seen))
            for number, draw, document, seen in zip(numbers, draws, documents, views, strict=True)
        ]

    def _document(self, source: str, index: int) -> Document | Refusal:
        key = ""
        try:
            row = self._sources[source].row(index)
            key = row.key
            document = as_document(row, self._template)
            # Before anything is decoded: pages with a hundred images exist.
            check_images(document, images=self._rows.images)
        except DataError as error:
            return _refusal(error, key=key or error.where)
        return document

    def _views(self, document: Document | Refusal) -> list[View] | Refusal:
        if isinstance(document, Refusal):
            return document
        try:
            return [self._encoder.view(image.picture) for image in document.images]
        except DataError as error:
            return _refusal(error, key=document.key)

    def _example(self, document: Document | Refusal, views: list[View] | Refusal) -> SentExample | Refusal:
        if isinstance(document, Refusal):
            return document
        if isinstance(views, Refusal):
            return views
        try:
            return self._encode(document, views)
        except DataError as error:
            return _refusal(error, key=document.key)

    def _encode(self, document: Document, views: list[View]) -> SentExample | Refusal:
        key = document.key
        example = self._encoder.encode(document, views)
        try:
            fitted = fit(example, self._rows.length, self._rows.long_documents, key)
        except DataError as error:
            return Refusal(error.where, error.problem, fatal=self._rows.long_documents == "refuse")
        if fitted is None:
            return Refusal(
                key, f"{len(example)} positions, but a row has {self._rows.length} (batch.length)", skipped=True
            )
        if not any(fitted.learn):
            raise DataError(key, "the document has nothing to learn; expected at least one learned text")
        if self._pairs and len(fitted.images) != 1:
            raise DataError(
                key,
                f"a contrastive pair needs exactly one image and a text; the document has {len(fitted.images)} images",
            )
        return SentExample(
            key=key,
            ids=np.array(fitted.ids, dtype=np.int32),
            learn=np.array(fitted.learn, dtype=np.bool_),
            images=tuple(
                SentImage(image.start, image.length, image.view.numpy(), tuple(image.grid), image.key, image.marked)
                for image in fitted.images
            ),
        )
