"""What an index gives and takes, whatever keeps it: the shape of an answer, and the checks of vectors, keys, numbers and models."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.search.manifest import Manifest
from nearfar.search.vector_files import unit

FEW, SHORT = 50, 60  # different values of a column that filters offer, and characters of one
LONGEST_KEY = 1024


class Hits(NamedTuple):
    """Slots [q k] int64, -1 where there are fewer, and scores [q k] float32, best first; equal ones in the order of slots."""

    rows: np.ndarray
    scores: np.ndarray


def asked(k: SupportsIndex) -> int:
    """How many hits are asked for; UsageError below 1."""
    if operator.index(k) < 1:
        raise UsageError(f"k={k} asks for nothing", where="k", remedy="ask for at least one row")
    return operator.index(k)


def table_of(vectors: Any) -> np.ndarray:
    """Vectors [n d] to begin an index with. UsageError for any other shape or type, DataError for none."""
    vectors = np.asanyarray(vectors)  # a memory-mapped array stays one
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise UsageError(
            f"an index takes vectors [n d] of floating point, not {list(vectors.shape)} of {vectors.dtype}",
            where="vectors",
            remedy="give what model.encode returns",
        )
    if 0 in vectors.shape:
        raise DataError("there is nothing to index: no vectors", where="vectors", remedy="give at least one row")
    return vectors


def unit_rows(vectors: Any, dimension: int, name: str) -> np.ndarray:
    """Vectors [n d] or queries [q d] of an index, at unit length. UsageError for a shape or type that does not fit."""
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.shape[1] != dimension or vectors.dtype.kind != "f":
        raise UsageError(
            f"{name} are {list(vectors.shape)} of {vectors.dtype}; the index takes [n {dimension}] of floating point",
            where=name,
            remedy="encode with the model of the index; a single vector is vector[None]",
        )
    return unit(vectors, name)


def keys_of(keys: Iterable[str], count: int, start: int = 0, seen: set[str] | None = None) -> list[str]:
    """`count` keys, each once, none of those `seen`. DataError for what is no key or not as many, UsageError for one given twice."""
    names = list(keys)
    seen = set() if seen is None else seen
    for number, name in enumerate(names, start=start):
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_KEY:
            raise DataError(
                f"{str(name)[:40]!r} is no key",
                where=f"keys[{number}]",
                remedy=f"give texts of 1 to {LONGEST_KEY:,} printable characters",
            )
        if name in seen:
            raise given_twice(name)
        seen.add(name)
    if len(names) != count:
        raise DataError(f"{len(names):,} keys for {count:,} vectors", where="keys", remedy="give one key a vector")
    return names


def given_twice(name: str) -> UsageError:
    """The error for a key of two rows."""
    return UsageError(f"the key {name!r} is given twice", where="keys", remedy="give every row a key of its own")


def taken(name: str) -> UsageError:
    """The error for a number that an older row has as its key."""
    return UsageError(f"the key {name!r} is taken", where="keys", remedy="give keys of your own")


def as_many(rows: int, vectors: int) -> None:
    """DataError unless every vector has a row."""
    if rows != vectors:
        raise DataError(f"{rows:,} rows for {vectors:,} vectors", where="rows", remedy="give one row a vector")


def check_model(manifest: Manifest, model: str | None, place: Any) -> None:
    """DataError unless `model` (None: unknown) is the fingerprint of the model that made the index."""
    if model is not None and model != manifest.model:
        raise DataError(
            f"the index was made by model {manifest.model[:12]}, not by {model[:12]}: their vectors cannot be compared",
            where=str(place),
            remedy="search with the model that made it, or build the index again with this one",
        )


def check_writable(writable: bool, place: Any) -> None:
    """UsageError for an index that is open for reading."""
    if not writable:
        raise UsageError("the index is open for reading", where=str(place), remedy="open it with write=True")


def no_column(name: str, there: Iterable[str]) -> UsageError:
    """The error for a filter on a column that no row has: a misspelt one would find nothing for ever."""
    return UsageError(
        f"no record has a column {name!r}", where="filter", remedy=f"there are {', '.join(there) or 'none'}"
    )


def no_row(slot: Any, place: Any) -> UsageError:
    """The error for a slot that there is not."""
    return UsageError(f"there is no row {slot}", where=str(place), remedy="ask for one of index.slots()")
