"""Reading study.json back, and the few facts that several parts of its page need."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vlmlab.errors import StudyError
from vlmlab.records.study import ArmRecord, BudgetRecord, CellRecord, ClaimRecord, StudyRecord
from vlmlab.report.markup import Markup, join, raw
from vlmlab.wording import count, flops_words, seconds_words

CONDITIONAL = "conditional on this checkpoint"
"""Stands wherever a result appears whose shared stages were trained once for all replicates."""


def read_study(folder: Path) -> StudyRecord:
    """The record of a study. Raises StudyError where there is none, or where it is damaged."""
    path = folder / "study.json"
    if not path.is_file():
        raise StudyError(
            str(folder), "found no study.json; `vlmlab study run STUDY` writes it when the first replicates have ended"
        )
    try:
        return StudyRecord.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        raise StudyError(str(path), f"not UTF-8 text ({error.reason} at byte {error.start}); {_REMEDY}") from error
    except json.JSONDecodeError as error:
        raise StudyError(str(path), f"line {error.lineno} is not JSON ({error.msg}); {_REMEDY}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the value"
        raise StudyError(str(path), f"{field}: {first['msg']}; {_REMEDY}") from error


_REMEDY = "the file is damaged or of another version: `vlmlab study run STUDY` gathers it again from its runs"


def conditional(record: StudyRecord) -> bool:
    """Whether every result of the study is conditional on one checkpoint."""
    return record.sharing == "across"


def unit_of(record: StudyRecord, measure: str) -> str:
    """points or nats: that of the claims on the measure, or on one that it is a part of."""
    return next((claim.unit for claim in record.claims if claim.measure == measure), "points")


def measures(record: StudyRecord) -> list[str]:
    """Measures in the order in which the table has them."""
    return list(dict.fromkeys(cell.measure for cell in record.cells))


def cells_of(record: StudyRecord, measure: str) -> list[CellRecord]:
    """One measure's cells in the order of the arms."""
    by_arm = {cell.arm: cell for cell in record.cells if cell.measure == measure}
    return [by_arm[arm.name] for arm in record.arms if arm.name in by_arm]


def claims_by_unit(record: StudyRecord) -> dict[str, list[ClaimRecord]]:
    """Claims that share an axis."""
    groups: dict[str, list[ClaimRecord]] = {}
    for claim in record.claims:
        groups.setdefault(claim.unit, []).append(claim)
    return groups


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget of BudgetRecord in words."""

    field: str
    title: str
    of: Callable[[BudgetRecord], float | None]
    words: Callable[[float], str]


BUDGETS: Sequence[Budget] = (
    Budget("updates", "updates", lambda row: row.updates, count),
    Budget("examples", "examples", lambda row: row.examples, count),
    Budget("images", "images", lambda row: row.images, count),
    Budget("supervised_tokens", "supervised tokens", lambda row: row.supervised_tokens, count),
    Budget("positions", "positions of the language model", lambda row: row.positions, count),
    Budget("patches", "patches", lambda row: row.patches, count),
    Budget("stage_flops", "useful operations, stages that differ", lambda row: row.stage_flops, flops_words),
    Budget("total_flops", "useful operations, everything", lambda row: row.total_flops, flops_words),
    Budget("cpu_seconds", "CPU time", lambda row: row.cpu_seconds, seconds_words),
)


def held_field(record: StudyRecord) -> str | None:
    """The budget that the record's words say was held equal: `updates of stages.joined` is `updates`."""
    said = record.hold.replace("_", " ")
    return next((row.field for row in BUDGETS if said.startswith((row.field.replace("_", " "), row.title))), None)


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the plan ended."""

    planned: int
    ended: int
    diverged: int
    missing: int


def progress(record: StudyRecord) -> Progress:
    """Replicates over all arms."""
    return Progress(
        planned=len(record.seeds) * len(record.arms),
        ended=sum(len(arm.replicates) for arm in record.arms),
        diverged=sum(len(arm.diverged) for arm in record.arms),
        missing=sum(len(arm.missing) for arm in record.arms),
    )


def arm_name(name: str) -> Markup:
    """An arm's name, which may break after its slashes and underscores and nowhere else if that is enough."""
    pieces = re.split(r"(?<=[/_])", name)
    return join(pieces, between=raw("<wbr>").html)


def arm_state(arm: ArmRecord) -> str:
    """`5 ended`, `4 ended, 1 diverged (seed 3), 1 missing (seed 4)`."""
    parts = [f"{len(arm.replicates)} ended"]
    if arm.diverged:
        parts.append(f"{len(arm.diverged)} of them diverged ({seeds_words(arm.diverged)})")
    if arm.missing:
        parts.append(f"{len(arm.missing)} missing ({seeds_words(arm.missing)})")
    return ", ".join(parts)


def seeds_words(seeds: Sequence[int]) -> str:
    """`seed 3`, `seeds 0 to 4`, `seeds 1, 4`.

    >>> seeds_words([0, 1, 2]), seeds_words([7]), seeds_words([1, 4])
    ('seeds 0 to 2', 'seed 7', 'seeds 1, 4')
    """
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}" if seeds else "no seed"
