"""A run continues from its checkpoints to the last bit, and from nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.micro import loaded, micro_machine, micro_recipe
from vlmlab.errors import Diverged, Interrupted, RunError
from vlmlab.files import read_json, read_jsonl, write_json
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import TIMED_FIELDS, StepRecord
from vlmlab.run.execute import Silent, run_recipe
from vlmlab.training.checkpoint import checkpoints, find_checkpoint, seal
from vlmlab.training.step import clip_gradients
from vlmlab.training.world import World


class Acting(Silent):
    """Does something once, at a step of a stage."""

    def __init__(self, stage: str, step: int, act: Any) -> None:
        object.__setattr__(self, "at", (stage, step))
        object.__setattr__(self, "act", act)

    def step(self, name: str, row: StepRecord, done: float) -> None:
        if (name, row.step) == self.at:  # ty: ignore[unresolved-attribute]
            self.act()  # ty: ignore[unresolved-attribute]


def the_recipe(**changes: Any) -> Recipe:
    stages = {"stages__join__batch": {"rows": 4, "length": 128, "images": 6, "streams": 2}}
    return micro_recipe(evaluation__benchmarks={}, **stages, **changes)


def figures(run: Path, stage: str = "join") -> list[dict[str, Any]]:
    rows = read_jsonl(run / "stages" / stage / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name not in TIMED_FIELDS} for row in rows]


def weights(run: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((run / "model").glob("*.safetensors"))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_recipe(loaded(the_recipe()), machine=micro_machine(tmp_path_factory.mktemp("whole"), log_every=4))


def stop_in_join(folder: Path, **settings: Any) -> tuple[Machine, Path]:
    """Send SIGTERM in the middle of the stage `join`; the machine and the stage's checkpoints."""
    machine = micro_machine(folder, log_every=1, **settings)
    with pytest.raises(Interrupted, match="stopped by SIGTERM in stage join at step 4; saved"):
        run_recipe(
            loaded(the_recipe()),
            machine=machine,
            watcher=Acting("join", 3, lambda: os.kill(os.getpid(), signal.SIGTERM)),
        )
    (work,) = Path(machine.store).glob("*.work")
    return machine, work / "checkpoints"


def test_sigterm_saves_and_the_run_continues_to_the_same_end(whole: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    machine, folder = stop_in_join(tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before
    assert [path.name for path in checkpoints(folder)] == ["step-00000004"]
    # Another cadence of lines, workers and micro-batches is the machine's business.
    again = machine.model_copy(update={"log_every": 4, "workers": 1})
    run = run_recipe(loaded(the_recipe()), machine=again)
    assert weights(run) == weights(whole)
    assert figures(run)[-1]["loss"] != 0
    for name in ("step", "tokens", "learned", "visual", "images", "documents", "useful_flops"):
        assert figures(run)[-1][name] == figures(whole)[-1][name]


def test_figures_between_two_lines_survive(whole: Path, tmp_path: Path) -> None:
    machine = micro_machine(tmp_path, log_every=4, checkpoint_steps=3)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(loaded(the_recipe()), machine=machine, watcher=Acting("join", 4, raise_interrupt))
    run = run_recipe(loaded(the_recipe()), machine=machine)
    for stage in ("language", "join"):
        assert figures(run, stage) == figures(whole, stage)


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine, folder = stop_in_join(tmp_path, checkpoint_steps=2)
    assert [path.name for path in checkpoints(folder)] == ["step-00000002", "step-00000004"]
    (shard,) = (folder / "step-00000004").glob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(bytes(content))
    manifest = read_json(folder / "step-00000002" / "manifest.json")
    found = find_checkpoint(folder, content=manifest["content"])
    assert found is not None
    assert found.step == 2
    assert "step-00000004 is damaged" in caplog.text
    run = run_recipe(loaded(the_recipe()), machine=machine)
    assert weights(run) == weights(whole)
    assert [row["step"] for row in figures(run)] == [1, 2, 3, 4, 5, 6]


def test_nothing_unfinished_is_taken_for_a_checkpoint(whole: Path, tmp_path: Path) -> None:
    machine, folder = stop_in_join(tmp_path)
    target = folder / "step-00000005"
    shutil.copytree(folder / "step-00000004", folder / ".partial-step-00000005")
    shutil.copytree(folder / "step-00000004", target)
    (target / "manifest.json").unlink()
    (target.parent.parent / "metrics.jsonl").open("a").write('{"step": 5, "loss"')
    run = run_recipe(loaded(the_recipe()), machine=machine)
    assert weights(run) == weights(whole)


def test_only_the_last_few_are_kept(tmp_path: Path) -> None:
    _, folder = stop_in_join(tmp_path, checkpoint_steps=1, checkpoints=3)
    assert [path.name for path in checkpoints(folder)] == ["step-00000002", "step-00000003", "step-00000004"]


def test_a_good_checkpoint_is_not_pruned_for_a_damaged_later_one(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for step in (100, 200):
        (folder / f"step-{step:08d}").mkdir(parents=True)
    partial = folder / ".partial-step-00000120"
    partial.mkdir()
    seal(partial, folder / "step-00000120", manifest={}, keep=2)
    assert [path.name for path in checkpoints(folder)] == ["step-00000100", "step-00000120"]


def test_a_checkpoint_of_another_recipe_is_refused_with_the_fields_named(tmp_path: Path) -> None:
    machine, folder = stop_in_join(tmp_path)
    (path,) = checkpoints(folder)
    manifest = read_json(path / "manifest.json")
    manifest["content"]["stage"]["optimizer"]["learning_rate"] = 0.5
    write_json(path / "manifest.json", manifest)
    with pytest.raises(
        RunError, match=r"belongs to another recipe \(stage\.optimizer\.learning_rate: 0\.5 there, 0\.001 now\)"
    ):
        run_recipe(loaded(the_recipe()), machine=machine)


def test_killed_without_warning(whole: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "micro.yaml"
    recipe.write_text(the_recipe().model_dump_json())
    command = [
        sys.executable, "-m", "vlmlab.cli.main", "run", str(recipe), "--out", str(tmp_path / "run"),
        *(word for name, value in {"threads": 1, "log_every": 4, "workers": 1, "checkpoint_steps": 1,
                                   "store": tmp_path / "store"}.items()
          for word in ("--set", f"machine.{name}={value}")),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "store").glob("*.work/checkpoints/step-*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.wait()
    machine = micro_machine(tmp_path, log_every=4, store=str(tmp_path / "store"))
    run = run_recipe(loaded(the_recipe()), machine=machine, out=tmp_path / "run")
    assert weights(run) == weights(whole)
    for stage in ("vision", "language", "join"):
        assert figures(run, stage) == figures(whole, stage)


def spoil(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Make the gradient of some steps infinite."""
    calls = [0]

    def spoiled(optimizer: torch.optim.Optimizer, components: list[str], *, clip: float, world: World) -> Any:
        calls[0] += 1
        if calls[0] in steps:
            optimizer.param_groups[0]["params"][0].grad.fill_(torch.inf)
        return clip_gradients(optimizer, components, clip=clip, world=world)

    monkeypatch.setattr("vlmlab.training.step.clip_gradients", spoiled)


def test_steps_that_are_not_finite_change_nothing_and_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = micro_recipe(evaluation__benchmarks={}, stages__language__nonfinite_steps=2)
    spoil(monkeypatch, {4, 6})  # the second and fourth of the language stage, after three of vision
    run = run_recipe(loaded(recipe), machine=micro_machine(tmp_path))
    rows = figures(run, "language")
    assert [row["skipped"] for row in rows] == [1, 1, 2, 2]
    assert [row["loss"] is None for row in rows] == [True, False, True, False]
    assert read_json(run / "stages" / "language" / "summary.json")["skipped"] == 2


def test_too_many_of_them_stop_the_run_and_name_the_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recipe = micro_recipe(evaluation__benchmarks={}, stages__language__nonfinite_steps=1)
    spoil(monkeypatch, {4, 5})
    with pytest.raises(
        Diverged, match=r"stages\.language: 2 steps had a loss or gradient that is not finite[\s\S]*step 2: \w+#\d"
    ):
        run_recipe(loaded(recipe), machine=micro_machine(tmp_path), out=tmp_path / "run")
    assert read_json(tmp_path / "run" / "diverged.json")["where"] == "stages.language"
