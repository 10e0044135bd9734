"""What the runs of a study took: budgets of its arms, stages trained once and reused, versions, learning curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, stdev

from vlmlab.errors import StudyError
from vlmlab.records.read import RunRecord, StageRun, read_run
from vlmlab.records.run import StageRecord
from vlmlab.records.study import BenchmarkRow, BudgetRecord, CostRecord, CurveRecord
from vlmlab.study.outcomes import state_of
from vlmlab.study.queue import Task

POINTS = 200
"""Most points of a curve."""

Runs = Mapping[Task, RunRecord]


def read_runs(tasks: Iterable[Task]) -> dict[Task, RunRecord]:
    """Records of the runs that finished. Raises RunError where one is damaged, StudyError where versions are mixed."""
    runs = {task: read_run(task.folder) for task in tasks if state_of(task.folder) == "finished"}
    for name, of in (
        ("numerics", {task: run.provenance.numerics for task, run in runs.items()}),
        ("protocol", {task: run.provenance.protocol for task, run in runs.items()}),
    ):
        found = {version for version in of.values() if version is not None}
        if len(found) > 1:
            newest = max(found)
            old = [task.folder for task, version in of.items() if version != newest]
            listed = "".join(f"\n  {folder}" for folder in old)
            raise StudyError(
                name,
                f"runs of versions {' and '.join(map(str, sorted(found)))} cannot be compared; remove the "
                f"{len(old)} older ones and run the study again:{listed}",
            )
    return runs


def versions(runs: Runs) -> dict[str, str]:
    """vlmlab, torch, transformers, numerics, protocol; several of one kind are all named."""
    found: dict[str, dict[str, None]] = {}
    for run in runs.values():
        of = run.provenance
        for name, value in (
            ("vlmlab", of.vlmlab), ("torch", of.torch), ("transformers", of.transformers),
            ("numerics", of.numerics), ("protocol", of.protocol),
        ):  # fmt: skip
            if value is not None:
                found.setdefault(name, {})[str(value)] = None
    return {name: ", ".join(values) for name, values in found.items()}


def budget(arm: str, runs: Runs, *, stages: Sequence[str]) -> BudgetRecord | None:
    """What an arm spent on `stages`, those that are compared: means over its replicates; None before one ended."""
    replicates = {task: run for task, run in runs.items() if task.arm == arm and task.purpose == "replicate"}
    if not replicates:
        return None
    trials = [run for task, run in runs.items() if task.arm == arm and task.purpose == "tuning"]
    own = {task: [stage for stage in run.stages if stage.record.name in stages] for task, run in replicates.items()}

    def each(figure: Callable[[StageRecord], float]) -> float:
        return mean(sum(figure(stage.record) for stage in its) for its in own.values())

    return BudgetRecord(
        updates=each(lambda stage: stage.steps),
        examples=each(lambda stage: stage.documents),
        images=each(lambda stage: stage.images),
        supervised_tokens=each(lambda stage: stage.learned),
        positions=each(lambda stage: stage.tokens),
        patches=mean(sum(_patches(task, stage) for stage in its) for task, its in own.items()),
        stage_flops=each(lambda stage: stage.useful_flops),
        total_flops=mean(_flops(run) for run in replicates.values()) + sum(map(_flops, trials)),
        cpu_seconds=mean(
            sum(stage.record.cpu_seconds for stage in own[task]) + _evaluation(run) for task, run in replicates.items()
        ),
    )


def _patches(task: Task, stage: StageRun) -> float:
    """Patches that the backbone saw: the square views of the recipe, whatever share of them is padding."""
    recipe = task.recipe
    side = recipe.image_policy(recipe.stages[stage.record.name]).side
    return float(stage.record.images * (side // recipe.model.vision.patch) ** 2)


def _flops(run: RunRecord) -> float:
    return sum(stage.record.useful_flops for stage in run.stages)


def uncounted(runs: Runs) -> list[str]:
    """A note where stages from the store were trained before their operations were counted: they stand as none."""
    stages = {stage.record.name: None for run in runs.values() for stage in run.stages if _is_uncounted(stage.record)}
    if not stages:
        return []
    return [
        f"Some runs of {', '.join(stages)} were trained by a version that did not count operations; the total FLOP "
        "spent lack them."
    ]


def _is_uncounted(record: StageRecord) -> bool:
    return record.steps > 0 and record.tokens > 0 and record.useful_flops == 0.0


def _evaluation(run: RunRecord) -> float:
    return 0.0 if run.evaluation is None else run.evaluation.cpu_seconds


def cost(runs: Runs) -> CostRecord:
    """Each stage counts once however many runs share it; without the store every run would have trained its own."""
    stages = {stage.record.identity: stage.record.cpu_seconds for run in runs.values() for stage in run.stages}
    evaluation = sum(map(_evaluation, runs.values()))
    alone = sum(stage.record.cpu_seconds for run in runs.values() for stage in run.stages)
    machines = {str(run.provenance.machine.get("name", "")): None for run in runs.values()}
    return CostRecord(
        runs=len(runs),
        stages_trained=len(stages),
        stages_reused=sum(len(run.stages) for run in runs.values()) - len(stages),
        cpu_seconds=sum(stages.values()) + evaluation,
        cpu_seconds_without_store=alone + evaluation,
        machine=", ".join(machines),
    )


def curves(runs: Runs) -> list[CurveRecord]:
    """Losses of each arm in each stage: mean, lowest and highest over its replicates, at the steps that all wrote."""
    places = {
        (task.arm, stage.record.name): None
        for task, run in runs.items()
        if task.purpose == "replicate"
        for stage in run.stages
    }
    made = []
    for arm, name in places:
        lines = [
            {row.step: row.loss for row in stage.steps if row.loss is not None}
            for task, run in runs.items()
            if task.arm == arm and task.purpose == "replicate"
            for stage in run.stages
            if stage.record.name == name
        ]
        shared = sorted(set.intersection(*(set(line) for line in lines)))
        steps = sorted({*shared[:: -(-len(shared) // POINTS)], shared[-1]}) if shared else []
        if not steps:
            continue
        losses = [[line[step] for line in lines] for step in steps]
        made.append(
            CurveRecord(
                arm=arm,
                stage=name,
                steps=steps,
                losses=[mean(at) for at in losses],
                lowest=[min(at) for at in losses],
                highest=[max(at) for at in losses],
            )
        )
    return made


def benchmark_rows(runs: Runs) -> list[BenchmarkRow]:
    """Every arm on every benchmark at every number of shots: means over replicates."""
    found: dict[tuple[str, str, str, int], list[tuple[float, float | None]]] = {}
    for task, run in runs.items():
        if task.purpose == "replicate" and run.evaluation is not None:
            for score in run.evaluation.scores:
                place = (score.benchmark, score.metric, score.shots)
                found.setdefault((task.arm, *place), []).append((score.score, score.blank))
    rows = []
    for (arm, benchmark, metric, shots), scores in found.items():
        values = [score for score, _ in scores]
        blanks = [blank for _, blank in scores if blank is not None]
        rows.append(
            BenchmarkRow(
                arm=arm,
                benchmark=benchmark,
                metric=metric,
                shots=shots,
                score=mean(values),
                blank=mean(blanks) if blanks else None,
                deviation=stdev(values) if len(values) > 1 else None,
            )
        )
    return rows
