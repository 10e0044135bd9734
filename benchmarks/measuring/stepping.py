"""Training programs that a benchmark repeats: one step of ours, and one step of its twin in `transformers`."""

from __future__ import annotations

import json
from typing import final

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from measuring.twins import Twin, build_twin, twin_inputs, twin_name
from vlmlab.batch import Batch
from vlmlab.models.build import BuildOptions, build_model
from vlmlab.models.model import Precision
from vlmlab.models.objectives.build import build_objective
from vlmlab.models.trainable import set_trainable
from vlmlab.recipe.recipe import Model
from vlmlab.recipe.stage import Stage
from vlmlab.training.optim import build_optimizer
from vlmlab.training.parallel import Spread
from vlmlab.training.stage_module import StageModule
from vlmlab.training.step import StepResult, agree, train_step
from vlmlab.training.world import World

LOSS_CHUNK = 8192
"""The default of a machine."""


def everything_trains() -> Stage:
    """A next-token stage in which all three parts train at one rate."""
    tree = {
        "objective": {"kind": "next_token"},
        "train": {part: {"mode": "full"} for part in ("vision", "connector", "language")},
        "mixture": {"made": 1.0},
        "duration": {"steps": 1},
        "optimizer": {"learning_rate": 1e-4, "clip": 1.0},
    }
    return Stage.model_validate_json(json.dumps(tree))


@final
class Ours:
    """A model of ours and its optimiser. `step` is the product's own training step."""

    def __init__(self, spec: Model, *, vocabulary: int, precision: Precision, options: BuildOptions) -> None:
        self.stage = everything_trains()
        self.device = options.device
        self.model = build_model(spec, vocabulary=vocabulary, seed=0, precision=precision, options=options)
        objective = build_objective(
            self.stage.objective, model=self.model, recipe_model=spec, vocabulary=vocabulary, seed=0,
            loss_chunk=LOSS_CHUNK,
        )  # fmt: skip
        self.groups = set_trainable(self.model, objective, self.stage)
        self.optimizer = build_optimizer(self.groups, self.stage.optimizer, device=self.device)
        module = StageModule(self.model, objective, sees=True, shared=False)
        self.spread = Spread(module, module, "alone")

    def step(self, batch: Batch) -> StepResult:
        """Forward, loss, backward, clipping, AdamW."""
        world = World()
        return train_step(
            self.spread, self.stage.objective, self.optimizer, batch,
            agree(batch, self.stage.objective, world, stop=0, save=False),
            components=[group.component for group in self.groups], clip=self.stage.optimizer.clip, micro_rows=None,
            device=self.device, world=world,
        )  # fmt: skip


@final
class Theirs:
    """The twin of a model of ours, with the same optimiser, groups and clipping."""

    def __init__(self, ours: Ours, batch: Batch, *, image_token: int) -> None:
        self.twin: Twin = build_twin(ours.model, image_token=image_token)
        self.inputs = twin_inputs(self.twin, batch, vision=ours.model.spec.vision)
        self.precision: Precision = ours.model.precision
        optimizer = ours.stage.optimizer
        self.clip = optimizer.clip
        parameters = dict(self.twin.named_parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": [parameters[twin_name(self.twin, name)] for name in group.names],
                    "lr": group.learning_rate,
                    "weight_decay": group.weight_decay,
                }
                for group in ours.groups
            ],
            betas=optimizer.betas,
            eps=optimizer.epsilon,
            fused=True,
        )
        self.trained: list[nn.Parameter] = [p for group in self.optimizer.param_groups for p in group["params"]]

    def attend_with(self, kernels: dict[str, str]) -> None:
        """Choose the attention of each part, by the name of its configuration."""
        self.twin.set_attn_implementation(kernels)

    def num_learned(self) -> int:
        """Labels that count once they are shifted."""
        return int((self.inputs["labels"][:, 1:] != -100).sum())

    def step(self) -> float:
        """Forward, loss, backward, clipping, AdamW; the mean loss."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
            loss = self.twin(**self.inputs, use_cache=False).loss
        loss.backward()
        clip_grad_norm_(self.trained, self.clip)
        self.optimizer.step()
        return float(loss.detach())
