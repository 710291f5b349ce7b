"""The graph convolutional network: equal to loops over nodes; the rest is in test_contract.py and test_graph_encoders.py."""

import pytest
import torch

from encoders.cases import graphs
from encoders.shared import close
from nearfar.core.graph import Graph
from nearfar.encoders.gcn import Gcn


def make(records=None, **options):
    encoder = Gcn.fit({"graph": records or graphs()}, **{"dimension": 4, "hidden": 6, "layers": 3, **options})
    with torch.no_grad():
        for layer in encoder.layers:
            layer.bias.normal_(generator=torch.Generator().manual_seed(1))
    return encoder


def by_loops(encoder, graph, loops=True, side=1, root=0.5):
    """By the formula: node after node, neighbour after neighbour, in double precision."""
    n, layers = len(graph), list(encoder.layers)
    edges = [(j, i) for j, i in graph.edges.T.tolist() if i != j] + ([(i, i) for i in range(n)] if loops else [])
    degree = [max(1, sum(edge[side] == i for edge in edges)) for i in range(n)]
    values = graph.x.double()
    for number, layer in enumerate(layers):
        mapped = values @ layer.weight.double().T
        rows = []
        for i in range(n):
            total = torch.zeros(mapped.shape[1], dtype=torch.float64)
            for j, target in edges:
                if target == i:
                    total = total + mapped[j] / (degree[i] * degree[j]) ** root
            rows.append(total + layer.bias.double())
        values = torch.stack(rows)
        if number < len(layers) - 1:
            values = values.clamp_min(0)
    return values


@pytest.mark.parametrize("directed", [True, False])
@torch.no_grad()
def test_equal_to_loops(directed):
    records = graphs(directed=directed)
    encoder = make(records)
    made = encoder(encoder.prepare(records)).vectors.double()
    assert close(made, torch.cat([by_loops(encoder, g) for g in records]))
    wrong = {"loops": False} | {}, {"root": 1.0}, {"side": 0}
    for variant in wrong if directed else wrong[:2]:
        assert not close(made, torch.cat([by_loops(encoder, g, **variant) for g in records]))


@torch.no_grad()
def test_known_answers():
    records = graphs()
    # Without edges it is a network on each node; a loop changes nothing.
    alone = Graph(records[4].x, torch.zeros(2, 0, dtype=torch.long))
    loops = Graph(records[4].x, torch.arange(5).repeat(2, 1))
    encoder = make()
    values = alone.x
    for layer in encoder.layers:
        values = layer(values if layer is encoder.layers[0] else values.relu())
    assert close(encoder(encoder.prepare([alone])).vectors, values)
    assert close(encoder(encoder.prepare([loops])).vectors, values)
    assert not close(encoder(encoder.prepare([records[4]])).vectors, values)


@torch.no_grad()
def test_degrees_of_many_are_exact_in_bfloat16():
    n = 1000  # bfloat16 cannot count beyond 256
    star = Graph(torch.ones(n, 5), torch.stack([torch.arange(1, n), torch.zeros(n - 1, dtype=torch.long)]))
    exact, rough = make(layers=1), make(layers=1).bfloat16()
    a, b = (e(e.prepare([star])).vectors[1].float() for e in (exact, rough))
    assert torch.allclose(a, b, rtol=0.02, atol=0.02)
    counted = torch.zeros(1, dtype=torch.bfloat16)
    for _ in range(999):
        counted += 1
    assert counted == 256
