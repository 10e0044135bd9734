"""Noise of a base recipe's measures by source, from the replicates of studies that were run.

    python benchmarks/noise.py runs/studies/* [--write studies/noise.yaml]

For every benchmark and number of shots: standard deviations between replicates, between items (of their mean), and of
both together; of single arms over the replicates of the reference arm, and of differences between paired arms over all
studies. Then the replicates that differences of several sizes would need. With --write the file is written that
`vlmlab study design` looks into. Without folders: those of runs/studies.
"""

from __future__ import annotations

import argparse
import os
import sys
from math import sqrt
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from vlmlab.errors import VlmlabError
from vlmlab.files import write_text
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.study import StudyRecord
from vlmlab.study.claims import scores_of
from vlmlab.study.gather import MeasureTable, gather
from vlmlab.study.outcomes import state_of
from vlmlab.study.queue import Task
from vlmlab.study.statistics.estimate import Components, Estimate, estimate
from vlmlab.study.statistics.pooling import pooled_noise
from vlmlab.study.statistics.power import Noise, replicates_needed, scaled
from vlmlab.study.study import BenchmarkMeasure, MeanMeasure, Measure

EFFECTS = (3.0, 5.0, 8.0, 12.0, 20.0)
MEANS = tuple(tuple(f"{name}@{shots}" for name in ("general", "knowledge", "reading")) for shots in (0, 4))
FEWEST = 2


def tasks_of(folder: Path) -> list[Task]:
    """The finished replicates of a study's folder."""
    record = StudyRecord.model_validate_json((folder / "study.json").read_text(encoding="utf-8"))
    found = []
    for arm in record.arms:
        for run in sorted((folder / "arms" / arm.name).glob("seed-*")):
            if state_of(run) == "finished":
                text = (run / "recipe.resolved.json").read_text(encoding="utf-8")
                recipe = Recipe.model_validate_json(text)
                found.append(Task(arm.name, recipe.seed, run, recipe, ()))
    return found


def measures_of(recipe: Recipe) -> dict[str, Measure]:
    """Every benchmark at every number of shots, and the mean of the questions at 0 and 4."""
    measures: dict[str, Measure] = {
        f"{name}@{shots}": BenchmarkMeasure(benchmark=name, shots=shots)
        for name, benchmark in recipe.evaluation.benchmarks.items()
        for shots in benchmark.shots
    }
    for parts in MEANS:
        if set(parts) <= set(measures):
            measures[f"mean({', '.join(parts)})"] = MeanMeasure(mean=list(parts))
    return measures


def single(table: MeasureTable, arm: str) -> Estimate:
    """Noise of one arm over its replicates."""
    return estimate(scores_of(table), {arm: 1.0})


def pooled(noises: list[Noise]) -> Noise:
    """Noises of several studies as one, by their degrees of freedom."""
    total = sum(each.degrees_of_freedom for each in noises)
    squares = [
        sum(each.degrees_of_freedom * each.components[place] ** 2 for each in noises) / total for place in range(3)
    ]
    return Noise(Components(*map(sqrt, squares)), total)


def entry(noise: Noise) -> str:
    seed, item, residual = noise.components
    return (
        f"{{seed: {seed:.2f}, item: {item:.2f}, residual: {residual:.2f}, "
        f"degrees_of_freedom: {noise.degrees_of_freedom:g}}}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of studies, as runs/studies/connectors")
    parser.add_argument("--write", type=Path, help="also write this file, as studies/noise.yaml")
    asked = parser.parse_args()
    singles: dict[str, tuple[Estimate, int]] = {}
    differences: dict[str, list[Noise]] = {}
    base = ""
    folders = asked.folders or sorted(Path("runs/studies").glob("*"))
    for folder in (each for each in folders if (each / "study.json").is_file()):
        tasks = tasks_of(folder)
        reference = tasks[0].arm
        record = StudyRecord.model_validate_json((folder / "study.json").read_text(encoding="utf-8"))
        base = Path(record.base).stem
        tables = gather(tasks, measures=measures_of(tasks[0].recipe), reference=reference).tables
        for name, table in tables.items():
            count = len(table.scores[reference])
            if count >= FEWEST and (name not in singles or count > singles[name][1]):
                singles[name] = single(table, reference), count
            common = set.intersection(*(set(runs) for runs in table.scores.values()))
            if len(table.scores) >= FEWEST and len(common) >= FEWEST:
                differences.setdefault(name, []).append(pooled_noise(scores_of(table)))
    if not singles:
        print("no study has been run here: `vlmlab study run studies/examples/noise.yaml` measures the base")
        return
    report(singles, differences)
    if asked.write is not None:
        write_text(asked.write, noise_file(base, singles, differences))
        print(f"\nwritten: {asked.write}")


def report(singles: dict[str, tuple[Estimate, int]], differences: dict[str, list[Noise]]) -> None:
    print("Standard deviations of a mean, in points: of one arm, and of the difference of two paired arms.")
    print("Replicates that a difference of so many points would need for a power of 80 % at 5 %, paired.\n")
    heading = "".join(f"{f'{effect:g} pt':>7}" for effect in EFFECTS)
    own = f"{'measure':40}{'mean':>7}{'n':>3}{'seed':>7}{'item':>6}{'both':>6}"
    print(f"{own} |{'seed':>6}{'item':>6}{'both':>6}{'df':>5} |{heading}")
    for name, (found, count) in singles.items():
        line = f"{name:40}{found.value:7.1f}{count:3d}" + "".join(
            f"{value:{width}.1f}" for value, width in zip(found.components, (7, 6, 6), strict=True)
        )
        if name in differences:
            noise = scaled(pooled(differences[name]), sqrt(2))
            line += " |" + "".join(f"{value:6.1f}" for value in noise.components) + f"{noise.degrees_of_freedom:5.0f} |"
            for effect in EFFECTS:
                needed = replicates_needed(effect, noise.cautious())
                line += f"{'-' if needed is None else needed:>7}"
        print(line)


def noise_file(base: str, singles: dict[str, tuple[Estimate, int]], differences: dict[str, list[Noise]]) -> str:
    count = min(count for _, count in singles.values())
    lines = [
        f"# Noise of studies/{base}.yaml: python benchmarks/noise.py runs/studies/* --write studies/noise.yaml",
        "# Standard deviations in points of a contrast of unit length: a difference of two arms has 1.41 times these.",
        f"base: {base}",
        f"replicates: {count}",
        "paired:",
        *(f"  {name}: {entry(pooled(noises))}" for name, noises in differences.items()),
        "independent:",
        *(
            f"  {name}: {entry(Noise(found.components, found.seed_degrees_of_freedom, 2))}"
            for name, (found, _) in singles.items()
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        main()
    except VlmlabError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
