"""The local pool: as many runs at once as cores and devices allow, each on its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence

from vlmlab.errors import StudyError
from vlmlab.recipe.machine import Machine
from vlmlab.study.job import End, Handle, Job, end_process, kill_process, start_process


class LocalPool:
    """Runs on this computer. A run on CPUs takes `threads` cores for each process, one on GPUs takes its devices."""

    def __init__(self, machine: Machine, *, jobs: int | None = None) -> None:
        groups = _grouped(devices(), each=machine.devices, machine=machine) if machine.device == "cuda" else []
        self.jobs = (len(groups) or max(1, cores() // (machine.threads * machine.devices))) if jobs is None else jobs
        if groups and self.jobs > len(groups):
            raise StudyError(
                "--jobs",
                f"{self.jobs} runs at once, but this computer has devices for {len(groups)} of {machine.devices} each",
            )
        self._free: list[tuple[str, ...]] = list(groups)

    def room(self, running: int) -> bool:
        return running < self.jobs

    def start(self, job: Job) -> Handle:
        taken = self._free.pop(0) if self._free else ()
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(taken)} if taken else {}
        return _Process(start_process(job, **environment), taken, self._free)

    def lacking(self) -> str:
        return ""

    def close(self) -> None:
        return


class _Process:
    """A process of this computer; when it ended its devices are free again."""

    def __init__(self, process: subprocess.Popen[bytes], taken: tuple[str, ...], free: list[tuple[str, ...]]) -> None:
        self._process = process
        self._taken = taken
        self._free = free

    def ended(self) -> End | None:
        end = end_process(self._process)
        if end is not None and self._taken:
            self._free.append(self._taken)
            self._taken = ()
        return end

    def ask_to_stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        kill_process(self._process)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if os.name == "posix" and os.path.exists("/proc") else os.cpu_count() or 1


def devices() -> list[str]:
    """Names of the CUDA devices that this process may use, without asking torch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name and name != "-1"]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]


def _grouped(names: Sequence[str], *, each: int, machine: Machine) -> list[tuple[str, ...]]:
    groups = [tuple(names[first : first + each]) for first in range(0, len(names) - each + 1, each)]
    if not groups:
        raise StudyError(
            f"machine {machine.name}",
            f"a run takes {each} CUDA devices, and this computer has {len(names)}; use --machine laptop",
        )
    return groups
