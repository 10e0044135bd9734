"""Running the tasks of a study to their ends: started as the queue says, retried after faults of the machine.

Whatever stops the study, what is on disk says where it stands: the same tasks, given again, continue.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from vlmlab.errors import Interrupted, StudyError
from vlmlab.files import write_json
from vlmlab.locks import try_exclusive
from vlmlab.records.study import OutcomeRecord
from vlmlab.study.job import End, Handle, Pool, job_of, last_words
from vlmlab.study.outcomes import Outcomes, State, divergence, finished_stages, manifest, progress, state_of
from vlmlab.study.queue import Task, next_task
from vlmlab.training.interruption import Wish

MISTAKE = 2
"""Exit status of a user's mistake."""
TICK = 0.3
"""Seconds between two looks at the runs."""
PAUSE = 2.0
"""Seconds before the first retry of a run; doubled for each further one."""
LEAVING = 240.0
"""Seconds that runs have to save after they were asked to stop."""
SHORTAGE = 60.0
"""Seconds that a pool may have no place for any run before the study gives up."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one run stands."""

    task: Task
    state: State = "waiting"
    stage: str = ""
    done: float = 0.0
    """Share of the stage."""
    cpu_seconds: float = 0.0
    attempts: int = 0
    words: str = ""


class Listener(Protocol):
    """Is told how the runs stand, a few times a second."""

    def changed(self, standings: Sequence[Standing]) -> None: ...

    def said(self, words: str) -> None:
        """Something that a reader of the log wants to know."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study keeps what it runs."""

    folder: Path
    machine: Path
    """The machine's file."""
    threads: int
    retries: int


@dataclass(slots=True)
class _Started:
    handle: Handle
    since: float


class Execution:
    """One set of tasks on their way. `run` returns when all have ended, well or not."""

    def __init__(self, tasks: Sequence[Task], *, place: Place, pool: Pool, outcomes: Outcomes, wish: Wish) -> None:
        self._place = place
        self._pool = pool
        self._outcomes = outcomes
        self._wish = wish
        self._standings = {task: Standing(task) for task in tasks}
        self._running: dict[Task, _Started] = {}
        self._spent = dict.fromkeys(tasks, 0.0)
        self._not_before: dict[Task, float] = {}
        self._finished: set[str] = set()

    def run(self, listener: Listener) -> None:
        """Raises StudyError on a user's mistake, and Interrupted once every run has saved after a wish to stop."""
        for task in self._standings:
            self._look(task)
        short_since = None
        try:
            while any(standing.state in ("waiting", "running") for standing in self._standings.values()):
                for task in list(self._running):
                    self._follow(task, listener)
                if self._wish.signal is not None:
                    self._leave(listener)
                self._start_ready(listener)
                listener.changed(list(self._standings.values()))
                lacking = "" if self._running else self._pool.lacking()
                short_since = (short_since or time.monotonic()) if lacking else None
                if short_since is not None and time.monotonic() - short_since > SHORTAGE:
                    raise StudyError("--on", lacking)
                time.sleep(TICK)
            listener.changed(list(self._standings.values()))
        finally:
            self._stop_all(seconds=LEAVING)

    def _look(self, task: Task) -> None:
        """What the disk says of a task before anything starts."""
        found = state_of(task.folder)
        self._finished |= finished_stages(task)
        if found == "open":
            return
        self._set(task, state=found)
        known = self._outcomes.get(task)
        if known is None or known.state != found:
            # The study was stopped between the run's end and its line.
            seconds = manifest(task.folder).seconds if found == "finished" else 0.0
            self._record(task, found, attempts=1, seconds=seconds)

    def _start_ready(self, listener: Listener) -> None:
        now = time.monotonic()
        while self._pool.room(len(self._running)):
            waiting = [
                task
                for task, standing in self._standings.items()
                if standing.state == "waiting" and self._not_before.get(task, 0.0) <= now
            ]
            training = {key for task in self._running for key in set(task.stages) - finished_stages(task)}
            for task in self._running:
                self._finished |= finished_stages(task)
            task = next_task(waiting, training=training, finished=self._finished)
            if task is None:
                return
            if not free(task.folder):
                # A run of a study that was killed still saves; or another study runs the same arm.
                self._set(task, words="its directory is in use")
                self._not_before[task] = now + 1.0
                continue
            self._start(task, listener)

    def _start(self, task: Task, listener: Listener) -> None:
        recipe = self._place.folder / "recipes" / f"{task.recipe.fingerprint()}.json"
        if not recipe.exists():
            write_json(recipe, task.recipe.plain())
        job = job_of(
            recipe, machine=self._place.machine, out=task.folder, log=self._log(task), threads=self._place.threads
        )
        self._running[task] = _Started(self._pool.start(job), time.monotonic())
        self._set(task, state="running", attempts=self._standings[task].attempts + 1, words="")
        if self._standings[task].attempts == 1:
            listener.said(f"{task.words}: started")

    def _follow(self, task: Task, listener: Listener) -> None:
        started = self._running[task]
        end = started.handle.ended()
        told = progress(task.folder)
        if told is not None:
            self._set(task, stage=told.stage, done=told.done, cpu_seconds=told.cpu_seconds)
        if end is None:
            return
        del self._running[task]
        self._finished |= finished_stages(task)
        self._spent[task] += time.monotonic() - started.since
        found = state_of(task.folder)
        if found != "open":
            self._record(task, found, attempts=self._standings[task].attempts, seconds=self._spent[task])
            self._set(task, state=found)
            listener.said(f"{task.words}: {found}")
        elif self._wish.signal is not None:
            self._set(task, state="waiting")
        elif end.status == MISTAKE:
            raise StudyError(f"arm {task.words}", f"the run was refused:\n{last_words(self._log(task))}")
        else:
            self._fault(task, end, listener)

    def _fault(self, task: Task, end: End, listener: Listener) -> None:
        """A fault of the machine: try again from the checkpoint, or give the run up."""
        attempts = self._standings[task].attempts
        if attempts <= self._place.retries:
            self._not_before[task] = time.monotonic() + PAUSE * 2 ** (attempts - 1)
            self._set(task, state="waiting", words=end.words)
            listener.said(f"{task.words}: {end.words}; starting again from its last checkpoint (retry {attempts})")
            return
        self._record(task, "failed", attempts=attempts, seconds=self._spent[task], reason=end.words)
        self._set(task, state="failed", words=end.words)
        listener.said(f"{task.words}: {end.words}; given up after {attempts} attempts; its log: {self._log(task)}")

    def _leave(self, listener: Listener) -> None:
        """Everything that runs saves and leaves; then the study leaves."""
        assert self._wish.signal is not None
        if self._running:
            listener.said(f"asked to stop: {len(self._running)} runs save and leave; once more ends them at once")
        self._stop_all(seconds=LEAVING)
        raise Interrupted("the study", number=int(self._wish.signal))

    def _stop_all(self, *, seconds: float) -> None:
        """Ask every run to stop, wait for them, and kill what stays; at once on a second signal."""
        if not self._running:
            return
        try:
            for started in self._running.values():
                started.handle.ask_to_stop()
            end = time.monotonic() + seconds
            while time.monotonic() < end and self._running:
                self._running = {task: one for task, one in self._running.items() if one.handle.ended() is None}
                time.sleep(0.1)
        finally:
            for started in self._running.values():
                started.handle.kill()
            self._running = {}

    def _record(self, task: Task, state: str, *, attempts: int, seconds: float, reason: str = "") -> None:
        if state == "diverged":
            why = divergence(task.folder)
            reason = f"{why.where}: {why.reason}".split("\n")[0]
        self._outcomes.add(
            OutcomeRecord.model_validate(
                {
                    "arm": task.arm, "seed": task.seed, "purpose": task.purpose, "state": state, "attempts": attempts,
                    "seconds": round(seconds, 3), "reason": reason, "trial": task.trial,
                }
            )
        )  # fmt: skip

    def _set(self, task: Task, **changes: object) -> None:
        self._standings[task] = replace(self._standings[task], **changes)

    def _log(self, task: Task) -> Path:
        place = task.folder.relative_to(self._place.folder)
        return (self._place.folder / "logs" / place).with_suffix(".log")


def free(folder: Path) -> bool:
    """Whether no run writes into the directory now."""
    if not (folder / ".lock").exists():
        return True
    with contextlib.ExitStack() as stack:
        return try_exclusive(folder / ".lock", stack, seconds=0.0)


@contextlib.contextmanager
def alone(folder: Path) -> Generator[None]:
    """Hold a study's folder: two processes never run the same study. Raises StudyError where another one does."""
    with contextlib.ExitStack() as stack:
        if not try_exclusive(folder / ".lock", stack, seconds=2.0):
            raise StudyError(str(folder), f"another process runs this study now (this one is {os.getpid()})")
        yield
