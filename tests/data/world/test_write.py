"""The world as files: the columns and names of public data, the same bytes each time, whole or absent."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmlab.data.rows import CaptionRow, DialogueRow, InterleavedRow, as_document
from vlmlab.data.world import formats
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.data.world.write import write_world
from vlmlab.errors import DataError
from vlmlab.files import file_digest, read_json, read_jsonl
from vlmlab.recipe.source import World
from vlmlab.recipe.tokenizer import Template

DOCUMENTS, ITEMS = 12, 5
SPEC = World(seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "world"
    write_world(folder, SPEC, DOCUMENTS, ITEMS)
    return folder


@pytest.fixture(scope="module")
def generated() -> GeneratedWorld:
    return GeneratedWorld(SPEC)


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def _parquet(path: Path) -> Any:
    return pytest.importorskip("pyarrow.parquet").read_table(path)


@pytest.mark.parametrize("family", ["captions", "rendered"])
def test_pairs_are_webdataset(family: Any, folder: Path, generated: GeneratedWorld) -> None:
    with tarfile.open(folder / family / "00000.tar") as tar:
        members = {member.name: member for member in tar}
        assert list(members) == [f"{i:09d}.{kind}" for i in range(DOCUMENTS) for kind in ("png", "txt", "json")]
        assert {member.mtime for member in members.values()} == {0}

        def read(name: str) -> bytes:
            file = tar.extractfile(members[name])
            assert file is not None
            return file.read()

        for index in range(DOCUMENTS):
            row = generated.training_row(family, index, SPEC.scenes)
            assert isinstance(row, CaptionRow)
            assert read(f"{index:09d}.txt").decode() == row.text
            assert json.loads(read(f"{index:09d}.json"))["caption"] == row.text
            assert np.array_equal(_pixels(read(f"{index:09d}.png")), row.picture.pixels())


def test_shards_are_numbered_through(generated: GeneratedWorld, tmp_path: Path) -> None:
    row = generated.training_row("captions", 0, SPEC.scenes)
    assert isinstance(row, CaptionRow)
    formats.write_tar(tmp_path / "00001.tar", [row], first=1000)
    with tarfile.open(tmp_path / "00001.tar") as tar:
        assert tar.getnames()[0] == "000001000.png"


def test_pages_are_obelics(folder: Path, generated: GeneratedWorld) -> None:
    table = _parquet(folder / "pages" / "pages.parquet")
    assert table.column_names == ["images", "texts", "metadata", "general_metadata"]
    assert table.num_rows == DOCUMENTS
    for index, value in enumerate(table.to_pylist()):
        row = generated.training_row("pages", index, SPEC.scenes)
        assert isinstance(row, InterleavedRow)
        metadata = json.loads(value["metadata"])
        assert len(value["images"]) == len(value["texts"]) == len(metadata) == len(row.items)
        for image, text, about, item in zip(value["images"], value["texts"], metadata, row.items, strict=True):
            assert (image is None) != (text is None)
            if isinstance(item, str):
                assert text == item
                assert about is None
            else:
                assert np.array_equal(_pixels(image["bytes"]), item.pixels())
                assert about["original_width"] == 96


def test_dialogues_are_cauldron(folder: Path, generated: GeneratedWorld) -> None:
    table = _parquet(folder / "dialogues" / "dialogues.parquet")
    assert table.column_names == ["images", "texts"]
    for index, value in enumerate(table.to_pylist()):
        row = generated.training_row("dialogues", index, SPEC.scenes)
        assert isinstance(row, DialogueRow)
        assert [(turn["user"], turn["assistant"]) for turn in value["texts"]] == list(row.turns)
        assert all(turn["source"] for turn in value["texts"])
        for image, picture in zip(value["images"], row.pictures, strict=True):
            assert np.array_equal(_pixels(image["bytes"]), picture.pixels())
    binding = sum(_parquet(path).num_rows for path in folder.glob("*/binding.parquet"))
    assert binding == DOCUMENTS


@pytest.mark.parametrize("family", ["facts", "twins", "binding_text"])
def test_corpus_is_json_lines(family: Any, folder: Path, generated: GeneratedWorld) -> None:
    for index, line in enumerate(read_jsonl(folder / "corpus" / f"{family}.jsonl")):
        row = generated.training_row(family, index, SPEC.scenes)
        assert line == {"id": row.key, "text": as_document(row, Template()).text.strip()}


@pytest.mark.parametrize("family", ["general", "reading", "knowledge", "captions", "binding", "text"])
def test_benchmarks_hold_their_items(family: Any, folder: Path, generated: GeneratedWorld) -> None:
    lines = read_jsonl(folder / "benchmarks" / f"{family}.jsonl")
    items = generated.benchmark_items(family, ITEMS, SPEC.scenes)
    pool = folder / "benchmarks" / f"{family}.demonstrations.jsonl"
    assert pool.is_file() == (family != "binding")
    for line, item in zip(lines, items, strict=True):
        assert (line["id"], line["cluster"], line["question"]) == (item.id, item.cluster, item.question)
        assert tuple(line["answers"]) == item.answers
        assert tuple(line.get("choices", ())) == item.choices
        assert len(line.get("demonstrations", ())) == len(item.demonstrations or ())
        if item.picture is None:
            assert line["image"] is None
        else:
            assert np.array_equal(_pixels((folder / "benchmarks" / line["image"]).read_bytes()), item.picture.pixels())
    images = [line["image"] for line in lines if line["image"]]
    for shot in [shot for line in lines for shot in line.get("demonstrations", ())]:
        images.append(shot["image"])
        assert (folder / "benchmarks" / shot["image"]).is_file()
    assert len(set(images)) == len(images)


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "again", SPEC, DOCUMENTS, ITEMS)
    ours = {path.relative_to(folder).as_posix(): file_digest(path) for path in folder.rglob("*") if path.is_file()}
    again = {
        path.relative_to(tmp_path / "again").as_posix(): file_digest(path)
        for path in (tmp_path / "again").rglob("*")
        if path.is_file()
    }
    assert ours == again


def test_the_card_names_every_file(folder: Path) -> None:
    card = read_json(folder / "world.json")
    for name, about in card["files"].items():
        assert file_digest(folder / name) == about["sha256"]
    assert {path.parent.name for path in folder.rglob("*.parquet")} == {"pages", "dialogues"}
    assert "no pictures, fonts or texts of others" in (folder / "README.md").read_text()


def test_a_smaller_world_replaces_a_larger_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "world"
    write_world(target, SPEC, 2, 2)
    write_world(target, SPEC, 1, 1)
    assert len(read_jsonl(target / "benchmarks" / "general.jsonl")) == 1
    assert len(list((target / "benchmarks" / "images" / "reading").glob("test-*"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"found 'thesis.txt' in it; expected a folder that is empty"):
        write_world(tmp_path, SPEC, 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(DataError, match="expected a folder"):
        write_world(tmp_path / "thesis.txt", SPEC, 1, 1)
    with pytest.raises(DataError, match="both must be at least 1"):
        write_world(tmp_path / "new", SPEC, 0, 1)


def test_missing_pyarrow_is_said_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'vlmlab\[data\]'"):
        write_world(tmp_path / "world", SPEC, 1, 1)
    assert list(tmp_path.iterdir()) == []
