from __future__ import annotations

import math

import pytest
import torch

from tests.models.tiny import LANGUAGE, VOCABULARY, model_spec, stage_spec, text_batch, tiny_model
from vlmlab.models.connectors.pointwise import MLPConnector
from vlmlab.models.loss import next_token_loss
from vlmlab.models.objectives.build import build_objective


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in first if name in second and torch.equal(first[name], second[name])]


def test_another_connector_leaves_the_other_parts_alone():
    first, second = tiny_model(connector="linear"), tiny_model(connector="perceiver")
    assert len(same(state(first.vision), state(second.vision))) == len(state(first.vision))
    assert len(same(state(first.language), state(second.language))) == len(state(first.language))


def test_a_deeper_language_model_keeps_its_first_blocks_but_for_the_residual_scale():
    first, second = state(tiny_model().language), state(tiny_model(language={"depth": 3}).language)
    shared = same(first, second)
    for name in first:
        if "o_proj" in name or "down_proj" in name:
            torch.testing.assert_close(second[name] * math.sqrt(6), first[name] * math.sqrt(4))
        else:
            assert name in shared


def test_the_seed_matters_and_repeats():
    first, again, other = state(tiny_model()), state(tiny_model()), state(tiny_model(seed=1))
    assert len(same(first, again)) == len(first)
    constant = [name for name, tensor in first.items() if tensor.std() == 0]
    assert sorted(same(first, other)) == sorted(constant)


def test_blocks_differ_from_each_other():
    language = state(tiny_model().language)
    first = language["causal.model.layers.0.mlp.up_proj.weight"]
    assert not torch.equal(first, language["causal.model.layers.1.mlp.up_proj.weight"])


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral", "smollm3"])
def test_the_first_loss_is_that_of_a_uniform_guess(kind: str):
    model = tiny_model(language={"kind": kind, "width": 64})
    batch = text_batch(torch.randint(6, VOCABULARY, (8, 32), generator=torch.Generator().manual_seed(0)))
    loss = next_token_loss(model, model(batch), batch.targets, chunk=64)
    assert abs(loss.total.item() / loss.count - math.log(VOCABULARY)) < 0.5


def test_connector_weights_have_the_documented_spread():
    connector = tiny_model().connector
    assert isinstance(connector, MLPConnector)
    assert connector.first.weight.std().item() == pytest.approx(math.sqrt(0.4 / 24), rel=0.1)
    assert connector.first.bias.abs().sum() == 0
    assert LANGUAGE["width"] == connector.second.out_features


def test_contrastive_parts_do_not_depend_on_the_language_model():
    spec = stage_spec("contrastive", train=("vision",)).objective
    objectives = [
        build_objective(
            spec,
            model=tiny_model(language={"depth": depth}),
            recipe_model=model_spec(),
            vocabulary=VOCABULARY,
            seed=0,
            loss_chunk=8,
        )
        for depth in (1, 2)
    ]
    first, second = map(state, objectives)
    assert len(same(first, second)) == len(first) > 0
