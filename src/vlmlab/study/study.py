"""Study: a question, the arms that answer it, what is held equal, and the claims that are put to the test.

name: connectors
question: Which connector reads best at nine visual tokens?
base: base                                   # a recipe
axes:
  connector:
    path: model.connector
    levels:
      pixel_shuffle: {kind: pixel_shuffle, window: 2, projection: norm_mlp}
      perceiver: {kind: perceiver, latents: 9}
replicates: 5
hold: {budget: updates}
measures:
  reading: {benchmark: reading, shots: 4}
claims:
  shuffle_reads_better: {kind: exceeds, better: pixel_shuffle, worse: perceiver, measure: reading, effect: 8}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from vlmlab.recipe.spec import Spec

Budget = Literal["updates", "examples", "images", "supervised_tokens", "stage_flops", "total_flops"]


class PathAxis(Spec):
    """One field or component takes each level's value."""

    path: str
    """Dotted path of a recipe: a field, or a whole component."""
    levels: dict[str, Any]
    """Values by name. The first level is the axis' reference."""


class LevelsAxis(Spec):
    """Each level sets several fields."""

    levels: dict[str, dict[str, Any]]
    """By name: {dotted path: value}; an empty mapping leaves the base as it is. The first level is the reference."""


Axis = PathAxis | LevelsAxis


class Hold(Spec):
    """The budget that is equal for all arms."""

    budget: Budget = "updates"
    """updates: optimiser steps. examples: documents. images. supervised_tokens: positions with a target. stage_flops:
    useful operations of `stages`. total_flops: of all stages, shared ones and tuning included."""
    stages: list[str] = Field(default_factory=list)
    """Stages whose budget is compared; empty: every stage in which arms differ."""
    free: str | None = None
    """Dotted path of the one field that is solved for each arm, such as stages.instruct.duration.steps; null: the
    budget must be equal as the arms are written."""
    tolerance: float = Field(default=0.01, gt=0.0, le=0.2)
    """Largest relative difference from the reference arm that counts as equal."""


class Tuning(Spec):
    """Every arm gets the same trials of one field on the same grid; the best runs on fresh seeds and test items."""

    path: str
    """Dotted path, as stages.instruct.optimizer.learning_rate."""
    grid: list[float] = Field(min_length=2)
    """Values that every arm tries, in rising order; one of them is the common value, the base's own."""
    measure: str
    """Measure by which a value is chosen, on validation scenes."""
    replicates: int = Field(default=1, ge=1)
    """Tuning seeds of each trial; never the seeds of the study."""
    widen: int = Field(default=1, ge=0)
    """How many times the grid is widened by its own ratio where the best value stands at an edge."""


class BenchmarkMeasure(Spec):
    """One benchmark at one number of shots."""

    benchmark: str
    """Name under evaluation.benchmarks."""
    shots: int = Field(default=4, ge=0)
    """Number of demonstrations."""
    value: Literal["score", "gain", "log_likelihood"] = "score"
    """score: points (times 100). gain: points over the same question with a blank image. log_likelihood: nats of the
    reference answer."""


class MeanMeasure(Spec):
    """The mean of several measures, each with equal weight."""

    mean: list[str] = Field(min_length=2)
    """Names of benchmark measures with the same unit."""


Measure = BenchmarkMeasure | MeanMeasure


class Effect(Spec):
    """What going from one arm to another brings."""

    to: str
    """Arm."""
    over: str
    """Arm that it is compared with."""


class _Claim(Spec):
    measure: str
    """The one primary measure of the claim."""
    finding: str | None = None
    """Published finding that the claim puts to the test, such as V-2: `vlmlab findings`."""
    effect: float = Field(default=5.0, gt=0.0)
    """Declared effect in the measure's unit: the power of the design and the replicates needed are computed for it."""


class Exceeds(_Claim):
    """One arm is better than another."""

    kind: Literal["exceeds"]
    """One arm is better than another."""
    better: str
    """Arm."""
    worse: str
    """Arm."""
    by: float = Field(default=0.0, ge=0.0)
    """By more than this."""


class Within(_Claim):
    """Two arms are equivalent."""

    kind: Literal["within"]
    """Two arms are equivalent."""
    arms: tuple[str, str]
    """The two."""
    margin: float = Field(gt=0.0)
    """The difference is smaller than this. Refused at design where the replicates could not settle it."""


class Rises(_Claim):
    """A measure rises along ordered arms: the linear trend over their order."""

    kind: Literal["rises"]
    """A measure rises along ordered arms."""
    along: list[str] = Field(min_length=3)
    """Arms in their order."""
    falls: bool = False
    """The claim is that it falls."""


class ExceedsEffect(_Claim):
    """The effect of one choice is larger than the effect of another."""

    kind: Literal["exceeds_effect"]
    """The effect of one choice is larger than that of another."""
    larger: Effect
    """Effect that should be larger."""
    smaller: Effect
    """Effect that it is compared with."""


class Crossing(_Claim):
    """The better choice depends on something else: one wins here, another there. Both must hold."""

    kind: Literal["crossing"]
    """One choice wins here, another there."""
    first: Effect
    """An effect that should be positive."""
    second: Effect
    """Another that should be positive."""


Claim = Annotated[Exceeds | Within | Rises | ExceedsEffect | Crossing, Field(discriminator="kind")]


class Gate(Spec):
    """Calibration: whether this world can show a difference on a measure at all."""

    low: float = Field(default=0.3, ge=0.0, le=1.0)
    """Least share of the way from the blank-image control to the oracle reader that the reference arm must reach."""
    high: float = Field(default=0.8, ge=0.0, le=1.0)
    """Largest share: beyond it the measure is saturated."""
    control: str | None = None
    """Arm that must be worse than the reference, and be found to be: the positive control."""


class Study(Spec):
    """A question put to arms that differ in declared ways, at one budget held equal."""

    name: str
    """Names the folder of the study's runs."""
    question: str
    """What is asked, as a sentence."""
    about: str = ""
    """Why, and what is expected."""
    base: str
    """Recipe that all arms derive from: a file beside the study, a name in studies/ or recipes/, or a path."""
    change: dict[str, Any] = Field(default_factory=dict)
    """Changes to the base that hold for all arms: {dotted path: value}."""
    axes: dict[str, Axis]
    """What differs. Arms are the product of all axes, named LEVEL or LEVEL/LEVEL in the order of the axes."""
    leave_out: list[str] = Field(default_factory=list)
    """Arms of the product that are not wanted."""
    replicates: int = Field(default=5, ge=1)
    """Independent repetitions of every stage of every arm, the pre-trained parts included."""
    first_seed: int = Field(default=0, ge=0)
    """Seed of the first replicate; fresh ones confirm what was seen before."""
    sharing: Literal["within", "across"] = "within"
    """within: arms share stages within a replicate, never across. across: the stages that no arm changes are trained
    once; cheap, and every result is then conditional on this checkpoint."""
    pairing: Literal["paired", "independent"] = "paired"
    """paired: an arm's replicate is compared with the same replicate of another, with which it shares stages and data
    order. independent: Welch."""
    hold: Hold = Field(default_factory=Hold)
    """The budget held equal."""
    tuning: Tuning | None = None
    """Trials of a learning rate for every arm; null: every arm at the common one, and the report says so."""
    measures: dict[str, Measure]
    """What is measured, by name."""
    claims: dict[str, Claim]
    """What is put to the test, by name."""
    gates: dict[str, Gate] = Field(default_factory=dict)
    """Calibration by measure; every claim's measure has one, with these defaults where none is written."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Confidence of the intervals; claims share the error 1 - confidence by Holm's method."""
    looks: int = Field(default=1, ge=1)
    """Times that the results will be looked at as replicates are added; more than one share the error."""
