"""Start a run as one process for each device, with torch's elastic launcher, and again after it lost one of them."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.distributed import DistNetworkError, TCPStore
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.elastic.rendezvous.utils import parse_rendezvous_endpoint
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from vlmlab.errors import RunError
from vlmlab.recipe.machine import Machine

MISTAKE = 2
"""Exit status of a user's mistake: starting again would only repeat it."""

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit statuses of a run that was asked to stop, and saved."""

LEAVING = 240
"""Seconds that processes have to save after they were asked to stop; less than the notice a cluster gives."""

PORT = 29400
"""Where nodes meet if the endpoint names no port."""

_SHOWN = 20
"""Lines of a lost process's last words that are shown."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Where the nodes of a run meet: `endpoint` is HOST:PORT of one of them, `job` a name that they share."""

    endpoint: str = "localhost:0"
    job: str = ""


def launch(arguments: Sequence[str], *, machine: Machine, rendezvous: Rendezvous | None = None) -> int:
    """Run `python -m vlmlab ARGUMENTS` once for each device of this node; the exit status of the whole.

    A job that lost a process ends as a whole and starts again, at most `machine.restarts` times; its processes then
    continue from the last checkpoint. A user's mistake and a wish to stop are not tried again.
    """
    rendezvous = Rendezvous() if rendezvous is None else rendezvous
    job = rendezvous.job or uuid.uuid4().hex[:12]
    each = machine.devices // machine.nodes
    # The launcher's own log lines speak of its inner life; what failed is said below.
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # A process that was asked to stop finishes its step and writes a checkpoint before it is killed.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(LEAVING))
    held = _hold(rendezvous.endpoint, machine=machine)
    for attempt in range(machine.restarts + 1):
        status, words = _attempt(
            arguments, machine=machine, each=each, endpoint=rendezvous.endpoint, job=job, n=attempt
        )
        if status == 0 or status == MISTAKE or status in STOPPED:
            return status
        left = machine.restarts - attempt
        again = f"starting again from the last checkpoint ({left} more times at most)" if left else "giving up"
        print(f"vlmlab: {words[0]}; {again}", *words[1:], sep="\n  ", file=sys.stderr, flush=True)
    del held
    return 1


def _hold(endpoint: str, *, machine: Machine) -> TCPStore | None:
    """On the node where the nodes meet: their meeting place, kept through all attempts. Else it would go with the first
    attempt, and the others could not come back.
    """
    if machine.nodes == 1:
        return None
    host, port = parse_rendezvous_endpoint(endpoint, default_port=PORT)
    if host == "localhost" and port == 0:
        raise RunError(
            f"machine {machine.name}",
            f"{machine.nodes} nodes must know where to meet; set VLMLAB_RENDEZVOUS=HOST:PORT and the same VLMLAB_JOB "
            "on each, or use `vlmlab submit`",
        )
    try:
        return TCPStore(host, port, is_master=True, multi_tenant=True, wait_for_workers=False)
    except (RuntimeError, DistNetworkError):
        return None  # another node's address


def _attempt(
    arguments: Sequence[str], *, machine: Machine, each: int, endpoint: str, job: str, n: int
) -> tuple[int, list[str]]:
    """One start of all processes: exit status, and what to say of it, with the lost process's last lines."""
    with tempfile.TemporaryDirectory(prefix="vlmlab-") as logs:
        config = LaunchConfig(
            min_nodes=machine.nodes,
            max_nodes=machine.nodes,
            nproc_per_node=each,
            run_id=f"{job}-{n}",
            rdzv_backend="c10d",
            rdzv_endpoint=endpoint,
            # A node may notice late that another one was lost.
            rdzv_configs={"join_timeout": 1800},
            max_restarts=0,
            monitor_interval=0.2,
            # The first process of a node speaks for all; the others are heard when they fail.
            logs_specs=DefaultLogsSpecs(log_dir=logs, redirects=dict.fromkeys(range(1, each), Std.ALL)),
        )
        os.environ.setdefault("OMP_NUM_THREADS", str(machine.threads))
        try:
            elastic_launch(config, sys.executable)("-m", "vlmlab.cli.main", *arguments)
        except ChildFailedError as error:
            return _verdict(error, Path(logs))
        except RendezvousError as error:
            return 1, [f"the nodes lost each other ({error})"]
        except SignalException as stopped:
            return 128 + int(stopped.sigval), ["stopped"]
    return 0, ["done"]


def _verdict(error: ChildFailedError, logs: Path) -> tuple[int, list[str]]:
    """What ended a job: the first process that failed decides, but a mistake or a wish to stop of any counts more."""
    codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
    for status in (MISTAKE, *STOPPED):
        if status in codes.values():
            return status, []
    rank, first = min(error.failures.items(), key=lambda item: item[1].timestamp)
    how = signal.Signals(-first.exitcode).name if first.exitcode < 0 else f"exit status {first.exitcode}"
    words = [f"process {rank} of the run was lost ({how})"]
    for file in sorted(logs.rglob(f"{first.local_rank}/stderr.log")):
        words += file.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN:]
    return 1, words
