"""Reading a run directory back into its records, and saying clearly what is missing or damaged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from vlmlab.errors import RunError, near
from vlmlab.files import digest, file_digest
from vlmlab.records.run import (
    EvaluationRecord,
    GalleryRecord,
    ItemRecord,
    Manifest,
    Provenance,
    Record,
    StageRecord,
    StepRecord,
)

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class StageRun:
    """A finished stage with its curve. A stage taken from the store may come without one."""

    record: StageRecord
    steps: tuple[StepRecord, ...]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything that a report or a study reads of one run, but for the rows of single items."""

    folder: Path
    recipe: dict[str, Any]
    """The resolved recipe as plain data, so that a run stays readable after the schema moved on."""
    recipe_text: str | None
    """recipe.yaml as written."""
    provenance: Provenance
    plan: dict[str, Any] | None
    stages: tuple[StageRun, ...]
    """In the order of the recipe."""
    evaluation: EvaluationRecord | None
    """None where the recipe names no benchmark."""
    gallery: tuple[GalleryRecord, ...]
    manifest: Manifest | None
    """None while the run is not complete."""

    def name(self) -> str:
        """The recipe's name."""
        return str(self.recipe["name"])

    def fingerprint(self) -> str:
        """The recipe's hash, equal to `Recipe.fingerprint()`."""
        return digest(self.recipe)


def read_run(run: Path) -> RunRecord:
    """Read the record of a run.

    Every stage and, where the recipe names benchmarks, the evaluation must be there; the manifest need not, because
    the report is written before it. Where there is a manifest, a file that no longer has its hash is refused.
    """
    if not run.is_dir():
        raise RunError(str(run), f"no such run directory{_neighbours(run)}")
    resolved = run / "recipe.resolved.json"
    if not resolved.is_file():
        raise RunError(
            str(run),
            "found no recipe.resolved.json, so this is not a run directory; "
            "give the folder that `vlmlab run` printed, such as runs/tiny",
        )
    manifest = _optional_record(run / "manifest.json", Manifest)
    reader = _Reader(run, manifest)
    recipe = reader.mapping("recipe.resolved.json")
    for field in ("name", "stages", "evaluation"):
        if field not in recipe:
            raise RunError(str(resolved), f"the resolved recipe has no field '{field}'; the file is damaged")
    stages = tuple(_stage(reader, str(name)) for name in recipe["stages"])
    evaluation, gallery = None, ()
    if recipe["evaluation"].get("benchmarks"):
        evaluation = reader.record("evaluation/summary.json", EvaluationRecord)
        gallery = reader.records("evaluation/gallery.json", GalleryRecord)
    text = run / "recipe.yaml"
    return RunRecord(
        folder=run,
        recipe=recipe,
        recipe_text=text.read_text(encoding="utf-8", errors="replace") if text.is_file() else None,
        provenance=reader.record("provenance.json", Provenance),
        plan=reader.mapping("plan.json") if (run / "plan.json").is_file() else None,
        stages=stages,
        evaluation=evaluation,
        gallery=gallery,
        manifest=manifest,
    )


def read_items(run: Path, benchmark: str) -> tuple[ItemRecord, ...]:
    """Read one row an item, shots, demonstration seed and condition of a benchmark."""
    path = run / "evaluation" / f"{benchmark}.jsonl"
    if not path.is_file():
        known = [file.stem for file in sorted(path.parent.glob("*.jsonl"))]
        raise RunError(str(path), f"this run has no items of benchmark '{benchmark}'{near(benchmark, known)}")
    return _lines(path, ItemRecord)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads files of one run by their path inside it, and compares them with the manifest."""

    run: Path
    manifest: Manifest | None

    def path(self, name: str) -> Path:
        path = self.run / name
        if not path.is_file():
            raise RunError(
                str(path), "the file is missing; the run is not finished, and `vlmlab run` on its recipe continues it"
            )
        if self.manifest is not None and name in self.manifest.files and file_digest(path) != self.manifest.files[name]:
            raise RunError(
                str(path),
                "the file is not the one that the run wrote: its SHA-256 differs from manifest.json; "
                "restore it, or delete the run directory and run the recipe again",
            )
        return path

    def mapping(self, name: str) -> dict[str, Any]:
        path = self.path(name)
        value = _json(path)
        if not isinstance(value, dict):
            raise RunError(str(path), f"expected a JSON object, found {type(value).__name__}")
        return value

    def record(self, name: str, kind: type[R]) -> R:
        path = self.path(name)
        return _validated(_json(path), kind, where=str(path))

    def records(self, name: str, kind: type[R]) -> tuple[R, ...]:
        path = self.path(name)
        value = _json(path)
        if not isinstance(value, list):
            raise RunError(str(path), f"expected a JSON list, found {type(value).__name__}")
        return tuple(_validated(row, kind, where=f"{path}: entry {index}") for index, row in enumerate(value))

    def lines(self, name: str, kind: type[R]) -> tuple[R, ...]:
        return _lines(self.path(name), kind)


def _stage(reader: _Reader, name: str) -> StageRun:
    record = reader.record(f"stages/{name}/summary.json", StageRecord)
    metrics = f"stages/{name}/metrics.jsonl"
    if record.reused and not (reader.run / metrics).is_file():
        return StageRun(record, ())
    return StageRun(record, reader.lines(metrics, StepRecord))


def _optional_record(path: Path, kind: type[R]) -> R | None:
    return _validated(_json(path), kind, where=str(path)) if path.is_file() else None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RunError(str(path), _not_json(error.lineno, error.msg)) from error
    except UnicodeDecodeError as error:
        raise RunError(
            str(path), f"not UTF-8 text ({error.reason} at byte {error.start}); the file is damaged"
        ) from error


def _lines(path: Path, kind: type[R]) -> tuple[R, ...]:
    rows = []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RunError(
            str(path), f"not UTF-8 text ({error.reason} at byte {error.start}); the file is damaged"
        ) from error
    # Only "\n" ends a record: str.splitlines would also cut at U+2028, which JSON strings may hold as it is.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise RunError(str(path), _not_json(number, error.msg)) from error
        rows.append(_validated(value, kind, where=f"{path}:{number}"))
    return tuple(rows)


def _not_json(line: int, message: str) -> str:
    remedy = "restore it, or delete the run directory and run the recipe again"
    return f"line {line} is not JSON ({message}); the file is damaged: {remedy}"


def _validated(value: Any, kind: type[R], *, where: str) -> R:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the value"
        raise RunError(
            where, f"{field}: {first['msg']}; expected a {kind.__name__} as this version of vlmlab writes it"
        ) from error


def _neighbours(run: Path) -> str:
    """Name what may have been meant: runs beside the path that was given."""
    if not run.parent.is_dir():
        return ""
    known = [child.name for child in sorted(run.parent.iterdir()) if (child / "recipe.resolved.json").is_file()]
    return near(run.name, known) if known else "; `vlmlab run RECIPE` makes one"
