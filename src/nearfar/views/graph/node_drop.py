"""Node drop: a share of the nodes goes, each with its edges.

        the floor(share * v) nodes of the smallest draws go;  one at least stays

The graph's `ids` tell which nodes are left, so that a node can be found again in the other view. Exactly so many go, as in GraphCL's
code; in graphs of fewer than 1 / share nodes none does.
Kin: `subgraph` keeps nodes that hang together; `edge_drop` keeps the nodes.
Source: You et al. 2020 (GraphCL, arXiv 2010.13902), a share of 0.2 throughout. Their code takes the edges away and leaves the
nodes standing for the encoder; here they are gone, as the paper says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.graph import Graph, graphs_of
from nearfar.views.shared.options import check_share

CARD = Card(
    name="node_drop",
    summary="a share of a graph's nodes goes, each with its edges",
    related=("subgraph", "edge_drop", "feature_mask"),
    reads=("graph",),
)


@dataclass(frozen=True)
class NodeDrop:
    """See `node_drop`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[Graph]:
        """The graphs of the nodes that are left, in their order, with `ids`."""
        graphs = graphs_of(records)
        made = []
        for graph, draw in zip(graphs, draws.each("node_drop", [len(graph) for graph in graphs]), strict=True):
            kept = torch.ones(len(graph), dtype=torch.bool)
            # A little is added before rounding down: 0.29 * 100 is 28.999... in floating point.
            gone = min(len(graph) - 1, math.floor(self.share * len(graph) + 1e-9))
            kept[draw.argsort()[:gone]] = False
            made.append(graph.among(kept))
        return made


def node_drop(*, share: float = 0.2) -> NodeDrop:
    """A view of graphs without a `share` of their nodes, rounded down.

    One node at least is left. share = 0 leaves all as they are.
    Raises UsageError for a share outside 0 to 1, DataError for a record that is no graph.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> path = {"x": torch.eye(5), "edges": [[0, 1, 2, 3], [1, 2, 3, 4]]}
    >>> graph, = nf.node_drop(share=0.4)([path], Draws(0, epoch=0, record=torch.tensor([3])))
    >>> graph, graph.ids.tolist()
    (Graph(3 nodes, 1 edges, 5 features), [1, 2, 4])
    """
    return NodeDrop(share)
