"""Record of a design: what a study will compare, share, spend and be able to see (`vlmlab study design --json`)."""

from __future__ import annotations

from typing import Literal

from vlmlab.records.run import Record
from vlmlab.records.study import ArmRecord, ComponentsRecord, CostRecord


class SharedStageRecord(Record):
    """One stage over all runs of a study, tuning trials included."""

    stage: str
    runs: int
    """Runs that need it."""
    trained: int
    """Times that it is trained with the store: one for every content that is different."""
    seconds: float
    """Planned, of all of its trainings with the store."""
    seconds_without_store: float


class DesignCostRecord(Record):
    """What a study is planned to cost on one machine, one run at a time. Evaluation is not in it."""

    machine: str
    runs: int
    """Replicates of all arms, and tuning trials."""
    trials: int
    """Tuning trials among them; more where the grid is widened."""
    prompts: int
    """That all runs answer, controls included."""
    stages: list[SharedStageRecord]
    stages_trained: int
    stages_asked: int
    """What they would be without the store."""
    seconds: float
    seconds_without_store: float
    flops: float
    """Executed."""
    flops_without_store: float
    price: float
    chosen_seconds: float
    """More, where tuning chooses another value than the common one for every arm: the replicates run at both."""
    replicate_seconds: dict[str, float]
    """By arm: one replicate that trains every stage itself."""
    own_seconds: dict[str, float]
    """By arm: the stages of one replicate that no other arm shares."""
    measured: CostRecord | None
    """What the last run of this study took, where it left a record."""


class ProspectRecord(Record):
    """What the design can say about one claim."""

    name: str
    kind: str
    words: str
    measure: str
    unit: Literal["points", "nats"]
    effect: float
    """Declared: the smallest difference that matters; of an equivalence the margin."""
    level: float
    """Error of this claim alone, so that all claims share the study's by Holm's method."""
    noise: ComponentsRecord | None
    """Of the claim's contrast, between replicates at the upper bound; null where nobody knows."""
    measured: bool
    """The noise was measured; false: an assumption, which the notes state."""
    power: float | None
    """Chance to decide at the declared effect; of an equivalence where there is no difference at all."""
    detectable: float | None
    """The smallest effect, or margin, that would probably be decided."""
    needed: int | None
    """Replicates that would probably decide at the declared effect; null: not even very many, or not known."""


class DesignRecord(Record):
    """A study before it costs anything."""

    name: str
    question: str
    about: str
    base: str
    reference: str
    """The reference arm."""
    budget: str
    """The budget held equal."""
    stages: list[str]
    """Stages whose budget is compared."""
    free: str | None
    """Field that was solved for each arm."""
    tolerance: float
    seeds: list[int]
    sharing: Literal["within", "across"]
    pairing: Literal["paired", "independent"]
    tuned: str | None
    """What is tuned, in words."""
    confidence: float
    looks: int
    arms: list[ArmRecord]
    cost: DesignCostRecord
    claims: list[ProspectRecord]
    notes: list[str]
