"""Where given documents stand in the ranking of their query: how many are above them, how many tied. Exactly, in bounded memory.

Nothing is sorted: that a document has so many above it is a matter of comparing its score with all others, block by block, while a
block is still in the processor's cache. Only a query with many given documents has its blocks sorted, which is then quicker.

Scores of vectors are exact: a matrix product in float32 rounds with the shape of its blocks, so it only decides where two scores
differ by more than its greatest error; the rest is computed again in float64, each score as a function of its two vectors alone.
So equal vectors are tied, and the answer does not depend on the size of blocks. The bound on the error of a product of length d is
d u |x| |y| with u = 2^-24, whatever the order of summation (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.errors import DataError
from nearfar.probes.scores import Scorer, VectorScores, as_tensor, tile, vectors_of

HEIGHT, WIDTH = (
    1024,
    2048,
)  # of a block of scores: small enough for the cache, large enough that threads need not meet too often
MANY = 24  # given documents a query from which on sorting a block is cheaper than comparing it with each
EXACT = 1 << 13  # vectors that are multiplied in float64 at a time

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lists:
    """Some documents of each query: query i owns rows[offsets[i] : offsets[i + 1]], distinct and rising."""

    offsets: Ints
    rows: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Ints:
        """Documents of each query."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> Ints:
        """The query of each document."""
        return np.repeat(np.arange(len(self)), self.counts)

    def part(self, start: int, stop: int) -> Lists:
        """Those of queries start to stop - 1."""
        offsets = self.offsets[start : stop + 1]
        return Lists(offsets - offsets[0], self.rows[offsets[0] : offsets[-1]])


def place(score: Scorer, given: Lists, excluded: Lists, tile_bytes: int) -> tuple[Ints, Ints, int]:
    """Of each given document [p] the documents above it and those tied with it (itself included), and the number of all documents.

    Excluded documents are in no ranking; they must not be given ones. Raises DataError for a row beyond the documents, and for
    scores or vectors that are no numbers.
    """
    above, tied = np.zeros(len(given.rows), np.int64), np.zeros(len(given.rows), np.int64)
    total = -1
    if isinstance(score, VectorScores):
        total = len(score.documents)
        _check_rows(given, excluded, total)
        parts = _of_vectors(score, given, excluded, tile_bytes)
    else:
        parts = _of_tiles(score, given, excluded, tile_bytes)
    for start, stop, own, left_out, part_above, part_tied, total in parts:  # noqa: B007 - the last one is told
        mine = slice(given.offsets[start], given.offsets[stop])
        over, level = _compared(own, given.part(start, stop), left_out, excluded.part(start, stop))
        above[mine], tied[mine] = part_above - over, part_tied - level
    return above, tied, total


Placed = tuple[int, int, NDArray[Any], NDArray[Any], Ints, Ints, int]


def _of_tiles(score: Scorer, given: Lists, excluded: Lists, tile_bytes: int) -> Iterator[Placed]:
    """By the scores as they come: a tile of queries at a time with all documents."""
    documents, start, height = -1, 0, 1  # one query first: it tells how many documents there are
    while start < len(given):
        stop = min(len(given), start + height)
        table = tile(score(slice(start, stop)), start, stop, documents)
        if documents < 0:
            documents = table.shape[1]
            _check_rows(given, excluded, documents)
        mine, others = given.part(start, stop), excluded.part(start, stop)
        own, left_out = table[mine.owner, mine.rows], table[others.owner, others.rows]
        above, tied = np.zeros(len(own), np.int64), np.zeros(len(own), np.int64)
        scores, limits = as_tensor(table), as_tensor(own)
        for some in _groups(mine, HEIGHT):
            for first in range(0, documents, WIDTH):
                block = scores[some.queries, first : first + WIDTH]
                over, not_below = some.count(block, limits[some.documents], limits[some.documents])
                above[some.documents] += over
                tied[some.documents] += not_below - over
        yield start, stop, own, left_out, above, tied, documents
        start, height = stop, max(1, tile_bytes // (6 * documents))  # 4 bytes a score, the rest to look for NaN


def _of_vectors(score: VectorScores, given: Lists, excluded: Lists, tile_bytes: int) -> Iterator[Placed]:
    """By vectors: as many queries at a time as fit, and all documents read once for them, some thousand at a time."""
    width = max(1, min(WIDTH, tile_bytes // (8 * HEIGHT)))
    size = max(HEIGHT, tile_bytes // (16 * max(1, score.dimensions)))
    for start in range(0, len(given), size):
        stop = min(len(given), start + size)
        mine, others = given.part(start, stop), excluded.part(start, stop)
        queries = vectors_of(score.queries, slice(start, stop), score.cosine, "queries")
        own, left_out = (_exact_pairs(score, queries, lists) for lists in (mine, others))
        above, tied = np.zeros(len(own), np.int64), np.ones(len(own), np.int64)
        groups = [(some, torch.from_numpy(queries[some.queries]).to(score.device)) for some in _groups(mine, HEIGHT)]
        lengths = np.linalg.norm(queries, axis=1)
        for first in range(0, len(score.documents), width):
            rows = vectors_of(score.documents, slice(first, first + width), score.cosine, "documents")
            moved = torch.from_numpy(rows).to(score.device).T
            longest = 1.001 * float(np.linalg.norm(rows, axis=1).max())
            # beside the product's own roundings: those of the limits, and of what is smaller than any normal number
            margins = (score.dimensions + 4) * 2.0**-24 * longest * lengths.astype(np.float64) * 1.001 + 1e-37
            here = (mine.rows >= first) & (mine.rows < first + len(rows))
            for some, vectors in groups:
                with _float32_products():
                    block = vectors @ moved
                margin = margins[some.owner]
                low, high = (own[some.documents] - margin, own[some.documents] + margin)
                low, high = (torch.from_numpy(t.astype(np.float32)).to(score.device) for t in (low, high))
                over, not_below = some.count(block, low, high)
                above[some.documents] += over
                near = not_below - over - here[some.documents]
                if near.any():
                    close = np.flatnonzero(near)
                    row, column = _within(block, some.row[close], low[close], high[close])
                    member = some.documents[close[row]]
                    other = column + first != mine.rows[member]
                    member, column = member[other], column[other]
                    exact = _exact(queries, some.owner[close[row[other]]], rows, column)
                    np.add.at(above, member, exact > own[member])
                    np.add.at(tied, member, exact == own[member])
        yield start, stop, own, left_out, above, tied, len(score.documents)


@dataclass(frozen=True, eq=False)
class _Group:
    """Some queries whose blocks of scores are compared together, those with most given documents first.

    queries    [h] their numbers
    documents  [p] numbers of their given documents: first those of the queries that have many, query by query; then one of each
               other query, a second one of each that has two, and so on
    row        [p] the row in the group of each one's query; `owner` its number
    many       for each query with many documents, where its own end
    rounds     rows and documents of each further round
    """

    queries: Ints
    documents: Ints
    row: Ints
    owner: Ints
    many: list[int]
    rounds: list[tuple[slice, slice]]

    def count(self, block: Tensor, low: Tensor, high: Tensor) -> tuple[Ints, Ints]:
        """Of each document [p]: how many scores of its query's row of the block [h w] are above `high`, and how many not below `low`."""
        over, not_below = [], []
        lines = block[: len(self.many)].sort(dim=1).values
        for line, start, stop in zip(lines, [0, *self.many], self.many, strict=False):
            over.append(len(line) - torch.searchsorted(line, high[start:stop].contiguous(), right=True))
            not_below.append(len(line) - torch.searchsorted(line, low[start:stop].contiguous()))
        # as floats, whose sums are many times quicker than those of booleans, and exact to 16 million
        room = torch.empty(block.shape, dtype=torch.float32, device=block.device)
        for rows, documents in self.rounds:
            scores, marks = block[rows], room[rows]
            over.append(torch.gt(scores, high[documents, None], out=marks).sum(1))
            not_below.append(torch.ge(scores, low[documents, None], out=marks).sum(1))
        above, level = (torch.cat(parts).cpu().numpy().astype(np.int64) for parts in (over, not_below))
        return above, level


def _groups(given: Lists, height: int) -> list[_Group]:
    """All queries that have a given document, in groups of at most so many."""
    counts, made = given.counts, []
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    for start in range(0, len(order), height):
        queries = order[start : start + height]
        have = counts[queries]
        many = int(np.count_nonzero(have > MANY))
        ends = np.cumsum(have[:many])
        rows = [np.full(have[i], i) for i in range(many)]
        places = [np.arange(have[i]) for i in range(many)]
        rounds, size = [], int(ends[-1]) if many else 0
        for place_of_each in range(int(have[many:].max(initial=0))):
            number = int(np.count_nonzero(have[many:] > place_of_each))
            rows.append(many + np.arange(number))
            places.append(np.full(number, place_of_each))
            rounds.append((slice(many, many + number), slice(size, size + number)))
            size += number
        row = np.concatenate(rows)
        documents = given.offsets[queries][row] + np.concatenate(places)
        made.append(_Group(queries, documents, row, queries[row], ends.tolist(), rounds))
    return made


def _within(block: Tensor, rows: Ints, low: Tensor, high: Tensor) -> tuple[Ints, Ints]:
    """The scores of these rows [p] of a block that lie between low [p] and high [p]: number in `rows`, column."""
    found = []
    for start in range(0, len(rows), HEIGHT):
        part = slice(start, start + HEIGHT)
        lines = block[rows[part]]
        mark = (lines >= low[part, None]) & (lines <= high[part, None])
        number, column = mark.nonzero().T.cpu().numpy()
        found.append((number + start, column))
    return np.concatenate([n for n, _ in found]), np.concatenate([c for _, c in found])


def _exact_pairs(score: VectorScores, queries: NDArray[np.float32], lists: Lists) -> NDArray[np.float64]:
    """The exact scores of the listed documents with their queries."""
    made = np.empty(len(lists.rows))
    owner = lists.owner
    for start in range(0, len(made), EXACT):
        part = slice(start, start + EXACT)
        rows = vectors_of(score.documents, lists.rows[part], score.cosine, "documents")
        made[part] = _exact(queries, owner[part], rows, np.arange(len(rows)))
    return made


def _exact(x: NDArray[Any], i: Ints, y: NDArray[Any], j: Ints) -> NDArray[np.float64]:
    """Products of rows x[i] and y[j], summed in float64 in an order that depends on nothing else."""
    made = np.empty(len(i))
    for start in range(0, len(i), EXACT):
        part = slice(start, start + EXACT)
        made[part] = np.einsum("nd,nd->n", x[i[part]].astype(np.float64), y[j[part]].astype(np.float64))
    return made


def _compared(own: NDArray[Any], given: Lists, others: NDArray[Any], excluded: Lists) -> tuple[Ints, Ints]:
    """Of each given document [p]: how many excluded ones of the same query have a higher score, and how many the same."""
    above, tied = np.zeros(len(own), np.int64), np.zeros(len(own), np.int64)
    if not len(others):
        return above, tied
    # rank both among the excluded ones of the query
    owner = np.concatenate([excluded.owner, given.owner])
    scores = np.concatenate([others, own])
    order = np.lexsort((scores, owner))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(owner[order]) != 0) | (scores[order][1:] != scores[order][:-1])
    group, start = np.cumsum(first) - 1, np.flatnonzero(first)
    is_other = order < len(others)
    before = np.concatenate([[0], np.cumsum(is_other)])
    ends = np.append(start[1:], len(order))
    tied_here = (before[ends] - before[start])[group]
    through = before[ends][group]
    total = np.searchsorted(excluded.owner, owner[order], side="right")
    position = order - len(others)
    mine = ~is_other
    above[position[mine]] = (total - through)[mine]
    tied[position[mine]] = tied_here[mine]
    return above, tied


def _check_rows(given: Lists, excluded: Lists, documents: int) -> None:
    for lists, what, where in ((given, "called relevant", "relevant"), (excluded, "excluded", "excluded")):
        if len(lists.rows) and lists.rows.max() >= documents:
            raise DataError(
                f"row {lists.rows.max()} is {what}, but there are {documents} documents",
                where=where,
                remedy="number the documents from 0, in the order of their scores",
            )


@contextmanager
def _float32_products() -> Iterator[None]:
    """Products in full float32, whatever was set for a training: the bound on their error holds for nothing less."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
