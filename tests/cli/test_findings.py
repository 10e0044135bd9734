"""vlmlab findings: the list, one finding in full, the page, and the user's mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.golden import ROOT
from tests.study.made_studies import some_studies, write_study
from vlmlab.cli.findings import call_verb
from vlmlab.files import write_text


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with four studies that ran in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr("vlmlab.study.evidence.SHIPPED", tmp_path / "none")
    for record in some_studies():
        write_study(record, tmp_path / "runs" / "studies")
    return tmp_path


def test_the_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "findings") == 0
    shown = capsys.readouterr().out
    assert sum(line.split()[0] in ("V-2", "A-1", "M-D2") for line in shown.splitlines() if line.split()) == 3
    (line,) = (line for line in shown.splitlines() if line.startswith("V-3 "))
    assert line.split()[-5:] == ["yes*", "connectors", "disagrees", "60", "min"]
    assert "7 of 105 findings have a verdict" in shown


def test_filters(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "findings", "--paper", "vila", "--family", "frozen or trained", "--testable", "yes") == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("V-")]
    assert names == ["V-1", "V-2", "V-4", "V-12", "V-14"]
    assert call(monkeypatch, "findings", "--paper", "VILA", "--testable", "no") == 0
    assert "no finding fits these filters" in capsys.readouterr().out


def test_in_full(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "findings", "a-1", "V-2") == 0
    shown = capsys.readouterr().out
    assert "discrete VAE tokens    64.0       74.5  memory" in shown
    assert "disagrees with: FL-5, I2-F3, ID1-1" in shown
    assert "At 4 shots the trained language model binds better" in " ".join(shown.split())


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "findings", "V-2", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in shown["rows"]] == ["V-2"]
    assert shown["rows"][0]["published"]["margin"] == 11.2
    assert shown["rows"][0]["agreement"] == "agrees"
    assert shown["track"][0]["agrees"] == 2
    assert call(monkeypatch, "findings", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 105


def test_the_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert call(monkeypatch, "findings", "report") == 0
    assert capsys.readouterr().out.endswith("report: runs/findings.html\n")
    assert "+11.2" in (here / "runs" / "findings.html").read_text(encoding="utf-8")
    assert call(monkeypatch, "findings", "report", "--out", "there") == 0
    assert (here / "there" / "findings.html").is_file()


def test_run_is_study_run(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr("vlmlab.cli.findings.call_verb", lambda *arguments: called.append(arguments))
    assert call(monkeypatch, "findings", "run", "V-2") == 0
    assert called == [("study", "run", str(ROOT / "studies" / "vila" / "frozen-language-model.yaml"))]


def test_another_verb_is_called_as_from_its_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    call_verb("explain", "model.connector.kind")
    assert capsys.readouterr().out.startswith("model.connector.kind")


def test_damaged_records_are_told_and_do_not_hide_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    write_text(here / "runs" / "studies" / "frozen" / "study.json", "{")
    assert call(monkeypatch, "findings", "V-3", "V-2") == 0
    shown = capsys.readouterr()
    assert "frozen/study.json: no record of a study" in shown.err
    assert "disagrees" in shown.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("V2",), "V2: no such finding; did you mean 'V-2'?"),
        (("--paper", "Vilna"), "did you mean 'VILA'?"),
        (("--family", "mixture"), "--family: 'mixture' fits no finding"),
        (("run",), "expected one id"),
        (("run", "V-99"), "V-99: no such finding"),
        (("run", "I2-F6a"), "I2-F6a: no study tests it yet; recipes lack splitting of images into views"),
        (("report", "V-2"), "report: takes no ids"),
    ],
)
def test_the_users_mistakes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], problem: str
) -> None:
    assert call(monkeypatch, "findings", *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert problem in shown.err


def test_the_list_imports_neither_torch_nor_scipy() -> None:
    program = """
        import contextlib, io, sys
        from vlmlab.cli.main import main
        sys.argv = ["vlmlab", "findings"]
        with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
            main()
        assert "A-1" in shown.getvalue()
        heavy = {"torch", "numpy", "scipy", "statsmodels", "transformers", "ray"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, check=True, timeout=60)
