"""How fast a stage went, and how full its rows were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from vlmlab.records.read import RunRecord, StageRun
from vlmlab.records.run import StepRecord


@dataclass(frozen=True, slots=True)
class Rates:
    """Means over a whole stage; None where the record holds no time or no curve."""

    tokens_per_second: float | None
    """Real positions (text and visual) a second of wall time, data time included."""
    learned_per_second: float | None
    """Supervised ones: learned tokens, or pairs."""
    visual_per_second: float | None
    images_per_second: float | None
    fill: float | None
    """Share of the rows' positions that were real."""
    data_wait: float | None
    """Share of the wall time that training waited for data."""


def stage_rates(stage: StageRun) -> Rates:
    """Means over a stage."""
    record, steps = stage.record, stage.steps
    waited = record.data_seconds if record.data_seconds is not None else steps[-1].data_seconds if steps else None
    real, positions = 0.0, 0.0
    before = 0
    for step in steps:
        # Each line's fill covers the positions since the line before: weigh it by all positions of those rows.
        if step.fill > 0:
            real += step.tokens - before
            positions += (step.tokens - before) / step.fill
        before = step.tokens
    return Rates(
        tokens_per_second=_rate(record.tokens, record.seconds),
        learned_per_second=_rate(record.learned, record.seconds),
        visual_per_second=_rate(record.visual, record.seconds),
        images_per_second=_rate(record.images, record.seconds),
        fill=_rate(real, positions),
        data_wait=None if waited is None else _rate(waited, record.seconds),
    )


def _rate(number: float, whole: float) -> float | None:
    return number / whole if whole > 0 else None


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A named line of a chart."""

    name: str
    points: list[Point]


def loss_curve(steps: Iterable[StepRecord]) -> list[Point]:
    """Loss by steps done; a line without a finite step leaves no point."""
    return [Point(step.step, step.loss) for step in steps if step.loss is not None]


def source_curves(steps: Iterable[StepRecord]) -> list[Curve]:
    """Loss of each source's learned tokens; none in old records and under a loss that is no sum over tokens."""
    return _named([(step.step, step.source_losses) for step in steps])


def norm_curves(steps: Iterable[StepRecord]) -> list[Curve]:
    """Gradient norm of each component, before clipping; of all together in old records."""
    rows = list(steps)
    if not any(step.component_norms for step in rows):
        joint = [Point(step.step, step.gradient_norm) for step in rows if step.gradient_norm is not None]
        return [Curve("all", joint)] if joint else []
    return _named([(step.step, step.component_norms) for step in rows])


def speed_curves(steps: Iterable[StepRecord]) -> list[Curve]:
    """Tokens a second of each window: real ones, and of these the supervised and the visual ones.

    Old records hold no rates: the real tokens are then counted from one line to the next.
    """
    rows = list(steps)
    real = [Point(step.step, step.tokens_per_second) for step in rows if step.tokens_per_second is not None]
    if not real:
        old = _speeds_between(rows)
        return [Curve("real", old)] if old else []
    others = {
        "learned": [(step.step, step.learned_per_second) for step in rows],
        "visual": [(step.step, step.visual_per_second) for step in rows],
    }
    curves = [Curve("real", real)]
    for name, values in others.items():
        points = [Point(step, value) for step, value in values if value is not None]
        if any(point.y for point in points):
            curves.append(Curve(name, points))
    return curves


def mfu_curve(steps: Iterable[StepRecord]) -> list[Point]:
    """Useful MFU of each window in percent."""
    return [Point(step.step, 100 * step.mfu) for step in steps if step.mfu is not None]


def _named(rows: Iterable[tuple[int, dict[str, float]]]) -> list[Curve]:
    points: dict[str, list[Point]] = {}
    for step, values in rows:
        for name, value in values.items():
            points.setdefault(name, []).append(Point(step, value))
    return [Curve(name, points[name]) for name in points]


def _speeds_between(steps: Iterable[StepRecord]) -> list[Point]:
    points = []
    for before, after in pairwise(steps):
        seconds, tokens = after.seconds - before.seconds, after.tokens - before.tokens
        if seconds > 0 and tokens > 0:
            points.append(Point(after.step, tokens / seconds))
    return points


def thinned(points: list[Point], *, most: int = 240) -> list[Point]:
    """At most `most` points, each the mean of its neighbours: a long run must not make a heavy page.

    The first and the last point stay as they are.
    """
    if len(points) <= most:
        return points
    inner, groups = points[1:-1], most - 2
    kept = [points[0]]
    for group in range(groups):
        part = inner[group * len(inner) // groups : (group + 1) * len(inner) // groups]
        kept.append(Point(sum(point.x for point in part) / len(part), sum(point.y for point in part) / len(part)))
    return [*kept, points[-1]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a run. A stage from the store costs this run nothing; `reused` says what it once cost."""

    seconds: float
    cpu_seconds: float
    training_seconds: float
    training_cpu_seconds: float
    evaluation_seconds: float
    evaluation_cpu_seconds: float
    reused_seconds: float
    reused_cpu_seconds: float


def cost(run: RunRecord) -> Cost:
    """Sums over stages and evaluation; set-up (tokenizer, data checks) is left out."""
    own = [stage.record for stage in run.stages if not stage.record.reused]
    reused = [stage.record for stage in run.stages if stage.record.reused]
    training, training_cpu = sum(stage.seconds for stage in own), sum(stage.cpu_seconds for stage in own)
    evaluation = run.evaluation.seconds if run.evaluation else 0.0
    evaluation_cpu = run.evaluation.cpu_seconds if run.evaluation else 0.0
    return Cost(
        seconds=training + evaluation,
        cpu_seconds=training_cpu + evaluation_cpu,
        training_seconds=training,
        training_cpu_seconds=training_cpu,
        evaluation_seconds=evaluation,
        evaluation_cpu_seconds=evaluation_cpu,
        reused_seconds=sum(stage.seconds for stage in reused),
        reused_cpu_seconds=sum(stage.cpu_seconds for stage in reused),
    )
