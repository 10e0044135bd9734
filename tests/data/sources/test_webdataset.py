from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmlab.data.sources.open import open_source
from vlmlab.data.sources.webdataset import WebdatasetRows
from vlmlab.errors import DataError
from vlmlab.recipe.source import Data, WebdatasetSource


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 8, 3), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def shard(path: Path, members: dict[str, bytes], *, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def opened(root: Path, path: str = "*.tar") -> WebdatasetRows:
    source = open_source(WebdatasetSource(kind="webdataset", path=path), name="pairs", data=Data(), root=root)
    assert isinstance(source, WebdatasetRows)
    return source


def test_pairs_of_several_shards(tmp_path: Path) -> None:
    shard(
        tmp_path / "000.tar", {"a/1.png": png(1), "a/1.txt": "eins – 1".encode(), "a/2.txt": b"two", "a/2.png": png(2)}
    )
    shard(tmp_path / "001.tar", {"a/1.jpg": png(3), "a/1.json": json.dumps({"caption": "three"}).encode()})
    source = opened(tmp_path)
    rows = [source.row(index) for index in range(len(source))]
    assert [(row.key, row.text) for row in rows] == [
        ("pairs/000.tar#0", "eins – 1"),
        ("pairs/000.tar#1", "two"),
        ("pairs/001.tar#0", "three"),
    ]
    assert [int(row.picture.pixels()[0, 0, 0]) for row in rows] == [1, 2, 3]
    assert len({row.picture.key for row in rows}) == 3
    assert [source.find(row.key) for row in rows] == [0, 1, 2]
    assert pickle.loads(pickle.dumps(source)).row(1) == rows[1]


def test_text_is_preferred_to_json(tmp_path: Path) -> None:
    shard(tmp_path / "0.tar", {"1.png": png(1), "1.json": b'{"caption": "json"}', "1.txt": b"txt"})
    assert opened(tmp_path).row(0).text == "txt"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"1.txt": b"a"}, "1 has no image beside txt"),
        ({"1.png": b"", "1.cls": b"3"}, "1 has no caption beside png, cls"),
        ({"1.png": b"", "1.json": b"{"}, "the caption of 1 is broken"),
        ({"1.png": b"", "1.json": b'{"a": 1}'}, "has no text in caption or text"),
        ({"1.png": b"", "1.txt": b"\xff\xfe\xfa"}, "the caption of 1 is broken"),
    ],
)
def test_bad_samples(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    shard(tmp_path / "0.tar", members)
    with pytest.raises(DataError, match=words) as caught:
        opened(tmp_path).row(0)
    assert caught.value.where == "pairs/0.tar#0"


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a/../../evil.png"])
def test_names_that_climb_out_are_refused(tmp_path: Path, name: str) -> None:
    shard(tmp_path / "0.tar", {name: png(1)})
    with pytest.raises(DataError, match="climbs out of the archive"):
        opened(tmp_path)


def test_bad_shards(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file matches"):
        opened(tmp_path)
    shard(tmp_path / "0.tar", {})
    with pytest.raises(DataError, match="the source is empty"):
        opened(tmp_path)
    (tmp_path / "0.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(DataError, match="no plain tar"):
        opened(tmp_path)
    shard(tmp_path / "0.tar", {"1.png": png(1), "1.txt": b"a"}, mode="w:gz")
    with pytest.raises(DataError, match=r"expected an uncompressed \.tar"):
        opened(tmp_path)
    whole = shard(tmp_path / "0.tar", {"1.txt": b"a", "1.png": bytes(5000)}).read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:3000])
    with pytest.raises(
        DataError, match=r"truncated or damaged: member '1\.png' ends at byte 6536, but the shard has 3000"
    ):
        opened(tmp_path)


def pairs(count: int) -> dict[str, bytes]:
    return {
        f"{number}.{kind}": png(number) if kind == "png" else b"a" for number in range(count) for kind in ("png", "txt")
    }


@pytest.mark.parametrize("cut", range(700, 10_240, 301))
def test_a_cut_shard_gives_its_whole_samples_and_names_the_cut_once(tmp_path: Path, cut: int) -> None:
    whole = shard(tmp_path / "0.tar", pairs(4)).read_bytes()
    # Each member takes a header and one block: the text of sample n starts at byte 2048 n + 1536, and has one byte.
    expected = min(4, (cut - 1537) // 2048 + 1) if cut >= 1537 else 0
    (tmp_path / "0.tar").write_bytes(whole[:cut])
    if not expected:
        with pytest.raises(DataError, match="truncated or damaged"):
            opened(tmp_path)
        return
    source = opened(tmp_path)
    ended = cut >= 4 * 2048 + 512
    assert len(source) == expected + (not ended)
    assert [source.row(index).text for index in range(expected)] == ["a"] * expected
    if not ended:
        with pytest.raises(DataError, match=f"truncated or damaged.*{expected} whole samples before it") as caught:
            source.row(expected)
        assert caught.value.where == f"pairs/0.tar#{expected}"
        assert source.find(caught.value.where) == expected


def test_a_hole_in_a_shard_is_not_its_end(tmp_path: Path) -> None:
    whole = bytearray(shard(tmp_path / "0.tar", pairs(5)).read_bytes())
    whole[4096:4608] = b"\xaa" * 512
    (tmp_path / "0.tar").write_bytes(whole)
    source = opened(tmp_path)
    assert len(source) == 3
    with pytest.raises(DataError, match="there is no member at byte 4096 of 20480") as caught:
        source.row(2)
    assert caught.value.where == "pairs/0.tar#2"


def test_a_whole_shard_beside_a_cut_one(tmp_path: Path) -> None:
    whole = shard(tmp_path / "0.tar", pairs(4)).read_bytes()
    shard(tmp_path / "1.tar", pairs(2))
    (tmp_path / "0.tar").write_bytes(whole[:5000])
    source = opened(tmp_path)
    assert len(source) == 2 + 1 + 2
    assert source.row(3).key == "pairs/1.tar#0"


def test_names_and_captions_that_are_no_text(tmp_path: Path) -> None:
    shard(tmp_path / "0.tar", {"1.png": png(1), "1.json": b"[" * 100_000})
    with pytest.raises(DataError, match="the caption of 1 is broken"):
        opened(tmp_path).row(0)


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    prints = []
    for folder, level in (("x", 1), ("y", 1), ("z", 2)):
        (tmp_path / folder).mkdir()
        shard(tmp_path / folder / "0.tar", {"1.png": png(level), "1.txt": b"a"})
        prints.append(opened(tmp_path / folder).fingerprint())
    assert prints[0] == prints[1] != prints[2]
