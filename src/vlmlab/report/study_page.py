"""The page of a study: one self-contained file, drawn from study.json alone.

The same record gives the same bytes. The page fetches nothing and runs no script, and says so in its content policy.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from vlmlab.files import write_text
from vlmlab.records.study import StudyRecord
from vlmlab.report.frame import framed
from vlmlab.report.markup import Markup, join, tag
from vlmlab.report.page import Section
from vlmlab.report.study_arms import arms_section, benchmarks_section, curves_section
from vlmlab.report.study_claims import claims_section, reading_section, ruling
from vlmlab.report.study_costs import budgets_section, cost_section
from vlmlab.report.study_design import again_section, design_section, recipes_section
from vlmlab.report.study_items import items_section
from vlmlab.report.study_record import CONDITIONAL, conditional, read_study
from vlmlab.report.study_trust import gates_section, noise_section
from vlmlab.report.study_words import VERDICTS, state_words
from vlmlab.wording import seconds_words


def write_study_page(folder: Path) -> Path:
    """Write study.html beside study.json and return its path. Raises RunError where the record is not there or bad."""
    path = folder / "study.html"
    write_text(path, study_page(read_study(folder)))
    return path


def study_page(record: StudyRecord) -> str:
    """The whole page as text."""
    sections = [section for section in _sections(record) if section.content is not None]
    links = [tag("a", section.title, attributes={"href": f"#{section.anchor}"}) for section in sections]
    body = tag(
        "body",
        tag("a.skip", "Skip to the claims", attributes={"href": f"#{sections[0].anchor}"}),
        _header(record),
        tag("nav", *links, attributes={"aria-label": "Sections"}),
        tag("main", *map(_section, sections)),
        tag("footer", f"Drawn by vlmlab {record.versions.get('vlmlab', '')} from study.json alone."),
    )
    return framed(f"{record.name} · vlmlab study", body, styles=("study.css",))


def _sections(record: StudyRecord) -> list[Section]:
    return [
        Section("claims", "Claims", claims_section(record)),
        Section("arms", "Arms", arms_section(record)),
        Section("design", "Design", design_section(record)),
        Section("budgets", "Budgets", budgets_section(record)),
        Section("benchmarks", "Benchmarks", benchmarks_section(record)),
        Section("curves", "Learning curves", curves_section(record)),
        Section("items", "Where arms disagree", items_section(record)),
        Section("recipes", "Recipes", recipes_section(record)),
        Section("calibration", "Calibration", gates_section(record)),
        Section("noise", "Noise", noise_section(record)),
        Section("cost", "Cost", cost_section(record)),
        Section("reading", "How to read this page", reading_section(record)),
        Section("again", "Run it again", again_section(record)),
    ]


def _header(record: StudyRecord) -> Markup:
    facts = [
        f"{len(record.arms)} arms, {len(record.seeds)} replicates each",
        f"equal {record.hold}",
        f"{record.cost.runs} runs",
        f"{seconds_words(record.cost.cpu_seconds)} of CPU",
        record.finished[:10],
    ]
    counts = Counter(claim.verdict for claim in record.claims)
    tally = [
        tag("li", tag("span.number", str(counts[verdict])), ruling(verdict)) for verdict in VERDICTS if counts[verdict]
    ]
    held = conditional(record) or any(claim.conditional for claim in record.claims)
    return tag(
        "header",
        tag("p.kind", f"vlmlab study · {record.name}"),
        tag("h1.question", record.question),
        tag("p.about", record.about) if record.about else None,
        tag(
            "div.verdict-panel",
            tag("p.outcome", record.verdict, tag("span.conditional", CONDITIONAL) if held else None),
            tag("ul.tally", *tally, attributes={"aria-label": "Claims by verdict"}) if tally else None,
        ),
        tag("p.facts-line", join([tag("span", fact) for fact in facts], between=" ")),
        _warnings(record),
    )


def _warnings(record: StudyRecord) -> Markup | None:
    words: list[Markup | str] = list(record.notes)
    if not record.complete:
        unfinished = f"The study is not complete: {state_words(record)}. "
        words.insert(0, join([unfinished, tag("code", "vlmlab study run"), " continues it."]))
    if len(record.seeds) == 1:
        words.append("One replicate shows no noise: no interval, and no verdict but “cannot tell”.")
    if not words:
        return None
    return tag("ul.warnings", *(tag("li", note) for note in words), attributes={"aria-label": "Read with this in mind"})


def _section(section: Section) -> Markup:
    name = f"{section.anchor}-title"
    title = tag("h2", section.title, attributes={"id": name})
    return tag("section", title, section.content, attributes={"id": section.anchor, "aria-labelledby": name})
