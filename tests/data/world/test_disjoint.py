"""Training and test share nothing, and the check that says so can fail."""

from __future__ import annotations

import pytest

from vlmlab.data.rows import DialogueRow
from vlmlab.data.world.disjoint import (
    IMAGE_BENCHMARKS,
    IMAGE_FAMILIES,
    Shown,
    check_disjoint,
    compare,
    shown_in_items,
    shown_in_rows,
)
from vlmlab.data.world.facts import Pair
from vlmlab.data.world.scene import Split
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.errors import DataError
from vlmlab.recipe.source import Scenes


@pytest.mark.parametrize("scenes", [Scenes(), Scenes(objects=(1, 1)), Scenes(aspect=(0.5, 2.0), objects=(2, 6))])
def test_training_and_test_are_disjoint(scenes: Scenes, world: GeneratedWorld) -> None:
    found = check_disjoint(world, scenes, rows=150, items=80)
    for shown in (found.training, found.testing):
        assert len(shown.scenes) > 400
        assert len(shown.facts) > 20
        assert len(shown.namings) > 50
    # Every fact is on one side, and both sides are used up.
    assert len(found.training.facts) <= len(world.facts.told_pairs)
    assert len(found.testing.facts) <= len(world.facts.text_only_pairs)


def test_demonstrations_come_from_the_training_split(world: GeneratedWorld, scenes: Scenes) -> None:
    testing = shown_in_items(world.benchmark_items("knowledge", 100, scenes), world.facts)
    pool = shown_in_items(world.demonstration_pool("knowledge", 100, scenes), world.facts)
    compare(pool, testing)
    assert len(pool.facts) > 20
    asked = {item.cluster for item in world.benchmark_items("text", 200, scenes)}
    shots = {item.cluster for item in world.demonstration_pool("text", 200, scenes)}
    assert not asked & shots


@pytest.mark.parametrize("objects", [(1, 1), (1, 3)])
def test_validation_shows_neither_tested_nor_trained_scenes(world: GeneratedWorld, objects: tuple[int, int]) -> None:
    scenes = Scenes(objects=objects)
    rows = (world.training_row(family, index, scenes) for family in IMAGE_FAMILIES for index in range(150))
    training = shown_in_rows(rows, world.facts)
    for family in IMAGE_BENCHMARKS:
        items = world.validation_items(family, 60, scenes)
        tested = world.benchmark_items(family, 60, scenes)
        assert len({item.id for item in [*items, *tested]}) == 120
        compare(training, shown_in_items(items, world.facts))
        if family != "binding":
            assert not shown_in_items(items, world.facts).scenes & shown_in_items(tested, world.facts).scenes


def test_too_few_kinds_of_scenes_for_validation_are_named(
    world: GeneratedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmlab.data.world.world.MOST_DRAWS", 0)
    with pytest.raises(DataError, match=r"only \d+ of 300 validation items of general have scenes that its test items"):
        world.validation_items("general", 300, Scenes(objects=(1, 1)))


def _naming_rows(world: GeneratedWorld, scenes: Scenes, split: Split) -> list[DialogueRow]:
    rows = [world.training_row("binding", index, scenes, split) for index in range(60)]
    return [row for row in rows if isinstance(row, DialogueRow)]


def test_a_leak_is_named(world: GeneratedWorld, scenes: Scenes) -> None:
    captions = [world.training_row("captions", index, scenes) for index in range(30)]
    shown = shown_in_rows(captions, world.facts)
    with pytest.raises(DataError, match=r"1 scenes are in the training rows and in the benchmarks, such as '2x2"):
        compare(shown, shown_in_rows(captions[:1], world.facts))

    # Dialogues of the test split ask the facts that training must not ask.
    leaky = shown_in_rows((world.training_row("dialogues", i, scenes, "test") for i in range(60)), world.facts)
    testing = shown_in_items(world.benchmark_items("knowledge", 100, scenes), world.facts)
    assert leaky.facts & testing.facts
    with pytest.raises(DataError, match=r"facts asked over pictures .* such as \"\w+'s \w+\""):
        compare(Shown(frozenset(), leaky.facts, frozenset()), testing)

    testing = shown_in_items(world.benchmark_items("binding", 100, scenes), world.facts)
    honest = shown_in_rows(_naming_rows(world, scenes, "train"), world.facts)
    leaky = shown_in_rows(_naming_rows(world, scenes, "test"), world.facts)
    compare(honest, testing)
    assert leaky.namings & testing.namings
    with pytest.raises(DataError, match="namings"):
        compare(Shown(frozenset(), frozenset(), leaky.namings), testing)


def test_what_is_told_over_pictures_is_what_the_split_says(world: GeneratedWorld, scenes: Scenes) -> None:
    shown = shown_in_rows((world.training_row("dialogues", index, scenes) for index in range(600)), world.facts)
    places = {place.name: number for number, place in enumerate(world.facts.entities)}
    relations = ["food", "animal", "weather", "craft"]
    pairs = set()
    for fact in shown.facts:
        name, relation = fact.split("'s ")
        pairs.add(Pair(places[name], relations.index(relation)))
    assert pairs == world.facts.told_pairs
