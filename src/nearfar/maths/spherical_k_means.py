"""Spherical k-means: centres of unit length, each vector with the centre of largest cosine. The same result in any order of rows.

The first centres are drawn as in k-means++ (Arthur and Vassilvitskii 2007), far ones more likely, by draws that belong to the
vectors' ids.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.draws import uniform
from nearfar.core.errors import UsageError


@torch.no_grad()
def spherical_k_means(
    vectors: Float[Tensor, "n d"],
    count: int,
    ids: Int[Tensor, " n"],
    *,
    seed: int = 0,
    step: int = 0,
    iterations: int = 20,
) -> Float[Tensor, "k d"]:
    """`count` centres [k d] of unit length, drawn and moved without gradient; another `step` begins with other vectors.

    Raises UsageError for fewer vectors than centres.

    >>> x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    >>> sorted(spherical_k_means(x, 2, torch.arange(3)).tolist())
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if not 1 <= count <= len(vectors):
        raise UsageError(f"{count} centres of {len(vectors)} vectors", remedy="ask for fewer, or give more vectors")
    unit = F.normalize(vectors, dim=1)
    # The smallest of exponential draws divided by weights is a draw in proportion to the weights, whatever the order.
    waiting = -uniform(seed, "k-means", step, ids[:, None], torch.arange(count, device=ids.device)).log()
    chosen = [int(waiting[:, 0].argmin())]
    for centre in range(1, count):
        far = (1 - (unit @ unit[chosen].T).amax(1)).clamp_min(1e-12)
        far[chosen] = 1e-300
        chosen.append(int((waiting[:, centre] / far.double()).argmin()))
    centres, before = unit[chosen], torch.empty(0, dtype=torch.long, device=unit.device)
    for _ in range(iterations):
        nearest = (unit @ centres.T).argmax(1)
        if torch.equal(nearest, before):
            break  # centres that moved to the same means would stay
        before = nearest
        sums = torch.zeros_like(centres).index_add_(0, nearest, unit)
        # A centre that lost all its vectors stays where it is.
        moved = F.normalize(sums, dim=1)
        centres = torch.where(sums.norm(dim=1, keepdim=True) > 1e-12, moved, centres)
    return centres
