"""Claims: from gathered scores to verdicts, as the record shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import assert_never

from vlmlab.errors import StudyError
from vlmlab.records.study import ClaimRecord, ComponentsRecord, PartRecord, Verdict
from vlmlab.study.gather import MeasureTable
from vlmlab.study.statistics.estimate import Components, Estimate, bootstrap_interval, estimate
from vlmlab.study.statistics.multiplicity import level_of_look
from vlmlab.study.statistics.pooling import pooled_noise
from vlmlab.study.statistics.power import Noise, equivalence_power, power, replicates_needed, scaled
from vlmlab.study.statistics.scores import Scores, by_cluster
from vlmlab.study.statistics.verdicts import Decision, Test, crossing, decide, exceeds, within
from vlmlab.study.study import Claim, Crossing, Effect, Exceeds, ExceedsEffect, Rises, Study, Within

Contrast = dict[str, float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict rests on, besides the study's own words."""

    tables: Mapping[str, MeasureTable]
    """By measure, each arm at the value that was chosen for it."""
    common: Mapping[str, MeasureTable] | None = None
    """By measure, all arms at the common value, where the study tunes."""
    closed: Mapping[str, str] = field(default_factory=dict)
    """Measures whose calibration gate failed, and why."""
    missing: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Replicates by arm that did not end."""
    common_missing: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The same of the runs at the common value."""
    look: int = 1
    """Which look at the results this is."""


def contrasts(claim: Claim) -> dict[str, Contrast]:
    """The contrasts of a claim, in words: one, or the two of a crossing."""
    match claim:
        case Exceeds():
            return {f"{claim.better} - {claim.worse}": {claim.better: 1.0, claim.worse: -1.0}}
        case Within():
            first, second = claim.arms
            return {f"{first} - {second}": {first: 1.0, second: -1.0}}
        case Rises():
            sign = -1.0 if claim.falls else 1.0
            middle = (len(claim.along) - 1) / 2
            places = [place - middle for place in range(len(claim.along))]
            # Scaled so that the value is what a straight line rises from the first arm to the last.
            scale = sign * (len(places) - 1) / sum(place**2 for place in places)
            verb = "fall" if claim.falls else "rise"
            return {
                f"{verb} from {claim.along[0]} to {claim.along[-1]}": {
                    arm: scale * place for arm, place in zip(claim.along, places, strict=True)
                }
            }
        case ExceedsEffect():
            joined: Contrast = {}
            for effect, sign in ((claim.larger, 1.0), (claim.smaller, -1.0)):
                for arm, weight in _effect(effect).items():
                    joined[arm] = joined.get(arm, 0.0) + sign * weight
            words = f"({_effect_words(claim.larger)}) - ({_effect_words(claim.smaller)})"
            return {words: {arm: weight for arm, weight in joined.items() if weight}}
        case Crossing():
            return {_effect_words(effect): _effect(effect) for effect in (claim.first, claim.second)}
        case _ as never:
            assert_never(never)


def arms_of(claim: Claim) -> tuple[str, ...]:
    """Every arm that a claim speaks of, once."""
    return tuple(dict.fromkeys(arm for contrast in contrasts(claim).values() for arm in contrast))


def claim_words(claim: Claim, measure: str) -> str:
    """The claim as a sentence."""
    match claim:
        case Exceeds():
            more = f" by more than {claim.by:g}" if claim.by else ""
            return f"{claim.better} exceeds {claim.worse} on {measure}{more}"
        case Within():
            first, second = claim.arms
            return f"{first} and {second} are within {claim.margin:g} of each other on {measure}"
        case Rises():
            return f"{measure} {'falls' if claim.falls else 'rises'} along {', '.join(claim.along)}"
        case ExceedsEffect():
            return (
                f"going from {claim.larger.over} to {claim.larger.to} brings more on {measure} than going from "
                f"{claim.smaller.over} to {claim.smaller.to}"
            )
        case Crossing():
            return (
                f"{claim.first.to} exceeds {claim.first.over} and {claim.second.to} exceeds {claim.second.over} on "
                f"{measure}"
            )
        case _ as never:
            assert_never(never)


def scores_of(table: MeasureTable) -> Scores:
    """A measure's scores by cluster."""
    return by_cluster(table.scores, clusters=table.clusters, weights=table.weights)


def level(study: Study, look: int = 1) -> float:
    """The error that all claims of a study share at one look."""
    return level_of_look(1 - study.confidence, look, study.looks) if study.looks > 1 else 1 - study.confidence


def judge(study: Study, evidence: Evidence) -> list[ClaimRecord]:
    """Every claim of a study with its verdict.

    Claims whose measure failed its gate, and claims with missing replicates, are not part of Holm's family: nothing is
    decided by them.
    """
    scores = {name: scores_of(table) for name, table in evidence.tables.items()}
    tests: dict[str, Test] = {}
    for name, claim in study.claims.items():
        missing = _missing(claim, scores[claim.measure])
        if missing is None:
            tests[name] = _test(name, claim, scores[claim.measure], study)
    shared = level(study, evidence.look)
    open_claims = [
        test
        for name, test in tests.items()
        if study.claims[name].measure not in evidence.closed and _gap(study.claims[name], evidence) is None
    ]
    decided = {each.name: each for each in decide(open_claims, confidence=study.confidence, level=shared)}
    beside = _common_decisions(study, evidence, names=decided, shared=shared)
    return [
        _record(study, name, evidence=evidence, test=tests.get(name), decision=decided.get(name),
                scores=scores[claim.measure], common=beside.get(name), family=len(open_claims))
        for name, claim in study.claims.items()
    ]  # fmt: skip


def _test(name: str, claim: Claim, scores: Scores, study: Study) -> Test:
    found = [estimate(scores, contrast, pairing=study.pairing) for contrast in contrasts(claim).values()]
    match claim:
        case Within():
            return within(name, found[0], margin=claim.margin)
        case Crossing():
            return crossing(name, found[0], found[1])
        case Exceeds():
            return exceeds(name, found[0], by=claim.by)
        case _:
            return exceeds(name, found[0])


def _common_decisions(study: Study, evidence: Evidence, *, names: Iterable[str], shared: float) -> dict[str, Decision]:
    """The same claims with every arm at the common value."""
    if evidence.common is None:
        return {}
    claims = {name: study.claims[name] for name in names}
    tests = [_test(name, claim, scores_of(evidence.common[claim.measure]), study) for name, claim in claims.items()]
    return {each.name: each for each in decide(tests, confidence=study.confidence, level=shared)}


def _missing(claim: Claim, scores: Scores) -> str | None:
    """Why a claim cannot even be estimated, or None."""
    for arm in arms_of(claim):
        if len(scores.means.get(arm, {})) < 2:
            return f"{arm} has {len(scores.means.get(arm, {}))} finished replicates; an estimate needs two"
    common = set.intersection(*(set(scores.means[arm]) for arm in arms_of(claim)))
    return None if len(common) >= 2 else "the arms have fewer than two replicates in common"


def _gap(claim: Claim, evidence: Evidence) -> str | None:
    """Why nothing can be decided about a claim, or None. A study that tunes needs its runs at the common value too."""
    gap = _missing(claim, scores_of(evidence.tables[claim.measure])) or _absent(claim, evidence.missing)
    if gap is not None or evidence.common is None:
        return gap
    gap = _missing(claim, scores_of(evidence.common[claim.measure])) or _absent(claim, evidence.common_missing)
    return None if gap is None else f"at the common value, {gap}"


def _absent(claim: Claim, missing: Mapping[str, tuple[int, ...]]) -> str | None:
    gaps = {arm: missing[arm] for arm in arms_of(claim) if missing.get(arm)}
    if not gaps:
        return None
    return "missing replicates: " + "; ".join(f"{arm} seed {', '.join(map(str, seeds))}" for arm, seeds in gaps.items())


def noise_of(claim: Claim, found: Estimate, scores: Scores, study: Study) -> Noise:
    """The noise of a claim's contrast, its variance pooled over all arms of the study; its own where that cannot be."""
    arms = [arm for arm in scores.means if len(scores.means[arm]) >= 2]
    width = max(sum(weight**2 for weight in contrast.values()) for contrast in contrasts(claim).values())
    try:
        return scaled(pooled_noise(scores, arms=arms, pairing=study.pairing), sqrt(width))
    except StudyError:
        own = len(arms_of(claim)) if study.pairing == "independent" else 1
        return Noise(found.components, found.seed_degrees_of_freedom, own)


def _record(
    study: Study,
    name: str,
    *,
    evidence: Evidence,
    test: Test | None,
    decision: Decision | None,
    scores: Scores,
    common: Decision | None,
    family: int,
) -> ClaimRecord:
    claim = study.claims[name]
    shared = level(study, evidence.look)
    single = shared / max(1, family)
    pairs = contrasts(claim)
    found = None if test is None else min(test.estimates, key=lambda each: each.value)
    noise = None if found is None else noise_of(claim, found, scores, study).cautious()
    kind = "equivalence" if isinstance(claim, Within) else "difference"
    size = claim.margin if isinstance(claim, Within) else claim.effect - (claim.by if isinstance(claim, Exceeds) else 0)
    chance = needed = None
    if noise is not None and found is not None and size > 0:
        shown = power if kind == "difference" else equivalence_power
        chance = shown(size, noise, replicates=found.replicates, level=single)
        # What the last look may spend: looking at half of the replicates is not what they are planned for.
        needed = replicates_needed(size, noise, level=level(study, study.looks) / max(1, family), kind=kind)
    verdict, because = _verdict(claim, evidence=evidence, decision=decision, common=common)
    boot = (
        bootstrap_interval(scores, next(iter(pairs.values())), pairing=study.pairing, confidence=study.confidence)
        if found is not None and len(pairs) == 1
        else None
    )
    return ClaimRecord(
        name=name,
        kind=claim.kind,
        words=claim_words(claim, claim.measure),
        measure=claim.measure,
        unit=evidence.tables[claim.measure].unit,
        finding=claim.finding,
        verdict=verdict,
        because=because,
        estimate=None if found is None else found.value,
        interval=None if decision is None else decision.interval,
        interval_alone=None if found is None else found.interval(study.confidence),
        standard_error=None if found is None else found.standard_error,
        degrees_of_freedom=None if found is None else found.degrees_of_freedom,
        p_value=None if test is None else test.p_value,
        p_adjusted=None if decision is None else decision.p_adjusted,
        components=None if found is None else ComponentsRecord(**found.components._asdict()),
        parts=[] if test is None else _parts(study, claim, test, scores),
        effect=claim.effect,
        margin=claim.margin if isinstance(claim, Within) else None,
        power=chance,
        replicates=0 if found is None else found.replicates,
        needed=needed if verdict == "cannot tell" else None,
        common=None if common is None else _part("at the common value", common.estimate, study),
        bootstrap=boot,
        conditional=study.sharing == "across",
    )


def _parts(study: Study, claim: Claim, test: Test, scores: Scores) -> list[PartRecord]:
    """The contrasts of a claim; of a trend also its single steps."""
    parts = [_part(words, found, study) for words, found in zip(contrasts(claim), test.estimates, strict=True)]
    if isinstance(claim, Rises):
        for before, after in zip(claim.along, claim.along[1:], strict=False):
            step = estimate(scores, {after: 1.0, before: -1.0}, pairing=study.pairing)
            parts.append(_part(f"{after} - {before}", step, study))
    return parts


def _part(words: str, found: Estimate, study: Study) -> PartRecord:
    return PartRecord(
        words=words,
        estimate=found.value,
        standard_error=found.standard_error,
        degrees_of_freedom=found.degrees_of_freedom,
        interval=found.interval(study.confidence),
    )


def _verdict(
    claim: Claim, *, evidence: Evidence, decision: Decision | None, common: Decision | None
) -> tuple[Verdict, str]:
    """The verdict and its reason."""
    if claim.measure in evidence.closed:
        return "not measurable", evidence.closed[claim.measure]
    gap = _gap(claim, evidence)
    if gap is not None or decision is None:
        return "cannot tell", gap or "nothing could be estimated"
    low, high = decision.interval
    shown = f"[{low:+.1f}, {high:+.1f}]"
    if common is not None and common.outcome != decision.outcome:
        return (
            "depends on the learning rate",
            f"{decision.outcome} with the learning rate chosen for each arm, {common.outcome} at the common one",
        )
    match decision.outcome:
        case "holds":
            return "holds", f"the simultaneous interval {shown} lies above {decision_bound(claim):g}"
        case "reversed":
            where = "outside the margins" if isinstance(claim, Within) else "below zero"
            return "reversed", f"the simultaneous interval {shown} lies {where}"
        case "equivalent":
            return "equivalent", f"the interval {shown} lies inside the margins"
        case "cannot tell":
            return "cannot tell", f"the simultaneous interval {shown} does not decide"
        case _ as never:
            assert_never(never)


def decision_bound(claim: Claim) -> float:
    """What the effect of a claim must exceed."""
    return claim.by if isinstance(claim, Exceeds) else 0.0


def noise_of_arms(table: MeasureTable) -> tuple[Components, float]:
    """Noise of one arm, pooled over arms by their degrees of freedom, and those degrees. Diverged replicates are noise.

    Raises StudyError where no arm has two replicates.
    """
    scores = scores_of(table)
    found = [estimate(scores, {arm: 1.0}) for arm in scores.means if len(scores.means[arm]) >= 2]
    if not found:
        raise StudyError(f"measures.{table.name}", "no arm has two replicates; noise between seeds is not known")
    freedom = sum(each.seed_degrees_of_freedom for each in found)

    squares = [
        sum(each.seed_degrees_of_freedom * each.components[place] ** 2 for each in found) / freedom
        for place in range(3)
    ]
    return Components(*map(sqrt, squares)), freedom


def _effect(effect: Effect) -> Contrast:
    return {effect.to: 1.0, effect.over: -1.0}


def _effect_words(effect: Effect) -> str:
    return f"{effect.to} - {effect.over}"
