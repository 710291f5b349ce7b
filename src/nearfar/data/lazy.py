"""Corpora larger than memory: `Records` whose fields read record i from disk when asked for it.

Files are read by number (`shards`), several of them as one, so shuffling stays a permutation and a position in training an
integer. Of a record of jsonl or csv 16 bytes are kept, and 8 for each column that is asked for: ids of texts, by which
duplicates are kept out of batches, labels, groups. The digest of the whole is of the files' bytes, not of names or times.

Opening reads each file once for offsets and digest, and once more, parsing, where columns or a check are asked for.
"""

from __future__ import annotations

import hashlib
import os
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.data.bad_records import BadRecords
from nearfar.data.cells import Kind
from nearfar.data.columns import PairColumns, first_values, found_columns, given_columns
from nearfar.data.numbers import column_of
from nearfar.data.record import Record, checked, converted
from nearfar.data.records import Note, Records, Taken
from nearfar.data.shards import Shard, open_shard

PEEKED = 100  # records looked at to find the columns
CHUNK = 1_024  # records parsed at once when all are
REMEMBERED = 4  # batches kept parsed, since query and document are asked for one after the other
LARGEST = 16_384  # records of a batch that is kept


def lazy_records(
    source: Any,
    columns: Mapping[str, Kind] | Sequence[str] | None = None,
    *,
    ids: Sequence[str] = (),
    numbers: Sequence[str] = (),
    bad: BadRecords | None = None,
) -> Records:
    """Records of files, read when asked for; every column is a field of its name.

    source    a path (jsonl, csv, tsv, parquet), several of them as one, or a `datasets.Dataset`
    columns   what the fields are, and what each must hold: {"question": "text"}, kinds as in `read`; or names only; None: all
              but `numbers`
    ids       text fields of which 63-bit ids are kept, as columns of their names: equal for equal texts of any field
    numbers   columns of the file that are kept as arrays [n]: numbers, or texts as their ids (labels, groups). In csv all are
              texts, unless `columns` says {"score": "number"}
    bad       a policy for bad records: every record is then looked at before training. With "skip" bad ones are left out

    Without `bad`, `ids` or `numbers` no record is parsed beforehand: a bad one is a DataError when it is read, which names file
    and line. Other errors: DataError for a file that cannot be read, naming it, also when it changes later; UsageError for a
    gzipped file or a stream, which have no random access.

    >>> import tempfile, pathlib, nearfar as nf
    >>> file = pathlib.Path(tempfile.mkdtemp(), "a.jsonl")
    >>> _ = file.write_text('{"text": "one", "label": 3}\\n{"text": "two", "label": 5}\\n')
    >>> records = lazy_records(file, ["text"], numbers=["label"])
    >>> records.many("text", [1, 0]), records.columns["label"].tolist()
    (['two', 'one'], [3, 5])
    """
    table = LazyTable(source)
    kinds: dict[str, Kind] = dict.fromkeys(columns or [name for name in table.names() if name not in numbers], "any")
    if isinstance(columns, Mapping):
        kinds |= columns
    wrong = sorted(set(ids) - set(kinds) or set(ids) & set(numbers))
    if wrong:
        raise UsageError(
            f"ids of {wrong[0]!r}, which is no field or a column of numbers",
            where="ids",
            remedy=f"choose of {list(kinds)}",
        )
    further: dict[str, Kind] = dict.fromkeys(numbers, "value")
    table.kinds = further | kinds
    kept = table.read_columns(ids, numbers, bad) if ids or numbers or bad is not None else {}
    return table.records({name: (name,) for name in kinds}, kept)


def lazy_pairs(
    source: Any,
    columns: str | Sequence[str] | None = None,
    *,
    numbers: Sequence[str] = (),
    bad: BadRecords | None = None,
) -> Records:
    """Pairs of texts of files, read when asked for: fields `query`, `document` and, where there are any, `negatives`.

    `source`, `numbers` and `bad` as in `lazy_records`, `columns` as in `pairs`: "question,answer", then columns of hard negatives; found in
    the first 100 records where there is no doubt. Columns `query` and `document` are 63-bit ids of the texts, of one space.

    Unlike `pairs` this does not look for repeated pairs, nor remove negatives that another pair gives as a right answer.

    Errors: as `lazy_records`, and DataError for columns in doubt and for fewer than two pairs.
    """
    table = LazyTable(source)
    chosen = table.pair_columns() if columns is None else given_columns(columns)
    further: dict[str, Kind] = dict.fromkeys(numbers, "value")
    table.kinds = further | chosen.kinds()
    texts = (chosen.query, chosen.document)
    ids = table.read_columns(texts, [name for name in numbers if name not in texts], bad)
    if len(table) < 2:
        raise DataError(
            "there is one pair only, and a contrast needs at least two", where=table.source, remedy="give more pairs"
        )
    fields: dict[str, tuple[str, ...]] = {"query": (chosen.query,), "document": (chosen.document,)}
    if chosen.negatives:
        fields["negatives"] = chosen.negatives
    kept = {name: ids[name] for name in numbers}
    return table.records(fields, kept | {"query": ids[chosen.query], "document": ids[chosen.document]})


class LazyTable:
    """Rows of several shards by one number; `kinds` says which columns are read, and what they must hold."""

    def __init__(self, source: Any) -> None:
        several = isinstance(source, Sequence) and not isinstance(source, str) and not hasattr(source, "column_names")
        parts = list(source) if several else [source]
        if not parts:
            raise UsageError("there are no files", where="data", remedy="give at least one path")
        self.shards: list[Shard] = [open_shard(part) for part in parts]
        self.ends = np.cumsum([len(shard) for shard in self.shards])
        self.kinds: Mapping[str, Kind] = {}
        self.chosen: np.ndarray | None = None  # numbers of the rows that are left where bad ones are not
        first = self.shards[0].source
        self.source = first if len(parts) == 1 else f"{len(parts)} files, {os.path.basename(first)} the first"
        self.notes: list[Note] = [Note(shard.note) for shard in self.shards if shard.note]
        self._forget()

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.chosen is None else len(self.chosen)

    def raw(self, index: np.ndarray) -> Iterator[Record | DataError]:
        """Unchecked rows of the shards at `index` [n], which ascends."""
        names = list(self.kinds) or None
        shard = np.searchsorted(self.ends, index, side="right")
        for s in np.unique(shard).tolist():
            first = int(self.ends[s - 1]) if s else 0
            yield from self.shards[s].rows((index[shard == s] - first).tolist(), names)

    def many(self, index: Sequence[int]) -> list[dict[str, Any]]:
        """Converted cells of the rows at `index`, in that order; the first bad one is raised."""
        key = tuple(index)
        with self._lock:
            if key in self._batches:
                return self._batches[key]
        wanted = np.asarray(index, dtype=np.int64)
        if len(wanted) and not (-len(self) <= wanted.min() <= wanted.max() < len(self)):
            raise IndexError(f"record {int(np.abs(wanted).max())} of {len(self)}")
        wanted = np.where(wanted < 0, wanted + len(self), wanted)
        places = wanted if self.chosen is None else self.chosen[wanted]
        unique, back = np.unique(places, return_inverse=True)  # from front to back, each once
        rows = [converted(_good(row), self.kinds) for row in self.raw(unique)]
        batch = [rows[i] for i in back.tolist()]
        if len(batch) <= LARGEST:
            with self._lock:
                self._batches[key] = batch
                while len(self._batches) > REMEMBERED:
                    self._batches.popitem(last=False)
        return batch

    def read_columns(self, ids: Sequence[str], numbers: Sequence[str], bad: BadRecords | None) -> dict[str, np.ndarray]:
        """Columns of all rows, read once from front to back; what is bad goes to `bad`, and out if that is its policy."""
        policy = bad or BadRecords()
        at, kept = [0], array("q")
        found: dict[str, list[np.ndarray]] = {name: [] for name in (*ids, *numbers)}
        texts: dict[str, bool | None] = dict.fromkeys(numbers)
        good = ((at[0], record) for record in checked(self._all(at), self.kinds, policy, self.source))
        while chunk := list(islice(good, CHUNK)):
            kept.extend(place for place, _ in chunk)
            rows = [record for _, record in chunk]
            for name in ids:
                found[name].append(string_ids(row.values[name] for row in rows))
            for name in numbers:
                found[name].append(column_of(name, rows, texts[name]))
                texts[name] = isinstance(rows[0].values[name], str)
        if len(kept) < int(self.ends[-1]):
            self.chosen = np.array(kept)
            self.notes.append(Note(f"{policy.count:,} bad records were left out; the first: {policy.reasons[0]}"))
        return {name: np.concatenate(pieces) for name, pieces in found.items()}

    def records(self, fields: Mapping[str, tuple[str, ...]], columns: Mapping[str, np.ndarray]) -> Records:
        """The records whose fields are these columns of the table; several columns in a field are joined, as lists."""
        digest = hashlib.sha256()
        for shard in self.shards:
            digest.update(shard.digest.encode())
        for name, of in fields.items():
            digest.update(repr((name, of, [self.kinds[column] for column in of])).encode())
        if self.chosen is not None:
            digest.update(self.chosen.tobytes())
        made = {name: LazyField(self, of) for name, of in fields.items()}
        return Records(made, columns, self.source, tuple(self.notes), digest.hexdigest())

    def names(self) -> list[str]:
        """The columns of the first record."""
        return list(_good(next(self.raw(np.array([0])))).values)

    def pair_columns(self) -> PairColumns:
        """The two sides and the negatives, as far as the first records leave no doubt."""
        head = list(self.raw(np.arange(min(PEEKED, len(self)))))
        good = [row.values for row in head if isinstance(row, Record)]
        if not good and isinstance(head[0], DataError):
            raise head[0]
        return found_columns(first_values(good), self.source)

    def _all(self, at: list[int]) -> Iterator[Record | DataError]:
        """Every row; `at` holds the number of the one given last, which `checked` does not pass on."""
        for start in range(0, int(self.ends[-1]), CHUNK):
            numbers = np.arange(start, min(start + CHUNK, int(self.ends[-1])))
            for at[0], row in zip(numbers.tolist(), self.raw(numbers), strict=True):
                yield row

    def _forget(self) -> None:
        self._batches: OrderedDict[tuple[int, ...], list[dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_batches", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()


class LazyField(Sequence[Any]):
    """One column of a table, or several joined to lists; `many` reads a batch from front to back of each file."""

    def __init__(self, table: LazyTable, columns: tuple[str, ...]) -> None:
        self.table, self.columns = table, columns

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: Any) -> Any:
        """Item number `index`, or the sequence of those of a slice, which are not read yet."""
        if isinstance(index, slice):
            return Taken(self, np.arange(len(self))[index])
        return self.many([int(index)])[0]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), CHUNK):
            yield from self.many(range(start, min(start + CHUNK, len(self))))

    def many(self, index: Sequence[int]) -> list[Any]:
        """The items at `index`, in that order."""
        rows = self.table.many(index)
        if len(self.columns) == 1:
            return [row[self.columns[0]] for row in rows]
        return [[item for name in self.columns for item in row[name]] for row in rows]


def _good(row: Record | DataError) -> Record:
    if isinstance(row, DataError):
        raise row
    return row
