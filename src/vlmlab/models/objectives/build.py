"""The one match from objective specs to modules."""

from __future__ import annotations

from typing import assert_never

import torch

from vlmlab.models.initialise import initialise
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.objectives.contrastive import ContrastiveObjective
from vlmlab.models.objectives.next_token import NextTokenObjective
from vlmlab.recipe.recipe import Model
from vlmlab.recipe.stage import Contrastive, NextToken, Objective


def build_objective(
    spec: Objective, *, model: VisionLanguageModel, recipe_model: Model, vocabulary: int, seed: int, loss_chunk: int
) -> NextTokenObjective | ContrastiveObjective:
    """An objective on the model's device. Its own parameters are drawn from (seed, name); the model's are not among them."""
    match spec:
        case NextToken():
            return NextTokenObjective(model, loss_chunk=loss_chunk)
        case Contrastive():
            with torch.device("meta" if model.device.type == "meta" else "cpu"):
                objective = ContrastiveObjective(
                    spec,
                    model=model,
                    vision_width=recipe_model.vision.width,
                    vocabulary=vocabulary,
                    marks=recipe_model.fusion.marks,
                )
            if model.device.type != "meta":
                initialise(objective, seed=seed, prefix="objective")
            return objective.to(model.device)
        case _:
            assert_never(spec)
