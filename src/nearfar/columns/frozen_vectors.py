"""Frozen vectors: each record's own vector as it is now, for later stages to look up - a guide that no longer moves.

A model guides its own further training: `drop_by_guide` and `alike` ask the column which records of a batch are likely to mean the
same. Vectors are of unit length, of records without views, and those that are contrasted (a head is included).
Kin: `nearest` keeps the numbers of the nearest records only, which costs less and leaves no cosine to compare with a threshold.
Source: Zhou et al. 2022 (arXiv 2205.00656), DCLR, whose guide is a frozen encoder that was trained before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nearfar.core.card import Card
from nearfar.maths.stream_vectors import stream_vectors

CARD = Card(
    name="frozen_vectors",
    summary="each record's own vector as it is now, for a guide that no longer moves",
    related=("nearest", "drop_by_guide", "class_centres"),
)


@dataclass(frozen=True)
class FrozenVectors:
    """The column that `frozen_vectors` writes."""

    stream: str

    def __call__(self, vectors: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """[n d] float32 of unit length."""
        return stream_vectors(vectors, self.stream)


def frozen_vectors(*, stream: str = "") -> FrozenVectors:
    """The records' vectors: a function (vectors, columns, seed) -> [n d] float32, for `Refresh`.

    stream  whose vectors; the first unless given

    Raises UsageError when called with no such stream.

    >>> import numpy as np, nearfar as nf
    >>> nf.frozen_vectors()({"x": np.array([[3.0, 0.0], [0.0, 2.0]])}, {}, seed=0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return FrozenVectors(stream)
