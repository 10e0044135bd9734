"""vlmlab verdict: a known difference comes back with its interval; logs that do not fit together are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.cli.calling import call
from tests.study.made_logs import lmms_log, lmms_rows, right, table_rows, write_lines, write_table
from vlmlab.cli.verdict import arms_of, drawn
from vlmlab.files import write_json

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two arms, three runs each: b answers better than a."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for run in range(3):
        lmms_log(Path(f"a{run}.jsonl"), 0.0, seed=run + 1)
        lmms_log(Path(f"b{run}.jsonl"), 0.5, seed=run + 11)
    return tmp_path


def said(monkeypatch: pytest.MonkeyPatch, capsys: Capture, *arguments: str) -> str:
    assert call(monkeypatch, "verdict", *arguments) == 0
    return capsys.readouterr().out


def judged(monkeypatch: pytest.MonkeyPatch, capsys: Capture, *arguments: str) -> dict[str, Any]:
    return json.loads(said(monkeypatch, capsys, *arguments, "--json"))


def test_one_log_an_arm_is_the_paired_t_interval_and_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    found = judged(monkeypatch, capsys, "a0.jsonl", "b0.jsonl")
    (pair,) = found["pairs"]
    a, b = (100 * np.array(right(shift, seed=seed)) for shift, seed in ((0.0, 1), (0.5, 11)))
    expected = stats.ttest_rel(b, a)
    assert pair["difference"] == pytest.approx((b - a).mean())
    assert pair["interval"] == pytest.approx(list(expected.confidence_interval()))
    assert pair["p_value"] == pytest.approx(expected.pvalue)
    assert (pair["verdict"], found["conditional"], found["unit"]) == ("holds", True, "points")
    shown = said(monkeypatch, capsys, "a0.jsonl", "b0.jsonl")
    assert shown.splitlines()[0] == f"b0 beats a0 by {(b - a).mean():.1f} points on exact_match."
    assert "CONDITIONAL ON THESE TWO CHECKPOINTS" in shown


def test_a_known_difference_with_several_runs(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    logs = ("a=a0.jsonl,a1.jsonl,a2.jsonl", "b=b0.jsonl,b1.jsonl,b2.jsonl")
    found = judged(monkeypatch, capsys, *logs)
    (pair,) = found["pairs"]
    # Difficulty has a variance of 1, a run's own noise of 0.49: the truth, by the normal integral.
    truth = 100 * (stats.norm.cdf(0.5 / np.sqrt(1.49)) - 0.5)
    assert pair["interval"][0] < truth < pair["interval"][1]
    assert pair["verdict"] == "holds"
    assert not found["conditional"]
    assert [len(arm["replicates"]) for arm in found["arms"]] == [3, 3]
    assert "CONDITIONAL" not in said(monkeypatch, capsys, *logs)
    turned = judged(monkeypatch, capsys, *reversed(logs))
    assert turned["pairs"][0]["verdict"] == "reversed"
    assert turned["sentence"] == found["sentence"]


def test_more_arms_share_the_error(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    lmms_log(Path("c.jsonl"), 0.02, seed=99)
    both = judged(monkeypatch, capsys, "a0.jsonl", "b0.jsonl", "c.jsonl")
    alone = judged(monkeypatch, capsys, "a0.jsonl", "b0.jsonl")
    assert [pair["arm"] for pair in both["pairs"]] == ["b0", "c"]
    assert both["pairs"][0]["p_adjusted"] == pytest.approx(2 * alone["pairs"][0]["p_value"])
    assert both["pairs"][1]["verdict"] == "cannot tell"
    width = {name: np.ptp(found["pairs"][0]["interval"]) for name, found in (("both", both), ("alone", alone))}
    assert width["both"] > width["alone"]


def test_open_verdicts_say_what_would_have_been_found(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Runs of one recipe: no verdict without a margin, and the number of runs that the declared effect needs."""
    logs = ("one=a0.jsonl,a1.jsonl", "two=a2.jsonl,a1.jsonl", "--effect", "3")
    shown = said(monkeypatch, capsys, *logs)
    assert shown.startswith("Cannot tell two from one on exact_match")
    assert "with 80 % power" in shown
    (pair,) = judged(monkeypatch, capsys, *logs)["pairs"]
    assert pair["verdict"] == "cannot tell"
    assert pair["needed"] is None or pair["needed"] > 2


def test_a_margin_makes_equivalence_possible(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    (wide,) = judged(monkeypatch, capsys, "a0.jsonl", "a1.jsonl", "--margin", "15")["pairs"]
    assert wide["verdict"] == "equivalent"
    low, high = wide["interval_equivalence"]
    assert -15 < low < high < 15
    assert judged(monkeypatch, capsys, "a0.jsonl", "a1.jsonl", "--margin", "0.5")["pairs"][0]["verdict"] != "equivalent"


def test_clusters_widen_the_interval(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Every question asked four times gives no more evidence than asked once."""
    single = {name: right(shift, seed=seed, items=60) for name, shift, seed in (("a", 0.0, 1), ("b", 0.5, 11))}
    for name, scores in single.items():
        rows = [
            row | {"picture": f"image {number // 4}"}
            for number, row in enumerate(lmms_rows([s for s in scores for _ in "1234"]))
        ]
        write_lines(Path(name, "samples_four.jsonl"), rows)
        write_lines(Path(name, "samples_one.jsonl"), lmms_rows(scores))
    once = judged(monkeypatch, capsys, "a/samples_one.jsonl", "b/samples_one.jsonl")
    four = judged(monkeypatch, capsys, "a/samples_four.jsonl", "b/samples_four.jsonl", "--cluster", "picture")
    blind = judged(monkeypatch, capsys, "a/samples_four.jsonl", "b/samples_four.jsonl")
    assert four["pairs"][0]["interval"] == pytest.approx(once["pairs"][0]["interval"])
    assert np.ptp(blind["pairs"][0]["interval"]) < 0.6 * np.ptp(four["pairs"][0]["interval"])
    assert (four["items"], four["clusters"]) == (240, 60)


@pytest.mark.parametrize("columns", [70, 80])
def test_pairs_take_one_line_each_on_a_narrow_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = said(monkeypatch, capsys, "idefics=b0.jsonl", "llava=a0.jsonl", "qwen=b1.jsonl")
    assert max(map(len, shown.splitlines())) <= columns
    (row,) = (line for line in shown.splitlines() if line.startswith("llava - idefics"))
    assert row.rstrip().endswith("reversed")
    assert "p < 0.001" in row
    assert ("●" in row) == (columns == 80)


def test_tables_of_vlmevalkit(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    write_table(Path("x_result.csv"), table_rows(right(0.0, seed=1)))
    write_table(Path("y_result.tsv"), table_rows(right(0.5, seed=11)))
    found = judged(monkeypatch, capsys, "x=x_result.csv", "y=y_result.tsv")
    assert found["pairs"][0]["difference"] == pytest.approx(
        judged(monkeypatch, capsys, "a0.jsonl", "b0.jsonl")["pairs"][0]["difference"]
    )


def _few(rows: int) -> None:
    write_lines(Path("x.jsonl"), lmms_rows(right(0.0, seed=1))[:rows])


def _changed(**fields: object) -> None:
    write_lines(Path("x.jsonl"), [row | fields for row in lmms_rows(right(0.0, seed=1))])


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (None, ("a0.jsonl",), "needs two logs or more"),
        (None, ("a0.jsonl", "no.jsonl"), "no.jsonl: no such file"),
        (None, ("a0.jsonl", "a0.jsonl"), "is given for two arms"),
        (None, ("A=a0.jsonl", "A=b0.jsonl"), "A: names two arms"),
        (None, ("A=", "B=b0.jsonl"), "names no log"),
        (None, ("a0.jsonl", "B=b0.jsonl,b1.jsonl"), "has one log where others have several"),
        (None, ("A=a0.jsonl,a1.jsonl,a2.jsonl", "B=b0.jsonl,b1.jsonl", "--paired"), "their numbers differ: A 3, B 2"),
        (None, ("a0.jsonl", "b0.jsonl", "--metric", "exact_mach"), "did you mean 'exact_match'"),
        (None, ("a0.jsonl", "b0.jsonl", "--cluster", "image"), "no field 'image' to cluster by"),
        (None, ("a0.jsonl", "b0.jsonl", "--margin", "-1"), "--margin: expected a number above 0, found -1"),
        (None, ("a0.jsonl", "b0.jsonl", "--margin", "nan"), "--margin: expected a number above 0, found nan"),
        (None, ("a0.jsonl", "b0.jsonl", "--confidence", "95"), "expected a share between 0.5 and 1"),
        (lambda: _few(250), ("a0.jsonl", "x.jsonl"), "50 of 300 are missing in it (250, 251, 252 and 47 more)"),
        (lambda: _few(250), ("x.jsonl", "a0.jsonl"), "50 are only in it (250, 251, 252 and 47 more)"),
        (lambda: _changed(target="other"), ("a0.jsonl", "x.jsonl"), "300 of 300 items have another question"),
        (lambda: _changed(anls=0.5), ("A=x.jsonl", "B=x.jsonl"), "several: exact_match, anls; choose one"),
        (lambda: _changed(anls=0.5), ("a0.jsonl", "x.jsonl", "--metric", "anls"), "a0.jsonl: has no metric 'anls'"),
        (lambda: _changed(exact_match=float("nan")), ("a0.jsonl", "x.jsonl"), "300 of 300 items have no number"),
        (lambda: _changed(same=1), ("a0.jsonl", "b0.jsonl", "--cluster", "filtered_resps"), "1 clusters by"),
        (lambda: write_table(Path("x.csv"), table_rows(right(0, seed=1))), ("a0.jsonl", "x.csv"), "is VLMEvalKit"),
        (lambda: lmms_log(Path("samples_mme.jsonl"), 0, seed=1), ("a0.jsonl", "samples_mme.jsonl"), "benchmark is mme"),
    ],
)  # fmt: skip
def test_the_users_mistakes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    make: Callable[[], object] | None,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    if make is not None:
        make()
    assert call(monkeypatch, "verdict", *arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


def test_protocol_versions_must_agree(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    for name, shots in (("a", 0), ("b", 4)):
        lmms_log(Path(name, "d_samples_mme.jsonl"), 0.0, seed=1)
        write_json(Path(name, "d_results.json"), {"versions": {"mme": 1}, "n-shot": {"mme": shots}})
    assert call(monkeypatch, "verdict", "a/d_samples_mme.jsonl", "b/d_samples_mme.jsonl") == 2
    assert "its protocol is version 1, shots 4, that of a/d_samples_mme.jsonl is version 1, shots 0" in (
        capsys.readouterr().err
    )


def test_names_of_arms() -> None:
    assert list(arms_of(["out/llava/1_samples_x.jsonl", "out/idefics/2_samples_x.jsonl"])) == ["llava", "idefics"]
    assert list(arms_of(["runs/a/evaluation/r.jsonl", "runs/b/evaluation/r.jsonl"])) == ["a", "b"]
    assert list(arms_of(["x.jsonl", "B=y.jsonl,z.jsonl"])) == ["x", "B"]


def test_the_line_has_its_dot_on_the_value() -> None:
    for value in (-1.0, -0.3, 0.0, 0.7, 1.0):
        line = drawn(value, (value - 0.1, value + 0.1), reach=1.1)
        assert len(line) == 33
        assert line.index("●") == 16 + round(value / 1.1 * 16)
