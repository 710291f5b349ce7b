"""Clusters in the space of vectors: soft membership by Student's t, the sharper memberships it is trained towards, and learned centres.

        q_ic = (1 + |z_i - m_c|^2)^-1 / sum_c' (1 + |z_i - m_c'|^2)^-1
        p_ic = q_ic^2 / f_c / sum_c' (q_ic'^2 / f_c'),    f_c = sum_i q_ic        constant

Source: Xie et al. 2016 (arXiv 1511.06335), deep embedded clustering, with one degree of freedom.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.draws import row_ids
from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows
from nearfar.maths.spherical_k_means import spherical_k_means
from nearfar.maths.tables import full

NODES = 2**24  # more than a record has rows


def membership(vectors: Float[Tensor, "n d"], centres: Float[Tensor, "k d"]) -> Float[Tensor, "n k"]:
    """q: how much each vector belongs to each centre, rows of sum one.

    >>> q = membership(torch.zeros(1, 2), torch.tensor([[0.0, 0.0], [0.0, 3.0]]))
    >>> [round(v, 4) for v in q[0].tolist()]
    [0.9091, 0.0909]
    """
    near = 1 / (1 + (vectors[:, None] - centres[None]).square().sum(2))
    return near / near.sum(1, keepdim=True)


def sharpened(q: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """p, without gradient."""
    weight = q.detach().square() / q.detach().sum(0)
    return weight / weight.sum(1, keepdim=True)


def divergence(q: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """KL(p || q), the mean over vectors."""
    p = sharpened(q)
    return torch.where(p > 0, p * (p.clamp_min(1e-30).log() - q.log()), 0.0).sum(1).mean()


class Centres(nn.Module):
    """`vectors` [k d] that learn. They are found by k-means on the rows of the first step, after it; until then `known` is false."""

    known: Tensor

    def __init__(self, count: int, dimension: int, seed: int) -> None:
        super().__init__()
        if count < 2 or dimension < 1:
            raise UsageError(
                f"{count} clusters in {dimension} dimensions", where="clusters", remedy="ask for two at least"
            )
        self.vectors = nn.Parameter(torch.zeros(count, dimension))
        self.seed = seed
        self.register_buffer("known", torch.tensor(False))

    @torch.no_grad()
    def update(self, *tables: Rows) -> None:
        """Once a step, after the optimiser; what is known stays. Raises UsageError for fewer rows than clusters."""
        if bool(self.known):
            return
        table = tables[0]
        vectors, ids = full(table.vectors), row_ids(table)
        if "node" in table.columns:
            ids = ids * NODES + table.columns["node"]
        directions = spherical_k_means(vectors, len(self.vectors), ids, seed=self.seed)
        nearest = (F.normalize(vectors, dim=1) @ directions.T).argmax(1)
        sums = torch.zeros_like(directions).index_add_(0, nearest, vectors)
        size = torch.bincount(nearest, minlength=len(directions))
        self.vectors.copy_(torch.where(size[:, None] > 0, sums / size.clamp_min(1)[:, None], directions))
        self.known.fill_(True)
