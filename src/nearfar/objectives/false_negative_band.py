"""Batch mates of one cluster kept in a band: less like a record than its own second view by `above` at least and `below` at most.

        D_ij = cos(x_i, y_j) - cos(x_i, y_i)
        L = 1/n^2 sum over i != j of one cluster of  max(0, D_ij + above) + max(0, - D_ij - below)

A term beside a contrast whose keys are `online_centroids`, which tell the clusters: those of the y. Likely false negatives stay in
the contrast's denominator, and this holds them from being pushed further than `below`. The sum is divided by all pairs of the batch,
so that its weight is a smaller one the more clusters there are. Zero until the centroids have begun. All n x n cosines are held at once.
Kin: `drop_above` and other edits leave likely false negatives out; `margin` judges every pair by itself, not by its row's positive.
Source: Deng et al. 2023 (arXiv 2305.09892) with the authors' code: above 0 and below 0.3 for BERT, 0.2 and 0.5 for RoBERTa. Their code
adds the constant `above` for every pair of two clusters too, which moves nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows
from nearfar.maths.similarity import unit
from nearfar.maths.tables import side_by_side
from nearfar.objectives.composed import Objective, OnRows
from nearfar.objectives.scored import Scored

CARD = Card(
    name="false_negative_band",
    summary="batch mates of one cluster kept in a band of similarity below the positive",
    related=("online_centroids", "drop_above", "margin"),
)


def false_negative_band(main: Objective | None = None, *, above: float = 0.0, below: float = 0.3) -> OnRows:
    """The term on two streams "x" and "y" [n d] of the same records in one order.

    `main` is the objective beside which it stands, a term of which has `online_centroids` as its keys; a recipe passes its own.
    Raises UsageError for one without, a band that ends before it begins, and tables that do not fit.

    >>> import torch, nearfar as nf
    >>> memory, x = nf.online_centroids(k=2, start=1.0), torch.eye(4)[:, :2] + 0.1
    >>> pairs = nf.Objective({"pairs": nf.Scored(nf.info_nce, nf.paired(), keys=memory, temperature=0.05)})
    >>> memory.update(nf.rows(x))
    >>> round(float(nf.contrast(nf.false_negative_band(pairs, above=0.2), x, x)), 3)    # rows 2 and 3 are equal
    0.025
    """
    if not 0 <= above <= below:
        raise UsageError(f"a band from {above} to {below}", remedy="give 0 <= above <= below")
    terms = [] if main is None else main.terms.values()
    clustered: list[Any] = [t.keys for t in terms if isinstance(t, Scored) and hasattr(t.keys, "cluster")]
    if not clustered:
        raise UsageError(
            "batch mates have no clusters without online centroids",
            where="objective.keys",
            remedy="let online_centroids be the keys of the objective beside it, or leave this term out",
        )
    centroids = clustered[0]

    def band(x: Rows, y: Rows) -> Float[Tensor, ""]:
        first, second = (unit(vectors) for vectors in side_by_side(x, y))
        cosines = first @ second.T
        cluster = centroids.cluster(second)
        if cluster is None:
            return 0 * cosines.sum()
        apart = cosines - cosines.diagonal()[:, None]
        mates = (cluster[:, None] == cluster) & ~torch.eye(len(cluster), dtype=torch.bool, device=cluster.device)
        outside = (apart + above).relu() + (-apart - below).relu()
        return (outside * mates).sum() / len(cluster) ** 2

    return OnRows(band)
