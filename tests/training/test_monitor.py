"""Monitoring: counts of real batches, the plan's operations, windows that an interruption does not change."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.micro import micro_machine
from tests.plan.test_flops import GRID, LENGTH, ROWS, SEGMENTS, counted, joint_flops, packed_batch, total
from tests.plan.variants import CONNECTORS, FREEZES, recipe_with
from vlmlab.batch import IGNORED, Batch, ImageSpan
from vlmlab.files import read_jsonl
from vlmlab.models.objectives.contrastive import texts_of
from vlmlab.plan.flops import stage_step_flops
from vlmlab.recipe.image import Grid
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import TIMED_FIELDS, StepRecord, untimed
from vlmlab.training.monitor import Monitor, MonitorState
from vlmlab.training.step import StepResult
from vlmlab.training.work import Work, segment_lengths
from vlmlab.training.world import World

MIXTURE = ("captions", "facts")


def pairs_batch(recipe: Recipe, texts: Sequence[int], *, length: int = 64) -> Batch:
    """One pair a row: begin token, picture with its marks, and a text of so many tokens."""
    rows, tokens = len(texts), recipe.model.connector.tokens(GRID)
    marks = recipe.model.fusion.positions(tokens) - tokens
    segments = torch.zeros(rows, length, dtype=torch.int64)
    for row, text in enumerate(texts):
        segments[row, : 1 + tokens + marks + text] = 1
    return Batch(
        ids=torch.full((rows, length), 7),
        targets=torch.full((rows, length), IGNORED),
        positions=torch.arange(length).expand(rows, -1) * segments,
        segments=segments,
        pixels=torch.rand(rows, 3, 40, 40),
        grids=(GRID,) * rows,
        spans=tuple(ImageSpan(row=row, start=1 + marks // 2, length=tokens, view=row) for row in range(rows)),
        keys=tuple((str(row),) for row in range(rows)),
    )


def useful(recipe: Recipe, stage: str, batch: Batch) -> float:
    work = Work(recipe, stage)
    return work.useful(work.totals(batch, documents=3), learned=batch.num_learned())


def test_what_a_batch_holds() -> None:
    recipe = recipe_with({})
    batch = packed_batch(recipe)
    totals = Work(recipe, "joint").totals(batch, documents=3)
    assert segment_lengths(batch).tolist() == [[40, 30], [60, 0]]
    assert (totals.rows, totals.positions) == (ROWS, ROWS * LENGTH)
    assert (totals.tokens, totals.visual) == (batch.num_real(), batch.num_visual())
    assert (totals.images, totals.views, totals.documents) == (3, 3, 3)
    assert totals.read == sum(SEGMENTS)
    assert totals.pairs == sum(length * (length + 1) // 2 for length in SEGMENTS)


@pytest.mark.parametrize("pictures", [True, False])
@pytest.mark.parametrize("changes", [*FREEZES, CONNECTORS[-1]], ids=json.dumps)
def test_useful_operations_of_a_batch_are_the_plans(changes: dict, pictures: bool) -> None:
    recipe = recipe_with(changes)
    batch = packed_batch(recipe, pictures=pictures)
    assert useful(recipe, "joint", batch) == total(joint_flops(recipe, batch).useful)


def test_useful_operations_are_those_of_torchs_counter_without_what_no_position_may_see() -> None:
    """The counter's dense kernel computes the square of every row; of it the pairs inside documents are useful."""
    recipe = recipe_with({})
    batch = packed_batch(recipe)
    full = replace(
        batch, positions=torch.arange(LENGTH).expand(ROWS, -1), segments=torch.ones_like(batch.segments),
        keys=(("a",), ("b",)),
    )  # fmt: skip
    language = recipe.model.language
    unseen = ROWS * (LENGTH**2 - LENGTH * (LENGTH + 1) // 2)
    spared = 3 * language.depth * 4 * unseen * language.heads * language.head()
    assert useful(recipe, "joint", full) == pytest.approx(counted(recipe, "joint", full) - spared, rel=1e-4)


@pytest.mark.parametrize("marks", [True, False])
def test_a_contrastive_batch_counts_the_texts_that_the_tower_reads(marks: bool) -> None:
    recipe = recipe_with({"model.fusion.marks": marks})
    texts = [9, 14, 30, 11]  # the longest is cut to max_positions 24
    batch = pairs_batch(recipe, texts)
    read = texts_of(batch, longest=24, marks=marks).real.sum(dim=1).tolist()
    assert read == [9, 14, 24, 11]
    work = Work(recipe, "vision")
    totals = work.totals(batch, documents=4)
    assert totals.read == sum(read)
    plan = stage_step_flops(
        recipe, recipe.stages["vision"], rows=4, length=24, views=4, grid=GRID, learned=0, segments=read
    )
    assert work.useful(totals, learned=4) == total(plan.useful)


def test_views_of_several_grids_add_up() -> None:
    recipe = recipe_with({})
    batch = packed_batch(recipe)
    work = Work(recipe, "joint")
    small = Grid(2, 4)
    one, other, mixed = (
        work.totals(replace(batch, grids=grids), documents=3).seeing
        for grids in ((GRID,), (small,), (GRID, small, GRID))
    )
    assert 0 < other < one
    assert mixed == 2 * one + other


# ---- lines ----


def recipe_for_lines() -> Recipe:
    return recipe_with({"stages.joint.mixture": dict.fromkeys(MIXTURE, 1.0)})


def result_of(step: int) -> StepResult:
    """A made-up step; from step 5 on the picture's part has no gradient, and step 4 is not finite."""
    if step == 4:
        return StepResult(loss=math.nan, count=90, gradient_norm=math.inf, finite=False)
    norms = {"language": 1.0 / step} | ({"connector": 0.1 * step} if step < 5 else {})
    return StepResult(
        loss=90 * math.exp(-step / 3),
        count=90,
        gradient_norm=1.0 + 1.0 / step,
        component_norms=norms,
        source_losses={"facts": (40 / step, 40), "captions": (7.1 / step, 50)} if step != 6 else {"facts": (3.0, 90)},
    )


def monitor_in(folder: Path, recipe: Recipe, **changes: object) -> Monitor:
    machine = micro_machine(folder, log_every=3)
    return Monitor(folder / "metrics.jsonl", recipe=recipe, stage="joint", machine=machine, **changes)  # ty: ignore


def train(monitor: Monitor, batch: Batch, *, first: int, last: int, end: int) -> list[StepRecord]:
    rows = []
    for step in range(first, last + 1):
        monitor.add(batch, result_of(step), documents=3, waited=0.001)
        row = monitor.record(learning_rate={"language": 1e-3}, last=step == end)
        rows += [] if row is None else [row]
    return rows


def test_a_line_holds_the_window(tmp_path: Path) -> None:
    recipe = recipe_for_lines()
    batch = packed_batch(recipe)
    first, second = train(monitor_in(tmp_path, recipe), batch, first=1, last=6, end=99)
    assert [row["step"] for row in read_jsonl(tmp_path / "metrics.jsonl")] == [3, 6]
    assert StepRecord.model_validate(read_jsonl(tmp_path / "metrics.jsonl")[1]) == second
    assert first.loss == pytest.approx(sum(math.exp(-step / 3) for step in (1, 2, 3)) / 3)
    assert first.component_norms == pytest.approx({"language": (1 + 1 / 2 + 1 / 3) / 3, "connector": 0.2})
    assert first.source_losses == pytest.approx({"captions": 7.1 * (11 / 6) / 150, "facts": 40 * (11 / 6) / 120})
    assert list(first.source_losses) == list(MIXTURE)
    assert first.source_learned == {"captions": 150, "facts": 120}
    assert (first.skipped, second.skipped) == (0, 1)
    # Step 4 was not finite: what it held is counted, its loss is not.
    assert second.loss == pytest.approx((math.exp(-5 / 3) + math.exp(-2)) / 2)
    assert second.component_norms == pytest.approx({"language": (1 / 5 + 1 / 6) / 2})
    assert second.learned == 6 * 90
    assert second.tokens == 6 * sum(SEGMENTS)
    assert second.fill == sum(SEGMENTS) / (ROWS * LENGTH)
    assert second.useful_flops == 6 * Work(recipe, "joint").useful(
        Work(recipe, "joint").totals(batch, documents=3), learned=90
    )


def test_rates_are_those_of_the_window(tmp_path: Path) -> None:
    recipe = recipe_for_lines()
    row = train(monitor_in(tmp_path, recipe), packed_batch(recipe), first=1, last=6, end=99)[1]
    seconds = row.window_seconds
    assert seconds is not None
    assert 0 < seconds < row.seconds
    assert row.tokens_per_second == pytest.approx(3 * sum(SEGMENTS) / seconds)
    assert row.learned_per_second == pytest.approx(3 * 90 / seconds)
    assert row.images_per_second == pytest.approx(3 * 3 / seconds)
    assert row.data_share == pytest.approx(0.003 / seconds)
    hardware = micro_machine(tmp_path).hardware
    assert row.mfu == pytest.approx(row.useful_flops / 2 / seconds / hardware.peak_float32)
    assert row.peak_memory is not None
    assert row.peak_memory > 50 * 2**20


@pytest.mark.parametrize("stop", range(1, 8))
def test_an_interruption_anywhere_changes_no_line_but_its_times(tmp_path: Path, stop: int) -> None:
    """A checkpoint after step `stop`, two more steps that are lost, then a new process."""
    recipe = recipe_for_lines()
    batch = packed_batch(recipe)
    whole = train(monitor_in(tmp_path / "whole", recipe), batch, first=1, last=8, end=8)
    cut = monitor_in(tmp_path / "cut", recipe)
    train(cut, batch, first=1, last=stop, end=8)
    saved = json.loads(json.dumps(cut.plain()))
    train(cut, batch, first=stop + 1, last=min(8, stop + 2), end=8)
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as handle:
        handle.write('{"step": 9, "lo')  # killed while it wrote a line
    again = monitor_in(tmp_path / "cut", recipe, state=MonitorState.from_plain(saved))
    train(again, batch, first=stop + 1, last=8, end=8)
    lines = [StepRecord.model_validate(row) for row in read_jsonl(tmp_path / "cut" / "metrics.jsonl")]
    assert [untimed(line) for line in lines] == [untimed(line) for line in whole]
    assert [line.step for line in lines] == [3, 6, 8]
    plain = {name: value for name, value in again.plain()["counts"].items() if name not in TIMED_FIELDS}
    assert plain["loss_last"] == whole[-1].loss
    assert plain["loss_first"] == math.exp(-1 / 3)


def test_a_window_without_a_finite_step_has_no_loss(tmp_path: Path) -> None:
    recipe = recipe_for_lines()
    monitor = monitor_in(tmp_path, recipe)
    monitor.add(packed_batch(recipe), result_of(4), documents=3, waited=0.0)
    row = monitor.record(learning_rate={}, last=True)
    assert row is not None
    assert (row.loss, row.gradient_norm, row.skipped) == (None, None, 1)
    assert StepRecord.model_validate(read_jsonl(tmp_path / "metrics.jsonl")[0]) == row
    assert monitor.record(learning_rate={}, last=True) is None


class Twins(World):
    """Two processes whose rows are equal."""

    def sum(self, values: Sequence[float]) -> list[float]:
        return [2 * value for value in values]


def test_counts_are_of_all_processes_and_one_writes(tmp_path: Path) -> None:
    recipe = recipe_for_lines()
    batch = packed_batch(recipe)
    alone = train(monitor_in(tmp_path / "alone", recipe), batch, first=1, last=3, end=3)[0]
    leads = train(monitor_in(tmp_path, recipe, world=Twins(rank=0, size=2)), batch, first=1, last=3, end=3)[0]
    other = train(monitor_in(tmp_path / "no", recipe, world=Twins(rank=1, size=2)), batch, first=1, last=3, end=3)[0]
    assert not (tmp_path / "no").exists()
    assert untimed(leads) == untimed(other)
    assert (leads.tokens, leads.images, leads.documents) == (2 * alone.tokens, 2 * alone.images, 2 * alone.documents)
    assert leads.source_learned == {source: 2 * learned for source, learned in alone.source_learned.items()}
    assert (leads.loss, leads.source_losses, leads.fill) == (alone.loss, alone.source_losses, alone.fill)
