"""Golden files. Flat ones: shipped recipes with every default written out, so a changed default is a reviewable diff.

`make golden` rewrites them, and the losses of the tiny recipe (losses.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from vlmlab.recipe.load import load_recipe
from vlmlab.recipe.spec import flatten

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent


def recipes() -> list[Path]:
    """Every shipped recipe."""
    return sorted((ROOT / "recipes").glob("*.yaml"))


def flat(recipe: Path) -> str:
    """One line a leaf."""
    return json.dumps(flatten(load_recipe(recipe).recipe.plain()), indent=1, ensure_ascii=False) + "\n"
