"""Whether logs belong together: names of arms, one benchmark and protocol, the metric, the same items."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from vlmlab.errors import StudyError, near
from vlmlab.study.logs import Log, shortened
from vlmlab.study.statistics.estimate import Pairing


def name_arms(paths: Sequence[Sequence[Path]]) -> list[str]:
    """Names for arms that were given none: the file, or the folder by which they differ.

    >>> name_arms([[Path("out/llava/x_samples_mme.jsonl")], [Path("out/idefics/y_samples_mme.jsonl")]])
    ['llava', 'idefics']
    """
    firsts = [Path(os.path.normpath(many[0])) for many in paths]
    depth = min(len(path.parts) for path in firsts)
    for place in range(depth - 1):
        names = [path.parts[place] for path in firsts]
        if len(set(names)) == len(names):
            return names
    stems = [path.stem for path in firsts]
    if len(set(stems)) < len(stems):
        stems = [str(path) for path in firsts]
    if len(set(stems)) < len(stems):
        raise StudyError(stems[0], "is given for two arms; name arms as in A=one.jsonl B=two.jsonl")
    return stems


def same_benchmark(logs: Sequence[Log]) -> None:
    """Raise StudyError where logs are of different evaluators, benchmarks or protocol versions."""
    first = logs[0]
    for log in logs[1:]:
        for what, one, other in (
            ("evaluator", first.evaluator, log.evaluator),
            ("benchmark", first.benchmark, log.benchmark),
            ("protocol", ", ".join(first.protocol), ", ".join(log.protocol)),
        ):
            if one != other and (what != "protocol" or (one and other)):
                raise StudyError(
                    str(log.path),
                    f"its {what} is {other}, that of {first.path} is {one}; only answers to the same questions, asked "
                    "in the same way, can be compared",
                )


def choose_metric(logs: Sequence[Log], asked: str | None, *, cluster: str | None) -> str:
    """The metric that is asked for, or the only one. Raises StudyError where logs lack it or have several."""
    known = list(dict.fromkeys(name for log in logs for name in log.metrics if name != cluster))
    if asked is not None:
        if asked not in known:
            raise StudyError("--metric", f"no metric {asked!r} in these logs{near(asked, known)}")
    elif not known:
        raise StudyError("--cluster", f"{cluster} is the only metric in these logs")
    elif len(known) > 1 and "score" not in known:
        raise StudyError("--metric", f"the logs have several: {', '.join(known)}; choose one")
    chosen = asked or ("score" if "score" in known else known[0])
    for log in logs:
        if chosen not in log.metrics:
            raise StudyError(str(log.path), f"has no metric {chosen!r}; it has {', '.join(log.metrics)}")
    return chosen


def same_items(logs: Sequence[Log], metric: str) -> list[str]:
    """The items of all logs. Raises StudyError where one has others, or other questions under the same names."""
    first = logs[0]
    items = list(first.of(metric))
    for log in logs[1:]:
        found = log.of(metric)
        lost = [item for item in items if item not in found]
        added = [item for item in found if item not in first.metrics[metric]]
        if lost or added:
            parts = [f"{len(lost)} of {len(items)} are missing in it ({shortened(lost)})"] if lost else []
            parts += [f"{len(added)} are only in it ({shortened(added)})"] if added else []
            raise StudyError(
                str(log.path),
                f"its items are not those of {first.path}: {'; '.join(parts)}; evaluate both on the same split without "
                "a limit, or take these items out of every log",
            )
        others = [item for item in items if log.asked[item] != first.asked[item]]
        if others:
            raise StudyError(
                str(log.path),
                f"{len(others)} of {len(items)} items have another question or reference answer than in {first.path} "
                f"({shortened(others)}); the logs are of different splits or versions",
            )
    return items


def same_replicates(logs: Mapping[str, Sequence[Log]], *, pairing: Pairing, conditional: bool) -> None:
    """Raise StudyError where the numbers of logs do not allow what is asked."""
    counts = {arm: len(many) for arm, many in logs.items()}
    if pairing == "paired" and len(set(counts.values())) > 1:
        told = ", ".join(f"{arm} {count}" for arm, count in counts.items())
        raise StudyError("--paired", f"the k-th logs of all arms belong together, but their numbers differ: {told}")
    if conditional and max(counts.values()) > 1:
        single = [arm for arm, count in counts.items() if count == 1]
        raise StudyError(
            f"arm {single[0]}",
            "has one log where others have several; noise between training runs needs two logs of every arm, or one of "
            "each for a verdict on these checkpoints only",
        )
