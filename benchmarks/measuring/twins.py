"""Twins: models of `transformers` with the shapes, the parameters and the batches of ours."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    Idefics2Config,
    Idefics2ForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
)

from vlmlab.batch import IGNORED, Batch
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.connector import MLP, Perceiver
from vlmlab.recipe.recipe import Model
from vlmlab.recipe.vision import Vision

Twin = LlavaForConditionalGeneration | Idefics2ForConditionalGeneration

LLAVA_NAMES = {
    "vision.encoder.": "model.vision_tower.",
    "connector.first.": "model.multi_modal_projector.linear_1.",
    "connector.second.": "model.multi_modal_projector.linear_2.",
    "language.causal.model.": "model.language_model.",
    "language.causal.lm_head.": "lm_head.",
}
IDEFICS2_NAMES = {
    "vision.encoder.": "model.vision_model.",
    "connector.projection.": "model.connector.modality_projection.",
    "connector.latents": "model.connector.perceiver_resampler.latents",
    "connector.blocks.": "model.connector.perceiver_resampler.layers.",
    "connector.norm.": "model.connector.perceiver_resampler.norm.",
    "language.causal.model.": "model.text_model.",
    "language.causal.lm_head.": "lm_head.",
}
"""How a parameter's name begins, here and in the twin."""


def build_twin(model: VisionLanguageModel, *, image_token: int) -> Twin:
    """The twin with the parameters of `model`, in training mode and float32.

    CLIP and an MLP become LLaVA, SigLIP and a perceiver with a gated projection Idefics2.
    """
    spec, vocabulary = model.spec, model.language.head_weight.shape[0]
    match spec.connector:
        case MLP() if spec.vision.kind == "clip" and spec.language.kind == "llama":
            twin: Twin = LlavaForConditionalGeneration(_llava(spec, vocabulary=vocabulary, image_token=image_token))
        case Perceiver() if spec.vision.kind == "siglip" and spec.language.kind == "mistral":
            twin = Idefics2ForConditionalGeneration(
                _idefics2(spec, spec.connector, vocabulary=vocabulary, image_token=image_token)
            )
        case _:
            raise AssertionError("neither LLaVA nor Idefics2")
    copy_parameters(model, twin)
    return twin.train()


def twin_name(twin: Twin, name: str) -> str:
    """The twin's name of one of our parameters."""
    names = LLAVA_NAMES if isinstance(twin, LlavaForConditionalGeneration) else IDEFICS2_NAMES
    for ours, theirs in names.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise AssertionError(f"{name} has no counterpart")


@torch.no_grad()
def copy_parameters(model: VisionLanguageModel, twin: Twin) -> None:
    """Copy every parameter of ours; the two must have the same ones."""
    theirs = dict(twin.named_parameters())
    ours = {twin_name(twin, name): parameter for name, parameter in model.named_parameters()}
    assert ours.keys() == theirs.keys(), f"parameters differ: {sorted(ours.keys() ^ theirs.keys())}"
    for name, parameter in ours.items():
        theirs[name].copy_(parameter)


def twin_inputs(twin: Twin, batch: Batch, *, vision: Vision) -> dict[str, Tensor]:
    """A padded batch of one document a row as users of `transformers` pass it: its pixels are normalised beforehand.

    Idefics2 wants the images of a row side by side, padded with zeros that it takes out again itself.
    """
    assert int(batch.segments.max()) == 1, "one document a row"
    labels = torch.full_like(batch.targets, IGNORED)
    labels[:, 1:] = batch.targets[:, :-1]
    inputs = {"input_ids": batch.ids, "attention_mask": (batch.segments != 0).long(), "labels": labels}
    spans = sorted(batch.spans, key=lambda span: (span.row, span.start))
    assert [span.view for span in spans] == list(range(batch.num_views)), "every view once, in order"
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (vision.mean, vision.std))
    views = (batch.pixels / 255 - mean) / std
    if isinstance(twin, LlavaForConditionalGeneration):
        return inputs | {"pixel_values": views}
    places = [[span.view for span in spans if span.row == row] for row in range(batch.num_rows)]
    pixels = views.new_zeros(batch.num_rows, max(map(len, places)), *views.shape[1:])
    real = torch.zeros(*pixels.shape[:2], *pixels.shape[3:], dtype=torch.int64)
    for row, shown in enumerate(places):
        pixels[row, : len(shown)] = views[shown]
        real[row, : len(shown)] = 1
    return inputs | {"pixel_values": pixels, "pixel_attention_mask": real}


def _vision(spec: Model) -> dict[str, int]:
    vision = spec.vision
    return {
        "hidden_size": vision.width,
        "intermediate_size": vision.mlp,
        "num_hidden_layers": vision.depth,
        "num_attention_heads": vision.heads,
        "patch_size": vision.patch,
        "image_size": vision.side,
    }


def _language(spec: Model, *, vocabulary: int) -> dict[str, object]:
    language = spec.language
    return {
        "vocab_size": vocabulary,
        "hidden_size": language.width,
        "intermediate_size": language.mlp,
        "num_hidden_layers": language.depth,
        "num_attention_heads": language.heads,
        "num_key_value_heads": language.groups(),
        "head_dim": language.head(),
        "max_position_embeddings": language.max_positions,
        "rms_norm_eps": language.norm_epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": language.rope_theta},
        "tie_word_embeddings": language.tied,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def _llava(spec: Model, *, vocabulary: int, image_token: int) -> LlavaConfig:
    return LlavaConfig(
        vision_config=CLIPVisionConfig(**_vision(spec)),
        text_config=LlamaConfig(**_language(spec, vocabulary=vocabulary)),
        image_token_index=image_token,
        projector_hidden_act="gelu",
        vision_feature_layer=spec.vision.feature_layer,
        vision_feature_select_strategy="default",
        tie_word_embeddings=spec.language.tied,
    )


def _idefics2(spec: Model, connector: Perceiver, *, vocabulary: int, image_token: int) -> Idefics2Config:
    return Idefics2Config(
        vision_config=_vision(spec),
        perceiver_config={
            "hidden_act": "silu",
            "hidden_size": spec.language.width,
            "rms_norm_eps": spec.language.norm_epsilon,
            "resampler_n_latents": connector.latents,
            "resampler_depth": connector.depth,
            "resampler_n_heads": connector.heads,
            "resampler_head_dim": connector.head_width,
            "num_key_value_heads": connector.kv_heads,
        },
        text_config=MistralConfig(sliding_window=None, **_language(spec, vocabulary=vocabulary)),
        image_token_id=image_token,
        tie_word_embeddings=spec.language.tied,
    )
