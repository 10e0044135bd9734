from __future__ import annotations

import gc
import itertools
import json
import multiprocessing
import pickle

import pytest
import torch

from tests.data.rows_for_tests import MadeSource, recipe, sources, tokenizer
from vlmlab.data.encode import Encoder
from vlmlab.data.loader import LoadedBatch, LoaderState, StageLoader
from vlmlab.data.mishaps import Refusal
from vlmlab.data.mixture import Mixture
from vlmlab.data.reading import Reader
from vlmlab.errors import DataError

TOKENIZER = tokenizer()
SOURCES = sources(broken=50)
STAGES = ["packed", "alone", "pairs"]


def loader(
    stage: str = "packed",
    *,
    workers: int = 0,
    state: LoaderState | None = None,
    made: dict[str, MadeSource] = SOURCES,
    **changes: object,
) -> StageLoader:
    return StageLoader(
        recipe=recipe(**changes),
        stage=stage,
        tokenizer=TOKENIZER,
        sources=made,
        workers=workers,
        prefetch=2,
        state=state,
    )


def take(own: StageLoader, count: int) -> list[LoadedBatch]:
    with own:
        return list(itertools.islice(own, count))


def same(first: list[LoadedBatch], second: list[LoadedBatch]) -> None:
    assert len(first) == len(second)
    for ours, theirs in zip(first, second, strict=True):
        assert (ours.state, ours.documents, ours.sources) == (theirs.state, theirs.documents, theirs.sources)
        a, b = ours.batch, theirs.batch
        assert (a.keys, a.spans, a.grids) == (b.keys, b.spans, b.grids)
        for name in ("ids", "targets", "positions", "segments", "pixels"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_workers_do_not_change_the_batches_and_none_is_left() -> None:
    before = set(multiprocessing.active_children())
    torch.manual_seed(3)
    random = torch.get_rng_state()
    alone = loader()
    expected = take(alone, 7)
    helped = loader(workers=2)
    same(take(helped, 7), expected)
    assert helped.refusals() == alone.refusals()
    assert torch.equal(torch.get_rng_state(), random)
    gc.collect()
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("stage", STAGES)
def test_resuming_anywhere_gives_the_same_batches(stage: str) -> None:
    own = loader(stage)
    whole = take(own, 8)
    for done in (1, 4, 7):
        state = LoaderState.from_plain(json.loads(json.dumps(whole[done - 1].state.plain())))
        assert state == whole[done - 1].state
        resumed = loader(stage, state=state)
        same(take(resumed, 8 - done), whole[done:])
        assert resumed.refusals() == own.refusals()


def test_documents_follow_the_mixture_and_nothing_is_lost() -> None:
    batches = take(loader(), 12)
    keys = [key for loaded in batches for row in loaded.batch.keys for key in row]
    assert len(keys) == len(set(keys)) == sum(loaded.documents for loaded in batches)
    counts = {form: sum(loaded.by_source().get(form, 0) for loaded in batches) for form in SOURCES}
    assert sum(counts.values()) == len(keys)
    assert counts["caption"] > counts["page"] > counts["dialogue"] > 0
    assert all(loaded.batch.num_rows == 4 and loaded.batch.ids.shape[1] == 128 for loaded in batches)
    ((_, last),) = batches[-1].state.streams
    refused = sum(count.refused for _, count in last.counts)
    assert last.next_draw == len(keys) + refused + len(last.held)


def test_any_sample_can_be_rebuilt_from_its_key() -> None:
    batch = take(loader("alone"), 1)[0].batch
    own = reader()
    for row, (key,) in enumerate(batch.keys):
        name = key.partition("#")[0]
        again = own.read_row(name, SOURCES[name].find(key), number=0).packable().example
        assert batch.ids[row, : len(again)].tolist() == again.ids


def reader() -> Reader:
    spec = recipe().stages["packed"]
    return Reader(
        mixture=Mixture(
            spec.mixture, {name: len(source) for name, source in SOURCES.items()}, seed=0, purpose="stage/packed"
        ),
        sources=SOURCES,
        encoder=Encoder(TOKENIZER, recipe().model, recipe().model.image),
        template=recipe().template,
        rows=spec.batch,
        pairs=False,
    )


def test_the_reader_travels_to_other_processes() -> None:
    ours, theirs = reader(), pickle.loads(pickle.dumps(reader()))
    for sent, again in zip(ours[3], theirs[3], strict=True):
        assert (sent.number, sent.source) == (again.number, again.source)
        if isinstance(sent.outcome, Refusal):
            assert sent.outcome == again.outcome
        else:
            assert sent.packable().example.ids == again.packable().example.ids


def test_seed_and_stage_change_the_order() -> None:
    first = take(loader(), 1)[0].batch.keys
    assert take(loader(seed=1), 1)[0].batch.keys != first
    assert take(loader("alone"), 1)[0].batch.keys[0][0] != first[0][0]


def stage(**batch: object) -> dict[str, object]:
    return {
        "only": {
            "objective": {"kind": "next_token"},
            "train": {"connector": {"mode": "full"}},
            "mixture": {"text": 1, "page": 1},
            "duration": {"steps": 10},
            "batch": {"rows": 2, "length": 64, "images": 6} | batch,
        }
    }


def test_long_documents() -> None:
    with pytest.raises(DataError, match=r"positions but a row has 16 .*long_documents"):
        take(loader("only", stages=stage(length=16, long_documents="refuse")), 20)
    skipping = loader("only", stages=stage(length=16, long_documents="skip"))
    take(skipping, 20)
    assert skipping.refusals()["text"].refused > 10
    cutting = loader("only", stages=stage(length=16, long_documents="truncate"))
    for loaded in take(cutting, 20):
        assert loaded.batch.num_learned() > 0
    assert cutting.refusals()["text"].refused < skipping.refusals()["text"].refused


def test_documents_with_more_images_than_a_row_holds_are_skipped_and_counted() -> None:
    own = loader("only", stages=stage(images=2))
    batches = take(own, 10)
    refused = own.refusals()["page"]
    assert refused.refused > 3
    assert any("images but a row may hold 2" in example["reason"] for example in refused.examples)
    assert all(loaded.batch.num_views > 0 for loaded in batches)


def test_too_many_bad_samples_end_the_stage() -> None:
    made = sources() | {"text": MadeSource("text", "text", broken=1)}
    with pytest.raises(
        DataError, match=r"data\.sources\.text: 51 samples refused in a row[\s\S]*broken on purpose"
    ) as caught:
        take(loader(made=made, workers=1), 60)
    assert "text#" in str(caught.value)


def test_a_pair_needs_exactly_one_image() -> None:
    pairs = recipe().stages["pairs"].model_dump(mode="json")
    own = loader("pairs", stages={"pairs": pairs | {"mixture": {"page": 1, "caption": 5}}, }, data={
        "sources": recipe().data.model_dump(mode="json")["sources"], "bad_samples": {"share": 1.0}})  # fmt: skip
    for loaded in take(own, 8):
        assert [span.row for span in loaded.batch.spans] == [0, 1, 2, 3, 4]
        assert all(len(row) == 1 for row in loaded.batch.keys)
    assert own.refusals()["page"].refused > 0


def test_a_batch_without_anything_to_learn_names_its_samples() -> None:
    own = loader("only", stages=stage(packing=False))
    item = own._reader.read(0).packable()
    item.example.learn[:] = [False] * len(item.example)
    own._streams[0].packer.add(item)
    own._streams[0].packer.add(item)
    with pytest.raises(DataError, match="no learned token") as caught:
        next(own)
    assert item.example.key in str(caught.value)
