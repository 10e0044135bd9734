"""`python benchmarks/ranks.py`: one, two and four processes train the same.

The first 50 losses of 1, 2 and 4 gloo processes, replicated and in shards, agree within 1e-5 relative in float32, with
the same documents in the same order, where some processes hold rows without any image. A checkpoint of four processes
continues on two and on one. One of four is killed: the job starts again from its last checkpoint and ends with the same
losses.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from measuring.bounds import Bounds
from measuring.runs import Job, until, write_recipe
from vlmlab.data.loader import StageLoader
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import build_tokenizer
from vlmlab.recipe.load import load_recipe

STEPS = 50
CLOSE = 1e-5
"""Largest relative difference of two losses."""


def main() -> None:
    bounds = Bounds()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = write_recipe(folder, steps=STEPS)
        documents(recipe, bounds)
        jobs: dict[str, Job] = {}
        for size, parallel in ((1, "auto"), (2, "replicate"), (2, "shard"), (4, "replicate"), (4, "shard")):
            words = f"{size} processes, {parallel}" if size > 1 else "one process"
            settings = {"devices": size, "parallel": parallel, "log_every": 1, "checkpoint_steps": 10}
            jobs[words] = Job(recipe, place=folder / words.replace(", ", "-").replace(" ", "-"), settings=settings)
            jobs[words].run()
            print(f"{words}: losses {', '.join(f'{loss:.6f}' for loss in losses(jobs[words])[:4])} ...", flush=True)
        reference = jobs["one process"]
        for words, job in list(jobs.items())[1:]:
            close(bounds, f"one process and {words}", reference, job)
        continued(folder, recipe, bounds, reference)
        lost(folder, recipe, bounds, jobs["4 processes, shard"])
    bounds.finish()


def losses(job: Job) -> list[float]:
    return [row["loss"] for row in job.metrics()]


def close(bounds: Bounds, words: str, first: Job, second: Job) -> None:
    """Losses within CLOSE; counts of tokens, documents and images equal."""
    ours, theirs = first.metrics(), second.metrics()
    apart = max(abs(a["loss"] - b["loss"]) / abs(a["loss"]) for a, b in zip(ours, theirs, strict=True))
    bounds.at_most(f"{words}: largest relative difference of {len(ours)} losses", apart, CLOSE)
    names = ("step", "tokens", "learned", "visual", "images", "documents", "fill", "source_learned")
    wrong = [a["step"] for a, b in zip(ours, theirs, strict=True) if any(a[name] != b[name] for name in names)]
    bounds.true(f"{words}: counts of every step", not wrong, f"steps that differ: {wrong}" if wrong else "equal")


def documents(recipe: Path, bounds: Bounds) -> None:
    """Keys of every row of the first steps, read by each process of a world and laid together again."""
    loaded = load_recipe(recipe).recipe
    sources = open_sources(loaded.data, root=Path(), names=loaded.drawn_sources())
    tokenizer = build_tokenizer(loaded, sources)

    def keys(size: int) -> list[list[tuple[str, ...]]]:
        own = {"recipe": loaded, "stage": "join", "tokenizer": tokenizer, "sources": sources}
        loaders = [StageLoader(**own, workers=0, prefetch=1, rank=rank, size=size) for rank in range(size)]
        return [[row for loader in loaders for row in next(loader).batch.keys] for _ in range(STEPS)]

    alone = keys(1)
    for size in (2, 4, 8):
        bounds.true(
            f"documents of {STEPS} steps, one process and {size}", keys(size) == alone, "the same in the same rows"
        )
    texts = sum(not loaded_row for loaded_row in images_by_row(loaded, tokenizer, sources))
    print(f"rows without an image: {texts} of {STEPS * 8}")


def images_by_row(recipe: Any, tokenizer: Any, sources: Any) -> list[int]:
    loader = StageLoader(
        recipe=recipe, stage="join", tokenizer=tokenizer, sources=sources, workers=0, prefetch=1
    )  # fmt: skip
    found: list[int] = []
    for _ in range(STEPS):
        batch = next(loader).batch
        found += [sum(span.row == row for span in batch.spans) for row in range(batch.num_rows)]
    return found


def continued(folder: Path, recipe: Path, bounds: Bounds, reference: Job) -> None:
    """Four processes are asked to stop half way; two and one go on from what they saved."""
    settings: dict[str, Any] = {"parallel": "shard", "log_every": 1, "checkpoint_steps": 1000}
    four = Job(recipe, place=folder / "stopped", settings=settings | {"devices": 4})
    four.start()
    assert until(lambda: four.step() >= STEPS // 3, job=four, seconds=300), "four processes made no progress"
    status = four.ask_to_stop()
    saved = four.step()
    bounds.true("four processes, SIGTERM: exit status", status == 128 + signal.SIGTERM, f"{status}")
    bounds.true("four processes, SIGTERM: saved before the end", 0 < saved < STEPS, f"at step {saved}")
    for size in (2, 1):
        place = folder / f"continued-{size}"
        shutil.copytree(four.place, place)
        job = Job(recipe, place=place, settings=settings | {"devices": size})
        job.run()
        close(bounds, f"one process, and four until step {saved} then {size}", reference, job)


def lost(folder: Path, recipe: Path, bounds: Bounds, expected: Job) -> None:
    """One of four processes is killed: the job starts again by itself."""
    settings = {"devices": 4, "parallel": "shard", "log_every": 1, "checkpoint_steps": 10, "restarts": 2}
    job = Job(recipe, place=folder / "lost", settings=settings)
    job.start()
    assert until(lambda: job.step() >= STEPS // 2, job=job, seconds=300), "four processes made no progress"
    ranks = job.ranks()
    bounds.true("four processes: training processes found", len(ranks) == 4, f"{len(ranks)}")
    os.kill(ranks[2], signal.SIGKILL)
    status = job.wait()
    words = (job.place / "stderr.log").read_text(encoding="utf-8")
    bounds.true("one of four killed: exit status of the job", status == 0, f"{status}")
    said = "was lost (SIGKILL); starting again from the last checkpoint"
    bounds.true("one of four killed: it says so", said in words, said)
    same = job.metrics() == expected.metrics() and job.weights() == expected.weights()
    bounds.true("one of four killed: figures and weights of a job that lost none", same, "equal to the last bit")


if __name__ == "__main__":
    main()
