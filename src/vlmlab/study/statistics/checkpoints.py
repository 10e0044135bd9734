"""Estimates that are conditional on given checkpoints: one log an arm, so that only the items can vary."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vlmlab.errors import StudyError
from vlmlab.study.statistics.estimate import Components, Estimate
from vlmlab.study.statistics.scores import Scores


def estimate_of_checkpoints(scores: Scores, contrast: Mapping[str, float]) -> Estimate:
    """A contrast of arms, each the mean of its given checkpoints, with the noise of items (clusters) and no other.

    With equal clusters it is the paired t interval; unequal ones are scaled by their leverage (HC2: MacKinnon, White
    1985; Bell, McCaffrey 2002). Raises StudyError for one cluster and for unknown arms.
    """
    weights = scores.weights
    if len(weights) < 2:
        raise StudyError("items", "all items are one cluster; noise between items cannot be told from one")
    for arm in contrast:
        if arm not in scores.means:
            raise StudyError("arms", f"no scores of arm {arm!r}; there are {', '.join(sorted(scores.means))}")
    differences = np.zeros(len(weights))
    for arm, weight in contrast.items():
        differences += weight * scores.rows(arm, scores.replicates(arm)).mean(axis=0)
    value = float(weights @ differences)
    squares = weights**2
    variance = float((squares / (1 - weights)) @ (differences - value) ** 2)
    error = float(np.sqrt(variance))
    return Estimate(
        value=value,
        standard_error=error,
        degrees_of_freedom=max(1.0, float(squares.sum() ** 2 / (squares**2).sum()) - 1.0),
        components=Components(seed=0.0, item=error, residual=0.0),
        replicates=min(len(scores.means[arm]) for arm in contrast),
        seed_degrees_of_freedom=0.0,
    )
