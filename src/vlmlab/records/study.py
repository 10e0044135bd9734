"""Record of a study: everything that its page, its table and the findings page show.

runs/studies/NAME/
  study.yaml               as written
  design.json              arms, changes and plans as they were when the study began
  machine.json             the machine of its runs
  recipes/HASH.json        the recipe of a run, by its fingerprint
  arms/ARM/seed-N-HASH/    an ordinary run directory, named by its recipe: a changed level is another directory
  tuning/ARM/VALUE/seed-N-HASH/  an ordinary run directory
  logs/                    what each run said
  outcomes.jsonl           OutcomeRecord a line: how each run ended
  table.csv                a row for each arm, replicate and measure; equal runs give equal bytes
  table_common.csv         the same at the common value, where the study tunes
  oracle.json              what the oracle reader scores, remembered
  study.json               StudyRecord
  study.html
"""

from __future__ import annotations

from typing import Any, Literal

from vlmlab.records.run import GalleryRecord, Record

Verdict = Literal["holds", "reversed", "equivalent", "cannot tell", "not measurable", "depends on the learning rate"]


class BudgetRecord(Record):
    """What an arm spends: means over replicates where it was counted, else planned."""

    updates: float
    examples: float
    images: float
    supervised_tokens: float
    positions: float
    """Positions that the language model reads."""
    patches: float
    stage_flops: float
    """Useful operations of the stages in which arms differ."""
    total_flops: float
    """With shared stages and tuning."""
    cpu_seconds: float | None
    """Measured, of the arm's own stages and evaluation; null before it ran."""


class ArmRecord(Record):
    """One arm."""

    name: str
    levels: dict[str, str]
    """Level by axis."""
    differences: list[tuple[str, str, str]]
    """[(dotted path, the reference's value, this arm's)]."""
    solved: dict[str, Any]
    """The free field as it was solved, and the tuned field as it was chosen."""
    planned: BudgetRecord
    spent: BudgetRecord | None
    replicates: list[int]
    """Seeds that ended, well or diverged."""
    diverged: list[int]
    missing: list[int]


class OutcomeRecord(Record):
    """How one run of a study ended."""

    arm: str
    seed: int
    purpose: Literal["replicate", "tuning"]
    state: Literal["finished", "diverged", "failed"]
    attempts: int
    """Times that it was started, machine faults included."""
    seconds: float
    reason: str
    trial: float | None = None
    """Value of the tuned field."""


class CellRecord(Record):
    """One arm on one measure."""

    arm: str
    measure: str
    mean: float
    interval: tuple[float, float] | None
    """Of the mean, with seed and item noise; null with one replicate."""
    replicates: list[float]
    """Means of the replicates in the order of `seeds`."""
    seeds: list[int]
    blank: float | None
    """With the query's image blank."""


class ComponentsRecord(Record):
    """Standard deviations by source, of a claim's contrast or of one arm, in the measure's unit."""

    seed: float
    item: float
    residual: float


class PartRecord(Record):
    """One contrast of a claim."""

    words: str
    estimate: float
    standard_error: float
    degrees_of_freedom: float
    interval: tuple[float, float]
    """At the study's confidence, for this contrast alone."""


class ClaimRecord(Record):
    """A claim and its verdict."""

    name: str
    kind: str
    words: str
    """The claim as a sentence."""
    measure: str
    unit: str
    """points or nats."""
    finding: str | None
    verdict: Verdict
    because: str
    """The verdict's reason in one sentence."""
    estimate: float | None
    interval: tuple[float, float] | None
    """Simultaneous over the study's claims, consistent with the verdicts."""
    interval_alone: tuple[float, float] | None
    """For this claim alone."""
    standard_error: float | None
    degrees_of_freedom: float | None
    p_value: float | None
    p_adjusted: float | None
    components: ComponentsRecord | None
    parts: list[PartRecord]
    """More than one for a crossing or a trend."""
    effect: float
    """Declared."""
    margin: float | None
    power: float | None
    """At the declared effect, with the replicates there are and the upper bound of the pooled variance."""
    replicates: int
    needed: int | None
    """Replicates that would probably decide at the declared effect; null where the verdict decides."""
    common: PartRecord | None = None
    """At the common learning rate, where arms were tuned."""
    bootstrap: tuple[float, float] | None = None
    """Crossed bootstrap interval, from ten replicates on."""
    conditional: bool = False
    """Stages were shared across replicates: conditional on this checkpoint."""


class GateRecord(Record):
    """Calibration of one measure."""

    measure: str
    passed: bool
    words: str
    reference: float | None
    blank: float | None
    oracle: float | None
    share: float | None
    """How far the reference arm is from the blank-image control to the oracle."""
    low: float
    high: float
    control: str | None
    control_detected: bool | None


class CurveRecord(Record):
    """One learning curve: the mean over replicates of an arm in a stage."""

    arm: str
    stage: str
    steps: list[int]
    losses: list[float]
    lowest: list[float]
    """The lowest replicate at each step."""
    highest: list[float]


class BenchmarkRow(Record):
    """Means over replicates of one arm on one benchmark at one number of shots."""

    arm: str
    benchmark: str
    metric: str
    shots: int
    score: float
    blank: float | None
    deviation: float | None
    """Standard deviation over replicates."""


class DisagreementRecord(Record):
    """An item on which arms disagree most."""

    picture: GalleryRecord
    answers: dict[str, str]
    """One replicate's answer by arm."""
    scores: dict[str, float]
    """Mean score over replicates by arm, between 0 and 1."""


class CostRecord(Record):
    """What the study took."""

    runs: int
    stages_trained: int
    stages_reused: int
    cpu_seconds: float
    """Spent: training, evaluation and tuning."""
    cpu_seconds_without_store: float
    """Had every run trained all of its stages."""
    machine: str


class StudyRecord(Record):
    """study.json."""

    name: str
    question: str
    about: str
    verdict: str
    """One sentence."""
    base: str
    reference: str
    """The reference arm."""
    hold: str
    """The budget held equal, in words."""
    sharing: Literal["within", "across"]
    pairing: Literal["paired", "independent"]
    tuned: str | None
    """What was tuned, in words; null: every arm at the common learning rate."""
    seeds: list[int]
    confidence: float
    complete: bool
    """Every planned replicate of every arm ended."""
    arms: list[ArmRecord]
    cells: list[CellRecord]
    claims: list[ClaimRecord]
    gates: list[GateRecord]
    curves: list[CurveRecord]
    benchmarks: list[BenchmarkRow]
    disagreements: list[DisagreementRecord]
    noise: dict[str, ComponentsRecord]
    """By measure: of one arm, pooled over arms."""
    outcomes: list[OutcomeRecord]
    cost: CostRecord
    versions: dict[str, str]
    """vlmlab, torch, transformers, numerics, protocol."""
    rerun: list[str]
    """Commands."""
    finished: str
    notes: list[str]
    """Anything that a reader must know: conditional results, gates that failed, missing replicates."""
