"""How large a difference is, whatever the number of queries: p values say how sure, these say how much.

    Cohen's d of pairs         mean(a - b) / sd(a - b)
    superiority of pairs       share of the units on which a is above b; ties count half
    Cliff's delta              P(a > b) - P(a < b) over all pairs of an a and a b, whichever units they belong to

The first two compare within units, like the tests of `statistics`; the third takes two independent groups, such as runs of different
seeds. Sources: Cohen, "Statistical power analysis for the behavioral sciences", 1988; Cliff, "Dominance statistics", 1993; Vargha and
Delaney, "A critique and improvement of the CL common language effect size", 2000, for ties as halves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError

CARD = Card(
    name="effect_sizes",
    summary="how large a difference is: Cohen's d of pairs, probability of superiority, Cliff's delta",
    related=("statistics",),
    public=("cohens_d", "superiority", "cliffs_delta"),
)


def cohens_d(a: Any, b: Any) -> float:
    """Mean of a - b over its standard deviation, a [m] and b [m] being of the same units.

    Infinite where all differences are equal and not zero.

    >>> cohens_d([1.0, 2.0, 4.0], [0.0, 2.0, 2.0])
    1.0

    Raises DataError for fewer than two values or ones that are not finite, UsageError for lengths that differ.
    """
    differences = _column(a, "a") - _paired_with(a, b)
    if len(differences) < 2:
        raise DataError("one value has no deviation", where="a", remedy="give two units or more")
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if spread > 1e-12 * abs(mean):  # equal differences may differ by rounding
        return mean / spread
    return float(np.copysign(np.inf, mean)) if mean else 0.0


def superiority(a: Any, b: Any) -> float:
    """Share of units on which a [m] is above b [m], ties counted half: 0.5 says that neither is.

    >>> superiority([1.0, 2.0, 4.0, 0.0], [0.0, 2.0, 2.0, 1.0])
    0.625

    Raises DataError for values that are not finite or none, UsageError for lengths that differ.
    """
    signs = np.sign(_column(a, "a") - _paired_with(a, b))
    return float(0.5 + signs.mean() / 2)


def cliffs_delta(a: Any, b: Any) -> float:
    """P(a > b) - P(a < b) over all pairs of a value of a [m] and one of b [n]: 1 where every a is above every b, -1 below.

    >>> cliffs_delta([3.0, 4.0], [1.0, 2.0, 3.0])
    0.8333333333333334

    Raises DataError for values that are not finite or none.
    """
    a, b = _column(a, "a"), np.sort(_column(b, "b"))
    above = np.searchsorted(b, a, side="left").sum()
    below = (len(b) - np.searchsorted(b, a, side="right")).sum()
    return float((above - below) / (len(a) * len(b)))


def _paired_with(a: Any, b: Any) -> NDArray[np.float64]:
    values = _column(b, "b")
    if len(values) != len(np.asarray(a)):
        raise UsageError(
            f"a has {len(np.asarray(a))} values and b has {len(values)}", remedy="give one value a unit for both"
        )
    return values


def _column(values: Any, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise DataError(
            "this needs one dimension of finite numbers", where=name, remedy="leave out what was not measured"
        )
    return array
