"""Power: what a design can see, for a declared effect and a variance that is not better than was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from scipy import special

from vlmlab.study.statistics.estimate import Components

PROBABLE = 0.8
"""Power at which a design would probably decide."""
CAUTION = 0.8
"""Confidence of the upper bound of the variance between replicates."""
MOST_REPLICATES = 1000


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of a contrast, as measured."""

    components: Components
    """Of the contrast: for the difference of two unrelated arms, the square root of 2 times those of one arm."""
    degrees_of_freedom: float
    """With which the variance between replicates was measured; infinite where it is declared."""
    arms: float = 1
    """Independent arms whose replicates count: 1 for paired differences, 2 for two unrelated arms, fewer where their
    variances differ, (sum of variances)^2 / sum of squared variances."""
    item_degrees_of_freedom: float = float("inf")
    """Of the item noise."""

    def cautious(self) -> Noise:
        """The same with the variance between replicates at its upper bound, so that a lucky measurement does not
        promise too much."""
        if self.degrees_of_freedom == float("inf"):
            return self
        factor = self.degrees_of_freedom / float(special.chdtri(self.degrees_of_freedom, CAUTION))
        seed, item, residual = self.components
        raised = sqrt(max(0.0, factor * (seed**2 + residual**2) - residual**2))
        return Noise(Components(raised, item, residual), float("inf"), self.arms, self.item_degrees_of_freedom)

    def standard_error(self, replicates: int) -> float:
        """Of the contrast, with so many replicates an arm."""
        return sqrt(self.components.variance(replicates))

    def freedom(self, replicates: int) -> float:
        """Degrees of freedom of that standard error, as `estimate` takes them."""
        between = (self.components.seed**2 + self.components.residual**2) / replicates
        item = self.components.item**2
        inverse = between / (self.arms * (replicates - 1)) + item / self.item_degrees_of_freedom
        return float("inf") if inverse == 0 else max(1.0, (between + item) / inverse)


def scaled(noise: Noise, factor: float) -> Noise:
    """Noise of a contrast that is `factor` times as wide, such as the square root of the sum of squared weights."""
    seed, item, residual = noise.components
    return Noise(
        Components(factor * seed, factor * item, factor * residual),
        noise.degrees_of_freedom,
        noise.arms,
        noise.item_degrees_of_freedom,
    )


def power(effect: float, noise: Noise, *, replicates: int, level: float = 0.05) -> float:
    """The chance that a two-sided test at `level` finds a true effect of this size in its direction."""
    assert replicates >= 2
    error, freedom = noise.standard_error(replicates), noise.freedom(replicates)
    if error == 0:
        return 1.0 if effect > 0 else level / 2
    if freedom == float("inf"):
        return float(special.ndtr(effect / error + special.ndtri(level / 2)))
    return float(1 - special.nctdtr(freedom, effect / error, -special.stdtrit(freedom, level / 2)))


def equivalence_power(margin: float, noise: Noise, *, replicates: int, level: float = 0.05) -> float:
    """The chance that the (1 - 2 level) interval lies inside the margins when there is no difference at all."""
    error, freedom = noise.standard_error(replicates), noise.freedom(replicates)
    if error == 0:
        return 1.0
    quantile = -special.ndtri(level) if freedom == float("inf") else -special.stdtrit(freedom, level)
    room = margin / error - float(quantile)
    return max(0.0, float(1 - 2 * special.ndtr(-room)))


def minimal_detectable_effect(noise: Noise, *, replicates: int, level: float = 0.05, wanted: float = PROBABLE) -> float:
    """The smallest effect that would be found with the wanted power."""
    low, high = 0.0, max(1e-9, noise.standard_error(replicates))
    while power(high, noise, replicates=replicates, level=level) < wanted:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if power(middle, noise, replicates=replicates, level=level) < wanted:
            low = middle
        else:
            high = middle
    return high


def replicates_needed(
    effect: float,
    noise: Noise,
    *,
    level: float = 0.05,
    wanted: float = PROBABLE,
    kind: Literal["difference", "equivalence"] = "difference",
) -> int | None:
    """The fewest replicates that would probably decide; None where even very many would not, because of item noise."""
    chance: Callable[..., float] = power if kind == "difference" else equivalence_power

    def enough(replicates: int) -> bool:
        return chance(effect, noise, replicates=replicates, level=level) >= wanted

    if not enough(MOST_REPLICATES):
        return None
    low, high = 1, MOST_REPLICATES
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
