"""Properties of recipes: any change of any path gives a recipe that survives every form it is written in, or a
RecipeError; never another exception.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.micro import TREE, micro_recipe
from vlmlab.errors import RecipeError
from vlmlab.recipe.load import change_recipe, load_recipe
from vlmlab.recipe.path import get, remove, replace
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.spec import flatten
from vlmlab.recipe.strict_yaml import parse_yaml

PATHS = sorted({*flatten(micro_recipe().plain()), *(path.rpartition(".")[0] for path in flatten(TREE)), "stages.new"})
"""Every leaf of the micro recipe, and the mappings above the written ones."""

TEXTS = some.text(some.characters(exclude_characters="\x85\u2028\u2029", exclude_categories=["Cs"]), max_size=6)
"""YAML takes three more characters for line ends than JSON does, and folds them."""

LEAVES = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-3, 4096),
    some.sampled_from([10**30, -(2**63), 2**64]),
    some.floats(allow_nan=True, allow_infinity=True),
    TEXTS,
    some.sampled_from(["siglip", "clip", "mlp", "perceiver", "pixel_shuffle", "full", "frozen", "contrastive", "keep"]),
)
VALUES = some.recursive(
    LEAVES,
    lambda inner: some.one_of(
        some.lists(inner, max_size=3),
        some.dictionaries(
            some.sampled_from(["kind", "mode", "steps", "tokens", "width", "x", "a.b", ""]), inner, max_size=3
        ),
    ),
    max_leaves=5,
)
STEPS = some.one_of(
    some.text(max_size=4), some.sampled_from(["kind", "width", "steps", "0", "[key]", "model", "stages"])
)
ODD_PATHS = some.one_of(
    some.text(max_size=12), some.builds(lambda path, step: f"{path}.{step}", some.sampled_from(PATHS), STEPS)
)


def check(recipe: Recipe, folder: Path) -> None:
    """A valid recipe is itself again from JSON, from YAML and from its flat form."""
    again = Recipe.model_validate_json(json.dumps(recipe.plain()))
    assert again == recipe
    assert again.fingerprint() == recipe.fingerprint()
    file = folder / "recipe.yaml"
    file.write_text(json.dumps(recipe.plain(), ensure_ascii=False), encoding="utf-8")
    loaded = load_recipe(file).recipe
    assert loaded == recipe
    assert loaded.fingerprint() == recipe.fingerprint()
    for path, value in flatten(recipe.plain()).items():
        assert get(recipe.plain(), path) == value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@settings(max_examples=250, deadline=None, derandomize=True)
@given(path=some.sampled_from(PATHS), value=VALUES)
def test_any_value_at_any_path(folder: Path, path: str, value: Any) -> None:
    try:
        recipe = change_recipe(TREE, {path: value}, where="mine.yaml")
    except RecipeError:
        return
    check(recipe, folder)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(path=ODD_PATHS, value=VALUES)
def test_any_path(folder: Path, path: str, value: Any) -> None:
    try:
        recipe = change_recipe(TREE, {path: value}, where="mine.yaml")
    except RecipeError:
        return
    check(recipe, folder)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(path=some.one_of(some.sampled_from(PATHS), ODD_PATHS))
def test_any_path_can_be_asked_for_and_removed(path: str) -> None:
    try:
        value = get(TREE, path)
    except RecipeError:
        with pytest.raises(RecipeError):
            remove(TREE, path)
        return
    gone = remove(TREE, path)
    with pytest.raises(RecipeError):
        get(gone, path)
    assert get(replace(gone, path, value, schema=Recipe), path) == value


@settings(max_examples=200, deadline=None, derandomize=True)
@given(value=VALUES)
def test_json_is_yaml(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str) if _finite(value) else "[]"
    try:
        read = parse_yaml(text, where="mine.yaml")
    except RecipeError:
        return  # a character that YAML does not allow
    assert json.dumps(read) == json.dumps(json.loads(text))


def _finite(value: Any) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_finite, value))
        case dict():
            return all(map(_finite, value.values()))
        case _:
            return True


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    text=some.one_of(
        some.text(max_size=40),
        some.text("{}[]:,&*!|>-'\"#%@` \n\tab01.e", max_size=40),
    )
)
def test_any_text_is_yaml_or_refused(text: str) -> None:
    with contextlib.suppress(RecipeError):
        parse_yaml(text, where="mine.yaml")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=some.binary(max_size=60))
def test_any_bytes_as_a_file(folder: Path, data: bytes) -> None:
    file = folder / "bytes.yaml"
    file.write_bytes(data)
    with contextlib.suppress(RecipeError):
        check(load_recipe(file).recipe, folder)


@pytest.mark.parametrize(
    "text",
    [
        'name: "\\ud83d"',
        "name: " + "[" * 3000,
        "a: &a [*a]",
        "- " * 2000,
        "model: {image: {side: 1e400}}",
        "name: !!python/name:os",
    ],
)
def test_hostile_files_are_refused(folder: Path, text: str) -> None:
    file = folder / "hostile.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"hostile\.yaml"):
        load_recipe(file)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    override=some.one_of(
        some.text(max_size=20), some.builds("{}={}".format, some.sampled_from(PATHS), some.text(max_size=8))
    )
)
def test_any_override(folder: Path, override: str) -> None:
    file = folder / "base.yaml"
    if not file.exists():
        file.write_text(yaml.safe_dump(TREE), encoding="utf-8")
    try:
        recipe = load_recipe(file, overrides=[override]).recipe
    except RecipeError:
        return
    check(recipe, folder)
