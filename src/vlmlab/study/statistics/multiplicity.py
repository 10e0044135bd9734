"""Many claims at once: Holm within a study, spending for repeated looks; false_discovery.py is for many studies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import special


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values (Holm 1979): a claim is decided at level a where its adjusted value is at most a.

    The chance that any true null hypothesis is rejected is then at most a, whatever the dependence.
    """
    adjusted: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return adjusted


def simultaneous_confidence(confidence: float, claims: int) -> float:
    """Confidence of one interval so that all of a study's hold together (Bonferroni)."""
    return 1 - (1 - confidence) / max(1, claims)


def spent(level: float, information: float) -> float:
    """Error spent when a share of the planned information is in (Lan, DeMets 1983; O'Brien-Fleming-like).

    >>> round(spent(0.05, 1.0), 3), round(spent(0.05, 0.5), 4)
    (0.05, 0.0056)
    """
    share = min(1.0, max(0.0, information))
    if share == 0.0:
        return 0.0
    return float(2 * special.ndtr(special.ndtri(level / 2) / np.sqrt(share)))


def level_of_look(level: float, look: int, looks: int) -> float:
    """Error that look number `look` of `looks` equal ones may use: what is newly spent, so that all looks together keep
    `level`."""
    assert 1 <= look <= looks
    return spent(level, look / looks) - spent(level, (look - 1) / looks)
