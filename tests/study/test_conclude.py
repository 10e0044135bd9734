"""From gathered runs to the record: gates, verdicts, budgets, costs, notes, and the sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.study.made_runs import item_rows, task, write_diverged, write_run
from vlmlab.errors import StudyError
from vlmlab.evaluate.benchmarks.open import open_benchmarks
from vlmlab.records.study import ArmRecord, BudgetRecord, StudyRecord
from vlmlab.study.conclude import Ran, conclude, look_of, verdict_sentence
from vlmlab.study.disagreements import disagreements
from vlmlab.study.gather import gather
from vlmlab.study.queue import Task
from vlmlab.study.study import BenchmarkMeasure, Study

NOTHING = BudgetRecord(
    updates=4, examples=0, images=0, supervised_tokens=0, positions=0, patches=0, stage_flops=0, total_flops=0,
    cpu_seconds=None,
)  # fmt: skip
LEVELS = {"good": 0.7, "bad": 0.3}


def study(**changes: Any) -> Study:
    tree = {
        "name": "made",
        "question": "Which?",
        "base": "micro",
        "axes": {"connector": {"path": "model.connector", "levels": {"good": 1, "bad": 2}}},
        "measures": {"general": {"benchmark": "general", "shots": 1}},
        "claims": {
            "better": {"kind": "exceeds", "better": "good", "worse": "bad", "measure": "general", "effect": 20.0}
        },
    }
    return Study.model_validate_json(json.dumps(tree | changes))


def tasks_of(folder: Path, *, seeds: int = 5, items: int = 40, **versions: int) -> list[Task]:
    """Finished runs; the first arm of each replicate trained the shared stages."""
    tasks = []
    for arm, level in LEVELS.items():
        for seed in range(seeds):
            one = task(arm, seed, folder=folder)
            write_run(
                one.folder, one.recipe, item_rows(arm, seed, level=level, items=items),
                trained=("vision", "language", "join") if arm == "good" else ("join",),
                identities=(f"vision-{seed}", f"language-{seed}", f"join-{arm}-{seed}"), **versions,
            )  # fmt: skip
            tasks.append(one)
    return tasks


def concluded(folder: Path, tasks: list[Task], asked: Study | None = None, **changes: Any) -> StudyRecord:
    asked = study() if asked is None else asked
    arms = [
        ArmRecord(
            name=name, levels={"connector": name}, differences=[], solved={}, planned=NOTHING, spent=None,
            replicates=[], diverged=[], missing=[],
        )
        for name in LEVELS
    ]  # fmt: skip
    fields: dict[str, Any] = {
        "study": asked, "arms": arms, "hold": "updates", "stages": ["join"], "tasks": tasks,
        "gathered": gather(tasks, measures=asked.measures, reference="good"), "outcomes": [], "rerun": ["vlmlab"],
    }  # fmt: skip
    return conclude(Ran(**fields | changes), folder=folder)


def test_a_study_with_a_clear_answer(tmp_path: Path) -> None:
    record = concluded(tmp_path, tasks_of(tmp_path))
    (claim,) = record.claims
    assert claim.verdict == "holds"
    assert record.verdict.startswith("good exceeds bad on general: holds (+")
    assert StudyRecord.model_validate_json((tmp_path / "study.json").read_text()) == record
    assert record.complete
    (gate,) = record.gates
    assert gate.passed
    assert gate.oracle == 100.0
    assert gate.share == pytest.approx((gate.reference - gate.blank) / (100 - gate.blank))  # ty: ignore
    assert [cell.arm for cell in record.cells] == ["good", "bad"]
    assert record.cells[0].interval is not None
    assert record.noise["general"].item >= 0
    assert record.versions["numerics"] == "1"
    assert "every arm trains at the common learning rate" in record.notes[0]
    assert record.disagreements
    assert record.disagreements[0].scores.keys() == LEVELS.keys()


def test_what_it_cost_counts_every_stage_once(tmp_path: Path) -> None:
    record = concluded(tmp_path, tasks_of(tmp_path))
    # Five replicates of two shared stages and of two arms' own, 1.5 CPU seconds each; ten evaluations of 0.5.
    assert (record.cost.runs, record.cost.stages_trained, record.cost.stages_reused) == (10, 20, 10)
    assert record.cost.cpu_seconds == pytest.approx(20 * 1.5 + 10 * 0.5)
    assert record.cost.cpu_seconds_without_store == pytest.approx(30 * 1.5 + 10 * 0.5)
    spent = record.arms[0].spent
    assert spent is not None
    # The stages that are compared: only the last.
    assert (spent.updates, spent.images, spent.patches) == (4, 16, 16 * 16)
    assert spent.stage_flops == 1e9
    assert spent.total_flops == 3e9
    curve = record.curves[0]
    assert (curve.steps, curve.losses) == ([2, 4], [2.5, 2.0])


def test_a_saturated_measure_is_not_measurable(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path)
    record = concluded(tmp_path, tasks, study(gates={"general": {"low": 0.0, "high": 0.1}}))
    assert record.claims[0].verdict == "not measurable"
    assert "saturated" in record.gates[0].words
    assert any(note.startswith("Not measurable on general") for note in record.notes)


def test_nothing_to_see_is_not_measurable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmlab.study.gates.oracle_score", lambda *_, **__: 0.0)
    record = concluded(tmp_path, tasks_of(tmp_path))
    assert record.gates[0].share is None
    assert "sees no more than the blank-image control" in record.gates[0].words
    assert record.claims[0].verdict == "not measurable"


def test_fewer_replicates_than_planned_are_a_look(tmp_path: Path) -> None:
    record = concluded(tmp_path, tasks_of(tmp_path, seeds=2))
    assert any(note.startswith("2 of 5 planned replicates") for note in record.notes)
    assert any(note.startswith("With two replicates") for note in record.notes)
    assert not any("operations" in note for note in record.notes)


def test_operations_that_nobody_counted_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmlab.study.spending._is_uncounted", lambda record: record.name == "vision")
    notes = concluded(tmp_path, tasks_of(tmp_path)).notes
    assert any(note.startswith("Some runs of vision were trained by a version") for note in notes)


def test_a_positive_control_must_be_found(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path)
    record = concluded(tmp_path, tasks, study(gates={"general": {"control": "bad"}}))
    assert record.gates[0].control_detected
    twins = [one for one in tasks if one.arm == "good"]
    for one in twins:
        twin = task("bad", one.seed, folder=tmp_path / "twins")
        write_run(twin.folder, twin.recipe, item_rows("good", one.seed, level=0.7, items=40))
        tasks = [twin if (each.arm, each.seed) == ("bad", one.seed) else each for each in tasks]
    record = concluded(tmp_path, tasks, study(gates={"general": {"control": "bad"}}))
    assert record.gates[0].control_detected is False
    assert record.claims[0].verdict == "not measurable"


def test_missing_replicates_leave_it_open_and_diverged_ones_count_as_chance(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path)
    lost, broken = (task("bad", seed, folder=tmp_path) for seed in (5, 6))
    write_diverged(broken.folder)
    more = [task("good", seed, folder=tmp_path) for seed in (5, 6)]
    for one in more:
        write_run(one.folder, one.recipe, item_rows("good", one.seed, level=0.7, items=40))
    record = concluded(tmp_path, [*tasks, *more, broken])
    assert record.arms[1].diverged == [6]
    assert any("bad diverged in 1 of 6 replicates" in note for note in record.notes)
    record = concluded(tmp_path, [*tasks, *more, broken, lost])
    assert record.arms[1].missing == [5]
    assert not record.complete
    assert record.claims[0].verdict == "cannot tell"
    assert "missing replicates: bad seed 5" in record.claims[0].because


def test_one_replicate_and_none(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no run of this study has finished"):
        concluded(tmp_path, [task(arm, 0, folder=tmp_path) for arm in LEVELS])
    record = concluded(tmp_path, tasks_of(tmp_path, seeds=1))
    assert record.claims[0].verdict in ("cannot tell", "not measurable")
    assert record.cells[0].interval is None


def test_runs_of_mixed_versions_are_refused_by_name(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path)
    one = tasks[3]
    write_run(one.folder, one.recipe, item_rows("good", 3, items=40), numerics=2)
    with pytest.raises(StudyError, match=r"numerics: runs of versions 1 and 2 cannot be compared[\s\S]*good/seed-0"):
        concluded(tmp_path, tasks)
    write_run(one.folder, one.recipe, item_rows("good", 3, items=40), protocol=2)
    with pytest.raises(StudyError, match=r"protocol: runs of versions 1 and 2"):
        concluded(tmp_path, tasks)


def test_conditional_results_say_so(tmp_path: Path) -> None:
    record = concluded(tmp_path, tasks_of(tmp_path), study(sharing="across"))
    assert "conditional on this checkpoint" in record.notes[0]
    assert record.claims[0].conditional


def test_the_sentence() -> None:
    assert verdict_sentence([]) == "No claim was put to the test."


def test_items_of_disagreement_come_with_their_pictures(tmp_path: Path) -> None:
    recipe = task("good", 0, folder=tmp_path).recipe
    (benchmark,) = open_benchmarks(recipe, root=Path())
    tasks = []
    for arm in LEVELS:
        one = task(arm, 0, folder=tmp_path)
        rows = [
            row.model_copy(update={"item": item.id, "score": float(arm == "good" or place == 1), "prediction": arm})
            for condition in ("image", "blank")
            for place, item in enumerate(benchmark.items)
            for row in [item_rows(arm, 0)[0].model_copy(update={"condition": condition})]
        ]
        write_run(one.folder, one.recipe, rows)
        tasks.append(one)
    measures = {"general": BenchmarkMeasure(benchmark="general", shots=1)}
    found = disagreements(tasks, measures=measures, recipe=recipe, reference="good")
    assert [each.picture.item for each in found] == [
        item.id for place, item in enumerate(benchmark.items) if place != 1
    ]
    assert found[0].answers == {"good": "good", "bad": "bad"}
    assert found[0].scores == {"good": 1.0, "bad": 0.0}
    assert found[0].picture.image is not None
    assert found[0].picture.image.startswith("data:image/")


def test_looks_are_counted_by_the_planned_replicates(tmp_path: Path) -> None:
    planned = study(looks=2, replicates=10)
    assert [look_of(planned, replicates=count) for count in (3, 5, 6, 10, 12)] == [1, 1, 2, 2, 2]
    tasks = tasks_of(tmp_path)
    assert concluded(tmp_path, tasks).notes == ["Nothing was tuned: every arm trains at the common learning rate."]
    assert "5 replicates, 3 were planned" in concluded(tmp_path, tasks, study(replicates=3)).notes[-1]
