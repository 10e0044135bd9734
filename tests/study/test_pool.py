"""The local pool: how many runs at once, on which devices, and that none outlives the study."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vlmlab.errors import StudyError
from vlmlab.recipe.machine import Machine
from vlmlab.study.job import End, Handle, Job, last_words
from vlmlab.study.pool import LocalPool, cores, devices


def job(folder: Path, code: str) -> Job:
    return Job((sys.executable, "-c", code), str(folder / "log.log"), str(folder), {"OMP_NUM_THREADS": "3"})


def end_of(handle: Handle, *, seconds: float = 20.0) -> End:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        end = handle.ended()
        if end is not None:
            return end
        time.sleep(0.02)
    raise AssertionError("it goes on")


def test_as_many_runs_as_cores_have_room_for() -> None:
    assert LocalPool(Machine(threads=1)).jobs == cores()
    assert LocalPool(Machine(threads=10 * cores())).jobs == 1
    assert LocalPool(Machine(threads=1), jobs=7).jobs == 7


def test_devices_are_handed_out_and_come_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7,8")
    assert devices() == ["4", "5", "6", "7", "8"]
    pool = LocalPool(Machine(device="cuda", devices=2))
    assert pool.jobs == 2
    code = "import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'], file=sys.stderr)"
    for name in ("4,5", "6,7", "4,5", "6,7"):
        assert end_of(pool.start(job(tmp_path, code))).status == 0
        assert last_words(tmp_path / "log.log").splitlines()[-1] == f"{name} 3"
    with pytest.raises(StudyError, match="devices for 2 of 2 each"):
        LocalPool(Machine(device="cuda", devices=2), jobs=3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(StudyError, match="a run takes 2 CUDA devices, and this computer has 0"):
        LocalPool(Machine(device="cuda", devices=2))


def test_how_a_run_ended(tmp_path: Path) -> None:
    pool = LocalPool(Machine(threads=1))
    assert end_of(pool.start(job(tmp_path, "raise SystemExit(3)"))) == End(3, "exit status 3")
    killed = pool.start(job(tmp_path, "import os; os.kill(os.getpid(), 9)"))
    assert end_of(killed) == End(-9, "killed by SIGKILL")
    sleeping = pool.start(job(tmp_path, "import time; time.sleep(60)"))
    assert sleeping.ended() is None
    sleeping.ask_to_stop()
    assert end_of(sleeping) == End(-15, "killed by SIGTERM")
    stubborn = pool.start(job(tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"))
    stubborn.kill()
    assert end_of(stubborn).status == -9


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_run_does_not_outlive_a_study_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tests.study.test_pool import job\n"
        "from vlmlab.recipe.machine import Machine\n"
        "from vlmlab.study.pool import LocalPool\n"
        "folder = Path(sys.argv[1])\n"
        'code = \'import os, time; open("pid", "w").write(str(os.getpid())); time.sleep(60)\'\n'
        "handle = LocalPool(Machine(threads=1)).start(job(folder, code))\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2])
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 30
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(pid.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()
