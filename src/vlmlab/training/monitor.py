"""Counts what a stage has seen and writes one line of metrics every few steps."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from vlmlab.batch import Batch
from vlmlab.files import write_text
from vlmlab.plan.hardware import peak, utilisation
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import StepRecord
from vlmlab.training.step import StepResult
from vlmlab.training.work import StepTotals, Work
from vlmlab.training.world import World


def cpu_seconds() -> float:
    """CPU time of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_memory(device: str) -> int:
    """Bytes: the most that torch has held on a CUDA device, or this process's largest resident set."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


@dataclass
class Counts:
    """Totals since the start of the stage, over all processes. Times and memory are those of the last line."""

    steps: int = 0
    tokens: int = 0
    learned: int = 0
    visual: int = 0
    images: int = 0
    documents: int = 0
    skipped: int = 0
    """Steps whose loss or gradient was not finite: they changed nothing."""
    useful_flops: float = 0.0
    loss_first: float | None = None
    loss_last: float = 0.0
    seconds: float = 0.0
    data_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    """Bytes of the process that holds most."""


@dataclass
class Window:
    """Sums since the last line: of all processes, but times are this process's own."""

    steps: int = 0
    """Finite ones."""
    loss: float = 0.0
    terms: int = 0
    """Learned tokens, or pairs, of finite steps: what the loss is divided by."""
    gradient_norm: float = 0.0
    component_norms: dict[str, float] = field(default_factory=dict)
    component_steps: dict[str, int] = field(default_factory=dict)
    """Steps in which a component had a gradient."""
    source_losses: dict[str, float] = field(default_factory=dict)
    source_learned: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    learned: int = 0
    visual: int = 0
    images: int = 0
    positions: int = 0
    useful_flops: float = 0.0
    seconds: float = 0.0
    data_seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass
class MonitorState:
    """Where a stage stands, also between two lines: what a checkpoint keeps."""

    counts: Counts = field(default_factory=Counts)
    window: Window = field(default_factory=Window)

    def plain(self) -> dict[str, Any]:
        """As JSON data; floats survive it to the last bit."""
        return asdict(self)

    @classmethod
    def from_plain(cls, value: Mapping[str, Any]) -> MonitorState:
        """What `plain` gave, also after a trip through JSON."""
        return cls(Counts(**value["counts"]), Window(**value["window"]))


class Monitor:
    """Adds up steps; `record` returns a StepRecord every `every` steps, and the leading process appends it to the file.

    Every process of the world calls `add` and `record` for every step. Everything in a line but its times
    (records.TIMED_FIELDS) is a function of the training alone: an interruption between two lines changes none of it.
    """

    def __init__(
        self,
        path: Path,
        *,
        recipe: Recipe,
        stage: str,
        machine: Machine,
        world: World | None = None,
        state: MonitorState | None = None,
    ) -> None:
        self.path = path
        self._world = World() if world is None else world
        self._state = MonitorState() if state is None else state
        self._every = machine.log_every
        self._device = machine.device
        self._peak = peak(machine, precision=recipe.precision)
        self._work = Work(recipe, stage)
        self._sources = tuple(recipe.stages[stage].mixture)
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()
        if machine.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        if self._world.leads:
            cut_lines(path, after=self.counts.steps)

    @property
    def counts(self) -> Counts:
        """Totals since the start of the stage."""
        return self._state.counts

    def plain(self) -> dict[str, Any]:
        """The state that a checkpoint keeps, the same in every process but for times."""
        return self._state.plain()

    def add(self, batch: Batch, result: StepResult, *, documents: int, waited: float) -> StepTotals:
        """Count one finished step: this process's rows and documents, the result of all, seconds waited for data.

        Returns what the step held over all processes.
        """
        totals = self._work.totals(batch, documents=documents).summed(self._world)
        useful = self._work.useful(totals, learned=result.count)
        counts, window = self.counts, self._state.window
        counts.steps += 1
        counts.tokens += int(totals.tokens)
        counts.learned += result.count
        counts.visual += int(totals.visual)
        counts.images += int(totals.images)
        counts.documents += int(totals.documents)
        counts.useful_flops += useful
        window.tokens += int(totals.tokens)
        window.learned += result.count
        window.visual += int(totals.visual)
        window.images += int(totals.images)
        window.positions += int(totals.positions)
        window.useful_flops += useful
        window.data_seconds += waited
        if result.finite:
            self._add_finite(window, result)
        else:
            counts.skipped += 1
        wall, cpu = time.perf_counter(), cpu_seconds()
        window.seconds += wall - self._wall
        window.cpu_seconds += cpu - self._cpu
        self._wall, self._cpu = wall, cpu
        return totals

    def _add_finite(self, window: Window, result: StepResult) -> None:
        window.steps += 1
        window.loss += result.loss
        window.terms += result.count
        window.gradient_norm += result.gradient_norm
        if self.counts.loss_first is None:
            self.counts.loss_first = result.loss / result.count
        for component, norm in result.component_norms.items():
            window.component_norms[component] = window.component_norms.get(component, 0.0) + norm
            window.component_steps[component] = window.component_steps.get(component, 0) + 1
        for source, (loss, learned) in self._by_source(result).items():
            window.source_losses[source] = window.source_losses.get(source, 0.0) + loss
            window.source_learned[source] = window.source_learned.get(source, 0) + learned

    def _by_source(self, result: StepResult) -> dict[str, tuple[float, int]]:
        """Sums over all processes, in the order of the mixture."""
        own = [result.source_losses.get(source, (0.0, 0)) for source in self._sources]
        sums = self._world.sum([value for pair in own for value in pair])
        pairs = zip(self._sources, sums[::2], sums[1::2], strict=True)
        return {source: (loss, int(learned)) for source, loss, learned in pairs if learned}

    def record(self, *, learning_rate: dict[str, float], last: bool) -> StepRecord | None:
        """The line since the previous one, or None between lines; the leading process writes it."""
        counts, window = self.counts, self._state.window
        if (not last and counts.steps % self._every) or window.positions == 0:
            return None
        self._state.window = Window()
        self._close_times(window)
        loss = window.loss / window.terms if window.steps else None
        counts.loss_last = counts.loss_last if loss is None else loss
        sources = [name for name in self._sources if name in window.source_learned]
        row = StepRecord(
            step=counts.steps,
            loss=loss,
            tokens=counts.tokens,
            learned=counts.learned,
            visual=counts.visual,
            images=counts.images,
            documents=counts.documents,
            learning_rate=learning_rate,
            gradient_norm=window.gradient_norm / window.steps if window.steps else None,
            component_norms={
                name: norm / window.component_steps[name] for name, norm in window.component_norms.items()
            },
            source_losses={name: window.source_losses[name] / window.source_learned[name] for name in sources},
            source_learned={name: window.source_learned[name] for name in sources},
            skipped=counts.skipped,
            fill=window.tokens / window.positions,
            useful_flops=counts.useful_flops,
            seconds=counts.seconds,
            data_seconds=counts.data_seconds,
            cpu_seconds=counts.cpu_seconds,
            window_seconds=window.seconds,
            data_share=_rate(window.data_seconds, window.seconds),
            tokens_per_second=_rate(window.tokens, window.seconds),
            learned_per_second=_rate(window.learned, window.seconds),
            visual_per_second=_rate(window.visual, window.seconds),
            images_per_second=_rate(window.images, window.seconds),
            mfu=utilisation(window.useful_flops, seconds=window.seconds, peak=self._peak),
            peak_memory=counts.peak_memory,
        )
        if self._world.leads:
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(row.model_dump_json() + "\n")
        return row

    def _close_times(self, window: Window) -> None:
        """Bring the window's times to those of all processes, and add them to the totals.

        A process that waits for data holds up all others: the longest wait counts. CPU time is the sum, memory that of
        the process that holds most.
        """
        size, rank = self._world.size, self._world.rank
        slots = [0.0] * (1 + 2 * size)
        slots[0], slots[1 + rank], slots[1 + size + rank] = (
            window.cpu_seconds, window.data_seconds, peak_memory(self._device),
        )  # fmt: skip
        cpu, *others = self._world.sum(slots)
        window.cpu_seconds, window.data_seconds = cpu, max(others[:size])
        counts = self.counts
        counts.seconds += window.seconds
        counts.data_seconds += window.data_seconds
        counts.cpu_seconds += window.cpu_seconds
        counts.peak_memory = max(counts.peak_memory, int(max(others[size:])))


def _rate(number: float, seconds: float) -> float | None:
    return number / seconds if seconds > 0 else None


def cut_lines(path: Path, *, after: int) -> None:
    """Keep the lines of metrics up to step `after`; a last line that a killed process left unfinished goes too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    kept = [line for line in whole.split("\n") if line and json.loads(line)["step"] <= after]
    write_text(path, "".join(f"{line}\n" for line in kept))
