"""What a record costs, as far as can be said without an encoder: the length of its texts, sequences, series, sounds.

Batches of like cost (`Batching.buckets`) go by it where the records have no column of their own. Only the order of costs matters
there, so characters do for tokens, and bytes of a file for its samples.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nearfar.core.errors import DataError
from nearfar.data.records import Records

CHUNK = 4_096  # records looked at at once


def costs(records: Records, fields: Sequence[str], *, paths: bool = False) -> np.ndarray:
    """The sum of the lengths of some fields [n] float64; what is read from disk is read once, from front to back.

    A text counts its characters, without what a source puts before it; an array or a list its first axis, a mapping its longest
    entry, a graph its nodes; what has no length is 1. With `paths` a text is the name of a file, which counts its bytes.

    Raises DataError for a file that is not there.

    >>> records = Records({"text": ["a", "bcd"], "row": [np.zeros((4, 2)), np.zeros((1, 2))]})
    >>> costs(records, ["text"]).tolist(), costs(records, ["text", "row"]).tolist()
    ([1.0, 3.0], [5.0, 4.0])
    """
    total = np.zeros(len(records))
    for first in range(0, len(records), CHUNK):
        index = np.arange(first, min(first + CHUNK, len(records)))
        for field in fields:
            items = records.many(field, index, prompted=False)
            total[index] += [
                _of_file(item) if paths and isinstance(item, (str, os.PathLike)) else _length(item) for item in items
            ]
    return total


def _length(item: Any) -> int:
    if isinstance(item, Mapping):
        return max((_length(value) for value in item.values()), default=1)
    if hasattr(item, "x") and hasattr(item, "edges"):
        return len(item.x)
    shape = getattr(item, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 1
    return len(item) if hasattr(item, "__len__") else 1


def _of_file(path: str | os.PathLike[str]) -> int:
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}", where=str(path), remedy="start again") from None
