from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vlmlab.batch import Batch
from vlmlab.data.collate import collate, collate_prompts
from vlmlab.data.document import ArrayPicture, Document, Image, Text
from vlmlab.data.encode import Encoder, Example, example_views
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import EvaluationError
from vlmlab.generation.answer import Answer, Answerer
from vlmlab.generation.cache import Reading
from vlmlab.generation.decode import generate, sample
from vlmlab.generation.prompt import Question, Step, Trail, batches, encode_piece, piece_batch, widest
from vlmlab.generation.score import log_likelihoods
from vlmlab.generation.visual import VisualTokens
from vlmlab.models.model import VisionLanguageModel
from vlmlab.random_streams import stream
from vlmlab.recipe.evaluation import Decoding
from vlmlab.recipe.recipe import Recipe


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def examples(encoder: Encoder, pictures: list[ArrayPicture]) -> list[Example]:
    """Prompts of different lengths, with no, one and several images, one of them shown twice."""
    shapes = [(), (0,), (1, 2), (0, 3, 0), (4,), (5, 1, 2, 3)]
    documents = [
        Document(
            f"prompt/{index}",
            (
                *(part for number in shown for part in (Image(pictures[number]), Text(" what colour? answer: red\n"))),
                Text(" question: a" + " dog" * index),
            ),
            complete=False,
        )
        for index, shown in enumerate(shapes)
    ]
    return [encoder.encode(document) for document in documents]


def visual_tokens(model: VisionLanguageModel, recipe: Recipe, examples: list[Example]) -> list[torch.Tensor]:
    store = VisualTokens(model, views=4)
    return store.of([image for example in examples for image in example.images])


def reading_of(model: VisionLanguageModel, recipe: Recipe, tokenizer: Tokenizer, examples: list[Example]) -> Reading:
    reading = Reading(model, rows=len(examples))
    batch = piece_batch(examples, tokenizer=tokenizer, model=recipe.model)
    reading.read(batch, visual=visual_tokens(model, recipe, examples))
    return reading


def recomputed(
    model: VisionLanguageModel, recipe: Recipe, tokenizer: Tokenizer, example: Example, more: list[int]
) -> torch.Tensor:
    """Log-probabilities of every next token of one prompt with `more` after it, without cache, padding or store."""
    longer = Example(example.key, [*example.ids, *more], [*example.learn, *[False] * len(more)], example.images)
    batch: Batch = collate([[longer]], length=len(longer), tokenizer=tokenizer, model=recipe.model)
    return model.head(model.forward(batch)).float().log_softmax(-1)[0]


def test_views_of_the_batch_and_of_the_store_stand_in_one_order(model, recipe, tokenizer, examples) -> None:
    batch = piece_batch(examples, tokenizer=tokenizer, model=recipe.model)
    full = collate_prompts(examples, tokenizer=tokenizer, model=recipe.model)
    assert batch.spans == full.spans
    assert torch.equal(batch.ids, full.ids)
    assert len(batch.grids) == len(example_views(examples)) == 6
    direct = model.visual_tokens(full.pixels, full.grids)
    for tokens, expected in zip(visual_tokens(model, recipe, examples), direct, strict=True):
        torch.testing.assert_close(tokens, expected)


def test_each_picture_passes_the_backbone_once(model, recipe, examples) -> None:
    store = VisualTokens(model, views=2)
    images = [image for example in examples for image in example.images]
    first = store.of(images)
    assert store.computed == 6
    again = store.of(images)
    assert store.computed == 6
    assert all(torch.equal(left, right) for left, right in zip(first, again, strict=True))


def test_a_store_without_memory_still_serves_a_batch(model, recipe, examples) -> None:
    store = VisualTokens(model, views=2, memory=0)
    images = [image for example in examples for image in example.images]
    kept = store.of(images)
    for tokens, expected in zip(kept, visual_tokens(model, recipe, examples), strict=True):
        torch.testing.assert_close(tokens, expected)
    store.of(images)
    assert store.computed == 12


def test_a_key_with_other_pixels_is_computed_anew(model, recipe, encoder) -> None:
    store = VisualTokens(model, views=2)
    dark, light = (ArrayPicture("same", np.full((16, 16, 3), level, np.uint8)) for level in (10, 200))
    fresh = [Encoder(encoder.tokenizer, recipe.model, recipe.model.image) for _ in range(2)]
    (one,) = store.of(fresh[0].encode(Document("d", (Image(dark),))).images)
    (two,) = store.of(fresh[1].encode(Document("d", (Image(light),))).images)
    assert not torch.allclose(one, two)


def test_scores_from_the_cache_equal_full_recomputation(model, recipe, tokenizer, examples) -> None:
    continuations = [
        tokenizer.encode(text) for text in (" red\n", " blue", " two green cats\n", " a", " dog\n", " it is")
    ]
    reading = reading_of(model, recipe, tokenizer, examples)
    for _ in range(2):  # the second time from the rewound cache
        scores = log_likelihoods(reading, continuations, pad=tokenizer.pad)
        for example, tokens, score in zip(examples, continuations, scores, strict=True):
            logs = recomputed(model, recipe, tokenizer, example, tokens)
            first = len(example) - 1
            expected = sum(float(logs[first + place, token]) for place, token in enumerate(tokens))
            assert score == pytest.approx(expected, abs=1e-4)


def greedy_by_recomputation(model, recipe, tokenizer, example: Example, decoding: Decoding, end: str) -> str:
    special = {tokenizer.pad, tokenizer.bos, tokenizer.image, tokenizer.image_start, tokenizer.image_end}
    written: list[int] = []
    for _ in range(decoding.max_tokens):
        logs = recomputed(model, recipe, tokenizer, example, written)[-1]
        logs[list(special)] = -torch.inf
        token = int(logs.argmax())
        if token == tokenizer.eos:
            break
        written.append(token)
        if end in tokenizer.decode(written):
            break
    return tokenizer.decode(written).split(end)[0].strip()


def test_greedy_decoding_equals_full_recomputation_and_left_padding_changes_nothing(
    model, recipe, tokenizer, examples
) -> None:
    decoding = Decoding(max_tokens=6)
    streams = [stream(0, index) for index in range(len(examples))]
    reading = reading_of(model, recipe, tokenizer, examples)
    log_likelihoods(reading, [[7, 8, 9]] * len(examples), pad=tokenizer.pad)
    texts = generate(reading, tokenizer=tokenizer, decoding=decoding, end="\n", streams=streams)
    expected = [greedy_by_recomputation(model, recipe, tokenizer, example, decoding, "\n") for example in examples]
    assert texts == expected


def test_decoding_stops_at_the_end_text_and_finished_rows_leave(model, recipe, tokenizer, examples) -> None:
    free = Decoding(max_tokens=8)
    streams = [stream(0, index) for index in range(len(examples))]
    long = generate(
        reading_of(model, recipe, tokenizer, examples), tokenizer=tokenizer, decoding=free, end="\n", streams=streams
    )
    # An end that some answers hold and others do not: those that do are cut before it, the others are as before.
    end = next(text[len(text) // 2] for text in long if len(text) > 2)
    assert any(end not in text for text in long) or len({text.index(end) for text in long}) > 1
    cut = generate(
        reading_of(model, recipe, tokenizer, examples), tokenizer=tokenizer, decoding=free, end=end, streams=streams
    )
    assert cut == [text.split(end)[0].strip() for text in long]


def test_special_tokens_are_never_produced(model, recipe, tokenizer, examples) -> None:
    decoding = Decoding(max_tokens=12, temperature=50.0)
    special = {tokenizer.pad, tokenizer.bos, tokenizer.image, tokenizer.image_start, tokenizer.image_end}
    seen: list[int] = []

    class Recorder:
        """The tokenizer, noting what it decodes."""

        pad, bos, eos, size = tokenizer.pad, tokenizer.bos, tokenizer.eos, tokenizer.size
        image, image_start, image_end = tokenizer.image, tokenizer.image_start, tokenizer.image_end

        def decode(self, ids: list[int]) -> str:
            seen.extend(ids)
            return "x"

    for seed in range(8):
        streams = [stream(seed, index) for index in range(len(examples))]
        reading = reading_of(model, recipe, tokenizer, examples)
        generate(reading, tokenizer=Recorder(), decoding=decoding, end="\n", streams=streams)  # type: ignore[arg-type]
    assert len(set(seen)) > 100
    assert not special & set(seen)


def split(example: Example) -> tuple[Example, Example]:
    """A prompt as a beginning and a question: the last image, or the last token, begins the question."""
    place = example.images[-1].first if example.images else len(example) - 1
    if place == 1 and len(example.images) > 1:
        place = len(example) - 1
    before = tuple(image for image in example.images if image.start < place)
    after = tuple(replace(image, start=image.start - place) for image in example.images if image.start >= place)
    return (
        Example(example.key, example.ids[:place], example.learn[:place], before),
        Example(example.key, example.ids[place:], example.learn[place:], after),
    )


def answer_all(model, recipe, tokenizer, examples, *, rows: int, decoding: Decoding, seed: int = 0) -> list[Answer]:
    store = VisualTokens(model, views=3)
    answerer = Answerer(model, recipe_model=recipe.model, tokenizer=tokenizer, visual=store, rows=rows, end="\n")
    candidates = [(answerer.candidate(" red\n"),), (answerer.candidate(" a"), answerer.candidate(" two cats\n"))]
    trails = []
    for index, example in enumerate(examples):
        piece, question = split(example)
        trails.append(Trail((Step(piece, (Question(question, candidates[index % 2], stream(seed, index)),)),)))
    answers = dict(answerer.answer(iter(trails), decoding=decoding))
    return [answers[place][0][0] for place in range(len(examples))]


def test_a_trail_answers_as_its_prompts_do_one_by_one(model, recipe, tokenizer, encoder, pictures) -> None:
    decoding = Decoding(max_tokens=5)
    store = VisualTokens(model, views=3)
    answerer = Answerer(model, recipe_model=recipe.model, tokenizer=tokenizer, visual=store, rows=8, end="\n")
    candidate = answerer.candidate(" two cats\n")
    shot = (Text(" what colour? answer: red\n"), Image(pictures[0]))
    more = (Text(" dog caption: cat\n"),)
    ends = [(Image(pictures[1]), Text(" question: a")), (Image(pictures[2]), Text(" question: a"))]

    def question(parts) -> Question:
        example = encode_piece(encoder, parts, key="q", first=False)
        return Question(example, (candidate,), stream(0))

    # The second row's pieces are longer, so that the first one has gaps of padding in its middle.
    trails, wholes = [], []
    for times in (1, 3):
        first, second = shot * times, more * times
        trails.append(
            Trail(
                (
                    Step(encode_piece(encoder, first, key="p", first=True), tuple(question(end) for end in ends)),
                    Step(encode_piece(encoder, second, key="p", first=False), tuple(question(end) for end in ends)),
                )
            )
        )
        wholes.append(
            [[Document("w", (*head, *end), complete=False) for end in ends] for head in (first, first + second)]
        )
    answers = dict(answerer.answer(iter(trails), decoding=decoding))
    for place, whole in enumerate(wholes):
        for step, documents in enumerate(whole):
            for number, document in enumerate(documents):
                example = encoder.encode(document)
                answer = answers[place][step][number]
                logs = recomputed(model, recipe, tokenizer, example, list(candidate))
                expected = sum(float(logs[len(example) - 1 + i, token]) for i, token in enumerate(candidate))
                assert answer.log_likelihoods[0] == pytest.approx(expected, abs=1e-4)
                assert answer.text == greedy_by_recomputation(model, recipe, tokenizer, example, decoding, "\n")


def test_pieces_end_to_end_are_the_encoding_of_the_whole(encoder, pictures) -> None:
    parts = (Image(pictures[0]), Text(" question: a"), Text(" red\n"), Image(pictures[1]), Text(" dog"))
    whole = encoder.encode(Document("w", parts, complete=False))
    pieces = [
        encode_piece(encoder, parts[:1], key="p", first=True),
        encode_piece(encoder, parts[1:3], key="p", first=False),
        encode_piece(encoder, parts[3:], key="p", first=False),
    ]
    assert [token for piece in pieces for token in piece.ids] == whole.ids
    offset = len(pieces[0]) + len(pieces[1])
    assert pieces[2].images[0].start + offset == whole.images[1].start


def test_batches_keep_shapes_apart_and_columns_within_the_limit(encoder) -> None:
    def trail(words: int, questions: int) -> Trail:
        piece = encode_piece(encoder, (Text(" x" * words),), key=f"p{words}", first=True)
        asked = encode_piece(encoder, (Text(" x" * (40 - words)),), key="q", first=False)
        return Trail((Step(piece, tuple(Question(asked, ((1,),), stream(0)) for _ in range(questions))),))

    trails = [trail(1, 1), trail(2, 2), trail(1, 2), trail(39, 1), trail(2, 1)]
    roomy = batches(trails, rows=8, limit=1000, new_tokens=4)
    assert sorted(map(sorted, roomy)) == [[0, 3, 4], [1, 2]]
    # Together a short beginning with a long question and the reverse would take the longest of both.
    alone = max(widest([one], new_tokens=4) for one in trails)
    tight = batches(trails, rows=8, limit=alone + 5, new_tokens=4)
    assert sorted(place for batch in tight for place in batch) == [0, 1, 2, 3, 4]
    assert all(widest([trails[place] for place in batch], new_tokens=4) <= alone + 5 for batch in tight)
    assert [3] in tight
    assert all(len(batch) <= 1 for batch in batches(trails, rows=1, limit=1000, new_tokens=4))


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_answers_do_not_depend_on_the_batch(model, recipe, tokenizer, examples, temperature: float) -> None:
    decoding = Decoding(max_tokens=6, temperature=temperature, top_p=0.9)
    alone = answer_all(model, recipe, tokenizer, examples, rows=1, decoding=decoding)
    for rows in (2, 4, 64):
        together = answer_all(model, recipe, tokenizer, examples, rows=rows, decoding=decoding)
        assert [answer.text for answer in together] == [answer.text for answer in alone]
        for left, right in zip(together, alone, strict=True):
            assert left.log_likelihoods == pytest.approx(right.log_likelihoods, abs=1e-4)


def test_sampling_is_reproducible_and_differs_by_stream(model, recipe, tokenizer, examples) -> None:
    decoding = Decoding(max_tokens=6, temperature=2.0)
    first, again, other = (
        [answer.text for answer in answer_all(model, recipe, tokenizer, examples, rows=4, decoding=decoding, seed=seed)]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_sampling_follows_the_softmax_within_top_p() -> None:
    logits = np.log(np.array([0.1, 0.5, 0.15, 0.25]))
    draws = np.linspace(0, 1, 2001)[:-1]
    all_tokens = [sample(logits, decoding=Decoding(temperature=1.0), draw=draw) for draw in draws]
    assert np.bincount(all_tokens, minlength=4) / len(draws) == pytest.approx([0.1, 0.5, 0.15, 0.25], abs=2e-3)
    some = [sample(logits, decoding=Decoding(temperature=1.0, top_p=0.7), draw=draw) for draw in draws]
    assert np.bincount(some, minlength=4) / len(draws) == pytest.approx([0, 2 / 3, 0, 1 / 3], abs=2e-3)
    cold = {sample(logits, decoding=Decoding(temperature=0.01), draw=draw) for draw in draws}
    assert cold == {1}


def test_forbidden_tokens_are_not_sampled_at_the_ends_of_the_draw() -> None:
    logits = np.array([-np.inf, 0.0, -np.inf, 0.0])
    for draw in (0.0, 0.5, 1.0 - 1e-16):
        assert sample(logits, decoding=Decoding(temperature=1.0), draw=draw) in (1, 3)


def test_prompts_that_leave_no_room_are_refused_with_the_numbers(model, recipe, tokenizer, encoder) -> None:
    long = encoder.encode(Document("benchmark/item7", (Text(" dog" * 250),), complete=False))
    with pytest.raises(
        EvaluationError, match=r"benchmark/item7: \d+ positions .*max_positions is 256; ask with fewer shots"
    ):
        answer_all(model, recipe, tokenizer, [long], rows=1, decoding=Decoding(max_tokens=12))


def test_without_an_end_text_the_end_token_ends_a_candidate(model, recipe, tokenizer) -> None:
    store = VisualTokens(model, views=3)
    answerer = Answerer(model, recipe_model=recipe.model, tokenizer=tokenizer, visual=store, rows=1, end="")
    assert answerer.candidate(" red")[-1] == tokenizer.eos
