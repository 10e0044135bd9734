"""vlmlab verdict A.jsonl B.jsonl: the verdicts of a study on per-item logs of any evaluator, training nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmlab.cli.options import JsonOption
from vlmlab.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType
    from rich.table import Table

    from vlmlab.study.comparison import Comparison

LogsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]LOG[,LOG...]...",
        help="An arm each, the first is the baseline: one log, or one a training run. Logs of vlmlab "
        "(evaluation/BENCHMARK.jsonl), lmms-eval (*_samples_*.jsonl) or VLMEvalKit (.xlsx, .csv, .tsv, .json).",
    ),
]
MetricOption = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Which metric, where the logs have several.")
]
ClusterOption = Annotated[
    str | None,
    typer.Option("--cluster", metavar="FIELD", help="Field that items about one image or source share."),
]
MarginOption = Annotated[
    float | None,
    typer.Option("--margin", metavar="M", help="Differences below this count as none: points, or the metric's unit."),
]
EffectOption = Annotated[
    float | None,
    typer.Option(
        "--effect", metavar="E", help="Difference worth finding; an open verdict says how many runs it needs."
    ),
]
ConfidenceOption = Annotated[
    float, typer.Option("--confidence", metavar="SHARE", help="Confidence of all intervals together.")
]
PairedOption = Annotated[
    bool, typer.Option("--paired", help="The k-th logs of all arms share their seed or their pre-trained parts.")
]

_WIDEST = 33
_NARROWEST = 11
"""Characters of the drawn interval; odd numbers, so that zero can stand in its middle."""


def verdict_command(
    logs: LogsArgument,
    metric: MetricOption = None,
    cluster: ClusterOption = None,
    margin: MarginOption = None,
    effect: EffectOption = None,
    confidence: ConfidenceOption = 0.95,
    paired: PairedOption = False,
    json: JsonOption = False,
) -> None:
    """Compare per-item logs of any evaluator: who is better, by how much, and how sure that is."""
    from vlmlab.study.comparison import compare

    for option, value in (("--margin", margin), ("--effect", effect)):
        if value is not None and not 0 < value < float("inf"):
            raise StudyError(option, f"expected a number above 0, found {value:g}")
    if not 0.5 < confidence < 1:
        raise StudyError("--confidence", f"expected a share between 0.5 and 1, found {confidence:g}")
    found = compare(
        arms_of(logs), metric=metric, cluster=cluster, margin=margin, effect=effect, confidence=confidence,
        pairing="paired" if paired else "independent",
    )  # fmt: skip
    if json:
        from dataclasses import asdict
        from json import dumps

        typer.echo(dumps(asdict(found), indent=1, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    console = Console()
    for part in shown(found, columns=console.width):
        console.print(part, highlight=False)


def arms_of(words: list[str]) -> dict[str, list[Path]]:
    """Arms by name from NAME=LOG,LOG or LOG. Raises StudyError for names that are given twice."""
    from vlmlab.study.matching import name_arms

    names: list[str | None] = []
    paths: list[list[Path]] = []
    for word in words:
        # A file whose own name has an equals sign or a comma is taken as it is.
        name, mark, rest = word.partition("=")
        if Path(word).is_file() or not mark:
            name, rest = "", word
        names.append(name or None)
        paths.append([Path(rest)] if Path(rest).is_file() else [Path(each) for each in rest.split(",") if each])
        if not paths[-1]:
            raise StudyError(word, "names no log; expected NAME=LOG or NAME=LOG,LOG")
    given = name_arms(paths) if any(name is None for name in names) else [""] * len(paths)
    arms: dict[str, list[Path]] = {}
    for name, own, many in zip(given, names, paths, strict=True):
        if (own or name) in arms:
            raise StudyError(own or name, "names two arms; all logs of an arm stand in one word, as in A=one,two")
        arms[own or name] = many
    return arms


def shown(found: Comparison, *, columns: int = 80) -> list[RenderableType]:
    """The verdict, a table of arms, the intervals and what a reader must know, for a screen of so many columns."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from vlmlab.study.comparison import amount

    colours = {"holds": "green", "reversed": "red", "equivalent": "cyan", "cannot tell": "yellow"}
    parts: list[RenderableType] = [Text(pair.sentence, style=f"bold {colours[pair.verdict]}") for pair in found.pairs]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    several = not found.conditional
    for column in ("arm", found.unit if found.unit != found.metric else "mean", "runs", "lowest", "highest"):
        if several or column not in ("lowest", "highest"):
            table.add_column(column, justify="left" if column == "arm" else "right", header_style="dim")
    for arm in found.arms:
        spread = (f"{min(arm.replicates):.2f}", f"{max(arm.replicates):.2f}") if several else ()
        table.add_row(Text(arm.name), f"{arm.mean:.2f}", str(len(arm.replicates)), *spread)
    parts += ["", table, ""]
    together = " together" if len(found.pairs) > 1 else ""
    clusters = f" in {found.clusters} clusters" if found.clusters != found.items else ""
    parts += [
        _intervals(found, columns, colours),
        "",
        Text(
            f"{100 * found.confidence:g} % intervals{together}; {found.items} items{clusters}"
            + (f" of {found.benchmark}" if found.benchmark else "")
            + f"; {found.metric} from {found.evaluator}",
            style="dim",
        ),
    ]
    for pair in found.pairs:
        if pair.verdict == "cannot tell":
            more = f"; {pair.needed} runs an arm would probably find {amount(found.effect or 0.0, found.unit)}"
            parts.append(
                Text(
                    f"{pair.arm} - {pair.baseline}: differences from {amount(pair.detectable, found.unit)} on would "
                    "have been found with 80 % power" + (more if pair.needed else "") + ".",
                    style="dim",
                )
            )
    parts += [
        Padding(Text(note, style="bold yellow" if note.startswith("CONDITIONAL") else "dim"), (1, 0, 0, 0))
        if note.startswith("CONDITIONAL")
        else Text(note, style="dim")
        for note in found.notes
    ]
    return parts


def _intervals(found: Comparison, columns: int, colours: Mapping[str, str]) -> Table:
    """A line a pair: difference, interval, p-value, the interval as a line where there is room, the verdict."""
    from rich.table import Table
    from rich.text import Text

    from vlmlab.study.comparison import signed

    rows = [
        (
            f"{pair.arm} - {pair.baseline}",
            signed(pair.difference, found.unit),
            "[" + ", ".join(signed(end, found.unit) for end in pair.interval) + "]",
            "p < 0.001" if pair.p_adjusted < 0.001 else f"p {pair.p_adjusted:.3f}",
            pair.verdict,
        )
        for pair in found.pairs
    ]
    room = columns - sum(max(map(len, cells)) + 2 for cells in zip(*rows, strict=True))
    width = min(_WIDEST, room - (room + 1) % 2)
    reach = max(abs(end) for pair in found.pairs for end in pair.interval) or 1.0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for pair, (name, *cells, verdict) in zip(found.pairs, rows, strict=True):
        line = drawn(pair.difference, pair.interval, reach=reach, width=width) if width >= _NARROWEST else ""
        style = colours[pair.verdict]
        table.add_row(Text(name), *map(Text, cells), Text(line, style=style), Text(verdict))
    return table


def drawn(value: float, interval: tuple[float, float], *, reach: float, width: int = _WIDEST) -> str:
    """An interval as a line, zero in the middle.

    >>> drawn(0.5, (0.25, 0.75), reach=1.0)
    '                |   ━━━━●━━━━    '
    """
    middle = width // 2

    def place(number: float) -> int:
        return middle + round(max(-1.0, min(1.0, number / reach)) * middle)

    line = [" "] * width
    low, high = (place(end) for end in interval)
    line[low : high + 1] = "━" * (high + 1 - low)
    line[middle] = "┿" if low <= middle <= high else "|"
    line[place(value)] = "●"
    return "".join(line)
