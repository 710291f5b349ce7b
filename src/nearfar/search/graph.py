"""A graph of neighbours (HNSW, by `usearch`) over the vectors of an index: candidates for large ones, scored again exactly.

It is derived: `graph.usearch` may be thrown away at any time, and is made anew where it does not fit. Rows that were added since it
was written are searched without it. Vectors are held in it in the index's own precision, or as bfloat16 where that is float32:
half the memory, and candidates are scored again anyway.

Source: Malkov and Yashunin 2016 (arXiv 1603.09320). 16 links and 128 candidates while building are usearch's defaults.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.files import sha256, write_text
from nearfar.core.optional import needed
from nearfar.search.manifest import GRAPH, GRAPH_IS
from nearfar.search.vector_files import Vectors

LINKS = 16
WHILE_BUILDING = 128
WHILE_SEARCHING = 128  # twice usearch's default: what is not found costs more than what is looked at
SAME = 0.99  # cosine of a vector with what the graph holds of it, which is rounded
PART = 65_536  # vectors given to it at once


class Graph:
    """The neighbours of the first `covered` vectors."""

    def __init__(self, held: Any, covered: int) -> None:
        self._held, self.covered = held, covered

    @classmethod
    def build(cls, vectors: Vectors, count: int, dimension: int, older: Graph | None = None) -> Graph:
        """The graph of the first `count` vectors; an older one of fewer is made longer, in place: nobody may search it meanwhile."""
        usearch = needed("usearch.index", "search")
        held, done = (older._held, older.covered) if older else (_empty(usearch, dimension, vectors), 0)
        for start in range(done, count, PART):
            numbers = np.arange(start, min(start + PART, count))
            held.add(numbers.astype(np.uint64), np.ascontiguousarray(vectors[numbers[0] : numbers[-1] + 1]), copy=True)
        return cls(held, count)

    def save(self, directory: Path) -> None:
        """Write it beside the index, then what it is: a process that dies in between leaves a graph that `load` does not believe."""
        work = directory / f".{GRAPH}.new"
        self._held.save(str(work))
        with open(work, "rb+") as file:
            os.fsync(file.fileno())
        told = {"covered": self.covered, "dimension": int(self._held.ndim), "sha256": sha256(work)}
        os.replace(work, directory / GRAPH)
        write_text(directory / GRAPH_IS, json.dumps(told) + "\n")

    @classmethod
    def load(cls, directory: Path, vectors: Vectors, dimension: int) -> Graph | None:
        """What `save` wrote, if it is there, whole (its reader is no place for a damaged file), and of these very vectors."""
        try:
            told = json.loads((directory / GRAPH_IS).read_text("utf-8"))
            covered = int(told["covered"])
            if (
                told["dimension"] != dimension
                or not 0 < covered <= len(vectors)
                or sha256(directory / GRAPH) != told["sha256"]
            ):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        held = _empty(needed("usearch.index", "search"), dimension, vectors)
        held.load(str(directory / GRAPH))
        for number in (0, covered // 2, covered - 1):
            mine = held.get(np.uint64(number))
            if mine is None or _cosine(np.asarray(mine, np.float32).ravel(), vectors[number : number + 1][0]) < SAME:
                return None
        held.expansion_search = WHILE_SEARCHING
        return cls(held, covered)

    def candidates(self, queries: np.ndarray, k: int) -> np.ndarray:
        """About the k nearest [q k] int64 of unit queries [q d], in no exact order; -1 where there are fewer."""
        matches = self._held.search(queries, min(k, self.covered))
        keys = np.asarray(matches.keys).astype(np.int64).reshape(len(queries), -1)
        counts = np.atleast_1d(np.asarray(getattr(matches, "counts", keys.shape[1])))
        keys[np.arange(keys.shape[1]) >= counts[:, None]] = -1
        return keys


def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    return float(x @ y / max(np.linalg.norm(x) * np.linalg.norm(y), 1e-12))


def _empty(usearch: Any, dimension: int, vectors: Vectors) -> Any:
    return usearch.Index(
        ndim=dimension,
        metric="cos",
        dtype="i8" if vectors.stored.dtype == np.int8 else "bf16",
        connectivity=LINKS,
        expansion_add=WHILE_BUILDING,
        expansion_search=WHILE_SEARCHING,
    )
