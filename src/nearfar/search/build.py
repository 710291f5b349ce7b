"""Writing an index so that a crash, a full disk or Ctrl-C costs only the new one.

All files are made in a hidden directory beside the target, flushed to the disk and then renamed. An older index is set
aside for the moment between two renames; `latest` finds it there if the process dies in that moment.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.search.manifest import FILES, FORMAT, MANIFEST, Manifest, facts

BLOCK = 65_536  # rows normalised and written at once
ABANDONED = 86_400  # seconds after which a half-built directory belongs to no living process


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
    target = Path(os.path.realpath(directory))
    _json(about, "about")
    try:
        _refuse_foreign(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        recover(target)
        _remove_abandoned(target)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.building-", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from None
    try:
        _write_vectors(work / "vectors.npy", vectors)
        _write_rows(work, rows, len(vectors))
        manifest = Manifest(
            model, vectors.shape[1], len(vectors), {name: facts(work / name) for name in FILES}, dict(about)
        )
        (work / MANIFEST).write_text(manifest.json(), "utf-8")
        _flush(work)
        work.chmod(0o777 & ~_umask())  # mkdtemp makes it private
        _exchange(work, target)
    except OSError as error:
        raise _unwritable(target, error) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def latest(target: Path) -> Path:
    """Where the index of `target` is: there, or set aside by a build that died between its two renames."""
    aside = _aside(target)
    return aside if not target.exists() and aside.is_dir() else target


def recover(target: Path) -> None:
    """Put back an index that a dead build had set aside, or remove it where it was replaced."""
    aside = _aside(target)
    if aside.is_dir():
        if target.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(target)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _exchange(work: Path, target: Path) -> None:
    aside = _aside(target)
    if target.exists():
        target.rename(aside)
    try:
        work.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _refuse_foreign(target: Path) -> None:
    """UsageError unless the target is free, empty, or an index and nothing else: replacing removes all it holds."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError("this is a file", where=str(target), remedy="name a directory for the index")
    names = {path.name for path in target.iterdir()}
    other = sorted(names - {MANIFEST, *FILES})
    if names and (other or not _is_index(target)):
        shown = f" ({', '.join(other[:3])}{', ...' if len(other) > 3 else ''})" if other else ""
        raise UsageError(
            f"the directory holds something else than an index{shown} and is left alone",
            where=str(target),
            remedy="choose a new directory",
        )


def _is_index(target: Path) -> bool:
    try:
        values = json.loads((target / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and values.get("format") == FORMAT


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


def _flush(directory: Path) -> None:
    """To the disk itself: a rename may otherwise reach it before the content does."""
    for path in directory.iterdir():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())


def _remove_abandoned(target: Path) -> None:
    for path in target.parent.glob(f".{target.name}.building-*"):
        if time.time() - path.stat().st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(target: Path, error: OSError) -> ResourceError:
    return ResourceError(
        f"the index cannot be written: {error.strerror or error}; an older one is as it was",
        where=str(target),
        remedy="choose a place with room where you may write",
    )
