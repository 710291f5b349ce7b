"""Spectra of tables of vectors and what is read from them: in how many directions do they spread?

Sums are formed in float64, a strip at a time, of the smaller of the two products table^T table and table table^T, which have the
same eigenvalues but for zeros. Eigenvalues are thereby exact to about 1e-15 of the largest, singular values to 3e-8.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

STRIP = 1 << 22  # numbers of a table that are held in float64 at once
CONSTANT = 1e-9  # of the mean squared length: variance below it is rounding


def squared_singular_values(table: Float[Tensor, "n d"], around: Float[Tensor, " d"]) -> Float[Tensor, " m"]:
    """Of table - around, in float64, the largest first; m = min(n, d).

    >>> squared_singular_values(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.zeros(2)).tolist()
    [16.0, 9.0]
    """
    n, d = table.shape
    around = around.double()
    product = torch.zeros(min(n, d), min(n, d), dtype=torch.float64, device=table.device)
    if d <= n:
        for rows in table.split(max(1, STRIP // max(d, 1))):
            strip = rows.double() - around
            product += strip.T @ strip
    else:
        width = max(1, STRIP // max(n, 1))
        for columns, centre in zip(table.split(width, 1), around.split(width), strict=True):
            strip = columns.double() - centre
            product += strip @ strip.T
    return torch.linalg.eigvalsh(product).clamp_min(0).flip(0)


def covariance_spectrum(table: Float[Tensor, "n d"]) -> Float[Tensor, " m"]:
    """Eigenvalues of the covariance (over n), largest first; all zero where the rows are equal but for rounding.

    >>> covariance_spectrum(torch.tensor([[1.0, 5.0], [-1.0, 5.0]])).tolist()
    [1.0, 0.0]
    """
    mean = table.mean(0, dtype=torch.float64)
    values = squared_singular_values(table, mean) / len(table)
    length = sum(rows.double().square().sum() for rows in table.split(max(1, STRIP // max(table.shape[1], 1))))
    return values if float(values.sum()) > CONSTANT * float(length) / len(table) else torch.zeros_like(values)


def entropy_rank(values: Float[Tensor, " m"]) -> float:
    """exp(-sum p ln p), p = values / sum: m if all are equal, 1 if one holds everything, 0 if nothing is there.

    >>> round(entropy_rank(torch.tensor([2.0, 2.0, 0.0])), 6)
    2.0
    """
    total = values.sum()
    return float(torch.special.entr(values / total).sum().exp()) if float(total) > 0 else 0.0


def participation_ratio(values: Float[Tensor, " m"]) -> float:
    """(sum values)^2 / sum values^2: m if all are equal, 1 if one holds everything, 0 if nothing is there.

    >>> participation_ratio(torch.tensor([2.0, 2.0, 0.0]))
    2.0
    """
    total = values.sum()
    return float(total.square() / values.square().sum()) if float(total) > 0 else 0.0


def directions(values: Float[Tensor, " m"], share: float = 0.99) -> int:
    """How many of the largest values, which come first, hold a share of the sum.

    >>> directions(torch.tensor([8.0, 1.0, 1.0]), 0.9), directions(torch.zeros(3))
    (2, 0)
    """
    total = values.sum()
    return int(((values / total).cumsum(0) < share - 1e-12).sum()) + 1 if float(total) > 0 else 0
