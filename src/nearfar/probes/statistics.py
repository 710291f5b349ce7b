"""How sure a number is: intervals by the bootstrap, comparisons by pairs.

Two systems are measured on the same queries, and queries differ far more than systems do. Everything here therefore
keeps one value a query: an interval resamples queries, a comparison looks at the difference within each query.

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 (percentile interval) and 15
(permutation test); Phipson and Smyth, "Permutation P-values should never be zero", 2010, for (1 + count) / (1 + n).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError

CARD = Card(
    name="statistics",
    summary="bootstrap intervals and paired comparisons of per-query scores",
    related=("retrieval",),
    public=("bootstrap", "Interval"),  # `paired` is the name of a relation at the top of the package
)

WORKING_BYTES = 16 << 20  # resamples are drawn in strips of about this size; the strips do not change the result


class Interval(NamedTuple):
    """A mean and the interval that covers the true one with the stated confidence."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(values: Any, n: int = 10_000, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Mean of `values` [m] and its percentile interval over `n` resamples with replacement.

    Below some twenty values the interval is too narrow: that is a property of the method.

    >>> low_to_high = bootstrap([0.0, 1.0] * 50)
    >>> low_to_high.mean, round(low_to_high.low, 1), round(low_to_high.high, 1)
    (0.5, 0.4, 0.6)

    Raises DataError for fewer than two values, NaN or infinity.
    """
    values = _checked(values, "values", confidence, n)
    means = np.concatenate([values[index].mean(1) for index in _resamples(len(values), n, seed)])
    return Interval(float(values.mean()), *_percentiles(means, confidence))


@dataclass(frozen=True)
class Paired:
    """The comparison of two systems a and b on the same queries.

    difference   mean of a - b with its interval
    relative     mean(a) / mean(b) - 1 with its interval; None where b's mean is zero or may well be
    p_value      two-sided, by flipping the sign of each query's difference
    effect       mean of the differences over their standard deviation (Cohen's d of pairs); how large the gain is
                 against the noise of one query, whatever the number of queries. Infinite if all differences are equal
    n            number of queries
    confidence   of the intervals; 1 - confidence is the level of the test
    """

    difference: Interval
    relative: Interval | None
    p_value: float
    effect: float
    n: int
    confidence: float

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "unclear": sure only if the interval and the test agree."""
        if self.p_value >= 1 - self.confidence or self.difference.low <= 0 <= self.difference.high:
            return "unclear"
        return "better" if self.difference.mean > 0 else "worse"

    def sentence(self, ours: str, rival: str, *, unit: str = "queries") -> str:
        """Whether `ours` is better, by how much and how sure that is, in one sentence."""
        sure = f"{100 * self.confidence:g} %"
        mean, low, high = self.difference
        amount = f"{mean:+.3f}, {sure} interval {low:+.3f} to {high:+.3f}"
        if self.relative is not None:
            percent = [f"{100 * value:+.1f} %" for value in self.relative]
            amount += f"; relative {percent[0]}, {percent[1]} to {percent[2]}"
        p = f"p = {self.p_value:.2g}" if self.p_value >= 1e-3 else f"p < {10 ** np.ceil(np.log10(self.p_value)):g}"
        claim = {
            "better": f"{ours} is better than {rival}",
            "worse": f"{ours} is worse than {rival}",
            "unclear": f"No sure difference between {ours} and {rival}",
        }[self.verdict]
        return f"{claim} ({amount}; {p} over {self.n:,} {unit})."


def paired(a: Any, b: Any, n: int = 10_000, confidence: float = 0.95, seed: int = 0) -> Paired:
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
    for index in _resamples(len(a), n, seed):  # one draw of queries for both: that is what pairs them
        end = start + len(index)
        means_a[start:end], means_b[start:end] = a[index].mean(1), b[index].mean(1)
        start = end
    relative = None
    if b.mean() > 0 and means_b.min() > 0:
        relative = Interval(float(a.mean() / b.mean() - 1), *_percentiles(means_a / means_b - 1, confidence))
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    return Paired(
        difference=Interval(mean, *_percentiles(means_a - means_b, confidence)),
        relative=relative,
        p_value=sign_flip_p(differences, n=n, seed=seed),
        effect=mean / spread if spread > 0 else float(np.copysign(np.inf, mean)) if mean else 0.0,
        n=len(a),
        confidence=confidence,
    )


def sign_flip_p(differences: NDArray[np.float64], *, n: int = 10_000, seed: int = 0) -> float:
    """Two-sided p value of mean(differences) = 0: how often random signs give a mean as far from zero.

    (1 + count) / (1 + n), which holds its level for every n. Assumes differences symmetric about zero under the
    hypothesis that the two systems are interchangeable.
    """
    moving = differences[differences != 0]  # flipping zero changes nothing
    observed, slack = abs(moving.sum()), 1e-12 * np.abs(moving).sum()  # equal sums may differ by rounding
    count = 0
    random = np.random.default_rng([seed, 1])  # another stream than the resamples'
    for rows in _strips(n, max(1, len(moving))):
        words = random.integers(0, 2**64, size=(rows, (len(moving) + 63) // 64), dtype=np.uint64)
        flips = np.unpackbits(words.view(np.uint8), axis=1, count=len(moving))
        sums = moving.sum() - 2 * (flips.astype(np.float64) @ moving)
        count += int((np.abs(sums) >= observed - slack).sum())
    return (1 + count) / (1 + n)


def _resamples(m: int, n: int, seed: int) -> Iterator[NDArray[Any]]:
    """`n` draws of m out of m with replacement, as indices [strip m]; the same for every size of strip."""
    random = np.random.default_rng([seed, 0])
    for rows in _strips(n, m):
        yield random.integers(0, m, size=(rows, m), dtype=np.int64)


def _strips(n: int, width: int) -> Iterator[int]:
    strip = max(1, WORKING_BYTES // (16 * width))
    return (min(strip, n - start) for start in range(0, n, strip))


def _percentiles(means: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


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
