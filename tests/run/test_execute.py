"""A run from end to end: stages, store, continuation, one writer."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.micro import loaded, micro_machine, micro_recipe
from vlmlab.errors import RunError
from vlmlab.files import read_json, read_jsonl
from vlmlab.records.run import StageRecord, StepRecord
from vlmlab.run.execute import Silent, run_recipe
from vlmlab.run.identity import initial_identities, used_components
from vlmlab.run.saved import load_run


def losses(run: Path, stage: str = "join") -> list[float]:
    return [row["loss"] for row in read_jsonl(run / "stages" / stage / "metrics.jsonl")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    return run_recipe(loaded(micro_recipe()), machine=micro_machine(folder))


class Interrupting(Silent):
    """Stops the run as Ctrl-C does, after some steps of a stage."""

    def __init__(self, stage: str, step: int) -> None:
        object.__setattr__(self, "at", (stage, step))

    def step(self, name: str, row: StepRecord, done: float) -> None:
        if (name, row.step) == self.at:  # ty: ignore[unresolved-attribute]
            raise KeyboardInterrupt


class Counting(Silent):
    """Counts the stages that are really trained."""

    def __init__(self) -> None:
        object.__setattr__(self, "trained", [])

    def stage_started(self, name: str, stage: object, ledger: object) -> None:
        self.trained.append(name)  # ty: ignore[unresolved-attribute]


def test_the_record_is_complete(finished: Path) -> None:
    manifest = read_json(finished / "manifest.json")
    assert {
        "recipe.yaml",
        "provenance.json",
        "plan.json",
        "evaluation/summary.json",
        "model/language.safetensors",
    } <= manifest["files"].keys()
    assert (finished / "report.html").exists()
    record = StageRecord.model_validate(read_json(finished / "stages" / "join" / "summary.json"))
    assert record.steps == 6
    assert not record.reused
    rates = {row.component: row.learning_rate for row in record.ledger}
    assert rates == {"vision": 0.0, "connector": 2e-3, "language": 1e-3}


def test_two_runs_are_identical(finished: Path, tmp_path: Path) -> None:
    again = run_recipe(loaded(micro_recipe()), machine=micro_machine(tmp_path))
    for stage in ("vision", "language", "join"):
        assert losses(again, stage) == losses(finished, stage)
    assert (again / "evaluation" / "general.jsonl").read_text() == (
        finished / "evaluation" / "general.jsonl"
    ).read_text()


def test_workers_change_nothing(finished: Path, tmp_path: Path) -> None:
    recipe = micro_recipe(evaluation__benchmarks={})
    again = run_recipe(loaded(recipe), machine=micro_machine(tmp_path, workers=2))
    for stage in ("vision", "language", "join"):
        assert losses(again, stage) == losses(finished, stage)


@pytest.mark.parametrize("stage", ["language", "join"])
def test_an_interrupted_run_continues_to_the_same_end(finished: Path, tmp_path: Path, stage: str) -> None:
    machine = micro_machine(tmp_path, checkpoint_seconds=1e-9)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(loaded(micro_recipe()), machine=machine, watcher=Interrupting(stage, 3))
    run = run_recipe(loaded(micro_recipe()), machine=machine)
    for name in ("language", "join"):
        assert losses(run, name) == losses(finished, name)
    assert (run / "model" / "language.safetensors").read_bytes() == (
        finished / "model" / "language.safetensors"
    ).read_bytes()


def test_finished_stages_are_taken_from_the_store(tmp_path: Path) -> None:
    machine = micro_machine(tmp_path)
    recipe = micro_recipe(evaluation__benchmarks={})
    run_recipe(loaded(recipe), machine=machine)
    other = micro_recipe(evaluation__benchmarks={}, name="other", model__connector={"kind": "linear"})
    counting = Counting()
    run = run_recipe(loaded(other), machine=machine, watcher=counting)
    assert counting.trained == ["join"]  # ty: ignore[unresolved-attribute]
    assert read_json(run / "stages" / "vision" / "summary.json")["reused"]


def test_a_damaged_stage_is_trained_again(tmp_path: Path) -> None:
    machine = micro_machine(tmp_path)
    recipe = micro_recipe(evaluation__benchmarks={})
    first = run_recipe(loaded(recipe), machine=machine)
    identity = read_json(first / "stages" / "language" / "summary.json")["identity"]
    weights = Path(machine.store) / identity / "language.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    counting = Counting()
    second = run_recipe(loaded(recipe), machine=machine, out=tmp_path / "second", watcher=counting)
    assert counting.trained == ["language"]  # ty: ignore[unresolved-attribute]
    assert losses(second) == losses(first)


def test_another_recipe_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"another recipe lives here \(seed: 0 there, 1 now\)"):
        run_recipe(loaded(micro_recipe(seed=1)), machine=micro_machine(tmp_path), out=finished)


def test_one_writer(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with (out / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is writing here"):
            run_recipe(loaded(micro_recipe()), machine=micro_machine(tmp_path), out=out)


def test_a_saved_run_answers_as_it_did(finished: Path, tmp_path: Path) -> None:
    from vlmlab.evaluate.run import evaluate

    machine = micro_machine(tmp_path)
    saved = load_run(finished, machine=machine)
    evaluate(
        saved.model,
        recipe=saved.recipe,
        tokenizer=saved.tokenizer,
        machine=machine,
        folder=tmp_path,
        root=Path(),
        progress=None,
    )
    assert (tmp_path / "general.jsonl").read_text() == (finished / "evaluation" / "general.jsonl").read_text()


def test_stages_depend_on_what_they_use() -> None:
    recipe = micro_recipe()
    assert used_components(recipe, "vision") == ("vision",)
    assert used_components(recipe, "language") == ("language",)
    assert used_components(recipe, "join") == ("vision", "connector", "language")
    other = micro_recipe(model__connector={"kind": "linear"})
    changed = {
        name
        for name in ("vision", "connector", "language")
        if initial_identities(recipe)[name] != initial_identities(other)[name]
    }
    assert changed == {"connector"}
