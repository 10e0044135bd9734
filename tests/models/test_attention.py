from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from tests.models.tiny import row
from vlmlab.errors import BatchError, RecipeError
from vlmlab.models.attention import Dense, Full, Kernel, Segmented, allowed_pairs, attend, attention, make_layout

KERNELS: tuple[Kernel, ...] = ("matmul", "sdpa", "segments", "auto")
LENGTHS = [[5, 9, 3], [16], [1, 1, 14, 2], [20]]


def some_segments(length: int = 20) -> Tensor:
    return torch.tensor([row(lengths, length)[0] for lengths in LENGTHS])


def states(segments: Tensor, *, heads: int = 4, kv_heads: int = 2, size: int = 8, dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(0)
    rows, length = segments.shape
    return [
        torch.randn(rows, count, length, size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for count in (heads, kv_heads, kv_heads)
    ]


def test_allowed_pairs_is_causal_within_a_segment_and_padding_sees_itself():
    found = allowed_pairs(torch.tensor([[1, 1, 2, 0]]), num_queries=4)[0, 0].int().tolist()
    assert found == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_allowed_pairs_with_past_columns_asks_for_the_last_ones():
    segments = torch.tensor([[0, 1, 1, 1]])
    whole = allowed_pairs(segments, num_queries=4)
    torch.testing.assert_close(allowed_pairs(segments, num_queries=2), whole[:, :, 2:])


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("kernel", [kernel for kernel in KERNELS if kernel != "matmul"])
def test_kernels_agree_forward_and_backward(kernel: Kernel, left: bool):
    segments = some_segments().flip(1) if left else some_segments()
    outcomes = []
    for name in ("matmul", kernel):
        inputs = states(segments)
        layout = make_layout(segments, num_queries=20, kernel=name, dtype=torch.float32)
        out = attend(*inputs, layout=layout, scaling=0.3)
        gradients = torch.autograd.grad((out * torch.arange(8.0)).square().sum(), inputs)
        outcomes.append([out, *gradients])
    for reference, found in zip(*outcomes, strict=True):
        torch.testing.assert_close(found / reference.abs().max(), reference / reference.abs().max(), atol=1e-5, rtol=0)


def test_fused_and_plain_segments_agree():
    segments = some_segments()
    layout = make_layout(segments, num_queries=20, kernel="segments", dtype=torch.float32)
    assert isinstance(layout, Segmented)
    found = [
        attend(*states(segments), layout=dataclasses.replace(layout, fused=fused), scaling=0.3)
        for fused in (False, True)
    ]
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)


def test_reference_agrees_with_a_loop_over_heads_and_queries():
    segments = some_segments()
    query, key, value = (part.detach() for part in states(segments, dtype=torch.float64))
    layout = make_layout(segments, num_queries=20, kernel="matmul", dtype=torch.float64)
    found = attend(query, key, value, layout=layout, scaling=0.3)
    for head, position in [(0, 3), (1, 7), (2, 13), (3, 16)]:
        group = head // 2
        seen = [c for c in range(position + 1) if segments[0, c] == segments[0, position] or c == position]
        if segments[0, position] == 0:
            seen = [position]
        weights = torch.softmax(0.3 * key[0, group, seen] @ query[0, head, position], dim=0)
        torch.testing.assert_close(found[0, position, head], weights @ value[0, group, seen])


def test_segments_hold_every_position_once():
    segments = some_segments()
    layout = make_layout(segments, num_queries=20, kernel="segments", dtype=torch.float32)
    assert isinstance(layout, Segmented)
    assert torch.equal(layout.slots[layout.places], torch.arange(segments.numel()))
    slots = sum(group.count * group.length for group in layout.groups)
    assert slots == layout.slots.numel() == segments.numel() + layout.spare.numel()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_changed_neighbour_of_equal_length_moves_nothing(kernel: Kernel, dtype: torch.dtype):
    segments = some_segments()
    layout = make_layout(segments, num_queries=20, kernel=kernel, dtype=dtype)
    inputs = [part.detach() for part in states(segments, dtype=dtype)]
    before = attend(*inputs, layout=layout, scaling=0.3)
    changed = [part.clone() for part in inputs]
    for part in changed:
        part[0, :, 5:14] = 3.0  # the second segment of row 0
    after = attend(*changed, layout=layout, scaling=0.3)
    assert torch.equal(before[0, :5], after[0, :5])
    assert torch.equal(before[0, 14:], after[0, 14:])
    assert torch.equal(before[1:], after[1:])
    assert not torch.equal(before[0, 5:14], after[0, 5:14])


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_stay_inside_a_segment(kernel: Kernel):
    segments = some_segments()
    inputs = states(segments)
    layout = make_layout(segments, num_queries=20, kernel=kernel, dtype=torch.float32)
    out = attend(*inputs, layout=layout, scaling=0.3)
    for gradient in torch.autograd.grad(out[0, 5:14].square().sum(), inputs):
        assert gradient[0, :, 5:14].abs().sum() > 0
        gradient[0, :, 5:14] = 0
        assert gradient.abs().max() == 0


def test_auto_attends_per_segment_only_where_it_saves_work():
    packed = torch.tensor([row([5, 5, 5, 5], 20)[0]])
    single = torch.tensor([row([19], 20)[0]])
    assert isinstance(make_layout(packed, num_queries=20, kernel="auto", dtype=torch.float32), Segmented)
    assert isinstance(make_layout(single, num_queries=20, kernel="auto", dtype=torch.float32), Dense)


def test_full_attention_is_torch_attention():
    query, key, value = (part.detach() for part in states(some_segments(), kv_heads=4))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=0.3).transpose(1, 2)
    for fused in (False, True):
        torch.testing.assert_close(attend(query, key, value, layout=Full(fused=fused), scaling=0.3), expected)


def test_flex_is_refused_without_cuda():
    with pytest.raises(RecipeError, match="needs a CUDA device"):
        make_layout(some_segments(), num_queries=20, kernel="flex", dtype=torch.float32)


def test_rows_beyond_a_sliding_window_are_refused():
    inputs = [part.detach() for part in states(some_segments())]
    layout = make_layout(some_segments(), num_queries=20, kernel="matmul", dtype=torch.float32)
    attention(torch.nn.Identity(), *inputs, layout, scaling=1.0, sliding_window=20)
    with pytest.raises(BatchError, match="within 19"):
        attention(torch.nn.Identity(), *inputs, layout, scaling=1.0, sliding_window=19)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kernel", ["sdpa", "segments", "flex", "auto"])
def test_kernels_agree_on_a_gpu(kernel: Kernel):
    lengths = [[40, 70, 15], [128], [1, 1, 90, 20], [30]]
    segments = torch.tensor([row(part, 128)[0] for part in lengths]).cuda()
    outcomes = []
    for name in ("matmul", kernel):
        inputs = [part.detach().cuda().requires_grad_() for part in states(segments.cpu(), size=32)]
        layout = make_layout(segments, num_queries=128, kernel=name, dtype=torch.float32)
        out = attend(*inputs, layout=layout, scaling=0.2)
        outcomes.append([out, *torch.autograd.grad(out.square().sum(), inputs)])
    for reference, found in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, reference, atol=2e-3, rtol=2e-3)
