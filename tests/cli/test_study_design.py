"""vlmlab study design: what it prints, its JSON, and that it neither imports torch nor takes long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.study.made_designs import STEPS, write
from vlmlab.records.design import DesignRecord


def test_the_design_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call(monkeypatch, "study", "design", str(write(tmp_path))) == 0
    said = capsys.readouterr().out
    for words in (
        "Which hidden size?", "made on micro: 2 arms, 3 replicates each (seeds 0 to 2), paired",
        "the reference", "model.connector.hidden: 48 instead of 16", "Budget of join: updates held equal",
        "3              6", "the store saves", "large exceeds small on general", "note: Nothing is tuned",
    ):  # fmt: skip
        assert words in said, words
    assert max(map(len, said.splitlines())) <= 80


def test_what_was_solved_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    rule = {"budget": "stage_flops", "free": STEPS}
    path = write(tmp_path, change={STEPS: 400}, hold=rule)
    assert call(monkeypatch, "study", "design", str(path)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"stage flops held equal, {STEPS} solved for it" in said
    assert "instead of 400 (solved)" in said


def test_json_is_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    arguments = ("--json", "--set", "replicates=4", "--set", "machine.hardware.peak_float32=1.0e12")
    assert call(monkeypatch, "study", "design", str(write(tmp_path)), *arguments) == 0
    record = DesignRecord.model_validate_json(capsys.readouterr().out)
    assert record.seeds == [0, 1, 2, 3]
    assert record.cost.runs == 8


def test_a_mistake_is_a_message_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert call(monkeypatch, "study", "design", str(write(tmp_path)), "--set", "replicates=1") == 2
    assert "made.yaml: replicates: 1 replicate cannot tell" in capsys.readouterr().err


def test_no_torch_and_quick_after_its_imports() -> None:
    program = """
import json, sys, time
from vlmlab.study.design import design
from vlmlab.study.load import load_study
from vlmlab.study.words import design_words
start = time.process_time()
design_words(design(load_study("connectors")).record())
print(json.dumps({"seconds": time.process_time() - start, "torch": [name for name in ("torch", "transformers")
      if name in sys.modules]}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    said = json.loads(done.stdout)
    assert said["torch"] == []
    assert said["seconds"] < 2.0  # 0.3 on a quiet core
