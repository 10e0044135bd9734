"""The losses of the first steps of every stage of recipes/tiny.yaml, made small enough for a test.

float32, 2 rows a step (8 pairs under a contrastive objective) and a tokenizer of few documents: about 10 CPU seconds
for 20 steps of every stage. It guards the arithmetic from the raw row to the weights after a step.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.golden import FOLDER, ROOT
from vlmlab.files import read_jsonl
from vlmlab.recipe.load import load_recipe
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.stage import Contrastive
from vlmlab.run.execute import run_recipe

GOLDEN = FOLDER / "tiny.losses.json"
RECIPE = ROOT / "recipes" / "tiny.yaml"
STEPS = 20


def losses(folder: Path) -> dict[str, list[float]]:
    """Train, and give the loss of each step by stage. Runs and finished stages go to `folder`."""
    overrides = ["precision=float32", "tokenizer.documents=300", "evaluation.benchmarks={}"]
    stages = load_recipe(RECIPE).recipe.stages
    for name, stage in stages.items():
        rows = 8 if isinstance(stage.objective, Contrastive) else 2
        overrides += [f"stages.{name}.batch.rows={rows}", f"stages.{name}.duration={{steps: {STEPS}}}"]
    machine = Machine(threads=1, log_every=1, store=str(folder / "store"), runs=str(folder / "runs"))
    run = run_recipe(load_recipe(RECIPE, overrides=overrides), machine=machine)
    return {name: [row["loss"] for row in read_jsonl(run / "stages" / name / "metrics.jsonl")] for name in stages}


def written(values: dict[str, list[float]]) -> str:
    """The golden file: one line a stage."""
    lines = (f" {json.dumps(name)}: {json.dumps([round(loss, 6) for loss in row])}" for name, row in values.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"
