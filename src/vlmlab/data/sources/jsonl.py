"""JSON lines with images as files beside them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from vlmlab.data.document import FilePicture
from vlmlab.data.rows import CaptionRow, DialogueRow, Row, TextRow
from vlmlab.data.sources.files import LocalFile, content_hash, find_files, place_in
from vlmlab.errors import DataError
from vlmlab.files import digest
from vlmlab.recipe.source import JsonlSource

SIZED = 20_000
"""Samples up to which the sizes of the image files enter the fingerprint; beyond, only their names."""

_EXPECTED = {
    "text": '{"text": ...}',
    "caption": '{"image": path, "text": ...}',
    "question": '{"image": path, "question": ..., "answer": ...} (or "answers": [...])',
    "llava": '{"image": path, "conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}',
}


class JsonlRows:
    """Rows of JSON-lines files; a LLaVA file may also be one JSON list, which is then held in memory.

    Opening it reads through the files once for the places of the lines; a line is parsed when its row is asked for.
    """

    def __init__(self, spec: JsonlSource, *, name: str, root: Path) -> None:
        self._spec = spec
        self._name = name
        self._files = find_files(spec.path, where=f"data.sources.{name}.path", root=root)
        self._images = root / spec.images if spec.images else None
        self._lists: dict[int, list[Any]] = {}
        self._lines = [self._index(number, file) for number, file in enumerate(self._files)]
        self._first = np.cumsum([0, *(len(lines) for lines in self._lines)])
        if not len(self):
            names = ", ".join(str(file.path) for file in self._files[:3])
            raise DataError(
                f"data.sources.{name}",
                f"the source is empty ({names}); expected at least one line like {_EXPECTED[spec.form]}",
            )

    def __len__(self) -> int:
        return int(self._first[-1])

    def row(self, index: int) -> Row:
        assert 0 <= index < len(self)
        number = int(np.searchsorted(self._first, index, side="right")) - 1
        place = index - int(self._first[number])
        file = self._files[number]
        key = f"{self._name}/{file.name}#{place}"
        value = self._lists[number][place] if number in self._lists else self._parse(file, number, place, key=key)
        if not isinstance(value, dict):
            raise DataError(key, f"found {_kind(value)}; expected an object {_EXPECTED[self._spec.form]}")
        return self._row(value, key=key, folder=file.path.parent if self._images is None else self._images)

    def find(self, key: str) -> int:
        number, place = place_in(key, name=self._name, files=self._files)
        if place >= len(self._lines[number]):
            raise DataError(key, f"no such sample; the file has {len(self._lines[number])}")
        return int(self._first[number]) + place

    def fingerprint(self) -> str:
        sizes: list[int] = []
        if self._spec.form != "text" and len(self) <= SIZED:
            sizes = [self._image_bytes(index) for index in range(len(self))]
        return digest(["jsonl", self._spec.form, content_hash(self._files), sizes])

    def _image_bytes(self, index: int) -> int:
        """Size of a row's images; -1 where the row or an image cannot be read, which training will tell."""
        try:
            row = self.row(index)
            match row:
                case CaptionRow(picture=FilePicture(path=path)):
                    return path.stat().st_size
                case DialogueRow(pictures=pictures):
                    return sum(picture.path.stat().st_size for picture in pictures if isinstance(picture, FilePicture))
                case _:
                    return 0
        except (DataError, OSError, ValueError):
            return -1

    def _index(self, number: int, file: LocalFile) -> np.ndarray:
        """Byte ranges and line numbers of the lines that are not blank: int64 (lines, 3)."""
        if self._spec.form == "llava":
            with file.path.open("rb") as handle:
                if handle.read(256).lstrip().startswith(b"["):
                    self._lists[number] = self._read_list(file)
                    return np.zeros((len(self._lists[number]), 3), dtype=np.int64)
        ranges: list[tuple[int, int, int]] = []
        offset = 0
        with file.path.open("rb") as handle:
            for line_number, line in enumerate(handle, start=1):
                if line.strip():
                    ranges.append((offset, len(line), line_number))
                offset += len(line)
        return np.array(ranges, dtype=np.int64).reshape(-1, 3)

    def _read_list(self, file: LocalFile) -> list[Any]:
        try:
            value = json.loads(file.path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise DataError(
                str(file.path), f"broken JSON ({error}); expected a list of {_EXPECTED['llava']}"
            ) from error
        assert isinstance(value, list)
        return value

    def _parse(self, file: LocalFile, number: int, place: int, *, key: str) -> Any:
        offset, size, line = map(int, self._lines[number][place])
        data = file.read(offset, size, key=key)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            found = data[:60].decode(errors="replace").strip()
            raise DataError(
                key,
                f"broken JSON in line {line} of {file.path} ({error}); found {found!r}, "
                f"expected one object a line {_EXPECTED[self._spec.form]}",
            ) from error

    def _row(self, value: dict[str, Any], *, key: str, folder: Path) -> Row:
        form = self._spec.form

        def text(name: str) -> str:
            found = value.get(name)
            if not isinstance(found, str):
                raise DataError(
                    key,
                    f"field {name!r} is {_kind(found)}; expected text, as in {_EXPECTED[form]}. "
                    f"Fields found: {', '.join(list(value)[:20]) or 'none'}",
                )
            return found

        def picture(path: object, number: int = 0) -> FilePicture:
            if not isinstance(path, str) or not path:
                raise DataError(
                    key, f"field 'image' is {_kind(path)}; expected the path of an image file, as in {_EXPECTED[form]}"
                )
            return FilePicture(key=f"{key}.{number}", path=folder / path)

        match form:
            case "text":
                return TextRow(key, text("text"))
            case "caption":
                return CaptionRow(key, picture(value.get("image")), text("text"))
            case "question":
                answer = _most_frequent(value["answers"], key=key) if "answers" in value else text("answer")
                pictures = (picture(value["image"]),) if value.get("image") is not None else ()
                return DialogueRow(key, pictures, ((text("question"), answer),))
            case "llava":
                paths = value.get("image")
                listed = [] if paths is None else paths if isinstance(paths, list) else [paths]
                return DialogueRow(
                    key,
                    tuple(picture(path, number) for number, path in enumerate(listed)),
                    _turns(value.get("conversations"), key=key),
                )


def _kind(value: object) -> str:
    return "missing" if value is None else f"of type {type(value).__name__}"


def _most_frequent(answers: object, *, key: str) -> str:
    """The answer that most references give; the first of them where several do."""
    if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
        raise DataError(key, "field 'answers' must be a list of at least one text")
    return Counter(answers).most_common(1)[0][0]


def _turns(conversations: object, *, key: str) -> tuple[tuple[str, str], ...]:
    """LLaVA's human and gpt turns, in pairs."""
    if not isinstance(conversations, list) or not conversations or len(conversations) % 2:
        found = f"{len(conversations)} turns" if isinstance(conversations, list) else _kind(conversations)
        raise DataError(key, f"field 'conversations' is {found}; expected pairs of a human and a gpt turn")
    said: list[str] = []
    for number, turn in enumerate(conversations):
        speaker = ("human", "gpt")[number % 2]
        if not isinstance(turn, dict) or turn.get("from") != speaker or not isinstance(turn.get("value"), str):
            raise DataError(key, f'turn {number} is {str(turn)[:80]}; expected {{"from": "{speaker}", "value": text}}')
        said.append(turn["value"])
    return tuple(zip(said[::2], said[1::2], strict=True))
