"""Trackers: the lines of metrics for tensorboard and wandb, rebuilt from metrics.jsonl wherever a run continues.

The file of metrics is the truth. When a stage goes on after an interruption, what a tracker wrote before is thrown away
and written again from the file, so that its curves have every step once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Protocol, assert_never, final

from vlmlab.errors import RunError
from vlmlab.files import digest, read_jsonl
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import StepRecord


class Curves(Protocol):
    """The curves of one stage in one tracker."""

    def write(self, row: StepRecord) -> None:
        """Add one line of metrics at its step."""
        ...

    def close(self) -> None:
        """Everything is on disk."""
        ...


class Tracker(Protocol):
    """A program that draws metrics."""

    def open(self, stage: str) -> Curves:
        """Fresh curves of a stage, in place of those that an interrupted run left."""
        ...


def figures(row: StepRecord) -> dict[str, float]:
    """A line of metrics as named numbers; what the line does not hold is left out."""
    found: dict[str, float | None] = {
        "loss": row.loss,
        "gradient_norm": row.gradient_norm,
        **{f"loss_by_source/{source}": loss for source, loss in row.source_losses.items()},
        **{f"gradient_norm_by_component/{component}": norm for component, norm in row.component_norms.items()},
        **{f"learning_rate/{component}": rate for component, rate in row.learning_rate.items()},
        "throughput/tokens_per_second": row.tokens_per_second,
        "throughput/learned_per_second": row.learned_per_second,
        "throughput/visual_per_second": row.visual_per_second,
        "throughput/images_per_second": row.images_per_second,
        "throughput/mfu": row.mfu,
        "throughput/data_share": row.data_share,
        "throughput/fill": row.fill,
        "memory/peak_gib": None if row.peak_memory is None else row.peak_memory / 2**30,
        "progress/tokens": row.tokens,
        "progress/documents": row.documents,
        "progress/skipped_steps": row.skipped,
        "progress/seconds": row.seconds,
    }
    return {name: value for name, value in found.items() if value is not None}


@final
class Tensorboard:
    """Event files in RUN/tensorboard/STAGE. `writer` is torch.utils.tensorboard's SummaryWriter."""

    def __init__(self, writer: Callable[..., Any], *, run: Path) -> None:
        self._writer = writer
        self._folder = run / "tensorboard"

    def open(self, stage: str) -> Curves:
        folder = self._folder / stage
        shutil.rmtree(folder, ignore_errors=True)
        return _TensorboardCurves(self._writer(log_dir=str(folder), flush_secs=10))


@final
class _TensorboardCurves:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, row: StepRecord) -> None:
        for name, value in figures(row).items():
            self._writer.add_scalar(name, value, row.step)

    def close(self) -> None:
        self._writer.close()


@final
class Wandb:
    """One wandb run a stage, grouped by recipe, in RUN/wandb; offline unless WANDB_MODE says otherwise."""

    def __init__(self, module: ModuleType, *, run: Path, recipe: Recipe) -> None:
        self._module = module
        self._run = run
        self._recipe = recipe

    def open(self, stage: str) -> Curves:
        name = digest([self._recipe.fingerprint(), self._run.name, stage])
        for folder in (self._run / "wandb").glob(f"offline-run-*-{name}"):
            shutil.rmtree(folder)
        run = self._module.init(
            project="vlmlab",
            group=self._run.name,
            name=f"{self._run.name}/{stage}",
            id=name,
            resume="allow",
            dir=str(self._run),
            config=self._recipe.plain(),
            mode=os.environ.get("WANDB_MODE") or "offline",
            reinit="create_new",
            settings=self._module.Settings(silent=True, console="off"),
        )
        return _WandbCurves(run)


@final
class _WandbCurves:
    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, row: StepRecord) -> None:
        # A run that goes on online has its earlier steps on the server.
        if row.step >= self._run.step:
            self._run.log(figures(row), step=row.step)

    def close(self) -> None:
        self._run.finish()


class Trackers:
    """All trackers of a run. Use it as a context manager: what was written is whole also after an interruption."""

    def __init__(self, trackers: Sequence[Tracker] = ()) -> None:
        self._trackers = tuple(trackers)
        self._stage: str | None = None
        self._curves: list[Curves] = []

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def step(self, stage: str, row: StepRecord, *, metrics: Path) -> None:
        """Add a line that was just appended to `metrics`; the first of a stage brings those before it along."""
        if not self._trackers:
            return
        rows = [row]
        if stage != self._stage:
            self._open(stage)
            rows = [line for line in read_steps(metrics) if line.step <= row.step]
        self._write(rows)

    def finish(self, stage: str, *, metrics: Path) -> None:
        """Close a stage's curves; those of a stage that did not train here are written from its metrics."""
        if self._trackers and stage != self._stage:
            self._open(stage)
            self._write(read_steps(metrics))
        self._close()

    def _open(self, stage: str) -> None:
        self._close()
        self._stage = stage
        for tracker in self._trackers:
            self._curves.append(tracker.open(stage))

    def _write(self, rows: Sequence[StepRecord]) -> None:
        for curves in self._curves:
            for row in rows:
                curves.write(row)

    def _close(self) -> None:
        curves, self._curves, self._stage = self._curves, [], None
        for each in curves:
            each.close()


def read_steps(metrics: Path) -> list[StepRecord]:
    """The lines of a file of metrics; none where there is no file."""
    return [StepRecord.model_validate(row) for row in read_jsonl(metrics)] if metrics.exists() else []


def open_trackers(machine: Machine, *, run: Path, recipe: Recipe) -> Trackers:
    """The trackers that the machine names, for the process that leads. RunError where a package is missing."""
    found: list[Tracker] = []
    for name in machine.trackers:
        try:
            match name:
                case "tensorboard":
                    from torch.utils.tensorboard import SummaryWriter

                    found.append(Tensorboard(SummaryWriter, run=run))
                case "wandb":
                    found.append(Wandb(import_module("wandb"), run=run, recipe=recipe))
                case _ as never:
                    assert_never(never)
        except ImportError as error:
            raise RunError(
                f"machine {machine.name}",
                f"trackers names {name}, which cannot be imported ({error}); install it with "
                "`pip install 'vlmlab[trackers]'`, or leave it out",
            ) from error
    return Trackers(found)
