"""One record of a source and where it came from, so that every complaint can name the file and the line.

`checked` is the one gate through which records of files and of data in hand pass: it converts the cells and applies the
policy for bad records (`bad_records.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from nearfar.core.errors import DataError
from nearfar.data.bad_records import BadRecords
from nearfar.data.cells import CONVERTERS, OPTIONAL, Kind


class Record(NamedTuple):
    """Cells by column name, and the place: `number` counts lines or rows from 1, items of data in hand from 0."""

    values: dict[str, Any]
    source: str
    number: int
    unit: str = "line"

    @property
    def where(self) -> str:
        """The place in words: `pairs.jsonl, line 3`, or `list[3]` for data in hand."""
        return place(self.source, self.number, self.unit)


class MissingColumn(DataError):
    """A column that was asked for is not there."""


def place(source: str, number: int, unit: str = "line") -> str:
    """A place in words."""
    return f"{source}[{number}]" if unit == "item" else f"{source}, {unit} {number}"


def missing_column(name: str, available: Iterable[str], where: str) -> MissingColumn:
    """The error for a column that is not there; it lists those that are and suggests the nearest."""
    names = [str(n) for n in available]
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    remedy = f"{hint}the columns are {', '.join(names)}"
    return MissingColumn(f"there is no column {name!r}", where=where, remedy=remedy)


def checked(
    rows: Iterable[Record | DataError], kinds: Mapping[str, Kind] | None, bad: BadRecords, source: str
) -> Iterator[Record]:
    """Records whose cells were converted to `kinds` (all cells unchanged for None); bad ones go to `bad`.

    A column missing from the very first record is taken for a misspelt name and raised under every policy, and so is an
    optional column that no record has.

    Errors: DataError for the first bad record, too many bad records, no usable record, a missing column.
    """
    wanted: Mapping[str, Kind] = kinds or {}
    unseen = {name for name, kind in wanted.items() if kind in OPTIONAL}
    first: Record | None = None
    for row in rows:
        try:
            if isinstance(row, DataError):
                raise row
            first = first or row
            unseen -= row.values.keys()
            good = row if kinds is None else row._replace(values=converted(row, wanted))
        except DataError as error:
            if isinstance(error, MissingColumn) and row is first:
                raise
            bad.take(error)
            continue
        bad.seen += 1
        yield good
    bad.finish(source)
    if unseen and first is not None:
        raise missing_column(sorted(unseen)[0], first.values, source)


def converted(record: Record, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The cells of the columns in `kinds`, as those say. Raises DataError, which names the column, for a cell that is not so."""
    values = {}
    for name, kind in kinds.items():
        if name not in record.values and kind not in OPTIONAL:
            raise missing_column(name, record.values, record.where)
        try:
            values[name] = CONVERTERS[kind](record.values.get(name))
        except DataError as error:
            raise DataError(error.what, where=f"{record.where}, column {name!r}", remedy=error.remedy) from None
    return values
