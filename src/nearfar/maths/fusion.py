"""Joining the rankings of several systems whose scores cannot be compared: a lexical and a learned one, say.

Reciprocal rank fusion reads ranks only, so it needs neither training nor a common scale:

        fused[q, d] = sum over systems of  w / (k + rank of d for query q),     ranks from 1, w = 1 unless given

Source: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning
methods", SIGIR 2009, section 2; k = 60 is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.errors import DataError, UsageError

WORKING_BYTES = 32 << 20  # what ranking one strip of rows may take; an implementation detail, never a result


def reciprocal_rank_fusion(
    scores: Sequence[Any], *, k: float = 60.0, weights: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Fused scores [q n] of several systems' score matrices, each [q n], higher is better.

    Only the order within each row counts. Tied documents share their average rank, so that a system that is
    indifferent (all scores equal) leaves the order of the others as it is. A system that is known to be weaker may have
    a smaller one of the `weights`; choose them, and k, on development queries.

    >>> reciprocal_rank_fusion([[[3.0, 1.0, 2.0]], [[0.9, 0.8, 0.1]]]).argsort(axis=1)[0][::-1].tolist()
    [0, 2, 1]

    Raises UsageError for no system, different shapes, a k or weight that is not positive; DataError for NaN.
    """
    tables = [np.asarray(table) for table in scores]
    if not tables:
        raise UsageError("rank fusion got no system", remedy="give a list of score matrices [q n]")
    if not k > 0:
        raise UsageError(f"rank fusion needs k > 0, not {k}", where="k", remedy="60 is the value of the paper")
    shape = tables[0].shape
    if len(shape) != 2 or any(table.shape != shape for table in tables):
        raise UsageError(
            f"rank fusion needs score matrices of one shape [q n], not {[list(t.shape) for t in tables]}",
            remedy="score the same queries against the same documents with every system",
        )
    each = [1.0] * len(tables) if weights is None else list(weights)
    if len(each) != len(tables) or not all(w > 0 for w in each):
        raise UsageError(
            f"{len(tables)} systems need as many positive weights, not {each}", where="weights", remedy="give one each"
        )
    fused = np.empty(shape, np.float32)
    strip = max(1, WORKING_BYTES // (40 * max(1, shape[1])))  # about 40 bytes a score while ranking
    for start in range(0, shape[0], strip):
        rows = slice(start, start + strip)
        total = np.zeros(fused[rows].shape)
        for table, weight in zip(tables, each, strict=True):
            total += weight / (k + average_ranks(table[rows]))
        fused[rows] = total
    return fused


def average_ranks(scores: Any) -> NDArray[np.float64]:
    """Rank of every entry within its row [q n], best (highest) = 1; tied entries share the mean of their ranks.

    >>> average_ranks([[0.5, -1.0, 0.5, 2.0]]).tolist()
    [[2.5, 4.0, 2.5, 1.0]]
    """
    scores = np.asarray(scores)
    if np.isnan(scores).any():
        raise DataError("a score is NaN: it has no rank", remedy="find the query or document whose vector is NaN")
    q, n = scores.shape
    if n == 0:
        return np.empty((q, 0))
    order = np.argsort(-scores, axis=1)
    ordered = np.take_along_axis(scores, order, axis=1)
    begins = np.ones((q, n), bool)  # where a group of equal scores begins in its sorted row
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)  # every row begins a group, so no group runs across two rows
    sizes = np.diff(starts, append=q * n)
    means = starts % n + (sizes + 1) / 2
    ranks = np.empty((q, n))
    np.put_along_axis(ranks, order, np.repeat(means, sizes).reshape(q, n), axis=1)
    return ranks
