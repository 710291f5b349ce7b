"""Sums over a row of scores under the weights of a block, exact at any size of score.

Weights are boolean (one or nothing) or non-negative numbers; a pair of weight zero does not exist, so whatever its score
is (infinite, say) must not leak into a sum or a gradient. Multiplying by zero would let it.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Weights = Float[Tensor, "q k"] | Bool[Tensor, "q k"]


def log_sum_exp(scores: Float[Tensor, "q k"], weights: Weights) -> Float[Tensor, " q"]:
    """Log sum_k w_k exp(s_k) of each row; -inf for a row without weight (rules never see one they need)."""
    if weights.dtype == torch.bool:
        # Most often every key competes; looking once is cheaper than a masked copy of the scores and of their gradient.
        everything = bool(weights.all())
        return torch.logsumexp(scores if everything else scores.masked_fill(~weights, -torch.inf), 1)
    present = weights > 0
    logs = torch.where(present, weights, 1).log().to(scores.dtype)
    return torch.logsumexp((scores + logs).masked_fill(~present, -torch.inf), 1)


def weighted_sum(scores: Float[Tensor, "q k"], weights: Weights) -> Float[Tensor, " q"]:
    """sum_k w_k s_k of each row."""
    if weights.dtype == torch.bool:
        return scores.masked_fill(~weights, 0).sum(1)
    return (scores.masked_fill(weights == 0, 0) * weights).to(scores.dtype).sum(1)


def weighted_mean(scores: Float[Tensor, "q k"], weights: Weights) -> Float[Tensor, " q"]:
    """sum_k w_k s_k / sum_k w_k of each row."""
    return weighted_sum(scores, weights) / weights.sum(1).to(scores.dtype)


def either(pos: Weights, neg: Weights) -> Weights:
    """The weights of all pairs that exist, positive or negative; they add where both are numbers."""
    if pos.dtype == neg.dtype == torch.bool:
        return pos | neg
    return pos.to(torch.promote_types(pos.dtype, neg.dtype)) + neg
