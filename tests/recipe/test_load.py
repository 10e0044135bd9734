# ruff: noqa: E501 - a table of bad recipes and their messages, one a line
"""Recipes from files: derivation, overrides, and bad input. Each error says where, what was found and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import ROOT, recipes
from vlmlab.errors import RecipeError
from vlmlab.recipe.connector import Linear
from vlmlab.recipe.load import change_recipe, load_machine, load_recipe
from vlmlab.recipe.optim import AdamW
from vlmlab.recipe.strict_yaml import parse_yaml

BASE = """
name: base
model:
  connector: {kind: mlp, hidden: 64}
data:
  sources:
    captions: {kind: world, family: captions}
    facts: {kind: world, family: facts}
stages:
  language:
    objective: {kind: next_token}
    train: {language: {mode: full}}
    mixture: {facts: 1}
    duration: {steps: 5}
  joint:
    objective: {kind: next_token}
    train: {connector: {mode: full}}
    mixture: {captions: 1, facts: 1}
    duration: {tokens: 1000}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def message(folder: Path, text: str, *, overrides: tuple[str, ...] = ()) -> str:
    """The error of a recipe, the file's path written as FILE."""
    path = write(folder, text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides=overrides)
    return str(caught.value).replace(str(path), "FILE")


def test_every_shipped_recipe_and_machine_loads() -> None:
    assert recipes()
    for path in recipes():
        assert load_recipe(path).recipe.name == path.stem
    for machine in ("laptop", "one-gpu", "eight-gpu"):
        assert load_machine(machine).name == machine


def test_shipped_names_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe("tiny").path == ROOT / "recipes" / "tiny.yaml"
    assert load_recipe("recipes/tiny.yaml").recipe.name == "tiny"
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "tiny.yaml").write_text("from: tiny\nname: nearer")
    nearer = load_recipe("tiny")
    assert (nearer.recipe.name, nearer.base_name) == ("nearer", "tiny")


def test_overrides_are_parsed_as_yaml(folder: Path) -> None:
    loaded = load_recipe(
        folder / "base.yaml",
        overrides=(
            "seed=3",
            "stages.joint.optimizer.learning_rate=1e-4",
            "model.connector={kind: linear}",
            "about=yes",
        ),
    )
    assert loaded.recipe.seed == 3
    assert loaded.recipe.stages["joint"].optimizer == AdamW(learning_rate=1e-4)
    assert loaded.recipe.model.connector == Linear(kind="linear")
    assert loaded.recipe.about == "yes"
    assert loaded.text == BASE


def test_a_recipe_is_a_difference_from_another_one(folder: Path) -> None:
    path = write(
        folder,
        """
        from: base
        about: smaller
        remove: [stages.language, stages.joint.mixture.facts]
        change:
          model.connector.hidden: 32
          stages.joint.duration: {steps: 7}
          stages.more: {objective: {kind: next_token}, train: {language: {mode: full}}, mixture: {facts: 1}, duration: {steps: 1}}
        """,
    )
    loaded = load_recipe(path)
    assert loaded.recipe.name == "mine"
    assert list(loaded.recipe.stages) == ["joint", "more"]
    assert loaded.recipe.stages["joint"].mixture == {"captions": 1.0}
    assert loaded.base is not None
    assert loaded.base.name == loaded.base_name == "base"
    (folder / "third.yaml").write_text("from: mine.yaml\nchange: {seed: 9}")
    third = load_recipe(folder / "third.yaml")
    assert third.recipe.seed == 9
    assert third.base == loaded.recipe


def test_a_changed_preset_takes_effect_through_a_derivation(folder: Path) -> None:
    (folder / "base.yaml").write_text("model: {vision: {preset: siglip-base-patch16-224}, image: {side: 224}}")
    changed = write(
        folder, "from: base\nchange: {model.vision.preset: clip-vit-large-patch14-336, model.image.side: 336}"
    )
    assert load_recipe(changed).recipe.model.vision.width == 1024


def test_change_recipe_is_what_overrides_do(folder: Path) -> None:
    loaded = load_recipe(folder / "base.yaml")
    changed = change_recipe(loaded.tree, {"model.connector.hidden": 96}, where="arm wide")
    assert changed == load_recipe(folder / "base.yaml", overrides=("model.connector.hidden=96",)).recipe
    with pytest.raises(RecipeError, match=r"^arm wide: model.connector.hiden: no such field"):
        change_recipe(loaded.tree, {"model.connector.hiden": 96}, where="arm wide")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: {vison: {}}", "FILE: model.vison: no such field in model; did you mean 'vision'?"),
        ("modle: {}", "FILE: modle: no such field in the file; did you mean 'model'?"),
        (
            "model: {connector: {kind: mpl}}",
            "FILE: model.connector: kind 'mpl' is not one of linear, mlp, perceiver, average_pool, pixel_shuffle; did you mean 'mlp'?",
        ),
        ("model: {connector: {hidden: 3}}", "FILE: model.connector: say which kind: one of linear, mlp, perceiver, average_pool, pixel_shuffle"),
        ("model: {connector: mlp}", "FILE: model.connector: expected a mapping of fields, such as {kind: linear}; found 'mlp'"),
        ("model: {connector: {kind: mlp, hiden: 3}}", "FILE: model.connector.hiden: no such field in model.connector; did you mean 'hidden'?"),
        ("model: {connector: {kind: mlp, hidden: 3.5}}", "FILE: model.connector.hidden: expected a whole number; found 3.5"),
        ("model: {vision: {width: wide}}", "FILE: model.vision.width: expected a whole number; found 'wide'"),
        ("model: {vision: {width: 0}}", "FILE: model.vision.width: must be at least 1; found 0"),
        ("model: {vision: {mean: [0.5, 0.5]}}", "FILE: model.vision.mean.2: is missing"),
        ("precision: float16", "FILE: precision: 'float16' is not one of float32, bfloat16; did you mean 'bfloat16'?"),
        ("seed: true", "FILE: seed: expected a whole number; found true"),
        ("model: {image: {side: 300}, vision: {patch: 14}}", "FILE: model.image: side 300 is not a multiple of the patch size 14; nearest: 294, 308"),
        ("model: {language: {width: 10, heads: 3}}", "FILE: model.language: width 10 is not a multiple of heads 3; give head_width"),
        ("model: {vision: {preset: siglip}}", "FILE: model.vision: preset 'siglip' is not known"),
        ("data: {sources: {x: {kind: world}}}", "FILE: data.sources.x.family: is missing: captions: image and caption."),
        ("data: {sources: {x: {kind: world, family: pagse}}}", "FILE: data.sources.x.family: 'pagse' is not one of captions, pages,"),
        ("data: {sources: {a.b: {kind: world, family: pages}}}", "FILE: data.sources: the name 'a.b' must not be empty or hold a dot"),
        ("seed: [", "FILE: not valid YAML: "),
        ("seed: 1\nseed: 2", "FILE: the key 'seed' occurs twice (line 2)"),
        ("model: {image: {side: 1, side: 2}}", "FILE: model.image: the key 'side' occurs twice (line 1)"),
        ("seed: !!python/name:os.system x", "FILE: seed: the tag tag:yaml.org,2002:python/name:os.system is not allowed"),
        ("- 1", "FILE: expected a mapping of fields; found list"),
        ("a: &x [*x]", "FILE: a: an alias refers to what it stands in (line 1)"),
        ("from: nothing", "FILE: from: nothing: no file of this name in recipes/"),
        ("from: basee", "FILE: from: basee: no file of this name in recipes/"),
        ("from: mine.yaml", "from: recipes derive from each other in a circle: mine -> mine"),
        ("from: base\nseed: 3", "FILE: seed: a recipe that says 'from' changes fields under 'change', with dotted paths"),
        ("from: base\nchnage: {}", "FILE: chnage: no such field in the file; did you mean 'change'?"),
        ("from: base\nchange: {model.vison: 3}", "FILE: change model.vison: no such field in model; did you mean 'vision'?"),
        ("from: base\nremove: [stages.jiont]", "FILE: remove stages.jiont: nothing stands at stages.jiont; did you mean 'joint'?"),
        ("from: base\nchange: 3", "FILE: change: expected a mapping of dotted paths to values; found 3"),
        ("from: base\nchange: {stages.joint.mixture.fcats: 1}", "FILE: stages.joint.mixture.fcats: no such source in data.sources; did you mean 'facts'?"),
        ("from: base\nchange: {stages.joint.mixture.facts: -1}", "FILE: stages.joint.mixture.facts: is -1.0"),
        ("from: base\nchange: {stages.joint.mixture: {facts: 0}}", "FILE: stages.joint.mixture: all weights are zero; at least one must be positive"),
        ("from: base\nchange: {stages.joint.mixture: {}}", "FILE: stages.joint.mixture: expected at least 1 entries; found {}"),
        ("from: base\nchange: {stages.joint.train: {}}", "FILE: stages.joint.train: nothing trains"),
        ("from: base\nchange: {stages.joint.train: {visoin: {mode: full}}}", "FILE: stages.joint.train.visoin: no such entry; did you mean 'vision'?"),
        ("from: base\nchange: {stages.joint.duration: {stpes: 3}}", "FILE: stages.joint.duration: expected {steps: ...} or {tokens: ...}; found {\"stpes\": 3}"),
        ("from: base\nchange: {stages.joint.duration: {steps: 0}}", "FILE: stages.joint.duration.steps: must be at least 1; found 0"),
        ("from: base\nchange: {stages.joint.image: {side: 50}}", "FILE: stages.joint.image: side 50 is not a multiple of the patch size 8; nearest: 48, 56"),
        ("from: base\nchange: {stages.joint.batch.length: 4096}", "FILE: stages.joint.batch.length: 4096 positions, but model.language.max_positions is 2048"),
        ("model: {language: {vocabulary: 3}}", "FILE: model.language.vocabulary: is 3, but tokenizer.vocabulary is 1024; leave the former null"),
    ],
)  # fmt: skip
def test_bad_input_says_where_and_what(folder: Path, text: str, expected: str) -> None:
    found = message(folder, text)
    assert expected in found
    assert len(found.splitlines()) == 1, f"one mistake, one line; found\n{found}"
    assert "pydantic" not in found
    assert "Value error" not in found


def test_every_problem_is_listed_with_the_file(folder: Path) -> None:
    found = message(
        folder,
        "sed: 1\nprecision: half\nmodel: {connector: {kind: perceiver, depth: none}}",
        overrides=("about=[", "stages"),
    )
    assert [line.split(": ")[1] for line in found.splitlines()] == [
        "--set about", "--set stages", "precision", "model.connector.depth", "sed",
    ]  # fmt: skip
    assert all(line.startswith("FILE: ") for line in found.splitlines())


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed", "FILE: --set seed: expected path=value"),
        ("=3", "FILE: --set =3: expected path=value"),
        ("sede=3", "FILE: --set sede: no such field in the file; did you mean 'seed'?"),
        ("seed=x", "FILE: seed: expected a whole number; found 'x'"),
        ("seed=", "FILE: seed: expected a whole number; found null"),
        ("model.connector={kind: linear", "FILE: --set model.connector: not valid YAML"),
    ],
)
def test_bad_overrides(folder: Path, override: str, expected: str) -> None:
    assert expected in message(folder, BASE, overrides=(override,))


def test_circles_are_named(folder: Path) -> None:
    (folder / "other.yaml").write_text("from: mine")
    assert "in a circle: mine -> other -> mine" in message(folder, "from: other")


def test_missing_files_name_near_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(RecipeError, match=r"^tinny: no file of this name in recipes/; did you mean 'tiny'\?"):
        load_recipe("tinny")
    with pytest.raises(RecipeError, match=r"^recipes/nothing.yaml: no such file"):
        load_recipe("recipes/nothing.yaml")
    with pytest.raises(RecipeError, match=r"^laptpo: no file of this name in machines/; did you mean 'laptop'\?"):
        load_machine("laptpo")


def test_machine_overrides_and_their_mistakes() -> None:
    assert load_machine("laptop", overrides=("workers=2",)).workers == 2
    with pytest.raises(RecipeError, match="--set wokers: no such field in the file; did you mean 'workers'"):
        load_machine("laptop", overrides=("wokers=2",))
    with pytest.raises(RecipeError, match="attention: 'fast' is not one of auto"):
        load_machine("laptop", overrides=("attention=fast",))


def test_strict_yaml_reads_words_as_words() -> None:
    text = "{a: 1e-4, b: yes, c: off, d: 2024-01-01, e: 0o17, f: 1_000, g: .5, h: -3, i: ~, j: 'null', k: true, l: +1E6, m: 1:30}"
    assert parse_yaml(text, where="x") == {
        "a": 1e-4, "b": "yes", "c": "off", "d": "2024-01-01", "e": "0o17", "f": "1_000", "g": 0.5, "h": -3, "i": None,
        "j": "null", "k": True, "l": 1e6, "m": "1:30",
    }  # fmt: skip


def test_fingerprints_depend_on_content_not_on_spelling(folder: Path) -> None:
    base = load_recipe(folder / "base.yaml").recipe
    written_out = load_recipe(folder / "base.yaml", overrides=("seed=0", "model.fusion.marks=false")).recipe
    other = load_recipe(folder / "base.yaml", overrides=("model.fusion.marks=true",)).recipe
    assert base.fingerprint() == written_out.fingerprint() != other.fingerprint()
