"""Numbers as people read them: the same words on the page and in the terminal."""

from __future__ import annotations

MINUS = "−"
"""The true minus sign, as wide as a plus."""


def score(value: float) -> str:
    """A score times 100 with one decimal.

    >>> score(63.44)
    '63.4'
    """
    return f"{value:.1f}".replace("-", MINUS)


def gain(value: float) -> str:
    """A difference of scores, always with its sign.

    >>> gain(-3.21)
    '−3.2'
    """
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def interval(pair: tuple[float, float], *, signed: bool = False) -> str:
    """An interval, lower bound first.

    >>> interval((58.11, 68.9))
    '58.1 to 68.9'
    """
    words = gain if signed else score
    return f"{words(pair[0])} to {words(pair[1])}"


def whole(value: int) -> str:
    """A whole number with groups of thousands. `wording.count` is the short form: 1.23 M.

    >>> whole(1234567)
    '1,234,567'
    """
    return f"{value:,}"


def share(value: float) -> str:
    """A share as a percentage.

    >>> share(0.934)
    '93 %'
    >>> share(0.004)
    '0.4 %'
    """
    percent = 100 * value
    decimals = 2 if 0 < percent < 0.095 else 1 if 0 < percent < 9.95 else 0
    return f"{percent:.{decimals}f} %"


def duration(seconds: float) -> str:
    """Seconds in the two units that matter.

    >>> duration(663)
    '11 min 3 s'
    >>> duration(7400)
    '2 h 3 min'
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def setting(value: float) -> str:
    """A learning rate or weight decay, as short as it is exact.

    >>> setting(0.0003)
    '3e-4'
    >>> setting(0.05)
    '0.05'
    """
    if value != 0 and abs(value) < 0.01:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:g}"
