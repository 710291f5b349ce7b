"""Parquet files by pyarrow, which is imported only when one is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from nearfar.core.errors import DataError, ResourceError
from nearfar.data.lines import existing_file, unreadable
from nearfar.data.record import Record

BATCH = 4096  # rows in memory at once


def parquet_rows(path: str | Path, columns: Collection[str] | None = None) -> Iterator[Record | DataError]:
    """The rows of a file, numbered from 1; only `columns` are read if the file has them all.

    Errors raised: ResourceError without pyarrow; DataError for a file that is corrupt.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ResourceError(
            "parquet files need pyarrow, which is not installed",
            where=str(path),
            remedy="pip install 'nearfar[parquet]'",
        ) from None
    source, number = str(existing_file(path)), 0
    try:
        with pyarrow.parquet.ParquetFile(source) as file:
            names = file.schema_arrow.names
            chosen = list(columns) if columns and set(columns) <= set(names) else None
            for batch in file.iter_batches(batch_size=BATCH, columns=chosen):
                for values in batch.to_pylist():
                    number += 1
                    yield Record(values, source, number, "row")
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise _corrupt(source, number, error) from None
    except OSError as error:
        # Arrow reports a damaged page as an OSError without an errno; with one, the system refused.
        raise (unreadable(source, error) if error.errno else _corrupt(source, number, error)) from None
    if not number:
        raise DataError("the file has columns and no record", where=source, remedy="give a file that holds records")


def _corrupt(source: str, number: int, error: Exception) -> DataError:
    return DataError(
        f"the parquet file is corrupt or cut off after row {number:,}: {str(error)[:200]}",
        where=source,
        remedy="write or fetch the file again",
    )
