"""`array_records`: data in hand, of any modality, as `Records` - arrays, tensors, lists, columns of a DataFrame.

What an encoder or a view can read becomes a field: texts, images, waves, series, rows of a table, graphs. A number a record is read by
none of them but by relations and orders, so it becomes a column. Nothing is copied that can be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.data.records import Records, Taken


def array_records(*, columns: Sequence[str] = (), **arrays: Any) -> Records:
    """Records of arrays [n ...], tensors, lists, columns or tables of a DataFrame, each with one entry a record.

    columns  names of those that are columns although they could be fields: texts become their 63-bit ids, numbers [n k]
             (places, times, several labels) stay as they are
    arrays   by name. A number a record (also true and false) is a column; all else is a field: texts, arrays [n ...] of which
             a record is arrays[i], lists of arrays of unequal length, a DataFrame of which a record is a row of numbers

    A field of texts has a column of their ids too, under its name: so that equal texts are known to be no negatives of each other.

    Errors: DataError for unequal lengths, no entries, missing numbers in a column, mixed kinds; UsageError for names in `columns`
    that are not there, and when nothing is a field.

    >>> import numpy as np, nearfar as nf
    >>> from nearfar.data.array_records import array_records
    >>> records = array_records(series=np.zeros((3, 20, 2)), text=["a", "b", "a"], label=[0, 1, 0])
    >>> sorted(records.fields), sorted(records.columns), records.fields["series"][0].shape
    (['series', 'text'], ['label', 'text'], (20, 2))
    """
    unknown = [name for name in columns if name not in arrays]
    if unknown:
        raise UsageError(f"there is no array {unknown[0]!r}", where="columns", remedy=f"there are {', '.join(arrays)}")
    fields: dict[str, Any] = {}
    found: dict[str, np.ndarray] = {}
    for name, given in arrays.items():
        values = _entries(given, name)
        texts = _texts(values, name)
        if texts is not None:
            found[name] = string_ids(texts)
            if name not in columns:
                fields[name] = texts
        elif name in columns or _is_number_each(values):
            found[name] = _column(values, name)
        else:
            fields[name] = values if isinstance(values, (list, tuple)) else Items(values)
    if not fields:
        raise UsageError(
            f"nothing here is a record to embed: {', '.join(arrays) or 'no array'} are numbers of records",
            where="data",
            remedy='give arrays [n ...] or texts; features of a table as one array: row=frame[["a", "b"]].to_numpy()',
        )
    if not len(next(iter(fields.values()))):
        raise DataError("there is no record", where="data in hand", remedy="give arrays with at least one entry")
    return Records(fields, found)


class Items(Sequence[Any]):
    """The entries of an array, a tensor, or whatever knows its length and gives an entry by its number."""

    def __init__(self, values: Any) -> None:
        self._values = values

    @property
    def in_hand(self) -> bool:
        """Whether it is an array; some other data set may read from a disk."""
        return isinstance(self._values, np.ndarray) or hasattr(self._values, "detach")

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> Any:
        """Entry number `index`, or the sequence of those of a slice."""
        if isinstance(index, slice):
            return Taken(self, np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"entry {index} of {len(self)}")  # some data sets never stop by themselves
        return self._values[int(index)]


def _entries(given: Any, name: str) -> Any:
    """What was given as something with one entry a record; what is not is an error."""
    if hasattr(given, "to_numpy"):  # a column or a table of a DataFrame
        given = given.to_numpy()
    if hasattr(given, "to_pylist"):  # of Arrow
        given = given.to_pylist()
    if isinstance(given, np.ndarray) and given.dtype == object:
        given = list(given) if given.ndim == 1 else _numbers(given, name)
    if hasattr(given, "shape"):
        if not given.shape:
            raise DataError("a single number is no array of records", where=name, remedy="give one entry a record")
        return given
    if isinstance(given, (str, bytes)) or not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
        if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
            return list(given)
        raise DataError(
            f"a {type(given).__name__} is no array of records", where=name, remedy="give one entry a record"
        )
    return given


def _numbers(table: np.ndarray, name: str) -> np.ndarray:
    """A table of objects, as a DataFrame of columns of several types gives it, as one of numbers."""
    try:
        return table.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(
            "a table holds what is no number", where=name, remedy="leave such columns out, or turn them into numbers"
        ) from None


def _texts(values: Any, name: str) -> list[str] | None:
    """Texts as a list, None where these are none."""
    if isinstance(values, np.ndarray):
        return [str(text) for text in values] if values.dtype.kind == "U" and values.ndim == 1 else None
    if not isinstance(values, (list, tuple)):  # not looked through: it may lie on a disk
        return None
    texts = [isinstance(value, str) for value in values]
    if any(texts) and not all(texts):
        raise DataError(
            f"a {type(values[texts.index(False)]).__name__} among texts",
            where=f"{name}[{texts.index(False)}]",
            remedy="give texts only; leave out the records without one",
        )
    return [str(value) for value in values] if texts and all(texts) else None


def _is_number_each(values: Any) -> bool:
    if hasattr(values, "shape"):
        return len(values.shape) == 1
    return isinstance(values, (list, tuple)) and len(values) > 0 and all(np.isscalar(v) or v is None for v in values)


def _column(values: Any, name: str) -> np.ndarray:
    """A column of numbers [n] or [n k]."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    try:
        made = np.asarray(values)
    except ValueError:
        made = np.asarray(None)
    if made.dtype.kind not in "iufb" or made.ndim not in (1, 2):
        raise DataError(
            f"a column of {made.dtype} with {made.ndim} axes is none of numbers [n] or [n k]",
            where=name,
            remedy="give numbers or texts, one kind, and one entry a record",
        )
    missing = np.flatnonzero(~np.isfinite(made).reshape(len(made), -1).all(1))
    if len(missing):
        raise DataError(
            "a column has no finite number here",
            where=f"{name}[{int(missing[0])}]",
            remedy="fill it, or leave the record out",
        )
    return made
