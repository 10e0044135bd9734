"""Scenes and their pictures: everything inside, large enough to see, nothing covered, at any difficulty."""

from __future__ import annotations

import numpy as np
import pytest

from vlmlab.data.rows import CaptionRow
from vlmlab.data.world.facts import Emblem
from vlmlab.data.world.layout import choose_grid
from vlmlab.data.world.render import FLAG_HEIGHT, SMALL, glyph_height, render
from vlmlab.data.world.scene import Flag, Scene, ScenePicture, Sign, Thing, adjacent
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.recipe.source import Scenes


def _scenes(world: GeneratedWorld, scenes: Scenes, count: int) -> list[Scene]:
    rows = [world.training_row("captions", index, scenes) for index in range(count)]
    return [row.picture.scene for row in rows if isinstance(row, CaptionRow) and isinstance(row.picture, ScenePicture)]


def test_default_scenes_are_legible_at_half_size(world: GeneratedWorld, scenes: Scenes) -> None:
    for scene in _scenes(world, scenes, 200):
        cell = min(scene.height / scene.rows, scene.width / scene.columns)
        assert round(SMALL * cell) / 2 >= 14
        assert round(FLAG_HEIGHT * cell) / 2 >= 16
        if scene.sign is not None:
            assert glyph_height(scene, scene.sign) / 2 >= 9
            assert 0.19 <= glyph_height(scene, scene.sign) / 96 <= 0.29
        assert 1 <= len(scene.things) <= 3


@pytest.mark.parametrize(
    "scenes",
    [
        Scenes(),
        Scenes(objects=(4, 16)),
        Scenes(aspect=(0.25, 4.0)),
        Scenes(master=224, glyph=(0.03, 0.06), objects=(2, 9), aspect=(0.5, 2.0)),
        Scenes(objects=(16, 16), aspect=(0.25, 0.25)),
        Scenes(master=16),
    ],
    ids=["default", "crowded", "ratios", "large", "tall", "tiny"],
)
def test_nothing_shares_a_cell_and_every_difficulty_renders(scenes: Scenes, world: GeneratedWorld) -> None:
    for scene in _scenes(world, scenes, 40):
        assert max(scene.height, scene.width) == scenes.master
        low, high = scenes.aspect
        assert low * 0.9 <= scene.width / scene.height <= high * 1.1 or min(scene.height, scene.width) == 8
        assert scenes.objects[0] <= len(scene.things) <= scenes.objects[1]
        assert len({(thing.shape, thing.colour) for thing in scene.things}) == len(scene.things)
        cells = [(thing.row, thing.column) for thing in scene.things]
        assert cells == sorted(cells)
        if scene.flag is not None:
            cells.append((scene.flag.row, scene.flag.column))
        assert len(set(cells)) == len(cells)
        assert all(0 <= row < scene.rows and 0 <= column < scene.columns for row, column in cells)
        if scene.sign is not None:
            assert scene.sign.row not in {row for row, _ in cells}
        pixels = render(scene)
        assert pixels.shape == (scene.height, scene.width, 3)


def test_questions_are_posed_at_every_difficulty(world: GeneratedWorld) -> None:
    for scenes in (Scenes(objects=(1, 1)), Scenes(objects=(16, 16)), Scenes(objects=(2, 5), aspect=(0.25, 4.0))):
        for family in ("general", "reading", "knowledge", "binding", "captions"):
            assert len(world.benchmark_items(family, 30, scenes)) == 30


def test_grids_keep_cells_large() -> None:
    sides = [(slots, tuple(choose_grid(96, 96, slots, False))) for slots in (1, 4, 5, 9, 16)]
    assert sides == [(1, (2, 2)), (4, (2, 2)), (5, (3, 3)), (9, (3, 3)), (16, (4, 4))]
    assert tuple(choose_grid(96, 96, 2, True)) == (2, 2)
    assert tuple(choose_grid(24, 96, 4, False)) == (1, 4)
    assert tuple(choose_grid(96, 24, 4, False)) == (4, 1)


def _thing(row: int, column: int, colour: int = 0) -> Thing:
    return Thing(0, colour, True, row, column, (0.0, 0.0))


def test_neighbours_stand_in_one_line_with_nothing_between() -> None:
    scene = Scene(96, 96, 3, 3, 0, 0, (_thing(0, 0), _thing(0, 2), _thing(1, 1), _thing(2, 0)))
    assert {(pair.thing, pair.direction, pair.other) for pair in adjacent(scene)} == {
        (0, 3, 1), (1, 2, 0), (0, 1, 3), (3, 0, 0),
    }  # fmt: skip
    flag = Flag(0, Emblem(0, 0, 1), 0, 1, (0.0, 0.0))
    assert {(pair.thing, pair.other) for pair in adjacent(Scene(96, 96, 3, 3, 0, 0, scene.things, flag=flag))} == {
        (0, 3), (3, 0),
    }  # fmt: skip
    sign = Sign("word", 1, 0.2, (0.0, 0.0))
    assert adjacent(Scene(96, 96, 3, 3, 0, 0, (_thing(0, 0), _thing(2, 0)), sign=sign)) == ()


def test_a_picture_shows_its_things_where_they_stand() -> None:
    pixels = render(Scene(96, 96, 2, 2, 0, 0, (_thing(0, 1), _thing(1, 0, colour=2))))
    assert pixels[24, 72].tolist() == [215, 25, 30]
    assert pixels[72, 24].tolist() == [30, 65, 220]
    ground = render(Scene(96, 96, 2, 2, 0, 0, ()))
    assert np.array_equal(pixels[48:, 48:], ground[48:, 48:])
    assert not np.array_equal(pixels[:48, 48:], ground[:48, 48:])
