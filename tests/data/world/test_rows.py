"""Training rows: a function of their key, true to their pictures, and Documents like any other row."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from typing import get_args

import numpy as np
import pytest

from tests.data.world.answering import COLOUR_NAMES, true_answer
from vlmlab.data.document import Text
from vlmlab.data.rows import CaptionRow, DialogueRow, InterleavedRow, TextRow, TwinRow, as_document
from vlmlab.data.world.scene import PagePicture, ScenePicture
from vlmlab.data.world.vocabulary import BINDING_QUESTION, COLOURS, DESCRIBE_QUESTION, RELATIONS, SHAPES
from vlmlab.data.world.words import NONCE_WORDS
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.recipe.source import Scenes, TrainingFamily, World
from vlmlab.recipe.tokenizer import Template

FAMILIES: tuple[TrainingFamily, ...] = get_args(TrainingFamily)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_a_function_of_its_key(family: TrainingFamily, world: GeneratedWorld, scenes: Scenes) -> None:
    again = pickle.loads(pickle.dumps(GeneratedWorld(World(seed=3))))
    for index in (7, 0, 191):
        row = world.training_row(family, index, scenes)
        assert row == again.training_row(family, index, scenes)
        assert row == pickle.loads(pickle.dumps(row))
        document = as_document(row, Template())
        assert document.complete
        for image in document.images:
            pixels = image.picture.pixels()
            assert pixels.shape == (96, 96, 3)
            assert pixels.dtype == np.uint8
            assert np.array_equal(pixels, image.picture.pixels())
    assert world.training_row(family, 0, scenes) != world.training_row(family, 1, scenes)


def test_another_seed_is_another_world(world: GeneratedWorld, scenes: Scenes) -> None:
    other = GeneratedWorld(World(seed=4))
    assert other.names != world.names
    assert other.content.words != world.content.words
    keys = {one.training_row("captions", 0, scenes).key for one in (world, other)}
    assert len(keys) == 2


def test_picture_keys_name_their_pixels(world: GeneratedWorld) -> None:
    """Features are cached under the key: other scenes settings, rows and places need other keys."""
    keys = set()
    pictures = 0
    for scenes in (Scenes(), Scenes(master=64)):
        for index in range(40):
            row = world.training_row("dialogues", index, scenes)
            assert isinstance(row, DialogueRow)
            keys |= {picture.key for picture in row.pictures}
            pictures += len(row.pictures)
    assert len(keys) == pictures


def test_dialogue_answers_are_true(world: GeneratedWorld, scenes: Scenes) -> None:
    asked = 0
    for index in range(300):
        row = world.training_row("dialogues", index, scenes)
        assert isinstance(row, DialogueRow)
        marked = row.turns[0][0].startswith("<image>")
        for place, (user, assistant) in enumerate(row.turns):
            question = user.removeprefix("<image> ")
            picture = row.pictures[place if marked else 0]
            assert isinstance(picture, ScenePicture)
            if question != DESCRIBE_QUESTION:
                assert assistant == true_answer(question, picture.scene, world.facts), (question, picture.scene)
                asked += 1
    assert asked > 900


def test_twins_answers_follow_from_the_description(world: GeneratedWorld, scenes: Scenes) -> None:
    template = Template()
    checked = 0
    for index in range(200):
        document = as_document(world.training_row("twins", index, scenes), template)
        assert document.text.endswith(template.end)
        for block in document.text.split(template.end)[:-1]:
            assert block.startswith(" ")
            description, mark, rest = block.partition(template.question)
            if not mark:
                assert template.caption in block
                continue
            question, mark, answer = rest.partition(template.answer)
            assert mark
            answer = answer.removeprefix(" ")
            pairs = re.findall(rf"({'|'.join(COLOUR_NAMES)}) ({'|'.join(SHAPES)})", description)
            words = re.findall(r"[a-z]+", question)
            match words:
                case ["what", "colour", "is", "the", shape] | ["which", "colour", "does", "the", shape, "have"]:
                    assert [colour for colour, other in pairs if other == shape] == [answer]
                case [*_, "objects"] | [*_, "objects", "are", "there"]:
                    assert len(pairs) == ["zero", "one", "two", "three"].index(answer)
                case [*_, "above" | "below", "the", colour, shape]:
                    second = rf"{colour} {shape}|[a-z]+ {answer}"
                    assert re.search(rf"(above|below) an? (small |large )?({second})", description)
                case [*_, "sign", "say"] | [*_, "sign"]:
                    assert re.search(rf"(says|word) {answer}\b", description)
                case _:
                    continue
            checked += 1
    assert checked > 300


def test_captions_name_everything(world: GeneratedWorld, scenes: Scenes) -> None:
    signs = flags = 0
    for index in range(200):
        row = world.training_row("captions", index, scenes)
        assert isinstance(row, CaptionRow)
        assert isinstance(row.picture, ScenePicture)
        scene = row.picture.scene
        named = sorted(re.findall(rf"({'|'.join(COLOUR_NAMES)}) ({'|'.join(SHAPES)})", row.text))
        assert named == sorted((COLOURS[thing.colour].name, SHAPES[thing.shape]) for thing in scene.things)
        if scene.sign is not None:
            signs += 1
            assert re.search(rf"(says|word) {scene.sign.word}\b", row.text)
        if scene.flag is not None:
            flags += 1
            assert f"the flag of {world.names[scene.flag.entity]}" in row.text
    assert signs > 40
    assert flags > 40


def _captions(world: GeneratedWorld, scenes: Scenes) -> list[CaptionRow]:
    rows = [world.training_row("captions", index, scenes) for index in range(60)]
    return [row for row in rows if isinstance(row, CaptionRow)]


def test_caption_style_and_noise_change_text_alone(world: GeneratedWorld) -> None:
    plain, short = _captions(world, Scenes()), _captions(world, Scenes(caption_style="alt_text"))
    noisy = _captions(world, Scenes(caption_noise=1.0))
    for one, two, three in zip(plain, short, noisy, strict=True):
        assert np.array_equal(one.picture.pixels(), two.picture.pixels())
        assert np.array_equal(one.picture.pixels(), three.picture.pixels())
    assert sum(len(row.text) for row in short) < 0.5 * sum(len(row.text) for row in plain)
    assert sum(one.text != three.text for one, three in zip(plain, noisy, strict=True)) > 55


def test_pages_keep_text_on_one_side_and_count_nothing(world: GeneratedWorld, scenes: Scenes) -> None:
    sides = set()
    for index in range(80):
        row = world.training_row("pages", index, scenes)
        assert isinstance(row, InterleavedRow)
        pictures = [place for place, item in enumerate(row.items) if isinstance(item, ScenePicture)]
        assert 2 <= len(pictures) <= 5
        text_first = isinstance(row.items[0], str)
        sides.add(text_first)
        for place in pictures:
            picture, text = row.items[place], row.items[place - 1 if text_first else place + 1]
            assert isinstance(text, str)
            assert isinstance(picture, ScenePicture)
            for thing in picture.scene.things:
                assert f"{COLOURS[thing.colour].name} {SHAPES[thing.shape]}" in text
        words = " ".join(item for item in row.items if isinstance(item, str)).split()
        assert not {"first", "second", "third", "next", "last"} & set(words)
    assert sides == {True, False}


@pytest.mark.parametrize("family", ["binding", "binding_text"])
def test_binding_labels_recur(family: TrainingFamily, world: GeneratedWorld, scenes: Scenes) -> None:
    maps = set()
    for index in range(60):
        text = as_document(world.training_row(family, index, scenes), Template()).text
        labels = [word for word in re.findall(r"[a-z]+", text) if word in NONCE_WORDS]
        assert 5 <= len(labels) <= 9
        assert 2 <= len(set(labels)) <= 4
        assert min(labels.count(label) for label in labels) >= 2
        assert text.count(BINDING_QUESTION) in (0, len(labels))
        maps.add(frozenset(labels))
    assert len(maps) > 50


def test_every_fact_is_told_in_text(world: GeneratedWorld, scenes: Scenes) -> None:
    told: Counter[tuple[str, str]] = Counter()
    names, values = set(world.names), {value for relation in RELATIONS for value in relation.values}
    for index in range(2500):
        row = world.training_row("facts", index, scenes)
        assert isinstance(row, TextRow)
        for sentence in re.split(r"\. (?!question)|\n", row.text):
            words = set(re.findall("[a-z]+", sentence))
            told.update((name, value) for name in words & names for value in words & values)
    true = {(place.name, place.value(relation)) for place in world.facts.entities for relation in range(4)}
    assert set(told) == true
    assert min(told.values()) >= 20


def test_rendered_pages_fit_and_say_their_caption(world: GeneratedWorld) -> None:
    for scenes in (Scenes(), Scenes(glyph=(0.08, 0.12)), Scenes(aspect=(0.25, 4.0))):
        lines = set()
        for index in range(40):
            row = world.training_row("rendered", index, scenes)
            assert isinstance(row, CaptionRow)
            assert isinstance(row.picture, PagePicture)
            page = row.picture.page
            assert row.text == page.text
            assert set(row.text.split()) <= set(world.content.words)
            assert all(page.letter * len(line) <= page.width for line in page.lines)
            assert row.picture.pixels().std() > 10
            lines.add(len(page.lines))
        assert lines > {1}


def test_twins_learn_answers_alone(world: GeneratedWorld, scenes: Scenes) -> None:
    """A description stands where a picture would, and pictures are never learned."""
    for family in ("twins", "binding_text"):
        for index in range(20):
            row = world.training_row(family, index, scenes)
            assert isinstance(row, TwinRow)
            learned = [
                part.text for part in as_document(row, Template()).parts if isinstance(part, Text) and part.learn
            ]
            assert learned == [f" {block.answer}\n" for block in row.blocks]
