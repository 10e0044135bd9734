"""`vlmlab world`: the generated world in the public formats of real data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vlmlab.data.world.write import write_world
from vlmlab.recipe.load import load_recipe


def world(folder: Path, *, recipe: str, documents: int, items: int, overrides: Sequence[str], as_json: bool) -> None:
    """Write the world of a recipe: `documents` of each kind, `items` of each benchmark."""
    spec = load_recipe(recipe, overrides=overrides).recipe.data.world
    card = write_world(folder, spec, documents=documents, items=items)
    print(json.dumps(card, indent=1) if as_json else f"{folder}: written; README.md there says what each file is")
