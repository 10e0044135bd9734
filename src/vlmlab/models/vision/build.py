"""Vision backbones from a spec: fresh, from a folder or from the hub, alone or out of a two-tower checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedConfig,
    SiglipConfig,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from vlmlab.errors import RecipeError
from vlmlab.models.attention import ATTENTION_NAME
from vlmlab.models.initialise import initialise_pretrained_class, seeded
from vlmlab.models.pretrained import Location, check_numbers, load_parameters, locate, read_configuration
from vlmlab.recipe.vision import Vision
from vlmlab.recipe.weights import Folder, Fresh, Hub

OTHER_TOWER = ("text_model.", "logit_scale", "logit_bias", "text_projection.", "visual_projection.")
"""Parameters of a two-tower checkpoint that a vision encoder has no use for."""
POOLING_HEAD = ("head.", "vision_model.head.")
"""SigLIP's attention-pooling head, which patch states do not need."""


def vision_configuration(spec: Vision) -> SiglipVisionConfig | CLIPVisionConfig:
    """Hugging Face's configuration with the spec's numbers."""
    numbers: dict[str, Any] = {
        "hidden_size": spec.width,
        "intermediate_size": spec.mlp,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.heads,
        "patch_size": spec.patch,
        "image_size": spec.side,
        "attn_implementation": ATTENTION_NAME,
    }
    match spec.kind:
        case "siglip":
            return SiglipVisionConfig(vision_use_head=False, **numbers)
        case "clip":
            return CLIPVisionConfig(**numbers)


def build_encoder(spec: Vision, *, seed: int, device: str) -> SiglipVisionModel | CLIPVisionModel:
    """The encoder in float32. On the meta device nothing is drawn or loaded."""
    configuration = vision_configuration(spec)
    if device == "meta":
        with torch.device("meta"):
            return _construct(configuration)
    match spec.weights:
        case Fresh():
            # The constructor draws from torch's global generator; what it draws is replaced.
            with seeded(seed, "constructor"):
                encoder = _construct(configuration)
            initialise_pretrained_class(encoder, seed=seed, prefix="vision.encoder")
            return encoder
        case Folder() | Hub():
            location = locate(spec.weights, where="model.vision.weights")
            check_numbers(
                _published_numbers(read_configuration(location), spec=spec, location=location),
                _published_numbers(configuration, spec=spec, location=location),
                location=location,
            )
            match configuration:
                case SiglipVisionConfig():
                    unused = OTHER_TOWER + POOLING_HEAD
                    return load_parameters(
                        SiglipVisionModel, configuration=configuration, location=location, unused=unused
                    )
                case CLIPVisionConfig():
                    return load_parameters(
                        CLIPVisionModel, configuration=configuration, location=location, unused=OTHER_TOWER
                    )


def _construct(configuration: SiglipVisionConfig | CLIPVisionConfig) -> SiglipVisionModel | CLIPVisionModel:
    match configuration:
        case SiglipVisionConfig():
            return SiglipVisionModel(configuration)
        case CLIPVisionConfig():
            return CLIPVisionModel(configuration)


def _published_numbers(configuration: PreTrainedConfig, *, spec: Vision, location: Location) -> dict[str, object]:
    vision: SiglipVisionConfig | CLIPVisionConfig
    match configuration:
        case SiglipConfig() if spec.kind == "siglip":
            tower = configuration.vision_config
            assert isinstance(tower, SiglipVisionConfig | CLIPVisionConfig)
            vision = tower
        case CLIPConfig() if spec.kind == "clip":
            tower = configuration.vision_config
            assert isinstance(tower, SiglipVisionConfig | CLIPVisionConfig)
            vision = tower
        case SiglipVisionConfig() if spec.kind == "siglip":
            vision = configuration
        case CLIPVisionConfig() if spec.kind == "clip":
            vision = configuration
        case _:
            raise RecipeError(
                location.where,
                f"'{location.name}' is of type {configuration.model_type!r}, but model.vision.kind is {spec.kind!r}",
            )
    return {
        "width": vision.hidden_size,
        "depth": vision.num_hidden_layers,
        "heads": vision.num_attention_heads,
        "mlp": vision.intermediate_size,
        "patch": vision.patch_size,
        "side": vision.image_size,
        "activation": vision.hidden_act,
        "layer norm epsilon": float(vision.layer_norm_eps),
        "channels": vision.num_channels,
    }
