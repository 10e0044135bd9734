"""Vision backbone: pixels of many views to patch states, around Hugging Face's SigLIP and CLIP encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import CLIPVisionModel, SiglipVisionModel

from vlmlab.errors import BatchError
from vlmlab.models.attention import Full, fused_on
from vlmlab.models.features import Features, members_by_grid
from vlmlab.recipe.image import Grid
from vlmlab.recipe.vision import Vision


@final
class VisionBackbone(nn.Module):
    """Views to patch states (patches, width) of hidden state `feature_layer`; only the blocks below it run.

    Views of different grids run in groups of equal grid, so that a view's features do not depend on what else is in
    the batch. CLIP's class token takes part in attention and is dropped from the features.
    """

    def __init__(
        self, encoder: SiglipVisionModel | CLIPVisionModel, spec: Vision, *, gradient_checkpointing: bool
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.spec = spec
        self.gradient_checkpointing = gradient_checkpointing
        self.num_blocks = spec.depth + 1 + spec.feature_layer

    @property
    def blocks(self) -> nn.ModuleList:
        """Every transformer block, the unused ones at the end included."""
        return self.encoder.encoder.layers

    def unused_parameters(self) -> list[nn.Parameter]:
        """Parameters that no feature depends on: blocks above `feature_layer` and a final norm that is not applied."""
        unused = [parameter for block in self.blocks[self.num_blocks :] for parameter in block.parameters()]
        if not self.applies_final_norm():
            unused.extend(self.encoder.post_layernorm.parameters())
        return unused

    def applies_final_norm(self) -> bool:
        """SigLIP's last hidden state is normed; CLIP's norm belongs to its pooled output."""
        return self.spec.kind == "siglip" and self.spec.feature_layer == -1

    def forward(self, pixels: Tensor, grids: Sequence[Grid]) -> list[Features]:
        """`pixels` (views, 3, height, width), smaller views padded at the bottom and right; one grid a view.

        uint8 is normalised here: it travels to the device in a quarter of the bytes. Floats are taken as normalised.
        """
        if len(grids) != pixels.shape[0]:
            raise BatchError("batch", f"{pixels.shape[0]} views but {len(grids)} grids")
        patch = self.spec.patch
        features: list[Features | None] = [None] * len(grids)
        for grid, members in members_by_grid(grids).items():
            height, width = grid.height * patch, grid.width * patch
            if height > pixels.shape[2] or width > pixels.shape[3]:
                found = f"{pixels.shape[2]}x{pixels.shape[3]}"
                raise BatchError(
                    "batch", f"grid {grid.height}x{grid.width} needs {height}x{width} pixels, found {found}"
                )
            views = pixels if len(members) == len(grids) else pixels[members]
            states = self.encode(self.normalise(views[:, :, :height, :width]))
            for index, patches in zip(members, states.unbind(0), strict=True):
                features[index] = Features(patches, grid)
        return [feature for feature in features if feature is not None]

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 to float32, (value / 255 - mean) / std by channel; floats as they are."""
        if pixels.dtype != torch.uint8:
            return pixels
        mean = torch.tensor(self.spec.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.spec.std, device=pixels.device).view(3, 1, 1)
        return pixels.to(torch.float32).div_(255).sub_(mean).div_(std)

    def encode(self, pixels: Tensor) -> Tensor:
        """Patch states (views, patches, width) of views of one size."""
        states = self.encoder.embeddings(pixels, interpolate_pos_encoding=True)
        if isinstance(self.encoder, CLIPVisionModel):
            states = self.encoder.pre_layrnorm(states)
        layout = Full(fused=fused_on(pixels.device.type, length=states.shape[1], dtype=states.dtype))
        for block in self.blocks[: self.num_blocks]:
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                states = checkpoint(block, states, layout, use_reentrant=False)
            else:
                states = block(states, layout)
        if self.applies_final_norm():
            states = self.encoder.post_layernorm(states)
        return states[:, 1:] if self.spec.kind == "clip" else states
