"""Bring an index up to date with a source of records, in bounded memory: encode what is new or changed, leave what is not.

Every record has a key and a digest of all that it says. Rows of a key with the same digest are left alone, so that a source that
was indexed halfway when the process died goes on where it was, and one that changed a little costs a little.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from nearfar.core.errors import DataError
from nearfar.search.backend import Backend
from nearfar.search.rows import as_json, digest

AT_ONCE = 2_048  # records encoded and written at once: what a kill may cost


class Item(NamedTuple):
    """A record of a source: its key, the row to keep of it, what is encoded, where it stands for people, and its vector if it has one."""

    key: str
    row: Mapping[str, Any]
    encoded: Any
    where: str
    vector: np.ndarray | None = None


@dataclass
class Changes:
    """How many records were added, encoded anew, left as they were, deleted, and left out because the model knows nothing of them."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    unknown: int = 0


def update(
    index: Backend,
    items: Iterable[Item],
    encode: Callable[[Sequence[Any]], np.ndarray],
    *,
    prune: bool = False,
    at_once: int = AT_ONCE,
    progress: Callable[[int], None] | None = None,
) -> Changes:
    """Add and update the records of a source; with `prune` delete rows that it has no more. What changed.

    encode    records -> vectors [n m], m at least the index's dimension: the first ones are kept (Matryoshka); zeros are left out;
              it is not asked for those that have a vector
    progress  called with how many records are done

    Errors: DataError for a key that the source has twice, and what `Index.add` raises; what was written before stays.
    """
    changes, seen, done = Changes(), set[bytes](), 0
    source = iter(items)
    while part := list(islice(source, at_once)):
        _once(part, seen)
        digests = [_source(item) for item in part]
        same = index.unchanged([item.key for item in part], digests)
        new = [(item, told) for item, told, kept in zip(part, digests, same, strict=True) if not kept]
        changes.unchanged += sum(same)
        if new:
            _write(index, new, encode, changes)
        done += len(part)
        if progress:
            progress(done)
    if prune:
        gone = [key for key in index.all_keys() if _short(key) not in seen]
        changes.deleted += index.delete(gone) if gone else 0
    return changes


def _write(
    index: Backend, new: list[tuple[Item, bytes]], encode: Callable[[Sequence[Any]], np.ndarray], changes: Changes
) -> None:
    vectors = _vectors([item for item, _ in new], encode, index.manifest.dimension)
    known = np.asarray(vectors.any(1), dtype=bool)
    changes.unknown += int((~known).sum())
    kept = [pair for pair, is_known in zip(new, known, strict=True) if is_known]
    # A row whose new text the model knows nothing of must not go on standing for the old one.
    stale = [item.key for (item, _), is_known in zip(new, known, strict=True) if not is_known]
    changes.deleted += index.delete(stale) if stale else 0
    if kept:
        before = len(index)
        keys = [item.key for item, _ in kept]
        index.add(vectors[known], [item.row for item, _ in kept], keys, sources=[told for _, told in kept])
        added = len(index) - before
        changes.added += added
        changes.updated += len(kept) - added


def _vectors(items: Sequence[Item], encode: Callable[[Sequence[Any]], np.ndarray], dimension: int) -> np.ndarray:
    """[n dimension], those that are there already and those of `encode`, in the order of the items."""
    asked = [item.encoded for item in items if item.vector is None]
    made = iter(np.asarray(encode(asked)) if asked else [])
    return np.stack([(next(made) if item.vector is None else item.vector)[:dimension] for item in items])


def _once(part: list[Item], seen: set[bytes]) -> None:
    for item in part:
        short = _short(item.key)
        if short in seen:
            raise DataError(
                f"the key {item.key!r} is there twice",
                where=item.where,
                remedy="choose a column whose values are all different",
            )
        seen.add(short)


def _short(key: str) -> bytes:
    """Sixteen bytes for a key: all keys of a corpus are held at once, its texts are not."""
    return sha256(key.encode("utf-8", "surrogatepass")).digest()[:16]


def _source(item: Item) -> bytes:
    return digest(as_json(item.row, item.where) + json.dumps(item.encoded, sort_keys=True, default=str))
