"""Graphs for tests of graph encoders, and the laws that these keep."""

import torch

import nearfar as nf
from nearfar.core.graph import Graph, Graphs
from nearfar.core.model import Model
from nearfar.execution.micro_batches import micro_batches


def graphs(count=8, features=5, seed=0, directed=True):
    """Graphs of 1 to 9 nodes with loops, edges listed twice, and nodes that no edge leads to."""
    draws = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        n = 1 + number % 9
        edges = torch.randint(0, n, (2, 2 * n), generator=draws)
        if not directed:
            edges = torch.cat([edges, edges.flip(0)], 1)
        made.append(Graph(torch.randn(n, features, generator=draws), edges, ids=torch.arange(n) + 100 * number))
    return made


def close(a, b):
    return a.shape == b.shape and bool(((a - b).abs() < 1e-6).all())


def crossing(inputs):
    """The wrong variant: edges of the second graph and of all later ones lead into the first."""
    return Graphs(inputs.x, inputs.edges % int(inputs.nodes[1]), inputs.nodes, inputs.ends, inputs.ids)


def check_local(encoder, records):
    """A graph's rows are the same alone, in any batch, taken, and in micro-batches."""
    inputs = encoder.prepare(records)
    with torch.no_grad():
        whole = encoder(inputs)
        alone = [encoder(encoder.prepare([record])).vectors for record in records]
        assert close(torch.cat(alone), whole.vectors)
        taken = encoder(inputs.take([5, 2]))
        assert close(taken.vectors, torch.cat([alone[5], alone[2]]))
        pieces = micro_batches(encoder.cost(inputs).float(), 40)
        assert len(pieces) > 2
        for piece in pieces:
            assert close(encoder(inputs.take(piece)).vectors, torch.cat([alone[i] for i in piece]))
        assert not close(encoder(crossing(inputs)).vectors, whole.vectors)
        assert len(encoder(encoder.prepare([]))) == 0
    assert encoder.cost(inputs).tolist() == [len(g) + g.edges.shape[1] for g in records]


def check_backward(make, records):
    """The gradient of a contrast of all nodes is that of the undivided batch, and reaches every parameter."""
    gradients = []
    for most in (None, 30.0):
        encoder = make()
        other = [Graph(g.x * 1.5 + 0.1, g.edges, ids=g.ids) for g in records]
        streams = {"x": nf.Stream(encoder, encoder.prepare(records)), "y": nf.Stream(encoder, encoder.prepare(other))}
        objective = nf.Objective({"": nf.Scored(nf.info_nce, nf.paired("node"), temperature=0.1)})
        nf.backward(objective, streams, micro_batch=most)
        assert all(p.grad is not None and bool((p.grad != 0).any()) for p in encoder.parameters())
        gradients.append(torch.cat([p.grad.flatten() for p in encoder.parameters()]))
    assert torch.allclose(*gradients, atol=1e-5 * float(gradients[0].abs().max()))


def check_stored(encoder, records, folder):
    """A stored model has the same vectors, and another one has not."""
    read = Model.load(Model({"graph": encoder}, "dot").save(folder / "model")).tower("graph")
    with torch.no_grad():
        before = encoder(encoder.prepare(records)).vectors
        assert bool((read(read.prepare(records)).vectors == before).all())
        next(iter(read.parameters())).add_(0.1)
        assert not close(read(read.prepare(records)).vectors, before)
    assert read.config() == encoder.config()


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


def check_learns(encoder):
    """Learns to tell rings from stars that it has never seen."""
    records, kind = rings_and_stars(0)
    optimiser = torch.optim.Adam(encoder.parameters(), 0.01)
    inputs = encoder.prepare(records)
    for _ in range(60):
        rows = nf.rows(encoder(inputs).vectors, record=torch.arange(40), label=kind)
        loss = nf.contrast(nf.info_nce, rows, relation=nf.labelled(), temperature=0.2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    new, kind_of_new = rings_and_stars(1)
    with torch.no_grad():
        known, found = (
            torch.nn.functional.normalize(encoder(encoder.prepare(r)).vectors, dim=1) for r in (records, new)
        )
    nearest = kind[(found @ known.T).argmax(1)]
    assert (nearest == kind_of_new).float().mean() > 0.9
