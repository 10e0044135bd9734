"""vlmlab study run, with made runs in the place of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.micro import micro_tree
from tests.study.made_runs import MadePool, item_rows, out_of, recipe_of, write_run
from vlmlab.cli import study_run
from vlmlab.cli.study_run import open_pool, study_run_command
from vlmlab.errors import StudyError
from vlmlab.recipe.machine import Machine
from vlmlab.study import execute
from vlmlab.study.job import End, Job
from vlmlab.study.pool import LocalPool

app = typer.Typer()
app.command()(study_run_command)


LEVELS = {"mlp": {"kind": "mlp", "hidden": 24}, "linear": {"kind": "linear"}}
CLAIM = {"kind": "exceeds", "better": "mlp", "worse": "linear", "measure": "general", "effect": 40}


def train(job: Job, looks: int) -> End | None:
    its = recipe_of(job)
    level = 0.7 if its.model.connector.kind == "mlp" else 0.3
    rows = item_rows(its.model.connector.kind, its.seed, level=level, items=40)
    write_run(out_of(job), its, rows, identities=tuple(f"{name}-{its.fingerprint()}" for name in its.stages))
    return End(0, "exit status 0")


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadePool:
    """A study's page in the working directory, and a pool whose runs are made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(execute, "TICK", 0.001)
    made = MadePool(train)
    monkeypatch.setattr(study_run, "open_pool", lambda machine, **options: made)
    (tmp_path / "micro.yaml").write_text(json.dumps(micro_tree()), encoding="utf-8")
    write_study(tmp_path)
    return made


def write_study(folder: Path, **changes: Any) -> None:
    tree = {
        "name": "made",
        "question": "Which connector?",
        "base": "micro.yaml",
        "axes": {"connector": {"path": "model.connector", "levels": LEVELS}},
        "replicates": 3,
        "measures": {"general": {"benchmark": "general", "shots": 1}},
        "claims": {"better": CLAIM},
    }
    (folder / "made.yaml").write_text(json.dumps(tree | changes), encoding="utf-8")


def call(*options: str, study: str = "made.yaml") -> Result:
    return CliRunner().invoke(app, [study, *options])


def test_a_verdict_a_table_and_the_page(pool: MadePool, tmp_path: Path) -> None:
    result = call()
    assert result.exit_code == 0, result.output
    assert "mlp exceeds linear on general: holds" in result.stdout
    assert "runs/studies/made/study.html" in result.stdout
    folder = tmp_path / "runs" / "studies" / "made"
    assert {"study.json", "study.html", "table.csv", "outcomes.jsonl", "machine.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert len(pool.started) == 6
    assert "mlp at seed 0: started" in result.stderr
    call("--replicates", "4")
    assert len(pool.started) == 8


def test_json_is_the_record_and_nothing_else(pool: MadePool) -> None:
    record = json.loads(call("--json").stdout)
    assert record["claims"][0]["verdict"] == "holds"
    assert record["rerun"]


def test_no_run_trains_nothing(pool: MadePool) -> None:
    assert isinstance(call("--no-run").exception, StudyError)
    call("--replicates", "2")
    started = len(pool.started)
    result = call("--no-run")
    assert result.exit_code == 0
    assert len(pool.started) == started
    assert "cannot tell" in result.stdout


def test_runs_that_were_given_up_end_it_with_status_1(pool: MadePool) -> None:
    def lost(job: Job, looks: int) -> End | None:
        broken = recipe_of(job).seed == 2 and recipe_of(job).model.connector.kind == "linear"
        return End(-9, "killed by SIGKILL") if broken else train(job, looks)

    pool.act = lost
    result = call("--retries", "0")
    assert result.exit_code == 1
    assert "killed by SIGKILL; given up after 1 attempts" in result.stderr
    assert "missing" in result.stdout


def test_pools_and_options_that_do_not_fit() -> None:
    assert isinstance(open_pool(Machine(threads=1), on="local", jobs=3, address=None), LocalPool)
    with pytest.raises(StudyError, match="--address: names a Ray cluster; add --on ray"):
        open_pool(Machine(), on="local", jobs=None, address="127.0.0.1:6379")


def test_a_cluster_out_of_reach_is_said_at_once() -> None:
    pytest.importorskip("ray", reason="ray is not installed: the extra `cluster`")
    with pytest.raises(StudyError, match=r"--address: nothing answers at 127.0.0.1:9"):
        open_pool(Machine(), on="ray", jobs=None, address="127.0.0.1:9")
    with pytest.raises(StudyError, match="'nowhere' is not an address"):
        open_pool(Machine(), on="ray", jobs=None, address="nowhere")
