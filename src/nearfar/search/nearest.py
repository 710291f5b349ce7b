"""Which rows of an index are nearest: every one is looked at, or candidates of a graph or of signs are scored again.

Whatever chooses the candidates, their scores are the exact cosines with the stored vectors, and equal ones are in the order of slots.
"""

from __future__ import annotations

import numpy as np

from nearfar.maths.nearest_chunked import exact_scores, nearest_allowed, nearest_chunked
from nearfar.search import views
from nearfar.search.graph import Graph
from nearfar.search.vector_files import Vectors, signs
from nearfar.search.views import View

DENSE = 4  # where at least one row in so many may be found, the others are looked at too and left out afterwards
OVER = 16  # candidates by signs for every hit that is asked for
LEAST = 200  # candidates by signs, whatever is asked for
UNIT = 1 + 1e-6  # no stored vector is longer: float32 rounds a unit row by less
BITS = 262_144  # rows of signs compared at once


class Taken:
    """Some rows of vectors, by their slots, for `nearest_chunked`: gathered a block at a time."""

    def __init__(self, vectors: Vectors, slots: np.ndarray) -> None:
        self._vectors, self._slots = vectors, slots

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self._vectors[self._slots[rows]]


def nearest(queries: np.ndarray, view: View, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Slots [q k] int64 (-1 where there are fewer) and cosines [q k] float32 of unit queries [q d], best first.

    allowed   which may be found, bool [slots]; None: all living ones
    """
    if allowed is None:
        mask, count = view.alive, view.living
    else:
        mask = view.alive & allowed
        count = int(mask.sum())
    k = min(k, count)
    if not k or not len(queries):
        return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    if view.signs is not None and count > LEAST:
        chosen = _by_signs(queries, view.signs, max(LEAST, OVER * k), mask)
        return _scored(queries, view.vectors, chosen, k)
    if view.graph is not None and count > views.EXACT:
        return _scored(queries, view.vectors, _by_graph(queries, view, view.graph, k, mask, count), k)
    if count == len(mask):
        return nearest_chunked(queries, view.vectors, k, longest=UNIT)
    if DENSE * count >= len(mask):
        found = nearest_allowed(queries, view.vectors, k, lambda _, slots: mask[slots], longest=UNIT)
        return _scored(queries, view.vectors, list(found), k)
    slots = np.flatnonzero(mask)
    numbers, scores = nearest_chunked(queries, Taken(view.vectors, slots), k, longest=UNIT)
    return slots[numbers], scores


def _by_graph(queries: np.ndarray, view: View, graph: Graph, k: int, mask: np.ndarray, count: int) -> list[np.ndarray]:
    """Slots of candidates for each query: of the graph, more and more until enough may be found, and of what it does not cover."""
    covered = graph.covered
    outside = np.flatnonzero(mask[covered:]) + covered
    made: list[np.ndarray] = [outside[:0]] * len(queries)
    waiting, wanted = np.arange(len(queries)), min(covered, int(k * len(mask) / count * 1.2) + 8)
    while len(waiting):
        found = graph.candidates(queries[waiting], wanted)
        short = []
        for query, slots in zip(waiting, found, strict=True):
            passing = slots[slots >= 0]
            made[query] = passing[mask[passing]]
            if len(made[query]) < k and wanted < covered:
                short.append(query)
        if short:
            # Counted only where it matters: it reads a flag of every row, and a search reads far fewer.
            least = min(k, int(np.count_nonzero(mask[:covered])))
            short = [query for query in short if len(made[query]) < least]
        waiting, wanted = np.array(short, dtype=np.int64), min(4 * wanted, covered)
    if len(outside):
        numbers, _ = nearest_chunked(queries, Taken(view.vectors, outside), min(k, len(outside)), longest=UNIT)
        made = [np.concatenate([near, outside[row]]) for near, row in zip(made, numbers, strict=True)]
    return made


def _by_signs(queries: np.ndarray, stored: np.ndarray, wanted: int, mask: np.ndarray) -> list[np.ndarray]:
    """Slots of the `wanted` rows that differ from each query in the fewest signs."""
    asked, made = signs(queries), []
    for query in asked:
        apart = np.empty(len(stored), dtype=np.int32)
        for start in range(0, len(stored), BITS):
            part = slice(start, start + BITS)
            apart[part] = np.bitwise_count(stored[part] ^ query).sum(1, dtype=np.int32)
        apart[~mask] = np.iinfo(np.int32).max
        made.append(np.argpartition(apart, wanted - 1)[:wanted] if wanted < len(apart) else np.flatnonzero(mask))
    return [slots[mask[slots]] for slots in made]


def _scored(
    queries: np.ndarray, vectors: Vectors, candidates: list[np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best candidates of each query by their exact cosines."""
    slots, scores = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32)
    for number, chosen in enumerate(candidates):
        chosen = np.sort(chosen[chosen >= 0])
        exact = exact_scores(vectors[chosen], queries[number])
        first = np.lexsort((chosen, -exact))[:k]
        slots[number, : len(first)], scores[number, : len(first)] = chosen[first], exact[first]
    return slots, scores
