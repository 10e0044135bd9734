"""Bytes of an image file to pixels: uint8 (height, width, 3), RGB, upright."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from vlmlab.errors import DataError

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

MAX_PIXELS = 89_478_485
"""Declared pixels above which a file is refused unread: a quarter of a gigabyte of RGB, Pillow's own limit."""

EXIF_REACH = 65_536
"""Bytes at the head of a JPEG in which an orientation can stand."""


def decode(data: bytes, key: str) -> np.ndarray:
    """Decode JPEG, PNG, WebP, GIF, BMP or TIFF bytes; `key` names the sample in errors.

    The orientation of EXIF is applied, alpha is laid on white, 16 bits become 8; an animation gives its first frame.
    Raises DataError for what is empty, truncated, of size zero, too large, or no image.
    """
    if not data:
        raise DataError(key, "the image is empty (0 bytes); expected the bytes of an image file")
    pixels = _decode_jpeg(data, key=key) if data[:2] == b"\xff\xd8" else None
    return _decode_pillow(data, key=key) if pixels is None else pixels


def _check_size(height: int, width: int, *, key: str) -> None:
    if height < 1 or width < 1:
        raise DataError(key, f"image is {width} x {height} pixels; both sides must be at least 1")
    if height * width > MAX_PIXELS:
        raise DataError(
            key,
            f"image declares {width} x {height} = {height * width} pixels; at most {MAX_PIXELS} are read; shrink it",
        )


def _decode_jpeg(data: bytes, *, key: str) -> np.ndarray | None:
    """The fast path for plain upright RGB or grey JPEGs; None sends everything else to Pillow."""
    if simplejpeg is None or b"Exif\x00" in data[:EXIF_REACH]:
        return None
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
        if colour not in ("YCbCr", "RGB", "Gray"):
            return None
        _check_size(int(height), int(width), key=key)
        return simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError:
        # Odd or damaged: Pillow decides, so that what is refused does not depend on an optional package.
        return None


def _decode_pillow(data: bytes, *, key: str) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # Our own limit is checked next, with words; Pillow's warning would only repeat it.
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            image = Pillow.open(io.BytesIO(data))
        _check_size(image.height, image.width, key=key)
        image.load()
        upright = ImageOps.exif_transpose(image)
    except Pillow.DecompressionBombError as error:
        raise DataError(
            key, f"image is too large ({error}); at most {MAX_PIXELS} pixels are read, shrink it first"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            key, f"{len(data)} bytes are no image that can be read; expected JPEG, PNG, WebP, GIF, BMP or TIFF"
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError) as error:
        # What Pillow's readers raise for truncated or damaged files.
        raise DataError(
            key, f"image is truncated or damaged ({error}); replace the file or leave the sample out"
        ) from error
    return np.array(_as_rgb(upright), dtype=np.uint8)


def _as_rgb(image: Pillow.Image) -> Pillow.Image:
    """Any Pillow mode as RGB on 0 to 255."""
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit grey; Pillow's own conversion would clip at 255 and give white.
        return Pillow.fromarray((np.asarray(image).astype(np.int64).clip(0, 65_535) >> 8).astype(np.uint8)).convert(
            "RGB"
        )
    if image.mode == "F":
        return Pillow.fromarray(np.nan_to_num(np.asarray(image)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Pillow.new("RGBA", layered.size, (255, 255, 255, 255))
        return Pillow.alpha_composite(white, layered).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
