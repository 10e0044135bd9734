"""Made-up studies, written through the record classes: nothing in them was measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tests.report.made_run import HOSTILE, picture
from vlmlab.files import write_text
from vlmlab.random_streams import stream
from vlmlab.records.run import GalleryRecord
from vlmlab.records.study import (
    ArmRecord,
    BenchmarkRow,
    BudgetRecord,
    CellRecord,
    ClaimRecord,
    ComponentsRecord,
    CostRecord,
    CurveRecord,
    DisagreementRecord,
    GateRecord,
    OutcomeRecord,
    PartRecord,
    StudyRecord,
)

ARMS = ("pixel_shuffle", "perceiver", "resampler_deep", "pooling")
LEVELS = {
    "reading": (61.2, 52.9, 54.1, 44.7),
    "general": (70.4, 69.8, 71.3, 66.0),
    "knowledge": (49.0, 50.2, 48.8, 47.1),
    "reading, log-likelihood": (-1.204, -1.391, -1.372, -1.688),
}
MEASURES = {"reading": "reading at 4 shots", "general": "general at 4 shots", "knowledge": "knowledge at 4 shots"}


def budget(scale: float, *, positions: float, measured: bool) -> BudgetRecord:
    """One arm's budget."""
    wobble = 1.003 if measured else 1.0
    return BudgetRecord(
        updates=2400, examples=153_600 * scale, images=201_300 * scale, supervised_tokens=3_410_000 * scale * wobble,
        positions=positions * wobble, patches=12_900_000 * scale, stage_flops=2.1e13 * positions / 27e6,
        total_flops=3.4e13 * positions / 27e6, cpu_seconds=221.0 * positions / 27e6 if measured else None,
    )  # fmt: skip


def arms(*, diverged: dict[str, list[int]], missing: dict[str, list[int]], seeds: list[int]) -> list[ArmRecord]:
    """Four connectors."""
    rows = []
    deeper = [("model.connector.blocks", "1", "4")]
    for index, name in enumerate(ARMS):
        differences = [
            ("model.connector.kind", "pixel_shuffle", name),
            ("model.connector.window", "2", "(none)"),
            ("model.connector.latents", "(none)", "9"),
        ]
        gone = missing.get(name, [])
        rows.append(
            ArmRecord(
                name=name,
                levels={"connector": name},
                differences=[*differences[: 0 if index == 0 else 3], *deeper[: int(index == 2)]],
                solved={"stages.joined.duration.steps": 2400, "stages.joined.optimizer.learning_rate": 2e-3},
                planned=budget(1.0, positions=27e6 + index * 1.4e6, measured=False),
                spent=None if len(gone) == len(seeds) else budget(1.0, positions=27e6 + index * 1.4e6, measured=True),
                replicates=[seed for seed in seeds if seed not in gone],
                diverged=diverged.get(name, []),
                missing=gone,
            )
        )  # fmt: skip
    return rows


def cells(rows: list[ArmRecord]) -> list[CellRecord]:
    """Every measure of every arm that has a replicate."""
    made = []
    for measure, levels in LEVELS.items():
        nats = "likelihood" in measure
        for index, (arm, level) in enumerate(zip(rows, levels, strict=True)):
            if not arm.replicates:
                continue
            draws = stream(index, f"made-study-{measure}")
            spread = 0.04 if nats else 2.2
            values = [level + spread * float(draws.normal()) for _ in arm.replicates]
            floor = -2.6 if nats else 24.0
            values = [floor if seed in arm.diverged else v for seed, v in zip(arm.replicates, values, strict=True)]
            mean = sum(values) / len(values)
            half = 2.2 * spread / math.sqrt(len(values)) + (0.01 if nats else 0.9)
            made.append(
                CellRecord(
                    arm=arm.name, measure=MEASURES.get(measure, measure), mean=mean,
                    interval=(mean - half, mean + half) if len(values) > 1 else None, replicates=values,
                    seeds=arm.replicates, blank=None if nats else 23.7 + index,
                )
            )  # fmt: skip
    return made


def claim(name: str, verdict: str, words: str, estimate: float | None, half: float, **changes: Any) -> ClaimRecord:
    """A claim of kind `exceeds` with an interval of the given half-width."""
    found = estimate is not None
    fields: dict[str, Any] = {
        "name": name,
        "kind": "exceeds",
        "words": words,
        "measure": "reading at 4 shots",
        "unit": "points",
        "finding": None,
        "verdict": verdict,
        "because": "",
        "estimate": estimate,
        "interval": (estimate - half, estimate + half) if found else None,
        "interval_alone": (estimate - 0.74 * half, estimate + 0.74 * half) if found else None,
        "standard_error": half / 2.9 if found else None,
        "degrees_of_freedom": 6.3 if found else None,
        "p_value": 0.0021 if found else None,
        "p_adjusted": 0.0126 if found else None,
        "components": ComponentsRecord(seed=2.9, item=0.8, residual=0.6) if found else None,
        "parts": [],
        "effect": 5.0,
        "margin": None,
        "power": 0.83,
        "replicates": 5,
        "needed": None,
    }
    return ClaimRecord.model_validate(fields | changes)


def claims() -> list[ClaimRecord]:
    """Every verdict once."""

    def part(words: str, estimate: float, half: float) -> PartRecord:
        return PartRecord(
            words=words, estimate=estimate, standard_error=half / 2.5, degrees_of_freedom=6.0,
            interval=(estimate - half, estimate + half),
        )  # fmt: skip

    return [
        claim("shuffle_reads_better", "holds", "Pixel shuffle reads better than the perceiver.", 8.3, 5.2,
              finding="V-3", effect=8.0, because="The simultaneous interval lies above zero by 3.1 points."),
        claim("deeper_helps", "cannot tell", "A deeper resampler reads better than a shallow perceiver.", 1.2, 5.9,
              because="The interval reaches from 4.7 points below zero to 7.1 above.", needed=14, power=0.41),
        claim("pooling_is_enough", "reversed", "Pooling reads at least 2 points better than the perceiver.", -8.2, 4.4,
              because="The whole interval lies below zero: pooling reads worse."),
        claim("same_on_general", "equivalent", "Pixel shuffle and perceiver are equal on general questions.", 0.6, 2.9,
              kind="within", margin=4.0, measure="general at 4 shots",
              because="The 90 % interval, −1.5 to +2.7, lies inside ±4 points."),
        claim("crossing", "cannot tell", "The better connector depends on whether the language model trains.", 1.9, 4.6,
              kind="crossing", because="Frozen, pixel shuffle wins; trained, neither is told apart.", needed=9,
              parts=[part("frozen: pixel_shuffle over perceiver", 7.4, 4.1),
                     part("trained: perceiver over pixel_shuffle", 1.9, 4.6)]),
        claim("knows_more", "not measurable", f"The perceiver knows more {HOSTILE} than pixel shuffle.", None, 0.0,
              measure="knowledge at 4 shots", power=None,
              because="The reference stands at 17 % of the way from blank to oracle, below 30 %."),
        claim("rate", "depends on the learning rate", "Pooling is worse than the deep resampler.", 6.6, 4.9,
              because="Tuned it holds; at the common learning rate the interval reaches below zero.",
              common=part("at the common learning rate, 2e-3", 1.1, 5.8), bootstrap=(1.2, 11.9)),
        claim("likelier", "holds", "Pixel shuffle finds the right words likelier than the perceiver.", 0.187, 0.11,
              measure="reading, log-likelihood", unit="nats", effect=0.1, because="The interval lies above zero."),
    ]  # fmt: skip


def gates() -> list[GateRecord]:
    """One passed with a control, one too hard, one not measured yet."""
    shared = {"low": 0.3, "high": 0.8}
    inside = "The reference stands inside the band."
    return [
        GateRecord(measure="reading at 4 shots", passed=True, words=inside, reference=61.2, blank=23.7, oracle=98.8,
                   share=0.5, control="pooling", control_detected=True, **shared),
        GateRecord(measure="general at 4 shots", passed=True, words=inside, reference=70.4, blank=34.0, oracle=99.5,
                   share=0.556, control=None, control_detected=None, **shared),
        GateRecord(measure="knowledge at 4 shots", passed=False, words="Too hard: the reference is near guessing.",
                   reference=49.0, blank=41.0, oracle=88.0, share=0.17, control="pooling", control_detected=False,
                   **shared),
    ]  # fmt: skip


def curves() -> list[CurveRecord]:
    """Two stages; losses fall and settle at different heights."""
    made = []
    for stage, steps in (("text", 1200), ("joined", 2400)):
        for index, arm in enumerate(ARMS):
            draws = stream(index, f"made-curve-{stage}")
            at = list(range(40, steps + 1, 40))
            floor = 1.1 + (0.09 * index if stage == "joined" else 0.01 * index)
            losses = [floor + 4.2 * math.exp(-step / 160) + 0.03 * float(draws.normal()) for step in at]
            made.append(
                CurveRecord(arm=arm, stage=stage, steps=at, losses=losses, lowest=[loss - 0.06 for loss in losses],
                            highest=[loss + 0.07 for loss in losses])
            )  # fmt: skip
    return made


def benchmarks() -> list[BenchmarkRow]:
    """Five benchmarks at three numbers of shots; text has no image."""
    rows = []
    metrics = {"general": "vqa_accuracy", "reading": "vqa_accuracy", "knowledge": "vqa_accuracy", "captions": "cider"}
    for number, (benchmark, metric) in enumerate((metrics | {"text": "multiple_choice"}).items()):
        for shots in (0, 4, 8):
            for index, arm in enumerate(ARMS):
                draws = stream(100 * number + 10 * shots + index, "made-benchmarks")
                score = 42.0 + 6 * number + 2.1 * shots - 1.4 * index + float(draws.normal())
                rows.append(
                    BenchmarkRow(arm=arm, benchmark=benchmark, metric=metric, shots=shots, score=score,
                                 blank=None if benchmark == "text" else 22.0 + number, deviation=1.1 + 0.3 * index)
                )  # fmt: skip
    return rows


def disagreements() -> list[DisagreementRecord]:
    """Items with pictures, one with a hostile question, one without a picture."""
    asked = [
        ("reading", "What does the sign say?", ["HARBOUR"], ("HARBOUR", "HARBOR", "GARDEN", "")),
        ("reading", "What is written at the left?", ["mole 7"], ("mole 7", "mole 1", "mole", "pole")),
        ("reading", f"What is {HOSTILE}?", [HOSTILE], (HOSTILE, "x", "y", "a very long answer that goes on and on")),
        ("general", "How many squares are there?", ["3"], ("2", "3", "3", "1")),
        ("general", None, ["a red circle", "one circle, red"], ("a circle", "a red circle", "a square", "circle")),
    ]
    return [
        DisagreementRecord(
            picture=GalleryRecord(benchmark=benchmark, shots=4, item=f"{benchmark}#{number}",
                                  image=None if number == 3 else picture(number), question=question, answers=answers,
                                  prediction=said[0], blank_prediction=None, score=1.0),
            answers=dict(zip(ARMS, said, strict=True)),
            scores=dict(zip(ARMS, (1.0, 0.6, 0.2, 0.0), strict=True)),
        )
        for number, (benchmark, question, answers, said) in enumerate(asked)
    ]  # fmt: skip


def made_study(**changes: Any) -> StudyRecord:
    """A study with every verdict, a diverged replicate and a missing one."""
    seeds = [0, 1, 2, 3, 4]
    rows = arms(diverged={"resampler_deep": [3]}, missing={"pooling": [4]}, seeds=seeds)
    fields: dict[str, Any] = {
        "name": "connectors",
        "question": "Which connector reads best at nine visual tokens?",
        "about": "The perceiver is said to need more steps; at equal updates the plain shuffle should read better.",
        "verdict": "Pixel shuffle reads better than the perceiver at nine visual tokens and equal updates, and the two "
        "are equal on general questions.",
        "base": "base",
        "reference": "pixel_shuffle",
        "hold": "updates of stages.joined",
        "sharing": "within",
        "pairing": "paired",
        "tuned": "stages.joined.optimizer.learning_rate, on 1e-3, 2e-3 and 4e-3, by reading on validation scenes",
        "seeds": seeds,
        "confidence": 0.95,
        "complete": False,
        "arms": rows,
        "cells": cells(rows),
        "claims": claims(),
        "gates": gates(),
        "curves": curves(),
        "benchmarks": benchmarks(),
        "disagreements": disagreements(),
        "noise": {
            "reading at 4 shots": ComponentsRecord(seed=2.6, item=0.9, residual=0.7),
            "general at 4 shots": ComponentsRecord(seed=1.2, item=1.1, residual=0.5),
            "reading, log-likelihood": ComponentsRecord(seed=0.04, item=0.012, residual=0.01),
        },
        "outcomes": [
            OutcomeRecord(arm="pixel_shuffle", seed=0, purpose="replicate", state="finished", attempts=2, seconds=231.0,
                          reason="killed by signal 9; continued from its checkpoint"),
            OutcomeRecord(arm="perceiver", seed=1000, purpose="tuning", state="finished", attempts=1, seconds=200.0,
                          reason="", trial=0.002),
            OutcomeRecord(arm="perceiver", seed=1000, purpose="tuning", state="diverged", attempts=1, seconds=80.0,
                          reason="loss not finite at step 312", trial=0.004),
            OutcomeRecord(arm="resampler_deep", seed=3, purpose="replicate", state="diverged", attempts=1, seconds=90.0,
                          reason="loss not finite at step 812"),
        ],
        "cost": CostRecord(runs=32, stages_trained=36, stages_reused=60, cpu_seconds=9800.0,
                           cpu_seconds_without_store=21400.0, machine="laptop, 2 cores"),
        "versions": {"vlmlab": "0.1.0", "torch": "2.11.0", "transformers": "5.17.0", "numerics": "1", "protocol": "1"},
        "rerun": ["vlmlab study run studies/examples/connectors.yaml", "vlmlab study report runs/studies/connectors"],
        "finished": "2026-11-25T19:40:00+00:00",
        "notes": ["knowledge at 4 shots failed its calibration gate: nothing is said about it."],
    }  # fmt: skip
    return StudyRecord.model_validate(fields | changes)


def small_study(**changes: Any) -> StudyRecord:
    """A complete study with one claim, cheap mode: everything in it is conditional on one checkpoint."""
    seeds = [0, 1, 2]
    rows = arms(diverged={}, missing={}, seeds=seeds)[:2]
    fields: dict[str, Any] = {
        "sharing": "across", "seeds": seeds, "arms": rows, "complete": True, "tuned": None, "notes": [],
        "cells": [cell for cell in cells(arms(diverged={}, missing={}, seeds=seeds)) if cell.arm in ARMS[:2]],
        "claims": [claims()[0].model_copy(update={"conditional": True, "replicates": 3})],
        "benchmarks": [row for row in benchmarks() if row.arm in ARMS[:2]],
        "curves": [curve for curve in curves() if curve.arm in ARMS[:2]],
        "gates": gates()[:1], "disagreements": [], "outcomes": [], "noise": {},
    }  # fmt: skip
    return made_study(**(fields | changes))


def write_study(record: StudyRecord, folder: Path) -> Path:
    """The folder with study.json in it."""
    write_text(folder / "study.json", record.model_dump_json(indent=1))
    return folder
