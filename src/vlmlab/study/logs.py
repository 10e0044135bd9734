"""Per-item logs of vlmlab, lmms-eval and VLMEvalKit as one form: for every metric a number an item.

vlmlab       evaluation/BENCHMARK.jsonl; items by name and demonstration seed; score and log_likelihood, or
             score@SHOTS where a benchmark was asked at several numbers of shots
lmms-eval    DATE_samples_TASK.jsonl; items by doc_id; what process_results gave: a number, or an object with a score
VLMEvalKit   the judged table, .xlsx, .csv, .tsv or .json; items by index; hit, score and the like, else any numbers
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vlmlab.errors import DataError, StudyError, near
from vlmlab.files import read_json
from vlmlab.study.log_rows import Row, read_rows

Evaluator = Literal["vlmlab", "lmms-eval", "VLMEvalKit"]

_ABOUT_THE_ITEM = {
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "doc_hash", "prompt_hash",
    "target_hash", "token_counts", "input", "input_media", "idx", "sample_len",
}  # fmt: skip
"""Fields of an lmms-eval row that are no metric."""
_JUDGED = (
    "hit", "score", "eval_score", "match", "acc", "accuracy", "correct", "is_correct", "anls", "eval_match", "rating",
)  # fmt: skip
"""Columns in which VLMEvalKit's data sets keep an item's score."""
_NAMES_OF_ITEMS = {"index", "id", "question_id", "doc_id", "qid", "idx", "g_index"}
_BOOLEANS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Log:
    """One log: one checkpoint asked the items of one benchmark."""

    path: Path
    evaluator: Evaluator
    benchmark: str | None
    protocol: tuple[str, ...]
    """What must be equal for scores to be comparable: versions, shots."""
    rows: Mapping[str, Row]
    """By item."""
    asked: Mapping[str, str]
    """What tells that an item of the same name is another question: its question and reference answer."""
    metrics: Mapping[str, Mapping[str, float]]
    """By metric: the number of every item that has one. NaN where the log has a hole."""

    def of(self, metric: str) -> Mapping[str, float]:
        """The items of a metric. Raises StudyError for an unknown metric and for items without a number."""
        if metric not in self.metrics:
            raise StudyError(str(self.path), f"no metric {metric!r}{near(metric, self.metrics)}")
        found = self.metrics[metric]
        holes = [item for item, value in found.items() if not math.isfinite(value)]
        if holes:
            raise StudyError(
                str(self.path),
                f"{len(holes)} of {len(found)} items have no number for {metric}: {shortened(holes)}; score them, or "
                "take them out of every log",
            )
        return found

    def cluster(self, item: str, field: str, *, metric: str) -> str:
        """What a field says of an item: a field of its row, of its document, or of its metric's object."""
        row = self.rows[item]
        for place in (row, row.get("doc"), row.get(metric)):
            if isinstance(place, dict) and field in place and not isinstance(place[field], (dict, list)):
                return str(place[field])
        known = [name for name in row if name not in ("prompt", "prediction", "filtered_resps", "resps")]
        known += [name for place in (row.get("doc"), row.get(metric)) if isinstance(place, dict) for name in place]
        raise StudyError(str(self.path), f"item {item} has no field {field!r} to cluster by{near(field, known)}")


def read_log(path: Path) -> Log:
    """Read a log of any of the three evaluators. Raises DataError for what cannot be read or holds an item twice."""
    rows = read_rows(path)
    first = rows[0]
    if {"benchmark", "item", "score", "condition"} <= first.keys():
        return _vlmlab(path, rows)
    if "doc_id" in first:
        return _lmms_eval(path, rows)
    if any(name in first for name in ("index", "id")):
        return _table(path, rows)
    raise DataError(
        str(path),
        f"an item has neither item (vlmlab), doc_id (lmms-eval) nor index (VLMEvalKit); its fields: "
        f"{', '.join(map(str, list(first)[:12]))}",
    )


def shortened(names: Iterable[str], most: int = 3) -> str:
    """The first few names.

    >>> shortened(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    every = list(names)
    more = len(every) - most
    return ", ".join(every[:most]) + (f" and {more} more" if more > 0 else "")


def _vlmlab(path: Path, rows: list[Row]) -> Log:
    seen = [row for row in rows if row.get("condition") == "image"]
    if not seen:
        raise DataError(str(path), "has only the blank-image control")
    shots = sorted({row.get("shots", 0) for row in seen})
    by_item: dict[str, Row] = {}
    metrics: dict[str, dict[str, float]] = {}
    for row in seen:
        seed = row.get("demonstration_seed")
        item = f"{row['item']}" if seed is None else f"{row['item']}#{seed}"
        by_item.setdefault(item, row)
        for name in ("score", "log_likelihood"):
            metric = name if len(shots) == 1 else f"{name}@{row.get('shots', 0)}"
            _put(metrics.setdefault(metric, {}), item, _number(row.get(name)), path=path)
    protocol = tuple(f"shots {count}" for count in shots)
    provenance = path.parent.parent / "provenance.json"
    if provenance.is_file():
        made = read_json(provenance)
        protocol += tuple(f"{name} {made[name]}" for name in ("numerics", "protocol") if made.get(name) is not None)
    asked = {item: f"{row.get('question')} {row.get('answers')}" for item, row in by_item.items()}
    return Log(path, "vlmlab", seen[0]["benchmark"], protocol, by_item, asked, metrics)


def _lmms_eval(path: Path, rows: list[Row]) -> Log:
    filters = {row.get("filter") for row in rows}
    by_item: dict[str, Row] = {}
    metrics: dict[str, dict[str, float]] = {}
    for row in rows:
        if "doc_id" not in row:
            raise DataError(str(path), f"an item after {shortened(list(by_item)[-1:])} has no doc_id")
        item = str(row["doc_id"])
        by_item.setdefault(item, row)
        suffix = f",{row['filter']}" if len(filters) > 1 else ""
        for name, value in _numbers(row).items():
            _put(metrics.setdefault(name + suffix, {}), item, value, path=path)
    for item, row in by_item.items():
        for name in row.keys() & metrics.keys():
            if row[name] is None:
                metrics[name].setdefault(item, math.nan)
    if not metrics:
        raise DataError(
            str(path),
            f"no metric in it is a number for each item; its fields: {', '.join(map(str, rows[0]))}. Benchmarks that "
            "are scored by a server or as a whole (as GQA's consistency) have none",
        )
    named = re.search(r"samples_(.+)$", path.stem)
    asked = {item: str(row.get("target")) for item, row in by_item.items()}
    benchmark = named[1] if named else None
    return Log(path, "lmms-eval", benchmark, _lmms_protocol(path, benchmark), by_item, asked, metrics)


def _numbers(row: Row) -> dict[str, float]:
    """Metrics of an lmms-eval row. An object counts by its `score`, else by each number in it that names no item."""
    found: dict[str, float] = {}
    for name, value in row.items():
        if name in _ABOUT_THE_ITEM:
            continue
        if isinstance(value, dict):
            if _is_number(value.get("score")):
                found[name] = _number(value["score"])
                continue
            found |= {
                f"{name}.{part}": _number(inner)
                for part, inner in value.items()
                if _is_number(inner) and part not in _NAMES_OF_ITEMS
            }
        elif _is_number(value):
            found[name] = _number(value)
    return found


def _lmms_protocol(path: Path, task: str | None) -> tuple[str, ...]:
    """Task version and shots, from the DATE_results.json beside the samples."""
    results = path.with_name(re.sub(r"_samples_.+$", "_results.json", path.name))
    if results == path or not results.is_file():
        return ()
    whole = read_json(results)
    found = {name: (whole.get(key) or {}).get(task) for name, key in (("version", "versions"), ("shots", "n-shot"))}
    return tuple(f"{name} {value}" for name, value in found.items() if value is not None)


def _table(path: Path, rows: list[Row]) -> Log:
    name_of_items = "index" if "index" in rows[0] else "id"
    by_item: dict[str, Row] = {}
    for row in rows:
        item = _plain(row.get(name_of_items))
        if item in by_item:
            raise DataError(str(path), f"item {item} is there twice")
        by_item[item] = row
    columns = {name: {item: _number(row.get(name)) for item, row in by_item.items()} for name in rows[0]}
    numeric = {
        name: values
        for name, values in columns.items()
        if name.lower() not in _NAMES_OF_ITEMS and any(map(math.isfinite, values.values()))
    }
    judged = {name: values for name, values in numeric.items() if name.lower() in _JUDGED}
    # An answer such as 12 is a number, too, and no score.
    others = {name: values for name, values in numeric.items() if name.lower() not in ("answer", "prediction", "gt")}
    metrics = judged or others
    if not metrics:
        raise DataError(
            str(path),
            f"no column of numbers among {', '.join(map(str, rows[0]))}; expected the table that the evaluation "
            "wrote, with a column such as hit or score, not the one with predictions only",
        )
    asked = {item: f"{row.get('question')} {_plain(row.get('answer'))}" for item, row in by_item.items()}
    return Log(path, "VLMEvalKit", None, (), by_item, asked, metrics)


def _put(into: dict[str, float], item: str, value: float, *, path: Path) -> None:
    if item in into:
        raise DataError(
            str(path), f"item {item} is there twice; expected one answer an item (logs of two runs in one file?)"
        )
    into[item] = value


def _plain(value: Any) -> str:
    """An index as text: 12.0, as spreadsheets have it, is 12."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def _number(value: Any) -> float:
    """The value as a number; NaN where it is none."""
    if _is_number(value):
        return float(value)
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        try:
            return float(text)
        except ValueError:
            return math.nan
    return math.nan
