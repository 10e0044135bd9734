"""What a stage trains: switches, optimiser groups, and the proof that frozen parts did not move."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from vlmlab.errors import TrainingError
from vlmlab.models.build import components
from vlmlab.models.connectors.perceiver import PerceiverConnector
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.stage import Component, Contrastive, NextToken, Stage


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters of one component that share a learning rate and a weight decay."""

    component: Component
    group: Literal["decay", "no_decay"]
    parameters: tuple[nn.Parameter, ...]
    names: tuple[str, ...]
    learning_rate: float
    weight_decay: float


def set_trainable(model: VisionLanguageModel, objective: nn.Module, stage: Stage) -> list[ParameterGroup]:
    """Switch gradients and modes as the stage says, and group what trains: every parameter once, tied ones too.

    Frozen components are in eval mode. Parameters that no output depends on (vision blocks above `feature_layer`) do
    not train. Decay applies to matrices that are no embedding tables, position tables or latents. Raises TrainingError
    where a component is to train that the objective does not use, or where the groups would not cover what trains.
    """
    _check_used(stage)
    parts = _parts(model, objective)
    for component, part in parts.items():
        trains = stage.trains(component)
        part.requires_grad_(trains)
        part.train(trains)
    for parameter in model.vision.unused_parameters():
        parameter.requires_grad_(False)
    groups: list[ParameterGroup] = []
    for component, part in parts.items():
        tables = {id(parameter) for parameter in _tables(part)}
        trained = [(name, parameter) for name, parameter in part.named_parameters() if parameter.requires_grad]
        decayed = [(name, p) for name, p in trained if p.ndim >= 2 and id(p) not in tables]
        others = [(name, p) for name, p in trained if p.ndim < 2 or id(p) in tables]
        for group, members in (("decay", decayed), ("no_decay", others)):
            if members:
                groups.append(
                    ParameterGroup(
                        component=component,
                        group="decay" if group == "decay" else "no_decay",
                        parameters=tuple(parameter for _, parameter in members),
                        names=tuple(f"{component}.{name}" for name, _ in members),
                        learning_rate=stage.learning_rate(component),
                        weight_decay=stage.weight_decay(component) if group == "decay" else 0.0,
                    )
                )
    _check_cover(parts, groups)
    return groups


def _parts(model: VisionLanguageModel, objective: nn.Module) -> dict[Component, nn.Module]:
    by_name = components(model) | {"objective": objective}
    return {component: by_name[component] for component in get_args(Component)}


def _check_used(stage: Stage) -> None:
    match stage.objective:
        case Contrastive():
            idle = [component for component in ("connector", "language") if stage.trains(component)]
        case NextToken():
            idle = []
    if idle:
        raise TrainingError(
            "train",
            f"{', '.join(idle)} would train, but a contrastive objective does not use it; leave it out or freeze it",
        )


def _tables(part: nn.Module) -> Iterator[Tensor]:
    """Parameters of two dimensions that are looked up or start a computation, rather than multiply a state."""
    for module in part.modules():
        if isinstance(module, nn.Embedding):
            yield module.weight
        elif isinstance(module, PerceiverConnector):
            yield module.latents


def _check_cover(parts: dict[Component, nn.Module], groups: list[ParameterGroup]) -> None:
    counts: dict[int, int] = {}
    for group in groups:
        for parameter in group.parameters:
            counts[id(parameter)] = counts.get(id(parameter), 0) + 1
    for component, part in parts.items():
        wrong = [name for name, p in part.named_parameters() if counts.get(id(p), 0) != int(p.requires_grad)]
        if wrong:
            raise TrainingError(
                "train", f"parameters of {component} are not in exactly one group: {', '.join(wrong[:5])}"
            )
    if not groups:
        raise TrainingError("train", "no parameter trains; unfreeze a component")


@torch.no_grad()
def fingerprint(part: nn.Module) -> str:
    """A hash that changes when a parameter does: names and sums of bits, one pass over memory on their device.

    Of a sharded part it is the hash of this process's shards.
    """
    names = [name for name, _ in part.named_parameters()]
    sums = [_bit_sum(parameter) for parameter in part.parameters()]
    values = torch.stack(sums).cpu().tolist() if sums else []
    text = "\n".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bit_sum(parameter: Tensor) -> Tensor:
    own = parameter.detach()
    if isinstance(own, DTensor):
        own = own.to_local()
    bits = own.contiguous().view(torch.int32 if parameter.element_size() == 4 else torch.int16)
    return bits.sum(dtype=torch.int64)
