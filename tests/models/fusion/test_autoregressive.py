from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.models.tiny import model_spec, packed_batch, tiny_model
from vlmlab.batch import ImageSpan
from vlmlab.errors import BatchError


def test_spans_are_filled_and_the_rest_is_text():
    model = tiny_model()
    batch = packed_batch(model_spec(), [[20, 10], [30]])
    embeddings = model.embed(batch)
    visual = model.visual_tokens(batch.pixels, batch.grids)
    text = model.language.embed_tokens(batch.ids)
    for row in range(2):
        torch.testing.assert_close(embeddings[row, 1:10], visual[row])
        torch.testing.assert_close(embeddings[row, 10:], text[row, 10:])
        torch.testing.assert_close(embeddings[row, 0], text[row, 0])


def test_given_visual_tokens_are_used():
    model = tiny_model()
    batch = packed_batch(model_spec(), [[20, 10]])
    visual = [torch.full((9, 32), 5.0)]
    assert (model.embed(batch, visual)[0, 1:10] == 5.0).all()


def test_one_view_may_stand_in_two_spans_and_gets_both_gradients():
    model = tiny_model()
    batch = packed_batch(model_spec(), [[30]])
    batch = dataclasses.replace(batch, spans=(ImageSpan(0, 1, 9, 0), ImageSpan(0, 15, 9, 0)))
    visual = [torch.zeros(9, 32, requires_grad=True)]
    model.embed(batch, visual).sum().backward()
    assert visual[0].grad is not None
    assert (visual[0].grad == 2).all()


def test_placeholder_embeddings_get_no_gradient():
    model = tiny_model()
    batch = packed_batch(model_spec(), [[30]])
    batch.ids[0, 1:10] = 3
    model.embed(batch).sum().backward()
    gradient = model.language.causal.model.embed_tokens.weight.grad
    assert gradient is not None
    assert gradient[3].abs().sum() == 0


def test_a_wrong_span_says_both_numbers():
    model = tiny_model()
    batch = packed_batch(model_spec(), [[30]])
    wrong = dataclasses.replace(batch, spans=(ImageSpan(0, 1, 7, 0),))
    with pytest.raises(BatchError, match="span 0 has 7 positions but connector 'mlp' produced 9 tokens for grid 3x3"):
        model(wrong)
    with pytest.raises(BatchError, match="shows view 1, but the batch has 1"):
        model(dataclasses.replace(batch, spans=(ImageSpan(0, 1, 9, 1),)))
    with pytest.raises(BatchError, match="covers positions 35 to 44"):
        model(dataclasses.replace(batch, spans=(ImageSpan(0, 35, 9, 0),)))
