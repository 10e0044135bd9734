"""Identities: what stages depend on, and seeds that single stages keep."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.micro import loaded, micro_machine, micro_recipe
from vlmlab.data.loader import StageLoader
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import build_tokenizer
from vlmlab.errors import RecipeError
from vlmlab.files import read_json
from vlmlab.models.build import components
from vlmlab.recipe.load import change_recipe, load_recipe
from vlmlab.recipe.recipe import Recipe
from vlmlab.run.execute import fresh_model, run_recipe
from vlmlab.run.identity import initial_identities
from vlmlab.study.tasks import stage_keys

PINNED = {"vision": 3, "language": 3}


def test_stages_in_stores_stay_valid() -> None:
    """A change that is meant: raise NUMERICS, or write the new identities here."""
    assert initial_identities(micro_recipe()) == initial_identities(micro_recipe(seeds={}))
    known = initial_identities(load_recipe("tiny").recipe)
    assert known == {
        "vision": "47012efc614ab9f9",
        "connector": "37307336f483b47e",
        "language": "34e44e3d838afb6a",
    }


def test_a_stage_that_keeps_its_seed_is_shared_by_replicates() -> None:
    first, second = (stage_keys(micro_recipe(seed=seed, seeds=PINNED)) for seed in (1, 2))
    assert first[:2] == second[:2]
    assert first[2] != second[2]
    assert stage_keys(micro_recipe(seed=3))[:2] == first[:2], "as if it were that seed's"


def test_components_of_pinned_stages_start_equal() -> None:
    first, second = (
        components(fresh_model(micro_recipe(seed=seed, seeds=PINNED), machine=micro_machine(Path()))) for seed in (1, 2)
    )
    equal = {
        name: all(
            torch.equal(here, there)
            for here, there in zip(first[name].parameters(), second[name].parameters(), strict=True)
        )
        for name in first
    }
    assert equal == {"vision": True, "connector": False, "language": True}


def first_keys(recipe: Recipe, stage: str) -> object:
    sources = open_sources(recipe.data, root=Path(), names=recipe.drawn_sources())
    tokenizer = build_tokenizer(recipe, sources)
    with StageLoader(recipe=recipe, stage=stage, tokenizer=tokenizer, sources=sources, workers=0, prefetch=1) as loader:
        return next(iter(loader)).batch.keys


def test_pinned_stages_draw_the_same_documents() -> None:
    first, second = (micro_recipe(seed=seed, seeds=PINNED) for seed in (1, 2))
    assert first_keys(first, "language") == first_keys(second, "language")
    assert first_keys(first, "join") != first_keys(second, "join")


def test_the_store_trains_pinned_stages_once(tmp_path: Path) -> None:
    machine = micro_machine(tmp_path)
    runs = [
        run_recipe(loaded(micro_recipe(name=f"seed-{seed}", seed=seed, seeds=PINNED)), machine=machine)
        for seed in (1, 2)
    ]
    identities = [
        [read_json(run / "stages" / stage / "summary.json")["identity"] for stage in ("vision", "language", "join")]
        for run in runs
    ]
    assert identities[0][:2] == identities[1][:2]
    assert identities[0][2] != identities[1][2]
    assert len(list((tmp_path / "store").glob("*/manifest.json"))) == 4


def test_a_seed_of_no_stage_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"seeds.langage: no such stage; did you mean 'language'"):
        change_recipe(micro_recipe().plain(), {"seeds": {"langage": 1}}, where="")
