"""Studies from files: strict YAML, overrides, the base recipe, and every problem named at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vlmlab.errors import RecipeError, StudyError, near
from vlmlab.recipe.load import LoadedRecipe, load_recipe
from vlmlab.recipe.path import replace
from vlmlab.recipe.problems import problems
from vlmlab.recipe.strict_yaml import parse_yaml
from vlmlab.study.study import Study

STUDIES = "studies"
CHECKOUT = Path(__file__).resolve().parents[3]
"""The source checkout, whose studies/ are the shipped ones."""


@dataclass(frozen=True, slots=True)
class LoadedStudy:
    """A study with where it comes from."""

    study: Study
    path: Path
    text: str
    """The file as written."""
    base: LoadedRecipe
    """The recipe that all arms derive from."""

    @property
    def where(self) -> str:
        """The file, as problems name it."""
        return str(self.path)


def load_study(study: Path | str, *, overrides: Sequence[str] = ()) -> LoadedStudy:
    """Load a study file, or the study of that name below studies/, with `path=value` overrides applied.

    Raises StudyError that lists every problem as `FILE: dotted.path: problem`.
    """
    path = _find(study)
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8")
        tree = parse_yaml(text, where=where)
        if not isinstance(tree, dict):
            raise StudyError(where, "expected a mapping of fields: name, question, base, axes, measures, claims")
        for override in overrides:
            name, equals, value = override.partition("=")
            if not equals or not name.strip():
                raise StudyError(f"--set {override}", "expected path=value, as in --set replicates=8")
            tree = replace(tree, name.strip(), parse_yaml(value, where=name), schema=Study)
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(where, f"cannot be read: {error}") from error
    except RecipeError as error:
        raise StudyError(error.where if error.where == where else f"{where}: {error.where}", error.problem) from error
    try:
        loaded = Study.model_validate_json(json.dumps({"name": path.stem} | tree))
    except ValidationError as error:
        listed = problems(error, schema=Study, tree=tree)
        raise StudyError(where, f"\n{where}: ".join(map(str, listed))) from error
    return LoadedStudy(study=loaded, path=path, text=text, base=_base(loaded, path))


def _base(study: Study, path: Path) -> LoadedRecipe:
    """The base: a file beside the study or in studies/, else what `vlmlab run` would find under this name."""
    folders = [path.parent, Path(STUDIES), CHECKOUT / STUDIES]
    files = [file for folder in folders for file in (folder / study.base, Path(f"{folder / study.base}.yaml"))]
    try:
        return load_recipe(next((file for file in files if file.is_file()), study.base))
    except RecipeError as error:
        raise StudyError(f"{path}: base", str(error)) from error


def _find(study: Path | str) -> Path:
    """The file of a path or name: the working directory first, then the source checkout."""
    given = Path(study)
    if given.is_file():
        return given
    roots = [Path(), CHECKOUT]
    tail = given if given.suffix in (".yaml", ".yml") else Path(f"{given}.yaml")
    for root in roots:
        for file in (root / tail, root / STUDIES / tail):
            if file.is_file():
                return file
    files = {file.stem: file for root in reversed(roots) for file in sorted((root / STUDIES).rglob("*.yaml"))}
    if len(given.parts) == 1 and given.stem in files:
        return files[given.stem]
    raise StudyError(
        str(study), f"no such study{near(given.stem, files)}; expected a study file, or the name of one in studies/"
    )
