"""Every shipped recipe resolves to its golden flat file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import FOLDER, flat, recipes


@pytest.mark.parametrize("recipe", recipes(), ids=lambda path: path.stem)
def test_resolved_recipe_is_as_recorded(recipe: Path) -> None:
    golden = FOLDER / f"{recipe.stem}.json"
    assert golden.exists(), f"no golden file for {recipe.name}: run `make golden` and commit it"
    assert flat(recipe) == golden.read_text(encoding="utf-8"), "a resolved recipe changed: if intended, `make golden`"


def test_no_golden_file_without_a_recipe() -> None:
    names = {golden.name.split(".")[0] for golden in FOLDER.glob("*.json")}
    assert names == {recipe.stem for recipe in recipes()}
