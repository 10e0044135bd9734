"""Attention among the positions of packed rows: who sees whom, and the kernels that compute it.

A layout says which positions see each other. It is made once a forward pass and travels to every block as an argument,
through the place where Hugging Face's blocks expect a mask. Letters in this file: R rows, H heads, G key and value
heads, L positions, C columns (past and present positions), D size of a head, N segments, M positions of a segment.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vlmlab.errors import BatchError, RecipeError

ATTENTION_NAME = "vlmlab"
"""The name under which Hugging Face's blocks find `attention`."""

Kernel = Literal["auto", "matmul", "sdpa", "segments", "flex"]

BUCKET_SHARE = 0.8
"""Segments shorter than this share of their group's longest start a new group: little of a square is padding."""

SEGMENTS_SHARE = 0.7
"""Largest share of the whole square that is worth gathering segments for."""


@dataclass(frozen=True, slots=True)
class Full:
    """Every position sees every other (vision)."""

    fused: bool


@dataclass(frozen=True, slots=True)
class Dense:
    """A mask over the whole square: bool `allowed` (R, 1, L, C), and for matmul the same as 0 or -inf in `bias`."""

    allowed: Tensor
    bias: Tensor | None


@dataclass(frozen=True, slots=True)
class Group:
    """`count` segments padded on the right to `length`. Length 1 needs no attention: a position that sees itself."""

    count: int
    length: int


@dataclass(frozen=True, slots=True)
class Segmented:
    """Each segment is attended to by itself, causally, in groups of similar length.

    slots   int64 (S,)      position (row-major) that stands in each slot of the groups, laid one after the other
    places  int64 (R * L,)  slot of each position
    spare   int64           slots that hold no position (right padding of a segment); they hold zeros
    """

    slots: Tensor
    places: Tensor
    spare: Tensor
    groups: tuple[Group, ...]
    fused: bool


@dataclass(frozen=True, slots=True)
class Flex:
    """FlexAttention's block mask (CUDA)."""

    block_mask: Any


Layout = Full | Dense | Segmented | Flex


def fused_on(device: str, *, length: int, dtype: torch.dtype) -> bool:
    """Whether to use torch's fused attention for squares of this length, rather than plain matmul. CUDA: always, not
    yet measured here.

    Measured forward and backward on one CPU core (torch 2.13, milliseconds, plain / fused): causal segments of 30 to 60
    in bfloat16 7.6 / 28.4; of 200 to 250 18.8 / 32.6; of 500 22.4 / 33.9: plain stays ahead up to about 1024. In
    float32 (benchmarks/attention.py, four times) segments of 30 to 60 123 / 120, of 100 to 140 195 / 165, of 200 to 250
    348 / 249, and the whole square of 256 345 / 235; on two threads the order is the same. Where both are equal, plain.
    """
    if device != "cpu":
        return True
    return length > (1024 if dtype == torch.bfloat16 else 128)


def allowed_pairs(segments: Tensor, *, num_queries: int) -> Tensor:
    """Bool (R, 1, L, C): a query sees columns of its own segment up to itself; padding sees only itself.

    `segments` is (R, C); the queries are its last `num_queries` columns. One row [1, 1, 2, 0] gives

        1 . . .
        1 1 . .
        . . 1 .
        . . . 1
    """
    columns = segments.shape[1]
    column = torch.arange(columns, device=segments.device)
    query = column[columns - num_queries :]
    same = segments[:, columns - num_queries :, None] == segments[:, None, :]
    real = (segments != 0)[:, None, :]
    causal = column[None, :] <= query[:, None]
    itself = column[None, :] == query[:, None]
    return ((same & real & causal) | itself)[:, None]


def make_layout(segments: Tensor, *, num_queries: int, kernel: Kernel, dtype: torch.dtype) -> Layout:
    """The layout of rows whose positions carry `segments` (R, C), of which the last `num_queries` ask.

    A segment is one unbroken run of its number; 0 is padding. With past columns (a cache) the mask is dense whatever
    the kernel. `auto` attends per segment where that needs at most SEGMENTS_SHARE of the whole square, else densely: on
    a CPU, rows of 256 in bfloat16, dense / per segment took 384 / 104 ms for segments of 30 to 60 (24 rows), 351 / 115
    for 60 to 120, 233 / 162 for one of 150 to 200 a row (0.6 of the square), 146 / 182 for one of 200 to 250 (0.95).
    """
    device = segments.device.type
    rows, columns = segments.shape
    if columns != num_queries:
        return _dense(segments, num_queries=num_queries, dtype=dtype, fused=device != "cpu")
    match kernel:
        case "auto":
            layout = segmented(segments, dtype=dtype)
            area = sum(group.count * group.length**2 for group in layout.groups)
            if area <= SEGMENTS_SHARE * rows * columns**2:
                return layout
            fused = fused_on(device, length=columns, dtype=dtype)
            return _dense(segments, num_queries=num_queries, dtype=dtype, fused=fused)
        case "matmul" | "sdpa":
            return _dense(segments, num_queries=num_queries, dtype=dtype, fused=kernel == "sdpa")
        case "segments":
            return segmented(segments, dtype=dtype)
        case "flex":
            return _flex(segments)
        case _:
            assert_never(kernel)


def _dense(segments: Tensor, *, num_queries: int, dtype: torch.dtype, fused: bool) -> Dense:
    allowed = allowed_pairs(segments, num_queries=num_queries)
    return Dense(allowed, None if fused else _bias(allowed, dtype))


def _bias(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -math.inf)


def segmented(segments: Tensor, *, dtype: torch.dtype) -> Segmented:
    """Group the segments of all rows by length. `segments` is (R, L)."""
    rows, length = segments.shape
    ids = segments.cpu().numpy()
    breaks = np.ones((rows, length), dtype=bool)
    # A padding position is a segment of its own: it sees itself and costs nothing.
    breaks[:, 1:] = (ids[:, 1:] != ids[:, :-1]) | (ids[:, 1:] == 0)
    starts = np.flatnonzero(breaks)
    lengths = np.diff(starts, append=rows * length)
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    slots: list[np.ndarray] = []
    real: list[np.ndarray] = []
    groups: list[Group] = []
    first = 0
    while first < len(lengths):
        longest = int(lengths[first])
        # Lengths fall, so the group ends where the first one falls below its share.
        last = int(np.searchsorted(-lengths, -max(1.0, BUCKET_SHARE * longest), side="right"))
        offsets = np.arange(longest)
        inside = offsets[None, :] < lengths[first:last, None]
        slots.append(np.where(inside, starts[first:last, None] + offsets[None, :], 0).ravel())
        real.append(inside.ravel())
        groups.append(Group(last - first, longest))
        first = last
    slot_positions, is_real = np.concatenate(slots), np.concatenate(real)
    places = np.empty(rows * length, dtype=np.int64)
    places[slot_positions[is_real]] = np.flatnonzero(is_real)
    device = segments.device
    return Segmented(
        slots=torch.from_numpy(slot_positions).to(device),
        places=torch.from_numpy(places).to(device),
        spare=torch.from_numpy(np.flatnonzero(~is_real)).to(device),
        groups=tuple(groups),
        fused=fused_on(device.type, length=groups[0].length, dtype=dtype),
    )


def _flex(segments: Tensor) -> Flex:
    if segments.device.type != "cuda":
        raise RecipeError(
            "machine.attention", f"kernel 'flex' needs a CUDA device, found {segments.device.type}; use 'auto'"
        )
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(row: Tensor, head: Tensor, query: Tensor, column: Tensor) -> Tensor:
        same = (segments[row, query] == segments[row, column]) & (segments[row, query] != 0) & (column <= query)
        return same | (query == column)

    rows, length = segments.shape
    return Flex(create_block_mask(sees, B=rows, H=None, Q_LEN=length, KV_LEN=length, device=segments.device))


@functools.cache
def _compiled_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


class _Pack(torch.autograd.Function):
    """Positions to slots. Each position stands in exactly one slot, so the backward pass is a gather too: torch's own
    (index_add) goes row by row on a CPU."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, slots: Tensor, places: Tensor, spare: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        packed = states.index_select(0, slots)
        return packed.index_fill_(0, spare, 0) if spare.numel() else packed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (places,), (gradient,) = ctx.saved_tensors, gradients
        return gradient.index_select(0, places), None, None, None


class _Unpack(torch.autograd.Function):
    """Slots to positions, the inverse of `_Pack`."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, slots: Tensor, places: Tensor, spare: Tensor) -> Tensor:
        ctx.save_for_backward(slots, spare)
        return packed.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (slots, spare), (gradient,) = ctx.saved_tensors, gradients
        packed = gradient.index_select(0, slots)
        return packed.index_fill_(0, spare, 0) if spare.numel() else packed, None, None, None


def attend(query: Tensor, key: Tensor, value: Tensor, *, layout: Layout, scaling: float) -> Tensor:
    """Attention. query (R, H, L, D), key and value (R, G, C, D) with H a multiple of G; gives (R, L, H, D)."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    match layout:
        case Full():
            attended = (
                _fused(query, key, value, scaling=scaling)
                if layout.fused
                else _plain(query, key, value, None, scaling=scaling)
            )
            return attended.transpose(1, 2)
        case Dense():
            if layout.bias is None:
                return _fused(query, key, value, scaling=scaling, allowed=layout.allowed).transpose(1, 2)
            return _plain(query, key, value, layout.bias, scaling=scaling).transpose(1, 2)
        case Segmented():
            return _attend_segments(query, key, value, layout=layout, scaling=scaling)
        case Flex():
            grouped = query.shape[1] != key.shape[1]
            flex = _compiled_flex()
            attended = flex(query, key, value, block_mask=layout.block_mask, scale=scaling, enable_gqa=grouped)
            return attended.transpose(1, 2)
        case _:
            assert_never(layout)


def _attend_segments(query: Tensor, key: Tensor, value: Tensor, *, layout: Segmented, scaling: float) -> Tensor:
    rows, heads, length, size = query.shape
    packed = [
        _Pack.apply(states.transpose(1, 2).reshape(rows * length, -1), layout.slots, layout.places, layout.spare)
        for states in (query, key, value)
    ]
    attended: list[Tensor] = []
    ends = list(itertools.accumulate(group.count * group.length for group in layout.groups))
    for group, end in zip(layout.groups, ends, strict=True):
        start = end - group.count * group.length
        q, k, v = (states[start:end].view(group.count, group.length, -1, size).transpose(1, 2) for states in packed)
        if group.length == 1:
            out = _repeat_heads(v, heads)
        elif layout.fused:
            out = _fused(q, k, v, scaling=scaling, causal=True)
        else:
            out = _plain(q, k, v, _causal_bias(group.length, q), scaling=scaling)
        attended.append(out.transpose(1, 2).reshape(group.count * group.length, heads * size))
    together = attended[0] if len(attended) == 1 else torch.cat(attended)
    return _Unpack.apply(together, layout.slots, layout.places, layout.spare).view(rows, length, heads, size)


def _causal_bias(length: int, like: Tensor) -> Tensor:
    return torch.full((length, length), -math.inf, dtype=like.dtype, device=like.device).triu_(1)


def _repeat_heads(states: Tensor, heads: int) -> Tensor:
    """(R, G, C, D) to (R, H, C, D): each key and value head serves H / G neighbouring query heads."""
    repeats = heads // states.shape[1]
    return states if repeats == 1 else states.repeat_interleave(repeats, dim=1)


def _plain(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *, scaling: float) -> Tensor:
    key, value = _repeat_heads(key, query.shape[1]), _repeat_heads(value, query.shape[1])
    scores = torch.matmul(query * scaling, key.transpose(2, 3))
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    return torch.matmul(weights.to(value.dtype), value)


def _fused(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float, allowed: Tensor | None = None, causal: bool = False
) -> Tensor:
    key, value = _repeat_heads(key, query.shape[1]), _repeat_heads(value, query.shape[1])
    return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed, is_causal=causal, scale=scaling)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Layout,
    *,
    scaling: float,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What Hugging Face's blocks call, with a layout as mask. Raises BatchError beyond a model's sliding window."""
    assert dropout == 0.0, "attention dropout is not supported"
    if sliding_window is not None and key.shape[2] > sliding_window:
        raise BatchError(
            "batch",
            f"rows of {key.shape[2]} positions, but the model attends within {sliding_window}; use shorter rows",
        )
    return attend(query, key, value, layout=attention_mask, scaling=scaling), None


def register_attention() -> None:
    """Make `attention` known to Hugging Face's blocks. Doing it twice is harmless."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION_NAME, attention)
