"""A design in words for a terminal of 80 columns: what differs, what is shared and spent, what could be found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vlmlab.records.design import DesignRecord, ProspectRecord
from vlmlab.records.study import ArmRecord, BudgetRecord
from vlmlab.report import numbers
from vlmlab.study.design import ABSENT
from vlmlab.study.statistics.power import PROBABLE
from vlmlab.wording import count, flops_words, seconds_words

_BUDGETS: dict[str, tuple[str, Callable[[BudgetRecord], float]]] = {
    "updates": ("updates", lambda each: each.updates),
    "examples": ("exam-\nples", lambda each: each.examples),
    "images": ("images", lambda each: each.images),
    "supervised_tokens": ("super-\nvised", lambda each: each.supervised_tokens),
    "positions": ("posi-\ntions", lambda each: each.positions),
    "patches": ("patches", lambda each: each.patches),
    "stage_flops": ("stage\nFLOP", lambda each: each.stage_flops),
    "total_flops": ("total\nFLOP", lambda each: each.total_flops),
}
MOST_DIFFERENCES = 6
"""Of one arm that are shown; --json has all."""


def design_words(record: DesignRecord) -> RenderableType:
    """The whole design."""
    return Group(*_parts(record))


def _parts(record: DesignRecord) -> Iterator[RenderableType]:
    yield Text(record.question, style="bold")
    seeds = f"seeds {record.seeds[0]} to {record.seeds[-1]}"
    arms = "1 arm" if len(record.arms) == 1 else f"{len(record.arms)} arms"
    yield Text(
        f"{record.name} on {record.base}: {arms}, {len(record.seeds)} replicates each ({seeds}), {record.pairing}",
        style="dim",
    )
    yield from _section("Arms", _arms(record))
    yield from _section(f"Budget of {', '.join(record.stages)}: {_held(record)}", _budgets(record))
    yield from _section("Stages", _stages(record))
    yield _cost(record)
    if record.claims:
        yield from _section("Claims", _claims(record))
        yield Text(
            f"Power: the chance to decide at the declared effect (of an equivalence: with no difference at all), for "
            f"{numbers.share(record.confidence)} over all claims. Detectable and needed: the smallest effect and the "
            f"replicates for a power of {numbers.share(PROBABLE)}.",
            style="dim",
        )
    if record.tuned is not None:
        yield Text(f"\ntuned: {record.tuned}")
    if record.notes:
        yield Text()
        yield from (Text(f"note: {note}") for note in record.notes)


def _section(title: str, content: RenderableType) -> Iterator[RenderableType]:
    yield Text(f"\n{title}", style="bold")
    yield content


def _table(*columns: str) -> Table:
    listing = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for place, name in enumerate(columns):
        listing.add_column(name, justify="right" if place else "left", vertical="bottom")
    return listing


def _arms(record: DesignRecord) -> Table:
    listing = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    listing.add_column("arm", no_wrap=True)
    listing.add_column(f"differs from {record.reference} in", overflow="fold")
    for arm in record.arms:
        listing.add_row(arm.name, _differences(arm, record))
    return listing


def _differences(arm: ArmRecord, record: DesignRecord) -> Text:
    if arm.name == record.reference:
        return Text("the reference", style="dim")
    lines = Text()
    for number, (path, before, here) in enumerate(arm.differences[:MOST_DIFFERENCES]):
        solved = " (solved)" if path in arm.solved else ""
        lines.append("\n" if number else "").append(f"{path}: ").append(
            "none" if here == ABSENT else here, style="bold"
        )
        lines.append("" if before == ABSENT else f" instead of {before}", style="dim").append(solved, style="dim")
    more = len(arm.differences) - MOST_DIFFERENCES
    return lines.append(f"\nand {more} more", style="dim") if more > 0 else lines


def _held(record: DesignRecord) -> str:
    solved = "" if record.free is None else f", {record.free} solved for it"
    return f"{record.budget.replace('_', ' ')} held equal{solved}"


def _budgets(record: DesignRecord) -> Table:
    """Every budget side by side; what is not equal stands out."""
    listing = _table(
        "arm", *(f"{title}{' =' if name == record.budget else ''}" for name, (title, _) in _BUDGETS.items())
    )
    reference = record.arms[0].planned
    for arm in record.arms:
        cells = []
        for name, (_, of) in _BUDGETS.items():
            here, there = of(arm.planned), of(reference)
            equal = abs(here - there) <= record.tolerance * abs(there)
            style = "bold green" if name == record.budget else "" if equal else "yellow"
            cells.append(Text(count(here).replace(" ", ""), style=style))
        listing.add_row(arm.name, *cells)
    return listing


def _stages(record: DesignRecord) -> Table:
    listing = _table("stage", "trained", "without store", "time", "without store")
    for stage in record.cost.stages:
        shared = stage.trained < stage.runs
        listing.add_row(
            stage.stage,
            Text(f"{stage.trained:,}", style="bold green" if shared else ""),
            f"{stage.runs:,}",
            seconds_words(stage.seconds),
            seconds_words(stage.seconds_without_store),
        )
    cost = record.cost
    listing.add_section()
    listing.add_row(
        "all",
        f"{cost.stages_trained:,}",
        f"{cost.stages_asked:,}",
        seconds_words(cost.seconds),
        seconds_words(cost.seconds_without_store),
    )
    return listing


def _cost(record: DesignRecord) -> Text:
    cost = record.cost
    own = list(cost.own_seconds.values())
    least, most = seconds_words(min(own)), seconds_words(max(own))
    spread = least if least == most else f"{least} to {most}"
    trials = f", {cost.trials} of them tuning trials" if cost.trials else ""
    price = f", price {cost.price:.2f}" if cost.price else ""
    words = Text(f"\nOn {cost.machine}: {seconds_words(cost.seconds)} one after the other", style="bold")
    words.append(
        f" for {cost.runs} runs{trials} ({flops_words(cost.flops)}; the store saves {_saved(record)}{price}). "
        f"A replicate of one arm takes {spread} after the stages that it shares. "
        f"Answering {cost.prompts:,} prompts comes on top.",
        style="not bold",
    )
    if cost.chosen_seconds:
        words.append(
            f" Up to {seconds_words(cost.chosen_seconds)} more where arms choose another value than the common one, "
            "at which they run too; and more trials where the grid is widened.",
            style="not bold",
        )
    if cost.measured is not None:
        words.append(
            f" Its last run took {seconds_words(cost.measured.cpu_seconds)} of CPU time on {cost.measured.machine}.",
            style="not bold",
        )
    return words


def _saved(record: DesignRecord) -> str:
    cost = record.cost
    saved = cost.seconds < cost.seconds_without_store
    return numbers.share(1 - cost.seconds / cost.seconds_without_store) if saved else "nothing"


def _claims(record: DesignRecord) -> Table:
    listing = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), expand=True)
    listing.add_column("claim", ratio=1)
    for name in ("declared", "power", "detect-\nable", "needed"):
        listing.add_column(name, justify="right", vertical="bottom")
    for claim in record.claims:
        listing.add_row(
            Text.assemble(claim.name, (f"\n{claim.words}", "dim")),
            f"{_amount(claim.effect, claim)}{'' if claim.unit == 'points' else ' nats'}",
            _power(claim),
            "?" if claim.detectable is None else _amount(claim.detectable, claim),
            _needed(claim),
        )
    return listing


def _amount(value: float, claim: ProspectRecord) -> str:
    sign = "±" if claim.kind == "within" else ""
    return f"{sign}{value:.3g}" if claim.unit == "nats" else f"{sign}{value:.1f}"


def _power(claim: ProspectRecord) -> Text:
    if claim.power is None:
        return Text("?", style="yellow")
    assumed = "" if claim.measured else " ?"
    return Text(f"{numbers.share(claim.power)}{assumed}", style="green" if claim.power >= PROBABLE else "yellow")


def _needed(claim: ProspectRecord) -> str:
    if claim.power is None:
        return "?"
    return "too many" if claim.needed is None else f"{claim.needed}"
