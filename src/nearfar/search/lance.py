"""`LanceIndex`: what `Index` does, over a table of LanceDB - for object stores, and for tables that many machines read.

    rows.lance    slot, key, row (JSON), its words, digests, and the unit vector float32 of every row; a change is one new version
    row           carries, as metadata of that column, what `index.json` says of an `Index`

Vectors are all looked at (LanceDB's approximate indexes are not used), and scored again exactly. Words are LanceDB's full text: BM25 without
stemming or stop words. Filters mean what they mean in an `Index`, and read the rows. One process at a time may write.
"""

from __future__ import annotations

import json
import operator
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, SupportsIndex

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.optional import needed
from nearfar.maths.nearest_chunked import exact_scores
from nearfar.search.filters import Filter, condition
from nearfar.search.given import (
    FEW,
    SHORT,
    Hits,
    asked,
    check_model,
    check_writable,
    no_column,
    no_row,
    table_of,
    taken,
    unit_rows,
)
from nearfar.search.lance_table import (
    BLOCK,
    TABLE,
    arrow,
    connected,
    created,
    damaged,
    is_remote,
    lance_errors,
    new_manifest,
    one_of,
    read_manifest,
    record_batches,
    row_digest,
    tables,
    vectors_of,
)
from nearfar.search.manifest import Manifest
from nearfar.search.rows import TERMS, as_json

LISTED = 5_000  # slots that a query may name one by one; above, more are asked for and left out afterwards
SPARE = 32  # rows asked for beyond k, so that equal scores come in the order of slots
LAST = np.float32(1e-6)  # the score of a row that holds the unfinished word only
KEPT = timedelta(days=1)  # of versions, for those who still read them
STALE = 0.1  # of the rows may be outside of the index of words before it is extended


class LanceIndex:
    """An open table. `build` writes one from vectors in hand, `create` begins an empty one, `open` opens one; as in `Index`.

    A place is a directory, or the address of an object store as LanceDB takes it ("s3://bucket/path").

    >>> index = LanceIndex.build("answers.lancedb", vectors, rows, model=model.fingerprint)  # doctest: +SKIP
    >>> nf.Searcher(index, model).search("how do I sort a list")  # doctest: +SKIP
    """

    def __init__(self, place: str | Path, table: Any, manifest: Manifest, *, write: bool) -> None:
        self.directory: Any = place if is_remote(place) else Path(place)
        self.manifest, self.writable, self._table = manifest, write, table
        self._passing = lru_cache(maxsize=64)(self._passing_of)
        self._last = (-1, 0)  # the version that was written here last, and the slot after its last row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        with self._errors():
            return self._table.count_rows()

    def close(self) -> None:
        """Nothing is held open; there for those who close an `Index`."""

    # Making and opening.

    @classmethod
    def build(
        cls,
        place: str | Path,
        vectors: np.ndarray,
        rows: Iterable[Mapping[str, Any]],
        *,
        model: str,
        about: Mapping[str, Any] | None = None,
        keys: Iterable[str] | None = None,
        dtype: str = "float32",
    ) -> LanceIndex:
        """Write a table and open it; arguments and errors as in `Index.build`, with float32 alone. An older one is replaced at once."""
        vectors = table_of(vectors)
        names = iter(map(str, range(len(vectors))) if keys is None else keys)
        manifest = new_manifest(model, vectors.shape[1], dtype, about)
        broken: list[BaseException] = []

        def batches() -> Iterator[Any]:
            # What is raised in here passes through another language, which keeps its words only.
            try:
                yield from record_batches(vectors, iter(rows), names)
            except BaseException as error:
                broken.append(error)
                raise

        table = created(place, manifest, batches, broken)
        cls(place, table, manifest, write=True)._index_columns()
        return cls(place, table, manifest, write=False)

    @classmethod
    def create(
        cls,
        place: str | Path,
        *,
        model: str,
        dimension: int,
        dtype: str = "float32",
        about: Mapping[str, Any] | None = None,
    ) -> LanceIndex:
        """Begin an empty table, open for writing. UsageError for a place where one is already."""
        if TABLE in tables(connected(place)):
            raise UsageError("there is a table already", where=str(place), remedy="choose a new place, or open it")
        manifest = new_manifest(model, dimension, dtype, about)
        made = cls(place, created(place, manifest, None, []), manifest, write=True)
        made._index_columns()
        return made

    @classmethod
    def open(
        cls, place: str | Path, *, model: str | None = None, verify: bool = True, write: bool = False
    ) -> LanceIndex:
        """Open a table and check all that it says about itself; with `verify` every row is read. Arguments and errors as in `Index.open`."""
        if not is_remote(place) and not Path(place).is_dir():
            raise DataError("there is no such directory", where=str(place), remedy="check the path of the index")
        database = connected(place)
        if TABLE not in tables(database):
            raise DataError(
                "this is no index of LanceDB", where=str(place), remedy="give what `LanceIndex.build` wrote"
            )
        with lance_errors(place):
            table = database.open_table(TABLE)
            manifest = read_manifest(table.schema, place)
            words = [index for index in table.list_indices() if index.columns == ["words"]]
        index = cls(place, table, manifest, write=write)
        index.check_model(model)
        if not words:
            raise damaged(place, "there is no index of its words")
        if verify:
            index.check()
        return index

    def check(self) -> None:
        """Read every row. DataError for one that is not what was written."""
        keys: set[str] = set()
        for batch in self._batches(["key", "row", "digest", "vector"]):
            found = vectors_of(batch)
            for number, key in enumerate(batch["key"].to_pylist()):
                content, told = batch["row"][number].as_py(), batch["digest"][number].as_py()
                if row_digest(content, found[number]) != told or key in keys:
                    raise damaged(self.directory, f"the row {key!r} is not the one that was written (checksum)")
                keys.add(key)

    def check_model(self, model: str | None) -> None:
        """DataError unless `model` (None: unknown) is the fingerprint of the model that made this index."""
        check_model(self.manifest, model, self.directory)

    # Searching.

    def nearest(
        self, queries: np.ndarray, k: int = 10, *, where: Sequence[Filter] = (), model: str | None = None
    ) -> Hits:
        """As `Index.nearest`: slots and cosines [q k], exact."""
        self.check_model(model)
        wanted, units = asked(k), unit_rows(queries, self.manifest.dimension, "queries")
        allowed = self._allowed(where)
        k = min(wanted, len(self) if allowed is None else len(allowed))
        slots, scores = np.full((len(units), k), -1, np.int64), np.full((len(units), k), -np.inf, np.float32)
        for number, query in enumerate(units):

            def search(query: np.ndarray = query) -> Any:
                made = self._table.search(query, vector_column_name="vector").distance_type("cosine")
                return made.bypass_vector_index().select(["slot", "vector", "_distance"])

            found = self._found(search, k, allowed)
            exact, of = exact_scores(vectors_of(found), query), found["slot"].to_numpy()
            best = np.lexsort((of, -exact))[:k]
            slots[number, : len(best)], scores[number, : len(best)] = of[best], exact[best]
        return Hits(slots, scores)

    def words(self, text: str, k: int = 10, *, where: Sequence[Filter] = (), prefix: bool = False) -> Hits:
        """As `Index.words`; rows that hold no more than the beginning of an unfinished word come last, and score next to nothing."""
        k = asked(k)
        allowed = self._allowed(where)
        terms = re.findall(r"[^\W_]+", text)[:TERMS]
        scored: dict[int, float] = {}
        if terms and (allowed is None or len(allowed)):
            match = needed("lancedb.query", "lance").MatchQuery(" ".join(dict.fromkeys(terms)), "words")
            found = self._found(
                lambda: self._table.search(match, query_type="fts").select(["slot", "_score"]), k, allowed
            )
            scored = dict(zip(found["slot"].to_pylist(), found["_score"].to_pylist(), strict=True))
            if prefix and text[-1:].isalnum() and len(terms[-1]) > 1 and len(scored) < k:
                begins = f"regexp_like(words, '(?i)(^|[^\\pL\\pN]){terms[-1]}')"
                more = self._found(lambda: self._table.search().where(begins).select(["slot"]), k, allowed)
                scored |= {slot: float(LAST) for slot in more["slot"].to_pylist() if slot not in scored}
        best = sorted(scored, key=lambda slot: (-scored[slot], slot))[:k]
        return Hits(
            np.array(best, dtype=np.int64)[None], np.array([scored[slot] for slot in best], dtype=np.float32)[None]
        )

    # Rows.

    def row(self, slot: SupportsIndex) -> dict[str, Any]:
        """The columns of a row. UsageError where there is none."""
        return self.rows([slot])[0]

    def rows(self, slots: Iterable[SupportsIndex]) -> list[dict[str, Any]]:
        """The columns of rows, in the order asked for. UsageError for one that there is not."""
        numbers = [operator.index(slot) for slot in slots]
        found = self.named(numbers)
        return [found[self._there(number, found)][1] for number in numbers]

    def named(self, slots: Iterable[SupportsIndex]) -> dict[int, tuple[str, dict[str, Any]]]:
        """{slot: (key, row)} of those rows that (still) are there."""
        made = {}
        for batch in self._of("slot", [operator.index(slot) for slot in slots], ["slot", "key", "row"]):
            for slot, key, content in zip(*(batch[n].to_pylist() for n in ("slot", "key", "row")), strict=True):
                made[slot] = (key, self._parsed(content, key))
        return made

    def key(self, slot: SupportsIndex) -> str:
        """What a row is called. UsageError where there is none."""
        number = operator.index(slot)
        found = self.named([number])
        return found[self._there(number, found)][0]

    def slot(self, key: str) -> int | None:
        """Where the row of this key is."""
        return self._places([key]).get(key, (None, b""))[0]

    def slots(self) -> np.ndarray:
        """The slots [n] int64 of all rows, ascending."""
        found = [batch["slot"].to_numpy() for batch in self._batches(["slot"])]
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)

    def all_keys(self) -> Iterator[str]:
        """The keys of all rows, in the order of slots."""
        found: list[tuple[int, str]] = []
        for batch in self._batches(["slot", "key"]):
            found += zip(batch["slot"].to_pylist(), batch["key"].to_pylist(), strict=True)
        return (key for _, key in sorted(found))

    def vectors(self, slots: Sequence[SupportsIndex] | np.ndarray) -> np.ndarray:
        """Vectors [n d] float32 of unit length. UsageError for a slot that there is not."""
        numbers = [operator.index(slot) for slot in slots]
        made: dict[int, np.ndarray] = {}
        for batch in self._of("slot", numbers, ["slot", "vector"]):
            made |= dict(zip(batch["slot"].to_pylist(), vectors_of(batch), strict=True))
        found = [made[self._there(number, made)] for number in numbers]
        return np.stack(found) if found else np.empty((0, self.manifest.dimension), np.float32)

    def columns(self) -> dict[str, dict[Any, int]]:
        """Columns with at most 50 different short values, and how many rows have each: what a filter can offer."""
        counts: dict[str, Counter[tuple[type, Any]]] = {}
        dropped: set[str] = set()
        for batch in self._batches(["key", "row"]):
            for key, content in zip(batch["key"].to_pylist(), batch["row"].to_pylist(), strict=True):
                for name, value in self._parsed(content, key).items():
                    if name in dropped or value is None:
                        continue
                    counted = counts.setdefault(name, Counter())
                    plain = isinstance(value, str | int | float) and len(str(value)) <= SHORT
                    if plain:
                        counted[type(value), value] += 1  # True is not 1 here
                    if not plain or len(counted) > FEW:
                        dropped.add(name)
        return {
            name: {value: count for (_, value), count in counted.most_common()}
            for name, counted in counts.items()
            if name not in dropped
        }

    # Changing.

    def add(
        self,
        vectors: np.ndarray,
        rows: Iterable[Mapping[str, Any]],
        keys: Iterable[str] | None = None,
        *,
        sources: Sequence[bytes] | None = None,
    ) -> int:
        """As `Index.add`: add rows, or put them in the place of those with the same keys; one version, all of them or none. How many."""
        self._writes()
        made, content = unit_rows(vectors, self.manifest.dimension, "vectors"), list(rows)
        if not len(made) and not content:
            return 0
        first = self._next_slot()
        names = iter(map(str, range(first, first + len(made))) if keys is None else keys)
        (batch,) = record_batches(made, iter(content), names, first=first, sources=sources, at_once=max(len(made), 1))
        there = self._places(batch["key"].to_pylist()) if keys is None else {}
        if there:
            raise taken(next(iter(there)))
        with self._errors():
            merge = self._table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
            done = merge.execute(arrow().Table.from_batches([batch]))
        self._last = (done.version, first + len(made))
        self._extend()
        return len(made)

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the rows of these keys, all at once; how many there were."""
        self._writes()
        names = [key for key in keys if isinstance(key, str)]
        if not names:
            return 0
        with self._errors():
            return self._table.delete(one_of("key", names)).num_deleted_rows

    def set_column(self, name: str, slots: Iterable[SupportsIndex], values: Iterable[Any]) -> int:
        """Write a column of rows that there are, all or none; how many rows. `values` are JSON."""
        self._writes()
        given = {operator.index(slot): value for slot, value in zip(slots, values, strict=True)}
        if not given:
            return 0
        for value in given.values():
            as_json({name: value}, name)
        numbers = list(given)
        found, made = self.named(numbers), self.vectors(numbers)
        rows = [{**found[slot][1], name: given[slot]} for slot in numbers]
        names = [found[slot][0] for slot in numbers]
        places = self._places(names)
        (batch,) = record_batches(
            made, iter(rows), iter(names), sources=[places[key][1] for key in names], at_once=len(numbers)
        )
        batch = batch.set_column(0, batch.schema.field("slot"), arrow().array(numbers, arrow().int64()))
        with self._errors():
            self._table.merge_insert("key").when_matched_update_all().execute(arrow().Table.from_batches([batch]))
        return len(numbers)

    def unchanged(self, keys: Sequence[str], sources: Sequence[bytes]) -> list[bool]:
        """Whether the row of each key was made from this very source: what need not be encoded again."""
        found = self._places(keys)
        return [key in found and found[key][1] == source for key, source in zip(keys, sources, strict=True)]

    def remember(self, **about: Any) -> None:
        """Write something into what `manifest.about` says."""
        self._writes()
        as_json(about, "about")
        m = self.manifest
        self.manifest = new_manifest(m.model, m.dimension, m.dtype, {**m.about, **about})
        with self._errors():
            self._table.update_field_metadata(
                {"path": "row", "metadata": {"nearfar": json.dumps(asdict(self.manifest))}}
            )

    def compact(self) -> int:
        """Write small pieces together, and give back the room of versions older than a day, which no reader uses any more.

        How many vectors of deleted rows that removes LanceDB does not say: 0.
        """
        self._writes()
        with self._errors():
            self._table.optimize(cleanup_older_than=KEPT)
        return 0

    # Inside.

    def _writes(self) -> None:
        check_writable(self.writable, self.directory)

    def _index_columns(self) -> None:
        """Make an index of words, of keys and of slots."""
        kinds = needed("lancedb.index", "lance")
        with self._errors():
            words = kinds.FTS(stem=False, remove_stop_words=False)
            for column, config in (("key", kinds.BTree()), ("slot", kinds.BTree()), ("words", words)):
                self._table.create_index(column, config=config)

    def _extend(self) -> None:
        """Bring the indexes up to date once many rows are outside of them: those are found too, but more slowly."""
        with self._errors():
            told = [self._table.index_stats(index.name) for index in self._table.list_indices()]
            if any(t.num_unindexed_rows > max(BLOCK, STALE * t.num_indexed_rows) for t in told if t is not None):
                self._table.optimize()

    def _next_slot(self) -> int:
        """The slot of the next row; all slots are read where another process may have written."""
        with self._errors():
            version, end = self._last
            return end if version == self._table.version else int(max(self.slots(), default=-1)) + 1

    def _found(self, search: Callable[[], Any], k: int, allowed: np.ndarray | None) -> Any:
        """An Arrow table of the best k rows and some more, among those that are allowed."""
        wanted = k + SPARE
        if allowed is not None and len(allowed) <= LISTED:
            with self._errors():
                return search().where(one_of("slot", allowed.tolist()), prefilter=True).limit(wanted).to_arrow()
        while True:
            with self._errors():
                found = search().limit(wanted).to_arrow()
            if allowed is None:
                return found
            kept = np.isin(found["slot"].to_numpy(), allowed)
            if kept.sum() >= k or len(found) < wanted:
                return found.filter(arrow().array(kept))
            wanted *= 4

    def _allowed(self, where: Sequence[Filter]) -> np.ndarray | None:
        with self._errors():
            return self._passing(self._table.version, tuple(where)) if where else None

    def _passing_of(self, version: int, where: tuple[Filter, ...]) -> np.ndarray:
        """Slots [n] int64 of the rows that pass all filters, by the same conditions on the same JSON as in an `Index`."""
        told, given = condition(where)
        passing: list[int] = []
        seen: dict[str, None] = {}
        with sqlite3.connect(":memory:") as table:
            table.execute("CREATE TABLE rows (slot INTEGER PRIMARY KEY, row TEXT NOT NULL)")
            for batch in self._batches(["slot", "row"]):
                some = zip(batch["slot"].to_pylist(), batch["row"].to_pylist(), strict=True)
                table.executemany("INSERT INTO rows VALUES (?, ?)", some)
                passing += [slot for (slot,) in table.execute(f"SELECT slot FROM rows WHERE {told}", given)]  # noqa: S608
                if not passing:
                    named = table.execute("SELECT DISTINCT e.key FROM rows, json_each(row) AS e")
                    seen |= dict.fromkeys(name for (name,) in named)
                table.execute("DELETE FROM rows")
        table.close()
        for name in (f.column for f in where if not passing):
            if name not in seen:
                raise no_column(name, seen)
        return np.sort(np.array(passing, dtype=np.int64))

    def _places(self, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        """{key: (slot, digest of its source)} of the keys there are."""
        made = {}
        for batch in self._of("key", list(keys), ["key", "slot", "source"]):
            for key, *found in zip(*(batch[n].to_pylist() for n in ("key", "slot", "source")), strict=True):
                made[key] = tuple(found)
        return made

    def _of(self, by: str, values: Sequence[Any], columns: list[str]) -> Iterator[Any]:
        for start in range(0, len(values), LISTED):
            some = values[start : start + LISTED]
            with self._errors():
                yield self._table.search().where(one_of(by, some)).select(columns).limit(len(some)).to_arrow()

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        with self._errors():
            yield from self._table.search().select(columns).to_batches(BLOCK)

    def _parsed(self, content: str, key: str) -> dict[str, Any]:
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise damaged(self.directory, f"the row {key!r} is no JSON object")
        return values

    def _there(self, slot: int, found: Mapping[int, Any]) -> int:
        if slot not in found:
            raise no_row(slot, self.directory)
        return slot

    def _errors(self) -> Any:
        return lance_errors(self.directory)
