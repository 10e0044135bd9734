"""Designs: every mistake is named where it stands, and what a study could find out follows from its noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.micro import micro_tree
from tests.study.made_designs import RATE, STEPS, STUDY, designed, levels
from vlmlab.errors import StudyError

EXCEEDS = STUDY["claims"]["larger"]
MEASURES = STUDY["measures"]
TUNING = {"path": RATE, "grid": [5e-4, 1e-3], "measure": "general"}
TWO_AXES = {
    "hidden": {"path": "model.connector.hidden", "levels": {"small": 16, "large": 48}},
    "rows": {"path": "stages.join.batch.rows", "levels": {"few": 2, "many": 4}},
}


def hidden(**values: Any) -> dict[str, Any]:
    return {"hidden": {"path": "model.connector.hidden", "levels": values}}


def claim(**changes: Any) -> dict[str, Any]:
    return {"claims": {"larger": EXCEEDS | changes}}


def asked(**changes: Any) -> dict[str, Any]:
    return {"measures": MEASURES | {"new": {"benchmark": "general", "shots": 0} | changes}}


MISTAKES: list[tuple[dict[str, Any], str]] = [
    (claim(finding="V-22"), r"claims.larger.finding: V-22: no such finding; did you mean 'V-2'"),
    # Axes and levels.
    ({"axes": {}}, r"axes: there are none"),
    ({"axes": hidden()}, r"axes.hidden.levels: there are none"),
    ({"axes": hidden(small=16)}, r"axes: 1 arm; a comparison needs two"),
    ({"axes": {"hidden": {"path": "model.conector.hidden", "levels": {"small": 1, "large": 2}}}},
     r"axes.hidden.path.*no such field in model; did you mean 'connector'"),
    ({"axes": {"which": {"levels": {"small": {}, "large": {"model.connector.hiden": 3}}}}},
     r"axes.which.levels.large.*model.connector.hiden.*did you mean 'hidden'"),
    ({"axes": hidden(small=16, large=-2)}, r"axes.hidden.levels.large: model.connector.hidden: must be at least 1"),
    ({"axes": {"seed": {"path": "seed", "levels": {"small": 1, "large": 2}}}}, r"seed cannot be varied: replicates"),
    ({"axes": {"about": {"path": "about", "levels": {"small": "x", "large": "y"}}}}, r"about cannot be varied: words"),
    ({"axes": {"bad": {"path": "data.bad_samples.share", "levels": {"small": 0.1, "large": 0.2}}}},
     r"axes.bad: arms small and large differ only in data.bad_samples.share, which changes no stage"),
    ({"axes": {"size": {"path": "model.language.max_positions", "levels": {"small": 256, "large": 512}}}},
     r"arms small and large differ only in model.language.max_positions"),
    ({"axes": levels(small={}, large={"data.sources.extra": {"kind": "world", "family": "pages"}})},
     r"arms small and large differ only in data.sources.extra"),
    ({"axes": hidden(small=16, large=48, again=48), "claims": {}},
     r"axes.hidden: arms large and again are the same recipe; remove one level"),
    ({"axes": hidden(**{"a b": 16, "large": 48})}, r"'a b' names an arm and a folder"),
    ({"leave_out": ["huge"]}, r"leave_out: no arm 'huge'"),
    ({"leave_out": ["large"]}, r"1 arm; a comparison needs two: add a level, or leave out fewer"),
    ({"change": {"model.nothing": 1}}, r"change.*no such field"),
    # Numbers.
    ({"replicates": 1}, r"replicates: 1 replicate cannot tell an effect from the noise between seeds"),
    ({"looks": 4}, r"looks: 4 looks at 3 replicates"),
    # Measures.
    ({"measures": {}, "claims": {}}, r"measures: there are none"),
    (asked(benchmark="genral"), r"measures.new.benchmark: the recipe has no benchmark 'genral'; did you mean"),
    (asked(shots=4), r"measures.new.shots: general is asked at 0, 1 shots in arm small, not at 4"),
    ({**asked(value="gain"), "change": {"evaluation.blank_control": False}},
     r"measures.new.value: a gain needs the blank-image control of general, but evaluation.blank_control is off"),
    ({"measures": MEASURES | {"new": {"mean": ["general", "zer0"]}}}, r"measures.new.mean: no measure 'zer0'; did you"),
    ({"measures": MEASURES | {"new": {"mean": ["general", "both"]}}}, r"measures.new.mean: both is itself a mean"),
    ({"measures": MEASURES | {"new": {"mean": ["zero", "zero"]}}}, r"measures.new.mean: zero stands there twice"),
    ({"measures": MEASURES | {"new": {"mean": ["zero", "sure"]}}}, r"zero in points and sure in nats"),
    ({"axes": levels(small={}, large={"evaluation.benchmarks": {}})},
     r"measures.general.benchmark: large has no benchmark 'general'; every arm must be asked the same"),
    ({"axes": levels(small={}, large={"evaluation.benchmarks.general.shots": [0], "model.connector.hidden": 9})},
     r"measures.general.shots: general is asked at 0 shots in arm large, not at 1"),
    ({"axes": levels(small={}, large={"data.world.scenes.objects": [2, 2]})},
     r"arm large would be asked other items of general than small: data.world.scenes.objects differ"),
    ({"axes": levels(small={}, large={"evaluation.benchmarks.general.items": 5})},
     r"arm large would be asked other items of general than small: evaluation.benchmarks.general.items differ"),
    # Claims.
    (claim(better="larg"), r"claims.larger.better: no arm 'larg'; did you mean 'large'"),
    (claim(measure="genral"), r"claims.larger.measure: no measure 'genral'; did you mean 'general'"),
    (claim(better="small"), r"claims.larger: compares an arm with itself"),
    (claim(by=10.0), r"claims.larger.effect: the declared effect 10 is not above by: 10"),
    ({"claims": {"larger": EXCEEDS, "again": EXCEEDS | {"effect": 3}}}, r"claims.again: says the same as claims.l"),
    ({"axes": TWO_AXES, "hold": {"budget": "updates"}, "claims": {"up": {"kind": "rises", "measure": "general",
      "along": ["small/few", "large/few", "large/many"]}}},
     r"claims.up.along: these arms differ in hidden and rows; a trend follows one axis"),
    ({"axes": hidden(small=16, middle=20, large=48), "claims": {"up": {"kind": "rises", "measure": "general",
      "along": ["small", "middle", "small"]}}}, r"claims.up.along: small stands there twice"),
    ({"axes": TWO_AXES, "hold": {"budget": "updates"}, "claims": {"x": {"kind": "crossing", "measure": "general",
      "first": {"to": "large/few", "over": "small/few"}, "second": {"to": "large/few", "over": "small/few"}}}},
     r"claims.x: both effects are the same"),
    ({"axes": TWO_AXES, "leave_out": ["large/many"], "claims": {"x": {"kind": "exceeds_effect", "measure": "general",
      "larger": {"to": "large/few", "over": "small/few"}, "smaller": {"to": "large/many", "over": "small/many"}}}},
     r"claims.x.smaller.to: no arm 'large/many'; leave_out removes it"),
    # Gates.
    ({"gates": {"genral": {}}}, r"gates.genral: no measure 'genral'"),
    ({"gates": {"general": {"control": "worse"}}}, r"gates.general.control: no arm 'worse'"),
    ({"gates": {"general": {"control": "small"}}}, r"gates.general.control: small is the reference arm"),
    ({"gates": {"general": {"low": 0.9}}}, r"gates.general: low 0.9 is not below high 0.8"),
    # Tuning.
    ({"tuning": TUNING | {"path": "stages.join.optimizer.learning_rat"}}, r"tuning.path: arm small: .*did you mean"),
    ({"tuning": TUNING | {"path": "stages.join.optimizer.schedule.kind"}}, r"'cosine'; expected a number"),
    ({"tuning": TUNING | {"grid": [2e-3, 4e-3]}}, r"does not hold the common value 0.001 of stages.join.optimizer"),
    ({"tuning": TUNING | {"grid": [1e-3, 5e-4]}}, r"tuning.grid: expected different positive values in rising order"),
    ({"tuning": TUNING | {"grid": [1e-3, 1e-3]}}, r"tuning.grid: expected different positive values in rising order"),
    ({"tuning": TUNING | {"measure": "genral"}}, r"tuning.measure: no measure 'genral'"),
    ({"tuning": TUNING, "hold": {"free": RATE}}, r"tuning.path: .* is solved to hold the budget equal"),
    ({"tuning": TUNING, "axes": {"rate": {"path": RATE, "levels": {"small": 1e-3, "large": 2e-3}}}},
     r"tuning.path: .* is 0.001 in small but large 0.002; a field that is tuned has one common value"),
    ({"tuning": TUNING, "first_seed": 99_999}, r"first_seed: seeds from 100000 on belong to tuning trials"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), MISTAKES)
def test_every_mistake_is_named_at_design(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError, match=words) as raised:
        designed(tmp_path, **changes)
    assert "made.yaml: " in str(raised.value)


def test_a_gain_needs_pictures(tmp_path: Path) -> None:
    text = {"kind": "world", "family": "text", "items": 4, "shots": [0]}
    recipe = micro_tree(evaluation__benchmarks__text=text)
    with pytest.raises(StudyError, match="its questions have no picture"):
        designed(tmp_path, recipe=recipe, **asked(benchmark="text", value="gain"))


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as raised:
        designed(tmp_path, replicates=1, **claim(better="larg"), gates={"genral": {}})
    assert len(str(raised.value).splitlines()) == 3


def test_one_bad_pair_of_levels_is_named_as_its_arm(tmp_path: Path) -> None:
    axes = {
        "length": {"path": "stages.join.batch.length", "levels": {"short": 64, "long": 300}},
        "limit": {"path": "model.language.max_positions", "levels": {"low": 256, "high": 512}},
    }
    with pytest.raises(StudyError, match=r"arm long/low: .*max_positions is 256; .*leave_out: \[long/low\]"):
        designed(tmp_path, axes=axes, claims={})


def test_the_design_says_what_differs(tmp_path: Path) -> None:
    record = designed(tmp_path, axes=levels(small={}, large={"model.connector.hidden": 48})).record()
    assert [arm.name for arm in record.arms] == ["small", "large"]
    assert record.arms[1].differences == [("model.connector.hidden", "24", "48")]
    assert record.stages == ["join"]
    assert record.seeds == [0, 1, 2]
    assert record.cost.machine == "laptop"
    assert any("Nothing is tuned" in note for note in record.notes)


def known(value: float | None) -> float:
    assert value is not None
    return value


def noise(folder: Path, *, seed: float, item: float = 0.5, kind: str = "paired", key: str = "general@1") -> Path:
    path = folder / "measured.yaml"
    entry = f"{{seed: {seed}, item: {item}, residual: 0.5, degrees_of_freedom: 21}}"
    path.write_text(f"base: micro\nreplicates: 8\n{kind}:\n  {key}: {entry}\n", encoding="utf-8")
    return path


def test_power_follows_from_measured_noise(tmp_path: Path) -> None:
    (quiet,) = designed(tmp_path, noise=noise(tmp_path, seed=1.0), replicates=5).claims
    (loud,) = designed(tmp_path, noise=noise(tmp_path, seed=8.0), replicates=5).claims
    assert all(claim.measured for claim in (quiet, loud))
    assert known(quiet.power) > 0.99 > 0.5 > known(loud.power)
    assert known(quiet.detectable) < known(loud.detectable)
    assert known(quiet.needed) in (2, 3)
    needed = int(known(loud.needed))
    assert needed > 5
    (more,) = designed(tmp_path, noise=noise(tmp_path, seed=8.0), replicates=needed).claims
    (fewer,) = designed(tmp_path, noise=noise(tmp_path, seed=8.0), replicates=needed - 1).claims
    assert known(more.power) >= 0.8 > known(fewer.power)


def test_an_assumption_is_called_one(tmp_path: Path) -> None:
    found = designed(tmp_path)
    assert not found.claims[0].measured
    assert any("was never measured on this base" in note and "general@1" in note for note in found.notes)
    assert designed(tmp_path, noise=noise(tmp_path, seed=1, kind="independent")).claims[0].measured is False
    assert designed(tmp_path, **claim(measure="sure")).claims[0].power is None


def test_a_margin_that_cannot_be_settled_is_refused(tmp_path: Path) -> None:
    within = {"tie": {"kind": "within", "arms": ["small", "large"], "margin": 5, "measure": "general"}}
    with pytest.raises(
        StudyError,
        match=r"claims.tie.margin: 5 points cannot be settled by 3 replicates: .*; \d+ replicates, or a margin",
    ):
        designed(tmp_path, claims=within, noise=noise(tmp_path, seed=4.0))
    (settled,) = designed(tmp_path, claims=within, noise=noise(tmp_path, seed=0.6), replicates=5).claims
    assert known(settled.power) > 0.8
    assert known(settled.detectable) < 5


def test_a_mean_is_known_from_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "measured.yaml"
    entry = "{seed: 3, item: 2, residual: 1, degrees_of_freedom: 21}"
    path.write_text(f"base: micro\nreplicates: 8\npaired: {{general@1: {entry}, general@0: {entry}}}\n")
    found = designed(tmp_path, noise=path, **claim(measure="both"))
    (prospect,) = found.claims
    assert prospect.measured
    assert prospect.noise is not None
    assert prospect.noise.item == pytest.approx(2.0)  # sqrt(2) of a difference, over sqrt(2) of two benchmarks
    assert any("put together from its parts" in note for note in found.notes)


def test_claims_share_the_error(tmp_path: Path) -> None:
    path = noise(tmp_path, seed=3.0)
    (alone,) = designed(tmp_path, noise=path).claims
    both = designed(
        tmp_path, noise=path, claims={"larger": EXCEEDS, "smaller": EXCEEDS | {"better": "small", "worse": "large"}}
    ).claims
    assert both[0].level == pytest.approx(alone.level / 2)
    assert known(both[0].power) < known(alone.power)


def test_unrelated_arms_and_looks(tmp_path: Path) -> None:
    path = noise(tmp_path, seed=3.0, kind="independent")
    (found,) = designed(tmp_path, noise=path, pairing="independent", looks=3).claims
    assert found.measured
    assert found.level < 0.05


def test_damaged_noise_is_named(tmp_path: Path) -> None:
    path = tmp_path / "measured.yaml"
    path.write_text("base: micro\nreplicates: 8\npaired: {general@1: {sed: 1}}\n")
    with pytest.raises(StudyError, match=r"measured.yaml: paired.general@1.sed: no such field"):
        designed(tmp_path, noise=path)


def test_validation_trials_ask_only_what_tuning_looks_at(tmp_path: Path) -> None:
    found = designed(tmp_path, tuning=TUNING, change={STEPS: 5})
    trial = found.arms[1].replicate(100_000, trial=5e-4, validation=True)
    (spec,) = trial.evaluation.benchmarks.values()
    assert spec.plain()["split"] == "validation"
    assert spec.shots == (1,)
    assert trial.stages["join"].optimizer.learning_rate == 5e-4
    assert found.arms[1].replicate(0).evaluation.benchmarks["general"].plain()["split"] == "test"
