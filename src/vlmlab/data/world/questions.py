"""Questions over scenes, posed so that the question alone says nothing about the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, assert_never

from vlmlab.data.world.content import Draft
from vlmlab.data.world.describe import thing_name
from vlmlab.data.world.layout import Contents, draw_kinds, room_for_objects
from vlmlab.data.world.scene import Adjacent, Kind, Scene, Thing, adjacent
from vlmlab.data.world.vocabulary import (
    BESIDE_QUESTIONS,
    COLOUR_QUESTIONS,
    COLOURS,
    COUNT_QUESTIONS,
    DIRECTIONS,
    NUMBERS,
    PRESENCE_QUESTIONS,
    READING_QUESTIONS,
    RELATIONS,
    SHAPE_QUESTIONS,
    SHAPE_SYNONYMS,
    SHAPES,
    THIS_PLACE,
)

Topic = Literal["general", "reading", "knowledge"]
GeneralKind = Literal["colour", "shape", "count", "presence", "beside"]

KIND_SHARES: tuple[tuple[GeneralKind, float], ...] = (
    ("colour", 0.35), ("shape", 0.25), ("count", 0.12), ("presence", 0.13), ("beside", 0.15),
)  # fmt: skip
TOPIC_SHARES: tuple[tuple[Topic, float], ...] = (("general", 0.5), ("reading", 0.25), ("knowledge", 0.25))
SIGN_BESIDE, FLAG_BESIDE = 0.2, 0.2
"""How often a scene shows a sign or a flag that is not asked for."""


class Slot(NamedTuple):
    """What must be seen to answer: an attribute of object `index`, or the sign's word, or the flag."""

    what: Literal["shape", "colour", "word", "place"]
    index: int = 0


class Asked(NamedTuple):
    """A question over a scene. `say` is a relation that a description must tell; `careless` are wrong or loose
    answers that an annotator might give."""

    scene: Scene
    question: str
    answer: str
    slots: tuple[Slot, ...]
    careless: tuple[str, ...]
    say: Adjacent | None = None


def pose(draft: Draft, topic: Topic) -> Asked:
    """A question of this topic over a fresh scene that has what it asks for."""
    match topic:
        case "general":
            return _pose_general(draft)
        case "reading":
            scene = scene_with(draft, sign=True, flag=draft.draws.chance(FLAG_BESIDE))
            return ask_reading(draft, scene)
        case "knowledge":
            pair = draft.pair()
            scene = scene_with(draft, sign=draft.draws.chance(SIGN_BESIDE), flag=True, place=pair.entity)
            return ask_knowledge(draft, scene, relation=pair.relation)
        case _:
            assert_never(topic)


def scene_with(draft: Draft, *, sign: bool, flag: bool, place: int | None = None) -> Scene:
    """A scene of random objects, with or without a sign and a flag (of `place`, else of any)."""
    draws = draft.draws
    low, high = room_for_objects(draft.scenes, sign=sign, flag=flag)
    if flag and place is None:
        place = draws.below(len(draft.content.facts.entities))
    kinds = draw_kinds(draws, draws.integer(low, high))
    return draft.arrange(Contents(kinds, word=draft.word() if sign else None, place=place))


def _pose_general(draft: Draft) -> Asked:
    draws = draft.draws
    kind = draws.pick(KIND_SHARES)
    low, high = room_for_objects(draft.scenes, sign=False, flag=False)
    if (kind == "beside" and high < 2) or (kind == "count" and low == high):
        kind = "colour"
    sign, flag = draws.chance(SIGN_BESIDE), draws.chance(FLAG_BESIDE)
    if kind == "count" or (kind == "beside" and sign and flag):
        sign = False
    if kind == "count" and room_for_objects(draft.scenes, sign=False, flag=flag)[1] < high:
        flag = False
    low, high = room_for_objects(draft.scenes, sign=sign, flag=flag)
    count = draws.integer(max(low, 2) if kind == "beside" else low, high)
    kinds = draw_kinds(draws, count)
    if kind in ("colour", "shape"):
        kinds = _with_lone_object(draft, kinds, attribute=kind)
    place = draws.below(len(draft.content.facts.entities)) if flag else None
    scene = draft.arrange(Contents(kinds, word=draft.word() if sign else None, place=place, aligned=kind == "beside"))
    asked = ask_general(draft, scene, kind)
    assert asked is not None, "the scene was made to have what is asked"
    return asked


def _with_lone_object(
    draft: Draft, kinds: tuple[Kind, ...], *, attribute: Literal["colour", "shape"]
) -> tuple[Kind, ...]:
    """The same number of objects; the first is the only one of its shape (where shapes are asked: of its colour)."""
    lone = kinds[0]
    chosen = [lone]
    for kind in kinds[1:]:
        while kind in chosen or (kind.shape == lone.shape if attribute == "colour" else kind.colour == lone.colour):
            kind = Kind(draft.draws.below(len(SHAPES)), draft.draws.below(len(COLOURS)))
        chosen.append(kind)
    return tuple(chosen)


def ask_general(draft: Draft, scene: Scene, kind: GeneralKind) -> Asked | None:
    """A question of this kind over a scene, or None where the scene does not allow it."""
    match kind:
        case "colour":
            return _ask_colour(draft, scene)
        case "shape":
            return _ask_shape(draft, scene)
        case "count":
            return _ask_count(draft, scene)
        case "presence":
            return _ask_presence(draft, scene)
        case "beside":
            return _ask_beside(draft, scene)
        case _:
            assert_never(kind)


def _lone(scene: Scene, value: Callable[[int], int]) -> list[int]:
    values = [value(index) for index in range(len(scene.things))]
    return [index for index, mine in enumerate(values) if values.count(mine) == 1]


def _ask_colour(draft: Draft, scene: Scene) -> Asked | None:
    draws = draft.draws
    lone = _lone(scene, lambda index: scene.things[index].shape)
    if not lone:
        return None
    index = draws.choose(lone)
    thing = scene.things[index]
    colour = COLOURS[thing.colour]
    question = draws.choose(COLOUR_QUESTIONS).format(shape=SHAPES[thing.shape])
    wrong = COLOURS[draws.below(len(COLOURS))].name
    return Asked(scene, question, colour.name, (Slot("shape", index), Slot("colour", index)), (colour.synonym, wrong))


def _ask_shape(draft: Draft, scene: Scene) -> Asked | None:
    draws = draft.draws
    lone = _lone(scene, lambda index: scene.things[index].colour)
    if not lone:
        return None
    index = draws.choose(lone)
    thing = scene.things[index]
    question = draws.choose(SHAPE_QUESTIONS).format(colour=COLOURS[thing.colour].name)
    careless = (SHAPE_SYNONYMS[thing.shape], draws.choose(SHAPES))
    return Asked(scene, question, SHAPES[thing.shape], (Slot("shape", index), Slot("colour", index)), careless)


def _ask_count(draft: Draft, scene: Scene) -> Asked:
    count = len(scene.things)
    slots = tuple(Slot("shape", index) for index in range(count))
    careless = (NUMBERS[min(count + 1, len(NUMBERS) - 1)], NUMBERS[count - 1])
    return Asked(scene, draft.draws.choose(COUNT_QUESTIONS), NUMBERS[count], slots, careless)


def _ask_presence(draft: Draft, scene: Scene) -> Asked:
    """Half yes, half no for each wording and each thing; the things that are absent resemble those that are there."""
    draws = draft.draws
    yes = draws.chance(0.5)
    shapes = {thing.shape for thing in scene.things}
    if draws.chance(0.5) and len(shapes) < len(SHAPES):
        absent = [shape for shape in range(len(SHAPES)) if shape not in shapes]
        shape = draws.choose(scene.things).shape if yes else draws.choose(absent)
        name = SHAPES[shape]
    elif yes:
        name = thing_name(draws.choose(scene.things))
    else:
        name = thing_name(_absent_thing(draft, scene))
    slots = tuple(Slot(what, index) for index in range(len(scene.things)) for what in ("shape", "colour"))
    question = draws.choose(PRESENCE_QUESTIONS).format(thing=name)
    for vowel in "aeiou":
        question = question.replace(f" a {vowel}", f" an {vowel}")
    return Asked(scene, question, "yes" if yes else "no", slots, ("maybe", "no" if yes else "yes"))


def _absent_thing(draft: Draft, scene: Scene) -> Thing:
    """An object that is not there but shares its shape or its colour with one that is."""
    draws = draft.draws
    there = {(thing.shape, thing.colour) for thing in scene.things}
    while True:
        near = draws.choose(scene.things)
        if draws.chance(0.5):
            near = near._replace(shape=draws.below(len(SHAPES)))
        else:
            near = near._replace(colour=draws.below(len(COLOURS)))
        if (near.shape, near.colour) not in there:
            return near


def _ask_beside(draft: Draft, scene: Scene) -> Asked | None:
    draws = draft.draws
    pairs = adjacent(scene)
    if not pairs:
        return None
    say = draws.choose(pairs)
    other = scene.things[say.other]
    question = draws.choose(BESIDE_QUESTIONS).format(
        direction=DIRECTIONS[say.direction], thing=thing_name(scene.things[say.thing])
    )
    slots = (Slot("shape", say.other), Slot("shape", say.thing), Slot("colour", say.thing))
    return Asked(
        scene, question, SHAPES[other.shape], slots, (SHAPE_SYNONYMS[other.shape], draws.choose(SHAPES)), say=say
    )


def ask_reading(draft: Draft, scene: Scene) -> Asked:
    """What the sign says."""
    assert scene.sign is not None
    word = scene.sign.word
    careless = (word[:-1], draft.word())
    return Asked(scene, draft.draws.choose(READING_QUESTIONS), word, (Slot("word"),), careless)


def ask_knowledge(draft: Draft, scene: Scene, *, relation: int) -> Asked:
    """What is true of the place whose flag is shown."""
    assert scene.flag is not None
    draws = draft.draws
    answer = draft.content.facts.entities[scene.flag.entity].value(relation)
    question = draws.choose(RELATIONS[relation].questions).format(place=THIS_PLACE)
    careless = (draws.choose(RELATIONS[relation].values), draws.choose(RELATIONS[relation].values))
    return Asked(scene, question, answer, (Slot("place"),), careless)
