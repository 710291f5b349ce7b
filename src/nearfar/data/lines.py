"""The lines of a text file, plain or gzipped, with their numbers and byte offsets; says all that is wrong with bytes.

Bytes are cut at newlines before they are decoded, so that one broken character costs one line and can be named.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

from nearfar.core.errors import DataError, NearfarError, ResourceError
from nearfar.data.record import place

MAX_LINE = 64 << 20  # bytes; a longer line is a file without newlines, which would be read into memory whole
BOM = b"\xef\xbb\xbf"
FOREIGN = {  # first bytes of what is no UTF-8 text, and what to do about it
    b"\xff\xfe": ("is UTF-16 text", "save it as UTF-8"),
    b"\xfe\xff": ("is UTF-16 text", "save it as UTF-8"),
    b"PK\x03\x04": ("is a zip archive (or a spreadsheet)", "unpack it, or export the sheet as csv"),
    b"\x1f\x8b": ("is gzipped, which its name does not say", "let the name end in .gz"),
    b"PAR1": ("is a parquet file", "let the name end in .parquet"),
}


class Line(NamedTuple):
    """Raw bytes with their newline, number from 1, offset of the first byte in the (unpacked) file."""

    raw: bytes
    number: int
    offset: int


def existing_file(path: str | Path) -> Path:
    """The path if it is a file that is not empty; DataError otherwise."""
    path = Path(path)
    try:
        if path.is_dir():
            raise DataError("this is a directory, not a file", where=str(path), remedy="name one file in it")
        if not path.exists():
            raise DataError("there is no such file", where=str(path), remedy=_nearest(path))
        if path.stat().st_size == 0:
            raise DataError("the file is empty", where=str(path), remedy="give a file that holds records")
    except OSError as error:
        raise unreadable(path, error) from None
    return path


def unreadable(path: str | Path, error: OSError) -> NearfarError:
    """The error for a file that the system does not let us read."""
    return ResourceError(
        f"the file cannot be read: {error.strerror or error}",
        where=str(path),
        remedy="check its permissions and the disk",
    )


def lines(path: str | Path) -> Iterator[Line]:
    """All lines of a file, gzipped if its name ends in `.gz`.

    Errors: DataError for a file that is missing, empty, no text, has a line beyond 64 MiB, or a gzip stream that is cut
    off; ResourceError for one that may not be read.
    """
    path = existing_file(path)
    number = offset = 0
    try:
        with _opened(path) as file:
            while raw := file.readline(MAX_LINE + 1):
                number += 1
                if number == 1:
                    _refuse_foreign(raw, path)
                if len(raw) > MAX_LINE:
                    raise DataError(
                        f"the line is longer than {MAX_LINE >> 20} MiB",
                        where=place(str(path), number),
                        remedy="write one record a line",
                    )
                start = len(BOM) if number == 1 and raw.startswith(BOM) else 0
                yield Line(raw[start:], number, offset + start)
                offset += len(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"the gzip stream is cut off or corrupt after line {number:,}: {error}",
            where=str(path),
            remedy="fetch or pack the file again",
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None


def decoded(line: Line, path: str | Path) -> str:
    """The line as text; DataError with line and byte for broken UTF-8."""
    try:
        return line.raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise broken_utf8(line, path, error) from None


def broken_utf8(line: Line, path: str | Path, error: UnicodeDecodeError) -> DataError:
    """The error for a line that is no UTF-8."""
    return DataError(
        f"broken UTF-8: byte 0x{line.raw[error.start]:02x} at byte {error.start} of the line "
        f"(byte {line.offset + error.start:,} of the file)",
        where=place(str(path), line.number),
        remedy="convert the file, for instance: iconv -f latin1 -t utf-8 OLD > NEW",
    )


def _opened(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb")


def _refuse_foreign(raw: bytes, path: Path) -> None:
    for magic, (what, remedy) in FOREIGN.items():
        if raw.startswith(magic):
            raise DataError(f"the file {what}", where=str(path), remedy=remedy)


def _nearest(path: Path) -> str:
    from difflib import get_close_matches

    parent = path.parent
    if not parent.is_dir():
        return f"the directory {parent} does not exist either; check the path"
    near = get_close_matches(path.name, [p.name for p in parent.iterdir()], n=1)
    return f"did you mean {parent / near[0]}?" if near else "check the path"
