"""Initialisation as a function of (seed, module name): two recipes differ only where they say so.

Linear maps of ours start from a normal distribution of variance 0.4 / fan-in, as Idefics2's trainer draws its
connectors; the language models' `initializer_range` follows the same rule at their width, and the maps that write into
the residual stream are scaled down by the square root of twice the depth. Biases start at 0, norms at 1.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from vlmlab.random_streams import stream_seed

VARIANCE = 0.4
"""Variance of a weight times its fan-in."""


def normal_std(fan_in: int) -> float:
    """Standard deviation of a linear map's weights."""
    return math.sqrt(VARIANCE / fan_in)


@contextmanager
def seeded(seed: int, *key: str) -> Generator[None]:
    """Run with torch's CPU generator at (seed, key), and put its state back afterwards."""
    # Not torch.manual_seed: it would seed every accelerator too, and takes a millisecond.
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(stream_seed(seed, "initialise", *key))
    try:
        yield
    finally:
        torch.set_rng_state(before)


def post_order(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """(name, module), children before parents, as Hugging Face initialises: a parent may overwrite its children."""
    for name, child in module.named_children():
        yield from post_order(child, f"{prefix}.{name}" if prefix else name)
    yield prefix, module


@torch.no_grad()
def initialise_pretrained_class(model: PreTrainedModel, *, seed: int, prefix: str) -> None:
    """Draw a fresh Hugging Face model by its own rules, each module from its own stream."""
    for name, module in post_order(model, prefix):
        with seeded(seed, name):
            model._init_weights(module)
    model.tie_weights()


@torch.no_grad()
def initialise(module: nn.Module, *, seed: int, prefix: str) -> None:
    """Draw every parameter of one of our own modules, keyed by (seed, prefix + its name).

    Matrices are normal with variance 0.4 / fan-in, embedding tables and latents with variance 1 / width; weights of
    norms are 1, biases 0. Single numbers that are no bias keep the value that their module gave them.
    """
    for name, part in module.named_modules():
        for leaf, parameter in part.named_parameters(recurse=False):
            path = ".".join(piece for piece in (prefix, name, leaf) if piece)
            with seeded(seed, path):
                _draw(part, leaf, parameter)


def _draw(module: nn.Module, leaf: str, parameter: Tensor) -> None:
    match module:
        case nn.Linear() if leaf == "weight":
            parameter.normal_(std=normal_std(module.in_features))
        case nn.LayerNorm() | nn.RMSNorm() if leaf == "weight":
            parameter.fill_(1.0)
        case nn.Linear() | nn.LayerNorm() | nn.RMSNorm():
            parameter.zero_()
        case _ if parameter.numel() == 1:
            pass
        case _ if parameter.ndim == 1:
            parameter.zero_()
        case _:
            parameter.normal_(std=parameter.shape[-1] ** -0.5)
