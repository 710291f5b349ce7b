"""What both encoders of graphs do alike: rows that are nodes or graphs, nodes that are contrasted, kinds of graphs that are told apart."""

import pytest
import torch

import nearfar as nf
from encoders.cases import graphs
from nearfar.core.errors import DataError
from nearfar.core.graph import Graph
from nearfar.encoders.gcn import Gcn
from nearfar.encoders.gin import Gin

both = pytest.mark.parametrize("kind", [Gcn, Gin])


def make(kind, **options):
    return kind.fit({"graph": graphs()}, **{"dimension": 4, "hidden": 6, "layers": 3, "pooling": "nodes", **options})


def gradient(encoder, objective, most):
    other = [Graph(g.x * 1.5 + 0.1, g.edges, ids=g.ids) for g in graphs()]
    streams = {"x": nf.Stream(encoder, encoder.prepare(graphs())), "y": nf.Stream(encoder, encoder.prepare(other))}
    nf.backward(objective, streams, micro_batch=most)
    return torch.cat([p.grad.flatten() for p in encoder.parameters()])


@both
@torch.no_grad()
def test_pooling(kind):
    records, encoder = graphs(), make(kind)
    nodes = encoder(encoder.prepare(records))
    source = nodes.columns["source"]
    expected = [i + 100 * number for number, g in enumerate(records) for i in range(len(g))]
    assert nodes.columns["node"].tolist() == expected
    for pooling in ("mean", "sum"):
        encoder = make(kind, pooling=pooling)
        pooled = encoder(encoder.prepare(records))
        assert "source" not in pooled.columns
        own = [nodes.vectors[source == number] for number in range(len(records))]
        known = torch.stack([v.mean(0) if pooling == "mean" else v.sum(0) for v in own])
        assert torch.allclose(pooled.vectors, known, atol=1e-5)
        assert not torch.allclose(pooled.vectors, torch.stack([v.amax(0) for v in own]), atol=1e-2)


@both
def test_the_gradient_of_a_contrast_of_nodes_in_micro_batches(kind):
    objective = nf.Objective({"": nf.Scored(nf.info_nce, nf.paired("node"), temperature=0.1)})
    whole, pieces = (gradient(make(kind), objective, most) for most in (None, 30.0))
    assert torch.allclose(pieces, whole, atol=1e-5 * float(whole.abs().max()))
    others = nf.Objective({"": nf.Scored(nf.info_nce, nf.paired("node"), temperature=0.2)})
    assert not torch.allclose(gradient(make(kind), others, None), whole, atol=1e-2 * float(whole.abs().max()))


def rings_and_stars(seed):
    """Graphs of two kinds that have the same features: told apart by their edges alone."""
    draws = torch.Generator().manual_seed(seed)
    made, kind = [], []
    for number in range(40):
        n = int(torch.randint(5, 12, (), generator=draws))
        a = torch.arange(n) if number % 2 else torch.arange(1, n)
        b = (a + 1) % n if number % 2 else torch.zeros_like(a)
        edges = torch.stack([torch.cat([a, b]), torch.cat([b, a])])
        made.append(Graph(torch.ones(n, 2), edges))
        kind.append(number % 2)
    return made, torch.tensor(kind)


@both
def test_it_learns_to_tell_rings_from_stars_that_it_has_never_seen(kind):
    records, label = rings_and_stars(0)
    new, label_of_new = rings_and_stars(1)
    encoder = kind.fit({"graph": records}, pooling="mean")
    optimiser = torch.optim.Adam(encoder.parameters(), 0.01)
    inputs = encoder.prepare(records)
    for _ in range(60):
        rows = nf.rows(encoder(inputs).vectors, record=torch.arange(40), label=label)
        loss = nf.contrast(nf.info_nce, rows, relation=nf.labelled(), temperature=0.2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        known, found = (
            torch.nn.functional.normalize(encoder(encoder.prepare(r)).vectors, dim=1) for r in (records, new)
        )
    nearest = label[(found @ known.T).argmax(1)]
    assert (nearest == label_of_new).float().mean() > 0.9


@both
def test_other_features_and_no_graphs_at_all(kind):
    with pytest.raises(DataError, match="record 1"):
        make(kind).prepare([graphs()[0], *graphs(1, features=6)])
    with pytest.raises(DataError, match="a graph is needed"):
        kind.fit({"a": []})
