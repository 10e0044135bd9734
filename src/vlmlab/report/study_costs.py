"""Sections of a study's page: what arms spent, and what the whole study took and how its runs ended."""

from __future__ import annotations

from vlmlab.records.study import OutcomeRecord, StudyRecord
from vlmlab.report import numbers
from vlmlab.report.figures import Part, parts_bar
from vlmlab.report.markup import Column, Markup, join, table, tag
from vlmlab.report.study_figures import spent_bar
from vlmlab.report.study_record import BUDGETS, Budget, arm_name, held_field
from vlmlab.wording import seconds_words


def budgets_section(record: StudyRecord) -> Markup | None:
    """A panel a budget, the held one first: what each arm spent as a bar, what was planned as a line."""
    if not record.arms:
        return None
    held = held_field(record)
    ordered = sorted(BUDGETS, key=lambda budget: budget.field != held)
    panels = [panel for budget in ordered if (panel := _panel(record, budget, held=budget.field == held)) is not None]
    words = join(
        ["Held equal: ", tag("strong", record.hold), ". Arms can be equal in one budget only; here is what each spent."]
    )
    legend = tag(
        "p.legend",
        tag("span", tag("span.key.square.spent"), "spent, mean over replicates"),
        tag("span", tag("span.key.square.spent.held"), "spent of the budget that was held"),
        tag("span", tag("span.key.bar.upright.ink"), "planned"),
    )
    return join([tag("p", words), legend, tag("div.grid.budgets", *panels)])


def _panel(record: StudyRecord, budget: Budget, *, held: bool) -> Markup | None:
    rows = []
    for arm in record.arms:
        spent = None if arm.spent is None else budget.of(arm.spent)
        planned = budget.of(arm.planned)
        if spent is not None or planned is not None:
            rows.append((arm.name, spent, planned))
    most = max((value for _, *values in rows for value in values if value is not None), default=0.0)
    if most <= 0:
        return None
    if len(rows) > 1 and len({_words(budget, spent, planned) for _, spent, planned in rows}) == 1:
        rows = [("every arm", *rows[0][1:])]
    return tag(
        "figure.budget.held" if held else "figure.budget",
        tag("h3", budget.title, " ", tag("span.held-mark", "held equal") if held else None),
        *(_spent(budget, *row, most=most, held=held) for row in rows),
    )


def _words(budget: Budget, spent: float | None, planned: float | None) -> tuple[str, str]:
    return "" if spent is None else budget.words(spent), "" if planned is None else budget.words(planned)


def _spent(
    budget: Budget, arm: str, spent: float | None, planned: float | None, *, most: float, held: bool
) -> Markup:  # fmt: skip
    title = f"{arm}: {budget.title}, "
    title += "not run yet" if spent is None else f"spent {budget.words(spent)}"
    title += "" if planned is None else f", planned {budget.words(planned)}"
    value = tag("span.quiet", "not run") if spent is None else budget.words(spent)
    plan = None
    if planned is not None and (spent is None or budget.words(planned) != budget.words(spent)):
        plan = tag("span.quiet", f" of {budget.words(planned)}")
    return tag(
        "div.spending",
        tag("p", tag("span.arm-name", arm_name(arm)), tag("span.number", value, plan)),
        spent_bar(spent, planned, most=most, title=title, held=held),
    )


def cost_section(record: StudyRecord) -> Markup:
    """What the study took, with and without the store, and every run that did not simply end well."""
    cost = record.cost
    saved = cost.cpu_seconds_without_store - cost.cpu_seconds
    share = saved / cost.cpu_seconds_without_store if cost.cpu_seconds_without_store > 0 else 0.0
    facts = [
        ("runs", numbers.whole(cost.runs)),
        ("stages trained", numbers.whole(cost.stages_trained)),
        ("stages reused", numbers.whole(cost.stages_reused)),
        ("CPU", seconds_words(cost.cpu_seconds)),
        ("CPU without the store", seconds_words(cost.cpu_seconds_without_store)),
        ("saved by the store", numbers.share(max(0.0, share))),
        ("machine", cost.machine),
    ]
    stages = cost.stages_trained + cost.stages_reused
    bar = None
    if stages:
        words = f"{cost.stages_trained} stages trained, {cost.stages_reused} taken from the store"
        parts = [Part("trained", cost.stages_trained), Part("reused", cost.stages_reused)]
        bar = join(
            [tag("p.axis", words), parts_bar([part for part in parts if part.value > 0], title=words)]
        )  # fmt: skip
    listed = tag("dl.provenance", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts))
    return join([listed, bar, _ends(record)])


def _ends(record: StudyRecord) -> Markup:
    odd = [row for row in record.outcomes if row.state != "finished" or row.attempts > 1]
    missing = [(arm.name, seed) for arm in record.arms for seed in arm.missing]
    if not odd and not missing:
        return tag("p", "Every run ended well at its first attempt.")
    recorded = {(row.arm, row.seed) for row in odd if row.purpose == "replicate"}
    rows = [_end_row(row) for row in odd]
    rows += [
        [arm, str(seed), "replicate", tag("span.tag.reused", "missing"), "–", "has not run"]
        for arm, seed in missing
        if (arm, seed) not in recorded
    ]
    words = (
        "Runs that did not simply end well. Divergence is an outcome: it counts as chance and is not tried again. "
        "Faults of the machine are tried again from the last checkpoint; what stays missing is not made up"
    )
    columns = [Column("arm"), Column("seed", numeric=True), Column("purpose"), Column("end")]
    columns += [Column("attempts", numeric=True), Column("reason")]
    return table(words, columns, rows, label="Runs that did not simply end well")


def _end_row(row: OutcomeRecord) -> list[Markup | str]:
    purpose = row.purpose if row.trial is None else f"{row.purpose} at {numbers.setting(row.trial)}"
    state = row.state if row.state == "finished" else tag("span.tag.reused", row.state)
    return [row.arm, str(row.seed), purpose, state, str(row.attempts), row.reason or "–"]
