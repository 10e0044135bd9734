"""Design: a study checked as a whole, with its budget held equal, its cost, and what it could find out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vlmlab.errors import StudyError
from vlmlab.recipe.load import LoadedRecipe
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.path import get
from vlmlab.records.design import DesignCostRecord, DesignRecord, ProspectRecord
from vlmlab.records.study import ArmRecord, BudgetRecord
from vlmlab.report.differences import Difference, differences
from vlmlab.study.cost import design_cost, seeds_of
from vlmlab.study.hold import compared_stages, differing_stages, hold_equal, planned_budget
from vlmlab.study.levels import Arm, build_arms
from vlmlab.study.load import LoadedStudy
from vlmlab.study.mistakes import mistakes
from vlmlab.study.noise import ASSUMED, KnownNoise, known_noise, noise_key, read_noise
from vlmlab.study.prospects import hopeless, prospects
from vlmlab.study.statistics.power import PROBABLE
from vlmlab.study.study import Study

ABSENT = "-"
"""Stands for a leaf that a recipe does not have."""


@dataclass(frozen=True, slots=True)
class Design:
    """A study that can be run."""

    study: Study
    base: LoadedRecipe
    machine: Machine
    arms: tuple[Arm, ...]
    """The first is the reference."""
    stages: tuple[str, ...]
    """Stages whose budget is compared."""
    seeds: tuple[int, ...]
    budgets: dict[str, BudgetRecord]
    """Planned, by arm."""
    cost: DesignCostRecord
    claims: tuple[ProspectRecord, ...]
    notes: tuple[str, ...]

    @property
    def reference(self) -> Arm:
        """The arm that all others are compared with."""
        return self.arms[0]

    def differences(self, arm: Arm) -> tuple[Difference, ...]:
        """Leaves in which an arm's recipe is not the reference's."""
        return differences(self.reference.recipe.plain(), arm.recipe.plain())

    def record(self) -> DesignRecord:
        """The design as JSON data."""
        study = self.study
        return DesignRecord(
            name=study.name,
            question=study.question,
            about=study.about,
            base=self.base.recipe.name,
            reference=self.reference.name,
            budget=study.hold.budget,
            stages=list(self.stages),
            free=study.hold.free,
            tolerance=study.hold.tolerance,
            seeds=list(self.seeds),
            sharing=study.sharing,
            pairing=study.pairing,
            tuned=_tuned(study, self.reference),
            confidence=study.confidence,
            looks=study.looks,
            arms=[self._arm(arm) for arm in self.arms],
            cost=self.cost,
            claims=list(self.claims),
            notes=list(self.notes),
        )

    def _arm(self, arm: Arm) -> ArmRecord:
        return ArmRecord(
            name=arm.name,
            levels=arm.levels,
            differences=[(each.path, each.base or ABSENT, each.here or ABSENT) for each in self.differences(arm)],
            solved=arm.solved,
            planned=self.budgets[arm.name],
            spent=None,
            replicates=[],
            diverged=[],
            missing=[],
        )


def design(loaded: LoadedStudy, *, machine: Machine | None = None, noise: Path | None = None) -> Design:
    """Design a study for a machine; `noise` is a file like studies/noise.yaml.

    Raises StudyError that lists every problem as `FILE: dotted.path: problem`.
    """
    study, where = loaded.study, loaded.where
    machine = Machine() if machine is None else machine
    arms = build_arms(loaded)
    found = mistakes(study, arms, where=where)
    if found:
        raise StudyError("", "\n".join(found))
    stages = compared_stages(study, arms, where=where)
    arms = hold_equal(study, arms, stages=stages, where=where)
    if study.sharing == "across":
        arms = tuple(replace(arm, fixed=_fixed(study, arms)) for arm in arms)
    file = read_noise(noise)
    known = {
        name: known_noise(study, name, base=loaded.base.recipe.name, file=file)
        for name in dict.fromkeys(claim.measure for claim in study.claims.values())
    }
    claims = prospects(study, known)
    refused = [f"{where}: {why}" for claim in claims if (why := hopeless(claim, study)) is not None]
    if refused:
        raise StudyError("", "\n".join(refused))
    return Design(
        study=study,
        base=loaded.base,
        machine=machine,
        arms=arms,
        stages=stages,
        seeds=seeds_of(study),
        budgets={arm.name: planned_budget(arm.recipe, machine, stages=stages, tuning=study.tuning) for arm in arms},
        cost=design_cost(study, arms, machine=machine),
        claims=tuple(claims),
        notes=tuple(_notes(study, arms, claims, known)),
    )


def _fixed(study: Study, arms: Sequence[Arm]) -> dict[str, int]:
    """Stages that no arm changes, at the one seed that all replicates share."""
    differing = differing_stages(arms)
    return {name: study.first_seed for name in arms[0].recipe.stages if name not in differing}


def _tuned(study: Study, reference: Arm) -> str | None:
    tuning = study.tuning
    if tuning is None:
        return None
    common = get(reference.recipe.plain(), tuning.path)
    grid = ", ".join(f"{value:g}" for value in tuning.grid)
    seeds = f"{tuning.replicates} tuning seed{'' if tuning.replicates == 1 else 's'}"
    return f"{tuning.path} over {grid} (common: {common:g}) by {tuning.measure} on validation scenes, {seeds}"


def _notes(
    study: Study, arms: Sequence[Arm], claims: Sequence[ProspectRecord], known: dict[str, KnownNoise | None]
) -> Iterator[str]:
    """What a reader of the design must know."""
    if study.tuning is None:
        yield "Nothing is tuned: every arm trains at the common learning rate, and verdicts hold for that rate."
    if study.sharing == "across":
        fixed = ", ".join(arms[0].fixed)
        yield (
            f"{fixed} are trained once for all replicates: every result is conditional on this checkpoint, and its "
            "noise is in no interval."
            if fixed
            else "sharing: across changes nothing, for arms differ in every stage."
        )
    model = arms[0].recipe.model
    for name, weights in (("vision", model.vision.weights), ("language", model.language.weights)):
        if weights.kind != "fresh":
            yield (
                f"The {name} backbone has the same published weights in every replicate: results are conditional on "
                "this checkpoint."
            )
    if not study.claims:
        yield "Nothing is claimed: the study will describe its arms and judge nothing."
    if study.looks > 1:
        yield f"The error is shared by {study.looks} looks; power is that of the last one."
    yield from _noise_notes(study, known)
    weak = [claim for claim in claims if claim.power is not None and claim.power < PROBABLE]
    if weak:
        listed = ", ".join(f"{claim.name} ({'too many' if claim.needed is None else claim.needed})" for claim in weak)
        yield (
            f"These claims will probably end with 'cannot tell' at {study.replicates} replicates (in brackets those "
            f"that would probably decide): {listed}."
        )


def _noise_notes(study: Study, known: dict[str, KnownNoise | None]) -> Iterator[str]:
    assumed = [name for name, noise in known.items() if noise is not None and not noise.measured]
    if assumed:
        yield (
            f"Noise of {', '.join(assumed)} was never measured on this base: power rests on an assumption, for each "
            f"benchmark s.d. of {ASSUMED.seed:g} points between replicates, {ASSUMED.item:g} of items and "
            f"{ASSUMED.residual:g} of both. `vlmlab study run studies/examples/noise.yaml` measures it, and "
            "`python benchmarks/noise.py --write studies/noise.yaml` writes it down, under "
            f"{', '.join(noise_key(study, name) for name in assumed)}."
        )
    unknown = [name for name, noise in known.items() if noise is None]
    if unknown:
        yield (
            f"Noise of {', '.join(unknown)} is not known, so power is not either: studies/noise.yaml has no "
            f"{', '.join(noise_key(study, name) for name in unknown)}."
        )
    for name, noise in known.items():
        if noise is not None and noise.words:
            yield f"Noise of {name} is {noise.words}: replicates of its own would be more exact."
