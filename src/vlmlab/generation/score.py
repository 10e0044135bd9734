"""Log-likelihood of given continuations of what was read."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vlmlab.generation.cache import Reading


def log_likelihoods(reading: Reading, continuations: Sequence[Sequence[int]], *, pad: int) -> list[float]:
    """Sum of the log-probabilities, in nats, of one continuation a row; only its own tokens count.

    The softmax is over the whole vocabulary, special tokens included: the number is the model's own probability.
    The reading is afterwards where it was before.
    """
    assert len(continuations) == reading.rows
    assert all(continuations)
    longest = max(len(tokens) for tokens in continuations)
    ids = torch.tensor([[*tokens, *[pad] * (longest - len(tokens))] for tokens in continuations], device=reading.device)
    hidden = reading.last[:, None]
    if longest > 1:
        mark = reading.mark()
        hidden = torch.cat([hidden, reading.extend(ids[:, :-1])], dim=1)
        reading.rewind(mark)
    logits = reading.logits(hidden)
    chosen = logits.gather(-1, ids[..., None])[..., 0] - logits.logsumexp(dim=-1)
    lengths = torch.tensor([len(tokens) for tokens in continuations], device=reading.device)
    real = torch.arange(longest, device=reading.device) < lengths[:, None]
    return torch.where(real, chosen.double(), 0.0).sum(dim=1).tolist()
