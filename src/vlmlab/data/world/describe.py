"""Describe: a scene in words, for captions, references, pages and text twins alike."""

from __future__ import annotations

from collections.abc import Sequence

from vlmlab.data.world.draws import Draws
from vlmlab.data.world.facts import Entity
from vlmlab.data.world.scene import Adjacent, Scene, Thing, adjacent
from vlmlab.data.world.vocabulary import (
    COLOURS,
    DIRECTIONS,
    FLAG_PHRASE,
    NOISE,
    OPENINGS,
    SHAPES,
    SIGN_PHRASES,
    Voice,
    with_article,
)

_RELATION_SHARE = 0.6
"""How often a description says where one object is, if two stand beside each other."""
_SIZE_SHARE = 0.2


def thing_name(thing: Thing) -> str:
    """
    >>> thing_name(Thing(0, 0, True, 0, 0, (0.0, 0.0)))
    'red circle'
    """
    return f"{COLOURS[thing.colour].name} {SHAPES[thing.shape]}"


def describe(
    draws: Draws, scene: Scene, entities: Sequence[Entity], *, voice: Voice = "picture", say: Adjacent | None = None
) -> str:
    """One or two sentences that name every object with its colour, the sign's word and the flag's place.

    `say` is a pair of objects whose relation the text must tell.
    """
    items = _objects(draws, scene, say)
    extras = []
    if scene.sign is not None:
        extras.append(draws.choose(SIGN_PHRASES).format(word=scene.sign.word))
    if scene.flag is not None:
        extras.append(FLAG_PHRASE.format(name=entities[scene.flag.entity].name))
    if len(extras) == 2 and draws.chance(0.5):
        extras.reverse()
    if extras and draws.chance(0.35):
        sentences = [_listed(items), *extras]
    elif draws.chance(0.5):
        sentences = [_listed(items + extras)]
    else:
        sentences = [_listed(extras + items)]
    sentences[0] = draws.choose(OPENINGS[voice]) + sentences[0]
    return "".join([f"{sentence}. " for sentence in sentences])[:-1]


def _objects(draws: Draws, scene: Scene, say: Adjacent | None) -> list[str]:
    """Phrases that together name each object once, in reading order but for a relation's pair."""
    sized = draws.chance(_SIZE_SHARE)
    names = []
    for thing in scene.things:
        size = ("large " if thing.large else "small ") if sized else ""
        names.append(with_article(f"{size}{COLOURS[thing.colour].name} {SHAPES[thing.shape]}"))
    if say is None and len(names) > 1 and draws.chance(_RELATION_SHARE):
        pairs = adjacent(scene)
        if pairs:
            say = draws.choose(pairs)
    elif say is not None and draws.chance(0.5):
        # The same relation told from the other object's side: above and below, left and right are neighbours.
        say = Adjacent(say.other, say.direction ^ 1, say.thing)
    if say is None:
        return names
    # `say.other` stands in the direction: "other above thing".
    pair = f"{names[say.other]} {DIRECTIONS[say.direction]} {names[say.thing]}"
    return [pair] + [name for index, name in enumerate(names) if index not in (say.thing, say.other)]


def _listed(items: list[str]) -> str:
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} and {items[-1]}"


def alt_text(draws: Draws, scene: Scene, entities: Sequence[Entity]) -> str:
    """Short and noisy, as people write beside pictures on pages: one thing of the picture, sometimes nothing of it."""
    if draws.chance(0.1):
        return draws.choose(NOISE)
    thing = draws.choose(scene.things)
    names = [SHAPES[thing.shape], thing_name(thing), thing_name(thing)]
    if scene.sign is not None:
        names.append(f"{scene.sign.word} sign")
    if scene.flag is not None:
        names.append(f"{entities[scene.flag.entity].name} flag")
    name = draws.choose(names)
    match draws.below(4):
        case 0:
            return f"{name} {draws.choose(NOISE)}"
        case 1:
            return f"img {draws.integer(1, 999)} {name}"
        case _:
            return name
