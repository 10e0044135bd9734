"""A second opinion on answers: reads the question's words and looks into the scene, without the code that posed it."""

from __future__ import annotations

import re

from vlmlab.data.world.facts import Facts
from vlmlab.data.world.scene import Scene
from vlmlab.data.world.vocabulary import COLOURS, NUMBERS, RELATIONS, SHAPES

COLOUR_NAMES = [colour.name for colour in COLOURS]


def true_answer(question: str, scene: Scene, facts: Facts) -> str:
    """The only right answer, or an AssertionError if the scene does not hold what is asked."""
    colours = [word for word in re.findall(r"[a-z]+", question) if word in COLOUR_NAMES]
    shapes = [word for word in re.findall(r"[a-z]+", question) if word in SHAPES]
    things = [(SHAPES[thing.shape], COLOURS[thing.colour].name, thing) for thing in scene.things]
    if "sign" in question:
        assert scene.sign is not None
        return scene.sign.word
    if "this place" in question:
        assert scene.flag is not None
        (relation,) = [
            number
            for number, spec in enumerate(RELATIONS)
            if question in [text.format(place="this place") for text in spec.questions]
        ]
        return facts.entities[scene.flag.entity].value(relation)
    if "objects" in question:
        return NUMBERS[len(things)]
    if question.startswith(("is there", "can you")):
        found = [1 for shape, colour, _ in things if shape == shapes[0] and (not colours or colour == colours[0])]
        return "yes" if found else "no"
    direction = re.search(r"above|below|left of|right of", question)
    if direction is not None:
        (thing,) = [thing for shape, colour, thing in things if (shape, colour) == (shapes[0], colours[0])]
        line = {
            "above": lambda other: (thing.row - other.row, thing.column == other.column),
            "below": lambda other: (other.row - thing.row, thing.column == other.column),
            "left of": lambda other: (thing.column - other.column, thing.row == other.row),
            "right of": lambda other: (other.column - thing.column, thing.row == other.row),
        }[direction.group()]
        near = sorted((line(other)[0], shape) for shape, _, other in things if line(other)[0] > 0 and line(other)[1])
        return near[0][1]
    if colours:
        (shape,) = [shape for shape, colour, _ in things if colour == colours[0]]
        return shape
    (colour,) = [colour for shape, colour, _ in things if shape == shapes[0]]
    return colour
