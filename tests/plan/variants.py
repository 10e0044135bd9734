"""Tiny recipes of every kind of part, for tests that compare a plan with modules."""

from __future__ import annotations

from typing import Any

from vlmlab.recipe.load import change_recipe
from vlmlab.recipe.recipe import Recipe

TREE: dict[str, Any] = {
    "name": "variants",
    "model": {
        "vision": {"width": 32, "depth": 2, "heads": 2, "mlp": 48, "patch": 8, "side": 40},
        "image": {"side": 40},
        "language": {"width": 64, "depth": 2, "heads": 4, "kv_heads": 2, "mlp": 96, "max_positions": 256},
    },
    "tokenizer": {"vocabulary": 400, "kind": "bpe"},
    "data": {
        "sources": {"captions": {"kind": "world", "family": "captions"}, "facts": {"kind": "world", "family": "facts"}}
    },
    "stages": {
        "vision": {
            "objective": {
                "kind": "contrastive",
                "text": {"width": 32, "depth": 2, "heads": 2, "mlp": 64, "max_positions": 24},
                "embedding": 16,
            },
            "train": {"vision": {"mode": "full"}},
            "mixture": {"captions": 1},
            "duration": {"steps": 3},
            "batch": {"rows": 6, "length": 64, "images": 1, "packing": False},
        },
        "joint": {
            "objective": {"kind": "next_token"},
            "train": {"connector": {"mode": "full"}, "language": {"mode": "full"}},
            "mixture": {"captions": 1, "facts": 1},
            "duration": {"tokens": 2000},
            "batch": {"rows": 2, "length": 128},
        },
    },
}

PERCEIVER = {"kind": "perceiver", "latents": 5, "depth": 2, "heads": 4, "head_width": 8, "kv_heads": 2}

VISIONS: tuple[dict[str, Any], ...] = (
    {"model.vision.kind": "siglip"},
    {"model.vision.kind": "clip"},
    {"model.vision.kind": "siglip", "model.vision.feature_layer": -2},
    {"model.vision.kind": "clip", "model.vision.feature_layer": -2},
)
CONNECTORS: tuple[dict[str, Any], ...] = (
    {"model.connector": {"kind": "linear"}},
    {"model.connector": {"kind": "mlp"}},
    {"model.connector": {"kind": "mlp", "hidden": 24}},
    {"model.connector": {"kind": "average_pool", "window": 2}},
    {"model.connector": {"kind": "pixel_shuffle", "window": 2}},
    {"model.connector": {"kind": "pixel_shuffle", "window": 3, "projection": "norm_mlp"}},
    {"model.connector": PERCEIVER},
    {"model.connector": PERCEIVER | {"projection": "linear", "depth": 1}},
    {"model.connector": PERCEIVER | {"kv_heads": 1, "projection_hidden": 20}},
)
LANGUAGES: tuple[dict[str, Any], ...] = (
    *({"model.language.kind": kind} for kind in ("llama", "mistral", "qwen2", "qwen3", "smollm3")),
    {"model.language.tied": False},
    {"model.language.head_width": 32, "model.language.kv_heads": 1},
)
FREEZES: tuple[dict[str, Any], ...] = tuple(
    {"stages.joint.train": {part: {"mode": "full"} for part in parts}}
    for parts in (
        ("vision", "connector", "language"),
        ("connector", "language"),
        ("connector",),
        ("language",),
        ("vision",),
        ("vision", "language"),
        ("vision", "connector"),
    )
)


def recipe_with(changes: dict[str, Any]) -> Recipe:
    """The tiny recipe with dotted paths changed."""
    return change_recipe(TREE, changes, where="variants")
