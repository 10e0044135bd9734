from __future__ import annotations

import json
from dataclasses import astuple

import pytest

from vlmlab.data.mishaps import Mishaps, Refusal, count_of
from vlmlab.errors import DataError
from vlmlab.recipe.source import BadSamples


def refusal(number: int, *, skipped: bool = False, fatal: bool = False) -> Refusal:
    return Refusal(f"s#{number}", f"reason {number}", skipped=skipped, fatal=fatal)


def test_counts_and_names_the_first_few() -> None:
    own = Mishaps(BadSamples())
    for number in range(9):
        own.refused("s", refusal(number))
        own.used("s")
    own.used("t")
    summary = own.summary()
    assert (summary["s"].read, summary["s"].refused) == (18, 9)
    assert summary["s"].examples[0] == {"key": "s#0", "reason": "reason 0"}
    assert len(summary["s"].examples) == 5
    assert (summary["t"].read, summary["t"].refused) == (1, 0)


def test_a_sample_that_comes_back_is_named_once() -> None:
    own = Mishaps(BadSamples(in_a_row=3))
    for number in (1, 2, 1):
        own.refused("s", refusal(number))
    with pytest.raises(DataError) as caught:
        own.refused("s", refusal(2))
    assert str(caught.value).count("s#1: reason 1") == str(caught.value).count("s#2: reason 2") == 1
    assert len(own.summary()["s"].examples) == 2


def test_too_many_in_a_row() -> None:
    own = Mishaps(BadSamples(in_a_row=3))
    for number in range(3):
        own.refused("s", refusal(number))
    own.used("s")
    for number in range(3):
        own.refused("s", refusal(number))
    own.refused("t", refusal(7))
    with pytest.raises(DataError, match=r"data\.sources\.s: 4 samples refused in a row; at most 3") as caught:
        own.refused("s", refusal(9, skipped=True))
    assert "s#9: reason 9" in str(caught.value)
    assert "data.bad_samples.in_a_row" in str(caught.value)


def fill(own: Mishaps, *, skipped: bool) -> None:
    for number in range(300):
        if number % 10:
            own.used("s")
        else:
            own.refused("s", refusal(number, skipped=skipped))


def test_too_large_a_share_after_200() -> None:
    with pytest.raises(DataError, match=r"21 of 201 samples refused; at most a share of 0\.05"):
        fill(Mishaps(BadSamples()), skipped=False)
    fill(Mishaps(BadSamples()), skipped=True)
    fill(Mishaps(BadSamples(share=0.2)), skipped=False)


def test_fatal_ends_at_once() -> None:
    with pytest.raises(DataError, match="s#1: reason 1"):
        Mishaps(BadSamples()).refused("s", refusal(1, fatal=True))


def test_counts_survive_json() -> None:
    own = Mishaps(BadSamples())
    own.refused("s", refusal(1))
    count = own.counts["s"]
    assert count_of(json.loads(json.dumps(astuple(count)))) == count
