"""What a run says: one sentence, one JSON object, one table for the terminal."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from vlmlab.records.read import RunRecord, StageRun, read_run
from vlmlab.records.run import EvaluationRecord, ScoreRecord
from vlmlab.report import numbers
from vlmlab.report.rates import cost, stage_rates

METRICS = {
    "vqa_accuracy": "VQA accuracy",
    "cider": "CIDEr",
    "exact_match": "exact match",
    "multiple_choice": "multiple choice",
}
"""Metrics of the recipe, in the words of the field."""


def metric_words(metric: str) -> str:
    """The metric's name for people; one that is not known stays as it is."""
    return METRICS.get(metric, metric.replace("_", " "))


def shots_words(shots: int) -> str:
    """`0 shots`, `1 shot`, `4 shots`."""
    return f"{shots} shot" if shots == 1 else f"{shots} shots"


def report_json(run: Path) -> dict[str, Any]:
    """The run as one JSON object: {name, fingerprint, outcome, scores, shot_gains, stages, cost}.

    A row of `scores` is {benchmark, metric, shots, items, score, interval, blank, blank_interval, gain, gain_interval};
    blank and gain are null where a benchmark shows no image or no control was asked.
    """
    record = read_run(run)
    evaluation = record.evaluation
    return {
        "name": record.name(),
        "fingerprint": record.fingerprint(),
        "complete": record.manifest is not None,
        "outcome": outcome(record),
        "scores": [] if evaluation is None else [_score_row(score) for score in evaluation.scores],
        "shot_gains": [] if evaluation is None else evaluation.shot_gains,
        "stages": [_stage_row(stage) for stage in record.stages],
        "cost": asdict(cost(record)),
    }


def _score_row(score: ScoreRecord) -> dict[str, Any]:
    return score.model_dump(mode="json", exclude={"log_likelihood"})


def _stage_row(stage: StageRun) -> dict[str, Any]:
    return stage.record.model_dump(mode="json") | asdict(stage_rates(stage))


def outcome(run: RunRecord) -> str:
    """The first sentence of the report.

    "At 4 shots the picture helps on 5 of 5 image benchmarks: ..." counts gains over the blank-image control whose
    interval lies above zero, at the middle one of the numbers of shots that every image benchmark was asked with.
    """
    if run.evaluation is None or not run.evaluation.scores:
        return f"It was trained through {_counted(len(run.stages), 'stage')}; its recipe asks no benchmark."
    scores = run.evaluation.scores
    controlled = [score for score in scores if score.gain_interval is not None]
    if not controlled:
        names = {score.benchmark for score in scores}
        return f"It was scored on {_counted(len(names), 'benchmark')}, without a blank-image control."
    shots = headline_shots(run.evaluation)
    rows = [score for score in controlled if score.shots == shots]
    better = sum(1 for score in rows if score.gain_interval is not None and score.gain_interval[0] > 0)
    asked = _counted(len(rows), "image benchmark")
    sentence = f"At {shots_words(shots)} it beats its blank-image control on {better} of {asked}"
    gains = _shot_gains(run.evaluation, shots)
    if shots > 0 and gains:
        helped = sum(1 for low in gains if low > 0)
        sentence += f", and the demonstrations help over 0 shots on {helped} of {_counted(len(gains), 'benchmark')}"
    return f"{sentence}."


def headline_shots(evaluation: EvaluationRecord) -> int:
    """The middle one of the numbers of shots that all benchmarks with a control share: 4 of 0, 4, 8."""
    rows = [score for score in evaluation.scores if score.gain is not None] or evaluation.scores
    shots = [{score.shots for score in rows if score.benchmark == name} for name in {score.benchmark for score in rows}]
    shared = sorted(set.intersection(*shots)) or sorted(set.union(*shots))
    return shared[len(shared) // 2]


def _shot_gains(evaluation: EvaluationRecord, shots: int) -> list[float]:
    """Lower bounds of the gains of `shots` over 0 shots."""
    return [row["interval"][0] for row in evaluation.shot_gains if row["shots"] == shots and row["over"] == 0]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def score_table(run: Path) -> Table:
    """Scores for a terminal of 80 columns, a row a benchmark and number of shots; the headline's shots are in bold."""
    record = read_run(run)
    table = Table(
        title=f"{record.name()}: scores out of 100",
        caption=outcome(record),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        caption_style="",
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    confidence = numbers.share(record.evaluation.confidence) if record.evaluation else ""
    table.add_column("benchmark", no_wrap=True)
    for title, style in (
        ("shots", ""),
        ("score", ""),
        (confidence, "dim"),
        ("blank", ""),
        ("gain", ""),
        (confidence, "dim"),
    ):
        table.add_column(title, justify="right", no_wrap=True, style=style)
    if record.evaluation is None:
        return table
    shown = headline_shots(record.evaluation)
    for _, group in groupby(record.evaluation.scores, key=lambda score: score.benchmark):
        rows = list(group)
        for name, score in zip(_names(rows), rows, strict=True):
            table.add_row(
                name,
                str(score.shots),
                numbers.score(score.score),
                numbers.interval(score.interval),
                "" if score.blank is None else numbers.score(score.blank),
                "" if score.gain is None else numbers.gain(score.gain),
                "" if score.gain_interval is None else numbers.interval(score.gain_interval, signed=True),
                style="bold" if score.shots == shown and len(rows) > 1 else "",
            )
        table.add_section()
    return table


def _names(rows: list[ScoreRecord]) -> list[Text]:
    """The first column of a benchmark's rows: its name, and its metric below."""
    name, metric = Text(rows[0].benchmark), Text(metric_words(rows[0].metric), style="dim")
    if len(rows) == 1:
        return [Text("\n").join([name, metric])]
    return [name, metric, *(Text("") for _ in rows[2:])]
