"""What a representation is worth for search: reciprocal rank and recall of every query, exactly, in bounded memory.

Only ranks count. A negative or zero score is a score like any other, and documents with equal scores are in no order:
a metric is its expected value over all orders of the tied documents, so that nobody gains by being indifferent.

With g documents above the first relevant one, and m relevant among the t documents tied with it:

        reciprocal rank = sum over j = 1 .. t-m+1 of  P(j) / (g + j),   P(j) = C(t-j, m-1) / C(t, m)
        recall@k        = mean over relevant documents of  clip((k - g) / t, 0, 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.scores import Scorer, scorer, tile

CARD = Card(
    name="retrieval",
    summary="mean reciprocal rank and recall@k over all candidates, per query, ties counted fairly",
    related=("scores", "statistics", "bm25", "similarity_histogram"),
    public=("retrieval", "Retrieval"),
)

TILE_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Where every relevant document of every query stands. All metrics are computed from this.

    queries    [s] numbers of the scored queries; `unanswerable` others have nothing relevant and are left out
    offsets    [s+1] query i owns the relevant documents offsets[i] to offsets[i+1] of the two columns below
    above      [p] documents scored strictly higher than this relevant one
    tied       [p] documents with the same score, itself included
    documents  number of candidates
    """

    queries: NDArray[np.int64]
    offsets: NDArray[np.int64]
    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    documents: int
    unanswerable: int

    def __len__(self) -> int:
        return len(self.queries)

    @cached_property
    def reciprocal_ranks(self) -> NDArray[np.float64]:
        """1 / rank of the first relevant document, for every scored query [s]."""
        first, size, relevant = self._first
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, self.documents + 1))])
        values = (harmonic[first + size] - harmonic[first]) / size  # right where one relevant document is in the tie
        for i in np.flatnonzero(relevant > 1):
            values[i] = (
                self._chances(int(size[i]), int(relevant[i])) / np.arange(first[i] + 1, first[i] + size[i] + 1)
            ).sum()
        return values

    def recalls(self, k: int) -> NDArray[np.float64]:
        """Share of its relevant documents among the best `k`, for every scored query [s]."""
        found = np.clip((_positive(k) - self.above) / self.tied, 0, 1)
        return np.add.reduceat(found, self.offsets[:-1]) / np.diff(self.offsets)

    def hits(self, k: int) -> NDArray[np.float64]:
        """Whether a relevant document is among the best `k` (a chance where ties decide), per scored query [s]."""
        first, size, relevant = self._first
        values = np.clip((_positive(k) - first) / size, 0, 1)
        for i in np.flatnonzero(relevant > 1):
            values[i] = self._chances(int(size[i]), int(relevant[i]))[: max(0, k - first[i])].sum()
        return values

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return float(self.reciprocal_ranks.mean())

    def recall(self, k: int) -> float:
        """Mean recall among the best `k`."""
        return float(self.recalls(k).mean())

    def hit(self, k: int) -> float:
        """Share of queries with a relevant document among the best `k`."""
        return float(self.hits(k).mean())

    def values(self, metric: str) -> NDArray[np.float64]:
        """Per-query values [s] of "mrr", "recall@10" or "hit@10", for intervals and paired comparisons."""
        kind, _, k = metric.partition("@")
        if metric == "mrr":
            return self.reciprocal_ranks
        if kind not in ("recall", "hit") or not k.isdecimal():
            raise UsageError(f"no retrieval metric is called {metric!r}", remedy="use mrr, recall@10 or hit@10 (any k)")
        return self.recalls(int(k)) if kind == "recall" else self.hits(int(k))

    def table(self, at: Sequence[int] = (1, 10, 100)) -> dict[str, float]:
        """The figures by name, with the numbers of queries and candidates they rest on."""
        counts = {"queries": len(self), "unanswerable": self.unanswerable, "documents": self.documents}
        return {"mrr": self.mrr} | {f"recall@{k}": self.recall(k) for k in at} | counts

    @cached_property
    def _first(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Of each query's best tie group that holds a relevant document: documents above, its size, relevant in it."""
        starts = self.offsets[:-1]
        above = np.minimum.reduceat(self.above, starts)
        inside = self.above == np.repeat(above, np.diff(self.offsets))
        size = np.maximum.reduceat(np.where(inside, self.tied, 0), starts)
        return above, size, np.add.reduceat(inside.astype(np.int64), starts)

    @staticmethod
    def _chances(size: int, relevant: int) -> NDArray[np.float64]:
        """Chance that the first of `relevant` documents in a tie of `size` comes at place 1, 2, ... [size]."""
        place = np.arange(1, size)
        ratios = np.maximum(size - place - relevant + 1, 0) / (size - place)
        return np.cumprod(np.concatenate([[relevant / size], ratios]), dtype=np.float64)


def retrieval(scores: Scorer | Any, relevant: Any, *, tile_bytes: int = TILE_BYTES) -> Retrieval:
    """Rank all documents for every query and note where the relevant ones stand.

    scores      a function from a slice of queries to their scores [q n]; or a whole matrix [q n]; or a pair
                (queries [q d], documents [n d]) of vector tables, compared by cosine
    relevant    for each query the row of its document (-1: none), or a sequence of rows. Queries without any are
                left out of every mean and counted in `unanswerable`
    tile_bytes  bound on the memory of a tile of scores

    >>> found = retrieval([[-0.1, -0.9], [-0.5, -0.5]], [0, 1])
    >>> found.reciprocal_ranks.tolist()           # all scores negative; the second query's two documents are tied
    [1.0, 0.75]

    Raises DataError for NaN scores, rows outside the documents, or no query with a relevant document at all.
    """
    offsets, rows = _relevant_rows(relevant)
    total = len(offsets) - 1
    counts = np.diff(offsets)
    if not len(rows):
        raise DataError(
            f"none of the {total} queries has a relevant document",
            where="relevant",
            remedy="give each query its row(s)",
        )
    score = scorer(scores, total)
    documents, start, height = -1, 0, 1  # one query first: it tells how many documents there are
    above, tied = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    while start < total:
        stop = min(total, start + height)
        table = tile(score(slice(start, stop)), start, stop, documents)
        if documents < 0:
            documents = table.shape[1]
            if rows.max() >= documents:
                raise DataError(
                    f"row {rows.max()} is called relevant, but there are {documents} documents",
                    where="relevant",
                    remedy="number the documents from 0, in the order of their scores",
                )
        pairs = slice(offsets[start], offsets[stop])
        owner = np.repeat(np.arange(stop - start), counts[start:stop])
        above[pairs], tied[pairs] = _standing(table, owner, rows[pairs])
        start, height = stop, max(1, tile_bytes // (10 * documents))  # 4 bytes a score, the rest to compare
    answerable = np.flatnonzero(counts)
    kept = np.concatenate([[0], np.cumsum(counts[answerable])])
    return Retrieval(answerable, kept, above, tied, documents, total - len(answerable))


def _standing(table: NDArray[Any], owner: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Documents above and tied with each relevant one; `owner` [p] is its row in the tile, sorted; `rows` [p]."""
    own = table[owner, rows]
    above, tied = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    if len(rows) > 8 * len(table):  # many relevant documents: sorting once a query is cheaper than comparing
        ends = np.searchsorted(owner, np.arange(len(table) + 1))
        for i, line in enumerate(np.sort(table, axis=1)):
            mine = slice(ends[i], ends[i + 1])
            right = np.searchsorted(line, own[mine], side="right")
            above[mine], tied[mine] = len(line) - right, right - np.searchsorted(line, own[mine], side="left")
        return above, tied
    for start in range(0, len(rows), len(table)):  # as many rows at a time as the tile has: memory stays bounded
        part = slice(start, start + len(table))
        lines = table if np.array_equal(owner[part], np.arange(len(table))) else table[owner[part]]
        above[part] = np.count_nonzero(lines > own[part, None], axis=1)
        tied[part] = np.count_nonzero(lines == own[part, None], axis=1)
    return above, tied


def _relevant_rows(relevant: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`relevant` as offsets [q+1] and rows [p], each query's rows distinct."""
    if isinstance(relevant, Tensor):
        relevant = relevant.cpu().numpy()
    if all(np.ndim(rows) == 0 for rows in relevant):
        column = np.asarray(relevant)
        lists = [column[i : i + 1] for i in range(len(column))]
        lists = [rows if rows[0] != -1 else rows[:0] for rows in lists]
    else:
        lists = [np.unique(np.atleast_1d(np.asarray(rows))) for rows in relevant]
    for query, rows in enumerate(lists):
        if len(rows) and (rows.dtype.kind not in "iu" or rows[0] < 0):
            raise DataError(
                f"query {query} names {rows[0]!r} as a relevant document",
                where="relevant",
                remedy="rows are whole numbers from 0; -1 or an empty list says that nothing is relevant",
            )
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows in lists])]).astype(np.int64)
    return offsets, np.concatenate([*lists, np.empty(0, np.int64)]).astype(np.int64)


def _positive(k: int) -> int:
    if k < 1:
        raise UsageError(f"recall among the best {k} means nothing", where="k", remedy="k is 1 or more")
    return k
