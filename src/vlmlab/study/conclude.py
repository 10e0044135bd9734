"""From gathered runs to the record of a study: gates, verdicts, budgets, costs, and the sentence that answers it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from vlmlab.errors import StudyError
from vlmlab.files import write_json
from vlmlab.records.study import (
    ArmRecord,
    CellRecord,
    ClaimRecord,
    ComponentsRecord,
    GateRecord,
    OutcomeRecord,
    StudyRecord,
)
from vlmlab.study.claims import Evidence, judge, noise_of_arms, scores_of
from vlmlab.study.disagreements import disagreements
from vlmlab.study.gates import calibrate
from vlmlab.study.gather import Gathered, MeasureTable
from vlmlab.study.queue import Task
from vlmlab.study.spending import benchmark_rows, budget, cost, curves, read_runs, uncounted, versions
from vlmlab.study.statistics.estimate import estimate
from vlmlab.study.study import BenchmarkMeasure, Gate, Study

FEW = 2
"""Replicates with which intervals cover less than they say."""


@dataclass(frozen=True, slots=True)
class Ran:
    """Everything about a study that its record is made from."""

    study: Study
    arms: Sequence[ArmRecord]
    """As designed: what was spent and how replicates ended is filled in."""
    hold: str
    """The budget held equal, in words."""
    stages: Sequence[str]
    """Stages whose budget is compared."""
    tasks: Sequence[Task]
    """The replicates that count, each arm at the value that was chosen for it."""
    gathered: Gathered
    outcomes: Sequence[OutcomeRecord]
    rerun: Sequence[str]
    trials: Sequence[Task] = ()
    common_tasks: Sequence[Task] = ()
    common: Gathered | None = None
    """All arms at the common value, where the study tunes."""
    tuned: str | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def reference(self) -> str:
        """The reference arm."""
        return self.arms[0].name


def conclude(ran: Ran, *, folder: Path) -> StudyRecord:
    """Judge what is there and write study.json. Works on an incomplete study: what is missing is said."""
    study, gathered = ran.study, ran.gathered
    runs = read_runs([*ran.tasks, *ran.common_tasks, *ran.trials])
    if not any(table.scores for table in gathered.tables.values()):
        raise StudyError(str(folder), "no run of this study has finished; `vlmlab study run` trains them")
    scores = {name: scores_of(table) for name, table in gathered.tables.items()}
    recipe = next(task.recipe for task in ran.tasks if task.arm == ran.reference)
    judged = dict.fromkeys([*(claim.measure for claim in study.claims.values()), *study.gates])
    gates = [
        calibrate(
            name, study.gates.get(name, Gate()), measures=study.measures, tables=gathered.tables, scores=scores,
            reference=ran.reference, recipe=recipe, pairing=study.pairing, confidence=study.confidence,
            kept=folder / "oracle.json",
        )
        for name in judged
    ]  # fmt: skip
    arms = [_arm(arm, ran, spent=budget(arm.name, runs, stages=ran.stages)) for arm in ran.arms]
    evidence = Evidence(
        tables=gathered.tables,
        common=None if ran.common is None else ran.common.tables,
        closed={gate.measure: gate.words for gate in gates if not gate.passed},
        missing={arm.name: tuple(arm.missing) for arm in arms if arm.missing},
        common_missing={} if ran.common is None else _missing(ran.common),
        look=look_of(study, replicates=len({task.seed for task in ran.tasks})),
    )
    claims = judge(study, evidence)
    replicates = {task: run for task, run in runs.items() if task in set(ran.tasks)}
    asked = {
        part: measure
        for name in judged
        for part in gathered.tables[name].parts
        if isinstance(measure := study.measures[part], BenchmarkMeasure)
    }
    record = StudyRecord(
        name=study.name,
        question=study.question,
        about=study.about,
        verdict=verdict_sentence(claims),
        base=study.base,
        reference=ran.reference,
        hold=ran.hold,
        sharing=study.sharing,
        pairing=study.pairing,
        tuned=ran.tuned,
        seeds=sorted({task.seed for task in ran.tasks}),
        confidence=study.confidence,
        complete=not any(arm.missing for arm in arms),
        arms=arms,
        cells=[cell for name, table in gathered.tables.items() for cell in _cells(name, table, study)],
        claims=claims,
        gates=gates,
        curves=curves(replicates),
        benchmarks=benchmark_rows(replicates),
        disagreements=disagreements(ran.tasks, measures=asked, recipe=recipe, reference=ran.reference),
        noise={name: noise for name, table in gathered.tables.items() if (noise := _noise(table)) is not None},
        outcomes=list(ran.outcomes),
        cost=cost(runs),
        versions=versions(runs),
        rerun=list(ran.rerun),
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        notes=[
            *ran.notes,
            *_notes(study, arms, gates, versions(runs)),
            *_late(study, ran.tasks),
            *uncounted(runs),
        ],
    )
    write_json(folder / "study.json", record.model_dump(mode="json"))
    return record


def look_of(study: Study, *, replicates: int) -> int:
    """Which of the planned looks this is, by the share of the planned replicates.

    >>> [look_of(study, replicates=count) for count in (3, 5, 6, 10, 12)]  # 10 replicates, 2 looks
    [1, 1, 2, 2, 2]
    """
    return min(study.looks, max(1, ceil(study.looks * replicates / study.replicates)))


def _arm(arm: ArmRecord, ran: Ran, **changes: object) -> ArmRecord:
    states = {seed: state for (name, seed), state in ran.gathered.states.items() if name == arm.name}
    return arm.model_copy(
        update={
            **changes,
            "replicates": [seed for seed, state in states.items() if state != "missing"],
            "diverged": [seed for seed, state in states.items() if state == "diverged"],
            "missing": [seed for seed, state in states.items() if state == "missing"],
        }
    )


def _missing(gathered: Gathered) -> dict[str, tuple[int, ...]]:
    """Seeds that did not end, by arm."""
    found: dict[str, tuple[int, ...]] = {}
    for (arm, seed), state in gathered.states.items():
        if state == "missing":
            found[arm] = (*found.get(arm, ()), seed)
    return found


def _cells(name: str, table: MeasureTable, study: Study) -> list[CellRecord]:
    scores = scores_of(table)
    cells = []
    for arm, runs in table.scores.items():
        seeds = sorted(runs)
        means = [table.mean(arm, seed) for seed in seeds]
        blanks = [blank for seed in seeds if (blank := table.blank_mean(arm, seed)) is not None]
        interval = None
        if len(seeds) > 1 and len(scores.weights) > 1:
            interval = estimate(scores, {arm: 1.0}).interval(study.confidence)
        cells.append(
            CellRecord(
                arm=arm,
                measure=name,
                mean=sum(means) / len(means),
                interval=interval,
                replicates=means,
                seeds=seeds,
                blank=sum(blanks) / len(blanks) if blanks else None,
            )
        )
    return cells


def _noise(table: MeasureTable) -> ComponentsRecord | None:
    try:
        components, _ = noise_of_arms(table)
    except StudyError:
        return None
    return ComponentsRecord(seed=components.seed, item=components.item, residual=components.residual)


def verdict_sentence(claims: Sequence[ClaimRecord]) -> str:
    """The answer in one sentence: what was decided first, then what was not."""
    if not claims:
        return "No claim was put to the test."
    if len(claims) == 1:
        claim = claims[0]
        return f"{claim.words}: {claim.verdict}{_effect(claim)}."
    groups: dict[str, list[ClaimRecord]] = {}
    for verdict in ("holds", "reversed", "equivalent", "depends on the learning rate", "cannot tell", "not measurable"):
        found = [claim for claim in claims if claim.verdict == verdict]
        if found:
            groups[verdict] = found
    if len(groups) == 1:
        (verdict,) = groups
        return f"All {len(claims)} claims: {verdict}."
    parts = [
        f"{verdict}: {', '.join(claim.name + _effect(claim) for claim in found)}" for verdict, found in groups.items()
    ]
    return f"Of {len(claims)} claims, {'; '.join(parts)}."


def _effect(claim: ClaimRecord) -> str:
    if claim.estimate is None or claim.interval is None or claim.verdict in ("not measurable", "cannot tell"):
        return ""
    low, high = claim.interval
    return f" ({claim.estimate:+.1f} {claim.unit}, {low:+.1f} to {high:+.1f})"


def _late(study: Study, tasks: Sequence[Task]) -> list[str]:
    """Other replicates than planned are a look that the error was not shared for."""
    count = len({task.seed for task in tasks})
    if count < study.replicates and study.looks == 1 and study.claims:
        return [
            f"{count} of {study.replicates} planned replicates: judging now and again with more is a second look, for "
            "which the error is larger than declared unless the study says looks: 2."
        ]
    if count <= study.replicates:
        return []
    return [
        f"{count} replicates, {study.replicates} were planned: if they were added after a look at the verdicts, the "
        "error is larger than declared; confirm on fresh seeds (first_seed), or declare looks."
    ]


def _notes(study: Study, arms: Sequence[ArmRecord], gates: Sequence[GateRecord], found: Mapping[str, str]) -> list[str]:
    notes = []
    if study.sharing == "across":
        notes.append(
            "Stages that no arm changes were trained once for all replicates: every result is conditional on this "
            "checkpoint."
        )
    if study.tuning is None:
        notes.append("Nothing was tuned: every arm trains at the common learning rate.")
    for gate in gates:
        if not gate.passed:
            notes.append(f"Not measurable on {gate.measure}: {gate.words}.")
    for arm in arms:
        if arm.diverged:
            rate = f"{len(arm.diverged)} of {len(arm.replicates)}"
            notes.append(f"{arm.name} diverged in {rate} replicates, which count as chance.")
        if arm.missing:
            notes.append(f"{arm.name} lacks replicates at seeds {', '.join(map(str, arm.missing))}.")
    if study.claims and min(len(arm.replicates) for arm in arms) == FEW:
        notes.append("With two replicates, intervals that say 95 % cover as little as 91 %; take three or more.")
    for name in ("vlmlab", "torch", "transformers"):
        if "," in found.get(name, ""):
            notes.append(f"Runs of several versions of {name}: {found[name]}.")
    return notes
