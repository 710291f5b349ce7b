"""Class temperatures: a temperature for each record's class, higher where the class is spread out and small.

        D_k = mean_i |z_i - mean_k| / log(n_k + 10)       over the n_k records of class k, z of unit length
        t_k = t D_k / mean D                              D clipped to its 10th and 90th percentiles;  t where class k is one subclass

Written after `class_clusters` in a stage's list of refreshes, for the class term of `subclass_contrast`. A record whose label is negative
(unknown) gets t.
Kin: `individual_temperatures` learns one a record.
Source: Hou et al. 2023 (arXiv 2306.15925) by the authors' code, t 0.1; it follows the concentration of Li et al. 2020 (arXiv 2005.04966).
Another version of their code clips at the 20th and 80th percentiles, as a brief of it tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.maths.number_column import number_column
from nearfar.maths.stream_vectors import stream_vectors

CARD = Card(
    name="class_temperatures",
    summary="a temperature for each record's class by how spread out it is",
    related=("class_clusters", "subclass_contrast", "individual_temperatures"),
)


@dataclass(frozen=True)
class ClassTemperatures:
    """The column that `class_temperatures` computes."""

    temperature: float
    label: str
    subclass: str
    stream: str

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UsageError(f"a temperature of {self.temperature}", where="temperature", remedy="give one above zero")

    def __call__(self, vectors: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Temperatures [n] float32."""
        table = stream_vectors(vectors, self.stream)
        label, subclass = (number_column(columns, name, len(table)) for name in (self.label, self.subclass))
        found = np.full(len(table), self.temperature, dtype=np.float32)
        classes = [np.flatnonzero(label == name) for name in np.unique(label[label >= 0])]
        spread = np.array(
            [
                np.linalg.norm(z - z.mean(0), axis=1).mean() / np.log(len(z) + 10)
                for z in map(table.__getitem__, classes)
            ]
        )
        if not spread.any():
            return found  # every class is a point, or there is none
        spread = spread.clip(*np.percentile(spread, (10, 90)))
        for mine, own in zip(classes, self.temperature * spread / spread.mean(), strict=True):
            if len(np.unique(subclass[mine])) > 1:
                found[mine] = own
        return found


def class_temperatures(
    *, temperature: float = 0.1, label: str = "label", subclass: str = "subclass", stream: str = ""
) -> ClassTemperatures:
    """Temperatures of classes: a function (vectors, columns, seed) -> [n] float32, for `Refresh`.

    temperature  their mean, and that of a class that is not cut
    label        the column of classes
    subclass     that of their clusters, as `class_clusters` writes it
    stream       whose vectors; the first unless given

    Raises UsageError for a temperature that is not positive, and when called without such columns or stream.

    >>> import numpy as np, nearfar as nf
    >>> x = np.array([[1, 0], [0, 1], [1, 0.1], [1, 0]], dtype="float32")
    >>> columns = {"label": np.array([0, 0, 1, 1]), "subclass": np.array([0, 1, 2, 3])}
    >>> wide, _, narrow, _ = nf.class_temperatures()({"x": x}, columns, seed=0).tolist()
    >>> wide > 0.1 > narrow > 0
    True
    """
    return ClassTemperatures(temperature, label, subclass, stream)
