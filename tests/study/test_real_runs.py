"""Real runs through the local pool: shared stages are trained once, and a damaged one again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.micro import micro_machine, micro_recipe
from vlmlab.files import read_json, write_json
from vlmlab.study import execute
from vlmlab.study.execute import Execution, Place, Standing
from vlmlab.study.outcomes import Outcomes
from vlmlab.study.pool import LocalPool
from vlmlab.study.queue import Task
from vlmlab.training.interruption import Wish


class Quiet:
    """A listener that keeps the stages that it was told of."""

    def __init__(self) -> None:
        self.stages: set[str] = set()

    def changed(self, standings: list[Standing]) -> None:  # ty: ignore
        self.stages |= {standing.stage for standing in standings if standing.stage}

    def said(self, words: str) -> None:
        return


def arms(folder: Path, hidden: dict[str, int]) -> list[Task]:
    """Micro recipes whose connectors differ in width: the first two stages are shared."""
    tasks = []
    for name, width in hidden.items():
        recipe = micro_recipe(name=name, model__connector={"kind": "mlp", "hidden": width})
        stages = ("vision", "language", f"join {width}")
        tasks.append(Task(name, 0, folder / "arms" / name / "seed-0", recipe, stages))
    return tasks


def test_shared_stages_are_trained_once_and_a_damaged_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    machine = micro_machine(tmp_path)
    write_json(tmp_path / "machine.json", machine.plain())

    def run(tasks: list[Task]) -> Quiet:
        quiet, place = Quiet(), Place(folder=tmp_path, machine=tmp_path / "machine.json", threads=1, retries=0)
        outcomes = Outcomes(tmp_path / "outcomes.jsonl")
        Execution(tasks, place=place, pool=LocalPool(machine, jobs=2), outcomes=outcomes, wish=Wish()).run(quiet)  # ty: ignore
        assert [record.state for record in outcomes.of(tasks)] == ["finished"] * len(tasks)
        return quiet

    def trained() -> Counter[str]:
        records = [read_json(path) for path in tmp_path.glob("arms/*/*/stages/*/summary.json")]
        return Counter(record["identity"] for record in records if not record["reused"])

    quiet = run(arms(tmp_path, {"a": 24, "b": 20}))
    assert "join" in quiet.stages
    assert sorted(trained().values()) == [1, 1, 1, 1]
    assert not list(tmp_path.glob("arms/*/*/progress.json"))
    # One byte of a shared stage changes: the next run finds it by its hash and trains it again.
    (vision,) = [path for path in (tmp_path / "store").glob("*/vision.safetensors") if _objective(path) == "vision"]
    damaged = vision.read_bytes()
    vision.write_bytes(damaged[:-1] + bytes([damaged[-1] ^ 1]))
    run(arms(tmp_path, {"a": 24, "b": 20, "c": 16}))
    assert sorted(trained().values()) == [1, 1, 1, 1, 2]
    assert vision.read_bytes() == damaged, "to the last bit what it was"


def _objective(path: Path) -> str:
    return json.loads((path.parent / "stage.json").read_text(encoding="utf-8"))["name"]


def test_where_a_run_stands_is_read_without_harm_from_a_torn_file(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"stage": "jo', encoding="utf-8")
    assert execute.progress(tmp_path) is None
