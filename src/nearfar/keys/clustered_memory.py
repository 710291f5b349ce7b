"""Clustered memory (DyCE): beside each key of the batch its nearest past keys of the same cluster, as further positives.

        c_i = argmax_k Q_ik,   Q = Sinkhorn(y_i m_k / epsilon): the batch uses all clusters equally
        keys    y_i and its `nearest` nearest past keys of cluster c_i, which stand for the record of y_i

        after each step   the batch's keys are stored with their clusters, the oldest go, and m_k is the mean direction of what
                          is stored of cluster k

Batch mates say little of a record's kind, and a record's nearest past keys of all may be on the other side of a border; those of its own
cluster are less often wrong. Until the memory is full there are no further keys; then what is stored is clustered once by k-means. A
cluster that has lost all its keys has no direction, and comes back by the equal use. Past keys of the record itself are not taken.
Kin: `support_set` puts the nearest past key in the place of the key itself; `online_centroids` gives centroids as negatives.
Source: Poulakakis-Daktylidis and Jamali-Rad 2024 (arXiv 2402.02444), as a brief of it tells: 200 clusters of 40 keys on average, 5
nearest, 10 iterations. Their published code assigns to the farthest cluster and stores the batch before it looks for neighbours; here
as the paper says. Its epsilon is not sure; 0.05 is that of `sinkhorn`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.draws import row_ids
from nearfar.core.errors import UsageError
from nearfar.core.memory import Store
from nearfar.core.rows import Rows, cat
from nearfar.maths.sinkhorn import sinkhorn
from nearfar.maths.spherical_k_means import spherical_k_means

CARD = Card(
    name="clustered_memory",
    summary="beside each key its nearest past keys of the same balanced cluster, as further positives",
    related=("support_set", "online_centroids", "queue", "swapped_prediction"),
)

CLUSTER = "cluster"  # the column of stored keys; -1 while there are no clusters


class ClusteredMemory(Store):
    """A `keys` stage; call `update(keys)` once after each optimiser step. `rows()` are the past keys with their clusters."""

    def __init__(self, clusters: int, size: int, nearest: int, epsilon: float, iterations: int, seed: int) -> None:
        if not (1 <= clusters <= size and nearest >= 1 and epsilon > 0 and iterations >= 1):
            raise UsageError(
                f"{clusters} clusters of {size} keys, {nearest} nearest, epsilon {epsilon}, {iterations} iterations",
                where="clustered_memory",
                remedy="give positive numbers, and no more clusters than keys",
            )
        super().__init__(size)
        self.clusters, self.nearest, self.seed = clusters, nearest, seed
        self.epsilon, self.iterations = epsilon, iterations

    @torch.no_grad()
    def centres(self) -> Tensor | None:
        """The mean directions [clusters d] of what is stored, zeros for an empty cluster; None before there are any."""
        past = self.rows()
        if past is None or int(past.columns[CLUSTER].min()) < 0:
            return None
        sums = past.vectors.new_zeros(self.clusters, past.vectors.shape[1])
        return F.normalize(sums.index_add_(0, past.columns[CLUSTER], F.normalize(past.vectors, dim=1)), dim=1)

    def forward(self, queries: Rows, keys: Rows) -> Rows:
        """The keys, and after them their neighbours in the memory, with the columns of the keys they stand beside."""
        if keys.vectors.ndim != 2:
            raise UsageError("token matrices have no cluster", where="clustered_memory", remedy="give one vector a row")
        centres = self.centres()
        return keys if centres is None else cat([keys, self._neighbours(keys, centres)])

    @torch.no_grad()
    def _neighbours(self, keys: Rows, centres: Tensor) -> Rows:
        past = self.rows()
        assert past is not None
        unit = _unit(keys.vectors).to(past.vectors.dtype)
        near = unit @ F.normalize(past.vectors, dim=1).T
        other = past.columns[CLUSTER] != self._assigned(unit, centres)[:, None]
        itself = past.columns["record"] == keys.columns["record"][:, None]
        score, place = near.masked_fill(other | itself, -torch.inf).topk(min(self.nearest, near.shape[1]), 1)
        beside, rank = (~score.isneginf()).nonzero(as_tuple=True)
        return keys.take(beside).with_vectors(past.vectors[place[beside, rank]].to(keys.vectors.dtype))

    def _assigned(self, unit: Tensor, centres: Tensor) -> Tensor:
        """The clusters [n] of some keys of unit length, all clusters used equally."""
        return sinkhorn(unit @ centres.T, self.epsilon, self.iterations).argmax(1)

    @torch.no_grad()
    def update(self, keys: Rows) -> None:
        """Store the batch's keys with their clusters; once the memory is full for the first time, cluster all that is stored."""
        unit, centres = _unit(keys.vectors), self.centres()
        if centres is None:
            cluster = torch.full((len(unit),), -1, dtype=torch.long, device=unit.device)
        else:
            cluster = self._assigned(unit.to(centres.dtype), centres)
        super().update(keys.with_columns(cluster=cluster))
        past = self.rows()
        if centres is None and past is not None and len(past) == self.size:
            found = spherical_k_means(past.vectors, self.clusters, row_ids(past), seed=self.seed)
            cluster = (F.normalize(past.vectors, dim=1) @ found.T).argmax(1)
            columns = past.with_columns(cluster=cluster).columns
            self._replace({"vectors": past.vectors, **{f"column:{name}": v for name, v in columns.items()}})


def _unit(vectors: Tensor) -> Tensor:
    full = vectors.detach()
    return F.normalize(full.float() if full.dtype in (torch.float16, torch.bfloat16) else full, dim=1)


def clustered_memory(
    *,
    clusters: int = 200,
    size: int = 8000,
    nearest: int = 5,
    epsilon: float = 0.05,
    iterations: int = 10,
    seed: int = 0,
) -> ClusteredMemory:
    """Neighbours of the same cluster as further positives of every key, [n + m, d], for `keys=`.

    clusters             parts of the memory, no more than it has keys
    size                 past keys
    nearest              of them beside each key
    epsilon, iterations  of Sinkhorn's balancing: a small epsilon assigns to the nearest, a large one more evenly

    Raises UsageError for numbers that make no sense and for token matrices.

    >>> import torch, nearfar as nf
    >>> memory = nf.clustered_memory(clusters=2, size=8, nearest=2)
    >>> memory.update(nf.rows(torch.randn(8, 4)))
    >>> x = nf.rows(torch.randn(3, 4), record=[20, 21, 22])
    >>> made = memory(x, x)
    >>> set(made.columns["record"].tolist()), len(made) > 3
    ({20, 21, 22}, True)
    """
    return ClusteredMemory(clusters, size, nearest, epsilon, iterations, seed)
