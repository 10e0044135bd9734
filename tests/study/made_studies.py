"""Made-up records of studies: nothing in them was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlmlab.files import write_text
from vlmlab.records.study import ClaimRecord, CostRecord, StudyRecord


def claim(finding: str | None, verdict: str, **changes: Any) -> ClaimRecord:
    """A claim of kind `exceeds` with everything filled."""
    fields: dict[str, Any] = {
        "name": f"claim_{finding}",
        "kind": "exceeds",
        "words": "One arm is better than another.",
        "measure": "binding at 4 shots",
        "unit": "points",
        "finding": finding,
        "verdict": verdict,
        "because": "The interval says so.",
        "estimate": 6.2,
        "interval": (2.1, 10.3),
        "interval_alone": (2.9, 9.5),
        "standard_error": 1.6,
        "degrees_of_freedom": 7.4,
        "p_value": 0.001,
        "p_adjusted": 0.002,
        "components": None,
        "parts": [],
        "effect": 5.0,
        "margin": None,
        "power": 0.8,
        "replicates": 5,
        "needed": None,
    }
    return ClaimRecord.model_validate(fields | changes)


def study(name: str, claims: list[ClaimRecord], *, finished: str = "2026-11-20T10:00:00+00:00") -> StudyRecord:
    """A record that holds claims and little else."""
    return StudyRecord(
        name=name, question="Which?", about="", verdict="It holds.", base="base", reference="a", hold="updates",
        sharing="within", pairing="paired", tuned=None, seeds=[0, 1, 2, 3, 4], confidence=0.95, complete=True, arms=[],
        cells=[], claims=claims, gates=[], curves=[], benchmarks=[], disagreements=[], noise={}, outcomes=[],
        cost=CostRecord(runs=10, stages_trained=12, stages_reused=8, cpu_seconds=3600.0,
                        cpu_seconds_without_store=5000.0, machine="laptop"),
        versions={"vlmlab": "0"}, rerun=[], finished=finished, notes=[],
    )  # fmt: skip


def write_study(record: StudyRecord, runs: Path) -> Path:
    """Where a study that ran here leaves its record."""
    path = runs / record.name / "study.json"
    write_text(path, record.model_dump_json(indent=1))
    return path


def some_studies() -> list[StudyRecord]:
    """Every outcome once, and a finding with two claims."""
    return [
        study(
            "frozen",
            [
                claim("V-2", "holds", words="At 4 shots the trained language model binds better than the frozen one."),
                claim("V-2", "equivalent", kind="within", name="zero", estimate=0.4, interval=(-2.0, 2.8), margin=4.0,
                      words="At 0 shots they are equal.", measure="binding at 0 shots", p_value=0.004),
                claim("FL-5", "cannot tell", estimate=-1.2, interval=(-6.0, 3.6), p_value=0.4, needed=14),
            ],
        ),
        study(
            "connectors",
            [
                claim("V-3", "reversed", estimate=-7.5, interval=(-12.4, -2.6), p_value=0.0004, conditional=True),
                claim("M-C2", "cannot tell", kind="within", estimate=-4.8, interval=(-9.0, -0.6), p_value=0.6),
                claim("I2-F4d", "holds", estimate=2.8, interval=(0.1, 5.5), p_value=0.045),
            ],
        ),
        study("tokens", [claim("I2-F4b", "equivalent", kind="within", estimate=0.8, interval=(-1.9, 3.5), margin=5.0)]),
        study("pages", [claim("M-D2", "not measurable", estimate=None, interval=None, p_value=None)]),
    ]  # fmt: skip
