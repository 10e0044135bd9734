"""`python benchmarks/resume.py --kills 20`: killed runs end as if nothing had happened, to the last bit.

A run of a packed mixture with two loader workers is killed with SIGKILL again and again, all of its processes at once:
while it starts, between checkpoints, and while a checkpoint is being written. Then it ends undisturbed. Its weights
and every figure of its metrics but times must be those of a run that nobody killed; the same with two processes under
FSDP2.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from functools import partial
from pathlib import Path

from measuring.bounds import Bounds
from measuring.runs import Job, until, write_recipe

WHILE_WRITING = 5
"""Kills that must hit a checkpoint under way."""

LONGEST = 120.0
"""Seconds after which a job that makes no progress is a failure."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills of each of the two runs")
    parser.add_argument("--only", choices=("one", "two"), help="only the run of one process, or of two")
    arguments = parser.parse_args()
    bounds = Bounds()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Between two kills a run gains about ten steps; lines of metrics and checkpoints fall on different steps.
        recipe = write_recipe(folder, steps=12 * arguments.kills + 40)
        one = {"workers": 2, "checkpoint_steps": 4, "log_every": 3}
        two = {"workers": 1, "checkpoint_steps": 4, "log_every": 3, "devices": 2, "parallel": "shard", "restarts": 0}
        for words, settings in (("one process, two workers", one), ("two processes, FSDP2", two)):
            if arguments.only in (None, words.split()[0]):
                compare(folder / words.split()[0], recipe, words, settings, bounds, kills=arguments.kills)
    bounds.finish()


def compare(folder: Path, recipe: Path, words: str, settings: dict[str, object], bounds: Bounds, *, kills: int) -> None:
    """One run left alone and one that is killed, and what they differ in."""
    alone = Job(recipe, place=folder / "alone", settings=settings)
    alone.run()
    killed = Job(recipe, place=folder / "killed", settings=settings)
    done, writing, first = hunt(killed, kills=kills)
    bounds.at_least(f"{words}: kills", done, kills)
    bounds.at_least(f"{words}: kills while a checkpoint was being written", writing, min(WHILE_WRITING, kills))
    bounds.at_least(f"{words}: kills that fell at different steps", first, min(WHILE_WRITING, kills))
    killed.run()
    expected, found = alone.metrics(), killed.metrics()
    wrong = [a["step"] for a, b in zip(expected, found, strict=False) if a != b]
    same = len(expected) == len(found) and not wrong
    bounds.true(
        f"{words}: every logged figure but times",
        same,
        f"{len(expected)} lines equal to the last bit" if same else f"lines of steps {wrong[:5]} differ",
    )
    ours, theirs = alone.weights(), killed.weights()
    differ = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    bounds.true(
        f"{words}: final weights", not differ, f"{', '.join(ours)} equal to the last bit" if not differ else f"{differ}"
    )


def hunt(job: Job, *, kills: int) -> tuple[int, int, int]:
    """Kill a job again and again: (kills, those while a checkpoint was being written, different steps they fell on)."""
    draws = random.Random(0)
    done, writing = 0, 0
    steps: set[int] = set()
    while done < kills:
        left = job.partial()
        job.start()
        goal = job.step() + draws.randint(2, 7)
        # Half of the kills wait for a checkpoint, a tenth come while the program starts, the others between.
        kind = "start" if done % 10 == 9 else ("write" if done % 2 else "between")
        if kind == "start":
            time.sleep(draws.uniform(0.5, 3.0))
        elif not until(partial(reached, job, goal), job=job, seconds=LONGEST):
            raise RuntimeError(f"step {goal} was not reached; see {job.place / 'stderr.log'}")
        elif kind == "write":
            until(partial(writes, job, left), job=job, seconds=LONGEST, pause=0.0002)
        else:
            time.sleep(draws.uniform(0.0, 0.2))
        assert job.running, "the run ended before it had been killed often enough"
        job.kill()
        done += 1
        writing += writes(job, left)
        steps.add(job.step())
        print(f"{job.place.parent.name}: kill {done} ({kind}) at step {job.step()}", flush=True)
    return done, writing, len(steps)


def reached(job: Job, step: int) -> bool:
    return job.step() >= step


def writes(job: Job, left: set[tuple[str, int, int]]) -> bool:
    """Whether a checkpoint is being written, recognised by its temporary folder, other than those `left` before."""
    return bool(job.partial() - left)


if __name__ == "__main__":
    main()
