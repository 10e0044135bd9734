"""Models whose attention leaks, backwards or between documents, and those whose attention does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.training.checks.subjects import checks, contrastive_subject, failed, images, subject, text
from vlmlab.models import attention
from vlmlab.models.attention import Dense, Kernel, Layout, make_layout
from vlmlab.models.build import BuildOptions
from vlmlab.training.checks.isolation import CAUSALITY, ISOLATION, probe_isolation

LAYOUT = "vlmlab.models.language.causal.make_layout"


def one_segment(segments: Tensor, *, num_queries: int, kernel: Kernel, dtype: torch.dtype) -> Layout:
    """Positions restart and segments are there, but the attention takes a row for one document."""
    return make_layout(segments.clamp(max=1), num_queries=num_queries, kernel=kernel, dtype=dtype)


def both_ways(segments: Tensor, *, num_queries: int, kernel: Kernel, dtype: torch.dtype) -> Layout:
    """Inside a document every position sees every other."""
    allowed = (segments[:, :, None] == segments[:, None, :])[:, None]
    return Dense(allowed, attention._bias(allowed, dtype))


@pytest.mark.parametrize("kernel", ["auto", "matmul", "sdpa", "segments"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_sound_model_moves_by_exactly_nothing(kernel: Kernel, precision: str) -> None:
    found = checks(subject(options=BuildOptions(attention=kernel), precision=precision), images())
    assert not failed(found)
    assert "5 documents, largest difference 0 " in found[ISOLATION].words
    assert "largest difference 0 " in found[CAUSALITY].words


def test_documents_that_see_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LAYOUT, one_segment)
    found = checks(subject(), images())
    assert failed(found) == {ISOLATION}
    assert "other content in source#0.0" in found[ISOLATION].words
    assert "moved hidden states of source#0.1" in found[ISOLATION].words


def test_a_leak_into_any_document_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def second_to_third(segments: Tensor, *, num_queries: int, kernel: Kernel, dtype: torch.dtype) -> Layout:
        merged = torch.where(segments == 3, 2, segments)
        return make_layout(merged, num_queries=num_queries, kernel="matmul", dtype=dtype)

    monkeypatch.setattr(LAYOUT, second_to_third)
    assert failed(checks(subject(), images([[20, 10], [14, 9, 12]]))) == {ISOLATION}


def test_a_model_that_sees_the_future_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LAYOUT, both_ways)
    found = checks(subject(), images())
    assert failed(found) == {CAUSALITY}
    assert "not causal" in found[CAUSALITY].words


def test_rows_that_see_each_other_are_refused() -> None:
    # What a norm over the batch does: every row moves with the others' content.
    leaky = subject()
    leaky.model.language.causal.model.norm.register_forward_hook(
        lambda module, inputs, output: output + output.mean(dim=0, keepdim=True)
    )
    assert ISOLATION in failed(checks(leaky, images()))


def test_a_model_that_does_not_read_its_input_is_refused() -> None:
    blind = subject()
    blind.model.language.causal.model.norm.register_forward_hook(lambda module, inputs, output: output * 0.0 + 1.0)
    found = checks(blind, images())
    assert "does not read its input" in found[ISOLATION].words


def test_states_that_are_not_finite_are_refused() -> None:
    spoilt = subject()
    with torch.no_grad():
        spoilt.model.language.blocks[1].mlp.down_proj.weight[0, 0] = torch.nan  # ty: ignore[unresolved-attribute]
    found = checks(spoilt, images())
    assert "not finite" in found[ISOLATION].words


def test_unpacked_rows_are_joined_where_packing_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = images([[20], [14]])
    found = {check.name: check for check in probe_isolation(subject(), alone, packing=True)}
    assert "2 documents" in found[ISOLATION].words
    assert "one was made" in found[ISOLATION].words
    found = {check.name: check for check in probe_isolation(subject(), alone, packing=False)}
    assert found[ISOLATION].outcome == "not applicable"
    assert found[CAUSALITY].outcome == "ok"
    monkeypatch.setattr(LAYOUT, one_segment)
    assert failed({check.name: check for check in probe_isolation(subject(), alone, packing=True)}) == {ISOLATION}


def test_a_view_that_both_documents_show_stays_as_it_is() -> None:
    batch = images([[14, 13], [20]])
    shared = replace(batch.spans[0], start=15)
    ids = batch.ids.clone()
    ids[0, 15 : 15 + shared.length] = 3
    targets = batch.targets.clone()
    targets[0, 14:24] = -100
    found = checks(subject(), replace(batch, ids=ids, targets=targets, spans=(*batch.spans, shared)))
    assert not failed(found)


def test_micro_batches_are_probed_one_by_one() -> None:
    found = checks(subject(rows=1), images([[20], [14, 9, 12]]))
    assert "3 documents" in found[ISOLATION].words
    assert not failed(checks(subject(train=("language",), rows=1), text()))


def test_a_contrastive_stage_packs_nothing() -> None:
    found = checks(contrastive_subject("softmax"), images([[14], [20], [17]]))
    assert not failed(found)
    assert found[ISOLATION].outcome == "not applicable"
