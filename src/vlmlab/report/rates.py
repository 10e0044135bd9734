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
    fill: float | None
    """Share of the rows' positions that were real."""
    data_wait: float | None
    """Share of the wall time that training waited for data."""


def stage_rates(stage: StageRun) -> Rates:
    """Means over a stage."""
    record, steps = stage.record, stage.steps
    speed = record.tokens / record.seconds if record.seconds > 0 else None
    if not steps:
        return Rates(speed, None, None)
    last = steps[-1]
    real, positions = 0.0, 0.0
    before = 0
    for step in steps:
        # Each line's fill covers the positions since the line before: weigh it by all positions of those rows.
        if step.fill > 0:
            real += step.tokens - before
            positions += (step.tokens - before) / step.fill
        before = step.tokens
    return Rates(
        speed,
        real / positions if positions > 0 else None,
        last.data_seconds / last.seconds if last.seconds > 0 else None,
    )


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve."""

    x: float
    y: float


def loss_curve(steps: Iterable[StepRecord]) -> list[Point]:
    """Loss by steps done."""
    return [Point(step.step, step.loss) for step in steps]


def speed_curve(steps: Iterable[StepRecord]) -> list[Point]:
    """Real tokens a second since the line before, by steps done. A pause between two processes leaves no point."""
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
