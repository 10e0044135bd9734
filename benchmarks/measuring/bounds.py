"""Bounds of a benchmark: one line each, `ok` or `missed`, and an exit status that says whether all were met."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field


@dataclass
class Bounds:
    """Collects what was measured against what was promised."""

    missed: int = 0
    lines: list[str] = field(default_factory=list)

    def at_most(self, name: str, value: float, limit: float, *, unit: str = "") -> None:
        self._add(name, value <= limit, f"{value:.4g}{unit} <= {limit:g}{unit}")

    def at_least(self, name: str, value: float, limit: float, *, unit: str = "") -> None:
        self._add(name, value >= limit, f"{value:.4g}{unit} >= {limit:g}{unit}")

    def true(self, name: str, value: bool, words: str) -> None:
        self._add(name, value, words)

    def finish(self) -> None:
        """Print the lines and leave with status 1 if a bound was missed."""
        print("\n".join(self.lines))
        sys.exit(1 if self.missed else 0)

    def _add(self, name: str, met: bool, words: str) -> None:
        self.missed += not met
        self.lines.append(f"{'ok    ' if met else 'missed'}  {name}: {words}")
