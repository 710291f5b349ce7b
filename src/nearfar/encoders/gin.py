"""Graph isomorphism network: each node's sum over its neighbours goes through a small network, so that neighbourhoods are counted.

        h_i' = MLP((1 + eps) h_i + sum over j in N(i) of h_j)       eps learned, one a layer, 0 at first
        v_i  = W [h_i^1, ..., h_i^L]                               all layers, near and far

The sum tells two equal neighbours from one, which a mean or a maximum cannot. An edge (j, i) brings h_j to i; edges that are
listed twice count twice, and one from a node to itself adds the node once more.

Kin: `gcn` averages, weighed by degrees.
Source: Xu et al. 2018 (arXiv 1810.00826), with eps learned (their GIN-eps) and all layers read out together. Their network has
batch norm, which would make a node depend on the batch; here it is layer norm. Three layers: GraphCL (arXiv 2010.13902); the linear
map of all layers to `dimension` is ours, so that the dimension is free of the number of layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    name="gin",
    summary="neighbours summed and passed through a small network, layer by layer: one vector a graph or a node",
    related=("gcn",),
    reads=("graph",),
    public=("Gin",),
)


class Gin(GraphEncoder):
    """Layers of width `hidden`, joined to `dimension`; see the file's text."""

    def __init__(self, setup: GraphSetup) -> None:
        super().__init__(setup)
        self.eps = nn.Parameter(torch.empty(setup.layers))
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(setup.hidden if layer else setup.features, setup.hidden),
                nn.LayerNorm(setup.hidden),
                nn.ReLU(),
                nn.Linear(setup.hidden, setup.hidden),
            )
            for layer in range(setup.layers)
        )
        self.join = nn.Linear(setup.layers * setup.hidden, setup.dimension)

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Sequence[Any]],
        *,
        dimension: int = 128,
        hidden: int = 64,
        layers: int = 3,
        pooling: Pooling = "sum",
        seed: int = 0,
    ) -> Gin:
        """Fresh weights for graphs with as many features as the first has.

        dimension  length of a vector
        hidden     width of the layers
        layers     each reaches one edge farther
        pooling    "nodes" gives a row a node; "mean" and "sum" one a graph

        Errors: UsageError for settings that make no sense, DataError if the first record is no graph, or there is none.
        """
        with seeded(seed):
            made = cls(GraphSetup(features_of(records), dimension, hidden, layers, pooling))
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in made.modules():
                if isinstance(module, nn.Linear):
                    nn.init.xavier_uniform_(module.weight, generator=draws)
                    module.bias.zero_()
            made.eps.zero_()
        return made

    def forward(self, inputs: Graphs, side: str = "query") -> Rows:
        """One row a graph [g dimension], or one a node with columns `source` and `node`."""
        graph = inputs.to(self.eps.device, self.eps.dtype)
        values, seen = graph.x, []
        for layer, eps in zip(self.layers, self.eps, strict=True):
            values = layer((1 + eps) * values + graph.sum_over_neighbours(values)).relu()
            seen.append(values)
        return graph.rows(self.join(torch.cat(seen, 1)), self.setup.pooling)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Gin:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a gin"):
            return cls(from_json(GraphSetup, config))
