"""What makes a study unusable, found before anything runs: each problem says where, what was found and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, assert_never

from vlmlab.errors import CatalogueError, RecipeError, near
from vlmlab.files import digest
from vlmlab.recipe.evaluation import WorldBenchmark
from vlmlab.recipe.path import get
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import BadSamples
from vlmlab.recipe.spec import flatten
from vlmlab.study.catalogue import load_catalogue
from vlmlab.study.claims import contrasts
from vlmlab.study.levels import Arm, parts_of, varying
from vlmlab.study.study import (
    BenchmarkMeasure,
    Claim,
    Crossing,
    Effect,
    Exceeds,
    ExceedsEffect,
    MeanMeasure,
    Rises,
    Study,
    Within,
)
from vlmlab.study.tasks import stage_keys
from vlmlab.study.tune import TUNING_SEED

FEWEST_REPLICATES = 2


def mistakes(study: Study, arms: Sequence[Arm], *, where: str) -> list[str]:
    """Every problem of a study whose arms are recipes."""
    found = [*_numbers(study), *_measures(study, arms), *_claims(study, arms), *_gates(study, arms)]
    found += [*_tuning(study, arms), *_equal_arms(study, arms)]
    return [f"{where}: {problem}" for problem in dict.fromkeys(found)]


def _numbers(study: Study) -> Iterator[str]:
    if study.replicates < FEWEST_REPLICATES:
        yield (
            f"replicates: {study.replicates} replicate cannot tell an effect from the noise between seeds; at least "
            f"{FEWEST_REPLICATES}, and 5 are usual"
        )
    if study.looks > study.replicates:
        yield f"looks: {study.looks} looks at {study.replicates} replicates; at most one a replicate"
    if study.tuning is not None and study.first_seed + study.replicates > TUNING_SEED:
        yield f"first_seed: seeds from {TUNING_SEED} on belong to tuning trials; found {study.first_seed}"
    if not study.measures:
        yield "measures: there are none; say what is compared, as in reading: {benchmark: reading, shots: 4}"


def _measures(study: Study, arms: Sequence[Arm]) -> Iterator[str]:
    for name, measure in study.measures.items():
        here = f"measures.{name}"
        match measure:
            case BenchmarkMeasure():
                yield from _benchmark(measure, arms, here)
            case MeanMeasure():
                yield from _mean(study, measure, here)
            case _ as never:
                assert_never(never)


def _benchmark(measure: BenchmarkMeasure, arms: Sequence[Arm], here: str) -> Iterator[str]:
    lacking = [arm for arm in arms if measure.benchmark not in arm.recipe.evaluation.benchmarks]
    if lacking:
        known = {name for arm in arms for name in arm.recipe.evaluation.benchmarks}
        if len(lacking) == len(arms):
            yield f"{here}.benchmark: the recipe has no benchmark {measure.benchmark!r}{near(measure.benchmark, known)}"
        else:
            names = ", ".join(arm.name for arm in lacking)
            yield f"{here}.benchmark: {names} has no benchmark {measure.benchmark!r}; every arm must be asked the same"
        return
    for arm in arms:
        spec = arm.recipe.evaluation.benchmarks[measure.benchmark]
        if measure.shots not in spec.shots:
            asked = ", ".join(map(str, spec.shots))
            yield (
                f"{here}.shots: {measure.benchmark} is asked at {asked} shots in arm {arm.name}, not at "
                f"{measure.shots}; set evaluation.benchmarks.{measure.benchmark}.shots under change, or take another"
            )
            return
        pictures = not (isinstance(spec, WorldBenchmark) and spec.family == "text")
        if measure.value == "gain" and not (arm.recipe.evaluation.blank_control and pictures):
            why = "its questions have no picture" if not pictures else "evaluation.blank_control is off"
            yield f"{here}.value: a gain needs the blank-image control of {measure.benchmark}, but {why}; take score"
            return
    items = {arm.name: _items(arm.recipe, measure.benchmark) for arm in arms}
    reference = items[arms[0].name]
    for name, its in items.items():
        differing = sorted(path for path in reference.keys() | its.keys() if reference.get(path) != its.get(path))
        if differing:
            yield (
                f"{here}: arm {name} would be asked other items of {measure.benchmark} than {arms[0].name}: "
                f"{', '.join(differing[:3])} differ; every arm must be asked the same, so give the benchmark its own "
                "scenes, or vary the sources' instead"
            )
            return


def _items(recipe: Recipe, benchmark: str) -> dict[str, Any]:
    """The fields that decide which items are asked, by their paths."""
    spec = recipe.evaluation.benchmarks[benchmark]
    own = {name: value for name, value in spec.plain().items() if name not in ("shots", "decoding", "image")}
    found = {f"evaluation.benchmarks.{benchmark}.{path}": value for path, value in flatten(own).items()}
    if isinstance(spec, WorldBenchmark):
        world = recipe.data.world.plain()
        if spec.scenes is not None:
            del world["scenes"]
        found |= {f"data.world.{path}": value for path, value in flatten(world).items()}
    return found


def _mean(study: Study, measure: MeanMeasure, here: str) -> Iterator[str]:
    known = {name for name, each in study.measures.items() if isinstance(each, BenchmarkMeasure)}
    for name in measure.mean:
        if name not in study.measures:
            yield f"{here}.mean: no measure {name!r}{near(name, known)}"
        elif name not in known:
            yield f"{here}.mean: {name} is itself a mean; name the benchmark measures"
    for name in {name for name in measure.mean if measure.mean.count(name) > 1}:
        yield f"{here}.mean: {name} stands there twice; each counts with equal weight"
    units = {unit_of(study, name): name for name in measure.mean if name in known}
    if len(units) > 1:
        words = " and ".join(f"{name} in {unit}" for unit, name in units.items())
        yield f"{here}.mean: measures of different units have no mean: {words}"


def unit_of(study: Study, measure: str) -> str:
    """points or nats."""
    parts = parts_of(study, measure)
    return "nats" if any(part.value == "log_likelihood" for part in parts.values()) else "points"


def _claims(study: Study, arms: Sequence[Arm]) -> Iterator[str]:
    names = {arm.name: arm for arm in arms}
    seen: dict[str, str] = {}
    for name, claim in study.claims.items():
        here = f"claims.{name}"
        if claim.measure not in study.measures:
            yield f"{here}.measure: no measure {claim.measure!r}{near(claim.measure, study.measures)}"
        unknown = [(path, arm) for path, arm in _named(claim) if arm not in names]
        for path, arm in unknown:
            left_out = "; leave_out removes it" if arm in study.leave_out else near(arm, names)
            yield f"{here}.{path}: no arm {arm!r}{left_out}"
        if not unknown:
            yield from _contrasts(claim, names, here)
        if claim.finding is not None and (unknown_finding := _finding(claim.finding)) is not None:
            yield f"{here}.finding: {unknown_finding}"
        content = digest(claim.model_dump(mode="json", exclude={"finding", "effect"}))
        if content in seen:
            yield f"{here}: says the same as claims.{seen[content]}; each claim takes its share of the error: keep one"
        seen.setdefault(content, name)


def _finding(finding: str) -> str | None:
    """What is wrong with the name of a finding, or None."""
    try:
        load_catalogue().get(finding)
    except CatalogueError as error:
        return str(error)
    return None


def _named(claim: Claim) -> Iterator[tuple[str, str]]:
    """Every arm that a claim names, with the field that names it."""
    match claim:
        case Exceeds():
            yield from (("better", claim.better), ("worse", claim.worse))
        case Within():
            yield from (("arms", arm) for arm in claim.arms)
        case Rises():
            yield from (("along", arm) for arm in claim.along)
        case ExceedsEffect():
            yield from _ends("larger", claim.larger)
            yield from _ends("smaller", claim.smaller)
        case Crossing():
            yield from _ends("first", claim.first)
            yield from _ends("second", claim.second)
        case _ as never:
            assert_never(never)


def _ends(path: str, effect: Effect) -> Iterator[tuple[str, str]]:
    yield from ((f"{path}.to", effect.to), (f"{path}.over", effect.over))


def _contrasts(claim: Claim, arms: dict[str, Arm], here: str) -> Iterator[str]:
    """Claims that compare nothing, or more than one thing."""
    if isinstance(claim, Rises):
        for name in {name for name in claim.along if claim.along.count(name) > 1}:
            yield f"{here}.along: {name} stands there twice"
        axes = varying([arms[name] for name in claim.along])
        if len(axes) > 1:
            yield f"{here}.along: these arms differ in {' and '.join(axes)}; a trend follows one axis"
        return
    for words, contrast in contrasts(claim).items():
        if not any(contrast.values()) or len(contrast) < FEWEST_REPLICATES:
            yield f"{here}: compares an arm with itself: {words}"
    if isinstance(claim, Exceeds) and claim.effect <= claim.by:
        yield (
            f"{here}.effect: the declared effect {claim.effect:g} is not above by: {claim.by:g}, so that no number of "
            "replicates would show it; declare the difference that you expect"
        )
    if isinstance(claim, Crossing) and claim.first == claim.second:
        yield f"{here}: both effects are the same; a crossing has one here and another there"


def _gates(study: Study, arms: Sequence[Arm]) -> Iterator[str]:
    names = [arm.name for arm in arms]
    for name, gate in study.gates.items():
        here = f"gates.{name}"
        if name not in study.measures:
            yield f"{here}: no measure {name!r}{near(name, study.measures)}"
        if gate.low >= gate.high:
            yield f"{here}: low {gate.low:g} is not below high {gate.high:g}; nothing would pass"
        if gate.control is None:
            continue
        if gate.control not in names:
            yield f"{here}.control: no arm {gate.control!r}{near(gate.control, names)}"
        elif gate.control == names[0]:
            yield f"{here}.control: {gate.control} is the reference arm; a control must be worse than it"


def _tuning(study: Study, arms: Sequence[Arm]) -> Iterator[str]:
    tuning = study.tuning
    if tuning is None:
        return
    if sorted(set(tuning.grid)) != tuning.grid or tuning.grid[0] <= 0:
        yield f"tuning.grid: expected different positive values in rising order; found {tuning.grid}"
    if tuning.path == study.hold.free:
        yield f"tuning.path: {tuning.path} is solved to hold the budget equal (hold.free); it cannot be tuned too"
    yield from _tuned_field(study, arms)
    if tuning.measure not in study.measures:
        yield f"tuning.measure: no measure {tuning.measure!r}{near(tuning.measure, study.measures)}"
        return
    for part in parts_of(study, tuning.measure).values():
        spec = arms[0].recipe.evaluation.benchmarks.get(part.benchmark)
        if spec is not None and not isinstance(spec, WorldBenchmark):
            yield (
                f"tuning.measure: {part.benchmark} has no validation items; values are chosen on benchmarks of the "
                "generated world, so that test items stay unseen"
            )


def _tuned_field(study: Study, arms: Sequence[Arm]) -> Iterator[str]:
    tuning = study.tuning
    assert tuning is not None
    values: dict[str, Any] = {}
    for arm in arms:
        try:
            values[arm.name] = get(arm.recipe.plain(), tuning.path)
        except RecipeError as error:
            yield f"tuning.path: arm {arm.name}: {error}"
            return
    common = values[arms[0].name]
    if isinstance(common, bool) or not isinstance(common, int | float):
        yield f"tuning.path: {tuning.path} is {common!r}; expected a number, such as a stage's optimizer.learning_rate"
        return
    others = {name: value for name, value in values.items() if value != common}
    if others:
        listed = ", ".join(f"{name} {value}" for name, value in others.items())
        yield (
            f"tuning.path: {tuning.path} is {common} in {arms[0].name} but {listed}; a field that is tuned has one "
            "common value, so it cannot be varied"
        )
    elif common not in tuning.grid:
        yield (
            f"tuning.grid: {tuning.grid} does not hold the common value {common} of {tuning.path}, beside which the "
            "tuned verdict stands; add it"
        )
    for arm in arms:
        for value in (tuning.grid[0], tuning.grid[-1]):
            try:
                arm.replicate(study.first_seed, trial=value)
            except RecipeError as error:
                yield f"tuning.grid: {value:g} makes no recipe: {error}"
                return


def _equal_arms(study: Study, arms: Sequence[Arm]) -> Iterator[str]:
    """Pairs of arms that would train and score the same."""
    results = {arm.name: _result(study, arm.recipe) for arm in arms}
    for first, second in combinations(arms, 2):
        if results[first.name] != results[second.name]:
            continue
        before, after = _leaves(first.recipe), _leaves(second.recipe)
        differing = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        axes = ", ".join(f"axes.{name}" for name in varying([first, second]))
        if not differing:
            yield f"{axes}: arms {first.name} and {second.name} are the same recipe; remove one level"
        else:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            yield (
                f"{axes}: arms {first.name} and {second.name} differ only in {', '.join(differing[:3])}{more}, which "
                "changes no stage and no measured answer; vary a field that does"
            )


def _leaves(recipe: Recipe) -> dict[str, Any]:
    return {path: value for path, value in flatten(recipe.plain()).items() if path not in ("name", "about")}


def _result(study: Study, recipe: Recipe) -> str:
    """Equal where two recipes train the same and answer the measured benchmarks the same."""
    bare = _without_limits(recipe)
    asked = {part.benchmark for name in study.measures for part in parts_of(study, name).values()}
    benchmarks = {name: spec.plain() for name, spec in bare.evaluation.benchmarks.items() if name in asked}
    answers = [benchmarks, bare.evaluation.blank_control, bare.template.plain(), bare.precision, bare.model.plain()]
    return digest([stage_keys(bare), answers, bare.data.world.plain()])


def _without_limits(recipe: Recipe) -> Recipe:
    """The recipe without what changes no result: how much it endures, and the presets whose numbers are written out."""
    model = recipe.model
    return recipe.model_copy(
        update={
            "model": model.model_copy(
                update={
                    "vision": model.vision.model_copy(update={"preset": None}),
                    "language": model.language.model_copy(update={"preset": None, "max_positions": 1}),
                }
            ),
            "stages": {name: stage.model_copy(update={"nonfinite_steps": 0}) for name, stage in recipe.stages.items()},
            "data": recipe.data.model_copy(update={"bad_samples": BadSamples()}),
        }
    )
