"""The catalogue: every finding of findings/*.yaml, loaded and checked as one whole."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vlmlab.errors import CatalogueError, RecipeError, near
from vlmlab.recipe.problems import Problem, problems
from vlmlab.recipe.strict_yaml import parse_yaml
from vlmlab.study.findings import FAMILIES, Entry, Finding, Open, PaperFile, Tie, Wins

FOLDER = Path(__file__).resolve().parents[3] / "findings"
"""The shipped catalogue."""
ROUNDING = 0.051
"""Half of the last digit of a published score, and a little for the arithmetic of floats."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Findings by id, in the order of papers and of their entries."""

    folder: Path
    papers: tuple[PaperFile, ...]
    findings: Mapping[str, Finding]

    def get(self, finding_id: str) -> Finding:
        """Raises CatalogueError with a near id for an unknown one."""
        found = self.findings.get(finding_id) or self._whatever_case(finding_id)
        if found is None:
            meant = _meant(finding_id.upper(), self.findings) or "; `vlmlab findings` lists them"
            raise CatalogueError(finding_id, f"no such finding{meant}")
        return found

    def select(
        self, *, paper: str | None = None, family: str | None = None, testable: str | None = None
    ) -> list[Finding]:
        """Findings that fit every filter. Raises CatalogueError for a word that no finding could fit."""
        papers = {file.paper.lower(): file.paper for file in self.papers}
        wanted = None if paper is None else paper.lower()
        if wanted is not None and wanted not in papers:
            meant = [papers[name] for name in difflib.get_close_matches(wanted, papers, n=1)]
            raise CatalogueError(
                "--paper", f"{paper!r} fits no finding{near(meant[0] if meant else '', papers.values())}"
            )
        _known("--family", family, FAMILIES)
        _known("--testable", testable, ("yes", "partly", "no"))
        return [
            finding
            for finding in self.findings.values()
            if wanted in (None, finding.paper.lower())
            if family in (None, finding.entry.family)
            if testable in (None, finding.entry.small_scale.test)
        ]

    def _whatever_case(self, finding_id: str) -> Finding | None:
        fitting = [found for name, found in self.findings.items() if name.lower() == finding_id.lower()]
        return fitting[0] if len(fitting) == 1 else None


def load_catalogue(folder: Path = FOLDER) -> Catalogue:
    """Load every file of a catalogue. Raises CatalogueError that lists every problem as `FILE: finding: problem`."""
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise CatalogueError(str(folder), "no findings here; expected one YAML file a paper")
    papers: list[PaperFile] = []
    findings: dict[str, Finding] = {}
    found: list[str] = []
    for file in files:
        where = file.name if folder == FOLDER else str(file)
        try:
            paper = _load(file, where=where)
        except CatalogueError as error:
            found.append(str(error))
            continue
        papers.append(paper)
        for name, entry in paper.findings.items():
            if name in findings:
                found.append(f"{where}: {name}: stands in {findings[name].where} too; an id names one finding")
                continue
            findings[name] = Finding(id=name, paper=paper.paper, where=where, entry=entry)
    if not found:
        found = [
            f"{finding.where}: {finding.id}: {problem}"
            for finding in findings.values()
            for problem in _problems(finding, findings, root=folder.parent)
        ]
    if found:
        raise CatalogueError("", "\n".join(found))
    return Catalogue(folder=folder, papers=tuple(papers), findings=findings)


def _load(file: Path, *, where: str) -> PaperFile:
    try:
        tree = parse_yaml(file.read_text(encoding="utf-8"), where=where)
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(where, f"cannot be read: {error}") from error
    except RecipeError as error:
        raise CatalogueError(error.where, error.problem) from error
    if not isinstance(tree, dict):
        raise CatalogueError(where, "expected a mapping with paper, about and findings")
    try:
        return PaperFile.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        listed = [_named(problem) for problem in problems(error, schema=PaperFile, tree=tree)]
        raise CatalogueError(where, f"\n{where}: ".join(listed)) from error


def _named(problem: Problem) -> str:
    """The problem with the finding's id in front: `A-1: family: …` for findings.A-1.family."""
    head, _, rest = problem.path.removeprefix("findings.").partition(".")
    if not problem.path.startswith("findings."):
        return str(problem)
    return f"{head}: {rest}: {problem.words}" if rest else f"{head}: {problem.words}"


def _problems(finding: Finding, findings: Mapping[str, Finding], *, root: Path) -> Iterator[str]:
    entry = finding.entry
    if not all(name.strip() for name in entry.arms):
        yield "arms: an arm without a name"
    for other in entry.conflicts:
        if other == finding.id:
            yield "conflicts: it names itself"
        elif other not in findings:
            yield f"conflicts: no finding {other!r}{_meant(other, findings)}"
        elif finding.id not in findings[other].entry.conflicts:
            yield f"conflicts: {other} ({findings[other].where}) does not name it in turn"
    if len(set(entry.conflicts)) < len(entry.conflicts):
        yield "conflicts: the same finding twice"
    yield from _direction_problems(entry)
    if entry.study is not None and not (root / entry.study).is_file():
        studies = [str(file.relative_to(root)) for file in (root / "studies").rglob("*.yaml")]
        yield f"study: no file {entry.study}{_meant(entry.study, studies)}"
    for arm, recipe in entry.recipes.items():
        if arm not in entry.arms:
            yield f"recipes: {arm!r} is not an arm{near(arm, entry.arms)}"
        if not (root / recipe).is_file():
            yield f"recipes.{arm}: no file {recipe}"


def _direction_problems(entry: Entry) -> Iterator[str]:
    direction = entry.direction
    match direction:
        case Open():
            return
        case Wins(winner=winner, over=over):
            for role, arm in (("winner", winner), ("over", over)):
                if arm is not None and arm not in entry.arms:
                    yield f"direction.{role}: {arm!r} is not an arm{near(arm, entry.arms)}"
                    return
            if winner == over:
                yield f"direction: {winner!r} cannot win over itself"
        case Tie():
            if len(entry.arms) < 2:
                yield "direction: a tie needs two arms"
    measures = {measure for arm in entry.arms.values() for measure in arm.scores}
    if direction.measure is not None and direction.measure not in measures:
        yield f"direction.measure: no arm has a score for {direction.measure!r}{near(direction.measure, measures)}"
    elif direction.margin is not None:
        yield from _margin_problems(entry, direction)


def _margin_problems(entry: Entry, direction: Wins | Tie) -> Iterator[str]:
    """Where both scores are known, the margin must be their difference."""
    if isinstance(direction, Wins):
        if direction.over is None or direction.measure is None:
            yield "direction.margin: say over which arm and on which measure"
            return
        high = entry.arms[direction.winner].scores.get(direction.measure)
        low = entry.arms[direction.over].scores.get(direction.measure)
        if not isinstance(high, float | int) or not isinstance(low, float | int):
            return
        difference = high - low
    else:
        measures = {measure for arm in entry.arms.values() for measure in arm.scores}
        difference = max(_spread(entry, each) for each in measures if direction.measure in (None, each))
    if abs(difference - (direction.margin or 0.0)) > ROUNDING:
        yield f"direction.margin: {direction.margin:g}, but the scores of its arms differ by {difference:.4g}"


def _spread(entry: Entry, measure: str) -> float:
    scores = [arm.scores.get(measure) for arm in entry.arms.values()]
    known = [score for score in scores if isinstance(score, float | int)]
    return max(known) - min(known) if known else 0.0


def _meant(name: str, known: Iterable[str]) -> str:
    """The nearest name, if there is one: a hundred ids are no help."""
    words = near(name, known)
    return words if "did you mean" in words else ""


def _known(option: str, word: str | None, known: Iterable[str]) -> None:
    names = list(known)
    if word is not None and word not in names:
        raise CatalogueError(option, f"{word!r} fits no finding{near(word, names)}")
