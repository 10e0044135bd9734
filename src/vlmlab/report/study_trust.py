"""Sections of a study's page: whether its measures can show a difference at all, and where the noise comes from."""

from __future__ import annotations

from statistics import NormalDist

from vlmlab.records.study import ComponentsRecord, GateRecord, StudyRecord
from vlmlab.report import numbers
from vlmlab.report.figures import Part, parts_bar
from vlmlab.report.markup import Column, Markup, join, table, tag
from vlmlab.report.study_figures import gauge
from vlmlab.report.study_record import unit_of
from vlmlab.report.study_words import level_words

EFFECTS = {"points": (1.0, 2.0, 5.0, 10.0), "nats": (0.01, 0.02, 0.05, 0.1)}
"""Effect sizes of the table of replicates."""
POWER = 0.8


def gates_section(record: StudyRecord) -> Markup | None:
    """A gauge a measure."""
    if not record.gates:
        return None
    words = (
        f"A measure can show a difference only where the reference arm, {record.reference}, is neither near guessing "
        "nor near the best that anybody could read from the pixels. The band is what was asked for; a measure whose "
        "reference stands outside it, or that misses an arm which must be worse, is not measurable here."
    )
    return join([tag("p", words), tag("div.grid", *(_gate(gate, record) for gate in record.gates))])


def _gate(gate: GateRecord, record: StudyRecord) -> Markup:
    unit = unit_of(record, gate.measure)
    facts = [
        ("blank", gate.blank),
        ("reference", gate.reference),
        ("oracle", gate.oracle),
    ]
    share = None if gate.share is None else f" ({numbers.share(gate.share)} of the way)"
    values = [
        f"{name} {level_words(value, unit)}{share or '' if name == 'reference' else ''}"
        for name, value in facts
        if value is not None
    ]
    mark = tag("span.gate-mark.passed", "✓ passed") if gate.passed else tag("span.gate-mark.failed", "✗ failed")
    return tag(
        "figure.gate",
        tag("h3", gate.measure, " ", mark),
        gauge(gate),
        tag("p.numbers", " · ".join(values)) if values else None,
        tag("p", gate.words),
        _control(gate),
    )


def _control(gate: GateRecord) -> Markup:
    if gate.control is None:
        return tag("p.quiet", "No positive control: no arm was declared that must be worse.")
    match gate.control_detected:
        case True:
            return tag("p", "Positive control: ", tag("strong", gate.control), " must be worse, and was found to be. ✓")
        case False:
            return tag(
                "p", "Positive control: ", tag("strong", gate.control), " must be worse, and was not found so. ✗"
            )
        case None:
            return tag("p.quiet", f"Positive control: {gate.control} must be worse; not measured yet.")


def noise_section(record: StudyRecord) -> Markup | None:
    """Standard deviations by source, as a bar of variances, and what they mean for the number of replicates."""
    if not record.noise:
        return None
    rows = [
        [
            measure,
            tag("div.share-bar", _shares(measure, sources)),
            *(f"{value:.3g}" for value in (sources.seed, sources.item, sources.residual)),
            unit_of(record, measure),
        ]
        for measure, sources in record.noise.items()
    ]
    columns = [Column("measure"), Column("share of the variance")]
    columns += [Column(name, numeric=True) for name in ("seeds", "items", "rest")]
    legend = tag(
        "p.legend",
        *(
            tag("span", tag(f"span.key.square.part{index}"), words)
            for index, words in enumerate(("training seeds", "test items", "rest: seeds and items together"))
        ),
    )
    words = (
        "Standard deviations of one arm by source, pooled over arms. More replicates shrink the first and the last, "
    )
    words += "more items the second"
    first = table(words, [*columns, Column("unit")], rows, label="Noise by source")
    return join([legend, first, _replicates(record)])


def _shares(measure: str, sources: ComponentsRecord) -> Markup | None:
    parts = {"seeds": sources.seed**2, "items": sources.item**2, "rest": sources.residual**2}
    total = sum(parts.values())
    if total <= 0:
        return None
    title = f"{measure}: " + ", ".join(f"{name} {numbers.share(value / total)}" for name, value in parts.items())
    return parts_bar([Part(name, value) for name, value in parts.items()], title=title)


def _replicates(record: StudyRecord) -> Markup | None:
    """Rough counts by effect size; the claims have the exact ones at the effect that they declare."""
    tables = []
    for unit, effects in EFFECTS.items():
        chosen = {measure: sources for measure, sources in record.noise.items() if unit_of(record, measure) == unit}
        if not chosen:
            continue
        rows = [
            [measure, *(str(rough_replicates(sources, effect)) for effect in effects)]
            for measure, sources in chosen.items()
        ]
        columns = [Column("replicates to find"), *(Column(f"{effect:g} {unit}", numeric=True) for effect in effects)]
        tables.append(table("", columns, rows, label=f"Replicates by effect size in {unit}"))
    if not tables:
        return None
    words = (
        f"How many replicates of each arm would probably ({numbers.share(POWER)}) find an effect of a given size. "
        "Rough: for one claim about two arms that share nothing, from the seeds' noise alone. Pairing needs fewer; "
        "several claims, or few test items, need more."
    )
    return join([tag("p", words), *tables])


def rough_replicates(sources: ComponentsRecord, effect: float) -> int:
    """Replicates of each of two independent arms that find `effect` with a power of 80 % at a two-sided 5 %.

    The normal formula with the correction for an estimated variance (Guenther, 1981), at least two.

    >>> rough_replicates(ComponentsRecord(seed=3.0, item=0.7, residual=0.0), 5.0)
    7
    """
    normal = NormalDist()
    z = normal.inv_cdf(0.975)
    variance = sources.seed**2 + sources.residual**2
    exact = 2 * (z + normal.inv_cdf(POWER)) ** 2 * variance / effect**2 + z**2 / 4
    return max(2, -int(-exact // 1))
