"""What encoders of graphs share: their settings, what they make of records, and rows that are nodes or graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from nearfar.core.graph import Graphs, Pooling, checked_pooling, graphs_of
from nearfar.core.tree import to_json
from nearfar.encoders.shared.settings import check_sizes

MAX_SIZE, MAX_LAYERS = 1_000_000, 1_000  # a damaged configuration must not ask for all memory


@dataclass(frozen=True)
class GraphSetup:
    """What the architecture is; stored with every model."""

    features: int
    dimension: int
    hidden: int
    layers: int
    pooling: Pooling

    def __post_init__(self) -> None:
        check_sizes(self, features=MAX_SIZE, dimension=MAX_SIZE, hidden=MAX_SIZE, layers=MAX_LAYERS)
        checked_pooling(self.pooling)


class GraphEncoder(nn.Module):
    """The frame: an encoder adds `fit`, `from_config`, its layers and `forward`."""

    def __init__(self, setup: GraphSetup) -> None:
        super().__init__()
        self.setup, self.dimension = setup, setup.dimension

    def prepare(self, records: Sequence[Any]) -> Graphs:
        """Graphs as one. Raises DataError for a record that is none, or that has other features."""
        return Graphs.of(records, self.setup.features)

    def cost(self, inputs: Graphs) -> Tensor:
        """Nodes and edges of each graph [n]."""
        return inputs.cost

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return to_json(self.setup)


def features_of(records: Mapping[str, Sequence[Any]]) -> int:
    """The features of a node of the first graph. Raises DataError if there is none."""
    first = next((side[0] for side in records.values() if len(side)), None)
    return graphs_of([first])[0].x.shape[1]
