"""Runs on a Ray cluster that is started here: how they end, stop, and get lost."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="ray is not installed: the extra `cluster`")

from vlmlab.errors import StudyError
from vlmlab.recipe.machine import Machine
from vlmlab.study import cluster
from vlmlab.study.cluster import RayPool, reach
from vlmlab.study.job import End, Handle, Job, last_words


@pytest.fixture(scope="module")
def pool() -> Generator[RayPool]:
    made = RayPool(Machine(threads=1))
    yield made
    made.close()


def job(folder: Path, name: str, code: str) -> Job:
    variables = {"OMP_NUM_THREADS": "3"}
    return Job((sys.executable, "-c", code), str(folder / f"{name}.log"), str(folder), variables)


def end_of(handle: Handle) -> End:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        end = handle.ended()
        if end is not None:
            return end
        time.sleep(0.05)
    raise AssertionError("it goes on")


def test_runs_end_as_processes_do(pool: RayPool, tmp_path: Path) -> None:
    assert pool.room(0)
    assert not pool.room(10_000)
    assert pool.lacking() == ""
    words = "import os, sys; print(os.environ['OMP_NUM_THREADS'], os.getcwd(), file=sys.stderr)"
    fine = pool.start(job(tmp_path, "fine", words))
    killed = pool.start(job(tmp_path, "killed", "import os; os.kill(os.getpid(), 9)"))
    assert end_of(fine) == End(0, "exit status 0")
    assert last_words(tmp_path / "fine.log") == f"3 {tmp_path}"
    assert end_of(killed) == End(-9, "killed by SIGKILL")


def test_a_wish_to_stop_reaches_the_run(pool: RayPool, tmp_path: Path) -> None:
    code = "import time; open('begun', 'w').close(); time.sleep(60)"
    handle = pool.start(job(tmp_path, "long", code))
    until(tmp_path / "begun")
    assert handle.ended() is None
    handle.ask_to_stop()
    assert end_of(handle) == End(-15, "killed by SIGTERM")
    assert not (tmp_path / "long.stop").exists()


def test_a_lost_worker_is_a_fault_of_the_machine_and_takes_its_run_along(pool: RayPool, tmp_path: Path) -> None:
    code = "import os, time; open('pid', 'w').write(f'{os.getpid()} {os.getppid()}'); time.sleep(60)"
    handle = pool.start(job(tmp_path, "lost", code))
    until(tmp_path / "pid")
    child, worker = map(int, (tmp_path / "pid").read_text().split())
    os.kill(worker, signal.SIGKILL)
    end = end_of(handle)
    assert end.status is None
    assert "was lost" in end.words
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def test_a_run_that_no_node_has_room_for_is_said(pool: RayPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_cores", 10_000)
    assert pool.lacking().startswith("the cluster has no node with 10000 CPUs")


def test_what_answers_but_is_no_cluster_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ANSWER", 4.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StudyError, match=rf"127.0.0.1:{port}"):
            reach(f"127.0.0.1:{port}")


def until(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and (path.stat().st_size or path.name == "begun")) and time.monotonic() < deadline:
        time.sleep(0.05)
