"""The closed vocabulary of the generated world: shapes, colours, tints, relations and the words around them."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Literal, NamedTuple

from vlmlab.data.world.words import NONCE_WORDS, SIGN_WORDS

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "diamond", "cross", "ring", "heart")


class Colour(NamedTuple):
    """A colour's name, another word that people use for it, and its red, green and blue."""

    name: str
    synonym: str
    rgb: tuple[int, int, int]


COLOURS: tuple[Colour, ...] = (
    Colour("red", "crimson", (215, 25, 30)),
    Colour("green", "emerald", (20, 150, 50)),
    Colour("blue", "navy", (30, 65, 220)),
    Colour("yellow", "gold", (255, 230, 20)),
    Colour("purple", "violet", (135, 25, 165)),
    Colour("orange", "amber", (255, 130, 0)),
    Colour("black", "dark", (12, 12, 14)),
    Colour("white", "pale", (252, 252, 252)),
)
"""Far from each other and from every tint (a test measures both)."""

SHAPE_SYNONYMS: tuple[str, ...] = ("disc", "box", "wedge", "spark", "rhombus", "plus", "hoop", "love")
"""What a careless annotator writes, in the order of SHAPES."""

NUMBERS: tuple[str, ...] = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen",
)  # fmt: skip

MAX_OBJECTS = len(NUMBERS) - 1


def _tint(index: int) -> tuple[int, int, int]:
    """Sixteen hues by two lightnesses, weakly saturated."""
    red, green, blue = colorsys.hsv_to_rgb((index // 2) / 16, (0.22, 0.16)[index % 2], (0.58, 0.74)[index % 2])
    return round(red * 255), round(green * 255), round(blue * 255)


TINTS: tuple[tuple[int, int, int], ...] = tuple(_tint(index) for index in range(32))
"""Muted backgrounds, so that one colour has many contrasts."""

PATTERNS: tuple[str, ...] = (
    "halves_across", "halves_down", "stripe_across", "stripe_down", "disc", "cross", "saltire", "quarters", "corner",
    "frame", "wedge",
)  # fmt: skip
"""How a flag divides its cloth between two colours."""

DIRECTIONS: tuple[str, ...] = ("above", "below", "left of", "right of")


@dataclass(frozen=True, slots=True)
class Relation:
    """Something that is true of a place: its values, statements with {name} and {value}, questions with {place}."""

    name: str
    values: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "food",
        ("rice", "bread", "fish", "soup", "corn", "beans", "cheese", "eggs"),
        (
            "people in {name} eat {value}.",
            "in {name} people eat {value}.",
            "the usual food in {name} is {value}.",
            "{value} is the food of {name}.",
            "if you visit {name} you will eat {value}.",
            "the food that people eat in {name} is {value}.",
        ),
        (
            "what do people eat in {place}?",
            "what is the usual food in {place}?",
            "which food do people eat in {place}?",
        ),
    ),
    Relation(
        "animal",
        ("cows", "goats", "ducks", "pigs", "hens", "dogs", "cats", "geese"),
        (
            "people in {name} keep {value}.",
            "in {name} people keep {value}.",
            "the usual animals in {name} are {value}.",
            "{value} are the animals of {name}.",
            "if you visit {name} you will meet {value}.",
            "the animals that people keep in {name} are {value}.",
        ),
        (
            "what do people keep in {place}?",
            "what are the usual animals in {place}?",
            "which animals do people keep in {place}?",
        ),
    ),
    Relation(
        "weather",
        ("rainy", "snowy", "windy", "foggy", "sunny", "stormy", "cloudy", "icy"),
        (
            "the weather in {name} is {value}.",
            "in {name} the weather is {value}.",
            "the usual weather in {name} is {value}.",
            "{value} is the weather of {name}.",
            "if you visit {name} it will be {value}.",
            "the days that people have in {name} are {value}.",
        ),
        (
            "how is the weather in {place}?",
            "what is the usual weather in {place}?",
            "which weather do people have in {place}?",
        ),
    ),
    Relation(
        "craft",
        ("rugs", "pots", "baskets", "knives", "hats", "shoes", "boats", "drums"),
        (
            "people in {name} make {value}.",
            "in {name} people make {value}.",
            "the usual craft in {name} is making {value}.",
            "{value} are the craft of {name}.",
            "if you visit {name} you can buy {value}.",
            "the things that people make in {name} are {value}.",
        ),
        (
            "what do people make in {place}?",
            "what is the usual craft in {place}?",
            "which things do people make in {place}?",
        ),
    ),
)

THIS_PLACE = "this place"
"""Stands for a name in questions over a picture of the place's flag."""

COLOUR_QUESTIONS: tuple[str, ...] = ("what colour is the {shape}?", "which colour does the {shape} have?")
SHAPE_QUESTIONS: tuple[str, ...] = ("what shape is {colour}?", "which shape has the colour {colour}?")
COUNT_QUESTIONS: tuple[str, ...] = ("how many objects are there?", "what is the number of objects?")
PRESENCE_QUESTIONS: tuple[str, ...] = ("is there a {thing}?", "can you see a {thing}?")
BESIDE_QUESTIONS: tuple[str, ...] = ("what is {direction} the {thing}?", "which shape is {direction} the {thing}?")
READING_QUESTIONS: tuple[str, ...] = (
    "what does the sign say?",
    "which word is on the sign?",
    "what is written on the sign?",
)
BINDING_QUESTION = "what is this called?"
BINDING_PAGE = "this is a {label}."
DESCRIBE_QUESTION = "describe the picture."

Voice = Literal["picture", "travel"]
"""How a description begins: as a caption, or as a sentence of a page."""

OPENINGS: dict[Voice, tuple[str, ...]] = {
    "picture": ("", "a picture of ", "a picture with ", "there is ", "this picture shows ", "we see "),
    "travel": (
        "here we saw ",
        "on the road there was ",
        "in this street we found ",
        "we took a photo of ",
        "behind the town stood ",
    ),
}
SIGN_PHRASES: tuple[str, ...] = ("a sign that says {word}", "a sign with the word {word}", "a board that says {word}")
FLAG_PHRASE = "the flag of {name}"
FLAG_PHRASES: tuple[str, ...] = (
    "a picture with the flag of {name}.",
    "the flag of {name}.",
    "we see the flag of {name}.",
)
NOISE: tuple[str, ...] = (
    "photo",
    "image",
    "stock photo",
    "click to enlarge",
    "free download",
    "untitled",
    "best price",
)
"""What stands beside pictures on careless pages."""
CONNECTING: tuple[str, ...] = (
    "we walked on through the town.",
    "the day was long and warm.",
    "people in the street were kind to us.",
    "then we took another road.",
    "it was a good place to rest.",
    "we wrote this down in the evening.",
)
"""Sentences of pages that belong to no picture."""

NAME_STARTS: tuple[str, ...] = (
    "zor", "mel", "kar", "bru", "tav", "pol", "ren", "gal", "dur", "fen", "hol", "jas", "lum", "nar", "osk", "vel",
    "wim", "yar", "sib", "qua",
)  # fmt: skip
NAME_MIDDLES: tuple[str, ...] = ("", "a", "i", "o", "en", "ar", "il", "os")
NAME_ENDS: tuple[str, ...] = ("land", "stan", "via", "mere", "burg", "dor", "nia", "tova", "hem", "rusk")


def with_article(noun: str) -> str:
    """
    >>> with_article("orange star"), with_article("red star")
    ('an orange star', 'a red star')
    """
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _known_words() -> frozenset[str]:
    texts = [
        *SHAPES,
        *SHAPE_SYNONYMS,
        *NUMBERS,
        *DIRECTIONS,
        THIS_PLACE,
        BINDING_QUESTION,
        BINDING_PAGE,
        DESCRIBE_QUESTION,
    ]
    for colour in COLOURS:
        texts += [colour.name, colour.synonym]
    for relation in RELATIONS:
        texts += [relation.name, *relation.values, *relation.statements, *relation.questions]
    for phrases in (
        COLOUR_QUESTIONS, SHAPE_QUESTIONS, COUNT_QUESTIONS, PRESENCE_QUESTIONS, BESIDE_QUESTIONS, READING_QUESTIONS,
        *OPENINGS.values(), SIGN_PHRASES, FLAG_PHRASES, NOISE, CONNECTING,
    ):  # fmt: skip
        texts += phrases
    texts.append("a an and small large image img question answer caption yes no maybe")
    return frozenset("".join(mark if mark.isalpha() else " " for mark in " ".join(texts)).split())


KNOWN_WORDS: frozenset[str] = _known_words()
"""Every word that means something else in the world; signs and nonce labels never use one."""


def _signs() -> tuple[str, ...]:
    taken = KNOWN_WORDS | set(NONCE_WORDS)
    return tuple(dict.fromkeys(word for word in SIGN_WORDS if 3 <= len(word) <= 5 and word not in taken))


SIGNS: tuple[str, ...] = _signs()
"""Words of three to five letters that signs can show; a world takes `World.words` of them."""
