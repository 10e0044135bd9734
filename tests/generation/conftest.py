from __future__ import annotations

import json

import numpy as np
import pytest
from tests.text_source import TextSource

from vlmlab.data.document import ArrayPicture
from vlmlab.data.encode import Encoder
from vlmlab.data.tokenizer import Tokenizer, train_bpe
from vlmlab.models.build import build_model
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.recipe import Recipe


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    tree = {
        "name": "tiny-test",
        "model": {
            "vision": {"width": 16, "depth": 1, "heads": 2, "mlp": 32, "patch": 8, "side": 16},
            "image": {"side": 16},
            "language": {"width": 32, "depth": 2, "heads": 2, "mlp": 64, "max_positions": 256},
        },
        "tokenizer": {"kind": "bpe", "vocabulary": 320, "documents": 10},
    }
    return Recipe.model_validate_json(json.dumps(tree))


@pytest.fixture(scope="session")
def tokenizer(recipe: Recipe) -> Tokenizer:
    texts = ("what colour is it? question: answer: red\n", "a blue dog caption: two green cats\n")
    return train_bpe(recipe.tokenizer, template=recipe.template, sources={"texts": TextSource(texts)})


@pytest.fixture(scope="session")
def model(recipe: Recipe) -> VisionLanguageModel:
    return build_model(recipe.model, vocabulary=recipe.vocabulary(), seed=3, precision="float32").eval()


@pytest.fixture(scope="session")
def encoder(recipe: Recipe, tokenizer: Tokenizer) -> Encoder:
    return Encoder(tokenizer, recipe.model, recipe.model.image, cached_views=16)


@pytest.fixture(scope="session")
def pictures() -> list[ArrayPicture]:
    rng = np.random.default_rng(0)
    return [ArrayPicture(f"picture/{index}", rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)) for index in range(6)]
