"""Agreement of clusters with classes, both whole numbers from 0, from the table of how many records n_ck each class has in each cluster.

        nmi          = 2 I / (H(class) + H(cluster)),  I their mutual information       (the same number as the V-measure)
        homogeneity  = I / H(class),      1 where no cluster mixes classes
        completeness = I / H(cluster),    1 where no class is torn apart
        ari          = (sum C(n_ck, 2) - E) / (max - E),   E = the value expected by chance, max = the mean of both sums over margins
        purity       = sum_k max_c n_ck / n

Only ari is zero by chance: nmi and purity grow with the number of clusters. An entropy of zero counts as agreement, as in scikit-learn.
Source: Strehl and Ghosh 2002 (nmi), Rosenberg and Hirschberg 2007 (V-measure), Hubert and Arabie 1985 (ari).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Agreement(NamedTuple):
    """All of them at once: they come from one table."""

    nmi: float
    homogeneity: float
    completeness: float
    ari: float
    purity: float


def agreement(label: NDArray[Any], cluster: NDArray[Any]) -> Agreement:
    """How clusters [n] agree with classes [n].

    >>> agreement(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    Agreement(nmi=1.0, homogeneity=1.0, completeness=1.0, ari=1.0, purity=1.0)
    """
    n, width = len(label), int(cluster.max()) + 1
    table = np.bincount(label * width + cluster, minlength=width * (int(label.max()) + 1)).reshape(-1, width)
    by_class, by_cluster = _entropy(table.sum(1)), _entropy(table.sum(0))
    shared = max(0.0, by_class + by_cluster - _entropy(table.ravel()))
    together, classes, clusters = (_pairs(x) for x in (table, table.sum(1), table.sum(0)))
    expected, most = classes * clusters / max(1.0, n * (n - 1) / 2), (classes + clusters) / 2
    return Agreement(
        nmi=2 * shared / (by_class + by_cluster) if by_class + by_cluster else 1.0,
        homogeneity=shared / by_class if by_class else 1.0,
        completeness=shared / by_cluster if by_cluster else 1.0,
        ari=(together - expected) / (most - expected) if most != expected else 1.0,
        purity=float(table.max(0).sum() / n),
    )


def _entropy(count: NDArray[Any]) -> float:
    share = count[count > 0] / count.sum()
    return float(max(0.0, -(share * np.log(share)).sum()))


def _pairs(count: NDArray[Any]) -> float:
    count = count.astype(np.float64)
    return float((count * (count - 1)).sum() / 2)
