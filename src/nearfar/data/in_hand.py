"""Data in memory as records: tuples, dicts, arrays, DataFrames, Arrow tables and data sets of other libraries.

Foreign types are told by what they can do, not by their class, so that none of their libraries is imported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nearfar.core.errors import DataError, UsageError
from nearfar.data.record import Record, missing_column

SIDES = ("query", "document", "negatives")
ACCEPTED = "a path, a list of tuples or dicts, a dict of lists or arrays, a DataFrame or an Arrow table"


def in_hand_rows(source: Any, columns: Sequence[str] | None = None) -> Iterator[Record | DataError]:
    """The records of data in memory, numbered from 0, unchecked; an item of a wrong form comes as its error.

    source    an iterable of 2- or 3-tuples (their cells are named by `columns`, or query, document, negatives) or of
              dicts; or columns: a mapping of names to sequences, or what has `columns` or `column_names` and gives one
              by [name]
    columns   the columns that are needed; others are not read

    Errors raised: UsageError for another type, DataError for columns of different lengths or names that occur twice.
    """
    names = named_columns(source)
    if names is not None:
        return _columned(source, names, columns)
    if isinstance(source, Iterable) and not isinstance(source, (str, bytes)):
        return _items(source, tuple(columns or SIDES), type(source).__name__)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        # A data set of torch: it need not know when to stop, so it is not iterated over.
        items = (source[i] for i in range(len(source)))
        return _items(items, tuple(columns or SIDES), type(source).__name__)
    raise UsageError(f"data of type {type(source).__name__} gives no pairs", where="data", remedy=f"give {ACCEPTED}")


def named_columns(source: Any) -> list[Any] | None:
    """The names of the columns of a table in hand; None for what is none."""
    if isinstance(getattr(source, "column_names", None), Mapping):
        raise UsageError(
            f"a {type(source).__name__} holds several data sets: {', '.join(source)}",
            where="data",
            remedy='give one of them, data["train"], or several by names of yours',
        )
    if isinstance(source, Mapping):
        return list(source)
    if not hasattr(source, "__getitem__"):
        return None
    for attribute in ("column_names", "columns"):
        names = getattr(source, attribute, None)
        if names is not None and not callable(names):
            return list(names)
    return None


def _columned(source: Any, names: list[Any], columns: Collection[str] | None) -> Iterator[Record]:
    kind = type(source).__name__
    double = sorted({str(n) for n in names if names.count(n) > 1})
    if double:
        raise DataError(f"two columns are named {double[0]!r}", where=kind, remedy="give every column its own name")
    for name in columns or ():
        # Negatives may be missing from single records but not, as a whole, from a table.
        if name not in names:
            raise missing_column(name, names, kind)
    table = {str(name): _as_list(source[name], f"{kind}, column {name!r}") for name in (columns or names)}
    lengths = {name: len(values) for name, values in table.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"the columns have different lengths: {', '.join(f'{n} {c:,}' for n, c in lengths.items())}",
            where=kind,
            remedy="give every column one entry a record",
        )
    return (
        Record(dict(zip(table, cells, strict=True)), kind, i, "item")
        for i, cells in enumerate(zip(*table.values(), strict=True))
    )


def _as_list(values: Any, where: str) -> list[Any]:
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method):
            values = getattr(values, method)()
            break
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise DataError(
            f"a column is a {type(values).__name__}, not a list of records",
            where=where,
            remedy='give lists: {"question": ["...", "..."], "answer": ["...", "..."]}',
        )
    return list(values)


def _items(source: Iterable[Any], names: tuple[str, ...], kind: str) -> Iterator[Record | DataError]:
    for i, item in enumerate(source):
        if isinstance(item, Mapping):
            yield Record({str(k): v for k, v in item.items()}, kind, i, "item")
            continue
        if hasattr(item, "tolist") and not isinstance(item, str):
            item = item.tolist()  # a row of an array
        if isinstance(item, (tuple, list)) and 2 <= len(item) <= len(names):
            cells = [*item, *[None] * (len(names) - len(item))]
            yield Record(dict(zip(names, cells, strict=True)), kind, i, "item")
            continue
        size = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
        yield DataError(
            f"a pair ({', '.join(names)}) is needed, not a {type(item).__name__}{size}",
            where=f"{kind}[{i}]",
            remedy='give ("question", "answer"), a third entry for hard negatives, or a dict',
        )
