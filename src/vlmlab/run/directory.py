"""The run directory: one recipe, one writer, manifest last."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

from vlmlab.errors import RunError
from vlmlab.files import file_digest, read_json, write_json, write_text
from vlmlab.locks import exclusive
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.spec import differing
from vlmlab.records.run import Manifest

UNLISTED = ("manifest.json", "progress.json", "diverged.json", ".lock")


class RunDirectory:
    """Paths of one run. Layout: records/run.py."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stage(self, name: str) -> Path:
        return self.path / "stages" / name

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation"

    @property
    def model(self) -> Path:
        return self.path / "model"

    def complete(self) -> bool:
        """Whether the run ended well."""
        return (self.path / "manifest.json").exists()

    @contextlib.contextmanager
    def write(self, recipe: Recipe, text: str) -> Generator[None]:
        """Hold the directory for writing, with the recipe in it.

        RunError when another recipe lives there, or another writer.
        """
        with exclusive(self.path / ".lock", where=str(self.path)):
            resolved = self.path / "recipe.resolved.json"
            if resolved.exists():
                self._check_same(recipe)
            else:
                write_text(self.path / "recipe.yaml", text)
                write_json(resolved, recipe.plain())
            yield

    def _check_same(self, recipe: Recipe) -> None:
        fields = differing(read_json(self.path / "recipe.resolved.json"), recipe.plain())
        if fields is not None:
            raise RunError(
                str(self.path),
                f"another recipe lives here ({fields}); choose another --out, or remove the directory",
            )

    def finish(self, *, recipe: Recipe, finished: str, seconds: float, cpu_seconds: float) -> None:
        """Write the manifest: the run is complete."""
        files = {
            str(path.relative_to(self.path)): file_digest(path)
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and path.name not in UNLISTED
        }
        manifest = Manifest(
            name=recipe.name,
            fingerprint=recipe.fingerprint(),
            finished=finished,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            files=files,
        )
        write_json(self.path / "manifest.json", manifest.model_dump(mode="json"))
        for passing in ("progress.json", "diverged.json"):
            (self.path / passing).unlink(missing_ok=True)
