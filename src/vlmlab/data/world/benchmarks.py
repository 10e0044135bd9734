"""Benchmarks: items of the test split, and their demonstrations from the train split. Item i depends on i alone."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from vlmlab.data.item import Item
from vlmlab.data.world.binding import Game
from vlmlab.data.world.content import Draft
from vlmlab.data.world.describe import describe
from vlmlab.data.world.draws import Draws
from vlmlab.data.world.families import caption_scene
from vlmlab.data.world.layout import Contents
from vlmlab.data.world.questions import Asked, Slot, pose
from vlmlab.data.world.scene import Scene
from vlmlab.data.world.vocabulary import BINDING_QUESTION, RELATIONS
from vlmlab.recipe.evaluation import WorldBenchmarkFamily

NUM_REFERENCES = 10
MOST_CARELESS = 4
"""Of ten annotators at most these many miss the answer, so that six agree and the score of the truth is 100."""
NUM_CAPTIONS = 5
NUM_CHOICES = 4
NUM_BINDING_SHOTS = 8


class Posed(NamedTuple):
    """An item, and for image benchmarks the scene behind it and what must be seen in it."""

    item: Item
    scene: Scene | None = None
    slots: tuple[Slot, ...] = ()


def posed_item(draft: Draft, family: WorldBenchmarkFamily) -> Posed:
    """The item of a family that these draws make; `draft.split` decides which scenes, facts and mappings it may use."""
    match family:
        case "general" | "reading" | "knowledge":
            return _question_item(draft, pose(draft, family), family=family)
        case "captions":
            return _caption_item(draft)
        case "binding":
            return _binding_item(draft)
        case "text":
            return _text_item(draft)
        case _:
            assert_never(family)


def _question_item(draft: Draft, asked: Asked, *, family: WorldBenchmarkFamily) -> Posed:
    """The cluster is the scene; for knowledge it is the fact, since a few dozen facts share all items."""
    answers = references(draft.draws, asked.answer, careless=asked.careless)
    cluster = f"{draft.key}/0"
    if family == "knowledge":
        assert asked.scene.flag is not None, "a question on a place shows its flag"
        cluster = f"{draft.content.facts.entities[asked.scene.flag.entity].name}/{asked.answer}"
    item = Item(draft.key, cluster, asked.question, answers, picture=draft.picture(asked.scene))
    return Posed(item, asked.scene, asked.slots)


def references(draws: Draws, answer: str, *, careless: tuple[str, ...]) -> tuple[str, ...]:
    """Ten annotators' answers: the truth first, then the others in random order; up to four are careless."""
    missed = draws.pick(((0, 0.4), (1, 0.25), (2, 0.2), (3, 0.1), (MOST_CARELESS, 0.05)))
    given = [answer] * (NUM_REFERENCES - missed - 1) + [draws.choose(careless) for _ in range(missed)]
    return (answer, *draws.shuffled(given))


def _caption_item(draft: Draft) -> Posed:
    """Five references that differ; a scene of one object has fewer phrasings than many, but always more than five."""
    scene = caption_scene(draft)
    captions: dict[str, None] = {}
    while len(captions) < NUM_CAPTIONS:
        captions[describe(draft.draws, scene, draft.content.facts.entities)] = None
    slots = [Slot(what, index) for index in range(len(scene.things)) for what in ("shape", "colour")]
    if scene.sign is not None:
        slots.append(Slot("word"))
    if scene.flag is not None:
        slots.append(Slot("place"))
    item = Item(draft.key, f"{draft.key}/0", None, tuple(captions), picture=draft.picture(scene))
    return Posed(item, scene, tuple(slots))


def _binding_item(draft: Draft) -> Posed:
    """Two labels. The first four demonstrations show each twice, all eight each four times, in random order."""
    draws = draft.draws
    game = draft.content.bindings.game(draws, draft.split, labels=2)
    order = draws.shuffled([0, 0, 1, 1]) + draws.shuffled([0, 0, 1, 1])
    demonstrations = tuple(_naming(draft, game, label, place).item for place, label in enumerate(order, start=1))
    assert len(demonstrations) == NUM_BINDING_SHOTS
    query = _naming(draft, game, draws.below(2), 0)
    answer = query.item.answers
    item = Item(
        draft.key,
        query.item.cluster,
        BINDING_QUESTION,
        answer,
        picture=query.item.picture,
        demonstrations=demonstrations,
    )
    return Posed(item, query.scene, query.slots)


def _naming(draft: Draft, game: Game, label: int, place: int) -> Posed:
    scene = draft.arrange(Contents((game.kind(draft.draws, label),)))
    name = f"{draft.key}/{place}"
    item = Item(name, name, BINDING_QUESTION, (game.labels[label],), picture=draft.picture(scene, place))
    return Posed(item, scene, (Slot(game.attribute, 0),))


def _text_item(draft: Draft) -> Posed:
    """A fact asked by the place's name, with three other values of the relation; items on one fact are one cluster."""
    draws = draft.draws
    pair = draft.pair()
    place = draft.content.facts.entities[pair.entity]
    relation = RELATIONS[pair.relation]
    answer = place.value(pair.relation)
    others = draws.sample([value for value in relation.values if value != answer], NUM_CHOICES - 1)
    question = draws.choose(relation.questions).format(place=place.name)
    choices = tuple(draws.shuffled([answer, *others]))
    return Posed(Item(draft.key, f"{place.name}/{relation.name}", question, (answer,), choices=choices))
