"""Disjointness: that training never shows a tested scene, asks a tested fact over a picture, or names as a test does.

The splits are disjoint by construction; this looks at finished rows and items only, so that a leak would be noticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vlmlab.data.document import Picture
from vlmlab.data.item import Item
from vlmlab.data.rows import IMAGE_MARK, CaptionRow, DialogueRow, InterleavedRow, Row, TextRow, TwinRow
from vlmlab.data.world.facts import Facts, Pair
from vlmlab.data.world.scene import PagePicture, ScenePicture
from vlmlab.data.world.vocabulary import BINDING_QUESTION, COLOURS, RELATIONS, SHAPES, THIS_PLACE
from vlmlab.data.world.words import NONCE_WORDS
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.errors import DataError
from vlmlab.recipe.evaluation import WorldBenchmarkFamily
from vlmlab.recipe.source import Scenes, TrainingFamily

IMAGE_FAMILIES: tuple[TrainingFamily, ...] = ("captions", "pages", "binding", "rendered", "dialogues")
IMAGE_BENCHMARKS: tuple[WorldBenchmarkFamily, ...] = ("general", "reading", "knowledge", "captions", "binding")

_RELATION_OF = {
    question.format(place=THIS_PLACE): number
    for number, relation in enumerate(RELATIONS)
    for question in relation.questions
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What rows or items showed: signatures of scenes, facts asked over pictures ("zorland's food"), and namings
    ("dax names shape star")."""

    scenes: frozenset[str]
    facts: frozenset[str]
    namings: frozenset[str]


@dataclass(frozen=True, slots=True)
class Disjointness:
    """How much was compared."""

    training: Shown
    testing: Shown


def check_disjoint(world: GeneratedWorld, scenes: Scenes, *, rows: int = 200, items: int = 100) -> Disjointness:
    """Compare the first rows of every family with pictures to the first items of every image benchmark.

    Raises DataError naming what both show.
    """
    training = shown_in_rows(
        (world.training_row(family, index, scenes) for family in IMAGE_FAMILIES for index in range(rows)), world.facts
    )
    testing = shown_in_items(
        (item for family in IMAGE_BENCHMARKS for item in world.benchmark_items(family, items, scenes)), world.facts
    )
    compare(training, testing)
    return Disjointness(training, testing)


def compare(training: Shown, testing: Shown) -> None:
    """Raise DataError if training showed anything that the tests ask."""
    for what, ours, theirs in (
        ("scenes", training.scenes, testing.scenes),
        ("facts asked over pictures", training.facts, testing.facts),
        ("namings", training.namings, testing.namings),
    ):
        leaked = sorted(ours & theirs)
        if leaked:
            raise DataError(
                "data.world",
                f"{len(leaked)} {what} are in the training rows and in the benchmarks, such as {leaked[0]!r}; "
                f"expected none; draw training rows from split 'train' and items from split 'test'",
            )


def shown_in_rows(rows: Iterable[Row], facts: Facts) -> Shown:
    """What training rows show."""
    scenes: set[str] = set()
    asked: set[str] = set()
    namings: set[str] = set()
    for row in rows:
        match row:
            case CaptionRow():
                scenes.add(_signature(row.picture))
            case InterleavedRow():
                pictures = [item for item in row.items if not isinstance(item, str)]
                scenes.update(map(_signature, pictures))
                words = [item.removeprefix("this is a ").rstrip(".") for item in row.items if isinstance(item, str)]
                if set(words) <= set(NONCE_WORDS):
                    namings |= namings_of(list(zip(words, pictures, strict=True)))
            case DialogueRow():
                scenes.update(map(_signature, row.pictures))
                turns = [(question.replace(IMAGE_MARK, "").strip(), answer) for question, answer in row.turns]
                pictures = row.pictures if len(row.pictures) == len(turns) else row.pictures * len(turns)
                for (question, _), picture in zip(turns, pictures, strict=True):
                    asked |= _fact(question, picture, facts)
                if turns[0][0] == BINDING_QUESTION:
                    namings |= namings_of([(turn[1], picture) for turn, picture in zip(turns, pictures, strict=True)])
            case TextRow() | TwinRow():
                pass
    return Shown(frozenset(scenes), frozenset(asked), frozenset(namings))


def shown_in_items(items: Iterable[Item], facts: Facts) -> Shown:
    """What benchmark items show, the demonstrations that they carry included."""
    scenes: set[str] = set()
    asked: set[str] = set()
    namings: set[str] = set()
    for item in items:
        game = [item, *(item.demonstrations or ())]
        pairs = [(one.answers[0], one.picture) for one in game if one.picture is not None]
        scenes.update(_signature(picture) for _, picture in pairs)
        for one in game:
            if one.picture is not None and one.question is not None:
                asked |= _fact(one.question, one.picture, facts)
        if item.question == BINDING_QUESTION:
            namings |= namings_of(pairs)
    return Shown(frozenset(scenes), frozenset(asked), frozenset(namings))


def _signature(picture: Picture) -> str:
    match picture:
        case ScenePicture():
            return picture.scene.signature()
        case PagePicture():
            return picture.page.signature()
        case _:
            raise DataError(
                picture.key, "this picture was not made by the generated world; only its pictures can be compared"
            )


def _fact(question: str, picture: Picture, facts: Facts) -> set[str]:
    relation = _RELATION_OF.get(question)
    if relation is None or not isinstance(picture, ScenePicture) or picture.scene.flag is None:
        return set()
    pair = Pair(picture.scene.flag.entity, relation)
    return {f"{facts.entities[pair.entity].name}'s {RELATIONS[pair.relation].name}"}


def namings_of(game: list[tuple[str, Picture]]) -> set[str]:
    """Which label named which value, read off the pictures of one document. A document from which two attributes could
    be meant (its distractors happen to follow the labels) says nothing."""
    scenes = [(label, picture.scene) for label, picture in game if isinstance(picture, ScenePicture)]
    shapes = _consistent([(label, SHAPES[scene.things[0].shape]) for label, scene in scenes])
    colours = _consistent([(label, COLOURS[scene.things[0].colour].name) for label, scene in scenes])
    if bool(shapes) == bool(colours):
        return set()
    attribute, pairs = ("shape", shapes) if shapes else ("colour", colours)
    return {f"{label} names {attribute} {value}" for label, value in pairs}


def _consistent(pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs, if they are one-to-one; else nothing."""
    different = set(pairs)
    one_to_one = len({label for label, _ in different}) == len({value for _, value in different}) == len(different)
    return different if one_to_one else set()
