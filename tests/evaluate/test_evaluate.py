from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from vlmlab.data.collate import collate
from vlmlab.data.encode import Encoder, Example
from vlmlab.data.rows import answer_text
from vlmlab.evaluate.benchmarks.open import open_benchmarks
from vlmlab.evaluate.contract import reference_answer
from vlmlab.evaluate.gallery import ITEMS
from vlmlab.evaluate.passes import Pass, prompt
from vlmlab.evaluate.run import evaluate
from vlmlab.files import read_json, read_jsonl
from vlmlab.recipe.machine import Machine
from vlmlab.records.run import EvaluationRecord, GalleryRecord, ItemRecord


@dataclass(frozen=True)
class Evaluated:
    folder: Path
    record: EvaluationRecord
    calls: list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def evaluated(model, recipe, tokenizer, tmp_path_factory) -> Evaluated:
    folder = tmp_path_factory.mktemp("run")
    calls: list[tuple[str, int, int]] = []
    record = evaluate(
        model,
        recipe=recipe,
        tokenizer=tokenizer,
        machine=Machine(evaluation_rows=4),
        folder=folder,
        root=folder,
        progress=lambda name, done, total: calls.append((name, done, total)),
    )
    return Evaluated(folder, record, calls)


def items(evaluated: Evaluated, name: str) -> list[ItemRecord]:
    return [ItemRecord.model_validate(row) for row in read_jsonl(evaluated.folder / f"{name}.jsonl")]


def test_every_item_is_asked_once_a_pass(evaluated, recipe) -> None:
    for name in recipe.evaluation.benchmarks:
        conditions = ("image",) if name == "text" else ("image", "blank")
        levels = [(0, None), (4, 0), (4, 1)]
        passes = [(shots, seed, condition) for shots, seed in levels for condition in conditions]
        records = items(evaluated, name)
        assert [(row.shots, row.demonstration_seed, row.condition) for row in records[::6]] == passes
        assert len(records) == 6 * len(passes)
        assert len({row.item for row in records}) == 6


def test_summary_is_on_disk_and_has_a_row_a_level(evaluated, recipe) -> None:
    record = EvaluationRecord.model_validate(read_json(evaluated.folder / "summary.json"))
    assert record == evaluated.record
    assert [(row.benchmark, row.shots) for row in record.scores] == [
        (name, shots) for name in recipe.evaluation.benchmarks for shots in (0, 4)
    ]
    for row in record.scores:
        assert (row.blank is None) == (row.benchmark == "text")
        assert row.interval[0] <= row.score <= row.interval[1]
    assert [(row["benchmark"], row["shots"], row["over"]) for row in record.shot_gains] == [
        (name, 4, 0) for name in recipe.evaluation.benchmarks
    ]


def test_zero_shots_has_no_demonstration(evaluated) -> None:
    for name, images in (("general", 1), ("captions", 1), ("binding", 1), ("text", 0)):
        for row in items(evaluated, name):
            assert row.prompt.count("<image>") == images * (row.shots + 1)
            assert row.prompt.count(" answer:") + row.prompt.count(" caption:") == row.shots + 1


def test_blank_and_image_prompts_read_the_same_and_score_differently(evaluated) -> None:
    rows = items(evaluated, "general")
    image = {(row.item, row.shots, row.demonstration_seed): row for row in rows if row.condition == "image"}
    blank = {(row.item, row.shots, row.demonstration_seed): row for row in rows if row.condition == "blank"}
    assert image.keys() == blank.keys()
    assert all(image[key].prompt == blank[key].prompt for key in image)
    assert all(image[key].log_likelihood != blank[key].log_likelihood for key in image)


def test_likelihoods_are_those_of_the_whole_prompt_read_at_once(evaluated, model, recipe, tokenizer) -> None:
    encoder = Encoder(tokenizer, recipe.model, recipe.model.image)
    model.eval()
    for benchmark in open_benchmarks(recipe, root=evaluated.folder):
        by_name = {item.id: item for item in benchmark.items}
        for row in items(evaluated, benchmark.name)[::3]:
            item = by_name[row.item]
            document = prompt(benchmark, item, Pass(row.shots, row.demonstration_seed, row.condition))
            assert document.text == row.prompt
            example = encoder.encode(document)
            answer = reference_answer(item, metric=benchmark.metric)
            ids = tokenizer.encode(answer_text(answer, recipe.template))
            whole = Example(example.key, [*example.ids, *ids], [*example.learn, *[True] * len(ids)], example.images)
            batch = collate([[whole]], length=len(whole), tokenizer=tokenizer, model=recipe.model)
            with torch.no_grad():
                logits = model.head(model.forward(batch))
            loss = torch.nn.functional.cross_entropy(logits[0], batch.targets[0], ignore_index=-100, reduction="sum")
            assert row.log_likelihood == pytest.approx(-float(loss), abs=1e-3)


def test_choices_are_scored_by_their_own_likelihood(evaluated) -> None:
    rows = items(evaluated, "text")
    choices = read_json(evaluated.folder / "choices.json")["text"]
    assert len(rows) == len(choices)
    for row, choice in zip(rows, choices, strict=True):
        assert row.item == choice["item"]
        by_text = {candidate["text"]: candidate for candidate in choice["candidates"]}
        assert row.prediction == max(by_text, key=lambda text: by_text[text]["log_likelihood"])
        assert row.score == float(row.prediction == row.answers[0])
        assert row.log_likelihood == by_text[row.answers[0]]["log_likelihood"]
        per_token = {text: one["log_likelihood"] / one["tokens"] for text, one in by_text.items()}
        assert choice["prediction_per_token"] == max(per_token, key=per_token.__getitem__)


def test_gallery(evaluated, recipe) -> None:
    rows = [GalleryRecord.model_validate(row) for row in read_json(evaluated.folder / "gallery.json")]
    assert {row.benchmark for row in rows} == set(recipe.evaluation.benchmarks)
    assert all(row.shots == 4 for row in rows)
    assert len(rows) <= ITEMS * len(recipe.evaluation.benchmarks)
    for row in rows:
        assert (row.image is None) == (row.blank_prediction is None) == (row.benchmark == "text")
        assert row.image is None or row.image.startswith("data:image/")


def test_progress_ends_with_everything_done(evaluated, recipe) -> None:
    assert {name for name, _, _ in evaluated.calls} == set(recipe.evaluation.benchmarks)
    last = {name: (done, total) for name, done, total in evaluated.calls}
    assert last["general"] == (36, 36)
    assert last["text"] == (18, 18)


def test_the_same_again_whatever_the_rows_of_a_batch(evaluated, model, recipe, tokenizer, tmp_path) -> None:
    model.train()
    again = evaluate(
        model, recipe=recipe, tokenizer=tokenizer, machine=Machine(evaluation_rows=64), folder=tmp_path, root=tmp_path
    )
    assert model.training, "the model is given back as it came"
    for name in recipe.evaluation.benchmarks:
        for left, right in zip(items(evaluated, name), items(Evaluated(tmp_path, again, []), name), strict=True):
            assert left.log_likelihood == pytest.approx(right.log_likelihood, abs=1e-3)
            exclude = {"log_likelihood"}
            assert left.model_dump(exclude=exclude) == right.model_dump(exclude=exclude)


def test_a_second_call_gives_the_same_bytes(evaluated, model, recipe, tokenizer, tmp_path) -> None:
    evaluate(
        model, recipe=recipe, tokenizer=tokenizer, machine=Machine(evaluation_rows=4), folder=tmp_path, root=tmp_path
    )
    for path in sorted(evaluated.folder.glob("*.jsonl")):
        assert (tmp_path / path.name).read_text() == path.read_text()
    first, second = (read_json(folder / "summary.json") for folder in (evaluated.folder, tmp_path))
    for summary in (first, second):
        del summary["seconds"], summary["cpu_seconds"]
    assert json.dumps(first) == json.dumps(second)
