"""Runs in processes of their own: started, killed without warning, and compared."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vlmlab.files import read_jsonl
from vlmlab.records.run import TIMED_FIELDS

RECIPE: dict[str, Any] = {
    "name": "standing",
    "about": "One stage over a packed mixture with and without images, small enough to be killed many times.",
    "precision": "float32",
    "model": {
        "vision": {"kind": "siglip", "width": 32, "depth": 2, "heads": 2, "mlp": 64, "patch": 8, "side": 32},
        "image": {"policy": "square", "side": 32},
        "connector": {"kind": "pixel_shuffle", "window": 2},
        "language": {"kind": "llama", "width": 48, "depth": 2, "heads": 2, "mlp": 96, "max_positions": 256},
    },
    "tokenizer": {"kind": "bpe", "vocabulary": 400, "documents": 60},
    "data": {
        "world": {"entities": 6, "words": 8, "scenes": {"master": 48, "objects": [1, 2]}},
        "sources": {
            "captions": {"kind": "world", "family": "captions", "size": 500},
            "dialogues": {"kind": "world", "family": "dialogues", "size": 500},
            "facts": {"kind": "world", "family": "facts", "size": 500},
            "twins": {"kind": "world", "family": "twins", "size": 500},
        },
    },
    "stages": {
        "join": {
            "objective": {"kind": "next_token"},
            "train": {component: {"mode": "full"} for component in ("vision", "connector", "language")},
            "mixture": {"captions": 0.2, "dialogues": 0.2, "facts": 0.3, "twins": 0.3},
            "duration": {"steps": 50},
            "batch": {"rows": 8, "length": 192, "images": 9, "streams": 4},
            "optimizer": {"learning_rate": 1e-3, "schedule": {"warmup": 10}},
        }
    },
    "evaluation": {"benchmarks": {}},
}
"""Some rows hold no image, and most steps have rows of both kinds."""


def write_recipe(folder: Path, *, steps: int) -> Path:
    """The recipe with its own number of steps, as a file."""
    tree = json.loads(json.dumps(RECIPE))
    tree["stages"]["join"]["duration"] = {"steps": steps}
    path = folder / "standing.yaml"
    path.write_text(json.dumps(tree, indent=1), encoding="utf-8")
    return path


class Job:
    """One `vlmlab run` in processes of its own."""

    def __init__(self, recipe: Path, *, place: Path, settings: dict[str, Any]) -> None:
        self.place = place
        self._settings = settings | {"store": str(place / "store"), "threads": 1}
        self._command = [sys.executable, "-m", "vlmlab.cli.main", "run", str(recipe), "--out", str(place / "run")]
        for name, value in self._settings.items():
            self._command += ["--set", f"machine.{name}={value}"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; standard error is kept in a file beside the run."""
        self.place.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with (self.place / "stderr.log").open("ab") as errors:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.DEVNULL, stderr=errors, env=environment, start_new_session=True
            )

    @property
    def running(self) -> bool:
        assert self._process is not None
        return self._process.poll() is None

    def wait(self) -> int:
        """The exit status."""
        assert self._process is not None
        return self._process.wait()

    def run(self) -> None:
        """From start to end. Raises RuntimeError with its last words when it fails."""
        self.start()
        status = self.wait()
        if status:
            words = (self.place / "stderr.log").read_text(encoding="utf-8")[-4000:]
            raise RuntimeError(f"{' '.join(self._command)} ended with {status}:\n{words}")

    def ask_to_stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL to every process of the job at once, so that none can clean up."""
        assert self._process is not None
        for pid in reversed(family(self._process.pid)):
            _kill(pid)
        self._process.wait()

    def ranks(self) -> list[int]:
        """Process numbers of the training processes that a launcher started."""
        assert self._process is not None
        found = []
        for pid in family(self._process.pid)[1:]:
            try:
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if any(variable.startswith(b"RANK=") for variable in variables) and b"vlmlab.cli.main" in command:
                found.append(pid)
        return found

    def step(self) -> int:
        """The last step that the metrics tell of; 0 before the first."""
        for path in self.place.glob("store/*.work/metrics.jsonl"):
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
            if lines:
                return int(json.loads(lines[-1])["step"])
        return 0

    def partial(self) -> set[tuple[str, int, int]]:
        """Temporary folders of checkpoints: name, inode and time of making, so that a new one is told from an old."""
        found = set()
        for path in self.place.glob("store/*.work/checkpoints/.partial-*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.add((path.name, status.st_ino, status.st_ctime_ns))
        return found

    def metrics(self) -> list[dict[str, Any]]:
        """Every logged figure but times."""
        rows = read_jsonl(self.place / "run" / "stages" / "join" / "metrics.jsonl")
        return [{name: value for name, value in row.items() if name not in TIMED_FIELDS} for row in rows]

    def weights(self) -> dict[str, bytes]:
        """The trained model's files."""
        return {path.name: path.read_bytes() for path in sorted((self.place / "run" / "model").glob("*.safetensors"))}

    def finished(self) -> bool:
        return (self.place / "run" / "manifest.json").exists()


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        children = []
    found = [pid]
    for child in children:
        found += family(int(child))
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            others = [int(child) for child in thread.read_text(encoding="ascii").split()]
        except OSError:
            continue
        for child in others:
            if child not in found:
                found += family(child)
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def until(condition: Any, *, job: Job, seconds: float, pause: float = 0.002) -> bool:
    """Wait for a condition while the job runs; whether it came true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and job.running:
        if condition():
            return True
        time.sleep(pause)
    return False
