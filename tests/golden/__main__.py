"""Rewrite the golden files: flat recipes, and the losses of the tiny recipe."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.golden import FOLDER, flat, recipes
from tests.golden.losses import GOLDEN, losses, written

for golden in FOLDER.glob("*.json"):
    golden.unlink()
for recipe in recipes():
    (FOLDER / f"{recipe.stem}.json").write_text(flat(recipe), encoding="utf-8")
with tempfile.TemporaryDirectory() as name:
    GOLDEN.write_text(written(losses(Path(name))), encoding="utf-8")
