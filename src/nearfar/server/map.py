"""The map of a corpus: a sample of its rows on their two principal axes, and where a hit falls on the same ones.

Two axes hold a small part of what a vector says: rows that lie together may be unlike, and the page says how much is shown.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from nearfar.maths.principal_axes import principal_axes
from nearfar.search.index import Index
from nearfar.server.shown import label

MOST = 5_000  # points
GRID = 10_000  # places are whole numbers from 0 to this
LETTERS = 60  # of a point's label
COLOURS, COVERED = 12, 0.3  # values of a column that colours points, and the share of points that must have one of them


class CorpusMap:
    """The map of an index as it was when this was made; rows written later are not on it."""

    def __init__(self, index: Index) -> None:
        slots = index.slots()
        chosen = slots[np.linspace(0, len(slots) - 1, min(MOST, len(slots))).astype(int)] if len(slots) else slots
        vectors = index.vectors(chosen) if len(chosen) else np.zeros((1, index.manifest.dimension), np.float32)
        self._axes = principal_axes(vectors)
        places = self._axes.places(vectors)
        low, high = places.min(0), places.max(0)
        self._middle, self._scale = (low + high) / 2, GRID / max(float((high - low).max()), 1e-9)
        rows = index.rows(chosen.tolist())
        self._content = {
            "points": self._on_grid(places).tolist() if len(chosen) else [],
            "keys": [index.key(slot) for slot in chosen.tolist()],
            "labels": [label(row, LETTERS) for row in rows],
            "colours": _colours(rows),
            "rows": len(slots),
            "share": round(float(self._axes.shares[:2].sum()), 4),
            "grid": GRID,
        }

    def places(self, vectors: np.ndarray) -> list[list[int]]:
        """Where vectors [n d] fall, in the units of the points; they may lie beyond the edge."""
        return self._on_grid(self._axes.places(vectors)).tolist() if len(vectors) else []

    def content(self) -> dict[str, Any]:
        """What GET /api/map answers."""
        return self._content

    def _on_grid(self, places: np.ndarray) -> np.ndarray:
        return np.rint((places - self._middle) * self._scale + GRID / 2).astype(int)


def _colours(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Columns whose most frequent short values cover many points: these values, and which each point has (-1: none of them)."""
    made: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [str(row[name]) if row.get(name) is not None else None for row in rows]
        counts = Counter(value for value in values if value is not None and len(value) <= LETTERS)
        frequent = counts.most_common(COLOURS)
        if len(frequent) < 2 or sum(count for _, count in frequent) < COVERED * len(rows) or frequent[-1][1] < 2:
            continue
        order = {value: i for i, value in enumerate(sorted(value for value, _ in frequent))}
        made[name] = {"values": list(order), "codes": [-1 if v is None else order.get(v, -1) for v in values]}
    return made
