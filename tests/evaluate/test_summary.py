from __future__ import annotations

import json

import numpy as np
import pytest

from vlmlab.data.item import Item
from vlmlab.evaluate.contract import Benchmark
from vlmlab.evaluate.summary import bootstrap_means, interval, summarise
from vlmlab.random_streams import stream
from vlmlab.recipe.evaluation import Evaluation, JsonlBenchmark
from vlmlab.recipe.tokenizer import Template
from vlmlab.records.run import ItemRecord


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    # 60 scenes of two items that share half their variance; the truth is 0.
    rng = np.random.default_rng(0)
    clusters = [str(index // 2) for index in range(120)]
    covered = 0
    for trial in range(300):
        values = np.repeat(rng.normal(size=60), 2) + rng.normal(size=120)
        draws = bootstrap_means(values[:, None], clusters, resamples=400, rng=stream(trial))[:, 0]
        low, high = interval(draws, confidence=0.9)
        covered += low <= 0.0 <= high
    assert 0.84 < covered / 300 < 0.95


def test_items_of_one_scene_are_resampled_together() -> None:
    values = np.repeat(np.arange(20.0), 5)[:, None]
    together = bootstrap_means(values, [str(index // 5) for index in range(100)], resamples=3000, rng=stream(0))
    apart = bootstrap_means(values, [str(index) for index in range(100)], resamples=3000, rng=stream(0))
    assert together.std() / apart.std() == pytest.approx(np.sqrt(5), rel=0.1)


def test_scenes_of_different_sizes_weigh_by_their_items() -> None:
    values = np.array([[0.0], [1.0], [1.0], [1.0]])
    draws = bootstrap_means(values, ["a", "b", "b", "b"], resamples=2000, rng=stream(0))
    assert set(np.round(draws[:, 0], 6)) == {0.0, 0.75, 1.0}


def test_chunks_change_nothing_but_the_memory(monkeypatch) -> None:
    values = np.random.default_rng(0).normal(size=(10, 1))
    clusters = [str(index) for index in range(10)]
    whole = bootstrap_means(values, clusters, resamples=50, rng=stream(0))
    monkeypatch.setattr("vlmlab.evaluate.summary.CHUNK", 30)
    np.testing.assert_allclose(bootstrap_means(values, clusters, resamples=50, rng=stream(0)), whole)


def record(name: str, *, shots: int, seed: int | None, condition: str, score: float) -> ItemRecord:
    return ItemRecord(
        benchmark="b", item=name, cluster=name, shots=shots, demonstration_seed=seed, condition=condition,
        question="?", answers=["a"], prediction="a", score=score, log_likelihood=-score, prompt="",
    )  # fmt: skip


def test_summary_takes_means_over_seeds_then_items() -> None:
    spec = JsonlBenchmark.model_validate_json(json.dumps({"kind": "jsonl", "path": "x", "shots": [0, 4]}))
    items = tuple(Item(name, name, "?", ("a",)) for name in ("x", "y"))
    bench = Benchmark("b", spec, "exact_match", Template(), items, ())
    table = {("x", 0, None): (1.0, 0.0), ("y", 0, None): (0.0, 0.0)}
    table |= {("x", 4, 0): (1.0, 1.0), ("x", 4, 1): (0.5, 0.0), ("y", 4, 0): (0.5, 0.0), ("y", 4, 1): (0.5, 0.0)}
    records = [
        record(name, shots=shots, seed=seed, condition=condition, score=score)
        for (name, shots, seed), pair in table.items()
        for condition, score in zip(("image", "blank"), pair, strict=True)
    ]
    summary = summarise(bench, records, evaluation=Evaluation(resamples=100))
    none, four = summary.scores
    assert (none.score, none.blank, none.gain) == (50.0, 0.0, 50.0)
    assert (four.score, four.blank, four.gain) == (62.5, 25.0, 37.5)
    assert four.log_likelihood == -0.625
    assert none.interval == (0.0, 100.0)
    # x: 75 - 50, y: 50 - 0; the pair of items moves the gain between these.
    assert four.gain_interval == (25.0, 50.0)
    (gain,) = summary.shot_gains
    assert (gain["benchmark"], gain["shots"], gain["over"], gain["gain"]) == ("b", 4, 0, 12.5)
    assert gain["interval"] == [-25.0, 50.0]
    assert summarise(bench, records, evaluation=Evaluation(resamples=100)) == summary


def test_an_item_without_a_picture_gains_nothing() -> None:
    spec = JsonlBenchmark.model_validate_json(json.dumps({"kind": "jsonl", "path": "x", "shots": [0]}))
    items = tuple(Item(name, name, "?", ("a",)) for name in ("x", "y"))
    bench = Benchmark("b", spec, "exact_match", Template(), items, ())
    rows = [("x", "image", 1.0), ("x", "blank", 0.0), ("y", "image", 1.0)]
    records = [record(name, shots=0, seed=None, condition=condition, score=score) for name, condition, score in rows]
    (score,) = summarise(bench, records, evaluation=Evaluation(resamples=100)).scores
    assert (score.score, score.blank, score.gain) == (100.0, 50.0, 50.0)
