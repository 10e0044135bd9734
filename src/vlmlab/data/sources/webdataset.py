"""Tar shards of images with a caption beside each (the layout of img2dataset)."""

from __future__ import annotations

import json
import posixpath
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vlmlab.data.document import EncodedPicture
from vlmlab.data.rows import CaptionRow
from vlmlab.data.sources.files import LocalFile, content_hash, find_files, place_in
from vlmlab.errors import DataError
from vlmlab.files import digest
from vlmlab.recipe.source import WebdatasetSource

IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "gif")
CAPTIONS = ("txt", "json")
CAPTION_FIELDS = ("caption", "text")


@dataclass(slots=True)
class _Sample:
    """Where the members of one sample stand in their shard: extension to (offset, size)."""

    name: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    fault: str = ""
    """Why the sample is refused: it stands where its shard was cut or damaged."""

    def is_whole(self) -> bool:
        """Whether it has an image and a caption."""
        return not self.fault and bool(set(IMAGES) & set(self.members)) and bool(set(CAPTIONS) & set(self.members))


class WebdatasetRows:
    """Captioned images in plain tars. Opening reads the headers once; members are then read at their places.

    A sample is what shares a path up to the first dot of the file name: a/000017.jpg with a/000017.txt, or with
    a/000017.json that has a field `caption` or `text`.

    A shard that was cut or damaged on the way gives the samples before that place, and one more that is refused: it
    says where the shard ends, and so the loss is counted and named. A shard without any whole sample is an error.
    """

    def __init__(self, spec: WebdatasetSource, *, name: str, root: Path) -> None:
        self._name = name
        self._files = find_files(spec.path, where=f"data.sources.{name}.path", root=root)
        self._shards = [_index(file) for file in self._files]
        self._first = np.cumsum([0, *(len(shard) for shard in self._shards)])
        if not len(self):
            raise DataError(
                f"data.sources.{name}",
                f"the source is empty ({self._files[0].path}); expected tars of KEY.jpg with KEY.txt or KEY.json",
            )

    def __len__(self) -> int:
        return int(self._first[-1])

    def row(self, index: int) -> CaptionRow:
        assert 0 <= index < len(self)
        shard = int(np.searchsorted(self._first, index, side="right")) - 1
        place = index - int(self._first[shard])
        file, sample = self._files[shard], self._shards[shard][place]
        key = f"{self._name}/{file.name}#{place}"
        if sample.fault:
            raise DataError(key, sample.fault)
        image = next((sample.members[kind] for kind in IMAGES if kind in sample.members), None)
        if image is None:
            found = ", ".join(sample.members)
            raise DataError(key, f"{sample.name} has no image beside {found}; expected one of {', '.join(IMAGES)}")
        kind = next((kind for kind in CAPTIONS if kind in sample.members), None)
        if kind is None:
            found = ", ".join(sample.members)
            raise DataError(key, f"{sample.name} has no caption beside {found}; expected {sample.name}.txt or .json")
        pixels, caption = file.read_places([image, sample.members[kind]], key=key)
        return CaptionRow(key, EncodedPicture(f"{key}.0", pixels), _caption(caption, kind, sample.name, key=key))

    def find(self, key: str) -> int:
        shard, place = place_in(key, name=self._name, files=self._files)
        if place >= len(self._shards[shard]):
            raise DataError(key, f"no such sample; the shard has {len(self._shards[shard])}")
        return int(self._first[shard]) + place

    def fingerprint(self) -> str:
        return digest(["webdataset", content_hash(self._files)])


def _caption(data: bytes, kind: str, name: str, *, key: str) -> str:
    """The text of NAME.txt or NAME.json."""
    try:
        if kind == "txt":
            return data.decode("utf-8")
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(
            key, f"the caption of {name} is broken ({error}); expected UTF-8 text or a JSON object"
        ) from error
    for field_name in CAPTION_FIELDS:
        if isinstance(value, dict) and isinstance(value.get(field_name), str):
            return value[field_name]
    raise DataError(key, f"{name}.json has no text in {' or '.join(CAPTION_FIELDS)}")


def _index(file: LocalFile) -> list[_Sample]:
    """The samples of a shard, in order of their first member."""
    size = file.path.stat().st_size
    samples: dict[str, _Sample] = {}
    fault = ""
    last: _Sample | None = None
    stop = 0
    """Where the last whole member ends."""
    try:
        with tarfile.open(file.path, mode="r:") as tar:
            try:
                for member in tar:
                    _check_name(member.name, file=file)
                    if not member.isfile():
                        continue
                    folder, base = posixpath.split(member.name)
                    stem, _, kind = base.partition(".")
                    if not stem or not kind:
                        continue
                    name = posixpath.join(folder, stem)
                    last = samples.setdefault(name, _Sample(name))
                    stop = member.offset_data + member.size
                    if stop > size:
                        fault = f"member {member.name!r} ends at byte {stop}, but the shard has {size}"
                        break
                    last.members[kind.lower()] = (member.offset_data, member.size)
            except tarfile.ReadError as error:
                fault = fault or f"{error} after byte {stop}"
            fault = fault or _bad_end(file, tar.offset, size=size)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(str(file.path), f"no plain tar ({error}); expected an uncompressed .tar") from error
    if not fault:
        return list(samples.values())
    found = list(samples.values())
    if last is not None and not last.is_whole():
        found.remove(last)
    whole = [sample for sample in found if sample.is_whole()]
    words = f"the shard is truncated or damaged: {fault}; {len(whole)} whole samples before it are used"
    if not whole:
        raise DataError(str(file.path), f"{words}; fetch it again")
    return [*found, _Sample("" if last is None else last.name, fault=f"{words}; fetch it again")]


def _bad_end(file: LocalFile, offset: int, *, size: int) -> str:
    """What is wrong with the end of a tar's index; nothing where a block of zeros stands there, as it must.

    `tarfile` takes any header that it cannot read for the end, so a hole in a shard would go unnoticed.
    """
    if offset + tarfile.BLOCKSIZE > size:
        return f"it ends at byte {size} without an end mark"
    if any(file.read(offset, tarfile.BLOCKSIZE)):
        return f"there is no member at byte {offset} of {size}"
    return ""


def _check_name(name: str, *, file: LocalFile) -> None:
    if name.startswith("/") or ".." in name.split("/"):
        raise DataError(
            str(file.path),
            f"member {name!r} climbs out of the archive; expected relative paths; do not trust such a shard",
        )
