"""`Index`: vectors and what they stand for in a directory that lasts; searched by vector and by word, added to, and never half-written.

    index.json      format and version, the model's fingerprint, what the builder wants remembered
    vectors.*       unit rows, memory-mapped (`vector_files`)
    rows.sqlite     one JSON object a row, their words, which vectors count (`rows`)
    graph.usearch   neighbours, from 200,000 rows on (`graph`); derived

Vectors are written and flushed first, then one transaction makes their rows count: a process that is killed at any moment leaves an
index with all of a change or nothing of it. Nothing in it is ever unpickled, and no path is read from it.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Self, SupportsIndex

import numpy as np

from nearfar.core.card import Card
from nearfar.core.directories import replaced
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.files import ensure_directory
from nearfar.search.filters import Filter
from nearfar.search.given import (
    FEW,
    SHORT,
    Hits,
    as_many,
    asked,
    check_model,
    check_writable,
    given_twice,
    keys_of,
    no_row,
    table_of,
    taken,
    unit_rows,
)
from nearfar.search.manifest import (
    FILES,
    FORMAT,
    LOCK,
    MANIFEST,
    REBUILD,
    ROWS,
    VECTORS,
    Manifest,
    damaged,
    place_of,
    read_manifest,
)
from nearfar.search.nearest import nearest
from nearfar.search.rows import Row, Table, as_json, digest
from nearfar.search.vector_files import BLOCK, unit
from nearfar.search.views import View, Views

CARD = Card(
    name="index",
    summary="an index on disk that lasts: vectors, rows and words, searched, filtered, added to and deleted from",
    public=("Index",),
)

SAMPLE = 20_000  # rows that `columns` looks at first


class Index:
    """An open index. `build` writes one from vectors in hand, `create` begins an empty one, `open` opens one.

    >>> import tempfile
    >>> place = tempfile.mkdtemp() + "/index"
    >>> index = Index.build(place, np.eye(3, dtype="float32"), [{"name": n} for n in "abc"], model="none")
    >>> hits = index.nearest(np.array([[0.0, 2.0, 1.0]], dtype="float32"), k=2)
    >>> [index.row(slot)["name"] for slot in hits.rows[0]]
    ['b', 'c']

    Searching is safe from several threads, and beside a writer in this process or another. One process at a time writes.
    """

    def __init__(self, directory: Path, manifest: Manifest, *, write: bool) -> None:
        self.directory, self.manifest, self.writable = directory, manifest, write
        self._lock, self._held = threading.RLock(), _lock(directory) if write else None
        self._table = Table(directory / ROWS)
        self._views = Views(directory, manifest, self._table)
        self._passing = lru_cache(maxsize=64)(self._passing_of)
        self._counted = lru_cache(maxsize=4096)(lambda version, word, goes_on: self._table.counted(word, goes_on))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.view().living

    # Making and opening.

    @classmethod
    def build(
        cls,
        directory: str | Path,
        vectors: np.ndarray,
        rows: Iterable[Mapping[str, Any]],
        *,
        model: str,
        about: Mapping[str, Any] | None = None,
        keys: Iterable[str] | None = None,
        dtype: str = "float32",
    ) -> Index:
        """Write an index and open it. An index already there is replaced once the new one is complete.

        vectors   [n d] floating point, scaled to length 1 here; may be memory-mapped
        rows      n mappings, written as JSON; any iterable
        keys      what the rows are called, each once; "0", "1", ... unless given
        model     fingerprint of the model that made the vectors
        about     anything to remember in index.json, as JSON
        dtype     float32; int8, a quarter of it; or bits: a first pass over the signs, scored again by int8

        Errors: DataError for a vector that is zero or not finite, rows that are not n or no JSON; UsageError for a
        directory that holds anything else; ResourceError where it cannot be written. The older index survives them all.
        """
        vectors = table_of(vectors)
        path = Path(os.path.realpath(directory))
        named = map(str, range(len(vectors))) if keys is None else iter(keys)
        with replaced(path, written_as=FORMAT, description=MANIFEST, files=FILES) as work:
            new = cls._begin(work, model, vectors.shape[1], dtype, about, whole=True)
            try:
                _fill(new, vectors, iter(rows), named)
                new._table.finish()
                new._views.extend_graph()
            finally:
                new.close()
        return cls.open(path, model=model, verify=False)

    @classmethod
    def create(
        cls,
        directory: str | Path,
        *,
        model: str,
        dimension: int,
        dtype: str = "float32",
        about: Mapping[str, Any] | None = None,
    ) -> Index:
        """Begin an empty index, open for writing; arguments as in `build`. UsageError for a directory that holds anything."""
        path = Path(os.path.realpath(directory))
        ensure_directory(path)
        if any(name.name != LOCK for name in path.iterdir()):
            raise UsageError(
                "the directory is not empty",
                where=str(path),
                remedy="choose a new one, or open the index that it holds",
            )
        cls._begin(path, model, dimension, dtype, about, whole=False).close()
        return cls.open(path, write=True)

    @classmethod
    def _begin(
        cls, path: Path, model: str, dimension: int, dtype: str, about: Mapping[str, Any] | None, *, whole: bool
    ) -> Index:
        if dtype not in VECTORS:
            raise UsageError(
                f"there is no dtype {dtype!r}", where="dtype", remedy=f"choose one of {', '.join(VECTORS)}"
            )
        as_json(about or {}, "about")
        manifest = Manifest(model, dimension, dtype, dict(about or {}))
        Table.create(path / ROWS, whole=whole).close()
        manifest.write(path)  # last: without it there is no index
        return cls(path, manifest, write=True)

    @classmethod
    def open(
        cls, directory: str | Path, *, model: str | None = None, verify: bool = True, write: bool = False
    ) -> Index:
        """Open an index and check all that it says about itself; checksums with `verify`, which reads all of it.

        model   refuse the index unless a model of this fingerprint made it
        write   open it for changes; one process at a time may

        Errors: DataError for what is no index, is damaged, cut off, of another version, or of another model; ResourceError
        where another process is writing.
        """
        path = place_of(directory)
        manifest = read_manifest(path)
        if not (path / ROWS).is_file():
            raise DataError("a file of the index is missing", where=str(path / ROWS), remedy=REBUILD)
        index = cls(path, manifest, write=write)
        try:
            index.check_model(model)
            if verify:
                index.check()
            index.view()
            if write:
                index._table.beside_readers()
                index._views.extend_graph()
        except BaseException:
            index.close()
            raise
        return index

    def check(self) -> None:
        """Read all of it. DataError for anything that is not what was written."""
        self._table.check()
        slots, _ = self._table.numbers()
        opened, end = self._views.files.open(slots), 0
        segments = list(self._table.segments())
        for first, count, _digests in segments:
            if first != end:
                raise damaged(self.directory / ROWS, f"the vectors from row {end:,} on are not accounted for")
            end += count
        if end != slots:
            raise damaged(self.directory / ROWS, f"{slots:,} vectors count, {end:,} are accounted for")
        self._views.files.check(opened, iter(segments))

    def check_model(self, model: str | None) -> None:
        """DataError unless `model` (None: unknown) is the fingerprint of the model that made this index."""
        check_model(self.manifest, model, self.directory)

    def close(self) -> None:
        """Let go of files and of the right to write."""
        self._table.close()
        if self._held is not None:
            self._held.close()
            self._held = None

    def view(self) -> View:
        """The index as it is now, what other processes wrote included."""
        return self._views.now()

    # Searching.

    def nearest(
        self, queries: np.ndarray, k: int = 10, *, where: Sequence[Filter] = (), model: str | None = None
    ) -> Hits:
        """The k rows that are nearest to each query vector [q d] by cosine, among those that pass all filters.

        Exact up to 200,000 rows that may be found; above, candidates come from a graph of neighbours and their scores are
        exact. With dtype "bits" candidates come from the signs. `model` as in `open`.

        Errors: UsageError for a shape or k that does not fit, DataError for a query that is zero or not finite, or another model.
        """
        self.check_model(model)
        units = unit_rows(queries, self.manifest.dimension, "queries")
        view = self.view()
        found = nearest(units, view, asked(k), self._allowed(view, where))
        return Hits(*found)

    def words(self, text: str, k: int = 10, *, where: Sequence[Filter] = (), prefix: bool = False) -> Hits:
        """The k rows [1 k] that hold words of a text, by BM25 (higher is better); `prefix`: its last word is unfinished.

        A word that more than 10,000 rows hold is left out where a rarer one is asked for too; else about the first 10,000 are ranked.
        """
        view = self.view()
        allowed = self._allowed(view, where)
        found = self._table.words(text, asked(k), allowed, partial(self._counted, view.version), prefix=prefix)
        return Hits(
            np.array([slot for slot, _ in found], dtype=np.int64)[None],
            np.array([s for _, s in found], dtype=np.float32)[None],
        )

    # Rows.

    def row(self, slot: SupportsIndex) -> dict[str, Any]:
        """The columns of a row. UsageError where there is none."""
        return self.rows([operator.index(slot)])[0]

    def rows(self, slots: Iterable[SupportsIndex]) -> list[dict[str, Any]]:
        """The columns of rows, in the order asked for. UsageError for one that there is not."""
        numbers = [operator.index(slot) for slot in slots]
        found = self._table.rows(numbers)
        return [found[self._there(number, found)][1] for number in numbers]

    def named(self, slots: Iterable[SupportsIndex]) -> dict[int, tuple[str, dict[str, Any]]]:
        """{slot: (key, row)} of those rows that (still) are there."""
        return self._table.rows([operator.index(slot) for slot in slots])

    def key(self, slot: SupportsIndex) -> str:
        """What a row is called. UsageError where there is none."""
        number = operator.index(slot)
        found = self._table.keys([number])
        return found[self._there(number, found)]

    def slot(self, key: str) -> int | None:
        """Where the row of this key is."""
        found = self._table.found([key])
        return found[key][0] if key in found else None

    def slots(self) -> np.ndarray:
        """The slots [n] int64 of all rows, ascending."""
        return np.flatnonzero(self.view().alive)

    def vectors(self, slots: Sequence[SupportsIndex] | np.ndarray) -> np.ndarray:
        """Vectors [n d] float32 of unit length. UsageError for a slot that there is not."""
        view, numbers = self.view(), np.asarray(slots, dtype=np.int64)
        bad = numbers[(numbers < 0) | (numbers >= len(view.alive))]
        if len(bad):
            raise no_row(bad[0], self.directory)
        return np.asarray(view.vectors[numbers])

    def columns(self) -> dict[str, dict[Any, int]]:
        """Columns with at most 50 different short values, and how many rows have each: what a filter can offer."""
        return self._table.columns(FEW, SHORT, SAMPLE)

    # Changing.

    def add(
        self,
        vectors: np.ndarray,
        rows: Iterable[Mapping[str, Any]],
        keys: Iterable[str] | None = None,
        *,
        sources: Sequence[bytes] | None = None,
    ) -> int:
        """Add rows, or put them in the place of those with the same keys; all of them or none. How many.

        vectors [n d] floating point; rows n mappings; keys n texts (numbers that go on unless given); sources: n digests of what
        the rows were made from, which `unchanged` compares. Errors as in `build`, and UsageError for a key that is given twice.
        """
        self._writes()
        made = unit_rows(vectors, self.manifest.dimension, "vectors")
        contents = [as_json(row, f"rows[{number}]") for number, row in enumerate(rows)]
        as_many(len(contents), len(made))
        if not len(made):
            return 0
        with self._lock:
            first = self._table.numbers()[0]
            names = self._new_keys(first, len(made)) if keys is None else keys_of(keys, len(made))
            told = sources or [digest(content) for content in contents]
            table = [Row(*row) for row in zip(names, contents, told, strict=True)]
            digests = self._written(made, first)
            view = self.view()
            with self._table.change() as change:
                gone = self._table.remove(change, names)
                self._table.insert(change, first, table)
                self._table.grow(change, first, len(made), digests)
            self._views.advance(view, gone, first + len(made))
            self._views.extend_graph()
        return len(made)

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the rows of these keys; how many there were. `compact` gives back the room of their vectors."""
        self._writes()
        with self._lock:
            view = self.view()
            with self._table.change() as change:
                gone = self._table.remove(change, list(keys))
            self._views.advance(view, gone, len(view.alive))
        return len(gone)

    def set_column(self, name: str, slots: Iterable[SupportsIndex], values: Iterable[Any]) -> int:
        """Write a column of rows that there are, all or none; how many rows. `values` are JSON."""
        self._writes()
        given = {operator.index(slot): value for slot, value in zip(slots, values, strict=True)}
        with self._lock:
            found = self._table.rows(list(given))
            contents = [
                (slot, as_json({**found[self._there(slot, found)][1], name: value}, name))
                for slot, value in given.items()
            ]
            with self._table.change() as change:
                for slot, content in contents:
                    self._table.rewrite(change, slot, content)
        return len(contents)

    def unchanged(self, keys: Sequence[str], sources: Sequence[bytes]) -> list[bool]:
        """Whether the row of each key was made from this very source: what need not be encoded again."""
        found = self._table.found(keys)
        return [key in found and found[key][1] == source for key, source in zip(keys, sources, strict=True)]

    def all_keys(self) -> Iterator[str]:
        """The keys of all rows, in the order of slots."""
        return self._table.all_keys()

    def remember(self, **about: Any) -> None:
        """Write something into what `manifest.about` says."""
        self._writes()
        as_json(about, "about")
        m = self.manifest
        self.manifest = Manifest(m.model, m.dimension, m.dtype, {**m.about, **about})
        self.manifest.write(self.directory)

    def compact(self) -> int:
        """Write the index anew without the vectors of deleted rows, and open that; how many vectors went."""
        self._writes()
        with self._lock:
            view, m = self.view(), self.manifest
            slots = np.flatnonzero(view.alive)
            gone = len(view.alive) - len(slots)
            if not gone or not len(slots):
                return 0
            with replaced(self.directory, written_as=FORMAT, description=MANIFEST, files=FILES) as work:
                new = Index._begin(work, m.model, m.dimension, m.dtype, m.about, whole=True)
                try:
                    for start in range(0, len(slots), BLOCK):
                        part = slots[start : start + BLOCK]
                        named = self.named(part)
                        names = [named[int(slot)][0] for slot in part]
                        sources = self._table.found(names)
                        new.add(
                            view.vectors[part],
                            [named[int(s)][1] for s in part],
                            names,
                            sources=[sources[n][1] for n in names],
                        )
                    new._table.finish()
                finally:
                    new.close()
            self._table.close()
            if self._held is not None:
                self._held.close()
            self._held = _lock(self.directory)
            self._table = Table(self.directory / ROWS)
            self._views = Views(self.directory, m, self._table)
            self._passing.cache_clear()
            self._counted.cache_clear()
        return gone

    # Inside.

    def _writes(self) -> None:
        check_writable(self.writable, self.directory)

    def _written(self, vectors: np.ndarray, first: int) -> list[str]:
        try:
            return self._views.files.append(vectors, first)
        except OSError as error:
            raise ResourceError(
                f"the vectors cannot be written: {error.strerror or error}; the index is as it was",
                where=str(self.directory),
                remedy="make room on the disk",
            ) from error

    def _new_keys(self, first: int, count: int) -> list[str]:
        names = [str(number) for number in range(first, first + count)]
        there = self._table.found(names)
        if there:
            raise taken(next(iter(there)))
        return names

    def _allowed(self, view: View, where: Sequence[Filter]) -> np.ndarray | None:
        """Which rows of a view pass all filters, bool [slots]; None where there is no filter."""
        if not where:
            return None
        allowed = np.zeros(len(view.alive), dtype=bool)
        passing = self._passing(view.version, tuple(where))
        allowed[passing[passing < len(allowed)]] = True
        return allowed

    def _passing_of(self, version: int, where: tuple[Filter, ...]) -> np.ndarray:
        return self._table.passing(where)

    def _there(self, slot: int, found: Mapping[int, Any]) -> int:
        if slot not in found:
            raise no_row(slot, self.directory)
        return slot


def _fill(index: Index, vectors: np.ndarray, rows: Iterator[Mapping[str, Any]], keys: Iterator[str]) -> None:
    """Add vectors with as many rows and keys, in blocks: vectors larger than memory (memory-mapped ones) pass through."""
    for start in range(0, len(vectors), BLOCK):
        part = vectors[start : start + BLOCK]
        made = unit(part, "vectors", start)
        contents = [as_json(row, f"rows[{start + n}]") for n, row in enumerate(islice(rows, len(part)))]
        if len(contents) != len(part):
            as_many(start + len(contents), len(vectors))
        names = keys_of(islice(keys, len(part)), len(part), start)
        there = index._table.found(names)
        if there:
            raise given_twice(next(iter(there)))
        digests = index._written(made, start)
        with index._table.change() as change:
            table = [Row(name, content, digest(content)) for name, content in zip(names, contents, strict=True)]
            index._table.insert(change, start, table)
            index._table.grow(change, start, len(part), digests)
    as_many(len(vectors) + sum(1 for _ in rows), len(vectors))


def _lock(directory: Path) -> Any:
    """The right to write, held by an open file; the system gives it back when the process ends, however it ends."""
    import fcntl

    try:
        file = open(directory / LOCK, "ab")  # noqa: SIM115 - held until `close`
    except OSError as error:
        raise ResourceError(
            f"the index cannot be written: {error.strerror}", where=str(directory), remedy="check its permissions"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ResourceError(
            "another process is writing this index",
            where=str(directory),
            remedy="wait for it, or stop it, then try again",
        ) from None
    return file
