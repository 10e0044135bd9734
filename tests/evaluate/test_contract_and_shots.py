from __future__ import annotations

import json

import numpy as np
import pytest

from vlmlab.data.document import ArrayPicture, GreyPicture, Image, Text
from vlmlab.data.encode import Encoder
from vlmlab.data.item import Item
from vlmlab.data.rows import CaptionRow, DialogueRow, caption_document, dialogue_document
from vlmlab.errors import EvaluationError
from vlmlab.evaluate.contract import Benchmark, reference_answer
from vlmlab.evaluate.passes import Pass, chains, passes, prompt
from vlmlab.evaluate.shots import demonstrations
from vlmlab.recipe.evaluation import JsonlBenchmark
from vlmlab.recipe.tokenizer import Template


def picture(name: str) -> ArrayPicture:
    seed = int.from_bytes(name.encode(), "little")
    return ArrayPicture(name, np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def item(name: str, *, answers: tuple[str, ...] = ("red",) * 10, question: str | None = "what colour?") -> Item:
    return Item(name, f"scene {name}", question, answers, picture(name))


def benchmark(
    *, items: int = 5, pool: int = 20, metric: str = "vqa_accuracy", shots: tuple[int, ...] = (0, 4, 8)
) -> Benchmark:
    spec = JsonlBenchmark.model_validate_json(
        json.dumps({"kind": "jsonl", "path": "x", "metric": metric, "shots": shots, "demonstration_seeds": [0, 1]})
    )
    question = None if metric == "cider" else "what colour?"
    asked = tuple(item(f"i{index}", question=question) for index in range(items))
    return Benchmark(
        "b", spec, spec.metric, Template(), asked, tuple(item(f"p{index}", question=question) for index in range(pool))
    )


def test_no_shots_is_no_demonstration() -> None:
    bench = benchmark()
    assert demonstrations(bench, bench.items[0], shots=0, seed=0) == ()
    parts = bench.as_document(bench.items[0], ()).parts
    assert parts == (Image(bench.items[0].picture), Text(" question: what colour? answer:", learn=False))


def test_four_shots_are_nested_in_eight_and_seeds_and_items_differ() -> None:
    bench = benchmark()
    one, two = bench.items[:2]
    eight = demonstrations(bench, one, shots=8, seed=0)
    assert len({shot.id for shot in eight}) == 8
    assert demonstrations(bench, one, shots=4, seed=0) == eight[:4]
    assert demonstrations(bench, one, shots=8, seed=0) == eight
    assert demonstrations(bench, one, shots=8, seed=1) != eight
    assert demonstrations(bench, two, shots=8, seed=0) != eight


def test_the_items_own_scene_is_never_its_demonstration() -> None:
    one = item("i0")
    pool = (
        item("p0"),
        Item("other", one.cluster, "what?", ("red",) * 10),
        Item("i0", "elsewhere", "what?", ("red",) * 10),
    )
    bench = Benchmark("b", benchmark().spec, "vqa_accuracy", Template(), (one,), pool)
    assert [demonstrations(bench, one, shots=1, seed=seed)[0].id for seed in range(10)] == ["p0"] * 10


def test_too_few_demonstrations_name_both_numbers() -> None:
    bench = benchmark(pool=3)
    with pytest.raises(
        EvaluationError, match=r"benchmarks.b.shots: 4 shots need 4 demonstrations but the pool has 3; give"
    ):
        demonstrations(bench, bench.items[0], shots=4, seed=0)


def test_own_demonstrations_are_the_first_in_order_and_seeds_rotate_them() -> None:
    own = tuple(item(f"o{index}") for index in range(6))
    one = Item("i", "c", "what?", ("red",) * 10, picture("i"), demonstrations=own)
    bench = benchmark()
    assert demonstrations(bench, one, shots=4, seed=0) == own[:4]
    assert demonstrations(bench, one, shots=4, seed=1) == (own[1], own[2], own[3], own[0])
    with pytest.raises(EvaluationError, match="item i: 8 shots need 8 demonstrations but the item's own list has 6"):
        demonstrations(bench, one, shots=8, seed=0)


def test_a_prompt_is_the_beginning_of_a_training_dialogue(tokenizer, recipe) -> None:
    bench = benchmark()
    query = bench.items[0]
    shots = demonstrations(bench, query, shots=4, seed=0)
    asked = [*shots, query]
    turns = tuple((f"<image>{one.question}", "red") for one in asked)
    row = DialogueRow("d", tuple(one.picture for one in asked), turns)
    encoder = Encoder(tokenizer, recipe.model, recipe.model.image)
    training = encoder.encode(dialogue_document(row, Template()))
    given = encoder.encode(bench.as_document(query, shots))
    assert not any(given.learn)
    assert training.ids[: len(given.ids)] == given.ids
    assert training.ids[len(given.ids) :] == [*tokenizer.encode(" red\n"), tokenizer.eos]
    places = [(image.start, image.length, image.key) for image in given.images]
    assert places == [(image.start, image.length, image.key) for image in training.images]


def test_a_caption_prompt_is_the_beginning_of_a_training_caption(tokenizer, recipe) -> None:
    bench = benchmark(metric="cider")
    encoder = Encoder(tokenizer, recipe.model, recipe.model.image)
    query = bench.items[0]
    training = encoder.encode(caption_document(CaptionRow("c", query.picture, "red"), Template()))
    given = encoder.encode(bench.as_document(query, ()))
    assert training.ids[: len(given.ids)] == given.ids
    shot = bench.as_document(query, bench.pool[:1]).parts
    assert shot[:3] == (Image(bench.pool[0].picture), Text(" caption:", learn=False), Text(" red\n", learn=False))


def test_an_instruction_stands_once_at_the_beginning() -> None:
    bench = Benchmark(
        "b", benchmark().spec, "vqa_accuracy", Template(instruction="Answer."), (item("i"),), (item("p"),)
    )
    parts = bench.as_document(bench.items[0], bench.pool).parts
    assert [part for part in parts if part == Text("Answer.", learn=False)] == [parts[0]]


def test_reference_answers() -> None:
    tied = Item("i", "c", "what?", ("blue", "red", "red", "blue", "green"))
    assert reference_answer(tied, metric="vqa_accuracy") == "blue"
    assert reference_answer(Item("i", "c", "?", ("a", "b", "b")), metric="exact_match") == "b"
    assert reference_answer(Item("i", "c", None, ("one", "two", "two"), picture("i")), metric="cider") == "one"


def test_blank_changes_the_image_of_the_query_alone() -> None:
    bench = benchmark()
    one = bench.items[0]
    seen = prompt(bench, one, Pass(4, 0, "image")).parts
    blank = prompt(bench, one, Pass(4, 0, "blank")).parts
    changed = [(left, right) for left, right in zip(seen, blank, strict=True) if left != right]
    assert changed == [(Image(one.picture), Image(GreyPicture(one.picture)))]
    assert (changed[0][1].picture.pixels() == 128).all()


def test_passes() -> None:
    bench = benchmark(shots=(0, 4))
    assert passes(bench, blank_control=False) == (Pass(0, None, "image"), Pass(4, 0, "image"), Pass(4, 1, "image"))
    assert len(passes(bench, blank_control=True)) == 6
    text = Benchmark("b", bench.spec, "vqa_accuracy", Template(), (Item("i", "c", "?", ("a",) * 4),), ())
    assert {one.condition for one in passes(text, blank_control=True)} == {"image"}


def test_drawn_demonstrations_make_one_chain_and_rotated_ones_several() -> None:
    bench = benchmark()
    every = passes(bench, blank_control=True)
    one = bench.items[0]
    (chain,) = chains(bench, one, every, seed=1)
    assert [len(level.demonstrations) for level in chain] == [4, 8]
    assert [{asked.condition for asked in level.passes} for level in chain] == [{"image", "blank"}] * 2
    assert [len(level.demonstrations) for (level,) in chains(bench, one, every, seed=None)] == [0]
    own = Item("i", "c", "what?", ("red",) * 10, picture("i"), demonstrations=bench.pool[:8])
    assert [len(chain) for chain in chains(bench, own, every, seed=0)] == [2]
    assert [len(chain) for chain in chains(bench, own, every, seed=1)] == [1, 1]


def test_scorers() -> None:
    assert benchmark().scorer()("Red", item("i", answers=("red",) * 3 + ("blue",) * 7)) == pytest.approx(0.9)
    assert benchmark(metric="exact_match").scorer()("Red", item("i")) == 1.0
    choice = Item("i", "c", "?", ("a",), choices=("a", "b"))
    bench = Benchmark("b", benchmark().spec, "multiple_choice", Template(), (choice,), ())
    assert [bench.scorer()(text, choice) for text in ("a", "b")] == [1.0, 0.0]


def test_cider_uses_the_references_of_the_whole_benchmark() -> None:
    items = tuple(item(f"i{index}", answers=(text,), question=None) for index, text in enumerate(("a cat", "a dog")))
    bench = Benchmark("b", benchmark().spec, "cider", Template(), items, ())
    assert bench.scorer()("a cat", items[0]) == pytest.approx(5.0)
    alone = Benchmark("b", benchmark().spec, "cider", Template(), items[:1], ())
    assert alone.scorer()("a cat", items[0]) == 0.0


@pytest.mark.parametrize(
    ("items", "metric", "problem"),
    [
        ((), "vqa_accuracy", "there are no items"),
        ((item("i"), item("i")), "vqa_accuracy", "'i' occurs more than once"),
        ((item("i", answers=()),), "exact_match", "at least one is needed"),
        ((item("i", answers=("red", "red")),), "vqa_accuracy", "2 reference answers.*use metric exact_match"),
        ((Item("i", "c", None, ("a cat",)),), "cider", "neither a question nor an image"),
        ((Item("i", "c", "?", ("a",), choices=("b", "c")),), "multiple_choice", "'a' with choices"),
    ],
)
def test_items_that_cannot_be_scored(items: tuple[Item, ...], metric: str, problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        Benchmark("b", benchmark().spec, metric, Template(), items, ())
