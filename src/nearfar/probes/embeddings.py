"""Tables of vectors, labels and neighbours as the probes of geometry take them: checked, and a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.errors import DataError, UsageError
from nearfar.maths.nearest_chunked import nearest_chunked

TILE_BYTES = 64 << 20


def embeddings(table: Any, name: str = "vectors", least: int = 2) -> Float[Tensor, "n d"]:
    """An array, tensor or list of vectors as a tensor [n d] on the CPU, in float32 (float64 stays).

    Raises UsageError for another shape; DataError for fewer than `least` rows, NaN and infinity.

    >>> embeddings([[1, 2], [3, 4]]).dtype
    torch.float32
    """
    if isinstance(table, Tensor):
        vectors = table.detach().cpu()
    else:
        array = np.asarray(table)
        if array.dtype.kind not in "fiub":
            raise UsageError(f"{name} hold {array.dtype}, no numbers", where=name, remedy="give an array [n d]")
        # torch takes no array that it might not write to
        vectors = torch.as_tensor(array if array.flags.writeable else array.copy())
    vectors = vectors if vectors.dtype in (torch.float32, torch.float64) else vectors.float()
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise UsageError(
            f"a table of vectors has shape [n d], not {list(vectors.shape)}", where=name, remedy="give one vector a row"
        )
    if len(vectors) < least:
        raise DataError(f"{len(vectors)} vectors, where this needs {least}", where=name, remedy="measure more records")
    bad = (~vectors.isfinite().all(1)).nonzero()[:, 0]
    if len(bad):
        raise DataError(
            f"{len(bad)} vectors hold NaN or infinity, the first in row {int(bad[0])}",
            where=name,
            remedy="look for a model that diverged in training, or an empty record",
        )
    return vectors


def directions(table: Any, name: str = "vectors", least: int = 2) -> Float[Tensor, "n d"]:
    """The same, of length one. Raises DataError, too, for a vector of zeros, which has no direction.

    >>> directions([[3, 4], [0, 2]]).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 1.0]]
    """
    vectors = embeddings(table, name, least)
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True, dtype=torch.float64)
    bad = (length[:, 0] == 0).nonzero()[:, 0]
    if len(bad):
        raise DataError(
            f"{len(bad)} vectors are zero, the first in row {int(bad[0])}, and have no direction",
            where=name,
            remedy="leave out what was not encoded, and say how many",
        )
    return (vectors / length).to(vectors.dtype)


def same_records(first: Tensor, second: Tensor, *, width: bool = True) -> None:
    """Raises UsageError unless both tables have as many rows and, with `width`, as many columns."""
    if len(first) != len(second) or (width and first.shape != second.shape):
        raise UsageError(
            f"row i of both tables belongs to one record; these have shapes {list(first.shape)} and {list(second.shape)}",
            remedy="encode the same records in the same order" + (" into one space" if width else ""),
        )


def train_and_test(train: Any, test: Any, name: str = "") -> tuple[Float[Tensor, "m d"], Float[Tensor, "n d"]]:
    """Both tables, checked as by `embeddings`. Raises UsageError where they have different dimensions.

    >>> [len(table) for table in train_and_test([[1.0], [2.0]], [[3.0]])]
    [2, 1]
    """
    first, second = embeddings(train, f"{name}train"), embeddings(test, f"{name}test", 1)
    if first.shape[1] != second.shape[1]:
        raise UsageError(
            f"training vectors have {first.shape[1]} dimensions and test vectors {second.shape[1]}",
            where=f"{name}test",
            remedy="encode both with one model",
        )
    return first, second


def classes(labels: Any, total: int, name: str = "labels", least: int = 1) -> Int64[np.ndarray, " n"]:
    """Labels of any kind [n] as numbers from 0, in sorted order.

    Raises UsageError unless there is one for each of `total` rows; DataError for fewer than `least` different ones.

    >>> classes(["b", "a", "b"], 3).tolist()
    [1, 0, 1]
    """
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.ndim != 1 or len(array) != total:
        raise UsageError(
            f"labels of shape {list(array.shape)} for {total} rows", where=name, remedy="give one label a row"
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise DataError("a label is NaN", where=name, remedy="leave out rows without a label")
    if array.dtype.kind == "O" and any(label is None for label in array):
        raise DataError("a label is missing", where=name, remedy="leave out rows without a label")
    kinds, numbers = np.unique(array, return_inverse=True)
    if len(kinds) < least:
        raise DataError(
            f"{len(kinds)} different labels, where this needs {least}", where=name, remedy="give rows of more classes"
        )
    return numbers.astype(np.int64)


def joint_classes(
    train: Any, test: Any, sizes: tuple[int, int], name: str = "labels"
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " n"]]:
    """Labels of training and test rows as numbers that both share. Raises as `classes` does, for either.

    >>> [codes.tolist() for codes in joint_classes(["b", "a"], ["b"], (2, 1))]
    [[1, 0], [1]]
    """
    sides = [side.detach().cpu().numpy() if isinstance(side, Tensor) else np.asarray(side) for side in (train, test)]
    for side, size, where in zip(sides, sizes, (f"train_{name}", name), strict=True):
        classes(side, size, where)
    codes = classes(np.concatenate(sides), sum(sizes), name)
    return codes[: sizes[0]], codes[sizes[0] :]


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
    neighbours_exist(k, n - 1)
    table = points.float().numpy()
    found, _ = nearest_chunked(table, table, k + 1)
    # among many equal vectors a row may not be one of its own k + 1 nearest: then the last one goes
    own = found == np.arange(n)[:, None]
    own[~own.any(1), -1] = True
    return found[~own].reshape(n, k)


def neighbours_exist(k: int, available: int) -> None:
    """Raises UsageError unless 1 <= k <= available."""
    if not 1 <= k <= available:
        raise UsageError(
            f"k = {k} neighbours among {available} rows", where="k", remedy=f"choose k from 1 to {available}"
        )


def as_array(values: Tensor) -> NDArray[np.float64]:
    """Float64 on the side of numpy."""
    return values.detach().cpu().double().numpy()
