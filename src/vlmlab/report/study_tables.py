"""The tables of a study as CSV: claims with their verdicts, arms by measure, arms by benchmark."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from vlmlab.files import write_text
from vlmlab.records.study import ClaimRecord, StudyRecord
from vlmlab.report.study_record import CONDITIONAL, cells_of, conditional, measures, unit_of

Value = str | float | int | None


def write_study_tables(folder: Path, record: StudyRecord) -> list[Path]:
    """Write claims.csv, arms.csv and benchmarks.csv beside study.json and return their paths."""
    tables = {"claims.csv": claims_csv, "arms.csv": arms_csv, "benchmarks.csv": benchmarks_csv}
    paths = []
    for name, written in tables.items():
        path = folder / name
        write_text(path, written(record))
        paths.append(path)
    return paths


def claims_csv(record: StudyRecord) -> str:
    """A row a claim. Numbers keep every digit; what is not known is an empty cell."""
    head = (
        "claim kind words finding measure unit verdict because estimate low high alone_low alone_high standard_error "
        "degrees_of_freedom p p_adjusted effect margin power replicates needed condition"
    )
    return _csv(head, (_claim(claim, record) for claim in record.claims))


def _claim(claim: ClaimRecord, record: StudyRecord) -> list[Value]:
    return [
        claim.name, claim.kind, claim.words, claim.finding, claim.measure, claim.unit, claim.verdict, claim.because,
        claim.estimate, *_ends(claim.interval), *_ends(claim.interval_alone), claim.standard_error,
        claim.degrees_of_freedom, claim.p_value, claim.p_adjusted, claim.effect, claim.margin, claim.power,
        claim.replicates, claim.needed, CONDITIONAL if claim.conditional or conditional(record) else None,
    ]  # fmt: skip


def arms_csv(record: StudyRecord) -> str:
    """A row an arm and measure: the mean over replicates with its interval. table.csv has the single replicates."""
    head = "arm measure unit mean low high replicates diverged missing blank condition"
    arms = {arm.name: arm for arm in record.arms}
    condition = CONDITIONAL if conditional(record) else None
    rows = (
        [
            cell.arm, cell.measure, unit_of(record, cell.measure), cell.mean, *_ends(cell.interval),
            len(cell.replicates), len(arms[cell.arm].diverged), len(arms[cell.arm].missing), cell.blank, condition,
        ]
        for measure in measures(record)
        for cell in cells_of(record, measure)
    )  # fmt: skip
    return _csv(head, rows)


def benchmarks_csv(record: StudyRecord) -> str:
    """A row an arm, benchmark and number of shots."""
    head = "arm benchmark metric shots score blank deviation condition"
    condition = CONDITIONAL if conditional(record) else None
    rows = (
        [row.arm, row.benchmark, row.metric, row.shots, row.score, row.blank, row.deviation, condition]
        for row in record.benchmarks
    )
    return _csv(head, rows)


def _ends(interval: tuple[float, float] | None) -> Sequence[float | None]:
    return (None, None) if interval is None else interval


def _csv(head: str, rows: Iterable[Sequence[Value]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head.split())
    writer.writerows(rows)
    return text.getvalue()
