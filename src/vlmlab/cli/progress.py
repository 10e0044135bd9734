"""Progress on standard error: a bar a stage with loss, speed, MFU and time left; the ledger of what trains."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from vlmlab.recipe.stage import Stage
from vlmlab.records.run import LedgerRow, StageRecord, StepRecord
from vlmlab.report.numbers import share
from vlmlab.wording import count


class ProgressWatcher:
    """Draws what a run does. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            # Together within 80 columns.
            TextColumn("[bold]{task.description:<10}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=10),
            TextColumn("{task.percentage:>3.0f} %", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[words]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            console=console,
            transient=False,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressWatcher:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage_started(self, name: str, stage: Stage, ledger: list[LedgerRow]) -> None:
        self._progress.print(ledger_table(name, stage, ledger))
        self._tasks[name] = self._progress.add_task(name, total=1.0, words="")

    def step(self, name: str, row: StepRecord, done: float) -> None:
        self._progress.update(self._tasks[name], completed=done, words=step_words(row))

    def stage_finished(self, name: str, record: StageRecord) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=1.0, words="")
        words = f"loss {record.loss_last:.3f} · {count(record.tokens)} tokens · {count(record.images)} images"
        if record.reused:
            words = f"taken from the store · {words}"
        self._progress.update(self._tasks[name], completed=1.0, words=words)

    def evaluating(self, benchmark: str, done: int, total: int) -> None:
        if "evaluation" not in self._tasks:
            self._tasks["evaluation"] = self._progress.add_task("evaluation", total=total, words="")
        self._progress.update(self._tasks["evaluation"], completed=done, total=total, words=benchmark)


def step_words(row: StepRecord) -> str:
    """Loss, speed and utilisation of the last window: `loss 1.234 · 10.2 k tok/s · MFU 31 %`."""
    parts = ["no finite step" if row.loss is None else f"loss {row.loss:.3f}"]
    if row.tokens_per_second is not None:
        parts.append(f"{count(row.tokens_per_second)} tok/s")
    if row.mfu is not None:
        parts.append(f"MFU {share(row.mfu)}")
    if row.skipped:
        parts.append(f"{row.skipped} skipped")
    return " · ".join(parts)


def ledger_table(name: str, stage: Stage, ledger: list[LedgerRow]) -> Table:
    """What trains in a stage, with the learning rates that really apply."""
    table = Table(
        title=f"stage {name}: {stage.objective.kind.replace('_', ' ')}",
        title_justify="left",
        box=None,
        header_style="dim",
        padding=(0, 2, 0, 0),
    )
    table.add_column("component")
    table.add_column("group")
    for column in ("tensors", "parameters", "learning rate", "weight decay"):
        table.add_column(column, justify="right")
    for row in ledger:
        frozen = row.mode == "frozen"
        table.add_row(
            row.component, row.group, str(row.tensors), f"{row.parameters:,}",
            "-" if frozen else f"{row.learning_rate:.1e}", "-" if frozen else f"{row.weight_decay:g}",
            style="dim" if frozen else None,
        )  # fmt: skip
    return table
