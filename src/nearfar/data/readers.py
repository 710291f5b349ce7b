"""`read`: the records of a file, whatever its format; for all that is wrong an error that names file, line and column.

jsonl, csv and tsv (plain or .gz) and parquet. Nothing is guessed from the content: the name's ending says the format.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nearfar.core.errors import DataError
from nearfar.data.bad_records import BadRecords
from nearfar.data.cells import Kind
from nearfar.data.delimited import delimited_rows
from nearfar.data.in_hand import named_columns
from nearfar.data.jsonl import jsonl_rows
from nearfar.data.lines import existing_file
from nearfar.data.parquet import parquet_rows
from nearfar.data.record import Record, checked

Rows = Iterator[Record | DataError]
FORMATS: dict[str, Callable[[str | Path, Collection[str] | None], Rows]] = {
    ".jsonl": lambda path, columns: jsonl_rows(path),
    ".ndjson": lambda path, columns: jsonl_rows(path),
    ".csv": lambda path, columns: delimited_rows(path, ","),
    ".tsv": lambda path, columns: delimited_rows(path, "\t"),
    ".parquet": parquet_rows,
}
GZIPPED = (".jsonl", ".ndjson", ".csv", ".tsv")


def read(
    path: str | Path, columns: Sequence[str] | Mapping[str, Kind] | None = None, *, bad: BadRecords | None = None
) -> Iterator[Record]:
    """The records of a file, one after the other, in bounded memory.

    columns   which columns must be there, or {name: kind} to convert them too: "text", "texts" (a text, a list of
              texts or nothing), "number" (finite), "any". None: all columns as they are
    bad       the policy for bad records and their tally; by default the first one raises

    Errors: DataError with file, line (or row), column and remedy; ResourceError for a file that may not be read or a
    package that is missing. They come while iterating.

    >>> for record in read("pairs.jsonl", {"question": "text", "score": "number"}):     # doctest: +SKIP
    ...     print(record.where, record.values["question"])
    """
    kinds: Mapping[str, Kind] | None
    kinds = columns if columns is None or isinstance(columns, Mapping) else dict.fromkeys(columns, "any")
    return checked(raw_rows(path, kinds), kinds, bad or BadRecords(), str(path))


def column_names(source: Any) -> list[str]:
    """The columns of the first record of a file or of data in hand, none where that is no record of named cells."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        first = next(iter(raw_rows(path)), None) if path.is_file() else None
        return list(first.values) if isinstance(first, Record) else []
    names = named_columns(source)
    if names is None and isinstance(source, Sequence) and len(source) and isinstance(source[0], Mapping):
        names = list(source[0])
    return [str(name) for name in names or ()]


def raw_rows(path: str | Path, columns: Collection[str] | None = None) -> Rows:
    """Records as they stand in the file, unchecked; bad lines as errors, not raised."""
    file = existing_file(path)
    endings = [s.lower() for s in file.suffixes]
    packed = bool(endings) and endings[-1] == ".gz"
    ending = (endings[-2] if len(endings) > 1 else "") if packed else (endings[-1] if endings else "")
    if ending not in FORMATS or (packed and ending not in GZIPPED):
        raise DataError(
            f"files named {''.join(endings[-2:]) or file.name!r} cannot be read",
            where=str(path),
            remedy=f"give {', '.join(FORMATS)}, or {', '.join(e + '.gz' for e in GZIPPED)}",
        )
    return FORMATS[ending](path, columns)
