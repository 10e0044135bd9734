"""What would be handed to a Slurm cluster."""

from __future__ import annotations

import os
import pickle
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.cli.calling import call
from vlmlab.errors import RunError
from vlmlab.recipe.load import load_machine
from vlmlab.run import submit as module
from vlmlab.run.submit import NodeJob, slurm_parameters, submit


def options(text: str) -> dict[str, str]:
    """The #SBATCH lines of a batch file."""
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH --")]
    return dict(line.partition("=")[::2] for line in lines)


def test_a_dry_run_writes_the_batch_file(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="the extra `cluster` is not installed")
    machine = load_machine(
        "eight-gpu",
        overrides=[
            "devices=16", "nodes=2", "slurm.partition=long", "slurm.hours=1.5", "slurm.memory_gib=900",
            "slurm.setup=[module load cuda]", "slurm.options={qos: high}",
        ],
    )  # fmt: skip
    job, path = submit(["run", "tiny"], machine=machine, name="tiny", folder=tmp_path, dry_run=True)
    assert job is None
    assert path is not None
    text = path.read_text()
    found = options(text)
    assert found["nodes"] == "2"
    assert found["ntasks-per-node"] == "1"
    assert found["gpus-per-node"] == "8"
    assert found["cpus-per-task"] == "128"
    assert found["time"] == "90"
    assert found["mem"] == "900GB"
    assert found["partition"] == "long"
    assert found["qos"] == "high"
    assert found["job-name"] == "vlmlab-tiny"
    assert "module load cuda" in text
    assert "srun" in text
    assert text.rstrip().endswith(shlex.join([sys.executable, "-m", "vlmlab.cli.main", "run", "tiny"]))


def test_what_a_machine_does_not_say_is_left_to_the_cluster() -> None:
    found = slurm_parameters(load_machine("laptop"), name="tiny")
    assert not {"partition", "account", "mem", "gpus_per_node", "setup"} & found.keys()


def test_the_job_travels_and_comes_back_after_it_was_interrupted() -> None:
    submitit = pytest.importorskip("submitit", reason="the extra `cluster` is not installed")
    job = pickle.loads(pickle.dumps(NodeJob(("run", "tiny"))))
    again = job.checkpoint()
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.function.arguments == ("run", "tiny")


def test_a_job_that_runs_is_told_to_save_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    submitit = pytest.importorskip("submitit", reason="the extra `cluster` is not installed")
    job = NodeJob(("run", "tiny"))
    job._process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    asked = []

    def time_is_up(number: int, frame: object) -> None:
        asked.append(job.checkpoint())

    before = signal.signal(signal.SIGUSR2, time_is_up)
    try:
        # As in a job: the signal comes while the main thread waits for the run.
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR2)).start()
        assert module._ended(job._process) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert isinstance(asked[0], submitit.helpers.DelayedSubmission)


def test_without_submitit_or_slurm_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = load_machine("laptop")
    if module.submitit is not None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(RunError, match="no `srun` on this computer"):
            submit(["run", "tiny"], machine=machine, name="tiny", folder=tmp_path / "slurm", dry_run=False)
    monkeypatch.setattr(module, "submitit", None)
    with pytest.raises(RunError, match=r"submitit is not installed; pip install 'vlmlab\[cluster\]'"):
        submit(["run", "tiny"], machine=machine, name="tiny", folder=tmp_path, dry_run=True)


def test_the_verb_prints_the_batch_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("submitit", reason="the extra `cluster` is not installed")
    assert call(monkeypatch, "submit", "tiny", "--out", str(tmp_path / "run"), "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "#SBATCH --gpus-per-node=8" in printed
    assert f"run tiny --machine eight-gpu --out {tmp_path / 'run'}" in printed
