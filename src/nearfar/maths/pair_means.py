"""Means over pairs of records, split among the records so that an interval over them is right.

        U = mean_{i != j} h(x_i, x_j),    g_i = mean_{j != i} h(x_i, x_j),    U = mean_i g_i

Every record takes part in U twice: in its own mean, and in everyone else's. The spread of g_i tells only half of what drawing
other records would change, and an interval made of it covers far too rarely. The projection

        2 g_i - U

has the same mean U, and its spread is right (the first-order projection of Hoeffding 1948; the jackknife of Arvesen 1969 is
the same but for a factor (n - 1) / (n - 2)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def projected(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Records' means over the others g [n] -> 2 g - mean(g) [n].

    >>> projected(np.array([0.0, 1.0])).tolist()
    [-0.5, 1.5]
    """
    return 2 * means - means.mean()


def projected_ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for a mean over some of the pairs, A / B: records' means of h 1(pair counts) and of 1(pair counts).

    A / B + 2 (a_i - A / B b_i) / B, whose mean is A / B.

    >>> projected_ratio(np.array([0.0, 1.0]), np.array([1.0, 1.0])).tolist()
    [-0.5, 1.5]
    """
    ratio = above.mean() / below.mean()
    return ratio + 2 * (above - ratio * below) / below.mean()
