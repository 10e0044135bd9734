"""Tiny specs and batches for the model tests."""

from __future__ import annotations

import json
from typing import Any

import torch

from vlmlab.batch import IGNORED, Batch, ImageSpan
from vlmlab.models.build import BuildOptions, build_model
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.image import Grid
from vlmlab.recipe.recipe import Model
from vlmlab.recipe.stage import Stage

VOCABULARY = 64
SIDE, PATCH = 12, 4
LANGUAGE = {"width": 32, "depth": 2, "heads": 4, "kv_heads": 2, "mlp": 48, "max_positions": 128}
VISION = {"width": 24, "depth": 3, "heads": 2, "mlp": 40, "patch": PATCH, "side": SIDE}
CONNECTORS: dict[str, dict[str, Any]] = {
    "linear": {"kind": "linear"},
    "mlp": {"kind": "mlp"},
    "perceiver": {"kind": "perceiver", "latents": 5, "depth": 2, "heads": 4, "head_width": 6, "kv_heads": 2},
    "average_pool": {"kind": "average_pool"},
    "pixel_shuffle": {"kind": "pixel_shuffle"},
    "norm_mlp": {"kind": "pixel_shuffle", "projection": "norm_mlp"},
}


def model_spec(
    *, vision: dict[str, Any] | None = None, connector: str = "mlp", language: dict[str, Any] | None = None
) -> Model:
    tree = {
        "vision": VISION | (vision or {}),
        "image": {"side": SIDE},
        "connector": CONNECTORS[connector],
        "language": LANGUAGE | (language or {}),
    }
    return Model.model_validate_json(json.dumps(tree))


def tiny_model(
    *,
    vision: dict[str, Any] | None = None,
    connector: str = "mlp",
    language: dict[str, Any] | None = None,
    seed: int = 0,
    options: BuildOptions | None = None,
    precision: str = "float32",
) -> VisionLanguageModel:
    spec = model_spec(vision=vision, connector=connector, language=language)
    assert precision in ("float32", "bfloat16")
    return build_model(spec, vocabulary=VOCABULARY, seed=seed, precision=precision, options=options)


def stage_spec(kind: str = "next_token", *, train: tuple[str, ...] = ("vision", "connector", "language")) -> Stage:
    tree = {
        "objective": {"kind": kind} | ({"text": TEXT, "embedding": 16} if kind == "contrastive" else {}),
        "train": {part: {"mode": "full"} for part in train},
        "mixture": {"any": 1.0},
        "duration": {"steps": 1},
    }
    return Stage.model_validate_json(json.dumps(tree))


TEXT = {"width": 16, "depth": 1, "heads": 2, "mlp": 32, "max_positions": 16}


def row(lengths: list[int], total: int) -> tuple[list[int], list[int]]:
    """Segments and positions of one packed row."""
    segments = [number + 1 for number, length in enumerate(lengths) for _ in range(length)]
    positions = [position for length in lengths for position in range(length)]
    padding = total - len(segments)
    return segments + [0] * padding, positions + [0] * padding


def packed_batch(spec: Model, lengths: list[list[int]], *, length: int = 40, seed: int = 0) -> Batch:
    """Rows of random tokens with an image in the first document of each row, after its first token."""
    generator = torch.Generator().manual_seed(seed)
    grid = Grid(SIDE // PATCH, SIDE // PATCH)
    visual = spec.connector.tokens(grid)
    layout = [row(row_lengths, length) for row_lengths in lengths]
    segments = torch.tensor([segments for segments, _ in layout])
    ids = torch.randint(6, VOCABULARY, segments.shape, generator=generator) * (segments != 0)
    targets = ids.roll(-1, 1)
    last = torch.ones_like(segments, dtype=torch.bool)
    last[:, :-1] = segments[:, :-1] != segments[:, 1:]
    targets[last | (segments == 0)] = IGNORED
    targets[:, : visual + 1] = IGNORED
    return Batch(
        ids=ids,
        targets=targets,
        positions=torch.tensor([positions for _, positions in layout]),
        segments=segments,
        pixels=torch.randn(len(lengths), 3, SIDE, SIDE, generator=generator),
        grids=(grid,) * len(lengths),
        spans=tuple(ImageSpan(index, 1, visual, index) for index in range(len(lengths))),
        keys=tuple(("document",) * len(row_lengths) for row_lengths in lengths),
    )


def text_batch(
    ids: torch.Tensor, *, segments: torch.Tensor | None = None, positions: torch.Tensor | None = None
) -> Batch:
    """Rows of text without images, each a single document unless told otherwise."""
    rows, length = ids.shape
    return Batch(
        ids=ids,
        targets=torch.cat([ids[:, 1:], torch.full((rows, 1), IGNORED)], dim=1),
        positions=torch.arange(length).expand(rows, -1) if positions is None else positions,
        segments=torch.ones_like(ids) if segments is None else segments,
        pixels=torch.zeros(0, 3, SIDE, SIDE),
        grids=(),
        spans=(),
        keys=(("text",),) * rows,
    )
