"""Neighbourhood contrast on a graph: nodes near by edges attract, every pair of nodes repels, and clusters are sharpened.

        near      - mean_i log ( sum_j W_ij exp(tau cos'(z_i, z_j)) )
        far         mean_i log ( sum_j exp(tau cos'(z_i, z_j)) )
        clusters    KL(P || Q), soft memberships Q towards sharper ones P (`maths/embedded_clusters`)

cos' is the cosine, and 0 for a node with itself; W weighs paths of up to R edges (`maths/neighbourhoods`). Memory: one matrix [v v] of
the nodes of a batch. Centres are found by k-means on the vectors after the first step; until then the third term is 0.
Kin: `block_contrast` has sums of clusters repel instead, for a linear cost; `neighbours` is a relation for graphs under any rule.
Source: the contrast is that of Hu et al. 2021 (arXiv 2106.04051); beside clusters, and with these weights, it is the rival in Kulatilleke et al. 2022 (arXiv
2209.14067), whose published code calls it without defining it: the form here follows their approximation of it.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows
from nearfar.maths.embedded_clusters import Centres, divergence, membership
from nearfar.maths.neighbourhoods import Neighbourhoods, repulsion
from nearfar.maths.tables import full
from nearfar.objectives.composed import Local, Objective, OnRows

CARD = Card(
    name="neighbourhood_contrast",
    summary="nodes near by edges attract, all pairs of nodes repel, clusters are sharpened",
    related=("block_contrast", "neighbours", "gcn"),
)


def neighbourhood_contrast(
    *,
    dimension: int | None = None,
    clusters: int = 10,
    contrast: float = 2.0,
    clustering: float = 0.1,
    tau: float = 1.0,
    reach: int = 2,
    seed: int = 0,
    stream: str = "x",
) -> Objective:
    """The objective on the nodes of graphs, vectors [v dimension].

    clusters  how many are looked for
    contrast  the weight of the first two terms, alpha; `clustering` that of the third, beta
    tau       multiplies cosines
    reach     edges of the longest path, R

    Raises UsageError for numbers that make no sense, and, when it is computed, for rows that are no nodes.

    >>> import nearfar as nf
    >>> list(nf.neighbourhood_contrast(dimension=4, clusters=3).terms)
    ['near', 'far', 'clusters']
    """
    if tau <= 0 or reach < 1 or contrast < 0 or clustering < 0:
        raise UsageError(
            f"tau {tau}, reach {reach}, weights {contrast} and {clustering}",
            where="neighbourhood_contrast",
            remedy="choose a positive tau, a reach of 1 or more, and no negative weight",
        )
    if dimension is None:
        raise UsageError("clusters of no dimension", where="dimension", remedy="give that of the vectors")
    centres = Centres(clusters, dimension, seed)

    def far(table: Rows) -> Float[Tensor, ""]:
        return repulsion(full(table.vectors), tau)

    def clustered(table: Rows) -> Float[Tensor, ""]:
        vectors = full(table.vectors)
        if not bool(centres.known):
            return 0.0 * vectors.sum()
        return divergence(membership(vectors, centres.vectors.to(vectors.dtype)))

    terms = {
        "near": Local(Neighbourhoods(reach, tau), stream),
        "far": OnRows(far, (stream,)),
        "clusters": OnRows(clustered, (stream,), state=(centres,)),
    }
    return Objective(terms, {"near": contrast, "far": contrast, "clusters": clustering})
