"""`VectorCache`: vectors by what they were made of, in a folder of bounded size or for one run in memory.

The key is a digest of the model's fingerprint, precision, side, prompt and the records themselves, so a vector can only be found where
it would be computed again. Files are .npy without pickles; one that is damaged is computed anew.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from nearfar.core.errors import UsageError
from nearfar.core.files import ensure_directory, unwritable

BYTES = 2 << 30
_HEADER = b"nearfar vectors 1\n"


class VectorCache:
    """Arrays by key.

    folder  where they are kept; None: in memory, as long as this object lives
    most    bytes of all of them; those that were not used for longest go first

    >>> cache = VectorCache(None)
    >>> key = key_of(["model", "query", ""], ["a text"])
    >>> cache.get(key) is None
    True
    >>> cache.put(key, np.ones((1, 2), dtype=np.float32))
    >>> cache.get(key).tolist(), cache.hits, cache.misses
    ([[1.0, 1.0]], 1, 1)
    """

    def __init__(self, folder: Path | None, most: int = BYTES) -> None:
        if most < 0:
            raise UsageError(f"a cache of {most} bytes", where="cache", remedy="give 0 for none")
        self.folder, self.most, self.hits, self.misses = folder, most, 0, 0
        self._held: dict[str, np.ndarray] = {}
        if folder is not None:
            ensure_directory(folder)

    def get(self, key: str) -> np.ndarray | None:
        """The array of a key, or None."""
        found = self._held.pop(key, None) if self.folder is None else _read(self.folder / f"{key}.npy")
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        if self.folder is None:
            self._held[key] = found  # the latest is the last
        return found

    def put(self, key: str, vectors: np.ndarray) -> None:
        """Keep an array, if it is not larger than the whole cache."""
        if vectors.nbytes > self.most:
            return
        if self.folder is None:
            self._held[key] = vectors
            while sum(v.nbytes for v in self._held.values()) > self.most:
                del self._held[next(iter(self._held))]
            return
        try:
            _write(self.folder / f"{key}.npy", vectors)
            self._bound(self.folder)
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _bound(self, folder: Path) -> None:
        files = []
        for path in folder.glob("*.npy"):
            with suppress(FileNotFoundError):  # another process may have removed it
                found = path.stat()
                files.append((found.st_mtime_ns, found.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.most:
                return
            path.unlink(missing_ok=True)
            total -= size


def key_of(settings: Iterable[str], records: Iterable[str]) -> str:
    """A digest of texts; no two different lists of settings and records give the same.

    >>> key_of(["a"], ["b", "c"]) == key_of(["a"], ["bc"])
    False
    """
    digest = hashlib.sha256(_HEADER)
    for part in (settings, records):
        for text in part:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data) + data)
        digest.update(b";")
    return digest.hexdigest()[:40]


def _read(path: Path) -> np.ndarray | None:
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and found.dtype == np.float32 and np.isfinite(found).all() else None


def _write(path: Path, vectors: np.ndarray) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, vectors, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
