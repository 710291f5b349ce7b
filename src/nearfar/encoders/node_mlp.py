"""Perceptron on nodes: each node's own features through linear layers; edges are for the loss alone.

        h_i^(l+1) = relu(W h_i^l + b),    the last layer linear

A node's vector needs no neighbour, so that a model learned on a graph reads nodes of which no edge is known, at the price of a perceptron.
Kin: `gcn` and `gin` pass what neighbours know along edges; `mlp` reads rows of a table, and standardises them.
Source: Hu et al. 2021 (arXiv 2106.04051), a graph in the loss and a perceptron as the encoder. Widths: the auto-encoder of Bo et al. 2020
(arXiv 2002.01633) has hidden layers of 500, 500 and 2,000 and 10 dimensions; all of one width is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from nearfar.core.card import Card
from nearfar.core.graph import Graphs, Pooling
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.tree import from_json
from nearfar.encoders.shared.graph_encoder import GraphEncoder, GraphSetup, features_of
from nearfar.encoders.shared.settings import stored

CARD = Card(
    name="node_mlp",
    summary="each node's own features through linear layers, without its edges",
    related=("gcn", "gin", "mlp"),
    reads=("graph",),
    public=("NodeMlp",),
)


class NodeMlp(GraphEncoder):
    """Layers of widths `features`, `hidden`, ..., `dimension`; see the file's text."""

    def __init__(self, setup: GraphSetup) -> None:
        super().__init__(setup)
        widths = [setup.features, *[setup.hidden] * (setup.layers - 1), setup.dimension]
        made: list[nn.Module] = []
        for a, b in pairwise(widths):
            made += [nn.Linear(a, b), nn.ReLU()]
        self.layers = nn.Sequential(*made[:-1])

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Sequence[Any]],
        *,
        dimension: int = 10,
        hidden: int = 500,
        layers: int = 3,
        pooling: Pooling = "nodes",
        seed: int = 0,
    ) -> NodeMlp:
        """Fresh weights for graphs with as many features as the first has.

        dimension  length of a vector
        hidden     width of the layers between
        layers     linear ones
        pooling    "nodes" gives a row a node; "mean" and "sum" one a graph

        Errors: UsageError for settings that make no sense, DataError if the first record is no graph, or there is none.
        """
        setup = GraphSetup(features_of(records), dimension, hidden, layers, pooling)
        with seeded(seed):
            return cls(setup)

    def forward(self, inputs: Graphs, side: str = "query") -> Rows:
        """One row a node [v dimension] with columns `source` and `node`, or one a graph."""
        weight = next(self.parameters())
        graph = inputs.to(weight.device, weight.dtype)
        return graph.rows(self.layers(graph.x), self.setup.pooling)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NodeMlp:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a node_mlp"):
            return cls(from_json(GraphSetup, config))
