"""Prompts in, answers out: each beginning is read once, then every question after it is scored and answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from vlmlab.data.encode import Example
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.generation.cache import Reading
from vlmlab.generation.decode import generate
from vlmlab.generation.prompt import Question, Trail, batches, piece_batch
from vlmlab.generation.score import log_likelihoods
from vlmlab.generation.visual import VisualTokens
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.evaluation import Decoding
from vlmlab.recipe.recipe import Model

SORTED_BATCHES = 8
"""Prompts of this many batches are sorted by length together: little padding, and few views in memory at a time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says."""

    text: str
    """The generated answer; empty where none was asked for."""
    log_likelihoods: tuple[float, ...]
    """Of each candidate, in nats."""


Answers = tuple[tuple[Answer, ...], ...]
"""Of a trail: one tuple a step, one answer a question."""


class Answerer:
    """A model that answers prompts."""

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

    def answer(self, trails: Iterator[Trail], *, decoding: Decoding | None) -> Iterator[tuple[int, Answers]]:
        """Yield (place, answers) of every trail, batch by batch, not in their order.

        Without `decoding` nothing is generated. Raises EvaluationError where a prompt leaves no room for the answer.
        """
        start = 0
        limit = self._recipe_model.language.max_positions
        while block := list(islice(trails, self._rows * SORTED_BATCHES)):
            new_tokens = 0 if decoding is None else decoding.max_tokens
            for places in batches(block, rows=self._rows, limit=limit, new_tokens=new_tokens):
                answers = self._answer_batch([block[place] for place in places], decoding=decoding)
                yield from zip((start + place for place in places), answers, strict=True)
            start += len(block)

    @torch.no_grad()
    def _answer_batch(self, trails: Sequence[Trail], *, decoding: Decoding | None) -> list[Answers]:
        answered: list[list[tuple[Answer, ...]]] = [[] for _ in trails]
        with self._model.autocast():
            reading = Reading(self._model, rows=len(trails))
            for steps in zip(*(trail.steps for trail in trails), strict=True):
                self._read(reading, [step.piece for step in steps])
                mark = reading.mark()
                beside: list[list[Answer]] = []
                for questions in zip(*(step.questions for step in steps), strict=True):
                    self._read(reading, [question.example for question in questions])
                    beside.append(self._ask(reading, questions, decoding=decoding))
                    reading.rewind(mark)
                for row, answers in enumerate(zip(*beside, strict=True)):
                    answered[row].append(answers)
        return [tuple(steps) for steps in answered]

    def _read(self, reading: Reading, pieces: Sequence[Example]) -> None:
        batch = piece_batch(pieces, tokenizer=self._tokenizer, model=self._recipe_model)
        visual = self._visual.of(image for piece in pieces for image in piece.images)
        reading.read(batch.to(reading.device), visual=visual)

    def _ask(self, reading: Reading, questions: Sequence[Question], *, decoding: Decoding | None) -> list[Answer]:
        likelihoods = self._score(reading, questions)
        texts = [""] * len(questions)
        if decoding is not None:
            streams = [question.stream for question in questions]
            texts = generate(reading, tokenizer=self._tokenizer, decoding=decoding, end=self._end, streams=streams)
        return [Answer(text, tuple(numbers)) for text, numbers in zip(texts, likelihoods, strict=True)]

    def _score(self, reading: Reading, questions: Sequence[Question]) -> list[list[float]]:
        """The candidates in turn; a row with fewer of them than others repeats its first."""
        scored: list[list[float]] = [[] for _ in questions]
        for index in range(max(len(question.candidates) for question in questions)):
            now = [question.candidates[index if index < len(question.candidates) else 0] for question in questions]
            for row, value in enumerate(log_likelihoods(reading, now, pad=self._tokenizer.pad)):
                if index < len(questions[row].candidates):
                    scored[row].append(value)
        return scored
