from __future__ import annotations

import torch

from tests.data.rows_for_tests import picture, recipe, sources, tokenizer
from vlmlab.batch import IGNORED, ImageSpan
from vlmlab.data.collate import collate, collate_prompts
from vlmlab.data.document import Document, Image, Text
from vlmlab.data.encode import Encoder, Example
from vlmlab.data.rows import as_document
from vlmlab.recipe.tokenizer import Template

TOKENIZER = tokenizer()
MODEL = recipe().model
ENCODER = Encoder(TOKENIZER, MODEL, MODEL.image)


def example(key: str, *parts: Text | Image, complete: bool = True) -> Example:
    return ENCODER.encode(Document(key, parts, complete=complete))


def test_targets_are_the_next_learned_token_of_the_same_document() -> None:
    first = example("a", Text("red", learn=False), Text(" star"))
    second = example("b", Text(" left"))
    batch = collate([[first, second]], length=12, tokenizer=TOKENIZER, model=MODEL)
    red, (star,), (left,) = (TOKENIZER.encode(text) for text in ("red", " star", " left"))
    n = len(red)
    assert batch.ids[0].tolist() == [1, *red, star, 2, 1, left, 2] + [0] * (6 - n)
    assert batch.targets[0].tolist() == [IGNORED] * n + [star, 2, IGNORED, left, 2, IGNORED] + [IGNORED] * (6 - n)
    assert batch.segments[0].tolist() == [1] * (n + 3) + [2] * 3 + [0] * (6 - n)
    assert batch.positions[0].tolist() == [*range(n + 3), 0, 1, 2] + [0] * (6 - n)
    assert batch.keys == (("a", "b"),)
    assert batch.num_learned() == 4


def test_every_row_of_many_documents_is_the_rows_of_its_documents() -> None:
    made = sources()
    examples = [ENCODER.encode(as_document(made[form].row(index), Template())) for form in made for index in range(4)]
    packed = collate([examples], length=sum(map(len, examples)) + 3, tokenizer=TOKENIZER, model=MODEL)
    offset = 0
    for segment, one in enumerate(examples, start=1):
        alone = collate([[one]], length=len(one), tokenizer=TOKENIZER, model=MODEL)
        place = slice(offset, offset + len(one))
        for name in ("ids", "targets", "positions"):
            assert torch.equal(getattr(packed, name)[0, place], getattr(alone, name)[0])
        assert (packed.segments[0, place] == segment).all()
        # The last position of a document never looks into the next one.
        assert packed.targets[0, offset + len(one) - 1] == IGNORED
        offset += len(one)
    assert packed.num_learned() == sum(sum(one.learn) for one in examples)
    assert packed.num_visual() == sum(image.length for one in examples for image in one.images)
    for span in packed.spans:
        assert (packed.ids[span.row, span.start : span.start + span.length] == TOKENIZER.image).all()
    assert int((packed.ids == TOKENIZER.image).sum()) == packed.num_visual()


def test_views_are_stacked_as_they_are_and_smaller_views_padded_with_zero() -> None:
    wide = example("w", Image(picture("w", height=16, width=40)), Text("a"))
    tall = example("t", Image(picture("t", height=40, width=16)), Text("a"))
    batch = collate([[wide], [tall]], length=12, tokenizer=TOKENIZER, model=MODEL)
    assert batch.pixels.shape == (2, 3, 16, 16)
    assert [tuple(grid) for grid in batch.grids] == [(1, 2), (2, 1)]
    assert batch.pixels.dtype == torch.uint8
    assert torch.equal(batch.pixels[0, :, :8, :], wide.images[0].view)
    assert torch.equal(batch.pixels[1, :, :, :8], tall.images[0].view)
    assert (batch.pixels[0, :, 8:] == 0).all()
    assert (batch.pixels[1, :, :, 8:] == 0).all()


def test_one_view_for_one_picture_and_two_for_two_with_one_key() -> None:
    shown = [example(str(number), Image(picture("p")), Text("a")) for number in range(2)]
    other = example("o", Image(picture("p", height=16)), Text("a"))
    batch = collate([[shown[0], shown[1]], [other]], length=20, tokenizer=TOKENIZER, model=MODEL)
    assert batch.num_views == 2
    assert [span.view for span in batch.spans] == [0, 0, 1]


def test_no_images() -> None:
    batch = collate([[example("a", Text("a"))]], length=4, tokenizer=TOKENIZER, model=MODEL)
    assert batch.pixels.shape == (0, 3, 16, 16)
    assert (batch.grids, batch.spans) == ((), ())


def test_prompts_end_together() -> None:
    long = example("l", Image(picture("p")), Text(" question: what answer:", learn=False), complete=False)
    short = example("s", Text(" where", learn=False), complete=False)
    batch = collate_prompts([short, long], tokenizer=TOKENIZER, model=MODEL)
    pad = len(long) - len(short)
    assert batch.ids.shape == (2, len(long))
    assert batch.ids[0].tolist() == [0] * pad + short.ids
    assert batch.segments[0].tolist() == [0] * pad + [1] * len(short)
    assert batch.positions[0].tolist() == [0] * pad + list(range(len(short)))
    assert batch.ids[1].tolist() == long.ids
    assert batch.spans == (ImageSpan(row=1, start=1, length=4, view=0),)
    assert batch.num_learned() == 0


def test_prompt_with_an_answer_has_its_targets() -> None:
    answered = example("a", Text(" what", learn=False), Text(" star"), complete=False)
    batch = collate_prompts([answered, example("b", Text(" a b c d"))], tokenizer=TOKENIZER, model=MODEL)
    assert batch.targets[0][batch.targets[0] != IGNORED].tolist() == TOKENIZER.encode(" star")
