"""Standardising: the mean and spread of columns of numbers, found piece by piece, and their use on further numbers.

        z = (x - mean) / std,    z = 0 for a column that never varied

A column that is constant where the mean is taken says nothing there; whatever it holds later would reach weights that never learned
it. So it is left out instead of being divided by one. Missing values (NaN) do not count, and stay missing.
Pieces are merged by the update of Chan, Golub and LeVeque 1983, which does not lose digits to large means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nearfar.core.errors import DataError

MOST = float(np.finfo(np.float32).max)


class Standard(NamedTuple):
    """Mean and 1 / spread of each column, as exact numbers."""

    mean: tuple[float, ...]
    factor: tuple[float, ...]


class Moments:
    """Mean and spread of the columns of all tables [m c] that were added.

    >>> import numpy as np
    >>> found = Moments(2)
    >>> found.add(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> found.add(np.array([[np.nan, 5.0]]))
    >>> found.mean.tolist(), found.factor().tolist(), found.missing
    ([2.0, 5.0], [1.0, 0.0], True)
    """

    def __init__(self, columns: int) -> None:
        self.count, self.mean, self.squares = np.zeros(columns), np.zeros(columns), np.zeros(columns)
        self.low, self.high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self.missing = False

    def add(self, table: Float[np.ndarray, "m c"]) -> None:
        """Count in further rows."""
        seen = ~np.isnan(table)
        self.missing = self.missing or not seen.all()
        count = seen.sum(0)
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large is found in `factor`
            mean = np.where(seen, table, 0).sum(0, dtype=np.float64) / count.clip(1)
            squares = np.where(seen, (table - mean) ** 2, 0).sum(0)
            total = self.count + count
            gap = mean - self.mean
            self.squares += squares + gap**2 * self.count * count / total.clip(1)
            self.mean += gap * count / total.clip(1)
        self.count = total
        self.low = np.minimum(self.low, np.where(seen, table, np.inf).min(0, initial=np.inf))
        self.high = np.maximum(self.high, np.where(seen, table, -np.inf).max(0, initial=-np.inf))

    def factor(self) -> Float[np.ndarray, " c"]:
        """1 / standard deviation of each column, 0 for those that never varied. Raises DataError for numbers beyond reason."""
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = 1 / np.sqrt(self.squares / self.count.clip(1))
        wild = ~np.isfinite(self.squares) | ~np.isfinite(self.mean)
        if wild.any():
            raise DataError(
                "the values are too large for their spread to be computed",
                where=f"column {int(wild.argmax())}",
                remedy="scale them down, or take their logarithm",
            )
        return np.where((self.high > self.low) & np.isfinite(factor), factor, 0.0)


def standardised(
    table: Float[np.ndarray, "m c"], mean: Float[np.ndarray, " c"], factor: Float[np.ndarray, " c"], where: str
) -> Float[np.ndarray, "m c"]:
    """The table as float32 numbers around zero. Raises DataError for a value too far out to be one."""
    with np.errstate(over="ignore"):
        made = (table - mean) * factor
    far = np.abs(made) > MOST
    if far.any():
        column = int(far.any(0).argmax())
        raise DataError(
            f"{table[far[:, column], column][0]:g} in column {column} is too far from what the encoder was fitted on",
            where=where,
            remedy="repair the value, or fit the encoder on records like this one",
        )
    return made.astype(np.float32)


def standard_of(tables: Iterable[Float[np.ndarray, "m c"]], most: int, noun: str) -> tuple[Standard, bool]:
    """Mean and spread of all tables [m c], which have the same columns, and whether a value was missing.

    Raises DataError where there is no table, or one has more columns than `most`; `noun` names them.
    """
    found: Moments | None = None
    for table in tables:
        found = found or Moments(table.shape[1])
        found.add(table)
    if found is None:
        raise DataError("there are no records to fit the encoder on", remedy="give at least one")
    if len(found.mean) > most:
        raise DataError(f"records of {len(found.mean):,} {noun}", remedy=f"give at most {most:,}; time comes first")
    return Standard(tuple(found.mean.tolist()), tuple(found.factor().tolist())), found.missing


def stored_standard(mean: Any, factor: Any, most: int) -> Standard:
    """What a configuration says. Raises DataError for what is not the means and factors of 1 to `most` columns."""
    sound = (
        isinstance(mean, Sequence)
        and isinstance(factor, Sequence)
        and 0 < len(mean) == len(factor) <= most
        and all(type(v) in (int, float) and abs(v) < np.inf for v in (*mean, *factor))
        and all(v >= 0 for v in factor)
    )
    if not sound:
        raise DataError("mean and factor are not those of columns")
    return Standard(tuple(map(float, mean)), tuple(map(float, factor)))
