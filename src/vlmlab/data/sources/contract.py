"""What every source offers: random access to rows whose keys name them."""

from __future__ import annotations

from typing import Protocol

from vlmlab.data.rows import Row
from vlmlab.errors import DataError


class OpenSource(Protocol):
    """An opened source. It pickles cleanly, so that workers may have their own."""

    def __len__(self) -> int:
        """Samples before they repeat; at least one."""
        ...

    def row(self, index: int) -> Row:
        """The row at an index. Raises DataError naming the sample that cannot be used."""
        ...

    def find(self, key: str) -> int:
        """The index of the row with this key. Raises DataError where there is none."""
        ...

    def fingerprint(self) -> str:
        """A hash of content and spec that does not depend on where files lie or when they were written."""
        ...


def number_in_key(key: str, prefix: str, *, size: int) -> int:
    """The number after `#` in a key that starts with `prefix`: "captions#17" with prefix "captions" is 17."""
    head, _, tail = key.rpartition("#")
    if head != prefix or not tail.isdecimal() or int(tail) >= size:
        raise DataError(key, f"no such sample; keys here look like {prefix}#N with N from 0 to {size - 1}")
    return int(tail)
