"""`Outcome`: what a probe found, kept unit by unit - the one form in which all probes hand over their results.

A probe measures units: queries, pairs of sentences, test records, episodes. An outcome keeps for each unit what its metrics are made
of, so that whoever wants an interval, a paired test, the worst ten units or another cut of the data needs no second measurement.

A metric is either a mean over units (its column has its name), or a function of columns that only exists over many units
(a rank correlation, an area under a curve): then it is computed anew from the columns of a resample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError

CARD = Card(
    name="outcome",
    summary="what a probe found, unit by unit: figures by name, and the columns that they are computed from",
    related=("statistics", "retrieval"),
    public=("Outcome",),
)

Columns = Mapping[str, NDArray[Any]]
Metric = Callable[[Columns], float]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Columns over n units, and the figures made of them.

    probe     the part that measured; a stored outcome finds its `metrics` again in the module's METRICS
    main      the metric that counts where only one is shown
    units     what one row is: "queries", "pairs", "records", "episodes"
    columns   name -> [n] (or [n ...]): per-unit values; a column named in `means` is a metric, its mean
    means     metrics that are means of a column, in the order in which they are shown
    metrics   metric -> function of the columns: figures that are no means. Functions at the top of the probe's module, listed there
              in METRICS; what they need beside columns is a column too
    swapped   columns that belong to the measured system, on a scale that two systems share (ranks, not raw scores): a paired test
              exchanges them unit by unit. Others (gold values, labels) are the same for every system. Empty: no such test
              exists for `metrics` (cluster numbers of two systems mean different things); means can always be tested
    names     of the units [n], by which two outcomes are matched; their numbers where empty
    higher    whether more is better, for metrics where it is not: {"mae": False}
    facts     counts and settings worth knowing: {"documents": 1000, "k": 20}; no metrics

    >>> import numpy as np
    >>> found = Outcome("knn", "accuracy", "records", {"accuracy": np.array([1.0, 0.0, 1.0, 1.0])}, means=("accuracy",))
    >>> found.figures()
    {'accuracy': 0.75}

    Raises DataError for columns of different lengths, and for values of a mean that are no finite numbers.
    """

    probe: str
    main: str
    units: str
    columns: Columns
    means: tuple[str, ...] = ()
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    swapped: tuple[str, ...] = ()
    names: Sequence[str] = ()
    higher: Mapping[str, bool] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        lengths |= {"names": len(self.names)} if len(self.names) else {}
        if len(set(lengths.values())) != 1:
            raise DataError(
                f"the columns have different lengths: {lengths}", where="columns", remedy="give one row a unit in each"
            )
        for name in self.means:
            bad = np.flatnonzero(~np.isfinite(np.asarray(self.columns[name], dtype=np.float64)))
            if len(bad):
                raise DataError(
                    f"{name} of unit {bad[0]} is {self.columns[name][bad[0]]}",
                    where=f"columns[{name!r}]",
                    remedy="leave out what was not measured, and count it in `facts`",
                )
        if self.main not in self.names_of_metrics:
            raise UsageError(
                f"there is no metric {self.main!r}", remedy=f"there are {', '.join(self.names_of_metrics)}"
            )

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def names_of_metrics(self) -> tuple[str, ...]:
        """The main one first."""
        return tuple(
            dict.fromkeys([*[m for m in (self.main,) if m in (*self.means, *self.metrics)], *self.means, *self.metrics])
        )

    def figure(self, metric: str = "", rows: NDArray[Any] | slice = slice(None)) -> float:
        """One metric (the main one unless given), over all units or over some `rows` of them, repetitions allowed.

        Raises UsageError for a metric that this outcome does not have.
        """
        metric = metric or self.main
        if metric in self.means:
            return float(np.mean(self.columns[metric][rows], dtype=np.float64))
        if metric not in self.metrics:
            raise UsageError(f"there is no metric {metric!r}", remedy=f"there are {', '.join(self.names_of_metrics)}")
        return float(self.metrics[metric]({name: column[rows] for name, column in self.columns.items()}))

    def figures(self) -> dict[str, float]:
        """All metrics by name, the main one first."""
        return {name: self.figure(name) for name in self.names_of_metrics}

    def is_better_higher(self, metric: str = "") -> bool:
        """Whether more of a metric is better."""
        return self.higher.get(metric or self.main, True)
