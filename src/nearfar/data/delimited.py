"""csv and tsv with a header, as spreadsheets, pandas and databases write them: quotes doubled inside quoted fields.

Strict on purpose: a lenient reader turns one unclosed quote into one giant cell and loses the rows in between without
a word.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from nearfar.core.errors import DataError
from nearfar.data.cells import MAX_TEXT
from nearfar.data.lines import Line, broken_utf8, lines
from nearfar.data.record import Record, place


def delimited_rows(path: str | Path, delimiter: str) -> Iterator[Record | DataError]:
    """The rows of a file as records of texts; a bad row comes as the error it deserves. Blank lines are left out.

    Errors raised: DataError for a header that is missing, doubled, alone, or seems to use another delimiter.
    """
    source = _Decoder(path)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    csv.field_size_limit(max(csv.field_size_limit(), MAX_TEXT + 1))
    header = _header(reader, source, path, delimiter)
    empty = True
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            empty = False
            if source.broken:
                yield source.broken[0]
                source.broken.clear()
                continue
            yield broken_row(error, place(str(path), start))
            continue
        if not cells:
            continue
        empty = False
        if source.broken:
            yield source.broken[0]
            source.broken.clear()
        else:
            yield row_of(cells, header, delimiter, str(path), start)
    if empty:
        raise DataError("there is a header and no record", where=str(path), remedy="give a file that holds records")


def row_of(cells: Sequence[str], header: Sequence[str], delimiter: str, source: str, number: int) -> Record | DataError:
    """The cells of one row by their columns, or the error that it deserves."""
    if len(cells) == len(header):
        return Record(dict(zip(header, cells, strict=True)), source, number)
    return DataError(
        f"the row has {len(cells)} fields, the header {len(header)}",
        where=place(source, number),
        remedy=f"quote fields that hold {delimiter!r}, and give every row all fields",
    )


def broken_row(error: csv.Error, where: str) -> DataError:
    """The error for a row that is no csv."""
    return DataError(
        f"the row cannot be read: {error}",
        where=where,
        remedy='close every quote and double those inside a quoted field: "say ""hi"""',
    )


def _header(reader: Iterator[list[str]], source: _Decoder, path: str | Path, delimiter: str) -> list[str]:
    where = place(str(path), 1)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"the header cannot be read: {error}", where=where, remedy="close every quote") from None
    if source.broken:
        raise source.broken[0]
    if not any(header):
        raise DataError("there is no header", where=where, remedy="name the columns in the first line")
    double = sorted({name for name in header if header.count(name) > 1})
    if double:
        raise DataError(f"the header names {double[0]!r} twice", where=where, remedy="give every column its own name")
    if len(header) == 1:
        for other, name in ((",", "a comma"), (";", "a semicolon"), ("\t", "a tab"), ("|", "a bar")):
            if other != delimiter and other in header[0]:
                raise DataError(
                    f"the file seems to be separated by {name}, not by {delimiter!r}",
                    where=where,
                    remedy="separate by commas in .csv and by tabs in .tsv",
                )
    return header


class _Decoder(Iterator[str]):
    """Decoded lines for csv.reader; broken UTF-8 is noted and passed on masked, so that quotes still match."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.lines: Iterator[Line] = lines(path)
        self.broken: list[DataError] = []

    def __next__(self) -> str:
        line = next(self.lines)
        try:
            return line.raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.broken.append(broken_utf8(line, self.path, error))
            return line.raw.decode("utf-8", "replace")
