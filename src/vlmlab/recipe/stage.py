"""A stage: what is optimised, what trains, on what mixture, for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vlmlab.recipe.image import ImagePolicy
from vlmlab.recipe.optim import AdamW
from vlmlab.recipe.spec import Spec

Component = Literal["vision", "connector", "language", "objective"]


class NextToken(Spec):
    """Cross-entropy of the next token at learned positions, over text-only and image documents alike."""

    kind: Literal["next_token"]
    """Next token."""


class TextTower(Spec):
    """The text side of a contrastive stage: a small transformer over token ids, thrown away after the stage."""

    width: int = Field(default=128, ge=1)
    """Size of a hidden state."""
    depth: int = Field(default=2, ge=1)
    """Transformer blocks."""
    heads: int = Field(default=4, ge=1)
    """Attention heads."""
    mlp: int = Field(default=512, ge=1)
    """Hidden size of a block's MLP."""
    max_positions: int = Field(default=64, ge=1)
    """Longest text; longer texts are cut."""


class Contrastive(Spec):
    """Image and text of a pair agree, others do not. Negatives are the whole batch: its size is part of the recipe."""

    kind: Literal["contrastive"]
    """Contrastive image-text."""
    loss: Literal["sigmoid", "softmax"] = "sigmoid"
    """sigmoid: every pair of the batch is a yes/no question (SigLIP). softmax: pick the partner, both ways (CLIP)."""
    text: TextTower = Field(default_factory=TextTower)
    """The text tower."""
    embedding: int = Field(default=128, ge=1)
    """Size of the shared space."""


Objective = Annotated[NextToken | Contrastive, Field(discriminator="kind")]


class Frozen(Spec):
    """The component does not move; that it did not is checked at the end of the stage."""

    mode: Literal["frozen"] = "frozen"
    """Frozen."""


class Full(Spec):
    """Every parameter of the component trains."""

    mode: Literal["full"] = "full"
    """All parameters."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate of this component; null means the optimiser's."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay of this component's matrices; null means the optimiser's."""


Train = Annotated[Frozen | Full, Field(discriminator="mode")]


class Steps(Spec):
    """A duration in optimiser steps."""

    steps: int = Field(ge=1)
    """Optimiser steps."""


class Tokens(Spec):
    """A duration in tokens of the rows (text and visual positions, no padding); the step that reaches it is last."""

    tokens: int = Field(ge=1)
    """Real positions seen."""


class Rows(Spec):
    """Shape of one optimiser step's batch, over all devices."""

    rows: int = Field(default=32, ge=1)
    """Rows of a step; pairs of a step under a contrastive objective."""
    length: int = Field(default=256, ge=2)
    """Positions of a row."""
    images: int = Field(default=16, ge=0)
    """Most images of a row."""
    streams: int = Field(default=1, ge=1)
    """Independent streams of documents that fill the rows, each an equal share of them. Batches are the same on any
    number of processes; a process reads only the streams of its own rows, so have as many streams as processes."""
    packing: bool = True
    """Several documents a row, isolated from each other; false puts one document in a row."""
    long_documents: Literal["refuse", "skip", "truncate"] = "truncate"
    """A document longer than a row stops the run, is skipped and counted, or is cut at its end, never inside an
    image."""

    @model_validator(mode="after")
    def _check(self) -> Rows:
        if self.rows % self.streams:
            raise ValueError(f"streams: {self.rows} rows cannot be shared evenly among {self.streams} streams")
        return self


class Stage(Spec):
    """One training phase. Stages run in the order in which the recipe names them."""

    objective: Objective
    """What is optimised."""
    train: dict[Component, Train] = Field(default_factory=dict)
    """What trains. Components of the model that are not named are frozen; the objective's own parts always train."""
    mixture: dict[str, float] = Field(min_length=1)
    """Source name to weight; weights are shares of the documents drawn and need not sum to one."""
    duration: Steps | Tokens
    """{steps: N} or {tokens: N}."""
    batch: Rows = Field(default_factory=Rows)
    """Shape of a step."""
    image: ImagePolicy | None = None
    """Image policy of this stage; null means model.image."""
    optimizer: AdamW = Field(default_factory=AdamW)
    """Optimiser and schedule."""
    nonfinite_steps: int = Field(default=3, ge=0)
    """Most steps of the stage whose loss or gradient may be infinite or not a number: they change no weight and are
    counted; one more stops the run and names their samples."""

    @model_validator(mode="after")
    def _check(self) -> Stage:
        for name, weight in self.mixture.items():
            if weight < 0:
                raise ValueError(f"mixture.{name} is {weight}; weights must be zero or positive")
        if not sum(self.mixture.values()) > 0:
            raise ValueError("mixture: all weights are zero; at least one must be positive")
        if "objective" in self.train and isinstance(self.train["objective"], Frozen):
            raise ValueError("train.objective: the objective's own parts are fresh and cannot be frozen")
        if "objective" in self.train and isinstance(self.objective, NextToken):
            raise ValueError("train.objective: the next_token objective has no parts of its own; leave it out")
        return self

    def learning_rate(self, component: Component) -> float:
        """Peak learning rate of a component; 0 where it is frozen."""
        train = self.train.get(component, Full() if component == "objective" else Frozen())
        if isinstance(train, Frozen):
            return 0.0
        return self.optimizer.learning_rate if train.learning_rate is None else train.learning_rate

    def weight_decay(self, component: Component) -> float:
        """Weight decay of a component's matrices."""
        train = self.train.get(component)
        if isinstance(train, Full) and train.weight_decay is not None:
            return train.weight_decay
        return self.optimizer.weight_decay

    def trains(self, component: Component) -> bool:
        """Whether any parameter of the component moves."""
        return self.learning_rate(component) > 0
