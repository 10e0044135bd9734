"""A made-up run directory, written through the record classes: the page, the words and the reader are tested on it."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path

from PIL import Image, ImageDraw

from vlmlab.files import write_json, write_jsonl, write_text
from vlmlab.plan.record import Flops, MemoryPlan, Plan, StagePlan
from vlmlab.random_streams import stream
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import (
    EvaluationRecord,
    GalleryRecord,
    ItemRecord,
    LedgerRow,
    Manifest,
    Provenance,
    Refusals,
    ScoreRecord,
    StageRecord,
    StepRecord,
)

SHOTS = (0, 4, 8)
METRICS = {
    "general": "vqa_accuracy",
    "reading": "vqa_accuracy",
    "knowledge": "vqa_accuracy",
    "captions": "cider",
    "binding": "exact_match",
    "text": "multiple_choice",
}
LEVELS = {
    "general": ((58.0, 71.4, 73.9), 34.0),
    "reading": ((31.0, 52.8, 55.1), 6.5),
    "knowledge": ((40.2, 49.7, 50.3), 22.0),
    "captions": ((88.0, 141.6, 152.3), 31.0),
    "binding": ((24.5, 33.5, 29.0), 25.0),
    "text": ((71.0, 74.5, 74.0), None),
}
MIXTURES = {"vision": (), "text": ("facts", "twins"), "joined": ("captions", "pages", "dialogues", "twins")}
"""Sources with losses of their own: a contrastive loss is no sum over tokens."""
HOSTILE = "<script>alert('boo')</script>"
SENTENCES = {
    "general": [
        ("What colour is the circle?", ["red"] * 8 + ["crimson"] * 2, "red", "blue", 1.0),
        ("How many squares are there?", ["2"] * 10, "3", "1", 0.0),
    ],
    "reading": [
        ("What does the sign say?", ["HARBOUR"] * 10, "HARBOUR", "GARDEN", 1.0),
        (f"What is {HOSTILE}?", [HOSTILE], HOSTILE, "", 0.6),
    ],
    "knowledge": [
        ("Which river runs through the place shown?", ["the Oru"] * 7 + ["Oru"] * 3, "the Oru", "the Lem", 1.0)
    ],
    "captions": [
        (
            None,
            [
                "a red circle left of a blue square",
                "a circle and a square",
                "a small red circle",
                "a blue square on the right",
                "two shapes",
            ],
            "a red circle left of a blue square",
            "a sign",
            1.62,
        )
    ],
    "binding": [("What is this?", ["dax"], "dax", "wug", 1.0), ("What is this?", ["blick"], "dax", "dax", 0.0)],
    "text": [("Tavi lives near the river Oru. Where does Tavi live?", ["near the Oru"], "near the Oru", None, 1.0)],
}


def picture(index: int) -> str:
    """A small scene as a data URI."""
    draws = stream(index, "made-picture")
    image = Image.new("RGB", (96, 96), tuple(int(value) for value in draws.integers(200, 250, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(3):
        x, y, side = (int(value) for value in draws.integers((4, 4, 16), (60, 60, 36)))
        colour = tuple(int(value) for value in draws.integers(20, 220, 3))
        if draws.random() < 0.5:
            pen.ellipse((x, y, x + side, y + side), fill=colour)
        else:
            pen.rectangle((x, y, x + side, y + side), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def recipe_tree() -> dict:
    """The plain recipe before defaults are filled in."""
    world = {name: {"kind": "world", "family": name} for name in ("captions", "pages", "facts", "twins", "dialogues")}
    rows = {"rows": 64, "length": 192}
    contrastive = {
        "objective": {"kind": "contrastive"},
        "train": {"vision": {"mode": "full", "learning_rate": 0.001}},
        "mixture": {"captions": 1},
        "duration": {"steps": 600},
        "batch": {"rows": 128, "length": 48, "packing": False},
    }
    text = {
        "objective": {"kind": "next_token"},
        "train": {"language": {"mode": "full"}},
        "mixture": {"facts": 2, "twins": 1},
        "duration": {"tokens": 6_000_000},
        "batch": rows,
    }
    joined = {
        "objective": {"kind": "next_token"},
        "train": {
            "connector": {"mode": "full", "learning_rate": 0.002},
            "language": {"mode": "full", "learning_rate": 0.0003},
        },
        "mixture": {"captions": 3, "pages": 2, "dialogues": 2, "twins": 1},
        "duration": {"steps": 2400},
        "batch": rows,
    }
    return {
        "name": "made",
        "about": "A small vision-language model built from nothing on two laptop cores; twelve minutes.",
        "precision": "bfloat16",
        "data": {"sources": world},
        "stages": {"vision": contrastive, "text": text, "joined": joined},
        "evaluation": {"benchmarks": {name: {"kind": "world", "family": name} for name in METRICS}},
    }


def recipe() -> Recipe:
    """The run's recipe."""
    return Recipe.model_validate_json(json.dumps(recipe_tree()))


def base_recipe() -> Recipe:
    """What the run's recipe derives from: another image side, no dialogues in the last stage."""
    tree = recipe_tree()
    tree["name"] = "made-base"
    tree["model"] = {"image": {"side": 32}}
    del tree["stages"]["joined"]["mixture"]["dialogues"]
    tree["stages"]["joined"]["train"]["vision"] = {"mode": "full"}
    return Recipe.model_validate_json(json.dumps(tree))


def made_scores() -> list[ScoreRecord]:
    """Six benchmarks at three numbers of shots; binding's gain crosses zero, text has no control."""
    rows = []
    for name, (levels, blank) in LEVELS.items():
        for shots, level in zip(SHOTS, levels, strict=True):
            half = 5.2 if name != "captions" else 12.4
            gain = None if blank is None else level - blank
            rows.append(
                ScoreRecord(
                    benchmark=name,
                    metric=METRICS[name],
                    shots=shots,
                    items=200,
                    score=level,
                    interval=(level - half, level + half),
                    blank=blank,
                    blank_interval=None if blank is None else (blank - 4.4, blank + 4.6),
                    gain=gain,
                    gain_interval=None if gain is None else (gain - 6.1, gain + 6.3),
                    log_likelihood=-1.5,
                )
            )
    return rows


def made_steps(stage: str, *, steps: int, last: float, tokens_per_step: int, seconds: float) -> list[StepRecord]:
    """A falling curve, one line every ten steps."""
    noise = stream(0, "made-steps", stage)
    sources = MIXTURES[stage]
    components = [row.component for row in ledger(stage) if row.mode == "full" and row.group == "decay"]
    window = seconds * 10 / steps
    rows = []
    for step in range(10, steps + 1, 10):
        done = step / steps
        speed = tokens_per_step * 10 / window * (1 + 0.05 * float(noise.standard_normal()))
        rows.append(
            StepRecord(
                step=step,
                loss=last + 4.6 * math.exp(-7 * done) + 0.06 * float(noise.standard_normal()) * (1 - 0.6 * done),
                tokens=step * tokens_per_step,
                learned=step * tokens_per_step // 3,
                visual=step * tokens_per_step // 4,
                images=step * 90,
                documents=step * 120,
                learning_rate={"language": 3e-4},
                gradient_norm=1.2,
                component_norms={name: (1 + index) * (0.3 + done) for index, name in enumerate(components)},
                source_losses={name: last + (4 + index) * math.exp(-7 * done) for index, name in enumerate(sources)},
                source_learned={name: 100 + index for index, name in enumerate(sources)},
                skipped=3 if stage == "joined" else 0,
                fill=0.94,
                useful_flops=step * 4.1e9,
                seconds=seconds * done * (1 + 0.02 * math.sin(9 * done)),
                data_seconds=0.04 * seconds * done,
                cpu_seconds=1.7 * seconds * done,
                window_seconds=window,
                data_share=0.04,
                tokens_per_second=speed,
                learned_per_second=speed / 3,
                visual_per_second=0.0 if stage == "text" else speed / 4,
                images_per_second=90 / window,
                mfu=0.14 + 0.02 * math.sin(5 * done),
                peak_memory=612 * 2**20,
            )
        )
    return rows


def ledger(stage: str) -> list[LedgerRow]:
    """Frozen and training groups of one stage."""
    full = {"vision": ("vision",), "text": ("language",), "joined": ("connector", "language")}[stage]
    parts = {"vision": (52, 798_976), "connector": (4, 33_024), "language": (38, 960_640)}
    rows = []
    for part, (tensors, parameters) in parts.items():
        if part in full:
            rate = {"vision": 1e-3, "connector": 2e-3, "language": 3e-4}[part]
            shared = {"component": part, "mode": "full", "learning_rate": rate}
            rows.append(
                LedgerRow(
                    group="decay", tensors=tensors // 2, parameters=parameters - 4096, weight_decay=0.05, **shared
                )
            )
            rows.append(
                LedgerRow(group="no_decay", tensors=tensors - tensors // 2, parameters=4096, weight_decay=0.0, **shared)
            )
        else:
            rows.append(
                LedgerRow(
                    component=part,
                    mode="frozen",
                    group="frozen",
                    tensors=tensors,
                    parameters=parameters,
                    learning_rate=0,
                    weight_decay=0,
                )
            )
    if stage == "vision":
        rows.append(
            LedgerRow(
                component="objective",
                mode="full",
                group="decay",
                tensors=20,
                parameters=412_160,
                learning_rate=1e-3,
                weight_decay=0.05,
            )
        )
    return rows


def gallery() -> list[GalleryRecord]:
    """Right, wrong, graded and text-only entries, one of them hostile."""
    rows = []
    for name, entries in SENTENCES.items():
        for index in range(4):
            question, answers, prediction, blank, score = entries[index % len(entries)]
            rows.append(
                GalleryRecord(
                    benchmark=name,
                    shots=4,
                    item=f"{name}-{index:04d}",
                    image=None if name == "text" else picture(10 * len(rows) + index),
                    question=question,
                    answers=answers,
                    prediction=prediction,
                    blank_prediction=blank,
                    score=score,
                )
            )
    return rows


def made_plan() -> Plan:
    """A plan whose stages are twice as expensive backward as forward."""
    memory = MemoryPlan(weights=7e6, gradients=7e6, optimizer=14e6, activations=2e8, total=2.3e8)
    stages = []
    for name, (steps, tokens, forward) in {
        "vision": (600, 1_900_000, 8.1e11),
        "text": (510, 6_000_000, 1.2e13),
        "joined": (2400, 27_000_000, 7.4e13),
    }.items():
        flops = {
            "vision": Flops(forward=0.4 * forward, backward=0.8 * forward),
            "language": Flops(forward=0.6 * forward, backward=1.2 * forward),
        }
        stages.append(
            StagePlan(
                name=name,
                objective="next_token",
                steps=steps,
                rows=64,
                length=192,
                fill=0.95,
                tokens=tokens,
                documents=100_000,
                images=90_000,
                visual_tokens=800_000,
                learned_tokens=900_000,
                epochs={},
                trained={"language": 960_640},
                executed=flops,
                useful=flops,
                seconds=100.0,
                price=0.0,
                memory=memory,
            )
        )
    return Plan(
        recipe="made",
        fingerprint=recipe().fingerprint(),
        machine="laptop",
        hardware="two laptop cores",
        precision="bfloat16",
        parameters={"vision": 798_976, "connector": 33_024, "language": 960_640},
        total_parameters=1_792_640,
        visual_tokens_per_view=9,
        stages=stages,
        prompts=9000,
        tokens=34_900_000,
        executed=2.6e14,
        useful=2.6e14,
        seconds=300.0,
        price=0.0,
        notes=[],
    )


def write_run(folder: Path, *, complete: bool = True, base: bool = True, evaluated: bool = True) -> Path:
    """Write the run and return its folder."""
    made = recipe()
    tree = made.plain()
    if not evaluated:
        tree["evaluation"]["benchmarks"] = {}
    write_text(folder / "recipe.yaml", "from: made-base\nchange:\n  model.image.side: 48\n")
    write_json(folder / "recipe.resolved.json", tree)
    provenance = Provenance(
        vlmlab="0.1.0",
        git="0123456789abcdef0123456789abcdef01234567",
        python="3.11.9",
        torch="2.13.0",
        transformers="5.23.0",
        platform="Linux 6.1 x86_64",
        processor="two cores of a laptop",
        started="2026-05-20T09:00:00Z",
        command=["vlmlab", "run", "recipes/made.yaml"],
        machine={"name": "laptop", "device": "cpu", "threads": 2},
        base=base_recipe().plain() if base else None,
        base_name="made-base" if base else None,
    )
    write_json(folder / "provenance.json", provenance.model_dump(mode="json"))
    write_json(folder / "plan.json", made_plan().model_dump(mode="json"))
    shapes = {
        "vision": (600, 0.31, 3100, 88.0),
        "text": (520, 1.12, 11800, 121.0),
        "joined": (2400, 0.74, 11200, 402.0),
    }
    for name, (steps, last, tokens, seconds) in shapes.items():
        lines = made_steps(name, steps=steps, last=last, tokens_per_step=tokens, seconds=seconds)
        write_jsonl(folder / "stages" / name / "metrics.jsonl", [line.model_dump(mode="json") for line in lines])
        end = lines[-1]
        refusals = {"captions": Refusals(read=64_000, refused=0, examples=[])}
        if name == "joined":
            reason = f"image is 0 pixels high {HOSTILE}"
            refusals["pages"] = Refusals(
                read=41_200, refused=17, examples=[{"key": "pages.parquet#412", "reason": reason}]
            )
        summary = StageRecord(
            name=name,
            objective="contrastive" if name == "vision" else "next_token",
            identity=f"{name}-5f2c9a7be1",
            reused=name == "text",
            steps=steps,
            tokens=end.tokens,
            learned=end.learned,
            visual=end.visual if name != "text" else 0,
            images=end.images if name != "text" else 0,
            documents=end.documents,
            loss_first=lines[0].loss,
            loss_last=end.loss,
            skipped=end.skipped,
            useful_flops=end.useful_flops,
            seconds=end.seconds,
            data_seconds=end.data_seconds,
            cpu_seconds=end.cpu_seconds,
            mfu=0.143,
            peak_memory=end.peak_memory,
            ledger=ledger(name),
            refusals=refusals,
        )
        write_json(folder / "stages" / name / "summary.json", summary.model_dump(mode="json"))
    if evaluated:
        _write_evaluation(folder)
    if complete:
        manifest = Manifest(
            name=made.name,
            fingerprint=made.fingerprint(),
            finished="2026-05-20T09:12:00Z",
            seconds=720.0,
            cpu_seconds=1180.0,
            files={},
        )
        write_json(folder / "manifest.json", manifest.model_dump(mode="json"))
    return folder


def _write_evaluation(folder: Path) -> None:
    scores = made_scores()
    first = {row.benchmark: row.score for row in scores if row.shots == 0}
    gains = [
        {
            "benchmark": row.benchmark,
            "shots": row.shots,
            "over": 0,
            "gain": row.score - first[row.benchmark],
            "interval": [row.score - first[row.benchmark] - 5.5, row.score - first[row.benchmark] + 5.7],
        }
        for row in scores
        if row.shots
    ]
    record = EvaluationRecord(confidence=0.95, scores=scores, shot_gains=gains, seconds=96.0, cpu_seconds=170.0)
    write_json(folder / "evaluation" / "summary.json", record.model_dump(mode="json"))
    write_json(folder / "evaluation" / "gallery.json", [row.model_dump(mode="json") for row in gallery()])
    item = ItemRecord(
        benchmark="general",
        item="general-0000",
        cluster="scene-0",
        shots=0,
        demonstration_seed=None,
        condition="image",
        question="What colour?",
        answers=["red"],
        prediction="red",
        score=1.0,
        log_likelihood=-0.2,
        prompt="<image> question: What colour? answer:",
    )
    write_jsonl(folder / "evaluation" / "general.jsonl", [item.model_dump(mode="json")])
