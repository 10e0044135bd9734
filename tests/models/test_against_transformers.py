"""Loss and gradients with copied weights equal those of LLaVA and Idefics2 in `transformers`, on padded rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from benchmarks.measuring.made import SPECIAL, Size, batch_of, example
from benchmarks.measuring.twins import build_twin, twin_inputs, twin_name

from tests.models.tiny import CONNECTORS, LANGUAGE, SIDE, VISION, VOCABULARY
from vlmlab.models.build import build_model
from vlmlab.models.loss import next_token_loss
from vlmlab.recipe.recipe import Model

MODELS: dict[str, dict[str, Any]] = {
    "llava": {
        "vision": VISION | {"kind": "clip", "feature_layer": -2},
        "connector": CONNECTORS["mlp"],
        "language": LANGUAGE | {"kind": "llama", "tied": False},
    },
    "idefics2": {
        "vision": VISION | {"kind": "siglip"},
        "connector": CONNECTORS["perceiver"],
        "language": LANGUAGE | {"kind": "mistral", "tied": True},
    },
}
SIZES = {"llava": (Size(9, 1), Size(17, 1), Size(5, 1)), "idefics2": (Size(9, 1), Size(17, 3), Size(6, 2))}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_loss_and_gradients_equal_the_twins(name: str, kernel: str):
    spec = Model.model_validate_json(json.dumps(MODELS[name] | {"image": {"side": SIDE}}))
    ours = build_model(spec, vocabulary=VOCABULARY, seed=0, precision="float32")
    rows = [[example(size, number=n, model=spec, vocabulary=VOCABULARY)] for n, size in enumerate(SIZES[name])]
    batch = batch_of(rows, length=None, model=spec, vocabulary=VOCABULARY)
    twin = build_twin(ours, image_token=SPECIAL.image)
    twin.set_attn_implementation(kernel)

    loss = next_token_loss(ours, ours(batch), batch.targets, chunk=7)
    (loss.total / loss.count).backward()
    expected = twin(**twin_inputs(twin, batch, vision=spec.vision), use_cache=False).loss
    expected.backward()

    torch.testing.assert_close((loss.total / loss.count).detach(), expected.detach(), rtol=1e-6, atol=1e-6)
    theirs = {name: parameter.grad for name, parameter in twin.named_parameters()}
    for name, parameter in ours.named_parameters():
        reference = theirs[twin_name(twin, name)]
        assert (parameter.grad is None) == (reference is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, reference, rtol=1e-4, atol=1e-6, msg=name)
