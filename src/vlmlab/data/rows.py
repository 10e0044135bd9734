"""Raw rows of each public schema, and the one function a schema that turns a row into a Document.

Readers of files and the generated world yield the same row types, so what is learned from a schema is written once.
"""

from __future__ import annotations

from dataclasses import dataclass

from vlmlab.data.document import Document, Image, Part, Picture, Text
from vlmlab.errors import DataError
from vlmlab.recipe.tokenizer import Template

IMAGE_MARK = "<image>"
"""Stands in a dialogue's user text where an image belongs."""


@dataclass(frozen=True, slots=True)
class CaptionRow:
    """An image and one text: web pairs, synthetic captions, rendered pages."""

    key: str
    picture: Picture
    text: str


@dataclass(frozen=True, slots=True)
class InterleavedRow:
    """A page: paragraphs and images in reading order (OBELICS)."""

    key: str
    items: tuple[str | Picture, ...]


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text without images."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class DialogueRow:
    """Turns of (user, assistant) over images (The Cauldron). `<image>` in user texts places the images; without any
    such mark all images stand before the first turn."""

    key: str
    pictures: tuple[Picture, ...]
    turns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TwinBlock:
    """A picture told in words, what is asked about it (None: a caption), and the answer."""

    description: str
    question: str | None
    answer: str


@dataclass(frozen=True, slots=True)
class TwinRow:
    """The text twin of a dialogue: descriptions stand where pictures would, and like them are given, not learned."""

    key: str
    blocks: tuple[TwinBlock, ...]


Row = CaptionRow | InterleavedRow | TextRow | DialogueRow | TwinRow


def question_text(question: str, template: Template) -> str:
    """What the model is given before an answer."""
    return f"{template.question} {question}{template.answer}"


def answer_text(answer: str, template: Template) -> str:
    """An answer as it is learned, its end included."""
    return f" {answer}{template.end}"


def caption_document(row: CaptionRow, template: Template) -> Document:
    """Image, the caption's announcement (given), the caption (learned)."""
    if not row.text.strip():
        raise DataError(row.key, "the caption is empty; a caption needs text to learn")
    return Document(
        row.key,
        (Image(row.picture), Text(template.caption, learn=False), Text(answer_text(row.text.strip(), template))),
    )


def interleaved_document(row: InterleavedRow) -> Document:
    """All text is learned; text after an image starts with a space: its first word tokenizes as inside a text."""
    parts: list[Part] = []
    for item in row.items:
        if not isinstance(item, str):
            parts.append(Image(item))
        elif item.strip():
            parts.append(Text(f" {item.strip()}"))
    if not any(isinstance(part, Text) for part in parts):
        raise DataError(row.key, "the page has no text; a page needs text to learn")
    return Document(row.key, tuple(parts))


def text_document(row: TextRow) -> Document:
    """All text is learned."""
    if not row.text.strip():
        raise DataError(row.key, "the text is empty")
    return Document(row.key, (Text(row.text),))


def dialogue_document(row: DialogueRow, template: Template) -> Document:
    """Questions are given, answers are learned."""
    if not row.turns:
        raise DataError(row.key, "the dialogue has no turns")
    marks = sum(user.count(IMAGE_MARK) for user, _ in row.turns)
    if marks and marks != len(row.pictures):
        raise DataError(
            row.key, f"the user texts hold {marks} {IMAGE_MARK} marks but the row has {len(row.pictures)} images"
        )
    parts: list[Part] = []
    if not marks:
        parts.extend(Image(picture) for picture in row.pictures)
    remaining = iter(row.pictures)
    for user, assistant in row.turns:
        if not assistant.strip():
            raise DataError(row.key, "an assistant turn is empty; there is nothing to learn from it")
        pieces = user.split(IMAGE_MARK)
        parts.extend(Image(next(remaining)) for _ in pieces[1:])
        question = " ".join(piece.strip() for piece in pieces if piece.strip())
        parts.append(Text(question_text(question, template), learn=False))
        parts.append(Text(answer_text(assistant.strip(), template)))
    return Document(row.key, tuple(parts))


def twin_document(row: TwinRow, template: Template) -> Document:
    """Descriptions and questions are given, answers are learned."""
    if not row.blocks:
        raise DataError(row.key, "the text twin has no blocks")
    parts: list[Part] = []
    for block in row.blocks:
        asked = template.caption if block.question is None else question_text(block.question, template)
        parts.append(Text(f" {block.description}{asked}", learn=False))
        parts.append(Text(answer_text(block.answer, template)))
    return Document(row.key, tuple(parts))


def as_document(row: Row, template: Template) -> Document:
    """The Document of any row. Raises DataError where it has nothing to learn from, or a text that is no Unicode."""
    document = _document(row, template)
    for part in document.parts:
        if isinstance(part, Text):
            _check_unicode(part.text, key=row.key)
    return document


def _check_unicode(text: str, *, key: str) -> None:
    """Half of a surrogate pair, which JSON can spell, is a Python string but no text that could be encoded."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            key, f"the text is no Unicode: {text[error.start]!a} at character {error.start} is half a pair; mend it"
        ) from error


def _document(row: Row, template: Template) -> Document:
    match row:
        case CaptionRow():
            return caption_document(row, template)
        case InterleavedRow():
            return interleaved_document(row)
        case TextRow():
            return text_document(row)
        case DialogueRow():
            return dialogue_document(row, template)
        case TwinRow():
            return twin_document(row, template)
