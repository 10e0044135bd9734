"""Small sources and recipes that the tests of the data pipeline share."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from vlmlab.data.document import ArrayPicture, Picture
from vlmlab.data.rows import CaptionRow, DialogueRow, InterleavedRow, Row, TextRow
from vlmlab.data.sources.contract import number_in_key
from vlmlab.data.tokenizer import Tokenizer, train_bpe
from vlmlab.errors import DataError
from vlmlab.files import digest
from vlmlab.random_streams import stream
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.tokenizer import Template, TrainedBPE

SENTENCE = "red green blue circle square star left right above below one two three the a is of in picture what"


def picture(key: str, *, height: int = 32, width: int = 40) -> ArrayPicture:
    """Noise that its key determines."""
    return ArrayPicture(key, stream(0, "picture", key).integers(0, 256, (height, width, 3), dtype=np.uint8))


def words(key: str, low: int, high: int) -> str:
    generator = stream(0, "words", key)
    return " ".join(generator.choice(SENTENCE.split(), size=int(generator.integers(low, high))))


@dataclass(frozen=True)
class MadeSource:
    """Rows made from their index. Every `broken`-th is refused."""

    name: str
    form: str
    size: int = 300
    broken: int = 0

    def __len__(self) -> int:
        return self.size

    def row(self, index: int) -> Row:
        key = f"{self.name}#{index}"
        if self.broken and index % self.broken == 0:
            raise DataError(key, "broken on purpose")
        match self.form:
            case "caption":
                return CaptionRow(key, picture(key), words(key, 2, 12))
            case "text":
                return TextRow(key, words(key, 3, 40))
            case "page":
                items: list[str | Picture] = []
                for part in range(1 + index % 4):
                    items += [picture(f"{key}.{part}", height=24 + 8 * part), words(f"{key}.{part}", 2, 9)]
                return InterleavedRow(key, tuple(items))
            case "dialogue":
                pictures = tuple(picture(f"{key}.{part}") for part in range(index % 3))
                turns = tuple(
                    (words(f"{key}u{turn}", 2, 8), words(f"{key}a{turn}", 1, 4)) for turn in range(1 + index % 3)
                )
                return DialogueRow(key, pictures, turns)
        raise AssertionError(self.form)

    def find(self, key: str) -> int:
        return number_in_key(key, self.name, size=self.size)

    def fingerprint(self) -> str:
        return digest([self.name, self.form, self.size, self.broken])


def sources(*, broken: int = 0) -> dict[str, MadeSource]:
    """One source of each form, by the form's name."""
    return {form: MadeSource(form, form, broken=broken) for form in ("caption", "text", "page", "dialogue")}


def recipe(**changes: object) -> Recipe:
    """A small recipe with a packed stage, an unpacked one and a contrastive one. `changes` replace top-level parts."""
    world = {"kind": "world", "family": "captions"}
    stage = {
        "objective": {"kind": "next_token"},
        "train": {"connector": {"mode": "full"}},
        "mixture": {"caption": 4, "text": 3, "page": 2, "dialogue": 1},
        "duration": {"steps": 10},
        "batch": {"rows": 4, "length": 128, "images": 6},
    }
    tree: dict[str, object] = {
        "name": "small",
        "model": {
            "vision": {"width": 16, "depth": 1, "heads": 2, "mlp": 32, "patch": 8, "side": 16},
            "image": {"policy": "keep", "side": 16},
            "connector": {"kind": "mlp"},
            "language": {"width": 16, "depth": 1, "heads": 2, "mlp": 32, "max_positions": 512},
        },
        "tokenizer": {"kind": "bpe", "vocabulary": 400, "documents": 200},
        "data": {"sources": dict.fromkeys(("caption", "text", "page", "dialogue"), world)},
        "stages": {
            "packed": stage,
            "alone": {**stage, "batch": {"rows": 3, "length": 128, "images": 6, "packing": False}},
            "pairs": {
                **stage,
                "objective": {"kind": "contrastive"},
                "train": {"vision": {"mode": "full"}},
                "mixture": {"caption": 1},
                "batch": {"rows": 5, "length": 48, "images": 1},
            },
        },
    }
    return Recipe.model_validate_json(json.dumps(tree | changes))


def tokenizer(*, vocabulary: int = 400) -> Tokenizer:
    return train_bpe(TrainedBPE(vocabulary=vocabulary, documents=200), template=Template(), sources=sources())
