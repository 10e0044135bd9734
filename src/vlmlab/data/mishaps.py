"""Bad samples: skipped, counted and named, until there are too many of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlmlab.errors import DataError
from vlmlab.recipe.source import BadSamples
from vlmlab.records.run import Refusals

SHARE_AFTER = 200
"""Samples of a source that are read before the share of refused ones is judged."""

NAMED = 5
"""Refused samples that are named, in the record and in the error."""

LONGEST = 400
"""Characters of a key or reason that are kept."""


class Skipped(DataError):
    """A good sample that the recipe's own limits leave out, such as a page with too many images.

    It is counted and named, and many in a row stop the run, but it does not count against the share of bad samples.
    """


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one sample was not used. `fatal` ends the run at once."""

    key: str
    reason: str
    skipped: bool = False
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """How one source has fared; plain data, part of the loader's state."""

    read: int = 0
    refused: int = 0
    bad: int = 0
    """Refused and not merely skipped."""
    in_a_row: int = 0
    examples: tuple[tuple[str, str], ...] = ()
    """(key, reason) of the first few."""


@dataclass(slots=True)
class Mishaps:
    """The counts of every source, in the order of the draws, so that they are the same for any number of workers."""

    policy: BadSamples
    counts: dict[str, Count] = field(default_factory=dict)
    last: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def used(self, source: str) -> None:
        """Count a sample that was used."""
        count = self.counts.get(source, Count())
        self.counts[source] = Count(count.read + 1, count.refused, count.bad, 0, count.examples)

    def refused(self, source: str, refusal: Refusal) -> None:
        """Count a sample that was not; raises DataError, naming the last ones, when there are too many."""
        if refusal.fatal:
            raise DataError(refusal.key, refusal.reason)
        count = self.counts.get(source, Count())
        named = (_writable(refusal.key), _writable(refusal.reason))
        new = named not in count.examples and len(count.examples) < NAMED
        examples = (*count.examples, named) if new else count.examples
        count = Count(
            count.read + 1, count.refused + 1, count.bad + (not refusal.skipped), count.in_a_row + 1, examples
        )
        self.counts[source] = count
        # A short source comes back to its bad samples in every epoch: each is named once.
        self.last[source] = [*(other for other in self.last.get(source, []) if other != named), named][-NAMED:]
        if count.in_a_row > self.policy.in_a_row:
            raise self._error(
                source, f"{count.in_a_row} samples refused in a row; at most {self.policy.in_a_row} may be", "in_a_row"
            )
        if count.read >= SHARE_AFTER and count.bad > self.policy.share * count.read:
            found = f"{count.bad} of {count.read} samples refused; at most a share of {self.policy.share:g} may be"
            raise self._error(source, found, "share")

    def _error(self, source: str, found: str, name: str) -> DataError:
        listed = "".join(f"\n  {key}: {reason}" for key, reason in self.last[source])
        return DataError(
            f"data.sources.{source}",
            f"{found}. Mend or remove them, or raise data.bad_samples.{name}. The last ones:{listed}",
        )

    def summary(self) -> dict[str, Refusals]:
        """The record: by source, what was read and refused, and why."""
        return merge_refusals([self.counts])


def merge_refusals(streams: Sequence[Mapping[str, Count]]) -> dict[str, Refusals]:
    """The counts of several streams as they stand in the record of a stage."""
    merged: dict[str, Refusals] = {}
    for name in dict.fromkeys(name for counts in streams for name in counts):
        mine = [counts[name] for counts in streams if name in counts]
        named = dict.fromkeys(example for count in mine for example in count.examples)
        merged[name] = Refusals(
            read=sum(count.read for count in mine),
            refused=sum(count.refused for count in mine),
            examples=[{"key": key, "reason": reason} for key, reason in list(named)[:NAMED]],
        )
    return merged


def _writable(words: str) -> str:
    """Words of a bounded length that UTF-8 can write; a member of a tar may be called anything."""
    plain = words.encode("utf-8", errors="backslashreplace").decode("utf-8")
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 4]} ..."


def count_of(plain: Sequence[Any]) -> Count:
    """The Count of five plain JSON values, in the order of its fields."""
    read, refused, bad, in_a_row, examples = plain
    return Count(read, refused, bad, in_a_row, tuple((str(key), str(reason)) for key, reason in examples))
