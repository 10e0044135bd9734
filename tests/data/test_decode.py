from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import vlmlab.data.decode as decode_module
from vlmlab.data.decode import decode
from vlmlab.errors import DataError

RAMP = np.stack(np.broadcast_arrays(np.arange(24)[:, None] * 10, np.arange(36)[None] * 7, 90), axis=-1).astype(np.uint8)


INSTALLED = decode_module.simplejpeg


@pytest.fixture(autouse=True, params=["simplejpeg", "pillow"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here must come out the same where simplejpeg is not installed."""
    if request.param == "pillow":
        monkeypatch.setattr(decode_module, "simplejpeg", None)
    elif INSTALLED is None:
        pytest.skip("simplejpeg is not installed")


def written(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_the_pixels_back(form: str) -> None:
    data = written(Image.fromarray(RAMP), form, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(decode(data, key="k"), RAMP)


@pytest.mark.skipif(INSTALLED is None, reason="simplejpeg is not installed")
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_fast_and_slow_jpeg_paths_agree(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(Image.fromarray(RAMP).convert(mode), "JPEG", quality=90)
    monkeypatch.setattr(decode_module, "simplejpeg", INSTALLED)
    fast = decode(data, key="k")
    monkeypatch.setattr(decode_module, "simplejpeg", None)
    slow = decode(data, key="k")
    assert fast.shape == slow.shape == RAMP.shape
    assert fast.dtype == np.uint8
    assert np.abs(fast.astype(int) - slow.astype(int)).max() <= 2


def test_cmyk_jpeg_becomes_rgb() -> None:
    pixels = decode(written(Image.fromarray(RAMP).convert("CMYK"), "JPEG", quality=95), key="k")
    assert pixels.shape == RAMP.shape
    assert np.abs(pixels.astype(int) - RAMP.astype(int)).mean() < 12


def test_alpha_lies_on_white_and_palettes_are_resolved() -> None:
    layered = np.dstack([RAMP, np.zeros(RAMP.shape[:2], np.uint8)])
    assert (decode(written(Image.fromarray(layered, "RGBA"), "PNG"), key="k") == 255).all()
    palette = Image.fromarray(RAMP).quantize(8)
    np.testing.assert_array_equal(decode(written(palette, "PNG"), key="k"), np.array(palette.convert("RGB")))
    clear = decode(written(palette, "PNG", transparency=int(np.array(palette)[0, 0])), key="k")
    assert (clear[0, 0] == 255).all()
    grey = Image.merge("LA", (Image.new("L", (5, 4), 7), Image.new("L", (5, 4), 255)))
    assert (decode(written(grey, "PNG"), key="k") == 7).all()


def test_sixteen_bits_become_eight() -> None:
    deep = (np.arange(256, dtype=np.uint16)[None].repeat(3, 0) * 257).astype(np.uint16)
    pixels = decode(written(Image.fromarray(deep), "PNG"), key="k")
    np.testing.assert_array_equal(pixels[0, :, 0], np.arange(256))


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    pixels = decode(written(frames[0], "GIF", save_all=True, append_images=frames[1:]), key="k")
    assert (pixels == (255, 0, 0)).all()


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + b"\0\0\0\0IDAT\0\0\0\0"
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, world", "no image"),
        (written(Image.fromarray(RAMP), "PNG")[:70], "truncated"),
        (written(Image.fromarray(RAMP), "JPEG")[:400], "truncated"),
        (png_header(12_000, 12_000), "144000000 pixels"),
        (png_header(100_000, 100_000), "too large"),
        (png_header(0, 5), "damaged|at least 1|no image"),
    ],
    ids=["empty", "text", "png", "jpeg", "large", "bomb", "zero"],
)
def test_bad_images_are_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        decode(data, key="captions/000017.tar#412")
    assert caught.value.where == "captions/000017.tar#412"
