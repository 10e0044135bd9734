"""Greedy decoding and sampling from the cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vlmlab.data.tokenizer import Tokenizer
from vlmlab.generation.cache import Reading
from vlmlab.recipe.evaluation import Decoding


def generate(
    reading: Reading, *, tokenizer: Tokenizer, decoding: Decoding, end: str, streams: Sequence[np.random.Generator]
) -> list[str]:
    """The continuation of each row as text: before the end token or the first `end`, outer white space off.

    At most `decoding.max_tokens` new tokens. `streams` has a generator for each row (unused at temperature 0), so a
    sampled answer does not depend on its neighbours. Finished rows leave the batch once half of it is finished; the
    reading is afterwards where it was before.
    """
    assert len(streams) == reading.rows
    written: list[list[int]] = [[] for _ in range(reading.rows)]
    texts = [""] * reading.rows
    done = [False] * reading.rows
    rows = list(range(reading.rows))
    start = reading.mark()
    hidden = reading.last
    forbidden: Tensor | None = None
    for step in range(decoding.max_tokens):
        logits = reading.logits(hidden)
        if forbidden is None:
            forbidden = _forbidden(tokenizer, size=logits.shape[-1]).to(logits.device)
        logits = logits.masked_fill(forbidden, -torch.inf)
        chosen = _choose(logits, decoding=decoding, streams=[streams[row] for row in rows])
        for row, token in zip(rows, chosen, strict=True):
            if done[row]:
                continue
            if token == tokenizer.eos:
                done[row] = True
                continue
            written[row].append(token)
            texts[row] = tokenizer.decode(written[row])
            done[row] = bool(end) and end in texts[row]
        going = [place for place, row in enumerate(rows) if not done[row]]
        if not going or step + 1 == decoding.max_tokens:
            break
        if 2 * len(going) <= len(rows):
            reading.keep(torch.tensor(going, device=reading.device))
            rows = [rows[place] for place in going]
            chosen = [chosen[place] for place in going]
        hidden = reading.extend(torch.tensor(chosen, device=reading.device)[:, None])[:, -1]
    reading.rewind(start)
    return [(text.split(end, 1)[0] if end else text).strip() for text in texts]


def _forbidden(tokenizer: Tokenizer, *, size: int) -> Tensor:
    """What is never produced: special tokens but the end, and rows of the table that belong to no token."""
    mask = torch.zeros(size, dtype=torch.bool)
    mask[tokenizer.size :] = True
    mask[[tokenizer.pad, tokenizer.bos, tokenizer.image, tokenizer.image_start, tokenizer.image_end]] = True
    # Some published tokenizers use one token for the end and for padding.
    mask[tokenizer.eos] = False
    return mask


def _choose(logits: Tensor, *, decoding: Decoding, streams: Sequence[np.random.Generator]) -> list[int]:
    """One token a row."""
    if decoding.temperature == 0.0:
        return logits.argmax(dim=-1).tolist()
    rows = logits.double().cpu().numpy()
    return [sample(row, decoding=decoding, draw=stream.random()) for row, stream in zip(rows, streams, strict=True)]


def sample(logits: np.ndarray, *, decoding: Decoding, draw: float) -> int:
    """The token at share `draw` of the mass of the smallest set of tokens that has `top_p` of it."""
    scaled = (logits - logits.max()) / decoding.temperature
    order = np.argsort(-scaled, kind="stable")
    weights = np.exp(scaled[order])
    mass = np.cumsum(weights / weights.sum())
    count = int(np.searchsorted(mass, decoding.top_p * mass[-1])) + 1
    kept = mass[: min(count, len(mass))]
    return int(order[min(int(np.searchsorted(kept, draw * kept[-1], side="right")), len(kept) - 1)])
