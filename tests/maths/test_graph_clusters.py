"""Paths of a graph, soft clusters and their centres: foreign references, known answers, and that nothing changes by cutting graphs."""

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.special import softmax

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.errors import DataError
from nearfar.core.graph import Graph, Graphs
from nearfar.core.model import Model
from nearfar.core.outputs import Outputs
from nearfar.data.dataset import Dataset
from nearfar.data.records import Records
from nearfar.datasets.digits_graph import digits_graph
from nearfar.maths.embedded_clusters import Centres, divergence, membership, sharpened
from nearfar.maths.neighbourhoods import Neighbourhoods, influence
from nearfar.measures.node_clustering import node_clustering
from nearfar.recipes.graphs.block_clustering import recipe
from nearfar.training.train import train_run


def some_graphs(seed=0, sizes=(6, 1, 9)):
    draws = torch.Generator().manual_seed(seed)
    made = []
    for n in sizes:
        edges = torch.randint(0, n, (2, 2 * n), generator=draws)
        made.append(Graph(torch.randn(n, 4, generator=draws), edges))
    return made


def dense(paths, n):
    made = torch.zeros(n, n)
    made[paths.i, paths.j] = paths.weight
    return made


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_paths_are_powers_of_the_adjacency(reach):
    graphs = Graphs.of(some_graphs())
    n = len(graphs.x)
    linked = sparse.coo_matrix((np.ones(graphs.edges.shape[1]), graphs.edges.flip(0).numpy()), (n, n)).tocsr()
    step = ((linked > 0).maximum(sparse.eye(n, dtype=bool))).astype(float)
    step = sparse.diags(1 / np.asarray(step.sum(1)).ravel()) @ step
    powers = [step]
    for _ in range(reach - 1):
        powers.append(powers[-1] @ step)
    made = influence(graphs, reach)
    assert len((made.i * n + made.j).unique()) == len(made.i), "each pair once"
    assert np.allclose(dense(made, n), sum(powers).toarray(), atol=1e-6)
    if reach > 1:
        assert not np.allclose(dense(made, n), powers[-1].toarray(), atol=1e-3), "shorter paths count too"
    with pytest.raises(nf.UsageError, match="paths of 0 edges"):
        influence(graphs, 0)


def outputs(graphs, vectors):
    made = Graphs.of(graphs)
    rows = nf.rows(vectors)
    return Outputs(
        rows=rows,
        features=vectors,
        states=None,
        inputs=made,
        plain=made,
        draws=Draws(0, 0, torch.arange(9)),
        tower=None,
    )


def test_graphs_one_by_one_and_together_have_the_same_loss():
    graphs, term = some_graphs(), Neighbourhoods(2, 0.5)
    vectors = torch.randn(sum(map(len, graphs)), 3, generator=torch.Generator().manual_seed(1))
    total, count = term(outputs(graphs, vectors))
    parts = [term(outputs([g], v)) for g, v in zip(graphs, vectors.split([len(g) for g in graphs]), strict=True)]
    assert torch.allclose(total, sum(p[0] for p in parts), atol=1e-5)
    assert int(count) == sum(int(p[1]) for p in parts)
    assert not torch.allclose(total, sum(p[0] / p[1] for p in parts), atol=1e-2)
    # What is kept of the last graphs belongs to them alone: another graph with as many nodes has its own.
    other = some_graphs(seed=5)
    assert torch.equal(term(outputs(other, vectors))[0], Neighbourhoods(2, 0.5)(outputs(other, vectors))[0])
    assert not torch.equal(term(outputs(other, vectors))[0], total)
    with pytest.raises(nf.UsageError, match="nodes of graphs, a row each"):
        term(outputs(graphs, vectors[:3]))


def test_memberships_and_what_they_are_trained_towards():
    z, m = (torch.randn(n, 3, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (7, 4))
    q, p = membership(z, m), sharpened(membership(z, m))
    logs = -np.log1p(((z.numpy()[:, None] - m.numpy()) ** 2).sum(2))
    assert np.allclose(q, softmax(logs, axis=1))
    assert np.allclose(p, softmax((2 * q.log() - q.sum(0).log()).numpy(), axis=1))
    assert float(divergence(q)) == pytest.approx(float((p * (p / q).log()).sum() / 7))
    assert float(divergence(q)) != pytest.approx(float((q * (q / p).log()).sum() / 7), rel=1e-2)


def test_centres_are_found_once_and_in_any_order():
    of = torch.arange(30) % 3
    x = 5 * torch.eye(3)[of] + 0.1 * torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    rows = nf.rows(x, record=torch.arange(30) // 10, node=torch.arange(30) % 10)
    first, second = Centres(3, 3, seed=4), Centres(3, 3, seed=4)
    turned = torch.arange(29, -1, -1)
    first.update(rows)
    second.update(rows.take(turned))
    assert torch.allclose(first.vectors, second.vectors, atol=1e-6)
    means = torch.stack([x[of == k].mean(0) for k in range(3)])
    assert torch.cdist(first.vectors, means).min(1).values.max() < 1e-5
    before = first.vectors.clone()
    first.update(nf.rows(-x))
    assert torch.equal(before, first.vectors)
    with pytest.raises(nf.UsageError, match="1 clusters"):
        Centres(1, 3, 0)


def test_a_cluster_without_nodes_takes_no_part():
    made = nf.block_contrast(dimension=2, clusters=3, clustering=0.0)
    (centres,) = made.terms["clusters"].state
    x = nf.rows(torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]]))
    far = made.terms["far"].function
    assert float(far(x)) == 0.0, "nothing is known of clusters before the first step"
    with torch.no_grad():
        centres.vectors.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [50.0, 50.0]]))
        centres.known.fill_(True)
    cosine = -2 / (2**2 + 0.1**2) ** 0.5
    assert float(far(x)) == pytest.approx(np.log(1 + np.exp(cosine)), abs=1e-5)
    assert float(far(x)) != pytest.approx(np.log(2 + np.exp(cosine)), abs=1e-2)


@pytest.mark.parametrize("options", [{"tau": 0.0}, {"reach": 0}, {"contrast": -1.0}, {"dimension": None}])
@pytest.mark.parametrize("part", ["block_contrast", "neighbourhood_contrast"])
def test_settings_that_make_no_sense_are_refused(part, options):
    with pytest.raises(nf.UsageError):
        getattr(nf, part)(**{"dimension": 3, **options})


def test_a_graph_of_digits_is_clustered_from_pixels_and_edges(tmp_path):
    data = digits_graph()
    (graph,) = data.part("dev").fields["graph"]
    assert len(graph) == 400
    assert set(map(tuple, graph.edges.T.tolist())) == set(map(tuple, graph.edges.flip(0).T.tolist()))
    assert graph.without_edges(torch.zeros(graph.edges.shape[1], dtype=torch.bool)).edges.equal(graph.edges)
    alike = graph.label[graph.edges[0]] == graph.label[graph.edges[1]]
    assert 0.8 < float(alike.float().mean()) < 1.0
    short = ("reconstruct.epochs=3", "fit.epochs=3", "encoder.hidden=8")
    run = train_run(recipe(), Records({"graph": [graph]}), out=tmp_path / "run", settings=short)
    made = node_clustering(run.model, Dataset("d", {"dev": data.part("dev")}), "dev").figures()
    assert 0.1 < made["nmi"] < 1.0
    (vectors,) = run.model.encode_nodes([graph])
    assert vectors.shape == (400, 10)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    with pytest.raises(nf.UsageError, match="a matrix a record"):
        run.model.encode([graph])


def test_nodes_of_several_graphs_come_back_by_graph():
    graphs = some_graphs()
    encoder = nf.NodeMlp.fit({"graph": graphs}, dimension=3, hidden=5)
    model = Model({"graph": encoder}, "dot")
    found = model.encode_nodes(graphs, at_once=10)
    assert [m.shape for m in found] == [(len(g), 3) for g in graphs]
    for graph, matrix in zip(graphs, found, strict=True):
        assert np.allclose(matrix, encoder.layers(graph.x).detach().numpy(), atol=1e-6)
    pooled = Model({"graph": nf.NodeMlp.fit({"graph": graphs}, pooling="mean")})
    with pytest.raises(nf.UsageError, match="one vector a record"):
        pooled.encode_nodes(graphs)
    unlabelled = Dataset("d", {"dev": Records({"graph": graphs})})
    with pytest.raises(DataError, match="no labels"):
        node_clustering(model, unlabelled, "dev")
