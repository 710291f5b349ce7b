"""Subgraph: a share of the nodes that hang together, grown from a node at random.

        start at a node;  add a node from among the neighbours of those that are in;  until ceil(share * v) are in

Each added node is drawn evenly from all neighbours that are not in yet, whichever way the edge leads. Where a component of the graph
is exhausted, growth goes on from another node that is drawn. The graph's `ids` tell which nodes are left.

Kin: `node_drop` takes nodes from anywhere.
Source: You et al. 2020 (GraphCL, arXiv 2010.13902), "subgraph": a random walk that keeps local structure, with 0.8 of the nodes kept.
What their code does is this growth, no walk; parts of it throw the union with the new node's neighbours away and so never get
beyond the neighbours of the first node, and parts keep 0.2 of the nodes where the others keep 0.8. We read the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.core.graph import Graph, graphs_of

CARD = Card(
    name="subgraph",
    summary="a share of a graph's nodes that hang together, grown from a node at random",
    related=("node_drop", "edge_drop", "feature_mask"),
    reads=("graph",),
)


@dataclass(frozen=True)
class Subgraph:
    """See `subgraph`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(
                f"a share of {self.share}", where="subgraph.share", remedy="give a share above 0, at most 1"
            )

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[Graph]:
        """The graphs of the nodes that are left, in their order, with `ids`."""
        graphs = graphs_of(records)
        sizes = [len(graph) for graph in graphs]
        starts, steps = draws.each("subgraph, start", sizes), draws.each("subgraph, step", sizes)
        return [
            graph.among(self._grown(graph, start.argsort().tolist(), step.tolist()))
            for graph, start, step in zip(graphs, starts, steps, strict=True)
        ]

    def _grown(self, graph: Graph, starts: list[int], draw: list[float]) -> torch.Tensor:
        """Which nodes are in; the i-th draw picks the i-th of them. Growth begins at the first of `starts` that is not in."""
        neighbours: list[list[int]] = [[] for _ in range(len(graph))]
        for a, b in zip(*graph.edges.tolist(), strict=True):
            neighbours[a].append(b)
            neighbours[b].append(a)
        known = [False] * len(graph)  # in, or waiting to be
        kept = torch.zeros(len(graph), dtype=torch.bool)
        waiting: list[int] = []
        start = iter(starts)
        for u in draw[: max(1, math.ceil(self.share * len(graph) - 1e-9))]:
            if not waiting:
                waiting = [next(node for node in start if not known[node])]
                known[waiting[0]] = True
            place = int(u * len(waiting))
            node, waiting[place] = waiting[place], waiting[-1]
            waiting.pop()
            kept[node] = True
            for other in neighbours[node]:
                if not known[other]:
                    known[other] = True
                    waiting.append(other)
        return kept


def subgraph(*, share: float = 0.8) -> Subgraph:
    """A view of graphs that keeps a `share` of the nodes, rounded up, which hang together as far as the graph does.

    share = 1 leaves all as they are. Raises UsageError for a share outside 0 to 1, or of 0; DataError for a record that is no graph.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> path = {"x": torch.eye(6), "edges": [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]}
    >>> graph, = nf.subgraph(share=0.5)([path], Draws(0, epoch=0, record=torch.tensor([3])))
    >>> graph, graph.ids.tolist()
    (Graph(3 nodes, 2 edges, 6 features), [0, 1, 2])
    """
    return Subgraph(share)
