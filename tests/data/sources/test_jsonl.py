from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmlab.data.rows import CaptionRow, DialogueRow, TextRow, as_document
from vlmlab.data.sources.jsonl import JsonlRows
from vlmlab.data.sources.open import open_source
from vlmlab.errors import DataError
from vlmlab.recipe.source import Data, JsonlSource
from vlmlab.recipe.tokenizer import Template


def write(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def opened(root: Path, path: str, form: str, *, images: str = "") -> JsonlRows:
    source = open_source(
        JsonlSource(kind="jsonl", path=path, form=form, images=images), name="mine", data=Data(), root=root
    )
    assert isinstance(source, JsonlRows)
    return source


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(3):
        Image.fromarray(np.full((6, 8, 3), 40 * number, np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_text_over_several_files(tmp_path: Path) -> None:
    write(tmp_path / "a" / "one.jsonl", {"text": "first"}, "\n", {"text": "zweiter – 2"})
    write(tmp_path / "b" / "two.jsonl", {"text": "third"})
    source = opened(tmp_path, "*/*.jsonl", "text")
    assert [source.row(index) for index in range(len(source))] == [
        TextRow("mine/a/one.jsonl#0", "first"),
        TextRow("mine/a/one.jsonl#1", "zweiter – 2"),
        TextRow("mine/b/two.jsonl#0", "third"),
    ]
    for index in range(3):
        assert source.find(source.row(index).key) == index
    assert pickle.loads(pickle.dumps(source)).row(2) == source.row(2)
    for key in ("mine/a/one.jsonl#2", "mine/c.jsonl#0", "other"):
        with pytest.raises(DataError, match="no such sample"):
            source.find(key)


def test_captions(pictures: Path) -> None:
    write(pictures / "data.jsonl", {"image": "1.png", "text": "grey"})
    row = opened(pictures, "data.jsonl", "caption").row(0)
    assert isinstance(row, CaptionRow)
    assert (row.picture.pixels() == 40).all()
    write(pictures / "elsewhere" / "data.jsonl", {"image": "2.png", "text": "lighter"})
    row = opened(pictures, "elsewhere/data.jsonl", "caption", images=".").row(0)
    assert isinstance(row, CaptionRow)
    assert (row.picture.pixels() == 80).all()


def test_questions_become_dialogues_of_one_turn(pictures: Path) -> None:
    write(
        pictures / "data.jsonl",
        {"image": "0.png", "question": "which?", "answer": "this"},
        {"image": "0.png", "question": "which?", "answers": ["a", "b", "b"]},
        {"question": "2 + 2?", "answer": "4"},
    )
    source = opened(pictures, "data.jsonl", "question")
    rows = [source.row(index) for index in range(3)]
    assert all(isinstance(row, DialogueRow) for row in rows)
    assert [row.turns for row in rows] == [(("which?", "this"),), (("which?", "b"),), (("2 + 2?", "4"),)]
    assert [len(row.pictures) for row in rows] == [1, 1, 0]


TURNS = [
    {"from": "human", "value": "<image>\nWhat is it?"},
    {"from": "gpt", "value": "A cat."},
    {"from": "human", "value": "And its colour?"},
    {"from": "gpt", "value": "Black."},
]


@pytest.mark.parametrize("whole", [True, False], ids=["one list", "lines"])
def test_llava(pictures: Path, whole: bool) -> None:
    rows = [{"id": "1", "image": "0.png", "conversations": TURNS}, {"id": "2", "conversations": TURNS[2:]}]
    write(pictures / "llava.json", *([rows] if whole else rows))
    source = opened(pictures, "llava.json", "llava")
    assert len(source) == 2
    text = as_document(source.row(0), Template()).text
    assert text == "<image> question: What is it? answer: A cat.\n question: And its colour? answer: Black.\n"
    assert as_document(source.row(1), Template()).text == " question: And its colour? answer: Black.\n"


@pytest.mark.parametrize(
    ("form", "line", "words"),
    [
        ("text", '{"text": "cut of\n', r"broken JSON.*found '\{\"text\": \"cut of'.*expected one object a line"),
        ("text", "[1, 2]\n", "of type list; expected an object"),
        ("text", {"txt": "a"}, r"field 'text' is missing; expected text.*Fields found: txt"),
        ("caption", {"text": "a"}, "field 'image' is missing"),
        ("caption", {"image": 3, "text": "a"}, "field 'image' is of type int"),
        ("question", {"image": "0.png", "question": "q", "answers": []}, "'answers' must be a list"),
        ("question", {"image": "0.png", "question": "q"}, "field 'answer' is missing"),
        ("llava", {"conversations": TURNS[:3]}, "3 turns; expected pairs"),
        ("llava", {"conversations": TURNS[1:3]}, r"turn 0 is .*expected \{\"from\": \"human\""),
        ("llava", {"id": 1}, "'conversations' is missing"),
    ],
)
def test_bad_lines(tmp_path: Path, form: str, line: object, words: str) -> None:
    good = {"text": "a", "image": "0.png", "question": "q", "answer": "a", "conversations": TURNS}
    write(tmp_path / "data.jsonl", good, "\n", line)
    source = opened(tmp_path, "data.jsonl", form)
    source.row(0)
    with pytest.raises(DataError, match=words):
        source.row(1)


def test_a_broken_line_names_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", {"text": "a"}, "\n\n", "{nonsense\n")
    with pytest.raises(DataError, match=rf"broken JSON in line 4 of {path}") as caught:
        opened(tmp_path, "data.jsonl", "text").row(1)
    assert caught.value.where == "mine/data.jsonl#1"


@pytest.mark.parametrize(
    "line",
    [b'{"text": "caf\xe9"}\n', b"[" * 100_000 + b"\n", b'{"text": ' + b"9" * 5000 + b"}\n", b"\xff\xfe\n", b"\0\n"],
    ids=["latin", "deep", "number", "utf-16", "zero"],
)
def test_lines_that_no_parser_should_see_are_refused_by_key(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "data.jsonl").write_bytes(b'{"text": "a"}\n' + line + b'{"text": "b"}\n')
    source = opened(tmp_path, "data.jsonl", "text")
    with pytest.raises(DataError) as caught:
        source.row(1)
    assert caught.value.where == "mine/data.jsonl#1"
    assert source.row(2).key == "mine/data.jsonl#2"


def test_half_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "good \\ud83d\\ude42"}\n{"text": "half \\ud83d"}\n')
    source = opened(tmp_path, "data.jsonl", "text")
    assert as_document(source.row(0), Template()).text == "good 🙂"
    with pytest.raises(DataError, match="is half a pair") as caught:
        as_document(source.row(1), Template())
    assert caught.value.where == "mine/data.jsonl#1"


def test_image_names_that_no_file_can_have(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", {"image": "a\0b.png", "text": "a"})
    source = opened(tmp_path, "data.jsonl", "caption")
    assert source.fingerprint()
    with pytest.raises(DataError, match="impossible name"):
        as_document(source.row(0), Template()).images[0].picture.pixels()


def test_a_file_that_shrinks_is_refused_by_key(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", {"text": "a"}, {"text": "b"})
    source = opened(tmp_path, "data.jsonl", "text")
    path.write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match="it was longer before") as caught:
        source.row(1)
    assert caught.value.where == "mine/data.jsonl#1"
    path.unlink()
    with pytest.raises(DataError, match="cannot be read") as caught:
        source.row(0)
    assert caught.value.where == "mine/data.jsonl#0"


def test_broken_list(tmp_path: Path) -> None:
    write(tmp_path / "llava.json", '[{"id": 1},')
    with pytest.raises(DataError, match="broken JSON"):
        opened(tmp_path, "llava.json", "llava")


def test_missing_files_and_images(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"data\.sources\.mine\.path: there is no file .*nothing\.jsonl; expected a file or a glob"
    ):
        opened(tmp_path, "nothing.jsonl", "text")
    with pytest.raises(DataError, match="no file matches"):
        opened(tmp_path, "*.jsonl", "text")
    write(tmp_path / "data.jsonl", {"image": "gone.png", "text": "a"})
    row = opened(tmp_path, "data.jsonl", "caption").row(0)
    with pytest.raises(DataError, match=r"mine/data\.jsonl#0\.0: image file .*gone\.png cannot be read"):
        as_document(row, Template()).images[0].picture.pixels()


def test_empty_source(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", "\n\n")
    with pytest.raises(DataError, match=r"data\.sources\.mine: the source is empty .*expected at least one line"):
        opened(tmp_path, "data.jsonl", "text")


def test_fingerprint_is_of_the_content(pictures: Path) -> None:
    for folder in ("x", "y", "z"):
        write(pictures / folder / "data.jsonl", {"image": "../0.png", "text": "a" if folder != "z" else "b"})
    prints = [opened(pictures / folder, "data.jsonl", "caption").fingerprint() for folder in ("x", "y", "z")]
    assert prints[0] == prints[1] != prints[2]
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(pictures / "0.png")
    assert opened(pictures / "x", "data.jsonl", "caption").fingerprint() != prints[0]
