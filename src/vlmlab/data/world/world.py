"""GeneratedWorld: training rows and benchmark items as functions of (world seed, split, family, index)."""

from __future__ import annotations

import itertools
from functools import cached_property, lru_cache
from typing import final

from vlmlab.data.item import Item
from vlmlab.data.rows import Row
from vlmlab.data.world.benchmarks import Posed, posed_item
from vlmlab.data.world.content import Content, Draft, build_content
from vlmlab.data.world.draws import Draws
from vlmlab.data.world.facts import Facts
from vlmlab.data.world.families import training_row
from vlmlab.data.world.scene import Split
from vlmlab.data.world.vocabulary import KNOWN_WORDS
from vlmlab.data.world.words import NONCE_WORDS
from vlmlab.errors import DataError
from vlmlab.recipe.evaluation import WorldBenchmarkFamily
from vlmlab.recipe.source import Scenes, TrainingFamily
from vlmlab.recipe.source import World as WorldSpec

MOST_DRAWS = 20
"""Scenes drawn for each validation item before the search is given up."""


@lru_cache(maxsize=64)
def _scenes_name(scenes: Scenes) -> str:
    return scenes.fingerprint()[:6]


@final
class GeneratedWorld:
    """The world of a recipe. Picklable and cheap to make; holds no pixels.

    Two worlds with equal `spec` (its `scenes` aside, which every call names) give equal rows, in any order and process.
    """

    def __init__(self, spec: WorldSpec) -> None:
        self.spec = spec

    def __reduce__(self) -> tuple[type[GeneratedWorld], tuple[WorldSpec]]:
        return GeneratedWorld, (self.spec,)

    @cached_property
    def content(self) -> Content:
        """Places, facts, words and the rules of the binding game."""
        return build_content(self.spec)

    @property
    def facts(self) -> Facts:
        """Places with their flags and facts, and which of them training may ask over pictures."""
        return self.content.facts

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the places."""
        return tuple(place.name for place in self.facts.entities)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Every word that questions, answers and signs may hold, sorted."""
        return tuple(sorted({*KNOWN_WORDS, *self.names, *self.content.words, *NONCE_WORDS}))

    def training_row(self, family: TrainingFamily, index: int, scenes: Scenes, split: Split = "train") -> Row:
        """Row `index` of a family. `split="test"` gives held-out rows, for measuring a loss on them."""
        return training_row(self._draft("row", family, index, scenes, split), family)

    def posed_items(
        self, family: WorldBenchmarkFamily, count: int, scenes: Scenes, split: Split = "test"
    ) -> list[Posed]:
        """Items with the scenes behind them, for the oracle reader."""
        purpose = "item" if split == "test" else "demonstration"
        return [posed_item(self._draft(purpose, family, index, scenes, split), family) for index in range(count)]

    def benchmark_items(self, family: WorldBenchmarkFamily, count: int, scenes: Scenes) -> list[Item]:
        """The first `count` items of a benchmark, from the test split."""
        return [posed.item for posed in self.posed_items(family, count, scenes)]

    def validation_items(self, family: WorldBenchmarkFamily, count: int, scenes: Scenes) -> list[Item]:
        """As many items of scenes that neither training nor the first `count` items of the benchmark show, for choices
        made before testing. Binding items show few kinds of scenes; there the games are others."""
        tested = {
            posed.scene.signature() for posed in self.posed_items(family, count, scenes) if posed.scene is not None
        }
        items: list[Item] = []
        for index in itertools.count():
            if len(items) == count:
                return items
            posed = posed_item(self._draft("validation", family, index, scenes, "test"), family)
            if family == "binding" or posed.scene is None or posed.scene.signature() not in tested:
                items.append(posed.item)
            elif index > MOST_DRAWS * count:
                raise DataError(
                    "data.world.scenes",
                    f"only {len(items)} of {count} validation items of {family} have scenes that its test items do not "
                    "show; allow more objects, or ask fewer items",
                )
        raise AssertionError("counting has no end")

    def demonstration_pool(self, family: WorldBenchmarkFamily, count: int, scenes: Scenes) -> list[Item]:
        """Items of the same form from the train split; knowledge items ask only what training may ask over pictures."""
        return [posed.item for posed in self.posed_items(family, count, scenes, "train")]

    def _draft(self, purpose: str, family: str, index: int, scenes: Scenes, split: Split) -> Draft:
        name = f"{self.content.fingerprint}.{_scenes_name(scenes)}"
        key = f"world/{name}/{split}/{purpose}/{family}/{index}"
        draws = Draws(self.spec.seed, purpose, split, family, index)
        return Draft(self.content, scenes, split, draws, key)
