"""RankMe: the effective rank of the table of embeddings, which goes along with what a linear probe can make of it.

        exp(-sum_k p_k ln p_k),   p_k = s_k / sum s + 1e-7,   s the singular values of the table, not centred

Comparable only between models that were trained on the same data with the same method; the authors use it to choose
hyper-parameters without labels. A common mean counts as one direction. Kin: `spectrum` (centred, and of variances).
Source: Garrido, Balestriero, Najman and LeCun 2023 (arXiv 2210.02885), which also gives the 1e-7.
"""

from __future__ import annotations

from typing import Any

import torch

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.maths.spectra import squared_singular_values
from nearfar.probes.figures import Figures
from nearfar.probes.shared.tensors import as_array, embeddings

CARD = Card(
    name="rank_me",
    summary="effective rank of the table of embeddings, by its singular values",
    related=("spectrum", "dimensional_collapse"),
    papers=("2210.02885",),
)

EPSILON = 1e-7


def rank_me(vectors: Any) -> Figures:
    """RankMe of vectors [n d]: from 1 to min(n, d). The curve is the singular values, largest first.

    >>> import torch
    >>> round(rank_me(torch.eye(5)).figure(), 3)
    5.0

    Raises DataError for NaN, and where all vectors are zero.
    """
    table = embeddings(vectors, least=1)
    values = squared_singular_values(table, torch.zeros(table.shape[1])).sqrt()
    if not float(values.sum()) > 0:
        raise DataError("all vectors are zero", where="vectors", remedy="look at how they were encoded")
    shares = values / values.sum() + EPSILON
    rank = float(torch.special.entr(shares).sum().exp())
    facts = {"records": len(table), "dimension": table.shape[1]}
    return Figures("rank_me", "rank_me", {"rank_me": rank}, {"singular_value": as_array(values)}, facts=facts)
