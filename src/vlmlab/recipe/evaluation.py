"""What the trained model is asked, with how many shots, and how it is scored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vlmlab.recipe.image import ImagePolicy
from vlmlab.recipe.source import Scenes
from vlmlab.recipe.spec import Spec

Metric = Literal["vqa_accuracy", "cider", "exact_match", "multiple_choice"]
WorldBenchmarkFamily = Literal["general", "reading", "knowledge", "captions", "binding", "text"]


class Decoding(Spec):
    """How an answer is generated."""

    max_tokens: int = Field(default=12, ge=1)
    """Most new tokens."""
    temperature: float = Field(default=0.0, ge=0.0)
    """0 is greedy; else samples from the softmax at this temperature."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Smallest set of tokens with this mass is sampled from."""
    seed: int = Field(default=0, ge=0)
    """Seed of sampling, per item."""


class BenchmarkBase(Spec):
    """Fields of every benchmark."""

    items: int = Field(default=200, ge=1)
    """Items, the first of the benchmark's fixed order."""
    shots: tuple[int, ...] = (0, 4, 8)
    """Numbers of demonstrations; 0 shots means none at all."""
    demonstration_seeds: tuple[int, ...] = (0, 1)
    """Each seed draws other demonstrations for every item; at 0 shots there is nothing to draw and it runs once."""
    decoding: Decoding = Field(default_factory=Decoding)
    """How answers are generated."""
    image: ImagePolicy | None = None
    """Image policy; null means model.image."""

    @model_validator(mode="after")
    def _shots(self) -> BenchmarkBase:
        if not self.shots or any(shot < 0 for shot in self.shots) or len(set(self.shots)) != len(self.shots):
            raise ValueError(f"shots must be different numbers of 0 and more; found {list(self.shots)}")
        if not self.demonstration_seeds:
            raise ValueError("demonstration_seeds is empty; give at least one")
        return self


class WorldBenchmark(BenchmarkBase):
    """A benchmark of the generated world's test split."""

    kind: Literal["world"]
    """The generated world."""
    family: WorldBenchmarkFamily
    """general (VQAv2-like, ten references), reading (TextVQA-like), knowledge (OK-VQA-like: the fact is told in text
    only), captions (COCO-like, five references), binding (nonce labels told in the prompt), text (multiple choice, text
    only)."""
    scenes: Scenes | None = None
    """Pictures of the benchmark; null means data.world.scenes."""
    split: Literal["test", "validation"] = "test"
    """validation: other scenes over what training never asks, for choosing a learning rate; never reported."""

    def metric_name(self) -> Metric:
        """The metric of the family."""
        match self.family:
            case "general" | "reading" | "knowledge":
                return "vqa_accuracy"
            case "captions":
                return "cider"
            case "binding":
                return "exact_match"
            case "text":
                return "multiple_choice"


class JsonlBenchmark(BenchmarkBase):
    """Questions in JSON lines: {id, image?, question, answers: [...], choices?: [...], cluster?}; the demonstrations
    come from another file.
    """

    kind: Literal["jsonl"]
    """JSON lines."""
    path: str
    """The test items."""
    demonstrations: str | None = None
    """File of the same form to draw demonstrations from; needed when shots go beyond 0."""
    images: str = ""
    """Folder that image paths are relative to; empty means the folder of the file."""
    metric: Metric = "vqa_accuracy"
    """How an answer is scored."""

    def metric_name(self) -> Metric:
        """The metric that the recipe names."""
        return self.metric


Benchmark = Annotated[WorldBenchmark | JsonlBenchmark, Field(discriminator="kind")]


class Evaluation(Spec):
    """Benchmarks, and what holds for all of them."""

    benchmarks: dict[str, Benchmark] = Field(default_factory=dict)
    """Benchmarks by name."""
    blank_control: bool = True
    """Ask every image benchmark again with the query's image at mean grey."""
    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples over clusters of items behind each interval."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Confidence of the intervals."""
