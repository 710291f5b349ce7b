"""Block contrast on a graph: nodes near by edges attract, and only the sums of clusters repel, so that the cost is linear (PamC).

        near      - mean_i log ( sum_j W_ij exp(tau cos'(z_i, z_j)) )
        far         mean_c log ( sum_c' exp(tau cos'(B_c, B_c')) ),    B_c = sum of the z_i that belong to cluster c
        clusters    KL(P || Q), soft memberships Q towards sharper ones P (`maths/embedded_clusters`)

cos' is the cosine, and 0 for a thing with itself; W weighs paths of up to R edges (`maths/neighbourhoods`). A sum over all pairs of n
nodes is replaced by one over pairs of clusters; a cluster without nodes takes no part. B has a gradient to the vectors, which node
belongs where has none. Centres are found by k-means on the vectors after the first step, in which the nodes only attract; P is computed of the batch:
where one graph is the batch, that is of all data, at every step.
Kin: `neighbourhood_contrast` is the same with all pairs of nodes; `neighbours` is a relation for graphs under any rule.
Source: Kulatilleke et al. 2022 (arXiv 2209.14067) with their code: alpha 2, beta 0.1, R 2, tau 1; they tune alpha in 0.5 to 2, beta in
0.2 to 12.5, tau in 0.25 to 1.5, R in 1 to 4 for each data set. An empty cluster gives NaN there.
"""

from __future__ import annotations

import torch
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
    name="block_contrast",
    summary="nodes near by edges attract, sums of clusters repel: linear in the nodes (PamC)",
    related=("neighbourhood_contrast", "neighbours", "prototypes", "gcn"),
)


def block_contrast(
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
    >>> list(nf.block_contrast(dimension=4, clusters=3).terms)
    ['near', 'far', 'clusters']
    """
    if tau <= 0 or reach < 1 or contrast < 0 or clustering < 0:
        raise UsageError(
            f"tau {tau}, reach {reach}, weights {contrast} and {clustering}",
            where="block_contrast",
            remedy="choose a positive tau, a reach of 1 or more, and no negative weight",
        )
    if dimension is None:
        raise UsageError("clusters of no dimension", where="dimension", remedy="give that of the vectors")
    centres = Centres(clusters, dimension, seed)

    def far(table: Rows) -> Float[Tensor, ""]:
        vectors = full(table.vectors)
        if not bool(centres.known):
            return 0.0 * vectors.sum()
        own = membership(vectors.detach(), centres.vectors.detach().to(vectors.dtype)).argmax(1)
        blocks = torch.zeros(clusters, dimension, dtype=vectors.dtype, device=vectors.device)
        blocks = blocks.index_add(0, own, vectors)
        return repulsion(blocks[torch.bincount(own, minlength=clusters) > 0], tau)

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
