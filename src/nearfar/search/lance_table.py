"""What a table of LanceDB looks like that is an index: its columns, what it says of itself, how rows get in, how its errors are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError
from nearfar.core.optional import needed
from nearfar.search.given import as_many, keys_of
from nearfar.search.manifest import MAX_DIMENSION, REBUILD, Manifest
from nearfar.search.rows import as_json, digest, texts
from nearfar.search.vector_files import unit

FORMAT, VERSION = "nearfar-lance", 1
TABLE = "rows"
BLOCK = 8_192  # rows written or read at once
REFUSED = ("denied", "permission", "credential", "no space", "timed out", "connect", "unauthorized", "forbidden")


def record_batches(
    vectors: np.ndarray,
    rows: Iterator[Mapping[str, Any]],
    keys: Iterator[str],
    *,
    first: int = 0,
    sources: Sequence[bytes] | None = None,
    at_once: int | None = None,
) -> Iterator[Any]:
    """The rows of the table, some at once; DataError for a vector, row or key that cannot be one, or for too many or too few."""
    pa, seen, at_once = arrow(), set[str](), at_once or BLOCK
    for start in range(0, len(vectors), at_once):
        part = unit(vectors[start : start + at_once], "vectors", start)
        content = [as_json(row, f"rows[{start + n}]") for n, row in enumerate(islice(rows, len(part)))]
        if len(content) != len(part):
            as_many(start + len(content), len(vectors))
        names = keys_of(islice(keys, len(part)), len(part), start, seen)
        told = [digest(text) for text in content] if sources is None else list(sources[start : start + at_once])
        columns = [
            pa.array(range(first + start, first + start + len(part)), pa.int64()),
            pa.array(names, pa.string()),
            pa.array(content, pa.string()),
            pa.array([texts(text) for text in content], pa.string()),
            pa.array([row_digest(*pair) for pair in zip(content, part, strict=True)], pa.binary()),
            pa.array(told, pa.binary()),
            pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1]),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=_schema(part.shape[1], None))
    as_many(len(vectors) + sum(1 for _ in rows), len(vectors))


def _schema(dimension: int, manifest: Manifest | None) -> Any:
    pa = arrow()
    told = None if manifest is None else {"nearfar": json.dumps(asdict(manifest))}
    return pa.schema(
        [
            pa.field("slot", pa.int64()),
            pa.field("key", pa.string()),
            pa.field("row", pa.string(), metadata=told),
            pa.field("words", pa.string()),
            pa.field("digest", pa.binary()),
            pa.field("source", pa.binary()),
            pa.field("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


def new_manifest(model: str, dimension: int, dtype: str, about: Mapping[str, Any] | None) -> Manifest:
    """What a table says of itself. UsageError for a dtype that it has not, DataError for an `about` that is no JSON."""
    if dtype != "float32":
        raise UsageError(
            f"a table of LanceDB holds float32, not {dtype!r}", where="dtype", remedy="leave it out, or take `Index`"
        )
    as_json(about or {}, "about")
    return Manifest(model, dimension, dtype, dict(about or {}), FORMAT, VERSION)


def read_manifest(schema: Any, place: str | Path) -> Manifest:
    """What a table says of itself. DataError for one that is not ours, damaged, or of another version."""
    try:
        values = json.loads((schema.field("row").metadata or {})[b"nearfar"])
        made = Manifest(**values)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise DataError(
            "this is no nearfar index", where=str(place), remedy="give what `LanceIndex.build` wrote"
        ) from None
    if made.format != FORMAT or made.version != VERSION:
        raise DataError(
            f"the index is {made.format} version {made.version!r}; this nearfar reads {FORMAT} version {VERSION}",
            where=str(place),
            remedy=f"{REBUILD}, or use the version of nearfar that wrote it",
        )
    sound = type(made.dimension) is int and 1 <= made.dimension <= MAX_DIMENSION and isinstance(made.about, dict)
    if not sound or not isinstance(made.model, str) or not schema.equals(_schema(made.dimension, None)):
        raise damaged(place, "its columns are not those of an index")
    return made


def created(
    place: str | Path, manifest: Manifest, batches: Callable[[], Iterator[Any]] | None, broken: list[BaseException]
) -> Any:
    """The table in the place of any that is there, in one step. Raises what broke the batches, if that is what happened."""
    database, schema = connected(place), _schema(manifest.dimension, manifest)
    data = None if batches is None else arrow().RecordBatchReader.from_batches(schema, batches())
    if TABLE in tables(database):
        with lance_errors(place):
            read_manifest(database.open_table(TABLE).schema, place)  # only a table of ours is replaced
    with lance_errors(place):
        try:
            return database.create_table(TABLE, data, schema=schema, mode="overwrite")
        except BaseException:
            if broken:
                raise broken[0] from None
            raise


def connected(place: str | Path) -> Any:
    """The database. UsageError for a directory that holds anything else than such a table."""
    if not is_remote(place):
        path = Path(place)
        if path.is_file():
            raise UsageError("this is a file", where=str(place), remedy="name a directory for the index")
        other = sorted(p.name for p in path.iterdir() if p.name != f"{TABLE}.lance") if path.is_dir() else []
        if other:
            raise UsageError(
                f"the directory holds something else than an index of LanceDB ({', '.join(other[:3])}) and is left alone",
                where=str(place),
                remedy="choose a new directory",
            )
    # Whoever reads sees what another machine wrote a moment ago.
    with lance_errors(place):
        return needed("lancedb", "lance").connect(str(place), read_consistency_interval=timedelta(0))


def tables(database: Any) -> list[str]:
    """The names of the tables that there are."""
    return list(database.list_tables().tables)


def is_remote(place: str | Path) -> bool:
    """Whether a place is the address of an object store."""
    return "://" in str(place)


def arrow() -> Any:
    """The module pyarrow, without which LanceDB is not."""
    return needed("pyarrow", "lance")


def vectors_of(batch: Any) -> np.ndarray:
    """The vectors [n d] of an Arrow table or batch."""
    column = batch["vector"]
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)


def row_digest(content: str, vector: np.ndarray) -> bytes:
    """Checksum of a row: its JSON and its vector."""
    return digest(content + vector.tobytes().hex())


def one_of(column: str, values: Sequence[Any]) -> str:
    """A condition of LanceDB, whose values cannot be bound: whole numbers, and texts in quotes with their quotes doubled."""
    written = ("'" + v.replace("'", "''") + "'" if isinstance(v, str) else str(int(v)) for v in values)
    return f"{column} IN ({', '.join(written)})" if len(values) else "false"


def damaged(place: str | Path, what: str) -> DataError:
    """The error for a table that is not what was written."""
    return DataError(f"the index is damaged: {what}", where=str(place), remedy=REBUILD)


@contextmanager
def lance_errors(place: str | Path) -> Iterator[None]:
    """LanceDB's errors, which are RuntimeError and ValueError with a text, as ours."""
    try:
        yield
    except NearfarError:
        raise
    except (RuntimeError, ValueError, OSError) as error:
        told = " ".join(str(error).split())[:300]
        if any(word in told.lower() for word in REFUSED):
            raise ResourceError(
                f"the table cannot be read or written: {told}",
                where=str(place),
                remedy="check the room, the permissions and the connection",
            ) from error
        raise damaged(place, told) from error
