"""Mined negatives: for each record's query the records whose documents lie nearest to it and are no right answer.

        N_i = the first of  argsort_j  x_i y_j   with  j not related to i,   after `skip` of them

j is related to i if it is i itself, if they are equal in one of the columns `same` (the same query, document, label), or if its
document is the query's own text. The `skip` nearest of the others are passed over: near the top lie right answers that nobody
marked. Embedded anew every so often, negatives stay hard for the model as it is.
Kin: `mine` does it once, for a data set, with margins and a guide; `nearest` is for positives; `hardest` (edits) chooses in the batch.
Source: Xiong et al. 2020 (arXiv 2007.00808), ANCE, whose index of the corpus is refreshed beside the training and whose negatives are
drawn from the first 200; here the first after `skip` are taken, so that no draw is needed.
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
    name="mined_negatives",
    summary="the numbers of the records whose documents are nearest to each query without being an answer",
    related=("nearest", "hardest", "explicit_negatives"),
)


@dataclass(frozen=True)
class MinedNegatives:
    """The column that `mined_negatives` computes."""

    per_record: int
    skip: int
    query: str
    document: str
    same: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.per_record < 1 or self.skip < 0:
            raise UsageError(
                f"{self.per_record} negatives a record after {self.skip} make no sense",
                where="per_record",
                remedy="ask for at least one, and skip none or more",
            )

    def __call__(self, vectors: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Record numbers [n per_record] int64, nearest first; -1 where there are no more that may be a negative."""
        queries = stream_vectors(vectors, self.query)
        documents = stream_vectors(vectors, self.document or list(vectors)[-1])
        if len(queries) != len(documents):
            raise UsageError(
                f"{len(queries):,} queries and {len(documents):,} documents",
                where="vectors",
                remedy="give the vectors of the same records for both",
            )

        def allowed(record: np.ndarray, other: np.ndarray) -> np.ndarray:
            passes = other != record[:, None]
            for name in self.same:
                if name in columns and columns[name].ndim == 1:
                    passes &= columns[name][other] != columns[name][record, None]
            if {"query", "document"} <= set(self.same) & set(columns):
                passes &= columns["document"][other] != columns["query"][record, None]
            return passes

        return nearest_allowed(queries, documents, self.skip + self.per_record, allowed)[:, self.skip :]


def mined_negatives(
    *,
    per_record: int = 1,
    skip: int = 0,
    query: str = "",
    document: str = "",
    same: tuple[str, ...] = ("query", "document", "label"),
) -> MinedNegatives:
    """Numbers of records with hard negatives: a function (vectors, columns, seed) -> [n per_record] int64, for `Refresh`.

    per_record  how many
    skip        of the nearest that could be one, so many are passed over
    query       the stream of the queries; the first unless given
    document    the stream of the documents; the last unless given
    same        columns of numbers or ids; records that are equal in one of those that exist are no negatives of each other

    Raises UsageError when called with no such stream.

    >>> import numpy as np, nearfar as nf
    >>> x = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype="float32")
    >>> nf.mined_negatives()({"x": x}, {"label": np.array([0, 0, 1])}, seed=0).tolist()
    [[2], [2], [1]]
    """
    return MinedNegatives(per_record, skip, query, document, tuple(same))
