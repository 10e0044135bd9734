import json
from pathlib import Path

import pytest

from tests.report.made_run import recipe, write_run
from vlmlab.errors import RunError
from vlmlab.files import file_digest, read_json, write_json
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.read import read_items, read_run
from vlmlab.records.run import TIMED_FIELDS, StageRecord, StepRecord, untimed


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "made")


def test_reads_everything(run: Path) -> None:
    record = read_run(run)
    assert record.name() == "made"
    assert record.fingerprint() == recipe().fingerprint()
    assert [stage.record.name for stage in record.stages] == ["vision", "text", "joined"]
    assert len(record.stages[0].steps) == 60
    assert record.evaluation is not None
    assert len(record.evaluation.scores) == 18
    assert record.manifest is not None
    assert len(record.gallery) == 24
    assert read_items(run, "general")[0].prediction == "red"


def test_resolved_recipe_is_a_recipe_again(run: Path) -> None:
    text = (run / "recipe.resolved.json").read_text(encoding="utf-8")
    assert Recipe.model_validate_json(text).fingerprint() == recipe().fingerprint()


def test_unfinished_run_without_manifest_is_readable(tmp_path: Path) -> None:
    assert read_run(write_run(tmp_path / "made", complete=False)).manifest is None


def test_no_benchmarks_need_no_evaluation(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "made", evaluated=False))
    assert record.evaluation is None
    assert record.gallery == ()


def test_missing_run_names_its_neighbour(run: Path) -> None:
    with pytest.raises(RunError, match=r"no such run directory; did you mean 'made'\?"):
        read_run(run.parent / "maed")


def test_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no recipe\.resolved\.json, so this is not a run directory; give the folder"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "provenance.json",
        "stages/text/summary.json",
        "stages/joined/metrics.jsonl",
        "evaluation/summary.json",
        "evaluation/gallery.json",
    ],
)
def test_missing_file(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(RunError, match=rf"{name}: the file is missing; the run is not finished, and `vlmlab run`"):
        read_run(run)


def test_reused_stage_may_lack_its_curve(run: Path) -> None:
    (run / "stages" / "text" / "metrics.jsonl").unlink()
    assert read_run(run).stages[1].steps == ()


def test_cut_json(run: Path) -> None:
    path = run / "evaluation" / "summary.json"
    path.write_text(path.read_text()[:500])
    with pytest.raises(RunError, match=r"summary\.json: line \d+ is not JSON .*damaged"):
        read_run(run)


def test_cut_line(run: Path) -> None:
    path = run / "stages" / "vision" / "metrics.jsonl"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(RunError, match=r"metrics\.jsonl: line 60 is not JSON"):
        read_run(run)


def test_not_text(run: Path) -> None:
    (run / "stages" / "vision" / "metrics.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match="not UTF-8 text"):
        read_run(run)


def test_wrong_field_is_named(run: Path) -> None:
    path = run / "stages" / "vision" / "summary.json"
    write_json(path, read_json(path) | {"steps": "many"})
    with pytest.raises(RunError, match=r"summary\.json: steps: .*integer.*expected a StageRecord"):
        read_run(run)


def test_gallery_entry_is_named(run: Path) -> None:
    path = run / "evaluation" / "gallery.json"
    rows = read_json(path)
    del rows[3]["prediction"]
    write_json(path, rows)
    with pytest.raises(RunError, match=r"gallery\.json: entry 3: prediction: Field required"):
        read_run(run)


def test_changed_file_is_refused(run: Path) -> None:
    manifest, summary = run / "manifest.json", run / "evaluation" / "summary.json"
    value = read_json(manifest)
    value["files"] = {"evaluation/summary.json": file_digest(summary)}
    write_json(manifest, value)
    read_run(run)
    summary.write_text(summary.read_text().replace("71.4", "99.4"))
    with pytest.raises(RunError, match=r"not the one that the run wrote: its SHA-256 differs from manifest\.json"):
        read_run(run)


def test_unknown_benchmark(run: Path) -> None:
    with pytest.raises(RunError, match="no items of benchmark 'genral'; did you mean 'general'"):
        read_items(run, "genral")


def test_line_separator_inside_a_text_is_no_line_end(run: Path) -> None:
    path = run / "evaluation" / "general.jsonl"
    row = json.loads(path.read_text()) | {"prediction": "a\u2028b"}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_items(run, "general")[0].prediction == "a\u2028b"


def test_untimed_records_hold_all_but_times(run: Path) -> None:
    row = read_run(run).stages[0].steps[0]
    assert set(untimed(row)) == set(StepRecord.model_fields) - set(TIMED_FIELDS)
    slower = row.model_copy(update=dict.fromkeys(TIMED_FIELDS, 7.0))
    assert untimed(slower) == untimed(row)
    known = set(StepRecord.model_fields) | set(StageRecord.model_fields)
    assert set(TIMED_FIELDS) <= known
    for name in known - set(TIMED_FIELDS):
        assert not any(word in name for word in ("second", "memory", "mfu")), name
