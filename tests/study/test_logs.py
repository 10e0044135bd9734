"""Per-item logs: the three evaluators' forms, and everything that may be wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.study.made_logs import lmms_rows, right, table_rows, write_lines, write_table, write_workbook
from tests.study.made_runs import item_rows
from vlmlab.errors import DataError, StudyError
from vlmlab.files import write_json
from vlmlab.study.logs import read_log

SCORES = right(0.0, seed=1, items=20)
NUMBERS = {str(number): float(score) for number, score in enumerate(SCORES)}


def test_lmms_eval(tmp_path: Path) -> None:
    log = read_log(write_lines(tmp_path / "m" / "20260101_000000_samples_mme.jsonl", lmms_rows(SCORES)))
    assert (log.evaluator, log.benchmark) == ("lmms-eval", "mme")
    assert log.metrics == {"exact_match": NUMBERS}
    assert log.of("exact_match") == NUMBERS


def test_lmms_eval_objects_and_metrics_of_some_items(tmp_path: Path) -> None:
    rows = [
        {"doc_id": number, "target": "yes", "filtered_resps": "yes",
         ("perception" if number % 2 else "cognition"): {"question_id": f"q{number // 4}", "score": number % 3 > 0},
         "cider": {"question_id": number, "value": 0.5 * number, "answer": "a"}}
        for number in range(8)
    ]  # fmt: skip
    log = read_log(write_lines(tmp_path / "x_samples_mme.jsonl", rows))
    assert log.metrics["perception"] == {"1": 1.0, "3": 0.0, "5": 1.0, "7": 1.0}
    assert log.metrics["cider.value"]["7"] == 3.5
    assert set(log.metrics) == {"perception", "cognition", "cider.value"}
    assert log.cluster("5", "question_id", metric="perception") == "q1"
    with pytest.raises(StudyError, match="no field 'image'"):
        log.cluster("5", "image", metric="perception")


def test_lmms_eval_version_and_shots_come_from_the_results_beside(tmp_path: Path) -> None:
    write_json(tmp_path / "d_results.json", {"versions": {"mme": 1.0}, "n-shot": {"mme": 4}})
    assert read_log(write_lines(tmp_path / "d_samples_mme.jsonl", lmms_rows(SCORES))).protocol == (
        "version 1.0",
        "shots 4",
    )


def test_filters_are_metrics_of_their_own(tmp_path: Path) -> None:
    rows = [row | {"filter": name} for name in ("strict", "loose") for row in lmms_rows(SCORES)]
    assert set(read_log(write_lines(tmp_path / "a.jsonl", rows)).metrics) == {"exact_match,strict", "exact_match,loose"}


def test_vlmlab(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a" / "evaluation"
    rows = [row.model_dump(mode="json") for row in item_rows("a", 0)]
    write_json(folder.parent / "provenance.json", {"numerics": 3, "protocol": 2})
    log = read_log(write_lines(folder / "general.jsonl", rows))
    assert (log.evaluator, log.benchmark, log.protocol) == (
        "vlmlab",
        "general",
        ("shots 1", "numerics 3", "protocol 2"),
    )
    seen = {f"{row['item']}#0": row["score"] for row in rows if row["condition"] == "image"}
    assert log.of("score") == seen
    assert log.cluster("item-3#0", "cluster", metric="score") == "scene-1"
    more = [row.model_dump(mode="json") for row in item_rows("a", 0, shots=4)]
    log = read_log(write_lines(folder / "general.jsonl", rows + more))
    assert set(log.metrics) == {"score@1", "score@4", "log_likelihood@1", "log_likelihood@4"}


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "xlsx"])
def test_vlmevalkit(tmp_path: Path, ending: str) -> None:
    rows = table_rows(SCORES)
    path = tmp_path / f"model_MMBench_result.{ending}"
    match ending:
        case "json":
            path.write_text(json.dumps(rows), encoding="utf-8")
        case "jsonl":
            write_lines(path, rows)
        case "xlsx":
            write_workbook(path, rows)
        case _:
            write_table(path, rows)
    log = read_log(path)
    assert log.evaluator == "VLMEvalKit"
    assert log.metrics == {"hit": {str(100 + number): float(score) for number, score in enumerate(SCORES)}}
    assert log.asked["101"] == "which, 1? A"
    assert log.cluster("101", "category", metric="hit") == "kind 1"


def test_columns_of_a_table(tmp_path: Path) -> None:
    """Any column of numbers by name, where none has the name of a score; an answer in numbers is none."""
    rows = [{"index": number, "answer": number, "faithful": score} for number, score in enumerate(SCORES)]
    assert read_log(write_table(tmp_path / "a.csv", rows)).metrics == {"faithful": NUMBERS}
    words = [{"index": 0, "hit": "True"}, {"index": 1, "hit": "false"}, {"index": 2, "hit": ""}]
    log = read_log(write_table(tmp_path / "b.csv", words))
    assert (log.metrics["hit"]["0"], log.metrics["hit"]["1"]) == (1.0, 0.0)
    with pytest.raises(StudyError, match="1 of 3 items have no number for hit: 2"):
        log.of("hit")


def _twice(path: Path) -> Path:
    return write_lines(path, [*lmms_rows(SCORES), lmms_rows(SCORES)[3]])


def _text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: at / "none.jsonl", "no such file"),
        (lambda at: at, "is a folder"),
        (lambda at: _text(at / "a.parquet", "PAR1"), r"cannot read \.parquet; known: \.jsonl"),
        (lambda at: _text(at / "a.jsonl", ""), "has no items"),
        (lambda at: _text(at / "a.jsonl", '{"doc_id": 0, "acc": 1}\n{"doc_id": 1, "ac'), r"a\.jsonl:2: is not JSON"),
        (lambda at: _text(at / "a.jsonl", "[1]\n"), "expected an object with the item's fields, found list"),
        (lambda at: _text(at / "a.json", '{"accuracy": 0.5}'), "expected a list of items"),
        (lambda at: _text(at / "a.csv", "index,hit\n1,0\n2\n"), r"a\.csv:3: expected 2 columns"),
        (lambda at: _text(at / "a.xlsx", "no"), "is not an .xlsx workbook"),
        (lambda at: _text(at / "a.jsonl", '{"answer": 1}\n'), "neither item .* its fields: answer"),
        (lambda at: _twice(at / "a.jsonl"), "item 3 is there twice"),
        (lambda at: _text(at / "a.csv", "index,hit\n1,0\n1,1\n"), "item 1 is there twice"),
        (lambda at: _text(at / "a.csv", "index,prediction\n1,cat\n"), "no column of numbers"),
        (lambda at: _text(at / "a.jsonl", '{"doc_id": 0, "gqa": "yes"}\n'), "no metric in it is a number"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_log(make(tmp_path))


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"index,hit\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_log(tmp_path / "a.csv")


def test_holes(tmp_path: Path) -> None:
    rows = lmms_rows(SCORES)
    rows[4]["exact_match"] = None
    with pytest.raises(StudyError, match="1 of 20 items have no number for exact_match: 4"):
        read_log(write_lines(tmp_path / "a.jsonl", rows)).of("exact_match")
