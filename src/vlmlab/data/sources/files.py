"""The files behind a source's path, and what identifies their content."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmlab.data.sources.hub import PREFIX, fetch_hub, parse_hub_path
from vlmlab.errors import DataError

WHOLE = 64 * 1024 * 1024
"""Files up to this size enter a fingerprint whole; of larger ones the size and both ends."""

END = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file; `name` is its path below the folder that all files of the source share."""

    path: Path
    name: str

    def read(self, offset: int, size: int, *, key: str = "") -> bytes:
        """Bytes of the file; errors name the sample `key`, or else the file."""
        return self.read_places([(offset, size)], key=key)[0]

    def read_places(self, places: Sequence[tuple[int, int]], *, key: str = "") -> list[bytes]:
        """The bytes at (offset, size) places. Opened anew each time: no handle travels into a worker, none is left.

        Raises DataError where the file cannot be read, or has become shorter since its index was made.
        """
        found: list[bytes] = []
        try:
            with self.path.open("rb", buffering=0) as handle:
                for offset, size in places:
                    handle.seek(offset)
                    found.append(handle.read(size))
        except OSError as error:
            raise DataError(
                key or str(self.path), f"{self.path} cannot be read ({error.strerror}); it was there before"
            ) from error
        for (offset, size), data in zip(places, found, strict=True):
            if len(data) < size:
                raise DataError(
                    key or str(self.path),
                    f"{self.path} has {len(data)} of {size} bytes at {offset}; it was longer before; fetch it again",
                )
        return found


def find_files(path: str, *, where: str, root: Path) -> tuple[LocalFile, ...]:
    """The files that a path or glob names, sorted; relative paths start at `root`, hf:// paths are fetched."""
    if path.startswith(PREFIX):
        hub = parse_hub_path(path, where=where)
        root = fetch_hub(hub.repository, kind="dataset", revision=hub.revision, patterns=[hub.path], where=where)
        pattern = str(root / hub.path)
    else:
        pattern = str(root / Path(path).expanduser())
    exact = Path(pattern)
    found = (
        [exact]
        if exact.is_file()
        else sorted(file for name in glob.glob(pattern, recursive=True) if (file := Path(name)).is_file())
    )
    if not found:
        what = "no file matches" if glob.has_magic(path) else "there is no file"
        raise DataError(
            where, f"{what} {pattern}; expected a file or a glob of files, relative to the working directory"
        )
    shared = Path(os.path.commonpath([str(file.parent) for file in found]))
    return tuple(LocalFile(file, file.relative_to(shared).as_posix()) for file in found)


def content_hash(files: tuple[LocalFile, ...]) -> list[list[str | int]]:
    """[name, size, hash] of each file; equal wherever they lie and whenever they were written."""
    return [[file.name, file.path.stat().st_size, _hash(file)] for file in files]


def _hash(file: LocalFile) -> str:
    size = file.path.stat().st_size
    if size <= WHOLE:
        with file.path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    return hashlib.sha256(file.read(0, END) + file.read(size - END, END)).hexdigest()


def place_in(key: str, *, name: str, files: tuple[LocalFile, ...]) -> tuple[int, int]:
    """(file, number) of a key NAME/FILE#NUMBER."""
    head, _, number = key.rpartition("#")
    for position, file in enumerate(files):
        if head == f"{name}/{file.name}" and number.isdecimal():
            return position, int(number)
    raise DataError(key, f"no such sample; keys here look like {name}/{files[0].name}#0")
