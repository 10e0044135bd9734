"""Per-item logs as other evaluators write them, with a known difference between arms."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

ITEMS = 300


def right(shift: float, *, seed: int, items: int = ITEMS) -> list[int]:
    """Right or wrong answers: items of one difficulty for all, an arm's strength, a run's own noise."""
    difficulty = np.random.default_rng(0).normal(size=items)
    return [int(each) for each in difficulty + shift + 0.7 * np.random.default_rng(seed).normal(size=items) > 0]


def lmms_rows(scores: list[int]) -> list[dict[str, object]]:
    """Rows of lmms-eval 0.7's --log_samples for a task with one plain metric."""
    return [
        {
            "doc_id": number,
            "target": f"answer {number}",
            "filtered_resps": "yes",
            "token_counts": [{"input_tokens": None, "output_tokens": 3}],
            "doc_hash": f"{number:064x}",
            "exact_match": float(score),
            "input": f"question {number}",
        }
        for number, score in enumerate(scores)
    ]


def write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lmms_log(path: Path, shift: float, *, seed: int) -> Path:
    return write_lines(path, lmms_rows(right(shift, seed=seed)))


def table_rows(scores: list[int]) -> list[dict[str, object]]:
    """Rows of VLMEvalKit's judged multiple-choice table."""
    return [
        {"index": 100 + number, "question": f"which, {number}?", "A": "cat", "B": "dog", "answer": "A",
         "prediction": "A", "category": f"kind {number % 3}", "hit": score, "log": "Match Log: ok"}
        for number, score in enumerate(scores)
    ]  # fmt: skip


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_workbook(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """An .xlsx as spreadsheet programs write it: shared strings, plain numbers."""
    strings: list[str] = []

    def cell(place: int, line: int, value: object) -> str:
        name = f"{chr(ord('A') + place)}{line}"
        if isinstance(value, str):
            strings.append(value)
            return f'<c r="{name}" t="s"><v>{len(strings) - 1}</v></c>'
        return f'<c r="{name}"><v>{value}</v></c>'

    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    body = "".join(
        f'<row r="{number}">' + "".join(cell(place, number, value) for place, value in enumerate(line)) + "</row>"
        for number, line in enumerate(lines, start=1)
    )
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{body}</sheetData></worksheet>")
        shared = "".join(f"<si><t>{escape(text)}</t></si>" for text in strings)
        archive.writestr("xl/sharedStrings.xml", f"<sst {space}>{shared}</sst>")
    return path
