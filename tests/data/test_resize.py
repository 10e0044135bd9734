from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from vlmlab.data.resize import make_view
from vlmlab.random_streams import stream
from vlmlab.recipe.connector import AveragePool, Linear, Perceiver, PixelShuffle
from vlmlab.recipe.image import ImagePolicy


def smooth(height: int, width: int) -> np.ndarray:
    small = stream(0, "smooth").integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(200, 300), (20, 31)])
def test_torch_and_pillow_agree_within_two_grey_levels(interpolation: str, size: tuple[int, int]) -> None:
    pixels = smooth(*size)
    views = [
        make_view(pixels, ImagePolicy(side=48, interpolation=interpolation, resampler=resampler), patch=8).int()
        for resampler in ("torch", "pillow")
    ]
    assert (views[0] - views[1]).abs().float().mean() < 1.0
    assert (views[0] - views[1]).abs().max() <= 3


@pytest.mark.parametrize("policy", ["square", "pad", "keep"])
@pytest.mark.parametrize("size", [(10, 400), (48, 48), (100, 200), (333, 97)])
def test_views_have_the_size_that_the_policy_says(policy: str, size: tuple[int, int]) -> None:
    image = ImagePolicy(policy=policy, side=48)
    view = make_view(smooth(*size), image, patch=8)
    assert view.dtype == torch.uint8
    assert view.is_contiguous()
    assert view.shape == (3, *image.view_size(*size, patch=8))


def test_equal_size_is_untouched() -> None:
    pixels = smooth(48, 48)
    for resampler in ("torch", "pillow"):
        view = make_view(pixels, ImagePolicy(side=48, resampler=resampler), patch=8)
        np.testing.assert_array_equal(view.permute(1, 2, 0).numpy(), pixels)


def test_padding_centres_on_mean_grey() -> None:
    view = make_view(np.full((24, 48, 3), 200, np.uint8), ImagePolicy(policy="pad", side=48), patch=8)
    assert (view[:, :12] == 128).all()
    assert (view[:, 12:36] == 200).all()
    assert (view[:, 36:] == 128).all()


def test_pixels_that_cannot_be_written_are_not_written() -> None:
    pixels = smooth(60, 60)
    pixels.flags.writeable = False
    make_view(pixels, ImagePolicy(side=48), patch=8).zero_()
    make_view(pixels, ImagePolicy(side=60, policy="square"), patch=6).zero_()
    np.testing.assert_array_equal(pixels, smooth(60, 60))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    height=some.integers(1, 5000),
    width=some.integers(1, 5000),
    policy=some.sampled_from(["square", "pad", "keep"]),
    patch=some.integers(1, 32),
    patches=some.integers(1, 40),
)
def test_any_size_gives_whole_patches(height: int, width: int, policy: str, patch: int, patches: int) -> None:
    image = ImagePolicy(policy=policy, side=patch * patches)
    size = image.view_size(height, width, patch=patch)
    grid = image.grid(height, width, patch=patch)
    assert size == (grid.height * patch, grid.width * patch)
    assert 1 <= grid.height <= patches
    assert 1 <= grid.width <= patches
    if policy == "keep":
        assert max(grid) == patches
    for connector in (
        PixelShuffle(kind="pixel_shuffle", window=3),
        AveragePool(kind="average_pool", window=5),
        Linear(kind="linear"),
        Perceiver(kind="perceiver"),
    ):
        assert connector.tokens(grid) >= 1


@pytest.mark.parametrize("resampler", ["torch", "pillow"])
@pytest.mark.parametrize("policy", ["square", "pad", "keep"])
@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (1, 65_000), (3, 7), (2, 1000), (5000, 3)])
def test_strips_and_specks_keep_their_colour(size: tuple[int, int], policy: str, resampler: str) -> None:
    """A strip of one colour is that colour in every policy: no empty view, no weights that do not sum to one."""
    image = ImagePolicy(policy=policy, side=48, resampler=resampler)
    view = make_view(np.full((*size, 3), (250, 128, 5), np.uint8), image, patch=8)
    assert view.shape == (3, *image.view_size(*size, patch=8))
    inside = view[:, view[0] != 128] if policy == "pad" else view.flatten(1)
    assert inside.numel() > 0
    assert (inside.int() - torch.tensor([[250], [128], [5]])).abs().max() <= 1
