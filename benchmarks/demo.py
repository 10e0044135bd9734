"""`python benchmarks/demo.py RUN...`: whether finished runs of recipes/tiny.yaml meet what the demo promises.

Without an argument it reads runs/tiny. It trains nothing: `vlmlab demo` makes the run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from measuring.bounds import Bounds
from vlmlab.files import read_json
from vlmlab.records.run import EvaluationRecord, ScoreRecord


def main() -> None:
    bounds = Bounds()
    for argument in sys.argv[1:] or ["runs/tiny"]:
        check(Path(argument), bounds)
    bounds.finish()


def check(run: Path, bounds: Bounds) -> None:
    """Add the bounds of one run."""
    manifest = read_json(run / "manifest.json")
    record = EvaluationRecord.model_validate(read_json(run / "evaluation" / "summary.json"))
    scores = {(row.benchmark, row.shots): row for row in record.scores}
    stages = sum(read_json(path)["cpu_seconds"] for path in sorted((run / "stages").glob("*/summary.json")))
    print(
        f"{run}: stages {stages / 60:.1f} CPU minutes, evaluation {record.cpu_seconds / 60:.1f}, "
        f"the last call {manifest['cpu_seconds'] / 60:.1f}, wall {manifest['seconds'] / 60:.1f}"
    )
    for row in record.scores:
        print(f"  {row.benchmark:<10} {row.shots} shots  {words(row)}")
    bounds.at_most(f"{run}: CPU minutes of stages and evaluation", (stages + record.cpu_seconds) / 60, 20.0)
    for benchmark in ("general", "reading", "knowledge"):
        row = scores[benchmark, 4]
        assert row.gain is not None
        assert row.gain_interval is not None
        bounds.at_least(f"{run}: {benchmark}, 4 shots, points above the blank image", row.gain, 15.0)
        bounds.true(
            f"{run}: {benchmark}, 4 shots, interval of the gain",
            row.gain_interval[0] > 0,
            f"{row.gain_interval} above zero",
        )
    captions = scores["captions", 4]
    assert captions.blank is not None
    bounds.at_least(
        f"{run}: captions, 4 shots, CIDEr over its control", captions.score / max(captions.blank, 1e-9), 2.0
    )
    gains = {(row["benchmark"], row["shots"]): row for row in record.shot_gains}
    low, high = gains["binding", 4]["interval"]
    bounds.true(f"{run}: binding, 4 shots over 0 shots", low > 0, f"[{low:.1f}, {high:.1f}] above zero")
    for row in record.scores:
        bounds.at_least(f"{run}: {row.benchmark}, {row.shots} shots, items", row.items, 200)


def words(row: ScoreRecord) -> str:
    """A score beside its control."""
    text = f"{row.score:6.1f} [{row.interval[0]:.1f}, {row.interval[1]:.1f}]"
    if row.gain is None or row.gain_interval is None:
        return text
    low, high = row.gain_interval
    return f"{text}  blank {row.blank:5.1f}  gain {row.gain:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
