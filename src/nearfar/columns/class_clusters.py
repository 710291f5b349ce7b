"""Class clusters: every class is cut into clusters of about the size of the smallest class; small classes stay whole.

        clusters of class k:   max(1, floor(n_k / max(n_min, size)))          n_k records of class k, n_min of the smallest class
        cluster of a record:   by balanced spherical k-means within its class; sizes differ by one at most

Large classes become subclasses as small as rare classes, so that no record has many more mates than another one has. In turn, records
go to centres and centres to the means of their records. The record and the centre that are nearest of all are put together first; a centre that is
full takes no more. Numbers go through all classes; a record whose label is negative (unknown) gets -1.
Kin: `clusters` cuts all records together, in clusters of any size.
Source: Hou et al. 2023 (arXiv 2306.15925), size 10 (20 for ImageNet-LT), sizes equal but for one as in the balanced k-means of the
authors' code, which their training script does not call; twenty rounds are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.maths.number_column import number_column
from nearfar.maths.spherical_k_means import spherical_k_means
from nearfar.maths.stream_vectors import stream_vectors

CARD = Card(
    name="class_clusters",
    summary="large classes cut into clusters of about the size of the smallest class",
    related=("clusters", "class_centres", "class_temperatures", "subclass_contrast"),
)


@dataclass(frozen=True)
class ClassClusters:
    """The column that `class_clusters` computes."""

    size: int
    iterations: int
    label: str
    stream: str

    def __post_init__(self) -> None:
        if self.size < 1 or self.iterations < 1:
            raise UsageError(
                f"clusters of {self.size} records in {self.iterations} iterations make no sense",
                where="size",
                remedy="give at least one of each",
            )

    def __call__(self, vectors: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Cluster numbers [n] int64, from 0; -1 where the label is unknown."""
        table = stream_vectors(vectors, self.stream)
        label = number_column(columns, self.label, len(table))
        classes, counts = np.unique(label[label >= 0], return_counts=True)
        found, used = np.full(len(table), -1), 0
        for name, count in zip(classes, counts.tolist(), strict=True):
            mine = np.flatnonzero(label == name)
            clusters = max(1, count // max(int(counts.min()), self.size))
            found[mine] = used + self._cut(table[mine], mine, clusters, seed)
            used += clusters
        return found

    def _cut(self, table: np.ndarray, record: np.ndarray, clusters: int, seed: int) -> np.ndarray:
        """Balanced k-means of one class: numbers [m] from 0 to clusters - 1."""
        unit = torch.from_numpy(table)
        centres = spherical_k_means(unit, clusters, torch.from_numpy(record), seed=seed, iterations=0).numpy()
        before = np.empty(0)
        for _ in range(self.iterations):
            scores = table @ centres.T
            number = _placed(scores, len(table) // clusters)
            left = np.flatnonzero(number < 0)
            number[left] = _placed(scores[left], 1)
            if np.array_equal(number, before):
                break
            before = number
            sums = np.zeros_like(centres)
            np.add.at(sums, number, table)
            length = np.linalg.norm(sums, axis=1, keepdims=True)
            centres = np.where(length > 1e-12, sums / np.maximum(length, 1e-12), centres)
        return before


def _placed(scores: np.ndarray, capacity: int) -> np.ndarray:
    """Records [m] put to centres that hold so many, the highest scores [m k] first; -1 where all centres are full.

    Every record asks at its best centre, which keeps the best of those who ask; the others ask at their next best one. That gives
    what going through all pairs in the order of their scores would, in a few rounds.
    """
    scores = scores.astype(np.float64)
    while True:
        best = scores.argmax(1)
        value = scores[np.arange(len(scores)), best]
        order = np.lexsort((-value, best))
        rank = np.empty(len(scores), dtype=np.int64)
        start = np.searchsorted(best[order], best[order])
        rank[order] = np.arange(len(scores)) - start
        refused = (rank >= capacity) & np.isfinite(value)
        if not refused.any():
            return np.where(np.isfinite(value), best, -1)
        scores[refused, best[refused]] = -np.inf


def class_clusters(*, size: int = 10, iterations: int = 20, label: str = "label", stream: str = "") -> ClassClusters:
    """Clusters within classes: a function (vectors, columns, seed) -> [n] int64, for `Refresh`.

    size        records of a cluster at least; more where the smallest class has more
    iterations  rounds of k-means in each class, at most
    label       the column of classes
    stream      whose vectors; the first unless given

    Raises UsageError for numbers below one, and when called without such a column or stream.

    >>> import numpy as np, nearfar as nf
    >>> x = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 1], [1, 1]], dtype="float32")
    >>> a, b, c, d, e = nf.class_clusters(size=1)({"x": x}, {"label": np.array([0, 0, 0, 0, 1])}, seed=0).tolist()
    >>> len({a, b, c, d}), e
    (4, 4)
    """
    return ClassClusters(size, iterations, label, stream)
