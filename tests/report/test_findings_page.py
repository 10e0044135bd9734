"""The findings page: published beside measured, whole, self-contained and the same bytes for the same record."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.report.test_page import OUTSIDE, Outline, outline
from tests.study.made_studies import some_studies, write_study
from vlmlab.records.findings import FindingsRecord
from vlmlab.report.findings_page import findings_page
from vlmlab.report.findings_words import finding_text, findings_outcome
from vlmlab.study.catalogue import load_catalogue
from vlmlab.study.evidence import findings_record, read_evidence


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> FindingsRecord:
    runs = tmp_path_factory.mktemp("runs")
    for each in some_studies():
        write_study(each, runs)
    evidence = read_evidence(runs=runs, shipped=runs / "none")
    return findings_record(load_catalogue(), evidence, vlmlab="0.1.0")


@pytest.fixture(scope="module")
def page(record: FindingsRecord) -> str:
    return findings_page(record)


@pytest.fixture(scope="module")
def parsed(page: str) -> Outline:
    return outline(page)


def test_whole_and_alone(page: str, parsed: Outline, record: FindingsRecord) -> None:
    assert not OUTSIDE.search(page)
    assert "<script" not in page
    assert findings_page(record) == page
    anchors = [attributes["id"] for _, attributes in parsed.elements if attributes.get("id")]
    assert len(anchors) == len(set(anchors))
    links = {str(attributes["href"])[1:] for element, attributes in parsed.elements if element == "a"}
    assert links <= set(anchors)


def test_published_and_measured_stand_together(page: str) -> None:
    (card,) = re.findall(r'<article class="effect"><div class="claim"><h3><a href="#finding-V-2".*?</article>', page)
    words = re.sub(r"<[^>]+>", " ", card)
    for expected in ("+11.2", "c: trained in pretraining", "+6.2", "+2.1 to +10.3", "agrees", "5 replicates", "+0.4"):
        assert expected in words, expected
    assert card.count('class="dot score"') == 2
    assert card.count('class="dot blank"') == 1


def test_every_finding_with_its_numbers(page: str, parsed: Outline, record: FindingsRecord) -> None:
    text = " ".join(parsed.text)
    for row in record.rows:
        assert f'id="finding-{row.id}"' in page
        assert row.statement in text
        assert all(arm.name in text for arm in row.published.arms)


def test_conflicts_once_each(page: str) -> None:
    assert page.count('<article class="conflict">') == 32


def test_track_record_and_its_caveats(parsed: Outline) -> None:
    text = " ".join("".join(parsed.text).split())
    assert "2 of 3 agree: 67 %, 95 % interval 21 to 94 %. Too few to judge by: 3 decided." in text
    assert "Benjamini-Yekutieli at 0.05" in text
    assert "What a small study can say: " in text
    assert "Kinds of questions without a verdict yet" in text


def test_outcome_in_a_sentence(record: FindingsRecord) -> None:
    assert findings_outcome(record) == (
        "7 of 105 findings have a verdict from a small study: 2 agree with what was published, 1 disagrees, "
        "3 cannot be told yet and 1 could not be measured."
    )


def test_without_any_study(tmp_path: Path) -> None:
    evidence = read_evidence(runs=tmp_path, shipped=tmp_path)
    empty = findings_record(load_catalogue(), evidence, vlmlab="0.1.0")
    page = findings_page(empty)
    outline(page)
    assert "None of 105 findings has a verdict from a small study yet." in page
    assert "No study has been run." in page


def test_text_is_escaped(record: FindingsRecord) -> None:
    rows = [row.model_copy(update={"statement": "<img src=x onerror=alert(1)>"}) for row in record.rows[:3]]
    page = findings_page(record.model_copy(update={"rows": rows}))
    assert "<img" not in page


def test_one_finding_in_the_terminal(record: FindingsRecord) -> None:
    rows = {row.id: row for row in record.rows}
    text = finding_text(rows["V-2"])
    for expected in ("113.5", "holds: +6.2 points (+2.1 to +10.3)", "disagrees with: FL-5, I2-F3, ID1-1", "agrees"):
        assert expected in text
    assert "  not measurable, binding at 4 shots, 5 replicates" in finding_text(rows["M-D2"])
    assert "causal, used bidirectional    30.9       52.3  memory" in finding_text(rows["A-5"])
    assert all(len(line) <= 120 for row in record.rows for line in finding_text(row).splitlines())
