"""Evaluation: every benchmark, number of shots, demonstration seed and condition; one record an item and pass."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlmlab.data.encode import Encoder
from vlmlab.data.item import Item
from vlmlab.data.rows import answer_text
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import Diverged
from vlmlab.evaluate.benchmarks.open import open_benchmarks
from vlmlab.evaluate.contract import Benchmark, Scorer, reference_answer
from vlmlab.evaluate.gallery import gallery, gallery_shots
from vlmlab.evaluate.metrics.choice import Candidate, most_likely, most_likely_per_token
from vlmlab.evaluate.passes import Pass, asks, chains, passes, shown_item
from vlmlab.evaluate.summary import summarise
from vlmlab.files import write_json, write_jsonl
from vlmlab.generation.answer import Answer, Answerer
from vlmlab.generation.prompt import Question, Step, Trail, encode_piece
from vlmlab.generation.visual import VisualTokens
from vlmlab.models.model import VisionLanguageModel
from vlmlab.random_streams import stream
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import EvaluationRecord, GalleryRecord, ItemRecord, ScoreRecord

VIEW_MEMORY = 256 * 2**20
"""Bytes of resized pictures that are kept: demonstrations return in many prompts, and drawing or decoding them costs
more than a small model's look at them."""

Progress = Callable[[str, int, int], None]
"""Called with a benchmark's name, its questions answered so far and all of them."""


def evaluate(
    model: VisionLanguageModel,
    *,
    recipe: Recipe,
    tokenizer: Tokenizer,
    machine: Machine,
    folder: Path,
    root: Path,
    progress: Progress | None = None,
) -> EvaluationRecord:
    """Ask the model every benchmark of the recipe and write one BENCHMARK.jsonl each, summary.json, gallery.json and,
    for multiple choice, choices.json in `folder`.

    Relative paths of the recipe are relative to `root`. The same model gives the same records, whatever the rows of a
    batch. Raises EvaluationError where a benchmark cannot be asked or scored.
    """
    started, started_cpu = time.perf_counter(), time.process_time()
    benchmarks = open_benchmarks(recipe, root=root)
    shown = gallery_shots(benchmarks)
    scores: list[ScoreRecord] = []
    shot_gains: list[dict[str, Any]] = []
    shown_items: list[GalleryRecord] = []
    choices: dict[str, list[dict[str, Any]]] = {}
    training = model.training
    model.eval()
    try:
        visual = VisualTokens(model, views=machine.evaluation_rows)
        for benchmark in benchmarks:
            asker = _Asker(
                model, benchmark=benchmark, recipe=recipe, tokenizer=tokenizer, machine=machine, visual=visual
            )
            asker.ask(progress)
            write_jsonl(
                folder / f"{benchmark.name}.jsonl", [record.model_dump(mode="json") for record in asker.records]
            )
            summary = summarise(benchmark, asker.records, evaluation=recipe.evaluation)
            scores += summary.scores
            shot_gains += summary.shot_gains
            shown_items += gallery(benchmark, asker.records, shots=shown[benchmark.name])
            if asker.choices:
                choices[benchmark.name] = asker.choices
    finally:
        model.train(training)
    if choices:
        write_json(folder / "choices.json", choices)
    write_json(folder / "gallery.json", [row.model_dump(mode="json") for row in shown_items])
    record = EvaluationRecord(
        confidence=recipe.evaluation.confidence,
        scores=scores,
        shot_gains=shot_gains,
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - started_cpu,
    )
    write_json(folder / "summary.json", record.model_dump(mode="json"))
    return record


@dataclass(frozen=True, slots=True)
class _Asked:
    """One item in one pass, waiting for its answer."""

    item: Item
    asked: Pass
    prompt: str
    candidates: tuple[tuple[str, tuple[int, ...]], ...]
    """Answers whose likelihood is asked for, with their tokens."""


class _Asker:
    """One benchmark on its way through the model."""

    def __init__(
        self,
        model: VisionLanguageModel,
        *,
        benchmark: Benchmark,
        recipe: Recipe,
        tokenizer: Tokenizer,
        machine: Machine,
        visual: VisualTokens,
    ) -> None:
        self.records: list[ItemRecord] = []
        self.choices: list[dict[str, Any]] = []
        """For multiple choice: every candidate's likelihood, and the variant that is normalised by its own length."""
        policy = recipe.model.image if benchmark.spec.image is None else benchmark.spec.image
        self._benchmark = benchmark
        self._template = recipe.template
        self._passes = passes(benchmark, blank_control=recipe.evaluation.blank_control)
        self._encoder = Encoder(
            tokenizer, recipe.model, policy, cached_views=max(1, VIEW_MEMORY // (3 * policy.side**2))
        )
        self._scorer: Scorer = benchmark.scorer()
        self._answerer = Answerer(
            model,
            recipe_model=recipe.model,
            tokenizer=tokenizer,
            visual=visual,
            rows=machine.evaluation_rows,
            end=recipe.template.end,
        )

    def ask(self, progress: Progress | None) -> None:
        """Ask every pass; the records stand in the order of passes and items."""
        name, done = self._benchmark.name, 0
        total = sum(asks(item, asked) for asked in self._passes for item in self._benchmark.items)
        decoding = None if self._benchmark.metric == "multiple_choice" else self._benchmark.spec.decoding
        answered: dict[tuple[Pass, str], tuple[_Asked, Answer]] = {}
        for seed in dict.fromkeys(asked.seed for asked in self._passes):
            waiting: list[list[tuple[_Asked, ...]]] = []
            for place, answers in self._answerer.answer(self._trails(seed, waiting), decoding=decoding):
                for questions, given in zip(waiting[place], answers, strict=True):
                    for question, answer in zip(questions, given, strict=True):
                        answered[question.asked, question.item.id] = (question, answer)
                        done += 1
                if progress is not None:
                    progress(name, done, total)
        for asked in self._passes:
            for item in self._benchmark.items:
                if asks(item, asked):
                    self._record(*answered[asked, item.id])

    def _trails(self, seed: int | None, waiting: list[list[tuple[_Asked, ...]]]) -> Iterator[Trail]:
        """Encode the passes of one demonstration seed, item after item, and note them in `waiting`."""
        benchmark = self._benchmark
        for item in benchmark.items:
            for chain in chains(benchmark, item, self._passes, seed=seed):
                steps: list[Step] = []
                noted: list[tuple[_Asked, ...]] = []
                read = 0
                for level in chain:
                    parts = [*benchmark.beginning()] if not steps else []
                    for shot in level.demonstrations[read:]:
                        parts.extend(benchmark.demonstration(shot))
                    read = len(level.demonstrations)
                    key = f"{benchmark.name}/{item.id}"
                    piece = encode_piece(self._encoder, parts, key=key, first=not steps)
                    asked = tuple(self._asked(item, one, level.demonstrations) for one in level.passes)
                    steps.append(Step(piece, tuple(self._question(one) for one in asked)))
                    noted.append(asked)
                waiting.append(noted)
                yield Trail(tuple(steps))

    def _asked(self, item: Item, asked: Pass, shots: tuple[Item, ...]) -> _Asked:
        metric = self._benchmark.metric
        texts = item.choices if metric == "multiple_choice" else (reference_answer(item, metric=metric),)
        candidates = tuple((text, self._answerer.candidate(answer_text(text, self._template))) for text in texts)
        return _Asked(item, asked, self._benchmark.as_document(shown_item(item, asked), shots).text, candidates)

    def _question(self, asked: _Asked) -> Question:
        parts = self._benchmark.query(shown_item(asked.item, asked.asked))
        example = encode_piece(self._encoder, parts, key=asked.item.id, first=False)
        return Question(example, tuple(ids for _, ids in asked.candidates), self._stream(asked.item, asked.asked))

    def _stream(self, item: Item, asked: Pass) -> np.random.Generator:
        """Image and blank condition draw alike, which pairs them."""
        key = ("sampling", self._benchmark.name, item.id, asked.shots, -1 if asked.seed is None else asked.seed)
        return stream(self._benchmark.spec.decoding.seed, *key)

    def _record(self, question: _Asked, answer: Answer) -> None:
        item, asked = question.item, question.asked
        if not all(math.isfinite(value) for value in answer.log_likelihoods):
            raise Diverged(
                f"evaluation.benchmarks.{self._benchmark.name}: item {item.id}",
                f"the log-likelihood is {answer.log_likelihoods[0]}, not a finite number; the "
                "training diverged: lower its learning rate",
            )
        candidates = tuple(
            Candidate(text, value, len(ids))
            for (text, ids), value in zip(question.candidates, answer.log_likelihoods, strict=True)
        )
        prediction = answer.text
        likelihood = candidates[0].log_likelihood
        if self._benchmark.metric == "multiple_choice":
            prediction = most_likely(candidates).text
            likelihood = next(candidate.log_likelihood for candidate in candidates if candidate.text == item.answers[0])
            self.choices.append(self._choice_row(item, asked, candidates))
        self.records.append(
            ItemRecord(
                benchmark=self._benchmark.name,
                item=item.id,
                cluster=item.cluster,
                shots=asked.shots,
                demonstration_seed=asked.seed,
                condition=asked.condition,
                question=item.question,
                answers=list(item.answers),
                prediction=prediction,
                score=self._scorer(prediction, item),
                log_likelihood=likelihood,
                prompt=question.prompt,
            )
        )

    def _choice_row(self, item: Item, asked: Pass, candidates: tuple[Candidate, ...]) -> dict[str, Any]:
        normalised = most_likely_per_token(candidates).text
        return {
            "item": item.id,
            "shots": asked.shots,
            "demonstration_seed": asked.seed,
            "condition": asked.condition,
            "candidates": [
                {"text": candidate.text, "log_likelihood": candidate.log_likelihood, "tokens": candidate.tokens}
                for candidate in candidates
            ],
            "prediction_per_token": normalised,
            "score_per_token": self._scorer(normalised, item),
        }
