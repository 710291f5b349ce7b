"""Intervals by the bootstrap: BCa quantiles of resamples, widened for few units.

    interval of a statistic t of m units with resamples t*: their quantiles F(z0 + w / (1 - a w)), w = z0 +- z'
    z0 = F^-1(share of t* below t), a = sum d^3 / 6 (sum d^2)^1.5 with d the jackknife's deviations,
    z' = t_(m-1) sqrt(m / (m-1)); F the normal distribution

z0 and a make up for bias and skewness, z' in the place of the normal quantile for few units. In simulations with 10 to 80 units (normal,
exponential, 0 or 1 with four ones of five, reciprocal ranks, Spearman, average precision) plain percentiles cover 79 to 98 % where 95 % are
asked for, these 87 to 99 %. Where 19 of 20 values are equal, either needs forty units and more.

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 14; Hesterberg, "What teachers should know about the
bootstrap", 2015, for z'.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORKING_BYTES = 16 << 20  # resamples are drawn in strips of about this size; the strips do not change the result
NORMAL = NormalDist()


def resamples(m: int, n: int, seed: int) -> Iterator[NDArray[Any]]:
    """`n` draws of m out of m with replacement, as indices [strip m]; the same for every size of strip."""
    random = np.random.default_rng([seed, 0])
    for rows in strips(n, m):
        yield random.integers(0, m, size=(rows, m), dtype=np.int64)


def strips(n: int, width: int) -> Iterator[int]:
    """Sizes of strips of rows of `width` numbers that make up n rows within WORKING_BYTES."""
    strip = max(1, WORKING_BYTES // (16 * width))
    return (min(strip, n - start) for start in range(0, n, strip))


def means_without(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of all but one value, for each of them [m]."""
    return (values.sum() - values) / (len(values) - 1)


def bca_interval(
    whole: float, resampled: NDArray[np.float64], without: NDArray[np.float64], confidence: float, m: int | None = None
) -> tuple[float, float]:
    """The interval of the module's formula, of resamples and of what is left without some units; m units, one of each unless given."""
    m = len(without) if m is None else m
    deviations = without.mean() - without if len(without) else np.zeros(1)
    cubes, squares = (deviations**3).sum(), (deviations**2).sum()
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    slack = 1e-12 * max(abs(whole), np.abs(resampled).max())  # equal sums may differ by rounding
    below = ((resampled < whole - slack).mean() + (resampled <= whole + slack).mean()) / 2
    bias = NORMAL.inv_cdf(min(max(below, 1 / (len(resampled) + 1)), 1 - 1 / (len(resampled) + 1)))
    reach = t_quantile((1 + confidence) / 2, m - 1) * (m / (m - 1)) ** 0.5
    shares = []
    for side in (-reach, reach):
        room = 1 - acceleration * (bias + side)
        shares.append(NORMAL.cdf(bias + (bias + side) / room) if room > 0 else float(side > 0))
    low, high = np.quantile(resampled, shares)
    return float(low), float(high)


def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t by its expansion about the normal one: three digits from 4 degrees of freedom on, less with fewer."""
    z, v = NORMAL.inv_cdf(probability), freedom
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / v**power for power, term in enumerate(terms, 1))
