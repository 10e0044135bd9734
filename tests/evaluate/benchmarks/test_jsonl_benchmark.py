from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from vlmlab.errors import EvaluationError
from vlmlab.evaluate.benchmarks.jsonl import open_jsonl
from vlmlab.evaluate.contract import Benchmark
from vlmlab.recipe.evaluation import JsonlBenchmark
from vlmlab.recipe.tokenizer import Template

GOOD = {"id": "a", "question": "what?", "answers": ["red"]}


def write(path: Path, rows: list[object]) -> None:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )


def opened(folder: Path, **fields: object) -> Benchmark:
    tree = {"kind": "jsonl", "path": "test.jsonl", "metric": "exact_match", "items": 1, "shots": [0]} | fields
    return open_jsonl("mine", JsonlBenchmark.model_validate_json(json.dumps(tree)), root=folder, template=Template())


def test_items_with_everything(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    PillowImage.fromarray(np.full((4, 6, 3), 7, np.uint8)).save(tmp_path / "pictures" / "one.png")
    shot = {"question": "what?", "answers": ["blue"], "image": "one.png"}
    row = GOOD | {"id": 7, "cluster": "s", "image": "one.png", "choices": ["red", "blue"], "demonstrations": [shot]}
    write(tmp_path / "test.jsonl", [row, "", GOOD])
    bench = opened(tmp_path, items=2, images="pictures")
    first, second = bench.items
    assert (first.id, first.cluster, first.answers, first.choices) == ("7", "s", ("red",), ("red", "blue"))
    assert first.picture.pixels().shape == (4, 6, 3)
    assert first.demonstrations[0].answers == ("blue",)
    assert (second.cluster, second.picture, second.demonstrations) == ("a", None, None)


def test_images_are_beside_the_file_where_no_folder_is_named(tmp_path: Path) -> None:
    PillowImage.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "one.png")
    write(tmp_path / "test.jsonl", [{"id": "a", "image": "one.png", "answers": ["a black square"]}])
    assert opened(tmp_path, metric="cider").items[0].question is None


def test_the_first_items_and_the_whole_pool(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", [GOOD | {"id": str(index)} for index in range(5)])
    write(tmp_path / "train.jsonl", [GOOD | {"id": f"t{index}"} for index in range(9)])
    bench = opened(tmp_path, items=3, shots=[0, 4], demonstrations="train.jsonl")
    assert [one.id for one in bench.items] == ["0", "1", "2"]
    assert len(bench.pool) == 9


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{broken", "test.jsonl:2: not valid JSON .*each line is one object"),
        ("[1]", "test.jsonl:2: found a list; each line is one JSON object"),
        (GOOD | {"anwers": []}, "test.jsonl:2: unknown field 'anwers'; did you mean 'answers'"),
        ({"question": "what?", "answers": ["red"]}, "test.jsonl:2: id is None; expected a text or an integer"),
        ({"id": "b", "question": "what?"}, "test.jsonl:2: answers is missing or empty"),
        (GOOD | {"answers": "red"}, "test.jsonl:2: answers is 'red'; expected a list of texts"),
        (GOOD | {"answers": [3]}, r"test.jsonl:2: answers is \[3\]; expected a list of texts"),
        (GOOD | {"question": 3}, "test.jsonl:2: question is 3; expected a text"),
        (
            GOOD | {"image": "none.png"},
            "test.jsonl:2: image file .*none.png does not exist; image paths are relative to",
        ),
        (GOOD | {"cluster": [1]}, r"test.jsonl:2: cluster is \[1\]"),
        (GOOD | {"demonstrations": {}}, "test.jsonl:2: demonstrations is a dict; expected a list"),
        (GOOD | {"demonstrations": [{"id": "x"}]}, r"test.jsonl:2 demonstrations\[0\]: answers is missing"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, row: object, problem: str) -> None:
    write(tmp_path / "test.jsonl", [GOOD, row])
    with pytest.raises(EvaluationError, match=problem):
        opened(tmp_path)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"benchmarks.mine.path: file .*test.jsonl cannot be read \(No such file"):
        opened(tmp_path)
    (tmp_path / "test.jsonl").write_text("\n")
    with pytest.raises(EvaluationError, match="has no items"):
        opened(tmp_path)
    (tmp_path / "test.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(EvaluationError, match="is not UTF-8"):
        opened(tmp_path)


def test_numbers_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", [GOOD])
    with pytest.raises(
        EvaluationError, match=r"mine.items: 5 items are asked for but test.jsonl has 1; set items to 1"
    ):
        opened(tmp_path, items=5)
    with pytest.raises(EvaluationError, match=r"mine.demonstrations: shots \[0, 4\] need a file of demonstrations"):
        opened(tmp_path, shots=[0, 4])
    write(tmp_path / "test.jsonl", [GOOD, GOOD])
    with pytest.raises(EvaluationError, match="'a' occurs more than once"):
        opened(tmp_path, items=2)
