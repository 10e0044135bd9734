"""`python benchmarks/study.py`: a study of 4 connectors x 3 replicates, whole, widened, and killed in every way.

The runs take seconds each, most of them for starting. Counted: no stage is trained twice, and one more level trains
that level alone. Printed: CPU seconds with the store and without. Then the study is killed with SIGKILL, a run of it,
and a node of its Ray cluster: what `study run` then gathers must be the same table to the last byte.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring.bounds import Bounds
from measuring.runs import RECIPE, family

LONGEST = 600.0
"""Seconds after which a study that makes no progress is a failure."""
REPLICATES = 3
LEVELS: dict[str, Any] = {
    "mlp": {"kind": "mlp", "hidden": 48},
    "linear": {"kind": "linear"},
    "shuffle": {"kind": "pixel_shuffle", "window": 2},
    "perceiver": {"kind": "perceiver", "latents": 4, "depth": 1, "heads": 2, "head_width": 16, "kv_heads": 1},
}
ADDED = {"average": {"kind": "average_pool", "window": 2}}


def recipe() -> dict[str, Any]:
    """Two stages that all arms share, and one of their own."""
    tree = json.loads(json.dumps(RECIPE)) | {"name": "small", "about": "Seconds long."}
    language = {
        "objective": {"kind": "next_token"},
        "train": {"language": {"mode": "full"}},
        "mixture": {"facts": 1.0, "twins": 1.0},
        "duration": {"steps": 40},
        "batch": {"rows": 8, "length": 128},
        "optimizer": {"schedule": {"warmup": 5}},
    }
    vision = {
        "objective": {
            "kind": "contrastive",
            "embedding": 16,
            "text": {"width": 16, "depth": 1, "heads": 2, "mlp": 32, "max_positions": 32},
        },
        "train": {"vision": {"mode": "full"}},
        "mixture": {"captions": 1.0},
        "duration": {"steps": 40},
        "batch": {"rows": 16, "length": 64, "images": 1, "packing": False},
        "optimizer": {"schedule": {"warmup": 5}},
    }
    join = tree["stages"]["join"] | {"duration": {"steps": 60}, "optimizer": {"schedule": {"warmup": 5}}}
    tree["stages"] = {"vision": vision, "language": language, "join": join}
    asked = {"kind": "world", "family": "general", "items": 24, "shots": [0, 2], "demonstration_seeds": [0]}
    tree["evaluation"] = {"benchmarks": {"general": asked | {"decoding": {"max_tokens": 4}}}, "resamples": 100}
    return tree


class StudyJob:
    """`vlmlab study run` in a process of its own, in a folder of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True)
        (place / "small.yaml").write_text(json.dumps(recipe()), encoding="utf-8")
        machine = {"name": "bench", "threads": 1, "log_every": 5, "checkpoint_steps": 10, "store": "store"}
        (place / "machine.yaml").write_text(json.dumps(machine), encoding="utf-8")
        self.write(LEVELS)

    def write(self, levels: dict[str, Any]) -> None:
        """The study's page with these levels."""
        study = {
            "name": "connectors",
            "question": "Which connector?",
            "base": "small.yaml",
            "axes": {"connector": {"path": "model.connector", "levels": levels}},
            "replicates": REPLICATES,
            "measures": {
                "general": {"benchmark": "general", "shots": 2},
                "likelihood": {"benchmark": "general", "shots": 2, "value": "log_likelihood"},
            },
            "claims": {"one": {"kind": "exceeds", "better": "mlp", "worse": "linear", "measure": "likelihood"}},
        }
        (self.place / "study.yaml").write_text(json.dumps(study), encoding="utf-8")

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "vlmlab.cli.main", "study", "run", "study.yaml", "--machine", "machine.yaml"]
        with (self.place / "study.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *options], cwd=self.place, stdout=log, stderr=log)

    def finish(self) -> None:
        """Wait for the end. Raises RuntimeError with its last words when it fails."""
        status = self.process.wait(timeout=LONGEST)
        if status:
            words = (self.place / "study.log").read_text(encoding="utf-8")[-4000:]
            raise RuntimeError(f"the study ended with {status}:\n{words}")

    def until(self, condition: Callable[[], bool], words: str) -> None:
        """Wait for a condition while the study runs."""
        end = time.monotonic() + LONGEST
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{words} was not reached; see {self.place / 'study.log'}")
            time.sleep(0.02)

    @property
    def folder(self) -> Path:
        return self.place / "runs" / "studies" / "connectors"

    def table(self) -> bytes:
        return (self.folder / "table.csv").read_bytes()

    def ended(self) -> int:
        return len(list(self.folder.glob("arms/*/*/manifest.json")))

    def manifests(self) -> dict[str, int]:
        """When each run was finished."""
        return {str(path): path.stat().st_mtime_ns for path in self.folder.glob("arms/*/*/manifest.json")}

    def trained(self) -> Counter[str]:
        """How often each stage was trained rather than taken from the store."""
        records = [json.loads(path.read_text()) for path in self.folder.glob("arms/*/*/stages/*/summary.json")]
        return Counter(record["identity"] for record in records if not record["reused"])

    def runs(self) -> list[int]:
        """Process numbers of the runs that go on."""
        return [pid for pid in family(self.process.pid)[1:] if b"\0run\0" in _command(pid)]

    def training(self) -> bool:
        """Whether some run has a checkpoint of a stage that is not done."""
        return bool(self.runs()) and any(self.place.glob("store/*.work/checkpoints/*"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder to work in, kept afterwards; else a temporary one")
    parser.add_argument("--only", choices=("killed", "cluster"), help="one part, in a kept folder that has the whole")
    arguments = parser.parse_args()
    bounds = Bounds()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) if arguments.keep is None else arguments.keep
        if arguments.only is None:
            whole = undisturbed(folder / "whole", bounds)
        else:
            whole = (folder / "whole" / "first.csv").read_bytes()
        if arguments.only in (None, "killed"):
            killed(folder / "killed", bounds, expected=whole)
        if arguments.only in (None, "cluster"):
            lost_node(folder / "cluster", bounds, expected=whole)
    bounds.finish()


def undisturbed(place: Path, bounds: Bounds) -> bytes:
    """The study as it should go, and once more with one level more. Returns the table of the first."""
    study = StudyJob(place)
    started = time.monotonic()
    study.start()
    study.finish()
    print(f"whole: {time.monotonic() - started:.0f} s", flush=True)
    table = study.table()
    (place / "first.csv").write_bytes(table)
    counted = study.trained()
    stages = REPLICATES * (2 + len(LEVELS))
    bounds.true(
        "stages trained", len(counted) == stages and max(counted.values()) == 1,
        f"{sum(counted.values())} trainings of {stages} stages in {study.ended()} runs",
    )  # fmt: skip
    cost = json.loads((study.folder / "study.json").read_text())["cost"]
    with_store, without = cost["cpu_seconds"], cost["cpu_seconds_without_store"]
    print(f"CPU seconds of stages and evaluations: {with_store:.1f} with the store, {without:.1f} without", flush=True)
    bounds.at_most("CPU seconds with the store over those without", with_store / without, 0.9)
    before = study.manifests()
    study.write(LEVELS | ADDED)
    study.start()
    study.finish()
    new = study.trained() - counted
    after = study.manifests()
    bounds.true(
        "one level more", sum(new.values()) == REPLICATES and len(after) == len(before) + REPLICATES,
        f"{sum(new.values())} stages trained in {len(after) - len(before)} new runs",
    )  # fmt: skip
    bounds.true(
        "one level more: the other runs", all(after[path] == when for path, when in before.items()), "left as they were"
    )
    return table


def killed(place: Path, bounds: Bounds, *, expected: bytes) -> None:
    """SIGKILL to the study, then to one of its runs."""
    study = StudyJob(place)
    study.start()
    study.until(lambda: study.ended() >= 2 and study.training(), "the middle of the study")
    orphans = study.runs()
    os.kill(study.process.pid, signal.SIGKILL)
    study.process.wait()
    ended = study.ended()
    print(f"killed the study with {ended} runs done and {len(orphans)} going on", flush=True)
    study.start()
    study.until(lambda: study.ended() > ended and study.training(), "the middle of a run")
    victim = study.runs()[0]
    for pid in reversed(family(victim)):
        os.kill(pid, signal.SIGKILL)
    print(f"killed a run with {study.ended()} done", flush=True)
    study.finish()
    gone = not any(b"\0run\0" in _command(pid) for pid in orphans)
    bounds.true("runs of a killed study", gone, "none outlived it" if gone else "some still run")
    again = [json.loads(line) for line in (study.folder / "outcomes.jsonl").read_text().splitlines()]
    bounds.at_least("retries of the killed run", max(record["attempts"] for record in again) - 1, 1)
    bounds.true("table after kills", study.table() == expected, "identical" if study.table() == expected else "differs")


def lost_node(place: Path, bounds: Bounds, *, expected: bytes) -> None:
    """SIGKILL to a node of a Ray cluster of two nodes with a core each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [added(cluster) for _ in range(2)]
        study = StudyJob(place)
        study.start("--on", "ray", "--address", cluster.address)
        study.until(
            lambda: study.ended() >= 2 and any(place.glob("store/*.work/checkpoints/*")), "the middle of the study"
        )
        cluster.remove_node(nodes[0], allow_graceful=False)
        print(f"killed a node with {study.ended()} runs done", flush=True)
        added(cluster)
        study.finish()
    finally:
        cluster.shutdown()
    again = [json.loads(line) for line in (study.folder / "outcomes.jsonl").read_text().splitlines()]
    bounds.at_least("retries after the lost node", max(record["attempts"] for record in again) - 1, 1)
    bounds.true(
        "table after a lost node", study.table() == expected, "identical" if study.table() == expected else "differs"
    )


def added(cluster: Any, *, attempts: int = 5) -> Any:
    """A new node of one core. On a computer with much to do Ray gives up on one after 30 seconds."""
    for attempt in range(attempts):
        try:
            return cluster.add_node(num_cpus=1)
        except Exception:  # noqa: BLE001 - Ray raises nothing finer
            print(f"a node did not start in time ({attempt + 1})", flush=True)
    raise RuntimeError("no node could be started")


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    main()
