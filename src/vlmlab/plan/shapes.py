"""Parameters of every component, counted from the recipe alone; exact, tested against the modules themselves."""

from __future__ import annotations

from typing import assert_never, get_args

from vlmlab.recipe.connector import MLP, AveragePool, Connector, Linear, Perceiver, PixelShuffle
from vlmlab.recipe.language import Language
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.stage import Component, Contrastive, NextToken, Objective, Stage, TextTower
from vlmlab.recipe.vision import Vision


def model_parameters(recipe: Recipe) -> dict[str, int]:
    """Parameters of {"vision", "connector", "language"}."""
    model = recipe.model
    return {
        "vision": vision_parameters(model.vision),
        "connector": connector_parameters(model.connector, vision=model.vision, language=model.language),
        "language": language_parameters(model.language, vocabulary=recipe.vocabulary()),
    }


def vision_parameters(vision: Vision) -> int:
    """A transformer of SigLIP's or CLIP's shape, without a pooling head.

    Every block has q, k, v, out (width x width), fc1, fc2 and two layer norms, all with biases. SigLIP: patch
    convolution with bias, positions, final norm. CLIP: no bias there, a class token with a position of its own, a norm
    before the blocks.
    """
    width = vision.width
    patches = 3 * vision.patch**2 * width
    blocks = vision.depth * _vision_block(vision)
    norm = 2 * width
    match vision.kind:
        case "siglip":
            return patches + width + vision.positions() * width + blocks + norm
        case "clip":
            return patches + width + (vision.positions() + 1) * width + norm + blocks + norm
        case _ as never:
            assert_never(never)


def unused_vision_parameters(vision: Vision) -> int:
    """Parameters that no patch state depends on: blocks above `feature_layer`, and a final norm that is not applied.

    They are loaded and saved, but never train.
    """
    width = vision.width
    above = -1 - vision.feature_layer
    norm = 0 if vision.kind == "siglip" and vision.feature_layer == -1 else 2 * width
    return above * _vision_block(vision) + norm


def connector_parameters(connector: Connector, *, vision: Vision, language: Language) -> int:
    """Patch states of `vision.width` to visual tokens of `language.width`."""
    narrow, wide = vision.width, language.width
    match connector:
        case Linear() | AveragePool():
            return _affine(narrow, wide)
        case MLP():
            hidden = connector.hidden or wide
            return _affine(narrow, hidden) + _affine(hidden, wide)
        case PixelShuffle():
            merged = narrow * connector.window**2
            if connector.projection == "linear":
                return merged * wide
            return 2 * merged + _affine(merged, wide) + _affine(wide, wide)
        case Perceiver():
            hidden = connector.projection_hidden or language.mlp
            projection = narrow * wide if connector.projection == "linear" else 2 * narrow * hidden + hidden * wide
            queries, keys = connector.heads * connector.head_width, connector.kv_heads * connector.head_width
            # q, o; k, v; a gated MLP of four times the width; norms of latents, of context and before the MLP.
            block = 2 * wide * queries + 2 * wide * keys + 3 * wide * (4 * wide) + 3 * wide
            return projection + connector.latents * wide + connector.depth * block + wide
        case _ as never:
            assert_never(never)


def language_parameters(language: Language, *, vocabulary: int) -> int:
    """A decoder of the Llama family with `vocabulary` rows of embedding, the output layer tied to it or not."""
    width, head = language.width, language.head()
    queries, keys = language.heads * head, language.groups() * head
    block = 2 * width * queries + 2 * width * keys + 3 * width * language.mlp + 2 * width
    match language.kind:
        case "qwen2":
            block += queries + 2 * keys
        case "qwen3":
            block += 2 * head
        case "llama" | "mistral" | "smollm3":
            pass
        case _ as never:
            assert_never(never)
    tables = vocabulary * width * (1 if language.tied else 2)
    return tables + language.depth * block + width


def objective_parameters(objective: Objective, *, vision: Vision, vocabulary: int) -> int:
    """The objective's own parts, thrown away after the stage."""
    match objective:
        case NextToken():
            return 0
        case Contrastive():
            image = _affine(vision.width, objective.embedding)
            text = text_tower_parameters(objective.text, vocabulary=vocabulary) + _affine(
                objective.text.width, objective.embedding
            )
            scalars = 2 if objective.loss == "sigmoid" else 1  # scale, and bias under the sigmoid loss
            return image + text + scalars
        case _ as never:
            assert_never(never)


def trained_parameters(recipe: Recipe, stage: Stage) -> dict[str, int]:
    """Parameters that move in a stage, by component; components that are frozen or have none are left out."""
    vision = recipe.model.vision
    parameters = model_parameters(recipe)
    parameters["vision"] -= unused_vision_parameters(vision)
    parameters["objective"] = objective_parameters(stage.objective, vision=vision, vocabulary=recipe.vocabulary())
    components = get_args(Component)
    return {part: parameters[part] for part in components if parameters[part] and stage.trains(part)}


def text_tower_parameters(tower: TextTower, *, vocabulary: int) -> int:
    """Token and position tables, blocks of SigLIP's shape, a final layer norm."""
    width = tower.width
    block = 4 * _affine(width, width) + _affine(width, tower.mlp) + _affine(tower.mlp, width) + 4 * width
    return (vocabulary + tower.max_positions) * width + tower.depth * block + 2 * width


def _vision_block(vision: Vision) -> int:
    width = vision.width
    return 4 * _affine(width, width) + _affine(width, vision.mlp) + _affine(vision.mlp, width) + 4 * width


def _affine(inputs: int, outputs: int) -> int:
    """A linear map with bias."""
    return inputs * outputs + outputs
