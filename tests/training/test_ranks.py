"""Several processes train what one does; a process that is lost brings the job back, not down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.micro import loaded, micro_machine, micro_recipe
from vlmlab.data.loader import own_rows
from vlmlab.errors import DataError, RunError
from vlmlab.files import read_json, read_jsonl
from vlmlab.recipe.recipe import Recipe
from vlmlab.run.execute import run_recipe


def the_recipe() -> Recipe:
    """Every second document of the stage `join` holds no image, so that processes without any are common."""
    return micro_recipe(
        evaluation__benchmarks={},
        stages__language__batch={"rows": 2, "length": 96},
        stages__join__mixture={"captions": 1.0, "dialogues": 1.0, "facts": 2.0},
        stages__join__batch={"rows": 4, "length": 96, "images": 6, "streams": 2},
        stages__join__train={part: {"mode": "full"} for part in ("vision", "connector", "language")},
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_recipe(loaded(the_recipe()), machine=micro_machine(tmp_path_factory.mktemp("alone")))


def start(folder: Path, **settings: Any) -> subprocess.Popen[str]:
    recipe = folder / "micro.yaml"
    recipe.write_text(the_recipe().model_dump_json())
    fields = {"threads": 1, "log_every": 1, "devices": 2, "store": folder / "store", **settings}
    sets = [word for name, value in fields.items() for word in ("--set", f"machine.{name}={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "vlmlab.cli.main", "run", str(recipe), "--out", str(folder / "run"), *sets],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def same(run: Path, other: Path) -> None:
    for stage in ("vision", "language", "join"):
        ours, theirs = (read_jsonl(path / "stages" / stage / "metrics.jsonl") for path in (run, other))
        assert len(ours) == len(theirs) > 0
        for a, b in zip(ours, theirs, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
            assert a["source_losses"] == pytest.approx(b["source_losses"], rel=1e-4)
            assert a["component_norms"] == pytest.approx(b["component_norms"], rel=1e-3)
            for name in ("step", "tokens", "learned", "visual", "images", "documents", "fill", "source_learned"):
                assert a[name] == b[name], name
    assert (
        read_json(run / "stages" / "join" / "summary.json")["refusals"]
        == read_json(other / "stages" / "join" / "summary.json")["refusals"]
    )


def test_two_sharded_processes_train_what_one_does(alone: Path, tmp_path: Path) -> None:
    process = start(tmp_path, parallel="shard", checkpoint_steps=2, gradient_checkpointing="true", micro_rows=1)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    same(tmp_path / "run", alone)


def test_a_lost_process_brings_the_job_back(alone: Path, tmp_path: Path) -> None:
    process = start(tmp_path, parallel="replicate", checkpoint_steps=1, restarts=1)
    deadline = time.monotonic() + 150
    # While the second stage trains: the first one is in the store by then.
    while not list((tmp_path / "store").glob("*/stage.json")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(second_of(process.pid), signal.SIGKILL)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert "was lost (SIGKILL); starting again from the last checkpoint (1 more times at most)" in errors
    same(tmp_path / "run", alone)


def second_of(launcher: int) -> int:
    """The training process of rank 1."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            variables = (path / "environ").read_bytes().split(b"\0")
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"RANK=1" in variables and parent == launcher:
            return int(path.name)
    raise AssertionError("no process of rank 1")


def test_a_job_that_is_asked_to_stop_saves_before_it_leaves(tmp_path: Path) -> None:
    # With workers: the signal reaches the whole group of each process, and must not take them away first.
    process = start(tmp_path, workers=1, checkpoint_steps=1000)
    deadline = time.monotonic() + 150
    while not any(path.read_text() for path in (tmp_path / "store").glob("*.work/metrics.jsonl")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "stopped by SIGTERM in stage" in errors
    assert "is killed by signal" not in errors


def test_a_mistake_is_said_once_and_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.resolved.json").write_text('{"seed": 7}')
    process = start(tmp_path)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 2
    assert errors.count("another recipe lives here") == 1
    assert "starting again" not in errors


def test_rows_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(DataError, match=r"3 rows cannot be shared evenly among 2 processes; set it to a multiple of 2"):
        own_rows(3, rank=0, size=2, where="stages.join.batch.rows")


def test_one_process_does_not_pass_for_several(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="devices is 2, but this is one process on its own"):
        run_recipe(loaded(the_recipe()), machine=micro_machine(tmp_path, devices=2))
