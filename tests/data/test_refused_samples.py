"""Bad samples all the way: every refusal is counted under its source, named by its key, and bounded."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.rows_for_tests import MadeSource, recipe, tokenizer
from tests.data.sources.test_webdataset import png, shard
from vlmlab.data.loader import StageLoader
from vlmlab.data.mishaps import LONGEST, Mishaps, Refusal
from vlmlab.data.rows import Row
from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.sources.open import open_sources
from vlmlab.errors import DataError
from vlmlab.files import read_json, write_json
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import BadSamples

TOKENIZER = tokenizer()


def small(source: dict[str, Any], **bad_samples: Any) -> Recipe:
    """One packed stage that reads one source."""
    stage = recipe().plain()["stages"]["packed"] | {"mixture": {"bad": 1.0}}
    return recipe(data={"sources": {"bad": source}, "bad_samples": bad_samples}, stages={"only": stage})


def loader(own: Recipe, sources: dict[str, OpenSource], *, workers: int = 0) -> StageLoader:
    return StageLoader(recipe=own, stage="only", tokenizer=TOKENIZER, sources=sources, workers=workers, prefetch=2)


def test_every_kind_of_bad_sample_is_counted_and_named_by_key(tmp_path: Path) -> None:
    good = {
        f"{number:03d}.{kind}": png(number) if kind == "png" else b"a star"
        for number in range(60)
        for kind in ("png", "txt")
    }
    bad = {
        "a-empty.png": b"",
        "b-text.png": b"this is no image",
        "c-cut.png": png(3)[:-20],
        "d-latin.png": png(4),
        "e-alone.png": png(5),
        "f-blank.png": png(6),
    }
    texts = {name.replace("png", "txt"): b"a star" for name in bad if name != "e-alone.png"}
    texts |= {"d-latin.txt": b"caf\xe9", "f-blank.txt": b" \n"}
    members = good | {name: data for pair in sorted(bad | texts) for name, data in [(pair, (bad | texts)[pair])]}
    whole = shard(tmp_path / "0.tar", members | {"z.png": png(7), "z.txt": b"never read"}).read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[: whole.index(b"z.png") + 600])
    own = small({"kind": "webdataset", "path": "0.tar"}, share=0.5)
    sources = open_sources(own.data, root=tmp_path)
    assert len(sources["bad"]) == 60 + 6 + 1
    with loader(own, sources) as batches:
        list(itertools.islice(batches, 12))
        counted = batches.refusals()["bad"]
    epochs = counted.read / 67
    assert epochs > 2
    assert abs(counted.refused - 7 * epochs) < 7
    assert len(counted.examples) == 5
    keys = {example["key"] for example in counted.examples}
    assert keys <= {f"bad/0.tar#{place}" for place in range(60, 67)}
    for key in keys:
        assert sources["bad"].find(key) >= 60
    reasons = " ".join(example["reason"] for example in counted.examples)
    assert sum(word in reasons for word in ("0 bytes", "no image", "truncated", "caption is empty", "broken")) >= 3


def test_too_many_in_a_row_end_the_run_and_name_the_last(tmp_path: Path) -> None:
    shard(tmp_path / "0.tar", {f"{n}.{kind}": b"" for n in range(30) for kind in ("png", "txt")})
    own = small({"kind": "webdataset", "path": "0.tar"}, in_a_row=10)
    with pytest.raises(DataError, match=r"data\.sources\.bad: 11 samples refused in a row; at most 10") as caught:
        next(loader(own, open_sources(own.data, root=tmp_path)))
    assert str(caught.value).count("\n  bad/0.tar#") == 5


@dataclasses.dataclass(frozen=True)
class Mistaken:
    """A source with a mistake of ours in it."""

    made: MadeSource

    def __len__(self) -> int:
        return len(self.made)

    def row(self, index: int) -> Row:
        raise TypeError("a mistake of ours")

    def find(self, key: str) -> int:
        return self.made.find(key)

    def fingerprint(self) -> str:
        return self.made.fingerprint()


@pytest.mark.parametrize("workers", [0, 1])
def test_programming_errors_are_never_swallowed(workers: int) -> None:
    own = small({"kind": "world", "family": "captions"}, share=1.0, in_a_row=10_000)
    with (
        loader(own, {"bad": Mistaken(MadeSource("bad", "text"))}, workers=workers) as batches,
        pytest.raises(TypeError, match="a mistake of ours"),
    ):
        next(batches)


def test_names_and_reasons_are_bounded_and_can_be_written(tmp_path: Path) -> None:
    own = Mishaps(BadSamples())
    own.refused("s", Refusal("s#1", "a member called \udcff\udcfe"))
    own.refused("s", Refusal("s#2", "x" * 100_000))
    examples = own.summary()["s"].examples
    write_json(tmp_path / "record.json", examples)
    assert read_json(tmp_path / "record.json") == examples
    assert "\\udcff" in examples[0]["reason"]
    assert len(examples[1]["reason"]) <= LONGEST
    assert len(json.dumps(examples)) < 2000


def test_members_with_names_that_are_no_text_reach_the_record(tmp_path: Path) -> None:
    whole = shard(tmp_path / "0.tar", {"name.png": png(1)} | {"good.png": png(1), "good.txt": b"a star"}).read_bytes()
    header = bytearray(whole[:512])
    header[:4] = b"\xff\xfe\xfd\xfc"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "0.tar").write_bytes(bytes(header) + whole[512:])
    own = small({"kind": "webdataset", "path": "0.tar"}, share=1.0)
    with loader(own, open_sources(own.data, root=tmp_path)) as batches:
        next(batches)
        (example,) = batches.refusals()["bad"].examples
    assert "has no caption" in example["reason"]
    write_json(tmp_path / "record.json", example)
