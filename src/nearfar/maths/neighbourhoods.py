"""How near the nodes of a graph are by paths of a few edges, and the loss of vectors that should be near where the nodes are.

        A = D^-1 (adjacency + I)        W = A + A^2 + .. + A^R        sparse
        l_i = - log ( sum_j W_ij exp(tau cos'(z_i, z_j)) + 1e-10 )

cos' is the cosine, and 0 for a node with itself. W is never dense: work and memory grow with its entries, the paths.
Source: Kulatilleke et al. 2022 (arXiv 2209.14067) with their code; powers of the adjacency in a contrast, Hu et al. 2021 (arXiv
2106.04051). Rows that are divided by degrees: Bo et al. 2020 (arXiv 2002.01633), from memory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.errors import UsageError
from nearfar.core.graph import Graphs
from nearfar.core.outputs import Outputs
from nearfar.maths.similarity import unit

LEAST = 1e-10  # inside logarithms


class Paths(NamedTuple):
    """Sparse W: entry e is W[i_e, j_e] = weight_e; every pair stands there once, in order of i and j."""

    i: Tensor
    j: Tensor
    weight: Tensor


def influence(graph: Graphs, reach: int) -> Paths:
    """W of all nodes. Raises UsageError for a reach below one.

    >>> from nearfar.core.graph import Graphs
    >>> w = influence(Graphs.of([{"x": [[1.0], [1.0]], "edges": [[0, 1], [1, 0]]}]), 2)
    >>> w.i.tolist(), w.j.tolist(), w.weight.tolist()
    ([0, 0, 1, 1], [0, 1, 0, 1], [1.0, 1.0, 1.0, 1.0])
    """
    if reach < 1:
        raise UsageError(f"paths of {reach} edges", where="reach", remedy="give 1 or more")
    n, loops = len(graph.x), torch.arange(len(graph.x), device=graph.x.device)
    # Of the node that an edge leads to, the one it comes from is the neighbour; an edge that is listed twice is one.
    i, j = torch.cat([torch.stack([graph.edges[1], graph.edges[0]]), loops.repeat(2, 1)], 1).unique(dim=1)
    degree = torch.bincount(i, minlength=n)
    step = Paths(i, j, (1 / degree.to(graph.x.dtype))[i])
    first = degree.cumsum(0) - degree
    total = power = step
    for _ in range(reach - 1):
        # Each path goes on along every edge of the node where it ends.
        many = degree[power.j]
        path = torch.arange(len(many), device=many.device).repeat_interleave(many)
        edge = first[power.j][path] + torch.arange(len(path), device=many.device) - (many.cumsum(0) - many)[path]
        power = _summed(Paths(power.i[path], step.j[edge], power.weight[path] * step.weight[edge]), n)
        total = _summed(Paths(*(torch.cat(pair) for pair in zip(total, power, strict=True))), n)
    return total


def _summed(paths: Paths, n: int) -> Paths:
    """Entries of the same pair of nodes as one."""
    pair, place = (paths.i * n + paths.j).unique(return_inverse=True)
    weight = paths.weight.new_zeros(len(pair)).index_add_(0, place, paths.weight)
    return Paths(pair // n, pair % n, weight)


class Neighbourhoods:
    """The sum over nodes of l_i, and how many they are, of `Outputs` of an encoder with a row a node.

    W of the last graphs is kept, for training on one graph. Raises UsageError for rows that are no nodes.
    """

    def __init__(self, reach: int, tau: float) -> None:
        self.reach, self.tau = reach, tau
        self._last: tuple[Tensor, Paths] | None = None

    def __call__(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        graph = outputs.inputs
        if not isinstance(graph, Graphs) or len(graph.x) != len(outputs.rows):
            raise UsageError(
                "neighbourhoods are those of the nodes of graphs, a row each",
                where="encoder",
                remedy='take an encoder of graphs, with pooling="nodes": node_mlp, gcn, gin',
            )
        vectors = unit(outputs.rows.vectors)
        paths = self._paths(graph.to(vectors.device, vectors.dtype))
        near = torch.where(paths.i == paths.j, 0.0, (vectors[paths.i] * vectors[paths.j]).sum(1))
        weighed = paths.weight.to(vectors.dtype) * (self.tau * near).exp()
        total = torch.zeros_like(vectors[:, 0]).index_add(0, paths.i, weighed)
        return -(total + LEAST).log().sum(), torch.tensor(len(vectors), device=vectors.device)

    def _paths(self, graph: Graphs) -> Paths:
        edges = torch.cat([graph.edges, torch.tensor([[len(graph.x)], [0]], device=graph.edges.device)], 1)
        if self._last is None or not torch.equal(self._last[0], edges):
            self._last = edges, influence(graph, self.reach)
        return self._last[1]


def repulsion(vectors: Float[Tensor, "r d"], tau: float) -> Float[Tensor, ""]:
    """mean_i log ( sum_j exp(tau cos'(v_i, v_j)) + 1e-10 ): all pairs of rows, whole."""
    rows = unit(vectors)
    cosine = (rows @ rows.T).masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), 0.0)
    return ((tau * cosine).exp().sum(1) + LEAST).log().mean()
