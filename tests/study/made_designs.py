"""Study files over the micro recipe, written into a folder."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from tests.micro import micro_tree
from vlmlab.study.design import Design, design
from vlmlab.study.load import LoadedStudy, load_study

STEPS = "stages.join.duration.steps"
RATE = "stages.join.optimizer.learning_rate"

STUDY: dict[str, Any] = {
    "name": "made",
    "question": "Which hidden size?",
    "base": "micro",
    "axes": {
        "hidden": {"path": "model.connector.hidden", "levels": {"small": 16, "large": 48}},
    },
    "replicates": 3,
    "measures": {
        "general": {"benchmark": "general", "shots": 1},
        "zero": {"benchmark": "general", "shots": 0},
        "sure": {"benchmark": "general", "shots": 0, "value": "log_likelihood"},
        "both": {"mean": ["general", "zero"]},
    },
    "claims": {"larger": {"kind": "exceeds", "better": "large", "worse": "small", "measure": "general", "effect": 10}},
}


def write(folder: Path, *, recipe: dict[str, Any] | None = None, **changes: Any) -> Path:
    """micro.yaml and made.yaml, the study with top-level fields replaced; None removes one."""
    (folder / "micro.yaml").write_text(json.dumps(recipe or micro_tree()), encoding="utf-8")
    tree = {name: value for name, value in (copy.deepcopy(STUDY) | changes).items() if value is not None}
    path = folder / "made.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def loaded(folder: Path, **changes: Any) -> LoadedStudy:
    """The written study, loaded."""
    return load_study(write(folder, **changes))


def designed(folder: Path, *, noise: Path | None = None, **changes: Any) -> Design:
    """The written study, designed without the repository's measured noise."""
    nowhere = folder / "noise.yaml"
    if noise is None and not nowhere.exists():
        nowhere.write_text("base: another\nreplicates: 8\n", encoding="utf-8")
    return design(loaded(folder, **changes), noise=noise or nowhere)


def levels(**named: dict[str, Any]) -> dict[str, Any]:
    """One axis whose levels set several fields."""
    return {"which": {"levels": named}}
