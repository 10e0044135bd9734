"""One word an idea: public names and schema fields avoid the synonyms that other code bases use for our words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "vlmlab"

SYNONYMS = {
    "vision_tower": "backbone",
    "image_encoder": "backbone",
    "projector": "connector",
    "abstractor": "connector",
    "mm": "vision or connector",
    "vlm_model": "model",
    "llm": "language model",
    "tile": "view",
    "datasource": "source",
    "shard_id": "key",
    "sample_id": "key",
    "experiment": "recipe or run",
    "dataset_mix": "mixture",
    "exemplar": "demonstration",
    "config": "recipe, spec or, for Hugging Face's files, configuration",
    "cfg": "recipe or spec",
    "img": "image",
    "n_shots": "shots",
    "fewshot": "shots",
    "phase": "stage",
    "ckpt": "checkpoint",
}
"""Synonym to our word. Names of foreign files, keys and functions are strings or attributes and are not looked at."""


def words_of(name: str) -> str:
    """snake_case of a name, between underscores."""
    return "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_") + "_"


def names(tree: ast.AST) -> list[str]:
    """Public classes and functions, their arguments, and annotated fields."""
    found: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                found.append(name)
            case ast.FunctionDef(name=name, args=arguments):
                found.append(name)
                found += [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.append(name)
    return [name for name in found if not name.startswith("_")]


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_names_use_the_words_of_the_glossary(module: Path) -> None:
    wrong = {
        name: ours
        for name in [module.stem, *names(ast.parse(module.read_text(encoding="utf-8")))]
        for synonym, ours in SYNONYMS.items()
        if f"_{synonym}_" in words_of(name)
    }
    assert not wrong, f"{module.name}: docs/glossary.md has another word: {wrong}"


def test_the_glossary_lists_a_word_once_and_has_those_of_the_design() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    words = [word.strip() for row in rows for word in row.split(",") if row != "word"]
    assert len(words) == len(set(words))
    design = (
        "document part example row batch view patch grid backbone connector fusion objective stage recipe machine run "
        "record axis arm study claim finding"
    )  # fmt: skip
    assert set(design.split()) | {"visual token"} <= set(words)


def test_the_check_sees_what_it_looks_for() -> None:
    assert words_of("VisionTowerConfig") == "_vision_tower_config_"
    assert names(ast.parse("class A:\n    n: int\ndef f(x, *, y): pass\ndef _g(): pass")) == ["A", "f", "x", "y", "n"]
