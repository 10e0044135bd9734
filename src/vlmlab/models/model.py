"""The vision-language model: see, connect, fuse, speak."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, final

import torch
from torch import Tensor, nn

from vlmlab.batch import Batch
from vlmlab.models.features import Features
from vlmlab.models.fusion.autoregressive import fill_spans
from vlmlab.models.language.causal import CausalLanguageModel
from vlmlab.models.vision.backbone import VisionBackbone
from vlmlab.recipe.image import Grid
from vlmlab.recipe.recipe import Model

Precision = Literal["float32", "bfloat16"]


@final
class VisionLanguageModel(nn.Module):
    """Backbone, connector and language model. Parameters are float32; `autocast` lowers the matrix products."""

    def __init__(
        self,
        spec: Model,
        *,
        vision: VisionBackbone,
        connector: nn.Module,
        language: CausalLanguageModel,
        precision: Precision,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.vision = vision
        self.connector = connector
        self.language = language
        self.precision: Precision = precision

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.language.head_weight.device

    def autocast(self) -> AbstractContextManager[None]:
        """The arithmetic of the recipe's precision; callers open it around forward passes and losses."""
        match self.precision:
            case "bfloat16":
                return torch.autocast(self.device.type, dtype=torch.bfloat16)
            case "float32":
                return nullcontext()

    def see(self, pixels: Tensor, grids: Sequence[Grid]) -> list[Features]:
        """Patch states, one a view. `pixels` (views, 3, height, width), as in `Batch`."""
        return self.vision(pixels, grids) if grids else []

    def connect(self, features: Sequence[Features]) -> list[Tensor]:
        """Visual tokens (tokens, width), one tensor a view."""
        visual = self.connector(features) if features else []
        for tokens, feature in zip(visual, features, strict=True):
            expected = self.spec.connector.tokens(feature.grid)
            assert tokens.shape[0] == expected, f"{tokens.shape[0]} visual tokens where the spec says {expected}"
        return visual

    def visual_tokens(self, pixels: Tensor, grids: Sequence[Grid]) -> list[Tensor]:
        """Visual tokens (tokens, width), one tensor a view: see and connect."""
        return self.connect(self.see(pixels, grids))

    def embed(self, batch: Batch, visual: Sequence[Tensor] | None = None) -> Tensor:
        """Rows of embeddings (rows, length, width) with each image's visual tokens in its span.

        `visual` holds one tensor a view where they were computed before. Raises BatchError where a span does not fit.
        """
        if visual is None:
            visual = self.visual_tokens(batch.pixels, batch.grids)
        embeddings = self.language.embed_tokens(batch.ids)
        if visual and not batch.spans:
            # Shown nowhere, but still part of the graph: among several processes each must run what the others run.
            embeddings = embeddings + 0.0 * torch.stack([tokens.float().sum() for tokens in visual]).sum()
        return fill_spans(embeddings, visual, batch, connector=self.spec.connector.kind)

    def forward(self, batch: Batch, visual: Sequence[Tensor] | None = None) -> Tensor:
        """Hidden states after the final norm, (rows, length, width)."""
        return self.language.run(self.embed(batch, visual), positions=batch.positions, segments=batch.segments)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocabulary)."""
        return self.language.head(hidden)
