"""Exact nearest rows in bounded memory, with ties in the order of rows.

A matrix product in float32 rounds differently with the shape of its blocks, so its scores only choose candidates, with
a margin above its greatest error. Candidates are scored again in float64, one way whatever the block, so that equal
vectors score equal and the answer does not depend on block sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

ROWS = 16_384  # a block of rows; with QUERIES it bounds memory: 16,384 x 256 scores are 16 MiB
QUERIES = 256
HELD = 2**22  # candidates held at once

Allowed = Callable[[np.ndarray, np.ndarray], np.ndarray]


@runtime_checkable
class Table(Protocol):
    """Vectors [n d], in hand, memory-mapped, or in several files: all that is asked is a run of its rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


def nearest_chunked(
    queries: np.ndarray,
    vectors: np.ndarray | Table,
    k: int,
    *,
    block: tuple[int, int] = (QUERIES, ROWS),
    longest: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers [q k] int64 and dot products [q k] float32, best first, equal ones in the order of rows.

    queries [q d] float32 and vectors [n d] (float32 or float16) are finite; rows of unit length make it the cosine. At most n
    are given. `vectors` may be memory-mapped, and is read once for every `block[0]` queries, `block[1]` rows at a time. `longest`: no
    row is longer, where that is known (1 for unit rows); else it is measured, which reads every row once more.

    >>> numbers, scores = nearest_chunked(np.eye(2, 3, dtype="float32"), np.eye(3, dtype="float32"), 2)
    >>> numbers.tolist(), scores.tolist()
    ([[0, 1], [1, 0]], [[1.0, 0.0], [1.0, 0.0]])
    """
    k = min(k, len(vectors))
    numbers = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), block[0]):
        part = slice(start, start + block[0])
        numbers[part], scores[part] = _nearest(queries[part], vectors, k, block[1], longest)
    return numbers, scores


def nearest_allowed(
    queries: np.ndarray,
    vectors: np.ndarray | Table,
    count: int,
    allowed: Allowed,
    *,
    block: tuple[int, int] = (QUERIES, ROWS),
    longest: float | None = None,
) -> np.ndarray:
    """Numbers [q count] int64 of the nearest rows that `allowed(query numbers [p], row numbers [p k]) -> bool [p k]` lets pass.

    Best first; -1 where there are fewer. More are asked for, for those queries alone, until enough pass. `longest` as above.

    >>> x = np.eye(3, dtype="float32")
    >>> nearest_allowed(x, x, 1, lambda query, row: row != query[:, None]).tolist()
    [[1], [0], [0]]
    """
    made = np.full((len(queries), count), -1, dtype=np.int64)
    waiting, k = np.arange(len(queries)), min(2 * count + 16, len(vectors))
    while len(waiting):
        part, short = max(1, HELD // k), []
        for start in range(0, len(waiting), part):
            some = waiting[start : start + part]
            found, _ = nearest_chunked(queries[some], vectors, k, block=block, longest=longest)
            passes = allowed(some, found)
            place = passes.cumsum(1) - 1
            row, column = np.nonzero(passes & (place < count))
            made[some[row], place[row, column]] = found[row, column]
            short.append(some[(passes.sum(1) < count) & (k < len(vectors))])
        waiting, k = np.concatenate(short), min(4 * k, len(vectors))
    return made


def exact_scores(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Dot products [n] float32 of rows [n d] with one query [d], summed in float64: each a function of its two vectors alone."""
    return np.einsum("nd,d->n", rows.astype(np.float64), query.astype(np.float64)).astype(np.float32)


def _nearest(
    queries: np.ndarray, vectors: np.ndarray | Table, k: int, block: int, longest: float | None
) -> tuple[np.ndarray, np.ndarray]:
    lengths = _lengths(queries)
    best = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)) for _ in queries]
    least = np.full(len(queries), -np.inf, dtype=np.float32)  # the k-th best score so far
    for start in range(0, len(vectors), block):
        rows = np.ascontiguousarray(vectors[start : start + block], dtype=np.float32)
        rough = queries @ rows.T
        margin = _error(queries.shape[1]) * lengths * (_lengths(rows).max() if longest is None else longest)
        if start == 0 and len(rows) > k:  # later blocks have the best so far
            least = np.partition(rough, len(rows) - k, axis=1)[:, len(rows) - k]
        floor = least - 2 * margin  # no row below it can be among the best k any more
        for i, (numbers, scores) in enumerate(best):
            found = np.flatnonzero(rough[i] >= floor[i])
            if not len(found):
                continue
            exact = exact_scores(rows[found], queries[i])
            numbers, scores = np.r_[numbers, found + start], np.r_[scores, exact]
            first = np.lexsort((numbers, -scores))[:k]
            best[i] = (numbers[first], scores[first])
        least = np.array([s[-1] if len(s) == k else -np.inf for _, s in best], dtype=np.float32)
    return np.stack([b[0] for b in best]), np.stack([b[1] for b in best])


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors))


def _error(d: int) -> float:
    """The most by which a float32 dot product of two vectors [d] of unit length can be wrong, twice over."""
    return 2 * d * float(np.finfo(np.float32).eps)
