"""One file of which record i is read without the others: jsonl and csv by byte offsets, parquet by row groups.

Opening reads a file once, for the starts of its records and a digest of its bytes, and parses nothing; nothing is written beside
it. A record of jsonl or csv costs 16 bytes of memory. No file is held open and no state is kept but what opening found, so
a shard can be sent to worker processes; a file that changed since it was opened is an error, never other records.
"""

from __future__ import annotations

import csv
import hashlib
import json
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

import numpy as np

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.data.cells import MAX_TEXT
from nearfar.data.delimited import broken_row, delimited_rows, row_of
from nearfar.data.jsonl import parsed
from nearfar.data.lines import MAX_LINE, Line, broken_utf8, existing_file, lines, unreadable
from nearfar.data.parquet import broken, library
from nearfar.data.record import Record, place

CACHE = 256 << 20  # bytes of decoded row groups that one parquet file may keep
SAMPLE = 1_000  # records by which a data set of another library is known


@runtime_checkable
class Shard(Protocol):
    """n records that are read by number. `digest` is of their contents, `note` what a user should know of reading them."""

    source: str
    digest: str
    note: str

    def __len__(self) -> int: ...

    def rows(self, index: Sequence[int], columns: Sequence[str] | None) -> list[Record | DataError]:
        """The records at `index`, which ascends; a bad one as its error. Only `columns` need be there (None: all)."""
        ...


def open_shard(source: Any) -> Shard:
    """A shard of a path or of a data set.

    Errors: DataError for what cannot be read, UsageError for a gzipped file or a data set without random access.
    """
    if not isinstance(source, (str, Path)):
        return DatasetShard(source)
    path = existing_file(source)
    ending = path.suffix.lower()
    if ending == ".gz":
        raise UsageError("a gzipped file has no random access", where=str(path), remedy="unpack it first: gunzip FILE")
    if ending in (".jsonl", ".ndjson"):
        return JsonlShard(path)
    if ending in (".csv", ".tsv"):
        return DelimitedShard(path, "," if ending == ".csv" else "\t")
    if ending == ".parquet":
        return ParquetShard(path)
    raise DataError(
        f"files named {ending or path.name!r} cannot be read by record",
        where=str(path),
        remedy="give .jsonl, .ndjson, .csv, .tsv or .parquet",
    )


class FileShard:
    """What is common to files: the path, and the refusal of one that changed."""

    note = ""

    def __init__(self, path: Path) -> None:
        self.path, self.source = path, str(path)
        self._state = self._stat()

    def check(self) -> None:
        """DataError if the file is not the one that was opened; ResourceError if it cannot be read any more."""
        if self._stat() != self._state:
            raise DataError("the file changed since it was opened", where=self.source, remedy="start again with it")

    def _stat(self) -> tuple[int, int]:
        try:
            state = self.path.stat()
        except OSError as error:
            raise unreadable(self.path, error) from None
        return state.st_size, state.st_mtime_ns


class TextShard(FileShard):
    """Records that begin at a line: 8 bytes for the offset and 8 for the line's number."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._offsets, self._numbers = array("q"), array("q")
        digest = hashlib.sha256()
        for start in self._starts(digest):
            self._offsets.append(start.offset)
            self._numbers.append(start.number)
        self.digest = digest.hexdigest()
        if not self._offsets:
            raise DataError("there is no record", where=self.source, remedy="give a file that holds records")

    def __len__(self) -> int:
        return len(self._offsets)

    def rows(self, index: Sequence[int], columns: Sequence[str] | None) -> list[Record | DataError]:
        """See `Shard`; all columns are given."""
        self.check()
        rows: list[Record | DataError] = []
        try:
            with open(self.path, "rb") as file:
                for i in index:
                    file.seek(self._offsets[i])
                    try:
                        rows.append(self._read(file, self._numbers[i], self._offsets[i]))
                    except DataError as error:
                        rows.append(error)
        except OSError as error:
            raise unreadable(self.path, error) from None
        return rows

    def _starts(self, digest: Any) -> Iterator[Line]:
        """The first line of every record; all bytes go into the digest."""
        raise NotImplementedError

    def _read(self, file: BinaryIO, number: int, offset: int) -> Record | DataError:
        """The record that begins where the file stands; what is wrong with it is given or raised."""
        raise NotImplementedError


class JsonlShard(TextShard):
    """One object a line."""

    def _starts(self, digest: Any) -> Iterator[Line]:
        for line in lines(self.path):
            digest.update(line.raw)
            if line.raw.strip():
                yield line

    def _read(self, file: BinaryIO, number: int, offset: int) -> Record:
        return parsed(Line(file.readline(MAX_LINE + 1), number, offset), self.path)


class DelimitedShard(TextShard):
    """csv and tsv with a header; a quoted field may hold newlines, so that a record is one line or many."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self.delimiter = delimiter
        self.header: list[str] = []
        next(delimited_rows(path, delimiter))  # all that can be wrong with a header is said there
        super().__init__(path)

    def _starts(self, digest: Any) -> Iterator[Line]:
        # Quotes, delimiters and newlines are ASCII, which UTF-8 uses for nothing else: no decoding is needed to find records.
        taken: list[Line] = []
        csv.field_size_limit(max(csv.field_size_limit(), 4 * MAX_TEXT + 4))  # bytes of the longest text

        def texts() -> Iterator[str]:
            for line in lines(self.path):
                digest.update(line.raw)
                if not taken:
                    taken.append(line)
                yield line.raw.decode("latin-1")

        reader = csv.reader(texts(), delimiter=self.delimiter, strict=True)
        while True:
            taken.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield taken[0]  # what is wrong with it is said when it is read
                continue
            if not self.header:
                self.header = [name.encode("latin-1").decode("utf-8").strip() for name in cells]
            elif cells:
                yield taken[0]

    def _read(self, file: BinaryIO, number: int, offset: int) -> Record | DataError:
        def texts() -> Iterator[str]:
            line = Line(b"", number - 1, offset)
            while raw := file.readline(MAX_LINE + 1):
                line = Line(raw, line.number + 1, line.offset + len(line.raw))
                try:
                    yield raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise broken_utf8(line, self.path, error) from None

        csv.field_size_limit(max(csv.field_size_limit(), 4 * MAX_TEXT + 4))  # a worker process begins with Python's own
        try:
            cells = next(csv.reader(texts(), delimiter=self.delimiter, strict=True), [])
        except csv.Error as error:
            raise broken_row(error, place(self.source, number)) from None
        return row_of(cells, self.header, self.delimiter, self.source, number)


class ParquetShard(FileShard):
    """A parquet file: a record is read with its whole row group, and the groups read last are kept, up to `CACHE` bytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._opened() as opened:
            groups = [opened.metadata.row_group(i) for i in range(opened.metadata.num_row_groups)]
        if not sum(g.num_rows for g in groups):
            raise DataError("there is no record", where=self.source, remedy="give a file that holds records")
        with path.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._ends = np.cumsum([g.num_rows for g in groups])
        size = sum(g.total_byte_size for g in groups)
        if size > CACHE and len(groups) > 1:
            self.note = (
                f"{path}: records in shuffled order need whole row groups ({size / len(groups) / 2**20:.0f} MiB each) to be "
                f"decoded again and again, as only {CACHE >> 20} MiB are kept; write it as jsonl to shuffle it quickly"
            )
        self._forget()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def rows(self, index: Sequence[int], columns: Sequence[str] | None) -> list[Record | DataError]:
        """See `Shard`; only `columns` are decoded, if the file has them all."""
        self.check()
        numbers = np.asarray(index, dtype=np.int64)
        group = np.searchsorted(self._ends, numbers, side="right")
        rows: list[Record | DataError] = []
        for g in np.unique(group):
            table = self._group(int(g), None if columns is None else tuple(columns))
            first = int(self._ends[g - 1]) if g else 0
            inside = numbers[group == g]
            cells = table.take(inside - first).to_pylist()
            rows += [Record(v, self.source, i + 1, "row") for i, v in zip(inside.tolist(), cells, strict=True)]
        return rows

    def _group(self, group: int, columns: tuple[str, ...] | None) -> Any:
        with self._lock:  # one reader of pyarrow, and one table, for all threads
            if (group, columns) not in self._kept:
                with self._opened() as file:
                    known = columns is not None and set(columns) <= set(file.schema_arrow.names)
                    self._kept[group, columns] = file.read_row_group(
                        group, columns=list(columns or ()) if known else None
                    )
                while len(self._kept) > 1 and sum(t.nbytes for t in self._kept.values()) > CACHE:
                    self._kept.popitem(last=False)
            self._kept.move_to_end((group, columns))
            return self._kept[group, columns]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The file, and what is wrong with it as our errors."""
        pyarrow = library(self.source)
        try:
            with pyarrow.parquet.ParquetFile(self.source) as file:
                yield file
        except (pyarrow.ArrowException, OSError) as error:
            raise broken(self.source, error) from None

    def _forget(self) -> None:
        self._kept: OrderedDict[tuple[int, tuple[str, ...] | None], Any] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_kept", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()


class DatasetShard:
    """A map-style data set of the library `datasets`. It is known by its length and a sample of its records."""

    def __init__(self, dataset: Any) -> None:
        kind = type(dataset).__name__
        if not (hasattr(dataset, "column_names") and hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            streamed = "Iterable" in kind
            raise UsageError(
                f"a {kind} cannot be read by record number"
                + (": a stream that is shuffled and resumed loses and repeats records" if streamed else ""),
                where="data",
                remedy="load it without streaming, or write it to a file and give that: dataset.to_json(FILE)"
                if streamed
                else "give paths of jsonl, csv, tsv or parquet files, or a datasets.Dataset",
            )
        if isinstance(dataset.column_names, dict):
            raise UsageError(
                f"a {kind} holds several data sets: {', '.join(dataset.column_names)}",
                where="data",
                remedy='give one of them: data["train"]',
            )
        if not len(dataset):
            raise DataError("there is no record", where=kind, remedy="give a data set that holds records")
        self.dataset, self.source = dataset, f"datasets.{kind}"
        sample = np.unique(np.linspace(0, len(dataset) - 1, SAMPLE).astype(np.int64)).tolist()
        cells = json.dumps([len(dataset), dataset[sample]], sort_keys=True, default=lambda cell: type(cell).__name__)
        self.digest = hashlib.sha256(cells.encode()).hexdigest()
        self.note = (
            f"the data set is known by its length and {len(sample):,} of its records: another change would not be noticed"
            if len(sample) < len(dataset)
            else ""
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def rows(self, index: Sequence[int], columns: Sequence[str] | None) -> list[Record | DataError]:
        """See `Shard`; only `columns` are decoded, if the data set has them all."""
        known = columns is not None and set(columns) <= set(self.dataset.column_names)
        chosen = self.dataset.select_columns(list(columns)) if columns and known else self.dataset
        try:
            cells = chosen[list(index)]
        except OSError as error:
            raise ResourceError(
                f"the data set cannot be read: {error}", where=self.source, remedy="check the disk, or load it again"
            ) from None
        return [
            Record({name: values[i] for name, values in cells.items()}, self.source, number, "item")
            for i, number in enumerate(index)
        ]
