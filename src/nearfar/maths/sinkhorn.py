"""Sinkhorn's balancing of a score matrix into codes: every key is used equally, every row sums to one.

It mixes all rows, so it runs on the whole batch, once a step, and its result travels as a column. In log space, because
exp(score / 0.05) overflows half precision.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def sinkhorn(scores: Float[Tensor, "n k"], epsilon: float = 0.05, iterations: int = 3) -> Float[Tensor, "n k"]:
    """Soft assignments [n k] of n rows to k keys; rows sum to one, columns nearly to n / k. No gradient.

    Source: Cuturi 2013; epsilon 0.05 and three iterations as in SwAV (arXiv 2006.09882).

    >>> import torch
    >>> sinkhorn(torch.zeros(4, 2)).tolist()[0]
    [0.5, 0.5]
    """
    n, k = scores.shape
    log_q = scores.to(torch.float64 if scores.dtype == torch.float64 else torch.float32) / epsilon
    for _ in range(iterations):
        log_q = log_q - torch.logsumexp(log_q, 0, keepdim=True) - math.log(k)
        log_q = log_q - torch.logsumexp(log_q, 1, keepdim=True) - math.log(n)
    return (log_q + math.log(n)).exp().to(scores.dtype)
