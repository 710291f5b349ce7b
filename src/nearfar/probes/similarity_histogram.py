"""How near the pairs that belong together are, against all others: the picture of what training did.

Before training, positives and negatives lie on top of each other; after it, they part. If they all sit at 1, the
representation has collapsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
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
    queries: Any, documents: Any, relevant: Any = None, *, bins: int = 200, tile_bytes: int = 64 << 20
) -> SimilarityHistogram:
    """Count the cosines of all pairs of queries [q d] and documents [n d], in tiles of bounded memory.

    relevant    the row of the document that belongs to each query [q]; without it, row i belongs to query i.
                All other pairs count as negatives

    >>> import torch
    >>> similarity_histogram(torch.eye(4), torch.eye(4)).separation
    1.0

    Raises DataError for NaN vectors, rows outside the documents, or a single document (which has no negative).
    """
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
        where = ((table + 1) * (bins / 2)).astype(np.int32).clip(0, bins - 1)
        everything += np.bincount(where.ravel(), minlength=bins)
        positives += np.bincount(where[np.arange(stop - start), rows[start:stop]], minlength=bins)
    edges = np.linspace(-1, 1, bins + 1)
    return SimilarityHistogram(
        tuple(edges.tolist()), tuple(positives.tolist()), tuple((everything - positives).tolist())
    )
