"""Hand a run to a Slurm cluster with submitit: one task a node, which starts a process for each of its devices."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmlab.errors import RunError
from vlmlab.files import write_text
from vlmlab.recipe.machine import Machine

try:
    import submitit
    import submitit.slurm.slurm
except ImportError:
    submitit = None

PORT = 29400
"""Where the nodes of a job meet on the first of them; a job has its nodes to itself or a port of its own below."""

PORTS = 1000

TIMES = 1000
"""How often a job may run into its time limit and go on in a new one."""

NOTICE = 300
"""Seconds before the time limit at which Slurm says so, and the job saves and asks to be queued again."""


@dataclass
class NodeJob:
    """What every node runs: `vlmlab ARGUMENTS`, and the same again after it was taken off its nodes."""

    arguments: tuple[str, ...]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __call__(self) -> int:
        assert submitit is not None
        place = submitit.JobEnvironment()
        port = PORT + int("".join(filter(str.isdigit, place.job_id))) % PORTS
        environment = os.environ | {
            "VLMLAB_RENDEZVOUS": f"{place.hostnames[0]}:{port}",
            "VLMLAB_JOB": place.job_id,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vlmlab.cli.main", *self.arguments],
            env=environment,
            # The time limit's notice is for this process, which passes it on as SIGTERM; it may reach all of the job.
            preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
        )
        status = _ended(self._process)
        if status:
            raise RunError(f"job {place.job_id}", f"`vlmlab {' '.join(self.arguments)}` ended with status {status}")
        return status

    def checkpoint(self) -> Any:
        """Called before the time limit and on preemption: save, leave, and be queued again."""
        assert submitit is not None
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            _ended(self._process)
        return submitit.helpers.DelayedSubmission(NodeJob(self.arguments))


def _ended(process: subprocess.Popen[bytes]) -> int:
    """The exit status. Not `wait`: `checkpoint` is called by a signal in the middle of it, and would want its lock."""
    while (status := process.poll()) is None:
        time.sleep(0.2)
    return status


def slurm_parameters(machine: Machine, *, name: str) -> dict[str, Any]:
    """A machine in submitit's words."""
    each = machine.devices // machine.nodes
    slurm = machine.slurm
    parameters: dict[str, Any] = {
        "job_name": f"vlmlab-{name}",
        "nodes": machine.nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": each * (machine.threads + machine.workers),
        "time": max(1, round(slurm.hours * 60)),
        "signal_delay_s": NOTICE,
    }
    if machine.device == "cuda":
        parameters["gpus_per_node"] = each
    if slurm.memory_gib is not None:
        parameters["mem"] = f"{slurm.memory_gib}GB"
    if slurm.partition is not None:
        parameters["partition"] = slurm.partition
    if slurm.account is not None:
        parameters["account"] = slurm.account
    if slurm.setup:
        parameters["setup"] = list(slurm.setup)
    if slurm.options:
        parameters["additional_parameters"] = dict(slurm.options)
    return parameters


def submit(
    arguments: Sequence[str], *, machine: Machine, name: str, folder: Path, dry_run: bool
) -> tuple[str | None, Path | None]:
    """Submit `vlmlab ARGUMENTS`: (the job's number, None); with `dry_run` (None, the batch file it would have been).

    Logs and the batch file go to `folder`. Raises RunError where submitit or Slurm is missing.
    """
    if submitit is None:
        raise RunError("submit", "submitit is not installed; pip install 'vlmlab[cluster]'")
    parameters = slurm_parameters(machine, name=name)
    if dry_run:
        path = folder / "submission.sh"
        # An executor exists only where Slurm does: this is the function that it writes its batch file with. The job
        # itself is pickled beside it when it is really submitted.
        command = f"{sys.executable} -u -m submitit.core._submit {folder}"
        text = submitit.slurm.slurm._make_sbatch_string(command, folder, **parameters)
        write_text(path, f"{text}\n# each node runs: {sys.executable} -m vlmlab.cli.main {' '.join(arguments)}\n")
        return None, path
    if submitit.SlurmExecutor.affinity() < 0:
        raise RunError("submit", "there is no `srun` on this computer; run this where the cluster's commands are")
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=TIMES)
    executor.update_parameters(**parameters)
    return executor.submit(NodeJob(tuple(arguments))).job_id, None
