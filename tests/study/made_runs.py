"""Run directories as `vlmlab run` leaves them, made without training; and a pool whose runs are such directories."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from tests.micro import micro_recipe
from vlmlab.files import file_digest, write_json, write_jsonl
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import (
    EvaluationRecord,
    ItemRecord,
    Manifest,
    Provenance,
    ScoreRecord,
    StageRecord,
    StepRecord,
)
from vlmlab.study.job import End, Handle, Job
from vlmlab.study.queue import Task

RECIPE = micro_recipe()
ITEMS = 6


def task(arm: str, seed: int, *, folder: Path, stages: tuple[str, ...] = ("a", "b", "c"), **changes: object) -> Task:
    """A run of the micro recipe under a name."""
    recipe = RECIPE.model_copy(update={"seed": seed})
    return Task(arm, seed, folder / "arms" / arm / f"seed-{seed}", recipe, stages, **changes)  # ty: ignore


def item_rows(
    arm: str, seed: int, *, benchmark: str = "general", shots: int = 1, level: float = 0.5, items: int = ITEMS
) -> list[ItemRecord]:
    """Scores drawn at a level, with the image and without."""
    draws = random.Random(f"{arm}/{seed}/{benchmark}")
    return [
        ItemRecord(
            benchmark=benchmark, item=f"item-{number}", cluster=f"scene-{number // 2}", shots=shots,
            demonstration_seed=0 if shots else None, condition=condition, question="what is it?", answers=["red"],
            prediction="red", score=float(draws.random() < (level if condition == "image" else 0.2)),
            log_likelihood=-draws.random(), prompt="",
        )
        for condition in ("image", "blank")
        for number in range(items)
    ]  # fmt: skip


def write_run(
    folder: Path,
    recipe: Recipe,
    rows: list[ItemRecord],
    *,
    trained: tuple[str, ...] = (),
    identities: tuple[str, ...] = ("a", "b", "c"),
    numerics: int = 1,
    protocol: int = 1,
) -> None:
    """A finished run: stages with a curve each, one benchmark's items, the manifest."""
    write_json(folder / "recipe.resolved.json", recipe.plain())
    provenance = Provenance(
        vlmlab="0", git=None, python="3", torch="2", transformers="5", platform="x", processor="y", started="z",
        command=[], machine={"name": "made"}, base=None, base_name=None, numerics=numerics, protocol=protocol,
    )  # fmt: skip
    write_json(folder / "provenance.json", provenance.model_dump(mode="json"))
    for name, identity in zip(recipe.stages, identities, strict=True):
        stage = StageRecord(
            name=name, objective="next_token", identity=identity, reused=name not in trained, steps=4, tokens=400,
            learned=100, visual=80, images=16, documents=20, loss_first=3.0, loss_last=2.0, useful_flops=1e9,
            seconds=2.0, cpu_seconds=1.5, ledger=[], refusals={},
        )  # fmt: skip
        steps = [
            StepRecord(
                step=step, loss=3.0 - step / 4, tokens=100 * step, learned=25 * step, visual=20 * step, images=4 * step,
                documents=5 * step, learning_rate={}, gradient_norm=1.0, fill=1.0, seconds=0.5 * step,
                data_seconds=0.0, cpu_seconds=0.4 * step,
            )
            for step in (2, 4)
        ]  # fmt: skip
        write_json(folder / "stages" / name / "summary.json", stage.model_dump(mode="json"))
        write_jsonl(folder / "stages" / name / "metrics.jsonl", [row.model_dump(mode="json") for row in steps])
    benchmarks: dict[str, list[ItemRecord]] = {}
    for row in rows:
        benchmarks.setdefault(row.benchmark, []).append(row)
    for benchmark, its in benchmarks.items():
        write_jsonl(folder / "evaluation" / f"{benchmark}.jsonl", [row.model_dump(mode="json") for row in its])
    scores = [
        ScoreRecord(
            benchmark=benchmark, metric="vqa_accuracy", shots=its[0].shots, items=len(its) // 2,
            score=_mean(its, "image"), interval=(0, 100), blank=_mean(its, "blank"), blank_interval=(0, 100),
            gain=0.0, gain_interval=(-1, 1), log_likelihood=-0.5,
        )
        for benchmark, its in benchmarks.items()
    ]  # fmt: skip
    summary = EvaluationRecord(confidence=0.95, scores=scores, shot_gains=[], seconds=1.0, cpu_seconds=0.5)
    write_json(folder / "evaluation" / "summary.json", summary.model_dump(mode="json"))
    write_json(folder / "evaluation" / "gallery.json", [])
    files = {str(path.relative_to(folder)): file_digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    done = Manifest(
        name=recipe.name, fingerprint=recipe.fingerprint(), finished="2026-01-01", seconds=3.0, cpu_seconds=2.5,
        files=files,
    )  # fmt: skip
    write_json(folder / "manifest.json", done.model_dump(mode="json"))


def write_diverged(folder: Path) -> None:
    """A run that ended because numbers were no longer finite."""
    write_json(folder / "diverged.json", {"where": "stages.join", "reason": "4 steps had a loss that is not finite"})


def _mean(rows: list[ItemRecord], condition: str) -> float:
    scores = [row.score for row in rows if row.condition == condition]
    return 100.0 * sum(scores) / max(1, len(scores))


class MadePool:
    """Runs jobs by a function: it is called at every look with the job and the number of the look, and says how the
    job ended, or None."""

    def __init__(self, act: Callable[[Job, int], End | None], *, jobs: int = 2) -> None:
        self.act = act
        self.jobs = jobs
        self.started: list[str] = []
        self.alive = 0
        self.most = 0

    def room(self, running: int) -> bool:
        return running < self.jobs

    def start(self, job: Job) -> Handle:
        self.started.append(name_of(job))
        self.alive += 1
        self.most = max(self.most, self.alive)
        return _Made(self, job)

    def lacking(self) -> str:
        return ""

    def close(self) -> None:
        return


class _Made:
    def __init__(self, pool: MadePool, job: Job) -> None:
        self.pool = pool
        self.job = job
        self.looks = 0
        self.end: End | None = None

    def ended(self) -> End | None:
        if self.end is None:
            self.looks += 1
            self.end = self.pool.act(self.job, self.looks)
            self.pool.alive -= self.end is not None
        return self.end

    def ask_to_stop(self) -> None:
        self.end = self.end or End(143, "exit status 143")

    def kill(self) -> None:
        self.end = End(-9, "killed by SIGKILL")


def out_of(job: Job) -> Path:
    """The run directory that a job writes."""
    return Path(job.command[job.command.index("--out") + 1])


def recipe_of(job: Job) -> Recipe:
    """The recipe that a job runs."""
    return Recipe.model_validate_json(json.dumps(json.loads(Path(job.command[4]).read_text(encoding="utf-8"))))


def name_of(job: Job) -> str:
    """ARM/seed-N."""
    return "/".join(out_of(job).parts[-2:])
