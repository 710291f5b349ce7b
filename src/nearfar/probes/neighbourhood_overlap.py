"""Overlap of neighbourhoods: do two models have the same records near each record?

        overlap_i = |N_k^a(i) intersected with N_k^b(i)| / k,    N_k(i) the k nearest others by cosine

1 for models that differ by a rotation and a scale; k / (n - 1) by chance, which `facts` give. It compares what is near only, and spaces of any
two dimensions. Kin: `cka` (all similarities at once, dominated by the large directions).
Source: Huh, Cheung, Wang and Isola 2024 (arXiv 2405.07987), the mutual nearest-neighbour metric, with k = 10.
"""

from __future__ import annotations

from typing import Any

from nearfar.core.card import Card
from nearfar.probes.outcome import Outcome
from nearfar.probes.shared.tensors import directions, other_neighbours

CARD = Card(
    name="neighbourhood_overlap",
    summary="whether two models have the same records near each record",
    related=("cka", "hubness"),
    papers=("2405.07987",),
)


def neighbourhood_overlap(first: Any, second: Any, *, k: int = 10) -> Outcome:
    """Overlap of the k nearest others in first [n d] and second [n e], record by record. Exact, in bounded memory.

    >>> import torch
    >>> x = torch.randn(50, 8)
    >>> neighbourhood_overlap(x, x.flip(1), k=5).figure()
    1.0

    Raises UsageError for tables of different length and unless 1 <= k < n; DataError for NaN and vectors of zeros.
    """
    a = directions(first, "first")
    b = directions(second, "second", length=len(a))
    one, other = other_neighbours(a, k), other_neighbours(b, k)
    shared = (one[:, :, None] == other[:, None, :]).any(2).mean(1)
    chance = k / (len(a) - 1)
    return Outcome(
        "neighbourhood_overlap",
        "overlap",
        "records",
        {"overlap": shared},
        means=("overlap",),
        facts={"k": k, "records": len(a), "chance": chance},
    )
