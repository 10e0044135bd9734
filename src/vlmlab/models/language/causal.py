"""Language model: one adapter of Hugging Face's causal models behind embed_tokens, run and head."""

from __future__ import annotations

from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import (
    DynamicCache,
    LlamaForCausalLM,
    MistralForCausalLM,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
    SmolLM3ForCausalLM,
)

from vlmlab.errors import BatchError
from vlmlab.models.attention import Kernel, make_layout
from vlmlab.recipe.language import Language

CausalModel = LlamaForCausalLM | MistralForCausalLM | Qwen2ForCausalLM | Qwen3ForCausalLM | SmolLM3ForCausalLM


@final
class CausalLanguageModel(nn.Module):
    """Runs the blocks itself, so that the attention layout and the rotary tables are made once a forward pass."""

    def __init__(self, causal: CausalModel, spec: Language, *, attention: Kernel, gradient_checkpointing: bool) -> None:
        super().__init__()
        self.causal = causal
        self.spec = spec
        self.attention: Kernel = attention
        self.gradient_checkpointing = gradient_checkpointing

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks."""
        return self.causal.model.layers

    @property
    def head_weight(self) -> Tensor:
        """The output layer, (vocabulary, width); the embedding table itself where the two are tied."""
        return self.causal.lm_head.weight

    @property
    def configuration(self) -> object:
        """Hugging Face's configuration, which a cache is made from."""
        return self.causal.config

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """int64 (...) to float (..., width)."""
        return self.causal.model.embed_tokens(ids)

    def run(
        self, inputs_embeds: Tensor, *, positions: Tensor, segments: Tensor, cache: DynamicCache | None = None
    ) -> Tensor:
        """Hidden states after the final norm, (rows, length, width).

        Without a cache `segments` is (rows, length). With one, `segments` covers past and present columns, and the keys
        and values of this call are added to the cache. Raises BatchError for rows longer than the model was made for.
        """
        length = inputs_embeds.shape[1]
        past = 0 if cache is None else cache.get_seq_length()
        assert segments.shape[1] == past + length, f"segments cover {segments.shape[1]} columns of {past} + {length}"
        if segments.shape[1] > self.spec.max_positions:
            raise BatchError(
                "batch",
                f"rows of {segments.shape[1]} positions, but model.language.max_positions is {self.spec.max_positions}",
            )
        device = inputs_embeds.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs_embeds.dtype
        layout = make_layout(segments, num_queries=length, kernel=self.attention, dtype=dtype)
        # In the type of the queries: float32 tables would lift queries and keys out of autocast's type.
        cosine, sine = self.causal.model.rotary_emb(inputs_embeds, position_ids=positions)
        rotary = (cosine.to(dtype), sine.to(dtype))
        hidden = inputs_embeds
        for block in self.blocks:
            call = partial(
                block,
                attention_mask=layout,
                position_ids=positions,
                past_key_values=cache,
                use_cache=cache is not None,
                position_embeddings=rotary,
            )
            if self.gradient_checkpointing and self.training and cache is None and torch.is_grad_enabled():
                hidden = checkpoint(call, hidden, use_reentrant=False)
            else:
                hidden = call(hidden)
        return self.causal.model.norm(hidden)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocabulary)."""
        return self.causal.lm_head(hidden)
