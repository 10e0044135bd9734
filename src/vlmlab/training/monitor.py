"""Counts what a stage has seen and writes one line of metrics every few steps."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vlmlab.batch import Batch
from vlmlab.files import read_jsonl, write_jsonl
from vlmlab.records.run import StepRecord
from vlmlab.training.step import StepResult


def cpu_seconds() -> float:
    """CPU time of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclass
class Counts:
    """Totals since the start of the stage; saved in checkpoints."""

    steps: int = 0
    tokens: int = 0
    learned: int = 0
    visual: int = 0
    images: int = 0
    documents: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    data_seconds: float = 0.0
    loss_first: float | None = None
    loss_last: float = 0.0

    def plain(self) -> dict[str, float | int | None]:
        return asdict(self)


@dataclass
class Monitor:
    """Adds up steps; `record` returns a StepRecord every `every` steps and appends it to the file."""

    path: Path
    every: int
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._since = _Window()
        self._wall = time.perf_counter() - self.counts.seconds
        self._cpu = cpu_seconds() - self.counts.cpu_seconds
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = read_jsonl(self.path) if self.path.exists() else []
        write_jsonl(self.path, [row for row in kept if row["step"] <= self.counts.steps])

    def add(self, batch: Batch, result: StepResult, *, documents: int, waited: float) -> None:
        """Count one finished step."""
        counts = self.counts
        counts.steps += 1
        counts.tokens += batch.num_real()
        counts.learned += result.count
        counts.visual += batch.num_visual()
        counts.images += len(batch.spans)
        counts.documents += documents
        counts.data_seconds += waited
        counts.seconds = time.perf_counter() - self._wall
        counts.cpu_seconds = cpu_seconds() - self._cpu
        self._since.add(batch, result)
        mean = result.loss / result.count
        if counts.loss_first is None:
            counts.loss_first = mean
        counts.loss_last = mean

    def record(self, *, learning_rate: dict[str, float], last: bool) -> StepRecord | None:
        """The line since the previous one, or None between lines."""
        if not last and self.counts.steps % self.every:
            return None
        window, self._since = self._since, _Window()
        if window.steps == 0:
            return None
        counts = self.counts
        counts.loss_last = window.loss / window.learned
        row = StepRecord(
            step=counts.steps,
            loss=window.loss / window.learned,
            tokens=counts.tokens,
            learned=counts.learned,
            visual=counts.visual,
            images=counts.images,
            documents=counts.documents,
            learning_rate=learning_rate,
            gradient_norm=window.gradient_norm / window.steps,
            fill=window.real / window.positions,
            seconds=counts.seconds,
            data_seconds=counts.data_seconds,
            cpu_seconds=counts.cpu_seconds,
        )
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(row.model_dump_json() + "\n")
        return row


@dataclass
class _Window:
    loss: float = 0.0
    learned: int = 0
    gradient_norm: float = 0.0
    steps: int = 0
    real: int = 0
    positions: int = 0

    def add(self, batch: Batch, result: StepResult) -> None:
        self.loss += result.loss
        self.learned += result.count
        self.gradient_norm += result.gradient_norm
        self.steps += 1
        self.real += batch.num_real()
        self.positions += batch.ids.numel()
