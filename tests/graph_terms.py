"""What loops of graph objectives share: two small graphs, W in loops, memberships, a tower's outputs. No reference of a part."""

import torch
from harness import leaf

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.graph import Graph, Graphs
from nearfar.core.outputs import Outputs
from nearfar.testing.scalars import exp, log, sqrt, value

EDGES = ([(0, 1), (1, 0), (1, 2), (2, 1), (1, 2)], [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (0, 0)])
SIZES, D, K, TAU, REACH = (3, 4), 3, 3, 0.7, 2
N = sum(SIZES)
GRAPHS = [Graph(leaf(n, 5, seed=n).detach().float(), torch.tensor(e).T) for n, e in zip(SIZES, EDGES, strict=True)]
CENTRES = leaf(K, D, seed=3).detach()


def streams():
    node, source = [0, 1, 2, 0, 1, 2, 3], [0, 0, 0, 1, 1, 1, 1]
    return {"x": nf.rows(leaf(N, D, seed=0), record=source, source=source, node=node)}


def outputs(streams):
    rows = streams["x"]
    draws = Draws(0, 0, torch.arange(2))
    graphs = Graphs.of(GRAPHS)
    return Outputs(rows=rows, features=rows.vectors, states=None, inputs=graphs, plain=graphs, draws=draws, tower=None)


def known(objective):
    """With centres that k-means could have found."""
    (centres,) = objective.terms["clusters"].state
    centres.double()
    with torch.no_grad():
        centres.vectors.copy_(CENTRES)
        centres.known.fill_(True)
    return objective


def parameters(objective):
    return [objective.terms["clusters"].state[0].vectors]


def cosine(a, b):
    def dot(p, q):
        return sum(u * v for u, v in zip(p, q, strict=True))

    return dot(a, b) / sqrt(dot(a, a)) / sqrt(dot(b, b))


def influence():
    """W of both graphs, dense: row-normalised adjacency with loops, and its square."""
    made = [[0.0] * N for _ in range(N)]
    start = 0
    for n, edges in zip(SIZES, EDGES, strict=True):
        linked = {(i, j) for j, i in edges} | {(i, i) for i in range(n)}
        degree = [sum((i, j) in linked for j in range(n)) for i in range(n)]
        step = [[((i, j) in linked) / degree[i] for j in range(n)] for i in range(n)]
        for i in range(n):
            for j in range(n):
                twice = sum(step[i][k] * step[k][j] for k in range(n))
                made[start + i][start + j] = step[i][j] + twice
        start += n
    return made


def near(z):
    weights, losses = influence(), []
    for i in range(N):
        total = 1e-10
        for j in range(N):
            if weights[i][j]:
                total = total + weights[i][j] * exp(TAU * (cosine(z[i], z[j]) if i != j else 0.0 * z[i][0]))
        losses.append(-log(total))
    return sum(losses) / N


def far(rows):
    losses = []
    for i in range(len(rows)):
        total = 1.0 + 1e-10  # the row itself, at 0
        for j in range(len(rows)):
            if j != i:
                total = total + exp(TAU * cosine(rows[i], rows[j]))
        losses.append(log(total))
    return sum(losses) / len(rows)


def memberships(z, centres):
    made = []
    for row in z:
        kernel = [1 / (1 + sum((a - b) * (a - b) for a, b in zip(row, c, strict=True))) for c in centres]
        made.append([k / sum(kernel) for k in kernel])
    return made


def divergence(z, centres):
    q = memberships(z, centres)
    plain = [[float(value(v)) for v in row] for row in q]
    often = [sum(row[c] for row in plain) for c in range(len(centres))]
    total = 0.0
    for row, mine in zip(q, plain, strict=True):
        weight = [v * v / f for v, f in zip(mine, often, strict=True)]
        for w, v in zip(weight, row, strict=True):
            p = w / sum(weight)
            total = total + p * (log(v * 0 + p) - log(v))
    return total / len(z)


def blocks(z, centres):
    """Sums of the rows of each cluster that has any."""
    own = [max(range(len(centres)), key=lambda c, row=row: float(value(row[c]))) for row in memberships(z, centres)]
    sums = []
    for c in sorted(set(own)):
        mine = [row for row, o in zip(z, own, strict=True) if o == c]
        sums.append([sum(column) for column in zip(*mine, strict=True)])
    return sums
