"""Alignment and uniformity: are partners near, and do records spread over the sphere?

        alignment  = mean_i |x_i - y_i|^alpha
        uniformity = log mean_{i != j} exp(-t |x_i - x_j|^2),    of both sides the mean;    |x_i| = |y_i| = 1

Both are lower where they are better. Constant vectors are perfectly aligned and have uniformity 0, the worst; in many dimensions
vectors spread evenly reach about -2t (4 points of a simplex: -8t/3). The objectives `alignment` and `uniformity` train what this measures;
`tolerance` is what uniformity is paid for with.
Source: Wang and Isola 2020 (arXiv 2005.10242), section 4.1; alpha = 2 and t = 2 are the defaults of their code.

An interval is right although pairs share records: the column of the alignment holds each record's own, that of the uniformity
each record's part in the figure (maths/pair_means.py, and the slope of the logarithm), not something to sort records by; for that
there is `potential`, the logarithm of the mean over its pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.maths.pair_means import projected
from nearfar.probes.outcome import Outcome
from nearfar.probes.shared.tensors import TILE_BYTES, as_array, directions, strips

CARD = Card(
    name="alignment_uniformity",
    summary="how near partners are, and how evenly records spread over the sphere",
    related=("alignment", "uniformity", "tolerance", "vital_signs"),
    papers=("2005.10242",),
)


def alignment_uniformity(
    x: Any, y: Any = None, *, alpha: float = 2.0, t: float = 2.0, tile_bytes: int = TILE_BYTES
) -> Outcome:
    """Alignment of x [n d] with y [n d], row by row, and the uniformity of both; of x alone, its uniformity.

    Exact over all n (n - 1) pairs, in tiles of bounded memory.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> alignment_uniformity(x, x).figures()
    {'uniformity': -8.0, 'alignment': 0.0}

    Raises UsageError for tables of different shapes and for alpha or t that is not positive; DataError for NaN, vectors of zeros,
    and fewer than two rows.
    """
    if not (alpha > 0 and t > 0):
        raise UsageError(f"alpha = {alpha} and t = {t}", remedy="choose positive ones, usually 2")
    first = directions(x, "x")
    sides = [first]
    columns: dict[str, NDArray[np.float64]] = {}
    if y is not None:
        second = directions(y, "y", length=len(first), width=first.shape[1])
        sides.append(second)
        # Not 2 - 2 cos: of near vectors that is the difference of two nearly equal numbers.
        columns["alignment"] = as_array((first - second).double().square().sum(1) ** (alpha / 2))
    potentials = [_log_potentials(side, t, tile_bytes) for side in sides]
    columns["uniformity"] = np.mean([_parts(logs) for logs in potentials], axis=0)
    columns["potential"] = np.mean(potentials, axis=0)
    means = ("uniformity", *(["alignment"] if y is not None else []))
    return Outcome(
        "alignment_uniformity",
        "uniformity",
        "records",
        columns,
        means=means,
        higher=dict.fromkeys(means, False),
        facts={"alpha": alpha, "t": t, "records": len(first)},
    )


def _log_potentials(points: Tensor, t: float, tile_bytes: int) -> NDArray[np.float64]:
    """[n]: log mean_{j != i} exp(-t |x_i - x_j|^2) of points [n d] of length one."""
    n = len(points)
    points = points.double()
    found = np.empty(n)
    for rows in strips(n, n, tile_bytes):
        table = (points[rows] @ points.T).sub_(1).mul_(2 * t).clamp_max_(0)
        table.diagonal(rows.start).fill_(-torch.inf)
        found[rows] = as_array(table.logsumexp(1)) - np.log(n - 1)
    return found


def _parts(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Records' parts in log mean exp(logs): its slope times the projection of the mean."""
    top = logs.max()
    means = np.exp(logs - top)
    return top + np.log(means.mean()) + projected(means) / means.mean() - 1
