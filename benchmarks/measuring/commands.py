"""CPU time of whole commands, interleaved, with the difference of a command against itself (A/A)."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Seconds of each counted run."""

    cpu: list[float]
    wall: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.cpu)


def cpu_of(command: Sequence[str]) -> tuple[float, float]:
    """CPU and wall seconds of one run of a command; its output is thrown away. Raises when the command fails."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, after.elapsed - before.elapsed


def interleaved(commands: dict[str, Sequence[str]], *, runs: int) -> dict[str, Times]:
    """Run each command once unmeasured, then `runs` times in turn."""
    times: dict[str, Times] = {name: Times([], []) for name in commands}
    for command in commands.values():
        cpu_of(command)
    for _ in range(runs):
        for name, command in commands.items():
            cpu, wall = cpu_of(command)
            times[name].cpu.append(cpu)
            times[name].wall.append(wall)
    return times
