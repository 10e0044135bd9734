"""What a study says: what each verdict means, its numbers in words, and its summary for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vlmlab.records.study import ClaimRecord, StudyRecord, Verdict
from vlmlab.report import numbers
from vlmlab.report.findings_words import effect_words
from vlmlab.report.study_record import CONDITIONAL, conditional, progress

VERDICTS: tuple[Verdict, ...] = (
    "holds",
    "reversed",
    "equivalent",
    "cannot tell",
    "not measurable",
    "depends on the learning rate",
)
KINDS: dict[Verdict, str] = {
    "holds": "holds",
    "reversed": "reversed",
    "equivalent": "equivalent",
    "cannot tell": "cannot-tell",
    "not measurable": "not-measurable",
    "depends on the learning rate": "depends",
}
"""Classes in the style sheet."""
_STYLES: dict[Verdict, str] = {
    "holds": "bold green",
    "reversed": "bold red",
    "equivalent": "bold blue",
    "cannot tell": "yellow",
    "not measurable": "dim",
    "depends on the learning rate": "magenta",
}


def meaning(verdict: Verdict, *, confidence: float) -> str:
    """The verdict explained in a sentence or two."""
    inside = numbers.share(2 * confidence - 1)
    match verdict:
        case "holds":
            return "The whole interval lies on the claim's side of zero: more than seeds and items explain."
        case "reversed":
            return "The whole interval lies on the other side of zero: the opposite of the claim was found."
        case "equivalent":
            return (
                f"The {inside} interval lies inside the margin that was declared beforehand: a difference, if there is "
                "one, is smaller than what was said to matter."
            )
        case "cannot tell":
            return (
                "The interval allows both sides. This is not a tie: there are too few replicates, and the claim says "
                "how many would probably decide."
            )
        case "not measurable":
            return (
                "Calibration failed: the questions are too easy or too hard for the reference arm, or an arm that must "
                "be worse was not found to be. Nothing is said about the claim, least of all that it is a tie."
            )
        case "depends on the learning rate":
            return (
                "With every arm at its own tuned learning rate the verdict is another one than at the common rate: the "
                "answer is about learning rates before it is about designs."
            )


def interval_meaning(record: StudyRecord) -> str:
    """What every interval of the page holds, in a sentence or two."""
    share = numbers.share(record.confidence)
    noise = (
        f"Intervals hold {share} and include two kinds of noise: another training seed for every stage, and other "
        "test items of the same kind."
    )
    if conditional(record):
        noise = (
            f"Intervals hold {share} and include other test items and another training seed for the stages in which "
            f"arms differ. Stages that no arm changes were trained once for all replicates, and their noise is not in "
            f"the intervals: every result is {CONDITIONAL}."
        )
    return noise


def estimate_words(claim: ClaimRecord) -> str:
    """`+8.3 points`, or that nothing was measured."""
    return "not measured" if claim.estimate is None else f"{effect_words(claim.estimate, claim.unit)} {claim.unit}"


def interval_words(interval: tuple[float, float] | None, unit: str) -> str:
    """`+3.1 to +13.5`, or nothing."""
    return "" if interval is None else f"{effect_words(interval[0], unit)} to {effect_words(interval[1], unit)}"


def level_words(value: float, unit: str) -> str:
    """A measure's level: points with one decimal, nats with three."""
    return numbers.score(value) if unit == "points" else f"{value:.3f}".replace("-", numbers.MINUS)


def level_interval(interval: tuple[float, float] | None, unit: str) -> str:
    """An interval of levels, or nothing."""
    return "" if interval is None else f"{level_words(interval[0], unit)} to {level_words(interval[1], unit)}"


def needed_words(claim: ClaimRecord) -> str | None:
    """How many replicates would probably decide, where the verdict does not."""
    if claim.needed is None or claim.verdict != "cannot tell":
        return None
    more = claim.needed - claim.replicates
    beyond = f", {more} more than there are" if more > 0 else ""
    if claim.margin is not None:
        within = f"{claim.margin:g} {claim.unit}"
        return f"{claim.needed} replicates{beyond}, would probably show two equal arms within {within}"
    declared = effect_words(claim.effect, claim.unit).removeprefix("+")
    return f"{claim.needed} replicates{beyond}, would probably decide at the declared effect of {declared} {claim.unit}"


def state_words(record: StudyRecord) -> str:
    """Whether the study is whole: `15 of 20 replicates ended; 5 missing`."""
    done = progress(record)
    parts = [f"{done.ended} of {done.planned} replicates ended"]
    if done.diverged:
        parts.append(f"{done.diverged} of them diverged and count as chance")
    if done.missing:
        parts.append(f"{done.missing} missing")
    return "; ".join(parts)


def study_summary(record: StudyRecord) -> RenderableType:
    """The study for a terminal of 80 columns: the verdict, a line a claim, and what a reader must know."""
    parts: list[RenderableType] = [Text(record.question, style="dim"), Text(record.verdict, style="bold"), Text()]
    if record.claims:
        parts.append(_claims_table(record))
    for claim in record.claims:
        if (words := needed_words(claim)) is not None:
            parts.append(Text(f"{claim.name}: {words}"))
    if conditional(record) or any(claim.conditional for claim in record.claims):
        parts.append(Text(f"* {CONDITIONAL}: shared stages were trained once for all replicates", style="yellow"))
    if not record.complete:
        parts.append(Text(f"not complete: {state_words(record)}", style="yellow"))
    parts += [Text(f"note: {note}") for note in record.notes]
    return Group(*parts)


def _claims_table(record: StudyRecord) -> Table:
    listing = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), expand=True)
    listing.add_column("claim", ratio=1)
    listing.add_column("effect", justify="right", no_wrap=True)
    listing.add_column(numbers.share(record.confidence), justify="right", no_wrap=True, style="dim")
    listing.add_column("verdict", max_width=16)
    for claim in record.claims:
        mark = "*" if claim.conditional or conditional(record) else ""
        listing.add_row(
            Text.assemble(claim.name, (f"\n{claim.words}", "dim")),
            estimate_words(claim),
            interval_words(claim.interval, claim.unit),
            Text(claim.verdict + mark, style=_STYLES[claim.verdict]),
        )
    return listing
