from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some

from vlmlab.data.encode import EncodedImage, Example
from vlmlab.data.pack import HELD, Packable, PackedStep, Packer
from vlmlab.random_streams import stream
from vlmlab.recipe.image import Grid

NO_VIEW = None


def item(number: int, length: int, images: int = 0) -> Packable:
    spans = tuple(EncodedImage(1, 1, NO_VIEW, Grid(1, 1), "p") for _ in range(images))  # type: ignore[arg-type]
    return Packable(number, "s", Example(str(number), [1] * length, [True] * length, spans))


def drawn(number: int, *, length: int, images: int) -> Packable:
    generator = stream(0, "pack", number)
    return item(number, int(generator.integers(2, length + 1)), int(generator.integers(0, images + 1)))


def steps(packer: Packer, *, first: int, count: int, length: int, images: int) -> tuple[list[PackedStep], int]:
    done: list[PackedStep] = []
    while len(done) < count:
        while not packer.full:
            packer.add(drawn(first, length=length, images=images))
            first += 1
        done.append(packer.close())
    return done, first


@settings(max_examples=30, deadline=None)
@given(rows=some.integers(1, 6), length=some.integers(2, 60), images=some.integers(0, 4))
def test_nothing_is_lost_and_no_budget_is_broken(rows: int, length: int, images: int) -> None:
    packer = Packer(rows=rows, length=length, images=images, packing=True)
    done, first = steps(packer, first=0, count=8, length=length, images=images)
    placed = [entry for step in done for row in step.rows for entry in row]
    assert sorted([entry.number for entry in placed] + list(done[-1].held)) == list(range(first))
    for step in done:
        assert len(step.rows) == rows
        assert len(step.held) <= HELD
        for row in step.rows:
            assert sum(len(entry.example) for entry in row) <= length
            assert sum(len(entry.example.images) for entry in row) <= images
    for entry in placed:
        original = drawn(entry.number, length=length, images=images)
        assert entry.example.ids == original.example.ids


def test_the_state_is_the_held_draws_and_the_next_one() -> None:
    packer = Packer(rows=3, length=40, images=3, packing=True)
    whole, _ = steps(packer, first=0, count=9, length=40, images=3)
    for cut in (1, 4, 8):
        begun = Packer(rows=3, length=40, images=3, packing=True)
        _, first = steps(begun, first=0, count=cut, length=40, images=3)
        resumed = Packer(rows=3, length=40, images=3, packing=True)
        for number in whole[cut - 1].held:
            resumed.add(drawn(number, length=40, images=3))
        rest, _ = steps(resumed, first=first, count=9 - cut, length=40, images=3)
        assert [numbers(step) for step in rest] == [numbers(step) for step in whole[cut:]]


def numbers(step: PackedStep) -> tuple[list[list[int]], tuple[int, ...]]:
    return [[entry.number for entry in row] for row in step.rows], step.held


def test_held_examples_come_first_and_do_not_starve() -> None:
    packer = Packer(rows=1, length=10, images=0, packing=True)
    waited: dict[int, int] = {}
    first = 0
    for step in range(40):
        while not packer.full:
            packer.add(item(first, 8 if first % 2 else 2))
            first += 1
        for number in numbers(packer.close())[0][0]:
            waited[number] = step
    assert set(range(40)) <= set(waited)


def test_without_packing_every_row_holds_one() -> None:
    packer = Packer(rows=3, length=10, images=0, packing=False)
    for number in range(3):
        assert not packer.full
        packer.add(item(number, 2))
    assert packer.full
    assert numbers(packer.close()) == ([[0], [1], [2]], ())


def test_rows_fill_well() -> None:
    packer = Packer(rows=8, length=256, images=16, packing=True)
    done, _ = steps(packer, first=0, count=6, length=120, images=2)
    real = sum(len(entry.example) for step in done for row in step.rows for entry in row)
    assert real / (6 * 8 * 256) > 0.95
