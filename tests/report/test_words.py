import doctest
import io
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from tests.report.made_run import made_scores, write_run
from vlmlab.files import read_json, write_json
from vlmlab.records.read import read_run
from vlmlab.report import figures, markup, numbers
from vlmlab.report.rates import Point, loss_curve, norm_curves, source_curves, speed_curves, stage_rates, thinned
from vlmlab.report.words import outcome, report_json, score_table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "made")


def test_json_shape(run: Path) -> None:
    value = json.loads(json.dumps(report_json(run), allow_nan=False))
    assert set(value) == {"name", "fingerprint", "complete", "outcome", "scores", "shot_gains", "stages", "cost"}
    assert len(value["scores"]) == len(made_scores())
    first = value["scores"][0]
    assert first == {
        "benchmark": "general",
        "metric": "vqa_accuracy",
        "shots": 0,
        "items": 200,
        "score": 58.0,
        "interval": [52.8, 63.2],
        "blank": 34.0,
        "blank_interval": [29.6, 38.6],
        "gain": 24.0,
        "gain_interval": pytest.approx([17.9, 30.3]),
    }
    assert value["scores"][-1]["gain"] is None
    assert value["stages"][2]["tokens_per_second"] == pytest.approx(26_880_000 / value["stages"][2]["seconds"])
    assert value["stages"][2]["learned_per_second"] == pytest.approx(8_960_000 / value["stages"][2]["seconds"])
    assert value["stages"][2]["mfu"] == 0.143
    assert value["stages"][2]["peak_memory"] == 612 * 2**20
    assert value["stages"][2]["skipped"] == 3
    spent = value["cost"]
    assert spent["seconds"] == pytest.approx(spent["training_seconds"] + spent["evaluation_seconds"])
    assert spent["reused_seconds"] == pytest.approx(value["stages"][1]["seconds"])


def test_outcome_counts_only_intervals_above_zero(tmp_path: Path) -> None:
    run = write_run(tmp_path / "made")
    path = run / "evaluation" / "summary.json"
    value = read_json(path)
    for row in value["scores"]:
        if row["benchmark"] == "reading":
            row["gain_interval"] = [-0.1, row["gain_interval"][1]]
    write_json(path, value)
    assert outcome(read_run(run)) == (
        "At 4 shots it beats its blank-image control on 4 of 5 image benchmarks, "
        "and the demonstrations help over 0 shots on 5 of 6 benchmarks."
    )


def test_outcome_at_zero_shots_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "made")
    path = run / "evaluation" / "summary.json"
    value = read_json(path)
    value["scores"] = [row for row in value["scores"] if row["benchmark"] == "general" and row["shots"] == 0]
    value["shot_gains"] = []
    write_json(path, value)
    assert outcome(read_run(run)) == "At 0 shots it beats its blank-image control on 1 of 1 image benchmark."


def test_table_fits_eighty_columns(run: Path) -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(score_table(run))
    text = console.file.getvalue()
    assert "…" not in text
    for words in ("general", "CIDEr", "multiple choice", "141.6", "+104.5 to +116.9", "At 4 shots"):
        assert words in text


def test_rates(run: Path) -> None:
    stage = read_run(run).stages[0]
    rates = stage_rates(stage)
    assert rates.fill == pytest.approx(0.94)
    last = stage.steps[-1]
    assert rates.data_wait == pytest.approx(last.data_seconds / last.seconds)


def test_curves(run: Path) -> None:
    vision, text, joined = (stage.steps for stage in read_run(run).stages)
    assert source_curves(vision) == []
    assert [curve.name for curve in source_curves(joined)] == ["captions", "pages", "dialogues", "twins"]
    assert [curve.name for curve in norm_curves(joined)] == ["connector", "language"]
    assert [curve.name for curve in speed_curves(joined)] == ["real", "learned", "visual"]
    assert [curve.name for curve in speed_curves(text)] == ["real", "learned"]
    assert speed_curves(joined)[0].points[0] == Point(10, joined[0].tokens_per_second)


def test_a_window_without_a_finite_step_leaves_no_point(run: Path) -> None:
    steps = list(read_run(run).stages[1].steps)
    steps[3] = steps[3].model_copy(update={"loss": None, "component_norms": {}, "source_losses": {}})
    assert [point.x for point in loss_curve(steps)][:4] == [10, 20, 30, 50]
    assert len(source_curves(steps)[0].points) == len(norm_curves(steps)[0].points) == len(steps) - 1


def test_thinned_keeps_ends_and_mean() -> None:
    points = [Point(step, float(step % 7)) for step in range(5001)]
    few = thinned(points, most=100)
    assert len(few) == 100
    assert (few[0], few[-1]) == (points[0], points[-1])
    assert all(before.x < after.x for before, after in pairwise(few))
    assert thinned(points[:50], most=100) == points[:50]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, (0, 25, 50, 75, 100)),
        (0.4, 6.9, (0, 2, 4, 6, 8)),
        (0, 0.03, (0, 0.01, 0.02, 0.03)),
        (2, 2, (1.5, 1.75, 2, 2.25, 2.5)),
    ],
)
def test_round_axis(low: float, high: float, ticks: tuple[float, ...]) -> None:
    axis = figures.round_axis(low, high)
    assert axis.ticks == pytest.approx(ticks)
    assert axis.low <= low
    assert axis.high >= high


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.5, 0.6, ("0.1", "1")),
        (1.0, 10.0, ("1", "10")),
        (1.0, 1.0, ("1", "10")),
        (3e-4, 2e4, ("0.0001", "0.1", "100", "100 k")),
    ],
)
def test_decade_axis(low: float, high: float, labels: tuple[str, ...]) -> None:
    axis = figures.decade_axis(low, high)
    assert axis.labels == labels
    assert 10**axis.low <= low * 1.001
    assert 10**axis.high >= high * 0.999


def test_a_seventh_curve_is_told_from_the_first() -> None:
    assert len({figures.curve_kind(index) for index in range(12)}) == 12


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.25, "4.2 s"), (59.7, "1 min 0 s"), (3599.6, "1 h 0 min"), (90_000, "25 h 0 min")]
)
def test_duration(seconds: float, words: str) -> None:
    assert numbers.duration(seconds) == words


@pytest.mark.parametrize("module", [numbers, markup, figures])
def test_examples(module) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_no_torch() -> None:
    code = (
        "import sys, vlmlab.report.page, vlmlab.cli.report; "
        "print(*(name in sys.modules for name in ('torch', 'numpy', 'matplotlib')))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False", "False"]
