"""The text side of a contrastive stage: a small bidirectional transformer, thrown away after the stage."""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlmlab.recipe.stage import TextTower


@final
class TextBlock(nn.Module):
    """Pre-norm block with biases: attention among real tokens, tanh-GELU MLP."""

    def __init__(self, spec: TextTower) -> None:
        super().__init__()
        self.heads = spec.heads
        self.attention_norm = nn.LayerNorm(spec.width)
        self.query = nn.Linear(spec.width, spec.width)
        self.key = nn.Linear(spec.width, spec.width)
        self.value = nn.Linear(spec.width, spec.width)
        self.out = nn.Linear(spec.width, spec.width)
        self.mlp_norm = nn.LayerNorm(spec.width)
        self.up = nn.Linear(spec.width, spec.mlp)
        self.down = nn.Linear(spec.mlp, spec.width)

    def forward(self, states: Tensor, seen: Tensor) -> Tensor:
        """`states` (texts, length, width); `seen` bool (texts, 1, 1, length) marks real tokens."""
        normed = self.attention_norm(states)
        query, key, value = (
            part(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        if states.device.type == "cpu":
            # Short texts: fused attention was a fifth of a contrastive step in bfloat16, plain products a twentieth.
            scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
            attended = scores.masked_fill(~seen, -torch.inf).softmax(-1).to(value.dtype) @ value
        else:
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        states = states + self.out(attended.transpose(1, 2).flatten(2))
        return states + self.down(F.gelu(self.up(self.mlp_norm(states)), approximate="tanh"))


@final
class TextEncoder(nn.Module):
    """Token ids to one vector a text: the mean of the real tokens' last states, projected."""

    def __init__(self, spec: TextTower, *, vocabulary: int, embedding: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, spec.width)
        self.positions = nn.Embedding(spec.max_positions, spec.width)
        self.blocks = nn.ModuleList(TextBlock(spec) for _ in range(spec.depth))
        self.norm = nn.LayerNorm(spec.width)
        self.projection = nn.Linear(spec.width, embedding)

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        """int64 `ids` and bool `real` (texts, length), a token at least in each text; gives (texts, embedding)."""
        states = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            states = block(states, real[:, None, None, :])
        states = self.norm(states).masked_fill(~real[..., None], 0.0)
        return self.projection(states.sum(dim=1) / real.sum(dim=1, keepdim=True))
