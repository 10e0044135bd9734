"""Claims become contrasts, and gathered scores become verdicts with reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vlmlab.study.claims import Evidence, arms_of, claim_words, contrasts, judge, noise_of_arms
from vlmlab.study.gather import MeasureTable
from vlmlab.study.study import Study

ITEMS = 120


def made_study(claims: dict[str, dict[str, Any]], **fields: Any) -> Study:
    tree: dict[str, Any] = {
        "name": "made",
        "question": "Which?",
        "base": "tiny",
        "axes": {"arm": {"levels": {"a": {}, "b": {"seed": 1}, "c": {"seed": 2}, "d": {"seed": 3}}}},
        "measures": {"general": {"benchmark": "general"}},
        "claims": claims,
    }
    return Study.model_validate(tree | fields)


def made_table(
    means: dict[str, float], *, replicates: int = 6, seed_deviation: float = 1.0, seed: int = 0
) -> MeasureTable:
    """Arms that share seeds' and items' noise, with a little of their own."""
    generator = np.random.default_rng(seed)
    shared = generator.normal(0, 5, replicates)
    items = generator.normal(0, 20, ITEMS)
    scores = {
        arm: {
            replicate: mean
            + shared[replicate]
            + items
            + generator.normal(0, seed_deviation)
            + generator.normal(0, 10, ITEMS)
            for replicate in range(replicates)
        }
        for arm, mean in means.items()
    }
    return MeasureTable(
        name="general",
        unit="points",
        parts=("general",),
        items=tuple(map(str, range(ITEMS))),
        clusters=tuple(str(item // 2) for item in range(ITEMS)),
        weights=np.full(ITEMS, 1 / ITEMS),
        scores=scores,
        blank={},
    )


EXCEEDS = {"kind": "exceeds", "better": "a", "worse": "b", "measure": "general", "effect": 5.0}


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (EXCEEDS, [{"a": 1.0, "b": -1.0}]),
        ({"kind": "within", "arms": ("a", "b"), "margin": 2.0, "measure": "general"}, [{"a": 1.0, "b": -1.0}]),
        ({"kind": "rises", "along": ["a", "b", "c"], "measure": "general"}, [{"a": -1.0, "b": 0.0, "c": 1.0}]),
        (
            {"kind": "rises", "along": ["a", "b", "c", "d"], "falls": True, "measure": "general"},
            [{"a": 0.9, "b": 0.3, "c": -0.3, "d": -0.9}],
        ),
        (
            {
                "kind": "exceeds_effect",
                "larger": {"to": "a", "over": "b"},
                "smaller": {"to": "c", "over": "b"},
                "measure": "general",
            },
            [{"a": 1.0, "c": -1.0}],
        ),
        (
            {
                "kind": "crossing",
                "first": {"to": "a", "over": "b"},
                "second": {"to": "d", "over": "c"},
                "measure": "general",
            },
            [{"a": 1.0, "b": -1.0}, {"d": 1.0, "c": -1.0}],
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_contrasts(claim: dict[str, Any], expected: list[dict[str, float]]) -> None:
    made = made_study({"it": claim}).claims["it"]
    assert [pytest.approx(contrast) for contrast in contrasts(made).values()] == expected
    assert set(arms_of(made)) == {arm for contrast in expected for arm in contrast}
    assert claim_words(made, "general")


def test_a_straight_line_rises_by_its_whole_height() -> None:
    claim = made_study({"it": {"kind": "rises", "along": ["a", "b", "c", "d"], "measure": "general"}}).claims["it"]
    (contrast,) = contrasts(claim).values()
    line = {"a": 10.0, "b": 13.0, "c": 16.0, "d": 19.0}
    assert sum(weight * line[arm] for arm, weight in contrast.items()) == pytest.approx(9.0)


def judged(claims: dict[str, dict[str, Any]], means: dict[str, float], **evidence: Any) -> dict[str, Any]:
    fields = evidence.pop("study", {})
    table = evidence.pop("table", None) or made_table(means)
    records = judge(made_study(claims, **fields), Evidence(tables={"general": table}, **evidence))
    return {record.name: record for record in records}


def test_holds_reversed_equivalent_and_cannot_tell() -> None:
    claims = {
        "holds": EXCEEDS,
        "reversed": EXCEEDS | {"better": "b", "worse": "a"},
        "close": {"kind": "within", "arms": ("c", "d"), "margin": 6.0, "measure": "general"},
        "open": EXCEEDS | {"better": "c", "worse": "d", "effect": 0.5},
    }
    found = judged(claims, {"a": 60.0, "b": 50.0, "c": 55.0, "d": 55.2})
    assert {name: record.verdict for name, record in found.items()} == {
        "holds": "holds",
        "reversed": "reversed",
        "close": "equivalent",
        "open": "cannot tell",
    }
    holds = found["holds"]
    assert holds.interval is not None
    assert holds.interval[0] > 0
    assert abs(holds.estimate - 10) < 4
    assert holds.components is not None
    assert holds.components.seed < 5, "what seeds share between arms is gone from a paired difference"
    assert found["reversed"].estimate == pytest.approx(-holds.estimate)
    needed = found["open"].needed
    assert needed is None or needed > 6


def test_by_more_than_a_declared_amount() -> None:
    found = judged({"much": EXCEEDS | {"by": 30.0, "effect": 40.0}}, {"a": 60.0, "b": 50.0})["much"]
    assert found.verdict == "cannot tell", "10 points are more than nothing, but not more than 30"


def test_a_crossing_needs_both_and_shows_the_smaller() -> None:
    claim = {
        "kind": "crossing",
        "first": {"to": "a", "over": "b"},
        "second": {"to": "d", "over": "c"},
        "measure": "general",
    }
    both = judged({"x": claim}, {"a": 60.0, "b": 50.0, "c": 40.0, "d": 55.0})["x"]
    assert both.verdict == "holds"
    assert len(both.parts) == 2
    assert both.estimate == min(part.estimate for part in both.parts)
    one = judged({"x": claim}, {"a": 60.0, "b": 50.0, "c": 55.0, "d": 55.0})["x"]
    assert one.verdict == "cannot tell"
    against = judged({"x": claim}, {"a": 60.0, "b": 50.0, "c": 65.0, "d": 55.0})["x"]
    assert against.verdict == "reversed"


def test_a_trend_tells_its_steps() -> None:
    found = judged(
        {"t": {"kind": "rises", "along": ["a", "b", "c"], "measure": "general"}}, {"a": 40, "b": 45, "c": 60}
    )
    assert found["t"].verdict == "holds"
    assert [part.words for part in found["t"].parts] == ["rise from a to c", "b - a", "c - b"]


def test_a_closed_gate_is_never_a_tie() -> None:
    found = judged({"it": EXCEEDS}, {"a": 60.0, "b": 50.0}, closed={"general": "the arm is saturated"})["it"]
    assert (found.verdict, found.because) == ("not measurable", "the arm is saturated")
    assert found.interval is None
    assert found.estimate is not None


def test_missing_replicates_decide_nothing() -> None:
    found = judged({"it": EXCEEDS}, {"a": 60.0, "b": 50.0}, missing={"b": (4,)})["it"]
    assert found.verdict == "cannot tell"
    assert "b seed 4" in found.because
    one = made_table({"a": 60.0, "b": 50.0}, replicates=1)
    assert judged({"it": EXCEEDS}, {}, table=one)["it"].verdict == "cannot tell"


def test_a_verdict_that_turns_with_the_learning_rate() -> None:
    tuned, common = made_table({"a": 60.0, "b": 50.0}), made_table({"a": 50.0, "b": 60.0})
    found = judged({"it": EXCEEDS}, {}, table=tuned, common={"general": common})["it"]
    assert found.verdict == "depends on the learning rate"
    assert found.common is not None
    assert found.common.estimate < 0
    same = judged({"it": EXCEEDS}, {}, table=tuned, common={"general": tuned})["it"]
    assert same.verdict == "holds"


def test_runs_that_lack_at_the_common_value_leave_a_tuned_verdict_open() -> None:
    tuned = made_table({"a": 60.0, "b": 50.0})
    fewer = made_table({"a": 60.0, "b": 50.0}, replicates=1)
    for common, missing in ((tuned, {"a": (5,)}), (fewer, {})):
        found = judged({"it": EXCEEDS}, {}, table=tuned, common={"general": common}, common_missing=missing)["it"]
        assert found.verdict == "cannot tell"
        assert found.because.startswith("at the common value, ")
        assert found.p_adjusted is None


def test_claims_share_the_error() -> None:
    """One claim of p = 0.03 is decided alone, and not among ten."""
    for seed in range(200):
        table = made_table({"a": 52.0, "b": 50.0, "c": 50.0}, replicates=4, seed_deviation=2.0, seed=seed)
        alone = judged({"it": EXCEEDS}, {}, table=table)["it"]
        if 0.01 < alone.p_value < 0.04:
            break
    else:
        pytest.fail("no such table was drawn")
    others = {f"n{place}": EXCEEDS | {"better": "b", "worse": "c"} for place in range(9)}
    among = judged({"it": EXCEEDS, **others}, {}, table=table)["it"]
    assert alone.verdict in ("holds", "reversed")
    assert among.verdict == "cannot tell"
    assert among.p_adjusted == pytest.approx(min(1.0, 10 * alone.p_value))


def test_conditional_results_say_so_and_unrelated_seeds_are_wider() -> None:
    table = made_table({"a": 60.0, "b": 50.0})
    paired = judged({"it": EXCEEDS}, {}, table=table, study={"sharing": "across"})["it"]
    unrelated = judged({"it": EXCEEDS}, {}, table=table, study={"pairing": "independent"})["it"]
    assert paired.conditional
    assert not unrelated.conditional
    assert unrelated.standard_error > paired.standard_error
    assert unrelated.estimate == pytest.approx(paired.estimate)


def test_noise_is_found_by_source() -> None:
    """Seeds: the square root of 5^2 + 1; items: 20 / sqrt(120); residual: 10 / sqrt(120)."""
    found = [noise_of_arms(made_table({"a": 60.0, "b": 50.0}, replicates=40, seed=seed))[0] for seed in range(3)]
    seed, item, residual = np.mean(found, axis=0)
    assert seed == pytest.approx(np.sqrt(26), rel=0.2)
    assert item == pytest.approx(20 / np.sqrt(ITEMS), rel=0.2)
    assert residual == pytest.approx(10 / np.sqrt(ITEMS), rel=0.2)
