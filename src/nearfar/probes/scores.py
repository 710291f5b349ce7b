"""Scores of queries against all documents, a few queries at a time, so that no query-by-document matrix is ever whole.

Every system that can be searched is a `Scorer`: vectors, BM25, a hybrid of both, or a function of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.maths.fusion import reciprocal_rank_fusion

CARD = Card(
    name="scores",
    summary="scorers by tiles of queries: of two vector tables, and the hybrid of several systems",
    related=("retrieval", "bm25"),
    public=("vector_scores", "fused_scores"),
)

Scorer = Callable[[slice], Any]
"""Takes a slice of queries, gives their scores [q n] against all documents (array or tensor; higher is better)."""


@dataclass(frozen=True, eq=False)
class VectorScores:
    """The scorer of two vector tables; what knows it (`retrieval`) need not go by whole rows of scores.

    queries    [q d] and `documents` [n d]: arrays (memory-mapped ones too) or tensors, as they were given
    cosine     whether vectors are compared by cosine, or by the plain product
    """

    queries: Any
    documents: Any
    cosine: bool

    @property
    def dimensions(self) -> int:
        """Of a vector."""
        return self.queries.shape[1]

    @property
    def device(self) -> torch.device:
        """Where products are computed: where the queries are."""
        return self.queries.device if isinstance(self.queries, Tensor) else torch.device("cpu")

    @cached_property
    def tables(self) -> tuple[Tensor, Tensor]:
        """Both tables in float32, of unit length for the cosine."""
        queries, documents = (torch.as_tensor(table).detach().float() for table in (self.queries, self.documents))
        if not self.cosine:
            return queries, documents
        return functional.normalize(queries, dim=1), functional.normalize(documents, dim=1)

    def __call__(self, rows: slice) -> Tensor:
        queries, documents = self.tables
        return queries[rows] @ documents.T


def vector_scores(queries: Any, documents: Any, *, cosine: bool = True) -> VectorScores:
    """Score queries [q d] against documents [n d] by cosine, or by the plain product. A vector of zeros scores 0.

    >>> import torch
    >>> vector_scores([[1.0, 0.0]], [[2.0, 0.0], [3.0, 4.0]])(slice(0, 1))
    tensor([[1.0000, 0.6000]])

    Raises UsageError for tables of other shapes.
    """
    q, d = (table if isinstance(table, Tensor | np.ndarray) else np.asarray(table) for table in (queries, documents))
    for table in (q, d):
        if table.ndim != 2:
            raise UsageError(f"a table of vectors has shape [n d], not {list(table.shape)}", remedy="one vector a row")
    if q.shape[1] != d.shape[1]:
        raise UsageError(
            f"queries have {q.shape[1]} dimensions and documents {d.shape[1]}", remedy="encode both with one model"
        )
    return VectorScores(q, d, cosine)


def fused_scores(*scorers: Scorer, k: float = 60.0, weights: Sequence[float] | None = None) -> Scorer:
    """The hybrid of several systems, by reciprocal rank fusion."""
    return lambda rows: reciprocal_rank_fusion(
        [tile(s(rows), rows.start, rows.stop) for s in scorers], k=k, weights=weights
    )


def scorer(scores: Any, total: int) -> Scorer:
    """Anything that scores `total` queries as a Scorer: a function, a matrix [q n], or (queries, documents) vectors."""
    if callable(scores):
        return scores
    if isinstance(scores, tuple) and len(scores) == 2:
        length, score = len(scores[0]), vector_scores(*scores)
    else:
        table = scores if isinstance(scores, Tensor) else np.asarray(scores)
        length, score = len(table), lambda rows: table[rows]
    if length != total:
        raise UsageError(
            f"{length} queries are scored, but `relevant` speaks of {total}",
            remedy="give one entry of `relevant` a query",
        )
    return score


def tile(scores: Any, start: int, stop: int, documents: int = -1) -> NDArray[Any]:
    """One tile of scores as an array [q n], checked."""
    if isinstance(scores, Tensor):
        scores = scores.detach().cpu()
        scores = scores.float() if scores.dtype == torch.bfloat16 else scores  # numpy has no bfloat16
    table = np.asarray(scores)
    if table.ndim != 2 or len(table) != stop - start or table.shape[1] == 0 or documents not in (-1, table.shape[1]):
        raise UsageError(
            f"the scores of queries {start} to {stop - 1} have shape {list(table.shape)}, not "
            f"[{stop - start}, {'documents' if documents < 0 else documents}]",
            remedy="a scorer returns one row a query and one column a document",
        )
    bad = np.isnan(table)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{bad.sum()} scores are NaN, the first of query {start + row} with document {column}",
            remedy="look for NaN in the vectors: a model that diverged in training, or an empty text",
        )
    return table


def as_tensor(table: NDArray[Any]) -> Tensor:
    """An array as a tensor; of a kind that torch does not know, in float64."""
    if table.dtype.kind == "u" and table.dtype.itemsize > 1:
        table = table.astype(np.float64)
    return torch.as_tensor(table)


def vectors_of(table: Any, rows: slice | NDArray[np.int64], cosine: bool, name: str) -> NDArray[np.float32]:
    """Some rows of a table in float32, of unit length for the cosine: each a function of the given vector alone.

    Raises DataError for a vector that holds NaN or infinity.
    """
    chosen = table[rows] if isinstance(rows, slice) or not isinstance(table, Tensor) else table[torch.from_numpy(rows)]
    vectors = (
        chosen.detach().float().cpu().numpy()
        if isinstance(chosen, Tensor)
        else np.ascontiguousarray(chosen, np.float32)
    )
    wide = vectors.astype(np.float64)  # whole: cast piece by piece, sums would depend on where a piece ends
    lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    if not np.isfinite(lengths).all():
        bad = int(np.flatnonzero(~np.isfinite(lengths))[0])
        number = bad + (rows.start or 0) if isinstance(rows, slice) else int(rows[bad])
        raise DataError(
            f"vector {number} of the {name} holds NaN or infinity",
            where=name,
            remedy="look for a model that diverged in training, or an empty text",
        )
    if not cosine:
        return vectors
    wide /= np.where(lengths > 0, lengths, 1)[:, None]
    return wide.astype(np.float32)
