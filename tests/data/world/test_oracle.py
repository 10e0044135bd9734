"""The oracle reader: no item asks for what nobody could see, and too few pixels are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from vlmlab.data.world.oracle import moved, read_benchmark, view
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.recipe.evaluation import WorldBenchmarkFamily
from vlmlab.recipe.image import ImagePolicy
from vlmlab.recipe.source import Scenes

FAMILIES: tuple[WorldBenchmarkFamily, ...] = ("general", "reading", "knowledge", "captions", "binding")


@pytest.mark.parametrize("family", FAMILIES)
def test_items_are_legible_at_48_pixels(family: WorldBenchmarkFamily, world: GeneratedWorld, scenes: Scenes) -> None:
    found = read_benchmark(world.posed_items(family, 50, scenes), world.content, ImagePolicy(side=48))
    assert found.items == 50
    assert found.share >= 0.98, found.illegible


def test_signs_are_not_legible_at_12_pixels(world: GeneratedWorld, scenes: Scenes) -> None:
    posed = world.posed_items("reading", 50, scenes)
    found = read_benchmark(posed, world.content, ImagePolicy(side=12))
    assert found.share < 0.7
    assert set(found.illegible) <= {item.item.id for item in posed}


def test_small_glyphs_need_pixels(world: GeneratedWorld) -> None:
    """What the resolution studies need: one world, illegible at the low and legible at the high resolution."""
    posed = world.posed_items("reading", 20, Scenes(master=224, glyph=(0.03, 0.035)))
    assert read_benchmark(posed, world.content, ImagePolicy(side=48)).share < 0.5
    assert read_benchmark(posed, world.content, ImagePolicy(side=224)).share >= 0.98


def test_views_have_the_policy_size() -> None:
    pixels = np.zeros((48, 96, 3), np.uint8)
    assert view(pixels, ImagePolicy(policy="square", side=32)).shape == (32, 32, 3)
    assert view(pixels, ImagePolicy(policy="keep", side=32)).shape == (16, 32, 3)
    assert moved(np.array([[1, 2], [3, 4]], np.uint8), 1.0).tolist() == [[1, 1], [1, 1]]
    assert moved(np.array([[10, 20, 30]], np.uint8), -0.5).tolist() == [[15, 25, 30]]
