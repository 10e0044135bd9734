"""Visual positions that do not match the visual tokens, and placeholders out of place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.training.checks.subjects import PLACEHOLDER, checks, failed, images, subject, text
from vlmlab.batch import Batch
from vlmlab.training.checks.placement import PLACEMENT


def _stray(batch: Batch) -> Batch:
    ids = batch.ids.clone()
    ids[1, 25] = PLACEHOLDER
    return replace(batch, ids=ids)


def _bare(batch: Batch) -> Batch:
    ids = batch.ids.clone()
    ids[0, 4] = 17
    return replace(batch, ids=ids)


def _short(batch: Batch) -> Batch:
    first, *rest = batch.spans
    ids = batch.ids.clone()
    ids[0, first.start + first.length - 1] = 17
    return replace(batch, ids=ids, spans=(replace(first, length=first.length - 1), *rest))


def _twice(batch: Batch) -> Batch:
    return replace(batch, spans=(*batch.spans, batch.spans[0]))


def _outside(batch: Batch) -> Batch:
    return replace(batch, spans=(replace(batch.spans[0], start=38), *batch.spans[1:]))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_stray, r"stand where no image is, first in source#1\.1 \(row 1, position 25\)"),
        (_bare, r"hold another id than the placeholder"),
        (_short, r"has 8 positions but connector 'mlp' produced 9 tokens for grid 3x3"),
        (_twice, r"spans overlap"),
        (_outside, r"not inside the batch"),
    ],
)
def test_what_does_not_fit_is_refused(spoil: Callable[[Batch], Batch], words: str) -> None:
    batch = images()
    # One learned token is enough, and none of them next to what is spoilt.
    targets = batch.targets.clone()
    targets[:, :-6] = -100
    targets[0, 15] = batch.ids[0, 16]
    found = checks(subject(), spoil(replace(batch, targets=targets)))
    assert PLACEMENT in failed(found)
    assert re.search(words, found[PLACEMENT].words)


@pytest.mark.parametrize("connector", ["mlp", "perceiver", "average_pool", "pixel_shuffle"])
def test_every_connector_fits_its_spans(connector: str) -> None:
    found = checks(subject(connector=connector), images(connector=connector))
    assert not failed(found)
    assert found[PLACEMENT].outcome == "ok"


def test_text_has_no_visual_positions() -> None:
    assert checks(subject(train=("language",)), text())[PLACEMENT].outcome == "not applicable"
