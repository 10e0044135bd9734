"""Prospects: what a design could find out about each claim, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from vlmlab.records.design import ProspectRecord
from vlmlab.records.study import ComponentsRecord
from vlmlab.study.claims import arms_of, claim_words, contrasts, level
from vlmlab.study.mistakes import unit_of
from vlmlab.study.noise import KnownNoise
from vlmlab.study.statistics.power import (
    PROBABLE,
    Noise,
    equivalence_power,
    minimal_detectable_effect,
    power,
    replicates_needed,
    scaled,
)
from vlmlab.study.study import Claim, Crossing, Exceeds, Study, Within

HOPELESS = 0.5
"""An equivalence that would be found less often than this, with no difference at all, is refused."""


def prospects(study: Study, noise: Mapping[str, KnownNoise | None]) -> list[ProspectRecord]:
    """Every claim with its power at the declared effect, as if all of Holm's steps were still to be taken.

    `noise` holds that of a contrast of unit length, by measure.
    """
    single = level(study, study.looks) / max(1, len(study.claims))
    return [
        _prospect(study, name, claim, noise.get(claim.measure), level=single) for name, claim in study.claims.items()
    ]


def hopeless(prospect: ProspectRecord, study: Study) -> str | None:
    """Why an equivalence cannot be settled by this design, or None."""
    if prospect.kind != "within" or not prospect.measured or prospect.power is None or prospect.power >= HOPELESS:
        return None
    more = "no number of replicates" if prospect.needed is None else f"{prospect.needed} replicates"
    margin = "" if prospect.detectable is None else f", or a margin of {prospect.detectable:.1f}"
    return (
        f"claims.{prospect.name}.margin: {prospect.effect:g} {prospect.unit} cannot be settled by {study.replicates} "
        f"replicates: even without any difference only {prospect.power:.0%} of such studies would find it; "
        f"{more}{margin} would probably do"
    )


def _prospect(study: Study, name: str, claim: Claim, known: KnownNoise | None, *, level: float) -> ProspectRecord:
    noise = None if known is None else _noise_of(study, claim, known.noise.cautious())
    size = claim.margin if isinstance(claim, Within) else claim.effect
    chance = smallest = needed = None
    if noise is not None:
        chance, smallest, needed = _seen(claim, noise, replicates=study.replicates, level=level)
    return ProspectRecord(
        name=name,
        kind=claim.kind,
        words=claim_words(claim, claim.measure),
        measure=claim.measure,
        unit="nats" if unit_of(study, claim.measure) == "nats" else "points",
        effect=size,
        level=level,
        noise=None if noise is None else ComponentsRecord(**noise.components._asdict()),
        measured=known is not None and known.measured,
        power=chance,
        detectable=smallest,
        needed=needed,
    )


def _noise_of(study: Study, claim: Claim, unit: Noise) -> Noise:
    """Of the claim's widest contrast."""
    length = max(sqrt(sum(weight**2 for weight in contrast.values())) for contrast in contrasts(claim).values())
    noise = scaled(unit, length)
    if study.pairing == "paired":
        return noise
    arms = len(arms_of(claim)) / len(contrasts(claim))
    return Noise(noise.components, noise.degrees_of_freedom, arms, noise.item_degrees_of_freedom)


def _seen(claim: Claim, noise: Noise, *, replicates: int, level: float) -> tuple[float, float, int | None]:
    """Power, the smallest effect that would probably be decided, and the replicates that the declared one needs."""
    match claim:
        case Within(margin=margin):
            return (
                equivalence_power(margin, noise, replicates=replicates, level=level),
                _smallest_margin(noise, replicates=replicates, level=level),
                replicates_needed(margin, noise, level=level, kind="equivalence"),
            )
        case Crossing(effect=effect):
            # Both must be found; independent at worst.
            each = power(effect, noise, replicates=replicates, level=level)
            wanted = sqrt(PROBABLE)
            return (
                each**2,
                minimal_detectable_effect(noise, replicates=replicates, level=level, wanted=wanted),
                replicates_needed(effect, noise, level=level, wanted=wanted),
            )
        case _:
            by = claim.by if isinstance(claim, Exceeds) else 0.0
            return (
                power(claim.effect - by, noise, replicates=replicates, level=level),
                by + minimal_detectable_effect(noise, replicates=replicates, level=level),
                replicates_needed(claim.effect - by, noise, level=level),
            )


def _smallest_margin(noise: Noise, *, replicates: int, level: float) -> float:
    """The smallest margin inside which equal arms would probably be found."""
    low, high = 0.0, max(1e-9, noise.standard_error(replicates))
    while equivalence_power(high, noise, replicates=replicates, level=level) < PROBABLE:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        enough = equivalence_power(middle, noise, replicates=replicates, level=level) >= PROBABLE
        low, high = (low, middle) if enough else (middle, high)
    return high
