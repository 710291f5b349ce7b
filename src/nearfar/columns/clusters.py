"""Clusters: the number of the cluster that each record belongs to, by spherical k-means on its vector.

        c_i = argmax_k  z_i m_k,    m_k = the mean direction of the vectors of cluster k,  in turn

For batches of one cluster, or as labels that are computed anew every so often. Centres are found on a sample of at most 256
vectors a cluster, drawn by record, and all records are then put with the nearest one. Cluster numbers of one time have nothing to
do with those of another.
Kin: `prototypes` (keys) are learned by gradient; `nearest` says who is near without cutting.
Source: Li et al. 2020 (arXiv 2005.04966), prototypical contrastive learning, which clusters anew each epoch (its numbers of
clusters are 25,000 to 100,000, for ImageNet). The sample of 256 is ours, as is k.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from nearfar.core.card import Card
from nearfar.core.draws import uniform
from nearfar.core.errors import UsageError
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.maths.spherical_k_means import spherical_k_means
from nearfar.maths.stream_vectors import stream_vectors

CARD = Card(
    name="clusters",
    summary="the number of each record's cluster, by spherical k-means on its vector",
    related=("nearest", "prototypes"),
)

SAMPLE = 256  # vectors a centre


@dataclass(frozen=True)
class Clusters:
    """The column that `clusters` computes."""

    k: int
    iterations: int
    stream: str

    def __post_init__(self) -> None:
        if self.k < 1 or self.iterations < 0:
            raise UsageError(
                f"{self.k} clusters in {self.iterations} iterations make no sense",
                where="k",
                remedy="give at least one cluster",
            )

    def __call__(self, vectors: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Cluster numbers [n] int64, from 0 to k - 1."""
        table = stream_vectors(vectors, self.stream)
        record = torch.arange(len(table))
        drawn = uniform(seed, "clusters, sample", record).argsort(stable=True)[: SAMPLE * self.k].sort().values
        sample = torch.from_numpy(table)[drawn]
        centres = spherical_k_means(sample, self.k, drawn, seed=seed, iterations=self.iterations)
        return nearest_chunked(table, centres.numpy(), 1)[0][:, 0]


def clusters(*, k: int = 100, iterations: int = 20, stream: str = "") -> Clusters:
    """Cluster numbers of all records: a function (vectors, columns, seed) -> [n] int64, for `Refresh`.

    k           clusters; some may be empty
    iterations  in each, every centre moves to the mean of its vectors
    stream      whose vectors; the first unless given

    Raises UsageError when called with fewer records than clusters, or with no such stream.

    >>> import numpy as np, nearfar as nf
    >>> x = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype="float32")
    >>> a, b, c = nf.clusters(k=2)({"x": x}, {}, seed=0).tolist()
    >>> a == b, a == c
    (True, False)
    """
    return Clusters(k, iterations, stream)
