"""What encoders of series and waves share: looking at records, refusing what is no series, and steps made ready for a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from nearfar.core.arrays import Arrays, as_floats, by_column
from nearfar.core.errors import DataError
from nearfar.core.ragged import Ragged, ragged
from nearfar.encoders.shared.settings import wrong
from nearfar.maths.layers import is_size
from nearfar.maths.standardising import standardised

MAX_CHANNELS, MAX_STRIDE, MAX_STRIDES = 10_000, 101, 16
LOOKED_AT = 256  # records of a side from which mean and spread are taken: sound is read from disk for it


def check_strides(strides: tuple[int, ...]) -> None:
    """Raises UsageError, which names the setting, for strides that no encoder has."""
    if len(strides) > MAX_STRIDES:
        raise wrong("strides", strides, f"give {MAX_STRIDES} at most")
    for i, stride in enumerate(strides):
        if not is_size(stride, MAX_STRIDE):
            raise wrong(f"strides[{i}]", stride, f"give a whole number from 1 to {MAX_STRIDE}")


def sample_series(records: Mapping[str, Arrays], *, missing: bool) -> Iterator[np.ndarray]:
    """Some records of each side, evenly spaced, as steps [t c] with as many channels as the first has; `missing` allows NaN."""
    channels = None
    for side in sorted(records):
        whole = len(records[side])
        for number in sorted({i * whole // LOOKED_AT for i in range(LOOKED_AT)} if whole else ()):
            table = by_column(as_floats(records[side][number], number, (1, 2), "a series [t] or [t c]"))
            channels = channels or table.shape[1]
            _check(table, number, channels, missing)
            yield table


def prepared_series(records: Arrays, mean: np.ndarray, factor: np.ndarray, *, missing: bool) -> Ragged:
    """Series as standardised steps [m c] of unequal numbers, float32, NaN where missing.

    Raises DataError, where="record i", for what is no series, empty, of other channels, infinite, or has missing values
    where there may be none.
    """
    made = []
    for number, record in enumerate(records):
        table = by_column(as_floats(record, number, (1, 2), "a series [t] or [t c]"))
        _check(table, number, len(mean), missing)
        made.append(torch.from_numpy(standardised(table, mean, factor, f"record {number}")))
    return ragged(made) if made else Ragged(torch.zeros(0, len(mean)), torch.zeros(1, dtype=torch.long))


def _check(table: np.ndarray, number: int, channels: int, missing: bool) -> None:
    where = f"record {number}"
    if table.shape[1] != channels:
        raise DataError(
            f"a series of {table.shape[1]} channels, where others have {channels}",
            where=where,
            remedy="give series [t c] of the same channels; [t] is one channel",
        )
    if np.isinf(table).any():
        raise DataError("the series has an infinite value", where=where, remedy="repair it, or make it missing (NaN)")
    if not missing and np.isnan(table).any():
        raise DataError(
            f"step {int(np.isnan(table).any(1).argmax())} is missing (NaN), and the encoder knows no missing values",
            where=where,
            remedy="fill it, or fit the encoder with missing=True",
        )
