"""Running tasks: order, retries, mistakes, divergence, stops, and what a second call does."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from tests.study.made_runs import MadePool, item_rows, name_of, out_of, recipe_of, task, write_diverged, write_run
from vlmlab.errors import Interrupted, StudyError
from vlmlab.files import read_json
from vlmlab.locks import exclusive
from vlmlab.study import execute
from vlmlab.study.execute import Execution, Place, Standing, alone
from vlmlab.study.job import End, Job
from vlmlab.study.outcomes import Outcomes
from vlmlab.study.queue import Task
from vlmlab.training.interruption import Wish


class Heard:
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.standings: list[Standing] = []
        self.words: list[str] = []

    def changed(self, standings: list[Standing]) -> None:  # ty: ignore
        self.standings = list(standings)

    def said(self, words: str) -> None:
        self.words.append(words)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "TICK", 0.001)
    monkeypatch.setattr(execute, "PAUSE", 0.001)


def finish(job: Job, looks: int) -> End | None:
    """A run that takes three looks."""
    if looks < 3:
        return None
    write_run(out_of(job), recipe_of(job), item_rows(*name_of(job).split("/")))  # ty: ignore
    return End(0, "exit status 0")


def run(
    tasks: list[Task], pool: MadePool, folder: Path, *, retries: int = 3, wish: Wish | None = None
) -> tuple[Heard, Outcomes]:
    heard, outcomes = Heard(), Outcomes(folder / "outcomes.jsonl")
    place = Place(folder=folder, machine=folder / "machine.json", threads=1, retries=retries)
    Execution(tasks, place=place, pool=pool, outcomes=outcomes, wish=Wish() if wish is None else wish).run(heard)  # ty: ignore
    return heard, outcomes


def test_all_run_within_the_pool_and_a_second_call_runs_nothing(tmp_path: Path) -> None:
    tasks = [task(arm, seed, folder=tmp_path, stages=(arm, str(seed), "x")) for arm in "ab" for seed in (0, 1)]
    tasks = [task(each.arm, each.seed, folder=tmp_path, stages=(f"{each.words}",) * 3) for each in tasks]
    pool = MadePool(finish)
    heard, outcomes = run(tasks, pool, tmp_path)
    assert pool.started == ["a/seed-0", "a/seed-1", "b/seed-0", "b/seed-1"]
    assert pool.most == 2
    assert {standing.state for standing in heard.standings} == {"finished"}
    assert [record.state for record in outcomes.of(tasks)] == ["finished"] * 4
    again = MadePool(finish)
    run(tasks, again, tmp_path)
    assert again.started == []
    more = [*tasks, task("c", 0, folder=tmp_path)]
    run(more, again, tmp_path)
    assert again.started == ["c/seed-0"]


def test_a_fault_of_the_machine_is_tried_again_a_bounded_number_of_times(tmp_path: Path) -> None:
    faults = {"a/seed-0": 2, "b/seed-0": 99}

    def act(job: Job, looks: int) -> End | None:
        name = name_of(job)
        if faults[name]:
            faults[name] -= 1
            return End(-9, "killed by SIGKILL")
        return finish(job, 3)

    tasks = [task(arm, 0, folder=tmp_path, stages=(arm, arm, arm)) for arm in "ab"]
    pool = MadePool(act)
    heard, outcomes = run(tasks, pool, tmp_path)
    first, second = outcomes.of(tasks)
    assert (first.state, first.attempts) == ("finished", 3)
    assert (second.state, second.attempts, second.reason) == ("failed", 4, "killed by SIGKILL")
    assert pool.started.count("b/seed-0") == 4
    assert any("given up after 4 attempts" in words for words in heard.words)
    # A new call tries what had failed again.
    faults["b/seed-0"] = 0
    _, outcomes = run(tasks, MadePool(act), tmp_path)
    assert [record.state for record in outcomes.of(tasks)] == ["finished", "finished"]


def test_a_mistake_stops_the_study_and_names_the_arm_with_the_last_words(tmp_path: Path) -> None:
    def act(job: Job, looks: int) -> End | None:
        if name_of(job).startswith("b"):
            Path(job.log).parent.mkdir(parents=True, exist_ok=True)
            Path(job.log).write_text("vlmlab: recipes/x.yaml: model.vison: no such field\n", encoding="utf-8")
            return End(2, "exit status 2")
        return None

    tasks = [task(arm, 0, folder=tmp_path, stages=(arm, arm, arm)) for arm in "ab"]
    pool = MadePool(act)
    with pytest.raises(StudyError, match=r"arm b at seed 0: the run was refused:\nvlmlab: recipes/x.yaml: model.vison"):
        run(tasks, pool, tmp_path)
    assert pool.started == ["a/seed-0", "b/seed-0"]


def test_divergence_is_an_outcome_and_never_tried_again(tmp_path: Path) -> None:
    def act(job: Job, looks: int) -> End | None:
        write_diverged(out_of(job))
        return End(2, "exit status 2")

    tasks = [task("a", 0, folder=tmp_path)]
    pool = MadePool(act)
    _, outcomes = run(tasks, pool, tmp_path)
    (record,) = outcomes.of(tasks)
    assert (record.state, record.attempts) == ("diverged", 1)
    assert record.reason == "stages.join: 4 steps had a loss that is not finite"
    run(tasks, pool, tmp_path)
    assert pool.started == ["a/seed-0"]


def test_asked_to_stop_it_lets_the_runs_save_and_the_same_tasks_continue(tmp_path: Path) -> None:
    wish = Wish()

    def act(job: Job, looks: int) -> End | None:
        wish.signal = signal.SIGTERM
        return None

    tasks = [task(arm, 0, folder=tmp_path, stages=(arm, arm, arm)) for arm in "abc"]
    with pytest.raises(Interrupted, match="stopped by SIGTERM in the study; saved"):
        run(tasks, MadePool(act), tmp_path, wish=wish)
    pool = MadePool(finish)
    run(tasks, pool, tmp_path)
    assert pool.started == ["a/seed-0", "b/seed-0", "c/seed-0"]


def test_a_run_that_ended_before_its_line_was_written_is_not_run_again(tmp_path: Path) -> None:
    one = task("a", 0, folder=tmp_path)
    write_run(one.folder, one.recipe, item_rows("a", 0))
    pool = MadePool(finish)
    _, outcomes = run([one], pool, tmp_path)
    assert pool.started == []
    assert [record.state for record in outcomes.of([one])] == ["finished"]


def test_a_directory_that_another_process_writes_is_waited_for(tmp_path: Path) -> None:
    """What a killed study left behind saves and leaves by itself."""
    one, other = (task(arm, 0, folder=tmp_path, stages=(arm, arm, arm)) for arm in "ab")
    held = contextlib.ExitStack()
    held.enter_context(exclusive(one.folder / ".lock", where="test"))

    def act(job: Job, looks: int) -> End | None:
        held.close()
        return finish(job, 3)

    pool = MadePool(act)
    run([one, other], pool, tmp_path)
    assert pool.started == ["b/seed-0", "a/seed-0"]


def test_two_processes_never_run_one_study(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(StudyError, match="another process runs this study now"), alone(tmp_path):
        pass


def test_the_recipe_of_each_run_is_a_file(tmp_path: Path) -> None:
    one = task("a", 3, folder=tmp_path)
    run([one], MadePool(finish), tmp_path)
    assert read_json(tmp_path / "recipes" / f"{one.recipe.fingerprint()}.json") == one.recipe.plain()
