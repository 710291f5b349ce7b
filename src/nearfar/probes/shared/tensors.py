"""What `inputs` checks, as tensors, and what geometry does with them a few rows at a time: tables of vectors, directions, neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.errors import DataError
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.probes.shared.inputs import at_least, unit_rows, vector_table

TILE_BYTES = 64 << 20


def embeddings(
    table: Any, name: str = "vectors", least: int = 2, *, length: int = -1, width: int = -1
) -> Float[Tensor, "n d"]:
    """An array, tensor or list of vectors as a tensor [n d] on the CPU, of float32 or float64; `length` and `width` unless -1.

    Raises what `vector_table` raises, and DataError for fewer than `least` rows.

    >>> embeddings([[1, 2], [3, 4]]).shape
    torch.Size([2, 2])
    """
    return _tensor(_table(table, name, least, length, width))


def directions(
    table: Any, name: str = "vectors", least: int = 2, *, length: int = -1, width: int = -1
) -> Float[Tensor, "n d"]:
    """The same, of length one. Raises DataError, too, for a vector of zeros, which has no direction.

    >>> directions([[3, 4], [0, 2]]).tolist()
    [[0.6, 0.8], [0.0, 1.0]]
    """
    vectors = _table(table, name, least, length, width)
    bad = np.flatnonzero(~vectors.any(1))
    if len(bad):
        raise DataError(
            f"{len(bad)} vectors are zero, the first in row {bad[0]}, and have no direction",
            where=name,
            remedy="leave out what was not encoded, and say how many",
        )
    return _tensor(unit_rows(vectors))


def _table(table: Any, name: str, least: int, length: int, width: int) -> NDArray[Any]:
    vectors = vector_table(table, name, length=length, width=width)
    if len(vectors) < least:
        raise DataError(f"{len(vectors)} vectors, where this needs {least}", where=name, remedy="measure more records")
    return vectors


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(
        array if array.flags.writeable else array.copy()
    )  # torch takes none that it might not write to


def train_and_test(train: Any, test: Any, name: str = "") -> tuple[Float[Tensor, "m d"], Float[Tensor, "n d"]]:
    """Both tables, checked as by `embeddings`, which have the same dimensions.

    >>> [len(table) for table in train_and_test([[1.0], [2.0]], [[3.0]])]
    [2, 1]
    """
    first = embeddings(train, f"{name}train")
    return first, embeddings(test, f"{name}test", 1, width=first.shape[1])


def strips(total: int, width: int, tile_bytes: int = TILE_BYTES) -> Iterator[slice]:
    """Slices of rows, so that a tile [rows, width] in float64 and two copies of it stay within `tile_bytes`.

    >>> [(s.start, s.stop) for s in strips(5, 10, 480)]
    [(0, 2), (2, 4), (4, 5)]
    """
    height = max(1, tile_bytes // (24 * max(1, width)))
    for start in range(0, total, height):
        yield slice(start, min(total, start + height))


def other_neighbours(points: Float[Tensor, "n d"], k: int) -> Int64[np.ndarray, "n k"]:
    """Rows of the k nearest others by dot product, itself left out, equal ones in the order of rows.

    Raises UsageError unless 1 <= k < n.

    >>> other_neighbours(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), 1)[:, 0].tolist()
    [1, 0, 1]
    """
    n = len(points)
    at_least(k, 1, n - 1, "k", "neighbours")
    table = points.float().numpy()
    found, _ = nearest_chunked(table, table, k + 1)
    # among many equal vectors a row may not be one of its own k + 1 nearest: then the last one goes
    own = found == np.arange(n)[:, None]
    own[~own.any(1), -1] = True
    return found[~own].reshape(n, k)


def as_array(values: Tensor) -> NDArray[np.float64]:
    """Float64 on the side of numpy."""
    return values.detach().cpu().double().numpy()
