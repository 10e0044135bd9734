"""Rewrite the golden flat files."""

from __future__ import annotations

from tests.golden import FOLDER, flat, recipes

for recipe in recipes():
    (FOLDER / f"{recipe.stem}.json").write_text(flat(recipe), encoding="utf-8")
for golden in FOLDER.glob("*.json"):
    if golden.stem not in {recipe.stem for recipe in recipes()}:
        golden.unlink()
