"""The errors a user can cause. Each message says where, what was found, what was expected and what to do.

A `VlmlabError` is the user's mistake and ends the command line with status 2; an `assert` that fails is ours.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class VlmlabError(Exception):
    """Base class of every mistake that a user can mend. `where` is a dotted path, a file or a sample key."""

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"{where}: {problem}" if where else problem)


class RecipeError(VlmlabError):
    """A recipe, machine or override that cannot be used: unknown field, wrong kind, impossible geometry."""


class DataError(VlmlabError):
    """Data that cannot be read or does not fit the recipe: missing file, empty source, broken row, refused sample."""


class BatchError(VlmlabError):
    """A batch whose parts contradict each other, such as an image span that does not match its visual tokens."""


class TrainingError(VlmlabError):
    """A training run that would not do what its recipe says.

    No learned token, a parameter in no group, a frozen part that moved.
    """


class Diverged(TrainingError):
    """A training run whose losses or gradients stopped being finite numbers, beyond what its recipe allows."""


class RunError(VlmlabError):
    """A run directory that cannot be used: another recipe lives there, another writer holds it, a file is damaged."""


class EvaluationError(VlmlabError):
    """A benchmark that cannot be scored: no items, unknown metric, too few demonstrations for the shots asked."""


class StudyError(VlmlabError):
    """A study that cannot be designed, run or concluded.

    An arm that makes no recipe, a claim on an unknown measure, runs that do not fit together, a cluster out of reach.
    """


class CatalogueError(VlmlabError):
    """A finding that does not exist, or a catalogue that contradicts itself or names what is not there."""


class Interrupted(Exception):
    """A run that was asked to stop by a signal, and saved before it left. Not a mistake: the same command continues.

    `status` is the exit status of the command line, 128 and the signal's number.
    """

    def __init__(self, where: str, *, number: int) -> None:
        self.status = 128 + number
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(f"stopped by {name} in {where}; saved; run the same command again to continue")


def near(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known name, else "; known: a, b, c".

    >>> near("vison", ["vision", "language"])
    "; did you mean 'vision'?"
    """
    names = list(known)
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if matches:
        return f"; did you mean '{matches[0]}'?"
    return f"; known: {', '.join(sorted(names))}" if names else ""
