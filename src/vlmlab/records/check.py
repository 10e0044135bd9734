"""What the checks before a training run found: one record a check, in sections, one a stage (or a foreign model)."""

from __future__ import annotations

from typing import Literal

from vlmlab.records.run import Record

Outcome = Literal["ok", "note", "not applicable", "failed"]
"""note: nothing to stop for, but worth knowing."""


class CheckRecord(Record):
    """One check."""

    name: str
    outcome: Outcome
    words: str
    """What was found, in words with numbers; of a failed check also what was expected and what to do."""


class CheckSection(Record):
    """The checks of one stage, or of one model with one data set."""

    title: str
    weights: str
    """Which weights the model had, in words."""
    checks: list[CheckRecord]


class CheckReport(Record):
    """What `vlmlab check --json` prints."""

    subject: str
    """The recipe's name, or the model's folder."""
    passed: bool
    """No check failed."""
    sections: list[CheckSection]


def check_report(subject: str, sections: list[CheckSection]) -> CheckReport:
    """Sections together, with the verdict over all of them."""
    passed = all(check.outcome != "failed" for section in sections for check in section.checks)
    return CheckReport(subject=subject, passed=passed, sections=sections)
