"""How near the pairs that belong together are, against all others: the picture of what training did.

Before training, positives and negatives lie on top of each other; after it, they part. If they all sit at 1, the
representation has collapsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.scores import tile, vector_scores

CARD = Card(
    name="similarity_histogram",
    summary="cosine similarities of positives and of negatives, counted in bins",
    related=("retrieval",),
    public=("similarity_histogram", "SimilarityHistogram"),
)


@dataclass(frozen=True)
class SimilarityHistogram:
    """Counts of positive and negative pairs between neighbouring `edges` [bins + 1] of cosine similarity."""

    edges: tuple[float, ...]
    positives: tuple[int, ...]
    negatives: tuple[int, ...]

    @property
    def separation(self) -> float:
        """Chance that a random positive is nearer than a random negative: 0.5 is none, 1 is perfect.

        The area under the ROC curve, to the width of a bin (pairs in one bin count as half).
        """
        positives, negatives = np.array(self.positives, float), np.array(self.negatives, float)
        below = np.cumsum(negatives) - negatives / 2
        return float((positives * below).sum() / (positives.sum() * negatives.sum()))


def similarity_histogram(
    queries: Any,
    documents: Any,
    relevant: Any = None,
    *,
    labels: tuple[Any, Any] | None = None,
    bins: int = 200,
    tile_bytes: int = 64 << 20,
) -> SimilarityHistogram:
    """Count the cosines of all pairs of queries [q d] and documents [n d], in tiles of bounded memory.

    relevant    the row of the document that belongs to each query [q]; without it, row i belongs to query i.
                All other pairs count as negatives
    labels      instead: those of the queries [q] and of the documents [n]; pairs of one label are positives. Where both
                tables are one and the same object, a record's pair with itself is left out

    >>> import torch
    >>> similarity_histogram(torch.eye(4), torch.eye(4)).separation
    1.0
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> found = similarity_histogram(x, x, labels=(list("aabb"), list("aabb")))
    >>> found.separation, sum(found.positives), sum(found.negatives)
    (1.0, 4, 8)

    Raises UsageError for both relevant and labels; DataError for NaN vectors, rows outside the documents, labels of another
    number than rows or under which there is no positive or no negative, or a single document (which has no negative).
    """
    if labels is not None:
        if relevant is not None:
            raise UsageError("positives are given twice", where="relevant, labels", remedy="give one of them")
        return _by_label(queries, documents, labels, bins, tile_bytes)
    score, total = vector_scores(queries, documents), len(queries)
    rows = np.arange(total) if relevant is None else np.asarray(relevant)
    if len(documents) < 2 or len(rows) != total or not total or rows.min() < 0 or rows.max() >= len(documents):
        raise DataError(
            f"{len(rows)} rows name the documents of {total} queries among {len(documents)} documents",
            where="relevant",
            remedy="give each query one row from 0 to the number of documents - 1, and at least two documents",
        )
    positives, everything = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
    height = max(1, tile_bytes // (24 * len(documents)))  # a score, its bin as an integer, and the sum's copies
    for start in range(0, total, height):
        stop = min(total, start + height)
        table = tile(score(slice(start, stop)), start, stop)
        where = _bins(table, bins)
        everything += np.bincount(where.ravel(), minlength=bins)
        positives += np.bincount(where[np.arange(stop - start), rows[start:stop]], minlength=bins)
    return _histogram(positives, everything)


def _by_label(queries: Any, documents: Any, labels: tuple[Any, Any], bins: int, tile_bytes: int) -> SimilarityHistogram:
    sides = [np.asarray(side) for side in labels]
    if [side.shape for side in sides] != [(len(queries),), (len(documents),)]:
        raise DataError(
            f"labels of shapes {[list(side.shape) for side in sides]} for {len(queries)} queries and {len(documents)} documents",
            where="labels",
            remedy="give each query and each document one",
        )
    score, same_table = vector_scores(queries, documents), queries is documents
    positives, everything = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
    height = max(1, tile_bytes // (25 * max(1, len(documents))))
    for start in range(0, len(queries), height):
        stop = min(len(queries), start + height)
        where = _bins(tile(score(slice(start, stop)), start, stop), bins)
        alike = sides[0][start:stop, None] == sides[1][None, :]
        everything += np.bincount(where.ravel(), minlength=bins)
        positives += np.bincount(where[alike], minlength=bins)
        if same_table:
            itself = np.bincount(where[np.arange(stop - start), np.arange(start, stop)], minlength=bins)
            everything, positives = everything - itself, positives - itself
    if not positives.sum() or positives.sum() == everything.sum():
        raise DataError(
            f"{positives.sum()} of {everything.sum()} pairs are positive",
            where="labels",
            remedy="give labels that some pairs share and others do not",
        )
    return _histogram(positives, everything)


def _bins(table: NDArray[Any], bins: int) -> NDArray[np.int32]:
    return ((table + 1) * (bins / 2)).astype(np.int32).clip(0, bins - 1)


def _histogram(positives: NDArray[np.int64], everything: NDArray[np.int64]) -> SimilarityHistogram:
    edges = np.linspace(-1, 1, len(positives) + 1)
    return SimilarityHistogram(
        tuple(edges.tolist()), tuple(positives.tolist()), tuple((everything - positives).tolist())
    )
