"""Image placeholders against image features of a foreign model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.foreign.encode import Encoded
from vlmlab.training.checks.foreign.folder import ForeignModel

IMAGES = "image tokens"
NOT_SEEN = frozenset({"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "position_ids"})
"""Inputs that are no part of an image."""


@runtime_checkable
class Sees(Protocol):
    """What the image-text models of transformers 5 share."""

    def get_image_features(self, **inputs: Any) -> Any: ...


@torch.no_grad()
def probe_images(foreign: ForeignModel, encoded: Sequence[Encoded]) -> CheckRecord:
    """As many placeholders in each sample as the model makes features of its images."""
    stray = [sample.key for sample in encoded if not sample.images and _placeholders(foreign, sample)]
    if stray:
        return _failed(
            f"{len(stray)} samples without an image contain the image token ({', '.join(stray[:3])}); a text that "
            "spells it is read as an image: escape it, or leave it out"
        )
    shown = [sample for sample in encoded if sample.images]
    model = foreign.model
    if not shown or not isinstance(model, Sees):
        why = "the model has no image features of its own" if shown else "no sample has an image"
        return CheckRecord(name=IMAGES, outcome="not applicable", words=why)
    total = 0
    for sample in shown:
        seen = {name: value for name, value in sample.inputs.items() if name not in NOT_SEEN}
        features = count_features(model.get_image_features(**foreign.inputs(seen)))
        found = _placeholders(foreign, sample)
        if features != found:
            return _failed(
                f"{sample.key} has {found} image tokens ({foreign.placeholder}) but its {sample.images} images give "
                f"{features} features; processor and model disagree (patch size, resolution, feature selection), or "
                "the text was truncated inside an image"
            )
        total += found
    words = f"{total} in {len(shown)} samples, as many as the model makes features"
    return CheckRecord(name=IMAGES, outcome="ok", words=words)


def count_features(output: Any) -> int:
    """Vectors in whatever get_image_features returned: an output with them pooled, a tensor (..., width), or a list."""
    match output:
        case ModelOutput():
            return count_features(output["pooler_output"])
        case Tensor():
            return output.numel() // output.shape[-1]
        case list() | tuple():
            return sum(count_features(part) for part in output)
        case _:
            raise AssertionError(f"image features of type {type(output).__name__}")


def _placeholders(foreign: ForeignModel, sample: Encoded) -> int:
    return 0 if foreign.placeholder is None else int((sample.ids == foreign.placeholder).sum())


def _failed(words: str) -> CheckRecord:
    return CheckRecord(name=IMAGES, outcome="failed", words=words)
