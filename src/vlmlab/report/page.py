"""The report of a run: one self-contained page, drawn from the record alone.

The same record gives the same bytes. The page fetches nothing and runs no script, and says so in its content policy,
so that nothing inside the data could either.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vlmlab.files import write_text
from vlmlab.records.read import RunRecord, read_run
from vlmlab.report import numbers
from vlmlab.report.frame import framed
from vlmlab.report.gallery import gallery_section
from vlmlab.report.markup import Markup, join, tag
from vlmlab.report.origin import again_section, cost_section, difference_section, provenance_section, refused_section
from vlmlab.report.rates import cost
from vlmlab.report.scores import scores_section, shots_section
from vlmlab.report.stages import ledger_section, stages_section
from vlmlab.report.words import outcome
from vlmlab.wording import count


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page that can be linked to. A section without content is left out."""

    anchor: str
    title: str
    content: Markup | None


def write_report(run: Path) -> Path:
    """Write report.html into the run directory and return its path. Raises RunError where the record is not whole."""
    path = run / "report.html"
    write_text(path, page(read_run(run)))
    return path


def page(run: RunRecord) -> str:
    """The whole page as text."""
    sections = [section for section in _sections(run) if section.content is not None]
    links = [tag("a", section.title, attributes={"href": f"#{section.anchor}"}) for section in sections]
    body = tag(
        "body",
        tag("a.skip", "Skip to the scores", attributes={"href": f"#{sections[0].anchor}"}),
        _header(run),
        tag("nav", *links, attributes={"aria-label": "Sections"}),
        tag("main", *(_section(section) for section in sections)),
        tag(
            "footer",
            f"Drawn by vlmlab {run.provenance.vlmlab} from the record of this run alone. Recipe fingerprint ",
            tag("code", run.fingerprint()),
            ".",
        ),
    )
    return framed(f"{run.name()} · vlmlab", body)


def _sections(run: RunRecord) -> list[Section]:
    evaluation = run.evaluation
    metrics = {} if evaluation is None else {score.benchmark: score.metric for score in evaluation.scores}
    return [
        Section(
            "scores", "Scores", scores_section(evaluation) if evaluation is not None and evaluation.scores else None
        ),
        Section("shots", "Demonstrations", shots_section(evaluation) if evaluation is not None else None),
        Section("gallery", "Seen and said", gallery_section(run.gallery, metrics) if run.gallery else None),
        Section("stages", "Stages", stages_section(run.stages) if run.stages else None),
        Section("ledger", "What trained", ledger_section(run.stages) if run.stages else None),
        Section("recipe", "Recipe", difference_section(run)),
        Section("refused", "Refused samples", refused_section(run)),
        Section("cost", "Cost", cost_section(run)),
        Section("provenance", "Provenance", provenance_section(run)),
        Section("again", "Run it again", again_section(run)),
    ]


def _header(run: RunRecord) -> Markup:
    spent = cost(run)
    parameters = _parameters(run)
    facts = [
        f"{count(parameters)} parameters" if parameters else None,
        f"{len(run.stages)} stages",
        f"{count(sum(stage.record.tokens for stage in run.stages))} tokens",
        f"{numbers.duration(spent.seconds)} of wall time",
        str(run.recipe.get("precision", "")) or None,
    ]
    about = str(run.recipe.get("about", ""))
    return tag(
        "header",
        tag("p.kind", "vlmlab run"),
        tag("h1", run.name()),
        tag("p.about", about) if about else None,
        tag("p.outcome", outcome(run)),
        tag("p.facts-line", join([tag("span", fact) for fact in facts if fact is not None], between=" ")),
    )


def _parameters(run: RunRecord) -> int:
    """Parameters of the model, from the last stage's ledger, without the objective's own parts."""
    if not run.stages:
        return 0
    return sum(row.parameters for row in run.stages[-1].record.ledger if row.component != "objective")


def _section(section: Section) -> Markup:
    title = tag("h2", section.title, attributes={"id": f"{section.anchor}-title"})
    return tag(
        "section",
        title,
        section.content,
        attributes={"id": section.anchor, "aria-labelledby": f"{section.anchor}-title"},
    )
