"""Batches that teach nothing, or something else than the next token of their document."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.training.checks.subjects import PLACEHOLDER, checks, contrastive_subject, failed, images, subject
from vlmlab.batch import IGNORED, Batch
from vlmlab.training.checks.supervision import DOCUMENTS, SUPERVISION, probe_documents, probe_supervision


def test_a_batch_without_a_learned_token_is_refused_by_its_documents() -> None:
    batch = images()
    nothing = replace(batch, targets=torch.full_like(batch.targets, IGNORED))
    found = checks(subject(), nothing)
    assert failed(found) == {SUPERVISION}
    assert "0 of 68 tokens" in found[SUPERVISION].words
    assert "source#0.0, source#0.1" in found[SUPERVISION].words


def test_shifted_targets_are_refused() -> None:
    batch = images()
    unshifted = torch.where(batch.targets == IGNORED, IGNORED, batch.ids)
    assert "not the next token" in _words(replace(batch, targets=unshifted))


def test_targets_across_a_document_s_end_are_refused() -> None:
    batch = images()
    targets = batch.targets.clone()
    targets[0, 13] = batch.ids[0, 14]
    assert "source#0.0 (row 0, position 13)" in _words(replace(batch, targets=targets))


def test_padding_and_placeholders_are_no_targets() -> None:
    batch = images()
    targets = batch.targets.clone()
    targets[1, 36] = batch.ids[1, 37]
    assert "padding (row 1, position 36)" in _words(replace(batch, targets=targets))
    targets = batch.targets.clone()
    targets[0, 3] = PLACEHOLDER
    assert "image placeholder" in _words(replace(batch, targets=targets))


def test_a_document_that_teaches_nothing_is_noted() -> None:
    batch = images()
    targets = batch.targets.clone()
    targets[0, 14:23] = IGNORED
    check = probe_supervision(subject(), replace(batch, targets=targets))
    assert check.outcome == "note"
    assert "1 documents teach nothing, such as source#0.1" in check.words


def test_one_pair_is_no_contrastive_batch() -> None:
    several = contrastive_subject("sigmoid")
    stage = several.stage.model_copy(update={"batch": several.stage.batch.model_copy(update={"rows": 1})})
    assert "at least two" in probe_supervision(replace(several, stage=stage), images([[14]])).words
    # One pair of many: a process's share of the step.
    assert probe_supervision(several, images([[14]])).outcome == "ok"


def test_documents_that_share_a_segment_are_refused() -> None:
    batch = images()
    found = checks(subject(), replace(batch, segments=batch.segments.clamp(max=1)))
    assert DOCUMENTS in failed(found)
    assert "Documents of one segment see each other" in found[DOCUMENTS].words


def test_positions_that_run_on_are_refused() -> None:
    batch = images()
    running = torch.arange(batch.ids.shape[1]).expand_as(batch.ids)
    assert "do not restart" in probe_documents(replace(batch, positions=running)).words


def test_rows_without_documents_pass() -> None:
    batch = images([[14], []])
    batch = replace(batch, spans=batch.spans[:1], targets=batch.targets.index_fill(0, torch.tensor([1]), IGNORED))
    assert probe_documents(batch).outcome == "ok"
    assert not failed(checks(subject(), replace(batch, ids=batch.ids * (batch.segments != 0))))


def _words(batch: Batch) -> str:
    check = probe_supervision(subject(), batch)
    assert check.outcome == "failed"
    return check.words
