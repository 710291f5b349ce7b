"""Graphs: what is refused, what views take away, and many of them as one."""

import types

import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.core.graph import Graph, Graphs, checked_pooling, graphs_of


def ring(n, features=3, **more):
    a = torch.arange(n)
    b = (a + 1) % n
    draws = torch.Generator().manual_seed(n)
    return Graph(torch.randn(n, features, generator=draws), torch.stack([torch.cat([a, b]), torch.cat([b, a])]), **more)


def same(one, other):
    fields = (one.x, other.x), (one.edges, other.edges), (one.numbers, other.numbers)
    return all(a.shape == b.shape and bool((a == b).all()) for a, b in fields)


def of_batch(graphs, number):
    """One graph out of a batch, by definition."""
    first, end = graphs.nodes[number : number + 2].tolist()
    inside = ((graphs.edges >= first) & (graphs.edges < end)).all(0)
    return Graph(graphs.x[first:end], graphs.edges[:, inside] - first, ids=graphs.ids[first:end])


GRAPHS = [
    ring(4),
    Graph(torch.ones(1, 3), torch.zeros(2, 0, dtype=torch.long)),
    ring(6, ids=torch.arange(6) * 10),
    ring(3),
]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Graph(torch.zeros(0, 3), torch.zeros(2, 0, dtype=torch.long)), "one node"),
        (lambda: Graph(torch.zeros(3), torch.zeros(2, 0, dtype=torch.long)), "shape"),
        (lambda: Graph(torch.zeros(3, 2, dtype=torch.long), torch.zeros(2, 0, dtype=torch.long)), "floating-point"),
        (lambda: Graph(torch.tensor([[torch.nan]]), torch.zeros(2, 0, dtype=torch.long)), "finite"),
        (lambda: Graph(torch.eye(3), torch.zeros(3, 2, dtype=torch.long)), r"\[2 edges\]"),
        (lambda: Graph(torch.eye(3), torch.zeros(2, 2)), "int64"),
        (lambda: Graph(torch.eye(3), torch.tensor([[0, 1], [1, 3]])), "count nodes from 0"),
        (lambda: Graph(torch.eye(3), torch.tensor([[0, -1], [1, 2]])), "count nodes from 0"),
        (lambda: Graph(torch.eye(3), torch.tensor([[0], [1]]), label=torch.zeros(2, dtype=torch.long)), "label"),
        (lambda: Graph(torch.eye(3), torch.tensor([[0], [1]]), ids=torch.zeros(3)), "ids"),
        (lambda: graphs_of([GRAPHS[0], "a text"]), "record 1"),
        (lambda: graphs_of([{"x": [[1.0], [2.0, 3.0]], "edges": []}]), "record 0"),
        (lambda: graphs_of([{"x": [["a"]], "edges": []}]), "record 0"),
        (lambda: Graphs.of([ring(4), ring(5), ring(4, features=2)]), "record 2"),
        (lambda: Graphs.of([ring(4)], features=7), "record 0"),
    ],
)
def test_what_is_no_graph_is_refused(make, match):
    with pytest.raises(DataError, match=match) as caught:
        make()
    assert caught.value.remedy


def test_graphs_come_in_several_forms():
    expected = Graph(torch.tensor([[1.0], [2.0]]), torch.tensor([[0, 1], [1, 0]]))
    lists = {"x": [[1], [2]], "edges": [[0, 1], [1, 0]]}
    geometric = types.SimpleNamespace(x=expected.x.numpy(), edge_index=expected.edges.int())
    for form in (expected, lists, geometric, {"x": expected.x.double(), "edges": expected.edges.numpy()}):
        assert same(Graph.of(form), expected)
    labelled = Graph.of({**lists, "label": [3, 4], "ids": [7, 5]})
    assert labelled.label.tolist() == [3, 4]
    assert labelled.numbers.tolist() == [7, 5]
    alone = Graph.of({"x": [[1.0]], "edges": []})
    assert alone.edges.shape == (2, 0)
    swapped = Graph.of({"x": [[1], [2]], "edges": [[0], [1]]})
    assert not same(swapped, expected)


def test_nodes_taken_out_remember_who_they_were():
    graph = ring(6, label=torch.tensor([5, 4, 3, 2, 1, 0]))
    kept = torch.tensor([True, True, False, True, True, True])
    some = graph.among(kept)
    assert some.ids.tolist() == [0, 1, 3, 4, 5]
    assert some.label.tolist() == [5, 4, 2, 1, 0]
    assert (some.x == graph.x[kept]).all()
    named = {(some.ids[a].item(), some.ids[b].item()) for a, b in some.edges.T.tolist()}
    assert named == {(a, b) for a, b in graph.edges.T.tolist() if 2 not in (a, b)}
    again = some.among(torch.tensor([False, True, True, True, False]))
    assert again.ids.tolist() == [1, 3, 4]
    assert graph.ids is None
    assert graph.without_edges(graph.edges[0] == 0).edges.shape == (2, 10)


def test_many_as_one_and_back():
    graphs = Graphs.of(GRAPHS)
    assert len(graphs) == 4
    assert graphs.cost.tolist() == [4 + 8, 1, 6 + 12, 3 + 6]
    assert graphs.source.tolist() == [0] * 4 + [1] + [2] * 6 + [3] * 3
    assert all(same(of_batch(graphs, i), g) for i, g in enumerate(GRAPHS))
    for index in ([2, 0], torch.tensor([3, 1, 2]), slice(1, 3), [1], [0, 0]):
        chosen = GRAPHS[index] if isinstance(index, slice) else [GRAPHS[i] for i in index]
        taken = graphs.take(index)
        assert len(taken) == len(chosen)
        assert all(same(of_batch(taken, i), g) for i, g in enumerate(chosen))
    wrong = graphs.take([2, 0])
    wrong = Graphs(wrong.x, wrong.edges + 1, wrong.nodes, wrong.ends, wrong.ids)
    assert not same(of_batch(wrong, 0), GRAPHS[2])
    none = Graphs.of([], features=3)
    assert len(none) == len(none.x) == len(graphs.take([])) == 0


def test_sums_over_neighbours_and_rows():
    graph = Graph(torch.eye(3), torch.tensor([[0, 0, 1], [1, 2, 2]]))
    graphs = Graphs.of([graph, graph])
    sums = graphs.sum_over_neighbours(torch.tensor([[1.0], [10.0], [100.0]]).repeat(2, 1))
    assert sums.flatten().tolist() == [0, 1, 11] * 2  # against the edges it would be 110, 100, 0
    assert graphs.degrees.tolist() == [0, 1, 2] * 2
    values = torch.arange(12.0).reshape(6, 2)
    nodes = graphs.rows(values, "nodes")
    assert nodes.columns["source"].tolist() == [0, 0, 0, 1, 1, 1]
    assert nodes.columns["node"].tolist() == [0, 1, 2] * 2
    assert graphs.rows(values, "sum").vectors.tolist() == [[6, 9], [24, 27]]
    assert graphs.rows(values, "mean").vectors.tolist() == [[2, 3], [8, 9]]
    with pytest.raises(UsageError, match="max"):
        checked_pooling("max")
