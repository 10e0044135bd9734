"""Evidence: the last verdicts about each finding, from the records of studies, and the record of the findings page.

A study's record stands in runs/studies/NAME/study.json where it ran here, and in findings/results/ where it came with
vlmlab. Of two records of one study the one that finished last counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vlmlab.records.findings import FindingRow, FindingsRecord, MeasuredEffect, PublishedArm, PublishedEffect
from vlmlab.records.study import ClaimRecord, StudyRecord
from vlmlab.study.catalogue import FOLDER, Catalogue
from vlmlab.study.findings import Finding, Open, Wins
from vlmlab.study.statistics.false_discovery import benjamini_yekutieli
from vlmlab.study.track_record import Judged, agreement_of, together, track_record

RUNS = Path("runs") / "studies"
"""Where studies run, below the working directory."""
SHIPPED = FOLDER / "results"
"""Records that came with vlmlab."""
LEVEL = 0.05
"""Of the correction over the page."""


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """The last record of one study."""

    record: StudyRecord
    path: Path
    shipped: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """Every study that left a record."""

    studies: tuple[FoundStudy, ...]
    unreadable: tuple[str, ...]
    """Files that hold no record of a study, with the reason: named, never passed over in silence."""


@dataclass(frozen=True, slots=True)
class _Tested:
    """One claim about one finding."""

    found: FoundStudy
    claim: ClaimRecord
    adjusted: float | None


def read_evidence(*, runs: Path, shipped: Path) -> Evidence:
    """The last record of each study, from both places."""
    last: dict[str, FoundStudy] = {}
    unreadable: list[str] = []
    places = [(path, True) for path in sorted(shipped.glob("*.json"))]
    places += [(path, False) for path in sorted(runs.glob("*/study.json"))]
    for path, is_shipped in places:
        try:
            record = StudyRecord.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            unreadable.append(f"{path}: no record of a study: {str(error).splitlines()[0]}")
            continue
        before = last.get(record.name)
        # At equal times the one that was measured here counts: the shipped one is its copy.
        if before is None or record.finished >= before.record.finished:
            last[record.name] = FoundStudy(record, path, is_shipped)
    return Evidence(studies=tuple(last.values()), unreadable=tuple(unreadable))


def findings_record(
    catalogue: Catalogue, evidence: Evidence, *, vlmlab: str, level: float = LEVEL, confidence: float = 0.95
) -> FindingsRecord:
    """Every finding beside what was measured, and the track record, corrected for all claims of the page."""
    tested = _tested(evidence)
    rows, judged = [], []
    corrected = sum(each.adjusted is not None for claims in tested.values() for each in claims)
    for finding in catalogue.findings.values():
        row = _row(finding, tested.get(finding.id, []), level=level)
        rows.append(row)
        judged.append(Judged(finding, row.agreement))
    return FindingsRecord(
        vlmlab=vlmlab,
        rows=rows,
        track=track_record(judged, confidence=confidence),
        confidence=confidence,
        level=level,
        corrected=corrected,
    )


def unknown_findings(catalogue: Catalogue, evidence: Evidence) -> list[str]:
    """Claims of recorded studies that name a finding which the catalogue does not have."""
    return [
        f"{found.path}: claim {claim.name} tests {claim.finding!r}, which is no finding"
        for found in evidence.studies
        for claim in found.record.claims
        if claim.finding is not None and claim.finding not in catalogue.findings
    ]


def _tested(evidence: Evidence) -> Mapping[str, list[_Tested]]:
    claims = [(found, claim) for found in evidence.studies for claim in found.record.claims if claim.finding]
    # As in a study's own family: claims behind a closed gate or with missing replicates decide nothing.
    entering = [
        (index, claim.p_value)
        for index, (_, claim) in enumerate(claims)
        if claim.p_value is not None and claim.p_adjusted is not None
    ]
    with_p, values = [index for index, _ in entering], [value for _, value in entering]
    adjusted = dict(zip(with_p, benjamini_yekutieli(values), strict=True))
    tested: dict[str, list[_Tested]] = {}
    for index, (found, claim) in enumerate(claims):
        assert claim.finding is not None
        tested.setdefault(claim.finding, []).append(_Tested(found, claim, adjusted.get(index)))
    return tested


def _row(finding: Finding, tested: Sequence[_Tested], *, level: float) -> FindingRow:
    entry = finding.entry
    measured = [_measured(finding, each, level=level) for each in tested]
    decided = [effect.agreement for effect in measured if effect.agreement is not None]
    costs = {each.found.record.name: each.found.record.cost.cpu_seconds for each in tested}
    return FindingRow(
        id=finding.id,
        paper=finding.paper,
        source=entry.source,
        certainty=entry.certainty,
        family=entry.family,
        statement=entry.statement,
        measure=entry.measure,
        measure_certainty=entry.measure_certainty or entry.certainty,
        published=_published(finding),
        fields=list(entry.fields),
        missing=list(entry.missing),
        conflicts=list(entry.conflicts),
        testable=entry.small_scale.test,
        how=entry.small_scale.how,
        study=entry.study,
        recipes=entry.recipes,
        cpu_seconds=sum(costs.values()) if costs else None,
        measured=measured,
        agreement=together(decided),
    )


def _published(finding: Finding) -> PublishedEffect:
    entry, direction = finding.entry, finding.entry.direction
    wins = isinstance(direction, Wins)
    return PublishedEffect(
        kind=direction.kind,
        winner=direction.winner if wins else None,
        over=direction.over if wins else None,
        measure=None if isinstance(direction, Open) else direction.measure,
        margin=None if isinstance(direction, Open) else direction.margin,
        certainty=entry.margin_certainty(),
        words=direction.words,
        arms=[
            PublishedArm(name=name, scores=arm.scores, certainty=entry.arm_certainty(name))
            for name, arm in entry.arms.items()
        ],
    )


def _measured(finding: Finding, tested: _Tested, *, level: float) -> MeasuredEffect:
    claim, found = tested.claim, tested.found
    agreement = agreement_of(
        finding.entry.direction, claim.verdict, claim=claim.kind, adjusted_p=tested.adjusted, level=level
    )
    undone = agreement == "cannot tell" and claim.verdict in ("holds", "reversed", "equivalent")
    notes = [
        f"{claim.verdict} in its study, but not after the correction over all findings" if undone else None,
        "conditional on one checkpoint" if claim.conditional else None,
        f"{claim.needed} replicates would probably decide" if claim.needed is not None else None,
        None if found.record.complete else "not all replicates ended",
    ]
    return MeasuredEffect(
        study=found.record.name,
        claim=claim.words,
        measure=claim.measure,
        unit=claim.unit,
        verdict=claim.verdict,
        because=claim.because,
        estimate=claim.estimate,
        interval=claim.interval,
        replicates=claim.replicates,
        p=claim.p_value,
        adjusted_p=tested.adjusted,
        agreement=agreement,
        notes=[note for note in notes if note is not None],
        origin=str(found.path),
        shipped=found.shipped,
        finished=found.record.finished,
    )
