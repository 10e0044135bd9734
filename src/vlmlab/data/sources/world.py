"""The generated world as a source: rows are made when they are asked for."""

from __future__ import annotations

from dataclasses import replace

from vlmlab.data.rows import Row
from vlmlab.data.sources.contract import number_in_key
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.files import digest
from vlmlab.recipe.source import Data, Scenes, WorldSource


class WorldRows:
    """One family of the world's training split."""

    def __init__(self, spec: WorldSource, *, name: str, data: Data, world: GeneratedWorld) -> None:
        self._spec = spec
        self._name = name
        self._world = world
        self._world_spec = data.world
        self._scenes: Scenes = data.world.scenes if spec.scenes is None else spec.scenes

    def __len__(self) -> int:
        return self._spec.size

    def row(self, index: int) -> Row:
        assert 0 <= index < self._spec.size
        return replace(self._world.training_row(self._spec.family, index, self._scenes), key=f"{self._name}#{index}")

    def find(self, key: str) -> int:
        return number_in_key(key, self._name, size=self._spec.size)

    def fingerprint(self) -> str:
        return digest(["world", self._spec.plain(), self._world_spec.plain(), self._scenes.plain()])
