"""`rows.sqlite`: the rows of an index, their words (FTS5), and how many vectors count. One transaction is one change of the index.

rows       slot (the row's place in the vector files), key (what users call it), row (JSON), digest of it, digest of its source
words      full text of all texts of a row, without a copy of them (contentless FTS5)
segments   which vectors were written at once, and their checksums
meta       slots: how many rows the vector files hold, dead ones included; version: grows with every change
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import combining, normalize

import numpy as np

from nearfar.core.errors import DataError, NearfarError, ResourceError
from nearfar.search.filters import Filter, condition, path_of
from nearfar.search.given import no_column
from nearfar.search.manifest import damaged

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (slot INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, row TEXT NOT NULL, digest BLOB NOT NULL, source BLOB NOT NULL);
CREATE TABLE segments (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, digests TEXT NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', tokenize = "unicode61 remove_diacritics 2", prefix = '2 3');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row');
INSERT INTO meta VALUES ('slots', 0), ('version', 0);
"""
MANY = 500  # parameters of one statement
TERMS = 64  # words of a question that are looked up
# Rows: a word in more of them orders little and costs most. It is left out where a rarer one is asked for too, and else about
# the first so many rows that hold it are ranked.
COMMON = 10_000
WAIT = 30.0  # seconds for another writer's transaction


class Row(NamedTuple):
    """One row to write: its key, its JSON, the digest of what it was made from."""

    key: str
    content: str
    source: bytes


class Table:
    """The open database. Every thread has a connection of its own; one process at a time writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path, *, whole: bool) -> Table:
        """A new database; `whole`: the directory is thrown away unless it is completed, so nothing is written twice."""
        table = cls(path)
        with table._errors():
            connection = table._connection()
            if whole:
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(SCHEMA)
        return table

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
            self._local = threading.local()

    # Reading.

    def numbers(self) -> tuple[int, int]:
        """(slots, version)."""
        found = dict(self._read("SELECT name, value FROM meta"))
        try:
            return int(found["slots"]), int(found["version"])
        except (KeyError, ValueError):
            raise damaged(self.path, "it does not say how many rows count") from None

    def slots(self) -> np.ndarray:
        """The slots [n] int64 of all rows, ascending."""
        return np.fromiter((slot for (slot,) in self._read("SELECT slot FROM rows ORDER BY slot")), dtype=np.int64)

    def keys(self, slots: Sequence[int]) -> dict[int, str]:
        """{slot: key} of the rows there are."""
        return dict(self._of("slot, key", "slot", slots))

    def rows(self, slots: Sequence[int]) -> dict[int, tuple[str, dict[str, Any]]]:
        """{slot: (key, row)} of the rows there are."""
        return {
            slot: (key, self._parsed(content, key)) for slot, key, content in self._of("slot, key, row", "slot", slots)
        }

    def found(self, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        """{key: (slot, digest of its source)} of the keys there are."""
        return {key: (slot, source) for key, slot, source in self._of("key, slot, source", "key", keys)}

    def all_keys(self) -> Iterator[str]:
        """Every key, in the order of slots."""
        return (key for (key,) in self._read("SELECT key FROM rows ORDER BY slot"))

    def segments(self) -> Iterator[tuple[int, int, list[str]]]:
        """(first, count, digests) of what was written at once, in order."""
        for first, count, digests in self._read("SELECT first, count, digests FROM segments ORDER BY first"):
            yield first, count, digests.split()

    def passing(self, where: Sequence[Filter]) -> np.ndarray:
        """Slots [n] int64 of the rows that pass all filters, ascending."""
        told, given = condition(where)
        statement = f"SELECT slot FROM rows WHERE {told} ORDER BY slot"  # noqa: S608 - columns and values are bound
        found = np.fromiter((slot for (slot,) in self._read(statement, given)), dtype=np.int64)
        if not len(found):
            self.check_columns(where)
        return found

    def words(
        self, text: str, k: int, allowed: np.ndarray | None, count: Callable[[str, bool], int], *, prefix: bool
    ) -> list[tuple[int, float]]:
        """(slot, BM25) of the k best rows that hold any word of a text, best first, equal ones by slot.

        allowed   bool [slots], which may be found; None: all
        count     (word, whether it goes on) -> how many rows hold it; `counted`, perhaps remembered
        prefix    the last word goes on
        """
        match, rows = _match(text, prefix, count)
        if not match:
            return []
        end = self.numbers()[0] if rows <= COMMON else self.numbers()[0] * COMMON // rows
        asked = "SELECT rowid, -rank FROM words WHERE words MATCH ? AND rowid < ? ORDER BY rank, rowid"
        found = self._read(asked, [match, end])
        if allowed is not None:
            found = ((slot, score) for slot, score in found if slot < len(allowed) and allowed[slot])
        return list(islice(found, k))

    def counted(self, word: str, goes_on: bool) -> int:
        """How many rows hold a word as FTS5 keeps it, or words that begin so (a row may count for each of them)."""
        bare = "".join(c for c in normalize("NFD", word.lower()) if not combining(c))
        asked = "term >= ? AND term < ?" if goes_on else "term = ?"
        given = [bare, bare + chr(0x10FFFF)] if goes_on else [bare]
        return next(self._read(f"SELECT coalesce(sum(doc), 0) FROM vocabulary WHERE {asked}", given))[0]  # noqa: S608

    def columns(self, most: int, longest: int, sample: int) -> dict[str, dict[Any, int]]:
        """Columns with at most `most` different values, none of more than `longest` characters, and how many rows have each."""
        seen = """SELECT e.key, count(DISTINCT e.value), max(length(e.value)),
                         min(e.type NOT IN ('array', 'object'))
                  FROM (SELECT row FROM rows LIMIT ?) AS r, json_each(r.row) AS e GROUP BY e.key"""
        names = [n for n, many, size, plain in self._read(seen, [sample]) if many <= most and size <= longest and plain]
        made: dict[str, dict[Any, int]] = {}
        for name in (n for n in names if '"' not in n):
            path = path_of(name)
            counted = "SELECT json_extract(row, ?) AS v, json_type(row, ?) AS t, count(*) FROM rows GROUP BY v, t ORDER BY 3 DESC LIMIT ?"
            values = {
                (value == 1 if kind in ("true", "false") else value): count
                for value, kind, count in self._read(counted, [path, path, most + 1])
                if value is not None
            }
            if 0 < len(values) <= most:
                made[name] = values
        return made

    # Writing.

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction that is on the disk when the block ends without an error, and otherwise never was."""
        with self._errors():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'version'")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def insert(self, connection: sqlite3.Connection, first: int, rows: Sequence[Row]) -> None:
        """Write rows in the slots from `first` on; the keys must be free."""
        numbered = list(enumerate(rows, start=first))
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?)",
            [(slot, row.key, row.content, digest(row.content), row.source) for slot, row in numbered],
        )
        connection.executemany(
            "INSERT INTO words (rowid, text) VALUES (?, ?)", [(slot, texts(row.content)) for slot, row in numbered]
        )

    def grow(self, connection: sqlite3.Connection, first: int, count: int, digests: Sequence[str]) -> None:
        """From now on `first` + `count` vectors count."""
        connection.execute("INSERT INTO segments VALUES (?, ?, ?)", (first, count, " ".join(digests)))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'slots'", (first + count,))

    def remove(self, connection: sqlite3.Connection, keys: Sequence[str]) -> list[int]:
        """Forget rows; the slots of those that there were."""
        gone: list[int] = []
        for start in range(0, len(keys), MANY):
            part = keys[start : start + MANY]
            asked = f"SELECT slot, row FROM rows WHERE key IN ({', '.join('?' * len(part))})"  # noqa: S608
            found = connection.execute(asked, part).fetchall()
            self._forget_words(connection, found)
            connection.executemany("DELETE FROM rows WHERE slot = ?", [(slot,) for slot, _ in found])
            gone += [slot for slot, _ in found]
        return gone

    def rewrite(self, connection: sqlite3.Connection, slot: int, content: str) -> None:
        """Another content for a row that stays where it is."""
        self._forget_words(
            connection, connection.execute("SELECT slot, row FROM rows WHERE slot = ?", (slot,)).fetchall()
        )
        connection.execute("UPDATE rows SET row = ?, digest = ? WHERE slot = ?", (content, digest(content), slot))
        connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (slot, texts(content)))

    def finish(self) -> None:
        """Nothing more is written soon: order the words for searching."""
        with self._errors():
            self._connection().execute("INSERT INTO words (words) VALUES ('optimize')")

    def beside_readers(self) -> None:
        """Write so that readers need not wait (a log beside the file), unless somebody reads right now: then they do wait."""
        with self._errors(), suppress(sqlite3.OperationalError):
            self._connection().execute("PRAGMA journal_mode = WAL")

    # Checking.

    def check(self) -> None:
        """DataError unless the database is sound and every row is the one that was written."""
        told = [line for (line,) in self._read("PRAGMA quick_check(1)")]
        if told != ["ok"]:
            raise damaged(self.path, str(told[0])[:200] if told else "it cannot be checked")
        for key, content, wanted in self._read("SELECT key, row, digest FROM rows"):
            if digest(content) != wanted:
                raise damaged(self.path, f"the row {key!r} is not the one that was written (checksum)")

    # Inside.

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            # A directory that cannot be written has no other writer either, and no file for readers to agree in.
            still = self.path.exists() and not os.access(self.path.parent, os.W_OK)
            uri = f"{self.path.resolve().as_uri()}?mode={'ro&immutable=1' if still else 'rwc'}"
            connection = sqlite3.connect(uri, uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
            with self._lock:
                self._all.append(connection)
        return connection

    def _read(self, statement: str, given: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        with self._errors():
            yield from self._connection().execute(statement, given)

    def _of(self, columns: str, by: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(values), MANY):
            part = [value if isinstance(value, str) else int(value) for value in values[start : start + MANY]]
            yield from self._read(f"SELECT {columns} FROM rows WHERE {by} IN ({', '.join('?' * len(part))})", part)  # noqa: S608

    def _parsed(self, content: str, key: str) -> dict[str, Any]:
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise damaged(self.path, f"the row {key!r} is no JSON object")
        return values

    def _forget_words(self, connection: sqlite3.Connection, found: Sequence[tuple[int, str]]) -> None:
        connection.executemany(
            "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)",
            [(slot, texts(row)) for slot, row in found],
        )

    def check_columns(self, where: Sequence[Filter]) -> None:
        """UsageError for a filter on a column that no row has."""
        for name in (told.column for told in where):
            there = self._read("SELECT 1 FROM rows, json_each(row) AS e WHERE e.key = ? LIMIT 1", [name])
            if next(there, None) is None:
                raise no_column(name, json.loads(next(self._read("SELECT row FROM rows LIMIT 1"), ("{}",))[0]))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except NearfarError:
            raise
        except sqlite3.OperationalError as error:
            told = str(error)
            if "locked" in told or "busy" in told:
                raise ResourceError(
                    "another process is writing this index", where=str(self.path), remedy="try again later"
                ) from error
            if "no such" in told or "malformed" in told:
                raise damaged(self.path, told) from error
            raise ResourceError(
                f"the rows cannot be read or written: {told}; what was complete is kept",
                where=str(self.path),
                remedy="make room on the disk, and check the permissions of the directory",
            ) from error
        except sqlite3.DatabaseError as error:
            raise damaged(self.path, str(error)) from error


def _match(text: str, prefix: bool, count: Callable[[str, bool], int]) -> tuple[str, int]:
    """A question in FTS5's language: any of its words, each in quotes so that none of them is an operator; in how many rows the most common is."""
    words = re.findall(r"[^\W_]+", text)[:TERMS]
    # One letter begins half of all words, so it waits for the second.
    last = words[-1] if prefix and words and text[-1:].isalnum() and len(words[-1]) > 1 else None
    terms = [(word, False) for word in dict.fromkeys(words[:-1] if last else words)]
    if last:
        terms.append((last, True))
    rows = {term: count(*term) for term in terms}
    if last and rows[terms[-1]] > COMMON:
        terms[-1] = (last, False)
        rows[terms[-1]] = count(last, False)
    there = [term for term in dict.fromkeys(terms) if rows[term]]
    rare = [term for term in there if rows[term] <= COMMON] or sorted(there, key=lambda term: rows[term])[:1]
    told = " OR ".join(f'"{word}" *' if goes_on else f'"{word}"' for word, goes_on in rare)
    return told, max((rows[term] for term in rare), default=0)


def digest(content: str) -> bytes:
    """Checksum of a row's JSON, or of what a row was made from."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()[:16]


def texts(content: str) -> str:
    """All texts of a row [JSON], one after another: what its words are looked up in."""
    found = "\n".join(value for value in json.loads(content).values() if isinstance(value, str))
    return found.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is no word


def as_json(values: Any, where: str) -> str:
    """A mapping as JSON text; DataError that names the place for anything else."""
    if not isinstance(values, Mapping):
        raise DataError(f"a row is a {type(values).__name__}", where=where, remedy="give a dict of columns")
    try:
        made = json.dumps(dict(values), ensure_ascii=False, allow_nan=False)
        made.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(dict(values), allow_nan=False)  # half a surrogate pair is kept, escaped
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"this cannot be written as JSON: {str(error)[:200]}",
            where=where,
            remedy="give texts, finite numbers, true, false, null, lists and objects",
        ) from None
    return made
