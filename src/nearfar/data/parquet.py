"""Parquet files by pyarrow, which is imported only when one is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from nearfar.core.errors import DataError, NearfarError, ResourceError
from nearfar.data.lines import existing_file, unreadable
from nearfar.data.record import Record

BATCH = 4096  # rows in memory at once


def parquet_rows(path: str | Path, columns: Collection[str] | None = None) -> Iterator[Record | DataError]:
    """The rows of a file, numbered from 1; only `columns` are read if the file has them all.

    Errors raised: ResourceError without pyarrow; DataError for a file that is corrupt.
    """
    source, number = str(path), 0
    pyarrow = library(source)
    existing_file(path)
    try:
        with pyarrow.parquet.ParquetFile(source) as file:
            names = file.schema_arrow.names
            chosen = list(columns) if columns and set(columns) <= set(names) else None
            for batch in file.iter_batches(batch_size=BATCH, columns=chosen):
                for values in batch.to_pylist():
                    number += 1
                    yield Record(values, source, number, "row")
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        raise broken(source, error, f" after row {number:,}") from None
    if not number:
        raise DataError("the file has columns and no record", where=source, remedy="give a file that holds records")


def library(source: str) -> Any:
    """The module pyarrow with its `parquet`. Raises ResourceError, which names what it is needed for, where it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ResourceError(
            "parquet files need pyarrow, which is not installed",
            where=source,
            remedy="pip install 'nearfar[parquet]'",
        ) from None
    return pyarrow


def broken(source: str, error: Exception, after: str = "") -> NearfarError:
    """The error for a file of which pyarrow reads no more, `after` so many rows."""
    # Arrow reports a damaged page as an OSError without an errno; with one, the system refused.
    if isinstance(error, OSError) and error.errno:
        return unreadable(source, error)
    return DataError(
        f"the parquet file is corrupt or cut off{after}: {str(error)[:200]}",
        where=source,
        remedy="write or fetch the file again",
    )
