"""Numbers in words for people: counts, operations, bytes and durations with their unit, and aligned tables."""

from __future__ import annotations

from collections.abc import Sequence

_LARGE = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def count(number: float) -> str:
    """A count in at most three figures, with a decimal prefix.

    >>> count(1_234_567)
    '1.23 M'
    >>> count(1_700_000)
    '1.7 M'
    """
    size, prefix = _scaled(number, 1000.0, _LARGE)
    return f"{size:.3g} {prefix}".rstrip()


def flops_words(number: float) -> str:
    """Floating-point operations with a decimal prefix.

    >>> flops_words(3.2e9)
    '3.2 GFLOP'
    """
    size, prefix = _scaled(number, 1000.0, _LARGE)
    return f"{_short(size)} {prefix}FLOP"


def bytes_words(number: float) -> str:
    """Bytes with a binary prefix.

    >>> bytes_words(1536 * 1024**2)
    '1.5 GiB'
    """
    size, prefix = _scaled(number, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
    return f"{_short(size)} {prefix}"


def seconds_words(seconds: float) -> str:
    """A duration in the unit that fits it.

    >>> seconds_words(240)
    '4 min'
    """
    for limit, length, unit in ((1, 1e-3, "ms"), (90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{_short(seconds / length)} {unit}"
    return f"{_short(seconds / 86400)} days"


def table(rows: Sequence[Sequence[str]], *, indent: int = 2) -> str:
    """Rows of cells as aligned lines: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return (" " * indent + "  ".join(cells)).rstrip()

    return "\n".join(map(line, rows))


def _scaled(number: float, base: float, prefixes: Sequence[str]) -> tuple[float, str]:
    size, index = float(number), 0
    # 999.95 would print as 1000.0: it belongs to the next prefix.
    while abs(size) >= base * 0.9995 and index < len(prefixes) - 1:
        size, index = size / base, index + 1
    return size, prefixes[index]


def _short(size: float) -> str:
    """Two digits, three where the number has them: 1.7, 17, 170."""
    if size == int(size) or abs(size) >= 99.5:
        return f"{size:.0f}"
    return f"{size:.2g}" if abs(size) < 9.95 else f"{size:.3g}"
