"""A source of a few texts, to train a tokenizer on."""

from __future__ import annotations

from dataclasses import dataclass

from vlmlab.data.rows import Row, TextRow


@dataclass(frozen=True)
class TextSource:
    """A few texts to train a tokenizer on."""

    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def row(self, index: int) -> Row:
        return TextRow(f"text/{index}", self.texts[index])

    def fingerprint(self) -> str:
        return "texts"
