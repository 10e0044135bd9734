from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from tests.models.tiny import (
    CONNECTORS,
    VOCABULARY,
    model_spec,
    packed_batch,
    row,
    stage_spec,
    text_batch,
    tiny_model,
)
from vlmlab.batch import Batch
from vlmlab.models.attention import Kernel
from vlmlab.models.build import BuildOptions, build_model, components
from vlmlab.models.loss import next_token_loss
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.objectives.build import build_objective
from vlmlab.models.trainable import set_trainable
from vlmlab.recipe.recipe import Model


def loss_of(model: VisionLanguageModel, batch: Batch) -> torch.Tensor:
    with model.autocast():
        return next_token_loss(model, model(batch), batch.targets, chunk=7).total


def gradients(model: VisionLanguageModel, batch: Batch) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss_of(model, batch).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_llava_with_the_same_weights_gives_the_same_logits():
    ours = tiny_model(vision={"kind": "clip", "feature_layer": -2}, language={"tied": False})
    vision = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2,
              "patch_size": 4, "image_size": 12}  # fmt: skip
    text = ours.language.causal.config.to_dict()
    theirs = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**vision), text_config=LlamaConfig(**text), image_token_index=3,
            projector_hidden_act="gelu", vision_feature_layer=-2, vision_feature_select_strategy="default",
        )
    ).eval()  # fmt: skip
    theirs.model.vision_tower.load_state_dict(ours.vision.encoder.state_dict())
    theirs.model.language_model.load_state_dict(ours.language.causal.model.state_dict())
    theirs.lm_head.load_state_dict(ours.language.causal.lm_head.state_dict())
    theirs.model.multi_modal_projector.load_state_dict(
        {
            name.replace("first", "linear_1").replace("second", "linear_2"): tensor
            for name, tensor in ours.connector.state_dict().items()
        }
    )
    batch = packed_batch(model_spec(), [[40], [40]])
    batch.ids[:, 1:10] = 3
    expected = theirs(input_ids=batch.ids, pixel_values=batch.pixels, use_cache=False).logits
    torch.testing.assert_close(ours.head(ours(batch)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kernel", ["sdpa", "segments", "auto"])
def test_kernels_give_the_same_loss_and_gradients(kernel: Kernel):
    batch = packed_batch(model_spec(), [[12, 9, 15], [40], [11, 7]])
    reference = gradients(tiny_model(options=BuildOptions(attention="matmul")), batch)
    found = gradients(tiny_model(options=BuildOptions(attention=kernel)), batch)
    assert found.keys() == reference.keys()
    for name, gradient in reference.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", ["matmul", "sdpa", "segments", "auto"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_changed_neighbour_moves_nothing(kernel: Kernel, precision: str):
    model = tiny_model(options=BuildOptions(attention=kernel), precision=precision)
    batch = packed_batch(model_spec(), [[12, 9, 15], [40]])
    other = dataclasses.replace(batch, ids=batch.ids.clone())
    other.ids[0, 12:21] = 6 + (other.ids[0, 12:21] + 5) % 50
    with torch.no_grad(), model.autocast():
        before, after = model(batch), model(other)
    assert torch.equal(before[0, :12], after[0, :12])
    assert torch.equal(before[0, 21:36], after[0, 21:36])
    assert torch.equal(before[1], after[1])
    assert not torch.equal(before[0, 12:21], after[0, 12:21])


@pytest.mark.parametrize("kind", ["llama", "qwen3", "smollm3"])
def test_packed_loss_is_the_sum_of_unpacked_losses(kind: str):
    model = tiny_model(language={"kind": kind, "depth": 4})
    lengths = [9, 14, 11]
    ids = torch.randint(6, VOCABULARY, (3, 14), generator=torch.Generator().manual_seed(0))
    alone = [loss_of(model, text_batch(ids[index : index + 1, :length])) for index, length in enumerate(lengths)]
    segments, positions = row(lengths, 40)
    packed = torch.zeros(1, 40, dtype=torch.int64)
    packed[0, :34] = torch.cat([ids[index, :length] for index, length in enumerate(lengths)])
    batch = text_batch(packed, segments=torch.tensor([segments]), positions=torch.tensor([positions]))
    batch.targets[0, [8, 22]] = -100
    batch.targets[0, 33:] = -100
    torch.testing.assert_close(loss_of(model, batch), sum(alone), atol=1e-4, rtol=1e-6)


@pytest.mark.parametrize("kernel", ["matmul", "segments"])
def test_gradient_checkpointing_changes_no_gradient(kernel: Kernel):
    batch = packed_batch(model_spec(), [[12, 9, 15], [40]])
    plain = gradients(tiny_model(options=BuildOptions(attention=kernel)), batch)
    saved = gradients(tiny_model(options=BuildOptions(attention=kernel, gradient_checkpointing=True)), batch)
    for name, gradient in plain.items():
        torch.testing.assert_close(saved[name], gradient, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("connector", CONNECTORS)
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_bfloat16_runs_near_float32(kind: str, connector: str):
    batch = packed_batch(model_spec(connector=connector), [[20, 12], [35]])
    losses = [
        loss_of(tiny_model(connector=connector, language={"kind": kind}, precision=precision), batch)
        for precision in ("float32", "bfloat16")
    ]
    assert losses[0] != losses[1]
    torch.testing.assert_close(losses[1].float(), losses[0], rtol=0.02, atol=0)


def test_text_only_rows_need_no_views():
    model = tiny_model()
    loss_of(model, text_batch(torch.full((2, 9), 7))).backward()
    assert all(parameter.grad is None for parameter in model.vision.parameters())


@pytest.mark.parametrize("part", ["vision", "connector", "language"])
def test_gradients_reach_what_trains_and_nothing_else(part: str):
    model, stage = tiny_model(), stage_spec(train=(part,))
    objective = build_objective(
        stage.objective, model=model, recipe_model=model.spec, vocabulary=VOCABULARY, seed=0, loss_chunk=16
    )
    set_trainable(model, objective, stage)
    objective(packed_batch(model.spec, [[20, 12], [35]])).total.backward()
    for name, module in components(model).items():
        for parameter_name, parameter in module.named_parameters():
            assert (parameter.grad is not None) == (name == part), parameter_name
            if name == part and "k_proj.bias" not in parameter_name:
                assert parameter.grad is not None
                assert parameter.grad.abs().sum() > 0, parameter_name


def test_the_meta_device_draws_and_loads_nothing():
    spec = model_spec(vision={"weights": {"kind": "hub", "name": "nobody/nothing"}})
    model = build_model(spec, vocabulary=VOCABULARY, seed=0, precision="bfloat16", options=BuildOptions(device="meta"))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    real = tiny_model()
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in real.named_parameters()}


def test_a_billion_parameters_build_on_the_meta_device():
    tree = {
        "vision": {"preset": "siglip-so400m-patch14-384"},
        "image": {"side": 378},
        "connector": {"kind": "mlp"},
        "language": {"preset": "llama-3.2-1b"},
    }
    spec = Model.model_validate_json(json.dumps(tree))
    model = build_model(spec, vocabulary=128259, seed=0, precision="bfloat16", options=BuildOptions(device="meta"))
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in components(model).items()}
    assert sizes["vision"] == 412_987_248  # SigLIP-SO400M of 27 x 27 positions without its pooling head
    assert sizes["language"] == 1_235_814_400 + 3 * 2048


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    tiny_model()
    assert torch.rand(1) == expected
