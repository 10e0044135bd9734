"""Fields in words, and the reference page."""

from __future__ import annotations

import inspect
import types

import pytest

from tests.golden import ROOT
from vlmlab.errors import RecipeError
from vlmlab.recipe import (
    connector,
    evaluation,
    fusion,
    image,
    language,
    machine,
    optim,
    recipe,
    source,
    stage,
    tokenizer,
    vision,
    weights,
)
from vlmlab.recipe.explain import explain
from vlmlab.recipe.reference import reference
from vlmlab.recipe.sentences import sentences
from vlmlab.recipe.spec import Spec

MODULES = (
    connector,
    evaluation,
    fusion,
    image,
    language,
    machine,
    optim,
    recipe,
    source,
    stage,
    tokenizer,
    vision,
    weights,
)


def specs(module: types.ModuleType) -> list[type[Spec]]:
    return [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Spec)]


def test_every_field_has_a_sentence_and_every_spec_a_docstring() -> None:
    missing = [
        f"{spec.__name__}.{name}"
        for module in MODULES
        for spec in specs(module)
        for name in spec.model_fields
        if not sentences(spec).get(name) or not spec.__doc__
    ]
    assert not missing


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("stages.pretrain.batch.length", ["whole number, at least 2; default 256", "Positions of a row."]),
        ("stages.ANY.duration", ["{steps: N} or {tokens: N}", "Optimiser steps."]),
        ("model.connector", ["one of linear, mlp, perceiver", "default mlp", "latents: whole number"]),
        ("model.connector.perceiver", ["Perceiver resampler", "latents: whole number, at least 1; default 64"]),
        ("model.connector.perceiver.latents", ["at least 1; default 64"]),
        ("model.connector.latents", ["at least 1; default 64"]),
        ("machine.attention", ["one of auto, matmul, sdpa, segments, flex", 'default "auto"']),
        ("evaluation.benchmarks.x.jsonl.path", ["text; required", "The test items."]),
        ("model.vision.mean", ["list of 3 numbers; default [0.5, 0.5, 0.5]"]),
        ("", ["seed: whole number"]),
    ],
)
def test_explain(path: str, words: list[str]) -> None:
    text = explain(path)
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("model.vison", "did you mean 'vision'"),
        ("model.connector.latent", "did you mean 'latents'"),
        ("model.connector.percever", "did you mean 'perceiver'"),
        ("stages.a.train.visoin", "did you mean 'vision'"),
        ("seed.x", "seed is a single value"),
        ("machine.atention", "did you mean 'attention'"),
    ],
)
def test_explain_names_near_fields(path: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        explain(path)


def test_the_reference_page_is_current() -> None:
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == reference(), "docs/reference.md is out of date: run `make reference`"
