"""Feature mask: some features are set to zero in all nodes of a graph.

        x_if' = x_if  where  u_f >= share,  else 0        one draw a feature and graph, not a node

If no feature were left, the one of the largest u stays. Kin: `edge_drop`, which GRACE pairs it with. GraphCL's attribute masking
(arXiv 2010.13902) hides all features of some nodes instead.
Source: Zhu et al. 2020 (GRACE, arXiv 2006.04131), "masking node features": 0.3 in one view of Cora and 0.4 in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.graph import Graph, graphs_of
from nearfar.views.shared.options import check_share

CARD = Card(
    name="feature_mask",
    summary="some features are set to zero in all nodes of a graph",
    related=("edge_drop", "node_drop", "subgraph"),
    reads=("graph",),
)


@dataclass(frozen=True)
class FeatureMask:
    """See `feature_mask`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[Graph]:
        """The graphs with some of their features."""
        graphs = graphs_of(records)
        each = draws.each("feature_mask", [graph.x.shape[1] for graph in graphs])
        return [self._masked(graph, draw) for graph, draw in zip(graphs, each, strict=True)]

    def _masked(self, graph: Graph, draw: Tensor) -> Graph:
        hidden = draw < self.share
        hidden[draw.argmax()] = False
        return replace(graph, x=graph.x.masked_fill(hidden, 0.0))


def feature_mask(*, share: float = 0.3) -> FeatureMask:
    """A view of graphs that sets each feature to zero with chance `share`, in all nodes alike.

    One feature at least is left. share = 0 leaves all as they are.
    Raises UsageError for a share outside 0 to 1, DataError for a record that is no graph.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> graph = {"x": torch.ones(2, 6), "edges": [[0, 1], [1, 0]]}
    >>> nf.feature_mask(share=0.5)([graph], Draws(0, epoch=0, record=torch.tensor([3])))[0].x.int().tolist()
    [[0, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1]]
    """
    return FeatureMask(share)
