"""A record that is numbers - a wave, a series, a row of a table - as a numpy array, checked, and back to what it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from nearfar.core.errors import DataError

Arrays = Sequence[Any] | np.ndarray | Tensor  # n records, each numbers: a list of arrays, or one array of them all


def as_floats(record: Any, number: int, axes: tuple[int, ...], noun: str) -> np.ndarray:
    """The record as an array of float32 or float64 with one of the given numbers of axes; its memory is shared where it can be.

    record   an array, a tensor on any device, or (nested) lists of numbers
    noun     what it ought to be, for the error: "a wave [t]"

    Raises DataError, where="record i", for what is no array of numbers, has other axes, or is empty.

    >>> as_floats([1, 2], 0, (1,), "a wave [t]")
    array([1., 2.])
    """
    remedy = f"give {noun}: an array or tensor of numbers"
    try:
        array = record.detach().cpu().numpy() if isinstance(record, Tensor) else np.asarray(record)
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray("nothing of numbers")
    if array.dtype.kind not in "fiub":
        what = f"an array of {array.dtype}" if isinstance(record, np.ndarray) else f"a {type(record).__name__}"
        raise DataError(f"{what} is not {noun}", where=f"record {number}", remedy=remedy)
    if array.ndim not in axes or not array.size:
        raise DataError(f"an array of shape {list(array.shape)} is not {noun}", where=f"record {number}", remedy=remedy)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def back_to(made: np.ndarray, record: Any) -> Any:
    """The array as what the record was: a tensor on its device, or an array; floats keep their precision."""
    if isinstance(record, Tensor):
        like = record if record.is_floating_point() else record.float()
        return like.new_tensor(made)
    dtype = getattr(record, "dtype", None)
    return made.astype(dtype if dtype is not None and dtype.kind == "f" else np.float32, copy=False)


def by_column(record: np.ndarray) -> np.ndarray:
    """A series [t] or [t c] as [t c]."""
    return record[:, None] if record.ndim == 1 else record
