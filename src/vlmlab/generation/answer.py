"""Questions in, answers out: batches of prompts are read once, candidate answers scored, then an answer is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vlmlab.data.encode import Example
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.generation.cache import Prefix
from vlmlab.generation.decode import generate
from vlmlab.generation.prompt import check_length, prompt_batch
from vlmlab.generation.score import log_likelihoods
from vlmlab.generation.visual import VisualTokens
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.evaluation import Decoding
from vlmlab.recipe.recipe import Model

SORTED_BATCHES = 8
"""Prompts of this many batches are sorted by length together: little padding, and few views in memory at a time."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt with the answers whose likelihood is asked for, as token ids."""

    example: Example
    candidates: tuple[tuple[int, ...], ...]
    stream: np.random.Generator
    """Where sampling draws from."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says."""

    text: str
    """The generated answer; empty where none was asked for."""
    log_likelihoods: tuple[float, ...]
    """Of each candidate, in nats."""


class Answerer:
    """A model that answers prompts. It computes each picture's visual tokens once and keeps them within a bound."""

    def __init__(
        self,
        model: VisionLanguageModel,
        *,
        recipe_model: Model,
        tokenizer: Tokenizer,
        visual: VisualTokens,
        rows: int,
        end: str,
    ) -> None:
        """`rows` prompts a batch; an answer stops before `end`."""
        self._model = model
        self._recipe_model = recipe_model
        self._tokenizer = tokenizer
        self._visual = visual
        self._rows = rows
        self._end = end

    def candidate(self, text: str) -> tuple[int, ...]:
        """The tokens of an answer as it is learned; without an end text the end token takes its place."""
        ids = self._tokenizer.encode(text)
        return tuple(ids) if self._end else (*ids, self._tokenizer.eos)

    def answer(
        self, questions: Iterator[Question], *, count: int, decoding: Decoding | None
    ) -> Iterator[tuple[int, Answer]]:
        """Yield (place, answer) of `count` questions, batch by batch, not in their order.

        Without `decoding` nothing is generated. Raises EvaluationError where a prompt leaves no room for the answer.
        """
        window = self._rows * SORTED_BATCHES
        for start in range(0, count, window):
            block = [next(questions) for _ in range(min(window, count - start))]
            order = sorted(range(len(block)), key=lambda place: (len(block[place].example.ids), place))
            for first in range(0, len(order), self._rows):
                places = order[first : first + self._rows]
                answers = self._answer_batch([block[place] for place in places], decoding=decoding)
                yield from zip((start + place for place in places), answers, strict=True)

    @torch.no_grad()
    def _answer_batch(self, questions: Sequence[Question], *, decoding: Decoding | None) -> list[Answer]:
        # All rows of a batch end in the same column, so the longest prompt and the longest answer must fit together.
        room = max(len(tokens) for question in questions for tokens in question.candidates)
        room = max(room, 0 if decoding is None else decoding.max_tokens)
        for question in questions:
            check_length(question.example, room=room, limit=self._recipe_model.language.max_positions)
        device = next(self._model.parameters()).device
        examples = [question.example for question in questions]
        batch = prompt_batch(examples, tokenizer=self._tokenizer, model=self._recipe_model)
        with self._model.autocast():
            visual: list[Tensor] = self._visual.of([image for example in examples for image in example.images])
            prefix = Prefix(self._model, batch.to(device), visual=visual)
            likelihoods = self._score(prefix, questions)
            texts = [""] * len(questions)
            if decoding is not None:
                streams = [question.stream for question in questions]
                texts = generate(prefix, tokenizer=self._tokenizer, decoding=decoding, end=self._end, streams=streams)
        return [Answer(text, tuple(numbers)) for text, numbers in zip(texts, likelihoods, strict=True)]

    def _score(self, prefix: Prefix, questions: Sequence[Question]) -> list[list[float]]:
        """The candidates in turn; a row with fewer of them than others repeats its first."""
        scored: list[list[float]] = [[] for _ in questions]
        for index in range(max(len(question.candidates) for question in questions)):
            now = [question.candidates[index if index < len(question.candidates) else 0] for question in questions]
            for row, value in enumerate(log_likelihoods(prefix, now, pad=self._tokenizer.pad)):
                if index < len(questions[row].candidates):
                    scored[row].append(value)
        return scored
