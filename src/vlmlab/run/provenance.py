"""Where a run comes from: versions, revision, machine, command."""

from __future__ import annotations

import datetime
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from vlmlab.evaluate.contract import PROTOCOL
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import Provenance
from vlmlab.run.identity import NUMERICS


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def git_revision() -> str | None:
    """Revision of the source checkout, with a + where it has uncommitted changes; None when installed otherwise."""
    here = Path(__file__).parent
    try:
        revision = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision.stdout.strip() + ("+" if changes.stdout.strip() else "")


def provenance(machine: Machine, *, base: Recipe | None, base_name: str | None) -> Provenance:
    """The provenance of a run that starts now."""
    return Provenance(
        vlmlab=metadata.version("vlmlab"),
        git=git_revision(),
        python=platform.python_version(),
        torch=metadata.version("torch"),
        transformers=metadata.version("transformers"),
        platform=platform.platform(),
        processor=_processor(),
        started=now(),
        command=[Path(sys.argv[0]).name, *sys.argv[1:]],
        machine=machine.plain(),
        base=None if base is None else base.plain(),
        base_name=base_name,
        numerics=NUMERICS,
        protocol=PROTOCOL,
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
