"""Record: what a run leaves behind, in plain JSON with a schema. Reports and studies read these and never import torch.

runs/NAME/
  recipe.yaml              as written
  recipe.resolved.json     every field
  provenance.json          Provenance
  plan.json                what `vlmlab plan --json` prints
  stages/STAGE/metrics.jsonl   StepRecord a line
  stages/STAGE/summary.json    StageRecord
  evaluation/BENCHMARK.jsonl   ItemRecord a line
  evaluation/summary.json      EvaluationRecord
  evaluation/gallery.json      a list of GalleryRecord
  progress.json            ProgressRecord, while it runs
  diverged.json            DivergenceRecord, where it ended because numbers were no longer finite
  model/                   safetensors, one file a component, and the tokenizer
  report.html
  manifest.json            Manifest, written last: its existence means complete
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen record; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Provenance(Record):
    """Where a run comes from. None of it is part of a stage's identity."""

    vlmlab: str
    git: str | None
    python: str
    torch: str
    transformers: str
    platform: str
    processor: str
    started: str
    command: list[str]
    machine: dict[str, Any]
    base: dict[str, Any] | None
    """The resolved recipe that this one derives from, if it says `from`."""
    base_name: str | None
    numerics: int | None = None
    """Version of the arithmetic: stages of different ones are not compared."""
    protocol: int | None = None
    """Version of prompts and scoring."""


class ProgressRecord(Record):
    """Where a run stands."""

    stage: str
    """Stage, or "evaluation"."""
    done: float
    """Share of it, 0 to 1."""
    cpu_seconds: float
    """CPU time of the run since it was last started."""


class DivergenceRecord(Record):
    """Why a run ended without a model: an outcome of its recipe, not a fault of the machine."""

    where: str
    reason: str


class StepRecord(Record):
    """Training between the last line and this one. Rates are those of the window, the time since the last line.

    Everything but TIMED_FIELDS is a function of the training alone. Fields with a default are missing in old records.
    """

    step: int
    """Steps done."""
    loss: float | None
    """Mean over the learned tokens (or pairs) since the last line; null where no step since then was finite."""
    tokens: int
    """Real positions since the start of the stage: text and visual, no padding."""
    learned: int
    visual: int
    images: int
    documents: int
    learning_rate: dict[str, float]
    gradient_norm: float | None
    """Mean over the finite steps since the last line, before clipping."""
    component_norms: dict[str, float] = {}
    """The same by component, over the steps in which it had a gradient."""
    source_losses: dict[str, float] = {}
    """Mean loss of each source's learned tokens since the last line; sources without any are left out."""
    source_learned: dict[str, int] = {}
    """Learned tokens of each source since the last line."""
    skipped: int = 0
    """Steps since the start of the stage whose loss or gradient was not finite: they changed nothing."""
    fill: float
    """Share of the rows' positions that are real, since the last line."""
    useful_flops: float = 0.0
    """Useful operations since the start of the stage, by the plan's count of what the batches really held."""
    seconds: float
    """Wall time since the start of the stage, data time included."""
    data_seconds: float
    """Part of it that training waited for data."""
    cpu_seconds: float
    """CPU time of the processes and their workers since the start of the stage."""
    window_seconds: float | None = None
    """Wall time since the last line, data time included."""
    data_share: float | None = None
    """Share of the window that training waited for data."""
    tokens_per_second: float | None = None
    """Real positions a second of the window."""
    learned_per_second: float | None = None
    """Supervised ones: learned tokens, or pairs."""
    visual_per_second: float | None = None
    images_per_second: float | None = None
    mfu: float | None = None
    """Useful operations of the window over what the machine's declared peak allows in its time."""
    peak_memory: int | None = None
    """Bytes: the most so far, of the process that holds most. On CUDA what torch allocated in the stage, else the
    resident set of the process."""


TIMED_FIELDS = (
    "seconds",
    "data_seconds",
    "cpu_seconds",
    "window_seconds",
    "data_share",
    "tokens_per_second",
    "learned_per_second",
    "visual_per_second",
    "images_per_second",
    "mfu",
    "peak_memory",
)
"""Fields of StepRecord and StageRecord that depend on the machine's moods. All others are equal in an equal run."""


def untimed(record: StepRecord | StageRecord) -> dict[str, Any]:
    """A record without its times, as plain data: equal to the last bit however often the run was interrupted."""
    return record.model_dump(mode="json", exclude=set(TIMED_FIELDS))


class LedgerRow(Record):
    """One optimiser group, or one frozen component."""

    component: str
    mode: Literal["frozen", "full"]
    group: str
    """decay, no_decay or frozen."""
    tensors: int
    parameters: int
    learning_rate: float
    weight_decay: float


class Refusals(Record):
    """Samples of one source that could not be used."""

    read: int
    refused: int
    examples: list[dict[str, str]]
    """[{key, reason}], the first few."""


class StageRecord(Record):
    """A finished stage."""

    name: str
    objective: str
    identity: str
    reused: bool
    """Taken from the store instead of trained in this run; the figures are then those of the run that trained it."""
    steps: int
    tokens: int
    learned: int
    visual: int
    images: int
    documents: int
    loss_first: float
    loss_last: float
    skipped: int = 0
    """Steps whose loss or gradient was not finite."""
    useful_flops: float = 0.0
    """Useful operations, by the plan's count of what the batches really held."""
    seconds: float
    data_seconds: float | None = None
    cpu_seconds: float
    mfu: float | None = None
    """Useful operations over what the declared peak of the machine that trained it allows in `seconds`."""
    peak_memory: int | None = None
    """Bytes of the process that held most."""
    ledger: list[LedgerRow]
    refusals: dict[str, Refusals]


class ItemRecord(Record):
    """One question asked once."""

    benchmark: str
    item: str
    cluster: str
    shots: int
    demonstration_seed: int | None
    condition: Literal["image", "blank"]
    question: str | None
    answers: list[str]
    prediction: str
    score: float
    """Between 0 and 1, but for CIDEr."""
    log_likelihood: float
    """Of the reference answer (the most frequent one), in nats."""
    prompt: str


class ScoreRecord(Record):
    """One benchmark at one number of shots. Scores are times 100. Intervals are bootstrap intervals over clusters."""

    benchmark: str
    metric: str
    shots: int
    items: int
    score: float
    interval: tuple[float, float]
    blank: float | None
    """The score with the query's image at mean grey; null where there is no image."""
    blank_interval: tuple[float, float] | None
    gain: float | None
    """score - blank, paired by item."""
    gain_interval: tuple[float, float] | None
    log_likelihood: float


class EvaluationRecord(Record):
    """evaluation/summary.json."""

    confidence: float
    scores: list[ScoreRecord]
    shot_gains: list[dict[str, Any]]
    """[{benchmark, shots, over, gain, interval}]: score at `shots` minus score at `over` shots, paired by item."""
    seconds: float
    cpu_seconds: float


class GalleryRecord(Record):
    """A test image with what was asked and said."""

    benchmark: str
    shots: int
    item: str
    image: str | None
    """A data: URI."""
    question: str | None
    answers: list[str]
    prediction: str
    blank_prediction: str | None
    score: float


class Manifest(Record):
    """Written last: the run is complete, and these are its files."""

    name: str
    fingerprint: str
    finished: str
    seconds: float
    cpu_seconds: float
    files: dict[str, str]
    """Path to SHA-256."""
