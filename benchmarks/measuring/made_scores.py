"""Made studies whose truth is known: scores of crossed training seeds and items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from scipy import stats

from vlmlab.study.statistics.estimate import Components
from vlmlab.study.statistics.power import Noise
from vlmlab.study.statistics.scores import Scores

CLUSTERS = 60


@dataclass(frozen=True)
class Numbers:
    """Normal noise, in points. The score of an arm's replicate in a cluster is

    arm + common[replicate] + seed[arm, replicate] + difficulty[cluster] + taste[arm, cluster] + residual.
    """

    name: str
    seeds: tuple[float, ...]
    """Standard deviation of an arm's seed: of the first arm, the second and so on, and around again."""
    item: float
    """Standard error of one arm's mean by its taste for clusters."""
    residual: float
    """The same by residuals, in one replicate."""
    common: float = 0.0
    """Standard deviation of the stages that the arms of a replicate share."""
    frozen: float = 0.0
    """Standard deviation of an arm's stage that is trained once for all replicates."""
    uneven: bool = False
    """Clusters of 1 to 8 items instead of equal ones."""
    pairing: Literal["paired", "independent"] = "paired"
    bounded: bool = True

    def draw(self, generator: np.random.Generator, *, effects: Mapping[str, float], replicates: int) -> Scores:
        """One study of arms with these means."""
        sizes = 1.0 + np.arange(CLUSTERS) % 8 if self.uneven else np.ones(CLUSTERS)
        weights = sizes / sizes.sum()
        # Clusters have the same standard deviation, chosen so that the weighted mean has the declared one.
        width = 1 / sqrt(float(weights @ weights))
        difficulty = generator.normal(0, 20, CLUSTERS)
        common = generator.normal(0, self.common, replicates)
        means = {}
        for place, (arm, effect) in enumerate(effects.items()):
            seed = common + generator.normal(0, self.seeds[place % len(self.seeds)], replicates)
            level = effect + generator.normal(0, self.frozen)
            taste = width * self.item * generator.normal(size=CLUSTERS)
            residual = width * self.residual * generator.normal(size=(replicates, CLUSTERS))
            means[arm] = dict(enumerate(level + seed[:, None] + difficulty + taste + residual))
        return Scores(weights=weights, means=means)

    def noise(self) -> Noise:
        """Of the difference between the first two arms."""
        first, second = (self.seeds[place % len(self.seeds)] ** 2 for place in (0, 1))
        single = self.residual**2
        arms = 1.0
        if self.pairing == "independent":
            arms = (first + second + 2 * single) ** 2 / ((first + single) ** 2 + (second + single) ** 2)
        components = Components(sqrt(first + second), sqrt(2) * self.item, sqrt(2 * single))
        return Noise(components, float("inf"), arms, item_degrees_of_freedom=CLUSTERS - 1)

    def effect(self, points: float) -> float:
        """What an arm has to be given to be better by so many points."""
        return points


@dataclass(frozen=True)
class Answers:
    """Right and wrong answers of a probit model, two items a cluster. On its scale 0.1 is about 3 points."""

    name: str
    seed: float
    taste: float
    difficulty: float = 0.8
    base: float = 0.2
    pairing: Literal["paired", "independent"] = "paired"
    bounded: bool = True

    def draw(self, generator: np.random.Generator, *, effects: Mapping[str, float], replicates: int) -> Scores:
        """One study of arms with these shifts of the probit."""
        difficulty = self.base + generator.normal(0, self.difficulty, (CLUSTERS, 1))
        means = {}
        for arm, shift in effects.items():
            seed = generator.normal(0, self.seed, (replicates, 1, 1))
            taste = generator.normal(0, self.taste, (CLUSTERS, 1))
            chance = generator.normal(size=(replicates, CLUSTERS, 2))
            right = shift + seed + difficulty + taste + chance > 0
            means[arm] = dict(enumerate(100.0 * right.mean(axis=2)))
        return Scores(weights=np.full(CLUSTERS, 1 / CLUSTERS), means=means)

    def noise(self) -> Noise:
        """Of the difference between two arms without a shift."""
        seed, taste, difficulty = self.seed**2, self.taste**2, self.difficulty**2
        chance = self.mean(0.0) / 100
        by_seed = self._covariance(seed)
        by_difficulty = self._covariance(difficulty)
        by_cluster = self._covariance(difficulty + taste)
        answer = (chance * (1 - chance) + self._covariance(seed + difficulty + taste)) / 2
        residual = answer - by_seed - by_cluster
        components = Components(
            *(100 * sqrt(2 * each) for each in (by_seed, (by_cluster - by_difficulty) / CLUSTERS, residual / CLUSTERS))
        )
        arms = 2.0 if self.pairing == "independent" else 1.0
        return Noise(components, float("inf"), arms, item_degrees_of_freedom=CLUSTERS - 1)

    def mean(self, shift: float) -> float:
        """The expected score in points."""
        return 100 * float(stats.norm.cdf((self.base + shift) / self._width))

    def effect(self, points: float) -> float:
        """What an arm has to be given to be better by so many points, or to answer 98 % where it cannot be."""
        return self._width * float(stats.norm.ppf(min(98.0, self.mean(0.0) + points) / 100)) - self.base

    @property
    def _width(self) -> float:
        return sqrt(1 + self.seed**2 + self.taste**2 + self.difficulty**2)

    def _covariance(self, shared: float) -> float:
        """Of two answers whose probits share so much variance."""
        height, correlation = self.base / self._width, shared / self._width**2
        both = stats.multivariate_normal.cdf([height, height], mean=[0, 0], cov=[[1, correlation], [correlation, 1]])
        return float(both) - float(stats.norm.cdf(height)) ** 2


SETTINGS = (
    Numbers("seeds matter", (3.0,), 0.7, 0.7),
    Numbers("seeds matter, uneven clusters", (3.0,), 0.7, 0.7, uneven=True),
    Numbers("seeds and items matter", (1.0,), 1.0, 1.0),
    Numbers("items matter", (0.3,), 1.5, 1.0),
    Numbers("items matter, uneven clusters", (0.3,), 1.5, 1.0, uneven=True),
    Answers("right or wrong, seeds matter", seed=0.1, taste=0.15),
    Answers("right or wrong, items matter", seed=0.03, taste=0.6),
    Answers("right or wrong, unrelated arms", seed=0.1, taste=0.15, pairing="independent"),
    Numbers("unequal variances, unrelated", (1.0, 4.0), 0.7, 0.7, pairing="independent"),
    Numbers("equal variances, unrelated", (3.0,), 0.7, 0.7, pairing="independent"),
    Numbers("shared stages, paired", (1.5,), 0.7, 0.7, common=2.0),
    Answers("neither seeds nor items matter", seed=0.0, taste=0.0, bounded=False),
)
FAMILIES = (SETTINGS[0], SETTINGS[3], SETTINGS[5], SETTINGS[8], SETTINGS[10])
# As the protocol has it: 3 points by seeds and 0.7 by items in the difference of two arms, and 2 in the stage of each.
FROZEN = Numbers("a stage trained once", (3 / sqrt(2),), 0.7 / sqrt(2), 0.0, frozen=2.0)
