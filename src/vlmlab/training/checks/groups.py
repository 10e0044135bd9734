"""Optimiser groups: every parameter that trains in exactly one, at the rate of the recipe; nothing else in any."""

from __future__ import annotations

from collections import Counter

import torch

from vlmlab.recipe.stage import Stage, Steps
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.subject import Subject, as_component

GROUPS = "optimiser groups"


def probe_groups(subject: Subject, optimizer: torch.optim.Optimizer) -> CheckRecord:
    """The groups of the real optimiser, by identity of the tensors, against the recipe's rates.

    To be called before a schedule scales the rates. A component's weight decay may be left out for some of its tensors.
    """
    stage, trained = subject.stage, subject.trained()
    wrong = _switches(subject)
    places = Counter(id(parameter) for group in optimizer.param_groups for parameter in group["params"])
    for name, parameter in trained.items():
        if places[id(parameter)] != 1:
            wrong.append(f"{name} is in {places[id(parameter)]} groups instead of one")
    names = {id(parameter): name for name, parameter in trained.items()}
    idle = {id(parameter): name for name, parameter in subject.frozen().items()}
    rates: dict[str, list[float]] = {}
    for number, group in enumerate(optimizer.param_groups):
        for parameter in group["params"]:
            name = names.get(id(parameter))
            if name is None:
                what = idle.get(id(parameter), f"a tensor of shape {tuple(parameter.shape)} that is not the model's")
                wrong.append(f"group {number} holds {what}, which does not train")
                continue
            component = name.split(".")[0]
            rates.setdefault(component, []).append(group["lr"])
            wrong += _rates(stage, component, name, rate=group["lr"], decay=group.get("weight_decay", 0.0))
    if wrong:
        more = f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        return CheckRecord(
            name=GROUPS,
            outcome="failed",
            words=f"{'; '.join(wrong[:4])}{more}. Expected: every parameter that trains in one group, at its "
            "component's rate; build the optimiser from set_trainable's groups, after the model is where it stays",
        )
    shown = ", ".join(f"{component} {found[0]:g} ({len(found)} tensors)" for component, found in rates.items())
    return CheckRecord(name=GROUPS, outcome="ok", words=f"learning rates {shown}{_never_reached(stage)}")


def _switches(subject: Subject) -> list[str]:
    """Whether gradients are switched as the recipe says."""
    wrong = [
        f"{name} should train but takes no gradient"
        for name, parameter in subject.trained().items()
        if not parameter.requires_grad
    ]
    return wrong + [
        f"{name} is frozen but takes a gradient"
        for name, parameter in subject.frozen().items()
        if parameter.requires_grad
    ]


def _rates(stage: Stage, component: str, name: str, *, rate: float, decay: float) -> list[str]:
    expected, decays = stage.learning_rate(as_component(component)), stage.weight_decay(as_component(component))
    wrong: list[str] = []
    if rate != expected or not rate > 0:
        wrong.append(f"{name} has learning rate {rate:g} where the recipe says {expected:g}")
    if decay not in (0.0, decays):
        wrong.append(f"{name} has weight decay {decay:g} where the recipe says {decays:g}")
    return wrong


def _never_reached(stage: Stage) -> str:
    warmup = stage.optimizer.schedule.warmup
    if isinstance(stage.duration, Steps) and warmup >= stage.duration.steps:
        return f"; never reached, for the warm-up of {warmup} steps is as long as the stage ({stage.duration.steps})"
    return ""
