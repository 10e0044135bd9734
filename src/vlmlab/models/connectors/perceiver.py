"""Perceiver resampler: learned latents attend to patch states (Idefics2, arXiv 2405.02246, as in its released code)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlmlab.models.attention import Full, attend
from vlmlab.models.features import Features, map_by_grid
from vlmlab.recipe.connector import Perceiver


@final
class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x)), without biases."""

    def __init__(self, *, width: int, hidden: int, out_width: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, out_width, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(states)) * self.up_proj(states))


@final
class PerceiverAttention(nn.Module):
    """Latents ask; context and latents answer. Key and value heads are shared by groups of query heads."""

    def __init__(self, *, width: int, heads: int, head_width: int, kv_heads: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.q_proj = nn.Linear(width, heads * head_width, bias=False)
        self.k_proj = nn.Linear(width, kv_heads * head_width, bias=False)
        self.v_proj = nn.Linear(width, kv_heads * head_width, bias=False)
        self.o_proj = nn.Linear(heads * head_width, width, bias=False)

    def forward(self, latents: Tensor, context: Tensor) -> Tensor:
        """`latents` (views, latents, width), `context` (views, patches, width), both already normed."""
        seen = torch.cat([context, latents], dim=1)
        query, key, value = (
            projected.unflatten(-1, (-1, self.head_width)).transpose(1, 2)
            for projected in (self.q_proj(latents), self.k_proj(seen), self.v_proj(seen))
        )
        fused = latents.device.type != "cpu"
        attended = attend(query, key, value, layout=Full(fused=fused), scaling=self.head_width**-0.5)
        return self.o_proj(attended.flatten(2))


@final
class PerceiverBlock(nn.Module):
    """Attention and a gated MLP of four times the width, each behind RMS norms."""

    def __init__(self, spec: Perceiver, *, width: int, epsilon: float) -> None:
        super().__init__()
        self.input_latents_norm = nn.RMSNorm(width, eps=epsilon)
        self.input_context_norm = nn.RMSNorm(width, eps=epsilon)
        self.self_attn = PerceiverAttention(
            width=width, heads=spec.heads, head_width=spec.head_width, kv_heads=spec.kv_heads
        )
        self.post_attention_layernorm = nn.RMSNorm(width, eps=epsilon)
        self.mlp = GatedMLP(width=width, hidden=4 * width, out_width=width)

    def forward(self, latents: Tensor, context: Tensor) -> Tensor:
        latents = latents + self.self_attn(self.input_latents_norm(latents), self.input_context_norm(context))
        return latents + self.mlp(self.post_attention_layernorm(latents))


@final
class PerceiverConnector(nn.Module):
    """Patch states are projected to the language model's width, then read by the latents.

    `epsilon` of every RMS norm is the language model's (transformers 4.40 did the same; later versions read a key of
    the perceiver's own configuration whose default is 1e-6). Latents start at N(0, 1 / width): transformers' default of
    all ones makes every output token the same.
    """

    def __init__(
        self, spec: Perceiver, *, vision_width: int, projection_hidden: int, language_width: int, epsilon: float
    ) -> None:
        super().__init__()
        self.projection: nn.Module = (
            GatedMLP(width=vision_width, hidden=projection_hidden, out_width=language_width)
            if spec.projection == "gated_mlp"
            else nn.Linear(vision_width, language_width, bias=False)
        )
        self.latents = nn.Parameter(torch.zeros(spec.latents, language_width))
        self.blocks = nn.ModuleList(
            PerceiverBlock(spec, width=language_width, epsilon=epsilon) for _ in range(spec.depth)
        )
        self.norm = nn.RMSNorm(language_width, eps=epsilon)

    def forward(self, features: Sequence[Features]) -> list[Tensor]:
        return map_by_grid(features, lambda patches, grid: self.resample(self.projection(patches)))

    def resample(self, context: Tensor) -> Tensor:
        """(views, patches, language width) to (views, latents, language width)."""
        latents = self.latents.expand(context.shape[0], -1, -1)
        context = context.to(latents.dtype)  # the norms' type, also where autocast made the projection's lower
        for block in self.blocks:
            latents = block(latents, context)
        return self.norm(latents)
