"""Sums over the pairs of a row and how many of them count: those whose loss is not zero."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import present
from nearfar.maths.weighted import Weights, weighted_sum

LEAST = 1e-6  # of a loss that counts


def distance(cosines: Float[Tensor, "q k"], weights: Weights) -> Float[Tensor, "q k"]:
    """Half of the cosine distance, 0 to 1; 0 for pairs without weight, whatever their score."""
    return ((1 - cosines.masked_fill(~present(weights), 1)) / 2).clamp_min(0)


def sum_and_count(losses: Float[Tensor, "q k"], weights: Weights) -> tuple[Float[Tensor, " q"], Float[Tensor, " q"]]:
    """sum_k w_k l_k and sum_k w_k [l_k > 1e-6] of each row; the second without gradient."""
    active = (losses.detach() > LEAST).to(losses.dtype)
    return weighted_sum(losses, weights), weighted_sum(active, weights)
