"""What an index in files is at a moment: which vectors count, which rows live, and the graph over them.

A change makes another view, and whoever searches goes on with theirs. Changes by this process advance the view; those by another are
seen by the version in `rows.sqlite`, and all is read again.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nearfar.search.graph import Graph
from nearfar.search.manifest import Manifest, damaged
from nearfar.search.rows import Table
from nearfar.search.vector_files import VectorFiles, Vectors

EXACT = 200_000  # rows up to which every vector is looked at; above, a graph of neighbours chooses candidates
OUTSIDE = 20_000  # rows, or a tenth of all, that are searched beside the graph before it is made longer


class View(NamedTuple):
    """An index at one moment; `alive` [slots] says which of the vectors have a row."""

    version: int
    alive: np.ndarray
    living: int
    vectors: Vectors
    signs: np.ndarray | None
    graph: Graph | None


class Views:
    """The views of one open index, one after the other. Safe from several threads; one of them at a time changes the index."""

    def __init__(self, directory: Path, manifest: Manifest, table: Table) -> None:
        self.directory, self.manifest, self.table = directory, manifest, table
        self.files = VectorFiles(directory, manifest.dtype, manifest.dimension)
        self._lock = threading.Lock()
        self._last: View | None = None

    def now(self) -> View:
        """The index as it is now, what other processes wrote included."""
        with self._lock:
            slots, version = self.table.numbers()
            if self._last is None or self._last.version != version:
                self._last = self._read(slots, version)
            return self._last

    def advance(self, view: View, gone: list[int], slots: int) -> None:
        """After a change of our own, without reading all slots again: some rows less, and those from the end of `view` on."""
        alive = np.ones(slots, dtype=bool)
        alive[: len(view.alive)] = view.alive
        alive[gone] = False
        with self._lock:
            self._last = self._of(view.version + 1, alive, view.graph)

    def extend_graph(self) -> None:
        """After a change: a graph where there are many rows, made longer once enough are outside of it."""
        view = self.now()
        slots, covered = len(view.alive), view.graph.covered if view.graph else 0
        if self.manifest.dtype == "bits" or slots <= EXACT:
            return
        if view.graph and slots - covered <= max(OUTSIDE, slots // 10):
            return
        # A copy of its own is made longer: the one in use is being searched.
        older = Graph.load(self.directory, view.vectors, self.manifest.dimension) if covered else None
        graph = Graph.build(view.vectors, slots, self.manifest.dimension, older)
        graph.save(self.directory)
        with self._lock:
            self._last = view._replace(graph=graph)

    def _read(self, slots: int, version: int) -> View:
        alive, living = np.zeros(slots, dtype=bool), self.table.slots()
        if len(living) and not 0 <= living[0] <= living[-1] < slots:
            raise damaged(self.table.path, f"there is a row {living[-1]} and {slots:,} vectors")
        alive[living] = True
        return self._of(version, alive, self._last.graph if self._last else None)

    def _of(self, version: int, alive: np.ndarray, graph: Graph | None) -> View:
        opened = self.files.open(len(alive))
        vectors = Vectors(opened[-1])
        if graph is None and self.manifest.dtype != "bits" and len(alive) > EXACT:
            graph = Graph.load(self.directory, vectors, self.manifest.dimension)
        signs = opened[0] if self.manifest.dtype == "bits" else None
        return View(version, alive, int(alive.sum()), vectors, signs, graph)
