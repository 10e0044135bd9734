"""How the runs of a study ended: read from their directories, kept in outcomes.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from vlmlab.errors import StudyError
from vlmlab.files import read_json, write_jsonl
from vlmlab.records.run import DivergenceRecord, Manifest, ProgressRecord
from vlmlab.records.study import OutcomeRecord
from vlmlab.study.queue import Task

State = Literal["waiting", "running", "finished", "diverged", "failed"]


def state_of(folder: Path) -> Literal["open", "finished", "diverged"]:
    """What a run directory says: finished, diverged, or still to be run to its end."""
    if (folder / "manifest.json").exists():
        return "finished"
    return "diverged" if (folder / "diverged.json").exists() else "open"


def divergence(folder: Path) -> DivergenceRecord:
    """Why a run diverged."""
    return DivergenceRecord.model_validate(read_json(folder / "diverged.json"))


def manifest(folder: Path) -> Manifest:
    """The manifest of a finished run. Raises StudyError where it is damaged."""
    try:
        return Manifest.model_validate(read_json(folder / "manifest.json"))
    except (ValueError, ValidationError) as error:
        raise StudyError(
            str(folder / "manifest.json"), f"cannot be read ({error}); remove the run directory and run the study again"
        ) from error


def progress(folder: Path) -> ProgressRecord | None:
    """Where a run stands, as it last said; None before it said anything."""
    try:
        return ProgressRecord.model_validate(read_json(folder / "progress.json"))
    except (OSError, ValueError):
        return None


def finished_stages(task: Task) -> set[str]:
    """Keys of the stages that the run has behind it, trained or taken from the store."""
    return {
        key
        for name, key in zip(task.recipe.stages, task.stages, strict=True)
        if (task.folder / "stages" / name / "summary.json").exists()
    }


class Outcomes:
    """outcomes.jsonl of a study: one line for each run that ended, the last time it did."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: dict[tuple[str, int, str, float | None], OutcomeRecord] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                record = OutcomeRecord.model_validate(json.loads(line))
                self._records[_key(record)] = record

    def get(self, task: Task) -> OutcomeRecord | None:
        return self._records.get((task.arm, task.seed, task.purpose, task.trial))

    def add(self, record: OutcomeRecord) -> None:
        """Keep a record; the file is rewritten as a whole."""
        self._records[_key(record)] = record
        write_jsonl(self._path, [each.model_dump(mode="json") for each in self._records.values()])

    def of(self, tasks: Iterable[Task]) -> list[OutcomeRecord]:
        """Records of the tasks that ended, in the order of the tasks."""
        return [record for task in tasks if (record := self.get(task)) is not None]


def _key(record: OutcomeRecord) -> tuple[str, int, str, float | None]:
    return (record.arm, record.seed, record.purpose, record.trial)
