"""Nearest: the k other records whose vectors have the largest cosine with each record's own. Exact, in bounded memory.

Mined once, they serve as positives that are other records; mined anew now and then, they follow what is learned.
Kin: `mined_negatives` takes near records that must not be positives; `support_set` (keys) looks among past batches only;
`clusters` cuts instead.
Source: Van Gansbeke et al. 2020 (arXiv 2005.12320), SCAN, whose neighbours (20 there, of a model that has been trained before)
are taken to be of the same class. The default of 10 is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.maths.nearest_chunked import nearest_allowed
from nearfar.maths.stream_vectors import stream_vectors

CARD = Card(
    name="nearest",
    summary="the numbers of the records whose vectors are nearest to each record's own",
    related=("mined_negatives", "clusters", "support_set"),
)


@dataclass(frozen=True)
class Nearest:
    """The column that `nearest` computes."""

    k: int
    stream: str

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"{self.k} nearest records", where="k", remedy="ask for at least one")

    def __call__(self, vectors: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Record numbers [n k] int64, nearest first, equally near ones by number; -1 where there are no more records."""
        table = stream_vectors(vectors, self.stream)
        return nearest_allowed(table, table, self.k, lambda record, other: other != record[:, None])


def nearest(*, k: int = 10, stream: str = "") -> Nearest:
    """Numbers of the nearest other records: a function (vectors, columns, seed) -> [n k] int64, for `Refresh`.

    k       how many
    stream  whose vectors; the first unless given

    Raises UsageError when called with no such stream.

    >>> import numpy as np, nearfar as nf
    >>> x = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype="float32")
    >>> nf.nearest(k=3)({"x": x}, {}, seed=0).tolist()
    [[1, 2, -1], [0, 2, -1], [1, 0, -1]]
    """
    return Nearest(k, stream)
