"""From run directories to one table: for each measure the scores of every arm, replicate and item.

A replicate that diverged scores what can be had without looking: for each item what the reference arm of the same
replicate got with the image blank (another arm's, then another replicate's, where that one diverged too); its gain is
then 0. Where an item has no image there is no blank control: it scores 0, or one over its number of choices, and the
worst log-likelihood that any run gave it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import numpy as np

from vlmlab.errors import RunError, StudyError, near
from vlmlab.files import digest, file_digest, read_json, write_text
from vlmlab.records.read import read_items
from vlmlab.records.run import ItemRecord
from vlmlab.study.outcomes import manifest, state_of
from vlmlab.study.queue import Task
from vlmlab.study.study import BenchmarkMeasure, MeanMeasure, Measure

Key = tuple[str, int | None]
"""An item, and the seed of its demonstrations."""


@dataclass(frozen=True, slots=True)
class MeasureTable:
    """One measure: an array of items for each arm and replicate, all in the order of `items`."""

    name: str
    unit: str
    """points or nats."""
    parts: tuple[str, ...]
    """The benchmark measures that it is the mean of; itself alone for a benchmark measure."""
    items: tuple[str, ...]
    """One a score: BENCHMARK/ITEM, and the demonstration seed behind #."""
    clusters: tuple[str, ...]
    """Scene or fact of each item."""
    weights: np.ndarray
    """Share of each score in the mean, so that benchmarks of different sizes weigh the same; sums to 1."""
    scores: dict[str, dict[int, np.ndarray]]
    """By arm and seed; a replicate that is missing is missing here."""
    blank: dict[str, dict[int, np.ndarray]]
    """The same with the query's image blank; NaN where an item has no image."""
    diverged: dict[str, set[int]] = field(default_factory=dict)
    """Replicates whose scores are those of chance."""

    def mean(self, arm: str, seed: int) -> float:
        """The measure of one replicate."""
        return float(self.weights @ self.scores[arm][seed])

    def blank_mean(self, arm: str, seed: int) -> float | None:
        """The same with the query's image blank; None where no item has an image."""
        if seed not in self.blank.get(arm, {}):
            return None
        values = self.blank[arm][seed]
        seen = ~np.isnan(values)
        return float(self.weights[seen] @ values[seen] / self.weights[seen].sum()) if seen.any() else None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that the runs of a study scored."""

    tables: dict[str, MeasureTable]
    states: dict[tuple[str, int], str]
    """finished, diverged or missing, by arm and seed."""

    def write(self, path: Path) -> None:
        """table.csv: a row for each measure, arm and replicate. Equal runs give equal bytes."""
        write_text(path, self.csv())

    def csv(self) -> str:
        """The rows, with a hash of the single scores, so that equal tables mean equal scores."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["measure", "unit", "arm", "seed", "state", "score", "blank", "items", "scores_hash"])
        for table in self.tables.values():
            for (arm, seed), state in self.states.items():
                if seed not in table.scores.get(arm, {}):
                    writer.writerow([table.name, table.unit, arm, seed, state, "", "", "", ""])
                    continue
                blank = table.blank_mean(arm, seed)
                writer.writerow(
                    [
                        table.name, table.unit, arm, seed, state, repr(table.mean(arm, seed)),
                        "" if blank is None else repr(blank), len(table.items),
                        digest([list(table.items), table.scores[arm][seed].tolist()]),
                    ]
                )  # fmt: skip
        return text.getvalue()


def gather(tasks: Sequence[Task], *, measures: Mapping[str, Measure], reference: str) -> Gathered:
    """Read the replicates of all arms. Those that did not end are missing.

    Raises StudyError where runs do not fit together: other items in one arm, a measure that one arm lacks.
    """
    states = {(task.arm, task.seed): {"open": "missing"}.get(state := state_of(task.folder), state) for task in tasks}
    folders = {(task.arm, task.seed): task.folder for task in tasks}
    reader = _Reader(folders, states, reference=reference)
    tables: dict[str, MeasureTable] = {}
    for name, measure in measures.items():
        if isinstance(measure, BenchmarkMeasure):
            tables[name] = reader.table(name, measure)
    for name, measure in measures.items():
        if isinstance(measure, MeanMeasure):
            tables[name] = _mean(name, measure, tables)
    return Gathered({name: tables[name] for name in measures}, states)


class _Reader:
    """Reads the items of every run once."""

    def __init__(
        self, folders: Mapping[tuple[str, int], Path], states: Mapping[tuple[str, int], str], *, reference: str
    ) -> None:
        self._folders = folders
        self._states = states
        self._reference = reference
        self._read: dict[tuple[str, int, str], tuple[ItemRecord, ...]] = {}

    def table(self, name: str, measure: BenchmarkMeasure) -> MeasureTable:
        """One benchmark measure."""
        finished = [place for place, state in self._states.items() if state == "finished"]
        seen = {place: self._rows(place, measure, "image", name) for place in finished}
        blanks = {place: self._rows(place, measure, "blank", name) for place in finished}
        _same_items(name, {place: list(rows) for place, rows in seen.items()})
        keys = list(next(iter(seen.values()), {}))
        clusters = tuple(rows[key].cluster for rows in [next(iter(seen.values()), {})] for key in keys)
        table = MeasureTable(
            name=name,
            unit="nats" if measure.value == "log_likelihood" else "points",
            parts=(name,),
            items=tuple(f"{measure.benchmark}/{item}" + ("" if seed is None else f"#{seed}") for item, seed in keys),
            clusters=clusters,
            weights=np.full(len(keys), 1.0 / max(1, len(keys))),
            scores={},
            blank={},
        )
        for place in finished:
            arm, seed = place
            blank = np.array([_value(blanks[place].get(key), measure) for key in keys])
            score = np.array([_value(seen[place][key], measure) for key in keys])
            if measure.value == "gain":
                if np.isnan(blank).any():
                    raise StudyError(
                        f"measures.{name}",
                        f"a gain needs every item's blank-image control, and {measure.benchmark} of arm {arm} at seed "
                        f"{seed} lacks some; set evaluation.blank_control, or use value: score",
                    )
                score = score - blank
            table.scores.setdefault(arm, {})[seed] = score
            table.blank.setdefault(arm, {})[seed] = blank
        self._add_diverged(table, measure, keys)
        return table

    def _add_diverged(self, table: MeasureTable, measure: BenchmarkMeasure, keys: Sequence[Key]) -> None:
        worst = None
        for (arm, seed), state in self._states.items():
            if state != "diverged" or not table.scores:
                continue
            chance = self._blank_of(table, seed)
            if np.isnan(chance).any():
                if measure.value == "log_likelihood":
                    if worst is None:
                        worst = np.min([each for runs in table.scores.values() for each in runs.values()], axis=0)
                    without = worst
                else:
                    without = 100.0 * self._guessing(measure.benchmark, keys)
                chance = np.where(np.isnan(chance), without, chance)
            table.scores.setdefault(arm, {})[seed] = np.zeros_like(chance) if measure.value == "gain" else chance
            table.blank.setdefault(arm, {})[seed] = chance
            table.diverged.setdefault(arm, set()).add(seed)

    def _blank_of(self, table: MeasureTable, seed: int) -> np.ndarray:
        """The blank-image control nearest to a replicate: the reference's, another arm's, another replicate's."""
        real = {arm: set(seeds) - table.diverged.get(arm, set()) for arm, seeds in table.blank.items()}
        places = [(arm, each) for arm, seeds in real.items() for each in seeds]
        arm, nearest = min(
            places, key=lambda place: (place[1] != seed, place[0] != self._reference, abs(place[1] - seed), place[1])
        )
        return table.blank[arm][nearest]

    def _guessing(self, benchmark: str, keys: Sequence[Key]) -> np.ndarray:
        """Chance of an item without an image: one over its choices, else 0."""
        for place, state in self._states.items():
            choices = self._folders[place] / "evaluation" / "choices.json"
            if state == "finished" and choices.exists():
                rows = read_json(choices).get(benchmark, [])
                counts = {row["item"]: len(row["candidates"]) for row in rows}
                return np.array([1.0 / counts[item] if item in counts else 0.0 for item, _ in keys])
        return np.zeros(len(keys))

    def _rows(
        self, place: tuple[str, int], measure: BenchmarkMeasure, condition: str, name: str
    ) -> dict[Key, ItemRecord]:
        rows = self._items(place, measure.benchmark, name)
        chosen = [row for row in rows if row.shots == measure.shots and row.condition == condition]
        if not chosen and condition == "image":
            shots = sorted({row.shots for row in rows})
            raise StudyError(
                f"measures.{name}",
                f"arm {place[0]} at seed {place[1]} was not asked {measure.benchmark} at {measure.shots} shots; "
                f"it was at {', '.join(map(str, shots))}",
            )
        return {(row.item, row.demonstration_seed): row for row in chosen}

    def _items(self, place: tuple[str, int], benchmark: str, name: str) -> tuple[ItemRecord, ...]:
        arm, seed = place
        if (arm, seed, benchmark) not in self._read:
            folder = self._folders[place]
            path = folder / "evaluation" / f"{benchmark}.jsonl"
            if not path.is_file():
                known = [each.stem for each in sorted(path.parent.glob("*.jsonl"))]
                raise StudyError(
                    f"measures.{name}",
                    f"arm {arm} at seed {seed} has no benchmark {benchmark!r}{near(benchmark, known)}; every arm must "
                    "be asked the same",
                )
            check_whole(folder, path)
            self._read[arm, seed, benchmark] = read_items(folder, benchmark)
        return self._read[arm, seed, benchmark]


def check_whole(folder: Path, path: Path) -> None:
    """Raise RunError where a file of a finished run is not the one that the run wrote."""
    expected = manifest(folder).files.get(str(path.relative_to(folder)))
    if expected is not None and file_digest(path) != expected:
        raise RunError(
            str(path),
            "the file is not the one that the run wrote: its SHA-256 differs from manifest.json; remove the run "
            "directory and run the study again (its stages are in the store)",
        )


def _value(row: ItemRecord | None, measure: BenchmarkMeasure) -> float:
    if row is None:
        return float("nan")
    match measure.value:
        case "score" | "gain":
            return 100.0 * row.score
        case "log_likelihood":
            return row.log_likelihood
        case _:
            assert_never(measure.value)


def _same_items(name: str, keys: Mapping[tuple[str, int], Iterable[Key]]) -> None:
    """All runs must have been asked the same items in the same order."""
    places = iter(keys.items())
    first, expected = next(places, (None, None))
    for place, found in places:
        if found != expected:
            assert first is not None
            assert expected is not None
            missing = sorted(f"{item}" for item, _ in set(expected) ^ set(found))
            raise StudyError(
                f"measures.{name}",
                f"the items of {place[0]} at seed {place[1]} are not those of {first[0]} at seed {first[1]}"
                + (f": {len(missing)} differ, such as {missing[0]}" if missing else ": their order differs")
                + "; arms must share evaluation and data.world",
            )


def _mean(name: str, measure: MeanMeasure, tables: Mapping[str, MeasureTable]) -> MeasureTable:
    """Several benchmark measures as one: the same weight for each, whatever its number of items."""
    parts = [tables[part] for part in measure.mean]
    units = {part.unit for part in parts}
    if len(units) > 1:
        raise StudyError(f"measures.{name}.mean", f"measures in {' and '.join(sorted(units))} have no mean")

    def joined(kind: str, arm: str, seed: int) -> np.ndarray:
        return np.concatenate([(part.scores if kind == "scores" else part.blank)[arm][seed] for part in parts])

    places = [(arm, seed) for arm, seeds in parts[0].scores.items() for seed in seeds]
    scores: dict[str, dict[int, np.ndarray]] = {}
    blank: dict[str, dict[int, np.ndarray]] = {}
    for arm, seed in places:
        scores.setdefault(arm, {})[seed] = joined("scores", arm, seed)
        blank.setdefault(arm, {})[seed] = joined("blank", arm, seed)
    return MeasureTable(
        name=name,
        unit=parts[0].unit,
        parts=tuple(measure.mean),
        items=tuple(item for part in parts for item in part.items),
        clusters=tuple(cluster for part in parts for cluster in part.clusters),
        weights=np.concatenate([part.weights / len(parts) for part in parts]),
        scores=scores,
        blank=blank,
        diverged=parts[0].diverged,
    )
