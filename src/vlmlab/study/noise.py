"""Noise of measures as it was measured before: studies/noise.yaml, which designs look into.

base: base                       # the recipe on which it was measured
replicates: 8
paired:                          # of contrasts between arms that share stages and data streams
  general@4: {seed: 3.1, item: 0.9, residual: 1.4, degrees_of_freedom: 21}
  reading@4 log_likelihood: {seed: 0.21, item: 0.06, residual: 0.1, degrees_of_freedom: 21}
  mean(general@4, reading@4): {seed: 2.4, item: 0.7, residual: 1.0, degrees_of_freedom: 21}
independent: {}                  # of contrasts between unrelated arms

Standard deviations are those of a contrast whose squared weights sum to 1, as `pooled_noise` gives them: the difference
of two arms has the square root of 2 times these.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from pydantic import Field, ValidationError

from vlmlab.errors import RecipeError, StudyError
from vlmlab.recipe.problems import problems
from vlmlab.recipe.spec import Spec
from vlmlab.recipe.strict_yaml import parse_yaml
from vlmlab.study.levels import parts_of
from vlmlab.study.load import CHECKOUT, STUDIES
from vlmlab.study.statistics.estimate import Components, Pairing
from vlmlab.study.statistics.power import Noise
from vlmlab.study.study import BenchmarkMeasure, Study

FILE = "noise.yaml"


class NoiseEntry(Spec):
    """Standard deviations by source, in the measure's unit."""

    seed: float = Field(ge=0.0)
    """Between replicates."""
    item: float = Field(ge=0.0)
    """Of the mean over items, the same in every replicate."""
    residual: float = Field(ge=0.0)
    """Of the mean over items, another one in every replicate."""
    degrees_of_freedom: float = Field(gt=0.0)
    """With which `seed` was measured."""


ASSUMED = NoiseEntry(seed=4.0, item=2.0, residual=2.0, degrees_of_freedom=1e6)
"""Points of one benchmark whose noise was never measured: what arms have that are neither stable nor erratic."""


class NoiseFile(Spec):
    """Noise of the measures of one base recipe."""

    base: str
    """Name of the recipe."""
    about: str = ""
    """Where and how it was measured."""
    replicates: int = Field(ge=2)
    """Of each arm."""
    paired: dict[str, NoiseEntry] = Field(default_factory=dict)
    """By measure, for paired arms."""
    independent: dict[str, NoiseEntry] = Field(default_factory=dict)
    """By measure, for unrelated arms."""


@dataclass(frozen=True, slots=True)
class KnownNoise:
    """Noise of a contrast of unit length, and whether somebody measured it."""

    noise: Noise
    measured: bool
    words: str = ""
    """Where it comes from, unless it is the file's own entry."""


def read_noise(path: Path | None = None) -> NoiseFile | None:
    """The given file, else studies/noise.yaml of the working directory or the checkout; None where there is none.

    Raises StudyError where it cannot be used.
    """
    places = [Path(STUDIES) / FILE, CHECKOUT / STUDIES / FILE] if path is None else [path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return None
    where = str(found)
    try:
        tree = parse_yaml(found.read_text(encoding="utf-8"), where=where)
        return NoiseFile.model_validate_json(json.dumps(tree))
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(where, f"cannot be read: {error}") from error
    except RecipeError as error:
        raise StudyError(error.where, error.problem) from error
    except ValidationError as error:
        listed = problems(error, schema=NoiseFile, tree=tree if isinstance(tree, dict) else {})
        raise StudyError(where, f"\n{where}: ".join(map(str, listed))) from error


def noise_key(study: Study, measure: str) -> str:
    """How the file names a measure, by what it is and not by a study's name for it.

    >>> noise_key(study, "overall")
    'mean(general@4, reading@4)'
    """
    parts = parts_of(study, measure)
    keys = sorted(_key(part) for part in parts.values())
    return keys[0] if isinstance(study.measures[measure], BenchmarkMeasure) else f"mean({', '.join(keys)})"


def known_noise(study: Study, measure: str, *, base: str, file: NoiseFile | None) -> KnownNoise | None:
    """Noise of a contrast of unit length on a measure: measured, made of measured parts, or assumed.

    None where even an assumption would be idle: nats have no usual size.
    """
    entries = {} if file is None or file.base != base else entries_of(file, study.pairing)
    arms = 1 if study.pairing == "paired" else 2
    entry = entries.get(noise_key(study, measure))
    if entry is not None:
        return KnownNoise(_noise(entry, arms), measured=True)
    parts = list(parts_of(study, measure).values())
    known = [entries[_key(part)] for part in parts if _key(part) in entries]
    if known and len(known) == len(parts):
        return KnownNoise(_noise(_joined(known), arms), measured=True, words="put together from its parts")
    if any(part.value == "log_likelihood" for part in parts):
        return None
    return KnownNoise(_noise(_joined([ASSUMED] * len(parts)), arms), measured=False)


def entries_of(file: NoiseFile, pairing: Pairing) -> dict[str, NoiseEntry]:
    """Entries for a pairing."""
    return file.paired if pairing == "paired" else file.independent


def _joined(entries: list[NoiseEntry]) -> NoiseEntry:
    """The mean of several measures: seeds move all of them alike at worst, items of different benchmarks never."""
    count = len(entries)
    return NoiseEntry(
        seed=sum(each.seed for each in entries) / count,
        item=sqrt(sum(each.item**2 for each in entries)) / count,
        residual=sqrt(sum(each.residual**2 for each in entries)) / count,
        degrees_of_freedom=min(each.degrees_of_freedom for each in entries),
    )


def _noise(entry: NoiseEntry, arms: float) -> Noise:
    return Noise(Components(entry.seed, entry.item, entry.residual), entry.degrees_of_freedom, arms)


def _key(part: BenchmarkMeasure) -> str:
    kind = "" if part.value == "score" else f" {part.value}"
    return f"{part.benchmark}@{part.shots}{kind}"
