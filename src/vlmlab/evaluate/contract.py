"""Benchmark: items with ids, a protocol version, prompts as Documents, and one score an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from vlmlab.data.document import Document, GreyPicture, Image, Part, Text
from vlmlab.data.item import Item
from vlmlab.data.rows import answer_text, question_text
from vlmlab.errors import EvaluationError
from vlmlab.evaluate.metrics import vqa
from vlmlab.evaluate.metrics.choice import choice_accuracy
from vlmlab.evaluate.metrics.cider import Cider
from vlmlab.evaluate.metrics.exact import exact_match
from vlmlab.recipe.evaluation import Benchmark as BenchmarkSpec
from vlmlab.recipe.evaluation import Metric
from vlmlab.recipe.tokenizer import Template

PROTOCOL = 1
"""Raised when prompts, demonstrations or scoring change, so that records of different protocols are not compared."""


class Scorer(Protocol):
    """Scores one prediction: between 0 and 1, but for CIDEr."""

    def __call__(self, prediction: str, item: Item) -> float: ...


def reference_answer(item: Item, *, metric: Metric) -> str:
    """The answer that a demonstration shows and whose likelihood is recorded.

    A question's most frequent reference (the first of equals); a caption's first; a choice's right one.
    """
    match metric:
        case "vqa_accuracy" | "exact_match":
            return Counter(item.answers).most_common(1)[0][0]
        case "cider" | "multiple_choice":
            return item.answers[0]
        case _:
            assert_never(metric)


def blank_item(item: Item) -> Item:
    """The item with its own image at mean grey. Demonstrations are not touched."""
    assert item.picture is not None
    return replace(item, picture=GreyPicture(item.picture))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Questions of one kind, how they are asked and how they are scored."""

    name: str
    spec: BenchmarkSpec
    metric: Metric
    template: Template
    items: tuple[Item, ...]
    pool: tuple[Item, ...]
    """Where demonstrations are drawn from; never holds a test item."""
    version: int = PROTOCOL

    def __post_init__(self) -> None:
        where = f"evaluation.benchmarks.{self.name}"
        if not self.items:
            raise EvaluationError(where, "there are no items; a benchmark needs at least one")
        repeated = [key for key, count in Counter(item.id for item in self.items).items() if count > 1]
        if repeated:
            raise EvaluationError(where, f"the id {repeated[0]!r} occurs more than once; ids must be unique")
        for item in self.items:
            check_item(item, metric=self.metric, where=f"{where}: item {item.id}")

    def as_document(self, item: Item, shots: Sequence[Item]) -> Document:
        """The prompt: the demonstrations in order, then the query without its answer; an incomplete Document.

        Its parts are those of a multi-image dialogue (or a caption) in training, with nothing learned. 0 shots means
        that there is no demonstration at all.
        """
        parts = [*self.beginning()]
        for shot in shots:
            parts.extend(self.demonstration(shot))
        return Document(f"{self.name}/{item.id}", (*parts, *self.query(item)), complete=False)

    def beginning(self) -> tuple[Part, ...]:
        """What stands once before everything else."""
        return (Text(self.template.instruction, learn=False),) if self.template.instruction else ()

    def demonstration(self, shot: Item) -> tuple[Part, ...]:
        """A question with its answer."""
        answer = reference_answer(shot, metric=self.metric)
        return (*self.query(shot), Text(answer_text(answer, self.template), learn=False))

    def query(self, item: Item) -> tuple[Part, ...]:
        """A question without its answer."""
        words = self.template.caption if item.question is None else question_text(item.question, self.template)
        image = () if item.picture is None else (Image(item.picture),)
        return (*image, Text(words, learn=False))

    def scorer(self) -> Scorer:
        """The metric, with the statistics that it takes from the whole benchmark."""
        match self.metric:
            case "vqa_accuracy":
                return lambda prediction, item: vqa.vqa_accuracy(prediction, item.answers)
            case "exact_match":
                return lambda prediction, item: exact_match(prediction, item.answers)
            case "multiple_choice":
                return lambda prediction, item: choice_accuracy(prediction, item.answers[0])
            case "cider":
                cider = Cider(item.answers for item in self.items)
                return lambda prediction, item: cider.score(prediction, item.answers)
            case _:
                assert_never(self.metric)


def check_item(item: Item, *, metric: Metric, where: str) -> None:
    """Raise EvaluationError if the metric cannot score the item."""
    if not item.answers or any(not answer.strip() for answer in item.answers):
        raise EvaluationError(where, f"answers are {list(item.answers)}; at least one is needed and none may be empty")
    if item.question is None and item.picture is None:
        raise EvaluationError(where, "there is neither a question nor an image; one of them is needed")
    match metric:
        case "vqa_accuracy":
            if len(item.answers) < vqa.LEAST_REFERENCES:
                raise EvaluationError(
                    where,
                    f"{len(item.answers)} reference answers, but vqa_accuracy compares with the others and needs at "
                    f"least {vqa.LEAST_REFERENCES} (ten, officially); use metric exact_match",
                )
        case "multiple_choice":
            if (
                len(item.choices) < 2
                or item.answers[0] not in item.choices
                or len(set(item.choices)) < len(item.choices)
            ):
                raise EvaluationError(
                    where,
                    f"the answer {item.answers[0]!r} with choices {list(item.choices)}; multiple_choice needs at least "
                    "two different choices, the answer among them",
                )
        case "exact_match" | "cider":
            pass
        case _:
            assert_never(metric)
