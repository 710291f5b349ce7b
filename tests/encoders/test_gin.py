"""The graph isomorphism network: equal to loops over nodes, local to a graph, stored and trained."""

import pytest
import torch

from encoders.of_graphs import check_backward, check_learns, check_local, check_stored, close, graphs
from nearfar.core.errors import DataError, UsageError
from nearfar.core.graph import Graph
from nearfar.encoders.gin import Gin

CONFIG = {"features": 5, "dimension": 4, "hidden": 6, "layers": 3, "pooling": "nodes"}


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


@torch.no_grad()
def test_pooling():
    records = graphs()
    nodes = make()(make().prepare(records))
    source = nodes.columns["source"]
    assert nodes.columns["node"].tolist() == [
        i + 100 * number for number, g in enumerate(records) for i in range(len(g))
    ]
    for pooling in ("mean", "sum"):
        pooled = make(pooling=pooling)(make().prepare(records))
        for number in range(len(records)):
            own = nodes.vectors[source == number]
            expected = own.mean(0) if pooling == "mean" else own.sum(0)
            assert torch.allclose(pooled.vectors[number], expected, atol=1e-5)
            assert len(own) == 1 or not torch.allclose(pooled.vectors[number], own.max(0).values, atol=1e-5)


@pytest.mark.parametrize("pooling", ["nodes", "mean", "sum"])
def test_laws(pooling, tmp_path):
    records = graphs()
    check_local(make(pooling=pooling), records)
    check_stored(make(pooling=pooling), records, tmp_path)


def test_gradient_of_nodes_in_micro_batches():
    check_backward(make, graphs())


def test_learns():
    check_learns(Gin.fit({"graph": [Graph(torch.ones(2, 2), torch.zeros(2, 0, dtype=torch.long))]}, pooling="mean"))


def test_the_seed_alone_gives_the_weights():
    first, same, other = (Gin.fit({"a": graphs()}, seed=s).join.weight for s in (0, 0, 1))
    torch.manual_seed(5)
    assert (first == same).all()
    assert (first == Gin.fit({"a": graphs()}, seed=0).join.weight).all()
    assert (first != other).any()


def test_bad_records_and_settings():
    encoder = make()
    with pytest.raises(DataError, match="record 3"):
        encoder.prepare([*graphs()[:3], "a text"])
    with pytest.raises(DataError, match="record 1"):
        encoder.prepare([graphs()[0], *graphs(1, features=6)])
    with pytest.raises(DataError, match="a graph is needed"):
        Gin.fit({"a": []})
    for options in ({"dimension": 0}, {"hidden": -1}, {"layers": 0}, {"layers": 10**9}):
        with pytest.raises(UsageError) as caught:
            Gin.fit({"a": graphs()}, **options)
        assert caught.value.remedy


@pytest.mark.parametrize("name", CONFIG)
@pytest.mark.parametrize("value", [None, 0, -1, 1.5, True, "many", 10**12, [2]])
def test_damaged_configurations_are_refused(name, value):
    assert Gin.from_config(CONFIG).config() == CONFIG
    with pytest.raises(DataError, match="no configuration"):
        Gin.from_config({**CONFIG, name: value})
