"""The one match from objective specs to modules."""

from __future__ import annotations

from typing import assert_never

import torch

from vlmlab.models.initialise import initialise, seeded
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.objectives.contrastive import ContrastiveObjective
from vlmlab.models.objectives.next_token import NextTokenObjective
from vlmlab.recipe.recipe import Model
from vlmlab.recipe.stage import Contrastive, NextToken, Objective


def build_objective(
    spec: Objective, *, model: VisionLanguageModel, recipe_model: Model, vocabulary: int, seed: int, loss_chunk: int
) -> NextTokenObjective | ContrastiveObjective:
    """An objective on the model's device, its own parameters drawn from (seed, name); it does not own the model's."""
    match spec:
        case NextToken():
            return NextTokenObjective(model, loss_chunk=loss_chunk)
        case Contrastive():
            # Constructors draw from torch's global generator; what they draw is replaced.
            with torch.device("meta" if model.device.type == "meta" else "cpu"), seeded(seed, "constructor"):
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
