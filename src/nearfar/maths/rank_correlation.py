"""Ranks and correlations of two columns of numbers, ties counted fairly.

        rank_i   = mean place of all values equal to x_i                       (1 is the smallest)
        pearson  = sum (x_i - mean x) (y_i - mean y) / (n sd_x sd_y)
        spearman = pearson of the ranks

A constant column is correlated with nothing: 0, where the formula would divide by zero. (Probes need a number: a bootstrap may draw
a constant column, and a collapsed model makes one.) Source: Spearman 1904, "The proof and measurement of association between two things".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def average_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 1 [n] float64; equal values share the mean of their places.

    >>> average_ranks(np.array([0.5, 0.1, 0.5])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def pearson(x: NDArray[Any], y: NDArray[Any]) -> float:
    """The linear correlation of x [n] and y [n], 0 where one of them is constant.

    >>> pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    1.0
    """
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    a, b = _centred(x), _centred(y)
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))


def spearman(x: NDArray[Any], y: NDArray[Any]) -> float:
    """The correlation of the ranks of x [n] and y [n], 0 where one of them is constant.

    >>> spearman(np.array([1.0, 2.0, 30.0]), np.array([5.0, 6.0, 7.0]))
    1.0
    """
    return pearson(average_ranks(x), average_ranks(y))


def _centred(values: NDArray[Any]) -> NDArray[np.float64]:
    """Of mean 0 and at most 1 in size, so that squares neither overflow nor vanish."""
    made = values - np.mean(values, dtype=np.float64)
    return made / np.abs(made).max()
