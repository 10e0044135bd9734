"""Properties of documents of any parts: encoding, cutting, packing and collating lose and mix nothing."""

from __future__ import annotations

import json

import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.data.rows_for_tests import picture, recipe, tokenizer
from vlmlab.batch import IGNORED
from vlmlab.data.collate import collate, collate_prompts
from vlmlab.data.document import Document, Image, Part, Text
from vlmlab.data.encode import Encoder, Example, fit
from vlmlab.data.pack import Packable, Packer
from vlmlab.errors import DataError
from vlmlab.recipe.recipe import Model

TOKENIZER = tokenizer()
MARKS = (TOKENIZER.image, TOKENIZER.image_start, TOKENIZER.image_end)
LITERALS = ("<image>", "<image_start>", "<bos>", "</s>", "<|im_start|>")
ROWS, LENGTH, IMAGES = 3, 96, 5


def model(connector: str, *, marks: bool) -> Model:
    tree = recipe().model.plain()
    specs = {
        "mlp": {"kind": "mlp"},
        "pixel_shuffle": {"kind": "pixel_shuffle"},
        "perceiver": {"kind": "perceiver", "latents": 3},
    }
    changes = {"connector": specs[connector], "fusion": tree["fusion"] | {"marks": marks}}
    return Model.model_validate_json(json.dumps(tree | changes))


PICTURES = some.builds(
    lambda number, height, width: picture(f"{number}/{height}x{width}", height=height, width=width),
    some.integers(0, 3),
    some.sampled_from([1, 7, 30, 90]),
    some.sampled_from([1, 9, 40, 300]),
)
TEXTS = some.builds(Text, some.one_of(some.text(max_size=12), some.sampled_from(LITERALS)), learn=some.booleans())
PARTS = some.lists(some.one_of(TEXTS, some.builds(Image, PICTURES)), max_size=6).map(tuple)
DOCUMENTS = some.builds(Document, some.uuids().map(str), PARTS, complete=some.booleans())
ENCODERS = some.builds(
    lambda connector, marks: Encoder(TOKENIZER, own := model(connector, marks=marks), own.image),
    some.sampled_from(["mlp", "pixel_shuffle", "perceiver"]),
    some.booleans(),
)


def text_of(parts: tuple[Part, ...]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def check(example: Example) -> None:
    """What holds for every example."""
    assert len(example.ids) == len(example.learn)
    assert example.ids[0] == TOKENIZER.bos
    stop = 0
    for image in example.images:
        assert stop <= image.first < image.stop <= len(example)
        stop = image.stop
        assert set(example.ids[image.start : image.start + image.length]) == {TOKENIZER.image}
        assert not any(example.learn[image.first : image.stop])
        assert image.length >= 1
        assert tuple(image.view.shape[1:]) == (image.grid[0] * 8, image.grid[1] * 8)
    inside = sum(image.stop - image.first for image in example.images)
    assert sum(token in MARKS for token in example.ids) == inside


@settings(max_examples=150, deadline=None, derandomize=True)
@given(document=DOCUMENTS, encoder=ENCODERS)
def test_any_document_encodes(document: Document, encoder: Encoder) -> None:
    example = encoder.encode(document)
    check(example)
    assert len(example.images) == len(document.images)
    for image, part in zip(example.images, document.images, strict=True):
        assert image.length == encoder.model.connector.tokens(image.grid)
        assert image.key == part.picture.key
    assert TOKENIZER.decode(example.ids) == text_of(document.parts)
    learned = [token for token, learn in zip(example.ids, example.learn, strict=True) if learn]
    assert TOKENIZER.decode(learned) == "".join(
        part.text for part in document.parts if isinstance(part, Text) and part.learn
    )
    assert (example.ids[-1] == TOKENIZER.eos) is document.complete


@settings(max_examples=150, deadline=None, derandomize=True)
@given(document=DOCUMENTS, encoder=ENCODERS, length=some.integers(2, 60))
def test_any_document_is_cut_between_images(document: Document, encoder: Encoder, length: int) -> None:
    example = encoder.encode(document)
    try:
        cut = fit(example, length, "truncate", document.key)
    except DataError:
        # Nothing to learn is left, or was there.
        assert not any(example.learn[:length])
        return
    assert cut is not None
    check(cut)
    assert len(cut) <= length
    assert cut.ids == example.ids[: len(cut)]
    assert [image.key for image in cut.images] == [image.key for image in example.images][: len(cut.images)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(documents=some.lists(DOCUMENTS, min_size=1, max_size=14), encoder=ENCODERS, packing=some.booleans())
def test_any_documents_pack_and_come_back(documents: list[Document], encoder: Encoder, packing: bool) -> None:
    examples: list[Example] = []
    for document in documents:
        example = fit(encoder.encode(document), LENGTH, "skip", document.key)
        if example is not None and len(example.images) <= IMAGES:
            examples.append(example)
    packer = Packer(rows=ROWS, length=LENGTH, images=IMAGES, packing=packing)
    steps: list[list[list[Example]]] = []
    for number, example in enumerate(examples):
        while packer.full:
            steps.append([[item.example for item in row] for row in packer.close().rows])
        packer.add(Packable(number, "s", example))
    while rows := packer.close().rows:
        steps.append([[item.example for item in row] for row in rows])
    packed = [example for rows in steps for row in rows for example in row]
    assert sorted(example.key for example in packed) == sorted(example.key for example in examples)
    assert sum(map(len, packed)) == sum(map(len, examples))
    for rows in steps:
        compare(rows, encoder)


def compare(rows: list[list[Example]], encoder: Encoder) -> None:
    """A batch holds each of its examples, and nothing else."""
    batch = collate(rows, length=LENGTH, tokenizer=TOKENIZER, model=encoder.model)
    spans = {(span.row, span.start): span for span in batch.spans}
    assert len(spans) == sum(len(example.images) for row in rows for example in row)
    for number, row in enumerate(rows):
        for segment, example in enumerate(row, start=1):
            (places,) = torch.nonzero(batch.segments[number] == segment, as_tuple=True)
            assert places.tolist() == list(range(int(places[0]), int(places[0]) + len(example)))
            assert batch.ids[number, places].tolist() == example.ids
            assert batch.positions[number, places].tolist() == list(range(len(example)))
            targets = [token if learn else IGNORED for token, learn in zip(example.ids, example.learn, strict=True)]
            assert batch.targets[number, places].tolist() == [*targets[1:], IGNORED]
            for image in example.images:
                span = spans[number, int(places[0]) + image.start]
                assert span.length == image.length
                assert tuple(batch.grids[span.view]) == tuple(image.grid)
        used = sum(map(len, row))
        assert (batch.segments[number, used:] == 0).all()
        assert (batch.targets[number, used:] == IGNORED).all()
        assert (batch.ids[number, used:] == TOKENIZER.pad).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(documents=some.lists(DOCUMENTS, min_size=1, max_size=4), encoder=ENCODERS)
def test_any_prompts_end_together(documents: list[Document], encoder: Encoder) -> None:
    examples = [encoder.encode(document) for document in documents]
    batch = collate_prompts(examples, tokenizer=TOKENIZER, model=encoder.model)
    for number, example in enumerate(examples):
        assert batch.ids[number, -len(example) :].tolist() == example.ids
        assert int((batch.segments[number] > 0).sum()) == len(example)
