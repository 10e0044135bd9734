"""Simulated studies against the promises of vlmlab.study.statistics.

Every study goes through the functions that real ones go through: `estimate`, `exceeds`, `within`, `crossing`, `decide`
and `power`. A setting has 60 clusters of items and 3, 5 or 10 replicates. Promised from 5 replicates on: 93 to 97 % of
95 % intervals hold the truth; at most 6 % of studies find what is not there, be it by one claim or by any of ten; power
within 5 points of what was predicted from the true noise. With 3 replicates the figures are printed.

Two controls must fail, or the simulation sees nothing: a bootstrap over seeds, and a stage that is trained only once.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from measuring.bounds import Bounds
from measuring.made_scores import FAMILIES, FROZEN, SETTINGS, Answers, Numbers
from vlmlab.study.statistics.estimate import estimate
from vlmlab.study.statistics.power import minimal_detectable_effect, power
from vlmlab.study.statistics.scores import Scores
from vlmlab.study.statistics.verdicts import crossing, decide, exceeds, within

STUDIES = 2000
REPLICATES = (3, 5, 10)
FEWEST = 5
"""Replicates from which on the promises hold."""
CLAIMS = 10
DIFFERENCE = {"a": 1.0, "b": -1.0}
NO_EFFECT = {"a": 0.0, "b": 0.0}

Setting = Numbers | Answers


def main() -> None:
    bounds = Bounds()
    chance = 100 * sqrt(0.05 * 0.95 / STUDIES)
    print(f"{STUDIES} studies a setting; Monte-Carlo error {chance:.1f} points at 5 and 95 %, 1.1 at 50 %\n")
    _table(
        "covered by the 95 % interval | found by one claim | equivalent at the margin's edge | both of a crossing (%)",
        {setting: [one_claim(setting, replicates, bounds) for replicates in REPLICATES] for setting in SETTINGS},
    )
    _table(
        f"any of {CLAIMS} false claims found (%)",
        {setting: [ten_claims(setting, replicates, bounds) for replicates in REPLICATES] for setting in FAMILIES},
    )
    _table(
        "power observed | predicted, at the effects that should be found in half and in 80 % of studies (%)",
        {
            setting: [observed_power(setting, replicates, bounds) for replicates in REPLICATES]
            for setting in SETTINGS
            if setting.bounded
        },
    )
    controls(bounds)
    bounds.finish()


def one_claim(setting: Setting, replicates: int, bounds: Bounds) -> list[float]:
    """Two arms without a difference, and the same with the second arm worse by the margin of an equivalence."""
    generator = np.random.default_rng([1, replicates])
    noise = setting.noise()
    margin = minimal_detectable_effect(noise, replicates=replicates)
    at_edge = {"a": setting.effect(margin), "b": 0.0, "c": setting.effect(6 * margin)}
    covered = found = equal = crossed = 0
    for _ in range(STUDIES):
        difference = estimate(
            setting.draw(generator, effects=NO_EFFECT, replicates=replicates), DIFFERENCE, pairing=setting.pairing
        )
        low, high = difference.interval()
        covered += low <= 0 <= high
        found += decide([exceeds("a over b", difference)])[0].outcome != "cannot tell"
        scores = setting.draw(generator, effects=at_edge, replicates=replicates)
        edge = estimate(scores, DIFFERENCE, pairing=setting.pairing)
        equal += decide([within("a as b", edge, margin=margin)])[0].outcome == "equivalent"
        # One half of the crossing is true by far, the other not at all.
        large = estimate(scores, {"c": 1.0, "b": -1.0}, pairing=setting.pairing)
        crossed += decide([crossing("crossing", difference, large)])[0].outcome == "holds"
    rates = [100 * count / STUDIES for count in (covered, found, equal, crossed)]
    if replicates >= FEWEST:
        where = f"{setting.name}, {replicates} replicates"
        bounds.at_least(f"coverage, {where}", rates[0], 93, unit=" %")
        if setting.bounded:
            bounds.at_most(f"coverage, {where}", rates[0], 97, unit=" %")
        for name, rate in zip(("false claim", "false equivalence", "false crossing"), rates[1:], strict=True):
            bounds.at_most(f"{name}, {where}", rate, 6, unit=" %")
    return rates


def ten_claims(setting: Setting, replicates: int, bounds: Bounds) -> list[float]:
    """Ten arms against one, all alike."""
    generator = np.random.default_rng([2, replicates])
    arms = [f"arm {number}" for number in range(CLAIMS)]
    effects = dict.fromkeys(["base", *arms], 0.0)
    wrong = 0
    for _ in range(STUDIES):
        scores = setting.draw(generator, effects=effects, replicates=replicates)
        claims = [exceeds(arm, estimate(scores, {arm: 1.0, "base": -1.0}, pairing=setting.pairing)) for arm in arms]
        wrong += any(decision.outcome != "cannot tell" for decision in decide(claims))
    rate = 100 * wrong / STUDIES
    if replicates >= FEWEST:
        bounds.at_most(f"any of {CLAIMS} false, {setting.name}, {replicates} replicates", rate, 6, unit=" %")
    return [rate]


def observed_power(setting: Setting, replicates: int, bounds: Bounds) -> list[float]:
    """Studies of arms that differ, beside what was predicted."""
    generator = np.random.default_rng([3, replicates])
    rates = []
    for wanted in (0.5, 0.8):
        noise = setting.noise()
        effect = minimal_detectable_effect(noise, replicates=replicates, wanted=wanted)
        effects = {"a": setting.effect(effect), "b": 0.0}
        found = 0
        for _ in range(STUDIES):
            scores = setting.draw(generator, effects=effects, replicates=replicates)
            difference = estimate(scores, DIFFERENCE, pairing=setting.pairing)
            found += decide([exceeds("a over b", difference)])[0].outcome == "holds"
        observed, predicted = 100 * found / STUDIES, 100 * power(effect, noise, replicates=replicates)
        rates += [observed, predicted]
        if replicates >= FEWEST:
            where = f"{setting.name}, {replicates} replicates, predicted {predicted:.0f} %"
            bounds.at_most(f"power, {where}", abs(observed - predicted), 5, unit=" points")
    return rates


def controls(bounds: Bounds) -> None:
    """What must fail."""
    generator = np.random.default_rng(4)
    seeds, stage = {}, {}
    for replicates in REPLICATES:
        covered = once = 0
        for _ in range(STUDIES):
            low, high = seed_bootstrap(SETTINGS[0].draw(generator, effects=NO_EFFECT, replicates=replicates), generator)
            covered += low <= 0 <= high
            scores = FROZEN.draw(generator, effects=NO_EFFECT, replicates=replicates)
            low, high = estimate(scores, DIFFERENCE).interval()
            once += low <= 0 <= high
        seeds[replicates], stage[replicates] = 100 * covered / STUDIES, 100 * once / STUDIES
    _table("controls: covered by the 95 % interval (%)", {})
    print(f"{'a bootstrap over seeds':<32}" + "   ".join(f"{rate:5.1f}" for rate in seeds.values()))
    print(f"{FROZEN.name:<32}" + "   ".join(f"{rate:5.1f}" for rate in stage.values()) + "\n")
    for replicates in REPLICATES:
        for name, rates in (("a bootstrap over seeds", seeds), (FROZEN.name, stage)):
            bounds.at_most(f"control, {name}, {replicates} replicates", rates[replicates], 93, unit=" %")
    bounds.at_most(f"control, {FROZEN.name}, 10 replicates", stage[10], 70, unit=" %")


def seed_bootstrap(scores: Scores, generator: np.random.Generator, resamples: int = 500) -> tuple[float, float]:
    """The percentile interval of the mean difference when only replicates are drawn anew."""
    replicates = scores.replicates("a")
    differences = np.array([scores.mean("a", each) - scores.mean("b", each) for each in replicates])
    drawn = generator.integers(len(differences), size=(resamples, len(differences)))
    low, high = np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _table(title: str, rows: dict[Setting, list[list[float]]]) -> None:
    """A line a setting, figures of 3, 5 and 10 replicates side by side."""
    print(title)
    print(" " * 32 + " with ".join(("", *map(str, REPLICATES))).strip() + " replicates")
    for setting, columns in rows.items():
        cells = ["".join(f"{figure:6.1f}" for figure in figures) for figures in columns]
        print(f"{setting.name:<32}" + "  |".join(cells))
    if rows:
        print(flush=True)
