"""PamC as loops over nodes: reconstruction, then the first step of the clustering stage (attraction alone) and the second one."""

import math

import numpy as np

import nearfar as nf
from nearfar.training.prepare import prepare

TAU = 1.0


def second_stage(made):
    """Losses of the first two steps of the stage, vectors and centres of the second; nothing is optimised between them."""
    learner = made.prepared.learner
    found = prepare(made.recipe.fits[1], made.recipe, made.records, dict(learner.towers), {})
    found.learner.eval()
    losses = []
    for step in (0, 1):
        objective = found.learner.at_this_step()
        result = nf.backward(objective, found.batches.streams(step))
        losses.append(float(result.loss))
        if step == 0:
            nf.update_state(objective, result.rows)
    (centres,) = [m for m in found.learner.terms.modules() if hasattr(m, "known")]
    assert bool(centres.known)
    graphs = made.records.many("graph", found.batches.order.records(1))
    return losses, graphs, result.rows["x"].vectors.detach().double().numpy(), centres.vectors.detach().double().numpy()


def ours(made):
    return [made.loss, *second_stage(made)[0]]


def reconstruction(made):
    (term,) = [m for m in made.prepared.learner.terms.modules() if hasattr(m, "decoder")]
    (w1, b1, w2, b2) = (p.detach().double().numpy() for p in term.parameters())
    z = made.rows["x"].vectors.detach().double().numpy()
    x = np.concatenate([g.x.numpy() for g in made.records.many("graph", made.prepared.batches.order.records(0))])
    return float(np.mean((np.maximum(z @ w1.T + b1, 0) @ w2.T + b2 - x) ** 2))


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def attraction(graphs, z):
    losses, start = [], 0
    for graph in graphs:
        n = len(graph)
        step = np.eye(n)
        for a, b in graph.edges.T.tolist():
            step[b, a] = 1
        step /= step.sum(1, keepdims=True)
        weights = step + step @ step
        for i in range(n):
            total = sum(
                weights[i, j] * math.exp(TAU * cosine(z[start + i], z[start + j]) if i != j else 0) for j in range(n)
            )
            losses.append(-math.log(total))
        start += n
    return sum(losses) / len(losses)


def repulsion(rows):
    losses = []
    for i, a in enumerate(rows):
        losses.append(math.log(1 + sum(math.exp(TAU * cosine(a, b)) for j, b in enumerate(rows) if j != i)))
    return sum(losses) / len(losses)


def loss(made, *, of_blocks=True):
    _, graphs, z, centres = second_stage(made)
    near = attraction(graphs, z)
    kernel = [[1 / (1 + float(((row - c) ** 2).sum())) for c in centres] for row in z]
    q = [[k / sum(row) for k in row] for row in kernel]
    often = [sum(row[c] for row in q) for c in range(len(centres))]
    divergence = 0.0
    for row in q:
        weight = [v * v / f for v, f in zip(row, often, strict=True)]
        p = [w / sum(weight) for w in weight]
        divergence += sum(a * math.log(a / b) for a, b in zip(p, row, strict=True)) / len(q)
    own = [row.index(max(row)) for row in q]
    blocks = [sum(row for row, o in zip(z, own, strict=True) if o == c) for c in sorted(set(own))]
    far = repulsion(blocks if of_blocks else list(z))
    return [reconstruction(made), 2 * near, 2 * near + 2 * far + 0.1 * divergence]


def loops(made):
    return loss(made)


def wrong(made):
    """All pairs of nodes repel."""
    return loss(made, of_blocks=False)
