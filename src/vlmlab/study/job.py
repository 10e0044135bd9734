"""One run of a study as a process of its own: `vlmlab run` with its log, on its cores and devices, never orphaned."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux."""
_FOREIGN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of a launcher around the study, which are not meant for its runs."""
LAST_LINES = 12
"""Lines of a log that are shown where a run failed."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a process needs; plain data, so that it can travel to another node of the same file system."""

    command: tuple[str, ...]
    log: str
    directory: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended: its exit status (negative: the signal that killed it), or None where its node was lost."""

    status: int | None
    words: str


class Handle(Protocol):
    """A job that was started."""

    def ended(self) -> End | None:
        """None while it goes on."""
        ...

    def ask_to_stop(self) -> None:
        """It saves and leaves."""
        ...

    def kill(self) -> None: ...


class Pool(Protocol):
    """Where jobs run."""

    def room(self, running: int) -> bool:
        """Whether another job may start beside those that run."""
        ...

    def start(self, job: Job) -> Handle: ...

    def lacking(self) -> str:
        """What is missing for a job to start while none runs; empty: nothing."""
        ...

    def close(self) -> None: ...


def job_of(recipe: Path, *, machine: Path, out: Path, log: Path, threads: int) -> Job:
    """`vlmlab run RECIPE --machine MACHINE --out DIR` in the working directory of the study."""
    command = (sys.executable, "-m", "vlmlab.cli.main", "run", str(recipe), "--machine", str(machine))
    return Job(
        command=(*command, "--out", str(out), "--json"),
        log=str(log.absolute()),
        directory=str(Path.cwd()),
        environment=dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)),
    )


def start_process(job: Job, **environment: str) -> subprocess.Popen[bytes]:
    """Start a job in a session of its own, so that Ctrl-C reaches it through the study alone.

    Should its parent die without a word, Linux asks it to stop; elsewhere it ends by itself, and who comes next waits.
    """
    log = Path(job.log)
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    with log.open("ab") as output:
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            cwd=job.directory,
            env=variables | job.environment | environment,
            start_new_session=True,
            preexec_fn=_follow_parent(),
        )


def end_process(process: subprocess.Popen[bytes]) -> End | None:
    """How a process ended, or None."""
    status = process.poll()
    return None if status is None else End(status, status_words(status))


def kill_process(process: subprocess.Popen[bytes]) -> None:
    """Kill a job with all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def status_words(status: int) -> str:
    """`exit status 1`, `killed by SIGKILL`.

    >>> status_words(-9)
    'killed by SIGKILL'
    """
    if status >= 0:
        return f"exit status {status}"
    return f"killed by {signal.Signals(-status).name}"


def last_words(log: Path) -> str:
    """The last lines of a log; empty where there is none."""
    if not log.is_file():
        return ""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-LAST_LINES:])


def _follow_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the job, on Linux."""
    if sys.platform != "linux":
        return None
    library, parent = ctypes.CDLL(None), os.getpid()

    def follow() -> None:
        library.prctl(_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)

    return follow
