"""Two ways of training by several runs of each: what the seed does, and what the choice of queries does.

    d_sq      difference of run s of both on query q; the difference is the mean of all
    interval  of means over runs and queries drawn with replacement, both at once (two levels, crossed), widened for few runs:
              variance v of the resamples, of which v_s = var_s(mean_q d) / S stems from runs and v_q = v - v_s (S - 1) / S from queries;
              quantiles F(-t_f sqrt((v_s + v_q) / v)), f = (v_s + v_q)^2 / (v_s^2 / (S - 1) + v_q^2 / (Q - 1))
    p value   by flipping the sign of each run's difference: all 2^S patterns up to 20 runs

`statistics` compares one run with one, and knows nothing of seeds: on the same queries two seeds of one recipe may well differ surely.
With S runs no p value is below 2 / 2^S: 0.06 with five, 0.002 with ten. Sources: Owen, "The pigeonhole bootstrap", 2007, for both levels
at once; Satterthwaite, "An approximate distribution of estimates of variance components", 1946, for f.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.maths.bootstrap_interval import strips, t_quantile
from nearfar.probes.effect_sizes import cohens_d
from nearfar.probes.matched import matched, same_question
from nearfar.probes.outcome import Outcome
from nearfar.probes.statistics import Interval, Paired, sign_flip_p

CARD = Card(
    name="compare_runs",
    summary="several runs a side, seeds as units: interval over runs and queries, exact test over runs",
    related=("statistics", "outcome"),
)

MEANS, OTHERS = 10_000, 500  # resamples of a mean, and of a metric that is computed anew for every run of each


def compare_runs(
    a: Sequence[Outcome],
    b: Sequence[Outcome],
    metric: str = "",
    *,
    n: int | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Paired:
    """Compare runs a [S] with runs b [S] of other settings, all measured on the same units; a[i] and b[i] share a seed, if seeds are shared.

    The result's units are "runs": `n`, `p_value` and `effect` count them.

    >>> run = lambda seed, gain: Outcome("retrieval", "mrr", "queries", means=("mrr",), columns={
    ...     "mrr": gain + np.random.default_rng(seed).random(50) / 10})
    >>> compare_runs([run(s, 0.5) for s in range(10)], [run(s + 10, 0.4) for s in range(10)]).verdict
    'better'

    Raises UsageError for sides of different length, or one run; DataError for outcomes that cannot be compared, or have not the same units.
    """
    if len(a) != len(b) or len(a) < 2:
        raise UsageError(
            f"{len(a)} runs cannot be compared with {len(b)}, run by run",
            remedy="give the same number of runs on both sides, two or more; with fewer than ten little is ever sure",
        )
    metric = metric or a[0].main
    everything = [*a, *b]
    places = [matched(a[0], one) for one in everything]
    for one, (rows, _) in zip(everything, places, strict=True):
        same_question(a[0], one, metric)
        if len(rows) != len(a[0]) or len(rows) != len(one):
            raise DataError(
                f"not all runs were measured on the same {a[0].units}: {len(rows):,} of {max(len(a[0]), len(one)):,} are",
                remedy="measure all of them on the same records",
            )
    order = [row for _, row in places]
    differences = _Differences(a, b, order[: len(a)], order[len(a) :], metric)
    by_run = differences.by_run(np.arange(len(a[0])))
    resampled = differences.resampled(n, seed)
    mean = float(by_run.mean())
    low, high = np.quantile(resampled, _shares(by_run, resampled, len(a[0]), confidence))
    return Paired(
        difference=Interval(mean, float(low), float(high)),
        relative=None,
        p_value=sign_flip_p(by_run, seed=seed),
        effect=cohens_d(by_run, np.zeros(len(a))),
        n=len(a),
        confidence=confidence,
        higher=a[0].is_better_higher(metric),
        units="runs",
    )


class _Differences:
    """Of every run of both sides, on any units."""

    def __init__(
        self,
        a: Sequence[Outcome],
        b: Sequence[Outcome],
        rows_a: Sequence[NDArray[np.int64]],
        rows_b: Sequence[NDArray[np.int64]],
        metric: str,
    ) -> None:
        self.a, self.b, self.rows_a, self.rows_b, self.metric = a, b, rows_a, rows_b, metric
        self.table: NDArray[np.float64] | None = None
        if metric in a[0].means:
            columns = [
                [np.asarray(one.columns[metric], dtype=np.float64)[rows] for one, rows in zip(*side, strict=True)]
                for side in ((a, rows_a), (b, rows_b))
            ]
            self.table = np.array(columns[0]) - np.array(columns[1])

    def by_run(self, units: NDArray[np.int64]) -> NDArray[np.float64]:
        """[S], on some units."""
        if self.table is not None:
            return self.table[:, units].mean(1)
        sides = [
            [one.figure(self.metric, rows[units]) for one, rows in zip(*side, strict=True)]
            for side in ((self.a, self.rows_a), (self.b, self.rows_b))
        ]
        return np.array(sides[0]) - np.array(sides[1])

    def resampled(self, n: int | None, seed: int) -> NDArray[np.float64]:
        """Means over runs and units drawn with replacement [n]."""
        random = np.random.default_rng([seed, 3])
        runs, units = len(self.a), len(self.rows_a[0])
        if self.table is None:
            draws = OTHERS if n is None else n
            found = [
                self.by_run(random.integers(0, units, units))[random.integers(0, runs, runs)] for _ in range(draws)
            ]
            return np.mean(found, axis=1)
        means = []
        for rows in strips(MEANS if n is None else n, units):
            weights = random.multinomial(runs, [1 / runs] * runs, size=rows) / runs
            index = random.integers(0, units, size=(rows, units))
            means.append(np.take_along_axis(weights @ self.table, index, axis=1).mean(1))
        return np.concatenate(means)


def _shares(
    by_run: NDArray[np.float64], resampled: NDArray[np.float64], units: int, confidence: float
) -> tuple[float, float]:
    """Which quantiles of the resamples are the ends of the interval."""
    runs, v = len(by_run), float(resampled.var())
    from_runs = float(by_run.var(ddof=1)) / runs
    from_units = max(0.0, v - from_runs * (runs - 1) / runs)
    total = from_runs + from_units
    if v <= 0 or total <= 0:
        return (1 - confidence) / 2, (1 + confidence) / 2
    freedom = total**2 / (from_runs**2 / (runs - 1) + from_units**2 / (units - 1))
    reach = t_quantile((1 + confidence) / 2, max(1.0, freedom)) * (total / v) ** 0.5
    share = NormalDist().cdf(-reach)
    return share, 1 - share
