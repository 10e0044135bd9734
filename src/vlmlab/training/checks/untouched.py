"""Leaving a model as it was found: weights, gradients, buffers, modes and random numbers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from vlmlab.models.trainable import fingerprint
from vlmlab.training.checks.subject import same_draws


@contextmanager
def untouched(modules: Sequence[nn.Module], *, device: torch.device) -> Generator[None]:
    """Run with empty gradients; afterwards gradients, buffers, modes and generators are those of before.

    That no weight moved is asserted by a hash: no check writes to one.
    """
    weights = [fingerprint(module) for module in modules]
    parameters = [parameter for module in modules for parameter in module.parameters()]
    gradients = [parameter.grad for parameter in parameters]
    buffers = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for parameter in parameters:
        parameter.grad = None
    try:
        with same_draws(device):
            yield
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for part, training in modes:
            part.training = training
    assert weights == [fingerprint(module) for module in modules], "a check moved a weight"
