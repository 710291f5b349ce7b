"""How sure a number is: intervals by the bootstrap, comparisons by pairs.

Two systems are measured on the same queries, and queries differ far more than systems do. Everything here therefore
keeps one value a query: an interval resamples queries, a comparison looks at the difference within each query.

    interval   bias-corrected and accelerated quantiles of resamples, widened for few units (`bootstrap_interval` in maths)
    p value    share of the patterns of signs of the differences with |sum| as large as the observed one; of metrics that are no
               means, of the patterns in which the two systems exchange their values of a unit

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 14 (intervals) and 15 (permutation test); Phipson and
Smyth, "Permutation P-values should never be zero", 2010, for (1 + count) / (1 + n).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.maths.bootstrap_interval import bca_interval, means_without, resamples, strips
from nearfar.probes.effect_sizes import cohens_d
from nearfar.probes.matched import Exchangeable, matched, others, same_question
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="statistics",
    summary="bootstrap intervals and paired comparisons of per-query scores",
    related=("outcome", "retrieval"),
    public=(
        "bootstrap",
        "Interval",
        "interval",
        "compare_outcomes",
    ),  # `paired` is the name of a relation at the top of the package
)

MEANS, OTHERS = 10_000, 2_000  # resamples of a mean, and of a metric that is computed anew for each
ROWS = 20_000_000  # all resamples of such a metric together have about so many rows, where units are many
FEWEST = 500
EXACT = 20  # differences up to which all patterns of signs are tried
BLOCKS = 100  # units are left out in so many blocks at most where a metric is computed anew


class Interval(NamedTuple):
    """A figure, mostly a mean, and the interval that covers the true one with the stated confidence."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(values: Any, n: int = MEANS, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Mean of `values` [m] and its interval by `n` resamples with replacement.

    >>> low_to_high = bootstrap([0.0, 1.0] * 50)
    >>> low_to_high.mean, round(low_to_high.low, 1), round(low_to_high.high, 1)
    (0.5, 0.4, 0.6)

    Raises DataError for fewer than two values, NaN or infinity.
    """
    values = _checked(values, "values", confidence, n)
    means = np.concatenate([values[index].mean(1) for index in resamples(len(values), n, seed)])
    mean = float(values.mean())
    return Interval(mean, *bca_interval(mean, means, means_without(values), confidence))


def interval(
    outcome: Outcome, metric: str = "", *, n: int | None = None, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """A metric of an outcome (its main one unless given) with its interval over units.

    n   resamples: 10,000 for a mean; for a metric that is computed anew for each 2,000, and fewer (at least 500) for many units

    Resamples on which a metric does not exist (one class only) are left out.

    >>> found = Outcome("knn", "accuracy", "records", {"accuracy": np.array([0.0, 1.0] * 50)}, means=("accuracy",))
    >>> interval(found) == bootstrap(found.columns["accuracy"])
    True

    Raises UsageError for a metric that is not there; DataError for fewer than two units, and for a metric that exists on less than
    half of the resamples.
    """
    metric = metric or outcome.main
    if metric in outcome.means:
        return bootstrap(outcome.columns[metric], MEANS if n is None else n, confidence, seed)
    figure = outcome.figure(metric)
    return _of_function(lambda rows: outcome.figure(metric, rows), figure, len(outcome), metric, n, confidence, seed)


@dataclass(frozen=True)
class Paired:
    """The comparison of two systems a and b on the same queries.

    difference   a - b with its interval
    relative     a / b - 1 with its interval; None where b's mean is zero or may well be, and for metrics that are no means
    p_value      two-sided, by flipping the sign of each query's difference, or by exchanging what each query has from a and b;
                 None where no such test exists
    effect       mean of the differences over their standard deviation (Cohen's d of pairs); how large the gain is
                 against the noise of one query, whatever the number of queries. Infinite if all differences are equal.
                 None for metrics that are no means
    n            number of queries
    confidence   of the intervals; 1 - confidence is the level of the test
    higher       whether more is better
    units        what the queries are
    only_a       names of those that b lacks: they are left out; and of those that a lacks
    """

    difference: Interval
    relative: Interval | None
    p_value: float | None
    effect: float | None
    n: int
    confidence: float
    higher: bool = True
    units: str = "queries"
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "unclear": sure only if the interval and the test, where there is one, agree."""
        if self.p_value is not None and self.p_value > 1 - self.confidence:
            return "unclear"
        if self.difference.low <= 0 <= self.difference.high:
            return "unclear"
        return "better" if (self.difference.mean > 0) == self.higher else "worse"

    @property
    def smallest_p(self) -> float:
        """The smallest two-sided p value that any result on so few units could have: 2 / 2^n."""
        return 2.0 ** (1 - self.n)

    @property
    def too_few(self) -> bool:
        """Whether there are so few units that no result could have been sure."""
        return self.p_value is not None and self.smallest_p > 1 - self.confidence

    def sentence(self, ours: str, rival: str, *, unit: str = "", metric: str = "") -> str:
        """Whether `ours` is better, by how much and how sure that is, in one sentence."""
        unit = unit or self.units
        sure = f"{100 * self.confidence:g} %"
        mean, low, high = self.difference
        amount = f"{mean:+.3f}, {sure} interval {low:+.3f} to {high:+.3f}"
        if self.relative is not None:
            percent = [f"{100 * value:+.1f} %" for value in self.relative]
            amount += f"; relative {percent[0]}, {percent[1]} to {percent[2]}"
        claim = {
            "better": f"{ours} is better than {rival}",
            "worse": f"{ours} is worse than {rival}",
            "unclear": f"No sure difference between {ours} and {rival}",
        }[self.verdict]
        on = f" in {metric}" if metric else ""
        on += " (where less is better)" if not self.higher else ""
        few = (
            f"; with {self.n} {unit} no p value is below {self.smallest_p:.2g}, take ten or more"
            if self.too_few
            else ""
        )
        return f"{claim}{on} ({amount}; {told_p(self.p_value)} over {self.n:,} {unit}{few})."


def told_p(p: float | None) -> str:
    """A p value in words: "p = 0.03", "p < 0.001"."""
    if p is None:
        return "no test exists for this metric, the interval decides"
    return f"p = {p:.2g}" if p >= 1e-3 else f"p < {10 ** np.ceil(np.log10(p)):g}"


def paired(a: Any, b: Any, n: int = MEANS, confidence: float = 0.95, seed: int = 0) -> Paired:
    """Compare two systems by their values a [m] and b [m] on the same m queries, in the same order.

    >>> ours, rival = [0.5, 0.7, 0.9, 0.6] * 25, [0.4, 0.6, 0.9, 0.6] * 25
    >>> paired(ours, rival).verdict
    'better'

    Raises UsageError if the lengths differ, DataError for fewer than two queries, NaN or infinity.
    """
    a, b = _checked(a, "a", confidence, n), _checked(b, "b", confidence, n)
    if len(a) != len(b):
        raise UsageError(
            f"a has {len(a)} values and b has {len(b)}",
            remedy="give one value a query for both systems, the same queries in the same order",
        )
    differences = a - b
    means_a, means_b = np.empty(n), np.empty(n)
    start = 0
    for index in resamples(len(a), n, seed):  # one draw of queries for both: that is what pairs them
        end = start + len(index)
        means_a[start:end], means_b[start:end] = a[index].mean(1), b[index].mean(1)
        start = end
    relative = None
    without = means_without(b)
    if b.mean() > 0 and means_b.min() > 0 and without.min() > 0:
        ratios = means_without(a) / without - 1
        ratio = float(a.mean() / b.mean() - 1)
        relative = Interval(ratio, *bca_interval(ratio, means_a / means_b - 1, ratios, confidence))
    mean = float(differences.mean())
    return Paired(
        difference=Interval(mean, *bca_interval(mean, means_a - means_b, means_without(differences), confidence)),
        relative=relative,
        p_value=sign_flip_p(differences, n=n, seed=seed),
        effect=cohens_d(a, b),
        n=len(a),
        confidence=confidence,
    )


def compare_outcomes(
    a: Outcome, b: Outcome, metric: str = "", *, n: int | None = None, confidence: float = 0.95, seed: int = 0
) -> Paired:
    """Compare two systems a and b by what one probe found of both; the difference is a - b, and whether more is better is the probe's.

    Units are matched by their names, or by their numbers where they have none; those that one side lacks are left out and named.
    The p value flips signs for means; for other metrics it exchanges the `swapped` columns unit by unit.

    >>> columns = lambda *values: {"error": np.array(values * 25)}
    >>> ours, rival = (Outcome("mine", "error", "records", columns(*values), means=("error",), higher={"error": False})
    ...                for values in ((0.1, 0.3, 0.2, 0.0), (0.2, 0.4, 0.2, 0.1)))
    >>> compare_outcomes(ours, rival).verdict
    'better'

    Raises DataError for outcomes of different probes, kinds of units or data (`facts["fingerprint"]`), fewer than two units in common,
    and gold values that differ; UsageError for a metric that one of them lacks.
    """
    metric = metric or a.main
    rows_a, rows_b = matched(a, b)
    lacking_a, lacking_b = others(a, rows_a), others(b, rows_b)
    higher = a.is_better_higher(metric)
    same_question(a, b, metric)
    if metric in a.means:
        x, y = a.columns[metric][rows_a], b.columns[metric][rows_b]
        found = paired(x, y, MEANS if n is None else n, confidence, seed)
        p, effect, relative, difference = found.p_value, found.effect, found.relative, found.difference
    else:
        both = Exchangeable(a, b, rows_a, rows_b, metric)
        effect, relative = None, None
        difference = _of_function(both.difference, both.difference(), len(rows_a), metric, n, confidence, seed)
        p = both.p_value(_draws(len(rows_a), n), seed) if a.swapped else None
    return Paired(difference, relative, p, effect, len(rows_a), confidence, higher, a.units, lacking_a, lacking_b)


def sign_flip_p(differences: NDArray[np.float64], *, n: int = MEANS, seed: int = 0) -> float:
    """Two-sided p value of mean(differences) = 0: how often random signs give a mean as far from zero.

    All patterns of signs are tried where at most 20 differences are not zero; else `n` random ones, and the value is
    (1 + count) / (1 + n), which holds its level for every n. Assumes differences symmetric about zero under the
    hypothesis that the two systems are interchangeable.
    """
    moving = differences[differences != 0]  # flipping zero changes nothing
    observed, slack = abs(moving.sum()), 1e-12 * np.abs(moving).sum()  # equal sums may differ by rounding
    if len(moving) <= EXACT:
        sums = moving[:1].sum(keepdims=True)  # the first sign stays: the other half is the same with another sign
        for value in moving[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float((np.abs(sums) >= observed - slack).mean())
    count = 0
    random = np.random.default_rng([seed, 1])  # another stream than the resamples'
    for rows in strips(n, len(moving)):
        words = random.integers(0, 2**64, size=(rows, (len(moving) + 63) // 64), dtype=np.uint64)
        flips = np.unpackbits(words.view(np.uint8), axis=1, count=len(moving))
        sums = moving.sum() - 2 * (flips.astype(np.float64) @ moving)
        count += int((np.abs(sums) >= observed - slack).sum())
    return (1 + count) / (1 + n)


def _of_function(
    figure: Callable[[NDArray[Any]], float],
    whole: float,
    m: int,
    metric: str,
    n: int | None,
    confidence: float,
    seed: int,
) -> Interval:
    """A statistic that is computed anew for each resample of m units."""
    draws = _draws(m, n)
    _checked(np.zeros(m), "units", confidence, draws)
    if not np.isfinite(whole):
        raise DataError(f"{metric} is {whole}", remedy="see what is wrong with the measurement")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of resamples on which the metric does not exist
        found = [_or_nan(figure, row) for index in resamples(m, draws, seed) for row in index]
        blocks = np.array_split(np.random.default_rng([seed, 2]).permutation(m), min(m, BLOCKS))
        without = [_or_nan(figure, np.setdiff1d(np.arange(m), block)) for block in blocks]
    values = np.array(found)
    values = values[np.isfinite(values)]
    if len(values) < draws / 2:
        raise DataError(
            f"{metric} does not exist on most resamples of {m} units",
            where=metric,
            remedy="measure more units, of every class",
        )
    left = np.array(without)
    return Interval(whole, *bca_interval(whole, values, left[np.isfinite(left)], confidence, m))


def _or_nan(figure: Callable[[NDArray[Any]], float], rows: NDArray[Any]) -> float:
    try:
        return figure(rows)
    except ValueError:  # such as one class only
        return float("nan")


def _draws(m: int, n: int | None) -> int:
    return max(FEWEST, min(OTHERS, ROWS // max(1, m))) if n is None else n


def _checked(values: Any, name: str, confidence: float, n: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not 0 < confidence < 1 or n < 1:
        raise UsageError(
            f"an interval needs 0 < confidence < 1 and n >= 1, not {confidence} and {n}",
            where="confidence, n",
            remedy="0.95 and 10_000 are usual",
        )
    if array.ndim != 1 or len(array) < 2:
        raise DataError(
            f"an interval needs at least two values in one dimension, not shape {list(array.shape)}",
            where=name,
            remedy="give one value a query, for two queries or more",
        )
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array))[0])
        raise DataError(
            f"value {bad} is {array[bad]}", where=name, remedy="leave out what was not measured, and count it"
        )
    return array
