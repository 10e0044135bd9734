"""Whether a foreign model keeps packed samples apart, in each of the ways in which trainers pack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vlmlab.errors import RecipeError, near
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.foreign.encode import Encoded
from vlmlab.training.checks.foreign.folder import ForeignModel

WAYS = {
    "positions": "positions restart, no attention mask, use_cache=False",
    "cache": "positions restart, no attention mask, default cache",
    "ones": "positions restart, attention mask of ones",
    "blocks": "positions restart, 4-D mask of blocks",
}
LONGEST = 32
"""Tokens of a probed sample."""
CUDA_TOLERANCE = 1e-2
"""Largest difference of the logits on CUDA, as a share of their root mean square."""


def check_way(packed: str | None) -> None:
    """Raise RecipeError for a way of packing that is none of WAYS."""
    if packed is not None and packed not in WAYS:
        raise RecipeError("--packed", f"{packed!r} is no way of packing{near(packed, WAYS)}")


@torch.no_grad()
def probe_packing(foreign: ForeignModel, encoded: Sequence[Encoded], *, packed: str | None) -> list[CheckRecord]:
    """One check a way: other tokens in the first sample of a row must move no logit of the second.

    A leak fails in the way that is in use (`packed`); elsewhere it is noted.
    """
    first, second = _texts(foreign, encoded)
    return [_way(foreign, first, second, way=way, used=way == packed) for way in WAYS]


def _way(foreign: ForeignModel, first: Tensor, second: Tensor, *, way: str, used: bool) -> CheckRecord:
    name = f"packing: {way}"
    other = (first + 1) % foreign.vocabulary
    other = torch.where(other == _placeholder(foreign), (other + 1) % foreign.vocabulary, other)
    segments = torch.cat([torch.zeros_like(first), torch.ones_like(second)], dim=1)
    arguments = _arguments(way, segments, lengths=(first.shape[1], second.shape[1]))
    try:
        base, moved = (
            foreign.model(**foreign.inputs({"input_ids": torch.cat([ids, second], dim=1), **arguments})).logits
            for ids in (first, other)
        )
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        return CheckRecord(name=name, outcome="not applicable", words=f"{WAYS[way]}: refused by the model ({error})")
    length = first.shape[1]
    difference = float((base[:, length:].float() - moved[:, length:].float()).abs().max())
    scale = float(base.float().square().mean().sqrt())
    tolerance = 0.0 if base.device.type == "cpu" else CUDA_TOLERANCE * scale
    words = f"{WAYS[way]}: the second sample's logits move by {difference:.3g} (their size: {scale:.3g})"
    if difference <= tolerance:
        return CheckRecord(name=name, outcome="ok", words=words)
    return CheckRecord(
        name=name,
        outcome="failed" if used else "note",
        words=f"{words} when the first changes: packed like this, samples see each other",
    )


def _arguments(way: str, segments: Tensor, *, lengths: tuple[int, int]) -> dict[str, Any]:
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    match way:
        case "positions":
            return {"position_ids": positions, "use_cache": False}
        case "cache":
            return {"position_ids": positions}
        case "ones":
            return {"position_ids": positions, "attention_mask": torch.ones_like(segments)}
        case "blocks":
            same = segments[:, :, None] == segments[:, None, :]
            return {"position_ids": positions, "attention_mask": (same & torch.ones_like(same).tril())[:, None]}
        case _:
            raise AssertionError(way)


def _texts(foreign: ForeignModel, encoded: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
    """Two runs of text tokens (1, length); images cannot be changed inside a row without a processor's consent."""
    tokens = torch.cat([sample.ids[0][sample.ids[0] != _placeholder(foreign)] for sample in encoded])
    while len(tokens) < 8:
        tokens = torch.cat([tokens, tokens])
    half = min(LONGEST, len(tokens) // 2)
    return tokens[:half][None], tokens[half : 2 * half][None]


def _placeholder(foreign: ForeignModel) -> int:
    return -1 if foreign.placeholder is None else foreign.placeholder
