"""JSON lines: one object a line, read as a stream (`jsonl_rows`) or one record at a time (`JsonlFile`).

`JsonlFile` makes corpora larger than memory trainable: it keeps 16 bytes a record, so that shuffling is a permutation
of numbers and a position in training is an integer.
"""

from __future__ import annotations

import json
import operator
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import SupportsIndex

from nearfar.core.errors import DataError, UsageError
from nearfar.data.bad_records import BadRecords
from nearfar.data.cells import Kind
from nearfar.data.lines import Line, decoded, existing_file, lines, unreadable
from nearfar.data.record import Record, checked, place


def jsonl_rows(path: str | Path) -> Iterator[Record | DataError]:
    """The records of a file; a bad line comes as the error it deserves, so that the caller's policy decides.

    Blank lines are left out.
    """
    for line in lines(path):
        if line.raw.strip():
            try:
                yield parsed(line, path)
            except DataError as error:
                yield error


def parsed(line: Line, path: str | Path) -> Record:
    """One line as a record; DataError if it is no JSON object."""
    where = place(str(path), line.number)
    text = decoded(line, path)
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        # json.dump ends the last line without a newline too, so only a line that also fails to parse was cut off.
        cut = not line.raw.endswith(b"\n")
        what = "the last line is cut off" if cut else "the line is no JSON"
        remedy = "write the file again, or delete its last line" if cut else 'write one object a line: {"text": "..."}'
        raise DataError(f"{what}: {error.msg} at character {error.pos}", where=where, remedy=remedy) from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"the line cannot be read as JSON: {str(error)[:100]}",
            where=where,
            remedy="look for absurd numbers or nesting",
        ) from None
    if not isinstance(values, dict):
        raise DataError(
            f"the line holds a {type(values).__name__}, not an object",
            where=where,
            remedy='write one object a line: {"question": "...", "answer": "..."}',
        )
    return Record(values, str(path), line.number)


class JsonlFile(Sequence[Record]):
    """A jsonl file whose record i is read without the others.

    Opening scans the file once for line starts and parses nothing; bad lines are found when they are read. The file
    must not change afterwards. Holds no open file, so that it can be sent to worker processes. `columns` as in
    `readers.read`.

    Errors: DataError as `read`, on access; UsageError for a gzipped file, which has no random access.
    """

    def __init__(self, path: str | Path, columns: Mapping[str, Kind] | None = None) -> None:
        self.path, self.columns = existing_file(path), columns
        if self.path.suffix.lower() == ".gz":
            raise UsageError("a gzipped file has no random access", where=str(path), remedy="unpack it first")
        self._state = self._stat()
        self._offsets, self._numbers = array("q"), array("q")
        for line in lines(self.path):
            if line.raw.strip():
                self._offsets.append(line.offset)
                self._numbers.append(line.number)
        if not self._offsets:
            raise DataError("there is no record", where=str(path), remedy="give a file that holds records")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: SupportsIndex) -> Record:  # type: ignore[override]
        """Record number `index`, from 0; negative ones count from the end."""
        i = operator.index(index)
        offset, number = self._offsets[i], self._numbers[i]
        if self._stat() != self._state:
            raise DataError("the file changed since it was opened", where=str(self.path), remedy="open it again")
        try:
            with open(self.path, "rb") as file:
                file.seek(offset)
                line = Line(file.readline(), number, offset)
        except OSError as error:
            raise unreadable(self.path, error) from None
        return next(checked([parsed(line, self.path)], self.columns, BadRecords(), str(self.path)))

    def _stat(self) -> tuple[int, int]:
        try:
            state = self.path.stat()
        except OSError as error:
            raise unreadable(self.path, error) from None
        return state.st_size, state.st_mtime_ns
