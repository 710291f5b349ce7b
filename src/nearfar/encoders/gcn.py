"""Graph convolutional network: layers that average each node with its neighbours, weighed by their degrees.

        H' = relu(D^-1/2 (A + I) D^-1/2 H W + b)       D_ii = sum_j (A + I)_ij
        node i:  h_i' = sum over j in N(i) and i itself of  W h_j / sqrt(d_i d_j)

An edge (j, i) brings h_j to i, and d_i is 1 + the edges that lead to i; for undirected graphs the direction is of no matter.
Edges from a node to itself are left out, since every node gets one. Edges that are listed twice count twice.

Kin: `gin` sums without weights and passes each sum through a network of its own: it counts neighbours where this one averages.
Source: Kipf and Welling 2016 (arXiv 1609.02907), two layers there. Widths: GRACE (arXiv 2006.04131), a hidden layer of twice the
dimension, 128 for Cora. GRACE has a relu on the output too; here the last layer is linear, as Kipf and Welling's is before
its softmax, since the cosine of vectors without a negative entry is never below zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from nearfar.core.card import Card
from nearfar.core.graph import Graphs, Pooling
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.tree import from_json
from nearfar.encoders.shared.graph_encoder import GraphEncoder, GraphSetup, features_of
from nearfar.encoders.shared.settings import stored

CARD = Card(
    name="gcn",
    summary="nodes averaged with their neighbours, layer by layer: one vector a node or a graph",
    related=("gin",),
    reads=("graph",),
    public=("Gcn",),
)


class Gcn(GraphEncoder):
    """Layers of widths `features`, `hidden`, ..., `dimension`; see the file's text."""

    def __init__(self, setup: GraphSetup) -> None:
        super().__init__(setup)
        widths = [setup.features, *[setup.hidden] * (setup.layers - 1), setup.dimension]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Sequence[Any]],
        *,
        dimension: int = 128,
        hidden: int = 256,
        layers: int = 2,
        pooling: Pooling = "nodes",
        seed: int = 0,
    ) -> Gcn:
        """Fresh weights for graphs with as many features as the first has.

        dimension  length of a vector
        hidden     width of the layers between
        layers     each reaches one edge farther
        pooling    "nodes" gives a row a node; "mean" and "sum" one a graph

        Errors: UsageError for settings that make no sense, DataError if the first record is no graph, or there is none.
        """
        with seeded(seed):
            made = cls(GraphSetup(features_of(records), dimension, hidden, layers, pooling))
        draws = torch.Generator().manual_seed(seed)
        for parameter in made.parameters():
            if parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter, generator=draws)
            else:
                nn.init.zeros_(parameter)
        return made

    def forward(self, inputs: Graphs, side: str = "query") -> Rows:
        """One row a node [v dimension] with columns `source` and `node`, or one a graph."""
        weight = next(self.parameters())
        loops = inputs.edges[0] == inputs.edges[1]
        edges = inputs.edges if not loops.any() else inputs.edges[:, ~loops]
        graph = Graphs(inputs.x, edges, inputs.nodes, inputs.ends, inputs.ids).to(weight.device, weight.dtype)
        values, layers = graph.x, _linear(self.layers)
        scale = (1 + graph.degrees).rsqrt().to(values.dtype)[:, None]
        for number, layer in enumerate(layers):
            scaled = nn.functional.linear(values, layer.weight) * scale
            values = (graph.sum_over_neighbours(scaled) + scaled) * scale + layer.bias
            if number < len(layers) - 1:
                values = values.relu()
        return graph.rows(values, self.setup.pooling)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Gcn:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a gcn"):
            return cls(from_json(GraphSetup, config))


def _linear(layers: Any) -> list[nn.Linear]:
    return list(layers)  # torch types the items of its containers as plain modules
