"""Unusual and hostile image files: what they become, or how they are refused; with and without simplejpeg."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, ImageOps

import vlmlab.data.decode as decode_module
from tests.data.test_decode import INSTALLED, RAMP, library, written
from vlmlab.data.decode import decode
from vlmlab.errors import DataError

__all__ = ["library"]

PICTURE = Image.fromarray(RAMP)
LOSSLESS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}


def exif(orientation: int) -> Image.Exif:
    own = Image.Exif()
    own[0x0112] = orientation
    return own


def turned(orientation: int) -> np.ndarray:
    """What Pillow shows of RAMP with this orientation."""
    picture = PICTURE.copy()
    picture.getexif()[0x0112] = orientation
    return np.array(ImageOps.exif_transpose(picture))


def difference(data: bytes, expected: np.ndarray) -> float:
    pixels = decode(data, key="k")
    assert pixels.shape == expected.shape
    assert pixels.flags.c_contiguous
    return float(np.abs(pixels.astype(int) - expected.astype(int)).mean())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_of_exif(orientation: int) -> None:
    for form, options in LOSSLESS.items():
        assert difference(written(PICTURE, form, exif=exif(orientation), **options), turned(orientation)) == 0, form
    data = written(PICTURE, "JPEG", quality=95, subsampling=0, exif=exif(orientation))
    assert difference(data, turned(orientation)) < 2


def test_exif_is_found_behind_a_long_colour_profile() -> None:
    data = written(PICTURE, "JPEG", quality=95, subsampling=0, exif=exif(6))
    profile = b"\xff\xe2" + struct.pack(">H", 65_000) + b"ICC_PROFILE\0\1\1" + bytes(65_000 - 16)
    moved = data[:2] + profile * 2 + data[2:]
    assert moved.index(b"Exif\0") > 65_536 * 1.9
    assert difference(moved, turned(6)) < 2


def test_orientation_of_xmp_counts_where_exif_has_none() -> None:
    packet = b"http://ns.adobe.com/xap/1.0/\0" + b'<x:xmpmeta><d tiff:Orientation="3"/></x:xmpmeta>'
    data = written(PICTURE, "JPEG", quality=95, subsampling=0)
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(packet) + 2) + packet + data[2:]
    assert difference(data, turned(3)) < 2


def test_an_orientation_without_meaning_is_upright() -> None:
    assert difference(written(PICTURE, "PNG", exif=exif(77)), RAMP) == 0


def adobe(data: bytes) -> slice:
    """Where Adobe's mark stands in a JPEG."""
    start = data.index(b"Adobe") - 4
    return slice(start, start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0])


def test_cmyk_inverted_as_adobe_does_and_not() -> None:
    cmyk = PICTURE.convert("CMYK")
    data = written(cmyk, "JPEG", quality=95, subsampling=0)
    assert difference(data, RAMP) < 3
    # Without the mark nothing is inverted: write what Pillow will invert, and take the mark away.
    plain = written(Image.fromarray(255 - np.array(cmyk), "CMYK"), "JPEG", quality=95, subsampling=0)
    mark = adobe(plain)
    assert difference(plain[: mark.start] + plain[mark.stop :], RAMP) < 3


def test_ycck() -> None:
    if INSTALLED is None:
        pytest.skip("only simplejpeg writes YCCK")
    inverted = np.ascontiguousarray(255 - np.array(PICTURE.convert("CMYK")))
    data = INSTALLED.encode_jpeg(inverted, quality=95, colorspace="CMYK", colorsubsampling="444")
    assert data[adobe(data)][-1] == 2
    assert difference(data, RAMP) < 4


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*, bits: int, colour: int, rows: bytes, width: int, height: int, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_sixteen_bits_of_every_kind_become_eight() -> None:
    levels = np.arange(256)
    deep = (levels * 257).astype(">u2").tobytes()
    assert (decode(png(bits=16, colour=0, rows=b"\0" + deep, width=256, height=1), key="k")[0, :, 0] == levels).all()
    rgb = np.stack([levels, levels[::-1], levels * 0 + 9], axis=-1)
    data = png(bits=16, colour=2, rows=b"\0" + (rgb * 257).astype(">u2").tobytes(), width=256, height=1)
    np.testing.assert_array_equal(decode(data, key="k")[0], rgb)
    clear = png_chunk(b"tRNS", struct.pack(">H", 257 * 5))
    shown = decode(png(bits=16, colour=0, rows=b"\0" + deep, width=256, height=1, extra=clear), key="k")[0, :, 0]
    assert shown[5] == 255
    assert (np.delete(shown, 5) == np.delete(levels, 5)).all()
    np.testing.assert_array_equal(
        decode(written(Image.fromarray((levels * 257).astype(np.uint16)[None]), "TIFF"), key="k")[0, :, 0], levels
    )


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((2, 2), 0.5, np.float32), "floating-point"),
        (np.full((2, 2), 70_000, np.int32), "from 70000 to 70000"),
        (np.full((2, 2), -1, np.int32), "from -1 to -1"),
    ],
)
def test_grey_levels_of_unknown_range_are_refused(pixels: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        decode(written(Image.fromarray(pixels), "TIFF"), key="k")


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 0, 255), (0, 255, 0))]
    options = {"lossless": True} if form == "WEBP" else {}
    data = written(frames[0], form, save_all=True, append_images=frames[1:], duration=40, **options)
    assert (decode(data, key="k") == (255, 0, 0)).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "GIF"])
def test_every_mode_becomes_rgb(form: str, mode: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    pixels = decode(written(PICTURE.convert(mode), form, **options), key="k")
    assert pixels.shape == RAMP.shape
    assert abs(float(pixels.mean()) - float(RAMP.mean())) < 8


def test_half_clear_pixels_lie_on_white() -> None:
    for layered in (Image.new("RGBA", (3, 2), (0, 0, 0, 128)), Image.new("LA", (3, 2), (0, 128))):
        for form in ("PNG", "TIFF"):
            assert (np.abs(decode(written(layered, form), key="k").astype(int) - 127) <= 1).all()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_refused_never_half_grey(progressive: bool) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    data = written(picture, "JPEG", quality=80, progressive=progressive)
    for length in range(1, len(data), 97):
        with pytest.raises(DataError):
            decode(data[:length], key="k")
    with pytest.raises(DataError, match="truncated"):
        decode(data[:-2], key="k")


@pytest.mark.parametrize("kind", [b"iTXt", b"zTXt", b"iCCP"])
def test_compressed_chunks_cannot_fill_the_memory(kind: bytes) -> None:
    body = {b"iTXt": b"k\0\1\0\0\0", b"zTXt": b"k\0\0", b"iCCP": b"k\0\0"}[kind] + zlib.compress(bytes(60_000_000))
    data = written(PICTURE, "PNG")
    bomb = data[:33] + png_chunk(kind, body) + data[33:]
    assert refused_within(bomb, megabytes=20)


def test_pixels_beyond_those_declared_are_not_unpacked() -> None:
    many = png(bits=8, colour=2, rows=bytes(60_000_000), width=4, height=4)
    tracemalloc.start()
    assert decode(many, key="k").shape == (4, 4, 3)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def refused_within(data: bytes, *, megabytes: int) -> bool:
    """Whether a file is refused with a message, and without taking much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            decode(data, key="k")
        return tracemalloc.get_traced_memory()[1] < megabytes * 1e6 + 3 * len(data)
    finally:
        tracemalloc.stop()


def test_declared_sizes_are_believed_before_memory_is_taken() -> None:
    gif = bytearray(written(PICTURE, "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    webp = bytearray(written(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(90)]))
    place = webp.index(b"VP8X") + 12
    webp[place : place + 6] = struct.pack("<I", 16_382)[:3] * 2
    bmp = bytearray(written(PICTURE, "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    for data in (gif, webp, bmp):
        assert refused_within(bytes(data), megabytes=5)


def test_other_formats_are_not_opened() -> None:
    # Pillow would start Ghostscript for this one.
    for form in ("EPS", "PPM", "TGA", "ICO"):
        with pytest.raises(DataError, match="no image that can be read; expected JPEG, PNG"):
            decode(written(PICTURE, form), key="k")


SEEDS = {
    "jpeg": written(PICTURE, "JPEG"),
    "progressive": written(PICTURE, "JPEG", progressive=True),
    "turned": written(PICTURE, "JPEG", exif=exif(6)),
    "cmyk": written(PICTURE.convert("CMYK"), "JPEG"),
    "png": written(PICTURE, "PNG", exif=exif(3)),
    "palette": written(PICTURE.quantize(8), "PNG", transparency=1),
    "webp": written(PICTURE, "WEBP", exif=exif(8)),
    "animation": written(PICTURE, "WEBP", save_all=True, append_images=[PICTURE]),
    "gif": written(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(90)]),
    "bmp": written(PICTURE, "BMP"),
    "tiff": written(PICTURE, "TIFF"),
}
"""TIFF is not compressed: libtiff writes to standard error what it thinks of a file."""


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=some.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        decode(data, key="k")


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(
    name=some.sampled_from(sorted(SEEDS)),
    changes=some.lists(some.tuples(some.integers(0, 4000), some.integers(0, 255)), max_size=6),
    stop=some.one_of(some.none(), some.integers(0, 4000)),
    inserted=some.binary(max_size=12),
)
def test_a_damaged_file_gives_pixels_or_is_refused(
    name: str, changes: list[tuple[int, int]], stop: int | None, inserted: bytes
) -> None:
    data = bytearray(SEEDS[name])
    for place, value in changes:
        data[place % len(data)] = value
    if inserted and changes:
        place = changes[0][0] % len(data)
        data[place:place] = inserted
    outcomes = [outcome(bytes(data[:stop]), library) for library in {INSTALLED, None}]
    assert len(set(outcomes)) == 1


def outcome(data: bytes, library: object) -> tuple[int, ...] | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_module, "simplejpeg", library)
        try:
            pixels = decode(data, key="k")
        except DataError:
            return "refused"
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert min(pixels.shape) > 0
    return pixels.shape
