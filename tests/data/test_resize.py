from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vlmlab.data.resize import make_view
from vlmlab.random_streams import stream
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
