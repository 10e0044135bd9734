"""Calibration: whether a measure could have shown a difference here at all.

The reference arm must stand well away from both ends of what is possible: the blank-image control, which needs no
looking, and the oracle reader, which sees everything that is there. Where a study names an arm that must be worse, that
has to be found too. Otherwise its claims are "not measurable", never ties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from vlmlab.errors import StudyError
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.study import GateRecord
from vlmlab.study.gather import MeasureTable
from vlmlab.study.oracle import chance_score, oracle_score
from vlmlab.study.statistics.estimate import Pairing, estimate
from vlmlab.study.statistics.scores import Scores
from vlmlab.study.study import BenchmarkMeasure, Gate, Measure


@dataclass(frozen=True, slots=True)
class _Range:
    """Where the reference stands between nothing and everything."""

    reference: float
    blank: float
    oracle: float | None


def calibrate(
    name: str,
    gate: Gate,
    *,
    measures: Mapping[str, Measure],
    tables: Mapping[str, MeasureTable],
    scores: Mapping[str, Scores],
    reference: str,
    recipe: Recipe,
    pairing: Pairing,
    confidence: float,
    kept: Path,
) -> GateRecord:
    """The gate of one measure. `recipe` is the reference arm's; `kept` remembers what the oracle read."""
    table = tables[name]
    if not table.scores.get(reference):
        words = f"no replicate of the reference arm {reference} has ended"
        return _record(name, gate, None, share=None, passed=False, words=words, detected=None)
    ranges = [_range(measures[part], tables[part], reference, recipe, kept) for part in table.parts]
    found = _Range(
        reference=mean(each.reference for each in ranges),
        blank=mean(each.blank for each in ranges),
        oracle=None if any(each.oracle is None for each in ranges) else mean(each.oracle or 0.0 for each in ranges),
    )
    share = None
    if found.oracle is not None and found.oracle > found.blank:
        share = (found.reference - found.blank) / (found.oracle - found.blank)
    # Where nobody knows the best there is no share to ask for; where the best is no more than the control, no room.
    inside = found.oracle is None if share is None else gate.low <= share <= gate.high
    detected = _detected(gate, scores[name], reference, pairing, confidence)
    words = _share_words(share, gate, found)
    if gate.control is not None:
        words += {
            True: f"; the control {gate.control} is found to be worse",
            False: f"; the control {gate.control}, which must be worse, is not found to be",
            None: f"; too few replicates to tell the control {gate.control} from the reference",
        }[detected]
    passed = inside and (gate.control is None or detected is True)
    return _record(name, gate, found, share=share, passed=passed, words=words, detected=detected)


def _range(measure: Measure, table: MeasureTable, reference: str, recipe: Recipe, kept: Path) -> _Range:
    assert isinstance(measure, BenchmarkMeasure), "a mean's parts are benchmark measures"
    seeds = list(table.scores[reference])
    value = mean(table.mean(reference, seed) for seed in seeds)
    blanks = [blank for seed in seeds if (blank := table.blank_mean(reference, seed)) is not None]
    benchmark, kind = measure.benchmark, measure.value
    if kind == "log_likelihood":
        # Certainty of the right answer has a log-likelihood of zero.
        return _Range(value, mean(blanks), 0.0) if blanks else _Range(value, value, None)
    blank = mean(blanks) if blanks else chance_score(recipe, benchmark)
    oracle = oracle_score(recipe, benchmark, kept=kept)
    if kind == "gain":
        return _Range(value, 0.0, None if oracle is None else oracle - blank)
    return _Range(value, blank, oracle)


def _detected(gate: Gate, scores: Scores, reference: str, pairing: Pairing, confidence: float) -> bool | None:
    """Whether the positive control is found to be worse than the reference; None where it cannot be told."""
    if gate.control is None:
        return None
    try:
        found = estimate(scores, {reference: 1.0, gate.control: -1.0}, pairing=pairing)
    except StudyError:
        return None
    return found.interval(confidence)[0] > 0


def _share_words(share: float | None, gate: Gate, found: _Range) -> str:
    if share is None and found.oracle is not None:
        return (
            f"the oracle reader ({found.oracle:.1f}) sees no more than the blank-image control ({found.blank:.1f}): "
            "there is nothing to learn by looking"
        )
    if share is None:
        return f"the reference arm scores {found.reference:.1f}; nobody knows how much could be scored at best"
    asked = f"{100 * gate.low:.0f} to {100 * gate.high:.0f} % asked"
    place = f"{100 * share:.0f} % of the way from the blank-image control ({found.blank:.1f})"
    words = f"the reference arm ({found.reference:.1f}) is {place} to the oracle reader ({found.oracle:.1f}); {asked}"
    if share < gate.low:
        return f"{words}: too little is learned for a difference to show"
    return f"{words}: saturated" if share > gate.high else words


def _record(
    name: str, gate: Gate, found: _Range | None, *, share: float | None, passed: bool, words: str, detected: bool | None
) -> GateRecord:
    return GateRecord(
        measure=name,
        passed=passed,
        words=words,
        reference=None if found is None else found.reference,
        blank=None if found is None else found.blank,
        oracle=None if found is None else found.oracle,
        share=share,
        low=gate.low,
        high=gate.high,
        control=gate.control,
        control_detected=detected,
    )
