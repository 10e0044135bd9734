"""Study files: found by name, overridden, and every problem named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.made_designs import write
from vlmlab.errors import StudyError
from vlmlab.recipe.load import load_recipe
from vlmlab.recipe.strict_yaml import parse_yaml
from vlmlab.study.design import design
from vlmlab.study.levels import build_arms
from vlmlab.study.load import load_study

SHIPPED = sorted(path for path in (Path(__file__).parents[2] / "studies").rglob("*/*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_study_can_be_designed(path: Path) -> None:
    record = design(load_study(path)).record()
    assert record.cost.stages_trained <= record.cost.stages_asked
    assert len({arm.planned.model_dump()[record.budget] for arm in record.arms}) == 1 or record.budget != "updates"
    if record.claims:
        assert record.cost.stages_trained < record.cost.stages_asked


def test_a_study_is_found_by_path_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    assert load_study(path).study.name == "made"
    monkeypatch.chdir(tmp_path)
    assert load_study("made").base.recipe.name == "micro"
    assert load_study("connectors").study.name == "connectors"
    with pytest.raises(StudyError, match="did you mean 'connectors'"):
        load_study("conectors")


def test_the_base_may_stand_in_studies(tmp_path: Path) -> None:
    path = write(tmp_path, base="base")
    assert load_study(path).base.recipe.name == "base"
    (tmp_path / "base.yaml").write_text("{from: tiny, name: beside}")
    assert load_study(path).base.recipe.name == "beside"


def test_overrides_change_fields_of_the_study(tmp_path: Path) -> None:
    changed = load_study(write(tmp_path), overrides=["replicates=4", "hold.budget=images"]).study
    assert changed.replicates == 4
    assert changed.hold.budget == "images"
    with pytest.raises(StudyError, match=r"no such field.*did you mean 'replicates'"):
        load_study(write(tmp_path), overrides=["replicate=4"])
    with pytest.raises(StudyError, match="expected path=value"):
        load_study(write(tmp_path), overrides=["replicates"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base": "nothing"}, r"made.yaml: base: nothing: no file of this name"),
        ({"replicates": "many"}, r"made.yaml: replicates: expected a whole number; found 'many'"),
        ({"question": None}, r"made.yaml: question: is missing"),
        ({"arms": {}}, r"made.yaml: arms: no such field"),
        ({"axes": {"hidden": {"path": "model.connector.hidden"}}}, r"made.yaml: axes.hidden"),
        ({"hold": {"budget": "money"}}, r"hold.budget: 'money' is not one of updates, examples"),
        ({"claims": {"a": {"kind": "wins", "measure": "general"}}}, r"claims.a: kind 'wins' is not one of exceeds"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        load_study(write(tmp_path, **changes))


def test_files_that_are_no_studies(tmp_path: Path) -> None:
    for text, words in (("- a\n", "expected a mapping"), ("a: [", "not valid YAML"), ("a: 1\na: 2\n", "occurs twice")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(StudyError, match=words):
            load_study(tmp_path / "bad.yaml")


def test_an_arm_is_a_recipe_file_of_its_own(tmp_path: Path) -> None:
    for arm in build_arms(load_study("connectors")):
        loaded = arm.loaded(3)
        assert parse_yaml(loaded.text, where="") == loaded.recipe.plain()
        (tmp_path / "arm.yaml").write_text(loaded.text, encoding="utf-8")
        again = load_recipe(tmp_path / "arm.yaml").recipe
        assert again == loaded.recipe
        assert again.seed == 3
        assert again.name == f"connectors-{arm.name}"
