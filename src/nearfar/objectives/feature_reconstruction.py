"""Feature reconstruction: from each node's vector a small decoder should tell the node's features. A local term.

        l = mean_if ( x_if - decoder(z_i)_f )^2

The features are those after views. As a first stage it makes an encoder an auto-encoder, whose vectors later terms begin with.
Kin: `block_contrast` starts from it.
Source: Bo et al. 2020 (arXiv 2002.01633), whose decoder mirrors the encoder; one hidden layer is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.graph import Graphs
from nearfar.core.outputs import Outputs
from nearfar.objectives.composed import Local

CARD = Card(
    name="feature_reconstruction",
    summary="squared error of nodes' features decoded from their vectors; a local term",
    related=("block_contrast", "node_mlp"),
)


class Reconstruction(nn.Module):
    """The loss and the decoder that it learns."""

    def __init__(self, dimension: int, features: int, hidden: int) -> None:
        super().__init__()
        self.decoder = nn.Sequential(nn.Linear(dimension, hidden), nn.ReLU(), nn.Linear(hidden, features))

    def forward(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Sum of squares, and of how many numbers."""
        graphs = outputs.inputs
        if not isinstance(graphs, Graphs) or len(graphs.x) != len(outputs.rows):
            raise UsageError(
                "features are those of the nodes of graphs, a row each",
                where="encoder",
                remedy='take an encoder of graphs, with pooling="nodes": node_mlp, gcn, gin',
            )
        made = self.decoder(outputs.rows.vectors)
        if made.shape != graphs.x.shape:
            raise UsageError(
                f"{made.shape[1]} features are decoded, and a node has {graphs.x.shape[1]}",
                where="features",
                remedy=f"feature_reconstruction(features={graphs.x.shape[1]})",
            )
        error = (made - graphs.x.to(made)).square()
        return error.sum(), torch.tensor(error.numel(), device=error.device)


def feature_reconstruction(
    *,
    dimension: int | None = None,
    features: int | None = None,
    hidden: int = 128,
    stream: str = "x",
    towers: Mapping[str, Any] | None = None,
) -> Local:
    """The term on the nodes of graphs, vectors [v dimension] to features [v features]; of a recipe's `towers` it knows both.

    Raises UsageError for sizes that are below one or not known, and, when it is computed, for rows that are no nodes and another
    number of features.

    >>> import nearfar as nf
    >>> nf.feature_reconstruction(dimension=4, features=7).stream
    'x'
    """
    if towers is not None and features is None:
        features = next((t.setup.features for t in towers.values() if hasattr(t, "setup")), None)
    if dimension is None or features is None or min(dimension, features, hidden) < 1:
        raise UsageError(
            f"from {dimension} dimensions by {hidden} to {features} features",
            where="feature_reconstruction",
            remedy="give one of each at least",
        )
    return Local(Reconstruction(dimension, features, hidden), stream)
