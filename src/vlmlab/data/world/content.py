"""Content: what one world knows, and the arguments that every row of it is made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from vlmlab.data.world.binding import Bindings
from vlmlab.data.world.draws import Draws
from vlmlab.data.world.facts import Facts, Pair, build_facts
from vlmlab.data.world.layout import Contents, arrange
from vlmlab.data.world.scene import Scene, ScenePicture, Split
from vlmlab.data.world.vocabulary import SIGNS
from vlmlab.files import digest
from vlmlab.recipe.source import Scenes
from vlmlab.recipe.source import World as WorldSpec


@dataclass(frozen=True)
class Content:
    """Everything that is a function of the world's own fields, and nothing that depends on how pictures look."""

    seed: int
    facts: Facts
    words: tuple[str, ...]
    bindings: Bindings

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the seed, the names, flags, facts and words."""
        places = [[place.name, list(place.emblem), list(place.values)] for place in self.facts.entities]
        return digest([self.seed, places, list(self.words)])[:8]


def build_content(spec: WorldSpec) -> Content:
    """The content of a world, in a few milliseconds."""
    words = tuple(Draws(spec.seed, "words").sample(SIGNS, spec.words))
    return Content(spec.seed, build_facts(spec.seed, spec.entities), words, Bindings(spec.seed))


class Draft(NamedTuple):
    """What a row is made from: the world, the pictures' difficulty, the split, the choices, the row's key."""

    content: Content
    scenes: Scenes
    split: Split
    draws: Draws
    key: str

    def arrange(self, contents: Contents) -> Scene:
        """A scene of this split that holds the contents."""
        return arrange(
            self.draws,
            contents,
            entities=self.content.facts.entities,
            scenes=self.scenes,
            seed=self.content.seed,
            split=self.split,
        )

    def picture(self, scene: Scene, place: int = 0) -> ScenePicture:
        """The picture of a scene; `place` counts the pictures of this row."""
        return ScenePicture(f"{self.key}/{place}", scene)

    def pair(self) -> Pair:
        """A fact that may be asked over a picture of this split: evenly over relations, then over values."""
        groups = self.draws.choose(self.content.facts.groups(self.split))
        return self.draws.choose(self.draws.choose(groups))

    def word(self) -> str:
        """A word for a sign."""
        return self.draws.choose(self.content.words)
