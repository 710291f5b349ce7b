"""How unlikely a ranking is, if keys are drawn one after the other with chances in proportion to exp(score) (Plackett and Luce)."""

from __future__ import annotations

import torch
from torch import Tensor


def ranking_loss(scores: Tensor, teacher: Tensor, exists: Tensor) -> Tensor:
    """Minus the logarithm of the likelihood [q] that `scores` [q k] give to the teacher's descending order [q k] of the keys that exist.

    The teacher gives an order and nothing else; ties keep the order of the keys.

    >>> ranking_loss(torch.zeros(1, 4), torch.eye(4)[:1], torch.ones(1, 4, dtype=torch.bool)).exp().round().tolist()    # 4!
    [24.0]
    """
    # Backwards, because the inner sum runs to the end of the list; what does not exist comes last and enters no sum before it.
    worst_first = teacher.detach().masked_fill(~exists, torch.inf).flip(1).sort(dim=1, stable=True).indices
    exists = exists.flip(1).gather(1, worst_first)
    ordered = scores.flip(1).gather(1, worst_first).masked_fill(~exists, 0)
    return (ordered.logcumsumexp(1) - ordered).masked_fill(~exists, 0).sum(1)
