"""Views of graphs: what they take away, how often; the chance of records is in test_contract.py."""

import math
from collections import Counter

import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.core.graph import Graph
from views.cases import GRAPHS, random_graph
from views.shared import alike, draws

VIEWS = {
    "edge_drop": nf.edge_drop(share=0.3),
    "feature_mask": nf.feature_mask(share=0.3),
    "node_drop": nf.node_drop(share=0.3),
    "subgraph": nf.subgraph(share=0.6),
}
MILDEST = {
    "edge_drop": nf.edge_drop(share=0),
    "feature_mask": nf.feature_mask(share=0),
    "node_drop": nf.node_drop(share=0),
    "subgraph": nf.subgraph(share=1),
}
STRONGEST = {
    "edge_drop": nf.edge_drop(share=1),
    "feature_mask": nf.feature_mask(share=1),
    "node_drop": nf.node_drop(share=1),
    "subgraph": nf.subgraph(share=1e-9),
}


def within_error(found, expected, of):
    """Four standard errors of a share."""
    return abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / of)


@pytest.mark.parametrize("name", MILDEST)
def test_the_mildest_changes_nothing_and_the_strongest_leaves_something(name):
    assert alike(MILDEST[name](GRAPHS, draws(6)), GRAPHS)
    for graph, made in zip(GRAPHS, STRONGEST[name](GRAPHS, draws(6)), strict=True):
        if name == "edge_drop":
            assert made.edges.shape == (2, 0)
            assert len(made) == len(graph)
        elif name == "feature_mask":
            assert int((made.x != 0).any(0).sum()) == 1
        else:
            assert len(made) == 1


@pytest.mark.parametrize("name", VIEWS)
def test_odd_graphs(name):
    one = Graph(torch.ones(1, 1), torch.zeros(2, 0, dtype=torch.long))
    loop = Graph(torch.ones(1, 2), torch.zeros(2, 3, dtype=torch.long))
    apart = Graph(torch.ones(4, 2), torch.zeros(2, 0, dtype=torch.long))
    made = STRONGEST[name]([one, loop, apart], draws(3))
    assert all(len(g) >= 1 and bool((g.x != 0).any()) for g in made)
    assert len(VIEWS[name]([{"x": [[1.0], [2.0]], "edges": [[0], [1]]}], draws(1))) == 1
    with pytest.raises(DataError, match="record 1"):
        VIEWS[name]([one, "a text"], draws(2))


@pytest.mark.parametrize("name", VIEWS)
def test_shares_that_are_none_are_refused(name):
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(UsageError, match=name):
            getattr(nf, name)(share=share)
    with pytest.raises(UsageError, match="subgraph"):
        nf.subgraph(share=0)


def test_both_directions_of_an_edge_go_together_in_their_share():
    graph = random_graph(40, 0, edges=50)
    kept = total = 0
    for made in nf.edge_drop(share=0.3)([graph] * 30, draws(30)):
        left, before = Counter(map(tuple, made.edges.T.tolist())), Counter(map(tuple, graph.edges.T.tolist()))
        assert all(left[a, b] == left[b, a] for a, b in before)
        assert all(left[pair] in (0, before[pair]) for pair in before)
        assert (made.x == graph.x).all()
        pairs = {frozenset(pair) for pair in before}
        kept += len({frozenset(pair) for pair in left})
        total += len(pairs)
    assert within_error(kept / total, 0.7, total)
    # The wrong variant: a draw for each direction makes the graph directed.
    each = draws(1).each("edge_drop", [graph.edges.shape[1]])[0] >= 0.3
    left = set(map(tuple, graph.edges[:, each].T.tolist()))
    assert any((b, a) not in left for a, b in left)


def test_features_are_masked_in_all_nodes_alike_in_their_share():
    graph = random_graph(5, 0, features=50)
    hidden = 0
    for made in nf.feature_mask(share=0.3)([graph] * 100, draws(100)):
        gone = (made.x == 0).any(0)
        assert ((made.x == 0) == gone).all()
        assert (made.x[:, ~gone] == graph.x[:, ~gone]).all()
        hidden += int(gone.sum())
    assert within_error(hidden / 5000, 0.3, 5000)
    assert not within_error(hidden / 5000, 0.4, 5000)


def test_exactly_a_share_of_the_nodes_goes_each_as_often():
    graph = random_graph(100, 0)
    gone = Counter()
    for made in nf.node_drop(share=0.29)([graph] * 200, draws(200)):
        assert len(made) == 71
        ids = made.ids.tolist()
        assert ids == sorted(ids)
        assert (made.x == graph.x[made.ids]).all()
        inside = set(ids)
        expected = [(a, b) for a, b in graph.edges.T.tolist() if a in inside and b in inside]
        assert [(ids[a], ids[b]) for a, b in made.edges.T.tolist()] == expected
        gone.update(set(range(100)) - inside)
    assert len(gone) == 100
    assert all(within_error(gone[i] / 200, 0.29, 200) for i in range(100))
    assert len(nf.node_drop(share=0.2)([random_graph(4, 0)], draws(1))[0]) == 4
    twice = nf.node_drop(share=0.5)(nf.node_drop(share=0.5)([graph], draws(1)), draws(1, view=1))[0]
    assert (twice.x == graph.x[twice.ids]).all()


def pieces(graph):
    """The number of connected components, by definition."""
    part = list(range(len(graph)))
    for _ in range(len(graph)):
        for a, b in graph.edges.T.tolist():
            part[a] = part[b] = min(part[a], part[b])
    return len(set(part))


def test_subgraphs_hang_together_and_start_anywhere():
    n = 30
    a = torch.arange(n)
    ring = Graph(torch.eye(n), torch.stack([a, (a + 1) % n]))  # one direction: growth goes both ways
    seen = Counter()
    made = nf.subgraph(share=0.3)([ring] * 300, draws(300))
    for graph in made:
        assert len(graph) == 9
        assert pieces(graph) == 1
        seen.update(graph.ids.tolist())
    assert all(within_error(seen[i] / 300, 0.3, 300) for i in range(n))
    dropped = nf.node_drop(share=0.7)([ring] * 30, draws(30))
    assert max(map(pieces, dropped)) > 3
    # Both ends grow: how far it reached to either side of the start differs.
    assert len({tuple(g.ids.tolist()) for g in made}) == n
    pairs = Graph(torch.eye(6), torch.tensor([[0, 2, 4], [1, 3, 5]]))
    for graph in nf.subgraph(share=0.5)([pairs] * 20, draws(20)):
        assert len(graph) == 3  # a component is exhausted, growth goes on in another
        assert pieces(graph) == 2


def test_growth_is_even_over_all_neighbours():
    """A star's rays are all waiting once its middle is in: each is as likely as any other."""
    star = Graph(torch.eye(11), torch.stack([torch.zeros(10, dtype=torch.long), torch.arange(1, 11)]))
    seen = Counter(i for g in nf.subgraph(share=0.5)([star] * 400, draws(400)) for i in g.ids.tolist())
    assert seen[0] == 400
    assert all(within_error(seen[i] / 400, 0.5, 400) for i in range(1, 11))


def test_nodes_of_two_views_find_each_other():
    """Node-level contrast: the positive of a node is itself, where both views kept it."""
    first, second = (nf.node_drop(share=0.3)(GRAPHS, draws(6, view=v)) for v in (0, 1))
    encoder = nf.Gcn.fit({"graph": GRAPHS}, dimension=4, hidden=4, pooling="nodes")
    x, y = (encoder(encoder.prepare(graphs)) for graphs in (first, second))
    for rows, graphs in ((x, first), (y, second)):
        assert rows.columns["node"].tolist() == [i for g in graphs for i in g.ids.tolist()]
    both = (x.columns["source"][:, None] == y.columns["source"]) & (x.columns["node"][:, None] == y.columns["node"])
    kept = [len(set(a.ids.tolist()) & set(b.ids.tolist())) for a, b in zip(first, second, strict=True)]
    assert both.sum(1).max() == 1
    assert int(both.sum()) == sum(kept) < len(x)
