"""Rows of all processes as one tensor, with gradients, for losses whose negatives are the whole step."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Gather(torch.autograd.Function):
    """Concatenate equal shapes over processes. Each process's loss may depend on every row, so the backward pass adds
    up what all of them say about this process's rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.contiguous()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather_rows(own: Tensor) -> Tensor:
    """(rows, ...) of this process to the rows of all, in order of rank. Alone it is the same tensor."""
    return _Gather.apply(own) if dist.is_initialized() else own


def gather_padded(own: Tensor, *, fill: int) -> Tensor:
    """int64 (rows, length), where lengths differ between processes, to the rows of all, padded with `fill`."""
    if not dist.is_initialized():
        return own
    longest = torch.tensor([own.shape[1]], device=own.device)
    dist.all_reduce(longest, dist.ReduceOp.MAX)
    padded = own.new_full((own.shape[0], int(longest)), fill)
    padded[:, : own.shape[1]] = own
    return _Gather.apply(padded)


def first_row(rows: int) -> int:
    """Where this process's rows begin among those of all, if each has as many."""
    return dist.get_rank() * rows if dist.is_initialized() else 0
