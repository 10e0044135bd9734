"""`python benchmarks/command_line.py`: CPU time of `vlmlab --help` and `vlmlab plan`, which must feel instant."""

from __future__ import annotations

import sys
from pathlib import Path

from measuring.bounds import Bounds
from measuring.commands import interleaved

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    vlmlab = str(Path(sys.executable).with_name("vlmlab"))
    help_command = [vlmlab, "--help"]
    plan_command = [vlmlab, "plan", str(ROOT / "recipes" / "tiny.yaml")]
    times = interleaved(
        {"help": help_command, "plan": plan_command, "help again": help_command, "plan again": plan_command}, runs=7
    )
    for name, measured in times.items():
        print(
            f"{name:<11} CPU {measured.median:.3f} s (min {min(measured.cpu):.3f}, max {max(measured.cpu):.3f}), "
            f"wall {min(measured.wall):.3f} s at least"
        )
    for name in ("help", "plan"):
        first, second = times[name].median, times[f"{name} again"].median
        print(f"A/A {name}: {100 * (second / first - 1):+.1f} %")
    bounds = Bounds()
    bounds.at_most("vlmlab --help", times["help"].median, 0.5, unit=" s")
    bounds.at_most("vlmlab plan recipes/tiny.yaml", times["plan"].median, 0.5, unit=" s")
    bounds.finish()


if __name__ == "__main__":
    main()
