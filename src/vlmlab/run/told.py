"""What a run tells while it runs: its watcher at once, and whoever looks at its directory every second or so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from vlmlab.files import write_json
from vlmlab.recipe.stage import Stage
from vlmlab.records.run import LedgerRow, ProgressRecord, StageRecord, StepRecord
from vlmlab.training.monitor import cpu_seconds

EVERY = 1.0
"""Seconds between two writings of progress.json."""


class Watcher(Protocol):
    """Is told what a run does. Library code prints nothing; the command line draws progress bars from these calls."""

    def stage_started(self, name: str, stage: Stage, ledger: list[LedgerRow]) -> None: ...

    def step(self, name: str, row: StepRecord, done: float) -> None: ...

    def stage_finished(self, name: str, record: StageRecord) -> None: ...

    def evaluating(self, benchmark: str, done: int, total: int) -> None: ...


class Silent:
    """A watcher that does nothing."""

    def stage_started(self, name: str, stage: Stage, ledger: list[LedgerRow]) -> None: ...

    def step(self, name: str, row: StepRecord, done: float) -> None: ...

    def stage_finished(self, name: str, record: StageRecord) -> None: ...

    def evaluating(self, benchmark: str, done: int, total: int) -> None: ...


class Told:
    """Passes everything on to another watcher and keeps progress.json of a run directory up to date."""

    def __init__(self, watcher: Watcher, *, folder: Path, benchmarks: int) -> None:
        self._watcher = watcher
        self._path = folder / "progress.json"
        self._benchmarks: dict[str, int] = {}
        self._expected = benchmarks
        self._started = cpu_seconds()
        self._written = float("-inf")

    def stage_started(self, name: str, stage: Stage, ledger: list[LedgerRow]) -> None:
        self._write(name, 0.0, now=True)
        self._watcher.stage_started(name, stage, ledger)

    def step(self, name: str, row: StepRecord, done: float) -> None:
        self._write(name, done)
        self._watcher.step(name, row, done)

    def stage_finished(self, name: str, record: StageRecord) -> None:
        self._write(name, 1.0, now=True)
        self._watcher.stage_finished(name, record)

    def evaluating(self, benchmark: str, done: int, total: int) -> None:
        place = self._benchmarks.setdefault(benchmark, len(self._benchmarks))
        self._write("evaluation", (place + done / total) / self._expected)
        self._watcher.evaluating(benchmark, done, total)

    def _write(self, stage: str, done: float, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._written < EVERY:
            return
        record = ProgressRecord(stage=stage, done=min(1.0, done), cpu_seconds=cpu_seconds() - self._started)
        write_json(self._path, record.model_dump(mode="json"))
        self._written = time.monotonic()
