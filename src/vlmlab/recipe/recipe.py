"""Recipe: everything that can change a result, as one frozen value."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vlmlab.errors import near
from vlmlab.recipe.connector import MLP, Connector
from vlmlab.recipe.evaluation import Evaluation
from vlmlab.recipe.fusion import Autoregressive
from vlmlab.recipe.image import ImagePolicy
from vlmlab.recipe.language import Language
from vlmlab.recipe.source import Data
from vlmlab.recipe.spec import Spec
from vlmlab.recipe.stage import Component, Contrastive, Stage
from vlmlab.recipe.tokenizer import Template, Tokenizer, TrainedBPE
from vlmlab.recipe.vision import Vision

NUM_ADDED_TOKENS = 3
"""Tokens that we add to a published tokenizer: <image>, <image_start>, <image_end>."""


class Model(Spec):
    """A vision-language model: backbone, connector, fusion, language model."""

    vision: Vision = Field(default_factory=Vision)
    """Pixels to patch states."""
    image: ImagePolicy = Field(default_factory=ImagePolicy)
    """Images to views, unless a stage or benchmark says otherwise."""
    connector: Connector = Field(default_factory=lambda: MLP(kind="mlp"))
    """Patch states to visual tokens."""
    fusion: Autoregressive = Field(default_factory=Autoregressive)
    """Where visual tokens meet the language model."""
    language: Language = Field(default_factory=Language)
    """The causal language model."""

    @model_validator(mode="after")
    def _check(self) -> Model:
        check_side(self.image, patch=self.vision.patch)
        return self


def check_side(image: ImagePolicy, *, patch: int, where: str = "image") -> None:
    """Raise ValueError with the nearest sides that are whole patches.

    A published encoder may cut a ragged edge itself (384 px in patches of 14); our views never have one.
    """
    if image.side % patch:
        below, above = image.side // patch * patch, (image.side // patch + 1) * patch
        nearest = f"{below}, {above}" if below else f"{above}"
        raise ValueError(f"{where}: side {image.side} is not a multiple of the patch size {patch}; nearest: {nearest}")


class Recipe(Spec):
    """The whole experiment: model, data, stages and evaluation."""

    name: str
    """Short name, used for the run directory."""
    about: str = ""
    """What it is for and what it costs, in a sentence or two."""
    seed: int = Field(default=0, ge=0)
    """Replicate seed: initialisation, data order, every draw."""
    seeds: dict[str, int] = Field(default_factory=dict)
    """Stages that keep a seed of their own whatever `seed` is: their data order and draws, and the initialisation of
    the components that they train. Replicates then share them: results are conditional on this checkpoint."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the matrix products; parameters and optimiser state stay in float32."""
    model: Model = Field(default_factory=Model)
    """The model."""
    tokenizer: Tokenizer = Field(default_factory=TrainedBPE)
    """Text to token ids."""
    template: Template = Field(default_factory=Template)
    """Words around questions, answers and captions."""
    data: Data = Field(default_factory=Data)
    """Sources."""
    stages: dict[str, Stage] = Field(default_factory=dict)
    """Stages by name, in order."""
    evaluation: Evaluation = Field(default_factory=Evaluation)
    """Benchmarks."""

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        rows = self.model.language.vocabulary
        if isinstance(self.tokenizer, TrainedBPE):
            if rows is not None and rows != self.tokenizer.vocabulary:
                raise ValueError(
                    f"model.language.vocabulary is {rows}, but tokenizer.vocabulary is {self.tokenizer.vocabulary}; "
                    "leave the former null"
                )
        elif rows is None:
            raise ValueError(
                "model.language.vocabulary is null; a published tokenizer needs the number of rows of its model's "
                "embedding table"
            )
        for name, stage in self.stages.items():
            for source in stage.mixture:
                if source not in self.data.sources:
                    known = near(source, self.data.sources)
                    raise ValueError(f"stages.{name}.mixture.{source}: no such source in data.sources{known}")
            if stage.image is not None:
                check_side(stage.image, patch=self.model.vision.patch, where=f"stages.{name}.image")
            if isinstance(stage.objective, Contrastive) and stage.trains("language"):
                raise ValueError(
                    f"stages.{name}.train.language: a contrastive stage has its own text tower and cannot train "
                    "the language model"
                )
            own = isinstance(stage.objective, Contrastive)  # next token has no parts of its own
            if not own and not any(stage.trains(part) for part in ("vision", "connector", "language")):
                raise ValueError(f"stages.{name}.train: nothing trains")
            limit = self.model.language.max_positions
            if not isinstance(stage.objective, Contrastive) and stage.batch.length > limit:
                raise ValueError(
                    f"stages.{name}.batch.length: {stage.batch.length} positions, but "
                    f"model.language.max_positions is {limit}"
                )
        for name in self.seeds:
            if name not in self.stages:
                raise ValueError(f"seeds.{name}: no such stage{near(name, self.stages)}")
        for name, benchmark in self.evaluation.benchmarks.items():
            if benchmark.image is not None:
                check_side(benchmark.image, patch=self.model.vision.patch, where=f"evaluation.benchmarks.{name}.image")
        return self

    def stage_seed(self, stage: str) -> int:
        """Seed of a stage's data order and draws."""
        return self.seeds.get(stage, self.seed)

    def component_seed(self, component: Component) -> int:
        """Seed of a component's initialisation: that of the first stage with a seed of its own that trains it."""
        own = (seed for name, seed in self.seeds.items() if self.stages[name].trains(component))
        return next(own, self.seed)

    def drawn_sources(self) -> tuple[str, ...]:
        """Names of the sources that some stage draws from."""
        drawn = {name for stage in self.stages.values() for name, weight in stage.mixture.items() if weight > 0}
        return tuple(name for name in self.data.sources if name in drawn)

    def image_policy(self, stage: Stage) -> ImagePolicy:
        """The stage's image policy, or the model's."""
        return self.model.image if stage.image is None else stage.image

    def vocabulary(self) -> int:
        """Rows of the embedding table, the tokens that we add included."""
        match self.tokenizer:
            case TrainedBPE():
                return self.tokenizer.vocabulary
            case _:
                assert self.model.language.vocabulary is not None
                return self.model.language.vocabulary + NUM_ADDED_TOKENS
