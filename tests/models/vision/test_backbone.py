from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionModel,
)

from tests.models.tiny import VOCABULARY, model_spec, tiny_model
from vlmlab.errors import BatchError, RecipeError
from vlmlab.models.build import BuildOptions, build_model
from vlmlab.models.features import Features
from vlmlab.models.vision.backbone import VisionBackbone
from vlmlab.recipe.image import Grid

SQUARE = Grid(3, 3)


def views(count: int = 2, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def stock(vision: VisionBackbone) -> SiglipVisionModel | CLIPVisionModel:
    """The same weights in stock transformers."""
    theirs = type(vision.encoder)(copy.deepcopy(vision.encoder.config))
    theirs.load_state_dict(vision.encoder.state_dict())
    theirs.set_attn_implementation("eager")
    return theirs


def stacked(features: list[Features]) -> torch.Tensor:
    return torch.stack([feature.patches for feature in features])


@pytest.mark.parametrize("layer", [-1, -2, -3])
@pytest.mark.parametrize("kind", ["siglip", "clip"])
def test_features_equal_transformers(kind: str, layer: int):
    vision = tiny_model(vision={"kind": kind, "feature_layer": layer}).vision
    theirs = stock(vision)
    output = theirs(views(), output_hidden_states=True)
    if kind == "clip":
        expected = output.hidden_states[layer][:, 1:]
    else:
        expected = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
    found = stacked(vision(views(), (SQUARE, SQUARE)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["siglip", "clip"])
def test_another_grid_interpolates_the_position_table_as_transformers_does(kind: str):
    vision = tiny_model(vision={"kind": kind}).vision
    theirs = stock(vision)
    pixels = views(1, 8, 20)
    expected = theirs(pixels, interpolate_pos_encoding=True).last_hidden_state
    (found,) = vision(pixels, (Grid(2, 5),))
    torch.testing.assert_close(found.patches, expected[0, 1:] if kind == "clip" else expected[0], atol=1e-5, rtol=1e-5)


def test_a_view_does_not_depend_on_the_others_of_its_batch():
    vision = tiny_model().vision
    pixels = torch.zeros(3, 3, 12, 12)
    pixels[:] = views(3)
    pixels[1, :, 8:] = 7.0  # padding of a smaller view, whatever it holds
    together = vision(pixels, (SQUARE, Grid(2, 3), SQUARE))
    alone = vision(pixels[1:2, :, :8], (Grid(2, 3),))
    assert [feature.grid for feature in together] == [SQUARE, Grid(2, 3), SQUARE]
    torch.testing.assert_close(together[1].patches, alone[0].patches, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(together[2].patches, vision(pixels[2:], (SQUARE,))[0].patches, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("mean_std", [((0.5,) * 3, (0.5,) * 3), ((0.48, 0.46, 0.41), (0.27, 0.26, 0.28))])
def test_bytes_are_normalised_and_floats_taken_as_they_are(mean_std: tuple[tuple[float, ...], tuple[float, ...]]):
    mean, std = mean_std
    vision = tiny_model(vision={"mean": list(mean), "std": list(std)}).vision
    pixels = torch.arange(2 * 3 * 12 * 12).view(2, 3, 12, 12).remainder(256).to(torch.uint8)
    normalised = (pixels.float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.equal(vision.normalise(pixels), normalised)
    assert torch.equal(stacked(vision(pixels, (SQUARE, SQUARE))), stacked(vision(normalised, (SQUARE, SQUARE))))


def test_siglip_384_keeps_its_native_table_on_378_pixels():
    vision = tiny_model(vision={"patch": 4, "side": 15, "depth": 1}).vision
    assert vision.spec.positions() == 9
    assert vision.encoder.embeddings.position_embedding.weight.shape[0] == 9
    (found,) = vision(views(1, 12, 12), (SQUARE,))
    embedded = vision.encoder.embeddings(views(1, 15, 15)[:, :, :12, :12], interpolate_pos_encoding=True)
    table = vision.encoder.embeddings.position_embedding.weight
    raw = vision.encoder.embeddings.patch_embedding(views(1, 15, 15)[:, :, :12, :12]).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embedded, raw + table)
    assert found.patches.shape == (9, 24)


def test_a_grid_larger_than_the_pixels_is_refused():
    with pytest.raises(BatchError, match="needs 16x12 pixels"):
        tiny_model().vision(views(1), (Grid(4, 3),))


def test_unused_blocks_do_not_run_and_are_named():
    vision = tiny_model(vision={"kind": "clip", "feature_layer": -2}).vision
    unused = {id(parameter) for parameter in vision.unused_parameters()}
    stacked(vision(views(), (SQUARE, SQUARE))).sum().backward()
    for name, parameter in vision.named_parameters():
        assert (parameter.grad is None) == (id(parameter) in unused), name


def two_towers(kind: str) -> SiglipModel | CLIPModel:
    numbers = {
        "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2,
        "patch_size": 4, "image_size": 12,
    }  # fmt: skip
    text = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 2}
    if kind == "siglip":
        return SiglipModel(SiglipConfig(vision_config=numbers, text_config=text))
    return CLIPModel(CLIPConfig(vision_config=numbers, text_config=text))


def from_folder(folder: Path, *, kind: str, **changes: int):
    spec = model_spec(vision={"kind": kind, "weights": {"kind": "folder", "path": str(folder)}} | changes)
    return build_model(spec, vocabulary=VOCABULARY, seed=0, precision="float32", options=BuildOptions()).vision


@pytest.mark.parametrize("kind", ["siglip", "clip"])
def test_weights_load_alone_and_out_of_two_towers(kind: str, tmp_path: Path):
    both = two_towers(kind)
    both.save_pretrained(tmp_path / "both")
    both.vision_model.save_pretrained(tmp_path / "one")
    expected = both.vision_model(views()).last_hidden_state
    for name in ("both", "one"):
        found = stacked(from_folder(tmp_path / name, kind=kind)(views(), (SQUARE, SQUARE)))
        torch.testing.assert_close(found, expected[:, 1:] if kind == "clip" else expected, atol=1e-5, rtol=1e-5)


def test_other_numbers_are_named(tmp_path: Path):
    two_towers("siglip").save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match=r"mlp is 40 there, 41 in the recipe; side is 12 there, 16"):
        from_folder(tmp_path, kind="siglip", mlp=41, side=16)


def test_another_family_is_refused(tmp_path: Path):
    two_towers("siglip").save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match=r"is of type 'siglip', but model.vision.kind is 'clip'"):
        from_folder(tmp_path, kind="clip")


def test_a_missing_parameter_is_never_drawn_at_random(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    two_towers("siglip").vision_model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    save_file({name: t for name, t in tensors.items() if "layers.2.mlp.fc1" not in name}, file, {"format": "pt"})
    with pytest.raises(RecipeError, match=r"2 missing \(.*fc1"):
        from_folder(tmp_path, kind="siglip")


def test_an_unexpected_parameter_is_refused(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    two_towers("siglip").vision_model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file(load_file(file) | {"encoder.extra": torch.zeros(1)}, file, {"format": "pt"})
    with pytest.raises(RecipeError, match=r"1 unexpected \(.*encoder.extra\)"):
        from_folder(tmp_path, kind="siglip")


def test_pickles_and_empty_folders_are_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match="no configuration can be read"):
        from_folder(tmp_path / "nothing", kind="siglip")
    model = two_towers("siglip").vision_model
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(RecipeError, match="safetensors"):
        from_folder(tmp_path, kind="siglip")
