"""A study from its first run to its record, with made runs: tuning, the common value, adding, and not running."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.micro import micro_recipe
from tests.study.made_runs import MadePool, item_rows, out_of, recipe_of, write_run
from tests.study.test_conclude import NOTHING, study
from tests.study.test_execute import Heard
from vlmlab.files import read_json
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.study import ArmRecord, StudyRecord
from vlmlab.study import execute
from vlmlab.study.blueprint import Blueprint
from vlmlab.study.conduct import TUNING_SEED, Conduct, conduct_study
from vlmlab.study.job import End, Job
from vlmlab.study.tune import best_value, widened
from vlmlab.training.interruption import Wish

RATE = "stages.join.optimizer.learning_rate"
WIDTHS = {"good": 24, "bad": 16, "third": 20}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "TICK", 0.001)


def recipe(arm: str, seed: int, value: float | None, validation: bool) -> Recipe:
    return micro_recipe(
        name=arm, seed=seed, model__connector={"kind": "mlp", "hidden": WIDTHS[arm]},
        stages__join__optimizer={"learning_rate": 1e-3 if value is None else value, "schedule": {"warmup": 2}},
        evaluation__resamples=101 if validation else 100,
    )  # fmt: skip


def train(job: Job, looks: int) -> End | None:
    """The good arm is best at 4e-3, the other at 1e-3."""
    its = recipe_of(job)
    rate = its.stages["join"].optimizer.learning_rate
    best = 4e-3 if its.name == "good" else 1e-3
    level = (0.7 if its.name == "good" else 0.3) - (0.0 if rate == best else 0.2)
    rows = item_rows(its.name, its.seed, level=level, items=60)
    write_run(out_of(job), its, rows, identities=tuple(f"{name}-{its.fingerprint()}" for name in its.stages))
    return End(0, "exit status 0")


def conduct(folder: Path, pool: MadePool | None, *, seeds: int = 3, arms: int = 2, **changes: Any) -> StudyRecord:
    records = [
        ArmRecord(
            name=name, levels={}, differences=[], solved={}, planned=NOTHING, spent=None, replicates=[], diverged=[],
            missing=[],
        )
        for name in list(WIDTHS)[:arms]
    ]  # fmt: skip
    asked = study(**changes)
    plan = Blueprint(asked, records, "updates", ["join"], recipe, 1e-3 if asked.tuning else None)
    by = Conduct(
        folder=folder, machine=Machine(), pool=pool, retries=0, wish=Wish(), listening=lambda tasks: Heard()  # ty: ignore
    )  # fmt: skip
    return conduct_study(plan, seeds=range(seeds), by=by, rerun=["vlmlab study run made"])


def test_more_replicates_and_more_arms_run_alone(tmp_path: Path) -> None:
    pool = MadePool(train)
    first = conduct(tmp_path, pool)
    assert len(pool.started) == 6
    table = (tmp_path / "table.csv").read_text()
    conduct(tmp_path, pool)
    assert len(pool.started) == 6
    assert (tmp_path / "table.csv").read_text() == table
    conduct(tmp_path, pool, seeds=4)
    assert len(pool.started) == 8
    conduct(tmp_path, pool, seeds=4, arms=3)
    assert len(pool.started) == 12
    assert first.seeds == [0, 1, 2]
    assert len(first.outcomes) == 6


def test_another_recipe_under_the_same_name_is_never_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = MadePool(train)
    conduct(tmp_path, pool)
    monkeypatch.setitem(WIDTHS, "bad", 18)
    conduct(tmp_path, pool)
    assert len(pool.started) == 9
    assert len(list((tmp_path / "arms" / "bad").iterdir())) == 6


def test_what_is_there_is_concluded_without_running(tmp_path: Path) -> None:
    conduct(tmp_path, MadePool(train), seeds=2)
    record = conduct(tmp_path, None, seeds=3)
    assert record.arms[0].missing == [2]
    assert not record.complete


def test_each_arm_is_tuned_on_the_same_grid_and_judged_beside_the_common_value(tmp_path: Path) -> None:
    pool = MadePool(train)
    tuning = {"path": RATE, "grid": [1e-3, 2e-3], "measure": "general", "replicates": 2, "widen": 2}
    record = conduct(tmp_path, pool, tuning=tuning)
    # 1e-3 is best at the lower edge for one arm, 2e-3 (then 4e-3) looks best or equal for the other.
    values = sorted({path.name for path in (tmp_path / "tuning").glob("*/*")}, key=float)
    assert {"0.001", "0.002"} < set(values)
    assert [sorted(path.name for path in (tmp_path / "tuning" / arm).iterdir()) for arm in ("good", "bad")] == [
        sorted(values)
    ] * 2, "the same trials for both"
    assert record.arms[1].solved == {RATE: 1e-3}
    assert record.tuned is not None
    assert record.tuned.startswith(f"{RATE} by general on validation scenes: good ")
    assert record.claims[0].common is not None
    assert (tmp_path / "table_common.csv").exists()
    trials = [outcome for outcome in record.outcomes if outcome.purpose == "tuning"]
    assert {outcome.seed for outcome in trials} == {TUNING_SEED, TUNING_SEED + 1}
    assert {outcome.trial for outcome in trials} == {float(value) for value in values}
    recipes = [read_json(path) for path in (tmp_path / "recipes").iterdir()]
    assert all((one["evaluation"]["resamples"] == 101) == (one["seed"] >= TUNING_SEED) for one in recipes)


def test_choosing_and_widening() -> None:
    assert best_value({1e-3: 1.0, 2e-3: 1.0, 4e-3: 0.5}) == 1e-3
    assert widened([1e-3, 2e-3], [2e-3, 2e-3]) == [1e-3, 2e-3, 4e-3]
    assert widened([1e-3, 3e-3], [1e-3]) == [pytest.approx(3.333e-4), 1e-3, 3e-3]
    assert widened([1e-3, 2e-3, 4e-3], [2e-3]) == [1e-3, 2e-3, 4e-3]
    assert json.dumps(widened([1.0, 2.0], [1.0, 2.0])) == "[0.5, 1.0, 2.0, 4.0]"
