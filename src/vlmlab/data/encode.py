"""Encoder: a Document to token ids and views. Training documents and few-shot prompts pass the same one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from vlmlab.data.document import Document, Image, Picture, Text
from vlmlab.data.mishaps import Skipped
from vlmlab.data.resize import make_view
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import DataError
from vlmlab.recipe.image import Grid, ImagePolicy
from vlmlab.recipe.recipe import Model


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One resized image: uint8 (3, height, width) and its patches."""

    pixels: Tensor
    grid: Grid


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """One image of an example: its visual positions [start, start + length), without the marks, and its view."""

    start: int
    length: int
    view: Tensor
    """uint8 (3, height, width)."""
    grid: Grid
    key: str
    marked: bool = False
    """Whether <image_start> and <image_end> stand around the visual positions."""

    @property
    def first(self) -> int:
        """First position that belongs to the image, its mark included."""
        return self.start - self.marked

    @property
    def stop(self) -> int:
        """Position after the last that belongs to the image, its mark included."""
        return self.start + self.length + self.marked


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An encoded document. learn[i] says that token i is a target; visual positions and marks never are."""

    key: str
    ids: list[int]
    learn: list[bool]
    images: tuple[EncodedImage, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


class Encoder:
    """Documents to examples, for one model, tokenizer and image policy.

    `cached_views` views are kept by picture key: few-shot prompts show the same demonstrations again and again.
    """

    def __init__(self, tokenizer: Tokenizer, model: Model, image: ImagePolicy, *, cached_views: int = 0) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self.image = image
        self._cached_views = cached_views
        self._views: OrderedDict[str, View] = OrderedDict()

    def encode(self, document: Document, views: Sequence[View] | None = None) -> Example:
        """Begin token, parts, end token (only if the document is complete). `views` are the images', where known.

        The end token is learned where the last text is. Raises DataError naming the picture that cannot be read, and
        for a text that would become a control token.
        """
        seen = iter([self.view(image.picture) for image in document.images] if views is None else views)
        tokenizer = self.tokenizer
        ids, learn = [tokenizer.bos], [False]
        images: list[EncodedImage] = []
        learned = False
        for part in document.parts:
            match part:
                case Text(text, learned):
                    tokens = tokenizer.encode(text)
                    control = tokenizer.control_tokens(tokens)
                    if control:
                        raise DataError(
                            document.key,
                            f"the text spells {', '.join(control)}, which this tokenizer cannot write as ordinary "
                            "characters; change the text or take another tokenizer",
                        )
                    ids += tokens
                    learn += [learned] * len(tokens)
                case Image(picture):
                    image = self._image(picture, next(seen), start=len(ids))
                    span = [tokenizer.image] * image.length
                    if image.marked:
                        span = [tokenizer.image_start, *span, tokenizer.image_end]
                    ids += span
                    learn += [False] * len(span)
                    images.append(image)
        if document.complete:
            ids.append(tokenizer.eos)
            learn.append(learned)
        return Example(key=document.key, ids=ids, learn=learn, images=tuple(images))

    def view(self, picture: Picture) -> View:
        """The picture as the vision backbone will see it, before normalisation."""
        key = picture.key
        known = self._views.get(key)
        if known is not None:
            self._views.move_to_end(key)
            return known
        patch = self.model.vision.patch
        pixels = picture.pixels()
        view = View(
            pixels=make_view(pixels, self.image, patch=patch),
            grid=self.image.grid(pixels.shape[0], pixels.shape[1], patch=patch),
        )
        if self._cached_views:
            self._views[key] = view
            if len(self._views) > self._cached_views:
                self._views.popitem(last=False)
        return view

    def _image(self, picture: Picture, view: View, *, start: int) -> EncodedImage:
        marked = self.model.fusion.marks
        return EncodedImage(
            start=start + marked,
            length=self.model.connector.tokens(view.grid),
            view=view.pixels,
            grid=view.grid,
            key=picture.key,
            marked=marked,
        )


def example_views(examples: Iterable[Example]) -> dict[str, EncodedImage]:
    """The distinct views of examples by picture key, in order of first occurrence."""
    views: dict[str, EncodedImage] = {}
    for example in examples:
        for image in example.images:
            views.setdefault(image.key, image)
    return views


def check_images(document: Document, *, images: int) -> None:
    """Raise Skipped for a document with more images than a row may hold.

    It is left out and counted, whatever `long_documents` says: to drop some of its images would change what its text
    is about, and another sample says as much.
    """
    found = len(document.images)
    if found > images:
        raise Skipped(
            document.key,
            f"the document has {found} images but a row may hold {images}; raise batch.images or leave it out",
        )


def fit(example: Example, length: int, policy: Literal["refuse", "skip", "truncate"], key: str) -> Example | None:
    """The example within `length` positions, or None where the policy is to skip it.

    `truncate` cuts at the end. An image that does not fit whole goes, with its marks and everything after it:
    length 10, an image at positions 7 to 12: seven positions are left. The end token is then gone too.
    Raises DataError under `refuse`, and where nothing to learn is left.
    """
    if len(example) <= length:
        return example
    found = f"the document has {len(example)} positions but a row has {length} (batch.length)"
    match policy:
        case "refuse":
            raise DataError(key, f"{found}; raise it, or set batch.long_documents to skip or truncate")
        case "skip":
            return None
        case "truncate":
            cut = min([length, *(image.first for image in example.images if image.first < length < image.stop)])
            learn = example.learn[:cut]
            if not any(learn):
                raise DataError(key, f"{found}, and cut to {cut} positions it has nothing to learn; raise batch.length")
            return Example(
                key=example.key,
                ids=example.ids[:cut],
                learn=learn,
                images=tuple(image for image in example.images if image.stop <= cut),
            )
