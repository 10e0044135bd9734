"""Tokenizers: a small BPE trained on the recipe's own text, or one of the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vlmlab.recipe.spec import Spec


class TrainedBPE(Spec):
    """A byte-level BPE trained on documents drawn from the recipe's sources; the draw is a function of the recipe."""

    kind: Literal["bpe"] = "bpe"
    """Train a BPE."""
    vocabulary: int = Field(default=1024, ge=300)
    """Tokens in all, special ones included."""
    documents: int = Field(default=8000, ge=1)
    """Documents it is trained on, drawn evenly from the sources with text."""


class PretrainedTokenizer(Spec):
    """A tokenizer folder or hub repository that `tokenizers` can read (tokenizer.json)."""

    kind: Literal["pretrained"]
    """A published tokenizer."""
    name: str
    """Folder or hub repository."""
    revision: str = ""
    """Commit hash. Empty means not pinned."""


Tokenizer = Annotated[TrainedBPE | PretrainedTokenizer, Field(discriminator="kind")]


class Template(Spec):
    """The words around a question, an answer and a caption. Training and few-shot prompts share them."""

    question: str = " question:"
    """Stands before a question."""
    answer: str = " answer:"
    """Stands before an answer; the answer follows after one space."""
    caption: str = " caption:"
    """Stands before a caption in few-shot prompts and caption documents."""
    end: str = "\n"
    """Ends an answer or a caption; learned in training, the stop string in generation."""
    instruction: str = ""
    """Stands once at the beginning of a few-shot prompt."""
