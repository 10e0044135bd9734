"""What a document of each source is expected to hold: estimates, on which all figures rest that depend on data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from vlmlab.recipe.source import JsonlSource, ParquetSource, Source, TrainingFamily, WebdatasetSource, WorldSource


@dataclass(frozen=True, slots=True)
class Expectation:
    """Means over the documents of a source."""

    text_tokens: float
    """Text positions, begin and end included."""
    images: float
    learned: float
    """Positions with a target."""


WORLD: dict[TrainingFamily, Expectation] = {
    "captions": Expectation(text_tokens=19, images=1, learned=16),
    "pages": Expectation(text_tokens=64, images=3.4, learned=63),
    "binding": Expectation(text_tokens=72, images=7.2, learned=20),
    "facts": Expectation(text_tokens=49, images=0, learned=48),
    "twins": Expectation(text_tokens=147, images=0, learned=20),
    "binding_text": Expectation(text_tokens=127, images=0, learned=15),
    "rendered": Expectation(text_tokens=8, images=1, learned=5),
    "dialogues": Expectation(text_tokens=54, images=2.9, learned=10),
}
"""Of the generated world: means of 600 documents under the tokenizer of recipes/tiny.yaml."""


def expectation(source: Source) -> Expectation:
    """The expected document of a source.

    OBELICS has 115 G tokens and 353 M images in 141 M documents (its dataset card); the other files are round numbers
    for data of their form.
    """
    match source:
        case WorldSource():
            return WORLD[source.family]
        case WebdatasetSource():
            return Expectation(text_tokens=25, images=1, learned=24)
        case JsonlSource():
            match source.form:
                case "text":
                    return Expectation(text_tokens=500, images=0, learned=499)
                case "caption":
                    return Expectation(text_tokens=25, images=1, learned=24)
                case "question":
                    return Expectation(text_tokens=25, images=1, learned=6)
                case "llava":
                    return Expectation(text_tokens=60, images=1, learned=40)
                case _ as never:
                    assert_never(never)
        case ParquetSource():
            match source.form:
                case "obelics":
                    return Expectation(text_tokens=815, images=2.5, learned=814)
                case "cauldron":
                    return Expectation(text_tokens=150, images=1.2, learned=50)
                case "caption":
                    return Expectation(text_tokens=25, images=1, learned=24)
                case _ as never:
                    assert_never(never)
        case _ as never:
            assert_never(never)
