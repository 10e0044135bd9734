from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmlab.data.document import EncodedPicture
from vlmlab.data.mishaps import Skipped
from vlmlab.data.rows import CaptionRow, DialogueRow, InterleavedRow, as_document
from vlmlab.data.sources.open import open_source
from vlmlab.data.sources.parquet import ParquetRows
from vlmlab.errors import DataError
from vlmlab.recipe.source import Data, ParquetSource
from vlmlab.recipe.tokenizer import Template

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 8, 3), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, columns: dict[str, list[object]], types: dict[str, object], *, group: int = 2) -> None:
    schema = pyarrow.schema(list(types.items()))
    parquet.write_table(pyarrow.Table.from_pydict(columns, schema=schema), path, row_group_size=group)


def opened(root: Path, form: str, *, path: str = "*.parquet", max_images: int = 30) -> ParquetRows:
    spec = ParquetSource(kind="parquet", path=path, form=form, max_images=max_images)
    source = open_source(spec, name="docs", data=Data(), root=root)
    assert isinstance(source, ParquetRows)
    return source


OBELICS = {"images": pyarrow.list_(IMAGE), "texts": pyarrow.list_(pyarrow.string()), "metadata": pyarrow.string()}


def obelics(path: Path, *documents: list[object], group: int = 2) -> None:
    images = [[slot if isinstance(slot, dict) else None for slot in document] for document in documents]
    texts = [[slot if isinstance(slot, str) else None for slot in document] for document in documents]
    write(path, {"images": images, "texts": texts, "metadata": ["[]"] * len(documents)}, OBELICS, group=group)


def slot(level: int) -> dict[str, object]:
    return {"bytes": png(level), "path": None}


def test_interleaved_pages(tmp_path: Path) -> None:
    obelics(tmp_path / "0.parquet", ["one", slot(1), "two", slot(2)], ["only text"], [slot(3), "three"])
    obelics(tmp_path / "1.parquet", [slot(4), "four"])
    source = opened(tmp_path, "obelics")
    assert len(source) == 4
    row = source.row(0)
    assert isinstance(row, InterleavedRow)
    assert as_document(row, Template()).text == " one<image> two<image>"
    levels = [int(image.picture.pixels()[0, 0, 0]) for image in as_document(row, Template()).images]
    assert levels == [1, 2]
    keys = [source.row(index).key for index in range(4)]
    assert keys == ["docs/0.parquet#0", "docs/0.parquet#1", "docs/0.parquet#2", "docs/1.parquet#0"]
    assert [source.find(key) for key in keys] == [0, 1, 2, 3]
    with pytest.raises(DataError, match="no such sample"):
        source.find("docs/0.parquet#3")
    again = pickle.loads(pickle.dumps(source))
    assert again.row(3).key == keys[3]
    assert not pickle.loads(pickle.dumps(source))._cache


def test_dialogues(tmp_path: Path) -> None:
    turn = pyarrow.struct([("user", pyarrow.string()), ("assistant", pyarrow.string()), ("source", pyarrow.string())])
    columns = {
        "images": [[slot(1), slot(2)], []],
        "texts": [
            [
                {"user": "which?", "assistant": "this", "source": "s"},
                {"user": "why?", "assistant": "so", "source": "s"},
            ],
            [{"user": "2 + 2?", "assistant": "4", "source": "s"}],
        ],
    }
    write(tmp_path / "0.parquet", columns, {"images": pyarrow.list_(IMAGE), "texts": pyarrow.list_(turn)})
    row = opened(tmp_path, "cauldron").row(0)
    assert isinstance(row, DialogueRow)
    text = as_document(row, Template()).text
    assert text == "<image><image> question: which? answer: this\n question: why? answer: so\n"
    assert as_document(opened(tmp_path, "cauldron").row(1), Template()).images == ()


@pytest.mark.parametrize("kind", [IMAGE, pyarrow.binary()], ids=["struct", "bytes"])
def test_captions(tmp_path: Path, kind: object) -> None:
    image = slot(7) if kind is IMAGE else png(7)
    write(tmp_path / "0.parquet", {"image": [image], "text": ["seven"]}, {"image": kind, "text": pyarrow.string()})
    row = opened(tmp_path, "caption").row(0)
    assert isinstance(row, CaptionRow)
    assert isinstance(row.picture, EncodedPicture)
    assert (row.picture.pixels() == 7).all()


def test_too_many_images_are_skipped(tmp_path: Path) -> None:
    obelics(tmp_path / "0.parquet", [slot(1), slot(2), slot(3), "text"])
    with pytest.raises(Skipped, match="3 images; at most 2 are wanted"):
        opened(tmp_path, "obelics", max_images=2).row(0)


def test_urls_instead_of_bytes(tmp_path: Path) -> None:
    url = "https://example.org/a.jpg"
    obelics(tmp_path / "0.parquet", [{"bytes": None, "path": url}, "text"])
    with pytest.raises(DataError, match=r"example\.org/a\.jpg' instead of bytes; images must be materialised first"):
        opened(tmp_path, "obelics").row(0)
    write(
        tmp_path / "0.parquet",
        {"images": [[url, None]], "texts": [[None, "a"]], "metadata": [""]},
        {**OBELICS, "images": pyarrow.list_(pyarrow.string())},
    )
    with pytest.raises(DataError, match=r"holds text .*materialised first"):
        opened(tmp_path, "obelics")


def test_missing_columns(tmp_path: Path) -> None:
    write(tmp_path / "0.parquet", {"url": ["u"], "text": ["t"]}, {"url": pyarrow.string(), "text": pyarrow.string()})
    with pytest.raises(DataError, match="found the columns url, text; form caption expects image and text"):
        opened(tmp_path, "caption")


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file matches"):
        opened(tmp_path, "obelics")
    obelics(tmp_path / "0.parquet")
    with pytest.raises(DataError, match="the source is empty"):
        opened(tmp_path, "obelics")
    (tmp_path / "0.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="no parquet file, or a truncated one"):
        opened(tmp_path, "obelics")


def test_texts_and_images_of_different_length(tmp_path: Path) -> None:
    columns = {"images": [[slot(1)]], "texts": [["a", "b"]], "metadata": [""]}
    write(tmp_path / "0.parquet", columns, OBELICS)
    with pytest.raises(DataError, match="1 images and 2 texts"):
        opened(tmp_path, "obelics").row(0)


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    obelics(tmp_path / "0.parquet", ["a"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install vlmlab\[data\]"):
        opened(tmp_path, "obelics")


def captions(path: Path, count: int, **options: object) -> None:
    table = pyarrow.table(
        {"image": [png(number) for number in range(count)], "text": [f"text {n}" for n in range(count)]}
    )
    parquet.write_table(table, path, row_group_size=4, **options)


@pytest.mark.parametrize("checked", [True, False])
def test_a_damaged_row_group_is_refused_row_by_row(tmp_path: Path, checked: bool) -> None:
    path = tmp_path / "0.parquet"
    captions(path, 12, compression="snappy" if not checked else "none", write_page_checksum=checked)
    column = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    middle = start + column.total_compressed_size // 2
    data[middle : middle + (1 if checked else 60)] = b"\xff" * (1 if checked else 60)
    path.write_bytes(data)
    source = opened(tmp_path, "caption")
    assert len(source) == 12
    for index in (0, 1, 2, 3, 8, 9, 10, 11):
        assert source.row(index).text == f"text {index}"
    for index in (4, 5, 6, 7, 4):
        with pytest.raises(DataError, match=r"row group 1 of 0\.parquet cannot be read") as caught:
            source.row(index)
        assert caught.value.where == f"docs/0.parquet#{index}"


def test_texts_that_are_no_utf8_are_refused_by_key(tmp_path: Path) -> None:
    column = pyarrow.array([b"good", b"caf\xe9", b"fine"], pyarrow.binary())
    text = pyarrow.StringArray.from_buffers(3, *column.buffers()[1:])
    parquet.write_table(pyarrow.table({"image": [png(n) for n in range(3)], "text": text}), tmp_path / "0.parquet")
    source = opened(tmp_path, "caption")
    assert [source.row(0).text, source.row(2).text] == ["good", "fine"]
    with pytest.raises(DataError, match="no UTF-8") as caught:
        source.row(1)
    assert caught.value.where == "docs/0.parquet#1"


@pytest.mark.parametrize("place", ["middle", "end", "footer"])
def test_cut_files_are_an_error(tmp_path: Path, place: str) -> None:
    path = tmp_path / "0.parquet"
    captions(path, 12)
    data = bytearray(path.read_bytes())
    if place == "footer":
        start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data if place == "footer" else data[: len(data) // 2 if place == "middle" else -3])
    with pytest.raises(DataError, match="no parquet file, or a truncated one"):
        opened(tmp_path, "caption")


@pytest.mark.parametrize(
    ("form", "columns", "words"),
    [
        ("caption", {"image": [b"x"], "text": [7]}, "column text holds int64; form caption expects texts"),
        ("obelics", {"images": [[b"x"]], "texts": [[7]]}, "column texts holds int64"),
        ("obelics", {"images": [b"x"], "texts": [["a"]]}, "column images holds binary; form obelics expects a list"),
        ("obelics", {"images": [[b"x"]], "texts": ["a"]}, "column texts holds string; form obelics expects a list"),
        ("cauldron", {"images": [[b"x"]], "texts": [["a"]]}, "turns with the fields user and assistant"),
    ],
)
def test_columns_of_another_type_are_an_error(
    tmp_path: Path, form: str, columns: dict[str, object], words: str
) -> None:
    parquet.write_table(pyarrow.table(columns), tmp_path / "0.parquet")
    with pytest.raises(DataError, match=words):
        opened(tmp_path, form)
