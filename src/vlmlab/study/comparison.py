"""Arms known only by per-item logs: what they decide, with training noise where there are replicates and without where
there is one log an arm.

found = compare({"a": [Path("a.jsonl")], "b": [Path("b.jsonl")]})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
from scipy import stats

from vlmlab.errors import StudyError
from vlmlab.study.logs import Log, read_log
from vlmlab.study.matching import choose_metric, same_benchmark, same_items, same_replicates
from vlmlab.study.statistics.checkpoints import estimate_of_checkpoints
from vlmlab.study.statistics.estimate import Estimate, Pairing, estimate
from vlmlab.study.statistics.power import PROBABLE, Noise, minimal_detectable_effect, replicates_needed
from vlmlab.study.statistics.scores import Scores, by_cluster
from vlmlab.study.statistics.verdicts import Outcome, decide, exceeds, within

FEWEST_CLUSTERS = 10
"""Below it the spread between items says too little: two items that agree would decide anything."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm as its logs show it."""

    name: str
    logs: tuple[str, ...]
    mean: float
    replicates: tuple[float, ...]
    """Mean of each log."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One arm against the baseline. The claim is that the arm exceeds the baseline."""

    arm: str
    baseline: str
    verdict: Outcome
    sentence: str
    difference: float
    interval: tuple[float, float]
    """Simultaneous over all pairs, and never against the verdict."""
    interval_alone: tuple[float, float]
    """For this pair alone."""
    interval_equivalence: tuple[float, float] | None
    """What must lie inside the margins: 90 % at a confidence of 95 %; null without a margin."""
    standard_error: float
    degrees_of_freedom: float
    p_value: float
    p_adjusted: float
    detectable: float
    """Smallest difference that would be found with a power of 80 %."""
    needed: int | None
    """Logs an arm that would probably decide the declared effect; null where the verdict decides, none was declared, or
    no number of them would."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `vlmlab verdict` says."""

    sentence: str
    conditional: bool
    """Conditional on these checkpoints: training noise is not in the intervals."""
    metric: str
    unit: str
    """points, or the metric's own."""
    benchmark: str | None
    evaluator: str
    items: int
    clusters: int
    clustered_by: str | None
    confidence: float
    margin: float | None
    effect: float | None
    pairing: Pairing
    arms: tuple[Arm, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def compare(
    arms: Mapping[str, Sequence[Path]],
    *,
    metric: str | None = None,
    cluster: str | None = None,
    margin: float | None = None,
    effect: float | None = None,
    confidence: float = 0.95,
    pairing: Pairing = "independent",
) -> Comparison:
    """Every later arm against the first, all items in common, Holm over the pairs.

    `margin` and `effect` are in the metric's unit: points (score times 100) where all scores lie between 0 and 1. With
    one log an arm the items are the only noise that can be seen, and the result is conditional on these checkpoints.
    Raises StudyError for logs that do not fit together, DataError for a log that cannot be read.
    """
    if len(arms) < 2:
        raise StudyError("arms", f"found {len(arms)}; a comparison needs two logs or more")
    logs = {arm: [read_log(path) for path in paths] for arm, paths in arms.items()}
    every = [log for many in logs.values() for log in many]
    same_benchmark(every)
    chosen = choose_metric(every, metric, cluster=cluster)
    items = same_items(every, chosen)
    field = cluster or ("cluster" if every[0].evaluator == "vlmlab" else None)
    names = list(items) if field is None else [every[0].cluster(item, field, metric=chosen) for item in items]
    values = {
        arm: {place: np.array([log.of(chosen)[item] for item in items]) for place, log in enumerate(many)}
        for arm, many in logs.items()
    }
    inside = all(each.min() >= 0 and each.max() <= 1 for runs in values.values() for each in runs.values())
    in_points = inside and not chosen.startswith("log_likelihood")
    scale = 100.0 if in_points else 1.0
    scores = by_cluster(
        {arm: {place: scale * each for place, each in runs.items()} for arm, runs in values.items()}, clusters=names
    )
    if len(scores.weights) < FEWEST_CLUSTERS:
        what = "items" if field is None else f"clusters by {field}"
        raise StudyError(
            str(every[0].path), f"{len(scores.weights)} {what}; a verdict needs at least {FEWEST_CLUSTERS}"
        )
    conditional = min(map(len, logs.values())) < 2
    same_replicates(logs, pairing=pairing, conditional=conditional)
    unit = "points" if in_points else "nats" if chosen.startswith("log_likelihood") else chosen
    pairs = _pairs(
        scores, arms=list(arms), conditional=conditional, pairing=pairing, margin=margin, effect=effect,
        confidence=confidence, unit=unit, metric=chosen,
    )  # fmt: skip
    return Comparison(
        sentence=" ".join(pair.sentence for pair in pairs),
        conditional=conditional,
        metric=chosen,
        unit=unit,
        benchmark=every[0].benchmark,
        evaluator=every[0].evaluator,
        items=len(items),
        clusters=len(scores.weights),
        clustered_by=field,
        confidence=confidence,
        margin=margin,
        effect=effect,
        pairing=pairing,
        arms=tuple(_arm(arm, logs[arm], scores) for arm in arms),
        pairs=tuple(pairs),
        notes=tuple(_notes(logs, pairs=pairs, conditional=conditional, field=field, pairing=pairing)),
    )


def _arm(name: str, logs: Sequence[Log], scores: Scores) -> Arm:
    means = tuple(scores.mean(name, place) for place in scores.replicates(name))
    return Arm(name, tuple(str(log.path) for log in logs), sum(means) / len(means), means)


def _pairs(
    scores: Scores,
    *,
    arms: Sequence[str],
    conditional: bool,
    pairing: Pairing,
    margin: float | None,
    effect: float | None,
    confidence: float,
    unit: str,
    metric: str,
) -> list[Pair]:
    baseline, *others = arms
    found: dict[str, Estimate] = {}
    for arm in others:
        contrast = {arm: 1.0, baseline: -1.0}
        found[arm] = (
            estimate_of_checkpoints(scores, contrast) if conditional else estimate(scores, contrast, pairing=pairing)
        )
    decisions = decide([exceeds(arm, each) for arm, each in found.items()], confidence=confidence)
    inside = (
        {}
        if margin is None
        else {
            each.name: each
            for each in decide([within(arm, each, margin=margin) for arm, each in found.items()], confidence=confidence)
        }
    )
    level = (1 - confidence) / len(others)
    pairs = []
    for decision in decisions:
        each = found[decision.name]
        close = inside.get(decision.name)
        verdict: Outcome = decision.outcome
        if close is not None and close.outcome == "equivalent":
            verdict = "equivalent"
        noise = Noise(each.components, each.seed_degrees_of_freedom, arms=2 if pairing == "independent" else 1)
        count = max(2, each.replicates)
        needed = None
        if effect is not None and verdict == "cannot tell" and not conditional:
            needed = replicates_needed(effect, noise.cautious(), level=level)
        pairs.append(
            Pair(
                arm=decision.name,
                baseline=baseline,
                verdict=verdict,
                sentence=_sentence(
                    decision.name, baseline, verdict, each.value, decision.interval, unit=unit, metric=metric,
                    margin=margin,
                ),
                difference=each.value,
                interval=decision.interval,
                interval_alone=each.interval(confidence),
                interval_equivalence=None if close is None else close.interval_alone,
                standard_error=each.standard_error,
                degrees_of_freedom=each.degrees_of_freedom,
                p_value=decision.p_value,
                p_adjusted=decision.p_adjusted,
                detectable=_detectable(each, level)
                if conditional
                else minimal_detectable_effect(noise, replicates=count, level=level),
                needed=needed,
            )
        )  # fmt: skip
    return pairs


def _detectable(found: Estimate, level: float) -> float:
    """Smallest difference that the items alone would show with a power of 80 %."""
    quantiles = stats.t.ppf([1 - level / 2, PROBABLE], found.degrees_of_freedom)
    return float(quantiles.sum()) * found.standard_error


def _sentence(
    arm: str,
    baseline: str,
    verdict: Outcome,
    difference: float,
    interval: tuple[float, float],
    *,
    unit: str,
    metric: str,
    margin: float | None,
) -> str:
    where = "" if unit == metric else f" on {metric}"
    size = amount(abs(difference), unit)
    match verdict:
        case "holds":
            return f"{arm} beats {baseline} by {size}{where}."
        case "reversed":
            return f"{baseline} beats {arm} by {size}{where}."
        case "equivalent":
            return f"{arm} and {baseline} are equivalent{where}: they differ by less than {margin:g} {unit}."
        case "cannot tell":
            low, high = interval
            return (
                f"Cannot tell {arm} from {baseline}{where}: the difference lies between {signed(low, unit)} and "
                f"{signed(high, unit)} {unit}."
            )
        case _ as never:
            assert_never(never)


def amount(value: float, unit: str) -> str:
    """A difference with its unit.

    >>> amount(4.123, "points")
    '4.1 points'
    """
    return f"{value:.1f} {unit}" if unit == "points" else f"{value:.3g} {unit}"


def signed(value: float, unit: str) -> str:
    """A difference with its sign.

    >>> signed(4.123, "points")
    '+4.1'
    """
    return f"{value:+.1f}" if unit == "points" else f"{value:+.3g}"


def _notes(
    logs: Mapping[str, Sequence[Log]],
    *,
    pairs: Sequence[Pair],
    conditional: bool,
    field: str | None,
    pairing: Pairing,
) -> list[str]:
    notes = []
    if conditional:
        two = "two" if len(logs) == 2 else str(len(logs))
        notes.append(
            f"CONDITIONAL ON THESE {two.upper()} CHECKPOINTS. The interval holds the noise of the items and nothing "
            "else: not that of training seeds, data order or tuning. Trained again, the same recipes may come out the "
            "other way round. Give several runs an arm, as in A=run1.jsonl,run2.jsonl, for a verdict on the recipes."
        )
    else:
        counts = sorted({len(many) for many in logs.values()})
        fewest = counts[0]
        notes.append(
            f"Noise of training runs ({' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} an arm, "
            f"{'paired in their order' if pairing == 'paired' else 'not paired'}) and of items is in the intervals."
        )
        if fewest < 3:
            notes.append("With two runs an arm, intervals that say 95 % cover as little as 91 %; take three or more.")
    notes += [
        f"{pair.baseline} and {pair.arm} scored the same on every item: is it the same log twice?"
        for pair in pairs
        if pair.difference == 0.0 and pair.standard_error == 0.0
    ]
    if field is None:
        notes.append(
            "Items count as independent of each other; where several share an image, name the field with --cluster."
        )
    return notes
