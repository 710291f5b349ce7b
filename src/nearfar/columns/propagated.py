"""Propagated neighbours: the k nearest other records of each record, their nearest, and so on for some hops.

        N_1(i) = the k nearest of i,    N_h(i) = the k nearest of each of N_(h-1)(i),    R_i = N_1 and ... and N_hops, without i

A record's own nearest are those it is near already. By several short steps through where records lie densely one comes to records
of its kind that are farther away, with less risk than by one long step: `nearest` with as many neighbours reaches across gaps.
Kin: `nearest` is one hop; `clusters` cuts instead. The relation `neighbours` takes the column as positives.
Source: Wang et al. 2020 (arXiv 2010.11694): k = 4, three hops. Their code finds neighbours among vectors of past steps and lets a record
that is reached twice count twice; here vectors are embedded anew, and each is listed once.
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
    name="propagated",
    summary="the numbers of records reached from each one by several hops to nearest neighbours",
    related=("nearest", "neighbours", "clusters", "record_bank"),
)

MOST = 10_000  # records reached from one: more is a slip of hops or k


@dataclass(frozen=True)
class Propagated:
    """The column that `propagated` computes."""

    k: int
    hops: int
    stream: str

    def __post_init__(self) -> None:
        if self.k < 1 or self.hops < 1 or self.k**self.hops > MOST:
            raise UsageError(
                f"{self.hops} hops to {self.k} neighbours each",
                where="hops",
                remedy=f"ask for at least one of both, and for {MOST:,} records at most",
            )

    def __call__(self, vectors: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Record numbers [n k + k^2 + ... + k^hops] int64, those of fewer hops first; -1 fills up."""
        table = stream_vectors(vectors, self.stream)
        near = nearest_allowed(table, table, self.k, lambda record, other: other != record[:, None])
        near = np.concatenate([near, np.full((1, self.k), -1)])  # what is reached from nobody: number -1
        hop = near[:-1]
        reached = [hop]
        for _ in range(self.hops - 1):
            hop = near[hop].reshape(len(table), -1)
            reached.append(hop)
        return _once(np.concatenate(reached, 1), np.arange(len(table)))


def _once(listed: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Each number of a row once, at its first place, none of them the row's own, -1 after them."""
    order = np.argsort(listed, axis=1, kind="stable")
    ranked = np.take_along_axis(listed, order, 1)
    again = np.zeros_like(listed, dtype=bool)
    np.put_along_axis(again, order[:, 1:], ranked[:, 1:] == ranked[:, :-1], 1)
    made = np.where(again | (listed == own[:, None]), -1, listed)
    return np.take_along_axis(made, np.argsort(made < 0, axis=1, kind="stable"), 1)


def propagated(*, k: int = 4, hops: int = 3, stream: str = "") -> Propagated:
    """Numbers of the records within some hops: a function (vectors, columns, seed) -> [n m] int64, for `Refresh`.

    k       neighbours of a record in one hop
    hops    how many
    stream  whose vectors; the first unless given

    Raises UsageError for numbers that make no sense, and when called with no such stream.

    >>> import numpy as np, nearfar as nf
    >>> angle = np.array([0.0, 1.0, 1.9, 2.7])
    >>> x = np.stack([np.cos(angle), np.sin(angle)], 1).astype("float32")
    >>> nf.propagated(k=1, hops=3)({"x": x}, {}, seed=0).tolist()
    [[1, 2, 3], [2, 3, -1], [3, -1, -1], [2, -1, -1]]
    """
    return Propagated(k, hops, stream)
