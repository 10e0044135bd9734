"""Accumulation, the ledger and the checks of a stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.micro import loaded, micro_machine, micro_recipe
from vlmlab.errors import TrainingError
from vlmlab.files import read_jsonl
from vlmlab.models.trainable import fingerprint
from vlmlab.run.execute import run_recipe
from vlmlab.training.moves import check_moves


def test_accumulated_steps_equal_whole_ones(tmp_path: Path) -> None:
    recipe = micro_recipe(evaluation__benchmarks={})
    whole = run_recipe(loaded(recipe), machine=micro_machine(tmp_path / "whole"))
    parts = run_recipe(loaded(recipe), machine=micro_machine(tmp_path / "parts", micro_rows=1))
    for stage in ("vision", "language", "join"):
        rows = zip(
            read_jsonl(whole / "stages" / stage / "metrics.jsonl"),
            read_jsonl(parts / "stages" / stage / "metrics.jsonl"),
            strict=True,
        )
        for first, second in rows:
            assert second["loss"] == pytest.approx(first["loss"], rel=1e-4)
            assert second["gradient_norm"] == pytest.approx(first["gradient_norm"], rel=1e-3)
            assert second["learned"] == first["learned"]


def test_a_frozen_part_that_moves_is_an_error() -> None:
    stage = micro_recipe().stages["join"]
    parts = {name: torch.nn.Linear(2, 2) for name in ("vision", "connector", "language")}
    before = {name: fingerprint(module) for name, module in parts.items()}
    for name in ("connector", "language"):
        torch.nn.init.ones_(parts[name].weight)
    check_moves(parts, stage, before=before, name="join")
    torch.nn.init.ones_(parts["vision"].bias)
    with pytest.raises(TrainingError, match=r"stages.join.train.vision: the component is frozen but its weights moved"):
        check_moves(parts, stage, before=before, name="join")


def test_a_trained_part_that_stays_is_an_error() -> None:
    stage = micro_recipe().stages["join"]
    parts = {name: torch.nn.Linear(2, 2) for name in ("vision", "connector", "language")}
    before = {name: fingerprint(module) for name, module in parts.items()}
    with pytest.raises(TrainingError, match="should train but its weights did not move"):
        check_moves(parts, stage, before=before, name="join")


def test_a_stage_that_cannot_reach_what_it_trains_is_an_error(tmp_path: Path) -> None:
    recipe = micro_recipe(
        evaluation__benchmarks={}, stages__language__train={"vision": {"mode": "full"}, "language": {"mode": "full"}}
    )
    with pytest.raises(TrainingError, match=r"stages.language.train.vision"):
        run_recipe(loaded(recipe), machine=micro_machine(tmp_path))


def test_tokens_end_a_stage(tmp_path: Path) -> None:
    recipe = micro_recipe(evaluation__benchmarks={}, stages__language__duration={"tokens": 500})
    run = run_recipe(loaded(recipe), machine=micro_machine(tmp_path))
    rows = read_jsonl(run / "stages" / "language" / "metrics.jsonl")
    assert rows[-1]["tokens"] >= 500 > rows[-2]["tokens"]


def test_a_step_that_reaches_nothing_that_trains_changes_nothing(tmp_path: Path) -> None:
    # The language model is frozen, and one row a step holds one document: some steps hold no image.
    recipe = micro_recipe(
        evaluation__benchmarks={},
        stages__join__train={"connector": {"mode": "full"}},
        stages__join__mixture={"captions": 1.0, "facts": 1.0},
        stages__join__batch={"rows": 1, "length": 128, "packing": False},
        stages__join__duration={"steps": 12},
    )
    run = run_recipe(loaded(recipe), machine=micro_machine(tmp_path))
    rows = read_jsonl(run / "stages" / "join" / "metrics.jsonl")
    images = [row["images"] for row in rows]
    without = [now == before for before, now in zip([0, *images], images, strict=False)]
    assert any(without)
    assert not all(without)
    assert [row["gradient_norm"] == 0.0 for row in rows] == without
