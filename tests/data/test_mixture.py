from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from vlmlab.data.mixture import BLOCK, Mixture
from vlmlab.data.permutation import MATERIALISED, Permutation
from vlmlab.errors import DataError

WEIGHTS = {"a": 0.1, "b": 0.2, "c": 0.7}
SIZES = {"a": 50, "b": 3000, "c": 97}


def mixture(weights: dict[str, float] = WEIGHTS, *, seed: int = 0, purpose: str = "stage/x") -> Mixture:
    return Mixture(weights, SIZES | dict.fromkeys(weights, 40) | SIZES, seed=seed, purpose=purpose)


def test_draws_do_not_depend_on_the_order_of_calls() -> None:
    forward = mixture()
    in_order = [forward.draw(n) for n in range(3 * BLOCK)]
    backward = mixture()
    assert [backward.draw(n) for n in reversed(range(3 * BLOCK))][::-1] == in_order
    assert mixture().draw(2 * BLOCK + 17) == in_order[2 * BLOCK + 17]


def test_proportions_are_exact() -> None:
    own = mixture()
    counts = Counter(own.draw(n).source for n in range(10 * BLOCK))
    assert counts == {"a": BLOCK, "b": 2 * BLOCK, "c": 7 * BLOCK}
    for block in range(10):
        quotas = own.quotas(block)
        assert all(abs(quotas[name] - WEIGHTS[name] * BLOCK) < 1 for name in WEIGHTS)


@settings(max_examples=50, deadline=None)
@given(some.lists(some.floats(1e-6, 10.0), min_size=1, max_size=6))
def test_counts_never_drift(weights: list[float]) -> None:
    named = {str(number): weight for number, weight in enumerate(weights)}
    own = mixture(named)
    had = dict.fromkeys(named, 0)
    for block in range(12):
        quotas = own.quotas(block)
        assert sum(quotas.values()) == BLOCK
        assert min(quotas.values()) >= 0
        had = {name: had[name] + quotas[name] for name in named}
        for name, weight in named.items():
            assert abs(had[name] - (block + 1) * BLOCK * weight / sum(weights)) < len(weights)


def test_each_epoch_reads_every_sample_once_in_another_order() -> None:
    own = mixture({"c": 3.0})
    draws = [own.draw(n) for n in range(3 * 97)]
    orders = [[draw.index for draw in draws if draw.epoch == epoch] for epoch in range(3)]
    assert all(sorted(order) == list(range(97)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_seed_and_purpose_matter_and_weights_only_by_share() -> None:
    first = [mixture().draw(n) for n in range(100)]
    assert [mixture(seed=1).draw(n) for n in range(100)] != first
    assert [mixture(purpose="stage/y").draw(n) for n in range(100)] != first
    assert [mixture({"a": 1, "b": 2, "c": 7}).draw(n) for n in range(100)] == first


def test_sources_of_weight_zero_are_never_drawn() -> None:
    own = mixture({"a": 0.0, "b": 1.0})
    assert own.names == ("b",)
    assert {own.draw(n).source for n in range(200)} == {"b"}


@pytest.mark.parametrize(
    ("weights", "words"), [({"a": -1.0}, "zero or positive"), ({"a": 0.0, "b": 0.0}, "all weights are zero")]
)
def test_bad_weights(weights: dict[str, float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        mixture(weights)


def test_empty_source() -> None:
    with pytest.raises(DataError, match="the source is empty"):
        Mixture({"a": 1.0}, {"a": 0}, seed=0, purpose="p")


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_permutation_without_memory_is_a_bijection(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmlab.data.permutation.MATERIALISED", 0)
    orders = [[own[place] for place in range(size)] for own in (Permutation(size, 0, "x", epoch) for epoch in (0, 1))]
    assert all(sorted(order) == list(range(size)) for order in orders)
    if size == 1000:
        assert orders[0] != orders[1]
        assert sum(a == b for a, b in zip(orders[0], range(1000), strict=True)) < 10


def test_large_sources_are_not_kept_in_memory() -> None:
    own = Permutation(MATERIALISED * 1000, 0, "x")
    drawn = [own[place] for place in range(2000)]
    assert len(set(drawn)) == 2000
    assert abs(sum(drawn) / 2000 / own.size - 0.5) < 0.05
