"""vlmlab findings: what papers found, and what small studies say about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmlab.cli.options import JsonOption, OutOption
from vlmlab.errors import CatalogueError

if TYPE_CHECKING:
    from vlmlab.study.catalogue import Catalogue

WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID...]", help="Findings to show in full, as in V-2; or `run ID`; or `report`. Without any: the list."
    ),
]
PaperOption = Annotated[str | None, typer.Option("--paper", metavar="NAME", help="Findings of one paper, as in VILA.")]
FamilyOption = Annotated[
    str | None, typer.Option("--family", metavar="NAME", help="Findings of one kind of question, as in connector.")
]
TestableOption = Annotated[
    str | None, typer.Option("--testable", metavar="yes|partly|no", help="Whether a small study can test them.")
]


def findings_command(
    words: WordsArgument = None, paper: PaperOption = None, family: FamilyOption = None,
    testable: TestableOption = None, out: OutOption = None, json: JsonOption = False,
) -> None:  # fmt: skip
    """List published findings with their last verdicts; show some in full; run one's study; write the page."""
    import sys

    from vlmlab import __version__
    from vlmlab.study.catalogue import load_catalogue
    from vlmlab.study.evidence import RUNS, SHIPPED, findings_record, read_evidence, unknown_findings

    verb, *rest = words or ["list"]
    catalogue = load_catalogue()
    if verb == "run":
        _run(rest, catalogue)
        return
    evidence = read_evidence(runs=RUNS, shipped=SHIPPED)
    for problem in (*evidence.unreadable, *unknown_findings(catalogue, evidence)):
        print(f"vlmlab: {problem}", file=sys.stderr)
    record = findings_record(catalogue, evidence, vlmlab=__version__)
    if verb == "report":
        if rest:
            raise CatalogueError("report", f"takes no ids; found {' '.join(rest)}")
    else:
        chosen = [catalogue.get(name) for name in words] if words else list(catalogue.findings.values())
        fitting = catalogue.select(paper=paper, family=family, testable=testable)
        names = [finding.id for finding in chosen if finding in fitting]
        by_id = {row.id: row for row in record.rows}
        record = record.model_copy(update={"rows": [by_id[name] for name in dict.fromkeys(names)]})
    if json:
        typer.echo(record.model_dump_json(indent=1))
    elif verb == "report":
        from vlmlab.files import write_text
        from vlmlab.report.findings_page import findings_page
        from vlmlab.report.findings_words import findings_outcome

        page = (out or Path("runs")) / "findings.html"
        write_text(page, findings_page(record))
        typer.echo(f"{findings_outcome(record)}\nreport: {page}")
    elif words:
        from vlmlab.report.findings_words import finding_text

        typer.echo("\n\n".join(map(finding_text, record.rows)) or "no finding fits these filters")
    else:
        from rich.console import Console

        from vlmlab.report.findings_words import findings_outcome, findings_table, listing_notes

        console = Console()
        if record.rows:
            console.print(findings_table(record.rows, width=console.width))
        for note in (findings_outcome(record), *listing_notes(record)):
            console.print(note, markup=False, highlight=False)


def _run(rest: list[str], catalogue: Catalogue) -> None:
    if len(rest) != 1:
        raise CatalogueError(
            "run", f"expected one id, as in `vlmlab findings run V-2`; found {' '.join(rest) or 'none'}"
        )
    finding = catalogue.get(rest[0])
    if finding.entry.study is None:
        lacking = f"; recipes lack {', '.join(finding.entry.missing)}" if finding.entry.missing else ""
        raise CatalogueError(finding.id, f"no study tests it yet{lacking}")
    call_verb("study", "run", str(catalogue.folder.parent / finding.entry.study))


def call_verb(*arguments: str) -> None:
    """Call another verb as its command line would: `findings run ID` is `study run` of the finding's study."""
    from typer.main import get_command

    from vlmlab.cli.main import app

    get_command(app).main(args=list(arguments), prog_name="vlmlab", standalone_mode=False)
