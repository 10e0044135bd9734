from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import Idefics2Config, Idefics3Config
from transformers.models.idefics2.modeling_idefics2 import Idefics2Connector
from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector

from tests.models.tiny import CONNECTORS, LANGUAGE, VISION, model_spec
from vlmlab.models.connectors.build import build_connector
from vlmlab.models.connectors.perceiver import PerceiverConnector
from vlmlab.models.connectors.pooling import AveragePoolConnector, PixelShuffleConnector, average_windows, merge_windows
from vlmlab.models.features import Features
from vlmlab.models.initialise import initialise
from vlmlab.recipe.image import Grid

GRIDS = [Grid(4, 4), Grid(3, 5), Grid(4, 4), Grid(1, 1)]


def features(*grids: Grid) -> list[Features]:
    generator = torch.Generator().manual_seed(0)
    return [Features(torch.randn(grid.patches, VISION["width"], generator=generator), grid) for grid in grids]


def built(name: str) -> nn.Module:
    spec = model_spec(connector=name)
    connector = build_connector(spec.connector, vision_width=spec.vision.width, language=spec.language)
    initialise(connector, seed=0, prefix="connector")
    return connector


@pytest.mark.parametrize("name", CONNECTORS)
def test_tokens_are_as_many_as_the_spec_says_and_do_not_depend_on_the_batch(name: str):
    spec, connector, given = model_spec(connector=name).connector, built(name), features(*GRIDS)
    found = connector(given)
    assert [tuple(tokens.shape) for tokens in found] == [(spec.tokens(grid), LANGUAGE["width"]) for grid in GRIDS]
    for feature, tokens in zip(given, found, strict=True):
        torch.testing.assert_close(connector([feature])[0], tokens, atol=1e-6, rtol=1e-5)


SHAPES = {
    "linear": 24 * 32 + 32,
    "mlp": 24 * 32 + 32 + 32 * 32 + 32,
    "average_pool": 24 * 32 + 32,
    "pixel_shuffle": 4 * 24 * 32,
    "norm_mlp": 2 * 96 + 96 * 32 + 32 + 32 * 32 + 32,
    # gated projection, latents, final norm, and twice: three norms, q, k, v, o, gated MLP
    "perceiver": 2 * 24 * 48 + 48 * 32 + 5 * 32 + 32
    + 2 * (3 * 32 + 2 * 32 * 24 + 2 * 32 * 12 + 3 * 32 * 128),
}  # fmt: skip


@pytest.mark.parametrize("name", CONNECTORS)
def test_number_of_parameters(name: str):
    assert sum(parameter.numel() for parameter in built(name).parameters()) == SHAPES[name]


def test_perceiver_equals_idefics2():
    ours = built("perceiver")
    assert isinstance(ours, PerceiverConnector)
    nn.init.normal_(ours.norm.weight)  # so that a norm in the wrong place shows
    configuration = Idefics2Config(
        vision_config={"hidden_size": 24},
        text_config={"model_type": "mistral", "hidden_size": 32, "intermediate_size": 48, "rms_norm_eps": 1e-5,
                     "hidden_act": "silu", "num_attention_heads": 4, "num_key_value_heads": 2},
        perceiver_config={"resampler_n_latents": 5, "resampler_depth": 2, "resampler_n_heads": 4,
                          "resampler_head_dim": 6, "num_key_value_heads": 2, "hidden_act": "silu",
                          "hidden_size": 32, "rms_norm_eps": 1e-5},
    )  # fmt: skip
    configuration._attn_implementation = "eager"
    theirs = Idefics2Connector(configuration)
    names = {
        name.replace("modality_projection", "projection").replace("perceiver_resampler.layers", "blocks")
        .replace("perceiver_resampler.", ""): name
        for name in theirs.state_dict()
    }  # fmt: skip
    theirs.load_state_dict({names[name]: tensor for name, tensor in ours.state_dict().items()})
    given = features(Grid(3, 4), Grid(3, 4))
    states = torch.stack([feature.patches for feature in given])
    expected = theirs(states, attention_mask=torch.ones(2, 12, dtype=torch.long))
    torch.testing.assert_close(torch.stack(ours(given)), expected, atol=1e-5, rtol=1e-5)


def test_fresh_latents_differ():
    ours = built("perceiver")
    assert isinstance(ours, PerceiverConnector)
    (tokens,) = ours(features(Grid(4, 4)))
    assert tokens.std(dim=0).min() > 1e-3
    assert 0.5 < ours.latents.var() * LANGUAGE["width"] < 2.0


def test_pixel_shuffle_equals_idefics3():
    ours = built("pixel_shuffle")
    assert isinstance(ours, PixelShuffleConnector)
    configuration = Idefics3Config(
        vision_config={"hidden_size": 24}, text_config={"model_type": "llama", "hidden_size": 32}, scale_factor=2
    )
    theirs = Idefics3Connector(configuration)
    theirs.modality_projection.proj.load_state_dict(ours.projection.state_dict())
    given = features(Grid(4, 4), Grid(4, 4))
    expected = theirs(torch.stack([feature.patches for feature in given]))
    torch.testing.assert_close(torch.stack(ours(given)), expected, atol=1e-5, rtol=1e-5)


def test_merged_tokens_run_row_by_row():
    numbers = torch.arange(16.0).view(1, 16, 1)
    found = merge_windows(numbers, Grid(4, 4), 2)[0].tolist()
    assert found == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_odd_grids_are_padded_with_zeros():
    numbers = torch.arange(1.0, 7.0).view(1, 6, 1)
    assert merge_windows(numbers, Grid(2, 3), 2)[0].tolist() == [[1, 2, 4, 5], [3, 0, 6, 0]]


def test_partial_windows_average_what_they_have():
    numbers = torch.arange(1.0, 10.0).view(1, 9, 1)
    assert average_windows(numbers, Grid(3, 3), 2)[0, :, 0].tolist() == [3.0, 4.5, 7.5, 9.0]


def test_norm_mlp_is_layer_norm_linear_gelu_linear():
    ours = built("norm_mlp")
    assert isinstance(ours, PixelShuffleConnector)
    assert isinstance(ours.projection, nn.Sequential)
    assert [type(part) for part in ours.projection] == [nn.LayerNorm, nn.Linear, nn.GELU, nn.Linear]
    (given,) = features(Grid(4, 4))
    merged = merge_windows(given.patches[None], given.grid, 2)[0]
    torch.testing.assert_close(ours([given])[0], ours.projection(merged))


def test_average_pool_pools_before_it_projects():
    ours = built("average_pool")
    assert isinstance(ours, AveragePoolConnector)
    (given,) = features(Grid(4, 4))
    corner = ours.projection(given.patches[[0, 1, 4, 5]].mean(dim=0))
    torch.testing.assert_close(ours([given])[0][0], corner)
