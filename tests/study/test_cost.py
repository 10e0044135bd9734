"""Cost: stages counted by content as the store does, with tuning trials, and keys that agree with identities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.micro import micro_recipe
from tests.study.made_designs import RATE, designed, levels
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import build_tokenizer
from vlmlab.files import digest
from vlmlab.recipe.recipe import Recipe
from vlmlab.run.identity import identities_after, initial_identities, stage_content
from vlmlab.study.tasks import stage_keys


def trained(found: Any) -> dict[str, tuple[int, int]]:
    return {stage.stage: (stage.trained, stage.runs) for stage in found.cost.stages}


def test_twelve_runs_train_no_stage_twice(tmp_path: Path) -> None:
    four = {"a": 8, "b": 16, "c": 24, "d": 32}
    axes = {"hidden": {"path": "model.connector.hidden", "levels": four}}
    found = designed(tmp_path, axes=axes, claims={})
    assert trained(found) == {"vision": (3, 12), "language": (3, 12), "join": (12, 12)}
    assert (found.cost.stages_trained, found.cost.stages_asked, found.cost.runs) == (18, 36, 12)
    assert found.cost.seconds < found.cost.seconds_without_store
    assert found.cost.flops < found.cost.flops_without_store
    assert found.cost.own_seconds["a"] < found.cost.replicate_seconds["a"]


def test_the_cheap_mode_shares_across_replicates(tmp_path: Path) -> None:
    found = designed(tmp_path, sharing="across", first_seed=7)
    assert trained(found) == {"vision": (1, 6), "language": (1, 6), "join": (6, 6)}
    recipe = found.arms[1].replicate(9)
    assert recipe.seeds == {"vision": 7, "language": 7}
    assert recipe.seed == 9
    assert any("conditional on this checkpoint" in note for note in found.notes)


def test_trials_are_charged_and_share_stages(tmp_path: Path) -> None:
    tuning = {"path": RATE, "grid": [5e-4, 1e-3, 2e-3], "measure": "general", "replicates": 2}
    found = designed(tmp_path, tuning=tuning)
    plain = designed(tmp_path)
    assert (found.cost.runs, found.cost.trials) == (2 * 3 + 2 * 3 * 2, 12)
    assert trained(found) == {"vision": (5, 18), "language": (5, 18), "join": (18, 18)}
    total = plain.budgets["small"].total_flops
    assert found.budgets["small"].total_flops == pytest.approx(7 * total)
    # Where each arm chooses another value, only its last stage is trained again, once a replicate.
    (join,) = (stage for stage in plain.cost.stages if stage.stage == "join")
    assert found.cost.chosen_seconds == pytest.approx(join.seconds)
    assert plain.cost.chosen_seconds == 0.0
    assert found.record().tuned == (
        f"{RATE} over 0.0005, 0.001, 0.002 (common: 0.001) by general on validation scenes, 2 tuning seeds"
    )


def identities(recipe: Recipe) -> tuple[str, ...]:
    """As the store has them."""
    sources = open_sources(recipe.data, root=Path(), names=recipe.drawn_sources())
    tokenizer = build_tokenizer(recipe, sources).fingerprint()
    before, found = initial_identities(recipe), []
    for name in recipe.stages:
        identity = digest(stage_content(recipe, name, before=before, tokenizer=tokenizer, sources=sources))
        before = identities_after(recipe, name, before=before, identity=identity)
        found.append(identity)
    return tuple(found)


def test_keys_agree_with_identities_on_what_is_shared() -> None:
    """A source that only the last stage draws from changes the tokenizer, and so every stage before it."""
    recipes = [
        micro_recipe(),
        micro_recipe(name="other"),
        micro_recipe(seed=1),
        micro_recipe(seeds={"vision": 0}),
        micro_recipe(seed=1, seeds={"vision": 0, "language": 0}),
        micro_recipe(model__connector={"kind": "mlp", "hidden": 32}),
        micro_recipe(stages__join__mixture={"captions": 1.0}),
        micro_recipe(stages__language__mixture={"facts": 1.0}, stages__join__mixture={"captions": 1.0}),
        micro_recipe(data__world__seed=1),
        micro_recipe(precision="bfloat16"),
        micro_recipe(evaluation__benchmarks={}),
    ]
    keys = [key for recipe in recipes for key in stage_keys(recipe)]
    real = [key for recipe in recipes for key in identities(recipe)]
    for first in range(len(keys)):
        for second in range(first):
            assert (keys[first] == keys[second]) == (real[first] == real[second]), (first, second)


def test_a_new_level_trains_only_itself(tmp_path: Path) -> None:
    two = designed(tmp_path, axes=levels(a={}, b={"model.connector.hidden": 8}), claims={})
    three = designed(
        tmp_path, axes=levels(a={}, b={"model.connector.hidden": 8}, c={"model.connector.hidden": 12}), claims={}
    )
    assert three.cost.stages_trained - two.cost.stages_trained == 3
