"""Exact nearest rows in bounded memory, with ties in the order of rows.

A matrix product in float32 rounds differently with the shape of its blocks, so its scores only choose candidates, with
a margin above its greatest error. Candidates are scored again in float64, one way whatever the block, so that equal
vectors score equal and the answer does not depend on block sizes.
"""

from __future__ import annotations

import numpy as np

ROWS = 16_384  # a block of rows; with QUERIES it bounds memory: 16,384 x 256 scores are 16 MiB
QUERIES = 256


def nearest(
    queries: np.ndarray, vectors: np.ndarray, k: int, *, block: tuple[int, int] = (QUERIES, ROWS)
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers [q k] int64 and scores [q k] float32, best first, equal scores in the order of rows.

    queries [q d] and vectors [n d] are float32 with unit rows, k is at most n; `vectors` may be memory-mapped and is
    read once for every `block[0]` queries.
    """
    numbers = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), block[0]):
        part = slice(start, start + block[0])
        numbers[part], scores[part] = _nearest(queries[part], vectors, k, block[1])
    return numbers, scores


def _nearest(queries: np.ndarray, vectors: np.ndarray, k: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    margin = _error(queries.shape[1])
    exact_queries = queries.astype(np.float64)
    best = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)) for _ in queries]
    floor = np.full(len(queries), -np.inf, dtype=np.float32)  # no row below it can be among the best k any more
    for start in range(0, len(vectors), block):
        rows = np.asarray(vectors[start : start + block])
        rough = queries @ rows.T
        if start == 0 and len(rows) > k:  # later blocks have the floor of the best so far
            kth = np.partition(rough, len(rows) - k, axis=1)[:, len(rows) - k]
            floor = kth - 2 * margin
        for i, (numbers, scores) in enumerate(best):
            found = np.flatnonzero(rough[i] >= floor[i])
            if not len(found):
                continue
            exact = np.einsum("nd,d->n", rows[found].astype(np.float64), exact_queries[i]).astype(np.float32)
            numbers, scores = np.r_[numbers, found + start], np.r_[scores, exact]
            first = np.lexsort((numbers, -scores))[:k]
            best[i] = (numbers[first], scores[first])
            if len(first) == k:
                floor[i] = max(floor[i], best[i][1][-1] - 2 * margin)
    return np.stack([b[0] for b in best]), np.stack([b[1] for b in best])


def _error(d: int) -> float:
    """The most by which a float32 dot product of two unit vectors [d] can be wrong, twice over."""
    return 2 * d * float(np.finfo(np.float32).eps)
