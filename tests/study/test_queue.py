"""Runs that share stages: one of them trains each, none waits for it with a core in its hands."""

from __future__ import annotations

from pathlib import Path

from tests.study.made_runs import task
from vlmlab.study.queue import next_task

FOLDER = Path("study")


def test_the_run_that_most_others_wait_for_starts_first() -> None:
    lonely = task("alone", 0, folder=FOLDER, stages=("x", "y", "z"))
    shared = [task(arm, 0, folder=FOLDER, stages=("vision", "language", arm)) for arm in ("a", "b", "c")]
    assert next_task([lonely, *shared], training=set(), finished=set()) is shared[0]


def test_no_run_starts_whose_stage_another_trains_and_replicates_run_side_by_side() -> None:
    first, second = (task(arm, 0, folder=FOLDER, stages=("vision-0", arm)) for arm in ("a", "b"))
    other = task("b", 1, folder=FOLDER, stages=("vision-1", "b-1"))
    waiting = [second, other]
    assert next_task(waiting, training=set(first.stages), finished=set()) is other
    assert next_task([second], training=set(first.stages), finished=set()) is None
    # The first has the shared stage behind it.
    assert next_task([second], training={"a"}, finished={"vision-0"}) is second


def test_equals_start_in_the_order_of_the_design() -> None:
    tasks = [task(arm, 0, folder=FOLDER, stages=(arm,)) for arm in ("b", "a", "c")]
    assert next_task(tasks, training=set(), finished=set()) is tasks[0]
    assert next_task([], training=set(), finished=set()) is None
