"""Cross-entropy at learned positions only, with the logits of one chunk in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vlmlab.batch import IGNORED

if TYPE_CHECKING:
    from vlmlab.models.model import VisionLanguageModel


@dataclass(frozen=True, slots=True)
class Loss:
    """A sum and the number of terms it is to be divided by (learned tokens or pairs), globally over a step."""

    total: Tensor
    count: int
    terms: Tensor | None = None
    """The terms themselves, detached, in the order of the learned positions (row by row); None where there is no order.
    """


class _TakeRows(torch.autograd.Function):
    """Rows of a matrix, each taken at most once: the backward pass copies instead of adding row by row."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.rows = states.shape[0]
        return states.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (index,), (gradient,) = ctx.saved_tensors, gradients
        return gradient.new_zeros(ctx.rows, gradient.shape[1]).index_copy_(0, index, gradient), None


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of -log softmax(states @ weight.T)[target]. Gradients are formed in the forward pass, chunk by chunk, so
    that no logits outlive their chunk and none are computed twice (as liger-kernel does)."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, chunk: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        needs_states, needs_weight = ctx.needs_input_grad[:2]
        wide = torch.promote_types(dtype, torch.float32)
        narrow_weight = weight.to(dtype)
        total = torch.zeros((), dtype=wide, device=states.device)
        terms = torch.empty(states.shape[0], dtype=wide, device=states.device)
        states_gradient = torch.empty_like(states) if needs_states else None
        weight_gradient = torch.zeros_like(weight) if needs_weight else None
        for start in range(0, states.shape[0], chunk):
            rows = slice(start, start + chunk)
            part, target = states[rows].to(dtype), targets[rows, None]
            logits = torch.mm(part, narrow_weight.t()).to(wide)
            normaliser = torch.logsumexp(logits, dim=1, keepdim=True)
            terms[rows] = (normaliser - logits.gather(1, target)).squeeze(1)
            total += terms[rows].sum()
            if not (needs_states or needs_weight):
                continue
            logits.sub_(normaliser).exp_()
            logits.scatter_add_(1, target, logits.new_full(target.shape, -1.0))
            slope = logits.to(dtype)
            if states_gradient is not None:
                states_gradient[rows] = torch.mm(slope, narrow_weight)
            if weight_gradient is not None:
                weight_gradient += torch.mm(slope.t(), part)
        ctx.save_for_backward(states_gradient, weight_gradient)
        ctx.mark_non_differentiable(terms)
        return total, terms

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        (states_gradient, weight_gradient), (gradient, _) = ctx.saved_tensors, gradients
        return (
            None if states_gradient is None else states_gradient * gradient.to(states_gradient.dtype),
            None if weight_gradient is None else weight_gradient * gradient.to(weight_gradient.dtype),
            None,
            None,
            None,
        )


def chunked_cross_entropy(states: Tensor, weight: Tensor, targets: Tensor, *, chunk: int) -> tuple[Tensor, Tensor]:
    """Cross-entropies of `states` (n, width) against `targets` (n,) under the output layer `weight`: their sum, and the
    terms (n,), through which no gradient flows.

    Products run in autocast's type where it is on, the softmax in float32 at least.
    """
    device = states.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
    with torch.autocast(device, enabled=False):
        return _ChunkedCrossEntropy.apply(states, weight, targets, chunk, dtype)


def next_token_loss(model: VisionLanguageModel, hidden: Tensor, targets: Tensor, *, chunk: int) -> Loss:
    """Negative log-likelihood in nats, summed over the positions whose target is not IGNORED.

    `hidden` is (rows, length, width), `targets` int64 (rows, length); at most `chunk` positions have logits at once.
    """
    index = torch.nonzero(targets.reshape(-1) != IGNORED).squeeze(1)
    states = _TakeRows.apply(hidden.reshape(-1, hidden.shape[-1]), index)
    weight = model.language.head_weight
    total, terms = chunked_cross_entropy(states, weight, targets.reshape(-1)[index], chunk=chunk)
    return Loss(total, index.numel(), terms)
