"""All pairs of rows whose cosine reaches a threshold: exact, in bounded memory, each pair once.

A matrix product in float32 rounds differently with the shape of its blocks, so its scores only choose candidates, with a margin
above its greatest error, as in `nearest_chunked`. Candidates are scored again in float64: which pairs there are does not depend
on the sizes of blocks, and equal vectors have equal cosines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from nearfar.maths.nearest_chunked import Table

BLOCK = (1024, 8192)  # rows of a tile, either way: 32 MiB of scores
SCORED = 16_384  # candidates scored again at once

Progress = Callable[[int, int], None]


class Pairs(NamedTuple):
    """Rows a < b [p] int64 and their cosines [p] float32."""

    a: np.ndarray
    b: np.ndarray
    cosines: np.ndarray


def pairs_above(
    vectors: np.ndarray | Table,
    threshold: float,
    *,
    block: tuple[int, int] = BLOCK,
    progress: Progress | None = None,
) -> Iterator[Pairs]:
    """Tile by tile, the pairs of rows of unit length [n d] whose dot product, rounded to float32, is at least `threshold`.

    `vectors` may be memory-mapped: they are read a block at a time. `progress(done, total)` counts rows.

    >>> [found] = pairs_above(np.array([[1, 0], [0, 1], [0.8, 0.6]], dtype="float32"), 0.7)
    >>> found.a.tolist(), found.b.tolist(), found.cosines.astype(str).tolist()
    ([0], [2], ['0.8'])
    """
    n, (tall, wide) = len(vectors), block
    least = np.float32(threshold)
    for top in range(0, n, tall):
        rows = _rows(vectors, top, tall)
        for left in range(top, n, wide):
            # The corner of a tile below the diagonal holds pairs that another tile has, and each row with itself.
            columns = _rows(vectors, left, wide)
            rough = rows @ columns.T
            place = np.flatnonzero(rough >= least - _margin(rows.shape[1]))
            a, b = place // len(columns), place % len(columns)
            above = b + left > a + top
            found = _scored(rows, columns, a[above], b[above], least)
            if len(found.a):
                yield Pairs(found.a + top, found.b + left, found.cosines)
        if progress is not None:
            progress(min(top + tall, n), n)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dot products [p] float32 of rows a [p d] with rows b [p d], summed in float64.

    >>> cosines(np.eye(2), np.array([[0.6, 0.8], [0.6, 0.8]])).tolist() == np.array([0.6, 0.8], dtype="float32").tolist()
    True
    """
    return np.einsum("pd,pd->p", a.astype(np.float64), b.astype(np.float64)).astype(np.float32)


def _rows(vectors: np.ndarray | Table, start: int, count: int) -> np.ndarray:
    return np.ascontiguousarray(vectors[start : start + count], dtype=np.float32)


def _scored(rows: np.ndarray, columns: np.ndarray, a: np.ndarray, b: np.ndarray, least: np.float32) -> Pairs:
    exact = np.empty(len(a), dtype=np.float32)
    for start in range(0, len(a), SCORED):
        part = slice(start, start + SCORED)
        exact[part] = cosines(rows[a[part]], columns[b[part]])
    kept = exact >= least
    return Pairs(a[kept], b[kept], exact[kept])


def _margin(d: int) -> float:
    """The most by which a float32 dot product of two rows [d] of unit length can be wrong, twice over."""
    return 2 * d * float(np.finfo(np.float32).eps)
