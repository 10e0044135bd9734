"""Dotted paths on plain trees."""

from __future__ import annotations

import pytest

from vlmlab.errors import RecipeError
from vlmlab.recipe.path import get, paths, remove, replace
from vlmlab.recipe.recipe import Recipe


def test_paths_are_the_leaves() -> None:
    assert paths({"model": {"image": {"side": 48}}, "shots": [0, 4], "name": "a"}) == [
        "model.image.side",
        "shots",
        "name",
    ]


def test_get_finds_leaves_and_components_and_names_near_ones() -> None:
    tree = {"model": {"image": {"side": 48}}}
    assert get(tree, "model.image.side") == 48
    assert get(tree, "model.image") == {"side": 48}
    with pytest.raises(RecipeError, match="did you mean 'image'"):
        get(tree, "model.imge")


def test_replace_makes_what_is_not_written_and_leaves_the_tree_alone() -> None:
    tree = {"name": "a"}
    changed = replace(tree, "model.vision.width", 64, schema=Recipe)
    assert changed == {"name": "a", "model": {"vision": {"width": 64}}}
    assert tree == {"name": "a"}


def test_replace_fills_in_the_default_kind() -> None:
    assert replace({}, "model.connector.hidden", 64, schema=Recipe) == {
        "model": {"connector": {"kind": "mlp", "hidden": 64}}
    }


def test_a_mapping_replaces_a_component_whole() -> None:
    tree = {"model": {"connector": {"kind": "perceiver", "latents": 8}}}
    changed = replace(tree, "model.connector", {"kind": "linear"}, schema=Recipe)
    assert changed == {"model": {"connector": {"kind": "linear"}}}


def test_another_kind_starts_the_component_anew_and_the_same_kind_keeps_it() -> None:
    tree = {"model": {"connector": {"kind": "perceiver", "latents": 8}}}
    assert replace(tree, "model.connector.kind", "mlp", schema=Recipe)["model"]["connector"] == {"kind": "mlp"}
    assert replace(tree, "model.connector.kind", "perceiver", schema=Recipe) == tree


def test_a_kind_that_is_an_ordinary_field_keeps_its_neighbours() -> None:
    tree = {"model": {"language": {"kind": "llama", "width": 64}}}
    assert replace(tree, "model.language.kind", "qwen3", schema=Recipe)["model"]["language"] == {
        "kind": "qwen3",
        "width": 64,
    }


def test_a_field_decides_between_alternatives_without_a_tag() -> None:
    tree = {"stages": {"a": {"duration": {"steps": 3}}}}
    assert replace(tree, "stages.a.duration.tokens", 9, schema=Recipe)["stages"]["a"]["duration"] == {"tokens": 9}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("stages.more", {"objective": {"kind": "next_token"}}),
        ("data.sources.more", {"kind": "world", "family": "facts"}),
        ("stages.old.mixture.more", 0.5),
        ("stages.old.train.vision", {"mode": "full"}),
        ("evaluation.benchmarks.more", {"kind": "world", "family": "text"}),
    ],
)
def test_replace_adds_entries_to_named_mappings(path: str, value: object) -> None:
    tree = {"stages": {"old": {"mixture": {"facts": 1}}}}
    changed = replace(tree, path, value, schema=Recipe)
    assert get(changed, path) == value
    assert get(changed, "stages.old.mixture.facts") == 1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("model.vison", "model.vison: no such field in model; did you mean 'vision'?"),
        ("modle.vision", "modle: no such field in the file; did you mean 'model'?"),
        ("stages.a.batch.lenght", "stages.a.batch.lenght: no such field in stages.a.batch; did you mean 'length'?"),
        ("stages.a.train.visoin", "stages.a.train.visoin: no such entry in stages.a.train; did you mean 'vision'?"),
        ("seed.more", "seed is a single value and has no fields"),
        ("model..vision", "not a dotted path"),
        ("model.connector.latents", "kind 'mlp' has no such field, but perceiver has; set model.connector.kind first"),
    ],
)
def test_replace_refuses_what_the_schema_does_not_have(path: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        replace({}, path, 1, schema=Recipe)
    assert words in str(caught.value)


def test_remove_takes_entries_out_and_refuses_what_is_not_there() -> None:
    tree = {"stages": {"a": {"mixture": {"x": 1, "y": 2}}, "b": {}}}
    assert remove(tree, "stages.a.mixture.x") == {"stages": {"a": {"mixture": {"y": 2}}, "b": {}}}
    assert list(remove(tree, "stages.a")["stages"]) == ["b"]
    with pytest.raises(RecipeError, match="did you mean 'mixture'"):
        remove(tree, "stages.a.mixtur")
