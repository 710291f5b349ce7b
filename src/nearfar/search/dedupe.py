"""Near-duplicates: groups of rows that are linked by cosines of at least a threshold, and the one row a group that stays.

        i ~ j  if  cos(x_i, x_j) >= threshold;      groups are the connected components of ~;      the earliest row of each stays

Links join: where a is near b and b is near c, all three are one group, even if a and c are further apart than the threshold. The
cosine of each member with the row that stays is what shows such a chain.

Up to `EXACT` rows every pair is compared. Above, each row is compared with its nearest ones that the index finds, which may miss a pair.

A cosine says alike, not copied, and where copies begin depends on the model and the texts. A row that goes without being a copy is worse
than a copy that stays, hence a threshold close to 1; what is found is also counted by ranges of cosines (`BINS`), to choose another by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from nearfar.core.errors import UsageError
from nearfar.maths.pairs_above import Pairs, Progress, cosines, pairs_above
from nearfar.search.living import Living

THRESHOLD = 0.98
EXACT = 200_000  # rows up to which every pair is compared: minutes on two cores
NEAREST = 32  # rows that each is compared with above
QUERIES = 1024
BINS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.999)
ONE = 1 - 1e-6  # what the cosine of two equal vectors may round to, and no less

# (queries [q d], k) -> row numbers [q k], -1 where there are fewer
Nearest = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Duplicates:
    """What was found among n rows.

    stays    [n] int64: the row that stays of each row's group; of a row without duplicates, itself
    cosines  [n] float32: with that row; 1 for itself
    pairs    how many pairs reach the threshold
    counts   {lowest cosine of a range: pairs in it}, from the threshold up
    """

    stays: np.ndarray
    cosines: np.ndarray
    pairs: int
    counts: dict[float, int]

    @property
    def dropped(self) -> np.ndarray:
        """The rows that do not stay, ascending."""
        return np.flatnonzero(self.stays != np.arange(len(self.stays)))

    def groups(self) -> list[np.ndarray]:
        """Rows of each group of two or more, ascending, so that the first stays; the largest group first."""
        order = np.argsort(self.stays, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.stays[order])) + 1) if len(order) else []
        return sorted((part for part in parts if len(part) > 1), key=lambda part: (-len(part), int(part[0])))


def duplicates(
    vectors: np.ndarray | Living,
    threshold: float = THRESHOLD,
    *,
    nearest: Nearest | None = None,
    each: Callable[[Pairs], None] | None = None,
    progress: Progress | None = None,
) -> Duplicates:
    """Groups of near-duplicates among rows of unit length [n d].

    threshold  the least cosine of a link
    nearest    finds candidates instead of comparing every pair: quicker for many rows, and may miss some
    each       is called with all pairs, some at a time; they are not kept

    >>> x = np.array([[1, 0], [0.8, 0.6], [0.28, 0.96], [0, -1]], dtype="float32")
    >>> found = duplicates(x, 0.75)
    >>> found.stays.tolist(), found.cosines.round(2).tolist() == np.float32([1, 0.8, 0.28, 1]).tolist()
    ([0, 0, 0, 3], True)

    Raises UsageError for a threshold that is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise UsageError(
            f"{threshold} is no least cosine of near-duplicates",
            where="threshold",
            remedy=f"give a number above 0 and up to 1, such as {THRESHOLD}",
        )
    least = min(threshold, ONE)
    edges = np.array([least, *(edge for edge in BINS if edge > least)], dtype=np.float32)
    counts, links = np.zeros(len(edges), dtype=np.int64), Links(len(vectors))
    if nearest is None:
        found: Iterable[Pairs] = pairs_above(vectors, least, progress=progress)
    else:
        found = [candidate_pairs(vectors, least, nearest, progress=progress)]
    for pairs in found:
        links.join(pairs.a, pairs.b)
        counts += np.bincount(np.searchsorted(edges, pairs.cosines, side="right") - 1, minlength=len(edges))
        if each is not None:
            each(pairs)
    stays = links.roots()
    return Duplicates(
        stays,
        _with_rows(vectors, stays),
        int(counts.sum()),
        {round(float(edge), 6): int(count) for edge, count in zip(edges, counts, strict=True)},
    )


def candidate_pairs(
    vectors: np.ndarray | Living, threshold: float, nearest: Nearest, *, progress: Progress | None = None
) -> Pairs:
    """Pairs of each row with those of its `NEAREST` nearest whose cosine reaches the threshold, each once; found from either end."""
    n, codes, scores = len(vectors), [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.float32)]
    for start in range(0, n, QUERIES):
        rows = vectors[start : start + QUERIES]
        found = nearest(rows, min(NEAREST + 1, n))
        query, column = np.nonzero(found >= 0)
        a, b = query + start, found[query, column]
        others, place = np.unique(b, return_inverse=True)
        exact = cosines(rows[query], vectors[others][place])
        kept = (exact >= np.float32(threshold)) & (a != b)
        codes.append((np.minimum(a, b) * n + np.maximum(a, b))[kept])
        scores.append(exact[kept])
        if progress is not None:
            progress(min(start + QUERIES, n), n)
    code, first = np.unique(np.concatenate(codes), return_index=True)
    return Pairs(code // n, code % n, np.concatenate(scores)[first])


class Links:
    """Connected components of n rows, of links that come some at a time; of each component the lowest row is its root."""

    def __init__(self, n: int) -> None:
        self.parent = np.arange(n)

    def join(self, a: np.ndarray, b: np.ndarray) -> None:
        """Link rows a [p] with rows b [p]."""
        while True:
            a, b = self._root(a), self._root(b)
            apart = a != b
            if not apart.any():
                return
            a, b = a[apart], b[apart]
            # Of several links of one root the lowest wins; the others are apart still, and joined in the next round.
            np.minimum.at(self.parent, np.maximum(a, b), np.minimum(a, b))

    def roots(self) -> np.ndarray:
        """The root of each row [n] int64."""
        return self._root(self.parent)

    def _root(self, rows: np.ndarray) -> np.ndarray:
        root = self.parent[rows]
        while True:
            above = self.parent[root]
            if np.array_equal(above, root):
                self.parent[rows] = root
                return root
            root = above


def _with_rows(vectors: np.ndarray | Living, stays: np.ndarray) -> np.ndarray:
    """The cosine of each row with the one that stays of its group."""
    made = np.ones(len(stays), dtype=np.float32)
    moved = np.flatnonzero(stays != np.arange(len(stays)))
    for start in range(0, len(moved), QUERIES):
        rows = moved[start : start + QUERIES]
        others, place = np.unique(stays[rows], return_inverse=True)
        made[rows] = cosines(vectors[rows], vectors[others][place])
    return made
