"""Causal language models of Hugging Face's Llama, Mistral, Qwen2, Qwen3 and SmolLM families."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from vlmlab.recipe.preset import expand_preset
from vlmlab.recipe.spec import Spec
from vlmlab.recipe.weights import Fresh, Weights


class Language(Spec):
    """A decoder-only transformer. SmolLM and SmolLM2 are of kind llama; smollm3 leaves rotary positions out of every
    fourth block.
    """

    kind: Literal["llama", "mistral", "qwen2", "qwen3", "smollm3"] = "llama"
    """Architecture: qwen2 has biases on q, k and v; qwen3 norms on q and k; the others neither."""
    preset: str | None = None
    """Name of a published model whose numbers fill the fields below, such as llama-3.2-1b."""
    weights: Weights = Field(default_factory=Fresh, discriminator="kind")
    """Where the parameters come from."""
    vocabulary: int | None = Field(default=None, ge=1)
    """Rows of the published embedding table; null means the tokenizer's. Tokens that we add come on top."""
    width: int = Field(default=128, ge=1)
    """Size of a hidden state."""
    depth: int = Field(default=4, ge=1)
    """Transformer blocks."""
    heads: int = Field(default=4, ge=1)
    """Query heads."""
    kv_heads: int | None = Field(default=None, ge=1)
    """Key and value heads; null means as many as heads."""
    head_width: int | None = Field(default=None, ge=1)
    """Size of a head; null means width / heads."""
    mlp: int = Field(default=384, ge=1)
    """Hidden size of the gated MLP."""
    max_positions: int = Field(default=2048, ge=1)
    """Longest row the positions were made for; longer rows are refused."""
    rope_theta: float = Field(default=10000.0, gt=0)
    """Base of the rotary positions."""
    rope_scaling: dict[str, float | int | str] | None = None
    """Hugging Face's rotary scaling fields, such as those of llama-3.2."""
    norm_epsilon: float = Field(default=1e-5, gt=0)
    """Epsilon of the RMS norms."""
    tied: bool = True
    """Whether the output layer is the embedding table."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return expand_preset("language", value)

    @model_validator(mode="after")
    def _geometry(self) -> Language:
        if self.head_width is None and self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}; give head_width")
        if self.heads % self.groups():
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.groups()}")
        if self.head() % 2:
            raise ValueError(f"a head of {self.head()} cannot carry rotary positions; it must be even")
        return self

    def groups(self) -> int:
        """Key and value heads."""
        return self.heads if self.kv_heads is None else self.kv_heads

    def head(self) -> int:
        """Size of a head."""
        return self.width // self.heads if self.head_width is None else self.head_width
