"""Runs of a study on a Ray cluster: one Ray task a run, with declared resources, which starts the process and waits.

The nodes share the study's folder, the store and the installation, as the nodes of a cluster with one file system do.
Ray is the extra `cluster`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vlmlab.errors import StudyError
from vlmlab.recipe.machine import Machine
from vlmlab.study.job import End, Handle, Job, end_process, kill_process, start_process
from vlmlab.study.pool import cores, devices

REACH = 5.0
"""Seconds in which a cluster must answer a knock on its door."""
ANSWER = 45.0
"""Seconds in which it must answer as Ray does."""
LOOK = 0.5
"""Seconds between two looks of a Ray task at its process."""


class RayPool:
    """Runs on a cluster that is there (`address`), or on one that is started here for the time of the study."""

    def __init__(self, machine: Machine, *, address: str | None = None, jobs: int | None = None) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise StudyError("--on ray", "ray is not installed; pip install 'vlmlab[cluster]'") from error
        self._ray = ray
        self._jobs = jobs
        self._cores = machine.devices * (machine.threads + machine.workers)
        self._devices = machine.devices if machine.device == "cuda" else 0
        if address is not None:
            reach(address)
        # Forks of this process are harmless: it holds no thread of its own.
        fresh: dict[str, Any] = (
            {} if address is not None else {"num_cpus": max(cores(), self._cores), "num_gpus": len(devices())}
        )
        try:
            ray.init(address=address or "local", log_to_driver=False, configure_logging=False, **fresh)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise StudyError("--address", f"no Ray cluster could be used at {address}: {error}") from error
        # The function travels by value: a node needs no more of us than the installation.
        self._run = ray.remote(max_retries=0, num_cpus=self._cores, num_gpus=self._devices)(run_job)

    def room(self, running: int) -> bool:
        return running < min(self._slots(), self._jobs or sys.maxsize)

    def start(self, job: Job) -> Handle:
        _stop_file(job).unlink(missing_ok=True)
        return _Remote(self._ray, self._run.remote(job), job)

    def lacking(self) -> str:
        if self._slots():
            return ""
        gpus = f" and {self._devices} GPUs" if self._devices else ""
        return f"the cluster has no node with {self._cores} CPUs{gpus}; add one, or use --set machine.threads=1"

    def close(self) -> None:
        self._ray.shutdown()

    def _slots(self) -> int:
        """Runs that the nodes which are alive have room for."""
        slots = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                here = int(node["Resources"].get("CPU", 0) // self._cores)
                if self._devices:
                    here = min(here, int(node["Resources"].get("GPU", 0) // self._devices))
                slots += here
        return slots


class _Remote:
    """A run somewhere in the cluster."""

    def __init__(self, ray: Any, reference: Any, job: Job) -> None:
        self._ray = ray
        self._reference = reference
        self._job = job

    def ended(self) -> End | None:
        ready, _ = self._ray.wait([self._reference], timeout=0)
        if not ready:
            return None
        try:
            return self._ray.get(self._reference)
        except self._ray.exceptions.RayError as error:
            return End(None, f"its node or worker was lost ({type(error).__name__})")

    def ask_to_stop(self) -> None:
        stop = _stop_file(self._job)
        stop.parent.mkdir(parents=True, exist_ok=True)
        stop.touch()

    def kill(self) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.cancel(self._reference, force=True)


def run_job(job: Job) -> End:
    """What a Ray task does: start the run, wait for it, and pass on the study's wish to stop."""
    process: subprocess.Popen[bytes] = start_process(job)
    asked = False
    try:
        while (end := end_process(process)) is None:
            if not asked and _stop_file(job).exists():
                process.terminate()
                asked = True
            time.sleep(LOOK)
        return end
    finally:
        kill_process(process)
        _stop_file(job).unlink(missing_ok=True)


def reach(address: str) -> None:
    """Raise StudyError within seconds where no Ray cluster answers at an address."""
    host, port = _host(address)
    if host is not None:
        try:
            socket.create_connection((host, port), timeout=REACH).close()
        except OSError as error:
            raise StudyError(
                "--address",
                f"nothing answers at {host}:{port} ({error}); start a cluster with `ray start --head`, or leave "
                "--address out to start one here for the time of the study",
            ) from error
    # Ray itself waits long for a port that answers as something else: another process may wait in our place.
    words = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"
    try:
        asked = subprocess.run(
            [sys.executable, "-c", words, address], capture_output=True, text=True, timeout=ANSWER, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StudyError("--address", f"what answers at {address} did not answer as Ray in {ANSWER:.0f} s") from error
    if asked.returncode:
        last = (asked.stderr.strip().splitlines() or ["no words"])[-1]
        raise StudyError("--address", f"no Ray cluster could be used at {address}: {last}")


def _host(address: str) -> tuple[str | None, int]:
    """The door to knock on: None for `auto`, which Ray looks up itself."""
    if address == "auto":
        return None, 0
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise StudyError("--address", f"{address!r} is not an address; expected HOST:PORT, ray://HOST:PORT or auto")
    return host, int(port)


def _stop_file(job: Job) -> Path:
    """Exists while the study wants the run to stop."""
    return Path(job.log).with_suffix(".stop")
