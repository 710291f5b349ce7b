"""Two outcomes of one probe, unit by unit: which rows are the same unit, and what exchanging the systems gives."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.outcome import Outcome


def matched(a: Outcome, b: Outcome) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the same units in both outcomes: [m] and [m]. Units of one name are matched in their order.

    Raises DataError for outcomes that are not of the same probe, units and data, and for fewer than two units in common.
    """
    for what, one, other in (("probe", a.probe, b.probe), ("units", a.units, b.units)):
        if one != other:
            raise DataError(
                f"one outcome is of the {what} {one!r}, the other of {other!r}",
                where=what,
                remedy="compare what one probe found of both systems",
            )
    prints = [outcome.facts.get("fingerprint") for outcome in (a, b)]
    if None not in prints and prints[0] != prints[1]:
        raise DataError(
            "the two were measured on different data: their fingerprints differ",
            where="facts['fingerprint']",
            remedy="measure both on the same records",
        )
    if bool(len(a.names)) != bool(len(b.names)) or (not len(a.names) and len(a) != len(b)):
        raise DataError(
            f"{len(a):,} {a.units} cannot be matched with {len(b):,}",
            where="names",
            remedy="give both outcomes the names of their units",
        )
    place = {key: row for row, key in enumerate(_keys(b))}
    pairs = [(row, place[key]) for row, key in enumerate(_keys(a)) if key in place]
    if len(pairs) < 2:
        raise DataError(
            f"of {len(a):,} and {len(b):,} {a.units} {len(pairs)} are the same ones",
            where="names",
            remedy="measure both on the same records",
        )
    rows = np.array(pairs, dtype=np.int64)
    return rows[:, 0], rows[:, 1]


def _keys(outcome: Outcome) -> list[tuple[str, int]]:
    if not len(outcome.names):
        return [("", row) for row in range(len(outcome))]
    seen: Counter[str] = Counter()
    keys = []
    for name in map(str, outcome.names):
        keys.append((name, seen[name]))
        seen[name] += 1
    return keys


def others(outcome: Outcome, rows: NDArray[np.int64]) -> tuple[str, ...]:
    """Names of the units that are not among `rows`."""
    lacking = np.setdiff1d(np.arange(len(outcome)), rows)
    return tuple(str(outcome.names[row]) for row in lacking)


def same_question(a: Outcome, b: Outcome, metric: str) -> None:
    """UsageError unless both have the metric, DataError unless they mean the same by it."""
    for outcome in (a, b):
        if metric not in outcome.names_of_metrics:
            raise UsageError(
                f"there is no metric {metric!r}", remedy=f"there are {', '.join(outcome.names_of_metrics)}"
            )
    same = (metric in a.means) == (metric in b.means) and set(a.swapped) == set(b.swapped)
    if not same or a.is_better_higher(metric) != b.is_better_higher(metric):
        raise DataError(
            f"the two mean different things by {metric!r}", remedy="compare what one probe found of both systems"
        )


class Exchangeable:
    """Two systems on the same units, and a metric that is no mean.

    Raises DataError where a column that belongs to neither system is not the same for both.
    """

    def __init__(self, a: Outcome, b: Outcome, rows_a: NDArray[Any], rows_b: NDArray[Any], metric: str) -> None:
        self.metric, self.swapped, self.n = metric, a.swapped, len(rows_a)
        self.function_a, self.function_b = a.metrics[metric], b.metrics[metric]
        self.a = {name: np.asarray(column)[rows_a] for name, column in a.columns.items()}
        self.b = {name: np.asarray(column)[rows_b] for name, column in b.columns.items()}
        for name in set(self.a) & set(self.b) - {*a.swapped, *a.means} if a.swapped else ():
            numbers = self.a[name].dtype.kind == "f" and self.b[name].dtype.kind == "f"
            if not np.array_equal(self.a[name], self.b[name], equal_nan=numbers):
                raise DataError(
                    f"{name} is not the same for both systems, though it is no measurement of them",
                    where=f"columns[{name!r}]",
                    remedy="measure both on the same records, with the same gold values",
                )

    def difference(self, rows: NDArray[Any] | slice = slice(None)) -> float:
        """The metric of a less that of b, over all units or some rows of them."""
        a = float(self.function_a({name: column[rows] for name, column in self.a.items()}))
        return a - float(self.function_b({name: column[rows] for name, column in self.b.items()}))

    def p_value(self, n: int, seed: int) -> float:
        """Share of the exchanges with a difference as large; all of them where they are no more than n."""
        observed = abs(self.difference())
        slack = 1e-12 * max(1.0, observed)
        if 2 ** (self.n - 1) <= n:  # the first unit stays: exchanging all of the others is the same with another sign
            patterns = np.arange(2 ** (self.n - 1))[:, None] >> np.arange(self.n) & 1
            return float(np.mean([not self._exchanged(p.astype(bool)) < observed - slack for p in patterns]))
        random = np.random.default_rng([seed, 1])
        count = sum(not self._exchanged(random.random(self.n) < 0.5) < observed - slack for _ in range(n))  # NaN counts
        return (1 + count) / (1 + n)

    def _exchanged(self, those: NDArray[np.bool_]) -> float:
        a, b = dict(self.a), dict(self.b)
        for name in self.swapped:
            mask = those.reshape(-1, *[1] * (self.a[name].ndim - 1))
            a[name], b[name] = (
                np.where(mask, self.b[name], self.a[name]),
                np.where(mask, self.a[name], self.b[name]),
            )
        return abs(float(self.function_a(a)) - float(self.function_b(b)))
