"""Trackers: every step once however often a run stops, offline unless asked otherwise, a missing package named."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.micro import micro_machine, micro_recipe
from tests.report.made_run import made_steps
from vlmlab.errors import RunError
from vlmlab.files import write_jsonl
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import StepRecord
from vlmlab.run.trackers import Tensorboard, Trackers, Wandb, figures, open_trackers

ROWS = made_steps("joined", steps=60, last=0.7, tokens_per_step=1000, seconds=12.0)


def needs(name: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(missing, reason=f"{name} is not installed; it is in the extra `trackers`")


class Metrics:
    """A file of metrics that grows as a stage does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def grow(self, trackers: Trackers, first: int, last: int) -> None:
        """Lines number `first` to `last`, each written and then told."""
        for number in range(first, last + 1):
            write_jsonl(self.path, [row.model_dump(mode="json") for row in ROWS[:number]])
            trackers.step("joined", ROWS[number - 1], metrics=self.path)


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return Metrics(tmp_path / "metrics.jsonl")


@pytest.fixture
def recipe() -> Recipe:
    return micro_recipe()


# ---- with stand-ins that note what they are told ----


class Writer:
    """Notes what torch's SummaryWriter would write, in a file, so that it can be removed like one."""

    def __init__(self, log_dir: str, flush_secs: int) -> None:
        self.path = Path(log_dir) / "events"
        self.path.parent.mkdir(parents=True)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        with self.path.open("a") as handle:
            handle.write(f"{step} {name}\n")

    def close(self) -> None:
        with self.path.open("a") as handle:
            handle.write("closed\n")


def events(run: Path, stage: str = "joined") -> list[str]:
    return (run / "tensorboard" / stage / "events").read_text().splitlines()


def steps_of(lines: list[str], name: str = "loss") -> list[int]:
    return [int(line.split()[0]) for line in lines if line.endswith(f" {name}")]


class FakeWandb(ModuleType):
    """Notes calls in the manner of wandb; an offline run leaves a folder, an online one its last step."""

    def __init__(self, *, done: int = -1) -> None:
        super().__init__("wandb")
        self.done = done
        self.calls: list[dict[str, Any]] = []
        self.logged: list[int] = []
        self.finished = 0

    def Settings(self, **settings: object) -> dict[str, object]:
        return settings

    def init(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        (Path(arguments["dir"]) / "wandb" / f"offline-run-2026-{arguments['id']}").mkdir(parents=True)
        return SimpleNamespace(step=self.done + 1, log=self._log, finish=self._finish)

    def _log(self, values: dict[str, float], step: int) -> None:
        assert values["loss"] > 0
        self.logged.append(step)

    def _finish(self) -> None:
        self.finished += 1


def test_a_line_becomes_named_numbers() -> None:
    found = figures(ROWS[0])
    assert found["loss"] == ROWS[0].loss
    assert found["loss_by_source/pages"] == ROWS[0].source_losses["pages"]
    assert found["gradient_norm_by_component/language"] == ROWS[0].component_norms["language"]
    assert found["learning_rate/language"] == 3e-4
    assert found["throughput/mfu"] == ROWS[0].mfu
    assert found["memory/peak_gib"] == pytest.approx(612 / 1024)
    assert all(isinstance(value, (int, float)) for value in found.values())


def test_what_an_old_line_does_not_hold_is_left_out() -> None:
    needed = {name: value for name, value in ROWS[0] if StepRecord.model_fields[name].is_required()}
    found = figures(StepRecord(**needed | {"loss": None}))
    assert "loss" not in found
    assert "throughput/mfu" not in found
    assert found["progress/tokens"] == 10_000


def test_a_continued_stage_has_every_step_once(tmp_path: Path, metrics: Metrics) -> None:
    def interrupted() -> None:
        with Trackers([Tensorboard(Writer, run=tmp_path)]) as trackers:
            metrics.grow(trackers, 1, 4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps_of(events(tmp_path)) == [10, 20, 30, 40]
    assert events(tmp_path)[-1] == "closed"
    # The checkpoint was at line 2: the monitor cut the file there, and lines 3 and 4 come again.
    with Trackers([Tensorboard(Writer, run=tmp_path)]) as trackers:
        metrics.grow(trackers, 3, 6)
        trackers.finish("joined", metrics=metrics.path)
    assert steps_of(events(tmp_path)) == [10, 20, 30, 40, 50, 60]


def test_a_stage_from_the_store_gets_its_curves(tmp_path: Path, metrics: Metrics) -> None:
    write_jsonl(metrics.path, [row.model_dump(mode="json") for row in ROWS])
    with Trackers([Tensorboard(Writer, run=tmp_path)]) as trackers:
        trackers.finish("text", metrics=metrics.path)
        trackers.finish("empty", metrics=tmp_path / "missing.jsonl")
    assert steps_of(events(tmp_path, "text")) == [row.step for row in ROWS]
    assert events(tmp_path, "empty") == ["closed"]


def test_nothing_is_read_where_no_tracker_is_named(tmp_path: Path) -> None:
    with Trackers() as trackers:
        trackers.step("joined", ROWS[0], metrics=tmp_path / "missing.jsonl")
        trackers.finish("joined", metrics=tmp_path / "missing.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_mode(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return monkeypatch


def test_wandb_is_offline_and_replaces_its_own_earlier_run(
    tmp_path: Path, metrics: Metrics, recipe: Recipe, no_mode: pytest.MonkeyPatch
) -> None:
    for first, last in ((1, 4), (3, 6)):
        module = FakeWandb()
        with Trackers([Wandb(module, run=tmp_path, recipe=recipe)]) as trackers:
            metrics.grow(trackers, first, last)
        assert module.finished == 1
        assert module.logged == [row.step for row in ROWS[:last]]
    (call,) = module.calls
    assert call["mode"] == "offline"
    assert call["dir"] == str(tmp_path)
    assert (call["group"], call["name"]) == (tmp_path.name, f"{tmp_path.name}/joined")
    assert call["config"] == recipe.plain()
    assert len(list((tmp_path / "wandb").iterdir())) == 1


def test_wandb_follows_the_users_mode_and_sends_no_step_twice(
    tmp_path: Path, metrics: Metrics, recipe: Recipe, no_mode: pytest.MonkeyPatch
) -> None:
    no_mode.setenv("WANDB_MODE", "online")
    module = FakeWandb(done=30)
    with Trackers([Wandb(module, run=tmp_path, recipe=recipe)]) as trackers:
        metrics.grow(trackers, 3, 6)
    assert module.calls[0]["mode"] == "online"
    assert module.calls[0]["resume"] == "allow"
    assert module.logged == [40, 50, 60]


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_missing_package_is_named(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    machine = micro_machine(tmp_path, trackers=(name,))
    with pytest.raises(RunError, match=rf"trackers names {name}, which cannot be imported .*vlmlab\[trackers\]"):
        open_trackers(machine, run=tmp_path, recipe=recipe)


# ---- with the packages themselves ----


@needs("tensorboard")
def test_event_files(tmp_path: Path, metrics: Metrics, recipe: Recipe) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    machine = micro_machine(tmp_path, trackers=("tensorboard",))
    for first, last in ((1, 4), (3, 6)):
        with open_trackers(machine, run=tmp_path, recipe=recipe) as trackers:
            metrics.grow(trackers, first, last)
    read = EventAccumulator(str(tmp_path / "tensorboard" / "joined"))
    read.Reload()
    assert [event.step for event in read.Scalars("loss")] == [10, 20, 30, 40, 50, 60]
    assert [event.value for event in read.Scalars("loss")] == pytest.approx([row.loss for row in ROWS], rel=1e-6)
    assert set(read.Tags()["scalars"]) == set(figures(ROWS[0]))


@needs("wandb")
def test_offline_run(tmp_path: Path, metrics: Metrics, recipe: Recipe, no_mode: pytest.MonkeyPatch) -> None:
    machine = micro_machine(tmp_path, trackers=("wandb",))
    for first, last in ((1, 4), (3, 6)):
        with open_trackers(machine, run=tmp_path, recipe=recipe) as trackers:
            metrics.grow(trackers, first, last)
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    assert file.stat().st_size > 1000
