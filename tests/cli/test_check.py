"""vlmlab check: the table, the JSON, the exit status, and what the store changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.cli.calling import call
from tests.micro import loaded, micro_machine, micro_recipe, micro_tree
from tests.training.checks.foreign.folders import llama_folder
from vlmlab.models.attention import Kernel, Layout, make_layout
from vlmlab.records.check import CheckReport
from vlmlab.run.check import check_recipe
from vlmlab.run.execute import run_recipe


def recipe_file(folder: Path) -> str:
    path = folder / "micro.yaml"
    path.write_text(json.dumps(micro_tree(evaluation__benchmarks={})), encoding="utf-8")
    return str(path)


def test_a_recipe_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    store = f"machine.store={tmp_path / 'store'}"
    assert call(monkeypatch, "check", recipe_file(tmp_path), "--set", store, "--set", "machine.threads=1") == 0
    shown = capsys.readouterr().out
    assert "vision: weights as the recipe begins" in shown
    assert "join: weights without the training of vision, language (not in the store)" in shown.replace("\n", " ")
    assert "micro: no check failed (27 in all" in shown
    assert not list((tmp_path / "store").glob("*.work"))


def test_a_recipe_whose_attention_leaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_segment(segments: Tensor, *, num_queries: int, kernel: Kernel, dtype: torch.dtype) -> Layout:
        return make_layout(segments.clamp(max=1), num_queries=num_queries, kernel=kernel, dtype=dtype)

    monkeypatch.setattr("vlmlab.models.language.causal.make_layout", one_segment)
    store = f"machine.store={tmp_path / 'store'}"
    assert call(monkeypatch, "check", recipe_file(tmp_path), "--set", store, "--json") == 1
    report = CheckReport.model_validate_json(capsys.readouterr().out)
    assert not report.passed
    assert [section.title for section in report.sections] == ["vision", "language", "join"]
    failed = {
        (section.title, check.name) for section in report.sections for check in section.checks
        if check.outcome == "failed"
    }  # fmt: skip
    assert failed == {("language", "isolation"), ("join", "isolation")}


def test_stored_stages_are_used(tmp_path: Path) -> None:
    recipe = micro_recipe(evaluation__benchmarks={})
    machine = micro_machine(tmp_path)
    run_recipe(loaded(recipe), machine=machine)
    report = check_recipe(loaded(recipe), machine=machine)
    assert report.passed
    join = report.sections[-1]
    assert join.weights == "after the earlier stages, from the store"
    (first,) = (check for check in join.checks if check.name == "first loss")
    assert "the language model was trained before" in first.words


def test_a_warm_up_that_never_ends_is_named(tmp_path: Path) -> None:
    recipe = micro_recipe(evaluation__benchmarks={}, stages__join__optimizer={"schedule": {"warmup": 100}})
    report = check_recipe(loaded(recipe), machine=micro_machine(tmp_path))
    (groups,) = (check for check in report.sections[-1].checks if check.name == "optimiser groups")
    assert "never reached, for the warm-up of 100 steps is as long as the stage (6)" in groups.words


def test_a_foreign_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    llama_folder(tmp_path / "model")
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "what is this"}\n', encoding="utf-8")
    arguments = ("check", "--model", str(tmp_path / "model"), "--data", str(data))
    assert call(monkeypatch, *arguments) == 0
    assert "packing: ones" in capsys.readouterr().out
    assert call(monkeypatch, *arguments, "--packed", "ones", "--json") == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check",), "expected either a RECIPE, or --model DIR with --data PATH"),
        (("check", "tiny", "--data", "x"), "expected either a RECIPE"),
        (("check", "--model", "nowhere", "--data", "nowhere.jsonl"), "there is no file"),
        (("check", "--model", "x", "--data", "x", "--packed", "one"), "did you mean 'ones'"),
        (("check", "--model", "x", "--data", "x", "--set", "seed=1"), "a foreign model has no recipe"),
        (("check", "tinny"), "no file of this name in recipes/; did you mean 'tiny'?"),
    ],
)
def test_the_users_mistakes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert call(monkeypatch, *arguments) == 2
    assert words in capsys.readouterr().err
