"""Online centroids (ClusterNS): for every key of the batch the centroid second nearest to it, as a further negative of all rows.

        keys    y_1 ... y_n,  h_1 ... h_n        h_j = the c_k of second-largest cosine with y_j, no gradient
        after each step       c_k <- (1 - m) c_k + m (sum of the unit vectors y_j whose nearest centroid is k)

The nearest centroid is the key's own cluster, the next one what it is most easily taken for. Every row meets all n of the h, not its
own alone, among them now and then the centroid of its own cluster. The centroids are vectors of the first batch whose mean cosine
(each with itself included) is at most `start`: one at random, then each time the vector least like the one before. Until then there is
no further key. A sum, not a mean, of members: crowded centroids move faster; one without members stays, a little shorter.
`cluster` says whose cluster vectors are in, for terms that treat batch mates of one cluster differently.
Kin: `prototypes` are learned by gradient, `clusters` (columns) looks at all records now and then; `queue` keeps vectors as they were.
Source: Deng et al. 2023 (arXiv 2305.09892) with the authors' code: k 128 at batches of 256, m 0.001, start 0.4. There, queries are
clustered, and centroids move before they are used; here keys, and after the step, for nothing is written in a forward pass. Both are
passes of the same sentence, and m is small. Members count with unit length here, there with the length they have.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.draws import uniform
from nearfar.core.errors import UsageError
from nearfar.core.memory import Store
from nearfar.core.rows import Rows, cat
from nearfar.maths.strangers import strangers

CARD = Card(
    name="online_centroids",
    summary="centroids of mini-batch k-means as negatives, for every key the second nearest",
    related=("prototypes", "clusters", "queue", "noise_negatives"),
)


class OnlineCentroids(Store):
    """A `keys` stage; call `update(keys)` once after each optimiser step. `rows()` are the centroids, None before there are any.

    `step` counts updates, so that centroids that wait for their batch are told from a memory that nobody updates.
    """

    step: Tensor

    def __init__(self, k: int, momentum: float, start: float, seed: int) -> None:
        if k < 2 or not 0 <= momentum <= 1:
            raise UsageError(
                f"{k} centroids that move by {momentum}",
                where="online_centroids",
                remedy="give two centroids or more, and a share from 0 to 1",
            )
        super().__init__(k)
        self.momentum, self.start, self.seed = momentum, start, seed
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, queries: Rows, keys: Rows) -> Rows:
        """The keys, then the second-nearest centroid of each, which belongs to no record."""
        centroids = self.rows()
        if centroids is None:
            return keys
        second = self._cosines(keys.vectors, centroids.vectors).topk(2, 1).indices[:, 1]
        return cat([keys, strangers(centroids.vectors.to(keys.vectors.dtype)[second], keys)])

    def cluster(self, vectors: Tensor) -> Tensor | None:
        """The number of the nearest centroid of each of some vectors [r d] -> [r], None before there are any."""
        centroids = self.rows()
        return None if centroids is None else self._cosines(vectors, centroids.vectors).argmax(1)

    @torch.no_grad()
    def update(self, keys: Rows) -> None:
        """Begin, if this batch is spread enough; or move every centroid towards its members."""
        self.step += 1
        unit = _unit(keys.vectors)
        centroids = self.rows()
        if centroids is not None:
            nearest = self._cosines(unit, centroids.vectors).argmax(1)
            sums = torch.zeros_like(centroids.vectors).index_add_(0, nearest, unit.to(centroids.vectors.dtype))
            self._replace({"vectors": (1 - self.momentum) * centroids.vectors + self.momentum * sums})
        elif float(unit.mean(0).square().sum()) <= self.start:  # the mean of all cosines
            self._replace({"vectors": self._first(unit, keys)})

    def _first(self, unit: Tensor, keys: Rows) -> Tensor:
        if len(unit) < self.size:
            raise UsageError(
                f"{self.size} centroids from a batch of {len(unit)}",
                where="online_centroids",
                remedy="ask for fewer centroids than a batch has records, or enlarge the batch",
            )
        record = keys.columns.get("record", torch.arange(len(unit), device=unit.device))
        chosen = [int(uniform(self.seed, "online_centroids", record).argmin())]
        left = torch.ones(len(unit), dtype=torch.bool, device=unit.device)
        for _ in range(self.size - 1):
            left[chosen[-1]] = False
            cosines = unit @ unit[chosen[-1]]
            chosen.append(int(cosines.masked_fill(~left, torch.inf).argmin()))
        return unit[chosen]

    @torch.no_grad()
    def _cosines(self, vectors: Tensor, centroids: Tensor) -> Tensor:
        unit = _unit(vectors)
        return unit @ F.normalize(centroids.to(unit), dim=1).T


def _unit(vectors: Tensor) -> Tensor:
    if vectors.ndim != 2:
        raise UsageError("token matrices have no centroid", remedy="give one vector a row, [r d]")
    full = vectors.detach()
    return F.normalize(full.float() if full.dtype in (torch.float16, torch.bfloat16) else full, dim=1)


def online_centroids(*, k: int = 128, momentum: float = 0.001, start: float = 0.4, seed: int = 0) -> OnlineCentroids:
    """Centroids of past batches as further keys [n + n, d], for `keys=`.

    k         centroids, no more than a batch has keys
    momentum  the share by which a centroid moves each step
    start     the mean cosine of a batch at which they begin

    Raises UsageError for numbers that make no sense, for token matrices, and when they begin at a batch of fewer than k keys.

    >>> import torch, nearfar as nf
    >>> memory, x = nf.online_centroids(k=4), torch.randn(8, 16, requires_grad=True)
    >>> memory.update(nf.rows(x))
    >>> len(memory(nf.rows(x), nf.rows(x))), memory.rows().vectors.shape
    (16, torch.Size([4, 16]))
    >>> nf.contrast(nf.info_nce, x, x, nf.paired(), keys=memory, temperature=0.05).backward()
    """
    return OnlineCentroids(k, momentum, start, seed)
