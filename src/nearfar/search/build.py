"""Writing an index: unit vectors, rows and the manifest that says what belongs together; whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.directories import replaced
from nearfar.core.errors import DataError, UsageError
from nearfar.search.manifest import FILES, FORMAT, MANIFEST, Manifest, facts

BLOCK = 65_536  # rows normalised and written at once


def build(
    directory: str | Path,
    vectors: np.ndarray,
    rows: Iterable[Mapping[str, Any]],
    *,
    model: str,
    about: Mapping[str, Any],
) -> None:
    """Write an index of vectors [n d] and n rows; `FlatIndex.build` says the rest."""
    vectors = np.asanyarray(vectors)  # a memory-mapped array stays one
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating):
        raise UsageError(
            f"an index takes vectors [n d] of floating point, not {list(vectors.shape)} of {vectors.dtype}",
            where="vectors",
            remedy="give what model.encode returns",
        )
    if 0 in vectors.shape:
        raise DataError("there is nothing to index: no vectors", where="vectors", remedy="give at least one row")
    _json(about, "about")
    files = (MANIFEST, *FILES)
    with replaced(Path(directory), written_as=FORMAT, description=MANIFEST, files=files) as work:
        _write_vectors(work / "vectors.npy", vectors)
        _write_rows(work, rows, len(vectors))
        manifest = Manifest(
            model, vectors.shape[1], len(vectors), {name: facts(work / name) for name in FILES}, dict(about)
        )
        (work / MANIFEST).write_text(manifest.json(), "utf-8")


def _write_vectors(path: Path, vectors: np.ndarray) -> None:
    # Sizes are known, so that vectors larger than memory (memory-mapped ones) pass through in blocks.
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=vectors.shape)
    for start in range(0, len(vectors), BLOCK):
        out[start : start + BLOCK] = unit(vectors[start : start + BLOCK], "vectors", start)
    out.flush()


def unit(vectors: np.ndarray, name: str, start: int = 0) -> np.ndarray:
    """Rows [n d] of length 1 in float32; DataError that names a row which is not finite or is zero."""
    exact = vectors.astype(np.float64)
    length = np.sqrt(np.einsum("nd,nd->n", exact, exact))
    bad = np.flatnonzero(~np.isfinite(length) | (length == 0))
    if len(bad):
        how = "zero, which has no direction" if length[bad[0]] == 0 else "not finite (NaN or too large)"
        raise DataError(
            f"the vector is {how}; {len(bad):,} of {len(vectors):,} are bad",
            where=f"{name}[{start + bad[0]}]",
            remedy="look at what was encoded there, and whether training diverged",
        )
    return (exact / length[:, None]).astype(np.float32)


def _write_rows(work: Path, rows: Iterable[Mapping[str, Any]], n: int) -> None:
    offsets = np.zeros(n + 1, dtype=np.int64)
    count = 0
    with open(work / "rows.jsonl", "wb") as file:
        for count, row in enumerate(rows, start=1):
            if count <= n:
                file.write(_line(row, count - 1))
                offsets[count] = file.tell()
    if count != n:
        raise DataError(f"{count:,} rows for {n:,} vectors", where="rows", remedy="give one row a vector")
    np.save(work / "offsets.npy", offsets, allow_pickle=False)


def _line(row: Any, number: int) -> bytes:
    if not isinstance(row, Mapping):
        raise DataError(f"a row is a {type(row).__name__}", where=f"rows[{number}]", remedy="give a dict of columns")
    return _json(row, f"rows[{number}]") + b"\n"


def _json(values: Mapping[str, Any], where: str) -> bytes:
    try:
        return json.dumps(dict(values), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(dict(values), allow_nan=False).encode("ascii")  # half a surrogate pair is kept, escaped
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"this cannot be written as JSON: {str(error)[:200]}",
            where=where,
            remedy="give texts, finite numbers, true, false, null, lists and objects",
        ) from None
