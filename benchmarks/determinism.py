"""`python benchmarks/determinism.py`: equal losses from equal recipes, whatever the number of loader workers.

Trains the first steps of every stage of recipes/tiny.yaml three times, each in a process of its own: twice without
loader workers and once with two. Every loss and gradient norm must be equal to the last bit. Threads are those of
OMP_NUM_THREADS where it is set, else those of machines/laptop.yaml.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring.bounds import Bounds
from vlmlab.files import read_jsonl
from vlmlab.recipe.load import load_machine, load_recipe
from vlmlab.run.execute import run_recipe

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "tiny.yaml"

STEPS = 10


def main() -> None:
    bounds = Bounds()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # One copy for all three: the file may be edited meanwhile.
        shutil.copy(RECIPE, folder / "tiny.yaml")
        first = train_elsewhere(folder / "first", workers=0)
        again = train_elsewhere(folder / "again", workers=0)
        spread = train_elsewhere(folder / "spread", workers=2)
    for stage, steps in first.items():
        print(f"{stage}: losses {', '.join(f'{loss:.6f}' for loss, _ in steps[:3])} ... {steps[-1][0]:.6f}")
    for words, other in (("two runs without workers", again), ("without and with two workers", spread)):
        for stage, steps in first.items():
            wrong = [step for step, pair in enumerate(zip(steps, other[stage], strict=True), 1) if len({*pair}) > 1]
            found = f"steps that differ: {wrong}" if wrong else f"{len(steps)} steps equal to the last bit"
            bounds.true(f"{words}, stage {stage}", len(steps) == STEPS and not wrong, found)
    bounds.finish()


def train_elsewhere(folder: Path, *, workers: int) -> dict[str, list[tuple[float, float]]]:
    """(loss, gradient norm) of each step, by stage, from a process and a store of its own."""
    started = time.perf_counter()
    subprocess.run([sys.executable, __file__, str(folder), str(workers)], check=True)
    print(f"{folder.name}: {workers} workers, {time.perf_counter() - started:.0f} s")
    return {
        stage: [(row["loss"], row["gradient_norm"]) for row in read_jsonl(folder / f"run/stages/{stage}/metrics.jsonl")]
        for stage in load_recipe(folder.parent / "tiny.yaml").recipe.stages
    }


def train(folder: Path, *, workers: int) -> None:
    """Train the first steps of every stage into `folder`."""
    recipe = folder.parent / "tiny.yaml"
    stages = load_recipe(recipe).recipe.stages
    durations = [f"stages.{stage}.duration={{steps: {STEPS}}}" for stage in stages]
    loaded = load_recipe(recipe, overrides=["tokenizer.documents=500", "evaluation.benchmarks={}", *durations])
    threads = os.environ.get("OMP_NUM_THREADS")
    overrides = [f"workers={workers}", "log_every=1", f"store={folder / 'store'}"]
    overrides += [f"threads={threads}"] if threads else []
    run_recipe(loaded, machine=load_machine("laptop", overrides=overrides), out=folder / "run")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        train(Path(sys.argv[1]), workers=int(sys.argv[2]))
    else:
        main()
