"""Edge drop: each edge of a graph goes with a chance of its own; all nodes stay.

        keep the edge between i and j  where  u_ij >= share

The two directions of one edge share their draw and go together, so that an undirected graph stays one. GRACE's formula and its
code draw them apart, which makes the graph directed: a node then hears of a neighbour that no longer hears of it.

A graph may lose every edge; its nodes are then all that is left of it. Kin: `node_drop` takes a node and all its edges away.
Source: Zhu et al. 2020 (GRACE, arXiv 2006.04131), "removing edges": 0.2 in one view of Cora and 0.4 in the other. GraphCL's edge
perturbation (arXiv 2010.13902) adds as many edges at random as it drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.graph import Graph, graphs_of
from nearfar.views.shared.options import check_share

CARD = Card(
    name="edge_drop",
    summary="each edge of a graph goes with a chance of its own, both of its directions together",
    related=("node_drop", "feature_mask", "subgraph"),
    reads=("graph",),
)


@dataclass(frozen=True)
class EdgeDrop:
    """See `edge_drop`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[Graph]:
        """The graphs with some of their edges."""
        graphs = graphs_of(records)
        each = draws.each("edge_drop", [graph.edges.shape[1] for graph in graphs])
        return [g.without_edges(u[_first_of_pair(g)] < self.share) for g, u in zip(graphs, each, strict=True)]


def _first_of_pair(graph: Graph) -> Tensor:
    """For each edge the place of the first edge between the same two nodes."""
    low, high = graph.edges.min(0).values, graph.edges.max(0).values
    pair = (low * len(graph) + high).unique(return_inverse=True)[1]
    place = torch.arange(len(pair))
    return torch.full_like(place, len(pair)).scatter_reduce(0, pair, place, "amin")[pair]


def edge_drop(*, share: float = 0.2) -> EdgeDrop:
    """A view of graphs that drops each edge with chance `share`.

    Both directions of an edge, and edges listed twice, go together. share = 0 leaves all as they are.
    Raises UsageError for a share outside 0 to 1, DataError for a record that is no graph.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> ring = {"x": torch.eye(4), "edges": [[0, 1, 1, 2, 2, 3, 3, 0], [1, 0, 2, 1, 3, 2, 0, 3]]}
    >>> nf.edge_drop(share=0.5)([ring], Draws(0, epoch=0, record=torch.tensor([3])))
    [Graph(4 nodes, 2 edges, 4 features)]
    """
    return EdgeDrop(share)
