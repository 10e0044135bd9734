from __future__ import annotations

import json

import pytest
from tests.text_source import TextSource

from vlmlab.data.tokenizer import Tokenizer, train_bpe
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.models.build import build_model
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.recipe import Recipe

FAMILIES = ("general", "reading", "knowledge", "captions", "binding", "text")


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A tiny model and six items of every family of the world."""
    decoding = {"max_tokens": 4}
    common = {"kind": "world", "items": 6, "shots": [0, 4], "demonstration_seeds": [0, 1], "decoding": decoding}
    tree = {
        "name": "tiny-test",
        "model": {
            "vision": {"width": 16, "depth": 1, "heads": 2, "mlp": 32, "patch": 8, "side": 16},
            "image": {"side": 16},
            "connector": {"kind": "average_pool", "window": 2},
            "language": {"width": 32, "depth": 2, "heads": 2, "mlp": 64, "max_positions": 512},
        },
        "tokenizer": {"kind": "bpe", "vocabulary": 512, "documents": 100},
        "data": {"world": {"scenes": {"master": 32}}},
        "evaluation": {
            "benchmarks": {family: common | {"family": family} for family in FAMILIES},
            "resamples": 200,
        },
    }
    return Recipe.model_validate_json(json.dumps(tree))


@pytest.fixture(scope="session")
def tokenizer(recipe: Recipe) -> Tokenizer:
    words = GeneratedWorld(recipe.data.world).vocabulary
    texts = tuple(f" question: {word} answer: {word}\n" for word in words)
    return train_bpe(recipe.tokenizer, template=recipe.template, sources={"texts": TextSource(texts)})


@pytest.fixture(scope="session")
def model(recipe: Recipe) -> VisionLanguageModel:
    return build_model(recipe.model, vocabulary=recipe.vocabulary(), seed=3, precision="float32")
