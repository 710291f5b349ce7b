"""JSON lines: one object a line, read as a stream; `shards.JsonlShard` reads the same lines by number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from nearfar.core.errors import DataError
from nearfar.data.lines import Line, decoded, lines
from nearfar.data.record import Record, place


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
