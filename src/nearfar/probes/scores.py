"""Scores of queries against all documents, a few queries at a time, so that no query-by-document matrix is ever whole.

Every system that can be searched is a `Scorer`: vectors, BM25, a hybrid of both, or a function of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


def vector_scores(queries: Any, documents: Any, *, cosine: bool = True) -> Scorer:
    """Score queries [q d] against documents [n d] by cosine, or by the plain product. A vector of zeros scores 0."""
    q, d = (_vectors(table, cosine) for table in (queries, documents))
    if q.shape[1] != d.shape[1]:
        raise UsageError(
            f"queries have {q.shape[1]} dimensions and documents {d.shape[1]}", remedy="encode both with one model"
        )
    return lambda rows: q[rows] @ d.T


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


def _vectors(table: Any, cosine: bool) -> Tensor:
    tensor = torch.as_tensor(table).detach().float()
    if tensor.ndim != 2:
        raise UsageError(f"a table of vectors has shape [n d], not {list(tensor.shape)}", remedy="one vector a row")
    return torch.nn.functional.normalize(tensor, dim=1) if cosine else tensor
