from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.models.tiny import VOCABULARY, model_spec, packed_batch, tiny_model
from vlmlab.batch import IGNORED
from vlmlab.models.loss import chunked_cross_entropy, next_token_loss


@pytest.mark.parametrize("chunk", [1, 4, 10, 99])
def test_equals_plain_cross_entropy_with_gradients(chunk: int):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(10, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(17, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 17, (10,), generator=generator)
    expected = F.cross_entropy(states @ weight.t(), targets, reduction="sum")
    found, terms = chunked_cross_entropy(states, weight, targets, chunk=chunk)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(terms, F.cross_entropy(states @ weight.t(), targets, reduction="none"))
    assert not terms.requires_grad
    for one, other in zip(
        torch.autograd.grad(3 * found, [states, weight]),
        torch.autograd.grad(3 * expected, [states, weight]),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_side_gets_no_gradient(frozen: int):
    sides = [torch.randn(5, 4, requires_grad=frozen != 0), torch.randn(9, 4, requires_grad=frozen != 1)]
    chunked_cross_entropy(*sides, torch.arange(5), chunk=2)[0].backward()
    assert sides[frozen].grad is None
    assert sides[1 - frozen].grad is not None


def test_only_learned_positions_count():
    model = tiny_model()
    batch = packed_batch(model_spec(), [[20, 12], [35]])
    hidden = model(batch)
    loss = next_token_loss(model, hidden, batch.targets, chunk=8)
    expected = F.cross_entropy(
        model.head(hidden).view(-1, VOCABULARY), batch.targets.view(-1), ignore_index=IGNORED, reduction="sum"
    )
    torch.testing.assert_close(loss.total, expected)
    assert loss.count == batch.num_learned() > 0
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for one, other in zip(
        torch.autograd.grad(loss.total, parameters, retain_graph=True),
        torch.autograd.grad(expected, parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_nothing_learned_is_a_zero_that_can_be_differentiated():
    model = tiny_model()
    batch = packed_batch(model_spec(), [[20, 12]])
    loss = next_token_loss(model, model(batch), torch.full_like(batch.targets, IGNORED), chunk=8)
    loss.total.backward()
    assert loss.count == 0
    assert float(loss.total.detach()) == 0.0


def test_no_more_than_a_chunk_of_logits_is_made(monkeypatch: pytest.MonkeyPatch):
    rows: list[int] = []
    real = torch.mm

    def watched(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        result = real(first, second)
        if result.shape[1] == 1000:
            rows.append(result.shape[0])
        return result

    monkeypatch.setattr(torch, "mm", watched)
    states = torch.randn(50, 4, requires_grad=True)
    chunked_cross_entropy(states, torch.randn(1000, 4), torch.arange(50), chunk=16)[0].backward()
    assert rows == [16, 16, 16, 2]


def test_bfloat16_products_keep_a_float32_softmax():
    generator = torch.Generator().manual_seed(0)
    states, weight = torch.randn(64, 32, generator=generator), torch.randn(500, 32, generator=generator)
    targets = torch.randint(0, 500, (64,), generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = chunked_cross_entropy(states, weight, targets, chunk=16)
    assert found.dtype == torch.float32
    expected = F.cross_entropy((states.bfloat16() @ weight.bfloat16().t()).float(), targets, reduction="sum")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
