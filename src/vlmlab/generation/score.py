"""Log-likelihood of given continuations after prompts that are in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vlmlab.generation.cache import Prefix


def log_likelihoods(prefix: Prefix, continuations: Sequence[Sequence[int]], *, pad: int) -> list[float]:
    """Sum of the log-probabilities, in nats, of one continuation a row; only its own tokens count.

    The softmax is over the whole vocabulary, special tokens included: the number is the model's own probability.
    The prefix is rewound afterwards.
    """
    assert len(continuations) == prefix.rows
    assert all(continuations)
    longest = max(len(tokens) for tokens in continuations)
    ids = torch.tensor([[*tokens, *[pad] * (longest - len(tokens))] for tokens in continuations], device=prefix.device)
    hidden = prefix.last[:, None]
    if longest > 1:
        hidden = torch.cat([hidden, prefix.extend(ids[:, :-1])], dim=1)
        prefix.rewind()
    logits = prefix.logits(hidden)
    chosen = logits.gather(-1, ids[..., None])[..., 0] - logits.logsumexp(dim=-1)
    lengths = torch.tensor([len(tokens) for tokens in continuations], device=prefix.device)
    real = torch.arange(longest, device=prefix.device) < lengths[:, None]
    return torch.where(real, chosen.double(), 0.0).sum(dim=1).tolist()
