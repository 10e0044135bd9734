"""One small world for all tests of it."""

from __future__ import annotations

import pytest

from vlmlab.data.world.world import GeneratedWorld
from vlmlab.recipe.source import Scenes, World


@pytest.fixture(scope="session")
def world() -> GeneratedWorld:
    return GeneratedWorld(World(seed=3))


@pytest.fixture(scope="session")
def scenes() -> Scenes:
    return Scenes()
