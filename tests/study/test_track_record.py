"""Verdicts against published directions: agreement, the correction over the page, intervals, last records."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.made_studies import claim, some_studies, study, write_study
from vlmlab.files import write_text
from vlmlab.records.findings import FindingsRecord
from vlmlab.records.study import StudyRecord, Verdict
from vlmlab.study.catalogue import load_catalogue
from vlmlab.study.evidence import findings_record, read_evidence, unknown_findings
from vlmlab.study.findings import Direction, Open, Tie, Wins
from vlmlab.study.track_record import agreement_of, together, wilson

WINS = Wins(kind="wins", winner="a", over="b", words="")
TIE = Tie(kind="tie", words="")
OPEN = Open(kind="open", words="")


def gather(tmp_path: Path, studies: list[StudyRecord]) -> FindingsRecord:
    for record in studies:
        write_study(record, tmp_path / "runs")
    evidence = read_evidence(runs=tmp_path / "runs", shipped=tmp_path / "shipped")
    return findings_record(load_catalogue(), evidence, vlmlab="0")


@pytest.mark.parametrize(
    ("direction", "kind", "verdict", "expected"),
    [
        (WINS, "exceeds", "holds", "agrees"),
        (WINS, "rises", "holds", "agrees"),
        (WINS, "exceeds", "reversed", "disagrees"),
        (WINS, "exceeds", "equivalent", "disagrees"),
        (WINS, "within", "equivalent", "agrees"),
        (WINS, "within", "reversed", "disagrees"),
        (TIE, "within", "equivalent", "agrees"),
        (TIE, "within", "holds", "agrees"),
        (TIE, "within", "reversed", "disagrees"),
        (TIE, "exceeds", "equivalent", "agrees"),
        (TIE, "exceeds", "holds", "disagrees"),
        (TIE, "exceeds", "reversed", "disagrees"),
        (WINS, "exceeds", "cannot tell", "cannot tell"),
        (WINS, "exceeds", "depends on the learning rate", "cannot tell"),
        (TIE, "within", "not measurable", "not measurable"),
        (OPEN, "exceeds", "holds", None),
    ],
)
def test_what_a_verdict_says(direction: Direction, kind: str, verdict: Verdict, expected: str | None) -> None:
    assert agreement_of(direction, verdict, claim=kind, adjusted_p=0.01, level=0.05) == expected


def test_a_decision_must_survive_the_correction() -> None:
    assert agreement_of(WINS, "holds", claim="exceeds", adjusted_p=0.06, level=0.05) == "cannot tell"
    assert agreement_of(TIE, "equivalent", claim="within", adjusted_p=0.06, level=0.05) == "cannot tell"
    # The p-value of a difference says nothing about an equivalence.
    assert agreement_of(WINS, "equivalent", claim="exceeds", adjusted_p=0.9, level=0.05) == "disagrees"


def test_several_claims_about_one_finding() -> None:
    assert together([]) is None
    assert together(["agrees", "agrees"]) == "agrees"
    assert together(["agrees", "cannot tell"]) == "cannot tell"
    assert together(["agrees", "not measurable"]) == "not measurable"
    assert together(["cannot tell", "disagrees"]) == "disagrees"


def test_wilson_by_hand() -> None:
    """7 of 10: (0.7 + 0.19207 -+ 1.96 sqrt(0.021 + 0.009604)) / 1.38415."""
    assert wilson(7, 10) == pytest.approx((0.3968, 0.8922), abs=2e-4)
    # Extremes: z^2 / (n + z^2) = 3.8415 / 8.8415.
    assert wilson(0, 5) == pytest.approx((0.0, 0.4345), abs=2e-4)
    assert wilson(5, 5) == pytest.approx((0.5655, 1.0), abs=2e-4)


def test_wilson_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for agrees, decided in ((0, 1), (1, 1), (2, 3), (9, 12), (40, 41)):
        interval = stats.binomtest(agrees, decided).proportion_ci(0.9, method="wilson")
        assert wilson(agrees, decided, confidence=0.9) == pytest.approx((interval.low, interval.high), abs=1e-4)


def test_track_record_by_hand(tmp_path: Path) -> None:
    record = gather(tmp_path, some_studies())
    total, *families = record.track
    assert (total.agrees, total.disagrees, total.cannot_tell, total.not_measurable) == (2, 1, 3, 1)
    assert total.findings == 105
    assert total.share == pytest.approx(2 / 3)
    assert total.interval == wilson(2, 3)
    assert total.words == "2 of 3 agree: 67 %, 95 % interval 21 to 94 %. Too few to judge by: 3 decided."
    assert total.few
    by_family = {row.family: row for row in families}
    assert len(by_family) == 13
    connector = by_family["connector"]
    assert (connector.agrees, connector.disagrees, connector.cannot_tell) == (0, 1, 2)
    few_shot = by_family["few-shot"]
    assert (few_shot.not_measurable, few_shot.share, few_shot.interval) == (1, None, None)
    assert few_shot.words == "Nothing decided yet."
    assert sum(row.findings for row in families) == 105


def test_the_correction_over_the_page_by_hand(tmp_path: Path) -> None:
    """Seven p-values; the harmonic sum of 7 is 2.592857, so the smallest, 0.0004, becomes 0.0004 x 7 x 2.592857, but no
    more than the next ones' values.
    """
    record = gather(tmp_path, some_studies())
    rows = {row.id: row for row in record.rows}
    assert record.corrected == 7
    scale = 7 * sum(1 / rank for rank in range(1, 8))
    # 0.0004, 0.001, 0.001, 0.004, 0.045, 0.4, 0.6
    expected = {"V-3": 0.001 / 3 * scale, "I2-F4b": 0.001 / 3 * scale, "I2-F4d": 0.045 / 5 * scale, "FL-5": 1.0}
    for name, value in expected.items():
        (effect,) = rows[name].measured
        assert effect.adjusted_p == pytest.approx(value), name
    (dropped,) = rows["I2-F4d"].measured
    assert dropped.verdict == "holds"
    assert dropped.agreement == "cannot tell"
    assert "not after the correction" in dropped.notes[0]
    assert rows["V-2"].agreement == "agrees"
    assert rows["V-3"].measured[0].notes == ["conditional on one checkpoint"]
    assert rows["FL-5"].measured[0].notes == ["14 replicates would probably decide"]
    assert rows["V-2"].cpu_seconds == 3600.0


def test_claims_that_their_study_did_not_test_are_no_part_of_the_correction(tmp_path: Path) -> None:
    closed = claim("M-D2", "not measurable", p_value=0.0001, p_adjusted=None)
    record = gather(tmp_path, [study("one", [claim("V-2", "holds"), closed])])
    rows = {row.id: row for row in record.rows}
    assert record.corrected == 1
    assert rows["V-2"].measured[0].adjusted_p == pytest.approx(0.001)
    assert rows["M-D2"].measured[0].adjusted_p is None


def test_the_newest_record_counts(tmp_path: Path) -> None:
    runs, shipped = tmp_path / "runs", tmp_path / "shipped"
    old = study("one", [claim("V-2", "reversed")], finished="2026-01-01T00:00:00+00:00")
    new = study("one", [claim("V-2", "holds")], finished="2026-02-01T00:00:00+00:00")
    write_study(new, runs)
    write_text(shipped / "one.json", old.model_dump_json())
    (found,) = read_evidence(runs=runs, shipped=shipped).studies
    assert not found.shipped
    assert found.record.claims[0].verdict == "holds"
    write_study(old, runs)
    write_text(shipped / "one.json", new.model_dump_json())
    (found,) = read_evidence(runs=runs, shipped=shipped).studies
    assert found.shipped
    assert found.path == shipped / "one.json"


def test_damaged_records_and_unknown_findings_are_named(tmp_path: Path) -> None:
    write_text(tmp_path / "runs" / "broken" / "study.json", "{")
    write_study(study("odd", [claim("X-1", "holds"), claim(None, "holds")]), tmp_path / "runs")
    evidence = read_evidence(runs=tmp_path / "runs", shipped=tmp_path)
    (problem,) = evidence.unreadable
    assert problem.startswith(f"{tmp_path / 'runs' / 'broken' / 'study.json'}: no record of a study")
    (unknown,) = unknown_findings(load_catalogue(), evidence)
    assert unknown.endswith("claim claim_X-1 tests 'X-1', which is no finding")


def test_nothing_measured(tmp_path: Path) -> None:
    record = gather(tmp_path, [])
    assert record.corrected == 0
    assert record.track[0].share is None
    assert all(row.agreement is None for row in record.rows)
