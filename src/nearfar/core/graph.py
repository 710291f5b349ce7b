"""`Graph`: one graph as one record. `Graphs`: many as one block-diagonal graph, what the graph encoders are fed.

An edge is a pair (from, to); an undirected graph lists both directions. Nothing crosses from one graph to another, so a graph's
vectors are the same alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ragged import offsets_of, taken
from nearfar.core.rows import Rows

Pooling = Literal["nodes", "mean", "sum"]


@dataclass(frozen=True, eq=False)
class Graph:
    """v nodes and e edges.

    x      [v f] float, the features of the nodes
    edges  [2 e] int64, from and to, counted from 0
    label  [v] int64, one class a node, or None
    ids    [v] int64, which node of the original graph each is: views that drop nodes keep it. None: its place, 0 to v - 1

    Raises DataError for a graph without nodes, shapes and types that do not fit, values that are not finite, and edges to nodes
    that there are not.

    >>> Graph(torch.eye(3), torch.tensor([[0, 1], [1, 0]]))
    Graph(3 nodes, 2 edges, 3 features)
    """

    x: Tensor
    edges: Tensor
    label: Tensor | None = None
    ids: Tensor | None = None

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or not len(self.x) or not self.x.shape[1] or not self.x.is_floating_point():
            raise DataError(
                f"the nodes of a graph are {self.x.dtype} of shape {list(self.x.shape)}",
                remedy="give floating-point features [nodes features], one node and one feature at least",
            )
        if not torch.isfinite(self.x).all():
            raise DataError("features of nodes are not finite", remedy="replace NaN and infinity")
        if self.edges.ndim != 2 or len(self.edges) != 2 or self.edges.dtype != torch.int64:
            raise DataError(
                f"the edges of a graph are {self.edges.dtype} of shape {list(self.edges.shape)}",
                remedy="give int64 of shape [2 edges]: from which node to which",
            )
        if self.edges.numel() and not 0 <= int(self.edges.min()) <= int(self.edges.max()) < len(self.x):
            raise DataError(
                f"an edge joins nodes {int(self.edges.min())} to {int(self.edges.max())}, and there are {len(self.x)}",
                remedy="count nodes from 0",
            )
        for name, column in (("label", self.label), ("ids", self.ids)):
            if column is not None and (column.shape != self.x.shape[:1] or column.dtype != torch.int64):
                raise DataError(
                    f"{name} is {column.dtype} of shape {list(column.shape)} for {len(self.x)} nodes",
                    remedy="give one int64 a node",
                )

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Graph({len(self)} nodes, {self.edges.shape[1]} edges, {self.x.shape[1]} features)"

    @property
    def numbers(self) -> Tensor:
        """[v] `ids`, or the places of the nodes where there are none."""
        return torch.arange(len(self)) if self.ids is None else self.ids

    def without_edges(self, dropped: Tensor) -> Graph:
        """Without the edges [e] that are true; the nodes stay."""
        return replace(self, edges=self.edges[:, ~dropped])

    def among(self, kept: Tensor) -> Graph:
        """The nodes [v] that are true and the edges between them; `ids` tell which they were."""
        place = kept.cumsum(0) - 1
        edges = place[self.edges[:, kept[self.edges].all(0)]]
        return Graph(self.x[kept], edges, None if self.label is None else self.label[kept], self.numbers[kept])

    @classmethod
    def of(cls, record: Any) -> Graph:
        """A Graph as it is; a mapping with "x" and "edges", also "label" and "ids", of lists, arrays or tensors; or an object with
        `x` and `edge_index`, as PyTorch Geometric's `Data` is.

        Raises DataError for anything else.

        >>> Graph.of({"x": [[1.0], [2.0]], "edges": [[0, 1], [1, 0]]})
        Graph(2 nodes, 2 edges, 1 features)
        """
        if isinstance(record, Graph):
            return record
        if isinstance(record, Mapping):
            x, edges = record.get("x"), record.get("edges")
            label, ids = record.get("label"), record.get("ids")
        else:
            x, edges, label, ids = getattr(record, "x", None), getattr(record, "edge_index", None), None, None
        if x is None or edges is None:
            raise DataError(
                f"a graph is needed, not {type(record).__name__}",
                remedy='give a Graph(x, edges), or {"x": ..., "edges": ...}',
            )
        try:
            whole = [None if c is None else torch.as_tensor(c, dtype=torch.int64) for c in (edges, label, ids)]
            made = torch.as_tensor(x)
            made = made if made.is_floating_point() else made.float()
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"this is no graph: {error}", remedy="give features and edges as numbers") from error
        if whole[0] is not None and not whole[0].numel():
            whole[0] = whole[0].reshape(2, 0)
        return cls(made, *whole)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, eq=False)
class Graphs:
    """g graphs as one: nodes and edges of graph i lie at starts[i]:starts[i + 1] of theirs, edges count all nodes.

    x      [v f]
    edges  [2 e]
    nodes  [g + 1] int64, where the nodes of each graph start
    ends   [g + 1] int64, where the edges of each graph start
    ids    [v] int64, which node of its graph each is
    """

    x: Tensor
    edges: Tensor
    nodes: Tensor
    ends: Tensor
    ids: Tensor

    @classmethod
    def of(cls, records: Sequence[Any], features: int | None = None) -> Graphs:
        """Graphs, or what `Graph.of` takes, as one. Raises DataError with the place of a record that is none, or that has another
        number of features than `features`, or than the first.
        """
        graphs = graphs_of(records)
        for number, graph in enumerate(graphs):
            features = features or graph.x.shape[1]
            if graph.x.shape[1] != features:
                raise DataError(
                    f"the nodes of this graph have {graph.x.shape[1]} features, and {features} are read",
                    where=f"record {number}",
                    remedy="give all graphs the same features",
                )
        nodes = offsets_of(torch.tensor([len(g) for g in graphs], dtype=torch.int64))
        ends = offsets_of(torch.tensor([g.edges.shape[1] for g in graphs], dtype=torch.int64))
        first = nodes.tolist()
        return cls(
            torch.cat([g.x.float() for g in graphs]) if graphs else torch.zeros(0, features or 1),
            torch.cat(
                [torch.zeros(2, 0, dtype=torch.int64), *(g.edges + f for g, f in zip(graphs, first, strict=False))], 1
            ),
            nodes,
            ends,
            torch.cat([torch.zeros(0, dtype=torch.int64), *(g.numbers for g in graphs)]),
        )

    def __len__(self) -> int:
        return len(self.nodes) - 1

    def take(self, index: Any) -> Graphs:
        """The graphs at `index` [n], in that order."""
        device = self.x.device
        number = torch.arange(len(self))[index] if isinstance(index, slice) else torch.as_tensor(index).long().cpu()
        (node, nodes), (edge, ends) = taken(self.nodes, number), taken(self.ends, number)
        moved = nodes[:-1] - self.nodes[:-1][number]
        shift, node, edge = (t.to(device) for t in (moved.repeat_interleave(ends.diff()), node, edge))
        return Graphs(self.x[node], self.edges[:, edge] + shift, nodes, ends, self.ids[node])

    def to(self, device: torch.device, dtype: torch.dtype) -> Graphs:
        """The same on another device, with features of another type; where graphs start is known to the CPU alone."""
        return replace(self, x=self.x.to(device, dtype), edges=self.edges.to(device), ids=self.ids.to(device))

    @property
    def source(self) -> Tensor:
        """[v] the place of each node's graph."""
        return torch.arange(len(self)).repeat_interleave(self.nodes.diff()).to(self.x.device)

    @property
    def cost(self) -> Tensor:
        """[g] nodes and edges of each graph: the work grows with both."""
        return self.nodes.diff() + self.ends.diff()

    @property
    def degrees(self) -> Tensor:
        """[v] how many edges lead to each node."""
        return torch.bincount(self.edges[1], minlength=len(self.x))

    def sum_over_neighbours(self, values: Tensor) -> Tensor:
        """[v d] -> [v d]: for each node the sum of the values of the nodes that an edge leads from."""
        return torch.zeros_like(values).index_add_(0, self.edges[1], values[self.edges[0]])

    def rows(self, vectors: Tensor, pooling: Pooling) -> Rows:
        """The vectors of the nodes [v d] as rows: one a node, with columns `source` and `node`, or their mean or sum, one a graph."""
        source = self.source
        if pooling == "nodes":
            return Rows(vectors, {"source": source, "node": self.ids})
        pooled = vectors.new_zeros(len(self), vectors.shape[1]).index_add_(0, source, vectors)
        return Rows(pooled / self.nodes.diff().to(pooled)[:, None] if pooling == "mean" else pooled)


def graphs_of(records: Sequence[Any]) -> list[Graph]:
    """Every record as a Graph. Raises DataError with the place of one that is none."""
    made = []
    for number, record in enumerate(records):
        try:
            made.append(Graph.of(record))
        except DataError as error:
            raise DataError(error.what, where=f"record {number}", remedy=error.remedy) from error
    return made


def checked_pooling(pooling: Any) -> Pooling:
    """The name of a pooling. Raises UsageError for another one."""
    if pooling not in ("nodes", "mean", "sum"):
        raise UsageError(f"no pooling {pooling!r}", where="encoder.pooling", remedy="there are nodes, mean and sum")
    return pooling
