"""Parquet with the columns of published datasets: OBELICS, The Cauldron, captioned images."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmlab.data.document import EncodedPicture, Picture
from vlmlab.data.mishaps import Skipped
from vlmlab.data.rows import CaptionRow, DialogueRow, InterleavedRow, Row
from vlmlab.data.sources.files import LocalFile, content_hash, find_files, place_in
from vlmlab.errors import DataError
from vlmlab.files import digest
from vlmlab.recipe.source import ParquetSource

if TYPE_CHECKING:
    import pyarrow

COLUMNS = {"obelics": ("images", "texts"), "cauldron": ("images", "texts"), "caption": ("image", "text")}

MATERIALISE = "images must be materialised first: download them into the parquet"

DAMAGED = "damaged or truncated; fetch it again"

CACHED_GROUPS = 8
"""Row groups that are kept. A shuffled order visits them at random: small groups (some 100 rows) read much faster."""


class ParquetRows:
    """Rows of parquet files, read a row group at a time. Needs pyarrow (pip install vlmlab[data]).

    Where a row group's pages are damaged each of its rows is refused; checksums are verified where the file has them.
    """

    def __init__(self, spec: ParquetSource, *, name: str, root: Path) -> None:
        self._spec = spec
        self._name = name
        self._files = find_files(spec.path, where=f"data.sources.{name}.path", root=root)
        # (file, row group) of every group, and the first row of each.
        self._groups: list[tuple[int, int]] = []
        counts: list[int] = []
        self._file_first: list[int] = []
        for number, file in enumerate(self._files):
            self._file_first.append(sum(counts))
            sizes = _group_sizes(file, spec)
            self._groups += [(number, group) for group in range(len(sizes))]
            counts += sizes
        self._first = np.cumsum([0, *counts])
        # A group's table, or why there is none.
        self._cache: OrderedDict[int, pyarrow.Table | str] = OrderedDict()
        if not len(self):
            raise DataError(
                f"data.sources.{name}", f"the source is empty ({self._files[0].path}); expected at least one row"
            )

    def __len__(self) -> int:
        return int(self._first[-1])

    def row(self, index: int) -> Row:
        assert 0 <= index < len(self)
        group = int(np.searchsorted(self._first, index, side="right")) - 1
        number = self._groups[group][0]
        key = f"{self._name}/{self._files[number].name}#{index - self._file_first[number]}"
        table = self._table(group)
        if isinstance(table, str):
            raise DataError(key, table)
        try:
            value = table.slice(index - int(self._first[group]), 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            raise DataError(key, f"a text is no UTF-8 ({error})") from error
        match self._spec.form:
            case "obelics":
                return self._obelics(value, key=key)
            case "cauldron":
                return self._cauldron(value, key=key)
            case "caption":
                if not isinstance(value["text"], str):
                    raise DataError(key, "column text is null; expected a text")
                return CaptionRow(key, _picture(value["image"], key=f"{key}.0"), value["text"])

    def find(self, key: str) -> int:
        number, place = place_in(key, name=self._name, files=self._files)
        stop = [*self._file_first[1:], len(self)][number]
        if self._file_first[number] + place >= stop:
            raise DataError(key, f"no such sample; the file has {stop - self._file_first[number]}")
        return self._file_first[number] + place

    def fingerprint(self) -> str:
        return digest(["parquet", self._spec.form, self._spec.max_images, content_hash(self._files)])

    def __getstate__(self) -> dict[str, Any]:
        # A worker reads its own row groups; tables are not worth sending.
        return {**self.__dict__, "_cache": OrderedDict()}

    def _table(self, group: int) -> pyarrow.Table | str:
        known = self._cache.get(group)
        if known is not None:
            self._cache.move_to_end(group)
            return known
        table = self._read(group)
        self._cache[group] = table
        if len(self._cache) > CACHED_GROUPS:
            self._cache.popitem(last=False)
        return table

    def _read(self, group: int) -> pyarrow.Table | str:
        import pyarrow
        from pyarrow import parquet

        number, inside = self._groups[group]
        path = self._files[number].path
        try:
            with parquet.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
                # One thread: arrow's pool does not survive the fork into a worker.
                table = file.read_row_group(inside, columns=list(COLUMNS[self._spec.form]), use_threads=False)
        except (OSError, pyarrow.ArrowInvalid, pyarrow.ArrowMemoryError) as error:
            return f"row group {inside} of {path.name} cannot be read ({error}); {DAMAGED}"
        expected = int(self._first[group + 1] - self._first[group])
        if table.num_rows != expected:
            return f"row group {inside} of {path.name} has {table.num_rows} of {expected} rows; {DAMAGED}"
        return table

    def _check_images(self, found: int, *, key: str) -> None:
        limit = self._spec.max_images
        if found > limit:
            raise Skipped(key, f"the document has {found} images; at most {limit} are wanted (max_images)")

    def _obelics(self, value: dict[str, Any], *, key: str) -> InterleavedRow:
        images, texts = value["images"], value["texts"]
        if images is None or texts is None or len(images) != len(texts):
            found = f"{0 if images is None else len(images)} images and {0 if texts is None else len(texts)} texts"
            raise DataError(
                key, f"found {found}; expected two lists of one length with either an image or a text at every place"
            )
        self._check_images(sum(image is not None for image in images), key=key)
        items: list[str | Picture] = []
        for slot, (image, text) in enumerate(zip(images, texts, strict=True)):
            if image is not None:
                items.append(_picture(image, key=f"{key}.{slot}"))
            elif text is not None:
                items.append(text)
        return InterleavedRow(key, tuple(items))

    def _cauldron(self, value: dict[str, Any], *, key: str) -> DialogueRow:
        images = value["images"] or []
        self._check_images(len(images), key=key)
        turns: list[tuple[str, str]] = []
        for number, turn in enumerate(value["texts"] or []):
            user, assistant = (turn or {}).get("user"), (turn or {}).get("assistant")
            if not isinstance(user, str) or not isinstance(assistant, str):
                raise DataError(key, f"turn {number} of column texts has no text in user and assistant")
            turns.append((user, assistant))
        return DialogueRow(
            key, tuple(_picture(image, key=f"{key}.{slot}") for slot, image in enumerate(images)), tuple(turns)
        )


def _picture(value: object, *, key: str) -> EncodedPicture:
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes):
        return EncodedPicture(key, data)
    found = data if isinstance(data, str) else value.get("path") if isinstance(value, dict) else value
    raise DataError(
        key,
        f"the image is {str(found)[:100]!r} instead of bytes; {MATERIALISE}",
    )


def _group_sizes(file: LocalFile, spec: ParquetSource) -> list[int]:
    """Rows of each row group, once the file has shown that it is of the expected form."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(str(file.path), "reading parquet needs pyarrow; pip install vlmlab[data]") from error
    try:
        with parquet.ParquetFile(file.path, pre_buffer=False) as opened:
            schema, metadata = opened.schema_arrow, opened.metadata
    except (pyarrow.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise DataError(str(file.path), f"no parquet file, or a truncated one ({error}); fetch it again") from error
    expected = COLUMNS[spec.form]
    if not set(expected) <= set(schema.names):
        raise DataError(
            str(file.path),
            f"found the columns {', '.join(schema.names)}; form {spec.form} expects {' and '.join(expected)}",
        )
    _check_types(schema, spec, file=file)
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def _check_types(schema: pyarrow.Schema, spec: ParquetSource, *, file: LocalFile) -> None:
    """Raise DataError where the columns have the right names but hold something else."""
    from pyarrow import types

    def is_text(kind: pyarrow.DataType) -> bool:
        if types.is_dictionary(kind):
            kind = kind.value_type
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    def is_list(kind: pyarrow.DataType) -> bool:
        return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)

    def holds(name: str, found: pyarrow.DataType, wanted: str) -> DataError:
        return DataError(str(file.path), f"column {name} holds {found}; form {spec.form} expects {wanted}")

    images, texts = COLUMNS[spec.form]
    picture, text = schema.field(images).type, schema.field(texts).type
    if spec.form != "caption":
        if not is_list(picture):
            raise holds(images, picture, "a list of images")
        if not is_list(text):
            raise holds(texts, text, "a list")
        picture, text = picture.value_type, text.value_type
    if is_text(picture):
        raise DataError(
            str(file.path),
            f"column {images} holds text (URLs?); expected bytes; {MATERIALISE}",
        )
    if spec.form == "cauldron":
        names = [text.field(place).name for place in range(text.num_fields)] if types.is_struct(text) else []
        if not {"user", "assistant"} <= set(names):
            raise holds(texts, text, "turns with the fields user and assistant")
    elif not is_text(text) and not types.is_null(text):
        raise holds(texts, text, "texts")
