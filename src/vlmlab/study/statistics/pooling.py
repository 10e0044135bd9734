"""Noise pooled over all arms of a study: for designs, with more degrees of freedom than one claim has."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from vlmlab.errors import StudyError
from vlmlab.study.statistics.estimate import Components, Estimate, Pairing, estimate
from vlmlab.study.statistics.power import Noise
from vlmlab.study.statistics.scores import Scores


def pooled_noise(scores: Scores, *, arms: Sequence[str] | None = None, pairing: Pairing = "paired") -> Noise:
    """Noise of a contrast whose squared weights sum to 1; `scaled(noise, sqrt(2))` is that of a difference.

    It assumes that arms are equally noisy. Mean squares are averaged over orthogonal (Helmert) contrasts of the arms:
    for paired ones this is the analysis of variance of arm by replicate, with (arms - 1)(replicates - 1) degrees of
    freedom. For independent ones the variances of the single arms are averaged. Raises StudyError for fewer than two
    arms.
    """
    names = list(scores.means) if arms is None else list(arms)
    if len(names) < 2:
        raise StudyError("arms", f"noise of a difference needs two arms; found {', '.join(names) or 'none'}")
    contrasts = [estimate(scores, weights, pairing=pairing) for weights in _helmert(names)]
    between = contrasts if pairing == "paired" else [estimate(scores, {name: 1.0}) for name in names]
    freedom = sum(each.seed_degrees_of_freedom for each in between)

    def average(found: Sequence[Estimate], component: str) -> float:
        shares = np.array([each.seed_degrees_of_freedom for each in found])
        squares = np.array([each.components._asdict()[component] ** 2 for each in found])
        return float(shares @ squares / shares.sum())

    return Noise(
        Components(
            seed=sqrt(average(between, "seed")),
            item=sqrt(average(contrasts, "item")),
            residual=sqrt(average(between, "residual")),
        ),
        degrees_of_freedom=freedom,
        arms=1 if pairing == "paired" else 2,
    )


def _helmert(names: Sequence[str]) -> list[dict[str, float]]:
    """Each arm against the mean of those before it, scaled to unit length; all orthogonal to each other."""
    contrasts = []
    for count in range(1, len(names)):
        length = sqrt(1 + 1 / count)
        before = dict.fromkeys(names[:count], -1 / count / length)
        contrasts.append(before | {names[count]: 1 / length})
    return contrasts
