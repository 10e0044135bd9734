from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.data.rows_for_tests import picture, recipe, tokenizer
from vlmlab.data.document import Document, GreyPicture, Image, Text
from vlmlab.data.encode import Encoder, Example, check_images, example_views, fit
from vlmlab.data.mishaps import Skipped
from vlmlab.errors import DataError
from vlmlab.recipe.recipe import Model

TOKENIZER = tokenizer()


def model(*, marks: bool = False) -> Model:
    return recipe().model.model_copy(update={"fusion": recipe().model.fusion.model_copy(update={"marks": marks})})


def encoder(*, marks: bool = False, cached_views: int = 0) -> Encoder:
    own = model(marks=marks)
    return Encoder(TOKENIZER, own, own.image, cached_views=cached_views)


def test_parts_become_tokens_in_order() -> None:
    document = Document("d", (Text("red"), Image(picture("p")), Text(" caption:", learn=False), Text(" a star\n")))
    example = encoder().encode(document)
    red, given_, learned = (TOKENIZER.encode(text) for text in ("red", " caption:", " a star\n"))
    # 32 x 40 pixels kept within 16 x 16 in patches of 8: 2 x 2 patches, one token each.
    image = [TOKENIZER.image] * 4
    assert example.ids == [1, *red, *image, *given_, *learned, 2]
    assert example.learn == [
        False, *[True] * len(red), *[False] * 4, *[False] * len(given_), *[True] * len(learned), True,
    ]  # fmt: skip
    span = example.images[0]
    assert (span.start, span.length, tuple(span.grid), span.key) == (1 + len(red), 4, (2, 2), "p")
    assert span.view.shape == (3, 16, 16)


def test_marks_stand_around_the_span_and_are_never_learned() -> None:
    example = encoder(marks=True).encode(Document("d", (Image(picture("p")), Text(" a"))))
    assert example.ids[1:7] == [TOKENIZER.image_start, *[TOKENIZER.image] * 4, TOKENIZER.image_end]
    assert not any(example.learn[:7])
    span = example.images[0]
    assert (span.first, span.start, span.length, span.stop) == (1, 2, 4, 7)


@pytest.mark.parametrize(
    ("parts", "complete", "learned"),
    [
        ((Text("a", learn=False), Text("b")), True, True),
        ((Text("a"), Text("b", learn=False)), True, False),
        ((Text("a"), Image(picture("p"))), True, True),
        ((Text("a"),), False, None),
    ],
)
def test_end_token(parts: tuple[Text | Image, ...], complete: bool, learned: bool | None) -> None:
    example = encoder().encode(Document("d", parts, complete=complete))
    assert (example.ids[-1] == TOKENIZER.eos) is complete
    if learned is not None:
        assert example.learn[-1] is learned


def test_a_prompt_encodes_like_the_training_document_it_begins() -> None:
    shots = (Image(picture("p")), Text(" question: what answer:", learn=False), Text(" a star\n"))
    query = (Image(picture("q")), Text(" question: where answer:", learn=False))
    trained = encoder(marks=True).encode(Document("d", (*shots, *query, Text(" left\n"))))
    prompt = encoder(marks=True, cached_views=3).encode(Document("d", (*shots, *query), complete=False))
    assert prompt.ids == trained.ids[: len(prompt)]
    assert prompt.learn == trained.learn[: len(prompt)]
    assert TOKENIZER.encode(" left\n") == trained.ids[len(prompt) : -1]
    for ours, theirs in zip(prompt.images, trained.images, strict=True):
        assert (ours.start, ours.length, ours.grid, ours.key) == (theirs.start, theirs.length, theirs.grid, theirs.key)
        assert np.array_equal(ours.view, theirs.view)


def test_literal_special_tokens_in_a_text_are_characters() -> None:
    example = encoder().encode(Document("d", (Text("<image> <eos> <bos>"),)))
    assert example.ids[1:-1] == TOKENIZER.encode("<image> <eos> <bos>")
    assert TOKENIZER.image not in example.ids
    assert not example.images


def test_cached_views_are_the_same_views() -> None:
    own = encoder(cached_views=1)
    first = own.view(picture("p"))
    assert own.view(picture("p")) is first
    own.view(picture("q"))
    again = own.view(picture("p"))
    assert again is not first
    assert np.array_equal(again.pixels, first.pixels)
    grey = own.view(GreyPicture(picture("p")))
    assert (grey.pixels == 128).all()


def test_example_views_names_each_picture_once() -> None:
    own = encoder()
    examples = [own.encode(Document("d", (Image(picture(key)), Text("a")))) for key in "pqp"]
    assert list(example_views(examples)) == ["p", "q"]


def page(*sizes: int, marks: bool) -> Example:
    """Texts of so many tokens with an image after each."""
    parts: list[Text | Image] = []
    for number, size in enumerate(sizes):
        parts += [Text(" a" * size), Image(picture(str(number)))]
    return encoder(marks=marks).encode(Document("page", tuple(parts)))


def test_fitting_documents_are_left_alone() -> None:
    example = page(3, 2, marks=False)
    for policy in ("refuse", "skip", "truncate"):
        assert fit(example, len(example), policy, "k") is example


def test_long_documents_are_refused_with_both_numbers_or_skipped() -> None:
    example = page(3, 2, marks=False)
    with pytest.raises(DataError, match=r"15 positions but a row has 8 .*long_documents") as caught:
        fit(example, 8, "refuse", "pages#3")
    assert caught.value.where == "pages#3"
    assert fit(example, 8, "skip", "k") is None


@settings(max_examples=60, deadline=None)
@given(
    sizes=some.lists(some.integers(1, 4), min_size=1, max_size=4), length=some.integers(2, 40), marks=some.booleans()
)
def test_truncation_never_cuts_an_image(sizes: list[int], length: int, marks: bool) -> None:
    example = page(*sizes, marks=marks)
    cut = fit(example, length, "truncate", "k")
    assert cut is not None
    assert len(cut) == len(cut.learn) <= length
    assert cut.ids == example.ids[: len(cut)]
    assert any(cut.learn)
    image_tokens = (TOKENIZER.image, TOKENIZER.image_start, TOKENIZER.image_end)
    held = sum(image.stop - image.first for image in cut.images)
    assert sum(token in image_tokens for token in cut.ids) == held
    if len(example) > length:
        assert cut.ids[-1] != TOKENIZER.eos
        # Nothing but an image that does not fit whole is given up beyond the limit.
        assert len(cut) == length or any(image.first == len(cut) < length < image.stop for image in example.images)


def test_nothing_to_learn_after_the_cut() -> None:
    example = encoder().encode(Document("d", (Image(picture("p")), Text(" question", learn=False), Text(" yes"))))
    with pytest.raises(DataError, match="nothing to learn"):
        fit(example, 5, "truncate", "d")


def test_more_images_than_a_row_may_hold() -> None:
    document = Document("page#7", tuple(Image(picture(str(number))) for number in range(5)))
    check_images(document, images=5)
    with pytest.raises(Skipped, match=r"5 images but a row may hold 4") as caught:
        check_images(document, images=4)
    assert caught.value.where == "page#7"
