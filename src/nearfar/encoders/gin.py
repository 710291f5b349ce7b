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
from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.graph import Graphs, Pooling, checked_pooling, graphs_of
from nearfar.core.rows import Rows

CARD = Card(
    name="gin",
    summary="neighbours summed and passed through a small network, layer by layer: one vector a graph or a node",
    related=("gcn",),
    reads=("graph",),
    public=("Gin",),
)

MAX_WIDTH, MAX_LAYERS = 1_000_000, 1_000  # a damaged configuration must not ask for all memory


class Gin(nn.Module):
    """Layers of width `hidden`, joined to `dimension`; see the file's text."""

    pooling: Pooling

    def __init__(self, features: int, dimension: int, hidden: int, layers: int, pooling: Pooling) -> None:
        super().__init__()
        self.features, self.dimension, self.hidden, self.pooling = features, dimension, hidden, pooling
        self.eps = nn.Parameter(torch.empty(layers))
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(hidden if layer else features, hidden),
                nn.LayerNorm(hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
            )
            for layer in range(layers)
        )
        self.join = nn.Linear(layers * hidden, dimension)

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
        """
        if not (0 < dimension <= MAX_WIDTH and 0 < hidden <= MAX_WIDTH and 0 < layers <= MAX_LAYERS):
            raise UsageError(
                "dimension, hidden and layers must be positive", where="encoder", remedy="128, 64 and 3 are usual"
            )
        first = graphs_of([next((side[0] for side in records.values() if len(side)), None)])[0]
        made = cls(first.x.shape[1], dimension, hidden, layers, checked_pooling(pooling))
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in made.modules():
                if isinstance(module, nn.Linear):
                    nn.init.xavier_uniform_(module.weight, generator=draws)
                    module.bias.zero_()
            made.eps.zero_()
        return made

    def prepare(self, records: Sequence[Any]) -> Graphs:
        """Graphs as one. Raises DataError for a record that is none, or that has other features."""
        return Graphs.of(records, self.features)

    def forward(self, inputs: Graphs, side: str = "query") -> Rows:
        """One row a graph [g dimension], or one a node with columns `source` and `node`."""
        graph = inputs.to(self.eps.device, self.eps.dtype)
        values, seen = graph.x, []
        for layer, eps in zip(self.layers, self.eps, strict=True):
            values = layer((1 + eps) * values + graph.sum_over_neighbours(values)).relu()
            seen.append(values)
        return graph.rows(self.join(torch.cat(seen, 1)), self.pooling)

    def cost(self, inputs: Graphs) -> Tensor:
        """Nodes and edges of each graph [n]."""
        return inputs.cost

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        names = ("features", "dimension", "hidden", "pooling")
        return {name: getattr(self, name) for name in names} | {"layers": len(self.layers)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Gin:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        sizes: Any = [config.get(name) for name in ("features", "dimension", "hidden")]
        layers: Any = config.get("layers")
        sound = all(
            type(s) is int and 0 < s <= most for s, most in [*((s, MAX_WIDTH) for s in sizes), (layers, MAX_LAYERS)]
        )
        if not sound or config.get("pooling") not in ("nodes", "mean", "sum"):
            raise DataError(
                "this is no configuration of a gin", where="encoders", remedy="the model is damaged; save it anew"
            )
        features, dimension, hidden = sizes
        return cls(features, dimension, hidden, layers, config["pooling"])
