"""The smallest recipe that exercises everything: a few seconds of one core."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from vlmlab.recipe.load import LoadedRecipe
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe

TREE: dict[str, Any] = {
    "name": "micro",
    "precision": "float32",
    "model": {
        "vision": {"kind": "siglip", "width": 16, "depth": 2, "heads": 2, "mlp": 32, "patch": 8, "side": 32},
        "image": {"policy": "square", "side": 32},
        "connector": {"kind": "mlp", "hidden": 24},
        "language": {"kind": "llama", "width": 16, "depth": 2, "heads": 2, "mlp": 32, "max_positions": 256},
    },
    "tokenizer": {"kind": "bpe", "vocabulary": 400, "documents": 60},
    "data": {
        "world": {"entities": 6, "words": 8, "scenes": {"master": 32, "objects": [1, 2]}},
        "sources": {
            "captions": {"kind": "world", "family": "captions", "size": 200},
            "dialogues": {"kind": "world", "family": "dialogues", "size": 200},
            "facts": {"kind": "world", "family": "facts", "size": 200},
            "twins": {"kind": "world", "family": "twins", "size": 200},
        },
    },
    "stages": {
        "vision": {
            "objective": {
                "kind": "contrastive", "embedding": 16,
                "text": {"width": 16, "depth": 1, "heads": 2, "mlp": 32, "max_positions": 32},
            },
            "train": {"vision": {"mode": "full"}},
            "mixture": {"captions": 1.0},
            "duration": {"steps": 3},
            "batch": {"rows": 4, "length": 64, "images": 1, "packing": False},
            "optimizer": {"schedule": {"warmup": 1}},
        },
        "language": {
            "objective": {"kind": "next_token"},
            "train": {"language": {"mode": "full"}},
            "mixture": {"facts": 1.0, "twins": 1.0},
            "duration": {"steps": 4},
            "batch": {"rows": 2, "length": 96},
            "optimizer": {"schedule": {"warmup": 1}},
        },
        "join": {
            "objective": {"kind": "next_token"},
            "train": {"connector": {"mode": "full", "learning_rate": 2e-3}, "language": {"mode": "full"}},
            "mixture": {"captions": 1.0, "dialogues": 2.0, "facts": 0.5},
            "duration": {"steps": 6},
            "batch": {"rows": 3, "length": 128, "images": 6},
            "optimizer": {"schedule": {"warmup": 2}},
        },
    },
    "evaluation": {
        "benchmarks": {
            "general": {
                "kind": "world", "family": "general", "items": 4, "shots": [0, 1], "demonstration_seeds": [0],
                "decoding": {"max_tokens": 3},
            }
        },
        "resamples": 100,
    },
}  # fmt: skip


def micro_tree(**changes: Any) -> dict[str, Any]:
    """The tree with dotted paths changed; dots are written as two underscores."""
    tree = copy.deepcopy(TREE)
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
    return tree


def micro_recipe(**changes: Any) -> Recipe:
    """The recipe with dotted paths changed: micro_recipe(stages__join__duration={"steps": 2})."""
    return Recipe.model_validate_json(json.dumps(micro_tree(**changes)))


def loaded(recipe: Recipe) -> LoadedRecipe:
    """A recipe as if it came from a file."""
    return LoadedRecipe(
        recipe=recipe,
        text=json.dumps(recipe.plain()),
        base=None,
        base_name=None,
        path=Path("micro.yaml"),
        tree=recipe.plain(),
    )


def micro_machine(folder: Path, **changes: Any) -> Machine:
    """A machine that writes only into `folder`."""
    fields: dict[str, Any] = {
        "threads": 1,
        "log_every": 1,
        "store": str(folder / "store"),
        "runs": str(folder / "runs"),
        **changes,
    }
    return Machine(**fields)
