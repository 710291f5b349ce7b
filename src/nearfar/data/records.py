"""`Records`: what is trained on, of any modality - fields that encoders and views read, columns that relations and orders read.

A field is a sequence with one item a record (texts, arrays, paths, graphs), in hand or read from disk when asked for. A column is
an array of numbers [n] or [n k]. Both have names, and nothing else in the library asks where records come from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, UsageError


@dataclass(frozen=True)
class Note:
    """Something about the data that the user should know and that is no error."""

    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return self.what + (f" -> {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, eq=False)
class Records:
    """n records.

    fields    name -> sequence of n items; one with a method `many(index) -> list` is read in batches
    columns   name -> array [n] or [n k] of numbers: labels, ids of texts, groups, places; strings become stable 63-bit hashes
    source    where they come from, in words
    notes     what was found odd
    digest    of the contents, where the reader knows one; else it is computed of what is in hand

    Raises DataError for fields and columns of unequal length, and for none at all.

    >>> records = Records({"text": ["a", "b", "c"]}, {"label": np.array([0, 1, 0])})
    >>> len(records), records.take([2, 0]).many("text", [0, 1])
    (3, ['c', 'a'])
    """

    fields: Mapping[str, Sequence[Any]]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    source: str = "data in hand"
    notes: tuple[Note, ...] = ()
    digest: str = ""

    def __post_init__(self) -> None:
        sizes = {name: len(values) for name, values in {**self.fields, **self.columns}.items()}
        if not self.fields or len(set(sizes.values())) > 1:
            raise DataError(
                f"the fields and columns of records have lengths {sizes}" if sizes else "records without any field",
                where=self.source,
                remedy="give every field and column one entry a record",
            )

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def many(self, name: str, index: Sequence[int] | np.ndarray, *, prompted: bool = True) -> list[Any]:
        """The items of a field at `index`, in that order. Raises UsageError for a field that is not there.

        `prompted` False leaves out what a source puts before its texts.
        """
        if name not in self.fields:
            raise UsageError(f"these records have no field {name!r}", remedy=f"the fields are {', '.join(self.fields)}")
        values = self.fields[name]
        if not prompted:
            values = getattr(values, "unprompted", values)
        numbers = np.asarray(index, dtype=np.int64).tolist()
        reader = getattr(values, "many", None)
        return list(reader(numbers)) if reader is not None else [values[i] for i in numbers]

    def take(self, index: Sequence[int] | np.ndarray) -> Records:
        """The records at `index`, in that order, without the notes; what is on disk stays there."""
        numbers = np.asarray(index, dtype=np.int64)
        fields = {name: Taken(values, numbers) for name, values in self.fields.items()}
        # Where the whole is known by a digest, so is a part of it, and nothing need be read to know it.
        digest = hashlib.sha256(f"{self.digest} ".encode() + numbers.tobytes()).hexdigest() if self.digest else ""
        return Records(fields, {k: v[numbers] for k, v in self.columns.items()}, self.source, digest=digest)

    def with_columns(self, **columns: np.ndarray) -> Records:
        """A copy with further columns, or other values for those it has."""
        return replace(self, columns={**self.columns, **columns})

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all items and columns in their order, in hexadecimal; names, source and notes do not count."""
        if self.digest:
            return self.digest
        digest = hashlib.sha256()
        for values in [*self.fields.values(), *self.columns.values()]:
            for item in values:
                data = _bytes(item)
                digest.update(b"%d:" % len(data) + data)  # lengths, so that no two tables read the same
            digest.update(b";")
        return digest.hexdigest()


class Taken(Sequence[Any]):
    """Some items of another sequence, in an order of their own; none of them is copied."""

    def __init__(self, values: Sequence[Any], index: np.ndarray) -> None:
        if isinstance(values, Taken):
            values, index = values._values, values._index[index]
        self._values, self._index = values, index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: Any) -> Any:
        """Item number `index`, or the sequence of those of a slice."""
        if isinstance(index, slice):
            return Taken(self._values, self._index[index])
        return self._values[int(self._index[index])]

    @property
    def unprompted(self) -> Sequence[Any]:
        """The same items without what is put before them, where anything is."""
        return Taken(getattr(self._values, "unprompted", self._values), self._index)

    def many(self, index: Sequence[int]) -> list[Any]:
        """The items at `index`."""
        places = self._index[np.asarray(index, dtype=np.int64)].tolist()
        reader = getattr(self._values, "many", None)
        return list(reader(places)) if reader is not None else [self._values[i] for i in places]


def is_in_hand(values: Any) -> bool:
    """Whether the items of a field are in memory, so that reading one costs nothing."""
    if isinstance(values, Taken):
        return is_in_hand(values._values)
    return bool(getattr(values, "in_hand", isinstance(values, (list, tuple, np.ndarray)) or hasattr(values, "detach")))


def _bytes(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    if hasattr(item, "numpy"):
        item = item.numpy()
    if isinstance(item, (np.ndarray, np.generic)):
        return f"{item.dtype}{item.shape}".encode() + np.ascontiguousarray(item).tobytes()
    if isinstance(item, (list, tuple)):
        return b"".join(b"%d:" % len(part) + part for part in map(_bytes, item))
    if item is None or isinstance(item, (bool, int, float, Mapping)):
        return json.dumps(item, sort_keys=True, default=str).encode()
    vars_of = getattr(item, "__dict__", None)
    return _bytes([type(item).__name__, *(v for _, v in sorted(vars_of.items()))]) if vars_of else str(item).encode()
