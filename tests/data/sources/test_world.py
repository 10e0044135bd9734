from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmlab.data.loader import StageLoader
from vlmlab.data.rows import as_document
from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import build_tokenizer
from vlmlab.data.world.write import write_world
from vlmlab.errors import DataError
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import Data
from vlmlab.recipe.tokenizer import Template

FAMILIES = ("captions", "pages", "binding", "facts", "twins", "binding_text", "rendered", "dialogues")


def data(**world: object) -> dict[str, object]:
    sources = {family: {"kind": "world", "family": family, "size": 50} for family in FAMILIES}
    return {"sources": sources, "world": {"entities": 6, "words": 8, **world}}


def opened(**world: object) -> dict[str, OpenSource]:
    return open_sources(Data.model_validate_json(json.dumps(data(**world))), root=Path())


def test_keys_name_source_and_index() -> None:
    sources = opened()
    for family, source in sources.items():
        assert len(source) == 50
        assert source.row(7).key == f"{family}#7"
        assert source.find(f"{family}#7") == 7
    for key in ("captions#50", "captions#x", "pages#1"):
        with pytest.raises(DataError, match="no such sample"):
            sources["captions"].find(key)


def test_fingerprints_see_the_world_and_the_family() -> None:
    first, again, other = opened(), opened(), opened(seed=1)
    assert {name: source.fingerprint() for name, source in first.items()} == {
        name: source.fingerprint() for name, source in again.items()
    }
    assert len({source.fingerprint() for source in [*first.values(), *other.values()]}) == 2 * len(FAMILIES)


def test_every_family_reaches_a_batch() -> None:
    tree = {
        "name": "all",
        "model": {"vision": {"width": 16, "heads": 2, "mlp": 32}, "language": {"width": 16, "heads": 2, "mlp": 32}},
        "tokenizer": {"kind": "bpe", "vocabulary": 500, "documents": 80},
        "data": data(),
        "stages": {
            "all": {
                "objective": {"kind": "next_token"},
                "train": {"language": {"mode": "full"}},
                "mixture": dict.fromkeys(FAMILIES, 1),
                "duration": {"steps": 1},
                "batch": {"rows": 4, "length": 512, "images": 12},
            }
        },
    }
    recipe = Recipe.model_validate_json(json.dumps(tree))
    sources = open_sources(recipe.data, root=Path())
    tokenizer = build_tokenizer(recipe, sources)
    runs = []
    for _ in range(2):
        with StageLoader(
            recipe=recipe, stage="all", tokenizer=tokenizer, sources=sources, workers=0, prefetch=1
        ) as own:
            runs.append(list(itertools.islice(own, 3)))
    assert set().union(*(loaded.by_source() for loaded in runs[0])) == set(FAMILIES)
    for first, second in zip(*runs, strict=True):
        assert torch.equal(first.batch.pixels, second.batch.pixels)
        assert torch.equal(first.batch.ids, second.batch.ids)
        assert int((first.batch.ids == tokenizer.image).sum()) == first.batch.num_visual()


FILES = {
    "captions": ("webdataset", "captions/*.tar", None),
    "rendered": ("webdataset", "rendered/*.tar", None),
    "pages": ("parquet", "pages/pages.parquet", "obelics"),
    "dialogues": ("parquet", "dialogues/dialogues.parquet", "cauldron"),
    "facts": ("jsonl", "corpus/facts.jsonl", "text"),
    "twins": ("jsonl", "corpus/twins.jsonl", "text"),
    "binding_text": ("jsonl", "corpus/binding_text.jsonl", "text"),
}


def test_the_written_world_read_by_the_ordinary_readers_is_the_world(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    written = {
        family: {"kind": kind, "path": path} | ({} if form is None else {"form": form})
        for family, (kind, path, form) in FILES.items()
    }
    own = Data.model_validate_json(json.dumps(data() | {"sources": written}))
    write_world(tmp_path / "world", own.world, documents=5, items=1)
    from_files = open_sources(own, root=tmp_path / "world")
    generated = opened()
    for family, source in from_files.items():
        assert len(source) == 5
        for index in range(5):
            read = as_document(source.row(index), Template())
            made = as_document(generated[family].row(index), Template())
            # A corpus file holds texts without the white space around them.
            assert read.text.strip() == made.text.strip()
            for ours, theirs in zip(read.images, made.images, strict=True):
                np.testing.assert_array_equal(ours.picture.pixels(), theirs.picture.pixels())
