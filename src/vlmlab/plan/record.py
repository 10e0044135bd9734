"""Plan: what a recipe will cost on a machine, as a record (plan.json, `vlmlab plan --json`)."""

from __future__ import annotations

from vlmlab.records.run import Record


class Flops(Record):
    """Floating-point operations."""

    forward: float
    backward: float


class MemoryPlan(Record):
    """Bytes on one device."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    """An estimate."""
    total: float


class StagePlan(Record):
    """One stage. Everything that depends on data is an estimate: documents, images, tokens, operations, time."""

    name: str
    objective: str
    steps: int
    rows: int
    """Rows (or pairs) of a step."""
    length: int
    fill: float
    """Share of the positions that are real."""
    tokens: int
    """Real positions over the stage: text and visual."""
    documents: int
    images: int
    visual_tokens: int
    learned_tokens: int
    epochs: dict[str, float]
    """Times that each source of known size is seen."""
    trained: dict[str, int]
    """Trained parameters by component, the objective's own parts included."""
    executed: dict[str, Flops]
    """By component, over the stage, with the dense attention kernel."""
    useful: dict[str, Flops]
    """By component: real positions, attention to earlier positions of the same document."""
    seconds: float
    price: float
    memory: MemoryPlan


class Plan(Record):
    """A recipe on a machine."""

    recipe: str
    fingerprint: str
    machine: str
    hardware: str
    precision: str
    parameters: dict[str, int]
    """Exact, by component."""
    total_parameters: int
    visual_tokens_per_view: int
    """Of a square view under the model's image policy."""
    stages: list[StagePlan]
    prompts: int
    """Prompts that the evaluation answers, controls included."""
    tokens: int
    executed: float
    useful: float
    seconds: float
    price: float
    notes: list[str]
