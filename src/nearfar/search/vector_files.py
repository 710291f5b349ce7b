"""The vectors of an index on the disk: rows of fixed width, appended and never changed, read memory-mapped.

    float32   vectors.f32   4 d bytes a row
    int8      vectors.i8    d bytes a row: round(127 v / max |v|); the direction is kept, so the scale need not be
    bits      vectors.b1    the signs, 8 bytes for every 64 dimensions, for a first pass; and vectors.i8, by which it is scored again

A row counts once `rows.sqlite` says so: bytes behind the last counted row are what a killed writer left, and are written over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nearfar.core.errors import DataError
from nearfar.search.manifest import REBUILD, VECTORS, damaged, unreadable

BLOCK = 65_536  # rows normalised, written or checked at once
TYPES = {"f32": np.dtype("<f4"), "i8": np.dtype("i1"), "b1": np.dtype("<u8")}


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


def signs(vectors: np.ndarray) -> np.ndarray:
    """The signs of vectors [n d], packed [n ceil(d / 64)] uint64; padding is zero everywhere, so it differs nowhere."""
    packed = np.packbits(vectors >= 0, axis=1)
    room = -packed.shape[1] % 8
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, room)))).view("<u8")


def bytes_of(vectors: np.ndarray) -> np.ndarray:
    """Vectors [n d] as int8, the largest number of each row 127."""
    return np.rint(vectors * (127 / np.abs(vectors).max(1, keepdims=True))).astype(np.int8)


class Vectors:
    """`count` unit rows in float32, whatever they are stored as: what `nearest_chunked` asks for."""

    def __init__(self, stored: np.ndarray) -> None:
        self.stored = stored

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        found = self.stored[rows]
        if found.dtype != np.int8:
            return found
        found = found.astype(np.float32)
        return found / np.sqrt(np.einsum("nd,nd->n", found, found))[:, None]


class VectorFiles:
    """The files of one dtype in a directory."""

    def __init__(self, directory: Path, dtype: str, dimension: int) -> None:
        self.dtype, self.dimension = dtype, dimension
        self.paths = [directory / name for name in VECTORS[dtype]]
        self.types = [TYPES[path.suffix[1:]] for path in self.paths]
        self.widths = [-(-dimension // 64) if path.suffix == ".b1" else dimension for path in self.paths]

    def append(self, vectors: np.ndarray, first: int) -> list[str]:
        """Write unit rows [n d] behind the first `first` ones, to the disk itself; a digest a file."""
        made = []
        for path, kind, width in zip(self.paths, self.types, self.widths, strict=True):
            rows = {"f4": lambda x: x, "i1": bytes_of, "u8": signs}[kind.str[1:]](vectors)
            content = np.ascontiguousarray(rows, dtype=kind)
            with open(path, "r+b" if path.exists() else "w+b") as file:
                file.truncate(first * width * kind.itemsize)
                file.seek(0, os.SEEK_END)
                file.write(content.data)
                file.flush()
                os.fsync(file.fileno())
            made.append(hashlib.sha256(content.data).hexdigest())
        return made

    def open(self, count: int) -> list[np.ndarray]:
        """The first `count` rows of every file, memory-mapped [count width]. DataError for a file that is missing or cut off."""
        opened = []
        for path, kind, width in zip(self.paths, self.types, self.widths, strict=True):
            if not count:
                opened.append(np.empty((0, width), kind))
                continue
            try:
                size = path.stat().st_size
                if size < count * width * kind.itemsize:
                    raise damaged(path, f"the file is cut off: {size:,} bytes for {count:,} rows")
                mapped = np.memmap(path, kind, "r", shape=(count, width))
            except FileNotFoundError:
                raise DataError("a file of the index is missing", where=str(path), remedy=REBUILD) from None
            except OSError as error:
                raise unreadable(path, error) from None
            opened.append(mapped)
        return opened

    def check(self, opened: list[np.ndarray], segments: Iterator[tuple[int, int, list[str]]]) -> None:
        """DataError unless the rows of every segment (first, count, digests) are those that were written."""
        for first, count, digests in segments:
            for path, rows, digest in zip(self.paths, opened, digests, strict=True):
                if hashlib.sha256(np.ascontiguousarray(rows[first : first + count]).data).hexdigest() != digest:
                    raise damaged(
                        path, f"rows {first:,} to {first + count - 1:,} are not those that were written (checksum)"
                    )
