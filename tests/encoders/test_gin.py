"""The graph isomorphism network: equal to loops over nodes; the rest is in test_contract.py and test_graph_encoders.py."""

import torch

from encoders.cases import graphs
from encoders.shared import close
from nearfar.core.graph import Graph
from nearfar.encoders.gin import Gin


def make(records=None, **options):
    options = {"dimension": 4, "hidden": 6, "layers": 3, "pooling": "nodes", **options}
    encoder = Gin.fit({"graph": records or graphs()}, **options)
    with torch.no_grad():
        draws = torch.Generator().manual_seed(1)
        for parameter in encoder.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.2, 0.8, generator=draws)
    return encoder


def by_loops(encoder, graph, reduce="sum", itself=True, side=1):
    """By the formula: node after node, neighbour after neighbour, in double precision."""
    n, values, seen = len(graph), graph.x.double(), []
    for layer, eps in zip(encoder.layers, encoder.eps.double(), strict=True):
        rows = []
        for i in range(n):
            near = [values[edge[1 - side]] for edge in graph.edges.T.tolist() if edge[side] == i]
            total = sum(near, torch.zeros_like(values[i]))
            total = total / max(1, len(near)) if reduce == "mean" else total
            rows.append(total + (1 + eps) * values[i] if itself else total)
        values = layer.double()(torch.stack(rows)).clamp_min(0)
        layer.float()
        seen.append(values)
    return torch.cat(seen, 1) @ encoder.join.weight.double().T + encoder.join.bias.double()


@torch.no_grad()
def test_equal_to_loops():
    records = graphs()
    encoder = make(records)
    made = encoder(encoder.prepare(records)).vectors.double()
    assert torch.allclose(made, torch.cat([by_loops(encoder, g) for g in records]), atol=2e-6, rtol=2e-6)
    for variant in ({"reduce": "mean"}, {"itself": False}, {"side": 0}):
        assert not close(made, torch.cat([by_loops(encoder, g, **variant) for g in records]))


@torch.no_grad()
def test_neighbours_are_counted():
    """A node with two equal neighbours is not one with a single such neighbour, which a mean cannot see."""
    edge, path = torch.tensor([[1], [0]]), torch.tensor([[1, 2], [0, 0]])
    one, two = Graph(torch.ones(2, 5), edge), Graph(torch.ones(3, 5), path)
    encoder = make()
    a, b = (encoder(encoder.prepare([g])).vectors[0] for g in (one, two))
    assert not close(a, b)
    assert torch.equal(by_loops(encoder, one, "mean")[0], by_loops(encoder, two, "mean")[0])
