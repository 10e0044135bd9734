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
