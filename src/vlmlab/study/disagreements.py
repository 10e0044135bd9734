"""Items on which the arms of a study disagree most, with their images: what the difference looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vlmlab.data.item import Item
from vlmlab.evaluate.benchmarks.open import open_benchmarks
from vlmlab.evaluate.gallery import data_uri
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.read import read_items
from vlmlab.records.run import GalleryRecord, ItemRecord
from vlmlab.records.study import DisagreementRecord
from vlmlab.study.outcomes import state_of
from vlmlab.study.queue import Task
from vlmlab.study.study import BenchmarkMeasure

SHOWN = 12
"""Items of a page, over all measures."""


def disagreements(
    tasks: Sequence[Task], *, measures: Mapping[str, BenchmarkMeasure], recipe: Recipe, reference: str
) -> list[DisagreementRecord]:
    """The items whose mean score over replicates differs most between arms, as many of each benchmark.

    `recipe` is the reference's: its benchmarks have the images.
    """
    finished = [task for task in tasks if state_of(task.folder) == "finished"]
    asked = {(measure.benchmark, measure.shots) for measure in measures.values()}
    if not asked or len({task.arm for task in finished}) < 2:
        return []
    each = max(1, SHOWN // len(asked))
    found: list[DisagreementRecord] = []
    for benchmark, shots in sorted(asked):
        rows = {task: [row for row in read_items(task.folder, benchmark) if row.shots == shots] for task in finished}
        found += _of_one(rows, items=_items(recipe, benchmark), reference=reference, shown=each)
    return found


def _of_one(
    rows: Mapping[Task, Sequence[ItemRecord]], *, items: Mapping[str, Item], reference: str, shown: int
) -> list[DisagreementRecord]:
    scores: dict[str, dict[str, list[float]]] = {}
    answers: dict[str, dict[str, str]] = {}
    for task, records in rows.items():
        for row in records:
            if row.condition == "image":
                scores.setdefault(row.item, {}).setdefault(task.arm, []).append(row.score)
                answers.setdefault(row.item, {}).setdefault(task.arm, row.prediction)
    means = {item: {arm: sum(values) / len(values) for arm, values in arms.items()} for item, arms in scores.items()}

    def spread(item: str) -> float:
        return max(means[item].values()) - min(means[item].values())

    # Python's sort keeps the order of equals: the benchmark's own.
    chosen = [item for item in sorted(means, key=spread, reverse=True)[:shown] if spread(item) > 0]
    records = next(iter(rows.values()))
    blanks = {row.item: row.prediction for row in reversed(records) if row.condition == "blank"}
    firsts = {row.item: row for row in reversed(records) if row.condition == "image"}
    return [
        DisagreementRecord(
            picture=GalleryRecord(
                benchmark=firsts[item].benchmark,
                shots=firsts[item].shots,
                item=item,
                image=_picture(items.get(item)),
                question=firsts[item].question,
                answers=firsts[item].answers,
                prediction=answers[item].get(reference, firsts[item].prediction),
                blank_prediction=blanks.get(item),
                score=means[item].get(reference, firsts[item].score),
            ),
            answers=answers[item],
            scores=means[item],
        )
        for item in chosen
    ]


def _items(recipe: Recipe, benchmark: str) -> dict[str, Item]:
    """The benchmark's items by id, with pictures that are drawn or decoded when they are asked for."""
    spec = recipe.evaluation.benchmarks[benchmark]
    only = recipe.model_copy(
        update={"evaluation": recipe.evaluation.model_copy(update={"benchmarks": {benchmark: spec}})}
    )
    (opened,) = open_benchmarks(only, root=Path())
    return {item.id: item for item in opened.items}


def _picture(item: Item | None) -> str | None:
    return None if item is None or item.picture is None else data_uri(item.picture)
