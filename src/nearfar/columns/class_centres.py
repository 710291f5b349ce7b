"""Class centres: for each record the mean direction of the vectors of its class, which may be a cluster.

        m_i = sum_j z_j / | sum_j z_j |   over all j with  label_j = label_i

After `clusters` in a stage's list of refreshes, these are the centres of the clusters: what a record is drawn to in prototypical
contrast (`centre_contrast`). A record whose label is negative (unknown) has a class of its own, as has one whose class has a mean
of zero; its centre is its own vector.
Kin: `clusters` gives the numbers only; `prototypes` (keys) are learned by gradient, not computed.
Source: Snell et al. 2017 (arXiv 1703.05175), prototypes as means of classes; of clusters found anew each epoch, Li et al. 2020 (arXiv
2005.04966).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nearfar.core.card import Card
from nearfar.maths.number_column import number_column
from nearfar.maths.stream_vectors import stream_vectors

CARD = Card(
    name="class_centres",
    summary="the mean direction of the vectors of each record's class or cluster",
    related=("clusters", "prototypes", "centre_contrast"),
)


@dataclass(frozen=True)
class ClassCentres:
    """The column that `class_centres` computes."""

    label: str
    stream: str

    def __call__(self, vectors: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Vectors [n d] float32 of unit length."""
        table = stream_vectors(vectors, self.stream)
        label = number_column(columns, self.label, len(table))
        known = label >= 0
        classes, place = np.unique(label[known], return_inverse=True)
        sums = np.zeros((len(classes), table.shape[1]))
        np.add.at(sums, place, table[known])
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        found = table.copy()
        found[known] = np.where(length > 0, sums / np.where(length > 0, length, 1), 0)[place]
        nowhere = ~found.any(1)
        found[nowhere] = table[nowhere]
        return found


def class_centres(*, label: str = "label", stream: str = "") -> ClassCentres:
    """Centres of the records' classes: a function (vectors, columns, seed) -> [n d] float32, for `Refresh`.

    label   the column of labels: of the data, or written by a refresh before
    stream  whose vectors; the first unless given

    Raises UsageError when called without such a column or stream.

    >>> import numpy as np, nearfar as nf
    >>> x = np.array([[1, 0], [0, 1], [0, -1]], dtype="float32")
    >>> nf.class_centres()({"x": x}, {"label": np.array([0, 0, 1])}, seed=0).round(2).tolist()
    [[0.7099999785423279, 0.7099999785423279], [0.7099999785423279, 0.7099999785423279], [0.0, -1.0]]
    """
    return ClassCentres(label, stream)
