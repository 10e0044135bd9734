"""Item: one question of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from vlmlab.data.document import Picture


@dataclass(frozen=True, slots=True)
class Item:
    """A question (or, where `question` is None, a picture to be captioned) with its references.

    `demonstrations` is None where shots are drawn from the benchmark's pool. A binding item carries its own, because
    its words mean something only inside its own prompt; they are in order, and n shots take the first n.
    """

    id: str
    cluster: str
    question: str | None
    answers: tuple[str, ...]
    picture: Picture | None = None
    choices: tuple[str, ...] = ()
    demonstrations: tuple[Item, ...] | None = None
