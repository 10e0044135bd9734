from __future__ import annotations

import base64
import io
import itertools
import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.data.rows_for_tests import MadeSource, picture, recipe, sources, tokenizer
from vlmlab.data.encode import Encoder
from vlmlab.data.look import LookRecord, look, look_page, look_text
from vlmlab.data.mixture import Mixture
from vlmlab.data.rows import as_document
from vlmlab.errors import DataError

TOKENIZER = tokenizer()
SOURCES = sources()


def seen(stage: str = "packed", made: dict[str, MadeSource] = SOURCES, **which: object) -> LookRecord:
    return look(recipe(), stage=stage, tokenizer=TOKENIZER, sources=made, **which)  # type: ignore[arg-type]


def pixels(uri: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def test_a_sample_at_every_stage_of_its_way() -> None:
    record = seen(source="page", position=3)
    own = recipe()
    document = as_document(SOURCES["page"].row(3), own.template)
    example = Encoder(TOKENIZER, own.model, own.model.image).encode(document)
    assert record.key == "page#3"
    assert [part.text for part in record.document if part.text] == [
        part.text for part in document.parts if part not in document.images
    ]
    tokens = [token for token in record.tokens if token.segment == record.segment]
    assert [token.id for token in tokens] == example.ids
    assert [token.learned for token in tokens] == example.learn
    assert [token.place for token in tokens] == list(range(len(example)))
    assert sum(token.kind == "visual" for token in tokens) == sum(image.length for image in example.images)
    for token, after in itertools.pairwise(tokens):
        assert token.target == (after.id if after.learned else None)
    assert len(record.tokens) == record.length == 128
    assert sum(token.kind == "padding" for token in record.tokens) == 128 - sum(part.length for part in record.row)
    np.testing.assert_array_equal(pixels(record.images[0].image), picture("page#3.0", height=24).pixels())
    np.testing.assert_array_equal(pixels(record.images[0].view), example.images[0].view.permute(1, 2, 0).numpy())


def test_a_draw_opens_its_row_and_the_following_draws_fill_it() -> None:
    record = seen(position=5)
    spec = recipe().stages["packed"]
    mixture = Mixture(spec.mixture, dict.fromkeys(SOURCES, 300), seed=0, purpose="stage/packed")
    draws = [mixture.draw(n) for n in range(5, 5 + len(record.row))]
    assert (record.source, record.index, record.epoch) == (draws[0].source, draws[0].index, 0)
    assert record.row[0].key == record.key
    assert len(record.row) > 2
    assert seen(key=record.key).tokens[: record.kept] == record.tokens[: record.kept]


def test_record_is_plain_json() -> None:
    record = seen("pairs", position=0)
    assert LookRecord.model_validate_json(json.dumps(record.model_dump(mode="json"))) == record
    assert len(record.row) == 1


def test_text_and_page_say_the_same() -> None:
    record = seen(source="dialogue", position=2)
    text, page = look_text(record), look_page(record)
    assert "dialogue#2" in text
    assert "<image> x 4" in text
    assert f"{record.kept} positions" in text
    assert "packed row" in text
    assert page.startswith("<!doctype html>")
    assert page.count("data:image/png;base64,") == 2 * len(record.images) > 0
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "prefers-color-scheme: dark" in page
    for document in record.row:
        assert document.key in text
        assert document.key in page


def test_markup_in_a_text_is_escaped() -> None:
    made = SOURCES | {"text": MadeSource("text", "text")}
    record = seen(made=made, source="text", position=0).model_copy(update={"key": "<script>alert(1)</script>"})
    assert "<script>" not in look_page(record)


def test_refused_samples_say_why() -> None:
    tree = recipe().model_dump(mode="json")["stages"]
    tree["packed"]["batch"]["images"] = 1
    record = look(recipe(stages=tree), stage="packed", tokenizer=TOKENIZER, sources=SOURCES, source="page", position=3)
    assert record.refused is not None
    assert "4 images but a row may hold 1" in record.refused
    assert not record.tokens
    assert record.refused in look_text(record)
    assert "4 images but a row may hold 1" in look_page(record)


def test_cut_documents_say_so() -> None:
    tree = recipe().model_dump(mode="json")["stages"]
    tree["packed"]["batch"]["length"] = 8
    record = look(recipe(stages=tree), stage="packed", tokenizer=TOKENIZER, sources=SOURCES, source="text", position=3)
    assert record.kept == 8 < record.positions
    assert f"cut from {record.positions}" in look_text(record)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ({"source": "pages"}, "did you mean 'page'"),
        ({"source": "page", "position": 300}, "expected 0 to 299"),
        ({"position": -1}, "expected 0 or more"),
        ({"key": "page#900"}, "no such sample"),
        ({"key": "nowhere#1"}, "no such source"),
    ],
)
def test_samples_that_are_not_there(which: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        seen(**which)
