"""Formats: rows as bytes of the public schemas, the same bytes whenever they are written."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow

from vlmlab.data.document import Picture
from vlmlab.data.rows import CaptionRow, DialogueRow, InterleavedRow
from vlmlab.errors import DataError
from vlmlab.files import atomic_path

if TYPE_CHECKING:
    import pyarrow

ROW_GROUP = 100
"""Rows of a row group: readers in random order fetch whole groups."""
SOURCE = "vlmlab generated world"


def png(pixels: np.ndarray) -> bytes:
    """uint8 (height, width, 3) as PNG."""
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def write_tar(path: Path, rows: Iterable[CaptionRow], *, first: int = 0) -> None:
    """img2dataset's layout: KEY.png, KEY.txt and KEY.json of each pair, numbered from `first`; times are zero."""
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, row in enumerate(rows, start=first):
            pixels = row.picture.pixels()
            about = {"key": row.key, "caption": row.text, "width": pixels.shape[1], "height": pixels.shape[0]}
            for kind, data in (
                ("png", png(pixels)),
                ("txt", row.text.encode()),
                ("json", json.dumps(about).encode()),
            ):
                member = tarfile.TarInfo(f"{number:09d}.{kind}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def write_obelics(path: Path, rows: Iterable[InterleavedRow]) -> None:
    """OBELICS' columns. Its published images are addresses; here they are bytes, as after fetching them."""
    arrow = _arrow(path)
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    schema = arrow.schema(
        [
            ("images", arrow.list_(image)),
            ("texts", arrow.list_(arrow.string())),
            ("metadata", arrow.string()),
            ("general_metadata", arrow.string()),
        ]
    )
    _write_parquet(path, (_obelics(row) for row in rows), schema)


def _obelics(row: InterleavedRow) -> dict[str, Any]:
    images: list[dict[str, Any] | None] = []
    metadata: list[dict[str, Any] | None] = []
    for slot, item in enumerate(row.items):
        if isinstance(item, str):
            images.append(None)
            metadata.append(None)
            continue
        pixels = item.pixels()
        images.append(_image(item, pixels=pixels, slot=slot))
        metadata.append(
            {
                "document_url": row.key,
                "unformatted_src": item.key,
                "src": item.key,
                "formatted_filename": f"{slot}.png",
                "alt_text": None,
                "original_width": pixels.shape[1],
                "original_height": pixels.shape[0],
            }
        )
    return {
        "images": images,
        "texts": [item if isinstance(item, str) else None for item in row.items],
        "metadata": json.dumps(metadata),
        "general_metadata": json.dumps({"url": row.key, "source": SOURCE}),
    }


def write_cauldron(path: Path, rows: Iterable[DialogueRow]) -> None:
    """The Cauldron's columns; `<image>` in a user's text places an image, without any all stand before the first."""
    arrow = _arrow(path)
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    turn = arrow.struct([("user", arrow.string()), ("assistant", arrow.string()), ("source", arrow.string())])
    schema = arrow.schema([("images", arrow.list_(image)), ("texts", arrow.list_(turn))])
    _write_parquet(path, (_cauldron(row) for row in rows), schema)


def _cauldron(row: DialogueRow) -> dict[str, Any]:
    images = [_image(picture, pixels=picture.pixels(), slot=slot) for slot, picture in enumerate(row.pictures)]
    texts = [{"user": user, "assistant": assistant, "source": SOURCE} for user, assistant in row.turns]
    return {"images": images, "texts": texts}


def _image(picture: Picture, *, pixels: np.ndarray, slot: int) -> dict[str, Any]:
    return {"bytes": png(pixels), "path": f"{picture.key.replace('/', '_')}.{slot}.png"}


def _arrow(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise DataError(str(path), "writing parquet needs pyarrow; pip install 'vlmlab[data]'") from error
    return pyarrow


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]], schema: pyarrow.Schema) -> None:
    from pyarrow import Table, parquet

    with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for group in _groups(rows):
            writer.write_table(Table.from_pylist(group, schema=schema))


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == ROW_GROUP:
            yield group
            group = []
    if group:
        yield group
