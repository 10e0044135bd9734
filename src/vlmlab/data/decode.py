"""Bytes of an image file to pixels: uint8 (height, width, 3), RGB, upright."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, ImageChops, UnidentifiedImageError
from PIL import Image as Pillow

from vlmlab.errors import DataError

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What is read. Pillow knows more, and for some of it (EPS) would start another program on a file from anywhere."""

MAX_PIXELS = 89_478_485
"""Declared pixels above which a file is refused unread: a quarter of a gigabyte of RGB, Pillow's own limit."""


def decode(data: bytes, key: str) -> np.ndarray:
    """Decode JPEG, PNG, WebP, GIF, BMP or TIFF bytes; `key` names the sample in errors.

    The orientation of EXIF is applied, alpha is laid on white, 16 bits become 8; an animation gives its first frame.
    Raises DataError for what is empty, truncated, of size zero, too large, or no image. What is refused does not
    depend on whether simplejpeg is installed: Pillow reads every header but the plainest, and decides where
    simplejpeg finds fault.
    """
    if not data:
        raise DataError(key, "the image is empty (0 bytes); expected the bytes of an image file")
    size = plain_jpeg_size(data)
    if size is not None:
        _check_size(*size, key=key)
        pixels = _decode_jpeg(data, size)
        if pixels is not None:
            return pixels
    with _refusing(data, key=key):
        image = Pillow.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image.height, image.width, key=key)
        pixels = None
        if image.format == "JPEG" and image.mode in ("RGB", "L"):
            pixels = _decode_jpeg(data, (image.height, image.width))
        if pixels is None:
            image.load()
            pixels = np.array(_as_rgb(image, key=key), dtype=np.uint8)
        # Read last: a PNG may tell it after its pixels, and a TIFF is turned by Pillow while it loads.
        orientation = _orientation(image)
    return pixels if orientation == 1 else _upright(pixels, orientation)


@contextmanager
def _refusing(data: bytes, *, key: str) -> Generator[None]:
    """Turns what Pillow's readers raise for damaged files into a DataError; only calls of Pillow stand inside."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and of sizes that are refused here, with words.
            warnings.simplefilter("ignore")
            yield
    except Pillow.DecompressionBombError as error:
        raise DataError(
            key, f"image is too large ({error}); at most {MAX_PIXELS} pixels are read, shrink it first"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(key, f"{len(data)} bytes are no image that can be read; expected {_listed(FORMATS)}") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, zlib.error) as error:
        raise DataError(
            key, f"image is truncated or damaged ({error}); replace the file or leave the sample out"
        ) from error


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _check_size(height: int, width: int, *, key: str) -> None:
    if height < 1 or width < 1:
        raise DataError(key, f"image is {width} x {height} pixels; both sides must be at least 1")
    if height * width > MAX_PIXELS:
        raise DataError(
            key,
            f"image declares {width} x {height} = {height * width} pixels; at most {MAX_PIXELS} are read; shrink it",
        )


def plain_jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) of a JPEG whose header holds nothing but what its pixels need; None for everything else.

    Such a file is RGB or grey and upright, so nobody has to ask Pillow: opening a file there takes as long as a
    tenth of decoding 512 x 512 pixels. With EXIF, a profile or Adobe's mark a file is not plain.
    """
    if data[:2] != b"\xff\xd8":
        return None
    size: tuple[int, int] | None = None
    place = 2
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        match marker:
            case 0xDA:  # the pixels begin
                return size
            case 0xC0 | 0xC2:  # a frame, of 8 bits and one or three colours
                if size is not None or data[place + 4] != 8 or data[place + 9] not in (1, 3):
                    return None
                size = (
                    int.from_bytes(data[place + 5 : place + 7], "big"),
                    int.from_bytes(data[place + 7 : place + 9], "big"),
                )
            case 0xE0:
                if length != 16 or data[place + 4 : place + 9] != b"JFIF\0":
                    return None
            case 0xDB | 0xC4 | 0xDD | 0xFE:  # tables, restart interval, comment
                pass
            case _:
                return None
        place += 2 + length
    return None


def _decode_jpeg(data: bytes, size: tuple[int, int]) -> np.ndarray | None:
    """An RGB or grey JPEG as RGB; None leaves it to Pillow."""
    if simplejpeg is None:
        return None
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError:
        # Even a warning of the library ends here: what is truncated is refused by Pillow, never shown half grey.
        return None
    return pixels if pixels.shape[:2] == size else None


def _orientation(image: Pillow.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 is upright, and also what a value without meaning is taken for."""
    if image.format in ("JPEG", "PNG", "WEBP") and not {"exif", "xmp", "XML:com.adobe.xmp"} & image.info.keys():
        return 1
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return found if found in range(1, 9) else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The image as it was meant to be seen: 1 to 8 say where the first row and column of the file belong."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _as_rgb(image: Pillow.Image, *, key: str) -> Pillow.Image:
    """A loaded image of any Pillow mode as RGB on 0 to 255."""
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG as inverted, which is Adobe's habit; without Adobe's mark it is not.
        return ImageChops.invert(image).convert("RGB")
    if image.mode == "F":
        raise DataError(key, "image has floating-point pixels, whose range no file declares; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return _as_eight_bits(image, key=key).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Pillow.new("RGBA", layered.size, (255, 255, 255, 255))
        return Pillow.alpha_composite(white, layered).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _as_eight_bits(image: Pillow.Image, *, key: str) -> Pillow.Image:
    """Grey of 16 bits as L; Pillow's own conversion would clip at 255 and give white."""
    deep = np.asarray(image).astype(np.int64)
    low, high = int(deep.min()), int(deep.max())
    if low < 0 or high > 65_535:
        raise DataError(key, f"image has grey levels from {low} to {high}; expected 8 or 16 bits, 0 to 65535 at most")
    levels = (deep >> 8).astype(np.uint8)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        levels[deep == clear] = 255
    return Pillow.fromarray(levels)
