"""Candidates of a chunk of queries: the documents that the model, or a search of the user's own, ranks high; and the guide's say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from nearfar.core.errors import UsageError
from nearfar.core.work_folder import WorkFolder
from nearfar.maths.nearest_chunked import exact_scores, nearest_chunked
from nearfar.mining.choice import Query
from nearfar.mining.task import Task

HELD = 2**22  # candidates held at once
BLOCK = 2**24  # numbers of a block of document vectors: 64 MiB


class Stored:
    """Vectors of all documents, in pieces on disk: a table for `nearest_chunked`."""

    def __init__(self, task: Task, work: WorkFolder, name: str) -> None:
        self._task, self._work, self._name = task, work, name

    def __len__(self) -> int:
        return self._task.documents

    @cached_property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._work.array(f"{self._name}-0.npy").shape[1]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """A run of rows [n d] float32."""
        return self.take(np.arange(len(self))[rows])

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """The vectors [n d] float32 of documents by number; pieces are mapped, so only these rows are read."""
        made = np.empty((len(numbers), self.dimension), dtype=np.float32)
        piece = numbers // self._task.chunk
        for p in np.unique(piece).tolist():
            first = p * self._task.chunk
            made[piece == p] = self._work.array(f"{self._name}-{first}.npy")[numbers[piece == p] - first]
        return made


def candidates(task: Task, work: WorkFolder, numbers: np.ndarray, vectors: np.ndarray) -> Iterator[Query]:
    """The documents nearest to each query of a chunk, and how near its positives are."""
    # Room for all that a query must not get, so that enough candidates are left.
    most = int((task.start[numbers + 1] - task.start[numbers]).max()) + 1
    k = task.rules.ranks[1] + most
    stored = Stored(task, work, "documents") if task.search is None else None
    margins = task.rules.margin_absolute is not None or task.rules.margin_relative is not None
    part = max(1, HELD // k)
    for start in range(0, len(numbers), part):
        some = vectors[start : start + part]
        if stored is not None:
            found, scores = nearest_chunked(some, stored, k, block=(256, max(256, BLOCK // stored.dimension)))
        else:
            found, scores = _searched(task, some, k)
        for i, query in enumerate(numbers[start : start + part].tolist()):
            positives, score = task.positives(query), np.nan
            if margins and stored is not None:
                score = float(exact_scores(stored.take(positives), some[i]).min())
            elif margins:
                score = float(exact_scores(task.encode(task.model, positives, "document"), some[i]).min())
            real = found[i] >= 0
            yield Query(
                found[i][real], scores[i][real], positives, int(task.own_text[query]), score, int(task.query_id[query])
            )


def _searched(task: Task, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What a search of the user's own finds, as document numbers: each once, best first."""
    assert task.search is not None
    k = min(k, len(task.number_in_corpus))
    places, scores = (np.array(a) for a in task.search(vectors, k))
    if places.shape != (len(vectors), k) or scores.shape != places.shape or places.max() >= len(task.number_in_corpus):
        raise UsageError(
            f"the search gave places {list(places.shape)} and scores {list(scores.shape)} for {len(vectors):,} queries and "
            f"k={k}, or a place beyond the corpus",
            where="search",
            remedy="give (places in the corpus [q k], scores [q k]); -1 where there are fewer",
        )
    numbers = np.where(places >= 0, task.number_in_corpus[places.astype(np.int64)], -1)
    for row, score in zip(numbers, scores, strict=True):
        order = np.argsort(-score.astype(np.float64), kind="stable")
        row[:], score[:] = row[order], score[order]
        repeated = np.ones(k, dtype=bool)
        repeated[np.unique(row, return_index=True)[1]] = False
        row[repeated] = -1
    return numbers, scores.astype(np.float32)


def guided(
    task: Task, work: WorkFolder, numbers: np.ndarray, kept: list[np.ndarray], counts: dict[str, int]
) -> list[np.ndarray]:
    """Candidates without those that the guide holds nearer to the query than its farthest positive."""
    encodes = hasattr(task.guide, "encode")
    vectors = task.encode(task.guide, numbers, "query") if encodes else np.empty((len(numbers), 0))
    stored = Stored(task, work, "guide")
    left = []
    for place, (query, candidates) in enumerate(zip(numbers.tolist(), kept, strict=True)):
        asked = np.concatenate([task.positives(query), candidates])
        if not len(candidates):
            left.append(candidates)
            continue
        if encodes:
            scores = exact_scores(stored.take(asked), vectors[place])
        else:
            scores = task.guide_scores(task.query_texts(np.array([query])) * len(asked), task.document_texts(asked))
        positives = len(asked) - len(candidates)
        below = scores[positives:] <= scores[:positives].min()
        counts["guide"] += int((~below).sum())
        left.append(candidates[below])
    return left
