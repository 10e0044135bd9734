"""Samples of a foreign data set: JSON lines of messages or text, with images beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmlab.data.document import FilePicture
from vlmlab.data.rows import IMAGE_MARK
from vlmlab.data.sources.files import LocalFile, find_files
from vlmlab.errors import DataError

EXPECTED = (
    '{"messages": [{"role": "user", "content": ...}, ...], "images": [path, ...]}, {"conversations": [...]} or '
    '{"text": ..., "image": path}'
)
ROLES = {"human": "user", "gpt": "assistant"}
"""LLaVA's names of the speakers."""

Message = dict[str, Any]
"""{"role": ..., "content": [{"type": "text", "text": ...} or {"type": "image"}, ...]}: what chat templates take."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Messages, or a plain text where `messages` is None, and the images that they show, in order."""

    key: str
    messages: tuple[Message, ...] | None
    text: str
    pictures: tuple[FilePicture, ...]


def read_samples(path: str, *, most: int) -> list[Sample]:
    """The first `most` samples of a file or glob. DataError names a line that is no sample."""
    samples: list[Sample] = []
    for file in find_files(path, where="--data", root=Path()):
        with file.path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if line.strip() and len(samples) < most:
                    samples.append(_sample(line, file=file, number=number))
    if not samples:
        raise DataError("--data", f"{path} has no samples; expected lines like {EXPECTED}")
    return samples


def _sample(line: str, *, file: LocalFile, number: int) -> Sample:
    key = f"{file.name}#{number}"
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(key, f"broken JSON ({error}); expected {EXPECTED}") from error
    if not isinstance(value, dict):
        raise DataError(key, f"found {type(value).__name__}; expected {EXPECTED}")
    listed = value.get("images", value.get("image")) or []
    paths = [listed] if isinstance(listed, str) else listed
    folder = file.path.parent
    turns = value.get("messages", value.get("conversations"))
    if isinstance(turns, list) and turns:
        messages, inline = _messages(turns, key=key)
        if not any(part["type"] == "image" for message in messages for part in message["content"]):
            # Without any mark all images stand before the first text.
            messages[0]["content"] = [*({"type": "image"} for _ in paths), *messages[0]["content"]]
        pictures = _pictures([*inline, *paths], key=key, folder=folder)
        marks = sum(part["type"] == "image" for message in messages for part in message["content"])
        if marks != len(pictures):
            raise DataError(key, f"{marks} images stand in the messages, but {len(pictures)} are named")
        return Sample(key, tuple(messages), "", pictures)
    if isinstance(value.get("text"), str):
        pictures = _pictures(paths, key=key, folder=folder)
        if not pictures:
            return Sample(key, None, value["text"], ())
        content: list[Message] = [{"type": "image"} for _ in pictures]
        return Sample(
            key,
            (
                {"role": "user", "content": content},
                {"role": "assistant", "content": [{"type": "text", "text": value["text"]}]},
            ),
            "",
            pictures,
        )
    raise DataError(key, f"fields {', '.join(value) or 'none'}; expected {EXPECTED}")


def _messages(turns: list[Any], *, key: str) -> tuple[list[Message], list[str]]:
    """Turns in one form, and the image paths that stand inside them."""
    messages: list[Message] = []
    inline: list[str] = []
    for number, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise DataError(key, f"turn {number} is {str(turn)[:60]}; expected {EXPECTED}")
        role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if not isinstance(role, str) or not isinstance(content, str | list):
            raise DataError(key, f"turn {number} has no role or no content; expected {EXPECTED}")
        parts: list[Message] = []
        for part in _split(content) if isinstance(content, str) else content:
            match part:
                case {"type": "text", "text": str(text)}:
                    parts.append({"type": "text", "text": text})
                case {"type": "image"}:
                    parts.append({"type": "image"})
                    inline += [part[name] for name in ("image", "path") if isinstance(part.get(name), str)][:1]
                case _:
                    raise DataError(key, f"turn {number} holds {str(part)[:60]}; expected text or image parts")
        messages.append({"role": ROLES.get(role, role), "content": parts})
    return messages, inline


def _split(text: str) -> list[Message]:
    """Text with `<image>` marks as parts."""
    parts: list[Message] = []
    for number, piece in enumerate(text.split(IMAGE_MARK)):
        if number:
            parts.append({"type": "image"})
        if piece.strip() or (piece and not parts):
            parts.append({"type": "text", "text": piece})
    return parts


def _pictures(paths: list[Any], *, key: str, folder: Path) -> tuple[FilePicture, ...]:
    if not all(isinstance(path, str) for path in paths):
        raise DataError(key, f"images are {str(paths)[:60]}; expected paths of files beside the data")
    return tuple(FilePicture(f"{key}.{number}", folder / path) for number, path in enumerate(paths))
