"""The runs of a study while they go on: a table that redraws itself on a terminal, else a line for each event."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vlmlab.study.execute import Standing
from vlmlab.study.forecast import Forecast
from vlmlab.wording import seconds_words

MARKS = {"waiting": ("·", "dim"), "finished": ("✓", "green"), "diverged": ("✗", "red"), "failed": ("!", "bold red")}
EVERY = 60.0
"""Seconds between two lines on how far the study is, where there is no terminal."""


class LiveTable:
    """Draws the standings. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._forecast: Forecast | None = None
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._spent: dict[object, float] = {}
        self._told = time.monotonic()

    def __enter__(self) -> LiveTable:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def follow(self, forecast: Forecast) -> LiveTable:
        """Draw another set of runs from now on."""
        self._forecast = forecast
        return self

    def changed(self, standings: Sequence[Standing]) -> None:
        for standing in standings:
            self._spent[standing.task] = max(self._spent.get(standing.task, 0.0), standing.cpu_seconds)
        words = self._words(standings)
        if self._live is not None:
            self._live.update(Group(standings_table(standings), *running_lines(standings), Text(words, style="dim")))
        elif time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            self._console.print(words, highlight=False, markup=False, soft_wrap=True)

    def said(self, words: str) -> None:
        stamp = time.strftime("%H:%M:%S")
        self._console.print(f"{stamp} {words}", highlight=False, markup=False, soft_wrap=True)

    def _words(self, standings: Sequence[Standing]) -> str:
        ended = sum(standing.state not in ("waiting", "running") for standing in standings)
        running = sum(standing.state == "running" for standing in standings)
        left = None if self._forecast is None else self._forecast.seconds_left(standings)
        parts = [f"{ended} of {len(standings)} runs done", f"{running} running"]
        parts.append(f"{seconds_words(sum(self._spent.values()))} CPU")
        if left is not None and ended < len(standings):
            parts.append(f"about {seconds_words(left)} left")
        return " · ".join(parts)


def standings_table(standings: Sequence[Standing]) -> Table:
    """Arms by seeds; tuning trials are rows of their own."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("arm", no_wrap=True)
    seeds = sorted({standing.task.seed for standing in standings})
    for seed in seeds:
        table.add_column(f"{seed}", justify="right", no_wrap=True)
    rows: dict[str, dict[int, Standing]] = {}
    for standing in standings:
        task = standing.task
        name = task.arm if task.trial is None else f"{task.arm} at {task.trial:g}"
        rows.setdefault(name, {})[task.seed] = standing
    for name, cells in rows.items():
        table.add_row(name, *(cell(cells.get(seed)) for seed in seeds))
    return table


def cell(standing: Standing | None) -> Text:
    """A mark, or how far the stage is that a run trains."""
    if standing is None:
        return Text("")
    if standing.state == "running":
        return Text(f"{100 * standing.done:.0f}%" if standing.stage else "…", style="cyan")
    mark, style = MARKS[standing.state]
    return Text(mark, style=style)


def running_lines(standings: Sequence[Standing]) -> list[Text]:
    """What each run that goes on does."""
    lines = []
    for standing in standings:
        if standing.state == "running":
            where = f"{standing.stage} {100 * standing.done:.0f} %" if standing.stage else "starting"
            again = "" if standing.attempts < 2 else f", attempt {standing.attempts}"
            spent = seconds_words(standing.cpu_seconds)
            lines.append(Text(f"  {standing.task.words}: {where} · {spent} CPU{again}", style="cyan"))
    return lines
