"""Record of the findings page: what papers published beside what small studies measured, and how often they agree."""

from __future__ import annotations

from typing import Literal

from vlmlab.records.run import Record
from vlmlab.records.study import Verdict

Certainty = Literal["verified", "secondary", "memory"]
Agreement = Literal["agrees", "disagrees", "cannot tell", "not measurable"]
"""What a verdict says about a published direction. Only the first two are decisions."""


class PublishedArm(Record):
    """One arm's scores as published."""

    name: str
    scores: dict[str, float | str]
    """By measure; text where only a bound or a difference is known."""
    certainty: Certainty


class PublishedEffect(Record):
    """What the paper concludes."""

    kind: Literal["wins", "tie", "open"]
    winner: str | None
    over: str | None
    measure: str | None
    margin: float | None
    """The winner's score minus the other arm's; under a tie the largest difference of two arms. Null where unknown."""
    certainty: Certainty
    words: str
    arms: list[PublishedArm]


class MeasuredEffect(Record):
    """One claim of one study that tests a finding."""

    study: str
    claim: str
    """The claim in a sentence."""
    measure: str
    unit: str
    """points or nats."""
    verdict: Verdict
    """The study's own, corrected for the claims of that study."""
    because: str
    """The study's reason for it."""
    estimate: float | None
    """In the direction of the claim, which is that of the paper; null where nothing was measured."""
    interval: tuple[float, float] | None
    """Simultaneous over the study's claims."""
    replicates: int
    p: float | None
    adjusted_p: float | None
    """Corrected for every claim of the page (Benjamini-Yekutieli)."""
    agreement: Agreement | None
    """After that correction; null where nothing competes."""
    notes: list[str]
    """Such as: conditional on one checkpoint; 8 replicates would probably decide."""
    origin: str
    """The file that it was read from."""
    shipped: bool
    """Whether the file came with vlmlab instead of being measured here."""
    finished: str
    """When the study finished."""


class FindingRow(Record):
    """One finding with its evidence."""

    id: str
    paper: str
    source: str
    certainty: Certainty
    family: str
    statement: str
    measure: str
    measure_certainty: Certainty
    published: PublishedEffect
    fields: list[str]
    missing: list[str]
    """What its arms need and no recipe can say yet."""
    conflicts: list[str]
    testable: Literal["yes", "partly", "no"]
    how: str
    study: str | None
    """Path of the study that tests it."""
    recipes: dict[str, str]
    cpu_seconds: float | None
    """What the studies that tested it last cost; null where none did."""
    measured: list[MeasuredEffect]
    agreement: Agreement | None
    """Over all its claims; null where none was measured or nothing competes."""


class TrackRow(Record):
    """How often small studies agree with the published direction, in one family or in all."""

    family: str | None
    """Null for all together."""
    findings: int
    """In the catalogue."""
    agrees: int
    disagrees: int
    cannot_tell: int
    not_measurable: int
    share: float | None
    """Agreements among decisions; null without any."""
    interval: tuple[float, float] | None
    few: bool
    """Whether so little is decided that the share says next to nothing."""
    words: str
    """The numbers in a sentence, with a warning where they are few."""
    question: str
    small: str
    """What a small study can say about this kind of question."""


class FindingsRecord(Record):
    """The findings page."""

    vlmlab: str
    rows: list[FindingRow]
    track: list[TrackRow]
    """All together first, then by family."""
    confidence: float
    level: float
    """The level of the correction over the page."""
    corrected: int
    """Number of claims with a p-value that it corrects for."""
