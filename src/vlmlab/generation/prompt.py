"""Prompts to a left-padded Batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from vlmlab.batch import Batch
from vlmlab.data.collate import collate_prompts
from vlmlab.data.encode import Example
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import EvaluationError
from vlmlab.recipe.recipe import Model


def check_length(example: Example, *, room: int, limit: int) -> None:
    """Raise EvaluationError if the prompt and `room` more positions do not fit the language model."""
    needed = len(example) + room
    if needed > limit:
        raise EvaluationError(
            f"prompt {example.key}",
            f"{len(example)} positions ({len(example.images)} images) and {room} for the answer make {needed}, but "
            f"model.language.max_positions is {limit}; ask with fewer shots or raise it",
        )


def prompt_batch(examples: Sequence[Example], *, tokenizer: Tokenizer, model: Model) -> Batch:
    """One prompt a row, left-padded, without pixels: the visual tokens come from a store, in the order of the views."""
    empty = torch.zeros((3, 0, 0), dtype=torch.uint8)
    bare = [
        replace(example, images=tuple(replace(image, view=empty) for image in example.images)) for example in examples
    ]
    return collate_prompts(bare, tokenizer=tokenizer, model=model)
