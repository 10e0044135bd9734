"""Prompts in pieces, and pieces of many prompts as a left-padded Batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from vlmlab.batch import Batch
from vlmlab.data.collate import collate_prompts
from vlmlab.data.document import Document, Part
from vlmlab.data.encode import Encoder, Example
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import EvaluationError
from vlmlab.recipe.recipe import Model


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked after a beginning, with the answers whose likelihood is asked for as token ids."""

    example: Example
    candidates: tuple[tuple[int, ...], ...]
    stream: np.random.Generator
    """Where sampling draws from."""


@dataclass(frozen=True, slots=True)
class Step:
    """A piece that is read on from the step before, then questions that stand beside each other after it."""

    piece: Example
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Trail:
    """Prompts that share their beginnings.

    Four demonstrations, then the query with its image and with a blank one; four more demonstrations, then the query
    again both ways: four prompts of which the demonstrations are read once.
    """

    steps: tuple[Step, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Questions of each step; trails of one shape can be read as one batch."""
        return tuple(len(step.questions) for step in self.steps)

    def __len__(self) -> int:
        """Positions of the longest prompt."""
        beginning = sum(len(step.piece) for step in self.steps)
        return beginning + max(len(question.example) for question in self.steps[-1].questions)


def encode_piece(encoder: Encoder, parts: Sequence[Part], *, key: str, first: bool) -> Example:
    """Parts of a prompt as the training encoder writes them; only the first piece of a prompt has the begin token.

    Parts are encoded one by one, so pieces end to end are the encoding of the whole.
    """
    example = encoder.encode(Document(key, tuple(parts), complete=False))
    if first:
        return example
    images = tuple(replace(image, start=image.start - 1) for image in example.images)
    return Example(example.key, example.ids[1:], example.learn[1:], images)


def piece_batch(pieces: Sequence[Example], *, tokenizer: Tokenizer, model: Model) -> Batch:
    """One piece a row, left-padded, without pixels: the visual tokens come from a store, in the order of the views."""
    empty = torch.zeros((3, 0, 0), dtype=torch.uint8)
    bare = [replace(piece, images=tuple(replace(image, view=empty) for image in piece.images)) for piece in pieces]
    return collate_prompts(bare, tokenizer=tokenizer, model=model)


def widest(trails: Sequence[Trail], *, new_tokens: int) -> int:
    """Columns that a batch of trails takes, answers included. Each piece is padded to the longest of its step."""
    columns, most = 0, 0
    for steps in zip(*(trail.steps for trail in trails), strict=True):
        columns += max(len(step.piece) for step in steps)
        questions = [question for step in steps for question in step.questions]
        asked = max(len(question.example) for question in questions)
        answer = max(len(tokens) for question in questions for tokens in question.candidates)
        most = max(most, columns + asked + max(answer, new_tokens))
    return most


def batches(trails: Sequence[Trail], *, rows: int, limit: int, new_tokens: int) -> list[list[int]]:
    """Places of the trails of each batch: of one shape, at most `rows`, short ones together, at most `limit` columns.

    Raises EvaluationError for a trail that is too long even alone.
    """
    order = sorted(range(len(trails)), key=lambda place: (trails[place].shape, len(trails[place]), place))
    made: list[list[int]] = []
    for place in order:
        trail = trails[place]
        alone = widest([trail], new_tokens=new_tokens)
        if alone > limit:
            images = sum(len(step.piece.images) for step in trail.steps)
            raise EvaluationError(
                f"prompt {trail.steps[0].piece.key}",
                f"{len(trail)} positions ({images} images in the demonstrations) and the answer make {alone}, but "
                f"model.language.max_positions is {limit}; ask with fewer shots or raise it",
            )
        if made and len(made[-1]) < rows and trails[made[-1][0]].shape == trail.shape:
            together = [trails[other] for other in made[-1]] + [trail]
            if widest(together, new_tokens=new_tokens) <= limit:
                made[-1].append(place)
                continue
        made.append([place])
    return made
