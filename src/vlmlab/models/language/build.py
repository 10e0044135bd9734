"""Causal language models from a spec: fresh, from a folder or from the hub."""

from __future__ import annotations

from typing import Any, assert_never

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from vlmlab.errors import RecipeError
from vlmlab.models.attention import ATTENTION_NAME
from vlmlab.models.initialise import initialise_pretrained_class, normal_std, seeded
from vlmlab.models.language.causal import CausalModel
from vlmlab.models.pretrained import Location, check_numbers, load_parameters, locate, read_configuration
from vlmlab.recipe.language import Language
from vlmlab.recipe.weights import Folder, Fresh, Hub

Configuration = LlamaConfig | MistralConfig | Qwen2Config | Qwen3Config | SmolLM3Config


def language_configuration(spec: Language, *, vocabulary: int) -> Configuration:
    """Hugging Face's configuration with the spec's numbers and `vocabulary` rows."""
    numbers: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": spec.width,
        "intermediate_size": spec.mlp,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.groups(),
        "head_dim": spec.head(),
        "max_position_embeddings": spec.max_positions,
        "rms_norm_eps": spec.norm_epsilon,
        "tie_word_embeddings": spec.tied,
        "rope_parameters": {"rope_type": "default", "rope_theta": spec.rope_theta} | (spec.rope_scaling or {}),
        "initializer_range": normal_std(spec.width),
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "use_cache": False,
        "attn_implementation": ATTENTION_NAME,
    }
    try:
        match spec.kind:
            case "llama":
                return LlamaConfig(**numbers)
            case "mistral":
                return MistralConfig(sliding_window=None, **numbers)
            case "qwen2":
                return Qwen2Config(**numbers)
            case "qwen3":
                return Qwen3Config(**numbers)
            case "smollm3":
                return SmolLM3Config(**numbers)
            case _:
                assert_never(spec.kind)
    except (ValueError, StrictDataclassError) as error:
        raise RecipeError("model.language", f"transformers refuses these numbers: {error}") from error


def _construct(configuration: Configuration) -> CausalModel:
    match configuration:
        case LlamaConfig():
            return LlamaForCausalLM(configuration)
        case MistralConfig():
            return MistralForCausalLM(configuration)
        case Qwen2Config():
            return Qwen2ForCausalLM(configuration)
        case Qwen3Config():
            return Qwen3ForCausalLM(configuration)
        case SmolLM3Config():
            return SmolLM3ForCausalLM(configuration)
        case _:
            assert_never(configuration)


def _load_class(configuration: Configuration, location: Location) -> CausalModel:
    match configuration:
        case LlamaConfig():
            return load_parameters(LlamaForCausalLM, configuration=configuration, location=location)
        case MistralConfig():
            return load_parameters(MistralForCausalLM, configuration=configuration, location=location)
        case Qwen2Config():
            return load_parameters(Qwen2ForCausalLM, configuration=configuration, location=location)
        case Qwen3Config():
            return load_parameters(Qwen3ForCausalLM, configuration=configuration, location=location)
        case SmolLM3Config():
            return load_parameters(SmolLM3ForCausalLM, configuration=configuration, location=location)
        case _:
            assert_never(configuration)


def build_causal(spec: Language, *, vocabulary: int, seed: int, device: str) -> CausalModel:
    """The model in float32 with `vocabulary` rows. On the meta device nothing is drawn or loaded.

    Rows beyond a published table start at the mean of its rows; a tied output layer stays tied.
    """
    if device == "meta":
        with torch.device("meta"):
            return _construct(language_configuration(spec, vocabulary=vocabulary))
    match spec.weights:
        case Fresh():
            # The constructor draws from torch's global generator; what it draws is replaced.
            with seeded(seed, "constructor"):
                causal = _construct(language_configuration(spec, vocabulary=vocabulary))
            initialise_pretrained_class(causal, seed=seed, prefix="language.causal")
            _scale_residual_writers(causal)
            return causal
        case Folder() | Hub():
            return _load(spec, spec.weights, vocabulary=vocabulary)


@torch.no_grad()
def _scale_residual_writers(causal: CausalModel) -> None:
    factor = (2 * len(causal.model.layers)) ** -0.5
    for block in causal.model.layers:
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            writer = block.get_submodule(name)
            assert isinstance(writer, nn.Linear)
            writer.weight.mul_(factor)


def _load(spec: Language, weights: Folder | Hub, *, vocabulary: int) -> CausalModel:
    location = locate(weights, where="model.language.weights")
    published = read_configuration(location)
    if published.model_type != spec.kind:
        raise RecipeError(
            location.where,
            f"'{location.name}' is of type {published.model_type!r}, but model.language.kind is {spec.kind!r}",
        )
    rows = published.vocab_size
    if rows > vocabulary:
        raise RecipeError(
            location.where,
            f"'{location.name}' has {rows} embedding rows, but the tokenizer has only {vocabulary} tokens",
        )
    expected = language_configuration(spec, vocabulary=rows if spec.vocabulary is None else spec.vocabulary)
    check_numbers(_published_numbers(published), _published_numbers(expected), location=location)
    # The sliding window is the published one's: it is not a number of the spec, and rows beyond it are refused.
    if isinstance(expected, MistralConfig) and isinstance(published, MistralConfig):
        expected.sliding_window = published.sliding_window
    causal = _load_class(expected, location)
    _grow(causal, vocabulary=vocabulary)
    return causal


def _published_numbers(configuration: PreTrainedConfig) -> dict[str, Any]:
    """Everything that decides a forward pass or a parameter's shape, under the recipe's names where it has one."""
    plain = configuration.to_dict()
    rotary = plain.get("rope_parameters") or {}
    heads = plain["num_attention_heads"]
    return {
        "vocabulary": plain["vocab_size"],
        "width": plain["hidden_size"],
        "mlp": plain["intermediate_size"],
        "depth": plain["num_hidden_layers"],
        "heads": heads,
        "kv_heads": plain.get("num_key_value_heads") or heads,
        "head_width": plain.get("head_dim") or plain["hidden_size"] // heads,
        "max_positions": plain["max_position_embeddings"],
        "norm_epsilon": float(plain["rms_norm_eps"]),
        "tied": plain["tie_word_embeddings"],
        "rope_theta": float(rotary.get("rope_theta", 10000.0)),
        "rope_scaling": {name: value for name, value in rotary.items() if name != "rope_theta"},
        "activation": plain["hidden_act"],
        "attention bias": plain.get("attention_bias", False),
        "mlp bias": plain.get("mlp_bias", False),
        "layers without rotary positions": plain.get("no_rope_layers"),
        "sliding window in use": plain.get("use_sliding_window", False),
    }


@torch.no_grad()
def _grow(causal: CausalModel, *, vocabulary: int) -> None:
    rows = causal.config.vocab_size
    if rows == vocabulary:
        return
    causal.resize_token_embeddings(vocabulary, mean_resizing=False)
    tables = [causal.model.embed_tokens.weight]
    if not causal.config.tie_word_embeddings:
        tables.append(causal.lm_head.weight)
    for table in tables:
        table[rows:] = table[:rows].mean(dim=0)
