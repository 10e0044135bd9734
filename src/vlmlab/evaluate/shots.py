"""Demonstrations: which ones stand before an item's question, as a function of (seed, benchmark, item)."""

from __future__ import annotations

from vlmlab.data.item import Item
from vlmlab.errors import EvaluationError
from vlmlab.evaluate.contract import Benchmark
from vlmlab.random_streams import stream


def demonstrations(benchmark: Benchmark, item: Item, *, shots: int, seed: int) -> tuple[Item, ...]:
    """The `shots` demonstrations of an item.

    Drawn without replacement from the pool. n shots are the first n of one permutation, so that 4 shots are nested in
    8. Pool entries of the item's own id or cluster (its scene) are left out.

    An item with demonstrations of its own (binding: its words mean something only there) takes its first n. Which
    they are must not change, since the first n are made to hold what the question needs; the seed rotates their
    order: seed 0 keeps it, seed s begins with the s-th.
    """
    if shots == 0:
        return ()
    if item.demonstrations is not None:
        own = item.demonstrations[:shots]
        _check(
            len(own),
            shots=shots,
            where=f"evaluation.benchmarks.{benchmark.name}: item {item.id}",
            place="the item's own list",
        )
        turn = seed % shots
        return own[turn:] + own[:turn]
    drawn: list[Item] = []
    for index in stream(seed, "demonstrations", benchmark.name, item.id).permutation(len(benchmark.pool)):
        candidate = benchmark.pool[index]
        if candidate.id != item.id and candidate.cluster != item.cluster:
            drawn.append(candidate)
            if len(drawn) == shots:
                break
    _check(len(drawn), shots=shots, where=f"evaluation.benchmarks.{benchmark.name}.shots", place="the pool")
    return tuple(drawn)


def _check(found: int, *, shots: int, where: str, place: str) -> None:
    if found < shots:
        raise EvaluationError(
            where,
            f"{shots} shots need {shots} demonstrations but {place} has {found}; "
            "give more demonstrations or fewer shots",
        )
