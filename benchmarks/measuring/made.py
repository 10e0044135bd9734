"""Documents of declared lengths: random text and images, encoded as the data pipeline would encode them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers
import torch

from vlmlab.batch import Batch
from vlmlab.data.collate import collate
from vlmlab.data.encode import EncodedImage, Example
from vlmlab.data.tokenizer import SpecialIds, Tokenizer
from vlmlab.random_streams import stream
from vlmlab.recipe.image import Grid
from vlmlab.recipe.recipe import Model

SPECIAL = SpecialIds(pad=0, bos=1, eos=2, image=3, image_start=4, image_end=5)


@dataclass(frozen=True)
class Size:
    """Tokens of text, the begin token included, and images of a document."""

    text: int
    images: int


def log_normal_sizes(*, seed: int, median: float, sigma: float, images: tuple[int, int], count: int) -> list[Size]:
    """Log-normal lengths of text, at least 4 tokens, and a uniform number of images."""
    random = stream(seed, "sizes")
    texts = np.exp(random.normal(np.log(median), sigma, count)).round().clip(min=4).astype(int)
    return [Size(int(text), int(random.integers(images[0], images[1] + 1))) for text in texts]


def tokenizer(vocabulary: int) -> Tokenizer:
    """Special tokens with their ids; the other ids have no text, since no text is encoded."""
    return Tokenizer(tokenizers.Tokenizer(tokenizers.models.BPE()), special=SPECIAL, size=vocabulary)


def example(size: Size, *, number: int, model: Model, vocabulary: int) -> Example:
    """A begin token, then the images with the text divided evenly behind each. Every text token is learned."""
    random = stream(0, "example", number)
    side, patch = model.image.side, model.vision.patch
    grid = Grid(side // patch, side // patch)
    visual = model.connector.tokens(grid)
    ids, learn, images = [SPECIAL.bos], [False], []
    text = size.text - 1
    for index in range(size.images):
        view = torch.from_numpy(random.integers(0, 256, (3, side, side), dtype=np.uint8))
        images.append(EncodedImage(start=len(ids), length=visual, view=view, grid=grid, key=f"{number}.{index}"))
        ids += [SPECIAL.image] * visual
        learn += [False] * visual
        here = text * (index + 1) // size.images - text * index // size.images
        ids += random.integers(6, vocabulary, here).tolist()
        learn += [True] * here
    return Example(key=f"made#{number}", ids=ids, learn=learn, images=tuple(images))


def batch_of(rows: Sequence[Sequence[Example]], *, length: int | None, model: Model, vocabulary: int) -> Batch:
    """Rows of `length` positions, or as long as the longest one."""
    longest = max(sum(map(len, row)) for row in rows)
    return collate(rows, length=longest if length is None else length, tokenizer=tokenizer(vocabulary), model=model)
