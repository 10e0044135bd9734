import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.report.made_study import made_study, write_study
from vlmlab.cli.study_report import study_folder, study_report_command
from vlmlab.errors import StudyError

app = typer.Typer()
app.command()(study_report_command)


def test_page_and_verdicts(tmp_path: Path) -> None:
    folder = write_study(made_study(), tmp_path / "connectors")
    result = CliRunner().invoke(app, [str(folder)])
    assert result.exit_code == 0
    assert "shuffle_reads_better" in result.stdout
    assert f"report: {folder / 'study.html'}" in result.stdout
    assert (folder / "study.html").is_file()


def test_json_is_the_record_and_writes_nothing(tmp_path: Path) -> None:
    record = made_study()
    folder = write_study(record, tmp_path / "connectors")
    result = CliRunner().invoke(app, [str(folder), "--json"])
    assert json.loads(result.stdout) == json.loads(record.model_dump_json())
    assert [path.name for path in folder.iterdir()] == ["study.json"]


def test_csv_writes_the_tables_and_prints_where(tmp_path: Path) -> None:
    folder = write_study(made_study(), tmp_path / "connectors")
    result = CliRunner().invoke(app, [str(folder), "--csv"])
    written = [Path(line) for line in result.stdout.splitlines()]
    assert [path.name for path in written] == ["claims.csv", "arms.csv", "benchmarks.csv"]
    assert all(path.is_file() for path in written)
    assert not (folder / "study.html").exists()


def test_json_and_csv_together_are_refused(tmp_path: Path) -> None:
    folder = write_study(made_study(), tmp_path / "connectors")
    result = CliRunner().invoke(app, [str(folder), "--csv", "--json"])
    assert isinstance(result.exception, StudyError)


def test_a_study_is_found_by_folder_file_and_name(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "connectors").mkdir(parents=True)
    file = tmp_path / "any.yaml"
    file.write_text("name: connectors\nquestion: Which?\n")
    for given in (str(runs / "connectors"), str(file), "connectors"):
        assert study_folder(given, runs=runs) == runs / "connectors"


def test_what_is_no_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"`vlmlab study run STUDY` makes one"):
        study_folder("conectors", runs=tmp_path / "runs")
    (tmp_path / "runs" / "connectors").mkdir(parents=True)
    with pytest.raises(StudyError, match=r"did you mean 'connectors'\?"):
        study_folder("conectors", runs=tmp_path / "runs")
    file = tmp_path / "list.yaml"
    file.write_text("- 1\n")
    with pytest.raises(StudyError, match="expected a study file with a `name`"):
        study_folder(str(file))
    file.write_bytes(b"name: [\n")
    with pytest.raises(StudyError, match="not a study file"):
        study_folder(str(file))
