"""Numbers in words."""

from __future__ import annotations

import pytest

from vlmlab.wording import bytes_words, count, flops_words, seconds_words, table


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (1_700_000, "1.7 M"),
        (17_340, "17.3 k"),
        (999_960, "1 M"),
        (1.235e9, "1.24 G"),
        (1.62e15, "1.62 P"),
        (999_400, "999 k"),
        (0.5, "0.5"),
    ],
)
def test_counts(number: float, words: str) -> None:
    assert count(number) == words


def test_units() -> None:
    assert flops_words(3.2e9) == "3.2 GFLOP"
    assert bytes_words(1536 * 1024**2) == "1.5 GiB"
    assert [seconds_words(seconds) for seconds in (0.0042, 42, 240, 7200, 400_000)] == [
        "4.2 ms",
        "42 s",
        "4 min",
        "2 h",
        "4.6 days",
    ]


def test_tables_align() -> None:
    assert table([["a", "bb"], ["ccc", "d"]], indent=1) == " a    bb\n ccc   d"
