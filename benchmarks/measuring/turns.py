"""CPU time of programs in one process, in turn, with the difference between two equal programs (A/A)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

LARGEST_AA = 0.03
"""Where two equal programs differ by more, what was measured says nothing."""


@dataclass(frozen=True)
class Turns:
    """CPU seconds of each program, one number a round. Rounds are compared with themselves: a slow minute of the
    machine slows every program of its round."""

    seconds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """Median seconds of a program."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, other: str) -> float:
        """Median over the rounds of one program's time over another's."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return statistics.median(one / two for one, two in pairs)


def take_turns(programs: Mapping[str, Callable[[], object]], *, rounds: int) -> Turns:
    """Run every program once a round, each round in the opposite order of the one before. Programs come warm."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds):
        order = list(programs.items())
        for name, program in order if number % 2 == 0 else reversed(order):
            started = time.process_time()
            program()
            seconds[name].append(time.process_time() - started)
    return Turns(seconds)


@dataclass(frozen=True)
class Compared:
    """Turns of which two programs are equal, and how much these two differ."""

    turns: Turns
    aa: float


def compare(
    programs: Mapping[str, Callable[[], object]], *, equal: tuple[str, str], rounds: int, tries: int = 3
) -> Compared:
    """Take turns until two equal programs differ by at most LARGEST_AA, or `tries` are used up. Prints what it
    throws away."""
    first, second = equal
    for left in reversed(range(tries)):
        turns = take_turns(programs, rounds=rounds)
        aa = turns.ratio(second, first) - 1
        if abs(aa) <= LARGEST_AA or not left:
            return Compared(turns, aa)
        print(f"  A/A {100 * aa:+.1f} %: too noisy, measured again", flush=True)
    raise AssertionError("at least one try")
