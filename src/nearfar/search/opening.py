"""Which backend keeps the index at a place, and the index opened by it: what commands call that take either."""

from __future__ import annotations

from pathlib import Path

from nearfar.search.backend import Backend
from nearfar.search.index import Index
from nearfar.search.lance import LanceIndex
from nearfar.search.lance_table import TABLE, connected, is_remote, tables
from nearfar.search.manifest import MANIFEST

BACKENDS = {"files": Index, "lance": LanceIndex}


def backend_of(place: str | Path) -> str | None:
    """The backend of the index that is there: "files", "lance", or None where none is.

    >>> backend_of("no/such/place")
    """
    if is_remote(place):
        return "lance" if TABLE in tables(connected(place)) else None
    if (Path(place) / f"{TABLE}.lance").is_dir():
        return "lance"
    return "files" if (Path(place) / MANIFEST).exists() else None


def open_index(place: str | Path, *, model: str | None = None, verify: bool = True, write: bool = False) -> Backend:
    """The index at a place; arguments and errors as in `Index.open`. What is in an object store is not verified: that would fetch all of it."""
    if is_remote(place) or backend_of(place) == "lance":
        return LanceIndex.open(place, model=model, verify=verify and not is_remote(place), write=write)
    return Index.open(place, model=model, verify=verify, write=write)
