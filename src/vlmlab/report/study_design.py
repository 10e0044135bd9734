"""Sections of a study's page: how it was designed, how arms differ, and how to run it again."""

from __future__ import annotations

import json
from typing import Any

from vlmlab.records.study import ArmRecord, StudyRecord
from vlmlab.report import numbers
from vlmlab.report.markup import Column, Markup, join, table, tag
from vlmlab.report.study_record import CONDITIONAL, arm_state, seeds_words


def design_section(record: StudyRecord) -> Markup:
    """What was compared, what was held equal, and what varied from one replicate to the next."""
    facts = [
        ("Held equal", record.hold),
        ("Replicates", _replicates(record)),
        ("Compared", _pairing(record)),
        ("Shared stages", _sharing(record)),
        (
            "Learning rate",
            "Every arm trains at the common one; none was tuned, so that an arm may lose for want of its own rate."
            if record.tuned is None
            else record.tuned,
        ),
        ("Base recipe", record.base),
        ("Confidence", f"{numbers.share(record.confidence)}, over all claims together"),
    ]
    pairs = (part for name, words in facts for part in (tag("dt", name), tag("dd", words)))
    return join([tag("dl.entry", *pairs), _arms(record)])


def _replicates(record: StudyRecord) -> str:
    each = f"{len(record.seeds)} of each arm, {seeds_words(record.seeds)}. "
    if len(record.seeds) == 1:
        return each + "One replicate has no noise to be measured: no interval and no verdict can come of it."
    return each + "A replicate draws anew everything that a seed decides."


def _pairing(record: StudyRecord) -> str:
    if record.pairing == "paired":
        return (
            "In pairs: replicates with one seed share stages, data order and the start of every parameter that both "
            "arms have, so that only what the recipes change differs."
        )
    return "Independently: arms share no seed, and their replicates are two samples (Welch)."


def _sharing(record: StudyRecord) -> str:
    if record.sharing == "within":
        return "Between arms within a replicate, never from one replicate to another: their noise is in the intervals."
    return (
        "Across replicates too: what no arm changes was trained once. That is cheap, and every result is "
        f"{CONDITIONAL}."
    )


def _arms(record: StudyRecord) -> Markup:
    axes = list(dict.fromkeys(axis for arm in record.arms for axis in arm.levels))
    solved = list(dict.fromkeys(field for arm in record.arms for field in arm.solved))
    columns = [
        Column("arm"),
        *(Column(axis) for axis in axes if len(axes) > 1),
        Column("differs in"),
        *(Column(field, numeric=True) for field in solved),
        Column("replicates"),
    ]
    rows = []
    for arm in record.arms:
        rows.append(
            [
                _arm_name(arm, record),
                *(arm.levels.get(axis, "–") for axis in axes if len(axes) > 1),
                _fields(arm),
                *(_value(arm.solved.get(field)) for field in solved),
                tag("span.tag.reused", arm_state(arm)) if arm.diverged or arm.missing else arm_state(arm),
            ]
        )
    words = "Arms. "
    if solved:
        words += "Fields with numbers were solved for each arm, so that the budget is equal, or chosen by tuning"
    return table(words, columns, rows, label="Arms")


def _arm_name(arm: ArmRecord, record: StudyRecord) -> Markup:
    reference = tag("span.metric", " reference") if arm.name == record.reference else None
    return join([arm.name, reference])


def _fields(arm: ArmRecord) -> Markup | str:
    if not arm.differences:
        return "nothing"
    if len(arm.differences) <= 2:
        return join([tag("code", path) for path, _, _ in arm.differences], between=", ")
    return f"{len(arm.differences)} fields"


def _value(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool() | str():
            return str(value)
        case int():
            return numbers.whole(value)
        case float():
            return numbers.setting(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def recipes_section(record: StudyRecord) -> Markup:
    """A row a field in which any arm differs from the reference; a dot where an arm is as the reference."""
    before: dict[str, str] = {}
    changed: dict[str, dict[str, str]] = {}
    for arm in record.arms:
        for path, reference, here in arm.differences:
            before.setdefault(path, reference)
            changed.setdefault(path, {})[arm.name] = here
    if not before:
        return tag("p", "The arms' recipes do not differ.")
    others = [arm.name for arm in record.arms if arm.name != record.reference]
    columns = [Column("field"), Column(record.reference), *map(Column, others)]
    rows = []
    for path, reference in before.items():
        cells = (
            tag("code.changed", changed[path][name]) if name in changed[path] else tag("span.quiet", "·")
            for name in others
        )
        rows.append([tag("code", path), tag("code", reference), *cells])
    words = (
        f"Every field in which an arm's recipe differs from that of the reference, {record.reference}; · is the same"
    )
    return join(
        [
            tag("p", "Everything that is not in this table is equal in all arms, but for the seed."),
            table(words, columns, rows, label="How recipes differ"),
        ]
    )


def again_section(record: StudyRecord) -> Markup:
    """Commands, versions and where the record stands."""
    commands = tag("pre", tag("code", "\n".join(record.rerun))) if record.rerun else None
    words = (
        "The first command continues a study that was stopped and changes nothing in one that is complete. Records of "
        "this page: study.json (everything here), table.csv (a row for each arm, replicate and measure), arms/ (every "
        "run with its own page)."
    )
    versions = [("finished", record.finished[:19].replace("T", " ")), *record.versions.items()]
    return join(
        [
            tag("p", words),
            commands,
            tag("dl.provenance", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in versions)),
        ]
    )
