"""Parameters counted from the recipe equal those of transformers' modules and of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from tests.golden import recipes
from tests.plan.variants import CONNECTORS, LANGUAGES, VISIONS, recipe_with
from vlmlab.plan.estimate import plan
from vlmlab.plan.shapes import (
    language_parameters,
    model_parameters,
    objective_parameters,
    trained_parameters,
    unused_vision_parameters,
    vision_parameters,
)
from vlmlab.recipe.language import Language
from vlmlab.recipe.load import load_machine, load_recipe
from vlmlab.recipe.vision import Vision

CAUSAL: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "smollm3": (SmolLM3Config, SmolLM3ForCausalLM),
}


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def reference_vision(vision: Vision) -> torch.nn.Module:
    numbers: dict[str, Any] = {
        "hidden_size": vision.width,
        "intermediate_size": vision.mlp,
        "num_hidden_layers": vision.depth,
        "num_attention_heads": vision.heads,
        "patch_size": vision.patch,
        "image_size": vision.side,
    }
    with torch.device("meta"):
        if vision.kind == "siglip":
            return SiglipVisionModel(SiglipVisionConfig(vision_use_head=False, **numbers))
        return CLIPVisionModel(CLIPVisionConfig(**numbers))


def reference_language(language: Language, *, vocabulary: int) -> torch.nn.Module:
    configuration, model = CAUSAL[language.kind]
    with torch.device("meta"):
        return model(
            configuration(
                vocab_size=vocabulary,
                hidden_size=language.width,
                intermediate_size=language.mlp,
                num_hidden_layers=language.depth,
                num_attention_heads=language.heads,
                num_key_value_heads=language.groups(),
                head_dim=language.head(),
                tie_word_embeddings=language.tied,
                pad_token_id=0,
            )
        )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "clip", "side": 40},
        {"side": 44},
        {"preset": "siglip-so400m-patch14-384"},
        {"preset": "clip-vit-large-patch14-336"},
    ],
)
def test_vision_equals_transformers(fields: dict[str, Any]) -> None:
    vision = Vision.model_validate_json(json.dumps(fields))
    assert vision_parameters(vision) == num_parameters(reference_vision(vision))


@pytest.mark.parametrize("kind", list(CAUSAL))
@pytest.mark.parametrize("fields", [{}, {"tied": False, "kv_heads": 2}, {"kv_heads": 1, "width": 96, "head_width": 32}])
def test_language_equals_transformers(kind: str, fields: dict[str, Any]) -> None:
    if kind == "qwen2" and "head_width" in fields:
        fields = {**fields, "head_width": 24}  # transformers' Qwen2 always divides the width by the heads
    language = Language.model_validate_json(json.dumps({"kind": kind, **fields}))
    assert language_parameters(language, vocabulary=1000) == num_parameters(
        reference_language(language, vocabulary=1000)
    )


@pytest.mark.parametrize("preset", ["llama-3.2-1b", "smollm2-135m", "qwen2.5-0.5b", "qwen3-0.6b", "smollm3-3b"])
def test_published_language_models_equal_transformers(preset: str) -> None:
    language = Language(preset=preset)
    assert language.vocabulary is not None
    expected = num_parameters(reference_language(language, vocabulary=language.vocabulary))
    assert language_parameters(language, vocabulary=language.vocabulary) == expected


def test_known_totals() -> None:
    # Of the model cards: Llama-3.2-1B has 1,235,814,400 parameters.
    assert language_parameters(Language(preset="llama-3.2-1b"), vocabulary=128256) == 1_235_814_400


def test_shipped_recipes_equal_the_modules_that_we_build() -> None:
    from vlmlab.models.build import BuildOptions, build_model, components

    for path in recipes():
        recipe = load_recipe(path).recipe
        model = build_model(
            recipe.model,
            vocabulary=recipe.vocabulary(),
            seed=0,
            precision="float32",
            options=BuildOptions(device="meta"),
        )
        assert {name: num_parameters(part) for name, part in components(model).items()} == model_parameters(recipe), (
            path
        )
        assert plan(recipe, load_machine()).total_parameters == num_parameters(model)


@pytest.mark.parametrize("changes", [*VISIONS, *CONNECTORS, *LANGUAGES], ids=str)
def test_tiny_models_equal_the_modules_that_we_build(changes: dict[str, Any]) -> None:
    from vlmlab.models.build import BuildOptions, build_model, components

    recipe = recipe_with(changes)
    model = build_model(
        recipe.model, vocabulary=recipe.vocabulary(), seed=0, precision="float32", options=BuildOptions(device="meta")
    )
    assert {name: num_parameters(part) for name, part in components(model).items()} == model_parameters(recipe)
    assert sum(p.numel() for p in model.vision.unused_parameters()) == unused_vision_parameters(recipe.model.vision)


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_objective_and_trained_parameters_equal_the_modules_that_we_build(loss: str) -> None:
    from vlmlab.models.build import BuildOptions, build_model
    from vlmlab.models.objectives.build import build_objective
    from vlmlab.models.trainable import set_trainable

    recipe = recipe_with({"stages.vision.objective.loss": loss, "model.vision.feature_layer": -2})
    model = build_model(
        recipe.model, vocabulary=recipe.vocabulary(), seed=0, precision="float32", options=BuildOptions(device="meta")
    )
    for stage in recipe.stages.values():
        objective = build_objective(
            stage.objective,
            model=model,
            recipe_model=recipe.model,
            vocabulary=recipe.vocabulary(),
            seed=0,
            loss_chunk=64,
        )
        expected = objective_parameters(stage.objective, vision=recipe.model.vision, vocabulary=recipe.vocabulary())
        assert num_parameters(objective) == expected
        counted: dict[str, int] = {}
        for group in set_trainable(model, objective, stage):
            counted[group.component] = counted.get(group.component, 0) + sum(p.numel() for p in group.parameters)
        assert counted == trained_parameters(recipe, stage)
