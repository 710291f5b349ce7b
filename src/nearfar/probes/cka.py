"""CKA: how alike two representations of the same records are, but for a rotation and a scale of each.

        cka = |X^T Y|^2 / (|X^T X| |Y^T Y|),    X and Y centred, |.| the Frobenius norm

With few records in many dimensions it is near 1 for any two models (two Gaussians of n = d give about 0.5). `debiased` replaces each product by
an unbiased estimate (the diagonal of X X^T and Y Y^T left out): 0 on average for unrelated representations, and possibly
below. Kin: `neighbourhood_overlap` (what is near only).
Source: Kornblith, Norouzi, Lee and Hinton 2019 (arXiv 1905.00414), linear kernel; the unbiased estimate of Song et al. 2012 (JMLR 13),
as in Nguyen, Raghu and Kornblith 2021 (arXiv 2010.15327).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.maths.spectra import STRIP
from nearfar.probes.figures import Figures
from nearfar.probes.shared.tensors import embeddings

CARD = Card(
    name="cka",
    summary="likeness of two representations but for rotation and scale, also without its bias",
    related=("neighbourhood_overlap",),
    papers=("1905.00414", "2010.15327"),
)


def cka(first: Any, second: Any) -> Figures:
    """Linear CKA of first [n d] and second [n e]. Linear in n; needs matrices d-by-e, d-by-d and e-by-e.

    >>> import torch
    >>> x = torch.randn(40, 5)
    >>> {name: round(value, 4) for name, value in cka(x, 3 * x.flip(1) + 1).figures().items()}
    {'debiased': 1.0, 'biased': 1.0}

    Raises UsageError for tables of different length; DataError for NaN, fewer than four rows, and constant vectors.
    """
    x = _centred(embeddings(first, "first", 4), "first")
    y = _centred(embeddings(second, "second", 4, length=len(x)), "second")
    pairs = [(x, y), (x, x), (y, y)]
    biased, debiased = ([measure(*pair) for pair in pairs] for measure in (_product, _unbiased_product))
    values = {"debiased": _ratio(*debiased), "biased": _ratio(*biased)}
    return Figures("cka", "debiased", values, facts={"records": len(x), "dimensions": (x.shape[1], y.shape[1])})


def _ratio(between: float, first: float, second: float) -> float:
    # An unbiased product of a table with itself may fall to zero where records are few and noise is all there is.
    return between / (first * second) ** 0.5 if first > 0 and second > 0 else 0.0


def _centred(table: Tensor, name: str) -> Tensor:
    centred = table - table.mean(0, dtype=torch.float64).to(table.dtype)
    if not float(centred.abs().max()) > 1e-6 * float(table.abs().max()):
        raise DataError("all vectors are equal", where=name, remedy="look at `vital_signs`")
    return centred / centred.abs().max()  # its scale does not count, and fourth powers would overflow


def _product(x: Tensor, y: Tensor) -> float:
    """sum_ij (x_i . x_j)(y_i . y_j)."""
    between = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)
    size = max(1, STRIP // max(x.shape[1], y.shape[1]))
    for a, b in zip(x.split(size), y.split(size), strict=True):
        between += a.double().T @ b.double()
    return float(between.square().sum())


def _unbiased_product(x: Tensor, y: Tensor) -> float:
    """The estimate of Song et al. times n (n - 3), from K = X X^T and L = Y Y^T with zeros on their diagonals.

    tr(K L) + sum(K) sum(L) / ((n - 1)(n - 2)) - 2 / (n - 2) sum_i (K 1)_i (L 1)_i
    """
    n = len(x)
    first, second = (t.square().sum(1, dtype=torch.float64) for t in (x, y))
    rows = [t.double() @ t.sum(0, dtype=torch.float64) - own for t, own in ((x, first), (y, second))]
    trace = _product(x, y) - float(first @ second)
    corner = float(rows[0].sum() * rows[1].sum()) / ((n - 1) * (n - 2))
    return trace + corner - 2 / (n - 2) * float(rows[0] @ rows[1])
