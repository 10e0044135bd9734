import json
from pathlib import Path

from typer.testing import CliRunner

from tests.report.made_run import write_run
from vlmlab.cli.main import app


def test_json_is_one_object_and_writes_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "made")
    result = CliRunner().invoke(app, ["report", str(run), "--json"])
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["scores"]) == 18
    assert not (run / "report.html").exists()


def test_table_and_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "made")
    result = CliRunner().invoke(app, ["report", str(run)])
    assert result.exit_code == 0
    assert "report.html" in result.stdout
    assert "141.6" in result.stdout
    assert (run / "report.html").exists()
