"""p values of many comparisons, corrected so that chance among many finds no more than one alone.

    with p sorted ascending, p_1 <= ... <= p_m
    Holm                  max over j <= i of  min(1, (m - j + 1) p_j)      chance of even one false finding <= level
    Benjamini-Hochberg    min over j >= i of  min(1, m p_j / j)            expected share of false findings <= level

Holm holds whatever the dependence of the comparisons; Benjamini-Hochberg, which finds more, where they are independent or positively
dependent, as systems measured on the same queries are. They correct what `statistics` gives. Sources: Holm, "A simple sequentially
rejective multiple test procedure", 1979; Benjamini and Hochberg, "Controlling the false discovery rate", 1995.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError

CARD = Card(
    name="corrections",
    summary="p values of many comparisons: Holm's correction, Benjamini and Hochberg's false discovery rate",
    related=("statistics",),
    public=("holm", "benjamini_hochberg"),
)


def holm(p_values: Any) -> NDArray[np.float64]:
    """Adjusted p values [m] of p values [m], in their order: those up to the level are findings, with all m accounted for.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]

    Raises DataError for values outside 0 to 1.
    """
    p, order = _sorted(p_values)
    factors = np.arange(len(p), 0, -1)
    return _back(np.maximum.accumulate(np.minimum(1.0, factors * p)), order)


def benjamini_hochberg(p_values: Any) -> NDArray[np.float64]:
    """Adjusted p values [m] of p values [m], in their order: among those up to q, at most a share q is expected to be false.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]

    Raises DataError for values outside 0 to 1.
    """
    p, order = _sorted(p_values)
    raised = np.minimum(1.0, len(p) * p / np.arange(1, len(p) + 1))
    return _back(np.minimum.accumulate(raised[::-1])[::-1], order)


def _sorted(p_values: Any) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise DataError(
            "p values are numbers from 0 to 1, in one dimension",
            where="p_values",
            remedy="leave out comparisons that have no p value",
        )
    order = np.argsort(p, kind="stable")
    return p[order], order


def _back(values: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    out = np.empty_like(values)
    out[order] = values
    return out
