"""Benchmarks in JSON lines: {id, image?, question, answers, choices?, cluster?, demonstrations?}.

A line without a question asks for a caption of its image. `demonstrations` are lines of the same form inside a line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmlab.data.document import FilePicture
from vlmlab.data.item import Item
from vlmlab.errors import EvaluationError, near
from vlmlab.evaluate.contract import Benchmark
from vlmlab.recipe.evaluation import JsonlBenchmark
from vlmlab.recipe.tokenizer import Template

FIELDS = ("id", "cluster", "image", "question", "answers", "choices", "demonstrations")


def open_jsonl(name: str, spec: JsonlBenchmark, *, root: Path, template: Template) -> Benchmark:
    """The file's first `items` lines, and all lines of the demonstrations' file."""
    where = f"evaluation.benchmarks.{name}"
    items = read_items(root / spec.path, images=_images(spec, spec.path, root=root), where=f"{where}.path")
    if len(items) < spec.items:
        raise EvaluationError(
            f"{where}.items",
            f"{spec.items} items are asked for but {spec.path} has {len(items)}; set items to {len(items)} or fewer",
        )
    items = items[: spec.items]
    pool: list[Item] = []
    if spec.demonstrations is not None:
        images = _images(spec, spec.demonstrations, root=root)
        pool = read_items(root / spec.demonstrations, images=images, where=f"{where}.demonstrations")
    elif max(spec.shots) > 0 and any(item.demonstrations is None for item in items):
        raise EvaluationError(
            f"{where}.demonstrations",
            f"shots {list(spec.shots)} need a file of demonstrations; give one, or set shots to [0]",
        )
    return Benchmark(name, spec, spec.metric_name(), template, tuple(items), tuple(pool))


def _images(spec: JsonlBenchmark, path: str, *, root: Path) -> Path:
    return root / spec.images if spec.images else (root / path).parent


def read_items(path: Path, *, images: Path, where: str) -> list[Item]:
    """The items of a file. Every error names the file and the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise EvaluationError(where, f"file {path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(where, f"file {path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    items: list[Item] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise EvaluationError(
                place, f"not valid JSON ({error.msg} at column {error.colno}); each line is one object"
            ) from error
        items.append(_item(_Line(place, images, row)))
    if not items:
        raise EvaluationError(where, f"file {path} has no items; each line is one JSON object")
    return items


@dataclass(frozen=True, slots=True)
class _Line:
    where: str
    images: Path
    row: Any


def _item(line: _Line) -> Item:
    row = line.row
    if not isinstance(row, dict):
        raise EvaluationError(line.where, f"found a {type(row).__name__}; each line is one JSON object")
    for field in row:
        if field not in FIELDS:
            raise EvaluationError(line.where, f"unknown field {field!r}{near(field, FIELDS)}")
    name = row.get("id")
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name:
        raise EvaluationError(line.where, f"id is {row.get('id')!r}; expected a text or an integer")
    image = _text(line, "image")
    cluster = row.get("cluster", name)
    if isinstance(cluster, bool) or not isinstance(cluster, str | int):
        raise EvaluationError(line.where, f"cluster is {cluster!r}; expected a text or an integer")
    answers = _texts(line, "answers")
    if not answers:
        raise EvaluationError(line.where, "answers is missing or empty; expected a list of texts, the right one first")
    picture = None
    if image is not None:
        file = line.images / image
        if not file.is_file():
            raise EvaluationError(
                line.where, f"image file {file} does not exist; image paths are relative to {line.images}"
            )
        picture = FilePicture(str(file), file)
    own = row.get("demonstrations")
    if own is not None and not isinstance(own, list):
        raise EvaluationError(line.where, f"demonstrations is a {type(own).__name__}; expected a list of objects")
    nested = None
    if own is not None:
        nested = tuple(
            _item(
                _Line(
                    f"{line.where} demonstrations[{index}]",
                    line.images,
                    {"id": f"{name}/{index}"} | shot if isinstance(shot, dict) else shot,
                )
            )
            for index, shot in enumerate(own)
        )
    return Item(
        id=name,
        cluster=str(cluster),
        question=_text(line, "question"),
        answers=answers,
        picture=picture,
        choices=_texts(line, "choices"),
        demonstrations=nested,
    )


def _text(line: _Line, field: str) -> str | None:
    value = line.row.get(field)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise EvaluationError(line.where, f"{field} is {value!r}; expected a text")
    return value


def _texts(line: _Line, field: str) -> tuple[str, ...]:
    value = line.row.get(field, [])
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise EvaluationError(line.where, f"{field} is {value!r}; expected a list of texts")
    return tuple(value)
