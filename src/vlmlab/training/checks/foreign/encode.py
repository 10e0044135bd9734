"""Samples to a foreign model's inputs through its own template and processor, with what its answers are.

Learned tokens are found as most trainers do, by length: the tokens of a conversation up to an answer, and those up to
its end. That only works where the first tokens of the whole are the tokens of its beginning; where they are not, the
number of tokens that such a mask is off by is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor

from vlmlab.errors import DataError
from vlmlab.training.checks.foreign.folder import ForeignModel
from vlmlab.training.checks.foreign.samples import Message, Sample


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One sample as the model takes it."""

    key: str
    inputs: dict[str, Any]
    """What the processor gave; input_ids is int64 (1, length)."""
    learned: Tensor
    """Bool (1, length)."""
    images: int
    slipped: int
    """Tokens by which a mask made by lengths is off."""
    unstable: bool
    """Whether the template renders a beginning of the conversation otherwise than the beginning of the whole."""

    @property
    def ids(self) -> Tensor:
        return self.inputs["input_ids"]

    @property
    def labels(self) -> Tensor:
        """int64 (1, length), -100 where nothing is learned."""
        return torch.where(self.learned, self.ids, -100)


def encode_sample(foreign: ForeignModel, sample: Sample) -> Encoded:
    """Encode one sample. DataError names what template or processor refuse."""
    try:
        return _text(foreign, sample) if sample.messages is None else _conversation(foreign, sample, sample.messages)
    except (TemplateError, ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(sample.key, f"template or processor refuse it: {str(error)[:300]}") from error


def _text(foreign: ForeignModel, sample: Sample) -> Encoded:
    inputs = dict(foreign.tokenizer(sample.text, return_tensors="pt"))
    learned = torch.ones_like(inputs["input_ids"], dtype=torch.bool)
    # The first token is predicted from nothing.
    learned[:, :1] = False
    return Encoded(sample.key, inputs, learned, images=0, slipped=0, unstable=False)


def _conversation(foreign: ForeignModel, sample: Sample, messages: tuple[Message, ...]) -> Encoded:
    if sample.pictures and foreign.processor is None:
        raise DataError(sample.key, f"it has {len(sample.pictures)} images, but the model reads text alone")
    pictures = [Image.fromarray(picture.pixels()) for picture in sample.pictures]
    whole = render(foreign, messages)
    inputs = process(foreign, whole, pictures)
    ids: list[int] = inputs["input_ids"][0].tolist()
    learned = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    slipped, unstable = 0, False
    for turn, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = render(foreign, messages[:turn], asks=True), render(foreign, messages[: turn + 1])
        if not after.startswith(before) or not whole.startswith(after):
            unstable = True
            continue
        begins, ends = (
            process(foreign, text, pictures[: _images(messages[:upto])])["input_ids"][0].tolist()
            for text, upto in ((before, turn), (after, turn + 1))
        )
        first, last = _common(begins, ids), _common(ends, ids)
        slipped += len(begins) - first + len(ends) - last
        learned[0, first:last] = True
    return Encoded(sample.key, inputs, learned, images=len(pictures), slipped=slipped, unstable=unstable)


def render(foreign: ForeignModel, messages: tuple[Message, ...], *, asks: bool = False) -> str:
    """The conversation as text; with `asks` the beginning of an answer too."""
    if not messages:
        return ""
    if foreign.processor is not None and foreign.processor.chat_template is not None:
        return str(foreign.processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asks))
    # Templates of text models take content as text.
    flat = [
        {**message, "content": "".join(part.get("text", "") for part in message["content"])} for message in messages
    ]
    return str(foreign.tokenizer.apply_chat_template(flat, tokenize=False, add_generation_prompt=asks))


def process(foreign: ForeignModel, text: str, pictures: list[Image.Image]) -> dict[str, Any]:
    """Model inputs of rendered text and its images. A begin token that the template wrote is not written again."""
    begin = foreign.tokenizer.bos_token
    special = foreign.processor is not None and not (isinstance(begin, str) and text.startswith(begin))
    if foreign.processor is None or not pictures:
        return dict(foreign.tokenizer(text, return_tensors="pt", add_special_tokens=special))
    return dict(foreign.processor(text=[text], images=[pictures], return_tensors="pt", add_special_tokens=special))


def _images(messages: tuple[Message, ...]) -> int:
    return sum(part["type"] == "image" for message in messages for part in message["content"])


def _common(first: list[int], second: list[int]) -> int:
    """Length of the common beginning."""
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    return length
