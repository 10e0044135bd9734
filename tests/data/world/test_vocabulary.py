"""The vocabulary: words that mean one thing, colours that can be told apart."""

from __future__ import annotations

import math
import re
from itertools import combinations
from typing import get_args

from vlmlab.data.rows import as_document
from vlmlab.data.world.glyphs import LETTERS
from vlmlab.data.world.vocabulary import COLOURS, KNOWN_WORDS, RELATIONS, SHAPES, SIGNS, TINTS
from vlmlab.data.world.words import NONCE_WORDS
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.recipe.source import TrainingFamily, World
from vlmlab.recipe.tokenizer import Template


def test_signs_labels_names_and_the_rest_are_disjoint() -> None:
    world = GeneratedWorld(World(entities=400, words=400))
    groups = [set(SIGNS), set(NONCE_WORDS), set(world.names), set(KNOWN_WORDS)]
    for one, other in combinations(groups, 2):
        assert not one & other
    assert len(SIGNS) == len(set(SIGNS)) >= 400
    assert len(NONCE_WORDS) == len(set(NONCE_WORDS)) >= 64
    assert len(set(world.content.words)) == 400
    assert all(3 <= len(word) <= 5 and word.islower() for word in SIGNS)
    assert {letter for word in SIGNS for letter in word} <= set(LETTERS)
    assert all(len(relation.statements) >= 5 and len(set(relation.values)) == 8 for relation in RELATIONS)


def test_the_vocabulary_holds_every_word_that_rows_say() -> None:
    world = GeneratedWorld(World(entities=4, words=4))
    families = get_args(TrainingFamily)
    rows = [world.training_row(family, index, world.spec.scenes) for family in families for index in range(60)]
    said = {word for row in rows for word in re.findall("[a-z]+", as_document(row, Template()).text)}
    assert said <= set(world.vocabulary)


def test_colours_can_be_told_apart() -> None:
    assert len({colour.name for colour in COLOURS}) == len(COLOURS) == len(set(SHAPES)) == 8
    for one, other in combinations(COLOURS, 2):
        assert math.dist(one.rgb, other.rgb) > 90, (one, other)
    for colour in COLOURS:
        for tint in TINTS:
            assert math.dist(colour.rgb, tint) > 75, (colour, tint)
    assert len(set(TINTS)) == len(TINTS)
