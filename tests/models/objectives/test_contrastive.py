from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from tests.models.tiny import TEXT, VOCABULARY, packed_batch, tiny_model
from vlmlab.errors import BatchError
from vlmlab.models.objectives.build import build_objective
from vlmlab.models.objectives.contrastive import (
    ContrastiveObjective,
    Texts,
    counted_pairs,
    first_views,
    sigmoid_loss,
    softmax_loss,
    texts_of,
)
from vlmlab.recipe.stage import Contrastive


def some_logits() -> torch.Tensor:
    return torch.randn(5, 5, generator=torch.Generator().manual_seed(0))


def all_pairs(count: int = 5) -> torch.Tensor:
    return torch.ones(count, count, dtype=torch.bool)


def objective(loss: str = "sigmoid") -> ContrastiveObjective:
    spec = Contrastive.model_validate_json(
        json.dumps({"kind": "contrastive", "loss": loss, "text": TEXT, "embedding": 16})
    )
    model = tiny_model()
    built = build_objective(spec, model=model, recipe_model=model.spec, vocabulary=VOCABULARY, seed=0, loss_chunk=1)
    assert isinstance(built, ContrastiveObjective)
    return built


def pairs(seed: int = 0):
    return packed_batch(tiny_model().spec, [[20], [14], [17]], length=24, seed=seed)


NUMBERS = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGES, TEXTS = {"image_size": 8, "patch_size": 4}, {"vocab_size": 20, "eos_token_id": 2}


def test_sigmoid_loss_is_siglips():
    theirs = SiglipModel(SiglipConfig(vision_config=NUMBERS | IMAGES, text_config=NUMBERS | TEXTS))
    torch.nn.init.constant_(theirs.logit_bias, -1.0)
    output = theirs(torch.randint(3, 20, (5, 7)), torch.randn(5, 3, 8, 8), return_loss=True)
    torch.testing.assert_close(sigmoid_loss(output.logits_per_image, all_pairs()) / 5, output.loss)


def test_softmax_loss_is_clips():
    theirs = CLIPModel(CLIPConfig(vision_config=NUMBERS | IMAGES, text_config=NUMBERS | TEXTS, projection_dim=16))
    output = theirs(torch.randint(3, 20, (5, 7)), torch.randn(5, 3, 8, 8), return_loss=True)
    found = softmax_loss(output.logits_per_image, output.logits_per_text, all_pairs())
    torch.testing.assert_close(found / 5, output.loss)


def both_ways(logits: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    return softmax_loss(logits, logits.t(), counted)


@pytest.mark.parametrize("loss", [sigmoid_loss, both_ways])
def test_pairs_that_do_not_count_have_no_influence(loss):
    counted = all_pairs()
    counted[1, 3] = counted[3, 1] = False
    other = some_logits()
    other[1, 3], other[3, 1] = 50.0, -50.0
    torch.testing.assert_close(loss(some_logits(), counted), loss(other, counted))
    assert not torch.isclose(loss(some_logits(), all_pairs()), loss(other, all_pairs()))


def test_equal_texts_are_no_negatives():
    ids = torch.tensor([[7, 8, 0], [7, 8, 9], [7, 8, 0], [7, 8, 0]])
    real = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 1, 1]]).bool()
    found = counted_pairs(Texts(ids, real)).int().tolist()
    assert found == [[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]


def test_texts_leave_out_bos_visual_tokens_padding_and_marks():
    batch = pairs()
    texts = texts_of(batch, longest=16, marks=False)
    for row, length in enumerate([20, 14, 17]):
        assert texts.ids[row][texts.real[row]].tolist() == batch.ids[row, 10:length].tolist()
    marked = texts_of(batch, longest=16, marks=True)
    assert marked.ids[0][marked.real[0]].tolist() == batch.ids[0, 11:20].tolist()
    assert texts_of(batch, longest=4, marks=False).real.sum(dim=1).tolist() == [4, 4, 4]


def test_the_first_span_of_a_row_is_its_picture():
    batch = pairs()
    assert first_views(dataclasses.replace(batch, spans=batch.spans[::-1])) == [0, 1, 2]
    with pytest.raises(BatchError, match=r"row 2 .* has no image"):
        first_views(dataclasses.replace(batch, spans=batch.spans[:2]))


def test_a_row_without_text_is_refused():
    batch = packed_batch(tiny_model().spec, [[20], [10]], length=24)
    with pytest.raises(BatchError, match=r"row 1 .* has no text"):
        objective()(batch)


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_loss_of_a_batch_follows_from_its_embeddings(loss: str):
    built, batch = objective(loss), pairs()
    found = built(batch)
    assert found.count == 3
    assert built.logit_scale.item() == pytest.approx(math.log(10 if loss == "sigmoid" else 1 / 0.07))
    (model,) = built._held
    images = torch.stack([f.patches.mean(dim=0) for f in model.see(batch.pixels, batch.grids)])
    texts = texts_of(batch, longest=16, marks=False)
    similarity = F.normalize(built.image_projection(images)) @ F.normalize(built.text(texts.ids, texts.real)).t()
    logits = similarity * built.logit_scale.exp()
    expected = sigmoid_loss(logits - 10.0, all_pairs(3)) if loss == "sigmoid" else both_ways(logits, all_pairs(3))
    torch.testing.assert_close(found.total, expected)
    found.total.backward()
    assert all(parameter.grad is not None for parameter in built.parameters())
    assert all(parameter.grad is not None for parameter in model.vision.parameters())


def test_the_text_tower_ignores_padding():
    built = objective()
    ids = torch.tensor([[7, 8, 9]])
    short = built.text(ids, torch.ones(1, 3, dtype=torch.bool))
    padded = torch.tensor([[7, 8, 9, 5, 5]])
    real = torch.tensor([[True, True, True, False, False]])
    torch.testing.assert_close(built.text(padded, real), short, atol=1e-6, rtol=1e-6)


def test_it_learns_to_tell_pairs_apart():
    built, batch = objective("softmax"), pairs()
    (model,) = built._held
    optimizer = torch.optim.Adam([*built.parameters(), *model.vision.parameters()], lr=3e-3)
    for _ in range(15):
        optimizer.zero_grad()
        loss = built(batch)
        loss.total.backward()
        optimizer.step()
    assert built(batch).total.item() / 3 < 0.2


def test_the_models_parameters_are_not_the_objectives():
    assert not any(name.startswith("_held") for name, _ in objective().named_parameters())
    assert len(list(objective().children())) == 2


def test_bfloat16_runs():
    built = objective()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = built(pairs())
    assert found.total.dtype == torch.float32
    torch.testing.assert_close(found.total, built(pairs()).total, rtol=0.02, atol=0)
