"""`Living`: the rows of an index as they are when it is made, as the arrays and texts that `dedupe`, `cluster` and `tag` take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nearfar.core.errors import DataError
from nearfar.search.index import Index

BLOCK = 4096  # rows read at once


class Living:
    """The vectors [n d] of all rows, read when asked for: `living[start:end]`, `living[numbers]`. A number is a place in `slots`.

    >>> import tempfile
    >>> index = Index.build(tempfile.mkdtemp() + "/i", np.eye(3, dtype="float32"), [{"text": t} for t in "abc"], model="none")
    >>> living = Living(index)
    >>> len(living), living[np.array([2, 0])].tolist(), [row["text"] for _, row in living.named([1])]
    (3, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], ['b'])

    Raises DataError for an index without a row.
    """

    def __init__(self, index: Index) -> None:
        self.index, self.slots = index, index.slots()
        if not len(self.slots):
            raise DataError("the index has no rows", where=str(index.directory), remedy="add some first")

    def __len__(self) -> int:
        return len(self.slots)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.index.vectors(self.slots[rows])

    def named(self, rows: Sequence[int] | np.ndarray) -> list[tuple[str, dict[str, Any]]]:
        """(key, columns) of rows; of one that another process deleted meanwhile, a key and no columns."""
        slots = self.slots[np.asarray(rows, dtype=np.int64)].tolist()
        found = self.index.named(slots)
        return [found.get(slot, (f"slot {slot}", {})) for slot in slots]

    def every(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(key, columns) of all rows, some read at once."""
        for start in range(0, len(self), BLOCK):
            yield from self.named(np.arange(start, min(start + BLOCK, len(self))))


def text_of(row: dict[str, Any]) -> str:
    """What a row says: its `text`; of an image its class and its path; else its longest text.

    >>> text_of({"text": "a"}), text_of({"image": "photos/7.jpg", "class": "cat"}), text_of({"n": 1, "a": "x", "b": "xyz"})
    ('a', 'cat photos/7.jpg', 'xyz')
    """
    if isinstance(row.get("text"), str):
        return row["text"]
    if isinstance(row.get("image"), str):
        return f"{row.get('class') or ''} {row['image']}".strip()
    return max((value for value in row.values() if isinstance(value, str)), key=len, default="")
