"""A study from its first run to its table: tuning trials, then the replicates of every arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmlab.files import write_json
from vlmlab.recipe.machine import Machine
from vlmlab.study.execute import Execution, Listener, Place
from vlmlab.study.gather import Gathered, gather
from vlmlab.study.job import Pool
from vlmlab.study.outcomes import Outcomes
from vlmlab.study.queue import Task
from vlmlab.study.study import Study
from vlmlab.training.interruption import Wish


@dataclass(frozen=True, slots=True)
class Conduct:
    """Where and how the runs of a study take place."""

    folder: Path
    machine: Machine
    pool: Pool
    retries: int
    wish: Wish

    def place(self) -> Place:
        """The folder with the machine's file in it."""
        machine = self.folder / "machine.json"
        write_json(machine, self.machine.plain())
        return Place(folder=self.folder, machine=machine, threads=self.machine.threads, retries=self.retries)

    def run(self, tasks: Sequence[Task], listener: Listener) -> None:
        """Run tasks to their ends."""
        outcomes = Outcomes(self.folder / "outcomes.jsonl")
        Execution(tasks, place=self.place(), pool=self.pool, outcomes=outcomes, wish=self.wish).run(listener)


def gathered(study: Study, tasks: Sequence[Task], *, reference: str, folder: Path) -> Gathered:
    """Read what the runs scored and write table.csv."""
    table = gather(tasks, measures=study.measures, reference=reference)
    table.write(folder / "table.csv")
    return table
