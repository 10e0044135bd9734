"""The runs of a study while they go on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.study.made_runs import task
from vlmlab.cli import study_live
from vlmlab.cli.study_live import LiveTable, running_lines, standings_table
from vlmlab.recipe.machine import Machine
from vlmlab.study.execute import Standing
from vlmlab.study.forecast import Forecast

FOLDER = Path("study")


def standings() -> list[Standing]:
    first, second = (task("wide", seed, folder=FOLDER) for seed in (0, 1))
    third, trial = task("narrow", 1, folder=FOLDER), task("wide", 7, folder=FOLDER, trial=1e-3)
    return [
        Standing(first, state="finished", cpu_seconds=30),
        Standing(second, state="running", stage="join", done=0.45, cpu_seconds=12, attempts=2),
        Standing(third, state="diverged"),
        Standing(trial),
    ]


def text(width: int = 80) -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, width=width), output


def test_arms_by_seeds() -> None:
    console, output = text()
    console.print(standings_table(standings()))
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert rows == [["arm", "0", "1", "7"], ["wide", "✓", "45%"], ["narrow", "✗"], ["wide", "at", "0.001", "·"]]
    (line,) = running_lines(standings())
    assert line.plain == "  wide at seed 1: join 45 % · 12 s CPU, attempt 2"


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_live, "EVERY", 0.0)
    console, output = text()
    with LiveTable(console) as live:
        live.changed(standings())
        live.said("wide at seed 0: finished")
    first, second = output.getvalue().splitlines()
    assert first == "2 of 4 runs done · 1 running · 42 s CPU"
    assert second.endswith(" wide at seed 0: finished")


def test_the_forecast_counts_shared_stages_once() -> None:
    now = [0.0]
    tasks = [task(arm, 0, folder=FOLDER, stages=("vision", "language", arm)) for arm in "ab"]
    forecast = Forecast(tasks, machine=Machine(), clock=lambda: now[0])
    assert forecast.seconds_left([Standing(each) for each in tasks]) is None
    now[0] = 60.0
    half = [Standing(tasks[0], state="finished"), Standing(tasks[1])]
    left = forecast.seconds_left(half)
    assert left is not None
    # The shared stages are done: the second run has less before it than the first had.
    assert 0 < left < 60.0
    assert forecast.seconds_left([Standing(each, state="finished") for each in tasks]) == pytest.approx(0.0)
    running = [Standing(tasks[0], state="running", stage="evaluation", done=0.5), Standing(tasks[1])]
    later = forecast.seconds_left(running)
    assert later is not None
    assert later > left
