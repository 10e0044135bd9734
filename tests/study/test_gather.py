"""The gathered table: what runs scored, by measure, arm, replicate and item."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.study.made_runs import ITEMS, item_rows, task, write_diverged, write_run
from vlmlab.errors import RunError, StudyError
from vlmlab.files import write_json
from vlmlab.records.run import ItemRecord
from vlmlab.study.gather import Gathered, gather
from vlmlab.study.queue import Task
from vlmlab.study.study import BenchmarkMeasure, MeanMeasure, Measure

MEASURES: dict[str, Measure] = {
    "general": BenchmarkMeasure(benchmark="general", shots=1),
    "gain": BenchmarkMeasure(benchmark="general", shots=1, value="gain"),
    "likelihood": BenchmarkMeasure(benchmark="general", shots=1, value="log_likelihood"),
    "reading": BenchmarkMeasure(benchmark="reading", shots=1),
    "both": MeanMeasure(mean=["general", "reading"]),
}


def rows(one: Task, **changes: int) -> list[ItemRecord]:
    return item_rows(one.arm, one.seed, **changes) + item_rows(one.arm, one.seed, benchmark="reading", items=4)


def study(folder: Path, *, seeds: tuple[int, ...] = (0, 1)) -> list[Task]:
    tasks = [task(arm, seed, folder=folder) for arm in ("a", "b") for seed in seeds]
    for one in tasks:
        write_run(one.folder, one.recipe, rows(one))
    return tasks


def gathered(tasks: list[Task], **changes: Measure) -> Gathered:
    return gather(tasks, measures=MEASURES | changes, reference="a")


def test_scores_are_those_of_the_items(tmp_path: Path) -> None:
    table = gathered(study(tmp_path))
    general = table.tables["general"]
    expected = [100 * row.score for row in item_rows("b", 1) if row.condition == "image"]
    assert general.scores["b"][1].tolist() == expected
    assert general.items[0] == "general/item-0#0"
    assert general.clusters[:3] == ("scene-0", "scene-0", "scene-1")
    blank = [100 * row.score for row in item_rows("b", 1) if row.condition == "blank"]
    assert table.tables["gain"].scores["b"][1].tolist() == [s - b for s, b in zip(expected, blank, strict=True)]
    assert table.tables["likelihood"].unit == "nats"
    assert (table.tables["likelihood"].scores["a"][0] <= 0).all()


def test_a_mean_gives_each_benchmark_the_same_weight(tmp_path: Path) -> None:
    tables = gathered(study(tmp_path)).tables
    both = tables["both"]
    assert len(both.items) == ITEMS + 4
    assert both.mean("a", 0) == pytest.approx((tables["general"].mean("a", 0) + tables["reading"].mean("a", 0)) / 2)
    assert both.weights.sum() == pytest.approx(1.0)
    mixed = MeanMeasure(mean=["general", "likelihood"])
    with pytest.raises(StudyError, match=r"measures.mixed.mean: measures in nats and points have no mean"):
        gathered(study(tmp_path), mixed=mixed)


def test_divergence_scores_the_blank_control_of_the_reference_in_the_same_replicate(tmp_path: Path) -> None:
    tasks = study(tmp_path)
    broken = task("c", 1, folder=tmp_path)
    write_diverged(broken.folder)
    tables = gathered([*tasks, broken]).tables
    blank = np.array([100 * row.score for row in item_rows("a", 1) if row.condition == "blank"])
    assert (tables["general"].scores["c"][1] == blank).all()
    assert (tables["gain"].scores["c"][1] == 0).all()
    assert tables["general"].diverged == {"c": {1}}
    assert tables["both"].diverged == {"c": {1}}
    # Where the reference diverged too, another arm's control of the same replicate counts.
    lost = task("a", 2, folder=tmp_path)
    write_diverged(lost.folder)
    fine = task("b", 2, folder=tmp_path)
    write_run(fine.folder, fine.recipe, rows(fine))
    tables = gathered([*tasks, lost, fine]).tables
    blank = np.array([100 * row.score for row in item_rows("b", 2) if row.condition == "blank"])
    assert (tables["general"].scores["a"][2] == blank).all()


def test_divergence_on_items_without_an_image_scores_a_guess(tmp_path: Path) -> None:
    fine, broken = task("a", 0, folder=tmp_path), task("b", 0, folder=tmp_path)
    its = [row for row in item_rows("a", 0) if row.condition == "image"]
    write_json(
        fine.folder / "evaluation" / "choices.json",
        {"general": [{"item": row.item, "candidates": [1, 2, 3, 4]} for row in its]},
    )
    write_run(fine.folder, fine.recipe, its)
    write_diverged(broken.folder)
    tables = gather([fine, broken], measures={"general": MEASURES["general"]}, reference="a").tables
    assert tables["general"].scores["b"][0].tolist() == [25.0] * ITEMS
    assert tables["general"].blank_mean("a", 0) is None


def test_the_table_as_csv(tmp_path: Path) -> None:
    tasks = study(tmp_path)
    missing = task("c", 0, folder=tmp_path)
    one, again = gathered([*tasks, missing]), gathered([*tasks, missing])
    one.write(tmp_path / "table.csv")
    text = (tmp_path / "table.csv").read_text()
    assert text == again.csv()
    lines = text.splitlines()
    assert lines[0] == "measure,unit,arm,seed,state,score,blank,items,scores_hash"
    assert len(lines) == 1 + len(MEASURES) * 5
    assert lines[5] == "general,points,c,0,missing,,,,"


def test_every_run_must_have_been_asked_the_same(tmp_path: Path) -> None:
    tasks = study(tmp_path)
    other = task("c", 0, folder=tmp_path)
    write_run(other.folder, other.recipe, rows(other, items=5))
    with pytest.raises(StudyError, match=r"measures.general: the items of c at seed 0 are not .*such as item-5"):
        gathered([*tasks, other])
    lacking = task("d", 0, folder=tmp_path)
    write_run(lacking.folder, lacking.recipe, item_rows("d", 0))
    with pytest.raises(StudyError, match=r"measures.reading: arm d at seed 0 has no benchmark 'reading'"):
        gathered([*tasks, lacking])
    with pytest.raises(StudyError, match=r"was not asked general at 8 shots; it was at 1"):
        gathered(tasks, far=BenchmarkMeasure(benchmark="general", shots=8))


def test_items_that_were_changed_after_the_run_are_refused(tmp_path: Path) -> None:
    tasks = study(tmp_path)
    path = tasks[0].folder / "evaluation" / "general.jsonl"
    path.write_text(path.read_text().replace('"score": 0.0', '"score": 1.0'))
    with pytest.raises(RunError, match="SHA-256 differs"):
        gathered(tasks)
