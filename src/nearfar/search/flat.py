"""`FlatIndex`: vectors and what they stand for in a directory that lasts; search is exact and memory-mapped.

    index.json     format and version, model, sizes, checksums
    vectors.npy    float32 [n d], unit rows
    rows.jsonl     one JSON object a row: file, line, name, text, whatever the builder put there
    offsets.npy    int64 [n + 1], where each row starts in rows.jsonl

Nothing in it is ever unpickled, and no path is read from it.
"""

from __future__ import annotations

import json
import mmap
import operator
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from nearfar.core.card import Card
from nearfar.core.directories import latest
from nearfar.core.errors import DataError, UsageError
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.search.build import build, unit
from nearfar.search.manifest import REBUILD, Manifest, check_files, read_manifest, unreadable

CARD = Card(
    name="flat",
    summary="an index on disk: exact search over memory-mapped vectors, with a row of columns for each",
    public=("FlatIndex",),
)


class Hits(NamedTuple):
    """Row numbers [q k] int64 and cosines [q k] float32, best first; equal ones in the order of rows."""

    rows: np.ndarray
    scores: np.ndarray


class FlatIndex:
    """An open index. `FlatIndex.build` writes one, `FlatIndex.open` reads one.

    >>> import tempfile
    >>> place = tempfile.mkdtemp() + "/index"
    >>> index = FlatIndex.build(place, np.eye(3, dtype="float32"), [{"name": n} for n in "abc"], model="none")
    >>> hits = index.search(np.array([[0.0, 2.0, 1.0]], dtype="float32"), k=2, model="none")
    >>> [index.row(i)["name"] for i in hits.rows[0]]
    ['b', 'c']
    """

    def __init__(
        self, directory: Path, manifest: Manifest, vectors: np.ndarray, rows: mmap.mmap, offsets: np.ndarray
    ) -> None:
        self.directory, self.manifest, self.vectors = directory, manifest, vectors
        self._rows, self._offsets = rows, offsets

    def __len__(self) -> int:
        return self.manifest.count

    @classmethod
    def build(
        cls,
        directory: str | Path,
        vectors: np.ndarray,
        rows: Iterable[Mapping[str, Any]],
        *,
        model: str,
        about: Mapping[str, Any] | None = None,
    ) -> FlatIndex:
        """Write an index and open it. An index already there is replaced once the new one is complete.

        vectors   [n d] floating point, scaled to length 1 here; may be memory-mapped
        rows      n mappings, written as JSON; any iterable
        model     fingerprint of the model that made the vectors
        about     anything to remember in index.json, as JSON

        Errors: DataError for a vector that is zero or not finite, rows that are not n or no JSON; UsageError for a
        directory that holds anything else; ResourceError where it cannot be written. The older index survives them all.
        """
        build(directory, vectors, rows, model=model, about=about or {})
        return cls.open(directory, model=model, verify=False)

    @classmethod
    def open(cls, directory: str | Path, *, model: str | None = None, verify: bool = True) -> FlatIndex:
        """Open an index and check all that it says about itself; checksums (about a second a gigabyte) with `verify`.

        model   refuse the index unless a model of this fingerprint made it

        Errors: DataError for what is no index, is damaged, cut off, of another version, or of another model.
        """
        path = latest(directory)
        manifest = read_manifest(path)
        check_files(path, manifest, verify)
        vectors = _array(path / "vectors.npy", np.float32, (manifest.count, manifest.dimension))
        offsets = _array(path / "offsets.npy", np.int64, (manifest.count + 1,))
        size = manifest.files["rows.jsonl"]["bytes"]
        if offsets[0] != 0 or offsets[-1] != size or (np.diff(offsets) < 2).any():
            raise DataError("the offsets do not fit rows.jsonl", where=str(path / "offsets.npy"), remedy=REBUILD)
        try:
            with open(path / "rows.jsonl", "rb") as file:
                rows = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise unreadable(path / "rows.jsonl", error) from None
        index = cls(path, manifest, vectors, rows, offsets)
        index.check_model(model)
        return index

    def check_model(self, model: str | None) -> None:
        """DataError unless `model` (None: unknown) is the fingerprint of the model that made this index."""
        if model is not None and model != self.manifest.model:
            raise DataError(
                f"the index was made by model {self.manifest.model[:12]}, not by {model[:12]}: "
                "their vectors cannot be compared",
                where=str(self.directory),
                remedy="search with the model that made it, or build the index again with this one",
            )

    def search(self, queries: np.ndarray, k: int = 10, *, model: str | None = None) -> Hits:
        """The k nearest rows of each query vector [q d] by cosine, exactly; fewer if the index has fewer.

        Needs about 32 MiB whatever n; `model` as in `open`.

        Errors: UsageError for a shape or k that does not fit, DataError for a query that is zero or not finite, or
        another model.
        """
        self.check_model(model)
        queries = np.asarray(queries)
        if queries.ndim != 2 or queries.shape[1] != self.manifest.dimension or queries.dtype.kind != "f":
            raise UsageError(
                f"queries are {list(queries.shape)} of {queries.dtype}; the index takes [q {self.manifest.dimension}] "
                "of floating point",
                where="queries",
                remedy="encode the queries with the model of the index; a single one is vector[None]",
            )
        if operator.index(k) < 1:
            raise UsageError(f"k={k} asks for nothing", where="k", remedy="ask for at least one row")
        return Hits(*nearest_chunked(unit(queries, "queries"), self.vectors, min(operator.index(k), len(self))))

    def row(self, number: SupportsIndex) -> dict[str, Any]:
        """The columns of a row, read from the disk.

        Errors: UsageError for a number out of range; DataError for a damaged row.
        """
        i = operator.index(number)
        if not 0 <= i < len(self):
            raise UsageError(f"there is no row {i}", where=str(self.directory), remedy=f"rows are 0 to {len(self) - 1}")
        try:
            values = json.loads(self._rows[int(self._offsets[i]) : int(self._offsets[i + 1])])
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            where = f"{self.directory / 'rows.jsonl'}, line {i + 1}"
            raise DataError("the row is damaged", where=where, remedy=REBUILD)
        return values


def _array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    """A memory-mapped array of exactly this type and shape; never unpickles."""
    try:
        # open_memmap, unlike np.load, knows no other format than npy and refuses objects.
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, TypeError, SyntaxError, OverflowError, MemoryError) as error:
        what = f"this is no array that can be read: {str(error)[:200]}"
        raise DataError(what, where=str(path), remedy=REBUILD) from None
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise DataError(
            f"the array is {list(array.shape)} of {array.dtype}, not {list(shape)} of {np.dtype(dtype)}",
            where=str(path),
            remedy=REBUILD,
        )
    return array
